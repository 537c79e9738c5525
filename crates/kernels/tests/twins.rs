//! Each fused operation against its plain Burn twin in [`elbo_kernels::reference`], on one device, values and gradients, at sizes
//! around the widths of vectors and tiles.

mod support {
    pub mod comparison;
    pub mod layer;
}

use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{AdamStep, adam, adam_reference, linear, reference, sum_of_squares};
use support::comparison::Table;
use support::layer::{ACTIVATIONS, Layer, gradient, values};

const SIZES: [usize; 8] = [1, 15, 16, 17, 63, 64, 65, 400];
const BATCHES: [usize; 4] = [1, 2, 17, 128];

/// `count` multiples of 1/64 in [-1, 1]. Sums of up to a thousand products of two of them are exact in float32 in any order, so
/// that no rounding puts the two twins on different sides of a kink.
fn grid(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as i32 % 129 - 64
    };
    (0..count).map(|_| next() as f32 / 64.0).collect()
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn layer(batch: usize, inputs: usize, outputs: usize) -> Layer {
    // A power of two near 1/sqrt(inputs) keeps the sums exact and out of the flat parts of the activations.
    let scale = 0.5f32.powi(inputs.ilog2().div_ceil(2) as i32);
    Layer {
        batch,
        inputs,
        outputs,
        x: grid(1, batch * inputs),
        weight: grid(2, outputs * inputs).iter().map(|w| w * scale).collect(),
        // Half a unit of the products: no value before the activation is 0, where twins may choose either slope.
        bias: grid(3, outputs).iter().map(|b| b + scale / 8192.0).collect(),
        // Positive, so that sums over the batch do not cancel.
        dy: grid(4, batch * outputs).iter().map(|d| 1.0 + 0.5 * d).collect(),
    }
}

#[test]
fn layers() {
    // The kinked ones differ by the order of sums; the smooth ones by their approximations, whose errors `simd` states.
    let (mut kinked, mut smooth) = (Table::new(1e-6), Table::new(1e-5));
    for (batch, inputs, outputs) in shapes() {
        let layer = layer(batch, inputs, outputs);
        for (name, activation) in ACTIVATIONS {
            let fused = layer.run(|x, weight, bias| linear(x, weight, bias, activation));
            let plain = layer.run(|x, weight, bias| reference::linear(x, weight, bias, activation));
            let table = if ["none", "relu", "leaky-relu"].contains(&name) { &mut kinked } else { &mut smooth };
            for ((what, fused), (_, plain)) in fused.iter().zip(&plain) {
                table.tensor(format_args!("{name} {batch}x{inputs}x{outputs} {what}"), fused, &doubles(plain));
            }
        }
    }
    kinked.assert_all(4 * 3 * 4 * 64);
    smooth.assert_all(4 * 3 * 4 * 64);
}

fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
    let pairs = SIZES.into_iter().flat_map(|inputs| SIZES.map(|outputs| (inputs, outputs)));
    pairs.flat_map(|(inputs, outputs)| BATCHES.map(|batch| (batch, inputs, outputs)))
}

/// An operation on matrices of one shape; the result is flattened.
type Op = fn([Tensor<2>; 3]) -> Tensor<1>;

/// Value and gradients by the first `by` arguments.
fn run(op: Op, dims: [usize; 2], arguments: &[Vec<f32>; 3], by: usize) -> Vec<Vec<f32>> {
    let device = Device::default().autodiff();
    let tensors = [0, 1, 2].map(|i| {
        let tensor = Tensor::<2>::from_data(TensorData::new(arguments[i].clone(), dims), &device);
        if i < by { tensor.require_grad() } else { tensor }
    });
    let value = op(tensors.clone());
    let weights = Tensor::<1>::from_data(TensorData::new(grid(9, value.dims()[0]), value.dims()), &device);
    let gradients = (value.clone() * weights).sum().backward();
    let slopes = tensors[..by].iter().map(|tensor| gradient(tensor, &gradients));
    [values(value)].into_iter().chain(slopes).collect()
}

#[test]
fn likelihoods_and_latent_terms() {
    // Name, fused, plain, how many arguments have a gradient.
    let ops: [(&str, Op, Op, usize); 4] = [
        (
            "bernoulli_nll",
            |[logits, x, _]| elbo_kernels::bernoulli_nll(logits * 8.0, x.abs()),
            |[logits, x, _]| reference::bernoulli_nll(logits * 8.0, x.abs()),
            1,
        ),
        (
            "squared_error",
            |[logits, x, _]| elbo_kernels::squared_error(logits * 8.0, x.abs()),
            |[logits, x, _]| reference::squared_error(logits * 8.0, x.abs()),
            1,
        ),
        (
            "gaussian_kl",
            |[mean, log_var, _]| elbo_kernels::gaussian_kl(mean * 2.0, log_var * 4.0).flatten(0, 1),
            |[mean, log_var, _]| reference::gaussian_kl(mean * 2.0, log_var * 4.0).flatten(0, 1),
            2,
        ),
        (
            "reparameterize",
            |[mean, log_var, noise]| elbo_kernels::reparameterize(mean * 2.0, log_var * 4.0, noise * 3.0).flatten(0, 1),
            |[mean, log_var, noise]| reference::reparameterize(mean * 2.0, log_var * 4.0, noise * 3.0).flatten(0, 1),
            2,
        ),
    ];
    let mut table = Table::new(2e-6);
    for (name, fused, plain, by) in ops {
        for (batch, width) in BATCHES.into_iter().flat_map(|batch| SIZES.map(|width| (batch, width))) {
            let arguments = [5, 6, 7].map(|seed| grid(seed, batch * width));
            let (fused, plain) =
                (run(fused, [batch, width], &arguments, by), run(plain, [batch, width], &arguments, by));
            for (i, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
                table.tensor(format_args!("{name} {batch}x{width}, result {i}"), fused, &doubles(plain));
            }
        }
    }
    table.assert_all((2 + 2 + 3 + 3) * 32);
}

#[test]
fn a_layer_used_twice_adds_its_gradients() {
    let layer = layer(17, 15, 15);
    let (_, tanh) = ACTIVATIONS[2];
    let fused = layer.run(|x, w, b| linear(linear(x, w.clone(), b.clone(), tanh), w, b, tanh));
    let plain = layer.run(|x, w, b| reference::linear(reference::linear(x, w.clone(), b.clone(), tanh), w, b, tanh));
    let mut table = Table::new(2e-6);
    for ((what, fused), (_, plain)) in fused.iter().zip(&plain) {
        table.tensor(what, fused, &doubles(plain));
    }
    table.assert_all(4);
}

fn vector(values: Vec<f32>) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &Device::default())
}

#[test]
fn optimizer_steps() {
    let step =
        AdamStep { lr: 0.01, beta1: 0.9, beta2: 0.99, eps: 1e-5, l2: 0.1, decay: 0.2, gradient_scale: 0.5, time: 3 };
    let mut table = Table::new(1e-6);
    // The last is cut into parts.
    for count in SIZES.into_iter().chain([100_003]) {
        let second = grid(13, count).iter().map(|v| v.abs()).collect();
        let arguments = [grid(10, count), grid(11, count), grid(12, count), second].map(vector);
        let [fused, plain] = [adam, adam_reference].map(|op| {
            let [weight, gradient, m, v] = arguments.clone();
            op(weight, gradient, m, v, &step)
        });
        assert!(fused.finite && plain.finite);
        for (what, fused, plain) in
            [("weight", fused.weight, plain.weight), ("m", fused.m, plain.m), ("v", fused.v, plain.v)]
        {
            table.tensor(format_args!("{what} of {count}"), &values(fused), &doubles(&values(plain)));
        }
    }
    table.assert_all(27);
}

#[test]
fn sums_of_squares_are_float64_sums() {
    for count in SIZES.into_iter().chain([0, 100_003]) {
        let numbers = grid(14, count);
        let expected: f64 = numbers.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        assert_eq!(sum_of_squares(vector(numbers)), expected, "{count} values");
    }
}

//! What must not be lost on the way: NaN and infinities, the layout of tensors that are views, storage that somebody else
//! holds, and the exact value of every byte.

mod support {
    pub mod layer;
}

use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{
    Activation, AdamStep, adam, bernoulli_nll, gather_bytes, gaussian_kl, linear, reparameterize, squared_error,
    sum_of_squares,
};
use support::layer::{ACTIVATIONS, Layer, gradient, values};

const WILD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// Values in [-1, 1), different for each seed, none of them 0.
fn wave(seed: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| (((i * 37 + seed * 101) % 199) as f32 - 99.5) / 100.0).collect()
}

fn layer() -> Layer {
    let (batch, inputs, outputs) = (5, 33, 35);
    Layer {
        batch,
        inputs,
        outputs,
        x: wave(1, batch * inputs),
        weight: wave(2, outputs * inputs),
        bias: wave(3, outputs),
        dy: wave(4, batch * outputs),
    }
}

fn outputs(layer: &Layer, activation: Activation) -> Vec<f32> {
    let [(_, y), ..] = layer.run(|x, weight, bias| linear(x, weight, bias, activation));
    y
}

#[test]
fn nan_in_an_input_reaches_its_whole_row_and_no_other() {
    for (name, activation) in ACTIVATIONS {
        let clean = outputs(&layer(), activation);
        let mut wild = layer();
        wild.x[3 * 33 + 32] = f32::NAN;
        let found = outputs(&wild, activation);
        for (row, (found, clean)) in found.chunks(35).zip(clean.chunks(35)).enumerate() {
            let right = if row == 3 { found.iter().all(|y| y.is_nan()) } else { found == clean };
            assert!(right, "{name}, row {row}: {found:?}");
        }
    }
}

#[test]
fn nan_in_a_weight_or_bias_reaches_its_whole_column_and_no_other() {
    for (name, activation) in ACTIVATIONS {
        let clean = outputs(&layer(), activation);
        let (mut weight, mut bias) = (layer(), layer());
        weight.weight[34 * 33 + 7] = f32::NAN;
        bias.bias[34] = f32::NAN;
        for (found, place) in [(outputs(&weight, activation), "weight"), (outputs(&bias, activation), "bias")] {
            for (i, (found, clean)) in found.iter().zip(&clean).enumerate() {
                let right = if i % 35 == 34 { found.is_nan() } else { found == clean };
                assert!(right, "{name}, NaN in {place}, output {i}: {found}");
            }
        }
    }
}

#[test]
fn infinities_pass_through_linear_layers_and_upstream_nan_reaches_every_gradient() {
    let mut wild = layer();
    wild.x[0] = f32::INFINITY;
    let signs: Vec<f32> = wild.weight.iter().step_by(33).map(|w| w * f32::INFINITY).collect();
    assert_eq!(outputs(&wild, Activation::None)[..35], signs, "the sign of the weight that meets it");

    for (name, activation) in ACTIVATIONS {
        let mut wild = layer();
        wild.dy[2 * 35 + 34] = f32::NAN;
        let [_, (_, dx), (_, dw), (_, db)] = wild.run(|x, weight, bias| linear(x, weight, bias, activation));
        assert!(dx[2 * 33..3 * 33].iter().all(|d| d.is_nan()), "{name}, dx of the row");
        assert!(dw[34 * 33..].iter().all(|d| d.is_nan()), "{name}, dw of the column");
        assert!(db[34].is_nan() && db[..34].iter().all(|d| d.is_finite()), "{name}, db: {db:?}");
    }
}

fn matrix(values: Vec<f32>, dims: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, dims), &Device::default().autodiff())
}

#[test]
fn a_likelihood_never_hides_a_logit_that_is_not_finite() {
    for width in [1, 16, 33] {
        for (wild, target) in WILD.into_iter().flat_map(|wild| [0.0, 0.5, 1.0].map(|target| (wild, target))) {
            let mut logits = wave(5, 2 * width);
            logits[width - 1] = wild;
            let logits = matrix(logits, [2, width]).require_grad();
            let loss = bernoulli_nll(logits.clone(), matrix(vec![target; 2 * width], [2, width]));
            let slopes = gradient(&logits, &loss.clone().sum().backward());
            let loss = values(loss);
            assert!(!loss[0].is_finite() && loss[1].is_finite(), "logit {wild}, x {target}: {loss:?}");
            assert_eq!(slopes[width - 1].is_nan(), wild.is_nan(), "slope at {wild}: {}", slopes[width - 1]);
            assert!(slopes[width..].iter().all(|d| d.is_finite()));
        }
        let mut logits = wave(5, width);
        logits[0] = f32::NAN;
        assert!(values(squared_error(matrix(logits, [1, width]), matrix(wave(6, width), [1, width])))[0].is_nan());
    }
    // The sigmoid of an infinite logit is 0 or 1, and so is the error.
    let errors = squared_error(matrix(vec![f32::INFINITY, f32::NEG_INFINITY], [2, 1]), matrix(vec![0.0; 2], [2, 1]));
    assert_eq!(values(errors), [1.0, 0.0]);
}

#[test]
fn latent_terms_explode_in_the_open() {
    // mean, log_var, then what the KL must be; 89 is the first whole number whose exponential float32 cannot hold.
    let cases = [
        (f32::NAN, 0.0, f32::NAN),
        (0.0, f32::NAN, f32::NAN),
        (f32::INFINITY, 0.0, f32::INFINITY),
        (0.0, f32::INFINITY, f32::NAN),
        (0.0, 89.0, f32::INFINITY),
        (0.0, f32::NEG_INFINITY, f32::INFINITY),
        (1e20, 0.0, f32::INFINITY),
    ];
    for (mean, log_var, expected) in cases {
        // Seventeen copies: a whole vector and a rest.
        let [means, log_vars] = [mean, log_var].map(|value| matrix(vec![value; 17], [1, 17]));
        for kl in values(gaussian_kl(means, log_vars)) {
            assert!(kl == expected || (kl.is_nan() && expected.is_nan()), "KL of ({mean}, {log_var}): {kl}");
        }
    }
    let sample = |mean, log_var, noise| {
        values(reparameterize(matrix(vec![mean], [1, 1]), matrix(vec![log_var], [1, 1]), matrix(vec![noise], [1, 1])))
            [0]
    };
    assert_eq!(sample(0.0, 200.0, 1.0), f32::INFINITY);
    assert_eq!(sample(0.0, 200.0, -1.0), f32::NEG_INFINITY);
    assert_eq!(sample(1.5, f32::NEG_INFINITY, 3.0), 1.5);
    assert!(
        sample(f32::NAN, 0.0, 1.0).is_nan()
            && sample(0.0, f32::NAN, 1.0).is_nan()
            && sample(0.0, 0.0, f32::NAN).is_nan()
    );
}

/// The same matrix as a view: transposed twice in memory, or cut out of a larger one.
fn views(tensor: &Tensor<2>) -> [Tensor<2>; 2] {
    let [rows, columns] = tensor.dims();
    let transposed = matrix(values(tensor.clone().transpose()), [columns, rows]).transpose();
    let padding = |rows, columns| Tensor::zeros([rows, columns], &tensor.device());
    let wide = Tensor::cat(vec![padding(rows, 3), tensor.clone(), padding(rows, 2)], 1);
    let all = Tensor::cat(vec![padding(2, columns + 5), wide, padding(1, columns + 5)], 0);
    [transposed, all.slice([2..2 + rows, 3..3 + columns])]
}

#[test]
fn views_give_the_same_bits_as_contiguous_tensors() {
    let (batch, width, latent) = (19, 33, 17);
    let x = matrix(wave(1, batch * width), [batch, width]);
    let target = matrix(wave(2, batch * width), [batch, width]).abs();
    let weight = matrix(wave(3, latent * width), [latent, width]);
    let bias = Tensor::<1>::from_data(TensorData::new(wave(4, latent), [latent]), &x.device());
    let [mean, log_var, noise] = [5, 6, 7].map(|seed| matrix(wave(seed, batch * latent), [batch, latent]));
    let of = |i: Option<usize>| move |tensor: &Tensor<2>| i.map_or(tensor.clone(), |i| views(tensor)[i].clone());
    let all = |i: Option<usize>| {
        let view = of(i);
        // A bias cut out of a longer one.
        let bias =
            i.map_or(bias.clone(), |_| Tensor::cat(vec![bias.clone(), bias.clone()], 0).narrow(0, latent, latent));
        [
            values(linear(view(&x), view(&weight), bias, Activation::Gelu)),
            values(bernoulli_nll(view(&x), view(&target))),
            values(squared_error(view(&x), view(&target))),
            values(gaussian_kl(view(&mean), view(&log_var))),
            values(reparameterize(view(&mean), view(&log_var), view(&noise))),
        ]
    };
    assert_eq!(all(None), all(Some(0)), "transposed");
    assert_eq!(all(None), all(Some(1)), "sliced");
}

#[test]
fn gradients_through_views_and_broadcast_upstreams_are_right() {
    let (batch, inputs, outputs) = (19, 33, 17);
    let gradients = |transposed: bool| {
        let values_x = wave(1, batch * inputs);
        let plain = matrix(values_x, [batch, inputs]);
        let leaf = if transposed { matrix(values(plain.transpose()), [inputs, batch]) } else { plain }.require_grad();
        let x = if transposed { leaf.clone().transpose() } else { leaf.clone() };
        let weight = matrix(wave(2, outputs * inputs), [outputs, inputs]);
        let bias = Tensor::<1>::zeros([outputs], &leaf.device());
        let logits = linear(x, weight, bias, Activation::Tanh);
        // `mean` sends one number back for all rows: an upstream gradient whose rows share memory.
        let loss = bernoulli_nll(logits.transpose(), matrix(wave(3, batch * outputs), [outputs, batch]).abs()).mean();
        let gradient = leaf.grad(&loss.backward()).expect("a gradient");
        values(if transposed { gradient.transpose() } else { gradient })
    };
    assert_eq!(gradients(false), gradients(true));
}

const STEP: AdamStep =
    AdamStep { lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, l2: 0.0, decay: 0.0, gradient_scale: 1.0, time: 1 };

fn vector(values: Vec<f32>) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &Device::default())
}

#[test]
fn a_step_in_place_leaves_what_others_hold_alone() {
    let count = 40;
    let [weight, gradient, m, v] = [1, 2, 3, 4].map(|seed| vector(wave(seed, count)).abs());
    let held = [&weight, &gradient, &m, &v].map(Clone::clone);
    let before = held.clone().map(values);
    let shared = adam(weight, gradient, m, v, &STEP);
    assert_eq!(held.map(values), before, "tensors held elsewhere keep their values");

    let [weight, gradient, m, v] = before.clone().map(vector);
    let alone = adam(weight, gradient, m, v, &STEP);
    assert_ne!(values(alone.weight.clone()), before[0], "the step moved the weight");
    let results = [shared, alone].map(|updated| [updated.weight, updated.m, updated.v].map(values));
    assert_eq!(results[0], results[1], "in place or copied, the same result");
}

#[test]
fn a_step_on_views_takes_their_elements_and_nothing_around_them() {
    let inner = |seed| wave(seed, 40);
    let cut = |values: Vec<f32>| vector([vec![7.0; 5], values, vec![9.0; 3]].concat()).narrow(0, 5, 40);
    let step = |make: &dyn Fn(Vec<f32>) -> Tensor<1>| {
        let v = inner(4).iter().map(|v| v.abs()).collect();
        let updated = adam(make(inner(1)), make(inner(2)), make(inner(3)), make(v), &STEP);
        [updated.weight, updated.m, updated.v].map(values)
    };
    assert_eq!(step(&cut), step(&vector));
    assert_eq!(sum_of_squares(cut(inner(1))), sum_of_squares(vector(inner(1))));
}

#[test]
fn a_gradient_that_is_not_finite_is_reported_wherever_it_is() {
    for count in [1, 15, 16, 17, 33, 100_003] {
        for place in [0, count / 2, count - 1] {
            for wild in WILD {
                let mut gradient = wave(2, count);
                gradient[place] = wild;
                assert!(!sum_of_squares(vector(gradient.clone())).is_finite(), "{wild} at {place} of {count}");
                let zeros = || vector(vec![0.0; count]);
                let updated = adam(vector(wave(1, count)), vector(gradient), zeros(), zeros(), &STEP);
                assert!(!updated.finite, "{wild} at {place} of {count}");
            }
        }
    }
}

#[test]
fn an_update_that_overflows_is_reported() {
    let step = |gradient: f32, lr: f64| {
        let filled = |value: f32| vector(vec![value; 20]);
        adam(filled(1.0), filled(gradient), filled(0.0), filled(0.0), &AdamStep { lr, ..STEP })
    };
    // The square of 1e22 is beyond float32: the second moment becomes infinite, and no checkpoint could hold it.
    let square = step(1e22, 0.1);
    assert!(!square.finite, "second moment {:?}", values(square.v)[0]);
    let weight = step(1.0, 1e39);
    assert!(!weight.finite, "weight {:?}", values(weight.weight)[0]);
    assert!(step(1e18, 0.1).finite);
}

#[test]
fn each_byte_becomes_its_255th() {
    let bytes: Vec<u8> = (0..=255).collect();
    let expected: Vec<f32> = (0..=255u8).map(|byte| (f64::from(byte) / 255.0) as f32).collect();
    assert_eq!(gather_bytes(&bytes, 256, &[0]), expected);

    let rows = gather_bytes(&bytes, 8, &[31, 0, 31, 7]);
    let chosen: Vec<f32> = [31, 0, 31, 7].iter().flat_map(|row| expected[row * 8..row * 8 + 8].to_vec()).collect();
    assert_eq!(rows, chosen, "rows in the order asked, repeated ones too");

    let indices: Vec<u32> = (0..4096).map(|i| i * 5 % 256).collect();
    let many: Vec<f32> = indices.iter().map(|&i| expected[i as usize]).collect();
    assert_eq!(gather_bytes(&bytes, 1, &indices), many);
    assert_eq!(gather_bytes(&bytes, 8, &[]), [0f32; 0]);
}

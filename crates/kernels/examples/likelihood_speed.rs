//! Time of the reconstruction terms with their gradients, fused and as plain Burn operations, on [128, 3 * 32 * 32].
//!
//! `cargo run --release --workspace --example likelihood_speed`

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{Link, Reconstruction, reconstruction, reference};

const BATCH: usize = 128;
const PIXELS: usize = 32 * 32;

/// Best milliseconds of a few forward and backward passes.
fn milliseconds(op: fn(Reconstruction, Tensor<2>, Tensor<2>) -> Tensor<1>, term: Reconstruction) -> f64 {
    let device = Device::default().autodiff();
    let noise = |i: usize| ((i * 7919) % 2003) as f32 / 1001.0 - 1.0;
    let outputs = term.output_channels(3) * PIXELS;
    let parameters: Vec<f32> = (0..BATCH * outputs).map(noise).collect();
    let x: Vec<f32> = (0..BATCH * 3 * PIXELS).map(|i| (i * 31 % 256) as f32 / 255.0).collect();
    let parameters = Tensor::<2>::from_data(TensorData::new(parameters, [BATCH, outputs]), &device).require_grad();
    let x = Tensor::<2>::from_data(TensorData::new(x, [BATCH, 3 * PIXELS]), &device);
    let repeat = || {
        let started = Instant::now();
        let gradients = op(term, parameters.clone(), x.clone()).mean().backward();
        let _ = parameters.grad(&gradients).expect("a gradient");
        started.elapsed().as_secs_f64() * 1e3
    };
    (0..5).map(|_| repeat()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let terms = [
        Reconstruction::Bernoulli,
        Reconstruction::ContinuousBernoulli,
        Reconstruction::Gaussian(Link::Sigmoid),
        Reconstruction::DiscretisedLogistic,
        Reconstruction::LogisticMixture { components: 5, channels: 3 },
        Reconstruction::LogisticMixture { components: 10, channels: 3 },
        Reconstruction::Categorical,
    ];
    for term in terms {
        let (fused, plain) = (milliseconds(reconstruction, term), milliseconds(reference::reconstruction, term));
        println!("{term:?}: {fused:.2} ms fused, {plain:.2} ms plain, {:.1} times", plain / fused);
    }
}

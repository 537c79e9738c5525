//! Stock Burn on its Flex backend, for comparison: the `mlp` and `mlp512` workloads with Burn's own layers, autodiff and Adam.
//!
//! `cargo run --release --example stock_burn -- mlp 8` prints the keys of `elbo bench --json`. The images are noise: speed does not depend on
//! what is in them.

use std::time::Instant;

use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::{Distribution, TensorData};

#[derive(Module, Debug)]
struct Vae {
    fc1: Linear,
    mean: Linear,
    log_var: Linear,
    fc3: Linear,
    fc4: Linear,
}

impl Vae {
    fn init(device: &Device) -> Self {
        let layer = |inputs, outputs| LinearConfig::new(inputs, outputs).init(device);
        Self {
            fc1: layer(784, 400),
            mean: layer(400, 20),
            log_var: layer(400, 20),
            fc3: layer(20, 400),
            fc4: layer(400, 784),
        }
    }

    fn loss(&self, x: Tensor<2>) -> Tensor<1> {
        let batch = x.dims()[0] as f64;
        let h = relu(self.fc1.forward(x.clone()));
        let (mean, log_var) = (self.mean.forward(h.clone()), self.log_var.forward(h));
        let noise = Tensor::random(mean.dims(), Distribution::Normal(0.0, 1.0), &mean.device());
        let z = elbo_kernels::reference::reparameterize(mean.clone(), log_var.clone(), noise);
        let logits = self.fc4.forward(relu(self.fc3.forward(z)));
        let recon = elbo_kernels::reference::bernoulli_nll(logits, x).sum();
        let kl = elbo_kernels::reference::gaussian_kl(mean, log_var).sum();
        (recon + kl) / batch
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let workload = arguments.next().unwrap_or_else(|| "mlp".into());
    let seconds: f64 = arguments.next().and_then(|s| s.parse().ok()).unwrap_or(8.0);
    let batch = if workload == "mlp512" { 512 } else { 128 };
    let device = Device::flex().autodiff();
    let mut model = Vae::init(&device);
    let mut optimizer = AdamConfig::new().with_epsilon(1e-8).init();
    let pixels: Vec<u8> = (0..60_000 * 784).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (began, mut reps, mut start) = (Instant::now(), Vec::new(), 0);
    while reps.len() < 2 || began.elapsed().as_secs_f64() < seconds {
        let (rep, mut images) = (Instant::now(), 0);
        while rep.elapsed().as_secs_f64() < (seconds / 3.0).max(1.0) {
            let bytes = &pixels[start * 784..(start + batch) * 784];
            let values: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / 255.0).collect();
            start = (start + batch) % (60_000 - batch);
            let x = Tensor::<2>::from_data(TensorData::new(values, [batch, 784]), &device);
            let loss = model.loss(x);
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(1e-3, model, gradients);
            images += batch;
        }
        reps.push(images as f64 / rep.elapsed().as_secs_f64());
    }
    let best = reps.iter().copied().fold(0.0, f64::max);
    let list = reps.iter().map(|r| format!("{r:.1}")).collect::<Vec<_>>().join(", ");
    println!(
        "{{\"workload\": \"{workload}\", \"mode\": \"stock-burn\", \"images_per_s\": {best:.1}, \"ms_per_step\": {:.3}, \"reps\": [{list}]}}",
        1e3 * batch as f64 / best
    );
}

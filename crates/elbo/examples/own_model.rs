//! A model of your own: a VAE whose prior and posterior are Laplace distributions, trained by the same loop as the built-in ones and
//! saved as safetensors under its own names.
//!
//! `cargo run --release --example own_model`
//!
//! What it takes: a Burn module, the trait [`Model`] for it, and nothing else. With `q(z|x) = Laplace(mean, scale)` and
//! `p(z) = Laplace(0, 1)`, for each dimension
//!
//! - `KL(q || p) = |mean| + scale * e^(-|mean| / scale) - ln(scale) - 1` (0 at mean 0, scale 1);
//! - `z = mean + scale * l` with `l ~ Laplace(0, 1)`, made from the N(0, 1) noise the trainer gives: of four normals,
//!   `n1 n2 + n3 n4` has exactly that distribution (a random determinant: Nyquist, Rice & Riordan 1954).

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use elbo::data::{self, DataConfig, Validation};
use elbo::distributions::Likelihood;
use elbo::evaluation;
use elbo::models::{Code, Model, ObjectiveConfig, Terms};
use elbo::networks::{Activation, Linear, Mlp};
use elbo::random::{Draws, Purpose};
use elbo::run::{atomic, parameters, weights};
use elbo::training::{EpochEnd, Observer, OptimizerConfig, Stop, Trainer};

/// Field names become parameter names: `encoder.layers.0.weight`, `mean.weight`, `log_scale.weight`, ...
#[derive(Module, Debug)]
struct LaplaceVae {
    encoder: Mlp,
    mean: Linear,
    log_scale: Linear,
    decoder: Mlp,
}

impl LaplaceVae {
    fn init(input: usize, hidden: usize, latent: usize, seed: u64, device: &Device) -> Self {
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        Self {
            encoder: Mlp::init(&[input, hidden], Activation::Silu, Activation::Silu, draws, device),
            mean: Linear::init(hidden, latent, draws, device),
            log_scale: Linear::init(hidden, latent, draws, device),
            decoder: Mlp::init(&[latent, hidden, input], Activation::Silu, Activation::None, draws, device),
        }
    }

    /// Mean and log scale of q(z|x), each `[batch, latent]`.
    fn posterior(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let features = self.encoder.forward(x);
        let mean = self.mean.forward(features.clone(), Activation::None);
        (mean, self.log_scale.forward(features, Activation::None))
    }
}

impl Model for LaplaceVae {
    fn latent(&self) -> usize {
        self.mean.weight.dims()[0]
    }

    /// As many as pixels: read off the first weight, `[hidden, input]`.
    fn input(&self) -> usize {
        let shapes = parameters::shapes(self);
        shapes[0].1[1]
    }

    fn likelihood(&self) -> Likelihood {
        Likelihood::Bernoulli
    }

    /// Four normals make one Laplace draw.
    fn noise_dims(&self) -> usize {
        4 * self.latent()
    }

    /// A Laplace distribution of scale b has variance 2 b^2.
    fn encode(&self, x: Tensor<2>) -> Code {
        let (mean, log_scale) = self.posterior(x);
        Code { mean, log_var: Some(log_scale * 2.0 + std::f64::consts::LN_2) }
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.decoder.forward(z)
    }

    fn terms(&self, x: Tensor<2>, noise: Tensor<2>) -> Terms {
        let (mean, log_scale) = self.posterior(x.clone());
        let scale = log_scale.clone().exp();
        let [n1, n2, n3, n4] = noise.chunk(4, 1).try_into().expect("four equal parts");
        let z = mean.clone() + scale.clone() * (n1 * n2 + n3 * n4);
        let distance = mean.abs();
        let kl = distance.clone() + scale.clone() * (-distance / scale).exp() - log_scale - 1.0;
        Terms { recon: self.likelihood().nll(self.decode(z), x), kl: Some(kl), bound: None }
    }
}

struct Print;

impl Observer for Print {
    fn epoch(&mut self, end: &EpochEnd<'_>) -> elbo::Result<()> {
        let terms = end.record.train;
        println!("epoch {}: recon {:.2} + kl {:.2} nats per image", end.record.epoch, terms.recon, terms.kl);
        Ok(())
    }
}

fn main() -> elbo::Result<()> {
    let config = DataConfig { count: 6_000, validation: Validation::Test, ..Default::default() };
    let data = data::open(&config, 0, &mut |_| {})?;
    let device = elbo::device::choose("cpu")?;
    let model = LaplaceVae::init(784, 256, 10, 0, &device);
    let mut trainer = Trainer::new(model, &data, OptimizerConfig::default(), &device);
    trainer.config.epochs = 5;
    trainer.run(&mut Print, &Stop::new())?;

    let model = trainer.into_model();
    let objective = ObjectiveConfig::default().target();
    for (name, metric) in evaluation::evaluate(&model, &data.test, objective, 0, &device).metrics() {
        println!("test {name:<13} {:8.2} {}", metric.value, metric.unit);
    }
    let tensors = parameters::export(&model);
    atomic::write_file("laplace.safetensors", &weights::to_bytes(&tensors, &Default::default()))?;
    println!("{} tensors in laplace.safetensors, the first is {}", tensors.len(), tensors[0].name);
    Ok(())
}

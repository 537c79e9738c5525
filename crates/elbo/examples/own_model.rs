//! A model of your own: a VAE whose prior and posterior are Laplace distributions, trained by the same loop as the built-in ones and
//! saved as safetensors under its own names.
//!
//! `cargo run --release --example own_model`
//!
//! What it takes: a Burn module; [`Learner`], what the trainer knows of it; [`Model`], what it can do, which [`VectorCode`] and [`Bound`]
//! give for models with one vector code. With `q(z|x) = Laplace(mean, scale)` and
//! `p(z) = Laplace(0, 1)`, for each dimension
//!
//! - `KL(q || p) = |mean| + scale * e^(-|mean| / scale) - ln(scale) - 1` (0 at mean 0, scale 1);
//! - `z = mean + scale * l` with `l ~ Laplace(0, 1)`, made from the N(0, 1) noise of the pass: of four normals,
//!   `n1 n2 + n3 n4` has exactly that distribution (a random determinant: Nyquist, Rice & Riordan 1954).

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use elbo::data::batch::{Batch, Given};
use elbo::data::{self, DataConfig, Validation};
use elbo::distributions::{DiagonalGaussian, Likelihood, Observation};
use elbo::evaluation;
use elbo::models::{Bound, Decode, Encode, Learner, Loss, Model, Posterior, Report, Terms, VectorCode};
use elbo::networks::{Activation, Linear, Mlp, Pass};
use elbo::random::{Draws, Purpose};
use elbo::run::{atomic, parameters, weights};
use elbo::space::Space;
use elbo::training::{EpochEnd, Observer, OptimizerConfig, Stop, Trainer};

/// Field names become parameter names: `encoder.layers.0.weight`, `mean.weight`, `log_scale.weight`, ...
#[derive(Module, Debug)]
struct LaplaceVae {
    encoder: Mlp,
    mean: Linear,
    log_scale: Linear,
    decoder: Mlp,
    observation: Observation,
    /// What is modelled.
    #[module(skip)]
    space: Space,
    /// What it is encoded to.
    #[module(skip)]
    codes: [Space; 1],
}

impl LaplaceVae {
    fn init(space: Space, hidden: usize, latent: usize, seed: u64, device: &Device) -> Self {
        let (input, draws) = (space.numel(), &mut Draws::new(seed, Purpose::Weights, 0, 0));
        Self {
            encoder: Mlp::init(&[input, hidden], Activation::Silu, Activation::Silu, draws, device),
            mean: Linear::init(hidden, latent, draws, device),
            log_scale: Linear::init(hidden, latent, draws, device),
            decoder: Mlp::init(&[latent, hidden, input], Activation::Silu, Activation::None, draws, device),
            observation: Observation::new(Likelihood::Bernoulli, device),
            space,
            codes: [Space::vector(latent)],
        }
    }

    /// Mean and log scale of q(z|x), each `[batch, latent]`.
    fn laplace(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let features = self.encoder.forward(x);
        let mean = self.mean.forward(features.clone(), Activation::None);
        (mean, self.log_scale.forward(features, Activation::None))
    }
}

/// One vector code: encoding, decoding and p(x|z) follow from these.
impl VectorCode for LaplaceVae {
    fn codes(&self) -> &[Space; 1] {
        &self.codes
    }

    fn observed(&self) -> &Observation {
        &self.observation
    }

    /// The Gaussian of the same moments, for metrics and pages: a Laplace distribution of scale b has variance 2 b^2.
    fn posterior(&self, batch: &Batch, _: &Pass) -> Posterior {
        let (mean, log_scale) = self.laplace(batch.x.real());
        Posterior::Gaussian(DiagonalGaussian { mean, log_var: log_scale * 2.0 + std::f64::consts::LN_2 })
    }

    fn parameters(&self, z: Tensor<2>, _: &Given, _: &Pass) -> Tensor<2> {
        self.decoder.forward(z)
    }
}

impl Bound for LaplaceVae {
    fn terms(&self, batch: &Batch, pass: &Pass) -> Terms {
        let (mean, log_scale) = self.laplace(batch.x.real());
        let scale = log_scale.clone().exp();
        // Four normals make one Laplace draw.
        let noise = pass.normals([batch.len(), 4 * mean.dims()[1]], &mean.device());
        let [n1, n2, n3, n4] = noise.chunk(4, 1).try_into().expect("four equal parts");
        let z = mean.clone() + scale.clone() * (n1 * n2 + n3 * n4);
        let distance = mean.abs();
        let kl = distance.clone() + scale.clone() * (-distance / scale).exp() - log_scale - 1.0;
        let recon = self.observation.nll(self.parameters(z, &batch.given, pass), batch.x.real(), pass);
        Terms { recon, kl, bound: None }
    }
}

/// What it can do. It has no [`Decode::prior`]: N(0, I) is not what it was trained towards.
impl Model for LaplaceVae {
    fn space(&self) -> Space {
        self.space
    }

    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn bound(&self) -> Option<&dyn Bound> {
        Some(self)
    }
}

/// What the trainer minimises and reports.
impl Learner for LaplaceVae {
    fn reports(&self) -> &'static [Report] {
        &[Report::RECON, Report::KL]
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        self.objective().at(pass.when()).loss(self.terms(batch, pass))
    }
}

struct Print;

impl Observer for Print {
    fn epoch(&mut self, end: &EpochEnd<'_>) -> elbo::Result<()> {
        let terms: Vec<String> = end.record.train.iter().map(|(name, value)| format!("{name} {value:.2}")).collect();
        println!("epoch {}: {} nats per image", end.record.epoch, terms.join(", "));
        Ok(())
    }
}

fn main() -> elbo::Result<()> {
    let config = DataConfig { count: 6_000, validation: Validation::Test, ..Default::default() };
    let data = data::open(&config, 0, &mut |_| {})?;
    let device = elbo::device::choose("cpu")?;
    let model = LaplaceVae::init([1, 28, 28].into(), 256, 10, 0, &device);
    let mut trainer = Trainer::new(model, &data, OptimizerConfig::default(), &device);
    trainer.config.epochs = 5;
    trainer.run(&mut Print, &Stop::new())?;

    let model = trainer.into_model();
    for (name, metric) in evaluation::evaluate(&model, &data.test, 0, &device)?.metrics() {
        println!("test {name:<13} {:8.2} {}", metric.value, metric.unit);
    }
    let tensors = parameters::export(&model);
    atomic::write_file("laplace.safetensors", &weights::to_bytes(&tensors, &Default::default()))?;
    println!("{} tensors in laplace.safetensors, the first is {}", tensors.len(), tensors[0].name);
    Ok(())
}

//! Variational autoencoder (Kingma & Welling 2013, arXiv:1312.6114; Rezende, Mohamed & Wierstra 2014, arXiv:1401.4082).
//!
//! | paper | here |
//! |---|---|
//! | q(z\|x) = N(mu, sigma^2 I), section 3 | [`Vae::gaussian`]: `mean`, `log_var = log sigma^2` |
//! | z = mu + sigma * eps, eq. 4 | [`DiagonalGaussian::sample`] |
//! | -log p(x\|z), appendix C | [`VectorCode::parameters`] gives its parameters, [`Observation::nll`] the value: `recon` |
//! | KL(q \|\| p), appendix B | [`DiagonalGaussian::kl_to_standard_normal`]: `kl` |
//! | -L, eq. 10 | `recon + kl`, `recon` a mean over L samples: [`Vae::with_samples`], 1 if not called |
//!
//! Departures: the weighting of `kl` (beta, free bits, capacity) is [`super::Objective`]'s; the encoder predicts log sigma^2 with no clamp.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::keys::{MAX_SAMPLES, check_samples, likelihood_keys};
use super::vector_code::{Bodies, Facts};
use super::{
    Architecture, Bound, Capability, Decode, Encode, Family, Generate, Learner, LikelihoodKeys, Loss, Model,
    ObjectiveConfig, Posterior, Report, Setting, Terms, VectorCode,
};
use crate::data::batch::{Batch, Given};
use crate::distributions::{DiagonalGaussian, Observation, mean_over};
use crate::error::Result;
use crate::networks::{Activation, Decoder, Encoder, LayerSummary, Linear, Pass, When};
use crate::space::Space;

likelihood_keys! {
    /// The `[model]` table of `kind = "vae"`.
    VaeConfig {
        /// L: draws of the posterior for each example.
        samples: usize = 1,
    }
}

/// The model. In PyTorch: `encoder.layers`, `mean`, `log_var`, `decoder.layers`.
#[derive(Module, Debug)]
pub struct Vae {
    encoder: Encoder,
    mean: Linear,
    log_var: Linear,
    decoder: Decoder,
    observation: Observation,
    #[module(skip)]
    facts: Facts,
    #[module(skip)]
    samples: usize,
}

impl Vae {
    /// A model with PyTorch's initial weights, drawn from `seed`.
    ///
    /// # Panics
    /// If the network cannot take the shape: [`crate::networks::NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use elbo::data::batch::Batch;
    /// use elbo::distributions::Likelihood;
    /// use elbo::models::{Architecture, Bound, Vae};
    /// use elbo::networks::{NetworkConfig, Pass};
    ///
    /// let (device, network) = (Device::default(), NetworkConfig::default());
    /// let vae = Vae::init(&Architecture::new([1, 28, 28], 20, &network, Likelihood::Bernoulli), 0, &device);
    /// let terms = vae.terms(&Batch::of(Tensor::zeros([8, 784], &device)), &Pass::still());
    /// assert_eq!((terms.recon.dims(), terms.kl.dims()), ([8], [8, 20]));
    /// ```
    pub fn init(architecture: &Architecture<'_>, seed: u64, device: &Device) -> Self {
        let Bodies { encoder, heads: [mean, log_var], decoder, observation } = architecture.bodies(0, seed, device);
        Self { encoder, mean, log_var, decoder, observation, facts: Facts::of(architecture), samples: 1 }
    }

    /// The same with `samples` draws of the posterior for each example.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn with_samples(self, samples: usize) -> Self {
        assert!(samples > 0, "an estimate of no samples");
        Self { samples, ..self }
    }

    /// The same with another weighting of its terms.
    #[must_use]
    pub fn with_objective(mut self, objective: ObjectiveConfig) -> Self {
        self.facts.objective = objective;
        self
    }

    /// q(z|x) = N(mean, diag(e^log_var)).
    pub fn gaussian(&self, batch: &Batch, pass: &Pass) -> DiagonalGaussian {
        let features = self.encoder.forward(batch.x.real(), pass);
        DiagonalGaussian {
            mean: self.mean.forward(features.clone(), Activation::None),
            log_var: self.log_var.forward(features, Activation::None),
        }
    }
}

impl Bound for Vae {
    fn terms(&self, batch: &Batch, pass: &Pass) -> Terms {
        let posterior = self.gaussian(batch, pass); // q(z|x)
        let kl = posterior.kl_to_standard_normal();
        let noise = self.facts.noise(&posterior.mean, self.samples, pass);
        let (posterior, x, noise) = posterior.repeated(self.samples, batch.x.real(), noise);
        let z = posterior.sample(noise); // z ~ q(z|x)
        let parameters = self.parameters(z, &batch.given, pass); // p(x|z)
        let recon = mean_over(self.samples, self.observation.nll(parameters, x, pass));
        Terms { recon, kl, bound: None }
    }

    fn objective(&self) -> ObjectiveConfig {
        self.facts.objective
    }
}

impl VectorCode for Vae {
    fn codes(&self) -> &[Space; 1] {
        self.facts.codes()
    }

    fn observed(&self) -> &Observation {
        &self.observation
    }

    fn posterior(&self, batch: &Batch, pass: &Pass) -> Posterior {
        Posterior::Gaussian(self.gaussian(batch, pass))
    }

    fn parameters(&self, z: Tensor<2>, _: &Given, pass: &Pass) -> Tensor<2> {
        self.decoder.forward(z, pass)
    }

    fn all_but_last(&self, z: Tensor<2>, _: &Given) -> Option<(Tensor<2>, &Linear)> {
        self.decoder.all_but_last(z)
    }

    fn codes_at_once(&self) -> usize {
        self.decoder.codes_at_once()
    }

    fn code_prior(&self) -> Option<&dyn Generate> {
        Some(&self.facts.prior)
    }
}

impl Model for Vae {
    fn space(&self) -> Space {
        self.facts.space
    }

    fn examples_at_once(&self) -> usize {
        self.facts.examples_at_once(self.samples)
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

impl Learner for Vae {
    fn reports(&self) -> &'static [Report] {
        VaeConfig::REPORTS
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        self.facts.objective.at(pass.when()).loss(self.terms(batch, pass))
    }

    fn weights(&self, when: When) -> Vec<(&'static str, f64)> {
        vec![("beta", self.facts.objective.at(when).beta)]
    }
}

impl Family for VaeConfig {
    const KIND: &'static str = "vae";
    const ABOUT: &'static str =
        "a variational autoencoder: encodes, decodes, bounds the likelihood, samples from N(0, I)";
    const CAN: &'static [Capability] =
        &[Capability::Encode, Capability::Decode, Capability::Prior, Capability::Observe, Capability::Bound];
    const KEYS: &'static [&'static str] = Self::KEYS;
    const REPORTS: &'static [Report] = &[Report::RECON, Report::KL];
    type Learner = Vae;

    fn title(&self) -> String {
        if self.samples == 1 { "VAE".into() } else { format!("VAE (L = {})", self.samples) }
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        check_samples(self.samples, MAX_SAMPLES)?;
        self.shared().check(setting.network, setting.space)
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        Ok(setting.architecture(&self.shared())?.layers(&["mean", "log_var"], 0))
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<Vae> {
        let vae = Vae::init(&setting.architecture(&self.shared())?, seed, device);
        Ok(vae.with_samples(self.samples).with_objective(*setting.loss))
    }

    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        Some(self.shared())
    }
}

//! Importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2015, arXiv:1509.00519).
//!
//! | paper | here |
//! |---|---|
//! | w_i = p(x, z_i) / q(z_i\|x), section 3 | [`Bound::terms`]: `log_w` |
//! | L_k = E[log 1/k sum_i w_i], eq. 8 | `bound` (negated), from the log-mean-exp of `log_w` |
//! | its gradient weights sample i by w_i / sum_j w_j, eq. 14 | automatic differentiation of `bound` |
//! | the doubly reparameterized gradient, Tucker et al. 2018, arXiv:1810.04152, eq. 8 | `dreg`: [`Iwae::with_dreg`] |
//!
//! Departures: `recon` and `kl` are reported as a VAE's, means over the k samples and in closed form, so that they compare; the loss is -L_k, not their
//! sum. The weights enter the gradient as they come from the bound: the best sample counts most, never the worst.

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation::softmax};

use super::keys::{MAX_SAMPLES, check_samples, likelihood_keys};
use super::vector_code::{Bodies, Facts};
use super::{
    Architecture, Bound, Capability, Decode, Encode, Family, Generate, Learner, LikelihoodKeys, Loss, Model,
    ObjectiveConfig, Posterior, Report, Setting, Terms, VectorCode,
};
use crate::data::batch::{Batch, Given};
use crate::distributions::{DiagonalGaussian, Observation, mean_over};
use crate::error::{Error, Result};
use crate::networks::{Activation, Decoder, Encoder, LayerSummary, Linear, Pass, When};
use crate::space::Space;

likelihood_keys! {
    /// The `[model]` table of `kind = "iwae"`.
    IwaeConfig {
        /// k: draws of the posterior for each example.
        samples: usize = 1,
        /// Whether the encoder gets the doubly reparameterized gradient.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        dreg: bool = false,
    }
}

/// The model: a VAE's networks under another bound. In PyTorch: `encoder.layers`, `mean`, `log_var`, `decoder.layers`.
#[derive(Module, Debug)]
pub struct Iwae {
    encoder: Encoder,
    mean: Linear,
    log_var: Linear,
    decoder: Decoder,
    observation: Observation,
    #[module(skip)]
    facts: Facts,
    #[module(skip)]
    samples: usize,
    #[module(skip)]
    dreg: bool,
}

impl Iwae {
    /// A model whose bound takes `samples` draws of the posterior, with PyTorch's initial weights, drawn from `seed`.
    ///
    /// # Panics
    /// If `samples` is 0, or the network cannot take the shape: [`crate::networks::NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::data::batch::Batch;
    /// use elbo::distributions::Likelihood;
    /// use elbo::models::{Architecture, Bound, Iwae};
    /// use elbo::networks::{NetworkConfig, Pass};
    ///
    /// let (device, network) = (elbo::device::choose("cpu")?, NetworkConfig::default());
    /// let architecture = Architecture::new([1, 28, 28], 20, &network, Likelihood::Bernoulli);
    /// let iwae = Iwae::init(&architecture, 5, 0, &device);
    /// let terms = iwae.terms(&Batch::of(Tensor::zeros([8, 784], &device)), &Pass::still());
    /// assert_eq!(terms.bound.unwrap().dims(), [8]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(architecture: &Architecture<'_>, samples: usize, seed: u64, device: &Device) -> Self {
        assert!(samples > 0, "a bound of no samples");
        let Bodies { encoder, heads: [mean, log_var], decoder, observation } = architecture.bodies(0, seed, device);
        let facts = Facts::of(architecture);
        Self { encoder, mean, log_var, decoder, observation, facts, samples, dreg: false }
    }

    /// The same with the doubly reparameterized gradient for the encoder: no bias, and a variance that does not grow with k. Costs a second pass through
    /// the decoder.
    #[must_use]
    pub fn with_dreg(self, dreg: bool) -> Self {
        Self { dreg, ..self }
    }

    /// q(z|x) = N(mean, diag(e^log_var)).
    pub fn gaussian(&self, batch: &Batch, pass: &Pass) -> DiagonalGaussian {
        let features = self.encoder.forward(batch.x.real(), pass);
        DiagonalGaussian {
            mean: self.mean.forward(features.clone(), Activation::None),
            log_var: self.log_var.forward(features, Activation::None),
        }
    }

    /// `-log p(x|z)` and `log w = log p(x|z) + log p(z) - log q(z|x)` of rows of samples.
    fn weigh(&self, q: &DiagonalGaussian, z: Tensor<2>, x: Tensor<2>, pass: &Pass) -> (Tensor<1>, Tensor<1>) {
        let recon = self.observation.nll(self.decoder.forward(z.clone(), pass), x, pass);
        // The constants of the two Gaussians cancel.
        let squares = (z.clone() - q.mean.clone()).square() / q.log_var.clone().exp();
        let prior_over_posterior = (squares + q.log_var.clone() - z.square()).sum_dim(1).squeeze_dim::<1>(1) * 0.5;
        let log_w = prior_over_posterior - recon.clone();
        (recon, log_w)
    }
}

impl Bound for Iwae {
    fn terms(&self, batch: &Batch, pass: &Pass) -> Terms {
        let k = self.samples;
        let posterior = self.gaussian(batch, pass); // q(z|x)
        let kl = posterior.kl_to_standard_normal();
        let noise = self.facts.noise(&posterior.mean, k, pass);
        let (q, x, noise) = posterior.repeated(k, batch.x.real(), noise);
        let z = q.sample(noise); // z_i ~ q(z|x)
        let (recon, log_w) = self.weigh(&q, z.clone(), x.clone(), pass);
        let log_w = log_w.reshape([batch.len(), k]);
        let mut bound = log_mean_exp(log_w.clone()); // L_k
        if self.dreg && pass.trains() {
            let weights = softmax(log_w, 1).detach(); // w_i / sum_j w_j
            let rows = weights.clone().reshape([batch.len() * k, 1]);
            // The gradient that reaches the encoder through z is weighted once more.
            let z = z.clone() * rows.clone() + z.detach() * (rows.neg() + 1.0);
            let constant = DiagonalGaussian { mean: q.mean.detach(), log_var: q.log_var.detach() };
            let (_, log_w) = self.weigh(&constant, z, x, pass);
            let slope = (weights * log_w.reshape([batch.len(), k])).sum_dim(1).squeeze_dim::<1>(1);
            bound = bound.detach() + slope.clone() - slope.detach(); // the bound's value, the estimator's gradient
        }
        Terms { recon: mean_over(k, recon), kl, bound: Some(bound.neg()) }
    }

    fn has_own_objective(&self) -> bool {
        true
    }
}

impl VectorCode for Iwae {
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

impl Model for Iwae {
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

impl Learner for Iwae {
    fn reports(&self) -> &'static [Report] {
        IwaeConfig::REPORTS
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        self.facts.objective.at(pass.when()).loss(self.terms(batch, pass))
    }

    fn weights(&self, when: When) -> Vec<(&'static str, f64)> {
        vec![("beta", self.facts.objective.at(when).beta)]
    }
}

impl Family for IwaeConfig {
    const KIND: &'static str = "iwae";
    const ABOUT: &'static str = "an importance-weighted autoencoder: a VAE under a tighter bound";
    const CAN: &'static [Capability] =
        &[Capability::Encode, Capability::Decode, Capability::Prior, Capability::Observe, Capability::Bound];
    const KEYS: &'static [&'static str] = Self::KEYS;
    const REPORTS: &'static [Report] = &[Report::RECON, Report::KL];
    type Learner = Iwae;

    fn title(&self) -> String {
        format!("IWAE (k = {})", self.samples)
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        check_samples(self.samples, MAX_SAMPLES)?;
        self.shared().check(setting.network, setting.space)?;
        if *setting.loss != ObjectiveConfig::default() {
            let help = "leave [loss] away, or set `model.kind = \"vae\"`";
            return Err(Error::config("loss", "nothing: `iwae` minimises its own bound", "weights of a KL term", help));
        }
        Ok(())
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        Ok(setting.architecture(&self.shared())?.layers(&["mean", "log_var"], 0))
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<Iwae> {
        let iwae = Iwae::init(&setting.architecture(&self.shared())?, self.samples, seed, device);
        Ok(iwae.with_dreg(self.dreg))
    }

    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        Some(self.shared())
    }
}

/// `log (1/k) sum_i e^values_i` of each row, without overflow.
///
/// # Shapes
/// - `values`: `[n, k]`
/// - returns: `[n]`
fn log_mean_exp(values: Tensor<2>) -> Tensor<1> {
    let k = values.dims()[1] as f64;
    let largest = values.clone().max_dim(1).detach();
    let sum = (values - largest.clone()).exp().sum_dim(1);
    (sum.log() + largest - k.ln()).squeeze_dim::<1>(1)
}

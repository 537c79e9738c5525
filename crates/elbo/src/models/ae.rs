//! Autoencoder (Hinton & Salakhutdinov 2006, Science 313:504): compress to a code, reconstruct from it.
//!
//! | symbol | here |
//! |---|---|
//! | code `c = f(x)` | [`VectorCode::posterior`], a point |
//! | `p(x\|c)` | [`VectorCode::parameters`] |
//! | loss `-log p(x\|c)` | [`Learner::loss`], `recon`; there is no KL term |
//!
//! Nothing shapes the distribution of the codes, so samples from N(0, I) mean little here: that is the difference to [`super::Vae`].

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::keys::{check_samples, likelihood_keys};
use super::vector_code::{Bodies, Facts};
use super::{
    Architecture, Capability, Decode, Encode, Family, Learner, LikelihoodKeys, Loss, Model, Posterior, Report, Setting,
    VectorCode,
};
use crate::data::batch::{Batch, Given};
use crate::distributions::Observation;
use crate::error::Result;
use crate::networks::{Activation, Decoder, Encoder, LayerSummary, Linear, Pass};
use crate::space::Space;

likelihood_keys! {
    /// The `[model]` table of `kind = "ae"`.
    AeConfig {
        /// Draws of the posterior for each example; 1, for there is nothing to draw.
        samples: usize = 1,
    }
}

/// The model. In PyTorch: `encoder.layers`, `code`, `decoder.layers`.
#[derive(Module, Debug)]
pub struct Ae {
    encoder: Encoder,
    code: Linear,
    decoder: Decoder,
    observation: Observation,
    #[module(skip)]
    facts: Facts,
}

impl Ae {
    /// A model with PyTorch's initial weights, drawn from `seed`.
    ///
    /// # Panics
    /// If the network cannot take the shape: [`crate::networks::NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::data::batch::Batch;
    /// use elbo::distributions::{Likelihood, Link};
    /// use elbo::models::{Ae, Architecture, Encode};
    /// use elbo::networks::NetworkConfig;
    ///
    /// let (device, network) = (elbo::device::choose("cpu")?, NetworkConfig::default());
    /// let likelihood = Likelihood::Sse { link: Link::Sigmoid };
    /// let ae = Ae::init(&Architecture::new([1, 28, 28], 2, &network, likelihood), 0, &device);
    /// assert_eq!(ae.encode(&Batch::of(Tensor::zeros([8, 784], &device))).mean().dims(), [8, 2]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(architecture: &Architecture<'_>, seed: u64, device: &Device) -> Self {
        let Bodies { encoder, heads: [code], decoder, observation } = architecture.bodies(0, seed, device);
        Self { encoder, code, decoder, observation, facts: Facts::of(architecture) }
    }
}

impl VectorCode for Ae {
    fn codes(&self) -> &[Space; 1] {
        self.facts.codes()
    }

    fn observed(&self) -> &Observation {
        &self.observation
    }

    fn posterior(&self, batch: &Batch, pass: &Pass) -> Posterior {
        Posterior::Point(self.code.forward(self.encoder.forward(batch.x.real(), pass), Activation::None))
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
}

impl Model for Ae {
    fn space(&self) -> Space {
        self.facts.space
    }

    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }
}

impl Learner for Ae {
    fn reports(&self) -> &'static [Report] {
        // Files have had a column of zeros for the KL that an autoencoder does not have; readers of them rely on it.
        AeConfig::REPORTS
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        let parameters = self.parameters(self.posterior(batch, pass).mean(), &batch.given, pass);
        let recon = self.observation.nll(parameters, batch.x.real(), pass).mean();
        Loss { total: recon.clone(), reports: vec![recon.clone(), recon.detach().zeros_like()] }
    }

    fn weights(&self, when: crate::networks::When) -> Vec<(&'static str, f64)> {
        vec![("beta", self.facts.objective.at(when).beta)]
    }
}

impl Family for AeConfig {
    const KIND: &'static str = "ae";
    const ABOUT: &'static str = "an autoencoder: encodes and reconstructs, has no prior over codes";
    const CAN: &'static [Capability] = &[Capability::Encode, Capability::Decode, Capability::Observe];
    const KEYS: &'static [&'static str] = Self::KEYS;
    const REPORTS: &'static [Report] = &[Report::RECON, Report::KL];
    type Learner = Ae;

    fn title(&self) -> String {
        "autoencoder".into()
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        check_samples(self.samples, 1)?;
        self.shared().check(setting.network, setting.space)
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        Ok(setting.architecture(&self.shared())?.layers(&["code"], 0))
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<Ae> {
        let mut ae = Ae::init(&setting.architecture(&self.shared())?, seed, device);
        ae.facts.objective = *setting.loss;
        Ok(ae)
    }

    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        Some(self.shared())
    }
}

//! Conditional variational autoencoder (Sohn, Lee & Yan 2015, "Learning structured output representation using deep conditional generative models").
//!
//! | paper | here |
//! |---|---|
//! | recognition network q(z\|x, y), section 3 | [`Cvae::gaussian`] |
//! | generation network p(x\|z, y) | [`VectorCode::parameters`] |
//! | bound, eq. 4 | `recon + kl` of [`Bound::terms`] |
//!
//! `y` is the class of the example. A fully connected network gets it as one-hot values beside the example and beside the code. A network of maps
//! gets eight further channels, a learned embedding of the class that is the same at each pixel, and the same eight values beside the code.
//! Departure: the prior is N(0, I) for every class, p(z|y) = p(z), as in the paper's experiments without a prior network.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::keys::{MAX_SAMPLES, check_samples, likelihood_keys};
use super::vector_code::{Bodies, Facts};
use super::{
    Architecture, Bound, Capability, Decode, Encode, Family, Generate, Learner, LikelihoodKeys, Loss, Model,
    ObjectiveConfig, Posterior, Report, Setting, Terms, VectorCode,
};
use crate::data::batch::{Batch, Given, Needs};
use crate::distributions::{DiagonalGaussian, Observation, mean_over};
use crate::error::{Error, Result};
use crate::networks::{Activation, Decoder, Encoder, LayerSummary, Linear, NetworkConfig, Pass, When};
use crate::random::{Draws, Purpose};
use crate::space::Space;

likelihood_keys! {
    /// The `[model]` table of `kind = "cvae"`.
    CvaeConfig {
        /// L: draws of the posterior for each example.
        samples: usize = 1,
    }
}

/// Values of a class's embedding in networks of maps.
const EMBEDDING: usize = 8;

/// The model. In PyTorch: `encoder.layers`, `mean`, `log_var`, `decoder.layers`, and `class_embedding.weight` in networks of maps.
#[derive(Module, Debug)]
pub struct Cvae {
    encoder: Encoder,
    mean: Linear,
    log_var: Linear,
    decoder: Decoder,
    observation: Observation,
    class_embedding: Option<ClassEmbedding>,
    #[module(skip)]
    classes: usize,
    #[module(skip)]
    facts: Facts,
    #[module(skip)]
    samples: usize,
}

/// A row of numbers for each class.
#[derive(Module, Debug)]
struct ClassEmbedding {
    /// `[classes, 8]`.
    weight: Param<Tensor<2>>,
}

impl Cvae {
    /// A model of `classes` classes with initial weights drawn from `seed`: PyTorch's, N(0, 1) for the embedding of classes.
    ///
    /// # Panics
    /// If there are no classes, or the network cannot take the shape: [`crate::networks::NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::data::batch::{Batch, Given};
    /// use elbo::distributions::Likelihood;
    /// use elbo::models::{Architecture, Bound, Cvae};
    /// use elbo::networks::{NetworkConfig, Pass};
    ///
    /// let (device, network) = (elbo::device::choose("cpu")?, NetworkConfig::default());
    /// let cvae = Cvae::init(&Architecture::new([1, 28, 28], 20, &network, Likelihood::Bernoulli), 10, 0, &device);
    /// let sevens = Batch { x: Tensor::zeros([8, 784], &device).into(), given: Given::of_class(7, 8, &device) };
    /// assert_eq!(cvae.terms(&sevens, &Pass::still()).kl.dims(), [8, 20]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(architecture: &Architecture<'_>, classes: usize, seed: u64, device: &Device) -> Self {
        assert!(classes > 0, "a condition of no classes");
        let conditions = conditions(architecture, classes);
        let Bodies { encoder, heads: [mean, log_var], decoder, observation } =
            architecture.bodies(conditions, seed, device);
        let class_embedding = is_of_maps(architecture).then(|| {
            let draws = Draws::new(seed, Purpose::Weights, 0, 2).normals(classes * EMBEDDING);
            ClassEmbedding { weight: Param::from_data(TensorData::new(draws, [classes, EMBEDDING]), device) }
        });
        let facts = Facts::of(architecture);
        Self { encoder, mean, log_var, decoder, observation, class_embedding, classes, facts, samples: 1 }
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

    /// q(z|x, y) = N(mean, diag(e^log_var)).
    pub fn gaussian(&self, batch: &Batch, pass: &Pass) -> DiagonalGaussian {
        let features = self.encoder.forward(self.beside_examples(batch), pass);
        DiagonalGaussian {
            mean: self.mean.forward(features.clone(), Activation::None),
            log_var: self.log_var.forward(features, Activation::None),
        }
    }

    /// The condition of each example. `[batch, classes]` one-hot, or `[batch, 8]` embedded.
    ///
    /// # Panics
    /// If no classes are given; [`Model::needs`] asks for them.
    fn condition(&self, given: &Given) -> Tensor<2> {
        let class = given.class.clone().expect("a batch with the classes that the model needs");
        match &self.class_embedding {
            Some(embedding) => embedding.weight.val().select(0, class),
            None => one_hot(class, self.classes),
        }
    }

    /// Examples with their condition: values after the last, or channels that hold one number each.
    fn beside_examples(&self, batch: &Batch) -> Tensor<2> {
        let condition = self.condition(&batch.given);
        if self.class_embedding.is_none() {
            return Tensor::cat(vec![batch.x.real(), condition], 1);
        }
        let [_, height, width] = self.facts.space.shape;
        let channels = condition.unsqueeze_dim::<3>(2).repeat_dim(2, height * width);
        Tensor::cat(vec![batch.x.real(), channels.reshape([batch.len(), EMBEDDING * height * width])], 1)
    }

    /// Codes with their condition.
    fn beside_codes(&self, z: Tensor<2>, given: &Given) -> Tensor<2> {
        Tensor::cat(vec![z, self.condition(given)], 1)
    }
}

/// 1 at the class of each row, 0 elsewhere; Burn's own asks for two classes at least. `[n, classes]`.
fn one_hot(class: Tensor<1, Int>, classes: usize) -> Tensor<2> {
    let all = Tensor::<1, Int>::arange(0..classes as i64, &class.device()).unsqueeze_dim::<2>(0);
    let n = class.dims()[0];
    class.unsqueeze_dim::<2>(1).repeat_dim(1, classes).equal(all.repeat_dim(0, n)).float()
}

/// Whether the networks are of maps, which get an embedding instead of one-hot values.
fn is_of_maps(architecture: &Architecture<'_>) -> bool {
    !matches!(architecture.network, NetworkConfig::Mlp(_))
}

/// How many values a class becomes.
fn conditions(architecture: &Architecture<'_>, classes: usize) -> usize {
    if is_of_maps(architecture) { EMBEDDING } else { classes }
}

impl Bound for Cvae {
    fn terms(&self, batch: &Batch, pass: &Pass) -> Terms {
        let posterior = self.gaussian(batch, pass); // q(z|x, y)
        let kl = posterior.kl_to_standard_normal();
        let noise = self.facts.noise(&posterior.mean, self.samples, pass);
        let (posterior, x, noise) = posterior.repeated(self.samples, batch.x.real(), noise);
        let z = posterior.sample(noise); // z ~ q(z|x, y)
        let parameters = self.parameters(z, &batch.given.repeated(self.samples), pass); // p(x|z, y)
        let recon = mean_over(self.samples, self.observation.nll(parameters, x, pass));
        Terms { recon, kl, bound: None }
    }

    fn objective(&self) -> ObjectiveConfig {
        self.facts.objective
    }
}

impl VectorCode for Cvae {
    fn codes(&self) -> &[Space; 1] {
        self.facts.codes()
    }

    fn observed(&self) -> &Observation {
        &self.observation
    }

    fn posterior(&self, batch: &Batch, pass: &Pass) -> Posterior {
        Posterior::Gaussian(self.gaussian(batch, pass))
    }

    fn parameters(&self, z: Tensor<2>, given: &Given, pass: &Pass) -> Tensor<2> {
        self.decoder.forward(self.beside_codes(z, given), pass)
    }

    fn all_but_last(&self, z: Tensor<2>, given: &Given) -> Option<(Tensor<2>, &Linear)> {
        self.decoder.all_but_last(self.beside_codes(z, given))
    }

    fn codes_at_once(&self) -> usize {
        self.decoder.codes_at_once()
    }

    fn code_prior(&self) -> Option<&dyn Generate> {
        Some(&self.facts.prior)
    }
}

impl Model for Cvae {
    fn space(&self) -> Space {
        self.facts.space
    }

    fn needs(&self) -> Needs {
        Needs { class: true, ..Needs::default() }
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

impl Learner for Cvae {
    fn reports(&self) -> &'static [Report] {
        CvaeConfig::REPORTS
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        self.facts.objective.at(pass.when()).loss(self.terms(batch, pass))
    }

    fn weights(&self, when: When) -> Vec<(&'static str, f64)> {
        vec![("beta", self.facts.objective.at(when).beta)]
    }
}

impl Family for CvaeConfig {
    const KIND: &'static str = "cvae";
    const ABOUT: &'static str = "a conditional VAE: told the class, it encodes style and draws examples of a class";
    const CAN: &'static [Capability] =
        &[Capability::Encode, Capability::Decode, Capability::Prior, Capability::Observe, Capability::Bound];
    const KEYS: &'static [&'static str] = Self::KEYS;
    const REPORTS: &'static [Report] = &[Report::RECON, Report::KL];
    type Learner = Cvae;

    fn title(&self) -> String {
        if self.samples == 1 { "CVAE".into() } else { format!("CVAE (L = {})", self.samples) }
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        check_samples(self.samples, MAX_SAMPLES)?;
        self.shared().check(setting.network, setting.space)?;
        if setting.classes == 0 {
            let help = "give a folder with a sub-folder for each class, a table with `data.label`, or use `vae`";
            return Err(Error::config("model.kind", "data with classes for `cvae`", "data without", help));
        }
        Ok(())
    }

    fn needs(&self) -> Needs {
        Needs { class: true, ..Needs::default() }
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        let architecture = setting.architecture(&self.shared())?;
        let mut layers = architecture.layers(&["mean", "log_var"], conditions(&architecture, setting.classes));
        if is_of_maps(&architecture) {
            layers.push(LayerSummary::table("class_embedding", setting.classes, EMBEDDING));
        }
        Ok(layers)
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<Cvae> {
        let cvae = Cvae::init(&setting.architecture(&self.shared())?, setting.classes, seed, device);
        Ok(cvae.with_samples(self.samples).with_objective(*setting.loss))
    }

    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        Some(self.shared())
    }
}

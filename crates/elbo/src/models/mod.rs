//! The models: one file each, reading like its paper, and what they share.
//!
//! Two traits carry everything. [`Learner`] is what the trainer knows of a model: its loss, the names of its terms, what it needs of a batch.
//! [`Model`] is what everybody else knows: what a trained model *can do*. It is object-safe, and each of its methods gives a capability or none.
//!
//! | capability | asked by | gives |
//! |---|---|---|
//! | [`Encode`] | [`Model::encoder`] | codes of examples |
//! | [`Decode`] | [`Model::decoder`] | examples of codes; its [`Decode::prior`] and [`Decode::observation`] |
//! | [`Bound`] | [`Model::bound`] | the terms of an evidence lower bound |
//! | [`Density`] | [`Model::density`] | exact log-probabilities of rows |
//! | [`Generate`] | [`Model::generator`] | new rows, step by step |
//! | [`Embed`] | [`Model::embedder`] | pictures and texts in one space |
//!
//! A family of models is one file here and one line in [`registry`](ModelConfig); models share `networks/` and never import a sibling. To write a
//! model of your own, implement [`Model`] and [`Learner`] for your module; [`VectorCode`] gives the usual capabilities around one vector code.
//!
//! ```
//! use elbo::data::batch::Batch;
//! use elbo::models::{Architecture, Model, Show, Vae};
//! use elbo::networks::NetworkConfig;
//! use elbo::distributions::Likelihood;
//! use burn::tensor::Tensor;
//!
//! let device = elbo::device::choose("cpu")?;
//! let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
//! let model: &dyn Model = &vae;
//! let code = model.encoder().unwrap().encode(&Batch::of(Tensor::zeros([8, 784], &device)));
//! let x = model.decoder().unwrap().decode(&[code.mean().into()], &Default::default(), Show::Mean)?;
//! assert_eq!(x.real().dims(), [8, 784]);
//! # Ok::<(), elbo::Error>(())
//! ```

mod ae;
mod autoregressive;
mod capability;
mod cvae;
mod iwae;
mod keys;
mod maf;
mod objective;
mod quantised;
mod reading;
mod registry;
mod standard_normal;
mod vae;
mod vector_code;
mod vq_vae;
mod vq_vae_2;

use std::fmt::Debug;

use burn::module::Module;
use burn::tensor::Tensor;

use crate::data::batch::{Batch, Needs};
use crate::networks::{Pass, When};
use crate::space::Space;

pub use ae::{Ae, AeConfig};
pub use autoregressive::{Autoregressive, AutoregressiveConfig};
pub use capability::{
    Ask, Bound, Capability, Decode, Density, Discrete, Embed, Encode, Generate, Generating, KeptSymbols, Observe,
    Posterior, Quantised, Show, Terms,
};
pub use cvae::{Cvae, CvaeConfig};
pub use iwae::{Iwae, IwaeConfig};
pub use keys::{InitialWeights, LikelihoodKeys, LikelihoodName, MAX_LATENT, MAX_PARAMETERS, MAX_SAMPLES, OutputBias};
pub use maf::{Maf, MafConfig};
pub use objective::{Capacity, Objective, ObjectiveConfig};
pub use quantised::{QuantisedArchitecture, QuantisedKeys};
pub(crate) use reading::WholeConfig;
pub use registry::{Family, KINDS, Kind, ModelConfig, Setting, Visit};
pub use standard_normal::StandardNormal;
pub use vae::{Vae, VaeConfig};
pub use vector_code::{Architecture, VectorCode};
pub use vq_vae::{VqVae, VqVaeConfig};
pub use vq_vae_2::{VqVae2, VqVae2Config};

/// A number that training reports: a column of `metrics.csv`, a curve, a word in the progress line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Its name in files, lower case, for example `recon`.
    pub name: &'static str,
    /// Its unit, for example `nats per example`.
    pub unit: &'static str,
    /// What it is, as a formula or a phrase.
    pub definition: &'static str,
}

impl Report {
    /// The reconstruction term, `-E_q[log p(x|z)]`.
    pub const RECON: Self = Self { name: "recon", unit: "nats per example", definition: "-E_q[log p(x|z)]" };
    /// `KL(q(z|x) || p(z))`.
    pub const KL: Self = Self { name: "kl", unit: "nats per example", definition: "KL(q(z|x) || p(z)), unweighted" };
    /// What the optimiser minimises; every model reports it last.
    pub const LOSS: Self = Self { name: "loss", unit: "nats per example", definition: "what the optimiser minimises" };
}

/// The loss of a batch, and what is reported of it. Each number is a mean over the batch.
#[derive(Debug, Clone)]
pub struct Loss {
    /// What the optimiser minimises. `[1]`.
    pub total: Tensor<1>,
    /// The numbers of [`Learner::reports`], in their order. `[1]` each.
    pub reports: Vec<Tensor<1>>,
}

/// What a model may look at before its first step: where a codebook starts, for example.
pub struct Beginning<'a> {
    /// Of all draws.
    pub seed: u64,
    /// Examples of a training batch.
    pub batch_size: usize,
    /// So many random training examples at most, in batches of so many.
    pub examples: &'a dyn Fn(usize, usize) -> Vec<Batch>,
}

/// One optimiser's share of a training step: which parameters it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    /// Name, as in `[optimizer.NAME]` and `optimizer.NAME.safetensors`; the first needs none.
    pub name: &'static str,
    /// Beginnings of the names of its parameters; an empty list stands for all.
    pub parameters: &'static [&'static str],
}

impl Update {
    /// One optimiser over all parameters.
    pub const ALL: &'static [Self] = &[Self { name: "all", parameters: &[] }];

    /// Whether a parameter of this name is moved.
    pub fn moves(&self, parameter: &str) -> bool {
        self.parameters.is_empty() || self.parameters.iter().any(|start| parameter.starts_with(start))
    }
}

/// A module that the trainer trains. Generic, never `dyn`: the optimiser updates its weights in place.
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::Tensor;
/// use elbo::data::batch::{Batch, Given};
/// use elbo::distributions::{DiagonalGaussian, Likelihood, Link, Observation};
/// use elbo::models::{Bound, Decode, Encode, Learner, Loss, Model, ObjectiveConfig, Posterior, Report, Terms, VectorCode};
/// use elbo::networks::{Activation::None as Identity, Linear, Pass};
/// use elbo::random::{Draws, Purpose};
/// use elbo::space::Space;
///
/// /// A VAE without hidden layers: probabilistic PCA, learned.
/// #[derive(Module, Debug)]
/// struct LinearVae {
///     mean: Linear,
///     log_var: Linear,
///     decoder: Linear,
///     observation: Observation,
///     #[module(skip)]
///     codes: [Space; 1],
/// }
///
/// impl VectorCode for LinearVae {
///     fn codes(&self) -> &[Space; 1] { &self.codes }
///     fn observed(&self) -> &Observation { &self.observation }
///     fn posterior(&self, batch: &Batch, _: &Pass) -> Posterior {
///         let [mean, log_var] = [&self.mean, &self.log_var].map(|head| head.forward(batch.x.real(), Identity));
///         Posterior::Gaussian(DiagonalGaussian { mean, log_var })
///     }
///     fn parameters(&self, z: Tensor<2>, _: &Given, _: &Pass) -> Tensor<2> { self.decoder.forward(z, Identity) }
/// }
///
/// impl Bound for LinearVae {
///     fn terms(&self, batch: &Batch, pass: &Pass) -> Terms {
///         let posterior = self.posterior(batch, pass).gaussian();
///         let z = posterior.sample(pass.normals(posterior.mean.dims(), &posterior.mean.device()));
///         let recon = self.observation.nll(self.parameters(z, &batch.given, pass), batch.x.real(), pass);
///         Terms { recon, kl: posterior.kl_to_standard_normal(), bound: None }
///     }
/// }
///
/// impl Model for LinearVae {
///     fn space(&self) -> Space { Space::vector(self.mean.weight.dims()[1]) }
///     fn encoder(&self) -> Option<&dyn Encode> { Some(self) }
///     fn decoder(&self) -> Option<&dyn Decode> { Some(self) }
///     fn bound(&self) -> Option<&dyn Bound> { Some(self) }
/// }
///
/// impl Learner for LinearVae {
///     fn reports(&self) -> &'static [Report] { &[Report::RECON, Report::KL] }
///     fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss { self.objective().at(pass.when()).loss(self.terms(batch, pass)) }
/// }
///
/// let (device, draws) = (elbo::device::choose("cpu")?, &mut Draws::new(0, Purpose::Weights, 0, 0));
/// let likelihood = Likelihood::Gaussian { sigma: 0.1, link: Link::Identity };
/// let [mean, log_var] = [(); 2].map(|()| Linear::init(16, 2, draws, &device));
/// let (decoder, observation) = (Linear::init(2, 16, draws, &device), Observation::new(likelihood, &device));
/// let model = LinearVae { mean, log_var, decoder, observation, codes: [Space::vector(2)] };
/// let terms = model.terms(&Batch::of(Tensor::ones([5, 16], &device)), &Pass::still());
/// assert_eq!((terms.recon.dims(), terms.kl.dims()), ([5], [5, 2]));
/// # Ok::<(), elbo::Error>(())
/// ```
pub trait Learner: Module + Model {
    /// The numbers it reports, in the order of [`Loss::reports`]; the loss itself comes after them.
    fn reports(&self) -> &'static [Report];

    /// The parts of a training step, one optimiser each.
    fn updates(&self) -> &'static [Update] {
        Update::ALL
    }

    /// The loss of a batch for the update of this place in [`Learner::updates`].
    fn loss(&self, update: usize, batch: &Batch, pass: &Pass) -> Loss;

    /// The model as its first step finds it, for what starts from the data. It is called once, before the first step, and never for a run that is
    /// taken up again.
    fn begun(self, _beginning: &Beginning<'_>) -> Self
    where
        Self: Sized,
    {
        self
    }

    /// Weights that schedules move, by name, as they are at a moment: a column each. `beta` of models with a KL term.
    fn weights(&self, _when: When) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// A trained model. What it cannot do is `None`, never a panic or a flag.
pub trait Model: Send + Sync + Debug {
    /// What it models: the space of its examples.
    fn space(&self) -> Space;

    /// What a batch must carry beside the examples.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Examples of one batch when nothing is learned: fewer where each is taken with many samples, so that a decoder sees about as many rows.
    fn examples_at_once(&self) -> usize {
        512
    }

    /// Itself as an encoder of examples.
    fn encoder(&self) -> Option<&dyn Encode> {
        None
    }

    /// Itself as a decoder of codes.
    fn decoder(&self) -> Option<&dyn Decode> {
        None
    }

    /// Itself as a lower bound on log p(x).
    fn bound(&self) -> Option<&dyn Bound> {
        None
    }

    /// Itself as an exact density.
    fn density(&self) -> Option<&dyn Density> {
        None
    }

    /// Itself as a generator of examples.
    fn generator(&self) -> Option<&dyn Generate> {
        None
    }

    /// Itself as an encoder to entries of codebooks.
    fn discrete(&self) -> Option<&dyn Discrete> {
        None
    }

    /// Itself as a space of pictures and texts.
    fn embedder(&self) -> Option<&dyn Embed> {
        None
    }
}

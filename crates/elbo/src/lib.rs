//! Variational autoencoders: models, training, evaluation and generation, in one crate whose types follow the papers.
//!
//! The name is the Evidence Lower BOund that every model here maximises. The `elbo` command is this library behind flags: what it does, Rust code
//! can do.
//!
//! | you want | start at |
//! |---|---|
//! | a run with checkpoints and a report, as `elbo train` makes | [`tasks::TrainingRun`] |
//! | a saved run, to sample from or encode with | [`Run`] |
//! | the training loop alone, in memory | [`training::Trainer`] |
//! | a model of your own | [`models::Learner`], [`models::Model`] |
//! | data: built in, by name, from IDX files, or your own | [`data::open`], [`data::Source`] |
//! | loss terms on a split, codes | [`evaluation`] |
//! | Gaussian mixtures of any rows | [`mixtures::fit`] |
//! | where new codes come from: mixtures, flows, second stages | [`priors::Sampler`] |
//! | samples, traversals, interpolations, manifolds; charts and pages | [`generation`], [`report`] |
//! | weights to and from other tools | [`run::weights`] |
//!
//! ```
//! use elbo::data::{self, DataConfig};
//! use elbo::distributions::Likelihood;
//! use elbo::models::{Architecture, Vae};
//! use elbo::networks::NetworkConfig;
//! use elbo::training::{OptimizerConfig, Quiet, Stop, Trainer};
//!
//! let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
//! let device = elbo::device::choose("cpu")?;
//! let network = NetworkConfig::default();
//! let vae = Vae::init(&Architecture::new([1, 28, 28], 20, &network, Likelihood::Bernoulli), 0, &device);
//! let mut trainer = Trainer::new(vae, &data, OptimizerConfig::default(), &device);
//! trainer.config.epochs = 2;
//! trainer.run(&mut Quiet, &Stop::new())?;
//! let terms = &trainer.state.history[1].train;
//! assert!((terms.loss() + terms.elbo().unwrap()).abs() < 1e-3); // with beta = 1 the loss is the negative bound
//! # Ok::<(), elbo::Error>(())
//! ```
//!
//! **Units.** Loss terms are sums over dimensions and means over examples, in nats: `recon` is -E[log p(x|z)], `kl` is KL(q(z|x) || p(z)),
//! `loss = recon + beta * kl` is minimised, `elbo = -(recon + kl)` is the bound. Encoders give log *variances*.
//!
//! **Randomness** is explicit: every draw is a function of (seed, purpose, epoch, step), see [`random`]. Equal seeds give equal bytes, on any number of
//! threads, interrupted or not.
//!
//! **Tensors** are Burn's. Pin the same version, `burn = "=0.22.1"`, with `default-features = false`. Nothing here is generic over a backend: a
//! [`device`] is chosen at run time. The features `wgpu`, `vulkan` and `cuda` add GPUs; the default build has the CPU alone.
//!
//! **Failures** are one enum, [`Error`], whose fields name place, expectation, finding and cure. What a user can get wrong returns it; tensor
//! arithmetic behind a checked configuration panics, under `# Panics`. Nothing is ever printed.
#![deny(missing_docs)]

pub mod data;
pub mod device;
pub mod diffusion;
pub mod distributions;
pub mod error;
pub mod evaluation;
pub mod generation;
pub mod mixtures;
pub mod models;
pub mod networks;
mod parallel;
pub mod priors;
pub mod projection;
pub mod random;
pub mod recipe;
pub mod reference;
pub mod report;
pub mod run;
pub mod shell;
pub mod space;
mod suggest;
pub mod tasks;
pub mod tensors;
pub mod text;
pub mod training;

pub use error::{Error, ErrorKind, Result};
pub use recipe::Recipe;
pub use tasks::Run;

/// The examples of the two READMEs, run with those of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../README.md")]
struct Readme;

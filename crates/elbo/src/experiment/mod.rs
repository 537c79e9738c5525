//! A run from configuration to report: what the `elbo` command does, as a library.
//!
//! [`Experiment`] trains in a run directory; [`Trained`] is a saved run, loaded to look at, sample from or measure.
//!
//! ```
//! use elbo::experiment::{Experiment, Trained};
//! use elbo::generation;
//! use elbo::recipe::Layers;
//! use elbo::training::{Quiet, Stop};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! let mut layers = Layers::from_recipe("digits")?;
//! for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]", "model.latent=2"] {
//!     layers.set(setting)?;
//! }
//! let (path, device) = (folder.path().join("run"), elbo::device::choose("cpu")?);
//! let experiment = Experiment::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
//! experiment.train(&mut Quiet, &Stop::new())?;
//! assert!(path.join("report.html").is_file());
//!
//! let run = Trained::load(&path, None, &device)?;
//! let samples = generation::sample(&run.model, run.shape, 16, 1.0, 0, &run.device);
//! assert_eq!(samples.len(), 16);
//! # Ok::<(), elbo::Error>(())
//! ```

mod benchmark;
mod feature_space;
mod initial;
mod judge;
mod memory;
mod pages;
mod recorder;
mod sampler_distance;
mod sampler_page;
mod samplers;
mod score;
mod session;
mod tables;
mod trained;
mod trends;

pub use benchmark::{Bench, Measured, Pipeline, Workload, bench};
pub use feature_space::FeatureName;
pub use judge::{Judgement, Request, Stage, describe_metrics, judge, limited, metric_names};
pub use memory::peak_memory_mb;
pub use pages::{compare, write_report};
pub use sampler_page::{ComparedSampler, ComparedSamplers, SamplerComparison, compare_samplers};
pub use samplers::{FitSettings, SamplerNote};
pub use score::{Score, ScoreColumn, ScoreRequest, Scored, score};
pub use session::{Experiment, Finished};
pub use trained::{OwnData, Trained, held_out};
pub use trends::trends;

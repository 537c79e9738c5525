//! A run from configuration to report: what the `elbo` command does, as a library.
//!
//! [`TrainingRun`] trains in a run directory; [`Run`] is a saved run, loaded to look at, sample from or measure.
//!
//! ```
//! use elbo::tasks::{TrainingRun, Run};
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
//! let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
//! training.train(&mut Quiet, &Stop::new())?;
//! assert!(path.join("report.html").is_file());
//!
//! let run = Run::open(&path, None, &device)?;
//! let samples = generation::sample(&run.decoder("example")?, 16, 1.0, 0);
//! assert_eq!(samples.len(), 16);
//! # Ok::<(), elbo::Error>(())
//! ```

mod benchmark;
mod code_pictures;
mod code_report;
mod codes;
mod evaluate;
mod feature_space;
mod initial;
mod measure;
mod memory;
mod plots;
mod rate;
mod reading;
mod recorder;
mod report;
mod run;
mod sample;
mod sampler_distance;
mod sampler_page;
mod samplers;
mod score;
mod stages;
mod tables;
mod train;
mod trends;

pub use benchmark::{Bench, Measured, Pipeline, Workload, bench};
pub use code_pictures::codebook_pictures;
pub use evaluate::{
    ClassTerms, MetricsProgress, MetricsReport, MetricsRequest, describe_metrics, evaluate, limited, metric_names,
};
pub use feature_space::FeatureName;
pub use measure::{Measure, caution, comparable, has_elbo};
pub use memory::peak_memory_mb;
pub use rate::DepthTerms;
pub use reading::{OwnData, Reading, Shown};
pub use report::{compare, write_report};
pub use run::{Run, held_out};
pub use sample::SampleRequest;
pub use sampler_page::{ComparedSampler, ComparedSamplers, ComparisonListeners, SamplerComparison, compare_samplers};
pub use samplers::{FitRequest, FitSettings, FittedMixture, SamplerNote, SymbolPrior};
pub use score::{Examined, Score, ScoreColumn, ScoreRequest, Scored, score};
pub use stages::next_stage;
pub use train::{Finished, ResumeRequest, TrainingRun};
pub use trends::trends;

//! How good is it: loss terms on a split, and what the encoder does to it.
//!
//! ```
//! # use elbo::data::{self, DataConfig};
//! # use elbo::distributions::Likelihood;
//! # use elbo::models::{Architecture, Vae};
//! # use elbo::networks::NetworkConfig;
//! # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
//! # let device = elbo::device::choose("cpu")?;
//! # let network = NetworkConfig::mlp(&[32]);
//! use elbo::evaluation;
//!
//! let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
//! let evaluation = evaluation::evaluate(&vae, &data.test, 0, &device)?;
//! for (name, metric) in evaluation.metrics() {
//!     println!("{name:<13} {:.2} +- {:.2} {}", metric.value, metric.stderr.unwrap_or(0.0), metric.unit);
//! }
//! let codes = evaluation::encode(&vae, &data.test, &device)?;
//! assert_eq!((evaluation.n(), codes.n()), (33, 33));
//! # Ok::<(), elbo::Error>(())
//! ```

mod anomaly;
mod clustering;
mod code_places;
mod codebook;
mod codes;
mod coverage;
mod disentanglement;
mod doctor;
mod elbo;
mod embedding;
mod features;
mod frechet;
mod generation;
mod importance;
mod inception;
mod information;
mod kernel_distance;
mod memorisation;
mod metric;
mod points;
mod probe;
mod ranking;
mod regularity;
mod similarity;

pub use anomaly::{Mahalanobis, Threshold, reconstruction_errors, typicality};
pub use clustering::{adjusted_rand_index, normalised_mutual_information};
pub use code_places::CodeExample;
pub use codebook::{CodeLevel, CodePatch, CodeUse, code_patches, code_use, examine_codes, level_names};
pub(crate) use codes::encode_while;
pub use codes::{ACTIVE_THRESHOLD, Codes, encode, encode_values};
pub use coverage::{Coverage, NEIGHBOURS, coverage};
pub use disentanglement::{Disentanglement, Importances, Representation, disentanglement};
pub use doctor::{ModelFinding, Patient, examine};
pub(crate) use elbo::evaluate_while;
pub use elbo::{Evaluation, evaluate};
pub use embedding::{Embedding, embedding};
pub use features::{FeatureSpace, PCA_COMPONENTS};
pub use frechet::{Moments, frechet_distance};
pub use generation::generation_metrics;
pub use importance::{ImportanceSampling, ImportanceWeighted, importance_weighted};
pub use inception::Inception;
pub use information::{Information, information};
pub use kernel_distance::kernel_distances;
pub use memorisation::{Memorisation, nearest_codes, nearest_images};
pub use metric::Metric;
pub(crate) use metric::{mean, stderr};
pub use points::Features;
pub use probe::LinearProbe;
pub use ranking::{Ranking, ranking};
pub use regularity::{noise_tolerance, recon_gap};
pub use similarity::{Similarity, similarity};

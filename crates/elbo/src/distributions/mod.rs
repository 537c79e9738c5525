//! Distributions of the latent code and of the data, everything in nats.
//!
//! ```
//! use burn::tensor::Tensor;
//! use elbo::distributions::{DiagonalGaussian, Likelihood};
//!
//! let device = elbo::device::choose("cpu")?;
//! let (mean, log_var) = (Tensor::zeros([5, 2], &device), Tensor::zeros([5, 2], &device));
//! let posterior = DiagonalGaussian { mean, log_var };
//! assert_eq!(posterior.kl_to_standard_normal().dims(), [5, 2]);
//! assert_eq!(Likelihood::Bernoulli.unit(), "nats per example");
//! # Ok::<(), elbo::Error>(())
//! ```

mod draws;
mod gaussian;
mod likelihood;
mod means;
mod observation;
mod suitability;
mod surrogates;

pub use gaussian::{DiagonalGaussian, mean_over};
pub use likelihood::{Likelihood, Link, MAX_COMPONENTS, MIN_LEARNED_SCALE};
pub use observation::Observation;
pub use suitability::{Bits, Suitability};
pub use surrogates::{MIN_SIDE as MIN_SIMILARITY_SIDE, ms_ssim, ssim};

//! Batch normalisation with its activation, over the last dimension of anything: images with channels last, or rows of features.
//!
//! Written out, `y = activation(gamma (x - mean) / sqrt(variance + eps) + beta)` is a dozen passes over memory forwards and more backwards. Here it is
//! two forwards (statistics, result) and two backwards (sums, gradient). Nothing but `x` is kept: what the activation saw follows from `x`
//! and four numbers per channel, cheaper than reading it back.
//!
//! Running statistics are the caller's: a layer that changes when it is used is hard to save, to resume and to understand.

#[cfg(feature = "tensors")]
mod extension;
#[cfg(feature = "tensors")]
mod ops;
#[cfg(feature = "tensors")]
pub(crate) mod reference;
pub(crate) mod statistics;
pub(crate) mod transform;

#[cfg(feature = "tensors")]
pub use ops::{batch_norm, batch_norm_inference};

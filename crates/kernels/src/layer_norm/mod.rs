//! Layer normalisation and root-mean-square normalisation of rows.
//!
//! Each is one pass over memory forwards and one backwards: a row stays in the first-level cache
//! while its statistics are taken and used. Two numbers a row are kept for the way back. Rows know
//! nothing of each other, so training and inference are the same.

#[cfg(feature = "tensors")]
mod extension;
#[cfg(feature = "tensors")]
mod ops;
#[cfg(feature = "tensors")]
pub(crate) mod reference;
mod rows;

#[cfg(feature = "tensors")]
pub use ops::{layer_norm, rms_norm};

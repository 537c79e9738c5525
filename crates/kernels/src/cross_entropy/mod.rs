//! `-ln softmax(logits)[target]` of rows, and its gradient in the same pass over the logits.
//!
//! The gradient of a row is `softmax(logits)`, less 1 at the target. The exponentials that the value
//! needs are the gradient but for a factor, so keeping them saves a second pass, and the row is still
//! in the first cache when it is scaled.

#[cfg(feature = "tensors")]
mod extension;
#[cfg(feature = "tensors")]
mod ops;
#[cfg(feature = "tensors")]
pub(crate) mod reference;
mod rows;

#[cfg(feature = "tensors")]
pub use ops::cross_entropy;

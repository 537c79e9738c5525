//! Group normalisation with its activation, over images with channels last.
//!
//! One example at a time it is [`crate::batch_norm`] with statistics shared by the channels of a group, so it runs on the same passes over memory. Nothing
//! depends on the other examples of the batch: training and inference are the same, and there is nothing to keep running.

#[cfg(feature = "tensors")]
mod extension;
mod kernel;
#[cfg(feature = "tensors")]
mod ops;
#[cfg(feature = "tensors")]
pub(crate) mod reference;

#[cfg(feature = "tensors")]
pub use ops::group_norm;

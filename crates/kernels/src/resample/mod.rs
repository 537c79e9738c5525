//! Images made larger and smaller by whole factors, with the channels last: nearest upsampling and average pooling.
//!
//! Each is the other's gradient but for a factor, so two kernels serve both: [`kernel::spread`] and [`kernel::gather`].

#[cfg(feature = "tensors")]
mod extension;
mod kernel;
#[cfg(feature = "tensors")]
mod ops;
#[cfg(feature = "tensors")]
pub(crate) mod reference;

#[cfg(feature = "tensors")]
pub use ops::{average_pool, upsample_nearest};

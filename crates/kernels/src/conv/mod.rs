//! Convolutions over images in `[batch, height, width, channels]` order, with bias and activation, forwards and backwards.
//!
//! Three kernels serve both layers: [`to_map`], [`to_image`] and [`weight_gradient`]; [`shape`] explains the names. All three rest on one
//! product whose left operand is read through tables of places ([`product`]), with AVX-512, with AVX2 or portably. What is in memory keeps PyTorch's orientation of
//! weights, so files need no change; each call packs them anew, a few percent of its time.
//!
//! Channels last is a decision: a pixel's channels are one vector, a row of a window is one run of memory, and bias, activation and batch
//! statistics pass over memory in order. Strides and paddings may differ between the axes. No dilation and no groups: no model here has
//! them.

#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) mod avx2;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) mod avx512;
pub(crate) mod channels;
mod engine;
mod epilogue;
#[cfg(feature = "tensors")]
mod extension;
mod few_channels;
mod flipped;
mod one_dimension;
#[cfg(feature = "tensors")]
mod ops;
#[cfg(test)]
mod oracle;
mod panels;
mod portable;
mod product;
#[cfg(feature = "tensors")]
pub(crate) mod reference;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod register_block;
pub(crate) mod scratch;
mod shape;
mod tiling;
mod to_image;
mod to_map;
mod weight_gradient;

#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use engine::Gather;
pub use one_dimension::{Conv1dGeometry, ConvTranspose1dGeometry};
#[cfg(feature = "tensors")]
pub use ops::{conv_transpose1d, conv_transpose2d, conv1d, conv2d};
pub use shape::{ConvGeometry, ConvTransposeGeometry, Stride};

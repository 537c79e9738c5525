//! Scaled dot-product attention that never holds more than a tile of scores (Dao et al. 2022, arXiv:2205.14135).
//!
//! The forward pass keeps one number for each query, the logarithm of its sum of exponentials; the
//! backward pass computes each tile of probabilities again. Five sixths of the time are products of
//! tiles ([`engine`]). One head of one example is one part of the work, in both directions, so
//! every sum has one owner and one order.
//!
//! Tensors are `[batch, tokens, heads, width]`: what a dense layer gives for `[batch * tokens,
//! heads * width]` is one by a change of shape alone, and so is what the next layer takes. Heads
//! are gathered where they are used, from any strides.

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod avx2;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod avx512;
mod backward;
mod cached;
mod engine;
#[cfg(feature = "tensors")]
mod extension;
mod forward;
mod head;
#[cfg(feature = "tensors")]
mod ops;
#[cfg(test)]
mod oracle;
#[cfg(feature = "tensors")]
pub(crate) mod reference;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod register_tile;
mod shape;
pub(crate) mod softmax;
mod tile;

pub use cached::{CacheShape, KeyValueCache};
#[cfg(feature = "tensors")]
pub use ops::{attention, self_attention};

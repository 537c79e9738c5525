//! Fused CPU operations for variational autoencoders, as an extension of Burn's Flex backend.
//!
//! Each operation is one forward and one backward pass over memory where plain tensor code takes many: a layer with bias and
//! activation, a likelihood with its gradient, the latent terms, Adam in place. On Flex with float32 the fused form runs; on any other
//! device the same function runs its twin in [`mod@reference`], so model code never asks where it is.
//!
//! This crate knows no model. It decides one thing for all of them: work is cut by shape alone, never by the number of threads, so a result is the same
//! to the last bit on one thread and on sixteen.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use elbo_kernels::{Activation, linear, reference};
//!
//! let device = Device::default();
//! let x = Tensor::<2>::from_data([[1.0, -2.0]], &device);
//! let weight = Tensor::<2>::from_data([[3.0, 1.0]], &device);
//! let bias = Tensor::<1>::from_data([0.5], &device);
//! let fused = linear(x.clone(), weight.clone(), bias.clone(), Activation::Tanh);
//! let plain = reference::linear(x, weight, bias, Activation::Tanh);
//! assert!((fused - plain).abs().into_scalar::<f32>() < 1e-6);
//! ```

#![cfg_attr(not(feature = "tensors"), allow(dead_code, reason = "only the tests of the slices call them then"))]

mod activation;
mod adam;
mod aggregate;
#[cfg(feature = "mimalloc")]
mod allocator;
mod attention;
mod batch_norm;
mod bf16;
mod binarize;
mod by_entry;
mod codebook;
mod conv;
mod cross_entropy;
mod curve;
#[cfg(feature = "tensors")]
mod embedding;
#[cfg(feature = "tensors")]
mod extension;
mod fresh;
mod gather;
mod group_norm;
mod latent;
mod layer_norm;
mod likelihood;
mod linear;
mod mapped;
mod matrix;
#[cfg(feature = "tensors")]
mod ops;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod packed;
mod pool;
#[cfg(feature = "tensors")]
pub mod reference;
mod resample;
mod scratch;
pub mod simd;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod skipping;
mod staged;
#[cfg(feature = "tensors")]
mod upstream;

pub use activation::{Activation, LEAKY_SLOPE};
pub use adam::AdamStep;
#[cfg(feature = "tensors")]
pub use adam::{Parameter, Updated, adam, adam_all, adam_reference, sum_of_squares};
pub use aggregate::{DiagonalPosteriors, LogDensity};
#[cfg(feature = "mimalloc")]
pub use allocator::keep_freed_memory;
pub use attention::{CacheShape, KeyValueCache};
#[cfg(feature = "tensors")]
pub use attention::{attention, self_attention};
#[cfg(feature = "tensors")]
pub use batch_norm::{batch_norm, batch_norm_inference};
pub use bf16::{Precision, has_bf16, with_precision};
pub use binarize::{BinaryDraw, binarize_bytes, gather_bytes_binarized, gather_bytes_binarized_reference};
#[cfg(feature = "tensors")]
pub use codebook::{code_statistics, nearest_entries, nearest_entries_reference};
pub use conv::{Conv1dGeometry, ConvGeometry, ConvTranspose1dGeometry, ConvTransposeGeometry, Stride};
#[cfg(feature = "tensors")]
pub use conv::{conv_transpose1d, conv_transpose2d, conv1d, conv2d};
#[cfg(feature = "tensors")]
pub use cross_entropy::cross_entropy;
#[cfg(feature = "tensors")]
pub use embedding::embedding;
pub use gather::{gather_bytes, unit_from_bytes};
#[cfg(feature = "tensors")]
pub use group_norm::group_norm;
#[cfg(feature = "tensors")]
pub use layer_norm::{layer_norm, rms_norm};
pub use likelihood::{LEVELS, Link, MIN_LOG_SCALE, MIN_LOG_VAR, Reconstruction};
pub use linear::peak_gflops;
pub use mapped::map_file;
#[cfg(feature = "tensors")]
pub use ops::{
    bernoulli_nll, gaussian_kl, linear, linear_reconstruction, reconstruction, reparameterize, squared_error,
};
pub use pool::{run as parallel, set_threads, threads};
#[cfg(feature = "tensors")]
pub use resample::{average_pool, upsample_nearest};
#[cfg(feature = "tensors")]
pub use upstream::backward_from;

//! Fused CPU operations for variational autoencoders, as an extension of Burn's Flex backend.
//!
//! Each operation is one forward and one backward pass over memory where plain tensor code takes many: a layer with bias and
//! activation, a likelihood with its gradient, the latent terms, Adam in place. On Flex with float32 the fused form runs; on any other
//! device the same function runs its twin in [`reference`], so model code never asks where it is.
//!
//! This crate knows no model. It decides one thing for all of them: work is cut by shape alone, never by the number of threads, so a result is the same
//! to the last bit on one thread and on sixteen.

mod activation;
mod adam;
mod extension;
mod gather;
mod latent;
mod likelihood;
mod linear;
mod ops;
mod pool;
pub mod reference;
pub mod simd;

pub use activation::{Activation, LEAKY_SLOPE};
pub use adam::{AdamStep, Updated, adam, adam_reference, sum_of_squares};
pub use gather::{gather_bytes, unit_from_bytes};
pub use ops::{bernoulli_nll, gaussian_kl, linear, reparameterize, squared_error};
pub use pool::{run as parallel, set_threads, threads};

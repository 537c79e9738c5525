//! The models: one file each, reading like its paper, and what they share.
//!
//! [`Model`] is all that training, evaluation and generation know of a model, and it is object-safe: those that only look take `&dyn Model`.
//! Training also needs Burn's `Module` to reach the weights. To write your own model, implement [`Model`] for your module; `examples/own_model.rs`
//! does it in one page.

mod ae;
mod choice;
mod objective;
mod vae;

use burn::tensor::Tensor;

use crate::distributions::Likelihood;

pub use ae::Ae;
pub use choice::{AnyModel, LikelihoodName, ModelConfig, ModelKind};
pub use objective::{Capacity, Objective, ObjectiveConfig, Weighted};
pub use vae::Vae;

/// What an encoder says about a batch.
#[derive(Debug, Clone)]
pub struct Code {
    /// Mean of q(z|x), or an autoencoder's code. `[batch, latent]`.
    pub mean: Tensor<2>,
    /// Log variance of q(z|x); none for an autoencoder. `[batch, latent]`.
    pub log_var: Option<Tensor<2>>,
}

/// The two terms of the loss, before they are weighted or averaged.
#[derive(Debug, Clone)]
pub struct Terms {
    /// `-log p(x|z)` of each example, summed over dimensions. `[batch]`.
    pub recon: Tensor<1>,
    /// `KL(q(z|x) || p(z))` by example and latent dimension; none for an autoencoder. `[batch, latent]`.
    pub kl: Option<Tensor<2>>,
}

/// An encoder and a decoder around a latent code.
pub trait Model {
    /// Dimensions of the code.
    fn latent(&self) -> usize;

    /// Values of one example.
    fn input(&self) -> usize;

    /// What the decoder's output means.
    fn likelihood(&self) -> Likelihood;

    /// Draws from N(0, 1) that [`Model::terms`] wants for each example; 0 for a deterministic model.
    fn noise_dims(&self) -> usize {
        self.latent()
    }

    /// q(z|x).
    ///
    /// # Shapes
    /// - `x`: `[batch, input]`, values in [0, 1]
    fn encode(&self, x: Tensor<2>) -> Code;

    /// The parameters of p(x|z): one logit for each value.
    ///
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, input]`
    fn decode(&self, z: Tensor<2>) -> Tensor<2>;

    /// Both terms of the loss for a batch, with the noise given.
    ///
    /// # Shapes
    /// - `x`: `[batch, input]`
    /// - `noise`: `[batch, noise_dims]`, from N(0, 1)
    fn terms(&self, x: Tensor<2>, noise: Tensor<2>) -> Terms;

    /// E[x|z]: what a picture of the decoded code shows.
    ///
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, input]`, values in [0, 1]
    fn decode_mean(&self, z: Tensor<2>) -> Tensor<2> {
        self.likelihood().mean(self.decode(z))
    }
}

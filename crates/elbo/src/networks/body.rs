//! Any of the bodies, so that a model does not care which it has.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::distributions::Likelihood;

use super::{ConvDecoder, ConvEncoder, Mlp, ResnetDecoder, ResnetEncoder};

/// From data to features.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one or two values per model; Burn's derive takes no boxes")]
pub enum Encoder {
    /// Fully connected layers.
    Mlp(Mlp),
    /// Strided convolutions.
    Conv(ConvEncoder),
    /// Residual blocks.
    Resnet(ResnetEncoder),
}

impl Encoder {
    /// # Shapes
    /// - `x`: `[batch, input]`
    /// - returns: `[batch, features]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Mlp(body) => body.forward(x),
            Self::Conv(body) => body.forward(x),
            Self::Resnet(body) => body.forward(x),
        }
    }
}

/// From a code to logits.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one or two values per model; Burn's derive takes no boxes")]
pub enum Decoder {
    /// Fully connected layers.
    Mlp(Mlp),
    /// Transposed convolutions.
    Conv(ConvDecoder),
    /// Residual blocks.
    Resnet(ResnetDecoder),
}

impl Decoder {
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, input]`
    pub fn forward(&self, z: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Mlp(body) => body.forward(z),
            Self::Conv(body) => body.forward(z),
            Self::Resnet(body) => body.forward(z),
        }
    }

    /// `-log p(x|z)` of each code, as [`Likelihood::nll`] of [`Decoder::forward`].
    ///
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - `x`: `[batch, input]` or `[batch / r, input]`, see [`Likelihood::nll`]
    /// - returns: `[batch]`
    pub fn nll(&self, z: Tensor<2>, likelihood: &Likelihood, x: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Mlp(body) => body.nll(z, likelihood, x),
            Self::Conv(_) | Self::Resnet(_) => likelihood.nll(self.forward(z), x),
        }
    }

    /// Codes that [`Decoder::nll`] takes at once fastest: fully connected layers read their weights once for all of them, while images of several channels
    /// should stay near the core.
    pub fn codes_at_once(&self) -> usize {
        match self {
            Self::Mlp(_) => 1024,
            Self::Conv(_) | Self::Resnet(_) => 256,
        }
    }
}

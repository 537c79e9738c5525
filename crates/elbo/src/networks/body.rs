//! Any of the bodies, so that a model does not care which it has.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{ConvDecoder, ConvEncoder, Linear, Mlp, Pass, ResnetDecoder, ResnetEncoder};

/// From data to features.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one or two values per model; Burn's derive takes no boxes")]
#[non_exhaustive]
pub enum Encoder {
    /// Fully connected layers.
    Mlp(Mlp),
    /// Strided convolutions, each of which halves the image.
    Conv(ConvEncoder),
    /// Residual blocks between strided convolutions.
    Resnet(ResnetEncoder),
}

impl Encoder {
    /// # Shapes
    /// - `x`: `[batch, input]`
    /// - returns: `[batch, features]`
    pub fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        match self {
            Self::Mlp(body) => body.forward(x),
            Self::Conv(body) => body.forward(x, pass),
            Self::Resnet(body) => body.forward(x, pass),
        }
    }
}

/// What a decoder leads from, and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderDims {
    /// Dimensions of the code.
    pub latent: usize,
    /// Channels, height and width of an example.
    pub shape: [usize; 3],
    /// Channels that come out, of the same height and width: parameters of p(x|z) at each pixel.
    pub outputs: usize,
}

/// From a code to logits.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one or two values per model; Burn's derive takes no boxes")]
#[non_exhaustive]
pub enum Decoder {
    /// Fully connected layers.
    Mlp(Mlp),
    /// Transposed convolutions, each of which doubles the image.
    Conv(ConvDecoder),
    /// Residual blocks between transposed convolutions.
    Resnet(ResnetDecoder),
}

impl Decoder {
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, input]`
    pub fn forward(&self, z: Tensor<2>, pass: &Pass) -> Tensor<2> {
        match self {
            Self::Mlp(body) => body.forward(z),
            Self::Conv(body) => body.forward(z, pass),
            Self::Resnet(body) => body.forward(z, pass),
        }
    }

    /// What enters the last layer for the codes `z`, and that layer, where it is a fully connected one; see [`Mlp::all_but_last`].
    pub fn all_but_last(&self, z: Tensor<2>) -> Option<(Tensor<2>, &Linear)> {
        match self {
            Self::Mlp(body) => body.all_but_last(z),
            Self::Conv(_) | Self::Resnet(_) => None,
        }
    }

    /// Codes that are decoded at once fastest: fully connected layers read their weights once for all of them, while images of several channels
    /// should stay near the core.
    pub fn codes_at_once(&self) -> usize {
        match self {
            Self::Mlp(_) => 1024,
            Self::Conv(_) | Self::Resnet(_) => 256,
        }
    }
}

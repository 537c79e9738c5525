//! Bodies of encoders and decoders: layers, no losses.
//!
//! ```
//! use burn::tensor::Tensor;
//! use elbo::networks::{Activation, Mlp};
//! use elbo::random::{Draws, Purpose};
//!
//! let device = elbo::device::choose("cpu")?;
//! let draws = &mut Draws::new(0, Purpose::Weights, 0, 0);
//! let encoder = Mlp::init(&[784, 400, 64], Activation::Relu, Activation::Relu, draws, &device);
//! assert_eq!(encoder.forward(Tensor::zeros([8, 784], &device)).dims(), [8, 64]);
//! # Ok::<(), elbo::Error>(())
//! ```

mod body;
mod buffer;
mod channels;
mod classifier;
mod codebook;
mod config;
mod conv;
mod cross_entropy;
mod decoding;
mod fsq;
mod image;
mod linear;
mod map;
mod masked;
mod mlp;
mod norm;
mod pass;
mod pyramid;
mod quantizer;
mod resnet;
mod summary;
mod token_choice;
mod transformer;

pub use body::{Decoder, DecoderDims, Encoder};
pub use buffer::Buffer;
pub use channels::Channels;
pub use classifier::Classifier;
pub use codebook::{AveragedBook, Codebook, TrainedBook};
pub use config::NetworkConfig;
pub use conv::{Conv, ConvConfig, ConvDecoder, ConvEncoder, ResidualConfig};
pub use cross_entropy::{cross_entropy, token_nll};
pub use decoding::Decoding;
pub(crate) use image::{from_rows, to_rows};
pub use linear::Linear;
pub(crate) use map::project;
pub use map::{FromMap, MapDecoder, MapEncoder};
pub use masked::Made;
pub use mlp::{Activation, Mlp, MlpConfig, Nonlinearity};
pub use norm::{BatchNorm, GroupNorm, Norm, Normalization, groups};
pub use pass::{Moment, Pass, When};
pub use pyramid::{Halving, most_halvings};
pub use quantizer::{
    CodebookKind, CodebookStart, Estimator, MAX_CODES, Quantized, Quantizer, QuantizerConfig, perplexity,
};
pub use resnet::{ResidualBlock, ResnetConfig, ResnetDecoder, ResnetEncoder};
pub use summary::LayerSummary;
pub use token_choice::TokenChoice;
pub use transformer::{SequenceShape, Transformer, TransformerConfig};

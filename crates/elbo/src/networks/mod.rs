//! Bodies of encoders and decoders: layers, no losses.

mod linear;
mod mlp;

pub use linear::Linear;
pub use mlp::{Activation, Mlp, MlpConfig, Nonlinearity};

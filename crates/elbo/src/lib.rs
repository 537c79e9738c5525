//! Variational autoencoders in Rust: models, training, evaluation and generation.
#![deny(missing_docs)]

pub mod data;
pub mod distributions;
pub mod error;
pub mod models;
pub mod networks;
pub mod random;
pub mod run;
pub mod training;

pub use error::{Error, ErrorKind, Result};

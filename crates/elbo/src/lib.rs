//! Variational autoencoders in Rust: models, training, evaluation and generation.
#![deny(missing_docs)]

pub mod data;
pub mod device;
pub mod distributions;
pub mod error;
pub mod evaluation;
pub mod experiment;
pub mod generation;
pub mod models;
pub mod networks;
pub mod random;
pub mod recipe;
pub mod report;
pub mod run;
pub mod training;

pub use error::{Error, ErrorKind, Result};

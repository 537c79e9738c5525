//! How good is it: loss terms on a split, and what the encoder does to it.

mod codes;
mod elbo;

pub use codes::{ACTIVE_THRESHOLD, Codes, encode};
pub use elbo::{Evaluation, Metric, evaluate};

//! Distributions of the latent code and of the data, everything in nats.

mod gaussian;
mod likelihood;

pub use gaussian::DiagonalGaussian;
pub use likelihood::Likelihood;

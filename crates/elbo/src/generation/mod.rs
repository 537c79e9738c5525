//! Pictures from codes: samples, reconstructions, traversals, interpolations, manifolds.

mod latent_grids;
mod pictures;
mod quantile;

pub use latent_grids::{
    Path, interpolate, interpolation_codes, manifold_linear, manifold_quantiles, traversal_codes, traverse,
};
pub use pictures::{Pictures, decode, originals, reconstruct, sample, sample_codes};
pub use quantile::normal_quantile;

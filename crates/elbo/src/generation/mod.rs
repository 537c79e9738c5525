//! Pictures from codes: samples, reconstructions, traversals, interpolations, latent arithmetic, manifolds.
//!
//! ```
//! # use elbo::distributions::Likelihood;
//! # use elbo::models::{Architecture, Vae};
//! # use elbo::networks::NetworkConfig;
//! # let device = elbo::device::choose("cpu")?;
//! # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
//! use elbo::generation;
//! use elbo::report::image_grid::{self, GridLayout, ImageBatch};
//!
//! let pictures = generation::sample(&generation::CodeDecoder::of(&vae, &device)?, 64, 1.0, 0);
//! let grid = image_grid::image_grid(ImageBatch::new(&pictures.pixels, 1, 28, 28)?, GridLayout::default())?;
//! let png = image_grid::png(&grid)?; // bytes of a file
//! assert_eq!((pictures.len(), &png[1..4]), (64, b"PNG".as_slice()));
//! # Ok::<(), elbo::Error>(())
//! ```

mod arithmetic;
mod decoder;
mod latent_grids;
mod paths;
mod pictures;
mod quantile;
mod symbols;

pub use arithmetic::{edited_codes, mean_code};
pub use decoder::CodeDecoder;
pub use latent_grids::{class_grid, manifold_around, manifold_linear, manifold_quantiles, traversal_codes, traverse};
pub use paths::{Path, interpolate, interpolation_codes, path_codes, there_and_back};
pub use pictures::{
    Pictures, ShowAs, decode, decode_in_turn, originals, random_places, reconstruct, sample, sample_codes,
    sample_in_turn, show, show_in_turn, show_of_classes,
};
pub use quantile::normal_quantile;
pub use symbols::{decode_symbols, draw_symbols};

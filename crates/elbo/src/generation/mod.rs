//! Pictures from codes: samples, reconstructions, traversals, interpolations, latent arithmetic, manifolds.
//!
//! ```
//! # use elbo::data::ImageShape;
//! # use elbo::distributions::Likelihood;
//! # use elbo::models::Vae;
//! # use elbo::networks::NetworkConfig;
//! # let device = elbo::device::choose("cpu")?;
//! # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
//! use elbo::generation;
//! use elbo::report::image_grid::{self, GridLayout, ImageBatch};
//!
//! let pictures = generation::sample(&vae, ImageShape::grey(28, 28), 64, 1.0, 0, &device);
//! let grid = image_grid::image_grid(ImageBatch::new(&pictures.pixels, 1, 28, 28)?, GridLayout::default())?;
//! let png = image_grid::png(&grid)?; // bytes of a file
//! assert_eq!((pictures.len(), &png[1..4]), (64, b"PNG".as_slice()));
//! # Ok::<(), elbo::Error>(())
//! ```

mod arithmetic;
mod latent_grids;
mod paths;
mod pictures;
mod quantile;

pub use arithmetic::{edited_codes, mean_code};
pub use latent_grids::{manifold_around, manifold_linear, manifold_quantiles, traversal_codes, traverse};
pub use paths::{Path, interpolate, interpolation_codes, path_codes, there_and_back};
pub use pictures::{Pictures, Show, decode, originals, random_places, reconstruct, sample, sample_codes, show};
pub use quantile::normal_quantile;

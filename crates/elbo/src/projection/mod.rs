//! Rows of many dimensions seen in few: principal components, which are linear and have a way back, and t-SNE, which keeps neighbours together.
//! Under both, and useful alone: exact nearest neighbours.
//!
//! Rows lie one after another, `[n, dims]`, in float64. Nothing here knows of models, pictures or files.
//!
//! ```
//! use elbo::projection::{Projection, TsneOptions, tsne};
//! use elbo::random::{Draws, Purpose};
//!
//! // Two groups, far apart in five dimensions.
//! let noise = Draws::new(0, Purpose::Choice, 0, 0).normals(5 * 60);
//! let rows: Vec<f64> = noise.iter().enumerate().map(|(i, z)| f64::from(*z) + 20.0 * (i / 150) as f64).collect();
//!
//! let plane = Projection::principal(&rows, 5, 2)?;
//! println!("{:.0} % of the variance lies in a plane", 100.0 * plane.share);
//! let map = tsne(&rows, 5, &TsneOptions::for_rows(60))?;
//! assert_eq!((plane.project(&rows).len(), map.points.len()), (120, 60));
//! # Ok::<(), elbo::Error>(())
//! ```

mod nearest;
mod pca;
mod tsne;

pub use nearest::{Nearest, Neighbour};
pub use pca::Projection;
pub use tsne::{Tsne, TsneOptions, tsne};

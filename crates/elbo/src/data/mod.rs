//! Data sets: where images come from, how they are split, and how they become batches.
//!
//! ```
//! use elbo::data::{self, DataConfig, Validation};
//!
//! let config = DataConfig { count: 120, validation: Validation::Count(20), ..Default::default() };
//! let splits = data::open(&config, 0, &mut |_| {})?;
//! assert_eq!((splits.train.len(), splits.test.len()), (100, 20));
//!
//! let x = data::batch::batch(&splits.train, &[0, 1, 2], &elbo::device::choose("cpu")?);
//! assert_eq!(x.dims(), [3, 28 * 28]);
//! # Ok::<(), elbo::Error>(())
//! ```

pub mod augment;
pub mod batch;
mod binarize;
mod bounds;
mod cache_folder;
mod catalog;
mod choice;
mod cifar10;
mod classes;
pub mod codes;
mod config;
pub mod digits;
pub mod download;
mod fitness;
pub mod idx;
pub mod inspect;
pub mod known;
pub mod pictures;
mod progress;
pub mod source;
pub mod split;
pub mod sprites;
pub mod symbols;
pub mod table;
mod unknown;
mod unpack;
mod zip_directory;

pub use binarize::{Binarization, Binarize};
pub use cache_folder::{Network, home};
pub(crate) use catalog::{chosen, is_known, is_named, location, open_complete};
pub use catalog::{open, open_for};
pub(crate) use choice::{labels, stratified};
pub use classes::check_labels;
pub use config::DataConfig;
pub(crate) use config::located;
pub use inspect::{DataReport, inspect};
pub use progress::Progress;
pub use source::{Columns, ImageShape, InMemory, Source, csv_field};
pub use split::{Splits, Subset, Validation};

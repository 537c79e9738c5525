//! Data sets: where images come from, how they are split, and how they become batches.

pub mod batch;
mod catalog;
pub mod digits;
pub mod download;
pub mod idx;
pub mod inspect;
pub mod known;
pub mod source;
pub mod split;
pub mod sprites;

pub use catalog::{DataConfig, open};
pub use inspect::{DataReport, inspect};
pub use source::{ImageShape, InMemory, Source};
pub use split::{Splits, Subset, Validation};

//! Rows of a table by their numbers, and the way back: what each row's gradient adds up to.

mod extension;
mod ops;
pub(crate) mod reference;

pub use ops::embedding;

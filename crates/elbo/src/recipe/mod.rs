//! Recipes: what to train, as commented TOML.
//!
//! A [`RunConfig`] is made in layers, later ones winning: built-in defaults, a recipe (built in or a file), `--set key=value`, named flags.
//! Unknown keys are errors at every layer. The effective, complete configuration is saved with the run and reads back as itself.

mod builtin;
mod config;
mod layers;

pub use builtin::{Recipe, builtin, find};
pub use config::{CONFIG_FORMAT, RunConfig};
pub use layers::Layers;

//! Recipes: what to train, as commented TOML.
//!
//! A [`RunConfig`] is made in layers, later ones winning: built-in defaults, a recipe (built in or a file), `--set key=value`, named flags.
//! Unknown keys are errors at every layer. The effective, complete configuration is saved with the run and reads back as itself.
//!
//! ```
//! use elbo::recipe::Layers;
//!
//! let mut layers = Layers::from_recipe("mnist-bce")?; // a built-in name or a path
//! layers.set("loss.beta=4")?;
//! layers.set("network.hidden=[512, 256]")?;
//! let config = layers.build()?;
//! assert_eq!((config.loss.beta, config.training.epochs), (4.0, 10));
//! assert!(config.to_toml().contains("hidden = [512, 256]"));
//! # Ok::<(), elbo::Error>(())
//! ```

mod builtin;
mod config;
mod key_reference;
mod layers;
mod stages;

pub use builtin::{Recipe, builtin, find};
pub use config::{CONFIG_FORMAT, RunConfig};
pub use key_reference::{KeyReference, TableReference, key_reference};
pub use layers::Layers;
pub use stages::{LaterStage, STAGES_FORMAT, StagedLayers, Stages};

//! Models as recipes choose them: something done with the module of whichever family a `[model]` table names.

use burn::tensor::Device;
use elbo::models::{Family, Learner, ModelConfig, ObjectiveConfig, Setting, Visit};
use elbo::networks::NetworkConfig;
use elbo::space::Space;

/// What is done with a model, whatever its type.
pub trait Task {
    /// What comes of it.
    type Output;

    /// Does it.
    fn with<L: Learner + 'static>(self, model: L) -> Self::Output;
}

/// The table `kind = "<kind>"` with further lines of TOML.
pub fn table(kind: &str, lines: &str) -> ModelConfig {
    toml::from_str(&format!("kind = \"{kind}\"\n{lines}")).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// Examples of a space without classes, under the plain loss.
pub fn setting<'a>(space: impl Into<Space>, network: &'a NetworkConfig) -> Setting<'a> {
    Setting { space: space.into(), classes: 0, ..Setting::of_tables(network, &ObjectiveConfig::PLAIN) }
}

/// Builds the model that a table chooses and hands it to the task.
pub fn with_model<T: Task>(config: &ModelConfig, setting: &Setting<'_>, seed: u64, task: T) -> T::Output {
    struct Build<'a, T>(&'a Setting<'a>, u64, T);
    impl<T: Task> Visit for Build<'_, T> {
        type Output = T::Output;

        fn visit<F: Family>(self, family: &F) -> T::Output {
            self.2.with(family.init(self.0, self.1, &Device::default()).expect("a valid model"))
        }
    }
    config.with(Build(setting, seed, task))
}

//! The complete configuration of a run.

use serde::{Deserialize, Serialize};

use crate::data::DataConfig;
use crate::data::augment::Augment;
use crate::error::{Error, Result};
use crate::models::{ModelConfig, ObjectiveConfig, Setting};
use crate::networks::{NetworkConfig, QuantizerConfig};
use crate::reference::Fields;
use crate::space::Space;
use crate::training::{EarlyStopping, OptimizerConfig, Schedule, TrainingConfig};

/// Version of the configuration's layout; newer ones are refused.
pub const CONFIG_FORMAT: u32 = 1;

/// What to train and how: composed of each module's own table.
///
/// ```
/// use elbo::recipe::RunConfig;
///
/// let mut config = RunConfig::default();
/// config.training.epochs = 2;
/// config.check()?;
/// assert_eq!(config.describe([1, 28, 28]), "VAE 784-400-20, relu, Bernoulli likelihood");
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// Version of this layout: 1.
    pub format: u32,
    /// Name of the recipe, which runs are named after.
    pub name: String,
    /// One line about the recipe, for lists.
    pub about: String,
    /// What is trained on: `[data]`.
    pub data: DataConfig,
    /// How training pictures are changed at random: `[augment]`. All of it is off by default.
    pub augment: Augment,
    /// The family of models and its likelihood: `[model]`.
    pub model: ModelConfig,
    /// The body of encoder and decoder: `[network]`.
    pub network: NetworkConfig,
    /// The codebook of models that have one: `[quantizer]`. Their own defaults hold where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantizer: Option<QuantizerConfig>,
    /// The weight of the KL term and its schedule: `[loss]`.
    pub loss: ObjectiveConfig,
    /// The optimiser: `[optimizer]`. Names and meanings are PyTorch's.
    pub optimizer: OptimizerConfig,
    /// How the learning rate moves from `optimizer.lr`: `[schedule]`.
    pub schedule: Schedule,
    /// When training stops before its last epoch: `[early_stopping]`.
    pub early_stopping: EarlyStopping,
    /// The training loop: `[training]`.
    pub training: TrainingConfig,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            format: CONFIG_FORMAT,
            name: "unnamed".into(),
            about: String::new(),
            data: DataConfig::default(),
            augment: Augment::default(),
            model: ModelConfig::default(),
            network: NetworkConfig::default(),
            quantizer: None,
            loss: ObjectiveConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: Schedule::default(),
            early_stopping: EarlyStopping::default(),
            training: TrainingConfig::default(),
        }
    }
}

impl RunConfig {
    /// Checks every table; sizes that depend on the data are checked by [`ModelConfig::check_setting`] once the data is open.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first bad key.
    pub fn check(&self) -> Result<()> {
        check_format(self.format.into())?;
        check_name(&self.name)?;
        self.data.check()?;
        self.augment.check()?;
        self.loss.check()?;
        self.check_quantizer()?;
        self.model.check_tables(&self.network, &self.loss, self.quantizer())?;
        self.optimizer.check()?;
        self.schedule.check()?;
        self.early_stopping.check()?;
        self.training.check()
    }

    /// The quantiser of a model that has one.
    pub fn quantizer(&self) -> &QuantizerConfig {
        self.quantizer.as_ref().unwrap_or(QuantizerConfig::standard())
    }

    /// Refuses a quantiser of a model that has none.
    fn check_quantizer(&self) -> Result<()> {
        let Some(quantizer) = &self.quantizer else { return Ok(()) };
        if self.model.quantizes() {
            return quantizer.check();
        }
        let (expected, found) = (format!("nothing for `{}`, which has no codebook", self.model.kind()), "a table");
        Err(Error::config(
            "quantizer",
            expected,
            found,
            "remove it, or set `model.kind = \"vq-vae\"` or `\"vq-vae-2\"`",
        ))
    }

    /// The configuration as TOML, complete, in the order of the fields.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every field has a TOML form")
    }

    /// The weights to evaluate: those of the `best` epoch when early stopping is on, of the `last` otherwise.
    pub fn preferred_checkpoint(&self) -> &'static str {
        if self.early_stopping.patience > 0 { "best" } else { "last" }
    }

    /// One line about the network, for reports: `VAE 784-400-20, relu, bernoulli`.
    pub fn describe(&self, shape: [usize; 3]) -> String {
        let kind = self.model.title();
        let Some(keys) = self.model.likelihood_keys() else { return kind };
        // Of numbers whose domain refuses no likelihood, since this line has no place for an error.
        let known = [shape, [1, 64, 64]].into_iter().find_map(|shape| keys.likelihood(shape.into()).ok());
        let likelihood = known.map_or_else(|| "unknown likelihood".into(), |likelihood| likelihood.describe());
        if self.model.quantizes() {
            let quantizer = self.quantizer();
            let network = self.network.describe(quantizer.channels(), shape);
            return format!("{kind} {network}, {}, {likelihood}", quantizer.describe());
        }
        format!("{kind} {}, {likelihood}", self.network.describe(keys.latent, shape))
    }

    /// The same for a training split of so many examples: what is said of the run as a whole becomes a number of epochs.
    #[must_use]
    pub fn resolved(mut self, examples: usize) -> Self {
        if self.training.steps > 0 {
            let per_epoch = examples.div_ceil(self.training.batch_size).max(1);
            self.training.epochs = (self.training.steps / per_epoch).clamp(1, self.training.epochs.max(1));
            self.training.steps = 0;
        }
        if self.loss.warmup_share > 0.0 {
            self.loss.warmup_epochs = self.loss.warmup_share * self.training.epochs as f64;
            self.loss.warmup_share = 0.0;
        }
        if self.model.quantizes() && self.quantizer.is_none() {
            self.quantizer = Some(QuantizerConfig::default());
        }
        self
    }

    /// What the model is built for, with the tables beside `[model]`.
    pub fn setting(&self, space: Space, classes: usize) -> Setting<'_> {
        Setting { space, classes, network: &self.network, loss: &self.loss, quantizer: self.quantizer() }
    }
}

/// Refuses a name that would lead out of the folder its runs are put in.
fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_alphanumeric() || "-_. ".contains(c);
    if name.chars().next().is_some_and(char::is_alphanumeric) && name.chars().all(plain) && name.len() <= 100 {
        return Ok(());
    }
    let expected = "letters, digits, `-`, `_`, `.` and blanks, a letter or digit first, at most 100 bytes";
    Err(Error::config("name", expected, format!("`{name}`"), "runs are named after it: choose a plain name"))
}

/// Refuses a layout this version does not know, by its number.
pub(super) fn check_format(format: i64) -> Result<()> {
    if format == i64::from(CONFIG_FORMAT) {
        return Ok(());
    }
    let help = match format > i64::from(CONFIG_FORMAT) {
        true => "a newer elbo wrote this; update",
        false => "remove the line `format`",
    };
    Err(Error::config("format", format!("version {CONFIG_FORMAT}"), format!("version {format}"), help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_configuration_reads_back_as_itself() {
        let mut config = RunConfig { name: "x".into(), ..Default::default() };
        config.schedule = Schedule::Cosine { min_lr: 1e-5 };
        config.loss.capacity = Some(crate::models::Capacity { gamma: 2.0, target: 3.0, epochs: 1.0 });
        config.training.seed = u64::MAX >> 1;
        let text = config.to_toml();
        assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config, "{text}");
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["", "../x", "/tmp/x", "a/b", "a\\b", ".hidden", "a\n", "a\0"] {
            let error = RunConfig { name: name.into(), ..Default::default() }.check().unwrap_err();
            assert!(error.to_string().starts_with("`name`"), "{name}: {error}");
        }
        assert!(RunConfig { name: "Größe 2.5_b-1".into(), ..Default::default() }.check().is_ok());
    }

    #[test]
    fn another_format_version_is_refused_by_number() {
        let error = RunConfig { format: 7, ..Default::default() }.check().unwrap_err();
        assert!(error.to_string().contains("version 7"), "{error}");
    }
}

//! The `[training]`, `[optimizer]` and `[early_stopping]` tables of a recipe.

use std::collections::BTreeMap;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::schedule::Schedule;
use crate::error::{Error, Result};
use crate::models::{Report, Update};
use crate::reference::Fields;
use crate::run::history::{EpochRecord, LOSS};

/// The `[training]` table.
///
/// ```
/// use elbo::training::TrainingConfig;
///
/// let config = TrainingConfig { epochs: 30, seed: 7, ..Default::default() };
/// assert_eq!(config.batch_size, 128);
/// assert!(TrainingConfig { batch_size: 0, ..config }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Passes over the training split.
    pub epochs: usize,
    /// Optimiser steps at most, which counts where there are many examples; 0 for no limit. A run is written with the whole epochs that fit, at
    /// least one, in `epochs`.
    #[serde(skip_serializing_if = "is_default")]
    pub steps: usize,
    /// Examples in one optimiser step; the last step of an epoch takes what is left.
    pub batch_size: usize,
    /// The one seed: initial weights, order, noise, splits and samples all follow from it.
    pub seed: u64,
    /// Whether the optimiser steps on the mean or on the sum over the batch. Reports are always means.
    pub reduction: Reduction,
    /// What the matrix products of a step round their operands to: nothing, or bfloat16 where the processor multiplies it.
    pub precision: Precision,
    /// Decay of a moving average of all weights, which validation, `best` and every command then use; 0 for none.
    #[serde(skip_serializing_if = "is_default")]
    pub ema: f64,
    /// Seconds between checkpoints inside an epoch; one is written after every epoch in any case. 0 for none.
    pub checkpoint_seconds: f64,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            steps: 0,
            batch_size: 128,
            seed: 0,
            reduction: Reduction::Mean,
            precision: Precision::F32,
            ema: 0.0,
            checkpoint_seconds: 60.0,
        }
    }
}

/// How a batch's losses become the number the optimiser sees.
///
/// With Adam the difference is small but real: the sum makes `eps` and a coupled `weight_decay` count less, by the batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Mean over the batch.
    Mean,
    /// Sum over the batch, as PyTorch's own VAE example does.
    Sum,
}

/// What the matrix products of training steps round their operands to: `f32` (nothing) or `bf16`.
///
/// With `bf16` the large products of forward and backward pass take operands of 8 bits of precision and add up in float32. Weights, losses, the optimiser
/// and every evaluation stay in float32, and so do small layers. On a processor with AMX steps take 0.4 to 0.65 of the time; without AVX512_BF16 there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// Float32: nothing is rounded.
    #[default]
    F32,
    /// Bfloat16 operands, float32 sums.
    Bf16,
}

impl Precision {
    /// The precision called `name`.
    ///
    /// # Errors
    /// [`Error::Config`] for another name.
    ///
    /// ```
    /// use elbo::training::Precision;
    ///
    /// assert_eq!(Precision::named("bf16")?, Precision::Bf16);
    /// assert!(Precision::named("f16").is_err());
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(Error::config(PRECISION, "f32 or bf16", format!("`{name}`"), "`f32` works everywhere")),
        }
    }

    /// Whether steps on `device` can use it.
    ///
    /// # Errors
    /// [`Error::Config`] for `bf16` on another device than the CPU or a processor that does not multiply bfloat16.
    pub fn check(self, device: &Device) -> Result<()> {
        let refused = |found: &str| {
            let help = "train in float32 (`--precision f32`), or on a processor with AVX512_BF16 (Zen 4, Sapphire Rapids or later), \
                        where alone a run that began with bf16 goes on";
            Err(Error::config(PRECISION, "f32 on this machine", format!("`bf16`, {found}"), help))
        };
        match self {
            Self::F32 => Ok(()),
            Self::Bf16 if *device != Device::flex() => refused("which only the CPU's kernels have"),
            Self::Bf16 if !elbo_kernels::has_bf16() => refused("which this processor does not multiply"),
            Self::Bf16 => Ok(()),
        }
    }

    /// Runs `step` with it.
    pub(super) fn scope<R>(self, step: impl FnOnce() -> R) -> R {
        let precision = match self {
            Self::F32 => elbo_kernels::Precision::Float32,
            Self::Bf16 => elbo_kernels::Precision::Bf16,
        };
        elbo_kernels::with_precision(precision, step)
    }
}

/// The key of [`Precision`].
const PRECISION: &str = "training.precision";

/// The `[optimizer]` table. Names and meanings are PyTorch's.
///
/// ```
/// use elbo::training::{OptimizerConfig, OptimizerKind};
///
/// let config: OptimizerConfig = toml::from_str("kind = 'adamw'\nlr = 1e-4\nweight_decay = 0.01").unwrap();
/// assert_eq!((config.kind, config.betas), (OptimizerKind::AdamW, [0.9, 0.999]));
/// assert!(OptimizerConfig { lr: f64::NAN, ..config }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The formula: `adam` couples weight decay into the gradient, `adamw` does not.
    pub kind: OptimizerKind,
    /// Learning rate, before any schedule.
    pub lr: f64,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Coupled L2 for `adam`, decoupled decay for `adamw`.
    pub weight_decay: f64,
    /// What `weight_decay` reaches: `all` parameters as in PyTorch, or `matrices` without biases and scales of norms.
    #[serde(skip_serializing_if = "is_default")]
    pub decays: Decays,
    /// Largest global norm of the gradient; 0 for no clipping.
    pub clip_norm: f64,
    /// Steps over which the learning rate grows evenly to what the schedule says; 0 for none.
    #[serde(skip_serializing_if = "is_default")]
    pub warmup_steps: u64,
    /// A schedule of this optimiser's own, in place of `[schedule]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// `[optimizer.updates.NAME]`: other optimisers for the updates of these names, for models that take several in a step.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub updates: BTreeMap<String, OptimizerConfig>,
}

/// Which formula moves the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerKind {
    /// Adam with coupled weight decay (Kingma & Ba 2014).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2017).
    AdamW,
}

/// What weight decay reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Decays {
    /// Every parameter, as in PyTorch's optimisers.
    #[default]
    All,
    /// Matrices, tables and kernels of convolutions. Biases and the scales of norms keep their values, as is
    /// usual for transformers (Brown et al. 2020 and after).
    Matrices,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adam,
            lr: 1e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            decays: Decays::All,
            clip_norm: 0.0,
            warmup_steps: 0,
            schedule: None,
            updates: BTreeMap::new(),
        }
    }
}

/// The `[early_stopping]` table.
///
/// ```
/// use elbo::training::EarlyStopping;
///
/// let config: EarlyStopping = toml::from_str("monitor = 'validation.loss'\npatience = 5").unwrap();
/// assert_eq!((config.monitor.term.as_str(), config.min_delta), ("loss", 0.0));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// Which number to watch. The `best` checkpoint follows it too.
    pub monitor: Monitor,
    /// Epochs without improvement before training stops; 0 never stops.
    pub patience: usize,
    /// Smallest change that counts as improvement, in the unit of the number watched.
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { monitor: Monitor::default(), patience: 0, min_delta: 0.0 }
    }
}

/// What early stopping may watch: a term that the model reports, on one of the splits. Lower is better for all of them.
///
/// In recipes `SPLIT.NAME`: `validation.loss` (with the final KL weight; the training loss where there is no validation split),
/// `validation.recon`, `train.loss`, or `validation.negative_elbo`, which is `recon + kl` whatever beta is.
///
/// ```
/// use elbo::run::history::{EpochRecord, Means};
/// use elbo::training::Monitor;
///
/// let monitor: Monitor = "train.negative_elbo".parse()?;
/// let record = EpochRecord::new(1, 1, 1e-3, Means::of([("recon", 80.0), ("kl", 20.0), ("loss", 160.0)]));
/// assert_eq!(monitor.value(&record), Some(100.0));
/// assert!("test.loss".parse::<Monitor>().is_err());
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Monitor {
    /// Whether it is the mean over the validation split, where there is one.
    pub validation: bool,
    /// Name of the term.
    pub term: String,
}

/// `recon + kl`, which no model reports as such.
const NEGATIVE_ELBO: &str = "negative_elbo";

impl Default for Monitor {
    fn default() -> Self {
        Self { validation: true, term: LOSS.into() }
    }
}

impl Monitor {
    /// The number watched, from an epoch's record; none if the model does not report it.
    pub fn value(&self, record: &EpochRecord) -> Option<f64> {
        let means = if self.validation { record.judged() } else { &record.train };
        if self.term == NEGATIVE_ELBO { means.elbo().map(|elbo| -elbo) } else { means.get(&self.term) }
    }

    /// Holds the name against what a model reports.
    ///
    /// # Errors
    /// [`Error::Config`] naming `early_stopping.monitor`.
    pub fn check(&self, reports: &[Report]) -> Result<()> {
        let mut known: Vec<&str> = reports.iter().map(|report| report.name).chain([LOSS]).collect();
        if ["recon", "kl"].iter().all(|name| known.contains(name)) {
            known.push(NEGATIVE_ELBO);
        }
        if known.contains(&self.term.as_str()) {
            return Ok(());
        }
        let expected = format!("a term of this model: {}", known.join(", "));
        let help = "`validation.loss` watches what every model has";
        Err(Error::config("early_stopping.monitor", expected, format!("`{}`", self.term), help))
    }
}

impl FromStr for Monitor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let named = |term: &str| !term.is_empty() && term.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match text.split_once('.') {
            Some((split @ ("validation" | "train"), term)) if named(term) => {
                Ok(Self { validation: split == "validation", term: term.into() })
            }
            _ => {
                let expected = "`validation.` or `train.` and the name of a term, for example `validation.loss`";
                let help = "`validation.negative_elbo` is recon + kl";
                Err(Error::config("early_stopping.monitor", expected, format!("`{text}`"), help))
            }
        }
    }
}

impl TryFrom<String> for Monitor {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse().map_err(|_| {
            format!("unknown variant `{text}`, expected `validation.loss`, `validation.recon`, `validation.negative_elbo`, `train.loss` or another term")
        })
    }
}

impl From<Monitor> for String {
    fn from(monitor: Monitor) -> Self {
        format!("{}.{}", if monitor.validation { "validation" } else { "train" }, monitor.term)
    }
}

impl TrainingConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        at_least_one("training.epochs", self.epochs, 1_000_000)?;
        at_least_one("training.batch_size", self.batch_size, 1 << 20)?;
        if !(0.0..1.0).contains(&self.ema) {
            let help = "0.999 averages over the last thousand steps";
            return Err(Error::config("training.ema", "a decay in [0, 1)", self.ema.to_string(), help));
        }
        not_negative("training.checkpoint_seconds", self.checkpoint_seconds)
    }
}

impl OptimizerConfig {
    /// What the learning rate is multiplied by after `taken` steps: below 1 while it warms up.
    ///
    /// ```
    /// use elbo::training::OptimizerConfig;
    ///
    /// let config = OptimizerConfig { warmup_steps: 4, ..Default::default() };
    /// assert_eq!([0, 1, 3, 99].map(|taken| config.warmth(taken)), [0.25, 0.5, 1.0, 1.0]);
    /// assert_eq!(OptimizerConfig::default().warmth(0), 1.0);
    /// ```
    pub fn warmth(&self, taken: u64) -> f64 {
        ((taken + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0)
    }

    /// The table of the update of this name: its own, or this one.
    #[must_use]
    pub fn of_update(&self, name: &str) -> Self {
        self.updates.get(name).cloned().unwrap_or_else(|| Self { updates: BTreeMap::new(), ..self.clone() })
    }

    /// Holds the names of `updates` against those of a model.
    ///
    /// # Errors
    /// [`Error::Config`] naming the table that belongs to no update.
    pub fn check_updates(&self, updates: &[Update]) -> Result<()> {
        match self.updates.keys().find(|name| updates.iter().all(|update| update.name != name.as_str())) {
            None => Ok(()),
            Some(name) => {
                let known = updates.iter().map(|update| update.name).collect::<Vec<_>>().join(", ");
                let help = "remove the table: `[optimizer]` alone serves a model of one update";
                Err(Error::config(
                    format!("optimizer.updates.{name}"),
                    format!("an update of this model: {known}"),
                    format!("`{name}`"),
                    help,
                ))
            }
        }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        for (key, value) in [
            ("optimizer.lr", self.lr),
            ("optimizer.eps", self.eps),
            ("optimizer.weight_decay", self.weight_decay),
            ("optimizer.clip_norm", self.clip_norm),
        ] {
            not_negative(key, value)?;
        }
        if let Some(schedule) = &self.schedule {
            schedule.check()?;
        }
        for update in self.updates.values() {
            update.check()?;
        }
        match self.betas.iter().find(|b| !(0.0..1.0).contains(*b)) {
            Some(beta) => {
                let help = "PyTorch's default is `[0.9, 0.999]`";
                Err(Error::config("optimizer.betas", "two numbers in [0, 1)", beta.to_string(), help))
            }
            None => Ok(()),
        }
    }
}

impl EarlyStopping {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        not_negative("early_stopping.min_delta", self.min_delta)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn at_least_one(key: &str, value: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::config(key, format!("a number from 1 to {most}"), value.to_string(), "choose another number"))
}

pub(super) fn not_negative(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::config(key, "a finite number of at least 0", value.to_string(), "choose another number"))
}

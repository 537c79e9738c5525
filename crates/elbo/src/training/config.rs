//! The `[training]`, `[optimizer]` and `[early_stopping]` tables of a recipe.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::run::history::EpochRecord;

/// The `[training]` table.
///
/// ```
/// use elbo::training::TrainingConfig;
///
/// let config = TrainingConfig { epochs: 30, seed: 7, ..Default::default() };
/// assert_eq!(config.batch_size, 128);
/// assert!(TrainingConfig { batch_size: 0, ..config }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Passes over the training split.
    pub epochs: usize,
    /// Examples in one optimiser step; the last step of an epoch takes what is left.
    pub batch_size: usize,
    /// The one seed: initial weights, order, noise, splits and samples all follow from it.
    pub seed: u64,
    /// Whether the optimiser steps on the mean or on the sum over the batch. Reports are always means.
    pub reduction: Reduction,
    /// What the matrix products of a step round their operands to.
    pub precision: Precision,
    /// Seconds between checkpoints inside an epoch; one is written after every epoch in any case. 0 for none.
    pub checkpoint_seconds: f64,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 128,
            seed: 0,
            reduction: Reduction::Mean,
            precision: Precision::F32,
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
pub enum Precision {
    /// Float32.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// `adam` or `adamw`.
    pub kind: OptimizerKind,
    /// Learning rate, before any schedule.
    pub lr: f64,
    /// Decay of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Coupled L2 for `adam`, decoupled decay for `adamw`.
    pub weight_decay: f64,
    /// Largest global norm of the gradient; 0 for no clipping.
    pub clip_norm: f64,
}

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam with coupled weight decay (Kingma & Ba 2014).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2017).
    AdamW,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { kind: OptimizerKind::Adam, lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0, clip_norm: 0.0 }
    }
}

/// The `[early_stopping]` table.
///
/// ```
/// use elbo::training::{EarlyStopping, Monitor};
///
/// let config: EarlyStopping = toml::from_str("monitor = 'validation.loss'\npatience = 5").unwrap();
/// assert_eq!((config.monitor, config.min_delta), (Monitor::ValidationLoss, 0.0));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
        Self { monitor: Monitor::ValidationLoss, patience: 0, min_delta: 0.0 }
    }
}

/// What early stopping may watch. Lower is better for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Monitor {
    /// Loss on the validation split (with the final KL weight; the training loss where there is no validation split).
    #[serde(rename = "validation.loss")]
    ValidationLoss,
    /// Reconstruction term on the validation split.
    #[serde(rename = "validation.recon")]
    ValidationRecon,
    /// Negative ELBO, `recon + kl`, on the validation split, whatever beta is.
    #[serde(rename = "validation.negative_elbo")]
    ValidationNegativeElbo,
    /// Loss on the training split.
    #[serde(rename = "train.loss")]
    TrainLoss,
}

impl Monitor {
    /// The number watched, from an epoch's record.
    pub fn value(self, record: &EpochRecord) -> f64 {
        let validation = record.validation.unwrap_or(record.train);
        match self {
            Self::ValidationLoss => validation.loss,
            Self::ValidationRecon => validation.recon,
            Self::ValidationNegativeElbo => -validation.elbo(),
            Self::TrainLoss => record.train.loss,
        }
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
        not_negative("training.checkpoint_seconds", self.checkpoint_seconds)
    }
}

impl OptimizerConfig {
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

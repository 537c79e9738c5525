//! Learning rates over a run.

use serde::{Deserialize, Serialize};

use super::config::not_negative;
use crate::error::{Error, Result};

/// The `[schedule]` table: how the learning rate moves from `optimizer.lr`.
///
/// ```
/// use elbo::training::Schedule;
///
/// let schedule = Schedule::Cosine { min_lr: 0.0 };
/// let rates = [0.0, 5.0, 10.0].map(|epoch| schedule.rate(1e-3, epoch, 10.0));
/// assert!(rates[0] == 1e-3 && (rates[1] - 5e-4).abs() < 1e-12 && rates[2] < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
pub enum Schedule {
    /// Always `optimizer.lr`.
    #[default]
    Constant,
    /// Times `factor` after every `epochs` epochs.
    Step {
        /// Length of one stair, in epochs.
        epochs: f64,
        /// What each stair multiplies by.
        factor: f64,
    },
    /// Half a cosine from `optimizer.lr` down to `min_lr` over the run's `training.epochs`
    /// (Loshchilov & Hutter 2016, arXiv:1608.03983, without restarts).
    Cosine {
        /// The rate at the end.
        #[serde(default)]
        min_lr: f64,
    },
}

impl Schedule {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Constant => Ok(()),
            Self::Cosine { min_lr } => not_negative("schedule.min_lr", min_lr),
            Self::Step { epochs, factor } => {
                not_negative("schedule.factor", factor)?;
                if epochs.is_finite() && epochs > 0.0 {
                    return Ok(());
                }
                let help = "for example `schedule = { kind = \"step\", epochs = 10, factor = 0.5 }`";
                Err(Error::config("schedule.epochs", "a positive number", epochs.to_string(), help))
            }
        }
    }

    /// The rate after `epochs` of `total` epochs (fractions inside an epoch), starting from `lr`.
    pub fn rate(&self, lr: f64, epochs: f64, total: f64) -> f64 {
        match *self {
            Self::Constant => lr,
            Self::Step { epochs: length, factor } => lr * factor.powf((epochs / length).floor()),
            Self::Cosine { min_lr } => {
                let share = (epochs / total).min(1.0);
                min_lr + (lr - min_lr) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_at_known_points() {
        let step = Schedule::Step { epochs: 2.0, factor: 0.1 };
        assert_eq!([0.0, 1.9, 2.0, 4.5].map(|e| step.rate(1.0, e, 10.0)), [1.0, 1.0, 0.1, 0.1 * 0.1]);
        let cosine = Schedule::Cosine { min_lr: 0.2 };
        assert!((cosine.rate(1.0, 5.0, 10.0) - 0.6).abs() < 1e-12);
        assert!((cosine.rate(1.0, 10.0, 10.0) - 0.2).abs() < 1e-12);
        assert_eq!(Schedule::Constant.rate(0.3, 7.0, 10.0), 0.3);
    }

    #[test]
    fn a_stair_of_no_length_is_refused() {
        let error = Schedule::Step { epochs: 0.0, factor: 0.5 }.check().unwrap_err();
        assert!(error.to_string().contains("schedule.epochs"));
    }
}

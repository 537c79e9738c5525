//! Learning rates over a run.

use serde::{Deserialize, Serialize};

use super::config::not_negative;
use crate::error::{Error, Result};
use crate::reference::Variants;

/// The `[schedule]` table: how the learning rate moves from `optimizer.lr`.
///
/// ```
/// use elbo::training::Schedule;
///
/// let schedule = Schedule::Cosine { min_lr: 0.0 };
/// let rates = [0.0, 5.0, 10.0].map(|epoch| schedule.rate(1e-3, epoch, 10.0));
/// assert!(rates[0] == 1e-3 && (rates[1] - 5e-4).abs() < 1e-12 && rates[2] < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Variants)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", tag = "kind")]
#[non_exhaustive]
pub enum Schedule {
    /// The rate is always `optimizer.lr`.
    #[default]
    Constant,
    /// Times `factor` after every `epochs` epochs.
    Step {
        /// Length of one stair, in epochs.
        epochs: f64,
        /// What each stair multiplies by.
        factor: f64,
    },
    /// Stages of growing length, each with a lower rate: the first lasts `epochs`, each further one `growth` times the one before, and multiplies the
    /// rate by `factor`. Burda et al. (2015, section 5): 1, 3, 9, ... 2187 epochs at 10^(-i/7) of the first rate.
    Stages {
        /// Length of the first stage, in epochs.
        epochs: f64,
        /// What a stage's length is multiplied by for the next.
        growth: f64,
        /// What each further stage multiplies the rate by.
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
                positive("schedule.epochs", epochs)
            }
            Self::Stages { epochs, growth, factor } => {
                not_negative("schedule.factor", factor)?;
                positive("schedule.epochs", epochs)?;
                positive("schedule.growth", growth)
            }
        }
    }

    /// The rate after `epochs` of `total` epochs (fractions inside an epoch), starting from `lr`.
    pub fn rate(&self, lr: f64, epochs: f64, total: f64) -> f64 {
        match *self {
            Self::Constant => lr,
            Self::Step { epochs: length, factor } => lr * factor.powf((epochs / length).floor()),
            Self::Stages { epochs: first, growth, factor } => lr * factor.powi(stage(epochs / first, growth)),
            Self::Cosine { min_lr } => {
                let share = (epochs / total).min(1.0);
                min_lr + (lr - min_lr) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
        }
    }
}

fn positive(key: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    let help = "for example `schedule = { kind = \"step\", epochs = 10, factor = 0.5 }`";
    Err(Error::config(key, "a positive number", value.to_string(), help))
}

/// The stage, counted from 0, after `done` lengths of the first.
fn stage(done: f64, growth: f64) -> i32 {
    // Sums of lengths are not exact.
    const SLACK: f64 = 1e-9;
    let (mut end, mut length) = (1.0, 1.0);
    let mut stage = 0;
    while done + SLACK >= end && stage < MAX_STAGES {
        length *= growth;
        end += length;
        stage += 1;
    }
    stage
}

/// More stages than any run has; lengths that shrink to nothing end here.
const MAX_STAGES: i32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_of_burda() {
        let schedule = Schedule::Stages { epochs: 1.0, growth: 3.0, factor: 10f64.powf(-1.0 / 7.0) };
        let starts = [0.0, 1.0, 4.0, 13.0, 40.0, 121.0, 364.0, 1093.0];
        let rates = [1e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1e-4];
        for (start, rate) in starts.into_iter().zip(rates) {
            let found = schedule.rate(1e-3, start, 3280.0);
            assert!((found / rate - 1.0).abs() < 0.02, "{start}: {found}");
            assert_eq!(schedule.rate(1e-3, start + 0.99, 3280.0), found, "{start}");
        }
        // A tenth of it has the same stages.
        let tenth = Schedule::Stages { epochs: 0.1, growth: 3.0, factor: 0.5 };
        assert_eq!([0.05, 0.1, 0.39, 0.4, 327.9].map(|e| tenth.rate(1.0, e, 328.0)), [1.0, 0.5, 0.5, 0.25, 0.0078125]);
    }

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

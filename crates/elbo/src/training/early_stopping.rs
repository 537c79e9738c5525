//! When to stop, and which epoch was best.

use serde::{Deserialize, Serialize};

use super::config::EarlyStopping;
use crate::run::history::EpochRecord;

/// Memory of the watched number; part of every checkpoint.
///
/// ```
/// use elbo::run::history::{EpochRecord, Means};
/// use elbo::training::{EarlyStopping, Stopper};
///
/// let config = EarlyStopping { patience: 2, ..Default::default() };
/// let mut stopper = Stopper::default();
/// let verdicts = [100.0, 90.0, 91.0, 92.0].map(|loss| {
///     let record = EpochRecord::new(1, 1, 1e-3, Means::of([("loss", loss)]));
///     stopper.judge(&config, &record).stop
/// });
/// assert_eq!(verdicts, [false, false, false, true]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Stopper {
    /// Lowest value so far.
    pub best: Option<f64>,
    /// The epoch of the best number, from 1.
    pub best_epoch: usize,
    /// Epochs since the last improvement of at least `min_delta`.
    pub waited: usize,
}

/// What an epoch meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The lowest value so far.
    pub is_best: bool,
    /// Patience has run out.
    pub stop: bool,
}

impl Stopper {
    /// Takes an epoch into account.
    pub fn judge(&mut self, config: &EarlyStopping, record: &EpochRecord) -> Verdict {
        let value = config.monitor.value(record).unwrap_or_else(|| record.judged().loss());
        let is_best = self.best.is_none_or(|best| value < best);
        let improved = self.best.is_none_or(|best| value < best - config.min_delta);
        if is_best {
            self.best = Some(value);
            self.best_epoch = record.epoch;
        }
        self.waited = if improved { 0 } else { self.waited + 1 };
        Verdict { is_best, stop: config.patience > 0 && self.waited >= config.patience }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::history::Means;

    fn verdicts(config: &EarlyStopping, losses: &[f64]) -> (Stopper, Vec<Verdict>) {
        let mut stopper = Stopper::default();
        let verdicts = losses
            .iter()
            .enumerate()
            .map(|(i, &loss)| {
                let record = EpochRecord::new(i + 1, i, 0.1, Means::of([("loss", loss)]));
                stopper.judge(config, &record)
            })
            .collect();
        (stopper, verdicts)
    }

    #[test]
    fn stops_after_patience_without_improvement() {
        let config = EarlyStopping { patience: 2, ..Default::default() };
        let (stopper, verdicts) = verdicts(&config, &[3.0, 2.0, 2.5, 2.1]);
        assert_eq!(verdicts.iter().map(|v| v.stop).collect::<Vec<_>>(), [false, false, false, true]);
        assert_eq!((stopper.best, stopper.best_epoch), (Some(2.0), 2));
    }

    #[test]
    fn small_steps_below_min_delta_do_not_count_as_improvement_but_may_be_best() {
        let config = EarlyStopping { patience: 2, min_delta: 0.5, ..Default::default() };
        let (stopper, verdicts) = verdicts(&config, &[3.0, 2.9, 2.8]);
        assert_eq!(verdicts.iter().map(|v| v.stop).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(stopper.best_epoch, 3);
    }

    #[test]
    fn no_patience_means_never() {
        let (_, verdicts) = verdicts(&EarlyStopping::default(), &[1.0, 2.0, 3.0, 4.0]);
        assert!(verdicts.iter().all(|v| !v.stop));
    }
}

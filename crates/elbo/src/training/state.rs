//! Where training stands: everything besides weights and moments that a checkpoint must hold.

use serde::{Deserialize, Serialize};

use super::early_stopping::Stopper;
use crate::run::history::{EpochRecord, LossTerms};

/// Sums over the examples of an epoch, in float64.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RunningTerms {
    /// Examples counted.
    pub examples: usize,
    /// Sum of `recon`.
    pub recon: f64,
    /// Sum of `kl`.
    pub kl: f64,
    /// Sum of `loss`.
    pub loss: f64,
}

impl RunningTerms {
    /// Adds a batch by its means.
    pub fn add(&mut self, examples: usize, batch: LossTerms) {
        let weight = examples as f64;
        self.examples += examples;
        self.recon += weight * batch.recon;
        self.kl += weight * batch.kl;
        self.loss += weight * batch.loss;
    }

    /// Means over the examples so far; zero before the first.
    pub fn mean(&self) -> LossTerms {
        let n = self.examples.max(1) as f64;
        LossTerms { recon: self.recon / n, kl: self.kl / n, loss: self.loss / n }
    }
}

/// Where training stands. Weights and moments lie beside it, in safetensors files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainState {
    /// Version of this layout.
    pub format: u32,
    /// The epoch under way, from 1.
    pub epoch: usize,
    /// Steps of it that are done.
    pub step_in_epoch: usize,
    /// Steps of the whole run that are done.
    pub step: usize,
    /// Sums over the epoch under way.
    pub running: RunningTerms,
    /// Finished epochs.
    pub history: Vec<EpochRecord>,
    /// Early stopping's memory.
    pub stopper: Stopper,
    /// True when early stopping has ended the run.
    pub stopped_early: bool,
}

/// Version of [`TrainState`] written here; newer ones are refused.
pub const STATE_FORMAT: u32 = 1;

impl Default for TrainState {
    fn default() -> Self {
        Self {
            format: STATE_FORMAT,
            epoch: 1,
            step_in_epoch: 0,
            step: 0,
            running: RunningTerms::default(),
            history: Vec::new(),
            stopper: Stopper::default(),
            stopped_early: false,
        }
    }
}

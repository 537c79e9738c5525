//! Where training stands: everything besides weights and moments that a checkpoint must hold.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::early_stopping::Stopper;
use crate::error::{Error, Result};
use crate::run::history::{EpochRecord, Means};

/// Sums over the examples of an epoch, in float64.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunningTerms {
    /// How many examples were counted.
    pub examples: usize,
    /// Sums of the reported terms, by name.
    #[serde(flatten)]
    pub sums: Means,
}

impl RunningTerms {
    /// Adds a batch by its means.
    pub fn add(&mut self, examples: usize, batch: &Means) {
        self.examples += examples;
        self.sums.add(examples as f64, batch);
    }

    /// Means over the examples so far; zero before the first.
    pub fn mean(&self) -> Means {
        let n = self.examples.max(1) as f64;
        self.sums.map(|sum| sum / n)
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
    /// Steps that each further optimiser has taken, by name; the first takes `step`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, u64>,
    /// Sums over the epoch under way.
    pub running: RunningTerms,
    /// The records of finished epochs, in order.
    pub history: Vec<EpochRecord>,
    /// Early stopping's memory.
    pub stopper: Stopper,
    /// True when early stopping has ended the run.
    pub stopped_early: bool,
}

/// Version of [`TrainState`] written here; newer ones are refused. Version 1 had the sums of a VAE alone, under the names they still have.
pub const STATE_FORMAT: u32 = 2;

impl TrainState {
    /// A state from the bytes of its file; `path` is what errors name.
    ///
    /// # Errors
    /// [`Error::Model`] if they are damaged or of a newer version.
    pub fn from_json(bytes: &[u8], path: &Path) -> Result<Self> {
        let help = "resume from another checkpoint of the run, or train again";
        /// The number alone, since a newer layout has other fields.
        #[derive(serde::Deserialize)]
        struct Version {
            format: Option<u64>,
        }
        let version: Version =
            serde_json::from_slice(bytes).map_err(|e| Error::model(path, "content", "JSON", e.to_string(), help))?;
        let format = version.format;
        if format.is_none_or(|f| f > u64::from(STATE_FORMAT)) {
            let found = format.map_or("none".into(), |f| f.to_string());
            return Err(Error::model(path, "format", format!("version {STATE_FORMAT}"), found, "use a newer elbo"));
        }
        serde_json::from_slice(bytes)
            .map_err(|e| Error::model(path, "content", "a training state", e.to_string(), help))
    }
}

impl Default for TrainState {
    fn default() -> Self {
        Self {
            format: STATE_FORMAT,
            epoch: 1,
            step_in_epoch: 0,
            step: 0,
            times: BTreeMap::new(),
            running: RunningTerms::default(),
            history: Vec::new(),
            stopper: Stopper::default(),
            stopped_early: false,
        }
    }
}

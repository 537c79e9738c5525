//! The codes of a run as data: what a prior over them is trained on, and where its run finds them.

use super::run::Run;
use super::samplers::FitSettings;
use crate::data::codes::CodeSource;
use crate::data::{DataConfig, Splits};
use crate::error::{Error, Result};
use crate::priors::{CodesKind, training_codes};
use crate::run::directory::{CODES_FILE, Origin, RunDir, RunInfo};

/// Codes with the note of where they came from.
pub(super) struct RunCodes {
    pub source: CodeSource,
    pub origin: Origin,
}

impl Run {
    /// The codes of the training split, `[n, latent]`.
    ///
    /// # Errors
    /// As [`Run::open_data`] and [`training_codes`].
    pub fn training_codes(&self, kind: CodesKind, seed: u64) -> Result<Vec<f32>> {
        let splits = self.open_data(None)?;
        training_codes(self.model.as_ref(), &splits.train, kind, seed, &self.device)
    }

    /// Encodes the training split.
    pub(super) fn codes(&self, settings: FitSettings) -> Result<RunCodes> {
        self.encoder("priors")?;
        let origin = self.origin(settings);
        let codes = self.training_codes(origin.codes, settings.seed)?;
        Ok(RunCodes { source: CodeSource::of(&codes, self.latent()), origin })
    }

    /// What a prior of these weights and settings notes.
    pub(super) fn origin(&self, settings: FitSettings) -> Origin {
        Origin {
            weights_sha256: self.weights_sha256.clone(),
            checkpoint: self.checkpoint.into(),
            split: "train".into(),
            codes: settings.codes.unwrap_or_else(|| CodesKind::of(self.model.as_ref())),
            seed: settings.seed,
        }
    }
}

/// Opens the codes that lie in the folder of a prior's run.
pub(super) fn open_codes(dir: &RunDir, info: &RunInfo, config: &DataConfig, seed: u64) -> Result<Splits> {
    match &info.data.columns {
        Some(columns) => CodeSource::of_file(&dir.open_file(CODES_FILE)?, &dir.join(CODES_FILE), columns.clone())?
            .split(config, seed),
        None => {
            let help = "`elbo train` writes this file; a damaged one cannot be used";
            Err(Error::model(dir.join("run.json"), "data.columns", "the scale of the codes", "none", help))
        }
    }
}

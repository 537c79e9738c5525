//! The codes of a run as data: what a prior over them is trained on, and where its run finds them.

use super::run::Run;
use super::samplers::FitSettings;
use crate::data::codes::CodeSource;
use crate::data::{self, DataConfig, Progress, Splits};
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

/// Opens the data of a run in `dir`: what its configuration names, or the codes that lie in it.
pub(super) fn open_own(
    dir: &RunDir,
    info: &RunInfo,
    config: &DataConfig,
    seed: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    match (&info.origin, &info.data.columns) {
        (None, _) => data::open_complete(config, seed, None, progress),
        (Some(_), Some(columns)) => {
            CodeSource::of_file(&dir.open_file(CODES_FILE)?, &dir.join(CODES_FILE), columns.clone())?
                .split(config, seed)
        }
        (Some(_), None) => {
            let help = "`elbo train` writes this file; a damaged one cannot be used";
            Err(Error::model(dir.join("run.json"), "data.columns", "the scale of the codes", "none", help))
        }
    }
}

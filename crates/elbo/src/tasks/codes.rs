//! The codes of a run as data: what a prior over them is trained on, and where its run finds them.

use burn::tensor::Device;

use super::run::Run;
use super::samplers::FitSettings;
use crate::data::batch::Batch;
use crate::data::codes::CodeSource;
use crate::data::symbols::{ROWS_FILE, SymbolSource};
use crate::data::{DataConfig, Splits, Subset};
use crate::error::{Error, Result};
use crate::evaluation::encode;
use crate::models::Discrete;
use crate::priors::{CodesKind, sampler_codes};
use crate::run::directory::{CODES_FILE, Origin, RunDir, RunInfo};
use crate::space::{Domain, Rows, Space};

/// The codes of a run as data, with what a prior's run keeps of them.
pub(super) struct RunCodes {
    pub origin: Origin,
    /// What is written into the prior's run.
    pub files: Vec<(&'static str, Vec<u8>)>,
    source: Coded,
}

/// Codes of either kind.
enum Coded {
    Vectors(CodeSource),
    Symbols(SymbolSource),
}

impl RunCodes {
    /// The splits that `[data]` of the prior asks for.
    pub fn split(self, config: &DataConfig, seed: u64) -> Result<Splits> {
        match self.source {
            Coded::Vectors(source) => source.split(config, seed),
            Coded::Symbols(source) => source.split(config, seed),
        }
    }
}

/// Longest file of codes read.
const MOST_BYTES: u64 = 1 << 34;
/// Examples that are encoded at once.
const TOGETHER: usize = 512;

impl Run {
    /// The codes of the training split, `[n, latent]`.
    ///
    /// # Errors
    /// As [`Run::open_data`] and [`sampler_codes`]; [`Error::Model`] for codes that are not finite.
    pub fn training_codes(&self, kind: CodesKind, seed: u64) -> Result<Vec<f32>> {
        let splits = self.open_data(None)?;
        self.codes_of(&splits.train, kind, seed)
    }

    /// The codes of a split, `[n, latent]`.
    ///
    /// # Errors
    /// [`Error::Config`] for draws from an autoencoder; [`Error::Model`] for codes that are not finite, which are the weights' fault.
    pub(super) fn codes_of(&self, split: &Subset, kind: CodesKind, seed: u64) -> Result<Vec<f32>> {
        let codes = encode(self.model.as_ref(), split, &self.device)?;
        let drawn = codes.log_var.is_some();
        sampler_codes(codes, kind, seed).map_err(|error| match error {
            Error::Config { expected, found, .. } if drawn || kind == CodesKind::Mean => {
                let help = "the weights or the data are far out of range: look at `elbo eval RUN`, or take another `--checkpoint`";
                Error::model(self.dir.path(), "codes", expected, found, help)
            }
            other => other,
        })
    }

    /// The codes of the training split with the class of each; 0 where it has none.
    pub(super) fn labelled_codes(&self, kind: CodesKind, seed: u64) -> Result<(Vec<f32>, Vec<u32>)> {
        let train = self.open_data(None)?.train;
        let codes = self.codes_of(&train, kind, seed)?;
        let labels = (0..train.len()).map(|i| train.label(i).unwrap_or(0)).collect();
        Ok((codes, labels))
    }

    /// Encodes the training split; of a run whose codes are symbols, the splits held back too.
    pub(super) fn codes(&self, settings: FitSettings) -> Result<RunCodes> {
        let origin = self.origin(settings);
        if self.symbol_space().is_some() {
            let source = self.symbol_source()?;
            let files = source.files(CODES_FILE);
            return Ok(RunCodes { origin, files, source: Coded::Symbols(source) });
        }
        self.encoder("priors")?;
        let codes = self.training_codes(origin.codes, settings.seed)?;
        let source = CodeSource::of(&codes, self.latent());
        Ok(RunCodes { origin, files: vec![(CODES_FILE, source.to_npy())], source: Coded::Vectors(source) })
    }

    /// The space of its codes, where they are symbols; several levels are one row, from the top down.
    pub fn symbol_space(&self) -> Option<Space> {
        self.model.discrete().map(Discrete::joined).filter(|space| space.symbols().is_some())
    }

    /// The codes of a split, `[n, numel]`, where they are symbols.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a run whose codes are none.
    pub fn symbols(&self, split: &Subset) -> Result<Vec<u16>> {
        Ok(symbols_of(self.explained("codes", self.model.discrete_or_refuse())?, split, &self.device))
    }

    /// The codes of all splits with the classes of their examples.
    fn symbol_source(&self) -> Result<SymbolSource> {
        let splits = self.open_data(None)?;
        let held_back = splits.validation.filter(|_| !splits.validation_is_test);
        let parts: Vec<Subset> = [Some(splits.train), held_back, Some(splits.test)].into_iter().flatten().collect();
        let classes: Option<Vec<u32>> = parts.iter().flat_map(|part| (0..part.len()).map(|i| part.label(i))).collect();
        let counts = match parts.as_slice() {
            [train, validation, test] => [train.len(), validation.len(), test.len()],
            [train, test] => [train.len(), 0, test.len()],
            _ => unreachable!("two parts or three"),
        };
        let mut symbols = Vec::new();
        for part in &parts {
            symbols.extend(self.symbols(part)?);
        }
        let space = self.symbol_space().expect("codes that are symbols");
        let names = self.info.data.classes.clone();
        let classes = classes.filter(|_| !names.is_empty());
        Ok(SymbolSource::new(space, symbols, counts, classes, names))
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

/// The codes of a split, `[n, numel]`.
pub(super) fn symbols_of(encoder: &dyn Discrete, split: &Subset, device: &Device) -> Vec<u16> {
    let places: Vec<u32> = (0..split.len() as u32).collect();
    let of = |chosen: &[u32]| {
        let batch = Batch::of_split(split, chosen, encoder.needs(), device);
        Rows::joined_symbols(&encoder.encode(&batch).into_codes())
    };
    places.chunks(TOGETHER).flat_map(of).collect()
}

/// Opens the codes that lie in the folder of a prior's run.
pub(super) fn open_codes(dir: &RunDir, info: &RunInfo, config: &DataConfig, seed: u64) -> Result<Splits> {
    if matches!(info.data.domain, Domain::Index { .. }) {
        let space = Space { shape: info.data.shape, domain: info.data.domain };
        let files = [CODES_FILE, ROWS_FILE].map(|name| Ok((dir.join(name), dir.read(name, MOST_BYTES)?)));
        let [codes, rows] = files;
        return SymbolSource::of_files(codes?, rows?, space, info.data.classes.clone())?.split(config, seed);
    }
    match &info.data.columns {
        Some(columns) => CodeSource::of_file(&dir.open_file(CODES_FILE)?, &dir.join(CODES_FILE), columns.clone())?
            .split(config, seed),
        None => {
            let help = "`elbo train` writes this file; a damaged one cannot be used";
            Err(Error::model(dir.join("run.json"), "data.columns", "the scale of the codes", "none", help))
        }
    }
}

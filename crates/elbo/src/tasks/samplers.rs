//! The samplers of a saved run: fitted when first asked for, kept in its folder.

use super::run::Run;
use crate::error::Result;
use crate::mixtures::{Criterion, EmConfig, Selection, select};
use crate::priors::store::{self, Record, Stored};
use crate::priors::{CodesKind, Sampler, SamplerKind, training_codes};

/// How a sampler is fitted where there is none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FitSettings {
    /// Which codes; those that fit the model when nothing is said.
    pub codes: Option<CodesKind>,
    /// Of the draws of codes, the starts and the training.
    pub seed: u64,
}

/// What was done to have a sampler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SamplerNote {
    /// The file of the run served.
    Loaded,
    /// There was none.
    Fitted,
    /// There was one, of other weights or other codes.
    FittedAgain,
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

    /// The sampler of this name from the run's folder, if there is one of these very weights. Nothing is fitted and nothing written.
    ///
    /// # Errors
    /// [`crate::Error::Model`] for a damaged file.
    pub fn stored_sampler(&self, kind: SamplerKind) -> Result<Option<Stored>> {
        let found = store::load(&self.dir, kind, self.latent(), &self.device)?;
        let Some(stored) = found else { return Ok(None) };
        let settings = FitSettings::default();
        Ok(Some(stored).filter(|stored| serves(&stored.record, &self.record(kind, settings, 0), settings)))
    }

    /// The sampler of this name from the run's folder, or one fitted to the codes of the training split and kept there. Equal runs and settings give
    /// equal samplers.
    ///
    /// # Errors
    /// [`crate::Error::Model`] for a damaged file; those of opening the data and of the fit.
    ///
    /// ```
    /// # use elbo::tasks::{TrainingRun, FitSettings, SamplerNote, Run};
    /// # use elbo::recipe::Layers;
    /// # use elbo::training::{Quiet, Stop};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let mut layers = Layers::from_recipe("digits")?;
    /// # for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]", "model.latent=2"] {
    /// #     layers.set(setting)?;
    /// # }
    /// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
    /// # let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
    /// # training.train(&mut Quiet, &Stop::new())?;
    /// use elbo::priors::{Draw, SamplerKind};
    ///
    /// let run = Run::load(&path, None, &device)?;
    /// let (mixture, note) = run.sampler(SamplerKind::Mixture, FitSettings::default())?;
    /// assert_eq!((mixture.sampler.sample(&Draw { count: 5, ..Default::default() }).len(), note), (10, SamplerNote::Fitted));
    /// assert_eq!(run.sampler(SamplerKind::Mixture, FitSettings::default())?.1, SamplerNote::Loaded);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn sampler(&self, kind: SamplerKind, settings: FitSettings) -> Result<(Stored, SamplerNote)> {
        let latent = self.latent();
        let found = store::load(&self.dir, kind, latent, &self.device)?;
        let note = if found.is_some() { SamplerNote::FittedAgain } else { SamplerNote::Fitted };
        let record = self.record(kind, settings, 0);
        if let Some(stored) = found.filter(|stored| serves(&stored.record, &record, settings)) {
            return Ok((stored, SamplerNote::Loaded));
        }
        if kind == SamplerKind::Normal {
            return Ok((Stored { record, sampler: Sampler::Normal(latent) }, SamplerNote::Loaded));
        }
        let codes = self.training_codes(record.codes, settings.seed)?;
        let sampler = Sampler::fit(kind, &codes, latent, settings.seed, &self.device)?;
        let stored = Stored { record: Record { n: codes.len() / latent, ..record }, sampler };
        store::save(&self.dir, &stored)?;
        Ok((stored, note))
    }

    /// Fits mixtures of these numbers of components to the codes of the training split, keeps the best as the run's `mixture` sampler, and tells of all.
    ///
    /// # Errors
    /// As [`Run::sampler`].
    pub fn fit_mixture(
        &self,
        components: std::ops::RangeInclusive<usize>,
        config: &EmConfig,
        criterion: Criterion,
        codes: Option<CodesKind>,
    ) -> Result<(Selection, Record, Vec<f64>)> {
        let latent = self.latent();
        let record = self.record(SamplerKind::Mixture, FitSettings { codes, seed: config.seed }, 0);
        let codes = self.training_codes(record.codes, config.seed)?;
        let rows: Vec<f64> = codes.into_iter().map(f64::from).collect();
        let selection = select(&rows, latent, components, config, criterion)?;
        let record = Record { n: selection.best.n, ..record };
        let sampler = Sampler::Mixture(selection.best.mixture.clone());
        store::save(&self.dir, &Stored { record: record.clone(), sampler })?;
        Ok((selection, record, rows))
    }

    fn record(&self, sampler: SamplerKind, settings: FitSettings, n: usize) -> Record {
        Record {
            format: store::FORMAT,
            sampler,
            codes: settings.codes.unwrap_or_else(|| CodesKind::of(self.model.as_ref())),
            split: "train".into(),
            n,
            latent: self.latent(),
            seed: settings.seed,
            checkpoint: self.checkpoint.into(),
            weights_sha256: self.weights_sha256.clone(),
        }
    }
}

/// Whether a stored sampler is of these weights, and of these codes if any are asked for. Another seed does not make it a worse one.
fn serves(stored: &Record, wanted: &Record, settings: FitSettings) -> bool {
    let codes = settings.codes.is_none_or(|codes| codes == stored.codes);
    stored.weights_sha256 == wanted.weights_sha256 && codes
}

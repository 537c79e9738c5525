//! The samplers of a saved run: fitted or trained when first asked for, kept in its folder.

use std::path::PathBuf;

use super::run::Run;
use super::train::TrainingRun;
use crate::data::batch::Given;
use crate::error::{Error, Result};
use crate::mixtures::{Criterion, EmConfig, Selection, select};
use crate::models::{Capability, Generate};
use crate::priors::store::{self, Record, Stored};
use crate::priors::{ClassCodes, CodesKind, NetworkPrior, Sampler, SamplerKind, prior_config};
use crate::recipe::{Layers, RunConfig};
use crate::run::directory::{Origin, RunDir, RunInfo};
use crate::space::Rows;
use crate::tensors::values_of;
use crate::training::{Ending, Observer, Quiet, Stop};

/// Rows of symbols whose terms are taken at once.
const SCORED: usize = 64;

/// How a sampler is fitted where there is none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FitSettings {
    /// Which codes; those that fit the model when nothing is said.
    pub codes: Option<CodesKind>,
    /// Of the draws of codes, the starts and the training.
    pub seed: u64,
}

/// Which sampler of a run is wanted, and how it is made where there is none.
#[derive(Debug, Clone, Copy)]
pub struct FitRequest<'a> {
    /// Which sampler it is about.
    pub kind: &'a SamplerKind,
    /// On which codes.
    pub settings: FitSettings,
    /// Settings `KEY=VALUE` of a prior that is trained ([`prior_config`]). One that was trained with others is trained anew.
    pub set: &'a [String],
}

/// What was done to have a sampler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SamplerNote {
    /// The file of the run served.
    Loaded,
    /// There was none.
    Fitted,
    /// There was one, of other weights, other codes or other settings.
    FittedAgain,
    /// It was fitted and serves, but the run's folder could not keep it; the reason.
    NotKept(String),
}

/// Mixtures fitted to the codes of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct FittedMixture {
    /// All that were fitted, and which is best.
    pub selection: Selection,
    /// What the best is kept with.
    pub record: Record,
    /// The codes, `[n, latent]`.
    pub rows: Vec<f64>,
    /// Why the run's folder has not kept the best; none where it has.
    pub not_kept: Option<Error>,
}

/// A prior over the symbols of a run: a model that generates them.
#[derive(Debug)]
#[non_exhaustive]
pub struct SymbolPrior {
    /// The prior's own run, with its model.
    pub run: Run,
}

impl SymbolPrior {
    /// The name of the prior's run.
    pub fn name(&self) -> String {
        self.run.name()
    }

    /// What generates.
    ///
    /// # Panics
    /// Never: it was looked for when the prior was loaded.
    pub fn generator(&self) -> &dyn Generate {
        self.run.model.generator().expect("it was looked for")
    }

    /// Names of the classes that it may be told; none where it was trained without.
    pub fn classes(&self) -> &[String] {
        &self.run.info.data.classes
    }

    /// `-ln p(k_t given k_<t)` of each symbol, in nats: what is unlikely after all that comes before it. The prior is not
    /// told a class.
    ///
    /// # Shapes
    /// - `symbols`: rows of the symbols that it models, `[n, numel]`
    /// - returns: `[n, numel]`
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a prior that gives no such terms.
    pub fn surprise(&self, symbols: &[u16]) -> Result<Vec<f32>> {
        let density = self.run.model.density().ok_or_else(|| self.run.model.refusal(Capability::Density))?;
        let width = self.run.model.space().numel();
        let of = |chunk: &[u16]| {
            let symbols = chunk.iter().map(|&symbol| i32::from(symbol)).collect();
            let rows = Rows::symbols(symbols, width, &self.run.device);
            let terms = density.surprise(&[rows], &Given::default());
            terms.map(values_of).ok_or_else(|| self.run.model.refusal(Capability::Density))
        };
        Ok(symbols.chunks(SCORED * width).map(of).collect::<Result<Vec<_>>>()?.concat())
    }
}

/// A sampler with what was done to have it.
type Fitted = (Stored, SamplerNote);

impl Run {
    /// The sampler of this name: one that any run can have, or a prior that was trained in this one.
    ///
    /// # Errors
    /// [`Error::Config`] naming `sampler`.
    pub fn sampler_kind(&self, name: &str) -> Result<SamplerKind> {
        match self.dir.priors()?.iter().any(|known| known == name) {
            true => Ok(SamplerKind::prior(name)),
            false => name.parse(),
        }
    }

    /// The sampler from the run's folder, if there is one of these very weights. Nothing is fitted and nothing written.
    ///
    /// # Errors
    /// [`Error::Model`] for a damaged file.
    pub fn stored_sampler(&self, kind: &SamplerKind) -> Result<Option<Stored>> {
        let wanted = self.origin(FitSettings::default());
        if let SamplerKind::Prior(name) = kind {
            let found = PriorRun::find(self, name)?;
            if let Some(prior) = found.filter(|prior| prior.serves(&wanted, None) && prior.is_complete()) {
                return prior.load(self).map(Some);
            }
        }
        self.stored_file(kind, &wanted, FitSettings::default())
    }

    /// A sampler's file, where it is of these weights and codes.
    fn stored_file(&self, kind: &SamplerKind, wanted: &Origin, settings: FitSettings) -> Result<Option<Stored>> {
        let found = store::load(&self.dir, kind, self.latent(), &self.device)?;
        let serves =
            |Record { weights_sha256, codes, .. }: &Record| wanted.is_met(weights_sha256, *codes, settings.codes);
        // Of a conditional model, each class must have its own, and of no others.
        let classes = |sampler: &Sampler| match sampler {
            Sampler::OfClasses(mixtures) => {
                self.is_conditional() && mixtures.mixtures().len() == self.info.data.classes.len()
            }
            Sampler::Gaussian(_) | Sampler::Mixture(_) => !self.is_conditional(),
            Sampler::Normal(_) | Sampler::Network(_) => true,
        };
        Ok(found.filter(|stored| serves(&stored.record) && classes(&stored.sampler)))
    }

    /// The sampler from the run's folder, or one fitted to the codes of the training split and kept there. Equal runs and settings give equal samplers.
    ///
    /// # Errors
    /// [`Error::Model`] for a damaged file; those of opening the data and of the fit.
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
    /// let run = Run::open(&path, None, &device)?;
    /// let (mixture, note) = run.sampler(&SamplerKind::Mixture, FitSettings::default())?;
    /// assert_eq!((mixture.sampler.sample(&Draw { count: 5, ..Default::default() }).len(), note), (10, SamplerNote::Fitted));
    /// assert_eq!(run.sampler(&SamplerKind::Mixture, FitSettings::default())?.1, SamplerNote::Loaded);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn sampler(&self, kind: &SamplerKind, settings: FitSettings) -> Result<(Stored, SamplerNote)> {
        let request = FitRequest { kind, settings, set: &[] };
        let fitted = self.fit_sampler(request, &mut Quiet, &Stop::new())?;
        Ok(fitted.expect("nobody asks this training to stop"))
    }

    /// [`Run::sampler`] with an observer of the training, which may be asked to stop: none then, and the next call goes on with it.
    ///
    /// # Errors
    /// As [`Run::sampler`]; [`Error::Config`] for settings of a sampler that is not trained.
    pub fn fit_sampler(
        &self,
        request: FitRequest<'_>,
        observer: &mut dyn Observer,
        stop: &Stop,
    ) -> Result<Option<(Stored, SamplerNote)>> {
        match request.kind {
            SamplerKind::Prior(name) => self.trained_prior(name, &request, observer, stop),
            kind => self.closed_form(kind, request.settings).map(Some),
        }
    }

    /// A sampler that is fitted without gradients.
    fn closed_form(&self, kind: &SamplerKind, settings: FitSettings) -> Result<Fitted> {
        let (latent, wanted) = (self.latent(), self.origin(settings));
        if *kind == SamplerKind::Normal {
            let record = record(kind.clone(), &wanted, 0, latent);
            return Ok((Stored { record, sampler: Sampler::Normal(latent) }, SamplerNote::Loaded));
        }
        if let Some(stored) = self.stored_file(kind, &wanted, settings)? {
            return Ok((stored, SamplerNote::Loaded));
        }
        let there = store::is_there(&self.dir, kind)?;
        let note = if there { SamplerNote::FittedAgain } else { SamplerNote::Fitted };
        let (codes, labels) = self.labelled_codes(wanted.codes, settings.seed)?;
        let sampler = match self.is_conditional() {
            true => {
                let classes = self.info.data.classes.len();
                let codes = ClassCodes { values: &codes, latent, labels: &labels, classes };
                Sampler::fit_to_classes(kind, codes, settings.seed)?
            }
            false => Sampler::fit(kind, &codes, latent, settings.seed, &self.device)?,
        };
        let stored = Stored { record: record(kind.clone(), &wanted, codes.len() / latent, latent), sampler };
        match not_kept(store::save(&self.dir, &stored))? {
            None => Ok((stored, note)),
            Some(why) => Ok((stored, SamplerNote::NotKept(why.to_string()))),
        }
    }

    /// A prior that is trained: the run of it that serves, taken up where it was cut short, or a new one.
    fn trained_prior(
        &self,
        name: &str,
        request: &FitRequest<'_>,
        observer: &mut dyn Observer,
        stop: &Stop,
    ) -> Result<Option<Fitted>> {
        let (settings, wanted) = (request.settings, self.origin(request.settings));
        let serves = |prior: &PriorRun| prior.serves(&wanted, settings.codes);
        let unserved = request.set.is_empty() && !PriorRun::find(self, name)?.is_some_and(|prior| serves(&prior));
        if unserved && let Some(stored) = self.stored_file(request.kind, &wanted, settings)? {
            return Ok(Some((stored, SamplerNote::Loaded)));
        }
        match self.prior_run(name, request, observer, stop)? {
            Some((prior, note)) => Ok(Some((stored_of(prior)?, note))),
            None => Ok(None),
        }
    }

    /// The run of a prior that serves, trained where there is none.
    fn prior_run(
        &self,
        name: &str,
        request: &FitRequest<'_>,
        observer: &mut dyn Observer,
        stop: &Stop,
    ) -> Result<Option<(Run, SamplerNote)>> {
        let (settings, kind) = (request.settings, request.kind);
        let (wanted, mut found) = (self.origin(settings), PriorRun::find(self, name)?);
        let config = |base: Layers| prior_config(base, self.latent(), settings.seed, request.set);
        let again = found.is_some() || store::is_there(&self.dir, kind)?;
        let set = (!request.set.is_empty()).then(|| config(recipe_of(name, found.as_ref(), true)?)).transpose()?;
        let serves = |prior: &PriorRun| prior.serves(&wanted, settings.codes) && prior.fits(set.as_ref());
        if found.as_ref().is_some_and(|prior| serves(prior) && prior.is_complete()) {
            let prior = found.take().map(|prior| Run::open(prior.dir.path(), None, &self.device)).transpose()?;
            return Ok(prior.map(|run| (run, SamplerNote::Loaded)));
        }
        let serving = found.as_ref().filter(|prior| serves(prior));
        let make = || {
            let config = set.clone().map_or_else(|| config(recipe_of(name, found.as_ref(), false)?), Ok)?;
            Ok(RunConfig { name: name.into(), ..config })
        };
        let begun = match serving {
            Some(prior) => TrainingRun::resume(prior.dir.path(), None, &self.device, &self.info.device, &mut |_| {}),
            None => TrainingRun::replace_prior(self, make()?, settings, &self.info.device),
        };
        let training = match begun {
            Ok(training) => training,
            Err(error) => match not_kept(Err(error))? {
                Some(why) => return self.passing_prior(make()?, settings, why, observer, stop),
                None => return Err(missing(&self.dir, name)),
            },
        };
        let note = if again && serving.is_none() { SamplerNote::FittedAgain } else { SamplerNote::Fitted };
        if training.train(observer, stop)?.ending == Ending::Interrupted {
            return Ok(None);
        }
        let trained = PriorRun::find(self, name)?.ok_or_else(|| missing(&self.dir, name))?;
        Ok(Some((Run::open(trained.dir.path(), None, &self.device)?, note)))
    }

    /// The prior over codes that are symbols, by this name: from the run's folder, or trained and kept there. None where the training was stopped.
    ///
    /// # Errors
    /// As [`Run::sampler`]; [`Error::Unsupported`] for a run whose codes are no symbols.
    pub fn symbol_prior(
        &self,
        request: FitRequest<'_>,
        observer: &mut dyn Observer,
        stop: &Stop,
    ) -> Result<Option<(SymbolPrior, SamplerNote)>> {
        self.explained("priors", self.model.discrete_or_refuse())?;
        let SamplerKind::Prior(name) = request.kind else { return Err(no_symbols(request.kind.name())) };
        match self.prior_run(name, &request, observer, stop)? {
            Some((prior, note)) => Ok(Some((symbols_of(prior)?, note))),
            None => Ok(None),
        }
    }

    /// A prior over its symbols that is there and complete: of this name, or any where none is named.
    ///
    /// # Errors
    /// [`Error::Model`] for a damaged run.
    pub fn stored_symbol_prior(&self, name: Option<&str>) -> Result<Option<SymbolPrior>> {
        if self.symbol_space().is_none() {
            return Ok(None);
        }
        let wanted = self.origin(FitSettings::default());
        for known in self.dir.priors()? {
            if name.is_some_and(|name| name != known) {
                continue;
            }
            let found = PriorRun::find(self, &known)?;
            if let Some(prior) = found.filter(|prior| prior.serves(&wanted, None) && prior.is_complete()) {
                let prior = prior.load_symbols(self)?;
                // Of a run at another depth the codes are other ones.
                return Ok(Some(prior).filter(|prior| Some(prior.run.model.space()) == self.symbol_space()));
            }
        }
        Ok(None)
    }

    /// A prior of a run whose folder takes none: trained in a folder for temporary files, which goes when it is loaded.
    fn passing_prior(
        &self,
        config: RunConfig,
        settings: FitSettings,
        why: Error,
        observer: &mut dyn Observer,
        stop: &Stop,
    ) -> Result<Option<(Run, SamplerNote)>> {
        let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir(), "create a folder in"))?;
        let path = folder.path().join(&config.name);
        let training = TrainingRun::begin_prior(self, config, settings, &self.info.device, path.clone(), false)?;
        if training.train(observer, stop)?.ending == Ending::Interrupted {
            return Ok(None);
        }
        let run = Run::open(PriorRun::open(path)?.dir.path(), None, &self.device)?;
        Ok(Some((run, SamplerNote::NotKept(why.to_string()))))
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
    ) -> Result<FittedMixture> {
        let latent = self.latent();
        let wanted = self.origin(FitSettings { codes, seed: config.seed });
        let codes = self.training_codes(wanted.codes, config.seed)?;
        let rows: Vec<f64> = codes.into_iter().map(f64::from).collect();
        let selection = select(&rows, latent, components, config, criterion)?;
        let record = record(SamplerKind::Mixture, &wanted, selection.best.n, latent);
        let sampler = Sampler::Mixture(selection.best.mixture.clone());
        let not_kept = match self.is_conditional() {
            true => {
                let help = "`elbo sample RUN --sampler mixture` fits and keeps them";
                let found = "one over all codes, which is told and not kept";
                Some(Error::config("mixture", "a mixture for each class of a conditional model", found, help))
            }
            false => not_kept(store::save(&self.dir, &Stored { record: record.clone(), sampler }))?,
        };
        Ok(FittedMixture { selection, record, rows, not_kept })
    }
}

/// Why a result could not be written; none where it was. Only a run that cannot be written, or no longer, is passed over: whatever is in
/// the place of a file is not.
fn not_kept(written: Result<()>) -> Result<Option<Error>> {
    match written {
        Ok(()) => Ok(None),
        Err(error @ Error::Io { .. }) => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

fn record(sampler: SamplerKind, origin: &Origin, n: usize, latent: usize) -> Record {
    let Origin { weights_sha256, checkpoint, split, codes, seed } = origin.clone();
    Record { format: store::FORMAT, sampler, codes, split, n, latent, seed, checkpoint, weights_sha256 }
}

/// The error for a sampler that draws no symbols.
fn no_symbols(name: &str) -> Error {
    let help = "`--sampler autoregressive` is trained on them; leave it away for the one the run has";
    Error::config("sampler", "a prior over symbols", format!("`{name}`, which draws real numbers"), help)
}

fn missing(dir: &RunDir, name: &str) -> Error {
    Error::model(dir.prior(name), "run", "the run that was trained", "none", "another process removed it: try again")
}

/// What a prior is trained by: its own last configuration, or where settings are to come on top, or there is none, the recipe of its name.
fn recipe_of(name: &str, found: Option<&PriorRun>, fresh: bool) -> Result<Layers> {
    let own = |prior: &PriorRun| Layers::from_text("config.toml", &prior.config.to_toml());
    // A name is no path to a recipe: it becomes a folder of the run.
    match (Layers::from_builtin(name), found) {
        (Ok(recipe), _) if fresh => Ok(recipe),
        (_, Some(prior)) => own(prior),
        (Ok(recipe), None) => Ok(recipe),
        (Err(error), None) => Err(name.parse::<SamplerKind>().err().unwrap_or(error)),
    }
}

/// The run of a prior in the folder of the run whose codes it takes.
pub(super) struct PriorRun {
    pub dir: RunDir,
    pub config: RunConfig,
    pub info: RunInfo,
}

impl PriorRun {
    /// The run of this name, if there is one.
    pub fn find(parent: &Run, name: &str) -> Result<Option<Self>> {
        if !parent.dir.has_file(&format!("priors/{name}/run.json"))? {
            return Ok(None);
        }
        Self::open(parent.dir.prior(name)).map(Some)
    }

    fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let dir = RunDir::open(path)?;
        Ok(Self { config: super::run::read_config(&dir)?, info: dir.info()?, dir })
    }

    /// Whether it is of these weights, and of these codes if any are asked for.
    pub fn serves(&self, wanted: &Origin, codes: Option<CodesKind>) -> bool {
        let serves = |origin: &Origin| wanted.is_met(&origin.weights_sha256, origin.codes, codes);
        self.info.origin.as_ref().is_some_and(serves)
    }

    /// Whether it is, or will be, what this configuration trains.
    pub fn fits(&self, config: Option<&RunConfig>) -> bool {
        config.is_none_or(|config| {
            let mut config = config.clone().resolved(self.info.data.train);
            config.network = config.network.resolved(self.info.data.shape);
            config.name.clone_from(&self.config.name);
            config.training.seed = self.config.training.seed;
            config == self.config
        })
    }

    /// Whether nothing is left to train.
    pub fn is_complete(&self) -> bool {
        super::train::is_complete(&self.info)
    }

    /// The trained prior over symbols.
    fn load_symbols(&self, parent: &Run) -> Result<SymbolPrior> {
        symbols_of(Run::open(self.dir.path(), None, &parent.device)?)
    }

    /// The trained sampler.
    fn load(&self, parent: &Run) -> Result<Stored> {
        stored_of(Run::open(self.dir.path(), None, &parent.device)?)
    }
}

/// The prior over symbols that a run is.
fn symbols_of(run: Run) -> Result<SymbolPrior> {
    run.explained("sample", run.model.generator().ok_or_else(|| run.model.refusal(Capability::Generate)))?;
    Ok(SymbolPrior { run })
}

/// The sampler of real codes that a run is.
fn stored_of(run: Run) -> Result<Stored> {
    let (Some(origin), Some(columns)) = (&run.info.origin, &run.info.data.columns) else {
        let help = "train it again: remove the folder";
        return Err(Error::model(run.dir.join("run.json"), "origin", "the codes of a run", "none", help));
    };
    let (name, n) = (run.name(), run.info.data.train + run.info.data.validation);
    let record = record(SamplerKind::prior(&name), origin, n, columns.names.len());
    let network = NetworkPrior::new(name, run.model, columns, &run.device)?;
    Ok(Stored { record, sampler: Sampler::Network(Box::new(network)) })
}

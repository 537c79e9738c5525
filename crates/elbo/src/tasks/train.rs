//! Training in a run directory, from the start or taken up again.

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;

use super::code_report::{self, CodeMaterial};
use super::initial;
use super::measure;
use super::memory::peak_memory_mb;
use super::reading::{Reading, chosen, indices_sha256, open_own};
use super::recorder::Recorder;
use super::report::{self, Material, density_terms};
use super::run::{Run, held_out, read_config};
use super::samplers::{FitSettings, PriorRun};
use crate::data::{self, DataConfig, Progress, Splits};
use crate::device;
use crate::error::{Error, Result};
use crate::models::{Family, Learner, Model, Visit};
use crate::recipe::{RunConfig, Stages};
use crate::run::directory::{DataInfo, Origin, RUN_FORMAT, RunDir, RunInfo, STAGES_FILE};
use crate::run::files::Files;
use crate::run::lock::RunLock;
use crate::space::Domain;
use crate::training::{Checkpoints, Ending, Observer, Stop, TrainState, Trainer};

/// How a run is taken up again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResumeRequest {
    /// Train up to so many epochs; none for what the run was made with.
    pub epochs: Option<usize>,
    /// Where its data lie now, and how they are read.
    pub reading: Reading,
}

/// A run about to train: data open, directory locked, model built.
///
/// ```
/// use elbo::tasks::TrainingRun;
/// use elbo::recipe::Layers;
/// use elbo::training::{Ending, Quiet, Stop};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let mut layers = Layers::from_recipe("digits")?;
/// for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]", "model.latent=2"] {
///     layers.set(setting)?;
/// }
/// let (path, device) = (folder.path().join("run"), elbo::device::choose("cpu")?);
/// let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// let stop = Stop::new();
/// stop.request(); // as a signal handler would
/// assert_eq!(training.train(&mut Quiet, &stop)?.ending, Ending::Interrupted);
///
/// let training = TrainingRun::resume(&path, None, &device, "cpu", &mut |_| {})?;
/// assert_eq!(training.train(&mut Quiet, &Stop::new())?.ending, Ending::Finished);
/// # Ok::<(), elbo::Error>(())
/// ```
pub struct TrainingRun {
    dir: RunDir,
    config: RunConfig,
    splits: Splits,
    device: Device,
    info: RunInfo,
    /// Whether there is a checkpoint to continue from.
    resumes: bool,
    /// Whether the run has ended and nothing is left to do.
    complete: bool,
    /// What was wrong with newer checkpoints than the one to continue from.
    passed_over: Vec<Error>,
    _lock: RunLock,
}

/// What is written with a new run.
struct Beside {
    origin: Option<Origin>,
    /// Before `run.json` makes it a run.
    files: Vec<(&'static str, Vec<u8>)>,
    /// Whether the run that is there makes room.
    replaces: bool,
}

/// A run that has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// How the training ended.
    pub ending: Ending,
    /// Its facts, with the test numbers if it was not interrupted.
    pub info: RunInfo,
    /// The directory of the run.
    pub path: PathBuf,
}

impl TrainingRun {
    /// Opens the data, checks that everything fits, and creates the run directory `out`.
    ///
    /// # Errors
    /// [`Error::Config`] for what cannot be, [`Error::Data`] for bad data, [`Error::Io`]. Nothing is written before the data is open and
    /// the configuration checked against it.
    pub fn create(
        config: RunConfig,
        out: impl Into<PathBuf>,
        device: &Device,
        device_name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        Self::create_staged(Stages::of(config), out, device, device_name, progress)
    }

    /// [`TrainingRun::create`] for the first of several stages: the others are noted in the run, where [`next_stage`](super::next_stage) finds them.
    ///
    /// # Errors
    /// As [`TrainingRun::create`].
    pub fn create_staged(
        stages: Stages,
        out: impl Into<PathBuf>,
        device: &Device,
        device_name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        let later = stages.later_toml();
        let config = stages.into_first();
        config.check()?;
        config.training.precision.check(device)?;
        let splits = data::open(&config.data, config.training.seed, progress)?;
        let files = later.into_iter().map(|text| (STAGES_FILE, text.into_bytes())).collect();
        Self::begin(config, splits, Beside { origin: None, files, replaces: false }, out.into(), device, device_name)
    }

    /// Encodes the training split of a run and creates the run of a prior over these codes, `RUN/priors/NAME` with the configuration's name.
    ///
    /// # Errors
    /// As [`TrainingRun::create`]; [`Error::Unsupported`] for a run that does not encode to one vector code.
    ///
    /// ```
    /// # use elbo::tasks::{TrainingRun, FitSettings, Run};
    /// # use elbo::training::{Quiet, Stop};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let mut layers = elbo::recipe::Layers::from_recipe("digits")?;
    /// # for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]", "model.latent=2"] {
    /// #     layers.set(setting)?;
    /// # }
    /// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
    /// # let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
    /// # training.train(&mut Quiet, &Stop::new())?;
    /// use elbo::priors::{SamplerKind, prior_config};
    /// use elbo::recipe::Layers;
    ///
    /// let run = Run::open(&path, None, &device)?;
    /// let small = ["prior.hidden=[16]".to_owned(), "prior.epochs=2".to_owned()];
    /// let config = prior_config(Layers::from_recipe("maf")?, run.latent(), 0, &small)?;
    /// let training = TrainingRun::create_prior(&run, config, FitSettings::default(), "cpu")?;
    /// training.train(&mut Quiet, &Stop::new())?;
    /// assert!(path.join("priors/maf/metrics.csv").is_file());
    /// assert!(run.stored_sampler(&SamplerKind::prior("maf"))?.is_some());
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn create_prior(parent: &Run, config: RunConfig, settings: FitSettings, device_name: &str) -> Result<Self> {
        refuse_where_one_serves(parent, &config.name, settings)?;
        Self::replace_prior(parent, config, settings, device_name)
    }

    /// The same in place of the prior of this name that the run has, if any. That one is removed last, once nothing more can be refused; whatever
    /// else lies there is somebody's own and stays.
    pub(super) fn replace_prior(
        parent: &Run,
        config: RunConfig,
        settings: FitSettings,
        device_name: &str,
    ) -> Result<Self> {
        let (out, replaces) = (parent.dir.prior(&config.name), PriorRun::find(parent, &config.name)?.is_some());
        Self::begin_prior(parent, config, settings, device_name, out, replaces)
    }

    /// The run of a prior at `out`, wherever that is.
    pub(super) fn begin_prior(
        parent: &Run,
        mut config: RunConfig,
        settings: FitSettings,
        device_name: &str,
        out: PathBuf,
        replaces: bool,
    ) -> Result<Self> {
        if let Some(discrete) = parent.model.discrete() {
            config.model = config.model.over_maps(discrete.codes());
        }
        config.check()?;
        config.training.precision.check(&parent.device)?;
        let mut codes = parent.codes(settings)?;
        let (origin, files) = (codes.origin.clone(), std::mem::take(&mut codes.files));
        let splits = codes.split(&config.data, config.training.seed)?;
        let beside = Beside { origin: Some(origin), files, replaces };
        Self::begin(config, splits, beside, out, &parent.device, device_name)
    }

    /// Creates the run directory once the data are open.
    fn begin(
        config: RunConfig,
        splits: Splits,
        beside: Beside,
        out: PathBuf,
        device: &Device,
        device_name: &str,
    ) -> Result<Self> {
        let mut config = config.resolved(splits.train.len());
        let source = splits.train.source();
        let shape = source.shape();
        let setting = config.setting(source.space(), source.label_names().len());
        config.model.check_setting(&setting)?;
        config.model.needs().check(&splits.train)?;
        config.model.with(CheckReports(&config))?;
        config.augment.check_shape(shape, source.domain() == Domain::Real)?;
        config.network = config.network.resolved(shape.dims());
        if beside.replaces {
            RunDir::clear(&out)?;
        }
        let made = !Files::is_taken(&out);
        let dir = RunDir::create(out)?;
        let lock = dir.lock().inspect_err(|_| dir.abandon(made, false))?;
        let info = RunInfo {
            format: RUN_FORMAT,
            elbo_version: env!("CARGO_PKG_VERSION").into(),
            status: "running".into(),
            data: describe(&splits, data::location(&config.data)),
            origin: beside.origin,
            device: device_name.into(),
            threads: device::threads(),
            epochs: 0,
            seconds: 0.0,
            images_per_s: 0.0,
            peak_memory_mb: None,
            test: None,
            dimensions: None,
        };
        begun(&dir, beside.files, &config, &info).inspect_err(|_| dir.abandon(made, true))?;
        Ok(Self {
            dir,
            config,
            splits,
            device: device.clone(),
            info,
            resumes: false,
            complete: false,
            passed_over: Vec::new(),
            _lock: lock,
        })
    }

    /// Takes a run up again, with more `epochs` if given. A run that has ended and is not asked for more stays as it is.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no run, another process trains it, or its files contradict each other; [`Error::Data`] if its data
    /// changed; [`Error::Config`] for fewer epochs than are done, or more than early stopping allows.
    pub fn resume(
        path: impl Into<PathBuf>,
        epochs: Option<usize>,
        device: &Device,
        device_name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        let request = ResumeRequest { epochs, ..ResumeRequest::default() };
        Self::resume_with(path, &request, device, device_name, progress)
    }

    /// [`TrainingRun::resume`] with data that lie elsewhere now or are read otherwise. The run remembers where they were found.
    ///
    /// # Errors
    /// As [`TrainingRun::resume`]; [`Error::Config`] for settings that would make other data of them.
    pub fn resume_with(
        path: impl Into<PathBuf>,
        request: &ResumeRequest,
        device: &Device,
        device_name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        let dir = RunDir::open(path)?;
        // Before anything of it is read or written.
        dir.check_plain()?;
        let lock = dir.lock()?;
        dir.sweep()?;
        dir.settle()?;
        let (mut config, mut info) = (read_config(&dir)?, dir.info()?);
        let checkpoints = Checkpoints::of_run(&dir, "");
        // A run killed before its first checkpoint was complete starts over: nothing was lost.
        let resumes = has_begun(&dir)?;
        let (mut state, mut passed_over) = (TrainState::default(), Vec::new());
        if resumes {
            passed_over = checkpoints.passed_over("last")?;
            check_config(&dir, &config, &checkpoints.config()?)?;
            state = checkpoints.state()?;
        }
        if let Some(epochs) = request.epochs {
            check_epochs(epochs, &state, &config)?;
            config.training.epochs = epochs;
            config.check()?;
        }
        config.training.precision.check(device)?;
        let found = open_own(&dir, &info, &config, &request.reading, progress)?;
        let splits = chosen(found.splits, &config, &info)?;
        let moved = remember(&mut config, &mut info, &found.config);
        let trained = state.stopped_early || state.epoch > config.training.epochs;
        let complete = trained && is_complete(&info);
        if !complete {
            info.status = "running".into();
            info.device = device_name.into();
            info.threads = device::threads();
            // Of the others some files are missing: training makes them up first.
            info.epochs = info.epochs.min(state.history.len());
            info.test = None;
            info.dimensions = None;
        }
        if !complete || moved {
            dir.write("config.toml", config.to_toml())?;
            dir.write_info(&info)?;
        }
        Ok(Self { dir, config, splits, device: device.clone(), info, resumes, complete, passed_over, _lock: lock })
    }

    /// Whether the run has ended before, so that [`TrainingRun::train`] has nothing to do.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What is known of the run so far.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Why training does not continue from the newest checkpoint: what was wrong with it. Empty when all is well.
    pub fn passed_over(&self) -> &[Error] {
        &self.passed_over
    }

    /// The run directory.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The effective configuration, with all that the data resolve.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The parts of the data: trained on, validated on, tested on.
    pub fn splits(&self) -> &Splits {
        &self.splits
    }

    /// Trains to the end, evaluates on the test split, draws the pictures and writes the report.
    ///
    /// # Errors
    /// As [`Trainer::run`], also for a panic outside of it; `run.json` then has the status `diverged` or `failed`, and the last good checkpoint stays.
    pub fn train(mut self, observer: &mut dyn Observer, stop: &Stop) -> Result<Finished> {
        if self.complete {
            let ending = if self.info.status == FINISHED { Ending::Finished } else { Ending::StoppedEarly };
            return Ok(self.finished(ending));
        }
        let ending = match Error::catch(|| self.train_model(observer, stop)) {
            Ok(ending) => ending,
            Err(error) => {
                // What fails in a run that has gone fails for that.
                self.dir.check_intact()?;
                self.info.status = if matches!(error, Error::Diverged { .. }) { "diverged" } else { "failed" }.into();
                // The first error is the one to tell; a full disk may refuse this one too.
                let _ = self.dir.write_info(&self.info);
                return Err(error);
            }
        };
        self.dir.check_intact()?;
        self.info.status = match ending {
            Ending::Finished => FINISHED,
            Ending::StoppedEarly => STOPPED_EARLY,
            Ending::Interrupted => INTERRUPTED,
        }
        .into();
        if ending != Ending::Interrupted {
            match Error::catch(|| self.conclude(stop)) {
                // The report is still to come.
                Err(Error::Interrupted) => {
                    (self.info.status, self.info.test) = (INTERRUPTED.into(), None);
                    self.dir.write_info(&self.info)?;
                    return Ok(self.finished(Ending::Interrupted));
                }
                result => result?,
            }
        }
        // Only now is it true: a run killed while its report is drawn is taken up again and draws it.
        self.dir.write_info(&self.info)?;
        if ending != Ending::Interrupted && self.info.origin.is_some() {
            let prior = Run::open(self.dir.path(), None, &self.device)?;
            Error::catch(|| code_report::show_in_parent(&prior))?;
        }
        Ok(self.finished(ending))
    }

    fn finished(self, ending: Ending) -> Finished {
        Finished { ending, info: self.info, path: self.dir.path().to_owned() }
    }

    fn train_model(&mut self, observer: &mut dyn Observer, stop: &Stop) -> Result<Ending> {
        let model = self.config.model.clone();
        model.with(Train { run: self, observer, stop })
    }

    /// Trains a model of a family that is known here.
    fn train_family<F: Family>(&mut self, family: &F, observer: &mut dyn Observer, stop: &Stop) -> Result<Ending> {
        let device = self.device.clone().autodiff();
        let seed = self.config.training.seed;
        let source = self.splits.train.source();
        let setting = self.config.setting(source.space(), source.label_names().len());
        let model = family.init(&setting, seed, &device)?;
        let model = match self.resumes {
            true => model,
            false => initial::prepared(model, family.likelihood_keys().as_ref(), &self.splits.train, seed),
        };
        let checkpoints = Checkpoints::of_run(&self.dir, self.config.to_toml());
        let mut trainer = self.trainer(model, checkpoints, &device)?;
        let (history, recorded) = (&trainer.state.history, self.info.epochs);
        let purge = history.get(recorded).map_or(trainer.state.step + 1, |missing| missing.step);
        let purge = self.resumes.then_some(purge as i64);
        let mut recorder = Recorder {
            dir: &self.dir,
            info: self.info.clone(),
            seed,
            shown: held_out(&self.splits).1.sampled(64, seed),
            device: self.device.clone(),
            events: self.dir.events(purge)?,
            next: observer,
            seconds_before: self.info.seconds,
            started: Instant::now(),
        };
        // Weights are those of an epoch's end until the next step.
        let model = (trainer.state.step_in_epoch == 0).then(|| trainer.judged());
        recorder.make_up(&trainer.state.history, model.as_ref().map(|model| model as &dyn Model))?;
        let ending = trainer.run(&mut recorder, stop);
        recorder.update_times();
        self.info = recorder.info;
        ending
    }

    /// A trainer at the first step or where the checkpoint stands.
    fn trainer<'a, L: Learner>(
        &'a self,
        model: L,
        checkpoints: Checkpoints,
        device: &Device,
    ) -> Result<Trainer<'a, L>> {
        let config = &self.config;
        let resumed = match self.resumes {
            true => Some(checkpoints.resume(model.clone(), &config.optimizer, device)?),
            false => None,
        };
        let mut trainer = Trainer::new(model, &self.splits, config.optimizer.clone(), device);
        if let Some(resumed) = resumed {
            resumed.into_trainer(&mut trainer);
            // Metrics of epochs after the checkpoint are written again as they are trained again.
            self.dir.write_metrics(&trainer.state.history)?;
        }
        trainer.augment = config.augment;
        trainer.config = config.training.clone();
        trainer.schedule = config.schedule;
        trainer.early_stopping = config.early_stopping.clone();
        trainer.checkpoints = Some(checkpoints);
        Ok(trainer)
    }

    /// Test numbers, pictures, report.
    fn conclude(&mut self, stop: &Stop) -> Result<()> {
        let trained = Run::of(self.dir.clone(), None, &self.device)?;
        let material = Material::where_it_encodes(&trained, &self.splits, stop)?;
        let codes = CodeMaterial::where_codes_are_symbols(&trained, &self.splits)?;
        // No test numbers without test examples: what is held out then is another split.
        self.info.test = match (&material, &codes) {
            _ if self.splits.test.is_empty() => None,
            (Some(material), _) => Some(material.terms()),
            (None, Some(codes)) => Some(codes.terms()),
            (None, None) => density_terms(&trained, &self.splits, stop)?,
        };
        self.info.dimensions = material.as_ref().map(Material::dimensions);
        self.info.peak_memory_mb = peak_memory_mb();
        report::draw_report(&Run { info: self.info.clone(), ..trained }, material.as_ref(), codes.as_ref())?;
        Ok(())
    }
}

/// Trains a run.
struct Train<'a, 'b> {
    run: &'a mut TrainingRun,
    observer: &'b mut dyn Observer,
    stop: &'b Stop,
}

impl Visit for Train<'_, '_> {
    type Output = Result<Ending>;

    fn visit<F: Family>(self, family: &F) -> Result<Ending> {
        self.run.train_family(family, self.observer, self.stop)
    }
}

/// Holds the names of terms and optimisers in a configuration against those of the model.
struct CheckReports<'a>(&'a RunConfig);

impl Visit for CheckReports<'_> {
    type Output = Result<()>;

    fn visit<F: Family>(self, _: &F) -> Result<()> {
        self.0.early_stopping.monitor.check(F::REPORTS)?;
        self.0.optimizer.check_updates(F::UPDATES)
    }
}

/// Writes what makes a folder a run; `run.json` comes last.
fn begun(dir: &RunDir, files: Vec<(&'static str, Vec<u8>)>, config: &RunConfig, info: &RunInfo) -> Result<()> {
    // Another process may have begun and ended a run here since the folder was found empty.
    dir.check_vacant()?;
    dir.sweep()?;
    for (name, bytes) in files {
        dir.write(name, bytes)?;
    }
    dir.write("config.toml", config.to_toml())?;
    dir.write_info(info)
}

/// Status of a run that trained all its epochs.
const FINISHED: &str = "finished";
/// Status of a run that was asked to stop before it was done.
const INTERRUPTED: &str = "interrupted";
/// Status of a run that early stopping ended.
const STOPPED_EARLY: &str = "stopped early";

/// Refuses a name that a prior of the same weights has; one of other weights is of no use and goes.
fn refuse_where_one_serves(parent: &Run, name: &str, settings: FitSettings) -> Result<()> {
    let Some(prior) = PriorRun::find(parent, name)? else { return Ok(()) };
    if !prior.serves(&parent.origin(settings), None) {
        return Ok(());
    }
    let (run, path) = (shown(parent.dir.path()), shown(prior.dir.path()));
    let help = format!(
        "`elbo resume {path}` continues it, `elbo priors {run} --set {name}.KEY=VALUE` trains it anew, `--set name=other` trains another"
    );
    Err(Error::config("name", "the name of no prior that the run has", format!("`{name}`"), help))
}

/// A path as a shell takes it.
fn shown(path: &std::path::Path) -> String {
    crate::shell::quoted(&path.display().to_string())
}

/// Whether a run says that it has ended.
pub(super) fn is_complete(info: &RunInfo) -> bool {
    [FINISHED, STOPPED_EARLY].contains(&info.status.as_str())
}

/// Whether there is, or should be, a checkpoint. What a killed first save leaves is none.
fn has_begun(dir: &RunDir) -> Result<bool> {
    for name in ["checkpoints/last", "checkpoints/last.previous"] {
        if dir.find(name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(Checkpoints::of_run(dir, "").state().is_ok())
}

/// Refuses a number of epochs that training has gone beyond.
fn check_epochs(epochs: usize, state: &TrainState, config: &RunConfig) -> Result<()> {
    let done = state.history.len();
    if state.stopped_early && epochs != config.training.epochs {
        let expected = format!("nothing: early stopping ended this run after epoch {done}");
        let help = "for more patience start a new run: `elbo train RUN/config.toml --set early_stopping.patience=N`";
        return Err(Error::config("epochs", expected, epochs.to_string(), help));
    }
    let under_way = usize::from(state.step_in_epoch > 0);
    if epochs < done + under_way {
        let expected = match under_way {
            0 => format!("at least {done}: so many are done"),
            _ => format!("at least {}: so many are done or under way", done + 1),
        };
        let help = "give the number of epochs in all, those already done included";
        return Err(Error::config("epochs", expected, epochs.to_string(), help));
    }
    Ok(())
}

/// Writes down where the data of a run are, if that is elsewhere than it says; returns whether it was.
fn remember(config: &mut RunConfig, info: &mut RunInfo, found: &DataConfig) -> bool {
    let Some(location) = data::location(found).filter(|_| info.origin.is_none()) else { return false };
    let absolute = location.to_str().filter(|_| !data::is_named(&config.data.source));
    let moved = info.data.location.as_ref() != Some(&location);
    if let Some(absolute) = absolute.filter(|_| moved) {
        config.data.source = absolute.to_owned();
    }
    info.data.location = Some(location);
    moved
}

/// Splits as `run.json` records them.
fn describe(splits: &Splits, location: Option<PathBuf>) -> DataInfo {
    let source = splits.train.source();
    let shape = source.shape();
    DataInfo {
        name: source.name().into(),
        fingerprint: source.fingerprint().into(),
        train: splits.train.len(),
        validation: splits.validation.as_ref().map_or(0, |split| split.len()),
        test: splits.test.len(),
        validation_is_test: splits.validation_is_test,
        shape: [shape.channels, shape.height, shape.width],
        domain: source.domain(),
        columns: source.columns().cloned(),
        classes: source.label_names().to_vec(),
        location,
        train_sha256: Some(indices_sha256(&splits.train)),
        test_sha256: Some(indices_sha256(&splits.test)),
        binary: Some(measure::is_binary(&splits.train)),
        notes: source.warnings().iter().chain(source.notes()).cloned().collect(),
    }
}

/// Refuses to continue when `config.toml` was edited: the lines that differ are named. Only the number of epochs may.
fn check_config(dir: &RunDir, config: &RunConfig, saved: &str) -> Result<()> {
    let mut saved = crate::recipe::Layers::from_text("checkpoint", saved)?.build()?;
    saved.training.epochs = config.training.epochs;
    // Where the data lie is no setting: their content is compared.
    saved.data.source.clone_from(&config.data.source);
    if saved == *config {
        return Ok(());
    }
    let (old, new) = (saved.to_toml(), config.to_toml());
    let only = |a: &str, b: &str| {
        a.lines().filter(|line| !b.lines().any(|other| other == *line)).collect::<Vec<_>>().join("; ")
    };
    let help = "undo the change to continue this run, or start a new one with `elbo train config.toml`";
    Err(Error::model(dir.join("config.toml"), "settings", only(&old, &new), only(&new, &old), help))
}

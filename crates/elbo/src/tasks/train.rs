//! Training in a run directory, from the start or taken up again.

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;

use super::initial;
use super::memory::peak_memory_mb;
use super::recorder::Recorder;
use super::report::{self, Material};
use super::run::{Run, check_fingerprint, held_out, read_config};
use crate::data::{self, Progress, Splits};
use crate::device;
use crate::error::{Error, Result};
use crate::models::{Family, Learner, Visit};
use crate::recipe::RunConfig;
use crate::run::atomic;
use crate::run::directory::{DataInfo, RUN_FORMAT, RunDir, RunInfo};
use crate::run::lock::RunLock;
use crate::run::tensorboard::EventWriter;
use crate::space::Domain;
use crate::training::{Checkpoints, Ending, Observer, Stop, TrainState, Trainer};

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

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub ending: Ending,
    /// Its facts, with the test numbers if it was not interrupted.
    pub info: RunInfo,
    /// Its directory.
    pub path: PathBuf,
}

impl TrainingRun {
    /// Opens the data, checks that everything fits, and creates the run directory `out`.
    ///
    /// # Errors
    /// [`Error::Config`] for what cannot be, [`Error::Data`] for bad data, [`Error::Io`]. Nothing is written before the data is open and
    /// the configuration checked against it.
    pub fn create(
        mut config: RunConfig,
        out: impl Into<PathBuf>,
        device: &Device,
        device_name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        config.check()?;
        config.training.precision.check(device)?;
        let splits = data::open(&config.data, config.training.seed, progress)?;
        let source = splits.train.source();
        let shape = source.shape();
        let setting = config.setting(source.space(), source.label_names().len());
        config.model.check_setting(&setting)?;
        config.model.needs().check(&splits.train)?;
        config.model.with(CheckReports(&config))?;
        config.augment.check_shape(shape, source.domain() == Domain::Real)?;
        config.network = config.network.resolved(shape.dims());
        let dir = RunDir::create(out)?;
        let lock = RunLock::acquire(dir.path())?;
        // Another process may have begun and ended a run here since the folder was found empty.
        let dir = RunDir::create(dir.path())?;
        dir.sweep()?;
        let info = RunInfo {
            format: RUN_FORMAT,
            elbo_version: env!("CARGO_PKG_VERSION").into(),
            status: "running".into(),
            data: describe(&splits),
            device: device_name.into(),
            threads: device::threads(),
            epochs: 0,
            seconds: 0.0,
            images_per_s: 0.0,
            peak_memory_mb: None,
            test: None,
        };
        dir.write("config.toml", config.to_toml())?;
        dir.write_info(&info)?;
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
        let dir = RunDir::open(path)?;
        let lock = RunLock::acquire(dir.path())?;
        dir.sweep()?;
        for name in ["last", "best"] {
            atomic::settle_dir(dir.checkpoints().join(name))?;
        }
        let (mut config, mut info) = (read_config(&dir)?, dir.info()?);
        let checkpoints = Checkpoints::new(dir.checkpoints(), "");
        // A run killed before its first checkpoint was complete starts over: nothing was lost.
        let resumes = has_begun(&dir);
        let (mut state, mut passed_over) = (TrainState::default(), Vec::new());
        if resumes {
            passed_over = checkpoints.passed_over("last")?;
            check_config(&dir, &config, &checkpoints.config()?)?;
            state = checkpoints.state()?;
        }
        if let Some(epochs) = epochs {
            check_epochs(epochs, &state, &config)?;
            config.training.epochs = epochs;
            config.check()?;
        }
        config.training.precision.check(device)?;
        let splits = data::open(&config.data, config.training.seed, progress)?;
        check_fingerprint(&info, &splits, &config.data.source)?;
        let trained = state.stopped_early || state.epoch > config.training.epochs;
        let complete = trained && [FINISHED, STOPPED_EARLY].contains(&info.status.as_str());
        if !complete {
            info.status = "running".into();
            info.device = device_name.into();
            info.threads = device::threads();
            info.epochs = state.history.len();
            info.test = None;
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

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The data.
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
                self.info.status = if matches!(error, Error::Diverged { .. }) { "diverged" } else { "failed" }.into();
                // The first error is the one to tell; a full disk may refuse this one too.
                let _ = self.dir.write_info(&self.info);
                return Err(error);
            }
        };
        self.info.status = match ending {
            Ending::Finished => FINISHED,
            Ending::StoppedEarly => STOPPED_EARLY,
            Ending::Interrupted => "interrupted",
        }
        .into();
        if ending != Ending::Interrupted {
            Error::catch(|| self.conclude())?;
        }
        // Only now is it true: a run killed while its report is drawn is taken up again and draws it.
        self.dir.write_info(&self.info)?;
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
        let checkpoints = Checkpoints::new(self.dir.checkpoints(), self.config.to_toml());
        let mut trainer = self.trainer(model, checkpoints, &device)?;
        let purge = self.resumes.then_some(trainer.state.step as i64 + 1);
        let mut recorder = Recorder {
            dir: &self.dir,
            info: self.info.clone(),
            seed,
            shown: held_out(&self.splits).1.take(64),
            device: self.device.clone(),
            events: EventWriter::create(self.dir.path(), purge)?,
            next: observer,
            seconds_before: self.info.seconds,
            started: Instant::now(),
        };
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
    fn conclude(&mut self) -> Result<()> {
        let trained = Run::load(self.dir.path(), None, &self.device)?;
        let material = Material::gather(&trained, &self.splits)?;
        self.info.test = Some(material.terms());
        self.info.peak_memory_mb = peak_memory_mb();
        report::draw_report(&Run { info: self.info.clone(), ..trained }, &material)?;
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

/// Status of a run that trained all its epochs.
const FINISHED: &str = "finished";
/// Status of a run that early stopping ended.
const STOPPED_EARLY: &str = "stopped early";

/// Whether there is, or should be, a checkpoint. What a killed first save leaves is none.
fn has_begun(dir: &RunDir) -> bool {
    let last = dir.checkpoints().join("last");
    let saved_before = ["last", "last.previous"].iter().any(|name| dir.checkpoints().join(name).exists());
    saved_before || atomic::open_dir(last).is_ok()
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

/// Splits as `run.json` records them.
fn describe(splits: &Splits) -> DataInfo {
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
    }
}

/// Refuses to continue when `config.toml` was edited: the lines that differ are named. Only the number of epochs may.
fn check_config(dir: &RunDir, config: &RunConfig, saved: &str) -> Result<()> {
    let mut saved = crate::recipe::Layers::from_text("checkpoint", saved)?.build()?;
    saved.training.epochs = config.training.epochs;
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

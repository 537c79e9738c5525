//! Checkpoints of a training run: weights, moments and state in one directory, there whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use sha2::{Digest, Sha256};

use super::config::OptimizerConfig;
use super::ema::Ema;
use super::optimizer::{AdamMoments, Optimizer};
use super::state::TrainState;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::models::Learner;
use crate::run::atomic::{self, Checkpoint};
use crate::run::directory::RunDir;
use crate::run::parameters;
use crate::run::weights::{self, NamedTensor};

const WEIGHTS: &str = "model.safetensors";
const MOMENTS: &str = "optimizer.safetensors";
const EMA: &str = "ema.safetensors";
const STATE: &str = "state.json";
const CONFIG: &str = "config.toml";

/// The checkpoint folder of a run: `last`, to resume from, and `best`, by the monitored number.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// # let folder = tempfile::tempdir().unwrap();
/// use elbo::training::{Checkpoints, OptimizerConfig, Quiet, Stop, Trainer};
///
/// let optimizer = OptimizerConfig::default();
/// let fresh = || Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// let checkpoints = Checkpoints::new(folder.path(), "");
/// let mut trainer = Trainer::new(fresh(), &data, optimizer.clone(), &device);
/// trainer.config.epochs = 1;
/// trainer.checkpoints = Some(checkpoints.clone());
/// trainer.run(&mut Quiet, &Stop::new())?;
///
/// // Later, perhaps in another process: continue as if nothing had happened.
/// let resumed = checkpoints.resume(fresh(), &optimizer, &device)?;
/// let mut trainer = Trainer::new(fresh(), &data, optimizer, &device);
/// resumed.into_trainer(&mut trainer);
/// trainer.config.epochs = 2;
/// trainer.run(&mut Quiet, &Stop::new())?;
/// assert_eq!(trainer.state.history.len(), 2);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    /// The files of the run it belongs to, which is then not made anew should it be removed; none for a folder on its own.
    run: Option<RunDir>,
    config: String,
}

/// What `last` is made of.
#[derive(Debug)]
pub struct Saved<'a, L> {
    /// The model that is trained, with the weights of this step.
    pub model: &'a L,
    /// The moving average of its weights, where there is one.
    pub ema: Option<&'a L>,
    /// The optimisers, one for each update.
    pub optimizers: &'a [Optimizer],
    /// Where training stands.
    pub state: &'a TrainState,
}

/// A training run taken up again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Resumed<L> {
    /// The model with the checkpoint's weights.
    pub model: L,
    /// The moving average of its weights, where there was one.
    pub ema: Option<Ema<L>>,
    /// The optimisers with their moments.
    pub optimizers: Vec<Optimizer>,
    /// Where training stood.
    pub state: TrainState,
    /// Newer checkpoints that were damaged and passed over.
    pub passed_over: Vec<Error>,
}

impl Checkpoints {
    /// Checkpoints in `folder`, each with the text of the run's configuration inside.
    pub fn new(folder: impl Into<PathBuf>, config: impl Into<String>) -> Self {
        Self { folder: folder.into(), run: None, config: config.into() }
    }

    /// The checkpoints of a run, in its folder `checkpoints`, which no link leads out of.
    pub fn of_run(run: &RunDir, config: impl Into<String>) -> Self {
        Self { folder: run.checkpoints(), run: Some(run.clone()), config: config.into() }
    }

    fn read(&self, which: &str) -> Result<Checkpoint> {
        let place = self.folder.join(which);
        match &self.run {
            Some(run) => run.open_checkpoint(&place),
            None => atomic::open_dir(place),
        }
    }

    fn write(&self, which: &str, step: u64, files: &[(&str, &[u8])]) -> Result<()> {
        let place = self.folder.join(which);
        match &self.run {
            Some(run) => run.write_checkpoint(&place, step, files),
            None => atomic::write_dir(place, step, files),
        }
    }

    /// Saves `last`: everything needed to continue.
    ///
    /// # Errors
    /// [`Error::Io`]; the previous checkpoint stays.
    pub fn save_last<L: Learner>(&self, saved: &Saved<'_, L>) -> Result<()> {
        let tensors = parameters::export(saved.model);
        let names: Vec<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
        let bytes = |tensors: &[NamedTensor]| weights::to_bytes(tensors, &BTreeMap::new());
        let mut state = saved.state.clone();
        let mut files = vec![(WEIGHTS.to_owned(), bytes(&tensors))];
        for (place, optimizer) in saved.optimizers.iter().enumerate() {
            files.push((moments_file(place, optimizer), bytes(&export_moments(&names, optimizer.moments()))));
            if place > 0 {
                state.times.insert(optimizer.name().to_owned(), optimizer.time());
            }
        }
        files.extend(saved.ema.map(|ema| (EMA.to_owned(), bytes(&parameters::export(ema)))));
        files.push((STATE.to_owned(), serde_json::to_vec_pretty(&state).expect("numbers always become JSON")));
        files.push((CONFIG.to_owned(), self.config.clone().into_bytes()));
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        self.write("last", saved.state.step as u64, &files)
    }

    /// Saves `best`: weights and configuration.
    ///
    /// # Errors
    /// [`Error::Io`]; the previous checkpoint stays.
    pub fn save_best<M: Module>(&self, model: &M, state: &TrainState) -> Result<()> {
        let weights = weights::to_bytes(&parameters::export(model), &BTreeMap::new());
        let files: [(&str, &[u8]); 2] = [(WEIGHTS, &weights), (CONFIG, self.config.as_bytes())];
        self.write("best", state.step as u64, &files)
    }

    /// Takes up the newest valid `last`. `model` gives structure and device; its weights are replaced.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no valid checkpoint or it is one of another model.
    pub fn resume<L: Learner>(&self, model: L, config: &OptimizerConfig, device: &Device) -> Result<Resumed<L>> {
        let checkpoint = self.read("last")?;
        let dir = &checkpoint.dir;
        let state = TrainState::from_json(checkpoint.file(STATE)?, &dir.join(STATE))?;
        let expected = parameters::shapes(&model);
        let mut optimizers = Vec::new();
        for (place, update) in model.updates().iter().enumerate() {
            let optimizer = Optimizer::of(update, config, &model);
            let file = moments_file(place, &optimizer);
            let moments = read_moments(checkpoint.file(&file)?, &dir.join(&file), &expected, device)?;
            let time = if place == 0 { state.step as u64 } else { state.times.get(update.name).copied().unwrap_or(0) };
            optimizers.push(optimizer.restored(time, moments));
        }
        let ema = match checkpoint.file(EMA) {
            Ok(bytes) => Some(Ema::restored(load_weights(model.clone(), bytes, &dir.join(EMA))?.valid())),
            Err(_) => None,
        };
        let model = load_weights(model, checkpoint.file(WEIGHTS)?, &dir.join(WEIGHTS))?;
        Ok(Resumed { model, ema, optimizers, state, passed_over: checkpoint.passed_over })
    }

    /// Loads the weights of `last` or `best` into `model`: the moving average where there is one. Returns the sha256 of their file, too, in
    /// hexadecimal.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no such valid checkpoint or it is one of another model.
    pub fn load<M: Module>(&self, which: &str, model: M) -> Result<(M, String)> {
        let checkpoint = self.read(which)?;
        let name = if checkpoint.file(EMA).is_ok() { EMA } else { WEIGHTS };
        let bytes = checkpoint.file(name)?;
        let digest = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((load_weights(model, bytes, &checkpoint.dir.join(name))?, digest))
    }

    /// Where training stood at the newest valid `last`.
    ///
    /// # Errors
    /// [`Error::Model`] if there is none.
    pub fn state(&self) -> Result<TrainState> {
        let checkpoint = self.read("last")?;
        TrainState::from_json(checkpoint.file(STATE)?, &checkpoint.dir.join(STATE))
    }

    /// What was wrong with newer checkpoints in the place of `last` or `best` that are passed over for an older one; usually nothing.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no valid checkpoint at all.
    pub fn passed_over(&self, which: &str) -> Result<Vec<Error>> {
        Ok(self.read(which)?.passed_over)
    }

    /// The configuration saved with the newest valid `last`.
    ///
    /// # Errors
    /// [`Error::Model`] if there is none.
    pub fn config(&self) -> Result<String> {
        let checkpoint = self.read("last")?;
        Ok(String::from_utf8_lossy(checkpoint.file(CONFIG)?).into_owned())
    }
}

impl<L: Learner> Resumed<L> {
    /// Puts a fresh trainer where the checkpoint stands.
    pub fn into_trainer(self, trainer: &mut Trainer<'_, L>) {
        trainer.take_up(self);
    }
}

/// The file of an optimiser's moments: the first has the name it has always had.
fn moments_file(place: usize, optimizer: &Optimizer) -> String {
    if place == 0 { MOMENTS.to_owned() } else { format!("optimizer.{}.safetensors", optimizer.name()) }
}

fn load_weights<M: Module>(model: M, bytes: &[u8], path: &Path) -> Result<M> {
    let file = weights::from_bytes(bytes, path)?;
    let tensors = weights::check(file, &parameters::shapes(&model), path)?;
    Ok(parameters::import(model, tensors))
}

/// `m.NAME` and `v.NAME`, flattened, for each parameter that has moments.
fn export_moments(names: &[&str], moments: &[AdamMoments]) -> Vec<NamedTensor> {
    let tensor = |kind: &str, name: &str, values: &Tensor<1>| NamedTensor {
        name: format!("{kind}.{name}"),
        shape: vec![values.dims()[0]],
        values: crate::tensors::values_of(values.clone()),
    };
    let pairs = names.iter().zip(moments).filter_map(|(name, pair)| pair.as_ref().map(|pair| (name, pair)));
    pairs.flat_map(|(name, (m, v))| [tensor("m", name, m), tensor("v", name, v)]).collect()
}

fn read_moments(
    bytes: &[u8],
    path: &Path,
    parameters: &[(String, Vec<usize>)],
    device: &Device,
) -> Result<Vec<AdamMoments>> {
    let file = weights::from_bytes(bytes, path)?;
    let has: Vec<bool> =
        parameters.iter().map(|(name, _)| file.tensors.iter().any(|t| t.name == format!("m.{name}"))).collect();
    let expected: Vec<(String, Vec<usize>)> = parameters
        .iter()
        .zip(&has)
        .filter(|(_, has)| **has)
        .flat_map(|((name, shape), _)| {
            let count = vec![shape.iter().product()];
            [(format!("m.{name}"), count.clone()), (format!("v.{name}"), count)]
        })
        .collect();
    let mut tensors = weights::check(file, &expected, path)?.into_iter().map(|t| {
        let count = t.values.len();
        Tensor::<1>::from_data(TensorData::new(t.values, [count]), &device.clone().without_autodiff())
    });
    let mut pair = || tensors.next().zip(tensors.next());
    Ok(has.into_iter().map(|has| if has { pair() } else { None }).collect())
}

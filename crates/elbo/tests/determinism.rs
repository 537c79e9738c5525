//! Training is a function of its configuration: equal seeds give equal bytes, thread counts and interruptions change nothing,
//! and what diverges is reported and never saved.
//!
//! Each family and all that a checkpoint must remember is covered by [`settings`]; models with two optimisers by `adversarial.rs`.
//!
//! Every test holds [`alone`]: the thread count is global, and kernels of two trainers at once would each run on one thread.

#[path = "support/families.rs"]
mod families;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::tensor::Device;
use elbo::data::digits;
use elbo::data::split::{Splits, Subset};
use elbo::error::{Error, Result};
use elbo::models::{Learner, ModelConfig, ObjectiveConfig};
use elbo::networks::{NetworkConfig, Nonlinearity, Normalization, ResnetConfig};
use elbo::run::weights::NamedTensor;
use elbo::run::{atomic, parameters};
use elbo::training::{
    Checkpoints, EarlyStopping, Ending, Observer, OptimizerConfig, OptimizerKind, Precision, Quiet, Reduction,
    Schedule, StepReport, Stop, TrainState, Trainer, TrainingConfig,
};
use families::{Task, table, with_model};
use sha2::{Digest, Sha256};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// All that steers a run.
#[derive(Clone, Default)]
struct Setting {
    model: ModelConfig,
    network: NetworkConfig,
    training: TrainingConfig,
    objective: ObjectiveConfig,
    optimizer: OptimizerConfig,
    schedule: Schedule,
    early_stopping: EarlyStopping,
}

const EPOCHS: usize = 4;
/// Seven steps: six whole batches and one of eight.
const TRAIN: u32 = 200;
const BATCH: usize = 32;
const STEPS_PER_EPOCH: usize = 7;

/// `train` digits to learn from and 30 to validate on.
fn data(train: u32) -> Splits {
    let source = Arc::new(digits::generate(5, train as usize + 30));
    let part = |range: std::ops::Range<u32>| Subset::new(source.clone(), range.collect::<Vec<_>>());
    let validation = Some(part(train..train + 30));
    Splits { train: part(0..train), validation, test: part(0..0), validation_is_test: false }
}

fn small(kind: &str) -> Setting {
    Setting {
        model: table(kind, "latent = 3"),
        network: NetworkConfig::mlp(&[24]),
        training: TrainingConfig { epochs: EPOCHS, batch_size: BATCH, ..Default::default() },
        ..Default::default()
    }
}

/// Settings that together use everything a checkpoint must remember.
fn settings() -> Vec<(&'static str, Setting)> {
    let vae = small("vae");
    let clipped_adamw = OptimizerConfig {
        kind: OptimizerKind::AdamW,
        lr: 3e-3,
        eps: 1e-5,
        weight_decay: 0.01,
        clip_norm: 5.0,
        ..Default::default()
    };
    let waiting = EarlyStopping { patience: 2, min_delta: 1e4, ..Default::default() };
    vec![
        (
            "vae with warm-up, stairs, AdamW, clipping and patience",
            Setting {
                objective: ObjectiveConfig { warmup_epochs: 2.5, beta: 2.0, ..Default::default() },
                schedule: Schedule::Step { epochs: 1.5, factor: 0.5 },
                optimizer: clipped_adamw.clone(),
                early_stopping: EarlyStopping { patience: 9, ..waiting.clone() },
                ..vae.clone()
            },
        ),
        (
            "vae with cycles, free bits, half a cosine and the sum",
            Setting {
                objective: ObjectiveConfig { cycle_epochs: 1.7, free_bits: 0.1, ..Default::default() },
                schedule: Schedule::Cosine { min_lr: 1e-5 },
                training: TrainingConfig { reduction: Reduction::Sum, seed: 3, ..vae.training.clone() },
                ..vae.clone()
            },
        ),
        (
            "vae with rounded products, where the processor has them",
            Setting {
                network: NetworkConfig::mlp(&[64]),
                training: TrainingConfig { precision: Precision::Bf16, ..vae.training.clone() },
                ..vae.clone()
            },
        ),
        ("vae that stops early", Setting { early_stopping: waiting, ..vae }),
        (
            "convolutions with batch norm at an odd size",
            Setting { network: NetworkConfig::conv(&[4, 5, 6]), ..small("vae") },
        ),
        (
            "residual ae with group norm",
            Setting {
                network: NetworkConfig::Resnet(ResnetConfig {
                    channels: vec![4, 6, 8].into(),
                    blocks: 1,
                    norm: Normalization::Group,
                    hidden: vec![9],
                    activation: Nonlinearity::Silu,
                }),
                ..small("ae")
            },
        ),
        (
            "ae with coupled decay",
            Setting {
                optimizer: OptimizerConfig { weight_decay: 1e-4, ..Default::default() },
                model: table("ae", "latent = 3\nlikelihood = 'sse'"),
                ..small("ae")
            },
        ),
        (
            "iwae with dreg, batch norm and a learned scale",
            Setting {
                model: table("iwae", "latent = 3\nsamples = 3\ndreg = true\nlikelihood = 'gaussian-shared'"),
                network: NetworkConfig::conv(&[4, 5]),
                ..small("iwae")
            },
        ),
        (
            "vq-vae with a codebook of moving averages",
            Setting { model: table("vq-vae", ""), network: NetworkConfig::conv(&[4, 5]), ..small("vae") },
        ),
        (
            "vq-vae-2 with codebooks of moving averages",
            Setting { model: table("vq-vae-2", ""), network: NetworkConfig::conv(&[4, 5]), ..small("vae") },
        ),
        (
            "cvae of maps with a moving average of its weights",
            Setting {
                network: NetworkConfig::conv(&[4, 5]),
                training: TrainingConfig { ema: 0.9, ..small("cvae").training },
                ..small("cvae")
            },
        ),
    ]
}

impl Setting {
    /// Does something with the model before its first step.
    fn built<T: Task>(&self, seed: u64, task: T) -> T::Output {
        let plain = families::setting([1, 28, 28], &self.network);
        with_model(&self.model, &elbo::models::Setting { classes: 10, loss: &self.objective, ..plain }, seed, task)
    }

    /// A run at its first step that saves into `folder`.
    fn start<'a>(&self, data: &'a Splits, folder: &Path) -> Box<dyn Run + 'a> {
        self.built(self.training.seed, Start { setting: self, data, folder, spoilt: None })
    }

    /// A run taken up from `folder` as another process would: nothing is shared with the trainer that saved.
    fn resume<'a>(&self, data: &'a Splits, folder: &Path) -> Box<dyn Run + 'a> {
        self.built(999, Resume { setting: self, data, folder })
    }

    fn trainer<'a, L: Learner>(&self, model: L, data: &'a Splits, folder: &Path) -> Trainer<'a, L> {
        let mut trainer = Trainer::new(model, data, self.optimizer.clone(), &Device::default());
        trainer.config = self.training.clone();
        trainer.schedule = self.schedule;
        trainer.early_stopping = self.early_stopping.clone();
        trainer.checkpoints = Some(Checkpoints::new(folder, "the configuration"));
        trainer
    }
}

/// A trainer, whatever it trains.
trait Run {
    fn run(&mut self, observer: &mut dyn Observer, stop: &Stop) -> Result<Ending>;
    fn state(&self) -> &TrainState;
    fn weights(&self) -> Vec<NamedTensor>;
}

impl<L: Learner> Run for Trainer<'_, L> {
    fn run(&mut self, observer: &mut dyn Observer, stop: &Stop) -> Result<Ending> {
        Trainer::run(self, observer, stop)
    }

    fn state(&self) -> &TrainState {
        &self.state
    }

    fn weights(&self) -> Vec<NamedTensor> {
        parameters::export(self.model())
    }
}

struct Start<'s, 'a> {
    setting: &'s Setting,
    data: &'a Splits,
    folder: &'s Path,
    /// A parameter one of whose numbers is not finite.
    spoilt: Option<&'s str>,
}

impl<'a> Task for Start<'_, 'a> {
    type Output = Box<dyn Run + 'a>;

    fn with<L: Learner + 'static>(self, model: L) -> Self::Output {
        let mut weights = parameters::export(&model);
        if let Some(name) = self.spoilt {
            weights.iter_mut().find(|tensor| tensor.name == name).expect("a parameter of the model").values[5] =
                f32::NAN;
        }
        Box::new(self.setting.trainer(parameters::import(model, weights), self.data, self.folder))
    }
}

struct Resume<'s, 'a> {
    setting: &'s Setting,
    data: &'a Splits,
    folder: &'s Path,
}

impl<'a> Task for Resume<'_, 'a> {
    type Output = Box<dyn Run + 'a>;

    fn with<L: Learner + 'static>(self, model: L) -> Self::Output {
        let (saved, device) = (Checkpoints::new(self.folder, ""), Device::default());
        let resumed = saved.resume(model.clone(), &self.setting.optimizer, &device).expect("a checkpoint to resume");
        assert!(resumed.passed_over.is_empty());
        let mut trainer = self.setting.trainer(model, self.data, self.folder);
        resumed.into_trainer(&mut trainer);
        Box::new(trainer)
    }
}

/// The weights of `best`.
struct Best<'s>(&'s Path);

impl Task for Best<'_> {
    type Output = Vec<NamedTensor>;

    fn with<L: Learner + 'static>(self, model: L) -> Self::Output {
        let (model, sha256) = Checkpoints::new(self.0, "").load("best", model).expect("`best` loads");
        assert_eq!(checksums(self.0).iter().find(|(name, _)| name == "best/model.safetensors").unwrap().1, sha256);
        parameters::export(&model)
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// SHA-256 of every file of both checkpoints.
fn checksums(folder: &Path) -> Vec<(String, String)> {
    const EMA: &str = "ema.safetensors";
    let files = [
        ("last", ["model.safetensors", "optimizer.safetensors", "state.json", "config.toml", EMA].as_slice()),
        ("best", ["model.safetensors", "config.toml"].as_slice()),
    ];
    let sum = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let of = |(which, names): (&str, &[&str])| {
        let checkpoint = atomic::open_dir(folder.join(which)).expect("a valid checkpoint");
        let saved = names.iter().filter(|name| **name != EMA || checkpoint.file(EMA).is_ok());
        let sums = saved.map(|name| (format!("{which}/{name}"), sum(checkpoint.file(name).expect("saved"))));
        sums.collect::<Vec<_>>()
    };
    files.into_iter().flat_map(of).collect()
}

/// Runs to the end and returns the checksums of what is saved.
fn finish(mut trainer: Box<dyn Run + '_>, folder: &Path) -> (Ending, Vec<(String, String)>) {
    let ending = trainer.run(&mut Quiet, &Stop::new()).expect("training works");
    (ending, checksums(folder))
}

/// Asks training to stop once this many steps are done.
struct StopAfter<'a>(usize, &'a Stop);

impl Observer for StopAfter<'_> {
    fn step(&mut self, _: &StepReport) -> Result<()> {
        self.0 -= 1;
        if self.0 == 0 {
            self.1.request();
        }
        Ok(())
    }
}

fn interrupt(mut trainer: Box<dyn Run + '_>, steps: usize) {
    let stop = Stop::new();
    let ending = trainer.run(&mut StopAfter(steps, &stop), &stop).expect("training works");
    assert_eq!(ending, Ending::Interrupted, "after {steps} steps");
}

#[test]
fn equal_seeds_give_equal_files_and_other_seeds_do_not() {
    let _alone = alone();
    let data = data(TRAIN);
    for (name, setting) in settings() {
        let run = |setting: &Setting| {
            let folder = folder();
            finish(setting.start(&data, folder.path()), folder.path())
        };
        let first = run(&setting);
        assert_eq!(first, run(&setting), "{name}");
        let mut other = setting.clone();
        other.training.seed += 1;
        let other = run(&other);
        for (a, b) in first.1.iter().zip(&other.1).filter(|(a, _)| !a.0.ends_with("config.toml")) {
            assert_ne!(a, b, "{name}: another seed");
        }
    }
}

#[test]
fn thread_counts_change_no_bit_of_a_checkpoint() {
    let _alone = alone();
    // Layers wide enough to be cut into parts.
    let data = data(448);
    let mut setting =
        Setting { optimizer: OptimizerConfig { clip_norm: 30.0, ..Default::default() }, ..Default::default() };
    setting.training.epochs = 2;
    let before = elbo_kernels::threads();
    let runs = [1, 2, 3].map(|threads| {
        elbo_kernels::set_threads(threads);
        let folder = folder();
        finish(setting.start(&data, folder.path()), folder.path())
    });
    elbo_kernels::set_threads(before);
    assert_eq!(runs[0], runs[1], "one thread and two");
    assert_eq!(runs[0], runs[2], "one thread and three");
}

#[test]
fn interrupted_runs_end_like_uninterrupted_ones() {
    let _alone = alone();
    let data = data(TRAIN);
    for (name, setting) in settings() {
        let whole = folder();
        let expected = finish(setting.start(&data, whole.path()), whole.path());
        // The first step, the middle and the last step of an epoch, the first of the next, and the last of those that all settings take.
        for steps in [1, 4, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, 3 * STEPS_PER_EPOCH - 1] {
            let parts = folder();
            interrupt(setting.start(&data, parts.path()), steps);
            let found = finish(setting.resume(&data, parts.path()), parts.path());
            assert_eq!(found, expected, "{name}, interrupted after {steps} steps");
        }
    }
}

#[test]
fn a_run_interrupted_again_and_again_ends_the_same() {
    let _alone = alone();
    let data = data(TRAIN);
    for (name, setting) in settings() {
        let (whole, parts) = (folder(), folder());
        let expected = finish(setting.start(&data, whole.path()), whole.path());
        interrupt(setting.start(&data, parts.path()), 3);
        for steps in [1, 5, 2, 7] {
            interrupt(setting.resume(&data, parts.path()), steps);
        }
        assert_eq!(finish(setting.resume(&data, parts.path()), parts.path()), expected, "{name}");
    }
}

#[test]
fn a_finished_run_with_more_epochs_continues_as_if_it_had_not_ended() {
    let _alone = alone();
    let data = data(TRAIN);
    // Half a cosine is left out: with other epochs it is another curve.
    for (name, setting) in settings().into_iter().filter(|(_, s)| !matches!(s.schedule, Schedule::Cosine { .. })) {
        let (whole, parts) = (folder(), folder());
        let (ending, expected) = finish(setting.start(&data, whole.path()), whole.path());
        let mut half = setting.clone();
        half.training.epochs = EPOCHS / 2;
        assert_eq!(finish(half.start(&data, parts.path()), parts.path()).0, Ending::Finished, "{name}");
        assert_eq!(finish(setting.resume(&data, parts.path()), parts.path()), (ending, expected.clone()), "{name}");
        // Resuming what has ended changes nothing.
        assert_eq!(finish(setting.resume(&data, parts.path()), parts.path()), (ending, expected), "{name}");
    }
}

#[test]
fn settings_use_what_their_names_say() {
    let _alone = alone();
    let data = data(TRAIN);
    for (name, setting) in settings() {
        let folder = folder();
        let mut trainer = setting.start(&data, folder.path());
        let ending = trainer.run(&mut Quiet, &Stop::new()).expect("training works");
        let state = trainer.state();
        let early = name.contains("stops early");
        assert_eq!(ending, if early { Ending::StoppedEarly } else { Ending::Finished }, "{name}");
        // The first epoch improves on nothing; two more without improvement use up the patience.
        let epochs = if early { 3 } else { EPOCHS };
        assert_eq!((state.history.len(), state.stopped_early), (epochs, early), "{name}");
        assert_eq!(state.step, epochs * STEPS_PER_EPOCH, "{name}");
        assert!(state.history.iter().all(|epoch| epoch.validation.is_some()), "{name}");
        let losses: Vec<f64> = state.history.iter().map(|epoch| epoch.train.get("recon").expect("reported")).collect();
        assert!(losses.is_sorted_by(|earlier, later| later < earlier), "{name} learns: {losses:?}");
    }
}

/// What a run that must diverge reports: epoch, step, term and tensor.
fn divergence(mut trainer: Box<dyn Run + '_>) -> (usize, usize, String, Option<String>) {
    match trainer.run(&mut Quiet, &Stop::new()) {
        Err(Error::Diverged { epoch, step, term, value, tensor }) => {
            assert!(!value.is_finite());
            (epoch, step, term, tensor)
        }
        other => panic!("not a divergence: {other:?}"),
    }
}

#[test]
fn divergence_is_reported_and_leaves_the_checkpoints_of_before() {
    let _alone = alone();
    let data = data(TRAIN);
    let sane = small("vae");
    // From the second epoch on, the rate is a million.
    let wild = Setting { schedule: Schedule::Step { epochs: 1.0, factor: 1e9 }, ..sane.clone() };
    let one_epoch = Setting { training: TrainingConfig { epochs: 1, ..sane.training.clone() }, ..sane.clone() };
    let (good, folder) = (folder(), folder());
    let (_, expected) = finish(one_epoch.start(&data, good.path()), good.path());

    let (epoch, step, term, _) = divergence(wild.start(&data, folder.path()));
    // The step at that rate ruins the weights, the one after it shows.
    assert_eq!((epoch, step), (2, STEPS_PER_EPOCH + 2));
    assert!(["recon", "kl", "loss", "gradient"].contains(&term.as_str()), "{term}");
    assert_eq!(checksums(folder.path()), expected, "`last` and `best` are those of the first epoch");

    let resumed = sane.resume(&data, folder.path());
    assert_eq!((resumed.state().epoch, resumed.state().step), (2, STEPS_PER_EPOCH));
    assert!(resumed.weights().iter().all(|t| t.values.iter().all(|v| v.is_finite())));
    assert!(sane.built(1, Best(folder.path())).iter().all(|t| t.values.iter().all(|v| v.is_finite())));
    assert_eq!(finish(resumed, folder.path()).0, Ending::Finished, "a saner rate goes on from there");
}

#[test]
fn a_rate_of_a_million_diverges_in_its_second_step_and_saves_nothing() {
    let _alone = alone();
    let data = data(TRAIN);
    let mut setting = small("vae");
    setting.optimizer.lr = 1e6;
    let folder = folder();
    let (epoch, step, ..) = divergence(setting.start(&data, folder.path()));
    assert_eq!((epoch, step), (1, 2));
    assert!(atomic::open_dir(folder.path().join("last")).is_err());
}

#[test]
fn a_weight_that_is_not_finite_is_named() {
    let _alone = alone();
    let data = data(TRAIN);
    for (kind, name) in [("vae", "log_var.weight"), ("ae", "decoder.layers.1.bias")] {
        let (setting, folder) = (small(kind), folder());
        let start = Start { setting: &setting, data: &data, folder: folder.path(), spoilt: Some(name) };
        let (epoch, step, term, tensor) = divergence(setting.built(0, start));
        assert_eq!((epoch, step, tensor.as_deref()), (1, 1, Some(name)), "{term}");
        assert!(atomic::open_dir(folder.path().join("last")).is_err());
    }
}

/// Loss and gradient are finite, but float32 cannot hold the gradient's square: saved, the moments could not be read again.
#[test]
fn moments_that_overflow_are_a_divergence_too() {
    let _alone = alone();
    let data = data(TRAIN);
    let mut setting = small("vae");
    setting.model = table("vae", "latent = 3\nlikelihood = 'gaussian'\nsigma = 1e-12");
    let folder = folder();
    let (epoch, step, term, tensor) = divergence(setting.start(&data, folder.path()));
    assert_eq!((epoch, step, term.as_str()), (1, 1, "gradient"));
    assert!(tensor.is_some());
    assert!(atomic::open_dir(folder.path().join("last")).is_err());
}

//! What goes wrong inside comes out as an error: a panic on a worker thread ends training with [`Error::Internal`], not the process and not in a
//! deadlock, and neither the checkpoint, the lock nor the pool suffers.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once};

use burn::module::Module;
use burn::tensor::Device;
use elbo::data::batch::Batch;
use elbo::data::{self, DataConfig, ImageShape, Source, Splits, Subset};
use elbo::distributions::Likelihood;
use elbo::error::{Error, ErrorKind, Result};
use elbo::models::{Architecture, Learner, Loss, Model, Report, Vae};
use elbo::networks::{NetworkConfig, Pass};
use elbo::recipe::Layers;
use elbo::space::{Domain, Space};
use elbo::tasks::TrainingRun;
use elbo::training::{
    Checkpoints, Ending, Observer, OptimizerConfig, Quiet, StepReport, Stop, Trainer, train_classifier,
};

/// Tests here count calls and use all threads: one at a time. Panics that are expected are not printed.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.to_string().contains("on purpose") {
                usual(info);
            }
        }));
    });
    elbo::device::set_threads(3);
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A parallel region one of whose parts fails.
fn failing_region() {
    elbo_kernels::parallel(8, |part| assert!(part != 5, "part five failed on purpose"));
}

/// Calls of [`Faulty::loss`] until one fails; below zero for never.
static CALLS_LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// A VAE with a fault in one of its forward passes.
#[derive(Module, Debug)]
struct Faulty {
    inner: Vae,
}

impl Model for Faulty {
    fn space(&self) -> Space {
        self.inner.space()
    }
}

impl Learner for Faulty {
    fn reports(&self) -> &'static [Report] {
        self.inner.reports()
    }
    fn loss(&self, update: usize, batch: &Batch, pass: &Pass) -> Loss {
        if CALLS_LEFT.fetch_sub(1, SeqCst) == 1 {
            failing_region();
        }
        self.inner.loss(update, batch, pass)
    }
}

fn digits() -> Splits {
    data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {}).unwrap()
}

fn vae(device: &Device) -> Vae {
    Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::mlp(&[16]), Likelihood::Bernoulli), 0, device)
}

fn assert_internal(outcome: Result<Ending>) {
    let error = outcome.expect_err("a fault");
    assert!(matches!(&error, Error::Internal { message, .. } if message.contains("on purpose")), "{error}");
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.help().contains("elbo resume"));
}

fn saved(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("last/model.safetensors")).expect("a checkpoint")
}

#[test]
fn a_fault_in_a_step_or_a_validation_is_an_error_and_leaves_the_checkpoint_and_the_pool() {
    let _alone = alone();
    let (folder, device, data) = (tempfile::tempdir().unwrap(), elbo::device::choose("cpu").unwrap(), digits());
    let mut checked = 0;
    // Two steps and one validation an epoch: the fifth call is the second epoch's second step, the sixth its validation.
    for calls in [5, 6] {
        let mut trainer = Trainer::new(Faulty { inner: vae(&device) }, &data, OptimizerConfig::default(), &device);
        trainer.config.epochs = 3;
        trainer.checkpoints = Some(Checkpoints::new(folder.path().to_owned(), String::new()));
        trainer.config.epochs = 1;
        CALLS_LEFT.store(usize::MAX, SeqCst);
        assert_eq!(trainer.run(&mut Quiet, &Stop::new()).unwrap(), Ending::Finished);
        let good = saved(folder.path());
        trainer.config.epochs = 3;
        CALLS_LEFT.store(calls - 3, SeqCst);
        assert_internal(trainer.run(&mut Quiet, &Stop::new()));
        assert_eq!(saved(folder.path()), good, "nothing of the failed epoch was saved");
        checked += 1;
    }
    assert_eq!(checked, 2);
    CALLS_LEFT.store(usize::MAX, SeqCst);
    let mut trainer = Trainer::new(vae(&device), &data, OptimizerConfig::default(), &device);
    trainer.config.epochs = 1;
    assert_eq!(trainer.run(&mut Quiet, &Stop::new()).unwrap(), Ending::Finished, "the next one trains");
}

/// Digits one of which cannot be read, as if a decoder had a fault.
struct Unreadable(Arc<dyn Source>);

impl Source for Unreadable {
    fn name(&self) -> &str {
        "unreadable"
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn shape(&self) -> ImageShape {
        self.0.shape()
    }
    fn read(&self, index: usize, pixels: &mut [u8]) {
        assert!(index != 77, "image 77 failed on purpose");
        self.0.read(index, pixels);
    }
    fn label(&self, _: usize) -> Option<u32> {
        None
    }
    fn label_names(&self) -> &[String] {
        &[]
    }
    fn fingerprint(&self) -> &str {
        "unreadable"
    }
}

#[test]
fn a_fault_while_a_batch_is_read_is_an_error() {
    let _alone = alone();
    let device = elbo::device::choose("cpu").unwrap();
    let source = digits().train.source().clone();
    let train = Subset::all(Arc::new(Unreadable(source)));
    let data = Splits { validation: None, test: train.take(0), train, validation_is_test: false };
    let mut trainer = Trainer::new(vae(&device), &data, OptimizerConfig::default(), &device);
    assert_internal(trainer.run(&mut Quiet, &Stop::new()));
}

/// Real numbers that float32 holds but whose squares it does not, in two classes.
struct Absurd(Vec<f32>);

impl Source for Absurd {
    fn name(&self) -> &str {
        "absurd"
    }
    fn len(&self) -> usize {
        self.0.len() / 64
    }
    fn shape(&self) -> ImageShape {
        ImageShape::grey(8, 8)
    }
    fn read(&self, _: usize, _: &mut [u8]) {
        unreachable!("there are no bytes")
    }
    fn domain(&self) -> Domain {
        Domain::Real
    }
    fn floats(&self) -> Option<&[f32]> {
        Some(&self.0)
    }
    fn label(&self, index: usize) -> Option<u32> {
        Some((index % 2) as u32)
    }
    fn label_names(&self) -> &[String] {
        static NAMES: LazyLock<[String; 2]> = LazyLock::new(|| ["even".into(), "odd".into()]);
        NAMES.as_slice()
    }
    fn fingerprint(&self) -> &str {
        "absurd"
    }
}

/// The features of a classifier that diverged unseen would be taken for a space to measure distances in.
#[test]
fn a_classifier_that_diverges_is_an_error() {
    let _alone = alone();
    let device = elbo::device::choose("cpu").unwrap();
    let rows = |size: f32| (0..64 * 40).map(|i| if i % 3 == 0 { size } else { -size }).collect::<Vec<_>>();
    let split = |size| Subset::all(Arc::new(Absurd(rows(size))));
    assert!(train_classifier(&split(0.5), 1, 0, &device).is_ok(), "the same with sane numbers");
    let error = train_classifier(&split(3e37), 1, 0, &device).unwrap_err();
    assert!(matches!(&error, Error::Diverged { epoch: 1, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Diverged);
}

/// Fails in the second epoch, on a worker thread.
struct FaultyObserver;

impl Observer for FaultyObserver {
    fn step(&mut self, report: &StepReport) -> Result<()> {
        if report.epoch == 2 {
            failing_region();
        }
        Ok(())
    }
}

#[test]
fn a_failed_run_is_unlocked_and_resumes() {
    let _alone = alone();
    let (folder, device) = (tempfile::tempdir().unwrap(), elbo::device::choose("cpu").unwrap());
    let mut layers = Layers::from_recipe("digits").unwrap();
    for setting in ["data.count=200", "training.epochs=2", "network.hidden=[16]", "model.latent=2"] {
        layers.set(setting).unwrap();
    }
    let path = folder.path().join("run");
    let training = TrainingRun::create(layers.build().unwrap(), &path, &device, "cpu", &mut |_| {}).unwrap();
    assert_internal(training.train(&mut FaultyObserver, &Stop::new()).map(|finished| finished.ending));
    let training = TrainingRun::resume(&path, None, &device, "cpu", &mut |_| {}).expect("no longer locked");
    assert_eq!((training.info().status.as_str(), training.info().epochs), ("running", 1));
    assert_eq!(training.train(&mut Quiet, &Stop::new()).unwrap().ending, Ending::Finished);
}

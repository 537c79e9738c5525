//! A request to stop is heard everywhere, not in steps alone: during validation, and while the finished run is evaluated and drawn. What was
//! under way is done again on resuming, to the same numbers.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use burn::module::Module;
use burn::tensor::Device;
use elbo::data::batch::Batch;
use elbo::data::{self, DataConfig, Splits};
use elbo::distributions::Likelihood;
use elbo::error::Result;
use elbo::models::{Architecture, Learner, Loss, Model, Report, Vae};
use elbo::networks::{NetworkConfig, Pass};
use elbo::recipe::Layers;
use elbo::space::Space;
use elbo::tasks::{Finished, TrainingRun};
use elbo::training::{Checkpoints, Ending, EpochEnd, Observer, OptimizerConfig, Quiet, Stop, Trainer};

/// Requested by the model itself.
static STOP: Stop = Stop::new();
/// Forward passes until then.
static PASSES_LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// A VAE that is validated four examples at a time.
#[derive(Module, Debug)]
struct Watched {
    inner: Vae,
}

impl Model for Watched {
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn examples_at_once(&self) -> usize {
        4
    }
}

impl Learner for Watched {
    fn reports(&self) -> &'static [Report] {
        self.inner.reports()
    }
    fn loss(&self, update: usize, batch: &Batch, pass: &Pass) -> Loss {
        if PASSES_LEFT.fetch_sub(1, SeqCst) == 1 {
            STOP.request();
        }
        self.inner.loss(update, batch, pass)
    }
}

fn watched(device: &Device) -> Watched {
    let network = NetworkConfig::mlp(&[16]);
    Watched { inner: Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, device) }
}

/// Two steps an epoch.
fn digits() -> Splits {
    data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {}).unwrap()
}

#[test]
fn a_validation_is_interrupted_and_done_again() {
    let (folder, device, data) = (tempfile::tempdir().unwrap(), elbo::device::choose("cpu").unwrap(), digits());
    let trainer = || {
        let mut trainer = Trainer::new(watched(&device), &data, OptimizerConfig::default(), &device);
        trainer.config.epochs = 2;
        trainer
    };
    let mut whole = trainer();
    assert_eq!(whole.run(&mut Quiet, &Stop::new()).unwrap(), Ending::Finished);
    let batches = data.validation.as_ref().unwrap().len().div_ceil(4);
    assert!(batches > 2, "a validation of several batches");

    let checkpoints = Checkpoints::new(folder.path(), "");
    let mut stopped = trainer();
    stopped.checkpoints = Some(checkpoints.clone());
    // Two steps, and the first batch of the validation after them.
    PASSES_LEFT.store(3, SeqCst);
    assert_eq!(stopped.run(&mut Quiet, &STOP).unwrap(), Ending::Interrupted);
    assert_eq!((stopped.state.epoch, stopped.state.step_in_epoch, stopped.state.history.len()), (1, 2, 0));

    let mut resumed = trainer();
    checkpoints.resume(watched(&device), &OptimizerConfig::default(), &device).unwrap().into_trainer(&mut resumed);
    assert_eq!(resumed.run(&mut Quiet, &Stop::new()).unwrap(), Ending::Finished);
    assert_eq!(resumed.state.history, whole.state.history);
}

/// Asks to stop when the last epoch is over.
struct AtTheEnd<'a>(&'a Stop, usize);

impl Observer for AtTheEnd<'_> {
    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        if end.record.epoch == self.1 {
            self.0.request();
        }
        Ok(())
    }
}

fn finished(path: &std::path::Path, device: &Device, observer: &mut dyn Observer, stop: &Stop) -> Finished {
    let mut layers = Layers::from_recipe("digits").unwrap();
    for setting in ["data.count=200", "training.epochs=2", "network.hidden=[16]", "model.latent=2"] {
        layers.set(setting).unwrap();
    }
    let run = TrainingRun::create(layers.build().unwrap(), path, device, "cpu", &mut |_| {}).unwrap();
    run.train(observer, stop).unwrap()
}

#[test]
fn the_evaluation_at_the_end_is_interrupted_and_done_again() {
    let (folder, device) = (tempfile::tempdir().unwrap(), elbo::device::choose("cpu").unwrap());
    let whole = finished(&folder.path().join("whole"), &device, &mut Quiet, &Stop::new());
    let (path, stop) = (folder.path().join("stopped"), Stop::new());
    let stopped = finished(&path, &device, &mut AtTheEnd(&stop, 2), &stop);
    assert_eq!((stopped.ending, stopped.info.status.as_str()), (Ending::Interrupted, "interrupted"));
    assert!(stopped.info.test.is_none() && !path.join("report.html").exists());
    let resumed = TrainingRun::resume(&path, None, &device, "cpu", &mut |_| {}).unwrap();
    let resumed = resumed.train(&mut Quiet, &Stop::new()).unwrap();
    assert_eq!((resumed.ending, resumed.info.test), (Ending::Finished, whole.info.test));
    assert!(path.join("report.html").exists());
}

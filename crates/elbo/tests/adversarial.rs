//! Models with two optimisers in a step, by a small adversarial network (Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1), and moving averages of
//! weights: each half moves its own parameters alone, has its own settings, and an interrupted run ends with the bytes of one that was not.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Tensor};
use elbo::data::batch::{Batch, batch};
use elbo::data::digits;
use elbo::data::split::{Splits, Subset};
use elbo::error::Result;
use elbo::models::{Learner, Loss, Model, Report, Update};
use elbo::networks::{Activation, Buffer, Mlp, Pass, When};
use elbo::random::{Draws, Purpose};
use elbo::run::weights::{self, NamedTensor};
use elbo::run::{atomic, parameters};
use elbo::space::Space;
use elbo::tensors::values_of;
use elbo::training::{
    Checkpoints, Ending, Observer, Optimizer, OptimizerConfig, OptimizerKind, Quiet, Schedule, StepReport, Stop,
    Trainer,
};

/// Bytes must not depend on threads, but tests that train at once would each wait for the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// One of the two players.
#[derive(Module, Debug)]
struct Player {
    body: Mlp,
    /// Passes that this half has learned from.
    steps: Buffer<1>,
}

impl Player {
    fn init(widths: &[usize], draws: &mut Draws, device: &Device) -> Self {
        let body = Mlp::init(widths, Activation::Silu, Activation::None, draws, device);
        Self { body, steps: Buffer::new(Tensor::zeros([1], device)) }
    }

    /// Counts a pass.
    fn count(&self, pass: &Pass) {
        pass.see(&self.steps, || self.steps.val() + 1.0);
    }
}

/// A generator of digits and a discriminator that tells them from real ones.
#[derive(Module, Debug)]
struct Adversaries {
    generator: Player,
    discriminator: Player,
}

const SHAPE: [usize; 3] = [1, 28, 28];
const PIXELS: usize = 784;
const LATENT: usize = 4;

fn adversaries(seed: u64) -> Adversaries {
    let (draws, device) = (&mut Draws::new(seed, Purpose::Weights, 0, 0), Device::default());
    let generator = Player::init(&[LATENT, 16, PIXELS], draws, &device);
    Adversaries { generator, discriminator: Player::init(&[PIXELS, 12, 1], draws, &device) }
}

impl Adversaries {
    fn fake(&self, n: usize, pass: &Pass, device: &Device) -> Tensor<2> {
        burn::tensor::activation::sigmoid(self.generator.body.forward(pass.normals([n, LATENT], device)))
    }
}

impl Model for Adversaries {
    fn space(&self) -> Space {
        SHAPE.into()
    }
}

/// How many generator passes the discriminator's pass finds counted.
const COUNTED: Report = Report { name: "counted", unit: "steps", definition: "generator steps absorbed" };
const FOOLED: Report = Report { name: "fooled", unit: "nats", definition: "-E[log D(G(z))]" };
const TOLD: Report = Report { name: "told", unit: "nats", definition: "-E[log D(x)] - E[log(1 - D(G(z)))]" };

impl Learner for Adversaries {
    fn reports(&self) -> &'static [Report] {
        &[FOOLED, TOLD, COUNTED]
    }

    fn updates(&self) -> &'static [Update] {
        &[
            Update { name: "generator", parameters: &["generator."] },
            Update { name: "discriminator", parameters: &["discriminator."] },
        ]
    }

    fn loss(&self, update: usize, batch: &Batch, pass: &Pass) -> Loss {
        let (x, n) = (batch.x.real(), batch.len());
        let fake = self.fake(n, pass, &x.device());
        let real = |logits: Tensor<2>| -log_sigmoid(logits).mean();
        if update == 0 {
            self.generator.count(pass);
            // The gradient reaches the generator through the discriminator, whose own weights then have one too.
            let fooled = real(self.discriminator.body.forward(fake));
            return Loss { total: fooled.clone(), reports: vec![fooled] };
        }
        self.discriminator.count(pass);
        // Without `detach`: the generator has a gradient that its optimiser must not see.
        let told = real(self.discriminator.body.forward(x)) + real(-self.discriminator.body.forward(fake));
        Loss { total: told.clone(), reports: vec![told, self.generator.steps.val()] }
    }
}

const TRAIN: u32 = 70;
const BATCH: usize = 16;
/// Four whole batches and one of six.
const STEPS_PER_EPOCH: usize = 5;
const EPOCHS: usize = 3;

fn data() -> Splits {
    let source = Arc::new(digits::generate(5, TRAIN as usize + 20));
    let part = |range: std::ops::Range<u32>| Subset::new(source.clone(), range.collect::<Vec<_>>());
    let validation = Some(part(TRAIN..TRAIN + 20));
    Splits { train: part(0..TRAIN), validation, test: part(0..0), validation_is_test: false }
}

/// `[optimizer]` for the generator, `[optimizer.updates.discriminator]` for its opponent.
fn optimizers() -> OptimizerConfig {
    let discriminator = OptimizerConfig {
        kind: OptimizerKind::AdamW,
        lr: 4e-3,
        betas: [0.5, 0.9],
        weight_decay: 0.01,
        schedule: Some(Schedule::Step { epochs: 1.0, factor: 0.3 }),
        ..Default::default()
    };
    let updates = [("discriminator".to_owned(), discriminator)].into();
    OptimizerConfig { lr: 2e-3, clip_norm: 0.05, updates, ..Default::default() }
}

fn trainer<'a>(data: &'a Splits, optimizers: &OptimizerConfig, ema: f64) -> Trainer<'a, Adversaries> {
    let mut trainer = Trainer::new(adversaries(1), data, optimizers.clone(), &Device::default());
    (trainer.config.epochs, trainer.config.batch_size, trainer.config.ema) = (EPOCHS, BATCH, ema);
    trainer.schedule = Schedule::Cosine { min_lr: 1e-5 };
    trainer
}

/// Each half's tensors, less the counts of steps.
fn halves(weights: Vec<NamedTensor>) -> [Vec<NamedTensor>; 2] {
    let weights: Vec<_> = weights.into_iter().filter(|tensor| !tensor.name.ends_with("steps")).collect();
    let (generator, discriminator) = weights.into_iter().partition(|tensor| tensor.name.starts_with("generator."));
    [generator, discriminator]
}

fn of(weights: &[NamedTensor], name: &str) -> Vec<f32> {
    weights.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no {name}")).values.clone()
}

#[test]
fn a_half_step_moves_its_own_half() {
    let _alone = alone();
    let (data, device) = (data(), Device::default().autodiff());
    let x = || Batch::of(batch(&data.train, &[0, 1, 2, 3], &device));
    for (update, moved) in adversaries(1).updates().iter().enumerate() {
        let model = adversaries(1).train();
        let before = halves(parameters::export(&model));
        let pass = Pass::new(When::Training { epochs: 0.0 }, Draws::new(0, Purpose::TrainingNoise, 1, 0));
        let mut gradients = model.loss(update, &x(), &pass).total.backward();
        let gradients = GradientsParams::from_module(&mut gradients, &model);
        assert_eq!(gradients.len(), parameters::shapes(&model).len() - 2, "both halves have gradients");
        let mut optimizer = Optimizer::of(moved, &OptimizerConfig { clip_norm: 1e30, ..Default::default() }, &model);
        // The norm that clipping looks at is that of the half alone.
        let norm: f64 = {
            let own = parameters::shapes(&model).into_iter().map(|(name, _)| moved.moves(&name));
            squares(&model, &gradients).into_iter().zip(own).filter(|(_, own)| *own).map(|(square, _)| square).sum()
        };
        let (model, stepped) = optimizer.step(model, gradients, 1e-2);
        let found = stepped.gradient_norm.expect("clipping is on");
        assert!((found - norm.sqrt()).abs() < 1e-5 * norm.sqrt(), "{found} is not {}", norm.sqrt());
        for (half, (before, after)) in before.iter().zip(&halves(parameters::export(&model))).enumerate() {
            for (before, after) in before.iter().zip(after) {
                assert_eq!(before.values != after.values, half == update, "{} in `{}`", before.name, moved.name);
            }
        }
        let names = parameters::shapes(&model).into_iter().map(|(name, _)| name);
        for (name, moments) in names.zip(optimizer.moments()) {
            assert_eq!(moments.is_some(), moved.moves(&name) && !name.ends_with("steps"), "{name}");
        }
    }
}

/// The sum of squares of each parameter's gradient, in visiting order.
fn squares<M: Module>(model: &M, gradients: &GradientsParams) -> Vec<f64> {
    struct Squares<'a>(&'a GradientsParams, Vec<f64>);
    impl burn::module::ModuleVisitor for Squares<'_> {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            let gradient = self.0.get::<D>(param.id).map(values_of).unwrap_or_default();
            self.1.push(gradient.into_iter().map(|g| f64::from(g).powi(2)).sum());
        }
    }
    let mut squares = Squares(gradients, Vec::new());
    model.visit(&mut squares);
    squares.1
}

/// With a rate of 0 for one half, the trainer leaves it where it was, though both losses reach it.
#[test]
fn each_half_has_a_rate_of_its_own() {
    let _alone = alone();
    let data = data();
    let start = halves(parameters::export(&adversaries(1)));
    for still in [0, 1] {
        let mut config = optimizers();
        let discriminator = config.updates.get_mut("discriminator").unwrap();
        if still == 0 {
            config.lr = 0.0
        } else {
            discriminator.lr = 0.0
        }
        let mut trainer = trainer(&data, &config, 0.0);
        trainer.schedule = Schedule::Constant;
        trainer.run(&mut Quiet, &Stop::new()).unwrap();
        let end = halves(parameters::export(trainer.model()));
        for half in [0, 1] {
            assert_eq!(start[half] == end[half], half == still, "half {half} with half {still} at rest");
        }
        assert_eq!(trainer.state.history[0].learning_rate, config.lr, "the record shows the first optimiser's");
    }
}

/// A schedule of one optimiser's own: it stops after the first epoch, the other goes on.
#[test]
fn each_half_has_a_schedule_of_its_own() {
    let _alone = alone();
    let data = data();
    let mut config = optimizers();
    config.updates.get_mut("discriminator").unwrap().schedule = Some(Schedule::Step { epochs: 1.0, factor: 0.0 });
    let mut trainer = trainer(&data, &config, 0.0);
    let ends = [1, 2].map(|epochs| {
        trainer.config.epochs = epochs;
        trainer.run(&mut Quiet, &Stop::new()).unwrap();
        halves(parameters::export(trainer.model()))
    });
    assert_ne!(ends[0][0], ends[1][0], "the generator goes on");
    assert_eq!(ends[0][1], ends[1][1], "the discriminator's rate is 0 from the second epoch on");
}

/// Watches the running means after each step.
#[derive(Default)]
struct Means(Vec<(f64, usize)>);

impl Observer for Means {
    fn step(&mut self, report: &StepReport) -> Result<()> {
        self.0.push((report.mean.get("counted").expect("reported"), report.examples));
        Ok(())
    }
}

/// What a half has seen is put in place before the next half begins, once a step.
#[test]
fn buffers_are_absorbed_after_each_half() {
    let _alone = alone();
    let data = data();
    let mut trainer = trainer(&data, &optimizers(), 0.0);
    let mut means = Means::default();
    trainer.config.epochs = 1;
    trainer.run(&mut means, &Stop::new()).unwrap();
    // Means over examples so far: batches of 16 found 1, 2, 3, ... generator steps.
    let expected: Vec<(f64, usize)> = (1..=4).map(|step| ((step as f64 + 1.0) / 2.0, 16 * step)).collect();
    assert_eq!(means.0[..4], expected);
    let weights = parameters::export(trainer.model());
    for half in ["generator.steps", "discriminator.steps"] {
        assert_eq!(of(&weights, half), [STEPS_PER_EPOCH as f32]);
    }
    assert_eq!(trainer.optimizers.iter().map(Optimizer::time).collect::<Vec<_>>(), [STEPS_PER_EPOCH as u64; 2]);
    let record = &trainer.state.history[0];
    let names: Vec<&str> = record.train.names().collect();
    assert_eq!(names, ["fooled", "told", "counted", "loss"]);
    assert_eq!(record.train.loss(), record.train.get("fooled").unwrap(), "`loss` is the first update's");
    let validated = record.validation.as_ref().unwrap();
    assert_eq!(validated.get("counted"), Some(STEPS_PER_EPOCH as f64), "validation counts nothing");
}

/// Every file of both checkpoints.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let of = |which: &str, names: &[&str]| {
        let checkpoint = atomic::open_dir(folder.join(which)).expect("a valid checkpoint");
        let file = |name: &&str| (format!("{which}/{name}"), checkpoint.file(name).expect("saved").to_vec());
        names.iter().map(file).collect::<Vec<_>>()
    };
    let last = [
        "model.safetensors",
        "ema.safetensors",
        "optimizer.safetensors",
        "optimizer.discriminator.safetensors",
        "state.json",
    ];
    [of("last", &last), of("best", &["model.safetensors"])].concat()
}

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

fn resumed<'a>(data: &'a Splits, folder: &Path) -> Trainer<'a, Adversaries> {
    let checkpoints = Checkpoints::new(folder, "");
    let resumed = checkpoints.resume(adversaries(99), &optimizers(), &Device::default()).expect("a checkpoint");
    let mut trainer = trainer(data, &optimizers(), 0.9);
    resumed.into_trainer(&mut trainer);
    trainer.checkpoints = Some(checkpoints);
    trainer
}

#[test]
fn an_interrupted_run_ends_with_the_bytes_of_one_that_was_not() {
    let _alone = alone();
    let data = data();
    let folder = || tempfile::tempdir().expect("a temporary folder");
    let started = |path: &Path| {
        let mut trainer = trainer(&data, &optimizers(), 0.9);
        trainer.checkpoints = Some(Checkpoints::new(path, ""));
        trainer
    };
    let whole = folder();
    assert_eq!(started(whole.path()).run(&mut Quiet, &Stop::new()).unwrap(), Ending::Finished);
    let expected = files(whole.path());
    for steps in [1, 3, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, 2 * STEPS_PER_EPOCH + 3] {
        let parts = folder();
        let stop = Stop::new();
        let ending = started(parts.path()).run(&mut StopAfter(steps, &stop), &stop).unwrap();
        assert_eq!(ending, Ending::Interrupted);
        let mut trainer = resumed(&data, parts.path());
        assert_eq!(trainer.optimizers.iter().map(Optimizer::time).collect::<Vec<_>>(), [steps as u64; 2]);
        assert_eq!(trainer.run(&mut Quiet, &Stop::new()).unwrap(), Ending::Finished);
        for ((name, found), (_, expected)) in files(parts.path()).iter().zip(&expected) {
            assert_eq!(found, expected, "{name}, interrupted after {steps} steps");
        }
    }
}

#[test]
fn the_second_optimisers_moments_and_time_are_its_own() {
    let _alone = alone();
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let mut trainer = trainer(&data, &optimizers(), 0.0);
    trainer.checkpoints = Some(Checkpoints::new(folder.path(), ""));
    trainer.run(&mut Quiet, &Stop::new()).unwrap();
    let checkpoint = atomic::open_dir(folder.path().join("last")).unwrap();
    for (file, half) in
        [("optimizer.safetensors", "generator"), ("optimizer.discriminator.safetensors", "discriminator")]
    {
        let moments = weights::from_bytes(checkpoint.file(file).unwrap(), file).unwrap().tensors;
        assert_eq!(moments.len(), 2 * 4, "{file}: two moments of two layers' weights and biases");
        for tensor in moments {
            let rest = tensor.name.trim_start_matches("m.").trim_start_matches("v.").to_owned();
            assert!(rest.starts_with(half), "{file}: {}", tensor.name);
        }
    }
    let state: serde_json::Value = serde_json::from_slice(checkpoint.file("state.json").unwrap()).unwrap();
    assert_eq!(state["times"]["discriminator"], (EPOCHS * STEPS_PER_EPOCH) as u64);
    assert!(checkpoint.file("ema.safetensors").is_err(), "no average was asked for");
}

/// `min(0.9, (1 + t) / (10 + t))` of the first steps, by hand.
#[test]
fn the_moving_average_is_what_validation_and_users_get() {
    let _alone = alone();
    let (mut data, folder) = (data(), tempfile::tempdir().unwrap());
    data.train = data.train.take(BATCH);
    let checkpoints = Checkpoints::new(folder.path(), "");
    let start = parameters::export(&adversaries(1));
    let mut trainer = trainer(&data, &optimizers(), 0.9);
    trainer.config.epochs = 1; // of one step
    trainer.checkpoints = Some(checkpoints.clone());
    trainer.run(&mut Quiet, &Stop::new()).unwrap();
    let newest = parameters::export(trainer.model());
    let (best, sha256) = checkpoints.load("best", adversaries(2)).unwrap();
    let best = parameters::export(&best);
    let decay = 2.0 / 11.0; // below 0.9
    let weights = |all: &[NamedTensor]| halves(all.to_vec()).concat();
    for (start, (newest, best)) in weights(&start).iter().zip(weights(&newest).iter().zip(&weights(&best))) {
        for (start, (newest, best)) in start.values.iter().zip(newest.values.iter().zip(&best.values)) {
            let expected = start * decay + newest * (1.0 - decay);
            assert!((best - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{best} is not {expected}");
        }
    }
    assert_ne!(best, newest);
    assert_eq!(of(&best, "generator.steps"), [1.0], "buffers are copied");

    let (last, of_last) = checkpoints.load("last", adversaries(2)).unwrap();
    assert_eq!((parameters::export(&last), of_last), (best.clone(), sha256), "`last` is read as its average too");
    let validated = trainer.state.history[0].validation.clone().unwrap();
    assert_eq!(parameters::export(&trainer.into_model()), best, "and so is the trainer's model");

    // Validation's numbers are those of the average: the loss of the same draws with its weights, not with the newest.
    let device = Device::default();
    let judged = |weights: &[NamedTensor]| {
        let model = parameters::import(adversaries(2), weights.to_vec());
        let split = data.validation.as_ref().unwrap();
        let x = Batch::of_split(split, &(0..split.len() as u32).collect::<Vec<_>>(), model.needs(), &device);
        let pass = Pass::judging(Draws::new(0, Purpose::EvaluationNoise, 1, 0));
        f64::from(values_of(model.loss(0, &x, &pass).total)[0])
    };
    assert_eq!(validated.loss(), judged(&best));
    assert_ne!(validated.loss(), judged(&newest));
}

//! `elbo bench`: the speed of real training steps, through the same trainer that `elbo train` uses.
//!
//! Workloads and keys are those of the PyTorch side in `bench/`: Adam 1e-3, Bernoulli from logits and KL, mean over the batch.

mod discrete;
mod kernels;

use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use super::reading::Reading;
use crate::data::augment::Augment;
use crate::data::batch::{Batch, Given, batch};
use crate::data::{self, ImageShape, InMemory, Splits, Subset, Validation};
use crate::distributions::Likelihood;
use crate::error::{Error, Result};
use crate::models::{Architecture, Encode, Family, Learner, Setting, Vae, VectorCode, Visit};
use crate::networks::{NetworkConfig, Pass};
use crate::random::{Draws, Purpose};
use crate::recipe::{Layers, RunConfig};
use crate::training::{Observer, OptimizerConfig, Precision, StepReport, StepTimes, Stop, Trainer};

/// What is measured.
///
/// ```
/// use elbo::tasks::Workload;
///
/// assert_eq!(Workload::named("mlp")?, Workload::Mlp);
/// assert!(Workload::named("mpl").is_err());
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workload {
    /// Training 784-400-20 at batch 128, shuffling and conversion included.
    Mlp,
    /// The same at batch 512.
    Mlp512,
    /// Training on 1 x 32 x 32: 4 x 4 stride-2 convolutions 32-64-128 with batch norm, mirrored, 16 latents, batch 128.
    ConvS,
    /// The same with 128-256-512.
    ConvM,
    /// The encoder of `mlp`, inference, batch 512.
    Encode,
    /// The same network's decoder alone.
    Decode,
    /// The recipe `faces`, from picture files to training steps.
    Faces,
    /// The recipe `cifar10-conv`, from JPEG or binary files to training steps.
    Cifar10,
    /// Attention forward and backward: batch 32, 4 heads, 256 tokens, width 64.
    Attention,
    /// Layer norm forward and backward: 8,192 rows of 256 values.
    LayerNorm,
    /// Group norm and SiLU forward and backward: batch 32, 16 x 16, 128 channels in 32 groups.
    GroupNormSilu,
    /// Training the first stage of the recipe `cifar10-vq` on noise, batch 32.
    Cifar10Vq,
    /// Training its second stage, a transformer of 4 layers of 128, on 64 symbols of 512, batch 128.
    Prior,
    /// 1,000 rows of 7 x 7 symbols of 128 from such a transformer.
    PriorSample,
    /// The same without its cache of keys and values: every symbol a pass over the whole row.
    PriorSampleUncached,
}

/// Workloads by name.
const NAMES: [(&str, Workload); 15] = [
    ("mlp", Workload::Mlp),
    ("mlp512", Workload::Mlp512),
    ("conv-s", Workload::ConvS),
    ("conv-m", Workload::ConvM),
    ("encode", Workload::Encode),
    ("decode", Workload::Decode),
    ("faces", Workload::Faces),
    ("cifar10", Workload::Cifar10),
    ("attention", Workload::Attention),
    ("layer-norm", Workload::LayerNorm),
    ("group-norm-silu", Workload::GroupNormSilu),
    ("cifar10-vq", Workload::Cifar10Vq),
    ("prior", Workload::Prior),
    ("prior-sample", Workload::PriorSample),
    ("prior-sample-uncached", Workload::PriorSampleUncached),
];

/// What came out.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Measured {
    /// Name of the workload.
    pub workload: &'static str,
    /// `elbo`, where the PyTorch side has `eager`, `compile` and so on.
    pub mode: &'static str,
    /// How many threads it ran on.
    pub threads: usize,
    /// Precision of the training steps' matrix products.
    pub precision: Precision,
    /// Images, or what else the workload counts (rows of a layer norm), a second in the best repetition.
    pub images_per_s: f64,
    /// Milliseconds a step in the best repetition.
    pub ms_per_step: f64,
    /// Images a second of every repetition.
    pub reps: Vec<f64>,
    /// Milliseconds a step by part, over all repetitions; none for inference, or where nobody asked.
    pub profile: Option<Profile>,
    /// What came before the steps, for workloads that begin with files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<Pipeline>,
}

/// From files to the first epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Pipeline {
    /// Pictures found, decoded and brought to their size, without any cache.
    pub decoded: usize,
    /// Seconds that took.
    pub decode_seconds: f64,
    /// Pictures a second.
    pub decode_images_per_s: f64,
    /// Training pictures over the time of decoding and one epoch of steps at their best speed.
    pub end_to_end_images_per_s: f64,
}

/// Milliseconds a step by part.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct Profile {
    /// Gathering the batch and drawing the noise.
    pub gather: f64,
    /// Milliseconds in the forward pass.
    pub forward: f64,
    /// Weighting and reading the loss.
    pub loss: f64,
    /// Milliseconds in the backward pass.
    pub backward: f64,
    /// Milliseconds in the optimiser.
    pub optimizer: f64,
    /// Floating-point operations of the step's matrix products, in units of 1e9.
    pub gflop: f64,
    /// Those a second, all parts together.
    pub gflops: f64,
    /// What one large product reaches on the same threads, measured just before.
    pub peak_gflops: f64,
    /// `gflops / peak_gflops`.
    pub share_of_peak: f64,
}

impl Workload {
    /// The workload called `name`.
    ///
    /// # Errors
    /// [`Error::Config`] listing the names.
    pub fn named(name: &str) -> Result<Self> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, workload)| *workload).ok_or_else(|| {
            let names = NAMES.map(|(name, _)| name).join(", ");
            Error::config("workload", format!("one of {names}"), format!("`{name}`"), "choose one of them")
        })
    }

    fn is_training(self) -> bool {
        use Workload::{Cifar10, Cifar10Vq, ConvM, ConvS, Faces, Mlp, Mlp512, Prior};
        matches!(self, Mlp | Mlp512 | ConvS | ConvM | Faces | Cifar10 | Cifar10Vq | Prior)
    }

    fn takes_data(self) -> bool {
        use Workload::{Cifar10, Decode, Encode, Faces, Mlp, Mlp512};
        matches!(self, Mlp | Mlp512 | Encode | Decode | Faces | Cifar10)
    }

    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, workload)| *workload == self).map_or("", |(name, _)| name)
    }
}

/// What to measure and how.
#[derive(Debug, Clone)]
pub struct Bench {
    /// What is measured.
    pub workload: Workload,
    /// Which data, and how they are read: 28 x 28 images for the steps of fixed networks (default `digits`), pictures for the others (default: the
    /// recipe's).
    pub reading: Reading,
    /// About how long the steps are measured.
    pub seconds: f64,
    /// Whether to time the parts of a training step too.
    pub profiled: bool,
    /// What products of training steps round their operands to; [`Precision::F32`] for inference.
    pub precision: Precision,
}

/// Measures for about `seconds`, in at least two repetitions of at least a second.
///
/// # Errors
/// As [`data::open`] and [`Trainer::run`]; [`Error::Config`] for images of another size than the workload's, for data where it takes none, and for
/// inference in another precision than float32.
pub fn bench(wanted: &Bench, device: &Device) -> Result<Measured> {
    wanted.precision.check(device)?;
    if wanted.precision != Precision::F32 && !wanted.workload.is_training() {
        let (expected, found) = (format!("f32 for {}", wanted.workload.name()), "`bf16`".to_owned());
        return Err(Error::config("precision", expected, found, "only training steps have another precision"));
    }
    if wanted.reading != Reading::default() && !wanted.workload.takes_data() {
        let expected = format!("nothing for {}, which makes its own numbers", wanted.workload.name());
        return Err(Error::config("data", expected, "data, or how they are read", "leave these flags away"));
    }
    match wanted.workload {
        Workload::Mlp => mlp_steps(wanted, 128, device),
        Workload::Mlp512 => mlp_steps(wanted, 512, device),
        Workload::ConvS => conv_steps(wanted, &[32, 64, 128], device),
        Workload::ConvM => conv_steps(wanted, &[128, 256, 512], device),
        Workload::Encode => {
            let train = grey_images(wanted)?.train;
            Ok(summary(wanted, INFERENCE_BATCH, encode(&mlp(device), &train, wanted.seconds, device)))
        }
        Workload::Decode => {
            let count = grey_images(wanted)?.train.len();
            Ok(summary(wanted, INFERENCE_BATCH, decode(&mlp(device), count, wanted.seconds, device)))
        }
        Workload::Faces => from_files(wanted, "faces", device),
        Workload::Cifar10 => from_files(wanted, "cifar10-conv", device),
        Workload::Attention => {
            Ok(summary(wanted, kernels::EXAMPLES, kernels::attention_passes(wanted.seconds, device)))
        }
        Workload::LayerNorm => Ok(summary(wanted, kernels::ROWS, kernels::layer_norm_passes(wanted.seconds, device))),
        Workload::GroupNormSilu => {
            Ok(summary(wanted, kernels::EXAMPLES, kernels::group_norm_passes(wanted.seconds, device)))
        }
        Workload::Cifar10Vq => discrete::codes_steps(wanted, device),
        Workload::Prior => discrete::prior_steps(wanted, device),
        Workload::PriorSample => Ok(summary(wanted, discrete::ROWS, discrete::samples(wanted.seconds, device))),
        Workload::PriorSampleUncached => {
            Ok(summary(wanted, discrete::ROWS, discrete::uncached_samples(wanted.seconds, device)))
        }
    }
}

/// Images of the size that the dense workloads are defined on.
fn grey_images(wanted: &Bench) -> Result<Splits> {
    let mut config = Layers::from_text("bench", "")?.build()?;
    config.data.validation = Validation::NONE;
    if wanted.reading.data.as_ref().is_none_or(|source| source == "digits") {
        config.data.count = 60_000;
    }
    let splits = data::open(&wanted.reading.shown(&config)?, 0, &mut |_| {})?;
    let shape = splits.train.source().shape();
    if shape.numel() != 784 {
        let help = "the workload is defined on 28 x 28 grey images";
        return Err(Error::config("data", "images of 784 values", shape.to_string(), help));
    }
    Ok(splits)
}

fn mlp(device: &Device) -> Vae {
    Vae::init(&Architecture::new([1, 28, 28], 20, &NetworkConfig::default(), Likelihood::Bernoulli), 0, device)
}

fn mlp_steps(wanted: &Bench, batch: usize, device: &Device) -> Result<Measured> {
    let data = grey_images(wanted)?;
    profiled(wanted, batch, mlp_gflop(batch), || train(mlp(device), Steps::of(batch), &data, wanted, device))
}

fn conv_steps(wanted: &Bench, channels: &[usize], device: &Device) -> Result<Measured> {
    let batch = 128;
    let model =
        Vae::init(&Architecture::new(CONV_SHAPE, 16, &NetworkConfig::conv(channels), Likelihood::Bernoulli), 0, device);
    let data = noise(CONV_SHAPE);
    profiled(wanted, batch, conv_gflop(batch, channels), || train(model, Steps::of(batch), &data, wanted, device))
}

/// Runs `steps`, each of `gflop` in matrix products; where the parts are wanted, after measuring what the machine can do.
fn profiled(
    wanted: &Bench,
    batch: usize,
    gflop: f64,
    steps: impl FnOnce() -> Result<(Vec<f64>, StepTimes)>,
) -> Result<Measured> {
    let peak = wanted.profiled.then(crate::device::peak_gflops);
    let (reps, times) = steps()?;
    let profile = peak.map(|peak| profile(&times, gflop, peak));
    Ok(Measured { profile, ..summary(wanted, batch, reps) })
}

/// What a recipe's model is built for, if it can be.
fn setting_for<'a>(config: &'a RunConfig, splits: &Splits) -> Result<Setting<'a>> {
    let source = splits.train.source();
    let setting = config.setting(source.space(), source.label_names().len());
    config.model.check_setting(&setting)?;
    Ok(setting)
}

/// Finds, decodes and resizes the pictures, then trains the recipe's model on them.
fn from_files(wanted: &Bench, recipe: &str, device: &Device) -> Result<Measured> {
    let mut config: RunConfig = Layers::from_recipe(recipe)?.build()?;
    config.data = wanted.reading.shown(&config)?;
    config.data.cache = false;
    let began = Instant::now();
    let splits = data::open(&config.data, config.training.seed, &mut |_| {})?;
    let decode_seconds = began.elapsed().as_secs_f64();
    let parts =
        [Some(&splits.train), splits.validation.as_ref().filter(|_| !splits.validation_is_test), Some(&splits.test)];
    let decoded: usize = parts.into_iter().flatten().map(Subset::len).sum();
    let setting = setting_for(&config, &splits)?;
    let batch = config.training.batch_size;
    let (reps, _) = config.model.with(TrainRecipe { config: &config, setting, splits: &splits, wanted, device })?;
    let mut measured = summary(wanted, batch, reps);
    let trained = splits.train.len() as f64;
    measured.pipeline = Some(Pipeline {
        decoded,
        decode_seconds,
        decode_images_per_s: decoded as f64 / decode_seconds,
        end_to_end_images_per_s: trained / (decode_seconds + trained / measured.images_per_s),
    });
    Ok(measured)
}

fn summary(wanted: &Bench, batch: usize, reps: Vec<f64>) -> Measured {
    let images_per_s = reps.iter().copied().fold(0.0, f64::max);
    Measured {
        workload: wanted.workload.name(),
        mode: "elbo",
        threads: crate::device::threads(),
        precision: wanted.precision,
        images_per_s,
        ms_per_step: 1e3 * batch as f64 / images_per_s,
        reps,
        profile: None,
        pipeline: None,
    }
}

/// Ends a repetition when its time is over, and notes its speed; the first few steps warm up.
struct Watch<'a> {
    stop: &'a Stop,
    length: Duration,
    end: Instant,
    began: Option<(Instant, usize)>,
    examples: usize,
    last: usize,
    reps: Vec<f64>,
}

impl Observer for Watch<'_> {
    fn step(&mut self, report: &StepReport) -> Result<()> {
        // `examples` starts again with each epoch.
        self.examples += if report.step == 1 { report.examples } else { report.examples - self.last };
        self.last = report.examples;
        let Some((began, before)) = self.began else {
            if self.examples >= 4 * report.examples / report.step {
                self.began = Some((Instant::now(), self.examples));
            }
            return Ok(());
        };
        let elapsed = began.elapsed();
        if elapsed >= self.length {
            self.reps.push((self.examples - before) as f64 / elapsed.as_secs_f64());
            self.began = Some((Instant::now(), self.examples));
            if self.reps.len() >= 2 && Instant::now() >= self.end {
                self.stop.request();
            }
        }
        Ok(())
    }
}

/// Images at once in `encode` and `decode`.
const INFERENCE_BATCH: usize = 512;

/// Channels, height and width of the convolutional workloads.
const CONV_SHAPE: [usize; 3] = [1, 32, 32];

/// 1,024 images of noise: the speed of a step does not depend on what is in them.
fn noise([channels, height, width]: [usize; 3]) -> Splits {
    let shape = ImageShape { channels, height, width };
    let mut draws = Draws::new(0, Purpose::Choice, 0, 0);
    let pixels = (0..1024 * shape.numel()).map(|_| draws.below(256) as u8).collect();
    let images = Arc::new(InMemory::new("noise", shape, pixels, "noise"));
    let all = Subset::all(images);
    Splits { train: all.clone(), validation: None, test: all.take(0), validation_is_test: false }
}

/// Matrix products of one step: each convolution forward and its weight gradient, and the data gradient of all but the first.
fn conv_gflop(batch: usize, channels: &[usize]) -> f64 {
    let product = |maps: usize, side: usize, inputs: usize, passes: usize| {
        2.0 * (batch * side * side * maps * inputs * 16 * passes) as f64 / 1e9
    };
    let inputs = [CONV_SHAPE[0]].into_iter().chain(channels.iter().copied());
    let (mut side, mut sum) = (CONV_SHAPE[1], 0.0);
    for (i, (inputs, &maps)) in inputs.zip(channels).enumerate() {
        side /= 2;
        sum += product(maps, side, inputs, if i == 0 { 2 } else { 3 }) + product(maps, side, inputs, 3);
    }
    let features = side * side * channels[channels.len() - 1];
    sum + 3.0 * 3.0 * 2.0 * (batch * features * 16) as f64 / 1e9
}

/// Trains the model of a recipe for a while.
struct TrainRecipe<'a> {
    config: &'a RunConfig,
    setting: Setting<'a>,
    splits: &'a Splits,
    wanted: &'a Bench,
    device: &'a Device,
}

impl Visit for TrainRecipe<'_> {
    type Output = Result<(Vec<f64>, StepTimes)>;

    fn visit<F: Family>(self, family: &F) -> Self::Output {
        let Self { config, setting, splits, wanted, device } = self;
        let model = family.init(&setting, config.training.seed, device)?;
        let RunConfig { training, augment, optimizer, .. } = config.clone();
        train(model, Steps { batch: training.batch_size, augment, optimizer }, splits, wanted, device)
    }
}

/// How steps are taken.
struct Steps {
    batch: usize,
    augment: Augment,
    optimizer: OptimizerConfig,
}

impl Steps {
    /// Adam 1e-3 on batches of this size.
    fn of(batch: usize) -> Self {
        Self { batch, augment: Augment::default(), optimizer: OptimizerConfig::default() }
    }
}

fn train<L: Learner>(
    model: L,
    steps: Steps,
    data: &Splits,
    wanted: &Bench,
    device: &Device,
) -> Result<(Vec<f64>, StepTimes)> {
    let seconds = wanted.seconds;
    let data = Splits { validation: None, ..data.clone() };
    let mut trainer = Trainer::new(model, &data, steps.optimizer, device);
    trainer.augment = steps.augment;
    trainer.config.batch_size = steps.batch;
    trainer.config.epochs = 1_000_000;
    trainer.config.precision = wanted.precision;
    let stop = Stop::new();
    let mut watch = Watch {
        stop: &stop,
        length: Duration::from_secs_f64((seconds / 3.0).max(1.0)),
        end: Instant::now() + Duration::from_secs_f64(seconds),
        began: None,
        examples: 0,
        last: 0,
        reps: Vec::new(),
    };
    trainer.run(&mut watch, &stop)?;
    Ok((watch.reps, trainer.times))
}

/// Matrix products of one step of 784-400-20: forward, weight gradient, and data gradient for all layers but the first.
fn mlp_gflop(batch: usize) -> f64 {
    let product = |inputs: usize, outputs: usize, passes: usize| 2.0 * (batch * inputs * outputs * passes) as f64 / 1e9;
    product(784, 400, 2) + 2.0 * product(400, 20, 3) + product(20, 400, 3) + product(400, 784, 3)
}

fn profile(times: &StepTimes, gflop: f64, peak_gflops: f64) -> Profile {
    let per_step = |seconds: f64| 1e3 * seconds / times.steps.max(1) as f64;
    let total = times.gather + times.forward + times.loss + times.backward + times.optimizer;
    let gflops = gflop * times.steps as f64 / total.max(1e-9);
    Profile {
        gather: per_step(times.gather),
        forward: per_step(times.forward),
        loss: per_step(times.loss),
        backward: per_step(times.backward),
        optimizer: per_step(times.optimizer),
        gflop,
        gflops,
        peak_gflops,
        share_of_peak: gflops / peak_gflops,
    }
}

/// Repeats `pass` over batches of `size` out of `count` images.
fn repeat(count: usize, size: usize, seconds: f64, mut pass: impl FnMut(&[u32])) -> Vec<f64> {
    let order: Vec<u32> = (0..count as u32).collect();
    let whole: Vec<&[u32]> = order.chunks_exact(size.min(count)).collect();
    whole.iter().take(4).for_each(|chosen| pass(chosen));
    let length = (seconds / 3.0).max(1.0);
    let (began, mut reps) = (Instant::now(), Vec::new());
    while reps.len() < 2 || began.elapsed().as_secs_f64() < seconds {
        let (start, mut images) = (Instant::now(), 0);
        for chosen in whole.iter().cycle() {
            pass(chosen);
            images += chosen.len();
            if start.elapsed().as_secs_f64() > length {
                break;
            }
        }
        reps.push(images as f64 / start.elapsed().as_secs_f64());
    }
    reps
}

fn encode(vae: &Vae, split: &Subset, seconds: f64, device: &Device) -> Vec<f64> {
    repeat(split.len(), INFERENCE_BATCH, seconds, |chosen| {
        std::hint::black_box(vae.encode(&Batch::of(batch(split, chosen, device))));
    })
}

fn decode(vae: &Vae, count: usize, seconds: f64, device: &Device) -> Vec<f64> {
    let codes = Draws::new(0, Purpose::Prior, 0, 0).normals(count * 20);
    repeat(count, INFERENCE_BATCH, seconds, |chosen| {
        let rows = &codes[chosen[0] as usize * 20..][..chosen.len() * 20];
        let z = Tensor::<2>::from_data(TensorData::new(rows.to_vec(), [chosen.len(), 20]), device);
        std::hint::black_box(VectorCode::parameters(vae, z, &Given::default(), &Pass::still()));
    })
}

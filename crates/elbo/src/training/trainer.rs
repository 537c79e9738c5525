//! The loop.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::Instant;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

use super::checkpoint::{Checkpoints, Resumed, Saved};
use super::config::{EarlyStopping, OptimizerConfig, Reduction, TrainingConfig};
use super::ema::Ema;
use super::observer::{EpochEnd, Observer, StepReport};
use super::optimizer::Optimizer;
use super::schedule::Schedule;
use super::state::{RunningTerms, STATE_FORMAT, TrainState};
use crate::data::augment::Augment;
use crate::data::batch::{self, Batch, augmented, given};
use crate::data::split::{Splits, Subset};
use crate::error::{Error, Result};
use crate::models::{Beginning, Learner, Loss};
use crate::networks::{Moment, Pass, When};
use crate::random::{Draws, Purpose};
use crate::run::history::{EpochRecord, LOSS, Means};
use crate::run::parameters;
use crate::space::Rows;
use crate::tensors::values_of;

/// Images that weights are tried on before they are saved.
const PROBED: usize = 64;

/// A request to stop, set from a signal handler or another thread: the step under way is finished and a checkpoint saved.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// use elbo::training::{Ending, OptimizerConfig, Quiet, Stop, Trainer};
///
/// static STOP: Stop = Stop::new();
///
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// let mut trainer = Trainer::new(vae, &data, OptimizerConfig::default(), &device);
/// std::thread::spawn(|| STOP.request()).join().unwrap(); // a signal handler or a button would do this
/// assert_eq!(trainer.run(&mut Quiet, &STOP)?, Ending::Interrupted);
/// assert_eq!(trainer.state.step, 1);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Stop(AtomicU8);

impl Stop {
    /// No request yet.
    pub const fn new() -> Self {
        Self(AtomicU8::new(0))
    }

    /// Asks training to stop after the step under way.
    pub fn request(&self) {
        self.0.store(1, SeqCst);
    }

    /// Whether somebody asked.
    pub fn requested(&self) -> bool {
        self.0.load(SeqCst) != 0
    }

    /// Ends work in steps that has no state to save, once somebody has asked.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn check(&self) -> Result<()> {
        if self.requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// All epochs are done.
    Finished,
    /// Early stopping's patience ran out.
    StoppedEarly,
    /// [`Stop`] was requested; `last` holds the state.
    Interrupted,
}

/// A model in training. Most fields are public so that you can set them, or let a loop of your own take over.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// use elbo::models::ObjectiveConfig;
/// use elbo::training::{OptimizerConfig, Quiet, Schedule, Stop, Trainer};
///
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// let vae = vae.with_objective(ObjectiveConfig { warmup_epochs: 1.0, ..Default::default() });
/// let mut trainer = Trainer::new(vae, &data, OptimizerConfig { lr: 3e-3, ..Default::default() }, &device);
/// trainer.config.epochs = 2;
/// trainer.schedule = Schedule::Cosine { min_lr: 1e-5 };
/// trainer.run(&mut Quiet, &Stop::new())?;
/// assert_eq!((trainer.state.history.len(), trainer.state.step), (2, 4));
/// # Ok::<(), elbo::Error>(())
/// ```
pub struct Trainer<'a, L> {
    /// The model on an autodiff device; absent only while the optimiser holds it. It is moved there and back because a
    /// second handle on the weights would turn every update in place into a copy.
    model: Option<L>,
    /// The optimisers, one for each of the model's updates.
    pub optimizers: Vec<Optimizer>,
    /// The moving average of the weights, where `training.ema` asks for one.
    pub ema: Option<Ema<L>>,
    /// Where training stands.
    pub state: TrainState,
    /// The parts of the data: trained on, validated on, tested on.
    pub data: &'a Splits,
    /// How batches are changed at random: the table `[augment]`.
    pub augment: Augment,
    /// The loop: the table `[training]`.
    pub config: TrainingConfig,
    /// The learning rate over time: the table `[schedule]`.
    pub schedule: Schedule,
    /// When to stop before the last epoch: the table `[early_stopping]`.
    pub early_stopping: EarlyStopping,
    /// Where to save; none keeps everything in memory.
    pub checkpoints: Option<Checkpoints>,
    /// Whether [`Trainer::into_model`] gives the weights of the best epoch; otherwise those of the last. Kept in memory.
    pub keeps_best: bool,
    best: Option<L>,
    /// Where to compute, with autodiff.
    pub device: Device,
    /// Where the time of all steps so far went.
    pub times: StepTimes,
}

/// Seconds spent in the parts of training steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct StepTimes {
    /// How many steps were counted.
    pub steps: usize,
    /// Gathering the batch.
    pub gather: f64,
    /// Drawing the noise, and the forward pass with the likelihood's gradient that is made in it.
    pub forward: f64,
    /// Reading the terms.
    pub loss: f64,
    /// Seconds in backward passes.
    pub backward: f64,
    /// Seconds in the optimiser.
    pub optimizer: f64,
}

impl<'a, L: Learner> Trainer<'a, L> {
    /// A trainer at its first step with default settings and no checkpoints; set the fields you want otherwise.
    pub fn new(model: L, data: &'a Splits, optimizer: OptimizerConfig, device: &Device) -> Self {
        let optimizers = model.updates().iter().map(|update| Optimizer::of(update, &optimizer, &model)).collect();
        Self {
            model: Some(model.train()),
            optimizers,
            ema: None,
            state: TrainState::default(),
            data,
            augment: Augment::default(),
            config: TrainingConfig::default(),
            schedule: Schedule::default(),
            early_stopping: EarlyStopping::default(),
            checkpoints: None,
            keeps_best: false,
            best: None,
            device: device.clone().autodiff(),
            times: StepTimes::default(),
        }
    }

    /// The model as it now is, on the autodiff device.
    ///
    /// # Panics
    /// Inside the optimiser, where nobody can ask.
    pub fn model(&self) -> &L {
        self.model.as_ref().expect("the optimiser has given it back")
    }

    /// Puts the trainer where a checkpoint stands.
    pub(super) fn take_up(&mut self, resumed: Resumed<L>) {
        let Resumed { model, ema, optimizers, mut state, .. } = resumed;
        state.format = STATE_FORMAT;
        self.model = Some(model.train());
        (self.ema, self.optimizers, self.state) = (ema, optimizers, state);
    }

    /// The trained model, without gradients: its moving average where there is one, and of the best epoch where [`Trainer::keeps_best`] says so.
    pub fn into_model(mut self) -> L {
        self.best.take().unwrap_or_else(|| self.judged())
    }

    /// The weights that validation and users see, without gradients.
    pub(crate) fn judged(&self) -> L {
        match &self.ema {
            Some(ema) => ema.model().clone(),
            None => self.model().valid(),
        }
    }

    /// Trains until the epochs are done, patience runs out or `stop` is requested.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a loss term or gradient is not finite (nothing of it reaches a checkpoint), [`Error::Io`] when a
    /// checkpoint cannot be written, [`Error::Internal`] for a panic on whichever thread (train on from a checkpoint, not with this trainer),
    /// and whatever `observer` returns.
    pub fn run(&mut self, observer: &mut dyn Observer, stop: &Stop) -> Result<Ending> {
        Error::catch(|| self.epochs(observer, stop))
    }

    fn epochs(&mut self, observer: &mut dyn Observer, stop: &Stop) -> Result<Ending> {
        self.begin();
        if self.config.ema > 0.0 && self.ema.is_none() {
            self.ema = Some(Ema::of(self.model()));
        }
        while self.state.epoch <= self.config.epochs && !self.state.stopped_early {
            let started = Instant::now();
            let examples_before = self.state.running.examples;
            let whole = self.epoch(observer, stop)?;
            let trained = started.elapsed().as_secs_f64();
            let examples = self.state.running.examples - examples_before;
            let closed = if whole { self.close_epoch(stop)? } else { None };
            let Some(is_best) = closed else {
                self.check_weights()?;
                self.save_last()?;
                return Ok(Ending::Interrupted);
            };
            let model = self.judged();
            let history = &self.state.history;
            observer.epoch(&EpochEnd {
                record: &history[history.len() - 1],
                history,
                is_best,
                seconds: started.elapsed().as_secs_f64(),
                images_per_s: examples as f64 / trained.max(1e-9),
                model: &model,
            })?;
        }
        Ok(if self.state.stopped_early { Ending::StoppedEarly } else { Ending::Finished })
    }

    /// Lets the model look at the data before its first step.
    fn begin(&mut self) {
        if self.state.step > 0 {
            return;
        }
        let (train, seed, needs) = (&self.data.train, self.config.seed, self.model().needs());
        let device = self.device.clone().without_autodiff();
        let examples = |count: usize, together: usize| {
            let mut places = Draws::new(seed, Purpose::Codebook, 1, 0).permutation(train.len() as u32);
            places.truncate(count);
            places.chunks(together).map(|chosen| Batch::of_split(train, chosen, needs, &device)).collect()
        };
        let beginning = Beginning { seed, batch_size: self.config.batch_size.min(train.len()), examples: &examples };
        self.model = self.model.take().map(|model| model.begun(&beginning));
    }

    /// The rest of the epoch under way; false when interrupted.
    fn epoch(&mut self, observer: &mut dyn Observer, stop: &Stop) -> Result<bool> {
        let train = &self.data.train;
        let order =
            Draws::new(self.config.seed, Purpose::Shuffle, self.state.epoch as u64, 0).permutation(train.len() as u32);
        let mut saved = Instant::now();
        for chosen in order.chunks(self.config.batch_size).skip(self.state.step_in_epoch) {
            let terms = self.config.precision.scope(|| self.step(train, chosen))?;
            self.state.running.add(chosen.len(), &terms);
            observer.step(&self.progress())?;
            if stop.requested() {
                return Ok(false);
            }
            let pause = self.config.checkpoint_seconds;
            if pause > 0.0 && saved.elapsed().as_secs_f64() > pause {
                self.check_weights()?;
                self.save_last()?;
                saved = Instant::now();
            }
        }
        Ok(true)
    }

    /// One step of each optimiser on the examples `chosen`; returns the batch's means.
    fn step(&mut self, train: &Subset, chosen: &[u32]) -> Result<Means> {
        let (epoch, step) = (self.state.epoch as u64, self.state.step_in_epoch as u64);
        let mut clock = Clock(Instant::now());
        let x = self.training_batch(train, chosen, epoch, step);
        let batch = Batch { x, given: given(train, chosen, self.model().needs(), &self.device) };
        clock.lap(&mut self.times.gather);
        let when = When::Training { epochs: self.epochs_done() };
        let mut draws = Some(Draws::new(self.config.seed, Purpose::TrainingNoise, epoch, step));
        self.state.step_in_epoch += 1;
        self.state.step += 1;
        let mut numbers = Numbers::default();
        for update in 0..self.optimizers.len() {
            let moment =
                Moment { step: self.state.step as u64, done: self.epochs_done() / self.config.epochs.max(1) as f64 };
            let pass = Pass::new(when, draws.take().expect("a pass gives its stream back")).at(moment);
            draws = self.update(update, &batch, pass, &mut numbers, &mut clock)?;
        }
        let (step, decay) = (self.state.step, self.config.ema);
        if let (Some(ema), Some(model)) = (&mut self.ema, &self.model) {
            ema.follow(model, step, decay);
        }
        self.times.steps += 1;
        Ok(self.named(&numbers))
    }

    /// One of the parts of a step: its loss, its gradients, its optimiser; then buffers take what the pass saw.
    fn update(
        &mut self,
        update: usize,
        batch: &Batch,
        pass: Pass,
        numbers: &mut Numbers,
        clock: &mut Clock,
    ) -> Result<Option<Draws>> {
        let loss = self.model().loss(update, batch, &pass);
        clock.lap(&mut self.times.forward);
        numbers.read(&loss);
        clock.lap(&mut self.times.loss);
        self.check_terms(&self.named(numbers))?;
        let total = match self.config.reduction {
            Reduction::Mean => loss.total,
            Reduction::Sum => loss.total * batch.len() as f64,
        };
        let mut gradients = total.backward();
        let gradients = GradientsParams::from_module(&mut gradients, self.model());
        clock.lap(&mut self.times.backward);
        self.optimize(update, gradients)?;
        let (draws, seen) = pass.into_draws();
        self.model = self.model.take().map(|model| seen.into(model));
        clock.lap(&mut self.times.optimizer);
        Ok(draws)
    }

    /// The numbers read so far by the names of the model's reports, the loss last.
    fn named(&self, numbers: &Numbers) -> Means {
        let names = self.model().reports().iter().map(|report| report.name);
        Means::of(names.zip(numbers.reports.iter().copied()).chain([(LOSS, numbers.loss.unwrap_or(f64::NAN))]))
    }

    fn training_batch(&self, train: &Subset, chosen: &[u32], epoch: u64, step: u64) -> Rows {
        if !self.augment.is_on() {
            return batch::rows(train, chosen, self.state.epoch, &self.device);
        }
        let draws = &mut Draws::new(self.config.seed, Purpose::Augmentation, epoch, step);
        let augmentation = batch::Augmentation { augment: &self.augment, draws };
        augmented(train, chosen, self.state.epoch, augmentation, &self.device).into()
    }

    fn optimize(&mut self, update: usize, gradients: GradientsParams) -> Result<()> {
        let lr = self.learning_rate(update);
        let model = self.model.take().expect("the optimiser has given it back");
        let (model, stepped) = self.optimizers[update].step(model, gradients, lr);
        self.model = Some(model);
        match stepped.not_finite {
            None => Ok(()),
            Some(place) => {
                let name = parameters::shapes(self.model()).swap_remove(place).0;
                Err(self.diverged("gradient", f64::NAN, Some(name)))
            }
        }
    }

    /// Validates, records the epoch, judges it, and saves; returns whether it is the best so far, or nothing when interrupted: then
    /// all steps of the epoch are done and its validation is still to come.
    fn close_epoch(&mut self, stop: &Stop) -> Result<Option<bool>> {
        let last_step = self.state.step_in_epoch.saturating_sub(1);
        let done = self.epochs_at(last_step);
        let weights = self.model().weights(When::Training { epochs: done });
        let validation = match &self.data.validation {
            Some(split) => match self.validate(split, stop) {
                Some(terms) => Some(terms),
                None => return Ok(None),
            },
            None => None,
        };
        let record = EpochRecord {
            epoch: self.state.epoch,
            step: self.state.step,
            learning_rate: self.rate(0, done, self.optimizers[0].time().saturating_sub(1)),
            beta: weights.iter().find(|(name, _)| *name == "beta").map(|(_, beta)| *beta),
            train: self.state.running.mean(),
            validation,
        };
        match &record.validation {
            Some(terms) => self.check_terms(terms)?,
            None => self.check_weights()?,
        }
        let verdict = self.state.stopper.judge(&self.early_stopping, &record);
        self.state.history.push(record);
        self.state.stopped_early = verdict.stop;
        self.state.epoch += 1;
        self.state.step_in_epoch = 0;
        self.state.running = RunningTerms::default();
        // `best` first: a run killed between the two repeats nothing that `last` does not know of.
        if let (true, Some(checkpoints)) = (verdict.is_best, &self.checkpoints) {
            checkpoints.save_best(&self.judged(), &self.state)?;
        }
        if verdict.is_best && self.keeps_best {
            self.best = Some(self.judged());
        }
        self.save_last()?;
        Ok(Some(verdict.is_best))
    }

    /// Means over a split as judging has them, with every schedule at its end, so that epochs compare with each other. None when
    /// somebody asked to stop meanwhile.
    fn validate(&self, split: &Subset, stop: &Stop) -> Option<Means> {
        let model = self.judged();
        let device = self.device.clone().without_autodiff();
        let needs = model.needs();
        let together = if needs.whole_batches { self.config.batch_size } else { model.examples_at_once() };
        let mut sums = RunningTerms::default();
        let indices: Vec<u32> = (0..split.len() as u32).collect();
        for (i, chosen) in indices.chunks(together).enumerate() {
            if stop.requested() {
                return None;
            }
            let epoch = self.state.epoch as u64;
            let mut draws = Some(Draws::new(self.config.seed, Purpose::EvaluationNoise, epoch, i as u64));
            let batch = Batch::of_split(split, chosen, needs, &device);
            let mut numbers = Numbers::default();
            for update in 0..model.updates().len() {
                let pass = Pass::judging(draws.take().expect("a pass gives its stream back"));
                numbers.read(&model.loss(update, &batch, &pass));
                draws = pass.into_draws().0;
            }
            sums.add(chosen.len(), &self.named(&numbers));
        }
        Some(sums.mean())
    }

    /// Looks at some images with the weights about to be saved: the terms of a step are those of the weights before it.
    fn check_weights(&self) -> Result<()> {
        let terms = self.validate(&self.data.train.take(PROBED), &Stop::new());
        self.check_terms(&terms.expect("nobody asks this one to stop"))
    }

    fn save_last(&self) -> Result<()> {
        match &self.checkpoints {
            Some(checkpoints) => {
                let ema = self.ema.as_ref().map(Ema::model);
                checkpoints.save_last(&Saved {
                    model: self.model(),
                    ema,
                    optimizers: &self.optimizers,
                    state: &self.state,
                })
            }
            None => Ok(()),
        }
    }

    fn steps_per_epoch(&self) -> usize {
        self.data.train.len().div_ceil(self.config.batch_size)
    }

    /// Epochs done after `step` steps of the epoch under way.
    fn epochs_at(&self, step: usize) -> f64 {
        (self.state.epoch - 1) as f64 + step as f64 / self.steps_per_epoch() as f64
    }

    fn epochs_done(&self) -> f64 {
        self.epochs_at(self.state.step_in_epoch)
    }

    /// The rate of the step just counted.
    fn learning_rate(&self, update: usize) -> f64 {
        self.rate(update, self.epochs_at(self.state.step_in_epoch - 1), self.optimizers[update].time())
    }

    /// The rate of an optimiser after `epochs` epochs and `taken` steps, by its own schedule where it has one.
    fn rate(&self, update: usize, epochs: f64, taken: u64) -> f64 {
        let optimizer = &self.optimizers[update];
        optimizer.schedule().unwrap_or(&self.schedule).rate(
            optimizer.lr_after(taken),
            epochs,
            self.config.epochs as f64,
        )
    }

    fn progress(&self) -> StepReport {
        StepReport {
            epoch: self.state.epoch,
            epochs: self.config.epochs,
            step: self.state.step_in_epoch,
            steps: self.steps_per_epoch(),
            examples: self.state.running.examples,
            mean: self.state.running.mean(),
        }
    }

    fn check_terms(&self, terms: &Means) -> Result<()> {
        match terms.iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((term, value)) => Err(self.diverged(term, value, self.first_non_finite_weight())),
        }
    }

    fn diverged(&self, term: &str, value: f64, tensor: Option<String>) -> Error {
        let value = value as f32;
        Error::Diverged { epoch: self.state.epoch, step: self.state.step, term: term.into(), value, tensor }
    }

    fn first_non_finite_weight(&self) -> Option<String> {
        let bad = |t: &crate::run::weights::NamedTensor| t.values.iter().any(|v| !v.is_finite());
        parameters::export(self.model()).into_iter().find(bad).map(|t| t.name)
    }
}

/// Splits a step's time into its parts.
struct Clock(Instant);

impl Clock {
    /// Adds the time since the last lap to `part`.
    fn lap(&mut self, part: &mut f64) {
        let now = Instant::now();
        *part += (now - self.0).as_secs_f64();
        self.0 = now;
    }
}

/// The batch's numbers on the host.
#[derive(Debug, Default)]
struct Numbers {
    reports: Vec<f64>,
    /// The first update's loss; none before it.
    loss: Option<f64>,
}

impl Numbers {
    /// Reads a loss in one transfer, after those of the updates before it.
    fn read(&mut self, loss: &Loss) {
        let all = loss.reports.iter().chain([&loss.total]).map(|tensor| tensor.clone().detach()).collect();
        let mut values: Vec<f64> = values_of(Tensor::cat(all, 0)).into_iter().map(f64::from).collect();
        let total = values.pop().expect("a loss");
        self.loss.get_or_insert(total);
        self.reports.append(&mut values);
    }
}

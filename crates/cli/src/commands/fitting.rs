//! Samplers of a run as commands want them: taken from its folder, or made with their progress shown.

use std::sync::Arc;

use elbo::priors::store::{Record, Stored};
use elbo::priors::{Draw, SYMBOL_RECIPE, SamplerKind};
use elbo::tasks::{FitRequest, FitSettings, Run, SamplerNote, SymbolPrior};
use elbo::training::{EpochEnd, Observer, StepReport, Stop};

use crate::output::Context;
use crate::progress::Progress;
use crate::signals::Interruption;

/// What came of making a sampler.
#[expect(clippy::large_enum_variant, reason = "one at a time, and moved once")]
pub enum Fitted {
    Done(Stored),
    /// Stopped by a signal, with the command's exit code.
    Interrupted(u8),
}

impl Fitted {
    /// Draws codes, of a class where one is given; the exit code if there is no sampler.
    pub fn sample(&self, draw: &Draw, class: Option<u32>) -> Result<Vec<f32>, u8> {
        match self {
            Self::Done(stored) => Ok(stored.sampler.sample_as(draw, class.as_slice())),
            Self::Interrupted(code) => Err(*code),
        }
    }
}

/// Training under way: its progress, and what may stop it.
pub struct Training {
    interruption: Option<Arc<Interruption>>,
    progress: Watched,
    never: Stop,
}

/// The progress of a training. Until its first step there is nothing to save, and a signal leaves at once.
struct Watched {
    progress: Progress,
    interruption: Option<Arc<Interruption>>,
}

impl Observer for Watched {
    fn step(&mut self, report: &StepReport) -> elbo::Result<()> {
        if let Some(interruption) = &self.interruption {
            interruption.training_begins();
        }
        self.progress.step(report)
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> elbo::Result<()> {
        self.progress.epoch(end)
    }
}

impl Training {
    /// For samplers of these kinds; signals are only listened to where one may be trained.
    pub fn of<'a>(kinds: impl IntoIterator<Item = &'a SamplerKind>, context: Context) -> anyhow::Result<Self> {
        let trains = kinds.into_iter().any(|kind| matches!(kind, SamplerKind::Prior(_)));
        let interruption = trains.then(Interruption::listen).transpose()?;
        let progress = Watched { progress: Progress::new(context, 0), interruption: interruption.clone() };
        Ok(Self { interruption, progress, never: Stop::new() })
    }

    /// The observer, and the request to stop.
    pub fn parts(&mut self) -> (&mut dyn Observer, &Stop) {
        let stop = self.interruption.as_ref().map_or(&self.never, |interruption| &interruption.stop);
        (&mut self.progress, stop)
    }

    /// The exit code of a training that was stopped.
    pub fn exit_code(&self) -> u8 {
        self.interruption.as_ref().map_or(130, |interruption| interruption.exit_code())
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        if let Some(interruption) = &self.interruption {
            interruption.training_ends();
        }
    }
}

/// The sampler that is asked for, and what it took to have it, said.
pub fn fitted(run: &Run, request: FitRequest<'_>, context: Context) -> anyhow::Result<Fitted> {
    let mut training = Training::of([request.kind], context)?;
    let (observer, stop) = training.parts();
    match run.fit_sampler(request, observer, stop)? {
        Some((stored, note)) => {
            tell_fit(request.kind, &stored.record, &note, context);
            Ok(Fitted::Done(stored))
        }
        None => {
            tell_interruption(run, context);
            Ok(Fitted::Interrupted(training.exit_code()))
        }
    }
}

/// The prior over symbols that is asked for, or the one the run has; the exit code where its training was stopped.
pub fn symbol_prior(run: &Run, name: Option<&str>, context: Context) -> anyhow::Result<Result<SymbolPrior, u8>> {
    if let Some(prior) = run.stored_symbol_prior(name)? {
        return Ok(Ok(prior));
    }
    let kind = SamplerKind::prior(name.unwrap_or(SYMBOL_RECIPE));
    let settings = FitSettings { codes: None, seed: run.config.training.seed };
    let mut training = Training::of([&kind], context)?;
    let (observer, stop) = training.parts();
    match run.symbol_prior(FitRequest { kind: &kind, settings, set: &[] }, observer, stop)? {
        Some((prior, _)) => {
            context.note(format!("trained the prior `{kind}` over the codes; kept in the run's folder `priors`"));
            Ok(Ok(prior))
        }
        None => {
            tell_interruption(run, context);
            Ok(Err(training.exit_code()))
        }
    }
}

/// Says how a prior whose training was stopped is gone on with.
pub fn tell_interruption(run: &Run, context: Context) {
    let path = run.dir.path().display();
    context
        .note(format!("interrupted; the same command goes on, or `elbo resume` of the prior's run in {path}/priors"));
}

/// Says where a sampler came from, when that took work.
pub fn tell_fit(kind: &SamplerKind, record: &Record, note: &SamplerNote, context: Context) {
    let what = format!("{} training codes ({}), seed {}", record.n, record.codes, record.seed);
    let why = match note {
        SamplerNote::Loaded => return,
        SamplerNote::Fitted => "",
        SamplerNote::FittedAgain => ", since the one there was of other weights, codes or settings",
        SamplerNote::NotKept(why) => {
            return context.note(format!("fitted `{kind}` to {what}; not kept in the run's folder: {why}"));
        }
    };
    context.note(format!("fitted `{kind}` to {what}{why}; kept in the run's folder `priors`"));
}

//! `elbo train` and `elbo resume`.

use std::path::Path;

use elbo::distributions::Likelihood;
use elbo::models::Capability;
use elbo::priors::SYMBOL_RECIPE;
use elbo::run::directory::RunDir;
use elbo::run::history::Means;
use elbo::tasks::{Finished, FitSettings, TrainingRun, next_stage};
use elbo::training::Ending;
use serde_json::{Value, json};

use super::recipes::{absolute, layers, of_prior};
use super::serve::Beside;
use super::source;
use crate::args::{Resume, Train};
use crate::output::{Context, warn_of_damage};
use crate::progress::{DataProgress, Progress, terms};
use crate::signals::Interruption;

pub fn train(args: Train, device: &str, context: Context) -> anyhow::Result<u8> {
    let interruption = Interruption::listen()?;
    let training = match &args.codes_of {
        Some(run) => over_codes(run, &args, device)?,
        None => over_data(&args, device, context)?,
    };
    announce(&training, context)?;
    let shown = args.codes_of.as_deref().unwrap_or(training.dir().path());
    let beside = args.serve.map(|port| Beside::start(shown, port, device, context)).transpose()?;
    let code = run(training, device, &interruption, context);
    drop(beside);
    code
}

/// A new run over data, in its own directory.
fn over_data(args: &Train, device: &str, context: Context) -> anyhow::Result<TrainingRun> {
    let (mut stages, chosen) = (layers(&args.settings)?.build()?, elbo::device::choose(device)?);
    stages.first_mut().data.source = absolute(&stages.first().data.source);
    let mut opening = DataProgress::new(context);
    loop {
        let out = args.out.clone().unwrap_or_else(|| RunDir::next_free(Path::new("runs"), &stages.first().name));
        match TrainingRun::create_staged(stages.clone(), out, &chosen, device, &mut |p| opening.show(p)) {
            // Another run took the free name while the data were opened.
            Err(error) if args.out.is_none() && is_taken(&error) => {}
            result => return Ok(result?),
        }
    }
}

/// A new prior over the codes of a run, in the folder of that run.
fn over_codes(path: &Path, args: &Train, device: &str) -> anyhow::Result<TrainingRun> {
    let run = source::load(path, None, device)?;
    let symbols = run.symbol_space().is_some();
    if !symbols {
        run.encoder("train --codes-of")?;
    }
    let usual = if symbols { SYMBOL_RECIPE } else { "maf" };
    let config = of_prior(&args.settings, usual, run.latent(), run.config.training.seed)?;
    let settings = FitSettings { codes: args.codes.map(Into::into), seed: config.training.seed };
    Ok(TrainingRun::create_prior(&run, config, settings, device)?)
}

/// Whether the run directory belongs to somebody else.
fn is_taken(error: &elbo::Error) -> bool {
    matches!(error, elbo::Error::Model { place, .. } if place == "lock")
        || matches!(error, elbo::Error::Config { key, .. } if key == "out")
}

pub fn resume(args: Resume, device: &str, context: Context) -> anyhow::Result<u8> {
    let interruption = Interruption::listen()?;
    let chosen = elbo::device::choose(device)?;
    let mut opening = DataProgress::new(context);
    let training = TrainingRun::resume(args.run, args.epochs, &chosen, device, &mut |p| opening.show(p))?;
    drop(opening);
    warn_of_damage(training.passed_over());
    if training.is_complete() {
        let (done, path) = (count(training.info().epochs, "epoch"), training.dir().path().display());
        context.note(format!("nothing left to train: {done} done; `elbo resume {path} --epochs N` trains up to N"));
    } else {
        announce(&training, context)?;
    }
    run(training, device, &interruption, context)
}

/// A run that has ended, and whether its loss is a surrogate's.
struct Done {
    finished: Finished,
    surrogate: bool,
}

/// Trains a run and, where its recipe has several stages, what comes after it.
fn run(first: TrainingRun, device: &str, interruption: &Interruption, context: Context) -> anyhow::Result<u8> {
    let chosen = elbo::device::choose(device)?;
    let root = first.dir().path().to_owned();
    interruption.training_begins();
    let mut done = vec![one(first, interruption, context)?];
    while done.iter().all(|done| done.finished.ending != Ending::Interrupted) {
        let mut opening = DataProgress::new(context);
        let Some(next) = next_stage(&root, &chosen, device, &mut |p| opening.show(p))? else { break };
        drop(opening);
        announce(&next, context)?;
        done.push(one(next, interruption, context)?);
    }
    report(&done, context)?;
    let interrupted = done.iter().any(|done| done.finished.ending == Ending::Interrupted);
    Ok(if interrupted { interruption.exit_code() } else { 0 })
}

/// Trains one run.
fn one(training: TrainingRun, interruption: &Interruption, context: Context) -> anyhow::Result<Done> {
    let mut progress = Progress::new(context, training.config().training.epochs);
    let surrogate = likelihood(&training)?.is_some_and(|likelihood| likelihood.is_surrogate());
    Ok(Done { finished: training.train(&mut progress, &interruption.stop)?, surrogate })
}

fn likelihood(training: &TrainingRun) -> elbo::Result<Option<Likelihood>> {
    let keys = training.config().model.likelihood_keys();
    keys.map(|keys| keys.likelihood(training.splits().train.source().space())).transpose()
}

/// What is about to be trained, and what its numbers will mean.
fn announce(training: &TrainingRun, context: Context) -> elbo::Result<()> {
    let (config, splits) = (training.config(), training.splits());
    let source = splits.train.source();
    let (shape, values) = (source.shape().dims(), source.shape().numel());
    let (examples, noun, place) = match source.columns() {
        Some(columns) => (format!("rows of {} columns", columns.names.len()), "rows", "columns"),
        None => (format!("images of {}", source.shape()), "images", "pixels"),
    };
    let validation = match &splits.validation {
        _ if splits.validation_is_test => "validation on the test split".into(),
        Some(split) => format!("{} for validation", split.len()),
        None => "no validation".to_owned(),
    };
    let parameters = config.model.parameters(&config.setting(source.space(), source.label_names().len()));
    context.note(format!("run    {}", training.dir().path().display()));
    context.note(format!(
        "data   {}: {} {examples}{} to train on, {validation}, {} to test",
        source.name(),
        splits.train.len(),
        match config.data.labels.as_slice() {
            [] => String::new(),
            labels => format!(" of class {}", labels.join(", ")),
        },
        splits.test.len()
    ));
    context.note(format!("model  {}, {parameters} parameters", config.describe(shape)));
    let Some(keys) = config.model.likelihood_keys() else { return Ok(()) };
    let kl = match config.model.can().contains(&Capability::Bound) {
        true => format!(", kl over {} latent dimensions", keys.latent),
        false => String::new(),
    };
    let unit = match likelihood(training)? {
        Some(Likelihood::Sse { .. }) => "squared errors (kl: nats)",
        Some(surrogate) if surrogate.is_surrogate() => "a surrogate's units, not nats (kl: nats)",
        _ => "nats",
    };
    context.note(format!("losses in {unit}, mean over {noun}; recon summed over {values} {place}{kl}"));
    Ok(())
}

/// Tells of the run and of the stages after it.
fn report(done: &[Done], context: Context) -> anyhow::Result<()> {
    let mut values: Vec<_> = done.iter().map(Done::value).collect();
    let mut value = values[0].clone();
    if values.len() > 1 {
        value["stages"] = values.split_off(1).into();
    }
    context.result(value, || done.iter().map(Done::text).collect::<Vec<_>>().join("\n\n"))
}

impl Done {
    fn elbo(&self, means: &Means) -> Option<f64> {
        means.elbo().filter(|_| !self.surrogate)
    }

    fn value(&self) -> Value {
        let info = &self.finished.info;
        let test = info.test.as_ref().map(|means| {
            let mut object = json!(means);
            if let Some(elbo) = self.elbo(means) {
                object["elbo"] = json!(elbo);
            }
            object
        });
        json!({
            "run": self.finished.path.display().to_string(),
            "status": info.status,
            "epochs": info.epochs,
            "seconds": info.seconds,
            "images_per_s": info.images_per_s,
            "peak_memory_mb": info.peak_memory_mb,
            "test": test,
        })
    }

    fn text(&self) -> String {
        let (info, path) = (&self.finished.info, self.finished.path.display());
        let Some(test) = &info.test else {
            let done = count(info.epochs, "whole epoch");
            return format!("{} after {done}\ncontinue with: elbo resume {path}", info.status);
        };
        let end = if info.data.columns.is_some() { "csv" } else { "png" };
        let tried = match &info.origin {
            Some(_) => self.of_prior(),
            None => format!(
                "elbo sample {path} --out samples.{end}\n       elbo interpolate {path} --out walk.{end}\n       elbo eval {path}"
            ),
        };
        format!(
            "{}: {} in {:.1} s\ntest   {}{}\nreport {path}/report.html\n\ntry    {tried}",
            info.status,
            count(info.epochs, "epoch"),
            info.seconds,
            terms(test),
            self.elbo(test).map_or_else(String::new, |elbo| format!(", elbo {elbo:.2}"))
        )
    }

    /// What to try with a prior: its run lies in `priors/` of the run that it belongs to.
    fn of_prior(&self) -> String {
        let name = self.finished.path.file_name().unwrap_or_default().to_string_lossy();
        let run = self.finished.path.ancestors().nth(2).unwrap_or(&self.finished.path).display();
        format!("elbo sample {run} --sampler {name} --out samples.png\n       elbo priors {run}")
    }
}

/// `1 epoch` or `2 epochs`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

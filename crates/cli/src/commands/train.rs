//! `elbo train` and `elbo resume`.

use std::path::Path;

use elbo::distributions::Likelihood;
use elbo::models::Capability;
use elbo::run::directory::RunDir;
use elbo::run::history::Means;
use elbo::tasks::{Finished, TrainingRun};
use elbo::training::Ending;
use serde_json::json;

use super::recipes::{absolute, layers};
use super::serve::Beside;
use crate::args::{Resume, Train};
use crate::output::{Context, warn_of_damage};
use crate::progress::{DataProgress, Progress, terms};
use crate::signals::Interruption;

pub fn train(args: Train, device: &str, context: Context) -> anyhow::Result<u8> {
    let interruption = Interruption::listen()?;
    let mut config = layers(args.settings)?.build()?;
    config.data.source = absolute(&config.data.source);
    let chosen = elbo::device::choose(device)?;
    let mut opening = DataProgress::new(context);
    let training = loop {
        let out = args.out.clone().unwrap_or_else(|| RunDir::next_free(Path::new("runs"), &config.name));
        match TrainingRun::create(config.clone(), out, &chosen, device, &mut |p| opening.show(p)) {
            // Another run took the free name while the data were opened.
            Err(error) if args.out.is_none() && is_taken(&error) => {}
            result => break result?,
        }
    };
    drop(opening);
    announce(&training, context)?;
    let beside = args.serve.map(|port| Beside::start(training.dir().path(), port, device, context)).transpose()?;
    let code = run(training, &interruption, context);
    drop(beside);
    code
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
    run(training, &interruption, context)
}

fn run(training: TrainingRun, interruption: &Interruption, context: Context) -> anyhow::Result<u8> {
    let mut progress = Progress::new(context, training.config().training.epochs);
    let surrogate = likelihood(&training)?.is_some_and(|likelihood| likelihood.is_surrogate());
    interruption.training_begins();
    let finished = training.train(&mut progress, &interruption.stop)?;
    drop(progress);
    report(&finished, surrogate, context)?;
    Ok(if finished.ending == Ending::Interrupted { interruption.exit_code() } else { 0 })
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

fn report(finished: &Finished, surrogate: bool, context: Context) -> anyhow::Result<()> {
    let info = &finished.info;
    let path = finished.path.display().to_string();
    let elbo = |means: &Means| means.elbo().filter(|_| !surrogate);
    let test = info.test.as_ref().map(|means| {
        let mut object = json!(means);
        if let Some(elbo) = elbo(means) {
            object["elbo"] = json!(elbo);
        }
        object
    });
    let value = json!({
        "run": path,
        "status": info.status,
        "epochs": info.epochs,
        "seconds": info.seconds,
        "images_per_s": info.images_per_s,
        "peak_memory_mb": info.peak_memory_mb,
        "test": test,
    });
    let end = if info.data.columns.is_some() { "csv" } else { "png" };
    context.result(value, || match &info.test {
        Some(test) => format!(
            "{}: {} in {:.1} s\ntest   {}{}\nreport {path}/report.html\n\n\
             try    elbo sample {path} --out samples.{end}\n       elbo interpolate {path} --out walk.{end}\n       elbo eval {path}",
            info.status, count(info.epochs, "epoch"), info.seconds, terms(test),
            elbo(test).map_or_else(String::new, |elbo| format!(", elbo {elbo:.2}"))
        ),
        None => {
            let done = count(info.epochs, "whole epoch");
            format!("{} after {done}\ncontinue with: elbo resume {path}", info.status)
        }
    })
}

/// `1 epoch` or `2 epochs`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

//! `elbo train` and `elbo resume`.

use std::path::Path;

use elbo::data::Examples;
use elbo::distributions::Likelihood;
use elbo::experiment::{Experiment, Finished};
use elbo::run::directory::RunDir;
use elbo::training::Ending;
use serde_json::json;

use super::recipes::{absolute, layers};
use super::serve::Beside;
use crate::args::{Resume, Train};
use crate::output::{Context, warn_of_damage};
use crate::progress::{DataProgress, Progress};
use crate::signals::Interruption;

pub fn train(args: Train, device: &str, context: Context) -> anyhow::Result<u8> {
    let interruption = Interruption::listen()?;
    let mut config = layers(args.settings)?.build()?;
    config.data.source = absolute(&config.data.source);
    let chosen = elbo::device::choose(device)?;
    let mut opening = DataProgress::new(context);
    let experiment = loop {
        let out = args.out.clone().unwrap_or_else(|| RunDir::next_free(Path::new("runs"), &config.name));
        match Experiment::create(config.clone(), out, &chosen, device, &mut |p| opening.show(p)) {
            // Another run took the free name while the data were opened.
            Err(error) if args.out.is_none() && is_taken(&error) => {}
            result => break result?,
        }
    };
    drop(opening);
    announce(&experiment, context)?;
    let beside = args.serve.map(|port| Beside::start(experiment.dir().path(), port, device, context)).transpose()?;
    let code = run(experiment, &interruption, context);
    drop(beside);
    code
}

/// Whether the run directory belongs to somebody else.
fn is_taken(error: &elbo::Error) -> bool {
    matches!(error, elbo::Error::Model { place, .. } if place == "lock")
        || matches!(error, elbo::Error::Config { key, .. } if key == "--out")
}

pub fn resume(args: Resume, device: &str, context: Context) -> anyhow::Result<u8> {
    let interruption = Interruption::listen()?;
    let chosen = elbo::device::choose(device)?;
    let mut opening = DataProgress::new(context);
    let experiment = Experiment::resume(args.run, args.epochs, &chosen, device, &mut |p| opening.show(p))?;
    drop(opening);
    warn_of_damage(experiment.passed_over());
    if experiment.is_complete() {
        let (done, path) = (count(experiment.info().epochs, "epoch"), experiment.dir().path().display());
        context.note(format!("nothing left to train: {done} done; `elbo resume {path} --epochs N` trains up to N"));
    } else {
        announce(&experiment, context)?;
    }
    run(experiment, &interruption, context)
}

fn run(experiment: Experiment, interruption: &Interruption, context: Context) -> anyhow::Result<u8> {
    let mut progress = Progress::new(context, experiment.config().training.epochs);
    let surrogate = likelihood(&experiment)?.is_surrogate();
    interruption.training_begins();
    let finished = experiment.train(&mut progress, &interruption.stop)?;
    drop(progress);
    report(&finished, surrogate, context)?;
    Ok(if finished.ending == Ending::Interrupted { interruption.exit_code() } else { 0 })
}

fn likelihood(experiment: &Experiment) -> elbo::Result<Likelihood> {
    experiment.config().model.likelihood(Examples::of(experiment.splits().train.source().as_ref()))
}

/// What is about to be trained, and what its numbers will mean.
fn announce(experiment: &Experiment, context: Context) -> elbo::Result<()> {
    let (config, splits) = (experiment.config(), experiment.splits());
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
    let parameters = config.model.parameters(&config.network, Examples::of(source.as_ref()));
    context.note(format!("run    {}", experiment.dir().path().display()));
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
    let kl = match config.model.kind {
        elbo::models::ModelKind::Vae | elbo::models::ModelKind::Iwae => {
            format!(", kl over {} latent dimensions", config.model.latent)
        }
        elbo::models::ModelKind::Ae => String::new(),
    };
    let unit = match likelihood(experiment)? {
        Likelihood::Sse { .. } => "squared errors (kl: nats)",
        surrogate if surrogate.is_surrogate() => "a surrogate's units, not nats (kl: nats)",
        _ => "nats",
    };
    context.note(format!("losses in {unit}, mean over {noun}; recon summed over {values} {place}{kl}"));
    Ok(())
}

fn report(finished: &Finished, surrogate: bool, context: Context) -> anyhow::Result<()> {
    let info = &finished.info;
    let path = finished.path.display().to_string();
    let test = info.test.map(|t| match surrogate {
        true => json!({ "recon": t.recon, "kl": t.kl, "loss": t.loss }),
        false => json!({ "recon": t.recon, "kl": t.kl, "loss": t.loss, "elbo": t.elbo() }),
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
    context.result(value, || match info.test {
        Some(test) => format!(
            "{}: {} in {:.1} s\ntest   loss {:.2} (recon {:.2}, kl {:.2}){}\nreport {path}/report.html\n\n\
             try    elbo sample {path} --out samples.{end}\n       elbo interpolate {path} --out walk.{end}\n       elbo eval {path}",
            info.status, count(info.epochs, "epoch"), info.seconds, test.loss, test.recon, test.kl,
            if surrogate { String::new() } else { format!(", elbo {:.2}", test.elbo()) }
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

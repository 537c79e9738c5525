//! `elbo train` and `elbo resume`.

use std::path::Path;

use elbo::distributions::Likelihood;
use elbo::models::Capability;
use elbo::priors::SYMBOL_RECIPE;
use elbo::run::directory::RunDir;
use elbo::run::history::Means;
use elbo::shell::quoted;
use elbo::tasks::{Finished, FitSettings, ResumeRequest, TrainingRun, has_elbo, next_stage};
use elbo::training::Ending;
use serde_json::{Value, json};

use super::recipes::{absolute, layers, of_parent, of_prior};
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
    let (reading, settings) = of_parent(&args.settings)?;
    let run = source::load_reading(path, None, reading, device)?;
    let symbols = run.symbol_space().is_some();
    if !symbols {
        run.encoder("train --codes-of")?;
    }
    let usual = if symbols { SYMBOL_RECIPE } else { "maf" };
    let config = of_prior(&settings, usual, run.latent(), run.config.training.seed)?;
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
    let request = ResumeRequest { epochs: args.epochs, reading: args.own.settings()? };
    let training = TrainingRun::resume_with(args.run, &request, &chosen, device, &mut |p| opening.show(p))?;
    drop(opening);
    warn_of_damage(training.passed_over());
    if training.is_complete() {
        let path = quoted(&training.dir().path().display().to_string());
        let done = count(training.info().epochs, "epoch");
        context.note(format!("nothing left to train: {done} done; `elbo resume {path} --epochs N` trains up to N"));
    } else {
        announce(&training, context)?;
    }
    run(training, device, &interruption, context)
}

/// A run that has ended.
struct Done {
    finished: Finished,
    /// Whether its model has an ELBO.
    has_elbo: bool,
    /// Whether there is a KL term.
    has_kl: bool,
    /// Dimensions of its code, where that is one vector.
    latent: Option<usize>,
    /// Whether its codes are symbols of a codebook.
    quantizes: bool,
}

/// Trains a run and, where its recipe has several stages, what comes after it.
fn run(first: TrainingRun, device: &str, interruption: &Interruption, context: Context) -> anyhow::Result<u8> {
    let chosen = elbo::device::choose(device)?;
    let root = first.dir().path().to_owned();
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
    let model = &training.config().model;
    let (has_elbo, has_kl) = (has_elbo(training.config()), model.can().contains(&Capability::Bound));
    let latent = model.likelihood_keys().map(|keys| keys.latent);
    let quantizes = model.quantizes();
    // Before and after there is nothing to save: then a signal leaves at once.
    interruption.training_begins();
    let finished = training.train(&mut progress, &interruption.stop);
    interruption.training_ends();
    Ok(Done { finished: finished?, has_elbo, has_kl, latent, quantizes })
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
        means.elbo().filter(|_| self.has_elbo)
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
        let (info, path) = (&self.finished.info, quoted(&self.finished.path.display().to_string()));
        if self.finished.ending == Ending::Interrupted {
            let done = count(info.epochs, "whole epoch");
            return format!("{} after {done}\ncontinue with: elbo resume {path}", info.status);
        }
        let tried = match &info.origin {
            Some(_) => self.of_prior(),
            None => self.of_run(&path),
        };
        let test = match &info.test {
            Some(test) => {
                let elbo = self.elbo(test).map_or_else(String::new, |elbo| format!(", elbo {elbo:.2}"));
                format!("{}{elbo}", terms(&self.with_kl(test)))
            }
            None => "no numbers: no test examples were held back (`data.test = 0.1` does)".into(),
        };
        let report = quoted(&self.finished.path.join("report.html").display().to_string());
        format!(
            "{}: {} in {:.1} s\ntest   {test}\nreport {report}\npage   elbo serve {path}\n\ntry    {tried}",
            info.status,
            count(info.epochs, "epoch"),
            info.seconds,
        )
    }

    /// The terms that the model has: an autoencoder reports a KL of 0, which it has not.
    fn with_kl(&self, means: &Means) -> Means {
        Means::of(means.iter().filter(|(name, _)| self.has_kl || *name != "kl").map(|(n, v)| (n.to_owned(), v)))
    }

    /// What to try with a run: commands that work with what it has.
    fn of_run(&self, path: &str) -> String {
        let data = &self.finished.info.data;
        let end = if data.columns.is_some() { "csv" } else { "png" };
        // Codes of an autoencoder lie where they like.
        let sampler = if self.has_kl { "" } else { " --sampler gaussian" };
        let split = match (data.test, data.validation) {
            (0, 0) => " --split train",
            (0, _) => " --split validation",
            _ => "",
        };
        if self.quantizes {
            return [
                format!("elbo train {SYMBOL_RECIPE} --codes-of {path}"),
                format!("elbo reconstruct {path}{split} --out reconstructions.{end}"),
                format!("elbo eval {path}{split} --metrics codebook"),
            ]
            .join("\n       ");
        }
        let mut lines = vec![
            format!("elbo sample {path}{sampler} --out samples.{end}"),
            format!("elbo interpolate {path}{split} --out walk.{end}"),
            format!("elbo eval {path}{split}"),
        ];
        if self.latent == Some(2) && data.columns.is_none() {
            lines.push(format!("elbo grid {path} --out manifold.png"));
        }
        lines.join("\n       ")
    }

    /// What to try with a prior: its run lies in `priors/` of the run that it belongs to.
    fn of_prior(&self) -> String {
        let name = self.finished.path.file_name().unwrap_or_default().to_string_lossy();
        let run = self.finished.path.ancestors().nth(2).unwrap_or(&self.finished.path);
        let run = quoted(&run.display().to_string());
        format!("elbo sample {run} --sampler {name} --out samples.png\n       elbo priors {run}")
    }
}

/// `1 epoch` or `2 epochs`.
fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

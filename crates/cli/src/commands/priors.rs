//! `elbo priors`: every sampler of a run, side by side.

use elbo::priors::{Draw, SamplerKind};
use elbo::run::atomic;
use elbo::tasks::{ComparedSamplers, ComparisonListeners, FitSettings, Run, SamplerComparison, compare_samplers};
use serde_json::{Value, json};

use super::fitting::{Training, tell_fit, tell_interruption};
use super::pictures::{check_count, check_spread};
use super::recipes::reading;
use super::source;
use crate::args::Priors;
use crate::output::Context;

pub fn priors(args: &Priors, device: &str, context: Context) -> anyhow::Result<u8> {
    check_count("--n", args.n)?;
    check_spread(args.temperature, args.truncation)?;
    let (of_data, of_priors): (Vec<String>, Vec<String>) =
        args.set.iter().cloned().partition(|assignment| assignment.trim_start().starts_with("data."));
    let reading = reading(args.data.as_ref(), &args.pictures, &args.rows, &of_data)?;
    let run = source::load_reading(&args.run, args.checkpoint.as_deref(), reading, device)?;
    let wanted = SamplerComparison {
        kinds: kinds(args, &run)?,
        fit: FitSettings { codes: args.codes.map(Into::into), seed: args.seed },
        set: of_priors,
        samples: Draw { count: args.n, temperature: args.temperature, truncation: args.truncation, seed: args.seed },
    };
    let splits = run.open_data(None)?;
    let mut told = |kind: &_, record: &_, note: &_| tell_fit(kind, record, note, context);
    let mut training = Training::of(&wanted.kinds, context)?;
    let (observer, stop) = training.parts();
    let listeners = ComparisonListeners { fitted: &mut told, observer, stop };
    let Some(compared) = compare_samplers(&run, &splits, &wanted, listeners)? else {
        tell_interruption(&run, context);
        return Ok(training.exit_code());
    };
    drop(training);
    atomic::write_file(&args.out, compared.page.html().as_bytes())?;
    context.result(value(args, run.checkpoint, &compared), || text(args, &compared))?;
    Ok(0)
}

/// Those that are asked for, or all: what any run can have, and what was trained in this one.
fn kinds(args: &Priors, run: &Run) -> elbo::Result<Vec<SamplerKind>> {
    if !args.samplers.is_empty() {
        return args.samplers.iter().map(|name| run.sampler_kind(name)).collect();
    }
    let mut kinds = SamplerKind::builtin();
    let own = run.dir.priors()?.into_iter().map(SamplerKind::Prior);
    kinds.extend(own.filter(|kind| !SamplerKind::builtin().contains(kind)));
    Ok(kinds)
}

fn value(args: &Priors, checkpoint: &str, compared: &ComparedSamplers) -> Value {
    json!({
        "run": args.run,
        "checkpoint": checkpoint,
        "out": args.out,
        "split": compared.split,
        "n": compared.n,
        "seed": args.seed,
        "codes": compared.codes,
        "temperature": args.temperature,
        "truncation": args.truncation,
        "feature_space": compared.feature_space,
        "samplers": compared.rows,
    })
}

fn text(args: &Priors, compared: &ComparedSamplers) -> String {
    let mut text = format!("{:<16} {:>16} {:>20}\n", "codes from", "Frechet distance", "ln p of held-out codes");
    for row in &compared.rows {
        let log_likelihood = row.log_likelihood.map_or("-".into(), |value| format!("{value:.3}"));
        text += &format!("{:<16} {:>16.4} {log_likelihood:>20}\n", row.name, row.frechet);
    }
    let (n, split) = (compared.n, compared.split);
    format!(
        "{text}\n{n} samples against {n} examples of the {split} split, in {}\npage: {}",
        compared.feature_space,
        args.out.display()
    )
}

//! `elbo priors`: every sampler of a run, side by side.

use elbo::priors::{Draw, SamplerKind};
use elbo::run::atomic;
use elbo::tasks::{ComparedSamplers, FitSettings, SamplerComparison, compare_samplers};
use serde_json::{Value, json};

use super::pictures::{check_count, check_spread, tell_fit};
use super::source;
use crate::args::Priors;
use crate::output::Context;

pub fn priors(args: &Priors, device: &str, context: Context) -> anyhow::Result<()> {
    check_count("--n", args.n)?;
    check_spread(args.temperature, args.truncation)?;
    let kinds = match args.samplers.is_empty() {
        true => SamplerKind::ALL.to_vec(),
        false => args.samplers.iter().map(|name| name.parse()).collect::<elbo::Result<_>>()?,
    };
    let run = source::load(&args.run, args.checkpoint.as_deref(), device)?;
    let splits = run.open_data(None)?;
    let wanted = SamplerComparison {
        kinds,
        fit: FitSettings { codes: args.codes.map(Into::into), seed: args.seed },
        samples: Draw { count: args.n, temperature: args.temperature, truncation: args.truncation, seed: args.seed },
    };
    let mut told = |kind, record: &_, note: &_| tell_fit(kind, record, note, context);
    let compared = compare_samplers(&run, &splits, &wanted, &mut told)?;
    atomic::write_file(&args.out, compared.page.html().as_bytes())?;
    context.result(value(args, run.checkpoint, &compared), || text(args, &compared))
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

//! `elbo eval`.

use anyhow::Context as _;
use elbo::data::known::did_you_mean;
use elbo::evaluation::{self, Metric};
use serde_json::{Map, json};

use super::source;
use crate::args::Eval;
use crate::output::Context;

pub fn eval(args: &Eval, device: &str, context: Context) -> anyhow::Result<()> {
    let opened = source::open(&args.source, device)?;
    let run = &opened.run;
    let seed = args.seed.unwrap_or(run.config.training.seed);
    let objective = run.config.loss.target();
    let (evaluation, codes) = opened
        .parts
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| {
            let evaluation = evaluation::evaluate(&run.model, part, objective, seed, &run.device);
            (evaluation, evaluation::encode(&run.model, part, &run.device))
        })
        .reduce(|(mut evaluation, mut codes), further| {
            evaluation.append(further.0);
            codes.append(further.1);
            (evaluation, codes)
        })
        .context("no images")?;
    let mut metrics = evaluation.metrics();
    let definition = format!(
        "latent dimensions whose mean code varies by more than {} (variance) over {} images",
        evaluation::ACTIVE_THRESHOLD,
        codes.n()
    );
    let active = Metric::new(codes.active_units() as f64, "dimensions", definition);
    metrics.push(("active_units", active));
    let chosen = select(metrics, &args.metrics)?;
    let object: Map<_, _> = chosen.iter().map(|(name, metric)| (name.to_string(), json!(metric))).collect();
    let value = json!({
        "run": args.source.run,
        "checkpoint": run.checkpoint,
        "split": opened.name,
        "n": evaluation.n(),
        "metrics": object,
    });
    context.result(value, || {
        let line = |(name, m): &(&str, Metric)| {
            let stderr = m.stderr.map_or(String::new(), |e| format!(" ± {e:.3}"));
            format!("{name:<13} {:>10.3}{stderr:<9}  {}\n{:14}{}\n", m.value, m.unit, "", m.definition)
        };
        format!("{} split, {} images\n{}", opened.name, evaluation.n(), chosen.iter().map(line).collect::<String>())
    })
}

fn select(metrics: Vec<(&'static str, Metric)>, wanted: &[String]) -> elbo::Result<Vec<(&'static str, Metric)>> {
    if let Some(unknown) = wanted.iter().find(|name| metrics.iter().all(|(known, _)| known != name)) {
        let names = metrics.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let help = match did_you_mean(unknown, metrics.iter().map(|(known, _)| *known)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                "without `--metrics` you get all of them; bits_per_dim only exists for likelihoods that are one".into()
            }
        };
        return Err(elbo::Error::config("--metrics", format!("some of {names}"), format!("`{unknown}`"), help));
    }
    Ok(metrics.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name)).collect())
}

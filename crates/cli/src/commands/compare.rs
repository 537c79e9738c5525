//! `elbo report` and `elbo compare`.

use elbo::data::Splits;
use elbo::experiment::{self, Trained};
use elbo::report::{ComparedRun, Estimate};
use elbo::run::atomic;
use serde_json::json;

use super::source;
use crate::args::{Compare, RunOnly};
use crate::output::Context;

pub fn report(args: &RunOnly, device: &str, context: Context) -> anyhow::Result<()> {
    let run = source::load(&args.run, None, device)?;
    let splits = run.open_data(None)?;
    let page = experiment::write_report(&run, &splits)?.display().to_string();
    context.result(json!({ "run": args.run, "report": page }), || page.clone())
}

pub fn compare(args: &Compare, device: &str, context: Context) -> anyhow::Result<()> {
    let runs: Vec<(Trained, Splits)> = args
        .runs
        .iter()
        .map(|path| {
            let run = source::load(path, None, device)?;
            let splits = run.open_data(None)?;
            Ok((run, splits))
        })
        .collect::<elbo::Result<_>>()?;
    let comparison = experiment::compare(&runs)?;
    atomic::write_file(&args.out, comparison.html().as_bytes())?;
    let rows: Vec<_> = runs.iter().zip(&comparison.runs).map(|((run, _), compared)| row(run, compared)).collect();
    let out = args.out.display().to_string();
    context.result(json!({ "out": out, "runs": rows }), || {
        let mut text = format!("{:<24} {:>9} {:>9} {:>9} {:>10}\n", "run", "recon", "kl", "loss", "elbo");
        for row in &rows {
            let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
            let name = row["run"].as_str().unwrap_or_default();
            let [recon, kl, loss, elbo] = ["recon", "kl", "loss", "elbo"].map(number);
            text += &format!("{name:<24} {recon:>9.2} {kl:>9.2} {loss:>9.2} {elbo:>10.2}\n");
        }
        format!("{text}\npage: {out}")
    })
}

/// The numbers of the page, so that table and page never differ; an autoencoder's KL is 0.
fn row(run: &Trained, compared: &ComparedRun) -> serde_json::Value {
    let value = |estimate: Option<Estimate>| estimate.map_or(0.0, |estimate| estimate.value);
    let summary = compared.summary.as_ref();
    let (recon, kl) = (value(summary.map(|s| s.recon)), value(summary.and_then(|s| s.kl)));
    json!({
        "run": compared.name,
        "status": compared.status,
        "epochs": run.info.epochs,
        "recon": recon,
        "kl": kl,
        "loss": value(summary.map(|s| s.loss)),
        "elbo": -(recon + kl),
    })
}

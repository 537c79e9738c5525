//! `elbo report` and `elbo compare`.

use elbo::data::Splits;
use elbo::evaluation;
use elbo::experiment::{self, Trained};
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
    atomic::write_file(&args.out, experiment::compare(&runs)?.as_bytes())?;
    let rows: Vec<_> = runs.iter().map(|(run, splits)| row(run, splits)).collect();
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

fn row(run: &Trained, splits: &Splits) -> serde_json::Value {
    let split = if splits.test.is_empty() { &splits.train } else { &splits.test };
    let seed = run.config.training.seed;
    let terms = evaluation::evaluate(&run.model, split, run.config.loss.target(), seed, &run.device).terms();
    json!({
        "run": run.name(),
        "status": run.info.status,
        "epochs": run.info.epochs,
        "recon": terms.recon,
        "kl": terms.kl,
        "loss": terms.loss,
        "elbo": terms.elbo(),
    })
}

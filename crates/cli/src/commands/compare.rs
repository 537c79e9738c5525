//! `elbo report` and `elbo compare`.

use std::path::Path;

use elbo::data::Splits;
use elbo::report::{ComparedRun, Comparison, Estimate, Trend, TrendPoint};
use elbo::run::atomic;
use elbo::tasks::{self, MetricsReport, MetricsRequest, Run};
use serde_json::json;

use super::{eval, plot, source};
use crate::args::{Compare, RunOnly};
use crate::output::Context;

pub fn report(args: &RunOnly, device: &str, context: Context) -> anyhow::Result<()> {
    let run = source::load(&args.run, None, device)?;
    let splits = run.open_data(None)?;
    let page = tasks::write_report(&run, &splits)?.display().to_string();
    context.result(json!({ "run": args.run, "report": page }), || page.clone())
}

pub fn compare(args: &Compare, device: &str, context: Context) -> anyhow::Result<()> {
    let request = eval::request(&args.judging)?;
    if let Some(path) = &args.plot {
        plot::check(path, "plane.png")?;
    }
    let runs: Vec<(Run, Splits)> = args
        .runs
        .iter()
        .map(|path| {
            let run = source::load(path, None, device)?;
            let splits = run.open_data(None)?;
            Ok((run, splits))
        })
        .collect::<elbo::Result<_>>()?;
    let judged = if request.metrics.is_empty() { Vec::new() } else { judge_all(&runs, &request, args, context)? };
    let mut comparison = tasks::compare(&runs)?;
    if let Some(by) = &args.by {
        comparison.trends = tasks::trends(&runs, &judged, by)?;
    }
    atomic::write_file(&args.out, comparison.html().as_bytes())?;
    if let Some(path) = &args.plot {
        draw(path, &comparison)?;
    }
    let mut rows: Vec<_> = runs.iter().zip(&comparison.runs).map(|((run, _), compared)| row(run, compared)).collect();
    for (row, judgement) in rows.iter_mut().zip(&judged) {
        row["metrics"] = judgement.metrics.iter().map(|(name, metric)| ((*name).to_owned(), json!(metric))).collect();
    }
    let out = args.out.display().to_string();
    context.result(json!({ "out": out, "plot": args.plot, "runs": rows, "trends": comparison.trends }), || {
        let mut text = format!("{:<24} {:>9} {:>9} {:>9} {:>10}\n", "run", "recon", "kl", "loss", "elbo");
        for row in &rows {
            let number = |key: &str| row[key].as_f64().unwrap_or(f64::NAN);
            let name = row["run"].as_str().unwrap_or_default();
            let [recon, kl, loss, elbo] = ["recon", "kl", "loss", "elbo"].map(number);
            text += &format!("{name:<24} {recon:>9.2} {kl:>9.2} {loss:>9.2} {elbo:>10.2}\n");
        }
        text += &comparison.trends.iter().map(trend_text).collect::<String>();
        format!("{text}\npage: {out}")
    })
}

/// Judges every run by its held-out split.
fn judge_all(
    runs: &[(Run, Splits)],
    request: &MetricsRequest,
    args: &Compare,
    context: Context,
) -> elbo::Result<Vec<MetricsReport>> {
    let judge = |(run, splits): &(Run, Splits)| {
        context.note(format!("judging {}", run.name()));
        let part = tasks::held_out(splits).1.clone();
        eval::judge(run, splits, &[part], request, &args.judging, context)
    };
    runs.iter().map(judge).collect()
}

fn trend_text(trend: &Trend) -> String {
    let mut text = format!("\n{} ({}) by {}\n", trend.metric, trend.unit, trend.by);
    for line in &trend.lines {
        text += &format!("  {}\n", line.name);
        for point in &line.points {
            let TrendPoint { at, mean, stderr, runs } = point;
            text += &format!("    {at:<12} {mean:>10.3} ± {stderr:<8.3} {runs} runs\n");
        }
    }
    text
}

/// The plane of rate and distortion as a file.
fn draw(path: &Path, comparison: &Comparison) -> elbo::Result<()> {
    let Some(figure) = comparison.plane() else {
        let help = "compare VAEs of one likelihood, or leave `--plot` away";
        return Err(elbo::Error::config("--plot", "runs with a KL term and one unit", "others", help));
    };
    plot::write(path, &figure)
}

/// The numbers of the page, so that table and page never differ; an autoencoder's KL is 0.
fn row(run: &Run, compared: &ComparedRun) -> serde_json::Value {
    let value = |estimate: Option<Estimate>| estimate.map_or(0.0, |estimate| estimate.value);
    let summary = compared.summary.as_ref();
    let (recon, kl) = (value(summary.map(|s| s.recon)), value(summary.and_then(|s| s.kl)));
    json!({
        "run": compared.name,
        "status": compared.status,
        "epochs": run.info.epochs,
        "recon": recon,
        "kl": run.symbol_space().is_none().then_some(kl),
        "loss": value(summary.map(|s| s.loss)),
        "elbo": run.symbol_space().is_none().then_some(-(recon + kl)),
        "beta": compared.beta,
        "rate": compared.variational.then_some(kl),
        "distortion": compared.variational.then_some(recon),
    })
}

//! `elbo report` and `elbo compare`.

use std::path::Path;

use elbo::data::Splits;
use elbo::report::{ComparedRun, Comparison, Estimate, Trend, TrendPoint};
use elbo::run::atomic;
use elbo::tasks::{self, MetricsReport, MetricsRequest, Run};
use serde_json::{Value, json};

use super::{eval, plot, source};
use crate::args::{Compare, RunOnly};
use crate::output::Context;

pub fn report(args: &RunOnly, device: &str, context: Context) -> anyhow::Result<()> {
    let run = source::load_reading(&args.run, None, args.own.settings()?, device)?;
    let splits = run.open_data(None)?;
    let page = tasks::write_report(&run, &splits)?.display().to_string();
    context.result(json!({ "run": args.run, "report": page }), || page.clone())
}

pub fn compare(args: &Compare, device: &str, context: Context) -> anyhow::Result<()> {
    let request = eval::request(&args.judging)?;
    if let Some(path) = &args.plot {
        plot::check(path, "plane.png")?;
    }
    let reading = args.own.settings()?;
    let runs: Vec<(Run, Splits)> = args
        .runs
        .iter()
        .map(|path| {
            let run = source::load_reading(path, None, reading.clone(), device)?;
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
    let comparable = comparison.comparable();
    let value = json!({
        "out": out,
        "plot": args.plot,
        "runs": rows,
        "comparable": comparable.is_ok(),
        "not_comparable": comparable.err(),
        "trends": comparison.trends,
    });
    context.result(value, || {
        let mut text = table(&rows, &comparison);
        text += &comparison.trends.iter().map(trend_text).collect::<String>();
        format!("{text}\npage: {out}")
    })
}

/// A line for each run, ranked by nothing but their ELBO and only where that compares.
fn table(rows: &[Value], comparison: &Comparison) -> String {
    let mut text = format!("{:<24} {:>9} {:>9} {:>9} {:>10}\n", "run", "recon", "kl", "loss", "elbo");
    let comparable = comparison.comparable();
    for row in rows {
        let cell = |key: &str| match row[key].as_f64() {
            Some(value) if key != "elbo" || comparable.is_ok() => format!("{value:.2}"),
            _ => "-".to_owned(),
        };
        let best = comparison.best_elbo().is_some_and(|best| row["elbo"].as_f64() == Some(best));
        let [recon, kl, loss, elbo] = ["recon", "kl", "loss", "elbo"].map(cell);
        let name = row["run"].as_str().unwrap_or_default();
        text += &format!(
            "{name:<24} {recon:>9} {kl:>9} {loss:>9} {elbo:>10}{}\n",
            if best { "  highest ELBO" } else { "" }
        );
    }
    text + &comparable.err().map_or(String::new(), |why| format!("{why}\n"))
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

/// The numbers of the page, so that table and page never differ; what a run does not have is null.
fn row(run: &Run, compared: &ComparedRun) -> Value {
    let value = |estimate: Option<Estimate>| estimate.map(|estimate| estimate.value);
    let summary = compared.summary.as_ref();
    let (recon, kl) = (value(summary.map(|s| s.recon)), value(summary.and_then(|s| s.kl)));
    json!({
        "run": compared.name,
        "status": compared.status,
        "epochs": run.info.epochs,
        "recon": recon,
        "kl": run.symbol_space().is_none().then_some(kl),
        "loss": value(summary.map(|s| s.loss)),
        "elbo": value(summary.and_then(|s| s.elbo)),
        "beta": compared.beta,
        "rate": kl,
        "distortion": if compared.variational { recon } else { None },
    })
}

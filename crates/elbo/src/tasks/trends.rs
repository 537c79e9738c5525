//! Metrics of many runs against a setting in which they differ.

use std::collections::BTreeSet;

use toml::Value;

use super::evaluate::MetricsReport;
use super::run::Run;
use crate::data::Splits;
use crate::error::{Error, Result};
use crate::evaluation::{mean, stderr};
use crate::report::{Trend, TrendLine, TrendPoint, by_value};

/// The metrics of `judged` runs against the setting `by` (a key of the configuration such as `loss.beta`, or `data.limit`, which counts the training examples).
///
/// Runs that agree in the value and in what [`RunConfig::describe`](crate::recipe::RunConfig::describe) tells of them are repetitions of each other: a point is
/// their mean.
///
/// # Errors
/// [`Error::Config`] if a run has no such setting.
pub fn trends(runs: &[(Run, Splits)], judged: &[MetricsReport], by: &str) -> Result<Vec<Trend>> {
    let places = runs.iter().map(|(run, splits)| setting(run, splits, by)).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = runs.iter().map(|(run, _)| run.config.describe(run.shape.dims())).collect();
    let mut metrics: Vec<&'static str> = Vec::new();
    for (name, _) in judged.iter().flat_map(|judgement| &judgement.metrics) {
        if !metrics.contains(name) {
            metrics.push(name);
        }
    }
    Ok(metrics.into_iter().map(|metric| trend(metric, by, &places, &names, judged)).collect())
}

fn trend(metric: &'static str, by: &str, places: &[String], names: &[String], judged: &[MetricsReport]) -> Trend {
    let of_run = |index: usize| judged[index].metrics.iter().find(|(name, _)| *name == metric).map(|(_, found)| found);
    let kinds: BTreeSet<&String> = names.iter().collect();
    let lines = kinds.into_iter().map(|kind| {
        let mut at: Vec<&String> = (0..names.len()).filter(|&i| names[i] == *kind).map(|i| &places[i]).collect();
        at.sort_by(|a, b| by_value(a, b));
        at.dedup();
        let points = at.into_iter().filter_map(|at| {
            let same = (0..names.len()).filter(|&i| names[i] == *kind && places[i] == *at);
            point(at, &same.filter_map(|i| Some(of_run(i)?.value)).collect::<Vec<_>>())
        });
        TrendLine { name: kind.clone(), points: points.collect() }
    });
    let lines = lines.filter(|line| !line.points.is_empty()).collect();
    let found = (0..names.len()).find_map(of_run);
    Trend {
        metric: metric.into(),
        unit: found.map(|found| found.unit.clone()).unwrap_or_default(),
        definition: found.map(|found| found.definition.clone()).unwrap_or_default(),
        by: if by == LIMIT { "training examples".into() } else { by.into() },
        lines,
    }
}

fn point(at: &str, values: &[f64]) -> Option<TrendPoint> {
    (!values.is_empty()).then(|| TrendPoint {
        at: at.into(),
        mean: mean(values),
        stderr: stderr(values),
        runs: values.len(),
    })
}

/// 0 for all of them, hence counted.
const LIMIT: &str = "data.limit";

/// The value of a key in a run's configuration.
fn setting(run: &Run, splits: &Splits, key: &str) -> Result<String> {
    if key == LIMIT {
        return Ok(splits.train.len().to_string());
    }
    let config: Value = toml::from_str(&run.config.to_toml()).expect("what was written can be read");
    let found = key.split('.').try_fold(&config, |table, part| table.get(part));
    match found {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) if !value.is_table() => Ok(value.to_string()),
        _ => {
            let help = "`elbo config` lists the keys, such as loss.beta, model.latent or data.limit";
            Err(Error::config("by", "a key of every run's configuration", format!("`{key}` in {}", run.name()), help))
        }
    }
}

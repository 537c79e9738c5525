//! `elbo score`.

use std::time::{Duration, Instant};

use elbo::data::{Subset, check_labels, csv_field};
use elbo::report::code_table::id_header;
use elbo::run::atomic;
use elbo::tasks::{self, Score, ScoreColumn, ScoreRequest, Scored};
use serde_json::{Map, Value, json};

use super::encode::identifiers;
use super::source::{self, Opened};
use crate::args;
use crate::output::Context;

/// Time between two lines about a long computation.
const PAUSE: Duration = Duration::from_secs(10);

/// What a threshold is, for reports.
const THRESHOLD: &str = "examples that score higher are flagged; the k-th smallest score of n validation examples, k = ceil((n + 1) (1 - false_alarm)), so that a \
                         further normal example is flagged with at most that probability";

pub fn score(args: &args::Score, device: &str, context: Context) -> anyhow::Result<()> {
    check_flags(args)?;
    let (opened, own) = source::open_complete(&args.source, device)?;
    let run = &opened.run;
    let anomalies = match &args.anomalies {
        Some(data) => source::all(run.open_data(Some(data))?),
        None => Vec::new(),
    };
    let seed = args.seed.unwrap_or(run.config.training.seed);
    let limited = |parts: &[Subset]| match args.limit {
        Some(limit) => tasks::limited(parts, limit, seed),
        None => parts.iter().filter(|part| !part.is_empty()).cloned().collect(),
    };
    let (parts, anomalies) = (limited(&opened.parts), limited(&anomalies));
    let request = ScoreRequest {
        by: Score::chosen(&args.by, run)?,
        k: args.k,
        false_alarm: args.false_alarm,
        normal: normal_classes(args, &opened),
        seed,
    };
    let mut told = Instant::now();
    let mut progress = |done: usize, total: usize| {
        if done < total && told.elapsed() > PAUSE {
            context.note(format!("nll-iw: {done} of {total}"));
            told = Instant::now();
        }
    };
    let scored = tasks::score(run, &own, &parts, &anomalies, &request, &mut progress)?;
    warn(&scored, &request, context);
    if let Some(out) = &args.out {
        atomic::write_file(out, csv(&parts, &anomalies, &scored).as_bytes())?;
    }
    let summary = Summary { args, split: opened.name, checkpoint: run.checkpoint, request: &request, scored: &scored };
    context.result(summary.json(), || summary.text())
}

/// What can be told to be wrong before anything is opened.
fn check_flags(args: &args::Score) -> elbo::Result<()> {
    if args.limit == Some(0) {
        return Err(elbo::Error::config("--limit", "at least 1 example", "0", "leave it out to use all"));
    }
    match &args.out {
        Some(out) if out.extension().is_none_or(|extension| extension != "csv") => {
            let found = out.display().to_string();
            Err(elbo::Error::config("--out", "a name that ends in .csv", found, "for example `--out scores.csv`"))
        }
        _ => Ok(()),
    }
}

/// Those named, or those that the run was trained on where the examples have such classes.
fn normal_classes(args: &args::Score, opened: &Opened) -> Vec<String> {
    let trained_on = &opened.run.config.data.labels;
    let own = args.normal.is_empty() && check_labels("--normal", trained_on, opened.first()).is_ok();
    if own { trained_on.clone() } else { args.normal.clone() }
}

/// What the thresholds are worth, where that is little.
fn warn(scored: &Scored, request: &ScoreRequest, context: Context) {
    let rate = request.false_alarm;
    match scored.reference {
        None => context.note("no threshold: the run held no validation examples back (`data.validation = 0.1` does)"),
        Some(_) if scored.columns.iter().any(|column| column.threshold.is_none()) => {
            let needed = elbo::evaluation::Threshold::examples_for(rate);
            context.note(format!(
                "no threshold: a false-alarm rate of {rate} takes at least {needed} validation examples"
            ));
        }
        Some("test") => context.note("the thresholds are from the test split itself, which this run validated on"),
        Some(_) => {}
    }
}

/// `index,path[,ID],label,score`, further scores by their names, `flagged` by the first, `anomaly` where that is known of any.
fn csv(parts: &[Subset], anomalies: &[Subset], scored: &Scored) -> String {
    let further: String = scored.columns[1..].iter().map(|column| format!(",{}", column.score.name())).collect();
    let known = scored.anomalous.iter().any(Option::is_some);
    let word = |truth: Option<bool>| truth.map_or("", |truth| if truth { "yes" } else { "no" });
    let all: Vec<Subset> = parts.iter().chain(anomalies).cloned().collect();
    let ids = identifiers(&all);
    let id = ids.as_ref().map_or(String::new(), |(name, _)| format!(",{}", csv_field(id_header(name))));
    let mut text = format!("index,path{id},label,score{further},flagged{}\n", if known { ",anomaly" } else { "" });
    let places = parts.iter().chain(anomalies).flat_map(|part| (0..part.len()).map(move |i| (part, i)));
    for (row, (part, i)) in places.enumerate() {
        let (index, path) = (part.place(i), part.path(i).unwrap_or_default());
        let id = ids.as_ref().map_or(String::new(), |(_, ids)| format!(",{}", csv_field(&ids[row])));
        text += &format!("{index},{}{id},{}", csv_field(&path), csv_field(part.class(i).unwrap_or_default()));
        scored.columns.iter().for_each(|column| text += &format!(",{}", column.values[row]));
        let first = &scored.columns[0];
        text += &format!(",{}", word(first.threshold.map(|threshold| threshold.flags(first.values[row]))));
        if known {
            text += &format!(",{}", word(scored.anomalous[row]));
        }
        text.push('\n');
    }
    text
}

/// What is told of the scores.
struct Summary<'a> {
    args: &'a args::Score,
    split: &'static str,
    checkpoint: &'static str,
    request: &'a ScoreRequest,
    scored: &'a Scored,
}

impl Summary<'_> {
    /// Examples that are anomalies, or are not, or of which that is unknown.
    fn count(&self, kind: Option<bool>) -> usize {
        self.scored.anomalous.iter().filter(|truth| **truth == kind).count()
    }

    fn json(&self) -> Value {
        let scores: Map<_, _> = self
            .scored
            .columns
            .iter()
            .map(|column| (column.score.name().to_owned(), self.column_json(column)))
            .collect();
        json!({
            "run": self.args.source.run,
            "checkpoint": self.checkpoint,
            "data": self.args.source.data,
            "split": self.split,
            "anomalies": self.args.anomalies,
            "normal": self.request.normal,
            "n": self.scored.anomalous.len(),
            "n_normal": self.count(Some(false)),
            "n_anomalies": self.count(Some(true)),
            "false_alarm": self.request.false_alarm,
            "threshold_from": self.scored.reference,
            "threshold_definition": THRESHOLD,
            "seed": self.request.seed,
            "out": self.args.out,
            "scores": scores,
        })
    }

    fn column_json(&self, column: &ScoreColumn) -> Value {
        let share = |kind| column.flagged(&self.scored.anomalous, kind).filter(|(_, of)| *of > 0).map(share_json);
        let metrics: Map<_, _> = column
            .ranking
            .iter()
            .flat_map(|ranking| ranking.metrics())
            .map(|(name, m)| (name.to_owned(), json!(m)))
            .collect();
        json!({
            "unit": column.unit,
            "definition": column.definition,
            "mean": column.values.iter().sum::<f64>() / column.values.len() as f64,
            "threshold": column.threshold,
            "flagged": share(None),
            "false_alarms": share(Some(false)),
            "detected": share(Some(true)),
            "auroc": metrics.get("auroc"),
            "average_precision": metrics.get("average_precision"),
        })
    }

    fn text(&self) -> String {
        let (normal, strange, n) = (self.count(Some(false)), self.count(Some(true)), self.scored.anomalous.len());
        let classes = match self.request.normal.as_slice() {
            [] => String::new(),
            names => format!(" (class {})", names.join(", ")),
        };
        let kinds = match normal + strange {
            0 => String::new(),
            _ => format!(": {normal} normal{classes}, {strange} anomalies"),
        };
        let mut text = format!("{} split, {n} examples{kinds}\n\n", self.split);
        text += &format!(
            "{:<12} {:>10} {:>16} {:>9} {:>9}  {:<16} {}\n",
            "score", "threshold", "false alarms", "flagged", "detected", "AUROC", "average precision"
        );
        for column in &self.scored.columns {
            text += &self.line(column);
        }
        text += "\nfalse alarms: share flagged of the validation and of the normal examples\n";
        for column in &self.scored.columns {
            text += &format!("{}: {}, in {}\n", column.score.name(), column.definition, column.unit);
        }
        if let Some(out) = &self.args.out {
            text += &format!("scores of {n} examples in {}\n", out.display());
        }
        text
    }

    fn line(&self, column: &ScoreColumn) -> String {
        let share = |kind| match column.flagged(&self.scored.anomalous, kind) {
            Some((flagged, of)) if of > 0 => percent(flagged as f64 / of as f64),
            _ => "-".into(),
        };
        let with_error = |metric: Option<(f64, f64)>| {
            metric.map_or("-".into(), |(value, stderr)| format!("{value:.4} ± {stderr:.4}"))
        };
        let found = column.threshold.map_or("-".into(), |threshold| percent(threshold.found));
        format!(
            "{:<12} {:>10} {:>16} {:>9} {:>9}  {:<16} {}\n",
            column.score.name(),
            column.threshold.map_or("-".into(), |threshold| format!("{:.3}", threshold.value)),
            format!("{found}, {}", share(Some(false))),
            share(None),
            share(Some(true)),
            with_error(column.ranking.map(|r| (r.auroc, r.auroc_stderr))),
            with_error(column.ranking.map(|r| (r.average_precision, r.average_precision_stderr))),
        )
    }
}

fn share_json((flagged, of): (usize, usize)) -> Value {
    json!({ "flagged": flagged, "n": of, "share": flagged as f64 / of as f64 })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

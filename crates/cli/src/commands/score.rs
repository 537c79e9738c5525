//! `elbo score`.

use std::path::Path;
use std::time::{Duration, Instant};

use elbo::data::{ImageShape, Subset, check_labels, csv_field};
use elbo::generation::originals;
use elbo::report::code_table::id_header;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::run::atomic;
use elbo::tasks::{self, Run, Score, ScoreColumn, ScoreRequest, Scored};
use serde_json::{Map, Value, json};

use super::encode::identifiers;
use super::heat::{self, HeatMaps};
use super::pictures::scale;
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
    if let Some(plot) = args.plot.as_ref().filter(|_| run.columns().is_some()) {
        let (found, help) = (plot.display().to_string(), "leave it away: the strangest rows are named");
        return Err(elbo::Error::config("--plot", "nothing: rows of a table are no pictures", found, help).into());
    }
    let anomalies = match &args.anomalies {
        Some(data) => source::all(run.open_data(Some(data))?),
        None => Vec::new(),
    };
    let seed = args.seed.unwrap_or(run.config.training.seed);
    let by = Score::chosen(&args.by, run)?;
    args.heatmap.as_ref().map_or(Ok(()), |folder| heat::check(folder, &by, run))?;
    let limited = |parts: &[Subset]| match args.limit {
        Some(limit) => tasks::limited(parts, limit, seed),
        None => parts.iter().filter(|part| !part.is_empty()).cloned().collect(),
    };
    let (parts, anomalies) = (limited(&opened.parts), limited(&anomalies));
    let request =
        ScoreRequest { by, k: args.k, false_alarm: args.false_alarm, normal: normal_classes(args, &opened), seed };
    let mut told = Instant::now();
    let mut progress = |done: usize, total: usize| {
        if done < total && told.elapsed() > PAUSE {
            context.note(format!("nll-iw: {done} of {total}"));
            told = Instant::now();
        }
    };
    let examined = tasks::Examined { parts: &parts, anomalies: &anomalies };
    let scored = tasks::score(run, &own, examined, &request, &mut progress)?;
    warn(&scored, &request, context);
    if let Some(out) = &args.out {
        atomic::write_file(out, csv(&parts, &anomalies, &scored).as_bytes())?;
    }
    let strangest = strangest(&parts, &anomalies, &scored);
    let shown = alone(&parts, &anomalies, &strangest);
    if let Some(path) = &args.plot {
        draw(run, &shown, path)?;
    }
    let heat_maps = args.heatmap.as_ref().map(|folder| heat::draw(run, &shown, folder)).transpose()?;
    let (split, checkpoint) = (opened.name, run.checkpoint);
    let summary =
        Summary { args, split, checkpoint, request: &request, scored: &scored, strangest: &strangest, heat_maps };
    context.result(summary.json(), || summary.text())
}

/// What can be told to be wrong before anything is opened.
fn check_flags(args: &args::Score) -> elbo::Result<()> {
    if args.limit == Some(0) {
        return Err(elbo::Error::config("--limit", "at least 1 example", "0", "leave it out to use all"));
    }
    if let Some(plot) = args.plot.as_ref().filter(|plot| plot.extension().is_none_or(|end| end != "png")) {
        let found = plot.display().to_string();
        return Err(elbo::Error::config(
            "--plot",
            "a name that ends in .png",
            found,
            "for example `--plot strange.png`",
        ));
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

/// Examples named in the summary.
const NAMED: usize = 10;

/// An example with a high score.
struct Strange {
    /// Which of the parts examined, then of the anomalies, and where in it.
    part: usize,
    place: usize,
    score: f64,
    index: u64,
    /// What it is called: its path, or its identifier.
    name: Option<String>,
    label: Option<String>,
}

/// The examples that the first score finds strangest, those first; of equal ones in their order.
fn strangest(parts: &[Subset], anomalies: &[Subset], scored: &Scored) -> Vec<Strange> {
    let all: Vec<&Subset> = parts.iter().chain(anomalies).collect();
    let places = all.iter().enumerate().flat_map(|(part, subset)| (0..subset.len()).map(move |place| (part, place)));
    let mut order: Vec<((usize, usize), f64)> = places.zip(scored.columns[0].values.iter().copied()).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let strange = |((part, place), score): ((usize, usize), f64)| {
        let subset = all[part];
        let name = subset.path(place).or_else(|| subset.identifier(place).map(str::to_owned));
        let label = subset.class(place).map(str::to_owned);
        Strange { part, place, score, index: subset.place(place), name, label }
    };
    order.into_iter().take(NAMED).map(strange).collect()
}

/// Each of the strangest as a part of its own, with its index.
fn alone(parts: &[Subset], anomalies: &[Subset], strangest: &[Strange]) -> Vec<(Subset, u64)> {
    let all: Vec<&Subset> = parts.iter().chain(anomalies).collect();
    strangest.iter().map(|s| (all[s.part].select(&[s.place as u32]), s.index)).collect()
}

/// The strangest examples as a sheet of pictures.
fn draw(run: &Run, shown: &[(Subset, u64)], path: &Path) -> anyhow::Result<()> {
    let pixels: Vec<f32> = shown.iter().flat_map(|(example, _)| originals(example, &[0], &run.device).pixels).collect();
    let ImageShape { channels, height, width } = run.shape;
    let layout = GridLayout { columns: 5, scale: scale(run.shape), ..Default::default() };
    let grid = image_grid::image_grid(ImageBatch::new(&pixels, channels, height, width)?, layout)?;
    Ok(atomic::write_file(path, &image_grid::png(&grid)?)?)
}

/// What is told of the scores.
struct Summary<'a> {
    args: &'a args::Score,
    split: &'static str,
    checkpoint: &'static str,
    request: &'a ScoreRequest,
    scored: &'a Scored,
    strangest: &'a [Strange],
    heat_maps: Option<HeatMaps>,
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
            "strangest": self.strangest.iter().map(|s| {
                json!({ "index": s.index, "name": s.name, "label": s.label, "score": s.score })
            }).collect::<Vec<_>>(),
            "plot": self.args.plot,
            "heatmaps": self.heat_maps.as_ref().map(|maps| json!({ "files": maps.files, "hottest_nats": maps.most })),
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
        let first = self.scored.columns[0].score.name();
        text += &format!("\nstrangest by {first}:\n");
        for Strange { score, index, name, label, .. } in self.strangest {
            let (name, label) = (name.as_deref().unwrap_or_default(), label.as_deref().unwrap_or_default());
            text += format!("{score:>14.3}  index {index:<8} {name}  {label}").trim_end();
            text += "\n";
        }
        text += "\nfalse alarms: share flagged of the validation and of the normal examples\n";
        for column in &self.scored.columns {
            text += &format!("{}: {}, in {}\n", column.score.name(), column.definition, column.unit);
        }
        if let Some(HeatMaps { files, most }) = &self.heat_maps {
            let folder = self.args.heatmap.as_deref().unwrap_or(Path::new(".")).display();
            text += &format!(
                "{} heat maps in {folder}: -ln p of the codes of a place, {most:.2} nats at the hottest\n",
                files.len()
            );
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

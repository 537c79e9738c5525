//! `elbo data`: the data doctor.

use elbo::data::inspect::{ColumnReport, DataFinding, Severity};
use elbo::data::{self, DataReport, Progress, Splits, Subset};
use elbo::recipe::RunConfig;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::run::atomic;
use serde_json::json;

use super::pictures::check_count;
use super::recipes::layers;
use crate::args::{Data, Settings};
use crate::output::Context;
use crate::progress::DataProgress;

pub fn data(args: &Data, context: Context) -> anyhow::Result<()> {
    let RunConfig { data: config, model, training, .. } = configured(args)?;
    let seed = training.seed;
    if args.out.is_some() {
        check_count("--n", args.n)?;
    }
    let mut opening = DataProgress::new(context);
    // What was chosen is part of the report.
    let mut notes: Vec<String> = Vec::new();
    let mut show = |progress: Progress<'_>| match progress {
        Progress::Note(note) => notes.push(note.to_owned()),
        progress => opening.show(progress),
    };
    let splits = data::open(&config, seed, &mut show)?;
    drop(opening);
    let mut report = data::inspect(&splits);
    let known: Vec<String> = splits.train.source().notes().to_vec();
    let further = notes.into_iter().filter(|note| !known.contains(note));
    let further = further.map(|message| DataFinding { severity: Severity::Note, message, help: String::new() });
    report.findings.extend(further);
    let examples = splits.train.source().space();
    if let Some(keys) = model.likelihood_keys() {
        let (likelihood, name) = (keys.named_likelihood(examples)?, json!(keys.likelihood));
        report.findings.extend(likelihood.finding(name.as_str().unwrap_or_default(), examples.domain, report.binary));
    }
    report.findings.sort_by_key(|finding| finding.severity);
    if let Some(out) = &args.out {
        if splits.train.source().columns().is_some() {
            let help = "leave `--out` away: the report has the numbers of each column";
            let found = out.display().to_string();
            return Err(elbo::Error::config("--out", "nothing: rows of a table are no images", found, help).into());
        }
        atomic::write_file(out, &picture(&splits, args.n, seed)?)?;
        context.note(format!("picture {}", out.display()));
    }
    context.result(json!(report), || text(&report))
}

/// The very settings that `elbo train` would take: the recipe that is named, else the one that fits the data.
fn configured(args: &Data) -> elbo::Result<RunConfig> {
    let settings = Settings {
        recipe: args.recipe.clone(),
        data: Some(args.data.clone()),
        pictures: args.pictures.clone(),
        table: args.table.clone(),
        seed: args.seed,
        set: args.set.clone(),
        epochs: None,
        batch_size: None,
        precision: None,
    };
    Ok(layers(&settings)?.build()?.first().clone())
}

/// `n` images of the training split, chosen at random, of each class its share.
fn picture(splits: &Splits, n: usize, seed: u64) -> elbo::Result<Vec<u8>> {
    let split: &Subset = &splits.train;
    let shape = split.source().shape();
    let chosen = split.sampled(n, seed);
    let count = chosen.len();
    let mut pixels = vec![0u8; count * shape.numel()];
    for (i, image) in pixels.chunks_exact_mut(shape.numel()).enumerate() {
        chosen.read(i, image);
    }
    let layout =
        GridLayout { columns: 20.min(count), scale: (56 / shape.width.max(1)).clamp(1, 4), ..Default::default() };
    let batch = ImageBatch::new(&pixels, shape.channels, shape.height, shape.width)?;
    image_grid::png(&image_grid::image_grid(batch, layout)?)
}

fn text(report: &DataReport) -> String {
    let counts =
        format!("{} train, {} validation, {} test", report.splits.train, report.splits.validation, report.splits.test);
    let mut text = format!("{}\n", report.name);
    if report.columns.is_empty() {
        let [channels, height, width] = report.shape;
        text += &format!("images  {counts}\nshape   {channels} x {height} x {width} (channels, height, width)\n");
        let [low, high] = report.range;
        text += &format!("range   {low:.3} to {high:.3}, mean {:.4}, std {:.4}\n", report.mean, report.std);
    } else {
        text += &format!("rows    {counts}\ncolumns {}\n", report.columns.len());
        text += &columns_text(&report.columns);
    }
    text += &format!("sha256  {}\n", report.sha256);
    let labels: Vec<_> = report.labels.iter().map(|l| format!("{} {}", l.name, l.count)).collect();
    if !labels.is_empty() {
        text += &format!("labels  {}\n", labels.join(", "));
    }
    for finding in &report.findings {
        let word = if finding.severity == Severity::Warning { "warning" } else { "note" };
        text += &format!("{word}: {}\n", finding.message);
        if !finding.help.is_empty() {
            text += &format!("  help: {}\n", finding.help);
        }
    }
    text
}

/// One line a column, for the first so many.
fn columns_text(columns: &[ColumnReport]) -> String {
    const SHOWN: usize = 40;
    let width = columns.iter().take(SHOWN).map(|column| column.name.chars().count()).max().unwrap_or(0).max(6);
    let mut text = format!("        {:width$} {:>12} {:>12} {:>12} {:>12}\n", "", "min", "mean", "max", "std");
    for ColumnReport { name, min, mean, max, std } in columns.iter().take(SHOWN) {
        let [min, mean, max, std] = [min, mean, max, std].map(|value| number(*value));
        text += &format!("        {name:width$} {min:>12} {mean:>12} {max:>12} {std:>12}\n");
    }
    if columns.len() > SHOWN {
        text += &format!("        and {} more (--json has all)\n", columns.len() - SHOWN);
    }
    text
}

/// Six digits that matter.
fn number(value: f64) -> String {
    let decimals = 5 - value.abs().max(1e-300).log10().floor() as i64;
    match value {
        0.0 => "0".into(),
        _ if !(0..=10).contains(&decimals) => format!("{value:.4e}"),
        _ => format!("{value:.*}", decimals as usize),
    }
}

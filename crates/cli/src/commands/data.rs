//! `elbo data`: the data doctor.

use elbo::data::inspect::{ColumnReport, DataFinding, Severity};
use elbo::data::{self, DataReport, Progress, Splits, Subset};
use elbo::recipe::RunConfig;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::run::atomic;
use elbo::shell::quoted;
use elbo::text::{cut, one_line};
use serde_json::json;

use super::cures::Flags;
use super::pictures::check_count;
use super::recipes::layers;
use crate::args::{Data, Settings};
use crate::output::{Context, failure_code};
use crate::progress::DataProgress;

/// Cures that are tried one after another.
const MOST_CURES: usize = 8;

/// Looks at the data as they are asked for. What keeps them from being opened is told, and cured to look further: the exit code is then that
/// of the first problem, and the last line is a command with all cures.
pub fn data(args: &Data, context: Context) -> anyhow::Result<u8> {
    if args.out.is_some() {
        check_count("--n", args.n)?;
    }
    let (mut flags, mut problems) = (Flags::of(args), Vec::new());
    let mut tried = vec![flags.to_line()];
    let (config, splits, notes) = loop {
        let opened = configured(args, &flags).and_then(|config| Ok((open(&config, context)?, config)));
        match opened {
            Ok(((splits, notes), config)) => break (config, splits, notes),
            Err(error) => {
                let cured = flags.with_cure(error.help()).filter(|_| problems.len() < MOST_CURES);
                // A cure that undoes another leads nowhere.
                let cured = cured.filter(|cured| !tried.contains(&cured.to_line()));
                let Some(cured) = cured else {
                    tell(problems, context);
                    return Err(error.into());
                };
                problems.push(anyhow::Error::new(error));
                flags = cured;
                tried.push(flags.to_line());
            }
        }
    };
    let (report, seed) = (report(&config, &splits, notes)?, config.training.seed);
    if let Some(out) = &args.out {
        if splits.train.source().columns().is_some() {
            let help = "leave `--out` away: the report has the numbers of each column";
            let found = out.display().to_string();
            return Err(elbo::Error::config("--out", "nothing: rows of a table are no images", found, help).into());
        }
        atomic::write_file(out, &picture(&splits, args.n, seed)?)?;
        context.note(format!("picture {}", out.display()));
    }
    let line = (!problems.is_empty()).then(|| command(args, &flags, &report));
    let mut object = json!(report);
    if let Some(line) = &line {
        object["problems"] = problems.iter().map(|error| error.to_string()).collect::<Vec<_>>().into();
        object["command"] = line.clone().into();
    }
    let code = tell(problems, context);
    context.result(object, || {
        let ready = line.map_or_else(String::new, |line| format!("with these cures: {line}\n"));
        text(&report) + &ready
    })?;
    Ok(code)
}

/// Reports problems on standard error; the exit code is that of the first.
fn tell(problems: Vec<anyhow::Error>, context: Context) -> u8 {
    let context = Context { json: false, ..context };
    let codes: Vec<u8> = problems.iter().map(|problem| failure_code(problem, context)).collect();
    codes.first().copied().unwrap_or(0)
}

/// The data, and what was told while they were opened: what was chosen is part of the report.
fn open(config: &RunConfig, context: Context) -> elbo::Result<(Splits, Vec<String>)> {
    let (mut opening, mut notes) = (DataProgress::new(context), Vec::new());
    let mut show = |progress: Progress<'_>| match progress {
        Progress::Note(note) => notes.push(note.to_owned()),
        progress => opening.show(progress),
    };
    let splits = data::open(&config.data, config.training.seed, &mut show)?;
    Ok((splits, notes))
}

fn report(config: &RunConfig, splits: &Splits, notes: Vec<String>) -> elbo::Result<DataReport> {
    let (mut report, source) = (data::inspect(splits), splits.train.source());
    let known = |note: &String| {
        source.notes().contains(note)
            || note.strip_prefix("warning: ").is_some_and(|note| source.warnings().iter().any(|w| w == note))
    };
    let further = notes.into_iter().filter(|note| !known(note));
    let further = further.map(|message| DataFinding { severity: Severity::Note, message, help: String::new() });
    report.findings.extend(further);
    let examples = source.space();
    if let Some(keys) = config.model.likelihood_keys() {
        let (likelihood, name) = (keys.named_likelihood(examples)?, json!(keys.likelihood));
        report.findings.extend(likelihood.finding(name.as_str().unwrap_or_default(), examples.domain, report.binary));
    }
    report.findings.sort_by_key(|finding| finding.severity);
    Ok(report)
}

/// The command that trains on the data as they were opened.
fn command(args: &Data, flags: &Flags, report: &DataReport) -> String {
    let pictures = report.columns.is_empty();
    let recipe = args.recipe.clone().or_else(|| pictures.then(|| "conv".to_owned()));
    let words = [
        Some("elbo train".to_owned()),
        recipe.map(|recipe| quoted(&recipe)),
        Some(format!("--data {}", quoted(&args.data))),
        args.seed.map(|seed| format!("--seed {seed}")),
    ];
    let line = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    format!("{line} {}", flags.to_line())
}

/// The configuration that `elbo train` would have with these flags.
fn configured(args: &Data, flags: &Flags) -> elbo::Result<RunConfig> {
    let settings = Settings {
        recipe: args.recipe.clone(),
        data: Some(args.data.clone()),
        pictures: flags.pictures.clone(),
        table: flags.table.clone(),
        seed: args.seed,
        set: flags.set.clone(),
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
    let mut text = format!("{}\n", name(&report.name));
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
    let labels: Vec<_> =
        report.labels.iter().take(MOST_LABELS).map(|l| format!("{} {}", name(&l.name), l.count)).collect();
    if !labels.is_empty() {
        let more = report.labels.len() - labels.len();
        let more = if more > 0 { format!(" and {more} more (--json has all)") } else { String::new() };
        text += &format!("labels  {}{more}\n", labels.join(", "));
    }
    for finding in &report.findings {
        let word = if finding.severity == Severity::Warning { "warning" } else { "note" };
        text += &format!("{word}: {}\n", cut(&one_line(&finding.message), 1200));
        if !finding.help.is_empty() {
            text += &format!("  help: {}\n", cut(&one_line(&finding.help), 1200));
        }
    }
    text
}

/// Classes shown.
const MOST_LABELS: usize = 200;

/// A name of a file's as a table shows it.
fn name(name: &str) -> String {
    cut(&one_line(name), 60).into_owned()
}

/// One line a column, for the first so many.
fn columns_text(columns: &[ColumnReport]) -> String {
    const SHOWN: usize = 40;
    let width = columns.iter().take(SHOWN).map(|column| name(&column.name).chars().count()).max().unwrap_or(0).max(6);
    let mut text = format!("        {:width$} {:>12} {:>12} {:>12} {:>12}\n", "", "min", "mean", "max", "std");
    for ColumnReport { name: full, min, mean, max, std, .. } in columns.iter().take(SHOWN) {
        let name = name(full);
        let [min, mean, max, std] = [min, mean, max, std].map(|value| number(*value, *std));
        text += &format!("        {name:width$} {min:>12} {mean:>12} {max:>12} {std:>12}\n");
    }
    if columns.len() > SHOWN {
        text += &format!("        and {} more (--json has all)\n", columns.len() - SHOWN);
    }
    text
}

/// Six digits that matter, and of points in time, which are large and near to each other, those that differ.
fn number(value: f64, std: f64) -> String {
    let digits = |size: f64, count: i64| count - 1 - size.abs().max(1e-300).log10().floor() as i64;
    let decimals = match std {
        0.0 => digits(value, 6),
        std => digits(value, 6).max(digits(std, 3)),
    };
    match value {
        0.0 => "0".into(),
        _ if !(0..=10).contains(&decimals) => format!("{value:.4e}"),
        _ => format!("{value:.*}", decimals as usize),
    }
}

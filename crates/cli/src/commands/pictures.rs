//! `elbo sample`, `reconstruct` and `grid`: pictures from saved runs; and what all commands that write pictures share.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use elbo::data::{ImageShape, Subset, csv_field};
use elbo::generation::{self, CodeDecoder, Pictures, ShowAs};
use elbo::models::{Ask, Generate};
use elbo::priors::Draw;
use elbo::report::code_table::id_header;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::run::atomic;
use elbo::tasks::{FitRequest, FitSettings, Run};
use elbo::tensors::values_of;
use serde_json::{Value, json};

use super::encode::identifiers;
use super::fitting::fitted;
use super::source;
use crate::args::{Grid, GridName, Observation, Reconstruct, Sample, Target};
use crate::output::Context;

/// Images a command makes at most: a typing mistake must not fill the memory.
const MAX_IMAGES: usize = 100_000;

/// Furthest from 0 a code is sent: far beyond anything a prior knows, and safe from overflow.
pub(super) const MAX_REACH: f64 = 1e6;

pub fn sample(args: &Sample, device: &str, context: Context) -> anyhow::Result<u8> {
    check_format(&args.target)?;
    if args.n == 0 {
        check_count("--n", args.n)?;
    }
    check_spread(args.temperature, args.truncation)?;
    let run = source::load_reading(&args.run, args.checkpoint.as_deref(), args.own.settings()?, device)?;
    if let (None, Some(generator), Some(_)) = (run.model.decoder(), run.model.generator(), run.model.space().symbols())
    {
        check_count("--n", args.n)?;
        return super::symbols::generate(&run, generator, args, context);
    }
    check_kind(&run, &args.target)?;
    match run.columns() {
        Some(columns) => check_rows("--n", args.n, columns.names.len())?,
        None => check_count("--n", args.n)?,
    }
    if run.symbol_space().is_some() {
        return super::symbols::sample(&run, args, context);
    }
    super::symbols::refuse_choices(args)?;
    let Sample { n: count, temperature, truncation, seed, .. } = *args;
    let draw = Draw { count, temperature, truncation, seed };
    let class = source::class(&run, args.class.as_deref())?;
    if let (None, Some(generator)) = (run.model.decoder(), run.model.generator()) {
        save(&run, &generated(&run, generator, args)?, &args.target, 0, json!({}), context)?;
        return Ok(0);
    }
    let kind = run.sampler_kind(args.sampler.as_deref().unwrap_or("normal"))?;
    let settings = FitSettings { codes: args.codes.map(Into::into), seed: run.config.training.seed };
    let codes = match fitted(&run, FitRequest { kind: &kind, settings, set: &[] }, context)?.sample(&draw, class) {
        Ok(codes) => codes,
        Err(code) => return Ok(code),
    };
    let decoder = run.decoder("sample")?;
    let pictures = match class {
        Some(class) => generation::show(&decoder.of_class(class), &codes, shown(args.observation, args.seed))?,
        None => {
            generation::show_in_turn(&decoder, &codes, run.info.data.classes.len(), shown(args.observation, args.seed))?
        }
    };
    save(&run, &pictures, &args.target, 0, json!({}), context)?;
    Ok(0)
}

/// Examples of a model that makes them without codes.
fn generated(run: &Run, generator: &dyn Generate, args: &Sample) -> anyhow::Result<Pictures> {
    if let Some(sampler) = &args.sampler {
        let (found, help) = (format!("`{sampler}`"), "leave it away: this model needs no codes");
        return Err(elbo::Error::config("sampler", "nothing for a model without a decoder", found, help).into());
    }
    let ask = Ask::new(args.n, args.seed).temperature(args.temperature).truncation(args.truncation);
    let rows = generator.generate(&ask)?;
    Ok(Pictures { shape: run.shape, pixels: values_of(rows[0].real()) })
}

pub(super) fn check_spread(temperature: f64, truncation: Option<f64>) -> elbo::Result<()> {
    check_number("--temperature", temperature, 0.0..=MAX_REACH, "1 samples the distribution as it was fitted")?;
    // Below, hardly a draw would pass.
    truncation.map_or(Ok(()), |bound| check_number("--truncation", bound, 0.01..=MAX_REACH, "2 keeps 95 % of draws"))
}

pub fn reconstruct(args: &Reconstruct, device: &str, context: Context) -> anyhow::Result<()> {
    check_count("--n", args.n)?;
    check_format(&args.target)?;
    let opened = source::open_autoencoder(&args.source, device, "reconstruct")?.at_depth(args.depth)?;
    let (run, split) = (&opened.run, opened.first());
    check_kind(run, &args.target)?;
    let chosen = generation::random_places(split, args.n, args.seed);
    let images = split.select(&chosen);
    let decoded = match args.observation {
        Observation::Mean => {
            run.explained("reconstruct", generation::reconstruct(run.model.as_ref(), split, &chosen, &run.device))?
        }
        Observation::Draw if run.symbol_space().is_some() => {
            let symbols = run.symbols(&images)?;
            generation::decode_symbols(run.model.as_ref(), &symbols, shown(args.observation, args.seed), &run.device)?
        }
        Observation::Draw => {
            let codes = elbo::evaluation::encode(run.model.as_ref(), &images, &run.device);
            let codes = run.explained("reconstruct", codes)?;
            let classes = codes.labels.unwrap_or_default();
            generation::show_of_classes(
                &run.decoder("reconstruct")?,
                &codes.mean,
                &classes,
                shown(args.observation, args.seed),
            )?
        }
    };
    source::finite(run, "reconstruct", &decoded.pixels)?;
    if let Some(columns) = run.columns().filter(|_| ends_in(&args.target, "csv")) {
        atomic::write_file(&args.target.out, numbered(&columns.csv(&decoded.pixels), &images).as_bytes())?;
        return said(run, &args.target, decoded.len(), which(&images), context);
    }
    if !ends_in(&args.target, "png") {
        return save(run, &decoded, &args.target, 0, which(&images), context);
    }
    let originals = generation::originals(split, &chosen, &run.device);
    let ImageShape { channels, height, width } = run.shape;
    let batch = |p| ImageBatch::new(p, channels, height, width);
    let layout = GridLayout {
        columns: args.target.columns.unwrap_or(16).min(args.n),
        scale: scale(run.shape),
        ..Default::default()
    };
    let grid = image_grid::side_by_side(batch(&originals.pixels)?, batch(&decoded.pixels)?, layout)?;
    atomic::write_file(&args.target.out, &image_grid::png(&grid)?)?;
    said(run, &args.target, decoded.len(), which(&images), context)
}

/// Which examples the pictures or rows are of, in their order.
fn which(images: &Subset) -> Value {
    let mut facts = json!({ "index": images.places() });
    if let Some(paths) = (0..images.len()).map(|i| images.path(i)).collect::<Option<Vec<_>>>() {
        facts["path"] = json!(paths);
    }
    if let Some((name, ids)) = identifiers(std::slice::from_ref(images)) {
        facts["id"] = json!({ "column": name, "values": ids });
    }
    facts
}

pub fn grid(args: &Grid, device: &str, context: Context) -> anyhow::Result<()> {
    check_format(&args.target)?;
    check_number("--reach", args.reach.into(), -MAX_REACH..=MAX_REACH, "2 is the usual one")?;
    let size = args.size.unwrap_or(match args.spacing {
        GridName::Linear => 20,
        GridName::Quantiles => 15,
        GridName::Classes => 10,
    });
    check_count("--size", size.saturating_mul(size))?;
    check_number("--tail", args.tail, 1e-6..=0.499, "0.05 is the usual one")?;
    let run = source::load(&args.run, args.checkpoint.as_deref(), device)?;
    let decoder = source::decoder(&run, "grid", args.class.as_deref())?;
    if args.spacing == GridName::Classes {
        return class_grid(&run, &decoder, size, args, context);
    }
    if run.latent() != 2 {
        let help = "`elbo traverse` walks along single dimensions of any code";
        let found = format!("{} dimensions", run.latent());
        return Err(elbo::Error::config("grid", "a run with a two-dimensional code", found, help).into());
    }
    check_kind(&run, &args.target)?;
    let pictures = match args.spacing {
        GridName::Quantiles => generation::manifold_quantiles(&decoder, args.tail, size),
        _ => generation::manifold_linear(&decoder, args.reach, size),
    };
    save(&run, &pictures, &args.target, size, json!({}), context)
}

/// A column for each class, a row for each code: what a conditional model keeps apart, class and style.
fn class_grid(run: &Run, decoder: &CodeDecoder<'_>, rows: usize, args: &Grid, context: Context) -> anyhow::Result<()> {
    let classes = &run.info.data.classes;
    if !decoder.is_conditional() {
        let (found, help) = (run.name(), "`elbo train mnist-cvae` trains one");
        return Err(elbo::Error::config("--spacing classes", "a conditional model", found, help).into());
    }
    check_count("--size", rows.saturating_mul(classes.len()))?;
    check_kind(run, &args.target)?;
    let pictures = generation::class_grid(decoder, rows, classes.len(), args.seed);
    save(run, &pictures, &args.target, classes.len(), json!({ "classes": classes }), context)
}

pub(super) fn shown(observation: Observation, seed: u64) -> ShowAs {
    match observation {
        Observation::Mean => ShowAs::Mean,
        Observation::Draw => ShowAs::Draw { seed },
    }
}

/// Refuses no images and more than fit in memory.
pub(super) fn check_count(key: &str, count: usize) -> elbo::Result<()> {
    if (1..=MAX_IMAGES).contains(&count) {
        return Ok(());
    }
    let expected = format!("1 to {MAX_IMAGES} images in all");
    Err(elbo::Error::config(key, expected, count.to_string(), "choose another number"))
}

/// Numbers in the rows that a command makes at most.
const MAX_VALUES: usize = 100_000_000;

/// The same of rows of a table, which are small.
fn check_rows(key: &str, count: usize, width: usize) -> elbo::Result<()> {
    let most = (MAX_VALUES / width.max(1)).max(1);
    if (1..=most).contains(&count) {
        return Ok(());
    }
    let expected = format!("1 to {most} rows of {width} columns");
    Err(elbo::Error::config(key, expected, count.to_string(), "make them in parts, with another `--seed` each"))
}

pub(super) fn check_number(key: &str, value: f64, accepted: RangeInclusive<f64>, help: &str) -> elbo::Result<()> {
    if accepted.contains(&value) {
        return Ok(());
    }
    let expected = format!("a number from {} to {}", accepted.start(), accepted.end());
    Err(elbo::Error::config(key, expected, value.to_string(), help))
}

pub(super) fn ends_in(target: &Target, extension: &str) -> bool {
    target.out.extension().is_some_and(|end| end == extension)
}

/// Refuses names that no run can write, before anything is loaded.
pub(super) fn check_format(target: &Target) -> elbo::Result<()> {
    if ["png", "npy", "csv"].iter().any(|end| ends_in(target, end)) {
        return Ok(());
    }
    let found = target.out.display().to_string();
    let expected = "a name that ends in .png or .npy (of a table .csv or .npy)";
    Err(elbo::Error::config("--out", expected, found, "for example `--out samples.png`"))
}

/// Refuses pictures of a table, and tables of pictures.
pub(super) fn check_kind(run: &Run, target: &Target) -> elbo::Result<()> {
    let found = target.out.display().to_string();
    match run.columns() {
        Some(_) if ends_in(target, "png") => {
            let help = "for example `--out rows.csv`: the model was trained on a table, and its rows are no pictures";
            Err(elbo::Error::config("--out", "a name that ends in .csv or .npy", found, help))
        }
        None if ends_in(target, "csv") => {
            let help = "for example `--out samples.png`: the model was trained on images";
            Err(elbo::Error::config("--out", "a name that ends in .png or .npy", found, help))
        }
        _ => Ok(()),
    }
}

/// Writes files to a folder, which is made where there is none; their paths.
pub(super) fn write_files(
    folder: &Path,
    files: impl IntoIterator<Item = elbo::Result<(String, Vec<u8>)>>,
) -> elbo::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).map_err(elbo::Error::io(folder, "create"))?;
    let write = |file: elbo::Result<(String, Vec<u8>)>| {
        let (name, bytes) = file?;
        let path = folder.join(name);
        atomic::write_file(&path, &bytes).map(|()| path)
    };
    files.into_iter().map(write).collect()
}

/// Small images are enlarged on disk, so that a viewer shows more than a stamp.
pub(super) fn scale(shape: ImageShape) -> usize {
    (56 / shape.height.max(shape.width).max(1)).clamp(1, 4)
}

/// Writes pictures as a grid or an array, rows of a table in its own units; `columns` of 0 means about square.
///
/// `facts` are told with the result.
pub(super) fn save(
    run: &Run,
    pictures: &Pictures,
    target: &Target,
    columns: usize,
    facts: Value,
    context: Context,
) -> anyhow::Result<()> {
    source::finite(run, "results", &pictures.pixels)?;
    let ImageShape { channels, height, width } = pictures.shape;
    let bytes = match run.columns() {
        Some(table) if ends_in(target, "csv") => table.csv(&pictures.pixels).into_bytes(),
        Some(table) => {
            // Float64: a point in time in milliseconds has more digits than float32.
            super::encode::npy(&[pictures.len() as u64, width as u64], &table.original(&pictures.pixels))?
        }
        None if ends_in(target, "npy") => {
            let shape = [pictures.len(), channels, height, width].map(|n| n as u64);
            super::encode::npy(&shape, &pictures.pixels)?
        }
        None => {
            let columns = target.columns.unwrap_or(columns);
            let layout = GridLayout { columns, scale: scale(pictures.shape), ..Default::default() };
            let grid = image_grid::image_grid(ImageBatch::new(&pictures.pixels, channels, height, width)?, layout)?;
            image_grid::png(&grid)?
        }
    };
    atomic::write_file(&target.out, &bytes)?;
    said(run, target, pictures.len(), facts, context)
}

/// Rows as CSV with first columns `index`, the place of each row in its source, and what identifies it, where there is such.
fn numbered(csv: &str, rows: &Subset) -> String {
    // Only the header may hold line breaks, in quotes: as many lines as there are rows end the text.
    let mut lines: Vec<&str> = csv.lines().collect();
    let values = lines.split_off(lines.len().saturating_sub(rows.len()));
    let ids = identifiers(std::slice::from_ref(rows));
    let id = |row: usize| ids.as_ref().map_or(String::new(), |(_, ids)| format!("{},", csv_field(&ids[row])));
    let named = ids.as_ref().map_or(String::new(), |(name, _)| format!("{},", csv_field(id_header(name))));
    let text = values.iter().enumerate().map(|(row, line)| format!("{},{}{line}\n", rows.place(row), id(row)));
    format!("index,{named}{}\n{}", lines.join("\n"), text.collect::<String>())
}

pub(super) fn said(run: &Run, target: &Target, count: usize, mut facts: Value, context: Context) -> anyhow::Result<()> {
    let out = target.out.display().to_string();
    let noun = if run.columns().is_some() { "rows" } else { "images" };
    facts["out"] = json!(out);
    facts["n"] = json!(count);
    context.result(facts, || format!("{count} {noun} in {out}"))
}

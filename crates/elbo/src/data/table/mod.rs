//! Tables and arrays: NumPy's `.npy` and `.npz`, CSV, and Parquet as the Hugging Face hub publishes it.
//!
//! Arrays of three or four dimensions are images, rows of numbers are vectors. What the numbers mean is decided by their type and
//! dimensions, said in the data report, and never guessed from the values: nothing is rescaled in silence.
//!
//! | array | taken as | `data.range` |
//! |---|---|---|
//! | `[n, h, w]`, `[n, h, w, c]` or `[n, c, h, w]` of integers, c = 1 or 3 | images, bytes 0 to 255 | `byte` |
//! | the same of floats or booleans | images, values in [0, 1] | `unit` |
//! | `[n, d]` of any numbers, CSV, Parquet | rows, each column standardised | `real` |
//!
//! Rows are standardised with mean and standard deviation of the *training* part only: a held-out row must not shape what the model sees.
//! A run keeps these numbers, so that samples come back in the units of the table ([`Columns::original`]).
//!
//! Values that are missing or not finite are refused with their place, or their rows dropped and counted with `data.missing = "drop"`.
//! An array of more than [`MAP_ABOVE`] bytes whose layout in the file is that in memory (little-endian `u8` or `f32`, C order, not
//! interleaved) is memory-mapped instead of loaded; the report says so. The fingerprint is the sha256 of the file's content.

mod array;
mod cells;
mod csv;
mod dtype;
mod header;
mod identity;
mod images;
mod labels;
mod layout;
pub(super) mod mapped;
mod meaning;
mod npy;
mod npz;
mod objects;
mod parquet;
mod rows;
mod standardise;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use sha2::{Digest, Sha256};

use super::catalog::chosen as chosen_examples;
use super::config::{DataConfig, located};
use super::idx::hex;
use super::pictures;
use super::progress::Progress;
use super::source::{Columns, ImageShape, Source};
use super::split::{self, Splits};
use super::unpack::{self, Packing};
use crate::error::{Error, Result};
use crate::shell::quoted;
use identity::Identity;
use images::ArrayImages;
use labels::Labels;
use parquet::Opened;
use rows::Table;

/// Arrays larger than this many bytes are memory-mapped where their layout allows it: 256 MiB.
pub const MAP_ABOVE: u64 = 256 << 20;

/// What the numbers of an array mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Range {
    /// Real numbers in [0, 1], as they are.
    Unit,
    /// Whole numbers from 0 to 255, which the model sees as `byte / 255`.
    Byte,
    /// Real numbers of any size, each column standardised.
    Real,
}

impl Range {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Byte => "byte",
            Self::Real => "real",
        }
    }
}

/// What happens to rows with a missing value, NaN or an infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Missing {
    /// The first one is an error that names its place.
    #[default]
    Fail,
    /// They are left out and counted.
    Drop,
}

/// What stands before the decimals of numbers in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decimal {
    /// A point, as in `1.5`.
    #[serde(rename = ".")]
    Point,
    /// A comma, as in `1,5`.
    #[serde(rename = ",")]
    Comma,
}

/// The file formats read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Npy,
    Npz,
    Csv,
    Parquet,
}

/// What the configuration asks of a table, whatever its format.
#[derive(Debug, Clone)]
pub(super) struct Request<'a> {
    path: &'a Path,
    array: Option<&'a str>,
    label: Option<&'a str>,
    id: Option<&'a str>,
    columns: &'a [String],
    range: Option<Range>,
    missing: Missing,
    header: Option<bool>,
    decimal: Option<Decimal>,
    /// Whether `data.depth` asks for 16 bits.
    deep: bool,
    /// False for other data than a model was trained on: what only training needs may be absent.
    strict: bool,
    map_above: u64,
}

impl<'a> Request<'a> {
    fn new(path: &'a Path, config: &'a DataConfig, trained: Option<&'a Columns>) -> Self {
        Self {
            path,
            array: config.array.as_deref(),
            label: config.label.as_deref(),
            id: config.id.as_deref(),
            columns: trained.map_or(&config.columns, |columns| &columns.names),
            range: config.range,
            missing: config.missing,
            header: config.header,
            decimal: config.decimal,
            deep: config.depth == Some(16),
            strict: trained.is_none(),
            map_above: MAP_ABOVE,
        }
    }

    fn error(
        &self,
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        help: &str,
    ) -> Error {
        Error::data(self.path, place, expected, found, help)
    }

    /// Name of the set in logs: the file without its extension.
    fn name(&self) -> String {
        self.path.file_stem().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

/// Examples of one file or one part of it, before they are split.
struct Part {
    content: Content,
    labels: Option<Labels>,
    identity: Identity,
    /// What was decided on the way, in words.
    notes: Vec<String>,
}

enum Content {
    Images { shape: ImageShape, pixels: images::Pixels },
    Rows { names: Vec<String>, shape: ImageShape, cells: cells::Cells },
}

/// A file that was read.
struct Loaded {
    train: Part,
    test: Option<Part>,
    /// Which examples of `train` are for training, validation and test, where the files say so.
    parts: Option<[Vec<u32>; 3]>,
    label_names: Vec<String>,
    sha256: String,
}

/// Which of the formats read here a file is, by its name or first bytes; none if it is something else.
pub(super) fn format_of(path: &Path) -> Option<Format> {
    let meta = path.metadata().ok()?;
    // A pipe is not even opened.
    if !meta.is_file() {
        return (meta.is_dir() && parquet::holds_shards(path)).then_some(Format::Parquet);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = Packing::ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)?.strip_suffix('.'));
    let start = unpack::start_of(path, 512);
    match plain.unwrap_or(&name).rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv" | "tsv" | "tab" | "psv" | "amat") => return Some(Format::Csv),
        // Names of anything; text without a tag or brace in front is a table, or refused as one.
        Some("txt" | "dat" | "data") if is_plain_text(&start) => return Some(Format::Csv),
        Some("npy") if plain.is_none() => return Some(Format::Npy),
        Some("npz") => return Some(Format::Npz),
        Some("parquet") => return Some(Format::Parquet),
        _ => {}
    }
    match &start[..] {
        start if plain.is_none() && start.starts_with(&array::MAGIC) => Some(Format::Npy),
        start if start.starts_with(&parquet::MAGIC) => Some(Format::Parquet),
        _ => None,
    }
}

fn is_plain_text(start: &[u8]) -> bool {
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    !start.is_empty() && !start.iter().any(control) && !start.starts_with(b"<") && !start.starts_with(b"{")
}

/// Whether the configured data are rows of numbers rather than images, by a look at the beginning of the file. What cannot be read counts as
/// neither: [`open`](super::open) says what is wrong with it.
///
/// ```
/// use elbo::data::{DataConfig, table};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("iris.csv");
/// std::fs::write(&path, "length,width\n5.1,3.5\n").unwrap();
/// assert!(table::holds_rows(&DataConfig { source: path.display().to_string(), ..Default::default() }));
/// assert!(!table::holds_rows(&DataConfig::default()));
/// ```
pub fn holds_rows(config: &DataConfig) -> bool {
    let path = located(Path::new(&config.source));
    let request = Request::new(&path, config, None);
    match format_of(&path) {
        None => false,
        Some(Format::Csv) => true,
        Some(Format::Npy) => npy::holds_rows(&request).unwrap_or(false),
        Some(Format::Npz) => npz::holds_rows(&request).unwrap_or(false),
        Some(Format::Parquet) => parquet::holds_rows(&request).unwrap_or(false),
    }
}

/// Reads and splits a table or array. `trained` are the columns of the model it is meant for, when that is trained already: its names
/// are then looked for, and its means and deviations used.
///
/// # Errors
/// [`Error::Data`] for a file that is damaged or not what it should be, [`Error::Config`] for keys that do not fit it.
pub(super) fn open(
    path: &Path,
    format: Format,
    config: &DataConfig,
    seed: u64,
    trained: Option<&Columns>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    let request = Request::new(path, config, trained);
    let loaded = match format {
        Format::Npy => npy::load(&request),
        Format::Npz => npz::load(&request),
        Format::Csv => csv::load(&request),
        Format::Parquet => match parquet::open(&request)? {
            Opened::Rows(loaded) => Ok(loaded),
            Opened::Pictures(collection) => {
                return pictures::open(collection, &config.picture_settings(), config.division(seed), progress);
            }
        },
    }?;
    let splits = split_up(&request, loaded, config, seed, trained)?;
    splits.train.source().notes().iter().for_each(|note| progress(Progress::Note(note)));
    Ok(splits)
}

/// The rows of a table in its own units, with all digits of float64: all of them, or those for training where the file has parts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ExactRows {
    /// Name of the set.
    pub name: String,
    /// sha256 of the file's content.
    pub fingerprint: String,
    /// The columns, with their means and standard deviations over these rows.
    pub columns: Columns,
    /// `[n, columns]`, row after row, in the units of the table.
    pub values: Vec<f64>,
    /// The same standardised.
    pub standardised: Vec<f64>,
    /// What was chosen or left out, in one sentence each.
    pub notes: Vec<String>,
}

/// Reads the rows of a table without rounding them to what a model sees.
///
/// # Errors
/// As [`open`](super::open); [`Error::Data`] if the configured data are no rows of numbers.
pub fn exact_rows(config: &DataConfig) -> Result<ExactRows> {
    config.check()?;
    let path = located(Path::new(&config.source));
    let request = Request::new(&path, config, None);
    let not_rows = || {
        let help = "images are mixed by their codes: train a model on them, for example with `--set model.kind=ae`, then `elbo gmm RUN`";
        Error::data(&config.source, "content", "rows of numbers", "images", help)
    };
    let loaded = match format_of(&path) {
        Some(Format::Npy) => npy::load(&request)?,
        Some(Format::Npz) => npz::load(&request)?,
        Some(Format::Csv) => csv::load(&request)?,
        Some(Format::Parquet) => match parquet::open(&request)? {
            Opened::Rows(loaded) => loaded,
            Opened::Pictures(_) => return Err(not_rows()),
        },
        // What is wrong with it is told as to everybody else.
        None => return super::open(config, 0, &mut |_| {}).and_then(|_| Err(not_rows())),
    };
    let notes = loaded.train.notes;
    let Content::Rows { names, shape, cells } = loaded.train.content else { return Err(not_rows()) };
    let (width, count) = (names.len(), cells.len() / names.len());
    let rows = loaded.parts.map_or_else(|| (0..count as u32).collect::<Vec<_>>(), |[train, ..]| train);
    let values = rows.iter().flat_map(|&row| (0..width).map(move |column| (row as usize) * width + column));
    let values: Vec<f64> = values.map(|place| cells.get(place)).collect();
    let known = Known { name: request.name(), label_names: Vec::new(), sha256: loaded.sha256 };
    let table = Table::new(&known, names, shape, cells);
    let columns = table.fit(&rows).map_err(|column| column.refuse(&request))?;
    let scales = columns.mean.iter().zip(&columns.std).cycle();
    let standardised = values.iter().zip(scales).map(|(value, (mean, std))| (value - mean) / std).collect();
    Ok(ExactRows { name: known.name, fingerprint: known.sha256, columns, values, standardised, notes })
}

fn split_up(
    request: &Request<'_>,
    loaded: Loaded,
    config: &DataConfig,
    seed: u64,
    trained: Option<&Columns>,
) -> Result<Splits> {
    let Loaded { train, test, parts, label_names, sha256 } = loaded;
    let known = Known { name: request.name(), label_names, sha256 };
    match (train, test) {
        (Part { content: Content::Rows { names, shape, cells }, labels, identity, notes }, test) => {
            let train = Table::new(&known, names, shape, cells).told_apart(labels, identity);
            let train = Arc::new(train.noting(notes));
            let test = test.map(|part| part.into_table(request, &known)).transpose()?.map(Arc::new);
            let splits = divided(train.clone(), test.clone(), parts, config, seed)?;
            // Only what the model sees may shape the scale.
            let seen = match config.limit {
                0 => splits.train.clone(),
                _ => chosen_examples(splits.clone(), config, seed)?.train,
            };
            let columns = match trained {
                Some(columns) => columns.clone(),
                None => train.fit(seen.indices()).map_err(|column| column.refuse(request))?,
            };
            let train = Arc::new(train.standardised(&columns).map_err(|column| column.refuse(request))?);
            let test = match test {
                Some(test) => Arc::new(test.standardised(&columns).map_err(|column| column.refuse(request))?),
                None => train.clone(),
            };
            Ok(splits.with_sources(train, test))
        }
        (train, test) => {
            let train = Arc::new(train.into_images(request, &known)?);
            let test = test.map(|part| part.into_images(request, &known)).transpose()?.map(Arc::new);
            divided(train, test, parts, config, seed)
        }
    }
}

fn divided<S: Source + 'static>(
    train: Arc<S>,
    test: Option<Arc<S>>,
    parts: Option<[Vec<u32>; 3]>,
    config: &DataConfig,
    seed: u64,
) -> Result<Splits> {
    match (test, parts) {
        (Some(test), _) => split::split_with_test(train, test, config.validation, seed),
        (None, Some(parts)) => split::split_parts(train, parts, config.test, config.validation, seed),
        (None, None) => split::split_single(train, config.test, config.validation, seed),
    }
}

/// What all parts of a file share.
struct Known {
    name: String,
    label_names: Vec<String>,
    sha256: String,
}

impl Part {
    fn into_table(self, request: &Request<'_>, known: &Known) -> Result<Table> {
        match self.content {
            Content::Rows { names, shape, cells } => {
                let table = Table::new(known, names, shape, cells).told_apart(self.labels, self.identity);
                Ok(table.noting(self.notes))
            }
            Content::Images { .. } => Err(mixed(request, "rows", "images")),
        }
    }

    fn into_images(self, request: &Request<'_>, known: &Known) -> Result<ArrayImages> {
        match self.content {
            Content::Images { shape, pixels } => {
                Ok(ArrayImages::new(known, shape, pixels, (self.labels, self.identity), self.notes))
            }
            Content::Rows { .. } => Err(mixed(request, "images", "rows")),
        }
    }
}

fn mixed(request: &Request<'_>, train: &str, test: &str) -> Error {
    request.error("test part", format!("{train}, as in the train part"), test, "give both parts the same dimensions")
}

/// The places of the wanted columns among `names`; all of them when none is named.
fn chosen(request: &Request<'_>, names: &[String]) -> Result<Vec<usize>> {
    if request.columns.is_empty() {
        return Ok((0..names.len()).collect());
    }
    let place = |wanted: &String| {
        names.iter().position(|name| name == wanted).ok_or_else(|| {
            let close = crate::suggest::did_you_mean(wanted, names.iter().map(String::as_str));
            let help = match close {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("it has {}", listed(names)),
            };
            request.error("columns", format!("a column `{wanted}`"), "no such column", &help)
        })
    };
    let places = request.columns.iter().map(place).collect::<Result<Vec<_>>>()?;
    match duplicate(request.columns) {
        Some(name) => Err(Error::config("data.columns", "each column once", format!("`{name}` twice"), "name it once")),
        None => Ok(places),
    }
}

/// What `data.missing = "drop"` did, in words.
fn dropped_note(dropped: usize, count: usize) -> Option<String> {
    (dropped > 0).then(|| format!("{dropped} of {count} rows dropped: a value is missing or not finite"))
}

/// The place of the column that `data.label` names.
fn label_column(request: &Request<'_>, names: &[String]) -> Result<Option<usize>> {
    let Some(wanted) = request.label else { return Ok(None) };
    match names.iter().position(|name| name == wanted) {
        None if request.strict => {
            let help = match crate::suggest::did_you_mean(wanted, names.iter().map(String::as_str)) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("`data.label` is one of {}", listed(names)),
            };
            Err(request.error("columns", format!("a column `{wanted}` for labels"), "no such column", &help))
        }
        place => Ok(place),
    }
}

/// Refuses the keys of arrays for a table.
fn check_table_keys(request: &Request<'_>) -> Result<()> {
    let refuse = |key: &str, found: String| {
        Err(Error::config(key, "nothing: the data is a table", found, "remove the key: it belongs to arrays"))
    };
    match (request.array, request.range) {
        _ if request.strict && request.deep => refuse("data.depth", "16".into()),
        (Some(name), _) if request.strict => refuse("data.array", format!("`{name}`")),
        (_, Some(range)) if request.strict && range != Range::Real => refuse("data.range", range.word().into()),
        _ => Ok(()),
    }
}

/// Length and sha256 of a file.
fn hashed(file: &mut File) -> io::Result<(u64, String)> {
    let (mut sha256, mut chunk, mut size) = (Sha256::new(), vec![0; 64 * 1024], 0);
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok((size, hex(&sha256.finalize()))),
            Ok(read) => {
                sha256.update(&chunk[..read]);
                size += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The first name that occurs twice.
fn duplicate(names: &[String]) -> Option<&String> {
    let mut seen = std::collections::HashSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

/// Up to twelve names, in words.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let rest = names.len().saturating_sub(SHOWN);
    shown.join(", ") + &if rest > 0 { format!(" and {rest} more") } else { String::new() }
}

/// `--set 'data.columns=[...]'` with these names, as it is typed.
fn columns_flag<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    format!("--set {}", quoted(&format!("data.columns=[{}]", names.join(", "))))
}

#[cfg(test)]
mod tests;

//! The data doctor: what is in a data set, and what in it would spoil a training run.
//!
//! Numbers are those of the train part, since that is what a model learns from; the other parts are counted, and
//! searched for images that are also in the train part. Sets in memory are looked at whole. Of a set that renders its
//! images one by one, at most [`SAMPLE`] per part are looked at, evenly spaced over its length so that every factor of
//! variation is met, and the report says so.
//!
//! A finding is a note (worth knowing, harmless) or a warning (likely to spoil the result), and every one says what to
//! do. Nothing is repaired here: the bytes that are reported are the bytes that are trained on.

mod values;

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use rayon::prelude::*;
use serde::Serialize;

use values::Values;

use crate::data::binarize::Binarize;
use crate::data::split::{Splits, Subset};
use crate::space::Domain;

/// Most images looked at in each part of a set that is not in memory.
pub const SAMPLE: usize = 20_000;

/// Images a thread looks at before results are joined.
const BLOCK: usize = 1024;

/// What a data set contains.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DataReport {
    /// The source's name.
    pub name: String,
    /// Number of images in each part.
    pub splits: SplitCounts,
    /// Channels, height and width of one image.
    pub shape: [usize; 3],
    /// Smallest and largest value as the model sees it: `byte / 255`, or a real number.
    pub range: [f64; 2],
    /// Smallest and largest byte; none in a set of real numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range_bytes: Option<[u8; 2]>,
    /// Whether the model sees no values but 0 and 1.
    pub binary: bool,
    /// Mean over all values of the train part, as the model sees them.
    pub mean: f64,
    /// Standard deviation over all values of the train part, as the model sees them.
    pub std: f64,
    /// The columns of a table, in its own units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnReport>,
    /// The classes, in order, and how many of the images looked at belong to each.
    pub labels: Vec<LabelCount>,
    /// The source's fingerprint.
    pub sha256: String,
    /// Which examples are copies of others; the first [`MAX_DUPLICATES`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub duplicates: Vec<Duplicate>,
    /// Images of the train part that the numbers above come from: all of them, or an evenly spaced sample.
    pub examined: usize,
    /// What is worth knowing, warnings first.
    pub findings: Vec<DataFinding>,
}

/// An example that is a copy of one of the train part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Duplicate {
    /// The part it is in: `train`, `validation` or `test`.
    pub part: &'static str,
    /// What it is called, or its place in the source.
    pub name: String,
    /// Which example of the train part it is a copy of.
    pub of: String,
}

/// Most duplicates that are named.
pub const MAX_DUPLICATES: usize = 1000;

/// A column of a table: numbers of the train part, in the units of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ColumnReport {
    /// The name of the column.
    pub name: String,
    /// The smallest value found.
    pub min: f64,
    /// The largest value found.
    pub max: f64,
    /// The mean of its values.
    pub mean: f64,
    /// Standard deviation; 0 for a column of one value.
    pub std: f64,
}

/// Number of images in each part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SplitCounts {
    /// Examples to train on.
    pub train: usize,
    /// For validation; 0 when there is no such part.
    pub validation: usize,
    /// Examples to test on.
    pub test: usize,
}

/// A class and the number of its images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LabelCount {
    /// Name of the class.
    pub name: String,
    /// Images of it.
    pub count: usize,
}

/// How bad a [`DataFinding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Likely to spoil the result.
    Warning,
    /// Worth knowing, harmless.
    Note,
}

/// Something about a data set that its user should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataFinding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl DataFinding {
    pub(crate) fn warning(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, message: message.into(), help: help.into() }
    }

    pub(crate) fn note(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Note, message: message.into(), help: help.into() }
    }
}

/// Looks at the images and labels of a data set.
///
/// ```
/// use elbo::data::{self, DataConfig};
///
/// let splits = data::open(&DataConfig { count: 100, ..Default::default() }, 0, &mut |_| {})?;
/// let report = data::inspect(&splits);
/// assert_eq!((report.shape, report.range), ([1, 28, 28], [0.0, 1.0]));
/// for finding in &report.findings {
///     println!("{:?}: {}: {}", finding.severity, finding.message, finding.help);
/// }
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn inspect(splits: &Splits) -> DataReport {
    let source = splits.train.source();
    let shape = source.shape();
    let train = sample(&splits.train);
    let facts = Facts::of(&train);
    let labels = count_labels(&train);
    let validation = splits.validation.as_ref();
    let mut findings: Vec<DataFinding> = [
        source.warnings().iter().map(|warning| DataFinding::warning(warning, "")).collect(),
        source.notes().iter().map(|note| DataFinding::note(note, "")).collect(),
        size_findings(splits, train.len()),
        facts.findings,
        copy_findings(splits, &train, &facts.hashes),
        label_findings(&labels, &train),
    ]
    .concat();
    findings.sort_by_key(|finding| finding.severity);
    let (mean, std) = facts.moments;
    DataReport {
        name: source.name().to_owned(),
        splits: SplitCounts {
            train: splits.train.len(),
            validation: validation.map_or(0, Subset::len),
            test: splits.test.len(),
        },
        shape: [shape.channels, shape.height, shape.width],
        range: facts.range,
        range_bytes: facts.range_bytes,
        binary: facts.binary || splits.train.binarization().binarize != Binarize::None,
        mean,
        std,
        columns: facts.columns,
        labels,
        sha256: source.fingerprint().to_owned(),
        duplicates: duplicates(splits, &train, &facts.hashes),
        examined: train.len(),
        findings,
    }
}

/// What a look at the values of a part gives, whatever their domain.
struct Facts {
    range: [f64; 2],
    range_bytes: Option<[u8; 2]>,
    binary: bool,
    moments: (f64, f64),
    columns: Vec<ColumnReport>,
    findings: Vec<DataFinding>,
    hashes: Vec<u64>,
}

impl Facts {
    fn of(part: &Subset) -> Self {
        if part.source().domain() == Domain::Levels {
            let pixels = Pixels::of(part);
            return Self {
                range: pixels.range().map(|byte| f64::from(byte) / 255.0),
                range_bytes: Some(pixels.range()),
                binary: pixels.histogram[1..255].iter().all(|count| *count == 0),
                moments: pixels.moments(),
                columns: Vec::new(),
                findings: pixels.findings(part),
                hashes: pixels.hashes,
            };
        }
        let values = Values::of(part);
        Self {
            range: values.range(),
            range_bytes: None,
            binary: false,
            moments: values.moments(),
            columns: values.columns(part),
            findings: values.findings(part),
            hashes: values.hashes,
        }
    }
}

/// Of each example of a part.
fn hashes(part: &Subset) -> Vec<u64> {
    match part.source().domain() {
        Domain::Levels => Pixels::of(part).hashes,
        Domain::Unit | Domain::Real | Domain::Index { .. } => Values::of(part).hashes,
    }
}

/// What one example is called.
fn noun(part: &Subset) -> &'static str {
    if part.source().columns().is_some() { "row" } else { "image" }
}

/// All of a part in memory; else at most [`SAMPLE`] images, evenly spaced.
fn sample(part: &Subset) -> Subset {
    let len = part.len();
    if part.source().bytes().is_some() || part.source().floats().is_some() || len <= SAMPLE {
        return part.clone();
    }
    let places: Vec<u32> = (0..SAMPLE).map(|i| (i * len / SAMPLE) as u32).collect();
    part.select(&places)
}

/// What a pass over the pixels of a part gathers.
struct Pixels {
    /// How often each byte value occurs.
    histogram: [u64; 256],
    /// A bit for each position in the image: whether it differs from the first image somewhere.
    varies: Vec<u64>,
    /// Positions in an image.
    numel: usize,
    /// Of the positions that never vary, those that are 0.
    constant_zeros: usize,
    /// Of each image, in order.
    hashes: Vec<u64>,
}

impl Pixels {
    fn of(part: &Subset) -> Self {
        let numel = part.source().shape().numel();
        let first = if part.is_empty() { Cow::Owned(vec![0; numel]) } else { pixels_of(part, 0) };
        let starts: Vec<usize> = (0..part.len()).step_by(BLOCK).collect();
        let blocks = starts.into_par_iter().map(|start| {
            let mut block = Self::empty(numel);
            for index in start..part.len().min(start + BLOCK) {
                block.add(&pixels_of(part, index), &first);
            }
            block
        });
        let mut all = blocks.reduce_with(Self::joined).unwrap_or_else(|| Self::empty(numel));
        let constant = first.iter().enumerate().filter(|(place, _)| !all.varies_at(*place));
        all.constant_zeros = constant.filter(|(_, value)| **value == 0).count();
        all
    }

    fn empty(numel: usize) -> Self {
        Self { histogram: [0; 256], varies: vec![0; numel.div_ceil(64)], numel, constant_zeros: 0, hashes: Vec::new() }
    }

    fn varies_at(&self, place: usize) -> bool {
        self.varies[place / 64] >> (place % 64) & 1 == 1
    }

    fn add(&mut self, pixels: &[u8], first: &[u8]) {
        for &byte in pixels {
            self.histogram[byte as usize] += 1;
        }
        for (word, (ours, firsts)) in self.varies.iter_mut().zip(pixels.chunks(64).zip(first.chunks(64))) {
            let differ = ours.iter().zip(firsts).enumerate().map(|(bit, (a, b))| u64::from(a != b) << bit);
            *word |= differ.fold(0, |bits, bit| bits | bit);
        }
        self.hashes.push(hash(pixels));
    }

    fn joined(mut self, other: Self) -> Self {
        self.histogram.iter_mut().zip(other.histogram).for_each(|(count, more)| *count += more);
        self.varies.iter_mut().zip(other.varies).for_each(|(bits, more)| *bits |= more);
        self.hashes.extend(other.hashes);
        self
    }

    fn range(&self) -> [u8; 2] {
        let used = |byte: &u8| self.histogram[*byte as usize] > 0;
        [(0..=255).find(used).unwrap_or(0), (0..=255).rev().find(used).unwrap_or(0)]
    }

    /// Mean and standard deviation over all values, in 0..1, from exact integer sums.
    fn moments(&self) -> (f64, f64) {
        let weighted = |power: u32| {
            let terms = (0u128..256).zip(self.histogram).map(|(byte, count)| u128::from(count) * byte.pow(power));
            terms.sum::<u128>() as f64
        };
        let count = weighted(0).max(1.0);
        let mean = weighted(1) / count;
        let variance = (weighted(2) / count - mean * mean).max(0.0);
        (mean / 255.0, variance.sqrt() / 255.0)
    }

    fn findings(&self, part: &Subset) -> Vec<DataFinding> {
        let (range, images) = (self.range(), part.len());
        let mut findings = Vec::new();
        if images > 1 && self.hashes.iter().all(|hash| *hash == self.hashes[0]) {
            let help = "check how the set was made: there is nothing to learn from copies of one image";
            findings.push(DataFinding::warning(format!("all {images} images are the same"), help));
            return findings;
        }
        findings.extend(self.constant_pixels(images));
        findings.extend(range_finding(range));
        findings.extend(copies(part, &self.hashes, "image"));
        findings
    }

    fn constant_pixels(&self, images: usize) -> Option<DataFinding> {
        let varying: u32 = self.varies.iter().map(|word| word.count_ones()).sum();
        let (numel, zero) = (self.numel, self.constant_zeros);
        let all = numel - varying as usize;
        if all == 0 || images < 2 {
            return None;
        }
        let values = if zero == all { "always 0".to_owned() } else { format!("always the same ({zero} of them 0)") };
        let message = format!("{all} of {numel} values are {values} in all {images} images");
        Some(if all * 20 > numel * 19 {
            DataFinding::warning(message, "nearly nothing varies: check how the set was made")
        } else {
            DataFinding::note(message, "harmless, as in a border: the model learns them in its first steps")
        })
    }
}

/// The pixels of an image: where they lie, when all lie in memory, so that large ones are not copied.
fn pixels_of(part: &Subset, place: usize) -> Cow<'_, [u8]> {
    let (numel, index) = (part.source().shape().numel(), part.indices()[place] as usize);
    match part.source().bytes() {
        Some(bytes) => Cow::Borrowed(&bytes[index * numel..(index + 1) * numel]),
        None => {
            let mut pixels = vec![0; numel];
            part.read(place, &mut pixels);
            Cow::Owned(pixels)
        }
    }
}

/// Examples that are in the part more than once.
fn copies(part: &Subset, hashes: &[u64], noun: &str) -> Option<DataFinding> {
    let (count, distinct) = (hashes.len(), hashes.iter().collect::<HashSet<_>>().len());
    let copies = count - distinct;
    let message = format!("{copies} of {count} train {noun}s are copies of others");
    let mut first = HashMap::new();
    let pairs = hashes.iter().enumerate().filter_map(|(place, hash)| {
        let of = *first.entry(*hash).or_insert(place);
        (of != place).then(|| (name_of(part, place), name_of(part, of)))
    });
    let pairs = named(pairs);
    let help = format!("remove the copies, or the model will favour these {noun}s{pairs}");
    match copies {
        0 => None,
        few if few * 100 <= count => Some(DataFinding::note(message, format!("harmless at this number{pairs}"))),
        _ => Some(DataFinding::warning(message, help)),
    }
}

/// A quick hash: two different images share one with a chance of about `images^2 / 2^65`.
fn hash(pixels: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    pixels.hash(&mut hasher);
    hasher.finish()
}

fn range_finding([lowest, highest]: [u8; 2]) -> Option<DataFinding> {
    match (lowest, highest) {
        (_, 0..=1) => Some(DataFinding::warning(
            format!(
                "the largest byte is {highest}: the values seem to be scaled to 0..1 already, then stored as bytes"
            ),
            "of an array, `--set data.range=unit` takes them as they are; pictures need bytes 0..255 (multiply by 255): the model divides by 255",
        )),
        (56.., _) | (_, ..200) => Some(DataFinding::note(
            format!("bytes reach from {lowest} to {highest} of 0..255"),
            "stretch the contrast if these are ordinary images; leave them if the range carries meaning",
        )),
        _ => None,
    }
}

fn size_findings(splits: &Splits, examined: usize) -> Vec<DataFinding> {
    let (train, noun) = (splits.train.len(), noun(&splits.train));
    let mut findings = Vec::new();
    if train < 1000 {
        let images = if train == 1 { &format!("is only 1 {noun}") } else { &format!("are only {train} {noun}s") };
        let message = format!("there {images} to train on");
        let help = "expect the model to learn them by heart: compare train and validation loss, and keep it small";
        findings.push(if train < 100 { DataFinding::warning(message, help) } else { DataFinding::note(message, help) });
    }
    if splits.test.is_empty() {
        let help = "hold some back for testing (`data.test = 0.1`) to know how good the model is";
        findings.push(DataFinding::warning(format!("there are no test {noun}s"), help));
    }
    if splits.validation_is_test {
        let help = "set `data.validation = 0.1` when the final numbers should be untouched by choices made in training";
        findings.push(DataFinding::note("the test part serves for validation too", help));
    }
    if examined < train {
        let message = format!("numbers are from {examined} evenly spaced {noun}s of {train}, read for the purpose");
        findings.push(DataFinding::note(message, "nothing to do"));
    }
    findings
}

/// The parts that are held out, as far as they are looked at.
fn held_out(splits: &Splits) -> impl Iterator<Item = (&'static str, Subset)> {
    let validation = splits.validation.as_ref().filter(|_| !splits.validation_is_test);
    let parts = [("test", Some(&splits.test)), ("validation", validation)];
    parts.into_iter().filter_map(|(name, part)| Some((name, sample(part?))))
}

/// The examples that are copies of one of the train part, by name.
fn duplicates(splits: &Splits, train: &Subset, hashes_of_train: &[u64]) -> Vec<Duplicate> {
    let (mut first, mut found) = (HashMap::new(), Vec::new());
    for (place, hash) in hashes_of_train.iter().enumerate() {
        match first.entry(*hash) {
            Entry::Occupied(of) if found.len() < MAX_DUPLICATES => {
                let (name, of) = (name_of(train, place), name_of(train, *of.get()));
                found.push(Duplicate { part: "train", name, of });
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(entry) => drop(entry.insert(place)),
        }
    }
    for (name, part) in held_out(splits) {
        let leaked =
            hashes(&part).into_iter().enumerate().filter_map(|(place, hash)| Some((place, *first.get(&hash)?)));
        let leaked =
            leaked.map(|(place, of)| Duplicate { part: name, name: name_of(&part, place), of: name_of(train, of) });
        found.extend(leaked.take(MAX_DUPLICATES - found.len()));
    }
    found
}

/// What an example is called, or its place in the source.
fn name_of(part: &Subset, place: usize) -> String {
    let index = part.indices()[place] as usize;
    part.source().id(index).unwrap_or_else(|| format!("{} {index}", noun(part)))
}

/// The first pairs, in words.
fn named(pairs: impl Iterator<Item = (String, String)>) -> String {
    let pairs: Vec<_> = pairs.take(5).map(|(copy, of)| format!("`{copy}` is `{of}`")).collect();
    if pairs.is_empty() { String::new() } else { format!(" ({})", pairs.join(", ")) }
}

/// Test and validation images that the model has seen in training.
fn copy_findings(splits: &Splits, train: &Subset, train_hashes: &[u64]) -> Vec<DataFinding> {
    let seen: HashMap<_, _> = train_hashes.iter().enumerate().rev().map(|(place, hash)| (*hash, place)).collect();
    let leaks = held_out(splits).filter_map(|(name, part)| {
        let hashes = hashes(&part);
        let leaked = hashes.iter().filter(|hash| seen.contains_key(hash)).count();
        let pairs = hashes.iter().enumerate().filter_map(|(place, hash)| Some((place, *seen.get(hash)?)));
        let pairs = named(pairs.map(|(place, of)| (name_of(&part, place), name_of(train, of))));
        let message = format!("{leaked} of {} {name} {}s are in the train part too", part.len(), noun(&part));
        let help = format!("remove them from one of the two, or the {name} numbers will look too good{pairs}");
        match leaked {
            0 => None,
            few if few * 100 <= part.len() => {
                Some(DataFinding::note(message, format!("harmless at this number{pairs}")))
            }
            _ => Some(DataFinding::warning(message, help)),
        }
    });
    leaks.collect()
}

fn count_labels(part: &Subset) -> Vec<LabelCount> {
    let mut counts = HashMap::new();
    for label in (0..part.len()).filter_map(|index| part.label(index)) {
        *counts.entry(label as usize).or_insert(0) += 1;
    }
    let names = part.source().label_names().iter().enumerate();
    names.map(|(label, name)| LabelCount { name: name.clone(), count: counts.remove(&label).unwrap_or(0) }).collect()
}

fn label_findings(labels: &[LabelCount], part: &Subset) -> Vec<DataFinding> {
    let labelled: usize = labels.iter().map(|label| label.count).sum();
    let noun = noun(part);
    if labelled == 0 {
        let help = "training needs none; pictures that are coloured by class will be in one colour";
        return vec![DataFinding::note(format!("the {noun}s have no labels"), help)];
    }
    let mut findings = Vec::new();
    let missing: Vec<_> =
        labels.iter().filter(|label| label.count == 0).map(|label| format!("`{}`", label.name)).collect();
    if !missing.is_empty() {
        let help = "check the labels; the model cannot learn what it does not see";
        findings.push(DataFinding::warning(format!("no train {noun}s of class {}", missing.join(", ")), help));
    }
    if labelled < part.len() {
        let message = format!("{} of {} {noun}s have no label", part.len() - labelled, part.len());
        findings.push(DataFinding::note(
            message,
            "training needs none; those without are left out where classes are compared",
        ));
    }
    findings.extend(imbalance(labels, noun));
    findings
}

/// Classes of very different size.
fn imbalance(labels: &[LabelCount], noun: &str) -> Option<DataFinding> {
    let present = || labels.iter().filter(|label| label.count > 0);
    let (least, most) = (present().min_by_key(|label| label.count)?, present().max_by_key(|label| label.count)?);
    let message = format!("`{}` has {} {noun}s, `{}` only {}", most.name, most.count, least.name, least.count);
    let help = "expect rare classes to be drawn worse and less often; add more of them if that matters";
    match most.count / least.count {
        0..=1 => None,
        2..=9 => Some(DataFinding::note(message, help)),
        _ => Some(DataFinding::warning(message, help)),
    }
}

#[cfg(test)]
mod tests;

//! How a model uses its codes, over a whole split.
//!
//! The perplexity of a *batch*, which training shows, grows with the batch and says little. Here all
//! examples count: how many codes are used, how evenly, where in the map, how much of the vectors is lost,
//! and what the codes tell of the class.

use burn::tensor::{Device, Tensor};

use super::doctor::ModelFinding;
use super::metric::{Metric, mean};
use crate::data::Subset;
use crate::data::batch::Batch;
use crate::error::Result;
use crate::models::{Encode, Model, Quantised};
use crate::space::{Rows, Space};
use crate::tensors::values_of;

/// The codes of a split and what they cost.
///
/// Of a model with several maps of codes, `space` and `symbols` are those of all maps as one row, which is what a
/// prior models. How a codebook is used is asked of one map: [`CodeUse::by_level`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CodeUse {
    /// Space of the codes: codes of a place, height, width; entries.
    pub space: Space,
    /// Codes of each example, `[n, numel]`, channel first.
    pub symbols: Vec<u16>,
    /// `-log p(x|z)` of each example, in nats.
    pub distortion: Vec<f64>,
    /// The maps, from the top level down; one for most models.
    pub levels: Vec<CodeLevel>,
    /// What the loss adds to the distortion, in nats.
    pub penalty: f64,
    /// Classes of the examples, where all have one.
    pub classes: Option<Vec<u32>>,
}

/// One map of codes, and what its quantiser loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CodeLevel {
    /// Codes of a place, height, width; entries.
    pub space: Space,
    /// Mean of `(z - e)^2` over all values.
    pub error: f64,
    /// Variance of z over all values.
    pub variance: f64,
}

/// Sums from which a [`CodeLevel`] comes.
#[derive(Default)]
struct LevelSums {
    error: f64,
    sum: f64,
    squares: f64,
    values: f64,
}

impl LevelSums {
    fn add(&mut self, vectors: Tensor<2>, codes: Tensor<2>) {
        self.error += total(&values_of((vectors.clone() - codes).square()));
        let vectors = values_of(vectors);
        self.sum += total(&vectors);
        self.squares += vectors.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>();
        self.values += vectors.len() as f64;
    }

    fn of(&self, space: Space) -> CodeLevel {
        let mean = self.sum / self.values;
        CodeLevel { space, error: self.error / self.values, variance: self.squares / self.values - mean.powi(2) }
    }
}

/// Looks at every example of a split.
///
/// # Errors
/// [`crate::Error::Unsupported`] for a model without codes from a codebook or without a likelihood.
///
/// # Panics
/// If the split is empty.
pub fn code_use(model: &dyn Model, split: &Subset, device: &Device) -> Result<CodeUse> {
    let (discrete, observe) = (model.discrete_or_refuse()?, model.observe_or_refuse()?);
    let (spaces, space) = (Encode::codes(discrete), discrete.joined());
    let mut found = CodeUse {
        space,
        symbols: Vec::with_capacity(split.len() * space.numel()),
        distortion: Vec::with_capacity(split.len()),
        levels: Vec::new(),
        penalty: 0.0,
        classes: (0..split.len()).map(|i| split.label(i)).collect(),
    };
    let mut sums: Vec<LevelSums> = spaces.iter().map(|_| LevelSums::default()).collect();
    let places: Vec<u32> = (0..split.len() as u32).collect();
    for chosen in places.chunks(model.examples_at_once()) {
        let batch = Batch::of_split(split, chosen, model.needs(), device);
        let mut rows = Vec::with_capacity(spaces.len());
        for (sums, Quantised { vectors, codes, indices, penalty }) in sums.iter_mut().zip(discrete.quantise(&batch)) {
            found.penalty += total(&values_of(penalty)) * chosen.len() as f64;
            sums.add(vectors, codes);
            rows.push(Rows::Index(indices));
        }
        found
            .distortion
            .extend(values_of(observe.recon(&rows, &batch.given, batch.x.real())).into_iter().map(f64::from));
        found.symbols.extend(Rows::joined_symbols(&rows));
    }
    found.levels = sums.iter().zip(spaces).map(|(sums, space)| sums.of(*space)).collect();
    found.penalty /= split.len() as f64;
    Ok(found)
}

fn total(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

/// Entropy of counts, in nats.
pub(super) fn entropy(counts: &[u64]) -> f64 {
    let n = counts.iter().sum::<u64>().max(1) as f64;
    counts.iter().filter(|&&count| count > 0).map(|&c| -(c as f64 / n) * (c as f64 / n).ln()).sum()
}

/// Names of the maps of a model, from the top down: `top` and `bottom` of two, none of the only one.
pub fn level_names(levels: usize) -> &'static [Option<&'static str>] {
    match levels {
        1 => &[None],
        _ => &[Some("top"), Some("bottom")],
    }
}

impl CodeUse {
    /// How many examples were counted.
    pub fn n(&self) -> usize {
        self.distortion.len()
    }

    /// Adds what the same model makes of further examples.
    pub fn append(&mut self, further: Self) {
        let share = further.n() as f64 / (self.n() + further.n()) as f64;
        for (level, other) in self.levels.iter_mut().zip(&further.levels) {
            level.error += share * (other.error - level.error);
            level.variance += share * (other.variance - level.variance);
        }
        self.penalty += share * (further.penalty - self.penalty);
        self.symbols.extend(further.symbols);
        self.distortion.extend(further.distortion);
        if let (Some(classes), Some(more)) = (&mut self.classes, &further.classes) {
            classes.extend(more);
        } else {
            self.classes = None;
        }
    }

    /// Each map alone with its name: `top` and `bottom` of two, none of the only one.
    pub fn by_level(&self) -> Vec<(Option<&'static str>, Self)> {
        let names = level_names(self.levels.len());
        let mut first = 0;
        let alone = |level: &CodeLevel| {
            let width = level.space.numel();
            let of_row = |row: &[u16]| row[first..][..width].to_vec();
            let symbols = self.symbols.chunks_exact(self.space.numel()).flat_map(of_row).collect();
            first += width;
            let (distortion, classes) = (self.distortion.clone(), self.classes.clone());
            Self { space: level.space, symbols, distortion, levels: vec![*level], penalty: self.penalty, classes }
        };
        names.iter().copied().zip(self.levels.iter().map(alone)).collect()
    }

    /// The mean of a number over the maps.
    pub fn mean_over_levels(&self, of: impl Fn(&Self) -> f64) -> f64 {
        mean(&self.by_level().iter().map(|(_, level)| of(level)).collect::<Vec<_>>())
    }

    /// Entries of a codebook.
    pub fn entries(&self) -> usize {
        self.space.symbols().unwrap_or(0)
    }

    /// Codebooks: codes of a place.
    pub fn books(&self) -> usize {
        self.space.shape[0]
    }

    /// Places of the map.
    pub(super) fn places(&self) -> usize {
        self.space.shape[1] * self.space.shape[2]
    }

    /// How often each entry of a codebook is used.
    pub fn counts(&self, book: usize) -> Vec<u64> {
        let mut counts = vec![0; self.entries()];
        self.maps(book).flatten().for_each(|&code| counts[usize::from(code)] += 1);
        counts
    }

    /// How often each entry comes at a value of the row.
    pub fn counts_at(&self, value: usize) -> Vec<u64> {
        let mut counts = vec![0; self.entries()];
        self.symbols.chunks_exact(self.space.numel()).for_each(|row| counts[usize::from(row[value])] += 1);
        counts
    }

    /// Used entries of a codebook.
    pub fn used_of(&self, book: usize) -> usize {
        self.counts(book).iter().filter(|&&count| count > 0).count()
    }

    /// Used entries, the mean over codebooks.
    pub fn used(&self) -> f64 {
        mean(&(0..self.books()).map(|book| self.used_of(book) as f64).collect::<Vec<_>>())
    }

    /// `exp` of the entropy of a codebook's entries over the split.
    pub fn perplexity_of(&self, book: usize) -> f64 {
        entropy(&self.counts(book)).exp()
    }

    /// `exp` of the entropy of the entries over the split, the mean over codebooks.
    pub fn perplexity(&self) -> f64 {
        mean(&(0..self.books()).map(|book| self.perplexity_of(book)).collect::<Vec<_>>())
    }

    /// The same of each place of the map alone, the mean over places and codebooks.
    pub fn perplexity_by_place(&self) -> f64 {
        mean(&self.perplexity_at_places())
    }

    /// Signal to noise of the first map's quantiser, `10 log10(Var z / E (z - e)^2)`, in decibels.
    pub fn snr(&self) -> f64 {
        let CodeLevel { error, variance, .. } = self.levels[0];
        10.0 * (variance / error.max(f64::MIN_POSITIVE)).log10()
    }

    /// What a code tells of the class: `I(k; y)` of the codes at all places, the mean over codebooks, in
    /// nats. None without classes.
    pub fn class_information(&self) -> Option<f64> {
        let classes = self.classes.as_ref()?;
        let count = classes.iter().max().map_or(0, |&class| class as usize + 1);
        let of_book = |book: usize| {
            let mut joint = vec![0u64; count * self.entries()];
            for (codes, &class) in self.maps(book).zip(classes) {
                codes.iter().for_each(|&code| joint[class as usize * self.entries() + usize::from(code)] += 1);
            }
            let by_class: Vec<u64> = joint.chunks_exact(self.entries()).map(|row| row.iter().sum()).collect();
            (entropy(&self.counts(book)) + entropy(&by_class) - entropy(&joint)).max(0.0)
        };
        Some(mean(&(0..self.books()).map(of_book).collect::<Vec<_>>()))
    }

    /// How the codes are used, by name, a map after the other: for `elbo eval` and the report.
    pub fn metrics(&self) -> Vec<(&'static str, Metric)> {
        let levels = self.by_level();
        levels.iter().flat_map(|(name, level)| level.metrics_of_level(*name)).collect()
    }

    fn metrics_of_level(&self, level: Option<&'static str>) -> Vec<(&'static str, Metric)> {
        let [used, perplexity, by_place, code_entropy, snr, information] = match level {
            None => NAMES[0],
            Some("top") => NAMES[1],
            Some(_) => NAMES[2],
        };
        let (entries, books, n, [_, height, width]) = (self.entries(), self.books(), self.n(), self.space.shape);
        let of = format!("of {books} codebook(s) of {entries}, over {n} examples of {height} x {width} places");
        let metric = |value, unit, what: &str| Metric::new(value, unit, format!("{what}; {of}"));
        let mut metrics = vec![
            (used, metric(self.used(), "codes", "entries that come at least once")),
            (perplexity, metric(self.perplexity(), "codes", "exp of the entropy of the entries over all examples")),
            (
                by_place,
                metric(
                    self.perplexity_by_place(),
                    "codes",
                    "the same for each place of the map alone, mean over places",
                ),
            ),
            (code_entropy, metric(self.perplexity().ln(), "nats per code", "ln of the perplexity")),
            (snr, metric(self.snr(), "dB", "10 log10(Var z / E (z - e)^2) of the quantiser")),
        ];
        if let Some(found) = self.class_information() {
            metrics.push((information, metric(found, "nats per code", "I(code; class)")));
        }
        metrics
    }

    /// Nats of the codes of an example under `p(k)` of each value that the `training` codes have, with a
    /// count of one added to each.
    ///
    /// # Panics
    /// If the codes are of other spaces.
    pub fn rate_by_place(&self, training: &[u16]) -> Vec<f64> {
        let (numel, entries) = (self.space.numel(), self.entries());
        assert!(training.len().is_multiple_of(numel), "codes of the same space");
        let n = (training.len() / numel) as f64;
        let mut counts = vec![1f64; numel * entries];
        for row in training.chunks_exact(numel) {
            row.iter().enumerate().for_each(|(value, &code)| counts[value * entries + usize::from(code)] += 1.0);
        }
        let all = (n + entries as f64).ln();
        let nats = |row: &[u16]| {
            row.iter().enumerate().map(|(value, &code)| all - counts[value * entries + usize::from(code)].ln()).sum()
        };
        self.symbols.chunks_exact(numel).map(nats).collect()
    }

    /// Nats of the codes of an example where all codes are equally likely.
    pub fn uniform_rate(&self) -> f64 {
        self.space.numel() as f64 * (self.entries() as f64).ln()
    }
}

/// Names of the metrics of the only map, of the top one and of the bottom one.
const NAMES: [[&str; 6]; 3] = [
    ["codes_used", "perplexity", "perplexity_by_place", "code_entropy", "code_snr", "code_label_information"],
    [
        "top_codes_used",
        "top_perplexity",
        "top_perplexity_by_place",
        "top_code_entropy",
        "top_code_snr",
        "top_code_label_information",
    ],
    [
        "bottom_codes_used",
        "bottom_perplexity",
        "bottom_perplexity_by_place",
        "bottom_code_entropy",
        "bottom_code_snr",
        "bottom_code_label_information",
    ],
];

/// Share of the entries below which a codebook counts as collapsed.
const USED: f64 = 0.5;
/// Share of the entries below which the top level of two carries nothing.
const UNUSED: f64 = 0.05;
/// Signal to noise of the quantiser, in decibels, below which it loses too much.
const SNR: f64 = 3.0;
/// Codes of a split for each entry below which nothing is said: too few to tell a dead code from a rare one.
const CODES_PER_ENTRY: usize = 10;

/// What the doctor says of the codebooks: collapse and lost signal, each with the setting that cures it.
pub fn examine_codes(found: &CodeUse) -> Vec<ModelFinding> {
    found.by_level().iter().flat_map(|(name, level)| examine_level(*name, level)).collect()
}

fn examine_level(name: Option<&str>, found: &CodeUse) -> Vec<ModelFinding> {
    let (entries, used, snr) = (found.entries(), found.used(), found.snr());
    let of = name.map_or(String::new(), |name| format!("{name} level: "));
    let mut findings = Vec::new();
    if found.n() * found.places() >= CODES_PER_ENTRY * entries && used < USED * entries as f64 {
        findings.push(ModelFinding {
            finding: format!("{of}{used:.0} of {entries} codes are used: the codebook has collapsed"),
            cure: match name {
                Some("top") if used < UNUSED * entries as f64 => {
                    "the decoder draws from the bottom codes alone: `--set quantizer.codes=64` leaves them less room, \
                     or train a `vq-vae`, which has one level"
                }
                _ => {
                    "`--set quantizer.start=kmeans --set quantizer.revive=0.1` and more steps, or \
                     `--set quantizer.kind=fsq`, which has no codes to lose"
                }
            }
            .into(),
        });
    }
    if snr < SNR {
        findings.push(ModelFinding {
            finding: format!("{of}the codes keep little of the vectors: {snr:.1} dB of signal to noise"),
            cure: "more codes (`--set quantizer.codes=1024`) or residual codes (`--set quantizer.depth=2`)".into(),
        });
    }
    findings
}

/// What an entry stands for: the mean of the patches of the pictures that use it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CodePatch {
    /// The codebook entry that is shown.
    pub code: usize,
    /// How often it is used.
    pub count: u64,
    /// Its picture, channel first; the patch under one place of the map.
    pub pixels: Vec<f32>,
}

/// The patches of a codebook's used entries, the most used first and `most` at most, with their shape (channels,
/// height, width).
///
/// # Panics
/// If the split is another than that whose codes are given.
pub fn code_patches(
    found: &CodeUse,
    split: &Subset,
    book: usize,
    most: usize,
    device: &Device,
) -> (Vec<CodePatch>, [usize; 3]) {
    let [_, rows, columns] = found.space.shape;
    let [channels, height, width] = split.source().shape().dims();
    let (patch_height, patch_width) = (height.div_ceil(rows), width.div_ceil(columns));
    let size = channels * patch_height * patch_width;
    let (shown, shown_as) = most_used(&found.counts(book), most);
    let mut sums = vec![0f64; shown.len() * size];
    let places: Vec<u32> = (0..split.len() as u32).collect();
    let codes_of = found.symbols.chunks_exact(found.space.numel());
    assert_eq!(codes_of.len(), split.len(), "codes of each example");
    let first = |place: usize, count: usize, side: usize, patch: usize| (place * side / count).min(side - patch);
    let mut codes_of = codes_of;
    for chosen in places.chunks(512) {
        let pixels = values_of(crate::data::batch::batch(split, chosen, device));
        for (picture, codes) in pixels.chunks_exact(channels * height * width).zip(&mut codes_of) {
            for (place, &code) in codes[book * rows * columns..][..rows * columns].iter().enumerate() {
                let Some(shown) = shown_as[usize::from(code)] else { continue };
                let top = first(place / columns, rows, height, patch_height);
                let left = first(place % columns, columns, width, patch_width);
                let sum = &mut sums[shown * size..][..size];
                for (line, sum) in sum.chunks_exact_mut(patch_width).enumerate() {
                    let (channel, y) = (line / patch_height, top + line % patch_height);
                    let row = &picture[(channel * height + y) * width + left..][..patch_width];
                    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
                }
            }
        }
    }
    let patch = |((code, count), sums): ((usize, u64), &[f64])| {
        let pixels = sums.iter().map(|sum| (sum / count as f64) as f32).collect();
        CodePatch { code, count, pixels }
    };
    let patches = shown.into_iter().zip(sums.chunks_exact(size)).map(patch).collect();
    (patches, [channels, patch_height, patch_width])
}

/// The entries that are used most, with their counts, and of each entry its place among them.
fn most_used(counts: &[u64], most: usize) -> (Vec<(usize, u64)>, Vec<Option<usize>>) {
    let mut used: Vec<(usize, u64)> = counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
    used.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    used.truncate(most);
    let mut places = vec![None; counts.len()];
    used.iter().enumerate().for_each(|(place, (code, _))| places[*code] = Some(place));
    (used, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Domain;

    fn of(symbols: Vec<u16>, of: usize, width: usize) -> CodeUse {
        let space = Space { shape: [1, 1, width], domain: Domain::Index { of } };
        let n = symbols.len() / width;
        let levels = vec![CodeLevel { space, error: 0.1, variance: 1.0 }];
        CodeUse { space, symbols, distortion: vec![0.0; n], levels, penalty: 0.0, classes: None }
    }

    #[test]
    fn perplexity_is_that_of_the_split_and_not_of_a_batch() {
        let uniform: Vec<u16> = (0..4000).map(|i| i % 8).collect();
        assert!((of(uniform.clone(), 8, 10).perplexity() - 8.0).abs() < 1e-9);
        assert_eq!(of(vec![3; 40], 8, 10).perplexity(), 1.0);
        // However the examples are cut into rows: nothing depends on what stands together.
        assert_eq!(of(uniform.clone(), 8, 10).perplexity(), of(uniform, 8, 400).perplexity());
        assert_eq!((of(vec![3; 40], 8, 10).used(), of(vec![1, 2, 1, 2], 8, 2).used()), (1.0, 2.0));
        assert!((of(vec![3; 40], 8, 10).snr() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn rates_are_those_worked_out_by_hand() {
        let held_out = of(vec![0, 1, 1, 1], 2, 2);
        assert!((held_out.uniform_rate() - 2.0 * 2f64.ln()).abs() < 1e-12);
        // Six training rows: first value always 0, second 0 once and 1 five times; one more of each.
        let training = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0];
        let rates = held_out.rate_by_place(&training);
        let expected = [-(7f64 / 8.0).ln() - (6f64 / 8.0).ln(), -(1f64 / 8.0).ln() - (6f64 / 8.0).ln()];
        assert!(rates.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{rates:?}");
    }

    #[test]
    fn collapse_and_lost_signal_are_told_and_health_is_not() {
        let collapsed = of(vec![3; 400], 8, 10);
        assert!(examine_codes(&collapsed).iter().any(|found| found.finding.contains("1 of 8")));
        let mut noisy = of((0..400).map(|i| i % 8).collect(), 8, 10);
        assert!(examine_codes(&noisy).is_empty());
        noisy.levels[0].error = 0.7;
        assert!(examine_codes(&noisy)[0].cure.contains("depth"));
        // Of a few codes nothing is said.
        assert!(examine_codes(&of(vec![3; 40], 8, 10)).is_empty());
    }

    /// Rows of a top map of two codes and a bottom map of four.
    fn two_levels(row: [u16; 6], rows: usize) -> CodeUse {
        let map = |width| Space { shape: [1, 1, width], domain: Domain::Index { of: 64 } };
        let level = |space, error| CodeLevel { space, error, variance: 1.0 };
        let levels = vec![level(map(2), 0.1), level(map(4), 0.01)];
        CodeUse { levels, ..of(row.repeat(rows), 64, 6) }
    }

    #[test]
    fn levels_are_counted_apart() {
        let found = two_levels([5, 5, 1, 2, 3, 4], 3);
        let parts = found.by_level();
        assert_eq!(parts.iter().map(|(name, _)| *name).collect::<Vec<_>>(), [Some("top"), Some("bottom")]);
        assert_eq!((parts[0].1.symbols.as_slice(), parts[0].1.used()), (&[5; 6][..], 1.0));
        assert_eq!((parts[1].1.used(), parts[1].1.perplexity().round()), (4.0, 4.0));
        assert_eq!(found.mean_over_levels(CodeUse::used), 2.5);
        let metrics = found.metrics();
        let value = |name: &str| metrics.iter().find(|(found, _)| *found == name).expect(name).1.value;
        assert_eq!((value("top_codes_used"), value("bottom_codes_used")), (1.0, 4.0));
        assert!((value("top_code_snr") - 10.0).abs() < 1e-9 && (value("bottom_code_snr") - 20.0).abs() < 1e-9);
        // The rate is that of all codes.
        assert!((found.uniform_rate() - 6.0 * 64f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn a_top_level_that_carries_nothing_is_named() {
        let found = examine_codes(&two_levels([5, 5, 1, 2, 3, 4], 1000));
        assert!(found[0].finding.starts_with("top level: 1 of 64") && found[0].cure.contains("vq-vae"), "{found:?}");
        assert!(found[1].finding.starts_with("bottom level: 4 of 64") && found[1].cure.contains("kmeans"));
    }

    #[test]
    fn a_code_that_is_the_class_tells_all_of_it() {
        let mut codes = of((0..40).map(|i| (i / 10) as u16).collect(), 4, 10);
        codes.classes = Some(vec![0, 1, 2, 3]);
        assert!((codes.class_information().unwrap() - 4f64.ln()).abs() < 1e-12);
        codes.classes = Some(vec![0, 0, 0, 0]);
        assert!(codes.class_information().unwrap().abs() < 1e-12);
    }
}

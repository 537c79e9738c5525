//! Train, validation and test parts of a data set, as lists of image indices.
//!
//! A part is drawn by a seeded permutation and then kept in increasing order, so that reading it walks through memory
//! forwards and the order of training comes from the batcher alone. The permutation is a function of (seed, purpose)
//! and of nothing else: not of time, threads or any global generator. Parts that would leave nothing to train on are
//! refused; two parts never share an image.

use std::fmt;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::data::binarize::Binarization;
use crate::data::source::Source;
use crate::error::{Error, Result};

/// Some of the images of a [`Source`]; parts of a data set are in increasing order of their index there.
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::{Subset, digits};
///
/// let all = Subset::all(Arc::new(digits::generate(0, 30)));
/// let odd = Subset::new(Arc::clone(all.source()), [1, 3, 5]);
/// assert_eq!((odd.len(), odd.label(2)), (3, all.label(5)));
/// assert_eq!(odd.select(&[2, 0]).indices(), [5, 1]);
/// ```
#[derive(Clone)]
pub struct Subset {
    source: Arc<dyn Source>,
    indices: Arc<[u32]>,
    binarization: Binarization,
}

impl Subset {
    /// The images of `source` at `indices`.
    ///
    /// # Panics
    /// If an index is not below `source.len()`.
    pub fn new(source: Arc<dyn Source>, indices: impl Into<Arc<[u32]>>) -> Self {
        let indices = indices.into();
        assert!(indices.iter().all(|&index| (index as usize) < source.len()), "an index lies outside the source");
        Self { source, indices, binarization: Binarization::default() }
    }

    /// All images of `source`.
    ///
    /// # Panics
    /// If the source has 2^32 images or more.
    pub fn all(source: Arc<dyn Source>) -> Self {
        let count = u32::try_from(source.len()).expect("a source has fewer than 2^32 images");
        Self { source, indices: (0..count).collect(), binarization: Binarization::default() }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// True when there are no images.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Writes the subset's image `index` into `pixels`, channel first.
    ///
    /// # Panics
    /// If `index >= len()` or `pixels` has not [`ImageShape::numel`](super::source::ImageShape::numel) bytes.
    pub fn read(&self, index: usize, pixels: &mut [u8]) {
        self.source.read(self.indices[index] as usize, pixels);
    }

    /// The class of the subset's image `index`, where classes are known.
    ///
    /// # Panics
    /// If `index >= len()`.
    pub fn label(&self, index: usize) -> Option<u32> {
        self.source.label(self.indices[index] as usize)
    }

    /// Name of the class of the subset's image `index`, where classes are known.
    ///
    /// # Panics
    /// If `index >= len()`.
    pub fn class(&self, index: usize) -> Option<&str> {
        self.label(index).map(|label| self.source.label_names()[label as usize].as_str())
    }

    /// The place in its source of the subset's image `index`: the row of the file, or the picture among those found, from 0, those left out
    /// counted. See [`Source::place`].
    ///
    /// # Panics
    /// If `index >= len()`.
    pub fn place(&self, index: usize) -> u64 {
        self.source.place(self.indices[index] as usize)
    }

    /// The places of all images in their source.
    pub fn places(&self) -> Vec<u64> {
        (0..self.len()).map(|index| self.place(index)).collect()
    }

    /// What the subset's image `index` is called where it comes from: a path inside a folder or archive.
    ///
    /// # Panics
    /// If `index >= len()`.
    pub fn path(&self, index: usize) -> Option<String> {
        self.source.id(self.indices[index] as usize)
    }

    /// What the column of identifiers says of the subset's image `index`.
    ///
    /// # Panics
    /// If `index >= len()`.
    pub fn identifier(&self, index: usize) -> Option<&str> {
        self.source.identifier(self.indices[index] as usize)
    }

    /// Where the images come from.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// Index in the source of each image.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The same images, made binary on their way into batches.
    pub fn binarized(self, binarization: Binarization) -> Self {
        Self { binarization, ..self }
    }

    /// How images become binary on their way into batches.
    pub fn binarization(&self) -> Binarization {
        self.binarization
    }

    /// The first `count` images, or all when there are fewer.
    pub fn take(&self, count: usize) -> Self {
        Self { indices: self.indices[..count.min(self.len())].into(), ..self.clone() }
    }

    /// The images at `places` of this subset, made binary as here.
    ///
    /// # Panics
    /// If a place is not below `len()`.
    pub fn select(&self, places: &[u32]) -> Self {
        Self { indices: self.source_indices(places).into(), ..self.clone() }
    }

    /// All images of the source, made binary as here.
    pub fn whole(&self) -> Self {
        Self::all(Arc::clone(&self.source)).binarized(self.binarization)
    }

    /// Index in the source of each of the images at `places` of this subset.
    pub(crate) fn source_indices(&self, places: &[u32]) -> Vec<u32> {
        places.iter().map(|&place| self.indices[place as usize]).collect()
    }
}

impl fmt::Debug for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subset({} of {} images of {})", self.len(), self.source.len(), self.source.name())
    }
}

/// The parts of a data set. No image is in two of them, except that validation may be the test part itself.
#[derive(Debug, Clone)]
pub struct Splits {
    /// What the model learns from; never empty.
    pub train: Subset,
    /// What early stopping and the choice of the best checkpoint look at.
    pub validation: Option<Subset>,
    /// What the final numbers are computed on. Empty when nothing was held back for it.
    pub test: Subset,
    /// True when `validation` is `test`, as many tutorials have it: the final numbers are then chosen on the test part.
    pub validation_is_test: bool,
}

impl Splits {
    /// The same examples of other sources: those of the test part from `test`, all others from `train`.
    pub(super) fn with_sources(self, train: Arc<dyn Source>, test: Arc<dyn Source>) -> Self {
        let test = Subset::new(test, self.test.indices);
        let validation = self.validation.map(|validation| match self.validation_is_test {
            true => test.clone(),
            false => Subset::new(train.clone(), validation.indices),
        });
        let validation_is_test = self.validation_is_test;
        Self { train: Subset::new(train, self.train.indices), validation, test, validation_is_test }
    }
}

/// How large the validation part is: `0.1`, `5000`, `"test"`, or `0` for none.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Validation {
    /// This share of the images, in `[0, 1)`, rounded to the nearest whole image: of a tiny set that may be none.
    Fraction(f64),
    /// This many images.
    Count(usize),
    /// The test part serves for validation too.
    Test,
}

impl Validation {
    /// No validation part.
    pub const NONE: Self = Self::Count(0);
}

const KEY: &str = "data.validation";
const ACCEPTED: &str = "a share of the images below 1 (0.1), a number of images (5000), \"test\", or 0 for none";

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fraction(share) => write!(f, "{share:?}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Test => f.write_str("\"test\""),
        }
    }
}

impl Serialize for Validation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fraction(share) => serializer.serialize_f64(*share),
            Self::Count(count) => serializer.serialize_u64(*count as u64),
            Self::Test => serializer.serialize_str("test"),
        }
    }
}

impl<'de> Deserialize<'de> for Validation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValidationVisitor)
    }
}

struct ValidationVisitor;

impl Visitor<'_> for ValidationVisitor {
    type Value = Validation;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{ACCEPTED} for `{KEY}`")
    }

    fn visit_f64<E: de::Error>(self, share: f64) -> Result<Validation, E> {
        match share {
            share if (0.0..1.0).contains(&share) => Ok(Validation::Fraction(share)),
            _ => Err(E::invalid_value(de::Unexpected::Float(share), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Validation, E> {
        let invalid = |_| E::invalid_value(de::Unexpected::Signed(count), &self);
        usize::try_from(count).map(Validation::Count).map_err(invalid)
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Validation, E> {
        let invalid = |_| E::invalid_value(de::Unexpected::Unsigned(count), &self);
        usize::try_from(count).map(Validation::Count).map_err(invalid)
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Validation, E> {
        match word {
            "test" => Ok(Validation::Test),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }
}

/// Splits a set that brings its own test images: the validation part is drawn from `train`.
///
/// # Errors
/// [`Error::Config`] if `train` is empty, the two differ in shape, or the validation part would take every image.
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::split::{Validation, split_with_test};
/// use elbo::data::digits;
///
/// let (train, test) = (digits::generate(0, 50), digits::generate(1, 10));
/// let splits = split_with_test(Arc::new(train), Arc::new(test), Validation::Fraction(0.1), 0)?;
/// assert_eq!((splits.train.len(), splits.validation.unwrap().len(), splits.test.len()), (45, 5, 10));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn split_with_test(
    train: Arc<dyn Source>,
    test: Arc<dyn Source>,
    validation: Validation,
    seed: u64,
) -> Result<Splits> {
    if train.shape() != test.shape() {
        let (expected, found) = (format!("test images of {}", train.shape()), format!("{}", test.shape()));
        return Err(Error::config("data", expected, found, "give train and test images of one size"));
    }
    assemble(Subset::all(train), |_| Subset::all(test), 0, validation, seed)
}

/// Splits a set without test images of its own: `test` and `validation` are shares of the whole `source`.
///
/// `test` is a share in `[0, 1)`, rounded to the nearest whole image. The test part does not depend on `validation`, so
/// runs that differ in it are judged on the same images.
///
/// # Errors
/// [`Error::Config`] if `source` is empty, `test` is not in `[0, 1)`, or nothing would remain to train on.
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::split::{Validation, split_single};
/// use elbo::data::digits;
///
/// let splits = split_single(Arc::new(digits::generate(0, 50)), 0.2, Validation::Count(5), 0)?;
/// assert_eq!((splits.train.len(), splits.validation.unwrap().len(), splits.test.len()), (35, 5, 10));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn split_single(source: Arc<dyn Source>, test: f64, validation: Validation, seed: u64) -> Result<Splits> {
    if !(0.0..1.0).contains(&test) {
        let help = "set the share of images held back for testing, for example `data.test = 0.1`";
        return Err(Error::config(
            "data.test",
            "a share of the images, at least 0 and below 1",
            format!("{test}"),
            help,
        ));
    }
    let held_back = rounded_share(test, source.len(), source.len());
    let whole = Arc::clone(&source);
    assemble(Subset::all(source), |indices| Subset::new(whole, indices), held_back, validation, seed)
}

/// Splits a set that brings its parts: `parts` are the images for training, validation and test. What it does not bring is drawn from those for
/// training, as [`split_single`] would; `"test"` as `validation` takes the test part even where there is another.
///
/// # Errors
/// As [`split_single`].
pub fn split_parts(
    source: Arc<dyn Source>,
    parts: [Vec<u32>; 3],
    test: f64,
    validation: Validation,
    seed: u64,
) -> Result<Splits> {
    let [train, own_validation, own_test] = parts;
    let held_back = if own_test.is_empty() { rounded_share(test, train.len(), train.len()) } else { 0 };
    let brings_validation = !own_validation.is_empty() && validation != Validation::Test;
    let drawn = if brings_validation { Validation::NONE } else { validation };
    let pool = Subset::new(Arc::clone(&source), train);
    let test_part = |drawn: Vec<u32>| Subset::new(Arc::clone(&source), [own_test, drawn].concat());
    let mut splits = assemble(pool, test_part, held_back, drawn, seed)?;
    if brings_validation {
        splits.validation = Some(Subset::new(source, own_validation));
    }
    Ok(splits)
}

/// Draws `held_back` test images and the validation part from `pool`; the rest is for training.
fn assemble(
    pool: Subset,
    test_part: impl FnOnce(Vec<u32>) -> Subset,
    held_back: usize,
    validation: Validation,
    seed: u64,
) -> Result<Splits> {
    let available = pool.len() - held_back;
    let validation_count = validation_count(validation, pool.len(), available)?;
    let mut order = permutation(pool.len(), seed, "split");
    order.iter_mut().for_each(|place| *place = pool.indices()[*place as usize]);
    let mut draw = |count| sorted(order.drain(..count).collect());
    let (test, validation_indices) = (test_part(draw(held_back)), draw(validation_count));
    let train = Subset::new(Arc::clone(pool.source()), sorted(order));
    let validation_is_test = validation == Validation::Test;
    if validation_is_test && test.is_empty() {
        let help = "hold test images back (`data.test = 0.1`), or set `data.validation = 0`";
        return Err(Error::config(
            KEY,
            "a share or a number of images",
            "\"test\", but there are no test images",
            help,
        ));
    }
    let validation = match validation {
        Validation::Test => Some(test.clone()),
        _ => (validation_count > 0).then(|| Subset::new(Arc::clone(pool.source()), validation_indices)),
    };
    Ok(Splits { train, validation, test, validation_is_test })
}

/// Images in the validation part, drawn from the `available` ones of `total`.
fn validation_count(validation: Validation, total: usize, available: usize) -> Result<usize> {
    if available == 0 {
        let help = "check the data set, or use one with more images";
        return Err(Error::config("data", "at least 1 image to train on", "a set without images", help));
    }
    let (count, asked) = match validation {
        Validation::Test => return Ok(0),
        Validation::Count(count) => (count, format!("{count} validation images")),
        Validation::Fraction(share) if (0.0..1.0).contains(&share) => {
            (rounded_share(share, total, total), format!("a share of {share} ({} images)", share * total as f64))
        }
        Validation::Fraction(share) => return Err(Error::config(KEY, ACCEPTED, format!("{share}"), "set it to 0.1")),
    };
    if count < available {
        return Ok(count);
    }
    let help = format!("ask for at most {} validation images, or set `{KEY} = 0` to train without", available - 1);
    let expected = format!("fewer validation images than the {available} that are there to train on");
    Err(Error::config(KEY, expected, asked, help))
}

/// `share * total` to the nearest whole number, but never all of `available`.
fn rounded_share(share: f64, total: usize, available: usize) -> usize {
    ((share * total as f64).round() as usize).min(available.saturating_sub(1))
}

fn sorted(mut indices: Vec<u32>) -> Vec<u32> {
    indices.sort_unstable();
    indices
}

/// The numbers `0..count` in an order that is a function of `(seed, purpose)`.
///
/// # Panics
/// If `count` is 2^32 or more, or `purpose` is longer than 24 bytes.
pub(crate) fn permutation(count: usize, seed: u64, purpose: &str) -> Vec<u32> {
    let count = u32::try_from(count).expect("a set has fewer than 2^32 images");
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..8 + purpose.len()].copy_from_slice(purpose.as_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    let mut order: Vec<u32> = (0..count).collect();
    // Fisher and Yates, from the last place down.
    for last in (1..count).rev() {
        order.swap(last as usize, below(last + 1, &mut rng) as usize);
    }
    order
}

/// A number in `0..bound`, each equally likely.
///
/// The high half of `word * bound` is a number in that range; words whose low half falls under `2^32 mod bound` would
/// make some numbers likelier than others and are drawn again (Lemire 2019, arXiv:1805.10941).
fn below(bound: u32, rng: &mut impl Rng) -> u32 {
    let biased = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= biased {
            return (product >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::source::{ImageShape, InMemory};
    use proptest::prelude::*;

    fn source(count: usize) -> Arc<dyn Source> {
        let pixels = (0..count).map(|i| i as u8).collect();
        let labels = (0..count).map(|i| (i % 2) as u8).collect();
        let names = vec!["even".into(), "odd".into()];
        Arc::new(InMemory::new("made up", ImageShape::grey(1, 1), pixels, "print").labels(labels, names))
    }

    fn parts(splits: &Splits) -> [Vec<u32>; 3] {
        let validation = splits.validation.as_ref().map(|part| part.indices().to_vec()).unwrap_or_default();
        [splits.train.indices().to_vec(), validation, splits.test.indices().to_vec()]
    }

    #[test]
    fn validation_is_drawn_from_train_and_test_is_whole() {
        let splits = split_with_test(source(100), source(40), Validation::Fraction(0.1), 7).unwrap();
        let [train, validation, test] = parts(&splits);
        assert_eq!((train.len(), validation.len(), test.len()), (90, 10, 40));
        assert_ne!(validation, (0..10).collect::<Vec<_>>(), "drawn, not the first ones");
        let mut pixel = [0];
        splits.validation.as_ref().unwrap().read(3, &mut pixel);
        assert_eq!(u32::from(pixel[0]), validation[3]);
        assert_eq!(splits.validation.unwrap().label(3), Some(validation[3] % 2));
    }

    #[test]
    fn seeds_decide_and_the_test_part_ignores_the_validation_size() {
        let split = |seed, validation| parts(&split_single(source(200), 0.2, validation, seed).unwrap());
        assert_eq!(split(1, Validation::Count(30)), split(1, Validation::Count(30)));
        assert_ne!(split(1, Validation::Count(30)), split(2, Validation::Count(30)));
        assert_eq!(split(1, Validation::Count(30))[2], split(1, Validation::NONE)[2]);
        assert_eq!(split(1, Validation::NONE).map(|part| part.len()), [160, 0, 40]);
    }

    /// A change here would give every recorded run other splits.
    #[test]
    fn the_permutation_is_pinned() {
        assert_eq!(permutation(10, 42, "split"), PINNED);
        assert_ne!(permutation(10, 42, "other"), PINNED);
    }

    const PINNED: [u32; 10] = [8, 1, 2, 7, 5, 0, 9, 4, 6, 3];

    #[test]
    fn every_order_of_four_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        let draws = 24_000;
        for seed in 0..draws {
            *counts.entry(permutation(4, seed, "test")).or_insert(0i32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // Standard deviation of each count: sqrt(24000 * (1/24) * (23/24)) = 31.
        assert!(counts.values().all(|count| (count - 1000).abs() < 160), "{counts:?}");
    }

    /// With this bound and no rejection, multiples of three would be half of all draws instead of a third.
    #[test]
    fn bounded_numbers_have_no_bias() {
        let mut rng = ChaCha8Rng::from_seed([1; 32]);
        let multiples = (0..30_000).filter(|_| below(3 << 30, &mut rng).is_multiple_of(3)).count();
        assert!(multiples.abs_diff(10_000) < 500, "{multiples}");
    }

    #[test]
    fn the_test_part_may_serve_for_validation() {
        let splits = split_with_test(source(10), source(5), Validation::Test, 0).unwrap();
        assert!(splits.validation_is_test);
        assert_eq!(parts(&splits).map(|part| part.len()), [10, 5, 5]);
        let error = split_single(source(10), 0.0, Validation::Test, 0).unwrap_err();
        assert!(error.to_string().contains("there are no test images"), "{error}");
    }

    #[test]
    fn a_single_image_is_for_training() {
        let splits = split_single(source(1), 0.5, Validation::Fraction(0.3), 0).unwrap();
        assert_eq!(parts(&splits).map(|part| part.len()), [1, 0, 0]);
        assert!(splits.validation.is_none() && splits.test.is_empty());
    }

    #[test]
    fn too_few_images_name_the_numbers_and_the_cure() {
        let error = split_with_test(source(20), source(5), Validation::Count(5000), 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`data.validation`: expected fewer validation images than the 20 that are there to train on, \
             found 5000 validation images"
        );
        assert!(
            error.help().contains("at most 19") && error.help().contains("data.validation = 0"),
            "{}",
            error.help()
        );
        assert!(split_with_test(source(20), source(5), Validation::Count(20), 0).is_err());
        assert!(split_with_test(source(20), source(5), Validation::Count(19), 0).is_ok());
        assert!(split_single(source(10), 0.6, Validation::Fraction(0.4), 0).is_err());
        assert!(split_with_test(source(0), source(5), Validation::NONE, 0).is_err());
        for share in [-0.1, 1.0, f64::NAN] {
            assert!(split_single(source(10), share, Validation::NONE, 0).is_err());
            assert!(split_single(source(10), 0.1, Validation::Fraction(share), 0).is_err());
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let wide = Arc::new(InMemory::new("wide", ImageShape::grey(1, 2), vec![0; 4], "print"));
        let error = split_with_test(source(10), wide, Validation::NONE, 0).unwrap_err();
        assert!(error.to_string().contains("1 x 1 x 1") && error.to_string().contains("1 x 1 x 2"), "{error}");
    }

    #[test]
    fn take_keeps_the_first_images() {
        let all = Subset::all(source(5));
        assert_eq!(all.take(2).indices(), [0, 1]);
        assert_eq!(all.take(9).len(), 5);
        assert!(all.take(0).is_empty());
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Table {
        validation: Validation,
    }

    #[test]
    fn validation_is_read_from_toml_and_written_back() {
        let cases = [
            ("0.1", Validation::Fraction(0.1)),
            ("5000", Validation::Count(5000)),
            ("\"test\"", Validation::Test),
            ("0", Validation::NONE),
        ];
        for (text, value) in cases {
            let table: Table = toml::from_str(&format!("validation = {text}\n")).unwrap();
            assert_eq!(table.validation, value);
            assert_eq!(toml::to_string(&table).unwrap(), format!("validation = {text}\n"));
            assert_eq!(value.to_string(), text);
        }
        for text in ["1.0", "-1", "-0.5", "nan", "\"tset\"", "true", "[1]"] {
            let error = toml::from_str::<Table>(&format!("validation = {text}")).unwrap_err().to_string();
            assert!(error.contains("`data.validation`") && error.contains("\"test\""), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_disjoint_and_cover_everything(
            count in 1usize..300, test in 0.0..0.9f64, share in 0.0..0.9f64, seed: u64,
        ) {
            let Ok(splits) = split_single(source(count), test, Validation::Fraction(share), seed) else {
                prop_assert!(test + share > 0.8 || count < 10);
                return Ok(());
            };
            let parts = parts(&splits);
            prop_assert!(!parts[0].is_empty());
            prop_assert!(parts.iter().all(|part| part.is_sorted()));
            let all = sorted(parts.concat());
            prop_assert_eq!(all, (0..count as u32).collect::<Vec<_>>());
        }
    }
}

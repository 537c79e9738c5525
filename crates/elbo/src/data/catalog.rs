//! From the name or path in a recipe to splits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::binarize::{Binarization, Binarize};
use super::cifar10;
use super::classes;
use super::digits;
use super::known::{self, Network};
use super::pictures::{self, Division, Fit, OnBadImage, Settings, Size};
use super::progress::Progress;
use super::source::{Columns, InMemory, Source};
use super::split::{self, Splits, Subset, Validation};
use super::sprites::Sprites;
use super::table::{self, Missing, Range};
use crate::error::{Error, Result};
use crate::space::Domain;

/// The `[data]` table of a recipe.
///
/// ```
/// use elbo::data::{DataConfig, Validation};
///
/// let config: DataConfig = toml::from_str("source = 'mnist'\nvalidation = 'test'").unwrap();
/// assert_eq!((config.source.as_str(), config.validation), ("mnist", Validation::Test));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `digits`, `sprites`, `mnist`, `fashion-mnist`, `cifar10`, or a path: a folder of pictures, a tar or zip archive of one,
    /// a table (CSV, Parquet), an array (`.npy`, `.npz`), IDX files.
    pub source: String,
    /// How many images a generator makes for training (and a sixth of it for the test).
    pub count: usize,
    /// Share or number of training images held out for validation, or `"test"` to validate on the test split.
    pub validation: Validation,
    /// Share of the images held out for the test when the source brings no test set of its own.
    pub test: f64,
    /// Train, validate and test on these classes only; empty for all. `elbo score` tests on the others too.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "classes::names")]
    pub labels: Vec<String>,
    /// Use only the first so many training images; 0 for all.
    pub limit: usize,
    /// Height and width that pictures are brought to, `"112x92"` or `64`; unset, they must share one size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// How pictures of other proportions come to that size: `crop`, `pad` or `stretch`.
    pub fit: Fit,
    /// 1 for grey pictures, 3 for RGB; unset, 1 if all files are grey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// What to do about a file that cannot be read as a picture: `fail` or `skip`.
    pub on_bad_image: OnBadImage,
    /// Whether decoded pictures are kept in the cache folder, so that the next start is instant.
    pub cache: bool,
    /// `none`, `dynamic` or `threshold`: how grey pixels become zeros and ones. See [`Binarize`].
    pub binarize: Binarize,
    /// Which array of a `.npz` file; see [`table`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array: Option<String>,
    /// What the numbers of an array mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// The column, or array, of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The columns of a table to use; empty for all but the label.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// What happens to rows of a table with a missing value.
    pub missing: Missing,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            source: "digits".into(),
            count: 30_000,
            validation: Validation::Fraction(0.1),
            test: 0.1,
            labels: Vec::new(),
            limit: 0,
            size: None,
            fit: Fit::Crop,
            channels: None,
            on_bad_image: OnBadImage::Fail,
            cache: true,
            binarize: Binarize::None,
            array: None,
            range: None,
            label: None,
            columns: Vec::new(),
            missing: Missing::Fail,
        }
    }
}

/// Most images the `digits` generator is asked for.
const MAX_COUNT: usize = 10_000_000;

impl DataConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        if self.source.is_empty() {
            let help = "for example `--data mnist` or `--data digits`";
            return Err(Error::config("data.source", "a name or a path", "nothing", help));
        }
        if !(1..=MAX_COUNT).contains(&self.count) {
            let (expected, found) = (format!("a number from 1 to {MAX_COUNT}"), self.count.to_string());
            return Err(Error::config("data.count", expected, found, "choose another number"));
        }
        if !(0.0..1.0).contains(&self.test) {
            let found = self.test.to_string();
            return Err(Error::config("data.test", "a share in [0, 1)", found, "for example `data.test = 0.1`"));
        }
        self.picture_settings().check()
    }

    /// What pictures are brought to.
    pub fn picture_settings(&self) -> Settings {
        let Self { size, fit, channels, on_bad_image, cache, .. } = *self;
        Settings { size, fit, channels, on_bad_image, fresh: !cache }
    }

    /// How a set without parts of its own is divided.
    pub(super) fn division(&self, seed: u64) -> Division {
        Division { test: self.test, validation: self.validation, seed }
    }
}

/// Opens the source and splits it; `seed` decides what a generator makes and what is held out.
///
/// A known set that is not on this machine is downloaded, unless the environment variable `ELBO_OFFLINE` is set; `progress` is told how far
/// that is.
///
/// # Errors
/// [`Error::Data`] or [`Error::Download`] when the source cannot be read, [`Error::Config`] when the splits cannot be made.
///
/// ```
/// use elbo::data::{self, DataConfig};
///
/// let config = DataConfig { count: 200, ..Default::default() };
/// let splits = data::open(&config, 0, &mut |_| {}).unwrap();
/// assert_eq!((splits.train.len(), splits.test.len()), (180, 33));
/// ```
pub fn open(config: &DataConfig, seed: u64, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Splits> {
    open_for(config, seed, None, progress)
}

/// [`open`] for a model that is trained: `columns` are those of the table it was trained on. Its names are looked for and its means and
/// deviations used; what only training needs, such as labels, may be absent.
///
/// # Errors
/// As [`open`].
pub fn open_for(
    config: &DataConfig,
    seed: u64,
    columns: Option<&Columns>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    let complete = open_complete(config, seed, columns, progress)?;
    chosen(complete, config)
}

/// What `data.labels` and `data.limit` leave of the splits of [`open_complete`].
pub(crate) fn chosen(complete: Splits, config: &DataConfig) -> Result<Splits> {
    Ok(limited(classes::of_classes(complete, &config.labels)?, config.limit))
}

/// [`open_for`] before examples are chosen: all classes, and all training images.
pub(crate) fn open_complete(
    config: &DataConfig,
    seed: u64,
    columns: Option<&Columns>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    config.check()?;
    let splits = match config.source.as_str() {
        "digits" => {
            // One generator, two seeds: no test image is a training image.
            let train = digits::generate(seed, config.count);
            let test = digits::generate(seed ^ TEST_SEED, (config.count / 6).max(1));
            with_test(train, test, config, seed)
        }
        "sprites" => split::split_single(Arc::new(Sprites::new()), config.test, config.validation, seed),
        cifar10::NAME => {
            let places = known::Places::from_env(cifar10::NAME, None);
            let (settings, division) = (config.picture_settings(), config.division(seed));
            cifar10::open(&places.folders, places.cache.as_deref(), network(), &settings, division, progress)
        }
        name if known::known_names().any(|known| known == name) => {
            let (train, test) = load_known(name, progress)?;
            with_test(train, test, config, seed)
        }
        path => open_path(Path::new(path), config, seed, columns, progress),
    }?;
    binarized(splits, config.binarize, seed)
}

/// Makes all parts binary, where the pixels are bytes.
fn binarized(splits: Splits, binarize: Binarize, seed: u64) -> Result<Splits> {
    let domain = splits.train.source().domain();
    if binarize != Binarize::None && domain != Domain::Levels {
        let help = "real numbers are no probabilities of ink: leave `data.binarize` away";
        return Err(Error::config("data.binarize", "none for data of real numbers", "another", help));
    }
    let binarized = |part: Subset| part.binarized(Binarization { binarize, seed });
    Ok(Splits {
        train: binarized(splits.train),
        validation: splits.validation.map(binarized),
        test: binarized(splits.test),
        ..splits
    })
}

/// Flips the seed of the test part of a generated set.
const TEST_SEED: u64 = 0x7465_7374_5f73_6574;

fn load_known(name: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(InMemory, InMemory)> {
    known::load_observed(name, None, network(), progress)
}

fn network() -> Network {
    if std::env::var_os("ELBO_OFFLINE").is_some() { Network::Offline } else { Network::Allowed }
}

fn with_test(train: InMemory, test: InMemory, config: &DataConfig, seed: u64) -> Result<Splits> {
    split::split_with_test(Arc::new(train), Arc::new(test), config.validation, seed)
}

fn open_path(
    path: &Path,
    config: &DataConfig,
    seed: u64,
    columns: Option<&Columns>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    let found = located(path);
    let path = found.as_path();
    if !path.exists() {
        let name = path.to_string_lossy();
        let names = || ["digits", "sprites"].into_iter().chain(known::known_names());
        let list = names().collect::<Vec<_>>().join(", ");
        let help = match crate::suggest::did_you_mean(&name, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if path.starts_with("faces") => FACES.into(),
            None => "check the path for a typing mistake".into(),
        };
        return Err(Error::data(path, "source", format!("one of {list}, or a path that exists"), "neither", help));
    }
    if let Some(format) = table::format_of(path) {
        return table::open(path, format, config, seed, columns, progress);
    }
    if !known::is_idx_folder(path) && pictures::holds_pictures(path) {
        return pictures::open_path(path, &config.picture_settings(), config.division(seed), progress);
    }
    match known::open_idx(path)? {
        (train, Some(test)) => with_test(train, test, config, seed),
        (all, None) => split::split_single(Arc::new(all) as Arc<dyn Source>, config.test, config.validation, seed),
    }
}

/// What the recipe `faces` needs.
const FACES: &str = "the ORL faces are not downloaded: put their 40 folders of pictures into `faces/orl` here or in `$ELBO_DATA`, or give another folder of \
                     faces with `--data FOLDER --size 56x46`";

/// `path` itself where it exists, else below `$ELBO_DATA`, so that recipes name data without saying where they lie.
pub(super) fn located(path: &Path) -> PathBuf {
    let elsewhere = std::env::var_os("ELBO_DATA").map(|data| Path::new(&data).join(path));
    match elsewhere {
        Some(elsewhere) if !path.exists() && path.is_relative() && elsewhere.exists() => elsewhere,
        _ => path.to_owned(),
    }
}

fn limited(mut splits: Splits, limit: usize) -> Splits {
    if limit > 0 {
        splits.train = splits.train.take(limit);
    }
    splits
}

//! The `[data]` table of a recipe, and where the paths in it lead.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::binarize::Binarize;
use super::classes;
use super::pictures::{Division, Fit, OnBadImage, Settings, Size};
use super::split::Validation;
use super::table::{Decimal, Missing, Range};
use crate::error::{Error, Result};
use crate::reference::Fields;

/// The `[data]` table of a recipe.
///
/// ```
/// use elbo::data::{DataConfig, Validation};
///
/// let config: DataConfig = toml::from_str("source = 'mnist'\nvalidation = 'test'").unwrap();
/// assert_eq!((config.source.as_str(), config.validation), ("mnist", Validation::Test));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
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
    /// Use only so many training images, chosen at random by the seed, of each class its share; 0 for all.
    pub limit: usize,
    /// Height and width that pictures are brought to, `"112x92"` or `64`; unset, they must share one size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// How pictures of other proportions come to that size: `crop`, `pad` or `stretch`.
    pub fit: Fit,
    /// 1 for grey pictures, 3 for RGB; unset, 1 if all files are grey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// 16 keeps the levels of pictures of 12 and 16 bits, which are then numbers in [0, 1]; unset or 8, all pictures are bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u8>,
    /// What to do about a file that cannot be read as a picture: `fail` or `skip`.
    pub on_bad_image: OnBadImage,
    /// Whether decoded pictures are kept in the cache folder, so that the next start is instant.
    pub cache: bool,
    /// `none`, `dynamic` or `threshold`: how grey pixels become zeros and ones.
    pub binarize: Binarize,
    /// Which array of a `.npz` file is read; unset, the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array: Option<String>,
    /// What the numbers of an array mean; unset, their type and dimensions decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// The column of a table, or the array of a `.npz` file, that holds the classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The column, or array, that tells examples apart: no value of a row, but carried through every output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The columns of a table to use; empty for all but the label and the identifier.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Whether the first line of a CSV file names the columns; unset, it does unless it looks like a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What stands before the decimals in a CSV file, `"."` or `","`; unset, the file decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<Decimal>,
    /// What happens to rows of a table with a missing value: `fail` or `drop`.
    pub missing: Missing,
    /// Where a known set was found before: looked at first, since content decides what it is. No setting of a recipe.
    #[serde(skip)]
    pub location: Option<PathBuf>,
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
            depth: None,
            on_bad_image: OnBadImage::Fail,
            cache: true,
            binarize: Binarize::None,
            array: None,
            range: None,
            label: None,
            id: None,
            columns: Vec::new(),
            header: None,
            decimal: None,
            missing: Missing::Fail,
            location: None,
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
        let Self { size, fit, channels, depth, on_bad_image, cache, .. } = *self;
        Settings { size, fit, channels, depth, on_bad_image, fresh: !cache }
    }

    /// The folder in which a known set was found before, where there still is one.
    pub(super) fn known_folder(&self) -> Option<&Path> {
        self.location.as_deref().filter(|folder| folder.is_dir())
    }

    /// How a set without parts of its own is divided.
    pub(super) fn division(&self, seed: u64) -> Division {
        Division { test: self.test, validation: self.validation, seed }
    }
}

/// `path` itself where it exists, else below `$ELBO_DATA`, so that recipes name data without saying where they lie.
pub(crate) fn located(path: &Path) -> PathBuf {
    let elsewhere = std::env::var_os("ELBO_DATA").map(|data| Path::new(&data).join(path));
    match elsewhere {
        Some(elsewhere) if !path.exists() && path.is_relative() && elsewhere.exists() => elsewhere,
        _ => path.to_owned(),
    }
}

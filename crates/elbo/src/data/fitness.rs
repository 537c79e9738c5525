//! Which keys of `[data]` mean something for which data: one that would do nothing is refused, not passed over.

use std::path::Path;

use super::cifar10;
use super::codes;
use super::config::{DataConfig, located};
use super::known;
use super::pictures::{Fit, OnBadImage};
use super::table::{self, Decimal, Format, Missing};
use crate::error::{Error, Result};

/// What kind of data a source is, as far as keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digits,
    Sprites,
    /// IDX files of a known set, with a test part of their own.
    Published,
    /// CIFAR-10, in whichever form.
    Cifar10,
    Pictures,
    Rows(Format),
    /// Images of an array.
    Array(Format),
    Idx,
    Codes,
}

impl Kind {
    /// Of the configured source; none of what cannot be read, about which opening says what is wrong.
    fn of(config: &DataConfig) -> Option<Self> {
        let path = located(Path::new(&config.source));
        match config.source.as_str() {
            "digits" => Some(Self::Digits),
            "sprites" => Some(Self::Sprites),
            cifar10::NAME => Some(Self::Cifar10),
            name if known::known_names().any(|known| known == name) => Some(Self::Published),
            codes::SOURCE if !path.exists() => Some(Self::Codes),
            _ => match table::format_of(&path) {
                Some(format) if table::holds_rows(config) => Some(Self::Rows(format)),
                Some(Format::Parquet) => Some(Self::Pictures),
                Some(format @ (Format::Npy | Format::Npz)) => Some(Self::Array(format)),
                Some(Format::Csv) => None,
                None if known::is_idx_folder(&path) => Some(Self::Idx),
                None if super::pictures::holds_pictures(&path) => Some(Self::Pictures),
                None => None,
            },
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Digits => "the digits, which are drawn on the fly and bring a test part",
            Self::Sprites => "the sprites, which are always all there are (`data.limit` takes fewer)",
            Self::Published => "a published set of images of one size, with a test part of its own",
            Self::Cifar10 => "CIFAR-10",
            Self::Pictures => "picture files",
            Self::Rows(_) => "rows of a table",
            Self::Array(_) => "images of an array",
            Self::Idx => "IDX files",
            Self::Codes => "codes of a run",
        }
    }

    /// Whether a key of `[data]` changes anything.
    fn heeds(self, key: &str) -> bool {
        let is_array = |format| matches!(format, Format::Npy | Format::Npz);
        match key {
            "count" => self == Self::Digits,
            "test" => !matches!(self, Self::Digits | Self::Published),
            "size" | "fit" | "channels" | "on_bad_image" => matches!(self, Self::Pictures | Self::Cifar10),
            "array" => matches!(self, Self::Rows(Format::Npz) | Self::Array(Format::Npz)),
            "range" => match self {
                Self::Array(_) => true,
                Self::Rows(format) => is_array(format),
                _ => false,
            },
            // The hub's pictures have columns beside them; a .npy file has nothing beside its array.
            "label" => match self {
                Self::Rows(format) | Self::Array(format) => format != Format::Npy,
                kind => kind == Self::Pictures,
            },
            "id" => match self {
                Self::Rows(format) | Self::Array(format) => format != Format::Npy,
                _ => false,
            },
            "columns" | "missing" => matches!(self, Self::Rows(_)),
            "header" | "decimal" => self == Self::Rows(Format::Csv),
            // An array of another type than uint16 says so when it is read.
            "depth" => matches!(self, Self::Pictures | Self::Cifar10 | Self::Array(_)),
            _ => true,
        }
    }
}

/// The keys that only some data heed.
const KEYS: [&str; 15] = [
    "count",
    "test",
    "size",
    "fit",
    "channels",
    "depth",
    "on_bad_image",
    "array",
    "range",
    "label",
    "id",
    "columns",
    "header",
    "decimal",
    "missing",
];

/// What a key is set to, where that is not its default.
fn setting(config: &DataConfig, key: &str) -> Option<String> {
    let default = DataConfig::default();
    match key {
        "count" => (config.count != default.count).then(|| config.count.to_string()),
        "test" => (config.test != default.test).then(|| config.test.to_string()),
        "size" => config.size.map(|size| size.to_string()),
        "fit" => (config.fit != Fit::Crop).then(|| config.fit.word().to_owned()),
        "channels" => config.channels.map(|channels| channels.to_string()),
        "depth" => config.depth.filter(|depth| *depth != 8).map(|depth| depth.to_string()),
        "header" => config.header.map(|header| header.to_string()),
        "decimal" => config.decimal.map(|decimal| if decimal == Decimal::Comma { "," } else { "." }.to_owned()),
        "on_bad_image" => (config.on_bad_image == OnBadImage::Skip).then(|| "skip".to_owned()),
        "array" => config.array.clone(),
        "range" => config.range.map(|range| range.word().to_owned()),
        "label" => config.label.clone(),
        "id" => config.id.clone(),
        "columns" => (!config.columns.is_empty()).then(|| config.columns.join(", ")),
        "missing" => (config.missing == Missing::Drop).then(|| "drop".to_owned()),
        _ => None,
    }
}

impl DataConfig {
    /// Refuses keys that would do nothing for these data: a setting without effect is a wrong result in silence.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first such key.
    ///
    /// ```
    /// use elbo::data::DataConfig;
    ///
    /// let sprites = DataConfig { source: "sprites".into(), ..Default::default() };
    /// assert!(sprites.check_keys().is_ok());
    /// let counted = DataConfig { count: 8000, ..sprites };
    /// assert!(counted.check_keys().unwrap_err().to_string().contains("data.count"));
    /// ```
    pub fn check_keys(&self) -> Result<()> {
        let Some(kind) = Kind::of(self) else { return Ok(()) };
        let mut idle = KEYS.into_iter().filter(|key| !kind.heeds(key));
        match idle.find_map(|key| Some((key, setting(self, key)?))) {
            None => Ok(()),
            Some((key, found)) => {
                let expected = format!("nothing, since it does nothing for {}", kind.words());
                Err(Error::config(format!("data.{key}"), expected, format!("`{found}`"), "leave it away"))
            }
        }
    }

    /// The keys of `[data]` that do nothing for these data.
    pub(crate) fn idle_keys(&self) -> Vec<&'static str> {
        match Kind::of(self) {
            Some(kind) => KEYS.into_iter().filter(|key| !kind.heeds(key)).collect(),
            None => Vec::new(),
        }
    }
}

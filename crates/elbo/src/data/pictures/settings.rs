//! What all pictures of a set are brought to: the picture keys of `[data]`.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::MAX_SIDE;
use crate::error::{Error, Result};

/// Height and width in pixels. Written `112x92`, height first as everywhere here, or `64` for a square.
///
/// ```
/// use elbo::data::pictures::Size;
///
/// assert_eq!("112x92".parse::<Size>().unwrap(), Size { height: 112, width: 92 });
/// assert_eq!("64".parse::<Size>().unwrap().to_string(), "64x64");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size {
    /// Rows of pixels.
    pub height: u32,
    /// Columns of pixels.
    pub width: u32,
}

const SIZES: &str = "HEIGHTxWIDTH in pixels (112x92), or one number for a square (64), each from 1 to 8192";

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=MAX_SIDE).contains(side));
        let (height, width) = text.split_once(['x', 'X']).unwrap_or((text, text));
        match (side(height), side(width)) {
            (Some(height), Some(width)) => Ok(Self { height, width }),
            _ => Err(format!("expected {SIZES}")),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(SIZES)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_u64<E: de::Error>(self, side: u64) -> Result<Size, E> {
        side.to_string().parse().map_err(|_| E::invalid_value(de::Unexpected::Unsigned(side), &self))
    }

    fn visit_i64<E: de::Error>(self, side: i64) -> Result<Size, E> {
        side.to_string().parse().map_err(|_| E::invalid_value(de::Unexpected::Signed(side), &self))
    }
}

/// How a picture of another shape comes to the wanted size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fit {
    /// The largest part from the middle that has the wanted proportions, scaled.
    #[default]
    Crop,
    /// The whole picture, scaled, in the middle of black.
    Pad,
    /// The whole picture, scaled by different factors across and down.
    Stretch,
}

impl Fit {
    /// The word for it in `--fit` and recipes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Crop => "crop",
            Self::Pad => "pad",
            Self::Stretch => "stretch",
        }
    }

    /// What has been done to a picture.
    pub(super) fn done(self) -> &'static str {
        match self {
            Self::Crop => "cropped in the middle and scaled",
            Self::Pad => "scaled and padded with black",
            Self::Stretch => "stretched",
        }
    }
}

/// What to do about a file that cannot be read as a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnBadImage {
    /// Refuse the set, naming the file.
    #[default]
    Fail,
    /// Leave the file out, and say how many were.
    Skip,
}

/// What all pictures of a set are brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// The size; that of the pictures when `None`, if they share one.
    pub size: Option<Size>,
    /// How pictures come to that size.
    pub fit: Fit,
    /// 1 for grey, 3 for RGB; when `None`, 1 if all files are grey ones and 3 otherwise.
    pub channels: Option<u8>,
    /// Bits a value that pictures keep: 8, which `None` stands for, or 16.
    pub depth: Option<u8>,
    /// What to do about bad files.
    pub on_bad_image: OnBadImage,
    /// Decode anew, and keep the pixels in memory for this run alone.
    pub fresh: bool,
}

impl Settings {
    /// Whether values keep 16 bits.
    pub fn is_deep(&self) -> bool {
        self.depth == Some(16)
    }

    /// Checks the numbers of channels and bits.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        if let Some(other) = self.depth.filter(|depth| ![8, 16].contains(depth)) {
            let help = "8 takes pictures as bytes; 16 keeps all levels of 12 and 16-bit pictures, as numbers in [0, 1]";
            return Err(Error::config("data.depth", "8 or 16", other.to_string(), help));
        }
        match self.channels {
            None | Some(1 | 3) => Ok(()),
            Some(other) => {
                let help = "1 makes every picture grey, 3 makes it RGB";
                Err(Error::config("data.channels", "1 or 3", other.to_string(), help))
            }
        }
    }
}

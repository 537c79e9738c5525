//! Encoded pictures (PNG, JPEG, ...) from a folder, an archive or a table, on their way to one shape.

use std::path::Path;
use std::sync::Arc;

use super::progress::Progress;
use super::split::{Splits, Validation};
use crate::error::{Error, Result};

mod settings;

pub use settings::{Fit, OnBadImage, Settings, Size};

/// Longest side of a picture that is decoded, and of one that is made, in pixels.
pub const MAX_SIDE: u32 = 8192;
/// Most bytes one picture may take when decoded.
pub const MAX_DECODED_BYTES: u64 = 256 << 20;
/// Most bytes one encoded picture may have.
pub const MAX_ENCODED_BYTES: u64 = 256 << 20;

/// One encoded picture of a [`Collection`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path inside the collection, with `/` between parts: what messages name, and what the order goes by.
    pub name: String,
    /// Name of its class, where there is one.
    pub label: Option<String>,
    /// Its part, where the collection says: `train`, `validation` or `test`.
    pub part: Option<String>,
}

/// Where encoded pictures come from: a folder, an archive, a Parquet file.
pub trait Collection: Send + Sync {
    /// Short name for logs and reports: the folder's or file's, without its ending.
    fn name(&self) -> &str;

    /// The folder or file: what messages name first.
    fn path(&self) -> &Path;

    /// The pictures, in the order of their index.
    fn entries(&self) -> &[Entry];

    /// The encoded bytes of picture `index`, at most [`MAX_ENCODED_BYTES`] of them.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Io`] naming the picture.
    fn bytes(&self, index: usize) -> Result<Vec<u8>>;

    /// A hash that is quick to make and changes whenever any picture may have: over names, labels, sizes and times of change. Decoded pixels are
    /// kept for as long as it stays the same.
    fn stamp(&self) -> &str;

    /// The class names in the order of their numbers, where the collection knows it; else they are sorted by name.
    fn label_names(&self) -> Option<&[String]> {
        None
    }

    /// What was noticed while the pictures were looked for, for notes to the user.
    fn notes(&self) -> &[String] {
        &[]
    }
}

/// How a set of pictures is divided, where it brings no parts of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Division {
    /// Share of the pictures held out for the test.
    pub test: f64,
    /// Validation pictures.
    pub validation: Validation,
    /// Which ones.
    pub seed: u64,
}

/// Decodes a collection, or finds it decoded in the cache, and divides it by its own parts or by `division`.
///
/// # Errors
/// [`Error::Data`] naming the picture that cannot be used and the setting that helps, [`Error::Config`] when the parts cannot be made.
pub fn open(
    _collection: Arc<dyn Collection>,
    _settings: &Settings,
    _division: Division,
    _progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    Err(Error::config("data", "", "", ""))
}

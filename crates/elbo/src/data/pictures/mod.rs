//! Encoded pictures (PNG, JPEG, ...) from a folder, an archive or a table, on their way to one shape.
//!
//! A [`Collection`] gives names, classes and encoded bytes; [`open`] decodes them once, in parallel, into a cache file that is mapped into
//! memory from then on. So a set may be larger than memory, and a second start takes no time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache_folder::home;
use super::progress::Progress;
use super::source::ImageShape;
use super::split::{Splits, Validation};
use crate::error::{Error, Result};

mod archive;
mod arrangement;
mod build;
mod cache;
mod decode;
mod file;
mod folder;
mod left_out;
mod settings;
mod source;
mod summary;
mod tar;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod zip;

pub(super) use archive::open_tars;
pub use archive::{holds_pictures, open_path};
pub use folder::{Folder, MAX_DEPTH};

pub use settings::{Fit, OnBadImage, Settings, Size};
pub(super) use tar::read_members;

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

/// What is known of a collection before it is looked into: enough to find it in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Short name for logs and reports: the folder's or file's, without its ending.
    pub name: String,
    /// The folder or file: what messages name first.
    pub path: PathBuf,
    /// A hash that is quick to make and changes whenever any picture may have: over names, labels, sizes and times of change. Decoded pixels are
    /// kept for as long as it stays the same.
    pub stamp: String,
}

/// What a collection holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What it is.
    pub origin: Origin,
    /// The pictures, in the order of their index.
    pub entries: Vec<Entry>,
}

/// Where encoded pictures come from: a folder, an archive, a Parquet file.
pub trait Collection: Send + Sync {
    /// What it is and which pictures it holds.
    fn listing(&self) -> &Listing;

    /// The encoded bytes of picture `index`, at most [`MAX_ENCODED_BYTES`] of them.
    ///
    /// # Errors
    /// [`Error::Data`] or [`Error::Io`] naming the picture.
    fn bytes(&self, index: usize) -> Result<Vec<u8>>;

    /// The class names in the order of their numbers, where the collection knows it; else they are sorted by name.
    fn label_names(&self) -> Option<&[String]> {
        None
    }

    /// Bytes that the collection takes on disk: what its decoded pixels are held against.
    fn stored_bytes(&self) -> u64;

    /// What is likely to spoil a result, for warnings before anything else happens.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// What was noticed while the pictures were looked for, for notes to the user.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// The folder or file it is.
    fn path(&self) -> &Path {
        &self.listing().origin.path
    }

    /// The pictures, in the order of their index.
    fn entries(&self) -> &[Entry] {
        &self.listing().entries
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
/// Decoded pixels are kept in `$ELBO_HOME/pictures`, or `elbo/pictures` in the user's cache folder. Where that cannot be written, or is full,
/// sets of up to 2 GiB are kept in memory instead, and `progress` is told so; likewise where the settings ask for [`Settings::fresh`].
///
/// # Errors
/// [`Error::Data`] naming the picture that cannot be used and the setting that helps, [`Error::Config`]
/// when the parts cannot be made.
pub fn open(
    collection: Arc<dyn Collection>,
    settings: &Settings,
    division: Division,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    let mut collect = || Ok(Arc::clone(&collection));
    let origin = &collection.listing().origin;
    source::Pictures::open(origin, &mut collect, settings, cache_folder(settings).as_deref(), progress)?.split(division)
}

/// One encoded picture as a set of pictures of this `shape` has it: the same decoder, the same `fit`.
///
/// # Shapes
/// - returns: `[channels, height, width]`, a byte each
///
/// # Errors
/// [`Error::Data`] if it is no picture that can be used, or the shape is none of grey or RGB pictures.
///
/// ```
/// use elbo::data::ImageShape;
/// use elbo::data::pictures::{Fit, decode_one};
///
/// let pgm = b"P5 2 1 255\n\x00\xff"; // a black and a white pixel
/// assert_eq!(decode_one(pgm, ImageShape::grey(1, 2), Fit::Crop)?, [0, 255]);
/// assert!(decode_one(b"no picture", ImageShape::grey(1, 2), Fit::Crop).is_err());
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn decode_one(bytes: &[u8], shape: ImageShape, fit: Fit) -> Result<Vec<u8>> {
    let failed = |fault: decode::Fault| Error::data("picture", "content", fault.expected, fault.found, fault.help);
    let side = |pixels: usize| u32::try_from(pixels).ok().filter(|side| (1..=MAX_SIDE).contains(side));
    let (Some(height), Some(width), 1 | 3) = (side(shape.height), side(shape.width), shape.channels) else {
        let help = "pictures have one or three channels";
        return Err(Error::data("picture", "shape", "that of grey or RGB pictures", shape.to_string(), help));
    };
    let plan = decode::Plan { size: Size { height, width }, fit, channels: shape.channels, deep: false };
    let mut pixels = vec![0; plan.numel()];
    decode::Decoder::new().decode((bytes, ""), &plan, |_| true, &mut pixels).map_err(failed)?;
    Ok(pixels)
}

/// The kind of a picture, film or drawing that is known but not read, by its first bytes.
pub(super) fn picture_kind(start: &[u8]) -> Option<&'static str> {
    decode::named(start)
}

/// Where decoded pictures are kept, if they are.
fn cache_folder(settings: &Settings) -> Option<PathBuf> {
    if settings.fresh { None } else { home().map(|home| home.join("pictures")) }
}

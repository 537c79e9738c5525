//! What a path is: a folder of pictures, an archive of one, a picture, or something else.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::arrangement::escaped;
use super::decode;
use super::file::{Times, raw_bytes};
use super::folder::Folder;
use super::source::Pictures;
use super::tar::{Tar, looks_like_tar};
use super::zip::Zip;
use super::{Collection, Division, Origin, Settings, cache_folder};
use crate::data::idx::hex;
use crate::data::progress::Progress;
use crate::data::split::Splits;
use crate::data::unpack;
use crate::error::{Error, Result};

/// The kinds of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tar,
    Zip,
}

/// Whether `path` is a folder, an archive or a picture; by its content, never its name, but for TGA, which has no mark.
pub fn holds_pictures(path: &Path) -> bool {
    path.is_dir() || (path.is_file() && (kind(path).is_some() || is_picture_file(path)))
}

fn kind(path: &Path) -> Option<Kind> {
    let start = unpack::start_of(path, 512);
    // Also of an archive without members.
    let zip = start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06");
    match unpack::packing_of(path).ok()? {
        None if zip => Some(Kind::Zip),
        _ => looks_like_tar(&start).then_some(Kind::Tar),
    }
}

fn is_picture_file(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut start));
    read.is_ok() && decode::is_picture(&start, &path.to_string_lossy())
}

/// Opens the pictures in a folder, or in a zip or tar archive of one (plain or packed); a single picture is a set of one.
///
/// Classes are the first folders; `train` beside `test` or `validation` are the parts. An archive that has been decoded before is not even
/// looked into.
///
/// # Errors
/// As [`open`](super::open), and [`Error::Data`] if there are no pictures.
pub fn open_path(
    path: &Path,
    settings: &Settings,
    division: Division,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    if path.is_dir() {
        return super::open(Arc::new(Folder::scan(path)?), settings, division, progress);
    }
    let Some(kind) = kind(path) else {
        // A picture is a set of one.
        return super::open(Arc::new(Folder::single(path)?), settings, division, progress);
    };
    let cache = cache_folder(settings);
    let archives = [path.to_owned()];
    let origin = Origin { name: stem(path), path: path.to_owned(), stamp: stamp(&archives)? };
    let mut collect = || -> Result<Arc<dyn Collection>> {
        Ok(match kind {
            Kind::Zip => Arc::new(Zip::open(origin.clone())?),
            Kind::Tar => Arc::new(Tar::open(origin.clone(), &archives, cache.as_deref())?),
        })
    };
    Pictures::open(&origin, &mut collect, settings, cache.as_deref(), progress)?.split(division)
}

/// Opens several tar archives as one collection that is called `name` and found in `folder`.
///
/// # Errors
/// As [`open_path`].
pub(in crate::data) fn open_tars(
    name: &str,
    folder: &Path,
    archives: &[PathBuf],
    settings: &Settings,
    division: Division,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    let cache = cache_folder(settings);
    let origin = Origin { name: name.to_owned(), path: folder.to_owned(), stamp: stamp(archives)? };
    let mut collect =
        || -> Result<Arc<dyn Collection>> { Ok(Arc::new(Tar::open(origin.clone(), archives, cache.as_deref())?)) };
    Pictures::open(&origin, &mut collect, settings, cache.as_deref(), progress)?.split(division)
}

/// An archive's name without its endings.
fn stem(path: &Path) -> String {
    let name = path.file_name().map_or_else(|| "pictures".to_owned(), |name| escaped(&raw_bytes(name)));
    let endings = [".gz", ".xz", ".bz2", ".zst"].map(|ending| format!(".tar{ending}")).into_iter();
    let endings = endings.chain([".tgz", ".txz", ".tbz2", ".tar", ".zip"].map(str::to_owned));
    let stem = endings.map(|ending| name.strip_suffix(&ending)).find(Option::is_some).flatten();
    let stem = stem.filter(|stem| !stem.is_empty());
    stem.map_or(name.clone(), str::to_owned)
}

/// Changes when an archive does.
fn stamp(archives: &[PathBuf]) -> Result<String> {
    let mut hash = Sha256::new();
    for archive in archives {
        let metadata = fs::metadata(archive).map_err(Error::io(archive, "read"))?;
        Times::of(&metadata).hash_into(&mut hash, archive.as_os_str().as_encoded_bytes());
    }
    Ok(hex(&hash.finalize()))
}

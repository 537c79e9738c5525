//! What a path is: a folder of pictures, an archive of one, or something else.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::arrangement::escaped;
use super::file::{Times, raw_bytes};
use super::folder::Folder;
use super::source::Pictures;
use super::tar::{Tar, looks_like_tar};
use super::zip::Zip;
use super::{Collection, Division, Origin, Settings, cache_folder};
use crate::data::idx::hex;
use crate::data::progress::Progress;
use crate::data::split::Splits;
use crate::error::{Error, Result};

/// The kinds of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tar,
    Zip,
}

/// Whether `path` is a folder or an archive; by its content, never its name.
pub fn holds_pictures(path: &Path) -> bool {
    path.is_dir() || (path.is_file() && kind(path).is_some())
}

fn kind(path: &Path) -> Option<Kind> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(512).read_to_end(&mut start).ok()?;
    // Also of an archive without members.
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Some(Kind::Zip);
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        start.clear();
        let unpacked = MultiGzDecoder::new(BufReader::new(File::open(path).ok()?));
        unpacked.take(512).read_to_end(&mut start).ok()?;
    }
    looks_like_tar(&start).then_some(Kind::Tar)
}

/// Opens the pictures in a folder, or in a tar (plain or gzip) or zip archive of one.
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
        let (expected, help) = ("a folder, or a tar or zip archive of one", "give the folder the pictures are in");
        let found = if image::guess_format(&start_of(path)).is_ok() { "a single picture" } else { "another file" };
        return Err(Error::data(path, "source", expected, found, help));
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

fn start_of(path: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    // What cannot be read is no picture.
    let _ = File::open(path).map(|file| file.take(64).read_to_end(&mut start));
    start
}

/// An archive's name without its endings.
fn stem(path: &Path) -> String {
    let name = path.file_name().map_or_else(|| "pictures".to_owned(), |name| escaped(&raw_bytes(name)));
    let endings = [".tar.gz", ".tgz", ".tar", ".zip"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).filter(|stem| !stem.is_empty());
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

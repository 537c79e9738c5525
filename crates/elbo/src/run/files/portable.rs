//! Folders by their paths, for systems whose folders cannot be held open: each name is asked what it is before it is used.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::{Found, Kind};

/// A folder that was there when it was entered.
pub type Dir = PathBuf;

/// A folder by its path, as the user gave it.
pub fn root(path: &Path) -> io::Result<Dir> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    match fs::metadata(path)?.is_dir() {
        true => Ok(path.to_owned()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    }
}

pub fn enter(dir: &Dir, name: &OsStr) -> io::Result<Dir> {
    match find(dir, name)?.kind {
        Kind::Folder => Ok(dir.join(name)),
        _ => Err(io::ErrorKind::NotADirectory.into()),
    }
}

pub fn open(dir: &Dir, name: &OsStr) -> io::Result<File> {
    only_files(find(dir, name)?)?;
    File::open(dir.join(name))
}

pub fn open_or_create(dir: &Dir, name: &OsStr) -> io::Result<File> {
    match find(dir, name) {
        Ok(found) => only_files(found)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join(name))
}

pub fn create_new(dir: &Dir, name: &OsStr) -> io::Result<File> {
    File::create_new(dir.join(name))
}

pub fn create_dir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    fs::create_dir(dir.join(name))
}

pub fn rename(from_dir: &Dir, from: &OsStr, to_dir: &Dir, to: &OsStr) -> io::Result<()> {
    fs::rename(from_dir.join(from), to_dir.join(to))
}

pub fn remove_file(dir: &Dir, name: &OsStr) -> io::Result<()> {
    fs::remove_file(dir.join(name))
}

pub fn remove_dir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    fs::remove_dir(dir.join(name))
}

pub fn find(dir: &Dir, name: &OsStr) -> io::Result<Found> {
    found(&fs::symlink_metadata(dir.join(name))?)
}

pub fn find_itself(dir: &Dir) -> io::Result<Found> {
    found(&fs::metadata(dir)?)
}

pub fn names(dir: &Dir) -> io::Result<Vec<OsString>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// The system's journal keeps a rename, and a folder cannot be opened.
pub fn sync(_: &Dir) -> io::Result<()> {
    Ok(())
}

fn only_files(found: Found) -> io::Result<()> {
    match found.kind {
        Kind::File => Ok(()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn found(metadata: &fs::Metadata) -> io::Result<Found> {
    let kind = match metadata.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Folder,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::Other,
    };
    // Names cannot be counted here.
    Ok(Found { kind, len: metadata.len(), modified: metadata.modified().ok(), names: 1 })
}

//! Folders by their handles: a name is looked up in an open folder, and never followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};

use super::{Found, Kind};

/// An open folder.
pub type Dir = OwnedFd;

/// Nothing waits for the other end of a pipe, no child inherits a handle, no link is followed.
const SAFELY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);
/// A folder, to look names up in.
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);
/// Of new files and folders; the user's mask takes from it.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o777);

/// Opens a folder by its path, as the user gave it.
pub fn root(path: &Path) -> io::Result<Dir> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    Ok(fs::open(path, FOLDER, Mode::empty())?)
}

pub fn enter(dir: &Dir, name: &OsStr) -> io::Result<Dir> {
    Ok(fs::openat(dir, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?)
}

pub fn open(dir: &Dir, name: &OsStr) -> io::Result<File> {
    Ok(File::from(fs::openat(dir, name, SAFELY | OFlags::RDONLY, Mode::empty())?))
}

pub fn open_or_create(dir: &Dir, name: &OsStr) -> io::Result<File> {
    Ok(File::from(fs::openat(dir, name, SAFELY | OFlags::RDWR | OFlags::CREATE, FILE_MODE)?))
}

pub fn create_new(dir: &Dir, name: &OsStr) -> io::Result<File> {
    let flags = SAFELY | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    Ok(File::from(fs::openat(dir, name, flags, FILE_MODE)?))
}

pub fn create_dir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    Ok(fs::mkdirat(dir, name, FOLDER_MODE)?)
}

pub fn rename(from_dir: &Dir, from: &OsStr, to_dir: &Dir, to: &OsStr) -> io::Result<()> {
    Ok(fs::renameat(from_dir, from, to_dir, to)?)
}

pub fn remove_file(dir: &Dir, name: &OsStr) -> io::Result<()> {
    Ok(fs::unlinkat(dir, name, AtFlags::empty())?)
}

pub fn remove_dir(dir: &Dir, name: &OsStr) -> io::Result<()> {
    Ok(fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?)
}

pub fn find(dir: &Dir, name: &OsStr) -> io::Result<Found> {
    Ok(found(&fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

pub fn find_itself(dir: &Dir) -> io::Result<Found> {
    Ok(found(&fs::fstat(dir)?))
}

pub fn names(dir: &Dir) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

pub fn sync(dir: &Dir) -> io::Result<()> {
    Ok(fs::fsync(dir)?)
}

fn found(stat: &Stat) -> Found {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    };
    let since = u64::try_from(stat.st_mtime).ok().map(|seconds| Duration::new(seconds, stat.st_mtime_nsec as u32));
    let modified = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
    Found { kind, len: u64::try_from(stat.st_size).unwrap_or(0), modified, names: stat.st_nlink as u64 }
}

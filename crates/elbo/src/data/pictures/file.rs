//! What the systems differ in: raw names, identities and times of files, reading at a place.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

/// The bytes of a name: those of the system on Unix, UTF-8 as far as possible elsewhere.
pub(super) fn raw_bytes(name: &OsStr) -> Vec<u8> {
    name.as_encoded_bytes().to_vec()
}

/// The name that [`raw_bytes`] gave.
pub(super) fn name_of(raw: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(OsStr::from_bytes(raw))
    }
    #[cfg(not(unix))]
    PathBuf::from(String::from_utf8_lossy(raw).into_owned())
}

/// What tells two names of one file from two files.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    #[cfg(unix)]
    Inode(u64, u64),
    #[cfg(not(unix))]
    Path(PathBuf),
}

impl Identity {
    #[cfg(unix)]
    pub fn of(_: &Path, metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self::Inode(metadata.dev(), metadata.ino())
    }

    #[cfg(not(unix))]
    pub fn of(path: &Path, _: &Metadata) -> Self {
        Self::Path(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
    }
}

/// Length and times of a file: what changes when its content does. The time of the last change of status, where there is
/// one, cannot be set back by tools that restore the time of modification.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    len: u64,
    /// Nanoseconds since 1970, as far as they go into 64 bits; only whether they change matters.
    modified: i64,
    changed: i64,
}

impl Times {
    pub fn of(metadata: &Metadata) -> Self {
        let since = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).map_or(-1, |d| d.as_nanos() as i64);
        let modified = metadata.modified().map_or(0, since);
        #[cfg(unix)]
        let changed = {
            use std::os::unix::fs::MetadataExt;
            metadata.ctime().wrapping_mul(1_000_000_000).wrapping_add(metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let changed = 0;
        Self { len: metadata.len(), modified, changed }
    }

    /// Length of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn hash_into(&self, hash: &mut Sha256, name: &[u8]) {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update(self.len.to_le_bytes());
        hash.update(self.modified.to_le_bytes());
        hash.update(self.changed.to_le_bytes());
    }
}

/// A file that many threads read at places of their own.
#[derive(Debug, Clone)]
pub(super) struct SharedFile {
    file: Arc<File>,
    len: u64,
    position: u64,
}

impl SharedFile {
    pub fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), len, position: 0 })
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// The same file, to be read from `position` on.
    pub fn at(&self, position: u64) -> Self {
        Self { file: Arc::clone(&self.file), len: self.len, position }
    }

    /// Fills `bytes` from `offset`; an end of file before that is an error.
    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.at(offset).read_exact(bytes)
    }
}

impl Read for SharedFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&*self.file, bytes, self.position)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&*self.file, bytes, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

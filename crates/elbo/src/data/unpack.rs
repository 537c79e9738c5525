//! Files packed as a whole: gzip, xz, bzip2 and Zstandard, known by their first bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::bounds::Bounded;
use crate::error::{Error, Result};

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Xz,
    Bzip2,
    Zstd,
}

impl Packing {
    /// Of a file that begins with `start`; none if it is not packed.
    pub fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..] => Some(Self::Bzip2),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Zstd => "Zstandard",
        }
    }

    /// The ending of such files.
    pub const ENDINGS: [&str; 4] = ["gz", "xz", "bz2", "zst"];
}

/// The content of a file, unpacked on the way, and no more of it than is [`allowed`](super::bounds::allowed).
///
/// # Errors
/// [`Error::Io`] if it cannot be opened; damage comes as an [`std::io::Error`] of reading.
pub(super) fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<Packing>)> {
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    let stored = file.metadata().map_err(Error::io(path, "read"))?.len();
    let packing = packing_of(path)?;
    let raw = BufReader::with_capacity(1 << 16, file);
    let content: Box<dyn Read + Send> = match packing {
        None => return Ok((Box::new(raw), None)),
        Some(Packing::Gzip) => Box::new(MultiGzDecoder::new(raw)),
        // The dictionary of `xz -9` takes 64 MiB.
        Some(Packing::Xz) => Box::new(XzReader::new_mem_limit(raw, true, 256 << 10)),
        Some(Packing::Bzip2) => Box::new(MultiBzDecoder::new(raw)),
        Some(Packing::Zstd) => Box::new(zstd::Decoder::with_buffer(raw).map_err(Error::io(path, "unpack"))?),
    };
    Ok((Box::new(Bounded::new(content, stored)), packing))
}

/// How a file is packed, by its first bytes.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn packing_of(path: &Path) -> Result<Option<Packing>> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    file.take(8).read_to_end(&mut start).map_err(Error::io(path, "read"))?;
    Ok(Packing::of(&start))
}

/// At most `most` first bytes of the content of a file, unpacked; fewer where it is damaged.
pub(super) fn start_of(path: &Path, most: usize) -> Vec<u8> {
    let mut start = Vec::new();
    if let Ok((content, _)) = open(path) {
        // What cannot be read says so when it is.
        let _ = content.take(most as u64).read_to_end(&mut start);
    }
    start
}

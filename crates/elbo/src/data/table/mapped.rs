//! Numbers that lie in memory or in a mapped file.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// Numbers of one type, in memory or in a file.
pub(in crate::data) enum Numbers<T> {
    Owned(Vec<T>),
    /// The file from byte `start` on; length and alignment were checked when it was made.
    Mapped {
        map: Mmap,
        start: usize,
    },
}

impl<T: bytemuck::AnyBitPattern> Numbers<T> {
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::Owned(values) => values,
            Self::Mapped { map, start } => bytemuck::cast_slice(&map[*start..]),
        }
    }

    /// Followed by others, in memory.
    pub fn with(self, more: &Self) -> Self {
        let mut all = match self {
            Self::Owned(values) => values,
            mapped => mapped.as_slice().to_vec(),
        };
        all.extend_from_slice(more.as_slice());
        Self::Owned(all)
    }

    /// The rest of a mapped file from `start` on, or nothing when it is not aligned for `T`.
    pub fn mapped(map: Mmap, start: usize) -> Option<Self> {
        bytemuck::try_cast_slice::<u8, T>(map.get(start..)?).ok()?;
        Some(Self::Mapped { map, start })
    }
}

/// Maps a file for reading.
///
/// # Errors
/// [`Error::Io`].
pub(in crate::data) fn map(path: &Path, file: &File) -> Result<Mmap> {
    elbo_kernels::map_file(file).map_err(Error::io(path, "map"))
}

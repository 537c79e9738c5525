//! Files as memory, for data larger than memory: a read-only map that the system fills page by page.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// Maps a whole file for reading.
///
/// The file must not be shortened or rewritten in place while it is mapped: another program that does so changes values between two
/// reads, or ends this process with a bus error. Nothing in elbo writes to a file that it maps; a new version takes its place by a
/// rename, which leaves the mapped one alone.
///
/// # Errors
/// The system's, for a file that is empty or cannot be mapped.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("x");
/// std::fs::write(&path, b"levels").unwrap();
/// let map = elbo_kernels::map_file(&std::fs::File::open(&path)?)?;
/// assert_eq!(&map[..], b"levels");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn map_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this process, and its bytes are only ever read as plain numbers, for which every bit
    // pattern is valid. What other programs may not do to the file meanwhile stands above, as for every mapped file.
    unsafe { Mmap::map(file) }
}

//! What a file may become when it is unpacked: a kilobyte that promises gigabytes is refused before they are taken.
//!
//! Honest data shrink 2 to 30 times. Deflate reaches 1,032 times on nothing but zeros, twice packed files a million
//! times. So content may be [`RATIO`] times as large as the file, and [`FLOOR`] bytes in any case. A file that is not
//! packed is never refused: it may be as large as it is.

use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// Most bytes in memory for one byte of a file.
pub(super) const RATIO: u64 = 100;
/// What every file may take: 512 MiB.
pub(super) const FLOOR: u64 = 512 << 20;

/// Most bytes that content of a file of `stored` bytes may take in memory.
pub(super) fn allowed(stored: u64) -> u64 {
    stored.saturating_mul(RATIO).max(FLOOR)
}

/// Refuses content that would take `needed` bytes in memory, of a file of `stored` bytes.
///
/// # Errors
/// [`Error::Data`] that names both and the limit.
pub(super) fn check(path: &Path, place: &str, needed: u64, stored: u64) -> Result<()> {
    match needed <= allowed(stored) {
        true => Ok(()),
        false => Err(refusal(path, place, &format!("{} in memory", size(needed)), stored)),
    }
}

fn refusal(path: &Path, place: &str, found: &str, stored: u64) -> Error {
    let expected = format!(
        "at most {} when unpacked, {RATIO} times the file's {} or {}",
        size(allowed(stored)),
        size(stored),
        size(FLOOR)
    );
    let help =
        "such a ratio is that of a file made to fill memory; if it is honest, unpack it first and give that file";
    Error::data(path, place, expected, found, help)
}

/// Bytes in words: `2.5 GB`.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// Reads no more than is [`allowed`].
pub(super) struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Bounded<R> {
    /// Of a file of `stored` bytes.
    pub fn new(reader: R, stored: u64) -> Self {
        Self { reader, left: allowed(stored) }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(bytes)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TooMuch))?;
        Ok(read)
    }
}

#[derive(Debug)]
struct TooMuch;

impl std::fmt::Display for TooMuch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("more content than a file of its size may have")
    }
}

impl std::error::Error for TooMuch {}

/// The refusal, if `error` came from [`Bounded`].
pub(super) fn exceeded(path: &Path, error: &io::Error, stored: u64) -> Option<Error> {
    let ours = error.get_ref().is_some_and(|inner| inner.is::<TooMuch>());
    ours.then(|| refusal(path, "content", &format!("more than {}", size(allowed(stored))), stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_may_grow_and_large_ones_in_proportion() {
        assert_eq!((allowed(0), allowed(FLOOR)), (FLOOR, FLOOR * RATIO));
        assert!(check(Path::new("a"), "x", FLOOR, 3).is_ok() && check(Path::new("a"), "x", u64::MAX, u64::MAX).is_ok());
        let error = check(Path::new("a.gz"), "header", 2_500_000_000, 2_400_000).unwrap_err();
        assert!(error.to_string().contains("2.5 GB") && error.to_string().contains("536.9 MB"), "{error}");
    }

    #[test]
    fn a_stream_ends_with_the_refusal() {
        let mut endless = Bounded { reader: io::repeat(0), left: 100_000 };
        let error = io::copy(&mut endless, &mut io::sink()).unwrap_err();
        assert!(exceeded(Path::new("a"), &error, 1).is_some());
        assert!(exceeded(Path::new("a"), &io::Error::other("disk"), 1).is_none());
    }
}

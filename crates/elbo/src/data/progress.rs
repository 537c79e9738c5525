//! What opening a data set tells its caller while it takes time.

use std::path::Path;

/// A message from [`open`](super::open) to whoever shows progress: the library itself prints nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress<'a> {
    /// A file is being fetched.
    Download {
        /// Where the file will lie.
        target: &'a Path,
        /// Bytes that are there.
        done: u64,
        /// Bytes there will be, where the server says so.
        total: Option<u64>,
    },
    /// Pictures are being decoded.
    Decode {
        /// Pictures that are done.
        done: usize,
        /// Pictures there are.
        total: usize,
    },
    /// Something was chosen or left out on the user's behalf, in one sentence.
    Note(&'a str),
}

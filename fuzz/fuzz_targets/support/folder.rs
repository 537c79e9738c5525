//! A folder for the files of a target.

use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

/// A folder of this process; in memory where the system has such.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let made = || tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    FOLDER.get_or_init(made).path()
}

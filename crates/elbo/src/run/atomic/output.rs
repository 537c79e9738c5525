//! Files that the user names, in the place the user means: links are followed, devices written to.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{folder_of, root_of, write_file_in};
use crate::error::{Error, Result};
use crate::run::files::Files;

/// Replaces the file at `path` by `bytes`: a reader sees the old content or the new, never a part.
///
/// A link is followed and stays. What is no file, such as `/dev/stdout`, is written to as it is. A process killed in
/// between leaves a file `NAME.writing-PID-N`, which nothing reads.
///
/// # Errors
/// [`Error::Io`]; what was at `path` is untouched, unless all that failed was to store the rename for good, and nothing
/// else is left behind.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("notes.txt");
/// elbo::run::atomic::write_file(&path, b"old")?;
/// elbo::run::atomic::write_file(&path, b"new")?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"new");
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn write_file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let mut device = File::options().write(true).open(path).map_err(Error::io(path, "open"))?;
        return device.write_all(bytes).map_err(Error::io(path, "write"));
    }
    let path = followed(path);
    write_file_in(&Files::new(root_of(&path)), &path, bytes)
}

/// Where a link leads, be it to nothing yet; any other path as it is.
fn followed(path: &Path) -> PathBuf {
    let target = || fs::read_link(path).map(|target| folder_of(path).join(target));
    fs::canonicalize(path).or_else(|_| target()).unwrap_or_else(|_| path.to_owned())
}

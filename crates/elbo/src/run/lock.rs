//! One trainer per run directory.
//!
//! Two trainers in one directory would take turns overwriting each other's checkpoints and mix their lines in one
//! table. [`RunLock::acquire`] therefore locks the file `run.lock` in it and writes the process id there. The lock is
//! the operating system's own and belongs to the open file, so it ends with the process, by whatever means: after
//! `kill -9` or a power cut there is nothing to clean up. The number in the file is only for the message.
//!
//! Released or not, the file stays. Whoever deleted it could take it from under a process that has just opened it, and
//! then two would hold a lock, each on a file of its own.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;

use super::files::Files;
use crate::error::{Error, Result};

/// Name of the lock file in a run directory.
pub const LOCK_FILE: &str = "run.lock";

/// The right to write in a run directory, held as long as this lives.
///
/// ```
/// use elbo::run::lock::RunLock;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let lock = RunLock::acquire(folder.path())?;
/// println!("{}", RunLock::acquire(folder.path()).unwrap_err()); // names this process
/// drop(lock);
/// assert!(RunLock::acquire(folder.path()).is_ok());
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug)]
pub struct RunLock {
    file: File,
    taken_over: Option<u32>,
}

impl RunLock {
    /// Locks `run_dir`, which must exist, or says who has it.
    ///
    /// # Errors
    /// [`Error::Model`] naming the other process if the directory is locked, or something other than a plain file is in the
    /// place of the lock file; [`Error::Io`] if that cannot be opened or the file system has no locks.
    pub fn acquire(run_dir: impl AsRef<Path>) -> Result<Self> {
        let run_dir = run_dir.as_ref();
        Self::acquire_in(&Files::new(Files::root_of_run(run_dir)), run_dir)
    }

    /// [`RunLock::acquire`] below the root of some files.
    pub(super) fn acquire_in(files: &Files, run_dir: &Path) -> Result<Self> {
        let path = run_dir.join(LOCK_FILE);
        let mut file = files.open_or_create(&path).map_err(Error::io(&path, "open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(path, &mut file)),
            Err(TryLockError::Error(error)) => return Err(Error::io(path, "lock")(error)),
        }
        let taken_over = pid_in(&mut file);
        replace_content(&mut file, &format!("{}\n", process::id())).map_err(Error::io(&path, "write"))?;
        Ok(Self { file, taken_over })
    }

    /// The process that held the lock before and died without releasing it, if that was so.
    pub fn taken_over(&self) -> Option<u32> {
        self.taken_over
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // An empty file tells the next one that nothing was cut short. Should this fail, it is told otherwise, which
        // does no harm; the lock itself goes with the file.
        let _ = replace_content(&mut self.file, "");
    }
}

/// The process that holds the lock of a run now: the number in a lock file that is locked.
///
/// # Errors
/// If something other than a plain file is in the place of the lock file, or it cannot be read.
pub(super) fn holder(files: &Files, run_dir: &Path) -> io::Result<Option<u32>> {
    let path = run_dir.join(LOCK_FILE);
    if files.find(&path)?.is_none() {
        return Ok(None);
    }
    let mut file = files.open(&path)?;
    let is_held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    Ok(pid_in(&mut file).filter(|_| is_held))
}

fn held(path: PathBuf, file: &mut File) -> Error {
    let (found, stop) = match pid_in(file) {
        Some(pid) => (format!("process {pid} at work"), format!("stop it (`kill {pid}` lets it save first)")),
        None => ("another process at work".to_owned(), "stop it".to_owned()),
    };
    let help = format!("wait until it has finished, {stop}, or write to another directory with `--out`");
    Error::model(path, "lock", "no other trainer in this run directory", found, help)
}

/// The process id in the file, which may hold anything.
fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn replace_content(file: &mut File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    #[test]
    fn the_second_is_refused_until_the_first_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let lock = RunLock::acquire(folder.path()).unwrap();
        let error = RunLock::acquire(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        let expected = format!("found process {} at work", process::id());
        assert!(error.to_string().contains("run.lock: lock: ") && error.to_string().ends_with(&expected), "{error}");
        assert!(error.help().contains(&format!("`kill {}`", process::id())), "{}", error.help());
        drop(lock);
        let again = RunLock::acquire(folder.path()).unwrap();
        assert_eq!(again.taken_over(), None);
    }

    #[test]
    fn any_content_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOCK_FILE);
        for content in [&b""[..], b"\xff\xfe", b"-3", b"99999999999999", &[b'1'; 5000]] {
            fs::write(&path, content).unwrap();
            assert_eq!(RunLock::acquire(folder.path()).unwrap().taken_over(), None);
        }
        fs::write(&path, "4242\n").unwrap();
        let lock = RunLock::acquire(folder.path()).unwrap();
        assert_eq!(lock.taken_over(), Some(4242));
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
    }

    #[test]
    fn a_missing_directory_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = RunLock::acquire(folder.path().join("nowhere")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("nowhere"), "{error}");
    }

    const CHILD: &str = "ELBO_TEST_LOCK_DIR";

    /// Not a test of its own: what the next one starts and kills.
    #[test]
    fn holds_the_lock_when_started_as_a_child() {
        let Ok(folder) = std::env::var(CHILD) else { return };
        let _lock = RunLock::acquire(folder).unwrap();
        println!("\nlocked");
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn a_killed_process_leaves_the_lock_free() {
        let folder = tempfile::tempdir().unwrap();
        let (_, module) = module_path!().split_once("::").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--exact", &format!("{module}::holds_the_lock_when_started_as_a_child")])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        assert!(output.lines().any(|line| line.unwrap() == "locked"), "the child should have taken the lock");
        let refused = RunLock::acquire(folder.path());
        child.kill().unwrap();
        child.wait().unwrap();
        let message = refused.unwrap_err().to_string();
        assert!(message.ends_with(&format!("found process {} at work", child.id())), "{message}");
        assert_eq!(RunLock::acquire(folder.path()).unwrap().taken_over(), Some(child.id()));
    }
}

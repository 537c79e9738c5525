//! The run directory: one folder with everything a run leaves behind.
//!
//! | name | what |
//! |---|---|
//! | `config.toml` | the effective, complete configuration |
//! | `run.json` | [`RunInfo`]: version, data, device, status, timings, test numbers |
//! | `metrics.csv`, `metrics.jsonl` | one line an epoch |
//! | `events.out.tfevents.*` | the same for TensorBoard, with sample images |
//! | `checkpoints/last`, `checkpoints/best` | weights as safetensors, and what resuming needs |
//! | `samples/` | after each epoch, samples from the same codes and reconstructions of the same examples (for an autoencoder these alone) |
//! | `plots/`, `report.html` | pictures of the finished run |
//! | `priors/NAME/` | a run of its own over the codes of this one: a prior that codes are sampled from |
//! | `codes.npy` | in such a run, its data: the codes, standardised |
//! | `stages.toml` | what is trained after this run, where its recipe has several stages |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::atomic::{self, Checkpoint};
use super::files::{Files, Found, Kind};
use super::history::{EpochRecord, csv};
pub use super::info::{DataInfo, DimensionInfo, Origin, RUN_FORMAT, RunInfo, read_info};
use super::lock::{self, LOCK_FILE, RunLock};
use super::tensorboard::EventWriter;
use crate::error::{Error, Result};
use crate::shell::quoted;

/// The codes that a prior is trained on, in its run.
pub const CODES_FILE: &str = "codes.npy";
/// The later stages of a recipe, in the run of the first.
pub const STAGES_FILE: &str = "stages.toml";

/// Longest `run.json` that is read, in bytes: the names and scales of some hundred thousand columns. A usual one has 600.
pub const MAX_INFO_BYTES: u64 = 16 << 20;
/// Longest configuration that is read, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Longest `metrics.jsonl` that is read, in bytes.
pub const MAX_METRICS_BYTES: u64 = 64 << 20;
/// The files of a run beside its folders.
const OWN_FILES: [&str; 8] =
    ["config.toml", "run.json", "metrics.csv", "metrics.jsonl", "report.html", LOCK_FILE, CODES_FILE, STAGES_FILE];
/// The folders of a run, and how deep there may be others in them.
const OWN_FOLDERS: [(&str, usize); 4] = [("checkpoints", 1), ("samples", 0), ("plots", 0), ("priors", 3)];
/// What event files for TensorBoard begin with.
const EVENTS: &str = "events.out.tfevents.";

/// A run directory that exists.
///
/// ```
/// use elbo::run::directory::RunDir;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let path = RunDir::next_free(folder.path(), "digits");
/// assert!(path.ends_with("digits-001"));
/// let run = RunDir::create(path)?;
/// run.write("plots/notes.txt", "whole or not at all")?;
/// assert!(RunDir::create(run.path()).is_err(), "a run is never written over");
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
    files: Files,
}

impl RunDir {
    /// Creates a run directory. An existing folder must be empty, or hold only what a run leaves that was killed before it had written
    /// `run.json`: a run is never written over.
    ///
    /// # Errors
    /// [`Error::Config`] if something is there already, [`Error::Io`] if it cannot be created or looked into.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let root = Files::root_of_run(&path);
        Files::make_root(&root).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => occupied(&path, "a file", "choose another `--out`"),
            _ => Error::io(&root, "create")(error),
        })?;
        let files = Files::hold(&root).map_err(Error::io(&root, "open"))?;
        files.create_dirs(&path).map_err(Error::io(&path, "create"))?;
        let dir = Self { path, files };
        dir.check_vacant()?;
        Ok(dir)
    }

    /// Refuses a folder in which there is more than [`RunDir::create`] takes.
    ///
    /// # Errors
    /// Its path as a shell takes it.
    pub(crate) fn quoted(&self) -> String {
        quoted(&self.path.display().to_string())
    }

    /// As [`RunDir::create`].
    pub(crate) fn check_vacant(&self) -> Result<()> {
        let names = self.names()?;
        if names.is_empty() || is_stillborn(&names) {
            return Ok(());
        }
        let shown = self.quoted();
        let help = match names.iter().any(|(name, _)| name == "run.json") {
            true => format!("`elbo resume {shown}` continues that run; another `--out` starts a new one"),
            false => "choose another `--out`".into(),
        };
        Err(occupied(&self.path, "which is not empty", &help))
    }

    /// Removes the folder of a run that never came to be, where it was `made` for it, and from one that is `locked` by this process
    /// what was put into it. What cannot be removed is used again by the next run here.
    pub(crate) fn abandon(&self, made: bool, locked: bool) {
        if locked && self.find("run.json").is_ok_and(|found| found.is_none()) {
            for name in ["config.toml", CODES_FILE, STAGES_FILE, LOCK_FILE] {
                let _ = self.files.remove_file(&self.join(name));
            }
        }
        if made {
            let _ = self.files.remove_dir(&self.path).or_else(|_| std::fs::remove_dir(&self.path));
        }
    }

    /// The names in the folder, each with what it is.
    fn names(&self) -> Result<Vec<(String, Kind)>> {
        let names = self.files.list(&self.path).map_err(Error::io(&self.path, "look into"))?;
        Ok(names.into_iter().map(|(name, kind)| (name.to_string_lossy().into_owned(), kind)).collect())
    }

    /// Opens an existing run. Its folder is held open: it stays the same one whatever happens to its name.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no run at `path`, [`Error::Io`] if the system cannot tell.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let root = Files::root_of_run(&path);
        let files = match Files::hold(&root) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_run(&path, "no such folder")),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(no_run(&path, "a file")),
            Err(error) => return Err(Error::io(&root, "open")(error)),
        };
        let dir = Self { path, files };
        for name in ["run.json", "config.toml"] {
            if !dir.has_file(name)? {
                return Err(match dir.find("")? {
                    Some(_) => no_run(&dir.path, &format!("a folder without {name}")),
                    None => no_run(&dir.path, "no such folder"),
                });
            }
        }
        Ok(dir)
    }

    /// Whether there is a run at `path`, readable or not. What cannot be looked at is none.
    pub fn is_run(path: &Path) -> bool {
        let files = Files::new(Files::root_of_run(path));
        files.find(&path.join("run.json")).is_ok_and(|found| found.is_some())
    }

    /// Refuses a run in which anything that a run writes or reads is no plain file or folder of its own.
    ///
    /// # Errors
    /// [`Error::Model`] naming the first such thing, [`Error::Io`].
    pub fn check_plain(&self) -> Result<()> {
        for (name, _) in self.names()? {
            if let Some((_, depth)) = OWN_FOLDERS.iter().find(|(own, _)| *own == name) {
                self.check_folder(&self.join(&name), *depth)?;
            } else if OWN_FILES.contains(&name.as_str()) || name.starts_with(EVENTS) {
                self.has_file(&name)?;
            }
        }
        Ok(())
    }

    fn check_folder(&self, path: &Path, depth: usize) -> Result<()> {
        self.files.has_folder(path).map_err(Error::io(path, "look at"))?;
        for (name, kind) in self.files.list(path).map_err(Error::io(path, "look into"))? {
            let inner = path.join(name);
            match kind {
                Kind::Folder if depth > 0 => self.check_folder(&inner, depth - 1)?,
                Kind::Folder => {}
                _ => drop(self.files.has_file(&inner).map_err(Error::io(&inner, "look at"))?),
            }
        }
        Ok(())
    }

    /// Refuses to go on in a run that was removed, or parts of which were, so that it could not be taken up again.
    ///
    /// # Errors
    /// [`Error::Io`] naming what has gone.
    pub(crate) fn check_intact(&self) -> Result<()> {
        let gone = |path: &Path| {
            let source = io::Error::other("it has gone: something removed it while the run was trained");
            Err(Error::Io { path: path.to_owned(), action: "go on", source })
        };
        match self.find("")? {
            // A folder that was removed while it is held open has no name any more.
            Some(Found { names: 1.., .. }) => {}
            _ => return gone(&self.path),
        }
        for name in ["config.toml", "run.json", LOCK_FILE] {
            if !self.has_file(name)? {
                return gone(&self.join(name));
            }
        }
        Ok(())
    }

    /// `base/NAME-001`, or the first number that is free.
    pub fn next_free(base: &Path, name: &str) -> PathBuf {
        let is_free = |path: &PathBuf| !Files::is_taken(path);
        (1..).map(|i| base.join(format!("{name}-{i:03}"))).find(is_free).expect("some number is free")
    }

    /// Makes room for a run in a place where another may be: that one is put aside and removed. Nobody may be training it.
    ///
    /// # Errors
    /// [`Error::Model`] if another process trains there or a link is in its place, [`Error::Io`].
    pub fn clear(path: &Path) -> Result<()> {
        let files = Files::new(Files::root_of_run(path));
        if !files.has_folder(path).map_err(Error::io(path, "look at"))? {
            return Ok(());
        }
        let lock = RunLock::acquire_in(&files, path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Moved first, so that a kill leaves either the old run or none.
        let aside = path.with_file_name(format!(".{name}.replaced-{}", std::process::id()));
        files.rename(path, &aside).map_err(Error::io(path, "move"))?;
        drop(lock);
        files.remove_tree(&aside).map_err(Error::io(&aside, "remove"))
    }

    /// The folder of a prior of this name.
    pub fn prior(&self, name: &str) -> PathBuf {
        self.join("priors").join(name)
    }

    /// Names of the priors that are runs, in alphabetical order.
    ///
    /// # Errors
    /// [`Error::Model`] if a link is in the place of their folder, [`Error::Io`] if it cannot be looked into.
    pub fn priors(&self) -> Result<Vec<String>> {
        let path = self.join("priors");
        if !self.files.has_folder(&path).map_err(Error::io(&path, "look at"))? {
            return Ok(Vec::new());
        }
        let names = self.files.list(&path).map_err(Error::io(&path, "look into"))?;
        let mut priors = Vec::new();
        for (name, kind) in names {
            let Some(name) = name.into_string().ok().filter(|name| !name.starts_with('.')) else { continue };
            if kind == Kind::Folder && self.has_file(&format!("priors/{name}/run.json"))? {
                priors.push(name);
            }
        }
        Ok(priors)
    }

    /// The folder of the run.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name inside it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The checkpoint folder.
    pub fn checkpoints(&self) -> PathBuf {
        self.join("checkpoints")
    }

    /// What there is under a name inside it; the empty name is the folder itself.
    ///
    /// # Errors
    /// [`Error::Model`] if a link is on the way, [`Error::Io`] if the system cannot tell: that is not the same as nothing.
    pub fn find(&self, name: &str) -> Result<Option<Found>> {
        let path = self.join(name);
        self.files.find(&path).map_err(Error::io(&path, "look at"))
    }

    /// Whether there is a plain file of this name.
    ///
    /// # Errors
    /// As [`RunDir::find`]; [`Error::Model`] if there is something else.
    pub fn has_file(&self, name: &str) -> Result<bool> {
        let path = self.join(name);
        self.files.has_file(&path).map_err(Error::io(&path, "look at"))
    }

    /// Opens a plain file to read.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Model`] if there is something else.
    pub fn open_file(&self, name: &str) -> Result<File> {
        let path = self.join(name);
        self.files.open(&path).map_err(Error::io(&path, "open"))
    }

    /// Reads a plain file of at most `most` bytes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Model`] if there is something else, or more.
    pub fn read(&self, name: &str, most: u64) -> Result<Vec<u8>> {
        let path = self.join(name);
        self.files.read(&path, most).map_err(Error::io(&path, "read"))
    }

    /// Writes a file, whole or not at all, creating the folder it is in. The run's own folder is not made anew.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Model`] if something else is in its place.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        let path = self.join(name);
        self.make_folder_of(&path)?;
        atomic::write_file_in(&self.files, &path, bytes.as_ref())
    }

    /// Creates the folders between the run's own and a path in it.
    fn make_folder_of(&self, path: &Path) -> Result<()> {
        let Some(folders) = path.parent().and_then(|folder| folder.strip_prefix(&self.path).ok()) else {
            return Ok(());
        };
        let mut folder = self.path.clone();
        for name in folders {
            folder.push(name);
            self.files.create_dir(&folder).map_err(Error::io(&folder, "create"))?;
        }
        Ok(())
    }

    /// Takes the lock of the run.
    ///
    /// # Errors
    /// As [`RunLock::acquire`].
    pub fn lock(&self) -> Result<RunLock> {
        RunLock::acquire_in(&self.files, &self.path)
    }

    /// The process that trains the run, if one does: the id in the lock file of a lock that is held.
    ///
    /// # Errors
    /// [`Error::Model`] if something else is in the place of the lock file, [`Error::Io`].
    pub fn trainer(&self) -> Result<Option<u32>> {
        lock::holder(&self.files, &self.path).map_err(Error::io(self.join(LOCK_FILE), "read"))
    }

    /// Starts an event file for TensorBoard, as [`EventWriter::create`] does.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn events(&self, purge_step: Option<i64>) -> Result<EventWriter> {
        EventWriter::create_in(&self.files, &self.path, purge_step)
    }

    /// Writes a checkpoint as [`atomic::write_dir`] does.
    pub(crate) fn write_checkpoint(&self, target: &Path, step: u64, files: &[(&str, &[u8])]) -> Result<()> {
        self.make_folder_of(target)?;
        atomic::write_dir_in(&self.files, target, step, files)
    }

    /// Reads a checkpoint as [`atomic::open_dir`] does.
    pub(crate) fn open_checkpoint(&self, target: &Path) -> Result<Checkpoint> {
        atomic::open_dir_in(&self.files, target)
    }

    /// Puts the newest checkpoints in their places, as [`atomic::settle_dir`] does.
    ///
    /// # Errors
    /// As [`atomic::settle_dir`].
    pub fn settle(&self) -> Result<()> {
        ["last", "best"].iter().try_for_each(|name| atomic::settle_dir_in(&self.files, &self.checkpoints().join(name)))
    }

    /// Removes what killed processes left half written or half removed; call it only while holding the run's lock.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Model`] if a link is in the place of a folder.
    pub fn sweep(&self) -> Result<()> {
        for folder in ["", "samples", "plots", "priors"] {
            let path = self.join(folder);
            if !self.files.has_folder(&path).map_err(Error::io(&path, "look at"))? {
                continue;
            }
            let names = self.files.list(&path).map_err(Error::io(&path, "look into"))?;
            // Samplers are written without the lock of the run, so another process may be about to.
            let shared = folder == "priors";
            for (name, kind) in names {
                let (inner, name) = (path.join(&name), name.to_string_lossy().into_owned());
                let is_left = |pid: Option<u32>| pid.is_some_and(|pid| !shared || !is_alive(pid));
                match kind {
                    Kind::File if is_left(half_written_by(&name)) => {
                        self.files.remove_file(&inner).map_err(Error::io(&inner, "remove"))?;
                    }
                    Kind::Folder if shared && is_left(replaced_by(&name)) => {
                        self.files.remove_tree(&inner).map_err(Error::io(&inner, "remove"))?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The text of `config.toml`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] if it is no text, no plain file or too long.
    pub fn config_text(&self) -> Result<String> {
        String::from_utf8(self.read("config.toml", MAX_CONFIG_BYTES)?).map_err(|error| {
            let found = format!("other bytes from byte {} on", error.utf8_error().valid_up_to());
            let help = "each checkpoint of the run has a copy of it";
            Error::model(self.join("config.toml"), "content", "TOML text in UTF-8", found, help)
        })
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] if it is damaged, no plain file, too long or of a newer version.
    pub fn info(&self) -> Result<RunInfo> {
        read_info(&self.read("run.json", MAX_INFO_BYTES)?, &self.join("run.json"))
    }

    /// The epochs in `metrics.jsonl` as far as they can be read; none where there is no such file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] if it is no plain file or too long.
    pub fn history(&self) -> Result<Vec<EpochRecord>> {
        if !self.has_file("metrics.jsonl")? {
            return Ok(Vec::new());
        }
        let text = self.read("metrics.jsonl", MAX_METRICS_BYTES)?;
        Ok(text.split(|byte| *byte == b'\n').map_while(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// Writes `run.json`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_info(&self, info: &RunInfo) -> Result<()> {
        let json = serde_json::to_vec_pretty(info).expect("numbers and strings always become JSON");
        self.write("run.json", json)
    }

    /// Writes `metrics.csv` and `metrics.jsonl`, whole: the files always agree with the checkpoint they belong to.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_metrics(&self, history: &[EpochRecord]) -> Result<()> {
        self.write("metrics.csv", csv(history))?;
        let lines: String = history
            .iter()
            .map(|record| serde_json::to_string(record).expect("numbers always become JSON") + "\n")
            .collect();
        self.write("metrics.jsonl", lines)
    }
}

fn occupied(path: &Path, found: &str, help: &str) -> Error {
    Error::config("out", "a new or empty folder", format!("{}, {found}", quoted(&path.display().to_string())), help)
}

fn no_run(path: &Path, found: &str) -> Error {
    let pickle = path.extension().is_some_and(|end| ["pt", "pth", "ckpt", "pkl"].iter().any(|e| end == *e));
    let help = match pickle {
        true => "a `.pt` file is a pickle and can run code: it is not loaded; give the folder of a run",
        false => "give the folder that `elbo train` printed, for example runs/digits-001",
    };
    Error::model(path, "run", "a run directory", found, help)
}

/// The process that was writing a temporary file of [`atomic::write_file`], by its name `NAME.writing-PID-N`.
fn half_written_by(name: &str) -> Option<u32> {
    let (pid, count) = name.rsplit_once(".writing-")?.1.split_once('-')?;
    number(count).and(number(pid))
}

/// The process that was replacing a run, by the name `.NAME.replaced-PID` of what is to be removed.
fn replaced_by(name: &str) -> Option<u32> {
    number(name.strip_prefix('.')?.rsplit_once(".replaced-")?.1)
}

/// A number in digits alone; one that is too large for a process is none's.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u32::MAX))
}

/// Whether there is a process of this number. Where the system does not tell, there is.
fn is_alive(pid: u32) -> bool {
    #[cfg(unix)]
    {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let asked = pid.map(rustix::process::test_kill_process);
        asked.is_some_and(|answer| answer != Err(rustix::io::Errno::SRCH))
    }
    #[cfg(not(unix))]
    {
        let _ = pid;
        true
    }
}

/// Whether a folder holds what is left of a run that was killed before `run.json` made it one. The lock file tells it from a folder in
/// which somebody keeps a `config.toml` of their own.
fn is_stillborn(names: &[(String, Kind)]) -> bool {
    let left = |(name, kind): &(String, Kind)| {
        let is_ours = name == LOCK_FILE
            || name == "config.toml"
            || [CODES_FILE, STAGES_FILE].contains(&name.as_str())
            || ["config.toml.", "run.json.", "codes.npy.", "stages.toml."].iter().any(|file| name.starts_with(file));
        is_ours && *kind == Kind::File
    };
    names.iter().any(|(name, _)| name == LOCK_FILE) && names.iter().all(left)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_run_is_never_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path().join("a/b")).unwrap();
        assert!(RunDir::create(run.path()).is_ok(), "an empty folder is fine");
        run.write("run.json", "{}").unwrap();
        let error = RunDir::create(run.path()).unwrap_err();
        assert!(error.help().contains("elbo resume"), "{}", error.help());
    }

    #[test]
    fn what_a_run_killed_at_birth_leaves_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path().join("r")).unwrap();
        run.write("config.toml", "").unwrap();
        assert!(RunDir::create(run.path()).is_err(), "somebody's own file");
        run.write(LOCK_FILE, "1\n").unwrap();
        run.write("run.json.writing-1-0", "{").unwrap();
        assert!(RunDir::create(run.path()).is_ok());
        run.write("notes.txt", "").unwrap();
        assert!(RunDir::create(run.path()).is_err(), "somebody's own file");
    }

    #[test]
    fn only_half_written_files_are_swept_away() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path().join("r")).unwrap();
        for name in
            ["run.json.writing-12-3", "samples/e.png.writing-12-34", "a.writing-", "b.writing-1-x", "writing-1-2"]
        {
            run.write(name, "").unwrap();
        }
        run.sweep().unwrap();
        assert!(!run.join("run.json.writing-12-3").exists() && !run.join("samples/e.png.writing-12-34").exists());
        assert!(["a.writing-", "b.writing-1-x", "writing-1-2"].iter().all(|name| run.join(name).exists()));
    }

    #[test]
    fn what_is_left_of_priors_goes_when_its_process_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path().join("r")).unwrap();
        let (alive, dead) = (std::process::id(), i32::MAX);
        for pid in [i64::from(alive), i64::from(dead)] {
            run.write(&format!("priors/mixture.json.writing-{pid}-0"), "").unwrap();
            run.write(&format!("priors/.maf.replaced-{pid}/run.json"), "").unwrap();
        }
        run.write("priors/maf/run.json", "").unwrap();
        run.sweep().unwrap();
        let names = run.files.list(&run.join("priors")).unwrap();
        let names: Vec<String> = names.into_iter().map(|(name, _)| name.into_string().unwrap()).collect();
        let left = [format!(".maf.replaced-{alive}"), "maf".into(), format!("mixture.json.writing-{alive}-0")];
        assert_eq!(names, left);
    }

    #[test]
    fn names_count_up() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RunDir::next_free(dir.path(), "x"), dir.path().join("x-001"));
        fs::create_dir(dir.path().join("x-001")).unwrap();
        assert_eq!(RunDir::next_free(dir.path(), "x"), dir.path().join("x-002"));
    }

    #[test]
    fn what_is_no_run_is_said_to_be_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(RunDir::open(dir.path()).unwrap_err().to_string().contains("without run.json"));
        assert!(RunDir::open(dir.path().join("no")).unwrap_err().to_string().contains("no such folder"));
    }

    #[test]
    fn a_newer_run_is_refused_by_number() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::create(dir.path().join("r")).unwrap();
        run.write("run.json", r#"{"format": 9}"#).unwrap();
        assert!(run.info().unwrap_err().to_string().contains("version 9"));
    }
}

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

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::atomic;
use super::history::{EpochRecord, Means, csv};
use super::lock::LOCK_FILE;
use crate::data::Columns;
use crate::data::codes::CodesKind;
use crate::error::{Error, Result};
use crate::shell::quoted;
use crate::space::Domain;

/// The codes that a prior is trained on, in its run.
pub const CODES_FILE: &str = "codes.npy";
/// The later stages of a recipe, in the run of the first.
pub const STAGES_FILE: &str = "stages.toml";

/// Version of [`RunInfo`] written here; newer ones are refused.
pub const RUN_FORMAT: u32 = 1;

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Version of this layout.
    pub format: u32,
    /// Version of elbo that wrote it.
    pub elbo_version: String,
    /// `running`, `finished`, `stopped early`, `interrupted`, `diverged` or `failed`.
    pub status: String,
    /// What it was trained on.
    pub data: DataInfo,
    /// Whose codes these are, for a prior over the codes of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Where it was computed.
    pub device: String,
    /// Threads used.
    pub threads: usize,
    /// Finished epochs.
    pub epochs: usize,
    /// Seconds of training, all sessions together.
    pub seconds: f64,
    /// Training examples a second over the run.
    pub images_per_s: f64,
    /// Peak resident memory of the last session in MiB, where the system tells.
    pub peak_memory_mb: Option<f64>,
    /// Test numbers, once the run is finished; none where no test examples were held back.
    pub test: Option<Means>,
    /// What each dimension of the code carries over the held-out examples, once the run is finished: known without its data from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<Vec<DimensionInfo>>,
}

/// One dimension of a code, over examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DimensionInfo {
    /// Mean KL in nats; none of a model that bounds nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
    /// Mean of the codes.
    pub mean: f64,
    /// Standard deviation of the codes.
    pub std: f64,
}

/// Where the codes of a prior's run came from; their scale is [`DataInfo::columns`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// sha256 of the weights that encoded, in hexadecimal: a prior of other weights is not used.
    pub weights_sha256: String,
    /// Which checkpoint they are from.
    pub checkpoint: String,
    /// Of which split.
    pub split: String,
    /// What stands for an example.
    pub codes: CodesKind,
    /// Of the draws of codes.
    pub seed: u64,
}

impl Origin {
    /// Whether what was made of these weights and codes serves: the weights must be the same, and the codes those asked for, if any are. Another
    /// seed does not make it worse.
    pub(crate) fn is_met(&self, weights_sha256: &str, codes: CodesKind, asked: Option<CodesKind>) -> bool {
        weights_sha256 == self.weights_sha256 && asked.is_none_or(|asked| asked == codes)
    }
}

/// The data of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataInfo {
    /// Name of the source.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Images in the training split.
    pub train: usize,
    /// Images in the validation split.
    pub validation: usize,
    /// Images in the test split.
    pub test: usize,
    /// True when validation is the test split.
    pub validation_is_test: bool,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// What the numbers are; bytes in runs that do not say.
    #[serde(default)]
    pub domain: Domain,
    /// The columns of a table, with what they were standardised by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Columns>,
    /// Names of the classes; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Where they were found, as an absolute path: one of the places where they are looked for again. None for what is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<PathBuf>,
    /// sha256 over the indices of the training examples, four little-endian bytes each: which of the data they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_sha256: Option<String>,
    /// The same over the indices of the test examples: runs that are judged on others do not compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_sha256: Option<String>,
    /// Whether the training examples have no values but 0 and 1, as far as a sample of them tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<bool>,
    /// What was chosen or left out when they were opened, in one sentence each; warnings first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

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
}

impl RunDir {
    /// Creates a run directory. An existing folder must be empty, or hold only what a run leaves that was killed before it had written
    /// `run.json`: a run is never written over.
    ///
    /// # Errors
    /// [`Error::Config`] if something is there already, [`Error::Io`] if it cannot be created.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let occupied = match fs::read_dir(&path) {
            Ok(mut entries) => entries.next().is_some() && !is_stillborn(&path),
            Err(_) => path.exists(),
        };
        if occupied {
            let shown = quoted(&path.display().to_string());
            let help = match path.join("run.json").is_file() {
                true => format!("`elbo resume {shown}` continues that run; another `--out` starts a new one"),
                false => "choose another `--out`".into(),
            };
            return Err(Error::config("out", "a new or empty folder", format!("{shown}, which is not empty"), help));
        }
        fs::create_dir_all(&path).map_err(Error::io(&path, "create"))?;
        Ok(Self { path })
    }

    /// Opens an existing run.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no run at `path`.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        for name in ["run.json", "config.toml"] {
            if !path.join(name).is_file() {
                let pickle = path.extension().is_some_and(|end| ["pt", "pth", "ckpt", "pkl"].iter().any(|e| end == *e));
                let found = match path.is_dir() {
                    true => format!("a folder without {name}"),
                    false if path.exists() => "a file".into(),
                    false => "no such folder".into(),
                };
                let help = match pickle {
                    true => "a `.pt` file is a pickle and can run code: it is not loaded; give the folder of a run",
                    false => "give the folder that `elbo train` printed, for example runs/digits-001",
                };
                return Err(Error::model(&path, "run", "a run directory", found, help));
            }
        }
        Ok(Self { path })
    }

    /// `base/NAME-001`, or the first number that is free.
    pub fn next_free(base: &Path, name: &str) -> PathBuf {
        (1..).map(|i| base.join(format!("{name}-{i:03}"))).find(|path| !path.exists()).expect("some number is free")
    }

    /// Makes room for a run in a place where another may be: that one is put aside and removed. Nobody may be training it.
    ///
    /// # Errors
    /// [`Error::Model`] if another process trains there, [`Error::Io`].
    pub fn clear(path: &Path) -> Result<()> {
        if !path.exists() {
            return Ok(());
        }
        let lock = super::lock::RunLock::acquire(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Moved first, so that a kill leaves either the old run or none.
        let aside = path.with_file_name(format!(".{name}.replaced-{}", std::process::id()));
        fs::rename(path, &aside).map_err(Error::io(path, "move"))?;
        drop(lock);
        fs::remove_dir_all(&aside).map_err(Error::io(&aside, "remove"))
    }

    /// The folder of a prior of this name.
    pub fn prior(&self, name: &str) -> PathBuf {
        self.join("priors").join(name)
    }

    /// Names of the priors that are runs, in alphabetical order.
    pub fn priors(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.join("priors")) else { return Vec::new() };
        let found = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.join("run.json").is_file());
        let names = found.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// The folder.
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

    /// Writes a file, whole or not at all, creating the folder it is in.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        let path = self.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        }
        atomic::write_file(path, bytes.as_ref())
    }

    /// Removes what killed processes left half written; call it only while holding the run's lock.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sweep(&self) -> Result<()> {
        for folder in ["", "samples", "plots"].map(|name| self.join(name)) {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_half_written(path)) {
                fs::remove_file(&path).map_err(Error::io(&path, "remove"))?;
            }
        }
        Ok(())
    }

    /// The text of `config.toml`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] if it is no text.
    pub fn config_text(&self) -> Result<String> {
        let path = self.join("config.toml");
        let bytes = fs::read(&path).map_err(Error::io(&path, "read"))?;
        String::from_utf8(bytes).map_err(|error| {
            let found = format!("other bytes from byte {} on", error.utf8_error().valid_up_to());
            Error::model(&path, "content", "TOML text in UTF-8", found, "each checkpoint of the run has a copy of it")
        })
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Model`] if it is damaged or of a newer version.
    pub fn info(&self) -> Result<RunInfo> {
        let path = self.join("run.json");
        let bytes = fs::read(&path).map_err(Error::io(&path, "read"))?;
        let help = "`elbo train` writes this file; a damaged one cannot be used";
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| Error::model(&path, "content", "JSON", e.to_string(), help))?;
        let format = value.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if format != u64::from(RUN_FORMAT) {
            let (expected, found) = (format!("version {RUN_FORMAT}"), format!("version {format}"));
            return Err(Error::model(&path, "format", expected, found, "a newer elbo wrote this run; update"));
        }
        serde_json::from_value(value).map_err(|e| Error::model(&path, "content", "run facts", e.to_string(), help))
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

/// Whether this is a temporary file of [`atomic::write_file`], `NAME.writing-PID-N`.
fn is_half_written(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let numbers = name.rsplit_once(".writing-").and_then(|(_, numbers)| numbers.split_once('-'));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    path.is_file() && numbers.is_some_and(|(pid, count)| is_number(pid) && is_number(count))
}

/// Whether a folder holds what is left of a run that was killed before `run.json` made it one. The lock file tells it from a folder in
/// which somebody keeps a `config.toml` of their own.
fn is_stillborn(path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(path) else { return false };
    let names: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    let left = |name: &String| {
        name == LOCK_FILE
            || name == "config.toml"
            || [CODES_FILE, STAGES_FILE].contains(&name.as_str())
            || ["config.toml.", "run.json.", "codes.npy.", "stages.toml."].iter().any(|file| name.starts_with(file))
    };
    names.iter().any(|name| name == LOCK_FILE) && names.iter().all(left)
}

#[cfg(test)]
mod tests {
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

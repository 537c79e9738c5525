//! The facts of a run, `run.json`: what it was trained on, how it stands, what it is worth.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::history::Means;
use crate::data::Columns;
use crate::data::codes::CodesKind;
use crate::error::{Error, Result};
use crate::space::Domain;

/// Version of [`RunInfo`] written here; newer ones are refused.
pub const RUN_FORMAT: u32 = 1;

/// The facts of a run, as `run.json` holds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// How many threads it ran on.
    pub threads: usize,
    /// How many epochs are finished.
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
#[non_exhaustive]
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
#[non_exhaustive]
pub struct DataInfo {
    /// Name of the source.
    pub name: String,
    /// The SHA-256 of its content, in hexadecimal.
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

/// The facts of a run from the bytes of a `run.json`; `path` is what errors name.
///
/// # Errors
/// [`Error::Model`] if they are damaged or of a newer version.
pub fn read_info(bytes: &[u8], path: &Path) -> Result<RunInfo> {
    /// The number alone: a newer layout has other fields. What else there is takes no memory.
    #[derive(Deserialize)]
    struct Version {
        format: Option<u64>,
    }
    let help = "`elbo train` writes this file; a damaged one cannot be used";
    let wrong = |expected: &str, e: serde_json::Error| Error::model(path, "content", expected, e.to_string(), help);
    let Version { format } = serde_json::from_slice(bytes).map_err(|e| wrong("JSON", e))?;
    if format != Some(u64::from(RUN_FORMAT)) {
        let (expected, found) = (format!("version {RUN_FORMAT}"), format!("version {}", format.unwrap_or(0)));
        return Err(Error::model(path, "format", expected, found, "a newer elbo wrote this run; update"));
    }
    serde_json::from_slice(bytes).map_err(|e| wrong("run facts", e))
}

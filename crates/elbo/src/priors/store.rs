//! Samplers in the folder of their run: `priors/NAME.json` or `priors/NAME.safetensors`.
//!
//! A file holds the sampler and its [`Record`]: which codes, from which weights, which seed. What is read back samples the same bytes. A sampler of
//! other weights (the run was trained on since, or another checkpoint is asked for) is not used: its record does not match.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::codes::CodesKind;
use super::maf::{Maf, MafConfig};
use super::two_stage::{TwoStage, TwoStageConfig};
use super::{Sampler, SamplerKind};
use crate::error::{Error, Result};
use crate::mixtures::GaussianMixture;
use crate::run::directory::RunDir;
use crate::run::weights::{self, NamedTensor};

/// Version of the files written here; newer ones are refused.
pub const FORMAT: u32 = 1;

/// Longest JSON file accepted, in bytes.
const MAX_JSON_BYTES: u64 = 1 << 30;

const REFIT: &str = "remove the file: it is fitted again when it is next asked for";

/// What a sampler was fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Version of this layout.
    pub format: u32,
    /// Which sampler.
    pub sampler: SamplerKind,
    /// Which codes.
    pub codes: CodesKind,
    /// Of which split.
    pub split: String,
    /// How many.
    pub n: usize,
    /// Dimensions of a code.
    pub latent: usize,
    /// Of the draws of codes, the starts and the training.
    pub seed: u64,
    /// Which checkpoint the codes are from.
    pub checkpoint: String,
    /// Of the values of its parameters.
    pub weights_sha256: String,
}

/// A sampler with its record.
#[derive(Debug)]
pub struct Stored {
    /// What it was fitted on.
    pub record: Record,
    /// The sampler.
    pub sampler: Sampler,
}

/// A mixture's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MixtureFile {
    record: Record,
    mixture: GaussianMixture,
}

/// sha256 of parameters: names, shapes and values.
pub fn weights_sha256(tensors: &[NamedTensor]) -> String {
    let digest = Sha256::digest(weights::to_bytes(tensors, &BTreeMap::new()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a sampler's file is; none for the one that needs none.
pub fn path(dir: &RunDir, kind: SamplerKind) -> Option<PathBuf> {
    file_name(kind).map(|name| dir.join(&name))
}

fn file_name(kind: SamplerKind) -> Option<String> {
    match kind {
        SamplerKind::Normal => None,
        SamplerKind::Gaussian | SamplerKind::Mixture => Some(format!("priors/{kind}.json")),
        SamplerKind::TwoStage | SamplerKind::Maf => Some(format!("priors/{kind}.safetensors")),
    }
}

/// Writes a sampler to its run, whole or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn save(dir: &RunDir, stored: &Stored) -> Result<()> {
    let Some(name) = file_name(stored.sampler.kind()) else { return Ok(()) };
    let record = stored.record.clone();
    let bytes = match &stored.sampler {
        Sampler::Normal(_) => return Ok(()),
        Sampler::Gaussian(mixture) | Sampler::Mixture(mixture) => {
            json(&MixtureFile { record, mixture: mixture.clone() }).into_bytes()
        }
        Sampler::TwoStage(model) => net_bytes(&record, model.config(), &model.tensors()),
        Sampler::Maf(flow) => net_bytes(&record, flow.config(), &flow.tensors()),
    };
    dir.write(&name, bytes)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and strings always become JSON")
}

fn net_bytes(record: &Record, config: &impl Serialize, tensors: &[NamedTensor]) -> Vec<u8> {
    let metadata = [("record".to_owned(), json(record)), ("config".to_owned(), json(config))];
    weights::to_bytes(tensors, &metadata.into_iter().collect())
}

/// Reads a sampler of a run; none if there is none, or if none is needed.
///
/// # Errors
/// [`Error::Model`] for a file that is damaged or of a newer version, [`Error::Io`].
pub fn load(dir: &RunDir, kind: SamplerKind, latent: usize, device: &Device) -> Result<Option<Stored>> {
    let Some(path) = path(dir, kind).filter(|path| path.exists()) else { return Ok(None) };
    let (record, sampler) = match kind {
        SamplerKind::Normal => return Ok(None),
        SamplerKind::Gaussian | SamplerKind::Mixture => {
            let MixtureFile { record, mixture } = read_json(&path)?;
            if mixture.dims() != latent {
                return Err(damaged(
                    &path,
                    "mixture",
                    format!("means of {latent} numbers"),
                    mixture.dims().to_string(),
                ));
            }
            let mixture =
                if kind == SamplerKind::Gaussian { Sampler::Gaussian(mixture) } else { Sampler::Mixture(mixture) };
            (record, mixture)
        }
        SamplerKind::TwoStage => {
            let net = Net::read(&path)?;
            let blank = TwoStage::blank(&net.config::<TwoStageConfig>(&path)?, latent, net.values(), device);
            let blank = blank.ok_or_else(|| sizes(&path))?;
            (
                net.record(&path)?,
                Sampler::TwoStage(Box::new(net.fill(blank.shapes(), &path, |numbers| blank.filled(numbers))?)),
            )
        }
        SamplerKind::Maf => {
            let net = Net::read(&path)?;
            let blank = Maf::blank(&net.config::<MafConfig>(&path)?, latent, net.values(), device);
            let blank = blank.ok_or_else(|| sizes(&path))?;
            (
                net.record(&path)?,
                Sampler::Maf(Box::new(net.fill(blank.shapes(), &path, |numbers| blank.filled(numbers))?)),
            )
        }
    };
    check_record(&record, kind, latent, &path)?;
    Ok(Some(Stored { record, sampler }))
}

fn check_record(record: &Record, kind: SamplerKind, latent: usize, path: &Path) -> Result<()> {
    if record.format != FORMAT {
        let (expected, found) = (format!("version {FORMAT}"), format!("version {}", record.format));
        return Err(Error::model(path, "format", expected, found, "a newer elbo wrote this file; update"));
    }
    if record.sampler != kind || record.latent != latent {
        let expected = format!("the sampler `{kind}` of codes of {latent} dimensions");
        let found = format!("`{}` of {}", record.sampler, record.latent);
        return Err(damaged(path, "record", expected, found));
    }
    Ok(())
}

/// A network's file, checked as one of weights but not yet as this network's.
struct Net(weights::WeightFile);

impl Net {
    fn read(path: &Path) -> Result<Self> {
        weights::read(path).map(Self)
    }

    /// How many numbers it holds: no network of more is built to take them.
    fn values(&self) -> usize {
        self.0.tensors.iter().map(|tensor| tensor.values.len()).sum()
    }

    fn metadata<T: DeserializeOwned>(&self, key: &str, path: &Path) -> Result<T> {
        let text = self.0.metadata.get(key).map_or("", String::as_str);
        serde_json::from_str(text).map_err(|error| damaged(path, key, "JSON", error.to_string()))
    }

    fn config<T: DeserializeOwned>(&self, path: &Path) -> Result<T> {
        self.metadata("config", path)
    }

    fn record(&self, path: &Path) -> Result<Record> {
        self.metadata("record", path)
    }

    /// Hands the tensors on if they are of these names and shapes.
    fn fill<T>(
        self,
        shapes: Vec<(String, Vec<usize>)>,
        path: &Path,
        fill: impl FnOnce(Vec<NamedTensor>) -> T,
    ) -> Result<T> {
        weights::check(self.0, &shapes, path).map(fill)
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let size = fs::metadata(path).map_err(Error::io(path, "read"))?.len();
    if size > MAX_JSON_BYTES {
        return Err(damaged(path, "size", format!("at most {MAX_JSON_BYTES} bytes"), size.to_string()));
    }
    let bytes = fs::read(path).map_err(Error::io(path, "read"))?;
    serde_json::from_slice(&bytes).map_err(|error| damaged(path, "content", "a sampler as JSON", error.to_string()))
}

fn sizes(path: &Path) -> Error {
    damaged(path, "config", "sizes of a network", "others".to_owned())
}

fn damaged(path: &Path, place: &str, expected: impl Into<String>, found: String) -> Error {
    Error::model(path, place, expected, found, REFIT)
}

#[cfg(test)]
mod tests {
    use super::super::{Draw, MafConfig, TwoStageConfig};
    use super::*;
    use crate::error::ErrorKind;
    use crate::random::{Draws, Purpose};

    fn all_fitted(device: &Device) -> Vec<Sampler> {
        let codes = Draws::new(0, Purpose::Choice, 0, 0).normals(120);
        let maf = MafConfig { blocks: 2, hidden: vec![8], epochs: 2, ..Default::default() };
        let two = TwoStageConfig { hidden: vec![8], epochs: 2, ..Default::default() };
        let simple = [SamplerKind::Gaussian, SamplerKind::Mixture];
        let mut all: Vec<Sampler> =
            simple.into_iter().map(|kind| Sampler::fit(kind, &codes, 3, 0, device).unwrap()).collect();
        all.push(Sampler::Maf(Box::new(Maf::fit(&codes, 3, &maf, 0, device).unwrap())));
        all.push(Sampler::TwoStage(Box::new(TwoStage::fit(&codes, 3, &two, 0, device).unwrap())));
        all
    }

    fn record(sampler: SamplerKind) -> Record {
        Record {
            format: FORMAT,
            sampler,
            codes: CodesKind::Sample,
            split: "train".into(),
            n: 40,
            latent: 3,
            seed: u64::MAX,
            checkpoint: "best".into(),
            weights_sha256: weights_sha256(&[]),
        }
    }

    #[test]
    fn what_is_read_back_samples_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, device) = (RunDir::create(folder.path().join("r")).unwrap(), crate::device::choose("cpu").unwrap());
        for sampler in all_fitted(&device) {
            let kind = sampler.kind();
            assert!(load(&dir, kind, 3, &device).unwrap().is_none());
            let stored = Stored { record: record(kind), sampler };
            save(&dir, &stored).unwrap();
            let read = load(&dir, kind, 3, &device).unwrap().unwrap();
            let draw = Draw { count: 7, temperature: 0.8, truncation: Some(2.0), seed: 5 };
            assert_eq!(
                (&read.record, read.sampler.sample(&draw)),
                (&stored.record, stored.sampler.sample(&draw)),
                "{kind}"
            );
        }
        assert!(load(&dir, SamplerKind::Normal, 3, &device).unwrap().is_none());
    }

    #[test]
    fn damaged_and_foreign_files_are_refused_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, device) = (RunDir::create(folder.path().join("r")).unwrap(), crate::device::choose("cpu").unwrap());
        for sampler in all_fitted(&device) {
            let kind = sampler.kind();
            let file = path(&dir, kind).unwrap();
            let refused = |dir: &RunDir, latent| load(dir, kind, latent, &device).unwrap_err();
            save(&dir, &Stored { record: Record { format: 9, ..record(kind) }, sampler }).unwrap();
            let error = refused(&dir, 3);
            assert!(error.to_string().contains("version 9") && error.path() == Some(&file), "{error}");
            assert_eq!(refused(&dir, 4).kind(), ErrorKind::Model, "codes of another size");
            let bytes = fs::read(&file).unwrap();
            for cut in [0, 1, 20, bytes.len() / 2, bytes.len() - 1] {
                fs::write(&file, &bytes[..cut]).unwrap();
                assert_eq!(refused(&dir, 3).kind(), ErrorKind::Model, "{kind} cut after {cut} bytes");
            }
        }
    }
}

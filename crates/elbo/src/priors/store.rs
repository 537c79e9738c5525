//! Samplers in the folder of their run: `priors/NAME.json`, and networks of version 1 as `priors/NAME.safetensors`.
//!
//! A file holds the sampler and its [`Record`]: which codes, from which weights, which seed. What is read back samples the same bytes. A sampler of
//! other weights (the run was trained on since, or another checkpoint is asked for) is not used: its record does not match.

use std::io;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{ClassMixtures, CodesKind, Sampler, SamplerKind, v1};
use crate::error::{Error, Result};
use crate::mixtures::GaussianMixture;
use crate::run::directory::RunDir;

/// Version of the files written here; newer ones are refused.
pub const FORMAT: u32 = 1;

/// Longest JSON file accepted, in bytes: a hundred components with full covariances of codes of 256 dimensions.
pub const MAX_JSON_BYTES: u64 = 1 << 27;

const REFIT: &str = "remove the file: it is fitted again when it is next asked for";

/// What a sampler was fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Record {
    /// Version of this layout.
    pub format: u32,
    /// Which sampler it is.
    pub sampler: SamplerKind,
    /// What stands for an example: the mean or a draw.
    pub codes: CodesKind,
    /// Of which split.
    pub split: String,
    /// How many codes it was fitted to.
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
#[non_exhaustive]
pub struct Stored {
    /// What it was fitted on.
    pub record: Record,
    /// The sampler, ready to draw.
    pub sampler: Sampler,
}

/// A mixture's file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MixtureFile {
    record: Record,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mixture: Option<GaussianMixture>,
    /// In its place, for a conditional model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of_classes: Option<ClassMixtures>,
}

/// Where a sampler's file is; none for those that have none.
pub fn path(dir: &RunDir, kind: &SamplerKind) -> Option<PathBuf> {
    file_name(kind).map(|name| dir.join(&name))
}

fn file_name(kind: &SamplerKind) -> Option<String> {
    match kind {
        SamplerKind::Normal => None,
        SamplerKind::Gaussian | SamplerKind::Mixture => Some(format!("priors/{kind}.json")),
        SamplerKind::Prior(name) => v1::file_name(name),
    }
}

/// Whether there is a file of a sampler, whatever it was fitted on.
///
/// # Errors
/// As [`RunDir::find`].
pub fn is_there(dir: &RunDir, kind: &SamplerKind) -> Result<bool> {
    file_name(kind).map_or(Ok(false), |name| Ok(dir.find(&name)?.is_some()))
}

/// Writes a sampler in closed form to its run, whole or not at all. The others are runs, which write themselves.
///
/// # Errors
/// [`Error::Io`].
pub fn save(dir: &RunDir, stored: &Stored) -> Result<()> {
    let (Some(text), Some(name)) = (to_json(stored), file_name(&stored.sampler.kind())) else { return Ok(()) };
    if text.len() as u64 > MAX_JSON_BYTES {
        let found = format!("{} bytes, of {MAX_JSON_BYTES} that would be read back", text.len());
        return Err(Error::io(dir.join(&name), "keep")(io::Error::new(io::ErrorKind::FileTooLarge, found)));
    }
    dir.write(&name, text)
}

/// The file of a sampler in closed form; none of another.
pub fn to_json(stored: &Stored) -> Option<String> {
    let (mixture, of_classes) = match &stored.sampler {
        Sampler::Gaussian(mixture) | Sampler::Mixture(mixture) => (Some(mixture.clone()), None),
        Sampler::OfClasses(mixtures) => (None, Some(mixtures.clone())),
        Sampler::Normal(_) | Sampler::Network(_) => return None,
    };
    Some(json(&MixtureFile { record: stored.record.clone(), mixture, of_classes }))
}

/// A sampler in closed form, `gaussian` or `mixture`, from the bytes of its file; `path` is what errors name.
///
/// # Errors
/// [`Error::Model`] for a file that is damaged, of a newer version or of another sampler.
pub fn from_json(bytes: &[u8], path: &Path, kind: &SamplerKind, latent: usize) -> Result<Stored> {
    let MixtureFile { record, mixture, of_classes } = read_mixture(bytes, path)?;
    check_record(&record, kind, latent, path)?;
    let sampler = match (mixture, of_classes) {
        (Some(mixture), None) if *kind == SamplerKind::Gaussian => Sampler::Gaussian(mixture),
        (Some(mixture), None) => Sampler::Mixture(mixture),
        (None, Some(mixtures)) if mixtures.kind() == kind && !mixtures.mixtures().is_empty() => {
            Sampler::OfClasses(mixtures)
        }
        _ => return Err(damaged(path, "mixture", "a mixture, or one for each class", "neither, or both".into())),
    };
    let mixtures = match &sampler {
        Sampler::OfClasses(mixtures) => mixtures.mixtures(),
        Sampler::Gaussian(mixture) | Sampler::Mixture(mixture) => std::slice::from_ref(mixture),
        Sampler::Normal(_) | Sampler::Network(_) => &[],
    };
    match mixtures.iter().find(|mixture| mixture.dims() != latent) {
        None => Ok(Stored { record, sampler }),
        Some(mixture) => {
            let expected = format!("means of {latent} numbers");
            Err(damaged(path, "mixture", expected, mixture.dims().to_string()))
        }
    }
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and strings always become JSON")
}

/// Reads a sampler's file; none if there is none. Of priors, this is one of version 1.
///
/// # Errors
/// [`Error::Model`] for a file that is damaged or of a newer version, [`Error::Io`].
pub fn load(dir: &RunDir, kind: &SamplerKind, latent: usize, device: &Device) -> Result<Option<Stored>> {
    let Some(name) = file_name(kind) else { return Ok(None) };
    if !dir.has_file(&name)? {
        return Ok(None);
    }
    let path = dir.join(&name);
    let (record, sampler) = match kind {
        SamplerKind::Normal => return Ok(None),
        SamplerKind::Gaussian | SamplerKind::Mixture => {
            return from_json(&dir.read(&name, MAX_JSON_BYTES)?, &path, kind, latent).map(Some);
        }
        SamplerKind::Prior(name) => {
            let (record, network) =
                v1::load(dir.open_file(&format!("priors/{name}.safetensors"))?, &path, name, latent, device)?;
            (record, Sampler::Network(Box::new(network)))
        }
    };
    check_record(&record, kind, latent, &path)?;
    Ok(Some(Stored { record, sampler }))
}

fn check_record(record: &Record, kind: &SamplerKind, latent: usize, path: &Path) -> Result<()> {
    if record.format != FORMAT {
        let (expected, found) = (format!("version {FORMAT}"), format!("version {}", record.format));
        return Err(Error::model(path, "format", expected, found, "a newer elbo wrote this file; update"));
    }
    if record.sampler != *kind || record.latent != latent {
        let expected = format!("the sampler `{kind}` of codes of {latent} dimensions");
        let found = format!("`{}` of {}", record.sampler, record.latent);
        return Err(damaged(path, "record", expected, found));
    }
    Ok(())
}

fn read_mixture(bytes: &[u8], path: &Path) -> Result<MixtureFile> {
    serde_json::from_slice(bytes).map_err(|error| damaged(path, "content", "a sampler as JSON", error.to_string()))
}

pub(super) fn damaged(path: &Path, place: &str, expected: impl Into<String>, found: String) -> Error {
    Error::model(path, place, expected, found, REFIT)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Draw;
    use super::*;
    use crate::distributions::{Likelihood, Link};
    use crate::error::ErrorKind;
    use crate::models::{Architecture, Maf, MafConfig, Vae};
    use crate::networks::NetworkConfig;
    use crate::random::{Draws, Purpose};
    use crate::run::parameters;
    use crate::space::Space;

    /// Writes each sampler that has a file; networks as version 1 did.
    fn write(dir: &RunDir, kind: &SamplerKind, format: u32, device: &Device) {
        let record = Record { format, ..record(kind.clone()) };
        let config = r#"{"blocks":2,"hidden":[8],"epochs":2,"steps":9,"batch_size":256,"lr":0.001}"#;
        let tensors = match kind {
            SamplerKind::Prior(name) if name == "maf" => {
                let flow = Maf::init(Space::vector(3), &MafConfig { blocks: 2, hidden: vec![8] }, 5, device);
                parameters::export(&flow)
            }
            SamplerKind::Prior(_) => {
                let likelihood = Likelihood::GaussianShared { link: Link::Identity };
                let network = NetworkConfig::mlp(&[8]);
                let architecture = Architecture::new(Space::vector(3), 3, &network, likelihood);
                parameters::export(&Vae::init(&architecture, 5, device))
            }
            kind => {
                let codes = Draws::new(0, Purpose::Choice, 0, 0).normals(120);
                let sampler = Sampler::fit(kind, &codes, 3, 0, device).unwrap();
                return save(dir, &Stored { record, sampler }).unwrap();
            }
        };
        dir.write(&file_name(kind).unwrap(), v1::bytes(&record, config, tensors, 3)).unwrap();
    }

    fn with_files() -> Vec<SamplerKind> {
        SamplerKind::builtin().into_iter().filter(|kind| *kind != SamplerKind::Normal).collect()
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
            weights_sha256: "0123456789abcdef".repeat(4),
        }
    }

    #[test]
    fn what_is_read_back_samples_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, device) = (RunDir::create(folder.path().join("r")).unwrap(), crate::device::choose("cpu").unwrap());
        let draw = Draw { count: 7, temperature: 0.8, truncation: Some(2.0), seed: 5 };
        for kind in with_files() {
            assert!(load(&dir, &kind, 3, &device).unwrap().is_none());
            write(&dir, &kind, FORMAT, &device);
            let read = || load(&dir, &kind, 3, &device).unwrap().unwrap();
            assert_eq!((&read().record, read().sampler.kind()), (&record(kind.clone()), kind.clone()));
            let drawn = read().sampler.sample(&draw);
            assert_eq!((drawn.len(), &drawn), (21, &read().sampler.sample(&draw)), "{kind}");
            assert!(drawn.iter().all(|value| value.is_finite()));
        }
        assert!(load(&dir, &SamplerKind::Normal, 3, &device).unwrap().is_none());
    }

    #[test]
    fn damaged_and_foreign_files_are_refused_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, device) = (RunDir::create(folder.path().join("r")).unwrap(), crate::device::choose("cpu").unwrap());
        for kind in with_files() {
            let file = path(&dir, &kind).unwrap();
            let refused = |dir: &RunDir, latent| load(dir, &kind, latent, &device).unwrap_err();
            write(&dir, &kind, 9, &device);
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

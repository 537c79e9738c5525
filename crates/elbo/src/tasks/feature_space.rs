//! The space in which images are compared, by its name; the classifier is trained once and kept.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::run::Run;
use crate::data::Splits;
use crate::data::home;
use crate::error::{Error, Result};
use crate::evaluation::{FeatureSpace, Inception};
use crate::networks::Classifier;
use crate::run::{atomic, parameters, weights};
use crate::suggest::did_you_mean;
use crate::training::{accuracy, train_classifier};

/// Names of the spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeatureName {
    /// The values as they are.
    Pixels,
    /// Principal components of the training images.
    Pca,
    /// The last hidden layer of a classifier trained on the labelled training images.
    Classifier,
    /// Inception v3 with the weights of a file, as published Frechet distances have it.
    Inception(PathBuf),
}

impl FromStr for FeatureName {
    type Err = Error;

    /// `pixels`, `pca`, `classifier` or `inception:FILE`.
    fn from_str(name: &str) -> Result<Self> {
        match name.split_once(':') {
            Some(("inception", file)) if !file.is_empty() => Ok(Self::Inception(file.into())),
            None if name == "pixels" => Ok(Self::Pixels),
            None if name == "pca" => Ok(Self::Pca),
            None if name == "classifier" => Ok(Self::Classifier),
            _ => {
                let names = ["pixels", "pca", "classifier", "inception:FILE"];
                let help = match did_you_mean(name, names) {
                    Some("inception:FILE") => {
                        "FILE holds Inception's weights as safetensors: docs/evaluation.md says how to get it".into()
                    }
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "pca compares all images of one size quickly".into(),
                };
                Err(Error::config("features", names.join(", "), format!("`{name}`"), help))
            }
        }
    }
}

/// Raised whenever the same data give another classifier.
const VERSION: u32 = 1;
/// Steps that a classifier is trained for, about, within these numbers of epochs.
const STEPS: usize = 1500;
const EPOCHS: [usize; 2] = [3, 30];
/// What every classifier starts from: runs on the same data are compared in one space, whatever their own seeds.
const SEED: u64 = 0;

/// The space called `name` for images of the run's data.
///
/// # Errors
/// [`Error::Config`] where images are too large, or have no classes; [`Error::Model`] and [`Error::Io`] for a file that does not hold Inception's weights.
pub(super) fn feature_space(name: &FeatureName, run: &Run, splits: &Splits) -> Result<FeatureSpace> {
    match name {
        FeatureName::Pixels => FeatureSpace::pixels(run.model.space().numel()),
        FeatureName::Pca => FeatureSpace::pca(&splits.train, &run.device),
        FeatureName::Classifier => classifier_space(run, splits),
        FeatureName::Inception(file) => inception_space(file, run, splits),
    }
}

fn inception_space(file: &Path, run: &Run, splits: &Splits) -> Result<FeatureSpace> {
    let inception = Inception::read(file, &run.device)?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    FeatureSpace::inception(inception, splits.train.source().shape(), &name)
}

/// The classifier of the run's data: the one kept, or a new one.
pub(super) fn classifier(run: &Run, splits: &Splits) -> Result<Classifier> {
    let (train, device) = (&splits.train, &run.device);
    let path = cache_path(splits);
    let kept = path.as_ref().and_then(|path| load(path, run, splits).ok());
    match kept {
        Some(classifier) => Ok(classifier),
        None => {
            let epochs = (STEPS * 128 / train.len().max(1)).clamp(EPOCHS[0], EPOCHS[1]);
            let trained = train_classifier(train, epochs, SEED, device)?;
            // Where nothing can be kept it is trained again next time.
            if let Some(path) = &path {
                let _ = save(path, &trained);
            }
            Ok(trained)
        }
    }
}

fn classifier_space(run: &Run, splits: &Splits) -> Result<FeatureSpace> {
    let (train, device) = (&splits.train, &run.device);
    let classifier = classifier(run, splits)?;
    let held_out = if splits.test.is_empty() { ("train", train) } else { ("test", &splits.test) };
    let description = format!(
        "{} features of a classifier trained on {} images, accuracy {:.4} on the {} split",
        Classifier::FEATURES,
        train.len(),
        accuracy(&classifier, held_out.1, device),
        held_out.0
    );
    Ok(FeatureSpace::classifier(classifier, description))
}

/// One file for each training split: by content, shape, number of images and how they become binary.
fn cache_path(splits: &Splits) -> Option<PathBuf> {
    let source = splits.train.source();
    let content: String = source.fingerprint().chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    let [channels, height, width] = source.shape().dims();
    let binarization = splits.train.binarization();
    let binary = format!("{:?}-{}", binarization.binarize, binarization.seed).to_lowercase();
    let places = splits.train.indices().iter().fold(0u64, |sum, &i| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(i));
    let name = format!("{content}-{channels}x{height}x{width}-{binary}-{places:016x}-v{VERSION}.safetensors");
    Some(home()?.join("classifiers").join(name))
}

fn load(path: &PathBuf, run: &Run, splits: &Splits) -> Result<Classifier> {
    let source = splits.train.source();
    let classifier = Classifier::init(source.shape().dims(), source.label_names().len(), SEED, &run.device);
    let tensors = weights::check(weights::read(path)?, &parameters::shapes(&classifier), path)?;
    Ok(parameters::import(classifier, tensors))
}

fn save(path: &PathBuf, classifier: &Classifier) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
    }
    atomic::write_file(path, &weights::to_bytes(&parameters::export(classifier), &Default::default()))
}

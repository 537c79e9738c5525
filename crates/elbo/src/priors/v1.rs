//! Networks as files of version 1: `priors/maf.safetensors` and `priors/two-stage.safetensors` of runs from before priors were runs.
//!
//! They are read and sample the same bytes; none is written any more.

use std::fs::File;
use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::NetworkPrior;
#[cfg(test)]
use super::store::json;
use super::store::{Record, damaged};
use crate::data::Columns;
use crate::distributions::{Likelihood, Link};
use crate::error::Result;
use crate::models::{Architecture, Maf, MafConfig, Model, Vae};
use crate::networks::NetworkConfig;
use crate::run::parameters;
use crate::run::weights::{self, NamedTensor, WeightFile};
use crate::space::Space;

/// What was written of a flow's and of a second stage's configuration; how it was trained no longer matters.
#[derive(Deserialize)]
struct Sizes {
    #[serde(default)]
    blocks: usize,
    hidden: Vec<usize>,
}

impl Sizes {
    /// Whether the sizes make a network at all, and one of at most `most` weights.
    fn is_sound(&self, blocks: usize, most: usize) -> bool {
        let inner: usize =
            self.hidden.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).fold(0, usize::saturating_add);
        let widest = self.hidden.iter().copied().max().unwrap_or(0).max(inner);
        let layers = (1..=64).contains(&blocks) && self.hidden.len() <= 16 && !self.hidden.contains(&0);
        layers && widest.saturating_mul(blocks) <= most
    }
}

/// Reads the file of the prior `name`, `maf` or `two-stage`.
///
/// # Errors
/// [`crate::Error::Model`] for a damaged file, [`crate::Error::Io`].
pub(super) fn load(
    file: File,
    path: &Path,
    name: &str,
    latent: usize,
    device: &Device,
) -> Result<(Record, NetworkPrior)> {
    let file = weights::read_open(file, path)?;
    let (record, sizes): (Record, Sizes) = (metadata(&file, "record", path)?, metadata(&file, "config", path)?);
    let most = file.tensors.iter().map(|tensor| tensor.values.len()).sum();
    let is_flow = name == "maf";
    if !sizes.is_sound(if is_flow { sizes.blocks } else { 1 }, most) {
        return Err(damaged(path, "config", "sizes of a network", "others".to_owned()));
    }
    let device = device.clone().without_autodiff();
    let (model, columns): (Box<dyn Model>, Columns) = match is_flow {
        true => {
            let config = MafConfig { blocks: sizes.blocks, hidden: sizes.hidden };
            let flow = Maf::init(Space::vector(latent), &config, 0, &device);
            let (tensors, columns) = checked(file, parameters::shapes(&flow), latent, path)?;
            (Box::new(parameters::import(flow, tensors)), columns)
        }
        false => {
            let network = NetworkConfig::mlp(&sizes.hidden);
            let likelihood = Likelihood::GaussianShared { link: Link::Identity };
            let architecture = Architecture::new(Space::vector(latent), latent, &network, likelihood);
            let vae = Vae::init(&architecture, 0, &device);
            let (tensors, columns) = checked(file, parameters::shapes(&vae), latent, path)?;
            (Box::new(parameters::import(vae, tensors)), columns)
        }
    };
    Ok((record, NetworkPrior::new(name, model, &columns, &device)?))
}

/// The network's tensors and the scale of the codes, which stands after them.
fn checked(
    file: WeightFile,
    mut shapes: Vec<(String, Vec<usize>)>,
    latent: usize,
    path: &Path,
) -> Result<(Vec<NamedTensor>, Columns)> {
    shapes.extend(["standardised.shift", "standardised.scale"].map(|name| (name.to_owned(), vec![latent])));
    let mut tensors = weights::check(file, &shapes, path)?;
    let mut last =
        || tensors.pop().map(|tensor| tensor.values.into_iter().map(f64::from).collect()).unwrap_or_default();
    let (std, mean) = (last(), last());
    Ok((tensors, Columns { names: (0..latent).map(|j| format!("z{j}")).collect(), mean, std }))
}

fn metadata<T: DeserializeOwned>(file: &WeightFile, key: &str, path: &Path) -> Result<T> {
    let text = file.metadata.get(key).map_or("", String::as_str);
    serde_json::from_str(text).map_err(|error| damaged(path, key, "JSON", error.to_string()))
}

/// Where the file of a prior of version 1 would be; none for a name that never had one.
pub(super) fn file_name(name: &str) -> Option<String> {
    ["maf", "two-stage"].contains(&name).then(|| format!("priors/{name}.safetensors"))
}

/// Writes a prior as version 1 did, for tests.
#[cfg(test)]
pub(super) fn bytes(record: &Record, config: &str, mut tensors: Vec<NamedTensor>, latent: usize) -> Vec<u8> {
    let tensor =
        |name: &str, value: f32| NamedTensor { name: name.into(), shape: vec![latent], values: vec![value; latent] };
    tensors.extend([tensor("standardised.shift", 0.5), tensor("standardised.scale", 2.0)]);
    let metadata = [("record".to_owned(), json(record)), ("config".to_owned(), config.to_owned())];
    weights::to_bytes(&tensors, &metadata.into_iter().collect())
}

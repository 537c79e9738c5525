//! What a model makes of many examples: their codes, loss terms, and what each dimension of the code carries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use burn::tensor::{Tensor, TensorData};
use elbo::data::Subset;
use elbo::data::batch::batch;
use elbo::evaluation::{self, Codes};
use elbo::models::Model;
use elbo::tasks::Run;
use elbo::tensors::values_of;
use tokio::sync::OnceCell;

use crate::models::{Loaded, Models};
use crate::problem::Problem;

/// Examples in one step, between which other requests are answered.
const STEP: usize = 256;
/// Analyses kept.
const KEPT: usize = 12;

/// Which examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// The split held back for the test, from its start.
    HeldOut,
    /// Training examples chosen at random.
    Gallery,
}

/// Codes and loss terms of some examples.
#[derive(Debug)]
pub(crate) struct Analysis {
    /// Name of the split they are from.
    pub split: &'static str,
    /// Their places in it.
    pub places: Vec<u32>,
    pub codes: Codes,
    /// `recon` at the posterior mean, `-log p(x|z = mean)`, and KL, in nats.
    pub recon: Vec<f32>,
    pub kl: Vec<f32>,
    /// Mean KL of each dimension; empty for an autoencoder.
    pub kl_per_dim: Vec<f64>,
}

impl Analysis {
    /// How badly the model explains an example: `recon + kl` at the posterior mean, higher is stranger.
    pub fn score(&self, example: usize) -> f32 {
        self.recon[example] + self.kl[example]
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.places.len()
    }
}

/// `recon` and KL of each example of a batch at the posterior mean, and the KL of each example and dimension.
pub(crate) fn terms_at_mean(trained: &Run, x: Tensor<2>) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let dims = [x.dims()[0], trained.model.noise_dims()];
    let noise = Tensor::from_data(TensorData::new(vec![0f32; dims[0] * dims[1]], dims), &trained.device);
    let terms = trained.model.terms(x, noise);
    let by_dim = terms.kl.map(values_of).unwrap_or_default();
    let kl = match by_dim.is_empty() {
        true => vec![0.0; dims[0]],
        false => by_dim.chunks_exact(trained.model.latent()).map(|row| row.iter().sum()).collect(),
    };
    (values_of(terms.recon), kl, by_dim)
}

/// Work for [`crate::worker::Worker::steps`].
pub(crate) fn analyse(
    loaded: Loaded,
    split: &'static str,
    examples: Subset,
    places: Vec<u32>,
) -> impl FnMut(&mut Models) -> Result<Option<Analysis>, Problem> + Send + 'static {
    let latent = loaded.trained.config.model.latent;
    let codes = Codes { latent, mean: Vec::new(), log_var: Some(Vec::new()), labels: Some(Vec::new()) };
    let (recon, kl) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
    let mut analysis = Some(Analysis { split, places, codes, recon, kl, kl_per_dim: vec![0.0; latent] });
    move |_| {
        let Some(found) = analysis.as_mut() else { return Err(Problem::internal()) };
        let (trained, start) = (&loaded.trained, found.recon.len());
        let chosen = &found.places[start..found.places.len().min(start + STEP)];
        if !chosen.is_empty() {
            found.codes.append(evaluation::encode(&trained.model, &examples.select(chosen), &trained.device));
            let (recon, kl, by_dim) = terms_at_mean(trained, batch(&examples, chosen, &trained.device));
            found.recon.extend(recon);
            found.kl.extend(kl);
            if by_dim.is_empty() {
                found.kl_per_dim.clear();
            }
            for row in by_dim.chunks_exact(latent) {
                found.kl_per_dim.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        }
        if found.recon.len() < found.places.len() {
            return Ok(None);
        }
        let n = found.places.len().max(1) as f64;
        found.kl_per_dim.iter_mut().for_each(|sum| *sum /= n);
        Ok(analysis.take())
    }
}

type Key = (String, Of, SystemTime);

/// The analyses made so far. Of a run that trains on, only the newest is kept.
#[derive(Debug, Default)]
pub(crate) struct Analyses {
    made: Mutex<HashMap<Key, Arc<OnceCell<Arc<Analysis>>>>>,
}

impl Analyses {
    /// The cell of an analysis, made or to be made.
    pub fn cell(&self, id: &str, of: Of, stamp: SystemTime) -> Arc<OnceCell<Arc<Analysis>>> {
        let mut made = self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        made.retain(|(other, which, when), _| other != id || *which != of || *when == stamp);
        let key = (id.to_owned(), of, stamp);
        if made.len() >= KEPT && !made.contains_key(&key) {
            made.clear();
        }
        Arc::clone(made.entry(key).or_default())
    }
}

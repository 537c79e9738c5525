//! What a model makes of many examples: their codes, loss terms, and what each dimension of the code carries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use elbo::data::Subset;
use elbo::data::batch::Batch;
use elbo::evaluation::{self, Codes};
use elbo::models::{Model, Terms};
use elbo::networks::Pass;
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
    /// Mean KL of each dimension; empty for a model that bounds nothing.
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

    /// Adds what the model makes of further examples; `kl_per_dim` holds sums meanwhile.
    fn take_in(&mut self, run: &Run, examples: &Subset, chosen: &[u32]) -> elbo::Result<()> {
        let model = run.model.as_ref();
        self.codes.append(evaluation::encode(model, &examples.select(chosen), &run.device)?);
        let batch = Batch::of_split(examples, chosen, model.needs(), &run.device);
        let TermsAtMean { recon, kl, kl_per_dim } = TermsAtMean::of(model, &batch)?;
        self.recon.extend(recon);
        self.kl.extend(kl);
        if kl_per_dim.is_empty() {
            self.kl_per_dim.clear();
        }
        for row in kl_per_dim.chunks_exact(self.codes.latent) {
            self.kl_per_dim.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        Ok(())
    }
}

/// The terms of each example of a batch at the mean of its posterior.
pub(crate) struct TermsAtMean {
    /// `-log p(x|z = mean)`. `[n]`, in nats.
    pub recon: Vec<f32>,
    /// Summed over dimensions; zeros for a model that bounds nothing. `[n]`, in nats.
    pub kl: Vec<f32>,
    /// By example and dimension; empty for a model that bounds nothing. `[n, latent]`.
    kl_per_dim: Vec<f32>,
}

impl TermsAtMean {
    /// The terms of a batch.
    ///
    /// # Errors
    /// [`elbo::Error::Unsupported`] for a model without a likelihood p(x|z).
    pub fn of(model: &dyn Model, batch: &Batch) -> elbo::Result<Self> {
        let observe = model.observe_or_refuse()?;
        let Some(bound) = model.bound() else {
            let code = model.encode_vectors_or_refuse()?.encode(batch).mean();
            let recon = values_of(observe.recon(&[code.into()], &batch.given, batch.x.real()));
            return Ok(Self { kl: vec![0.0; recon.len()], recon, kl_per_dim: Vec::new() });
        };
        let Terms { recon, kl, .. } = bound.terms(batch, &Pass::still());
        let [_, latent] = kl.dims();
        let kl_per_dim = values_of(kl);
        let kl = kl_per_dim.chunks_exact(latent).map(|row| row.iter().sum()).collect();
        Ok(Self { recon: values_of(recon), kl, kl_per_dim })
    }
}

/// Work for [`crate::worker::Worker::steps`].
pub(crate) fn analyse(
    loaded: Loaded,
    split: &'static str,
    examples: Subset,
    places: Vec<u32>,
) -> impl FnMut(&mut Models) -> Result<Option<Analysis>, Problem> + Send + 'static {
    let latent = loaded.run.latent();
    let codes = Codes { latent, mean: Vec::new(), log_var: Some(Vec::new()), labels: Some(Vec::new()) };
    let (recon, kl) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
    let mut analysis = Some(Analysis { split, places, codes, recon, kl, kl_per_dim: vec![0.0; latent] });
    move |_| {
        let Some(found) = analysis.as_mut() else { return Err(Problem::internal()) };
        let start = found.recon.len();
        let chosen = found.places[start..found.places.len().min(start + STEP)].to_vec();
        if !chosen.is_empty() {
            found.take_in(&loaded.run, &examples, &chosen)?;
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

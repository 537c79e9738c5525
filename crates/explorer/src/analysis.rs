//! What a model makes of many examples: their codes, loss terms, and what each dimension of the code carries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use elbo::data::Subset;
use elbo::data::batch::Batch;
use elbo::evaluation::{self, Codes};
use elbo::generation::random_places;
use elbo::models::{Model, Terms};
use elbo::networks::Pass;
use elbo::tasks::Run;
use elbo::tensors::values_of;
use tokio::sync::OnceCell;

use crate::datasets::{Datasets, LONGEST};
use crate::limits::{GALLERY, MAX_EXAMPLES};
use crate::models::{Loaded, Models};
use crate::problem::Problem;
use crate::run_entry::RunEntry;
use crate::worker::Worker;

/// Examples in one step, between which other requests are answered.
const STEP: usize = 256;
/// Analyses kept.
const KEPT: usize = 12;

/// Which examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Of {
    /// Examples of the split held back for the test, chosen at random where it is large.
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
    /// How badly the model explains each: `recon + kl` at the posterior mean, in nats, higher is stranger.
    /// Empty for a model without a likelihood.
    pub scores: Vec<f32>,
    /// Mean KL of each dimension; empty for a model that bounds nothing.
    pub kl_per_dim: Vec<f64>,
}

impl Analysis {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Adds what the model makes of further examples; `kl_per_dim` holds sums meanwhile.
    fn take_in(&mut self, run: &Run, examples: &Subset, chosen: &[u32]) -> elbo::Result<()> {
        let model = run.model.as_ref();
        self.codes.append(evaluation::encode(model, &examples.select(chosen), &run.device)?);
        if model.observe_or_refuse().is_err() {
            self.kl_per_dim.clear();
            return Ok(());
        }
        let batch = Batch::of_split(examples, chosen, model.needs(), &run.device);
        let TermsAtMean { recon, kl, kl_per_dim } = TermsAtMean::of(model, &batch)?;
        self.scores.extend(recon.iter().zip(&kl).map(|(recon, kl)| recon + kl));
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
    /// `-log p(x|z)` at the mean code. `[n]`, in nats.
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

/// Work for [`Worker::steps`].
fn analyse(
    loaded: Loaded,
    split: &'static str,
    examples: Subset,
    places: Vec<u32>,
) -> impl FnMut(&mut Models) -> Result<Option<Analysis>, Problem> + Send + 'static {
    let latent = loaded.run.latent();
    let codes = Codes { latent, mean: Vec::new(), log_var: Some(Vec::new()), labels: Some(Vec::new()) };
    let scores = Vec::with_capacity(places.len());
    let (mut analysis, mut start) = (Some(Analysis { split, places, codes, scores, kl_per_dim: vec![0.0; latent] }), 0);
    move |_| {
        let Some(found) = analysis.as_mut() else { return Err(Problem::internal()) };
        let chosen = found.places[start..found.places.len().min(start + STEP)].to_vec();
        start += chosen.len();
        if !chosen.is_empty() {
            found.take_in(&loaded.run, &examples, &chosen)?;
        }
        if start < found.places.len() {
            return Ok(None);
        }
        let n = found.places.len().max(1) as f64;
        found.kl_per_dim.iter_mut().for_each(|sum| *sum /= n);
        Ok(analysis.take())
    }
}

type Key = (String, Of, SystemTime);

/// The analyses made so far. Of a run that trains on, only the newest is kept.
#[derive(Debug)]
pub(crate) struct Analyses {
    worker: Arc<Worker>,
    datasets: Arc<Datasets>,
    /// How long a request waits for one.
    patience: Duration,
    made: Mutex<HashMap<Key, Cell>>,
}

/// An analysis, made or to be made.
type Cell = Arc<OnceCell<Arc<Analysis>>>;

impl Analyses {
    pub fn new(worker: &Arc<Worker>, datasets: &Arc<Datasets>, patience: Duration) -> Self {
        Self { worker: Arc::clone(worker), datasets: Arc::clone(datasets), patience, made: Mutex::default() }
    }

    /// What a run's model makes of its held-out split or of its gallery; made in the background when asked for first.
    pub async fn get(&self, run: &Arc<RunEntry>, of: Of) -> Result<Arc<Analysis>, Problem> {
        let loaded = self.worker.loaded(run).await?;
        let cell = self.cell(&run.id, of, loaded.stamp);
        if let Some(made) = cell.get() {
            return Ok(Arc::clone(made));
        }
        let (worker, datasets) = (Arc::clone(&self.worker), Arc::clone(&self.datasets));
        // A task of its own: it goes on when this client has lost patience, and serves the next.
        let making =
            tokio::spawn(
                async move { cell.get_or_try_init(|| make(&worker, &datasets, loaded, of)).await.map(Arc::clone) },
            );
        match tokio::time::timeout(self.patience, making).await {
            Ok(made) => made.map_err(|_| Problem::internal())?,
            Err(_) => Err(Problem::late(self.patience)),
        }
    }

    fn cell(&self, id: &str, of: Of, stamp: SystemTime) -> Cell {
        let mut made = self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        made.retain(|(other, which, when), _| other != id || *which != of || *when == stamp);
        let key = (id.to_owned(), of, stamp);
        if made.len() >= KEPT && !made.contains_key(&key) {
            made.clear();
        }
        Arc::clone(made.entry(key).or_default())
    }
}

async fn make(worker: &Worker, datasets: &Datasets, loaded: Loaded, of: Of) -> Result<Arc<Analysis>, Problem> {
    // Nobody waits for this longer than they like.
    let data = datasets.of(&loaded.run, LONGEST).await?;
    let (split, examples) = match of {
        Of::HeldOut => data.split(None)?,
        Of::Gallery => ("train", &data.splits.train),
    };
    let places = match of {
        // Sources may be ordered by class: the first ones are no sample.
        Of::HeldOut => examples.sampled_places(MAX_EXAMPLES, loaded.run.config.training.seed),
        Of::Gallery => random_places(examples, GALLERY, loaded.run.config.training.seed),
    };
    let work = analyse(loaded, split, examples.clone(), places);
    Ok(Arc::new(worker.steps(work).await?))
}

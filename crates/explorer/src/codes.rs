//! Codes that are symbols: how a run uses its codebooks, what each entry stands for, and the prior over them.
//!
//! Everything here takes long the first time. Codes are counted in steps of the worker, so that other requests are
//! answered between them; patches and rates are computed beside it, one at a time. What is kept is bounded by
//! [`MAX_SYMBOLS`] of each run. A prior is read from the run's folder and never trained here.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use elbo::data::Subset;
use elbo::evaluation::{CodePatch, CodeUse, code_patches, code_use};
use elbo::generation::random_places;
use elbo::run::directory::RunDir;
use elbo::tasks::{Run, SymbolPrior};

use crate::background::{Alone, Background, PATIENCE, State};
use crate::datasets::{Datasets, LONGEST};
use crate::limits::{MAX_EXAMPLES, MAX_SYMBOLS, MOST_PATCHES, RATED_SYMBOLS};
use crate::models::{Loaded, Models};
use crate::problem::Problem;
use crate::run_entry::{RunEntry, stamp};
use crate::worker::Worker;

/// Examples in one step, between which other requests are answered.
const STEP: usize = 256;
/// Runs whose codes are kept.
const KEPT: usize = 4;
/// Codebooks whose patches are kept.
const KEPT_BOOKS: usize = 16;
/// Fewest and most training examples that rates are compared with.
const RATED_EXAMPLES: [usize; 2] = [100, 2000];

/// How a run uses its codes.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Name of the split they are of.
    pub split: &'static str,
    /// The examples, and their places in the split.
    pub examples: Subset,
    pub places: Vec<u32>,
    /// Each map, from the top level down.
    pub levels: Vec<CodeUse>,
    /// The most common code at each place of a row, of all levels.
    pub usual: Vec<u16>,
    /// Of each level, the perplexity at each place of each codebook's map.
    pub perplexity: Vec<Vec<f64>>,
    /// What the doctor says of them.
    pub findings: Vec<elbo::evaluation::ModelFinding>,
}

/// What the entries of a codebook stand for, the most used first.
#[derive(Debug)]
pub(crate) struct Patches {
    pub patches: Vec<CodePatch>,
    /// Channels, height, width of a patch.
    pub shape: [usize; 3],
}

/// Training examples that scores and neighbours are taken from.
#[derive(Debug)]
pub(crate) struct Rated {
    pub places: Vec<u32>,
    pub labels: Vec<Option<u32>>,
    /// Their codes, row after row.
    pub symbols: Vec<u16>,
    /// Of each: the nats of its codes under the prior; of a run without one, its reconstruction error.
    pub scores: Vec<f32>,
    /// Whether those are rates.
    pub by_prior: bool,
}

/// A run's prior over its symbols, if it has one that is complete.
pub(crate) type Prior = Option<Arc<SymbolPrior>>;
/// What is known of a run with these weights, and of the priors in its folder.
type Key = (String, SystemTime, Option<SystemTime>);

/// Of each run as of one checkpoint.
#[derive(Debug)]
pub(crate) struct Codes {
    worker: Arc<Worker>,
    datasets: Arc<Datasets>,
    alone: Alone,
    deadline: Duration,
    counted: Background<(String, SystemTime), Counted>,
    patches: Background<(String, SystemTime, usize, usize), Patches>,
    priors: Background<Key, Prior>,
    rated: Background<Key, Rated>,
}

impl Codes {
    pub fn new(worker: &Arc<Worker>, datasets: &Arc<Datasets>, alone: &Alone, deadline: Duration) -> Self {
        Self {
            worker: Arc::clone(worker),
            datasets: Arc::clone(datasets),
            alone: alone.clone(),
            deadline,
            counted: Background::new(KEPT),
            patches: Background::new(KEPT_BOOKS),
            priors: Background::new(KEPT),
            rated: Background::new(KEPT),
        }
    }

    /// The codes of the held-out split, or since when they are being counted.
    pub async fn counted(&self, run: &Arc<RunEntry>) -> Result<State<Counted>, Problem> {
        let loaded = self.worker.loaded(run).await?;
        let (worker, datasets) = (Arc::clone(&self.worker), Arc::clone(&self.datasets));
        let key = (run.id.clone(), loaded.stamp);
        self.counted.get(key, PATIENCE, || async move { count(&worker, &datasets, loaded).await }).await
    }

    /// The patches of a codebook, or since when they are being made.
    pub async fn patches(
        &self,
        run: &Arc<RunEntry>,
        counted: &Arc<Counted>,
        [level, book]: [usize; 2],
    ) -> Result<State<Patches>, Problem> {
        let loaded = self.worker.loaded(run).await?;
        let (alone, counted, key) =
            (self.alone.clone(), Arc::clone(counted), (run.id.clone(), loaded.stamp, level, book));
        let make = move || {
            let (found, device) = (&counted.levels[level], &loaded.run.device);
            let (patches, shape) = code_patches(found, &counted.examples, book, MOST_PATCHES, device);
            Ok(Patches { patches, shape })
        };
        self.patches.get(key, PATIENCE, || async move { alone.compute(make).await }).await
    }

    /// The prior in the run's folder that belongs to the loaded weights; none where there is none yet.
    pub async fn prior(&self, run: &Arc<RunEntry>) -> Result<Prior, Problem> {
        let loaded = self.worker.loaded(run).await?;
        self.prior_at(self.key(run, &loaded).await?, loaded).await
    }

    async fn prior_at(&self, key: Key, loaded: Loaded) -> Result<Prior, Problem> {
        let read = || async move {
            let reading =
                tokio::task::spawn_blocking(move || elbo::Error::catch(|| loaded.run.stored_symbol_prior(None)));
            let prior = reading.await.map_err(|_| Problem::internal())??;
            Ok::<_, Problem>(prior.map(Arc::new))
        };
        match self.priors.get(key, self.deadline, read).await? {
            State::Ready(prior) => Ok((*prior).clone()),
            State::Computing(_) => Err(Problem::late(self.deadline)),
        }
    }

    /// Training examples with their codes and scores, made in the background when asked for first.
    pub async fn rated(&self, run: &Arc<RunEntry>) -> Result<Arc<Rated>, Problem> {
        let loaded = self.worker.loaded(run).await?;
        // Scores are kept by the key that their prior was read by: another one may end its training meanwhile.
        let key = self.key(run, &loaded).await?;
        let prior = self.prior_at(key.clone(), loaded.clone()).await?;
        let (alone, datasets, patience) = (self.alone.clone(), Arc::clone(&self.datasets), self.deadline * 4);
        let make = || async move {
            let data = datasets.of(&loaded.run, LONGEST).await?;
            let train = data.splits.train.clone();
            alone.compute(move || rate(&loaded.run, prior.as_deref(), &train)).await
        };
        match self.rated.get(key, patience, make).await? {
            State::Ready(rated) => Ok(rated),
            State::Computing(_) => Err(Problem::late(patience)),
        }
    }

    async fn key(&self, run: &Arc<RunEntry>, loaded: &Loaded) -> Result<Key, Problem> {
        let entry = Arc::clone(run);
        let newest = tokio::task::spawn_blocking(move || newest_prior(&entry)).await;
        Ok((run.id.clone(), loaded.stamp, newest.map_err(|_| Problem::internal())?))
    }
}

/// When a prior in the run's folder was last told of: it is told of when its training ends.
fn newest_prior(run: &RunEntry) -> Option<SystemTime> {
    let names = RunDir::open(&run.path).and_then(|dir| dir.priors()).unwrap_or_default();
    names.iter().filter_map(|name| stamp(&run.path, &format!("priors/{name}/run.json"))).max()
}

async fn count(worker: &Worker, datasets: &Datasets, loaded: Loaded) -> Result<Counted, Problem> {
    let data = datasets.of(&loaded.run, LONGEST).await?;
    let (split, examples) = data.split(None)?;
    let width = loaded.run.symbol_space().map_or(1, |space| space.numel());
    // Sources may be ordered by class: the first ones are no sample.
    let places = examples.sampled_places(MAX_EXAMPLES.min(MAX_SYMBOLS / width).max(1), loaded.run.config.training.seed);
    let examples = examples.select(&places);
    let found = worker.steps(counting(loaded, examples.clone())).await?;
    // Passes over all symbols are no work for a thread that serves.
    let look = move || {
        let findings = elbo::evaluation::examine_codes(&found);
        let levels: Vec<CodeUse> = found.by_level().into_iter().map(|(_, level)| level).collect();
        let usual = levels.iter().flat_map(CodeUse::usual).collect();
        let perplexity = levels.iter().map(CodeUse::perplexity_at_places).collect();
        Counted { split, examples, places, levels, usual, perplexity, findings }
    };
    tokio::task::spawn_blocking(look).await.map_err(|_| Problem::internal())
}

/// Work for [`Worker::steps`].
fn counting(
    loaded: Loaded,
    examples: Subset,
) -> impl FnMut(&mut Models) -> Result<Option<CodeUse>, Problem> + Send + 'static {
    let (mut found, mut start): (Option<CodeUse>, u32) = (None, 0);
    move |_| {
        let chosen: Vec<u32> = (start..examples.len() as u32).take(STEP).collect();
        start += chosen.len() as u32;
        let further = code_use(loaded.run.model.as_ref(), &examples.select(&chosen), &loaded.run.device)?;
        match &mut found {
            None => found = Some(further),
            Some(found) => found.append(further),
        }
        Ok(if (start as usize) < examples.len() { None } else { found.take() })
    }
}

fn rate(run: &Run, prior: Option<&SymbolPrior>, train: &Subset) -> elbo::Result<Rated> {
    let width = run.symbol_space().map_or(1, |space| space.numel());
    let [fewest, most] = RATED_EXAMPLES;
    let places = random_places(train, (RATED_SYMBOLS / width).clamp(fewest, most), run.config.training.seed);
    let examples = train.select(&places);
    let (symbols, scores) = match prior {
        Some(prior) => {
            let symbols = run.symbols(&examples)?;
            let scores = prior.surprise(&symbols)?.chunks_exact(width).map(|row| row.iter().sum()).collect();
            (symbols, scores)
        }
        None => {
            let found = code_use(run.model.as_ref(), &examples, &run.device)?;
            (found.symbols, found.distortion.into_iter().map(|nats| nats as f32).collect())
        }
    };
    let labels = (0..examples.len()).map(|place| examples.label(place)).collect();
    Ok(Rated { places, labels, symbols, scores, by_prior: prior.is_some() })
}

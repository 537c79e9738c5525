//! What all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use burn::tensor::Device;
use elbo::generation::random_places;
use tokio::sync::{Semaphore, broadcast, watch};

use crate::analysis::{Analyses, Analysis, Of, analyse};
use crate::catalog::Catalog;
use crate::datasets::{Dataset, Datasets};
use crate::guard::Guard;
use crate::layouts::Layouts;
use crate::limits::{GALLERY, Limits, MAX_EXAMPLES};
use crate::metrics::Metrics;
use crate::models::{Loaded, Models};
use crate::problem::Problem;
use crate::run_entry::{Listed, RunEntry};
use crate::samplers::Samplers;
use crate::worker::Worker;

/// Changes that a slow listener may be behind before it is told to look again.
const CHANGES: usize = 256;

/// The service without its socket.
pub(crate) struct Service {
    pub catalog: Catalog,
    pub worker: Worker,
    pub datasets: Datasets,
    analyses: Analyses,
    pub samplers: Samplers,
    pub layouts: Layouts,
    /// Held by the one long computation that runs beside the worker.
    alone: Arc<Semaphore>,
    pub metrics: Arc<Metrics>,
    pub limits: Limits,
    pub device: Device,
    pub guard: Guard,
    /// Runs that are new or have changed.
    pub changes: broadcast::Sender<Listed>,
    /// True once the service is told to end.
    pub closing: watch::Sender<bool>,
    /// Whether a model has answered, or there is none to ask.
    ready: AtomicBool,
}

impl Service {
    pub fn new(catalog: Catalog, device: Device, limits: Limits, guard: Guard) -> Arc<Self> {
        let metrics = Arc::new(Metrics::default());
        let models = Models::new(device.clone(), limits.models);
        let worker = Worker::start(models, limits.queue, limits.batch, limits.deadline, Arc::clone(&metrics));
        Arc::new(Self {
            catalog,
            worker,
            datasets: Datasets::default(),
            analyses: Analyses::default(),
            samplers: Samplers::default(),
            layouts: Layouts::default(),
            alone: Arc::new(Semaphore::new(1)),
            metrics,
            limits,
            device,
            guard,
            changes: broadcast::channel(CHANGES).0,
            closing: watch::channel(false).0,
            ready: AtomicBool::new(false),
        })
    }

    /// The run a client named.
    pub fn run(&self, id: &str) -> Result<Arc<RunEntry>, Problem> {
        match self.catalog.get(id) {
            Some(Listed::Run(run)) => Ok(run),
            Some(Listed::Unreadable(run)) => Err(Problem::conflict(format!("the run cannot be read: {}", run.error))),
            None => Err(Problem::not_found("run")),
        }
    }

    /// Its model, loaded if it was not.
    pub async fn loaded(&self, run: &Arc<RunEntry>) -> Result<Loaded, Problem> {
        let run = Arc::clone(run);
        self.worker.call(move |models| models.get(&run)).await
    }

    /// Its data.
    pub async fn dataset(&self, run: &Arc<RunEntry>) -> Result<Arc<Dataset>, Problem> {
        self.datasets.of(&self.loaded(run).await?.run).await
    }

    /// Codes and loss terms of its held-out split or of its gallery; made in the background when asked first.
    pub async fn analysis(self: &Arc<Self>, run: &Arc<RunEntry>, of: Of) -> Result<Arc<Analysis>, Problem> {
        let loaded = self.loaded(run).await?;
        let cell = self.analyses.cell(&run.id, of, loaded.stamp);
        if let Some(made) = cell.get() {
            return Ok(Arc::clone(made));
        }
        let service = Arc::clone(self);
        // A task of its own: it goes on when this client has lost patience, and serves the next.
        let making = tokio::spawn(async move {
            let make = || async {
                let data = service.datasets.of(&loaded.run).await?;
                let (split, examples) = match of {
                    Of::HeldOut => data.split(None)?,
                    Of::Gallery => ("train", &data.splits.train),
                };
                let places = match of {
                    Of::HeldOut => (0..examples.len().min(MAX_EXAMPLES) as u32).collect(),
                    Of::Gallery => random_places(examples, GALLERY, loaded.run.config.training.seed),
                };
                let work = analyse(loaded, split, examples.clone(), places);
                Ok::<_, Problem>(Arc::new(service.worker.steps(work).await?))
            };
            cell.get_or_try_init(make).await.map(Arc::clone)
        });
        let patience = self.limits.deadline * 4;
        match tokio::time::timeout(patience, making).await {
            Ok(made) => made.map_err(|_| Problem::internal())?,
            Err(_) => Err(Problem::late(patience)),
        }
    }

    /// Computes on a thread of its own, when nothing else does.
    pub async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> elbo::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(&self.alone).acquire_owned().await.map_err(|_| Problem::closing())?;
        let computing = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            elbo::Error::catch(work)
        });
        Ok(computing.await.map_err(|_| Problem::internal())??)
    }

    /// Whether requests will be answered as they should be.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed) && self.worker.is_sound() && !*self.closing.borrow()
    }

    /// Decodes once with the first model there is. Without any model there is nothing to wait for.
    pub async fn warm_up(&self) {
        let runs = self.catalog.runs();
        let mut tried = false;
        for run in runs.iter().filter(|run| run.summary.weights) {
            tried = true;
            if self.worker.decode(run, vec![0.0; run.summary.latent]).await.is_ok() {
                self.ready.store(true, Relaxed);
                return;
            }
        }
        self.ready.store(!tried, Relaxed);
    }

    /// Looks for new and changed runs from time to time, and tells those who listen.
    pub async fn watch_folders(self: Arc<Self>) {
        let mut closing = self.closing.subscribe();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.limits.rescan) => {}
                _ = closing.changed() => return,
            }
            let service = Arc::clone(&self);
            let Ok(changed) = tokio::task::spawn_blocking(move || service.catalog.rescan()).await else { continue };
            for run in changed {
                // No listener is no error.
                let _ = self.changes.send(run);
            }
            if !self.ready.load(Relaxed) {
                self.warm_up().await;
            }
        }
    }

    /// Begins the end: not ready, no new work; what is under way is finished.
    pub fn close(&self) {
        self.closing.send_replace(true);
        self.alone.close();
        self.worker.close();
    }
}

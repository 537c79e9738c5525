//! What all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use burn::tensor::Device;
use elbo::models::Capability;
use elbo::tasks::Reading;
use tokio::sync::{Semaphore, broadcast, watch};

use crate::analysis::Analyses;
use crate::background::Alone;
use crate::catalog::Catalog;
use crate::codes::Codes;
use crate::datasets::{Dataset, Datasets};
use crate::door::Inside;
use crate::guard::Guard;
use crate::heavy::Heavy;
use crate::layouts::Layouts;
use crate::limits::{DRAWING, LARGE, Limits, READING, WRITING};
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
    pub worker: Arc<Worker>,
    pub datasets: Arc<Datasets>,
    pub analyses: Arc<Analyses>,
    pub samplers: Samplers,
    pub layouts: Layouts,
    pub codes: Codes,
    alone: Alone,
    /// For large requests.
    pub reading: Heavy,
    /// For large answers.
    pub writing: Heavy,
    /// For priors that draw or rate symbols, one after another.
    pub drawing: Heavy,
    /// Room for large bodies, in units of [`LARGE`] bytes.
    pub room: Semaphore,
    /// Room for large answers on their way, in units of [`LARGE`] bytes.
    pub answers: Arc<Semaphore>,
    /// Requests without an answer yet.
    pub inside: Inside,
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
    pub fn new(catalog: Catalog, device: Device, reading: Reading, limits: Limits, guard: Guard) -> Arc<Self> {
        let metrics = Arc::new(Metrics::default());
        let models = Models::new(device.clone(), reading, limits.models);
        let worker = Worker::start(models, limits.queue, limits.batch, limits.deadline, Arc::clone(&metrics));
        let (worker, datasets, alone) = (Arc::new(worker), Arc::new(Datasets::default()), Alone::default());
        let analyses = Arc::new(Analyses::new(&worker, &datasets, limits.deadline * 4));
        Arc::new(Self {
            catalog,
            samplers: Samplers::new(&worker, &analyses, &alone, limits.deadline),
            layouts: Layouts::new(&worker, &analyses, &alone),
            codes: Codes::new(&worker, &datasets, &alone, limits.deadline),
            worker,
            datasets,
            analyses,
            alone,
            reading: Heavy::new(READING, limits.deadline),
            writing: Heavy::new(WRITING, limits.deadline),
            drawing: Heavy::new(DRAWING, limits.deadline),
            room: Semaphore::new(limits.bodies_bytes.max(limits.body_bytes).div_ceil(LARGE)),
            answers: Arc::new(Semaphore::new(limits.answers_bytes.div_ceil(LARGE))),
            inside: Inside::default(),
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
        self.worker.loaded(run).await
    }

    /// The data of a run, opened once and kept.
    pub async fn dataset(&self, run: &Arc<RunEntry>) -> Result<Arc<Dataset>, Problem> {
        self.datasets.of(&self.loaded(run).await?.run, self.limits.deadline).await
    }

    /// Whether requests will be answered as they should be.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Relaxed) && self.worker.is_sound() && !*self.closing.borrow()
    }

    /// Has the first model that can be loaded answer once. Without any model there is nothing to wait for.
    pub async fn warm_up(&self) {
        let runs = self.catalog.runs();
        let mut tried = false;
        for run in runs.iter().filter(|run| run.summary.weights) {
            tried = true;
            if self.first_answer(run).await.is_ok() {
                self.ready.store(true, Relaxed);
                return;
            }
        }
        self.ready.store(!tried, Relaxed);
    }

    /// Decodes once, where the run decodes; else its model is loaded.
    async fn first_answer(&self, run: &Arc<RunEntry>) -> Result<(), Problem> {
        if run.require("decode", &[Capability::Decode]).is_err() {
            return self.loaded(run).await.map(drop);
        }
        let classes = if run.summary.conditional { vec![0] } else { Vec::new() };
        self.worker.decode(run, vec![0.0; run.summary.latent], classes).await.map(drop)
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

    /// Begins the end: not ready, nobody new is let in; what is under way is finished.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Refuses what still waits.
    pub fn give_up(&self) {
        self.alone.close();
        self.worker.close();
    }
}

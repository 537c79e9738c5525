//! Where codes come from: N(0, I), or what was fitted to the codes of the training data.
//!
//! A sampler in the run's `priors/` that belongs to the loaded weights is taken from there, and so samples what `elbo sample` does. Otherwise one is
//! fitted to the codes of the gallery, a bounded number, and kept in memory: a run directory is only read.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use elbo::evaluation::Codes;
use elbo::priors::{ClassCodes, CodesKind, Sampler, SamplerKind, sampler_codes};
use elbo::tasks::Run;

use crate::analysis::{Analyses, Analysis, Of};
use crate::background::{Alone, Background, State};
use crate::models::Loaded;
use crate::problem::Problem;
use crate::run_entry::RunEntry;
use crate::worker::Worker;

/// Samplers kept.
const KEPT: usize = 12;

/// A sampler, and what it was fitted on.
#[derive(Debug)]
pub(crate) struct Fitted {
    pub sampler: Sampler,
    /// Codes it was fitted on.
    pub n: usize,
    /// Whether it is the run's own, from its folder.
    pub stored: bool,
}

/// Of each run as of one checkpoint.
#[derive(Debug)]
pub(crate) struct Samplers {
    makers: Makers,
    /// How long a request waits for one.
    patience: Duration,
    fitted: Background<(String, SamplerKind, SystemTime), Fitted>,
}

/// What a sampler is made with.
#[derive(Debug, Clone)]
struct Makers {
    worker: Arc<Worker>,
    analyses: Arc<Analyses>,
    alone: Alone,
}

impl Samplers {
    pub fn new(worker: &Arc<Worker>, analyses: &Arc<Analyses>, alone: &Alone, patience: Duration) -> Self {
        let makers = Makers { worker: Arc::clone(worker), analyses: Arc::clone(analyses), alone: alone.clone() };
        Self { makers, patience, fitted: Background::new(KEPT) }
    }

    /// A run's sampler, or how far it is.
    pub async fn get(&self, run: &Arc<RunEntry>, kind: SamplerKind) -> Result<State<Fitted>, Problem> {
        let loaded = self.makers.worker.loaded(run).await?;
        let key = (run.id.clone(), kind.clone(), loaded.stamp);
        let (makers, run) = (self.makers.clone(), Arc::clone(run));
        self.fitted.get(key, self.patience, || makers.make(run, loaded, kind)).await
    }
}

impl Makers {
    async fn make(self, run: Arc<RunEntry>, loaded: Loaded, kind: SamplerKind) -> Result<Fitted, Problem> {
        let (from, wanted) = (Arc::clone(&loaded.run), kind.clone());
        // Not the worker: it has other runs to answer while a file is read.
        let reading = tokio::task::spawn_blocking(move || elbo::Error::catch(|| from.stored_sampler(&wanted)));
        if let Some(stored) = reading.await.map_err(|_| Problem::internal())?? {
            return Ok(Fitted { sampler: stored.sampler, n: stored.record.n, stored: true });
        }
        let gallery = self.analyses.get(&run, Of::Gallery).await?;
        self.alone.compute(move || fit(&loaded.run, &gallery, &kind)).await
    }
}

fn fit(run: &Run, gallery: &Analysis, kind: &SamplerKind) -> elbo::Result<Fitted> {
    let Codes { latent, .. } = gallery.codes;
    let seed = run.config.training.seed;
    let codes = sampler_codes(gallery.codes.clone(), CodesKind::of(run.model.as_ref()), seed)?;
    let closed_form = matches!(kind, SamplerKind::Gaussian | SamplerKind::Mixture);
    let sampler = match &gallery.codes.labels {
        Some(labels) if closed_form && run.is_conditional() => {
            let classes = run.info.data.classes.len();
            Sampler::fit_to_classes(kind, ClassCodes { values: &codes, latent, labels, classes }, seed)?
        }
        _ => Sampler::fit(kind, &codes, latent, seed, &run.device)?,
    };
    Ok(Fitted { sampler, n: codes.len() / latent, stored: false })
}

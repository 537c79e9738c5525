//! Where codes come from: N(0, I), or what was fitted to the codes of the training data.
//!
//! A sampler in the run's `priors/` that belongs to the loaded weights is taken from there, and so samples what `elbo sample` does. Otherwise one is
//! fitted to the codes of the gallery, a bounded number, and kept in memory: a run directory is only read.

use std::sync::Arc;
use std::time::SystemTime;

use elbo::evaluation::Codes;
use elbo::priors::{CodesKind, Sampler, SamplerKind, sampler_codes};
use elbo::tasks::Run;

use crate::analysis::{Analysis, Of};
use crate::background::{Background, State};
use crate::models::Loaded;
use crate::problem::Problem;
use crate::run_entry::RunEntry;
use crate::service::Service;

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
pub(crate) struct Samplers(Background<(String, SamplerKind, SystemTime), Fitted>);

impl Default for Samplers {
    fn default() -> Self {
        Self(Background::new(KEPT))
    }
}

impl Samplers {
    /// A run's sampler, or how far it is.
    pub async fn get(
        &self,
        service: &Arc<Service>,
        run: &Arc<RunEntry>,
        kind: SamplerKind,
    ) -> Result<State<Fitted>, Problem> {
        let loaded = service.loaded(run).await?;
        let (service, run) = (Arc::clone(service), Arc::clone(run));
        let patience = service.limits.deadline;
        let key = (run.id.clone(), kind.clone(), loaded.stamp);
        self.0.get(key, patience, || make(service, run, loaded, kind)).await
    }
}

async fn make(service: Arc<Service>, run: Arc<RunEntry>, loaded: Loaded, kind: SamplerKind) -> Result<Fitted, Problem> {
    let stored = Arc::clone(&loaded.run);
    let wanted = kind.clone();
    if let Some(stored) = service.worker.call(move |_| Ok(stored.stored_sampler(&wanted)?)).await? {
        return Ok(Fitted { sampler: stored.sampler, n: stored.record.n, stored: true });
    }
    let gallery = service.analysis(&run, Of::Gallery).await?;
    service.alone(move || fit(&loaded.run, &gallery, &kind)).await
}

fn fit(run: &Run, gallery: &Analysis, kind: &SamplerKind) -> elbo::Result<Fitted> {
    let Codes { latent, .. } = gallery.codes;
    let seed = run.config.training.seed;
    let codes = sampler_codes(gallery.codes.clone(), CodesKind::of(run.model.as_ref()), seed)?;
    let sampler = Sampler::fit(kind, &codes, latent, seed, &run.device)?;
    Ok(Fitted { sampler, n: codes.len() / latent, stored: false })
}

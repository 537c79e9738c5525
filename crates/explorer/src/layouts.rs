//! Held-out examples laid out so that neighbours in the space of codes stay neighbours (t-SNE).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use elbo::projection::{TsneOptions, tsne};

use crate::analysis::{Analysis, Of};
use crate::background::{Background, State};
use crate::problem::Problem;
use crate::run_entry::RunEntry;
use crate::service::Service;

/// Examples that are laid out: some ten seconds of one core.
const MOST: usize = 5_000;
/// Layouts kept.
const KEPT: usize = 8;
/// How long a request waits for one.
const PATIENCE: Duration = Duration::from_millis(300);

/// Where examples lie, and which they are: the first of an analysis.
#[derive(Debug)]
pub(crate) struct Layout {
    /// `[n, 2]`
    pub points: Vec<f32>,
    pub analysis: Arc<Analysis>,
}

/// Of each run as of one checkpoint.
#[derive(Debug)]
pub(crate) struct Layouts(Background<(String, SystemTime), Layout>);

impl Default for Layouts {
    fn default() -> Self {
        Self(Background::new(KEPT))
    }
}

impl Layouts {
    /// A run's layout, or since when it is being made.
    pub async fn get(&self, service: &Arc<Service>, run: &Arc<RunEntry>) -> Result<State<Layout>, Problem> {
        let key = (run.id.clone(), service.loaded(run).await?.stamp);
        let (service, run) = (Arc::clone(service), Arc::clone(run));
        self.0.get(key, PATIENCE, || make(service, run)).await
    }
}

async fn make(service: Arc<Service>, run: Arc<RunEntry>) -> Result<Layout, Problem> {
    let analysis = service.analysis(&run, Of::HeldOut).await?;
    service.alone(move || lay_out(analysis)).await
}

fn lay_out(analysis: Arc<Analysis>) -> elbo::Result<Layout> {
    let (latent, n) = (analysis.codes.latent, analysis.len().min(MOST));
    let rows: Vec<f64> = analysis.codes.mean[..n * latent].iter().map(|&value| f64::from(value)).collect();
    let map = tsne(&rows, latent, &TsneOptions::for_rows(n))?;
    Ok(Layout { points: map.points.into_flattened(), analysis })
}

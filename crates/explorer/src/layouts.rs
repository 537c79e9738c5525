//! Held-out examples laid out so that neighbours in the space of codes stay neighbours (t-SNE).

use std::sync::Arc;
use std::time::SystemTime;

use elbo::projection::{TsneOptions, tsne};

use crate::analysis::{Analyses, Analysis, Of};
use crate::background::{Alone, Background, PATIENCE, State};
use crate::problem::Problem;
use crate::run_entry::RunEntry;
use crate::worker::Worker;

/// Examples that are laid out: some ten seconds of one core.
const MOST: usize = 5_000;
/// Layouts kept.
const KEPT: usize = 8;

/// Where examples lie, and which they are: the first of an analysis.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Places in the plane, `[n, 2]` row by row.
    pub points: Vec<f32>,
    pub analysis: Arc<Analysis>,
}

/// Of each run as of one checkpoint.
#[derive(Debug)]
pub(crate) struct Layouts {
    worker: Arc<Worker>,
    analyses: Arc<Analyses>,
    alone: Alone,
    made: Background<(String, SystemTime), Layout>,
}

impl Layouts {
    pub fn new(worker: &Arc<Worker>, analyses: &Arc<Analyses>, alone: &Alone) -> Self {
        let made = Background::new(KEPT);
        Self { worker: Arc::clone(worker), analyses: Arc::clone(analyses), alone: alone.clone(), made }
    }

    /// A run's layout, or since when it is being made.
    pub async fn get(&self, run: &Arc<RunEntry>) -> Result<State<Layout>, Problem> {
        let key = (run.id.clone(), self.worker.loaded(run).await?.stamp);
        let (analyses, alone, run) = (Arc::clone(&self.analyses), self.alone.clone(), Arc::clone(run));
        let make = || async move {
            let analysis = analyses.get(&run, Of::HeldOut).await?;
            alone.compute(move || lay_out(analysis)).await
        };
        self.made.get(key, PATIENCE, make).await
    }
}

fn lay_out(analysis: Arc<Analysis>) -> elbo::Result<Layout> {
    let (latent, n) = (analysis.codes.latent, analysis.len().min(MOST));
    let rows: Vec<f64> = analysis.codes.mean[..n * latent].iter().map(|&value| f64::from(value)).collect();
    let map = tsne(&rows, latent, &TsneOptions::for_rows(n))?;
    Ok(Layout { points: map.points.into_flattened(), analysis })
}

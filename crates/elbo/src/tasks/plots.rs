//! What the pages of a run share: its charts on disk, and its words.

use super::run::Run;
use crate::error::Result;
use crate::report::{Figure, Theme};

/// Writes a chart to `plots/NAME.png` of the run.
pub(super) fn save_figure(run: &Run, name: &str, figure: &Figure) -> Result<()> {
    run.dir.write(&format!("plots/{name}.png"), figure.png(Theme::Light))
}

/// What one example is called.
pub(super) fn example(run: &Run) -> &'static str {
    if run.columns().is_some() { "row" } else { "image" }
}

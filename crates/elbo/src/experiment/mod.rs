//! A run from configuration to report: what the `elbo` command does, as a library.
//!
//! [`Experiment`] trains in a run directory; [`Trained`] is a saved run, loaded to look at, sample from or measure.

mod memory;
mod pages;
mod recorder;
mod session;
mod trained;

pub use memory::peak_memory_mb;
pub use pages::{compare, write_report};
pub use session::{Experiment, Finished};
pub use trained::Trained;

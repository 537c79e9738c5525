//! What a run leaves on disk: the run directory, checkpoints, weights, metrics.

pub mod atomic;
pub mod directory;
pub mod history;
pub mod lock;
pub mod parameters;
pub mod tensorboard;
pub mod weights;

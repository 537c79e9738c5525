//! The training loop and what steers it. Nothing here prints: progress goes to an [`Observer`].

mod checkpoint;
mod config;
mod early_stopping;
mod observer;
mod optimizer;
mod schedule;
mod state;
mod trainer;

pub use checkpoint::{Checkpoints, Resumed};
pub use config::{EarlyStopping, Monitor, OptimizerConfig, OptimizerKind, Reduction, TrainingConfig};
pub use early_stopping::{Stopper, Verdict};
pub use observer::{EpochEnd, Observer, Quiet, StepReport};
pub use optimizer::{Moments, Optimizer, Stepped};
pub use schedule::Schedule;
pub use state::{RunningTerms, TrainState};
pub use trainer::{Ending, Stop, Trainer};

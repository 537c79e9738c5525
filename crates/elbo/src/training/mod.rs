//! The training loop and what steers it. Nothing here prints: progress goes to an [`Observer`].
//!
//! ```
//! use elbo::data::{self, DataConfig};
//! use elbo::distributions::Likelihood;
//! use elbo::models::{Architecture, Vae};
//! use elbo::networks::NetworkConfig;
//! use elbo::training::{Ending, OptimizerConfig, Quiet, Stop, Trainer};
//!
//! let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
//! let device = elbo::device::choose("cpu")?;
//! let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
//!
//! let mut trainer = Trainer::new(vae, &data, OptimizerConfig::default(), &device);
//! trainer.config.epochs = 3;
//! trainer.config.batch_size = 32;
//! let ending = trainer.run(&mut Quiet, &Stop::new())?;
//! assert_eq!(ending, Ending::Finished);
//!
//! let losses: Vec<f64> = trainer.state.history.iter().map(|epoch| epoch.train.loss()).collect();
//! assert!(losses[2] < losses[0], "nats per image: {losses:?}");
//! let vae = trainer.into_model(); // to sample from, encode with, save
//! # Ok::<(), elbo::Error>(())
//! ```

mod checkpoint;
mod classifier;
mod config;
mod early_stopping;
mod ema;
mod observer;
mod optimizer;
mod schedule;
mod state;
mod trainer;

pub use checkpoint::{Checkpoints, Resumed, Saved};
pub use classifier::{accuracy, classify, train_classifier};
pub use config::{
    Decays, EarlyStopping, Monitor, OptimizerConfig, OptimizerKind, Precision, Reduction, TrainingConfig,
};
pub use early_stopping::{Stopper, Verdict};
pub use ema::Ema;
pub use observer::{EpochEnd, Observer, Quiet, StepReport};
pub use optimizer::{AdamMoments, Optimizer, Stepped};
pub use schedule::Schedule;
pub use state::{RunningTerms, TrainState};
pub use trainer::{Ending, StepTimes, Stop, Trainer};

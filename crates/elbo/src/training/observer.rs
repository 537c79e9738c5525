//! Who is told what happens during training.

use crate::error::Result;
use crate::models::Model;
use crate::run::history::{EpochRecord, Means};

/// One optimiser step.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepReport {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Epochs of the run.
    pub epochs: usize,
    /// Step within the epoch, from 1.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Examples seen in this epoch so far, this step included.
    pub examples: usize,
    /// Means over this epoch so far.
    pub mean: Means,
}

/// The end of an epoch.
#[non_exhaustive]
pub struct EpochEnd<'a> {
    /// The numbers of the epoch.
    pub record: &'a EpochRecord,
    /// All epochs so far, this one included.
    pub history: &'a [EpochRecord],
    /// Whether it is the best so far.
    pub is_best: bool,
    /// Seconds it took, validation included.
    pub seconds: f64,
    /// Training examples a second, validation excluded.
    pub images_per_s: f64,
    /// The model as it now is, without gradients.
    pub model: &'a dyn Model,
}

/// Told of every step and epoch. An error stops training.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// use elbo::training::{EpochEnd, Observer, OptimizerConfig, Stop, Trainer};
///
/// #[derive(Default)]
/// struct Losses(Vec<f64>);
///
/// impl Observer for Losses {
///     fn epoch(&mut self, end: &EpochEnd<'_>) -> elbo::Result<()> {
///         self.0.push(end.record.train.loss());
///         Ok(())
///     }
/// }
///
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// let mut trainer = Trainer::new(vae, &data, OptimizerConfig::default(), &device);
/// trainer.config.epochs = 2;
/// let mut losses = Losses::default();
/// trainer.run(&mut losses, &Stop::new())?;
/// assert_eq!(losses.0.len(), 2);
/// # Ok::<(), elbo::Error>(())
/// ```
pub trait Observer {
    /// After each optimiser step.
    ///
    /// # Errors
    /// Any error stops the training and is returned from it.
    fn step(&mut self, _report: &StepReport) -> Result<()> {
        Ok(())
    }

    /// After each epoch, once its checkpoint is safe.
    ///
    /// # Errors
    /// Any error stops the training and is returned from it.
    fn epoch(&mut self, _end: &EpochEnd<'_>) -> Result<()> {
        Ok(())
    }
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {}

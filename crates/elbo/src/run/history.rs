//! What training leaves behind, epoch by epoch.

use serde::{Deserialize, Serialize};

/// The loss terms, each a mean over examples of a sum over dimensions, in nats per example.
///
/// `loss = recon + beta * kl` is what the optimiser minimises; `elbo = -(recon + kl)` is the bound, higher is better,
/// whatever beta is. For an autoencoder `kl` is 0.
///
/// ```
/// use elbo::run::history::LossTerms;
///
/// let terms = LossTerms { recon: 111.4, kl: 9.7, loss: 111.4 + 4.0 * 9.7 }; // beta 4
/// assert_eq!(terms.elbo(), -(111.4 + 9.7));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LossTerms {
    /// `-E_q[log p(x|z)]`, or the sum of squared errors where the likelihood is `sse`.
    pub recon: f64,
    /// `KL(q(z|x) || p(z))`, unweighted.
    pub kl: f64,
    /// What the optimiser minimises.
    pub loss: f64,
}

impl LossTerms {
    /// The evidence lower bound, `-(recon + kl)`, in nats per example.
    pub fn elbo(&self) -> f64 {
        -(self.recon + self.kl)
    }
}

/// One line of `metrics.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Optimiser steps taken so far.
    pub step: usize,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Weight of the KL term at the epoch's last step.
    pub beta: f64,
    /// Means over the epoch's batches, taken while the weights moved.
    pub train: LossTerms,
    /// Means over the validation split after the epoch, where there is one.
    pub validation: Option<LossTerms>,
}

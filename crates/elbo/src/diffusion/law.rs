//! Which noise levels training draws, and what their errors weigh.

use super::{NoiseTable, Preconditioner, Target};

/// Deviation of the data for which Karras et al. 2022 chose their levels.
const THEIR_SD: f64 = 0.5;

/// How times of a flow are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Times {
    /// Evenly in (0, 1).
    Uniform,
    /// `1 / (1 + exp(-m - s n))` with a normal draw `n` (Esser et al. 2024, arXiv:2403.03206).
    LogitNormal {
        /// m.
        mean: f64,
        /// s.
        deviation: f64,
    },
}

/// A training law: which levels are drawn.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Law {
    /// `ln sigma ~ N(-1.2 + ln(sd / 0.5), 1.2^2)` (Karras et al. 2022, table 1, moved to the deviation of the data).
    Edm,
    /// Times of a table, each as likely.
    Table(NoiseTable),
    /// Times of a flow, `sigma = t / (1 - t)`.
    Flow(Times),
}

impl Law {
    /// A level, from a draw uniform in (0, 1) and a standard normal one.
    pub fn level(&self, sd: f64, uniform: f64, normal: f64) -> f64 {
        match self {
            Self::Edm => (-1.2 + (sd / THEIR_SD).ln() + 1.2 * normal).exp(),
            Self::Table(table) => {
                let time = (uniform * table.times() as f64) as usize;
                table.sigma(time.min(table.times() - 1) + 1)
            }
            Self::Flow(times) => {
                let t = match times {
                    Times::Uniform => uniform.clamp(1e-5, 1.0 - 1e-5),
                    Times::LogitNormal { mean, deviation } => 1.0 / (1.0 + (-(mean + deviation * normal)).exp()),
                };
                t / (1.0 - t)
            }
        }
    }
}

/// What `|D - x_0|^2` weighs at a level; `SNR = 1 / sigma^2`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Weighting {
    /// The error of the preconditioned network weighs 1.
    Edm,
    /// The error of a target weighs 1: `SNR` for noise, `SNR + 1` for the velocity, `(1 + 1/sigma)^2` for the flow.
    Of(Target),
    /// `min(SNR, gamma)` (Hang et al. 2023, arXiv:2303.09556; gamma 5).
    MinSnr {
        /// Largest weight.
        gamma: f64,
    },
}

impl Weighting {
    /// The weight at a level above 0, for data of deviation `sd`.
    pub fn weight(self, sd: f64, sigma: f64) -> f64 {
        let snr = sigma.powi(-2);
        match self {
            Self::Edm => Preconditioner { sd }.weight(sigma),
            Self::Of(Target::Clean) => 1.0,
            Self::Of(Target::Noise) => snr,
            Self::Of(Target::Velocity) => snr + 1.0,
            Self::Of(Target::Flow) => (1.0 + 1.0 / sigma).powi(2),
            Self::MinSnr { gamma } => snr.min(gamma),
        }
    }
}

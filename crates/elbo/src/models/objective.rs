//! What the optimiser minimises: `recon` plus a weighted KL term.
//!
//! | option | KL term | source |
//! |---|---|---|
//! | `beta` | `beta * sum_j KL_j` | Higgins et al. 2017 (beta-VAE) |
//! | `warmup_epochs` | beta rises linearly from 0 | Bowman et al. 2016, arXiv:1511.06349 |
//! | `cycle_epochs` | beta rises over the first half of each cycle, then stays | Fu et al. 2019, arXiv:1903.10145 |
//! | `free_bits` | `beta * sum_j max(free_bits, mean over the batch of KL_j)` | Kingma et al. 2016, arXiv:1606.04934, eq. 15 |
//! | `capacity` | `gamma * \|KL - C\|`, C rising linearly | Burgess et al. 2018, arXiv:1804.03599, eq. 8 |

use serde::{Deserialize, Serialize};

use super::{Loss, Terms};
use crate::error::{Error, Result};
use crate::networks::When;
use crate::reference::Fields;

/// The `[loss]` table of a recipe.
///
/// ```
/// use elbo::models::ObjectiveConfig;
/// use elbo::networks::When;
///
/// let config = ObjectiveConfig { beta: 4.0, warmup_epochs: 10.0, ..Default::default() };
/// assert_eq!(config.at(When::Training { epochs: 2.5 }).beta, 1.0); // a quarter of the way up
/// assert_eq!(config.target().beta, 4.0); // what validation uses from the first epoch on
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveConfig {
    /// Weight of the KL term.
    pub beta: f64,
    /// Epochs over which beta rises linearly from 0; 0 for none.
    pub warmup_epochs: f64,
    /// The same as a share of the run's epochs, from 0 to 1; a run is written with the epochs that it comes to in `warmup_epochs`.
    #[serde(skip_serializing_if = "is_zero")]
    pub warmup_share: f64,
    /// Length of one cycle of cyclical annealing, in epochs; 0 for none.
    pub cycle_epochs: f64,
    /// Least KL, in nats, charged for each latent dimension; 0 for none.
    pub free_bits: f64,
    /// Capacity target instead of beta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// A KL that is pulled towards a rising target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Weight of `|KL - C|`.
    pub gamma: f64,
    /// Final target C, in nats.
    pub target: f64,
    /// Epochs over which C rises from 0 to `target`; 0 for at once.
    #[serde(default)]
    pub epochs: f64,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl ObjectiveConfig {
    /// `recon + kl`, from the first step on.
    pub const PLAIN: Self =
        Self { beta: 1.0, warmup_epochs: 0.0, warmup_share: 0.0, cycle_epochs: 0.0, free_bits: 0.0, capacity: None };

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key for a negative or non-finite value, or for two schedules at once.
    pub fn check(&self) -> Result<()> {
        let capacity = self.capacity.unwrap_or(Capacity { gamma: 0.0, target: 0.0, epochs: 0.0 });
        let numbers = [
            ("loss.beta", self.beta),
            ("loss.warmup_epochs", self.warmup_epochs),
            ("loss.cycle_epochs", self.cycle_epochs),
            ("loss.free_bits", self.free_bits),
            ("loss.capacity.gamma", capacity.gamma),
            ("loss.capacity.target", capacity.target),
            ("loss.capacity.epochs", capacity.epochs),
        ];
        if let Some((key, value)) = numbers.iter().find(|(_, v)| !v.is_finite() || *v < 0.0) {
            return Err(Error::config(*key, "a number of at least 0", value.to_string(), "set it to 0 to turn it off"));
        }
        let warms_up = self.warmup_epochs > 0.0 || self.warmup_share > 0.0;
        if !(0.0..=1.0).contains(&self.warmup_share) || (self.warmup_share > 0.0 && self.warmup_epochs > 0.0) {
            let found = self.warmup_share.to_string();
            let help = "set `loss.warmup_epochs` instead, or one of the two to 0";
            return Err(Error::config("loss.warmup_share", "a share in [0, 1] without `warmup_epochs`", found, help));
        }
        if warms_up && self.cycle_epochs > 0.0 {
            return Err(Error::config(
                "loss.cycle_epochs",
                "either warm-up or cycles",
                "both",
                "set `loss.warmup_epochs` or `loss.cycle_epochs` to 0",
            ));
        }
        if self.capacity.is_some() && (self.free_bits > 0.0 || warms_up || self.cycle_epochs > 0.0) {
            return Err(Error::config(
                "loss.capacity",
                "a capacity target alone",
                "a capacity target beside free bits or annealing",
                "the target has a schedule of its own, `loss.capacity.epochs`",
            ));
        }
        Ok(())
    }

    /// The weights of a pass: where schedules stand in training, where they end in judging.
    pub fn at(&self, when: When) -> Objective {
        let When::Training { epochs } = when else { return self.target() };
        let ramp = |length: f64| if length > 0.0 { (epochs / length).min(1.0) } else { 1.0 };
        let share = if self.cycle_epochs > 0.0 {
            (2.0 * (epochs / self.cycle_epochs).fract()).min(1.0)
        } else {
            ramp(self.warmup_epochs)
        };
        Objective {
            beta: self.beta * share,
            free_bits: self.free_bits,
            capacity: self.capacity.map(|c| (c.gamma, c.target * ramp(c.epochs))),
        }
    }

    /// The weights once every schedule has run out. Validation uses these, so that epochs compare with each other.
    pub fn target(&self) -> Objective {
        Objective { beta: self.beta, free_bits: self.free_bits, capacity: self.capacity.map(|c| (c.gamma, c.target)) }
    }
}

/// The weights of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Weight of the KL term.
    pub beta: f64,
    /// Least KL of each dimension, in nats.
    pub free_bits: f64,
    /// gamma and the present target C.
    pub capacity: Option<(f64, f64)>,
}

impl Objective {
    /// Weights the terms of a batch and averages over its examples: reports `recon` and `kl`. A bound of the model's own is taken as it is.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::models::{ObjectiveConfig, Terms};
    ///
    /// let device = elbo::device::choose("cpu")?;
    /// let terms = Terms { recon: Tensor::ones([4], &device) * 80.0, kl: Tensor::ones([4, 2], &device), bound: None };
    /// let loss = ObjectiveConfig { beta: 0.5, ..Default::default() }.target().loss(terms);
    /// assert_eq!(loss.total.into_scalar::<f32>(), 80.0 + 0.5 * 2.0);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn loss(&self, terms: Terms) -> Loss {
        let recon = terms.recon.mean();
        let by_dimension = terms.kl.mean_dim(0);
        let kl = by_dimension.clone().sum();
        let total = match (terms.bound, self.capacity) {
            (Some(bound), _) => bound.mean(),
            (None, Some((gamma, target))) => recon.clone() + (kl.clone() - target).abs() * gamma,
            (None, None) if self.free_bits > 0.0 => {
                recon.clone() + by_dimension.clamp_min(self.free_bits).sum() * self.beta
            }
            (None, None) => recon.clone() + kl.clone() * self.beta,
        };
        Loss { total, reports: vec![recon, kl] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(config: &ObjectiveConfig, epochs: f64) -> Objective {
        config.at(When::Training { epochs })
    }

    fn config() -> ObjectiveConfig {
        ObjectiveConfig { beta: 4.0, ..Default::default() }
    }

    #[test]
    fn warm_up_rises_to_beta_and_stays() {
        let config = ObjectiveConfig { warmup_epochs: 10.0, ..config() };
        assert_eq!([0.0, 2.5, 10.0, 50.0].map(|e| at(&config, e).beta), [0.0, 1.0, 4.0, 4.0]);
        assert_eq!(config.target().beta, 4.0);
    }

    #[test]
    fn cycles_start_again_from_zero() {
        let config = ObjectiveConfig { cycle_epochs: 4.0, ..config() };
        assert_eq!([0.0, 1.0, 2.0, 3.9, 4.0, 5.0].map(|e| at(&config, e).beta), [0.0, 2.0, 4.0, 4.0, 0.0, 2.0]);
    }

    #[test]
    fn capacity_rises_to_its_target() {
        let capacity = Some(Capacity { gamma: 100.0, target: 25.0, epochs: 10.0 });
        let config = ObjectiveConfig { capacity, ..Default::default() };
        assert_eq!(at(&config, 4.0).capacity, Some((100.0, 10.0)));
        assert_eq!(at(&config, 40.0).capacity, Some((100.0, 25.0)));
    }

    #[test]
    fn contradictions_and_bad_numbers_name_their_key() {
        let cases = [
            (ObjectiveConfig { beta: -1.0, ..config() }, "loss.beta"),
            (ObjectiveConfig { free_bits: f64::NAN, ..config() }, "loss.free_bits"),
            (ObjectiveConfig { warmup_epochs: 1.0, cycle_epochs: 1.0, ..config() }, "loss.cycle_epochs"),
            (
                ObjectiveConfig {
                    capacity: Some(Capacity { gamma: 1.0, target: 1.0, epochs: 0.0 }),
                    free_bits: 1.0,
                    ..config()
                },
                "loss.capacity",
            ),
        ];
        for (config, expected) in cases {
            let Err(Error::Config { key, .. }) = config.check() else { panic!("{config:?} accepted") };
            assert_eq!(key, expected);
        }
        assert!(config().check().is_ok());
    }

    #[test]
    fn a_bound_of_the_models_own_is_what_is_minimised() {
        let device = burn::tensor::Device::default();
        let ones = || burn::tensor::Tensor::<1>::ones([3], &device);
        let terms =
            Terms { recon: ones() * 80.0, kl: burn::tensor::Tensor::ones([3, 2], &device), bound: Some(ones() * 7.0) };
        assert_eq!(config().target().loss(terms).total.into_scalar::<f32>(), 7.0);
    }
}

//! Where new codes come from, for any trained model: distributions fitted to the codes of the training data.
//!
//! A VAE is trained towards N(0, I), but the codes of the data, its aggregate posterior, need not lie there; an autoencoder's lie anywhere. What is
//! fitted afterwards to where they lie samples better (Ghosh et al. 2020, arXiv:1903.12436, section 4).
//!
//! | name | what | file |
//! |---|---|---|
//! | `normal` | N(0, I), what a VAE was trained towards | - |
//! | `gaussian` | one Gaussian of full covariance | JSON |
//! | `mixture` | a Gaussian mixture ([`crate::mixtures`]) | JSON |
//! | `two-stage` | a second VAE on the codes ([`TwoStage`]) | safetensors |
//! | `maf` | a masked autoregressive flow ([`Maf`]) | safetensors |
//!
//! Files lie in `priors/` of the run ([`store`]) and name the weights they belong to.
//!
//! ```
//! use elbo::priors::{Draw, Sampler, SamplerKind};
//!
//! let device = elbo::device::choose("cpu")?;
//! let codes: Vec<f32> = (0..400).map(|i| if i % 2 == 0 { 5.0 + (i % 7) as f32 } else { -(i % 11) as f32 }).collect();
//! let sampler = Sampler::fit(SamplerKind::Gaussian, &codes, 2, 0, &device)?;
//! let drawn = sampler.sample(&Draw { count: 3, ..Default::default() });
//! assert_eq!(drawn.len(), 6);
//! # Ok::<(), elbo::Error>(())
//! ```

mod codes;
mod made;
mod maf;
mod standardised;
pub mod store;
mod two_stage;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mixtures::{EmConfig, GaussianMixture, fit};
use crate::random::{Draws, Purpose};

pub use codes::{CodesKind, sampler_codes, training_codes};
pub use maf::{Maf, MafConfig};
pub use two_stage::{TwoStage, TwoStageConfig};

/// Components of the mixture that is fitted where nothing else is said: as many as Ghosh et al. 2020 take.
pub const COMPONENTS: usize = 10;

/// The samplers, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerKind {
    /// N(0, I).
    Normal,
    /// One Gaussian.
    Gaussian,
    /// A Gaussian mixture.
    Mixture,
    /// A second VAE.
    TwoStage,
    /// A masked autoregressive flow.
    Maf,
}

impl SamplerKind {
    /// All of them, from simple to elaborate.
    pub const ALL: [Self; 5] = [Self::Normal, Self::Gaussian, Self::Mixture, Self::TwoStage, Self::Maf];

    /// The name, as flags and files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Gaussian => "gaussian",
            Self::Mixture => "mixture",
            Self::TwoStage => "two-stage",
            Self::Maf => "maf",
        }
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SamplerKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::config("sampler", format!("one of {names}"), format!("`{name}`"), "`mixture` is a good choice")
        })
    }
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Codes.
    pub count: usize,
    /// Scale of deviations around the means of components; for networks, of the normal draws they start from.
    pub temperature: f64,
    /// Normal draws beyond so many deviations are drawn again.
    pub truncation: Option<f64>,
    /// Of the draws.
    pub seed: u64,
}

impl Default for Draw {
    fn default() -> Self {
        Self { count: 1, temperature: 1.0, truncation: None, seed: 0 }
    }
}

impl Draw {
    /// `count * width` normal draws, truncated and scaled, from stream `part`.
    fn normals(&self, width: usize, part: u64) -> Vec<f32> {
        let mut normals =
            Draws::new(self.seed, Purpose::Prior, 0, part).normals_within(self.count * width, self.truncation);
        normals.iter_mut().for_each(|value| *value *= self.temperature as f32);
        normals
    }
}

/// A distribution of codes that can be sampled from.
#[derive(Debug)]
pub enum Sampler {
    /// N(0, I) in so many dimensions.
    Normal(usize),
    /// A mixture of one component.
    Gaussian(GaussianMixture),
    /// A mixture.
    Mixture(GaussianMixture),
    /// A second VAE.
    TwoStage(Box<TwoStage>),
    /// A flow.
    Maf(Box<Maf>),
}

impl Sampler {
    /// Fits a sampler to codes. Equal codes and seeds give equal samplers.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    ///
    /// # Errors
    /// [`Error::Config`] for codes that are not finite or too few, [`Error::Diverged`] if a network's training does.
    ///
    /// # Panics
    /// If `codes` is not a whole number of codes.
    pub fn fit(kind: SamplerKind, codes: &[f32], latent: usize, seed: u64, device: &Device) -> Result<Self> {
        assert!(codes.len().is_multiple_of(latent), "{} values are no whole number of codes", codes.len());
        let mixture = |components| {
            let rows: Vec<f64> = codes.iter().map(|&value| f64::from(value)).collect();
            let components = usize::min(components, (rows.len() / latent).max(1));
            let config = EmConfig { components, seed, tolerance: 1e-5, ..Default::default() };
            Ok(fit(&rows, latent, &config)?.mixture)
        };
        Ok(match kind {
            SamplerKind::Normal => Self::Normal(latent),
            SamplerKind::Gaussian => Self::Gaussian(mixture(1)?),
            SamplerKind::Mixture => Self::Mixture(mixture(COMPONENTS)?),
            SamplerKind::TwoStage => {
                Self::TwoStage(Box::new(TwoStage::fit(codes, latent, &TwoStageConfig::default(), seed, device)?))
            }
            SamplerKind::Maf => Self::Maf(Box::new(Maf::fit(codes, latent, &MafConfig::default(), seed, device)?)),
        })
    }

    /// Which one it is.
    pub fn kind(&self) -> SamplerKind {
        match self {
            Self::Normal(_) => SamplerKind::Normal,
            Self::Gaussian(_) => SamplerKind::Gaussian,
            Self::Mixture(_) => SamplerKind::Mixture,
            Self::TwoStage(_) => SamplerKind::TwoStage,
            Self::Maf(_) => SamplerKind::Maf,
        }
    }

    /// Draws codes.
    ///
    /// # Shapes
    /// - returns: `[count, latent]`
    ///
    /// # Panics
    /// If the truncation is not positive.
    pub fn sample(&self, draw: &Draw) -> Vec<f32> {
        match self {
            Self::Normal(latent) => draw.normals(*latent, 0),
            Self::Gaussian(mixture) | Self::Mixture(mixture) => {
                let draws = &mut Draws::new(draw.seed, Purpose::Prior, 0, 0);
                let rows = mixture.sample(draw.count, draw.temperature, draw.truncation, draws);
                rows.into_iter().map(|value| value as f32).collect()
            }
            Self::TwoStage(model) => model.sample(draw),
            Self::Maf(flow) => flow.sample(draw),
        }
    }

    /// Mean of `ln p(z)` over codes, in nats; none where the density is not known in closed form.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    pub fn log_likelihood(&self, codes: &[f32]) -> Option<f64> {
        let rows = || -> Vec<f64> { codes.iter().map(|&value| f64::from(value)).collect() };
        match self {
            Self::Normal(latent) => {
                let squares: f64 = rows().iter().map(|z| z * z).sum();
                let n = codes.len() as f64 / *latent as f64;
                Some(-0.5 * (squares / n + *latent as f64 * std::f64::consts::TAU.ln()))
            }
            Self::Gaussian(mixture) | Self::Mixture(mixture) => Some(mixture.log_likelihood(&rows())),
            Self::TwoStage(_) => None,
            Self::Maf(flow) => {
                let log_prob = flow.log_prob(codes);
                Some(log_prob.iter().map(|&value| f64::from(value)).sum::<f64>() / log_prob.len() as f64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_mistakes_list_them() {
        for kind in SamplerKind::ALL {
            assert_eq!(kind.name().parse::<SamplerKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("gmm".parse::<SamplerKind>().unwrap_err().to_string().contains("mixture"));
    }

    #[test]
    fn the_normal_sampler_is_the_prior_that_was_always_sampled() {
        let drawn = Sampler::Normal(3).sample(&Draw { count: 4, temperature: 0.5, seed: 9, ..Default::default() });
        assert_eq!(drawn, crate::generation::sample_codes(3, 4, 0.5, 9));
        let density = Sampler::Normal(2).log_likelihood(&[0.0, 1.0]).unwrap();
        assert!((density + 0.5 + std::f64::consts::TAU.ln()).abs() < 1e-12);
    }

    #[test]
    fn truncation_and_temperature_hold_for_mixtures() {
        let mixture = GaussianMixture::diagonal(vec![0.5; 2], vec![vec![-9.0], vec![9.0]], vec![vec![1.0]; 2]).unwrap();
        let sampler = Sampler::Mixture(mixture);
        let draw = Draw { count: 500, temperature: 0.5, truncation: Some(1.0), seed: 0 };
        let drawn = sampler.sample(&draw);
        assert!(drawn.iter().all(|z| (z.abs() - 9.0).abs() <= 0.5), "around the means, at most one deviation of 0.5");
        assert!(drawn.iter().any(|z| *z > 0.0) && drawn.iter().any(|z| *z < 0.0), "components at their weights");
    }
}

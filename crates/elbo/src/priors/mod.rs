//! Where new codes come from, for any trained model: distributions fitted to the codes of the training data.
//!
//! A VAE is trained towards N(0, I), but the codes of the data, its aggregate posterior, need not lie there; an autoencoder's lie anywhere. What is
//! fitted afterwards to where they lie samples better (Ghosh et al. 2020, arXiv:1903.12436, section 4).
//!
//! | name | what | in the run |
//! |---|---|---|
//! | `normal` | N(0, I), what a VAE was trained towards | - |
//! | `gaussian` | one Gaussian of full covariance | `priors/gaussian.json` |
//! | `mixture` | a Gaussian mixture ([`crate::mixtures`]) | `priors/mixture.json` |
//! | any other | a model trained on the codes ([`NetworkPrior`]) | `priors/NAME/`, a run of its own |
//!
//! Of a conditional model, `gaussian` and `mixture` have one distribution for each class ([`ClassMixtures`]).
//!
//! Two recipes of such models come with the program: `two-stage`, a second VAE, and `maf`, a masked autoregressive flow. All belong to the weights
//! that encoded, and name them.
//!
//! ```
//! use elbo::priors::{Draw, Sampler, SamplerKind};
//!
//! let device = elbo::device::choose("cpu")?;
//! let codes: Vec<f32> = (0..400).map(|i| if i % 2 == 0 { 5.0 + (i % 7) as f32 } else { -(i % 11) as f32 }).collect();
//! let sampler = Sampler::fit(&SamplerKind::Gaussian, &codes, 2, 0, &device)?;
//! let drawn = sampler.sample(&Draw { count: 3, ..Default::default() });
//! assert_eq!(drawn.len(), 6);
//! # Ok::<(), elbo::Error>(())
//! ```

mod codes;
mod network;
mod of_classes;
pub mod store;
mod v1;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::mixtures::{EmConfig, GaussianMixture, fit};
use crate::models::Ask;
use crate::random::{Draws, Purpose};

pub use crate::data::codes::CodesKind;
pub use codes::{sampler_codes, training_codes};
pub use network::{NetworkPrior, RECIPES, SYMBOL_RECIPE, prior_config};
pub use of_classes::{ClassCodes, ClassMixtures};

/// Components of the mixture that is fitted where nothing else is said: as many as Ghosh et al. 2020 take.
pub const COMPONENTS: usize = 10;

/// The samplers, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SamplerKind {
    /// N(0, I), the prior of a VAE.
    Normal,
    /// One Gaussian with all covariances.
    Gaussian,
    /// A Gaussian mixture.
    Mixture,
    /// A model trained on the codes, by the name of its run.
    Prior(String),
}

impl SamplerKind {
    /// Those that any run with vector codes can have, from simple to elaborate.
    pub fn builtin() -> Vec<Self> {
        let priors = RECIPES.map(|name| Self::Prior(name.to_owned()));
        [Self::Normal, Self::Gaussian, Self::Mixture].into_iter().chain(priors).collect()
    }

    /// The model of this name.
    pub fn prior(name: &str) -> Self {
        Self::Prior(name.to_owned())
    }

    /// The name, as flags and files have it.
    pub fn name(&self) -> &str {
        match self {
            Self::Normal => "normal",
            Self::Gaussian => "gaussian",
            Self::Mixture => "mixture",
            Self::Prior(name) => name,
        }
    }

    /// The sampler of this name, closed form or not.
    fn named(name: &str) -> Self {
        let closed = [Self::Normal, Self::Gaussian, Self::Mixture];
        closed.into_iter().find(|kind| kind.name() == name).unwrap_or_else(|| Self::prior(name))
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SamplerKind {
    type Err = Error;

    /// One of [`SamplerKind::builtin`]; a run may have others.
    fn from_str(name: &str) -> Result<Self> {
        let known = Self::builtin();
        known.iter().find(|kind| kind.name() == name).cloned().ok_or_else(|| {
            let names = known.iter().map(Self::name).collect::<Vec<_>>().join(", ");
            Error::config("sampler", format!("one of {names}"), format!("`{name}`"), "`mixture` is a good choice")
        })
    }
}

impl Serialize for SamplerKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for SamplerKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Self::named(&name))
    }
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// How many codes there are.
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
    /// The same as it is asked of a generator.
    pub(crate) fn ask(&self) -> Ask {
        Ask::new(self.count, self.seed).temperature(self.temperature).truncation(self.truncation)
    }

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
#[non_exhaustive]
pub enum Sampler {
    /// N(0, I) in so many dimensions.
    Normal(usize),
    /// A mixture of one component.
    Gaussian(GaussianMixture),
    /// A mixture of Gaussians fitted to the codes.
    Mixture(GaussianMixture),
    /// A Gaussian or a mixture for each class.
    OfClasses(ClassMixtures),
    /// A model trained on the codes.
    Network(Box<NetworkPrior>),
}

impl Sampler {
    /// Fits a sampler to codes. Equal codes and seeds give equal samplers. What has a recipe is trained by it in memory;
    /// [`Run::sampler`](crate::tasks::Run::sampler) trains it in a run directory.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    ///
    /// # Errors
    /// [`Error::Config`] for codes that are not finite or too few, and for a name without a recipe; [`Error::Diverged`] if a network's training
    /// does.
    ///
    /// # Panics
    /// If `codes` is not a whole number of codes.
    pub fn fit(kind: &SamplerKind, codes: &[f32], latent: usize, seed: u64, device: &Device) -> Result<Self> {
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
            SamplerKind::Prior(name) => Self::Network(Box::new(NetworkPrior::fit(name, codes, latent, seed, device)?)),
        })
    }

    /// Fits `gaussian` or `mixture` to the codes of each class of a conditional model.
    ///
    /// # Errors
    /// As [`Sampler::fit`].
    ///
    /// # Panics
    /// If there is no label for each code, or one beyond the classes.
    ///
    /// ```
    /// use elbo::priors::{ClassCodes, Draw, Sampler, SamplerKind};
    ///
    /// let values = [1.0, 1.5, 2.0, 9.0, 9.5, 10.0];
    /// let codes = ClassCodes { values: &values, latent: 1, labels: &[0, 0, 0, 1, 1, 1], classes: 2 };
    /// let sampler = Sampler::fit_to_classes(&SamplerKind::Gaussian, codes, 0)?;
    /// let means = sampler.sample_as(&Draw { count: 2, temperature: 0.0, ..Draw::default() }, &[1, 0]);
    /// assert_eq!(means, [9.5, 1.5]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn fit_to_classes(kind: &SamplerKind, codes: ClassCodes<'_>, seed: u64) -> Result<Self> {
        ClassMixtures::fit(kind, codes, seed).map(Self::OfClasses)
    }

    /// Whether a class has a distribution of its own.
    pub fn is_of_classes(&self) -> bool {
        matches!(self, Self::OfClasses(_))
    }

    /// Which one it is.
    pub fn kind(&self) -> SamplerKind {
        match self {
            Self::Normal(_) => SamplerKind::Normal,
            Self::Gaussian(_) => SamplerKind::Gaussian,
            Self::Mixture(_) => SamplerKind::Mixture,
            Self::OfClasses(mixtures) => mixtures.kind().clone(),
            Self::Network(network) => SamplerKind::prior(network.name()),
        }
    }

    /// Draws codes; where classes have distributions of their own, for each class in turn.
    ///
    /// # Shapes
    /// - returns: `[count, latent]`
    ///
    /// # Panics
    /// If the truncation is not positive.
    pub fn sample(&self, draw: &Draw) -> Vec<f32> {
        self.sample_as(draw, &[])
    }

    /// Draws codes for these classes in turn, of which there may be fewer than codes; for all classes in turn where none is given.
    ///
    /// # Shapes
    /// - returns: `[count, latent]`
    ///
    /// # Panics
    /// If the truncation is not positive.
    pub fn sample_as(&self, draw: &Draw, classes: &[u32]) -> Vec<f32> {
        match self {
            Self::OfClasses(mixtures) => {
                let n = mixtures.mixtures().len();
                mixtures.sample(draw, |i| if classes.is_empty() { i % n } else { classes[i % classes.len()] as usize })
            }
            Self::Normal(latent) => draw.normals(*latent, 0),
            Self::Gaussian(mixture) | Self::Mixture(mixture) => {
                let draws = &mut Draws::new(draw.seed, Purpose::Prior, 0, 0);
                let rows = mixture.sample(draw.count, draw.temperature, draw.truncation, draws);
                rows.into_iter().map(|value| value as f32).collect()
            }
            Self::Network(network) => network.sample(draw),
        }
    }

    /// Mean of `ln p(z)` over codes, in nats; none where the density is not known in closed form, or not without the class.
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
            Self::OfClasses(_) => None,
            Self::Network(network) => {
                let log_prob = network.log_prob(codes)?;
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
        for kind in SamplerKind::builtin() {
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

//! The keys of `[model]` that all models around one vector code share: the size of the code, the likelihood, how weights start.

use serde::{Deserialize, Serialize};

use crate::distributions::{Likelihood, Link, Suitability};
use crate::error::{Error, Result};
use crate::networks::NetworkConfig;
use crate::space::{Domain, Space};

/// How weights start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InitialWeights {
    /// As PyTorch's layers do: uniform in +-1/sqrt(inputs), biases too.
    #[default]
    Pytorch,
    /// Uniform in +-sqrt(6 / (inputs + outputs)), biases 0 (Glorot & Bengio 2010).
    Glorot,
}

/// Where the decoder's last bias starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OutputBias {
    /// Like the other biases.
    #[default]
    Initial,
    /// At the logit of each value's mean over the training data, kept in 0.001 to 0.999 (Burda et al. 2015): the model of a decoder that ignores its code.
    DataMean,
}

/// Names of the likelihoods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LikelihoodName {
    /// Independent binary pixels: [`Likelihood::Bernoulli`].
    Bernoulli,
    /// Numbers in [0, 1]: [`Likelihood::ContinuousBernoulli`].
    ContinuousBernoulli,
    /// [`Likelihood::Gaussian`], with `sigma`.
    Gaussian,
    /// One learned deviation for all values: [`Likelihood::GaussianShared`].
    GaussianShared,
    /// A deviation for each value, from the decoder: [`Likelihood::GaussianPerPixel`].
    GaussianPerPixel,
    /// [`Likelihood::Laplace`] with `scale`, [`Likelihood::LaplaceShared`] without.
    Laplace,
    /// A probability for each of 256 levels: [`Likelihood::Categorical`].
    Categorical,
    /// The mass of a level under a logistic distribution: [`Likelihood::DiscretisedLogistic`].
    #[serde(alias = "discretized-logistic")]
    DiscretisedLogistic,
    /// [`Likelihood::LogisticMixture`], with `components`.
    LogisticMixture,
    /// The sum of squared errors, no likelihood: [`Likelihood::Sse`].
    Sse,
    /// [`Likelihood::MsSsim`], with `weight`.
    MsSsim,
    /// [`Likelihood::Edge`], with `weight`.
    Edge,
}

/// The shared keys of a `[model]` table, read out of a family's own.
#[derive(Debug, Clone, PartialEq)]
pub struct LikelihoodKeys {
    /// Dimensions of the vector code; 0 where the codes are maps of symbols.
    pub latent: usize,
    /// What the decoder's output means.
    pub likelihood: LikelihoodName,
    /// Standard deviation of the Gaussian likelihood; belongs to no other.
    pub sigma: Option<f64>,
    /// Scale of the Laplace likelihood; learned if not given.
    pub scale: Option<f64>,
    /// Components of the mixture of logistics; 5 if not given.
    pub components: Option<usize>,
    /// Factor of the surrogates `ms-ssim` and `edge` (of its edges); 1 if not given.
    pub weight: Option<f64>,
    /// How weights start.
    pub initial: InitialWeights,
    /// Where the decoder's last bias starts.
    pub output_bias: OutputBias,
}

/// A `[model]` table with the shared keys and, between `weight` and `initial`, a family's own: `name: type = default`.
///
/// A struct inside another would be flattened by serde through a buffer, which loses the place of an error in the file.
macro_rules! likelihood_keys {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$own_doc:meta])* $own:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, crate::reference::Fields)]
        #[serde(deny_unknown_fields, default)]
        #[allow(clippy::partial_pub_fields, reason = "all are public")]
        pub struct $name {
            /// Dimensions of the code.
            pub latent: usize,
            /// What the decoder's output means, and so what `recon` is.
            pub likelihood: super::LikelihoodName,
            /// Standard deviation of the Gaussian likelihood; belongs to no other.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub sigma: Option<f64>,
            /// Scale of the Laplace likelihood; learned if not given.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub scale: Option<f64>,
            /// Components of the mixture of logistics; 5 if not given.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub components: Option<usize>,
            /// Factor of the surrogates `ms-ssim` and `edge` (of its edges); 1 if not given.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub weight: Option<f64>,
            $($(#[$own_doc])* pub $own: $type,)*
            /// How weights start: as PyTorch's layers do, or as Glorot & Bengio (2010).
            pub initial: super::InitialWeights,
            /// Where the decoder's last bias starts: like the others, or at the logit of the data's mean.
            pub output_bias: super::OutputBias,
        }

        impl Default for $name {
            fn default() -> Self {
                Self {
                    latent: 20,
                    likelihood: super::LikelihoodName::Bernoulli,
                    sigma: None,
                    scale: None,
                    components: None,
                    weight: None,
                    $($own: $default,)*
                    initial: super::InitialWeights::Pytorch,
                    output_bias: super::OutputBias::Initial,
                }
            }
        }

        impl $name {
            /// The names of its keys.
            pub(super) const KEYS: &'static [&'static str] = &[
                "latent", "likelihood", "sigma", "scale", "components", "weight", $(stringify!($own),)* "initial", "output_bias",
            ];

            /// The keys that models around one vector code share.
            pub(super) fn shared(&self) -> super::LikelihoodKeys {
                super::LikelihoodKeys {
                    latent: self.latent,
                    likelihood: self.likelihood,
                    sigma: self.sigma,
                    scale: self.scale,
                    components: self.components,
                    weight: self.weight,
                    initial: self.initial,
                    output_bias: self.output_bias,
                }
            }
        }
    };
}
pub(super) use likelihood_keys;

/// Components of a mixture that is not told how many: half of PixelCNN++'s, since a decoder has no neighbours to condition on and each costs ten
/// channels.
const COMPONENTS: usize = 5;
/// Largest code accepted.
pub const MAX_LATENT: usize = 1 << 16;
/// Most draws of the posterior for each example accepted.
pub const MAX_SAMPLES: usize = 1 << 12;
/// Most parameters accepted: 4 GiB of float32 weights, before moments and gradients.
pub const MAX_PARAMETERS: u128 = 1 << 30;

impl LikelihoodKeys {
    /// The likelihood these keys describe, for rows of a space.
    ///
    /// # Errors
    /// [`Error::Config`] if a key is missing, superfluous or out of range, or if the likelihood means nothing on such data.
    pub fn likelihood(&self, space: Space) -> Result<Likelihood> {
        let likelihood = self.named_likelihood(space)?;
        if let Suitability::Refused { reason, help } = likelihood.fits(space.domain) {
            return Err(Error::config("model.likelihood", "a likelihood of such data", reason, help));
        }
        likelihood.check().map(|()| likelihood)
    }

    /// The same, whether or not it means anything on such data and its numbers are in range.
    ///
    /// # Errors
    /// [`Error::Config`] if a key is missing or superfluous.
    pub fn named_likelihood(&self, space: Space) -> Result<Likelihood> {
        let Space { shape, domain } = space;
        self.check_owners()?;
        let link = if domain == Domain::Real { Link::Identity } else { Link::Sigmoid };
        let (sigma, weight) = (self.sigma.unwrap_or(1.0), self.weight.unwrap_or(1.0));
        Ok(match self.likelihood {
            LikelihoodName::Bernoulli => Likelihood::Bernoulli,
            LikelihoodName::ContinuousBernoulli => Likelihood::ContinuousBernoulli,
            LikelihoodName::Gaussian => Likelihood::Gaussian { sigma, link },
            LikelihoodName::GaussianShared => Likelihood::GaussianShared { link },
            LikelihoodName::GaussianPerPixel => Likelihood::GaussianPerPixel { link },
            LikelihoodName::Laplace => match self.scale {
                Some(scale) => Likelihood::Laplace { scale, link },
                None => Likelihood::LaplaceShared { link },
            },
            LikelihoodName::Categorical => Likelihood::Categorical,
            LikelihoodName::DiscretisedLogistic => Likelihood::DiscretisedLogistic,
            LikelihoodName::LogisticMixture => {
                Likelihood::LogisticMixture { components: self.components.unwrap_or(COMPONENTS), channels: shape[0] }
            }
            LikelihoodName::Sse => Likelihood::Sse { link },
            LikelihoodName::MsSsim => Likelihood::MsSsim { shape, weight },
            LikelihoodName::Edge => Likelihood::Edge { shape, weight },
        })
    }

    /// Refuses keys of other likelihoods, and asks for one that is missing.
    fn check_owners(&self) -> Result<()> {
        use LikelihoodName::{Edge, Gaussian, Laplace, LogisticMixture, MsSsim};
        let given = [
            ("model.sigma", self.sigma.map(|v| v.to_string()), &[Gaussian][..], "the Gaussian", "gaussian"),
            ("model.scale", self.scale.map(|v| v.to_string()), &[Laplace], "the Laplace distribution", "laplace"),
            (
                "model.components",
                self.components.map(|v| v.to_string()),
                &[LogisticMixture],
                "a mixture",
                "logistic-mixture",
            ),
            ("model.weight", self.weight.map(|v| v.to_string()), &[MsSsim, Edge], "a surrogate", "edge"),
        ];
        for (key, value, owners, owner, name) in given {
            if let (Some(value), false) = (value, owners.contains(&self.likelihood)) {
                let help = format!("remove it, or set `model.likelihood = \"{name}\"`");
                return Err(Error::config(key, format!("nothing: only {owner} has one"), value, help));
            }
        }
        if self.likelihood == Gaussian && self.sigma.is_none() {
            let help = "add `sigma = 0.1` (in units of the pixel range 0..1) to [model], or learn it: `likelihood = \"gaussian-shared\"`";
            return Err(Error::config("model.sigma", "a standard deviation for the Gaussian", "nothing", help));
        }
        Ok(())
    }

    /// Checks the keys against the network and the data.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key: a likelihood that cannot be, a latent size of 0 or beyond `MAX_LATENT` (65,536), a start that the
    /// network does not have.
    pub fn check(&self, network: &NetworkConfig, space: Space) -> Result<()> {
        self.likelihood(space)?;
        network.check_vector()?;
        self.check_start(network)?;
        if self.latent == 0 || self.latent > MAX_LATENT {
            let found = self.latent.to_string();
            let help = "2 is good to look at, 10 to 64 reconstruct better: `--set model.latent=20`";
            return Err(Error::config("model.latent", format!("a size from 1 to {MAX_LATENT}"), found, help));
        }
        Ok(())
    }

    fn check_start(&self, network: &NetworkConfig) -> Result<()> {
        let dense = matches!(network, NetworkConfig::Mlp(_));
        let special = self.initial != InitialWeights::Pytorch || self.output_bias != OutputBias::Initial;
        if special && !dense {
            let key = if self.output_bias == OutputBias::Initial { "model.initial" } else { "model.output_bias" };
            let help = "set `network.kind = \"mlp\"`, or remove it";
            return Err(Error::config(key, "nothing: it is defined for fully connected networks", "another", help));
        }
        if self.output_bias == OutputBias::DataMean && self.likelihood != LikelihoodName::Bernoulli {
            let help = "remove it, or set `model.likelihood = \"bernoulli\"`";
            return Err(Error::config("model.output_bias", "nothing: logits belong to `bernoulli`", "data-mean", help));
        }
        Ok(())
    }
}

/// Checks the number of draws of the posterior for each example.
pub(super) fn check_samples(samples: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&samples) {
        return Ok(());
    }
    let expected = format!("a number from 1 to {most} for this model");
    let help = "an autoencoder draws none; a VAE takes 1, `iwae` 5 or 50";
    Err(Error::config("model.samples", expected, samples.to_string(), help))
}

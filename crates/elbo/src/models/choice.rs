//! Which model: the `[model]` table of a recipe and the model it builds.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Ae, Code, Iwae, Model, Terms, Vae};
use crate::data::{Domain, Examples};
use crate::distributions::{Fit, Likelihood, Link};
use crate::error::{Error, Result};
use crate::networks::{LayerSummary, NetworkConfig};

/// Names of the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// [`Ae`].
    Ae,
    /// [`Vae`].
    Vae,
    /// [`Iwae`].
    Iwae,
}

impl ModelKind {
    /// Whether codes are distributions with a prior, so that new examples can be drawn.
    pub fn is_generative(self) -> bool {
        self != Self::Ae
    }
}

/// How weights start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
pub enum LikelihoodName {
    /// [`Likelihood::Bernoulli`].
    Bernoulli,
    /// [`Likelihood::ContinuousBernoulli`].
    ContinuousBernoulli,
    /// [`Likelihood::Gaussian`], with `sigma`.
    Gaussian,
    /// [`Likelihood::GaussianShared`].
    GaussianShared,
    /// [`Likelihood::GaussianPerPixel`].
    GaussianPerPixel,
    /// [`Likelihood::Laplace`] with `scale`, [`Likelihood::LaplaceShared`] without.
    Laplace,
    /// [`Likelihood::Categorical`].
    Categorical,
    /// [`Likelihood::DiscretisedLogistic`].
    #[serde(alias = "discretized-logistic")]
    DiscretisedLogistic,
    /// [`Likelihood::LogisticMixture`], with `components`.
    LogisticMixture,
    /// [`Likelihood::Sse`].
    Sse,
    /// [`Likelihood::MsSsim`], with `weight`.
    MsSsim,
    /// [`Likelihood::Edge`], with `weight`.
    Edge,
}

/// The `[model]` table of a recipe.
///
/// ```
/// use elbo::models::{ModelConfig, ModelKind};
/// use elbo::networks::NetworkConfig;
///
/// let config: ModelConfig = toml::from_str("kind = 'ae'\nlatent = 2\nlikelihood = 'sse'").unwrap();
/// assert_eq!(config.kind, ModelKind::Ae);
/// assert_eq!(config.parameters(&NetworkConfig::mlp(&[256]), [1, 28, 28]), 403_730);
///
/// let error = ModelConfig { latent: 0, ..config }.check(&NetworkConfig::default()).unwrap_err();
/// assert!(error.to_string().contains("model.latent"));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// Which model.
    pub kind: ModelKind,
    /// Dimensions of the code.
    pub latent: usize,
    /// What the decoder's output means.
    pub likelihood: LikelihoodName,
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
    /// Draws of the posterior for each example: k of the importance-weighted bound, L of a VAE's.
    pub samples: usize,
    /// Whether `iwae` uses the doubly reparameterized gradient.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dreg: bool,
    /// How weights start.
    pub initial: InitialWeights,
    /// Where the decoder's last bias starts.
    pub output_bias: OutputBias,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            kind: ModelKind::Vae,
            latent: 20,
            likelihood: LikelihoodName::Bernoulli,
            sigma: None,
            scale: None,
            components: None,
            weight: None,
            samples: 1,
            dreg: false,
            initial: InitialWeights::Pytorch,
            output_bias: OutputBias::Initial,
        }
    }
}

/// Components of a mixture that is not told how many: half of PixelCNN++'s, since a decoder has no neighbours to condition on and each costs ten
/// channels.
const COMPONENTS: usize = 5;
/// Largest code accepted.
pub const MAX_LATENT: usize = 1 << 16;
/// Most draws of the posterior for each example accepted.
pub const MAX_SAMPLES: usize = 1 << 12;
/// Most parameters accepted: 4 GiB of float32 weights, before moments and gradients.
pub const MAX_PARAMETERS: u128 = 1 << 30;

impl ModelConfig {
    /// The likelihood these keys describe, for examples of a shape and domain. A shape alone stands for bytes.
    ///
    /// # Errors
    /// [`Error::Config`] if a key is missing, superfluous or out of range, or if the likelihood means nothing on such data.
    ///
    /// ```
    /// use elbo::data::{Domain, Examples};
    /// use elbo::models::ModelConfig;
    ///
    /// let rows = Examples { shape: [1, 1, 13], domain: Domain::Real };
    /// assert!(ModelConfig::default().likelihood(rows).unwrap_err().to_string().contains("model.likelihood"));
    /// ```
    pub fn likelihood(&self, examples: impl Into<Examples>) -> Result<Likelihood> {
        let examples = examples.into();
        let likelihood = self.named_likelihood(examples)?;
        if let Fit::Refused { reason, help } = likelihood.fits(examples.domain) {
            return Err(Error::config("model.likelihood", "a likelihood of such data", reason, help));
        }
        likelihood.check().map(|()| likelihood)
    }

    /// The same, whether or not it means anything on such data and its numbers are in range.
    ///
    /// # Errors
    /// [`Error::Config`] if a key is missing or superfluous.
    pub fn named_likelihood(&self, examples: impl Into<Examples>) -> Result<Likelihood> {
        let Examples { shape, domain } = examples.into();
        self.check_keys()?;
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
    fn check_keys(&self) -> Result<()> {
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

    /// Checks what does not depend on the data.
    ///
    /// # Errors
    /// [`Error::Config`] for a latent size of 0 or beyond `MAX_LATENT` (65,536), a bad likelihood or a bad network.
    pub fn check(&self, network: &NetworkConfig) -> Result<()> {
        // On pictures large enough for all of them: what the data's own shape and domain refuse is said once the data is open.
        self.likelihood([1, 64, 64])?;
        network.check()?;
        self.check_sampling(network)?;
        if self.latent == 0 || self.latent > MAX_LATENT {
            let found = self.latent.to_string();
            let help = "2 is good to look at, 10 to 64 reconstruct better: `--set model.latent=20`";
            return Err(Error::config("model.latent", format!("a size from 1 to {MAX_LATENT}"), found, help));
        }
        Ok(())
    }

    /// Checks `samples`, `dreg`, `initial` and `output_bias` against the rest.
    fn check_sampling(&self, network: &NetworkConfig) -> Result<()> {
        let most = if self.kind == ModelKind::Ae { 1 } else { MAX_SAMPLES };
        if !(1..=most).contains(&self.samples) {
            let expected = format!("a number from 1 to {most} for this model");
            let help = "an autoencoder draws none; a VAE takes 1, `iwae` 5 or 50";
            return Err(Error::config("model.samples", expected, self.samples.to_string(), help));
        }
        if self.dreg && self.kind != ModelKind::Iwae {
            let help = "set `model.kind = \"iwae\"`, or remove it";
            return Err(Error::config("model.dreg", "nothing: only `iwae` has such a gradient", "true", help));
        }
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

    /// The same for examples of a shape and domain, sizes included, before anything is allocated.
    ///
    /// # Errors
    /// As [`ModelConfig::check`] and [`ModelConfig::likelihood`], for a shape that the network cannot take, and for more than `MAX_PARAMETERS` (2^30).
    pub fn check_shape(&self, network: &NetworkConfig, examples: impl Into<Examples>) -> Result<()> {
        let examples = examples.into();
        self.check(network)?;
        self.likelihood(examples)?;
        network.check_shape(examples.shape)?;
        let parameters = self.parameters(network, examples);
        if parameters > MAX_PARAMETERS {
            let found = format!("{parameters} parameters ({} GiB in training)", (parameters * 16) >> 30);
            let expected = format!("at most {MAX_PARAMETERS} parameters");
            return Err(Error::config(network.widths_key(), expected, found, "choose smaller widths"));
        }
        Ok(())
    }

    /// The layers for examples that [`ModelConfig::check_shape`] has accepted, from the data to the parameters of p(x|z).
    pub fn summary(&self, network: &NetworkConfig, examples: impl Into<Examples>) -> Vec<LayerSummary> {
        let examples = examples.into();
        let shape = examples.shape;
        let outputs = self.likelihood(examples).map_or(shape[0], |likelihood| likelihood.output_channels(shape[0]));
        let heads: &[&str] = if self.kind.is_generative() { &["mean", "log_var"] } else { &["code"] };
        let head = |name: &&str| LayerSummary::linear(*name, network.features(shape), self.latent);
        let mut rows = network.encoder_summary(shape);
        rows.extend(heads.iter().map(head));
        rows.extend(network.decoder_summary(self.latent, shape, outputs));
        rows
    }

    /// Number of weights and biases for examples that [`ModelConfig::check_shape`] has accepted.
    pub fn parameters(&self, network: &NetworkConfig, examples: impl Into<Examples>) -> u128 {
        self.summary(network, examples).iter().map(|row| row.parameters).sum()
    }

    /// Builds the model with initial weights from `seed`. Call [`ModelConfig::check_shape`] first.
    ///
    /// # Errors
    /// As [`ModelConfig::likelihood`].
    pub fn init(
        &self,
        network: &NetworkConfig,
        examples: impl Into<Examples>,
        seed: u64,
        device: &Device,
    ) -> Result<AnyModel> {
        let examples = examples.into();
        let (likelihood, shape) = (self.likelihood(examples)?, examples.shape);
        let (latent, samples) = (self.latent, self.samples);
        Ok(match self.kind {
            ModelKind::Ae => AnyModel::Ae(Ae::init(shape, latent, network, likelihood, seed, device)),
            ModelKind::Vae => {
                AnyModel::Vae(Vae::init(shape, latent, network, likelihood, seed, device).with_samples(samples))
            }
            ModelKind::Iwae => {
                let iwae = Iwae::init(shape, latent, samples, network, likelihood, seed, device);
                AnyModel::Iwae(iwae.with_dreg(self.dreg))
            }
        })
    }
}

/// Any of the models, chosen at run time.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one value per run; Burn's derive takes no boxes")]
pub enum AnyModel {
    /// An autoencoder.
    Ae(Ae),
    /// A variational autoencoder.
    Vae(Vae),
    /// An importance-weighted autoencoder.
    Iwae(Iwae),
}

impl AnyModel {
    fn inner(&self) -> &dyn Model {
        match self {
            Self::Ae(model) => model,
            Self::Vae(model) => model,
            Self::Iwae(model) => model,
        }
    }
}

impl Model for AnyModel {
    fn latent(&self) -> usize {
        self.inner().latent()
    }

    fn input(&self) -> usize {
        self.inner().input()
    }

    fn likelihood(&self) -> Likelihood {
        self.inner().likelihood()
    }

    fn scale(&self) -> Option<f64> {
        self.inner().scale()
    }

    fn noise_dims(&self) -> usize {
        self.inner().noise_dims()
    }

    fn encode(&self, x: Tensor<2>) -> Code {
        self.inner().encode(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.inner().decode(z)
    }

    fn decode_nll(&self, z: Tensor<2>, likelihood: &Likelihood, x: Tensor<2>) -> Tensor<1> {
        self.inner().decode_nll(z, likelihood, x)
    }

    fn codes_at_once(&self) -> usize {
        self.inner().codes_at_once()
    }

    fn terms(&self, x: Tensor<2>, noise: Tensor<2>) -> Terms {
        self.inner().terms(x, noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::{Channels, ConvConfig, Normalization, ResnetConfig};

    #[test]
    fn parameter_count_is_the_modules() {
        for kind in [ModelKind::Ae, ModelKind::Vae, ModelKind::Iwae] {
            let config = ModelConfig { kind, latent: 3, ..Default::default() };
            // Batch norm's running statistics, which Burn counts too, are no parameters: `tests/network_shapes.rs` tells them apart.
            let (norm, channels) = (Normalization::Group, Channels::from(vec![3, 2]));
            let conv = NetworkConfig::Conv(ConvConfig { norm, channels: channels.clone(), ..Default::default() });
            let resnet = NetworkConfig::Resnet(ResnetConfig { norm, channels, ..Default::default() });
            let mlps = [[].as_slice(), &[7], &[9, 5]].map(NetworkConfig::mlp);
            for network in mlps.into_iter().chain([conv, resnet]) {
                let model = config.init(&network, [3, 8, 4], 0, &Device::default()).unwrap();
                assert_eq!(model.num_params() as u128, config.parameters(&network, [3, 8, 4]), "{network:?}");
            }
        }
    }

    #[test]
    fn likelihoods_are_refused_where_they_mean_nothing_and_keys_where_they_belong_to_others() {
        let rows = Examples { shape: [1, 1, 5], domain: Domain::Real };
        let named = |name: &str| {
            let config: ModelConfig = toml::from_str(&format!("likelihood = '{name}'")).unwrap();
            if name == "gaussian" { ModelConfig { sigma: Some(0.5), ..config } } else { config }
        };
        for name in ["gaussian", "gaussian-shared", "gaussian-per-pixel", "laplace", "sse"] {
            let likelihood = named(name).likelihood(rows).unwrap();
            assert!(format!("{likelihood:?}").contains("Identity"), "{likelihood:?}");
            let likelihood = named(name).likelihood([1, 8, 8]).unwrap();
            assert!(format!("{likelihood:?}").contains("Sigmoid"), "{likelihood:?}");
        }
        let of_pictures = [
            "bernoulli",
            "continuous-bernoulli",
            "categorical",
            "discretised-logistic",
            "logistic-mixture",
            "ms-ssim",
            "edge",
        ];
        for name in of_pictures {
            assert!(named(name).likelihood([3, 8, 8]).is_ok(), "{name}");
            let error = named(name).likelihood(rows).unwrap_err();
            assert!(
                error.to_string().contains("model.likelihood") && error.help().contains("gaussian-shared"),
                "{error}"
            );
        }
        let superfluous = [
            ("model.sigma", ModelConfig { sigma: Some(1.0), ..Default::default() }),
            ("model.scale", ModelConfig { scale: Some(1.0), ..Default::default() }),
            ("model.components", ModelConfig { components: Some(2), ..Default::default() }),
            ("model.weight", ModelConfig { weight: Some(2.0), ..Default::default() }),
            ("model.sigma", named("gaussian-shared").with_sigma(0.5)),
            ("model.components", ModelConfig { components: Some(0), ..named("logistic-mixture") }),
            ("model.scale", ModelConfig { scale: Some(-1.0), ..named("laplace") }),
            ("model.weight", ModelConfig { weight: Some(f64::NAN), ..named("edge") }),
        ];
        for (key, config) in superfluous {
            let error = config.check(&NetworkConfig::default()).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    impl ModelConfig {
        fn with_sigma(self, sigma: f64) -> Self {
            Self { sigma: Some(sigma), ..self }
        }
    }

    #[test]
    fn absurd_sizes_are_refused_before_allocation() {
        let network = NetworkConfig::mlp(&[1 << 20, 1 << 20]);
        let error = ModelConfig::default().check_shape(&network, [1, 28, 28]).unwrap_err().to_string();
        assert!(error.contains("network.hidden") && error.contains("parameters"), "{error}");
        for latent in [0, usize::MAX] {
            let config = ModelConfig { latent, ..Default::default() };
            assert!(config.check(&NetworkConfig::default()).unwrap_err().to_string().contains("model.latent"));
        }
    }
}

//! Which model: the `[model]` table of a recipe and the model it builds.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Ae, Code, Model, Terms, Vae};
use crate::distributions::Likelihood;
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
}

/// Names of the likelihoods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LikelihoodName {
    /// [`Likelihood::Bernoulli`].
    Bernoulli,
    /// [`Likelihood::Gaussian`], with `sigma`.
    Gaussian,
    /// [`Likelihood::Sse`].
    Sse,
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
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { kind: ModelKind::Vae, latent: 20, likelihood: LikelihoodName::Bernoulli, sigma: None }
    }
}

/// Largest code accepted.
pub const MAX_LATENT: usize = 1 << 16;
/// Most parameters accepted: 4 GiB of float32 weights, before moments and gradients.
pub const MAX_PARAMETERS: u128 = 1 << 30;

impl ModelConfig {
    /// The likelihood these keys describe.
    ///
    /// # Errors
    /// [`Error::Config`] if `sigma` is missing, superfluous or not positive.
    pub fn likelihood(&self) -> Result<Likelihood> {
        let likelihood = match (self.likelihood, self.sigma) {
            (LikelihoodName::Bernoulli, None) => Likelihood::Bernoulli,
            (LikelihoodName::Sse, None) => Likelihood::Sse,
            (LikelihoodName::Gaussian, Some(sigma)) => Likelihood::Gaussian { sigma },
            (LikelihoodName::Gaussian, None) => {
                let help = "add `sigma = 0.1` (in units of the pixel range 0..1) to [model]";
                return Err(Error::config("model.sigma", "a standard deviation for the Gaussian", "nothing", help));
            }
            (_, Some(sigma)) => {
                let help = "remove it, or set `model.likelihood = \"gaussian\"`";
                return Err(Error::config(
                    "model.sigma",
                    "nothing: only the Gaussian has one",
                    sigma.to_string(),
                    help,
                ));
            }
        };
        likelihood.check().map(|()| likelihood)
    }

    /// Checks what does not depend on the data.
    ///
    /// # Errors
    /// [`Error::Config`] for a latent size of 0 or beyond `MAX_LATENT` (65,536), a bad likelihood or a bad network.
    pub fn check(&self, network: &NetworkConfig) -> Result<()> {
        self.likelihood()?;
        network.check()?;
        if self.latent == 0 || self.latent > MAX_LATENT {
            let found = self.latent.to_string();
            let help = "2 is good to look at, 10 to 64 reconstruct better: `--set model.latent=20`";
            return Err(Error::config("model.latent", format!("a size from 1 to {MAX_LATENT}"), found, help));
        }
        Ok(())
    }

    /// The same for examples of `shape` (channels, height, width), sizes included, before anything is allocated.
    ///
    /// # Errors
    /// As [`ModelConfig::check`], for a shape that the network cannot take, and for more than `MAX_PARAMETERS` (2^30).
    pub fn check_shape(&self, network: &NetworkConfig, shape: [usize; 3]) -> Result<()> {
        self.check(network)?;
        network.check_shape(shape)?;
        let parameters = self.parameters(network, shape);
        if parameters > MAX_PARAMETERS {
            let found = format!("{parameters} parameters ({} GiB in training)", (parameters * 16) >> 30);
            let expected = format!("at most {MAX_PARAMETERS} parameters");
            return Err(Error::config(network.widths_key(), expected, found, "choose smaller widths"));
        }
        Ok(())
    }

    /// The layers for examples of `shape`, which [`ModelConfig::check_shape`] has accepted, from the data to the parameters of p(x|z).
    pub fn summary(&self, network: &NetworkConfig, shape: [usize; 3]) -> Vec<LayerSummary> {
        let outputs = self.likelihood().map_or(shape[0], |likelihood| likelihood.output_channels(shape[0]));
        let heads: &[&str] = if self.kind == ModelKind::Vae { &["mean", "log_var"] } else { &["code"] };
        let head = |name: &&str| LayerSummary::linear(*name, network.features(shape), self.latent);
        let mut rows = network.encoder_summary(shape);
        rows.extend(heads.iter().map(head));
        rows.extend(network.decoder_summary(self.latent, shape, outputs));
        rows
    }

    /// Number of weights and biases for examples of `shape`, which [`ModelConfig::check_shape`] has accepted.
    pub fn parameters(&self, network: &NetworkConfig, shape: [usize; 3]) -> u128 {
        self.summary(network, shape).iter().map(|row| row.parameters).sum()
    }

    /// Builds the model with initial weights from `seed`. Call [`ModelConfig::check_shape`] first.
    ///
    /// # Errors
    /// As [`ModelConfig::likelihood`].
    pub fn init(&self, network: &NetworkConfig, shape: [usize; 3], seed: u64, device: &Device) -> Result<AnyModel> {
        let likelihood = self.likelihood()?;
        Ok(match self.kind {
            ModelKind::Ae => AnyModel::Ae(Ae::init(shape, self.latent, network, likelihood, seed, device)),
            ModelKind::Vae => AnyModel::Vae(Vae::init(shape, self.latent, network, likelihood, seed, device)),
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
}

impl AnyModel {
    fn inner(&self) -> &dyn Model {
        match self {
            Self::Ae(model) => model,
            Self::Vae(model) => model,
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

    fn noise_dims(&self) -> usize {
        self.inner().noise_dims()
    }

    fn encode(&self, x: Tensor<2>) -> Code {
        self.inner().encode(x)
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.inner().decode(z)
    }

    fn terms(&self, x: Tensor<2>, noise: Tensor<2>) -> Terms {
        self.inner().terms(x, noise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_count_is_the_modules() {
        for kind in [ModelKind::Ae, ModelKind::Vae] {
            let config = ModelConfig { kind, latent: 3, ..Default::default() };
            let conv = NetworkConfig::conv(&[3, 2]);
            for network in [NetworkConfig::mlp(&[]), NetworkConfig::mlp(&[7]), NetworkConfig::mlp(&[9, 5]), conv] {
                let model = config.init(&network, [3, 8, 4], 0, &Device::default()).unwrap();
                // Running statistics are state, not parameters, as in PyTorch.
                let statistics = match network {
                    NetworkConfig::Mlp(_) => 0,
                    NetworkConfig::Conv(_) => 2 * (3 + 2 + 3),
                };
                let learned = model.num_params() as u128 - statistics;
                assert_eq!(learned, config.parameters(&network, [3, 8, 4]), "{network:?}");
            }
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

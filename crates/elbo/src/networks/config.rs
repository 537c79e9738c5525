//! The `[network]` table of a recipe: which body, and how large.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{Activation, ConvConfig, ConvDecoder, ConvEncoder, Decoder, Encoder, Mlp, MlpConfig, Nonlinearity};
use crate::error::Result;
use crate::random::Draws;

/// The body of encoder and decoder: `kind` and the keys that belong to it.
///
/// ```
/// use elbo::networks::NetworkConfig;
///
/// let config: NetworkConfig = toml::from_str("hidden = [512, 256]").unwrap(); // `kind` is `mlp` unless given
/// assert_eq!(config, NetworkConfig::mlp(&[512, 256]));
///
/// let error = toml::from_str::<NetworkConfig>("kind = 'conv'\nhidden = [9]").unwrap_err();
/// assert!(error.message().contains("`hidden`"), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", try_from = "Keys")]
pub enum NetworkConfig {
    /// Fully connected layers.
    Mlp(MlpConfig),
    /// Strided convolutions.
    Conv(ConvConfig),
}

/// Names of the bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Mlp,
    Conv,
}

/// All keys of the table, before it is known which belong together.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    kind: Kind,
    activation: Nonlinearity,
    hidden: Option<Vec<usize>>,
    channels: Option<Vec<usize>>,
}

impl TryFrom<Keys> for NetworkConfig {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        let Keys { kind, activation, hidden, channels } = keys;
        let foreign = match kind {
            Kind::Mlp => [("channels", channels.is_some(), "conv")],
            Kind::Conv => [("hidden", hidden.is_some(), "mlp")],
        };
        if let Some((key, _, owner)) = foreign.iter().find(|(_, given, _)| *given) {
            return Err(format!("key `{key}`, expected it only in a network of kind `{owner}`"));
        }
        Ok(match kind {
            Kind::Mlp => Self::Mlp(MlpConfig { hidden: hidden.unwrap_or(MlpConfig::default().hidden), activation }),
            Kind::Conv => {
                Self::Conv(ConvConfig { channels: channels.unwrap_or(ConvConfig::default().channels), activation })
            }
        })
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self::Mlp(MlpConfig::default())
    }
}

impl NetworkConfig {
    /// Fully connected layers of these widths, with ReLU.
    pub fn mlp(hidden: &[usize]) -> Self {
        Self::Mlp(MlpConfig { hidden: hidden.to_vec(), ..Default::default() })
    }

    /// Convolutions of these channels, with ReLU.
    pub fn conv(channels: &[usize]) -> Self {
        Self::Conv(ConvConfig { channels: channels.to_vec(), ..Default::default() })
    }

    /// The key that sets how wide the layers are.
    pub fn widths_key(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "network.hidden",
            Self::Conv(_) => "network.channels",
        }
    }

    /// Checks everything that does not depend on the data.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Mlp(config) => config.check(),
            Self::Conv(config) => config.check(),
        }
    }

    /// Checks that examples of `shape` (channels, height, width) pass through.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key.
    pub fn check_shape(&self, shape: [usize; 3]) -> Result<()> {
        match self {
            Self::Mlp(_) => Ok(()),
            Self::Conv(config) => config.check_shape(shape),
        }
    }

    /// Number of features between the encoder's body and the code.
    pub fn features(&self, shape: [usize; 3]) -> usize {
        match self {
            Self::Mlp(config) => config.hidden.last().copied().unwrap_or(shape.iter().product()),
            Self::Conv(config) => config.smallest(shape).iter().product(),
        }
    }

    /// From examples of `shape` to features.
    pub fn encoder(&self, shape: [usize; 3], draws: &mut Draws, device: &Device) -> Encoder {
        match self {
            Self::Mlp(config) => {
                let activation = Activation::from(config.activation);
                Encoder::Mlp(Mlp::init(&config.widths(shape), activation, activation, draws, device))
            }
            Self::Conv(config) => Encoder::Conv(ConvEncoder::init(shape, config, draws, device)),
        }
    }

    /// From a code to `outputs` channels of `shape`'s height and width: the parameters of p(x|z).
    pub fn decoder(
        &self,
        latent: usize,
        shape: [usize; 3],
        outputs: usize,
        draws: &mut Draws,
        device: &Device,
    ) -> Decoder {
        match self {
            Self::Mlp(config) => {
                let mut widths: Vec<usize> = config.widths([outputs, shape[1], shape[2]]);
                widths.push(latent);
                widths.reverse();
                Decoder::Mlp(Mlp::init(&widths, config.activation.into(), Activation::None, draws, device))
            }
            Self::Conv(config) => Decoder::Conv(ConvDecoder::init(latent, shape, outputs, config, draws, device)),
        }
    }

    /// Number of weights and biases of both bodies, the layer from the code up included.
    pub fn parameters(&self, latent: usize, shape: [usize; 3], outputs: usize) -> u128 {
        match self {
            Self::Mlp(config) => config.parameters(latent, shape, outputs),
            Self::Conv(config) => config.parameters(latent, shape, outputs),
        }
    }

    /// The layers in short: `784-400-20, relu`.
    pub fn describe(&self, latent: usize, shape: [usize; 3]) -> String {
        let (widths, activation) = match self {
            Self::Mlp(config) => {
                let widths = [config.widths(shape), vec![latent]].concat();
                (widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-"), config.activation)
            }
            Self::Conv(config) => {
                let channels: Vec<String> = config.channels.iter().map(usize::to_string).collect();
                (format!("conv {}-{latent}", channels.join("-")), config.activation)
            }
        };
        let activation = serde_json::to_value(activation).unwrap_or_default();
        format!("{widths}, {}", activation.as_str().unwrap_or_default())
    }
}

//! The `[network]` table of a recipe: which body, and how large.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::{
    Activation, Channels, ConvConfig, ConvDecoder, ConvEncoder, Decoder, DecoderDims, Encoder, LayerSummary, Mlp,
    MlpConfig, Nonlinearity, Normalization, ResidualConfig, ResnetConfig, ResnetDecoder, ResnetEncoder,
};
use crate::error::Result;
use crate::random::Draws;
use crate::reference::Variants;

/// The body of encoder and decoder: `kind` and the keys that belong to it.
///
/// ```
/// use elbo::networks::NetworkConfig;
///
/// let config: NetworkConfig = toml::from_str("hidden = [512, 256]").unwrap(); // `kind` is `mlp` unless given
/// assert_eq!(config, NetworkConfig::mlp(&[512, 256]));
///
/// let error = toml::from_str::<NetworkConfig>("kind = 'conv'\nblocks = 2").unwrap_err();
/// assert!(error.message().contains("`blocks`"), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Variants)]
#[serde(tag = "kind", rename_all = "kebab-case", try_from = "Keys")]
#[non_exhaustive]
pub enum NetworkConfig {
    /// Fully connected layers.
    Mlp(MlpConfig),
    /// Strided convolutions, each of which halves the image.
    Conv(ConvConfig),
    /// Residual blocks between strided convolutions.
    Resnet(ResnetConfig),
}

/// Names of the bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Mlp,
    Conv,
    Resnet,
}

/// All keys of the table, before it is known which belong together.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    kind: Kind,
    activation: Nonlinearity,
    hidden: Option<Vec<usize>>,
    channels: Option<Channels>,
    kernel: Option<usize>,
    blocks: Option<usize>,
    norm: Option<Normalization>,
    residual: Option<ResidualConfig>,
}

impl Keys {
    /// Refuses a key of another kind.
    fn check(&self) -> Result<(), String> {
        let (conv, resnet) = (self.kind == Kind::Conv, self.kind == Kind::Resnet);
        let owned = [
            ("channels", self.channels.is_some(), conv || resnet, "`conv` or `resnet`"),
            ("norm", self.norm.is_some(), conv || resnet, "`conv` or `resnet`"),
            ("kernel", self.kernel.is_some(), conv, "`conv`"),
            ("residual", self.residual.is_some(), conv, "`conv`"),
            ("blocks", self.blocks.is_some(), resnet, "`resnet`"),
        ];
        match owned.iter().find(|(_, given, belongs, _)| *given && !belongs) {
            Some((key, _, _, owner)) => Err(format!("key `{key}`, expected it only in a network of kind {owner}")),
            None => Ok(()),
        }
    }
}

impl TryFrom<Keys> for NetworkConfig {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        keys.check()?;
        let Keys { kind, activation, hidden, channels, kernel, blocks, norm, residual } = keys;
        let (channels, norm) = (channels.unwrap_or_default(), norm.unwrap_or_default());
        Ok(match kind {
            Kind::Mlp => Self::Mlp(MlpConfig { hidden: hidden.unwrap_or(MlpConfig::default().hidden), activation }),
            Kind::Conv => {
                let kernel = kernel.unwrap_or(ConvConfig::default().kernel);
                let hidden = hidden.unwrap_or_default();
                Self::Conv(ConvConfig { channels, kernel, norm, hidden, activation, residual })
            }
            Kind::Resnet => {
                let blocks = blocks.unwrap_or(ResnetConfig::default().blocks);
                Self::Resnet(ResnetConfig { channels, blocks, norm, hidden: hidden.unwrap_or_default(), activation })
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

    /// Convolutions of these channels, with batch norm and ReLU.
    pub fn conv(channels: &[usize]) -> Self {
        Self::Conv(ConvConfig { channels: channels.to_vec().into(), ..Default::default() })
    }

    /// Resolutions of these channels with two residual blocks each, with batch norm and ReLU.
    pub fn resnet(channels: &[usize]) -> Self {
        Self::Resnet(ResnetConfig { channels: channels.to_vec().into(), ..Default::default() })
    }

    /// The key that sets how wide the layers are.
    pub fn widths_key(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "network.hidden",
            Self::Conv(_) | Self::Resnet(_) => "network.channels",
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
            Self::Resnet(config) => config.check(),
        }
    }

    /// Refuses what only models of maps have.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key.
    pub fn check_vector(&self) -> Result<()> {
        match self {
            Self::Conv(config) => config.check_vector(),
            Self::Mlp(_) | Self::Resnet(_) => Ok(()),
        }
    }

    /// Checks that examples of `shape` (channels, height, width) pass through.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the key.
    pub fn check_shape(&self, shape: [usize; 3]) -> Result<()> {
        match self {
            Self::Mlp(_) => Ok(()),
            Self::Conv(config) => config.pyramid(shape).map(drop),
            Self::Resnet(config) => config.pyramid(shape).map(drop),
        }
    }

    /// The same network for examples of `shape`, with every `auto` replaced by what it means there.
    ///
    /// ```
    /// use elbo::networks::{ConvConfig, NetworkConfig};
    ///
    /// let auto = NetworkConfig::Conv(ConvConfig::default());
    /// assert_eq!(auto.resolved([1, 28, 28]), NetworkConfig::conv(&[32, 64, 128]));
    /// ```
    #[must_use]
    pub fn resolved(&self, shape: [usize; 3]) -> Self {
        let mut resolved = self.clone();
        match &mut resolved {
            Self::Mlp(_) => {}
            Self::Conv(ConvConfig { channels, .. }) | Self::Resnet(ResnetConfig { channels, .. }) => {
                *channels = channels.resolve(shape).into();
            }
        }
        resolved
    }

    /// Number of features between the encoder's body and the code.
    pub fn features(&self, shape: [usize; 3]) -> usize {
        let (hidden, before) = match self {
            Self::Mlp(config) => (&config.hidden, shape),
            Self::Conv(config) => (&config.hidden, config.smallest(shape)),
            Self::Resnet(config) => (&config.hidden, config.checked(shape).smallest(shape[0])),
        };
        hidden.last().copied().unwrap_or(before.iter().product())
    }

    /// From examples of `shape` to features.
    pub fn encoder(&self, shape: [usize; 3], draws: &mut Draws, device: &Device) -> Encoder {
        match self {
            Self::Mlp(config) => {
                let activation = Activation::from(config.activation);
                Encoder::Mlp(Mlp::init(&config.widths(shape), activation, activation, draws, device))
            }
            Self::Conv(config) => Encoder::Conv(ConvEncoder::init(shape, config, draws, device)),
            Self::Resnet(config) => Encoder::Resnet(ResnetEncoder::init(shape, config, draws, device)),
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
        let dims = DecoderDims { latent, shape, outputs };
        match self {
            Self::Mlp(config) => {
                let widths = config.widths_up(latent, shape, outputs);
                Decoder::Mlp(Mlp::init(&widths, config.activation.into(), Activation::None, draws, device))
            }
            Self::Conv(config) => Decoder::Conv(ConvDecoder::init(dims, config, draws, device)),
            Self::Resnet(config) => Decoder::Resnet(ResnetDecoder::init(dims, config, draws, device)),
        }
    }

    /// The layers of [`NetworkConfig::encoder`].
    pub fn encoder_summary(&self, shape: [usize; 3]) -> Vec<LayerSummary> {
        match self {
            Self::Mlp(config) => LayerSummary::mlp("encoder", &config.widths(shape)),
            Self::Conv(config) => config.encoder_summary(shape),
            Self::Resnet(config) => config.encoder_summary(shape),
        }
    }

    /// The layers of [`NetworkConfig::decoder`].
    pub fn decoder_summary(&self, latent: usize, shape: [usize; 3], outputs: usize) -> Vec<LayerSummary> {
        match self {
            Self::Mlp(config) => LayerSummary::mlp("decoder", &config.widths_up(latent, shape, outputs)),
            Self::Conv(config) => config.decoder_summary(latent, shape, outputs),
            Self::Resnet(config) => config.decoder_summary(latent, shape, outputs),
        }
    }

    /// Number of weights and biases of both bodies, the layer from the code up included.
    pub fn parameters(&self, latent: usize, shape: [usize; 3], outputs: usize) -> u128 {
        let rows = [self.encoder_summary(shape), self.decoder_summary(latent, shape, outputs)];
        rows.iter().flatten().map(|row| row.parameters).sum()
    }

    /// The layers in short: `784-400-20, relu`.
    pub fn describe(&self, latent: usize, shape: [usize; 3]) -> String {
        let joined = |widths: &[usize]| widths.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        let (layers, activation) = match self {
            Self::Mlp(config) => (joined(&[config.widths(shape), vec![latent]].concat()), config.activation),
            Self::Conv(ConvConfig { channels, hidden, norm, activation, .. }) => {
                let widths = joined(&[channels.resolve(shape), hidden.clone(), vec![latent]].concat());
                (format!("conv {widths}{}", norm.aside()), *activation)
            }
            Self::Resnet(ResnetConfig { channels, hidden, norm, activation, blocks }) => {
                let widths = joined(&[channels.resolve(shape), hidden.clone(), vec![latent]].concat());
                let blocks = format!("{blocks} block{} each", if *blocks == 1 { "" } else { "s" });
                (format!("resnet {widths}, {blocks}{}", norm.aside()), *activation)
            }
        };
        let activation = serde_json::to_value(activation).unwrap_or_default();
        format!("{layers}, {}", activation.as_str().unwrap_or_default())
    }
}

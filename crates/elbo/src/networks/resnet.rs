//! Residual networks: strided convolutions that halve the image, and between them pre-activation blocks (He et al. 2016, arXiv:1603.05027).
//!
//! A block adds to its input what two convolutions make of it, `y = x + conv2(a(norm2(conv1(a(norm1(x))))))`: normalisation and activation come before each
//! convolution, so that the path from the first block to the last is a plain sum. Blocks keep size and channels and the skip is the identity, as that
//! paper wants it; what changes them is a layer of its own, a 4 x 4 convolution of stride 2, or its transpose on the way up, whose windows of twice the stride
//! touch every pixel equally often.
//!
//! Encoder: for each entry of `channels` a halving, then `blocks` blocks; at the end `a(norm(y))`. The decoder is its mirror: a layer up to the smallest
//! image, then for each resolution its blocks and a doubling; `a(norm(y))` stands before the last doubling, which gives the output.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use elbo_kernels::Activation;
use serde::{Deserialize, Serialize};

use super::conv::{Conv, decoder_input, dense_down, input_summary};
use super::image::{from_rows, to_rows};
use super::mlp::check_widths;
use super::norm::Norm;
use super::pyramid::{Pyramid, Step};
use super::{Channels, DecoderDims, LayerSummary, Linear, Mlp, Nonlinearity, Normalization, Pass};
use crate::error::{Error, Result};
use crate::random::Draws;
use crate::reference::Fields;

/// Side of the windows that halve and double.
const RESAMPLING_KERNEL: usize = 4;
/// Side of the windows inside blocks.
const BLOCK_KERNEL: usize = 3;
/// Most blocks at one resolution.
const MAX_BLOCKS: usize = 64;

/// `network.kind = "resnet"`: channels of each resolution, encoder order, and how many blocks each has; the decoder mirrors them.
///
/// ```
/// use elbo::networks::ResnetConfig;
///
/// let config: ResnetConfig = toml::from_str("channels = [32, 64]\nblocks = 1").unwrap();
/// assert!(config.check().is_ok());
/// assert!(ResnetConfig { blocks: 1000, ..config }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct ResnetConfig {
    /// Channels of each resolution, from the data towards the code; each halves the image. An empty list is a linear model.
    pub channels: Channels,
    /// Residual blocks at each resolution.
    pub blocks: usize,
    /// What is normalised before each activation.
    pub norm: Normalization,
    /// Widths of fully connected layers between the smallest image and the code; usually none.
    pub hidden: Vec<usize>,
    /// The nonlinearity after each normalisation.
    pub activation: Nonlinearity,
}

impl Default for ResnetConfig {
    fn default() -> Self {
        Self {
            channels: Channels::Auto,
            blocks: 2,
            norm: Normalization::Batch,
            hidden: Vec::new(),
            activation: Nonlinearity::Relu,
        }
    }
}

impl ResnetConfig {
    /// Checks what does not depend on the data.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, as [`Channels::check`], and for more than 64 blocks.
    pub fn check(&self) -> Result<()> {
        self.channels.check()?;
        check_widths(&self.hidden)?;
        if self.blocks <= MAX_BLOCKS {
            return Ok(());
        }
        let (expected, found) = (format!("at most {MAX_BLOCKS}"), self.blocks.to_string());
        Err(Error::config("network.blocks", expected, found, "2 is the usual number"))
    }

    pub(super) fn pyramid(&self, shape: [usize; 3]) -> Result<Pyramid> {
        Pyramid::new(RESAMPLING_KERNEL, &self.channels.resolve(shape), shape)
    }

    pub(super) fn checked(&self, shape: [usize; 3]) -> Pyramid {
        self.pyramid(shape).expect("the shape was checked")
    }

    /// The layers of [`ResnetEncoder`].
    pub(super) fn encoder_summary(&self, shape: [usize; 3]) -> Vec<LayerSummary> {
        let pyramid = self.checked(shape);
        let mut rows = Vec::new();
        for (i, step) in pyramid.steps.iter().enumerate() {
            let stage = format!("encoder.stages.{i}");
            rows.push(LayerSummary::down(format!("{stage}.down"), step.halving, [step.inputs, step.channels]));
            rows.extend(self.blocks_summary(&stage, step));
        }
        rows.extend(pyramid.steps.last().and_then(|step| self.norm_summary("encoder.norm".into(), step)));
        rows.extend(LayerSummary::mlp("encoder.dense", &dense_down(&pyramid, &self.hidden)));
        rows
    }

    /// The layers of [`ResnetDecoder`].
    pub(super) fn decoder_summary(&self, latent: usize, shape: [usize; 3], outputs: usize) -> Vec<LayerSummary> {
        let pyramid = self.checked(shape);
        let mut rows = input_summary(&pyramid, latent, outputs, &self.hidden);
        for (i, step) in pyramid.steps.iter().rev().enumerate() {
            let (stage, last) = (format!("decoder.stages.{i}"), i + 1 == pyramid.steps.len());
            rows.extend(self.blocks_summary(&stage, step));
            rows.extend(self.norm_summary("decoder.norm".into(), step).filter(|_| last));
            let up = if last { outputs } else { step.inputs };
            rows.push(LayerSummary::up(format!("{stage}.up"), step.halving, [step.channels, up]));
        }
        rows
    }

    fn blocks_summary(&self, stage: &str, step: &Step) -> Vec<LayerSummary> {
        let conv = |name: String| LayerSummary::same(name, BLOCK_KERNEL, step.channels, step.halving.small());
        let halves = (0..self.blocks).flat_map(|block| [(block, 1), (block, 2)]);
        let rows = halves.flat_map(|(block, half)| {
            let name = |part: &str| format!("{stage}.blocks.{block}.{part}{half}");
            [self.norm_summary(name("norm"), step), Some(conv(name("conv")))]
        });
        rows.flatten().collect()
    }

    fn norm_summary(&self, name: String, step: &Step) -> Option<LayerSummary> {
        LayerSummary::norm(name, self.norm, step.channels, step.halving.small())
    }

    fn norm(&self, step: &Step, device: &Device) -> Option<Norm> {
        Norm::init(self.norm, step.channels, step.halving.small(), device)
    }

    fn blocks(&self, step: &Step, draws: &mut Draws, device: &Device) -> Vec<ResidualBlock> {
        (0..self.blocks).map(|_| ResidualBlock::init(self, step, draws, device)).collect()
    }
}

/// `norm`, if there is one, and the activation.
fn activated(x: Tensor<4>, norm: Option<&Norm>, activation: Activation, pass: &Pass) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward(x, activation, pass),
        None => activation.reference(x),
    }
}

/// `y = x + conv2(a(norm2(conv1(a(norm1(x))))))` with 3 x 3 windows.
#[derive(Module, Debug)]
pub struct ResidualBlock {
    norm1: Option<Norm>,
    conv1: Conv,
    norm2: Option<Norm>,
    conv2: Conv,
    #[module(skip)]
    activation: Activation,
}

impl ResidualBlock {
    fn init(config: &ResnetConfig, step: &Step, draws: &mut Draws, device: &Device) -> Self {
        let mut conv = || Conv::same(BLOCK_KERNEL, step.channels, draws, device);
        let (conv1, conv2) = (conv(), conv());
        let (norm1, norm2) = (config.norm(step, device), config.norm(step, device));
        Self { norm1, conv1, norm2, conv2, activation: config.activation.into() }
    }

    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let h = activated(x.clone(), self.norm1.as_ref(), self.activation, pass);
        let h = self.conv1.forward_normalised(h, self.norm2.as_ref(), self.activation, pass);
        x + self.conv2.forward(h, Activation::None)
    }
}

/// One resolution of an encoder.
#[derive(Module, Debug)]
struct DownStage {
    down: Conv,
    blocks: Vec<ResidualBlock>,
}

/// One resolution of a decoder.
#[derive(Module, Debug)]
struct UpStage {
    blocks: Vec<ResidualBlock>,
    up: Conv,
}

/// From images to features.
///
/// In PyTorch: `stages.N.down`, `stages.N.blocks.M.{norm1,conv1,norm2,conv2}`, `norm`, and `dense.layers` if there are hidden layers.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::{Pass, ResnetConfig, ResnetEncoder};
/// use elbo::random::{Draws, Purpose};
///
/// let (device, draws) = (elbo::device::choose("cpu")?, &mut Draws::new(0, Purpose::Weights, 0, 0));
/// let config = ResnetConfig { channels: vec![16, 32].into(), ..Default::default() };
/// let encoder = ResnetEncoder::init([3, 31, 17], &config, draws, &device);
/// assert_eq!(encoder.forward(Tensor::zeros([4, 3 * 31 * 17], &device), &Pass::still()).dims(), [4, 32 * 8 * 5]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct ResnetEncoder {
    stages: Vec<DownStage>,
    norm: Option<Norm>,
    dense: Mlp,
    #[module(skip)]
    shape: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl ResnetEncoder {
    /// For images of `shape` (channels, height, width).
    ///
    /// # Panics
    /// If they are too small to be halved so often; [`super::NetworkConfig::check_shape`] says so before.
    pub fn init(shape: [usize; 3], config: &ResnetConfig, draws: &mut Draws, device: &Device) -> Self {
        let (pyramid, activation) = (config.checked(shape), config.activation.into());
        let stage = |step: &Step| DownStage {
            down: Conv::down(step.halving, [step.inputs, step.channels], draws, device),
            blocks: config.blocks(step, draws, device),
        };
        Self {
            stages: pyramid.steps.iter().map(stage).collect(),
            norm: pyramid.steps.last().and_then(|step| config.norm(step, device)),
            dense: Mlp::init(&dense_down(&pyramid, &config.hidden), activation, activation, draws, device),
            shape,
            activation,
        }
    }

    /// # Shapes
    /// - `x`: `[batch, channels * height * width]`, channel first
    /// - returns: `[batch, features]`, channel first
    pub fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.dense.forward(to_rows(self.map(x, pass)))
    }

    /// The smallest map, channels last: what comes before the fully connected layers.
    pub(super) fn map(&self, x: Tensor<2>, pass: &Pass) -> Tensor<4> {
        let mut y = from_rows(x, self.shape);
        for stage in &self.stages {
            y = stage.down.forward(y, Activation::None);
            y = stage.blocks.iter().fold(y, |y, block| block.forward(y, pass));
        }
        if !self.stages.is_empty() {
            y = activated(y, self.norm.as_ref(), self.activation, pass);
        }
        y
    }
}

/// From a code to images: the encoder's mirror.
///
/// In PyTorch: `dense.layers` if there are hidden layers, `input`, `stages.N.blocks.M...`, `stages.N.up`, and `norm`, which stands before the last `up`.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::{DecoderDims, Pass, ResnetConfig, ResnetDecoder};
/// use elbo::random::{Draws, Purpose};
///
/// let (device, draws) = (elbo::device::choose("cpu")?, &mut Draws::new(0, Purpose::Weights, 0, 0));
/// let config = ResnetConfig { channels: vec![16, 32].into(), ..Default::default() };
/// let dims = DecoderDims { latent: 10, shape: [3, 31, 17], outputs: 3 };
/// let decoder = ResnetDecoder::init(dims, &config, draws, &device);
/// assert_eq!(decoder.forward(Tensor::zeros([4, 10], &device), &Pass::still()).dims(), [4, 3 * 31 * 17]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct ResnetDecoder {
    dense: Mlp,
    /// None where a map comes in.
    input: Option<Linear>,
    stages: Vec<UpStage>,
    norm: Option<Norm>,
    #[module(skip)]
    smallest: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl ResnetDecoder {
    /// The mirror of [`ResnetEncoder::init`].
    ///
    /// # Panics
    /// As the encoder.
    pub fn init(dims: DecoderDims, config: &ResnetConfig, draws: &mut Draws, device: &Device) -> Self {
        let DecoderDims { shape, outputs, .. } = dims;
        let (pyramid, activation) = (config.checked(shape), config.activation.into());
        let (dense, input) = decoder_input(&pyramid, dims, &config.hidden, activation, draws, device);
        Self { dense, input: Some(input), ..Self::of_map(shape, outputs, config, draws, device) }
    }

    /// The same from the smallest map up, without layers before it.
    ///
    /// # Panics
    /// As the encoder.
    pub(super) fn of_map(
        shape: [usize; 3],
        outputs: usize,
        config: &ResnetConfig,
        draws: &mut Draws,
        device: &Device,
    ) -> Self {
        let (pyramid, activation) = (config.checked(shape), config.activation.into());
        let dense = Mlp::init(&[], activation, activation, draws, device);
        let stage = |(i, step): (usize, &Step)| UpStage {
            blocks: config.blocks(step, draws, device),
            up: Conv::up(step.halving, [step.channels, if i == 0 { outputs } else { step.inputs }], draws, device),
        };
        Self {
            dense,
            input: None,
            stages: pyramid.steps.iter().enumerate().rev().map(stage).collect(),
            norm: pyramid.steps.first().and_then(|step| config.norm(step, device)),
            smallest: pyramid.smallest(outputs),
            activation,
        }
    }

    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, channels * height * width]`, channel first
    pub fn forward(&self, z: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let z = self.dense.forward(z);
        let rows = match &self.input {
            Some(input) => input.forward(z, Activation::None),
            None => z,
        };
        to_rows(self.up_from(from_rows(rows, self.smallest), pass))
    }

    /// From the smallest map, channels last, to images, channels last.
    pub(super) fn up_from(&self, map: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let mut y = map;
        for (i, stage) in self.stages.iter().enumerate() {
            y = stage.blocks.iter().fold(y, |y, block| block.forward(y, pass));
            if i + 1 == self.stages.len() {
                y = activated(y, self.norm.as_ref(), self.activation, pass);
            }
            y = stage.up.forward(y, Activation::None);
        }
        y
    }
}

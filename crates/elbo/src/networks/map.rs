//! Encoders and decoders whose code is a map: bodies that end, and begin, at the smallest map instead of a
//! vector.
//!
//! | body | encoder | decoder |
//! |---|---|---|
//! | `mlp` | its layers, then a linear layer to one vector | the mirror |
//! | `conv` | its halvings, then a 1 x 1 convolution | transposed convolutions, then a 3 x 3 convolution at the size of the data |
//! | `conv` with `residual` | halvings, a 3 x 3 convolution, residual blocks, then 1 x 1 (Sonnet's VQ-VAE) | the mirror |
//! | `resnet` | its stages, then a 1 x 1 convolution | a 1 x 1 convolution, then its stages |
//!
//! A 1 x 1 convolution is a linear layer over the channels.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use elbo_kernels::Activation;

use super::conv::{Conv, ConvConfig};
use super::image::to_rows;
use super::norm::Norm;
use super::{
    ConvEncoder, Encoder, LayerSummary, Linear, Mlp, MlpConfig, NetworkConfig, Pass, ResidualConfig, ResnetConfig,
    ResnetDecoder,
};
use crate::error::{Error, Result};
use crate::random::Draws;

/// Side of the windows inside blocks and of the last convolution.
const KERNEL: usize = 3;

/// `y = x + conv2(a(conv1(a(x))))`, 3 x 3 to fewer channels and 1 x 1 back.
#[derive(Module, Debug)]
struct Bottleneck {
    conv1: Conv,
    conv2: Conv,
}

/// A 3 x 3 convolution and residual blocks, with the activation after the last.
#[derive(Module, Debug)]
pub struct ResidualStack {
    input: Conv,
    blocks: Vec<Bottleneck>,
    #[module(skip)]
    activation: Activation,
}

impl ResidualStack {
    fn init(
        channels: [usize; 2],
        config: ResidualConfig,
        activation: Activation,
        draws: &mut Draws,
        device: &Device,
    ) -> Self {
        let [_, o] = channels;
        let input = Conv::keeping(KERNEL, channels, draws, device);
        let block = |_| Bottleneck {
            conv1: Conv::keeping(KERNEL, [o, config.width], draws, device),
            conv2: Conv::keeping(1, [config.width, o], draws, device),
        };
        Self { input, blocks: (0..config.blocks).map(block).collect(), activation }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.input.forward(x, Activation::None);
        let x = self.blocks.iter().fold(x, |x, block| {
            let h = block.conv1.forward(self.activation.reference(x.clone()), self.activation);
            x + block.conv2.forward(h, Activation::None)
        });
        self.activation.reference(x)
    }

    fn summary(
        name: &str,
        channels: [usize; 2],
        config: ResidualConfig,
        sides: [usize; 2],
    ) -> impl Iterator<Item = LayerSummary> {
        let [_, o] = channels;
        let conv = move |part: String, kernel, channels| LayerSummary::keeping(part, kernel, channels, sides);
        let input = conv(format!("{name}.input"), KERNEL, channels);
        let name = name.to_owned();
        let block = move |i: usize| {
            let part = |half: usize| format!("{name}.blocks.{i}.conv{half}");
            [conv(part(1), KERNEL, [o, config.width]), conv(part(2), 1, [config.width, o])]
        };
        [input].into_iter().chain((0..config.blocks).flat_map(block))
    }
}

/// A linear layer over the channels of a map.
pub(crate) fn project(layer: &Linear, map: Tensor<4>) -> Tensor<4> {
    let [n, height, width, channels] = map.dims();
    let rows = layer.forward(map.reshape([n * height * width, channels]), Activation::None);
    let outputs = rows.dims()[1];
    rows.reshape([n, height, width, outputs])
}

/// From examples to a map of vectors.
///
/// In PyTorch: `body` as the encoder of that kind, `residual.{input,blocks.N.conv1,blocks.N.conv2}`,
/// `project`.
#[derive(Module, Debug)]
pub struct MapEncoder {
    body: Encoder,
    residual: Option<ResidualStack>,
    project: Linear,
}

impl MapEncoder {
    /// For examples of `shape` (channels, height, width), to `dims` channels.
    ///
    /// # Panics
    /// If the examples are too small: [`NetworkConfig::check_shape`] says so before.
    pub fn init(network: &NetworkConfig, shape: [usize; 3], dims: usize, draws: &mut Draws, device: &Device) -> Self {
        let body = network.encoder(shape, draws, device);
        let residual = residual_of(network).map(|(config, activation)| {
            ResidualStack::init([map_shape(network, shape)[0]; 2], config, activation, draws, device)
        });
        let project = Linear::init(map_shape(network, shape)[0], dims, draws, device);
        Self { body, residual, project }
    }

    /// # Shapes
    /// - `x`: `[batch, channels * height * width]`, channel first
    /// - returns: `[batch, h, w, dims]`, channels last; of an `mlp` one place
    pub fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<4> {
        let map = match &self.body {
            Encoder::Mlp(body) => {
                let rows = body.forward(x);
                let [n, features] = rows.dims();
                rows.reshape([n, 1, 1, features])
            }
            Encoder::Conv(body) => ConvEncoder::map(body, x, pass),
            Encoder::Resnet(body) => body.map(x, pass),
        };
        let map = match &self.residual {
            Some(stack) => stack.forward(map),
            None => map,
        };
        project(&self.project, map)
    }
}

/// The residual stack of a network, with its activation.
fn residual_of(network: &NetworkConfig) -> Option<(ResidualConfig, Activation)> {
    match network {
        NetworkConfig::Conv(ConvConfig { residual, activation, .. }) => {
            residual.map(|config| (config, (*activation).into()))
        }
        NetworkConfig::Mlp(_) | NetworkConfig::Resnet(_) => None,
    }
}

/// Channels, height and width of the map before it is projected.
fn map_shape(network: &NetworkConfig, shape: [usize; 3]) -> [usize; 3] {
    match network {
        NetworkConfig::Mlp(config) => [config.hidden.last().copied().unwrap_or_else(|| shape.iter().product()), 1, 1],
        NetworkConfig::Conv(config) => config.smallest(shape),
        NetworkConfig::Resnet(config) => config.checked(shape).smallest(shape[0]),
    }
}

impl NetworkConfig {
    /// Height and width of the map of codes.
    ///
    /// # Panics
    /// If the examples are too small: [`NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use elbo::networks::NetworkConfig;
    ///
    /// assert_eq!(NetworkConfig::conv(&[32, 64]).map_sides([1, 28, 28]), [7, 7]);
    /// assert_eq!(NetworkConfig::mlp(&[400]).map_sides([1, 28, 28]), [1, 1]);
    /// ```
    pub fn map_sides(&self, shape: [usize; 3]) -> [usize; 2] {
        let [_, height, width] = map_shape(self, shape);
        [height, width]
    }

    /// Channels of the map before it is projected to the code.
    ///
    /// # Panics
    /// As [`NetworkConfig::map_sides`].
    pub(crate) fn map_channels(&self, shape: [usize; 3]) -> usize {
        map_shape(self, shape)[0]
    }

    /// The network in two, one above the other: all but the last halving, and the last; of an `mlp` all but
    /// the last layer, and the last.
    ///
    /// ```
    /// use elbo::networks::NetworkConfig;
    ///
    /// let [bottom, top] = NetworkConfig::conv(&[32, 64]).in_two([1, 28, 28]);
    /// assert_eq!(bottom.map_sides([1, 28, 28]), [14, 14]);
    /// assert_eq!(top.map_sides([32, 14, 14]), [7, 7]);
    /// ```
    pub fn in_two(&self, shape: [usize; 3]) -> [Self; 2] {
        let parts = |widths: Vec<usize>| {
            let (last, before) =
                widths.split_last().map_or((&[][..], &[][..]), |(last, before)| (std::slice::from_ref(last), before));
            [before.to_vec(), last.to_vec()]
        };
        match self {
            Self::Mlp(config) => {
                parts(config.hidden.clone()).map(|hidden| Self::Mlp(MlpConfig { hidden, ..config.clone() }))
            }
            Self::Conv(config) => parts(config.channels.resolve(shape))
                .map(|channels| Self::Conv(ConvConfig { channels: channels.into(), ..config.clone() })),
            Self::Resnet(config) => parts(config.channels.resolve(shape))
                .map(|channels| Self::Resnet(ResnetConfig { channels: channels.into(), ..config.clone() })),
        }
    }

    /// Refuses what a network whose code is a map does not have.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check_map(&self) -> Result<()> {
        let hidden = match self {
            Self::Mlp(_) => return Ok(()),
            Self::Conv(config) => &config.hidden,
            Self::Resnet(config) => &config.hidden,
        };
        if hidden.is_empty() {
            return Ok(());
        }
        let help = "remove it: the code is a map, and no fully connected layer comes before it";
        Err(Error::config("network.hidden", "no widths for a model of maps", format!("{hidden:?}"), help))
    }

    /// The layers of [`MapEncoder`].
    pub(crate) fn map_encoder_summary(&self, shape: [usize; 3], dims: usize) -> Vec<LayerSummary> {
        let renamed = |mut row: LayerSummary| {
            row.name = row.name.replacen("encoder", "encoder.body", 1);
            row
        };
        let mut rows: Vec<LayerSummary> = self.encoder_summary(shape).into_iter().map(renamed).collect();
        let [channels, height, width] = map_shape(self, shape);
        if let Some((config, _)) = residual_of(self) {
            rows.extend(ResidualStack::summary("encoder.residual", [channels; 2], config, [height, width]));
        }
        rows.push(LayerSummary::keeping("encoder.project".into(), 1, [channels, dims], [height, width]));
        rows
    }

    /// The layers of [`MapDecoder`].
    pub(crate) fn map_decoder_summary(&self, ends: FromMap) -> Vec<LayerSummary> {
        let FromMap { dims, shape, outputs } = ends;
        let [channels, height, width] = map_shape(self, shape);
        match self {
            Self::Mlp(config) => LayerSummary::mlp("decoder", &config.widths_up(dims, shape, outputs)),
            Self::Conv(config) => conv_summary(config, ends),
            Self::Resnet(config) => {
                let project = LayerSummary::keeping("decoder.project".into(), 1, [dims, channels], [height, width]);
                let body = config.decoder_summary(1, [outputs, shape[1], shape[2]], outputs).into_iter();
                let body = body.filter(|row| row.name != "decoder.input").map(|mut row| {
                    row.name = row.name.replacen("decoder", "decoder.body", 1);
                    row
                });
                [project].into_iter().chain(body).collect()
            }
        }
    }
}

/// What a [`MapDecoder`] leads from and to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FromMap {
    /// Channels of the map.
    pub dims: usize,
    /// Channels, height and width of the data, as the encoder is told them.
    pub shape: [usize; 3],
    /// Channels of the output, at the height and width of the data.
    pub outputs: usize,
}

/// From a map of vectors to the parameters of p(x|z).
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one or two values per model; Burn's derive takes no boxes")]
#[non_exhaustive]
pub enum MapDecoder {
    /// Fully connected layers, of one vector.
    Mlp(Mlp),
    /// Transposed convolutions, each of which doubles the map.
    Conv(ConvMapDecoder),
    /// Residual blocks between transposed convolutions.
    Resnet(ResnetMapDecoder),
}

/// Transposed convolutions from a map up.
///
/// In PyTorch: `residual`, `layers.N`, `norms.N`, `output`.
#[derive(Module, Debug)]
pub struct ConvMapDecoder {
    residual: Option<ResidualStack>,
    layers: Vec<Conv>,
    norms: Vec<Norm>,
    /// A convolution at the size of the data; none where the last transposed one gives the output.
    output: Option<Conv>,
    #[module(skip)]
    activation: Activation,
}

/// Residual stages from a map up.
///
/// In PyTorch: `project`, `body.stages`, `body.norm`.
#[derive(Module, Debug)]
pub struct ResnetMapDecoder {
    project: Linear,
    body: ResnetDecoder,
}

/// Channels of the layers of a [`ConvMapDecoder`]: in and out of each transposed convolution, and of the
/// last one where there is one.
struct Channels {
    up: Vec<[usize; 2]>,
    output: Option<[usize; 2]>,
}

fn channels(config: &ConvConfig, FromMap { dims, shape, outputs }: FromMap) -> Channels {
    let pyramid = config.checked(shape);
    let (steps, mirrored) = (pyramid.steps.len(), config.residual.is_some());
    let mut before = if mirrored { pyramid.smallest(shape[0])[0] } else { dims };
    let up = pyramid.steps.iter().enumerate().rev().map(|(i, step)| {
        // Mirrored, each layer leads to the channels before its halving; else to those after it, with one
        // more layer at the end.
        let after = match mirrored {
            true if i == 0 => outputs,
            true => step.inputs,
            false => step.channels,
        };
        let pair = [before, after];
        before = after;
        pair
    });
    let up: Vec<[usize; 2]> = up.collect();
    let output = (!mirrored || steps == 0).then_some([before, outputs]);
    Channels { up, output }
}

fn conv_summary(config: &ConvConfig, ends: FromMap) -> Vec<LayerSummary> {
    let FromMap { dims, shape, .. } = ends;
    let pyramid = config.checked(shape);
    let [smallest, height, width] = pyramid.smallest(shape[0]);
    let Channels { up, output } = channels(config, ends);
    let mut rows = Vec::new();
    if let Some(residual) = config.residual {
        rows.extend(ResidualStack::summary("decoder.residual", [dims, smallest], residual, [height, width]));
    }
    for (i, (step, pair)) in pyramid.steps.iter().rev().zip(&up).enumerate() {
        let name = |part: &str| format!("decoder.{part}.{i}");
        rows.push(LayerSummary::up(name("layers"), step.halving, *pair));
        let last = output.is_none() && i + 1 == up.len();
        let norm = LayerSummary::norm(name("norms"), config.norm, pair[1], step.halving.large);
        rows.extend(norm.filter(|_| !last));
    }
    let sides = [shape[1], shape[2]];
    rows.extend(output.map(|pair| LayerSummary::keeping("decoder.output".into(), KERNEL, pair, sides)));
    rows
}

impl ConvMapDecoder {
    fn init(config: &ConvConfig, ends: FromMap, draws: &mut Draws, device: &Device) -> Self {
        let FromMap { dims, shape, .. } = ends;
        let (pyramid, activation) = (config.checked(shape), config.activation.into());
        let Channels { up, output } = channels(config, ends);
        let smallest = pyramid.smallest(shape[0])[0];
        let residual =
            config.residual.map(|stack| ResidualStack::init([dims, smallest], stack, activation, draws, device));
        let steps = || pyramid.steps.iter().rev().zip(&up);
        let normed = up.len() - usize::from(output.is_none() && !up.is_empty());
        Self {
            residual,
            layers: steps().map(|(step, pair)| Conv::up(step.halving, *pair, draws, device)).collect(),
            norms: steps()
                .take(normed)
                .filter_map(|(step, pair)| Norm::init(config.norm, pair[1], step.halving.large, device))
                .collect(),
            output: output.map(|pair| Conv::keeping(KERNEL, pair, draws, device)),
            activation,
        }
    }

    fn forward(&self, map: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let mut y = match &self.residual {
            Some(stack) => stack.forward(map),
            None => map,
        };
        for (i, layer) in self.layers.iter().enumerate() {
            let last = self.output.is_none() && i + 1 == self.layers.len();
            let activation = if last { Activation::None } else { self.activation };
            y = layer.forward_normalised(y, self.norms.get(i), activation, pass);
        }
        match &self.output {
            Some(output) => output.forward(y, Activation::None),
            None => y,
        }
    }
}

impl MapDecoder {
    /// A decoder with PyTorch's initial weights.
    ///
    /// # Panics
    /// As [`MapEncoder::init`].
    pub fn init(network: &NetworkConfig, ends: FromMap, draws: &mut Draws, device: &Device) -> Self {
        match network {
            NetworkConfig::Mlp(config) => {
                let widths = config.widths_up(ends.dims, ends.shape, ends.outputs);
                Self::Mlp(Mlp::init(&widths, config.activation.into(), Activation::None, draws, device))
            }
            NetworkConfig::Conv(config) => Self::Conv(ConvMapDecoder::init(config, ends, draws, device)),
            NetworkConfig::Resnet(config) => Self::Resnet(resnet(config, ends, draws, device)),
        }
    }

    /// # Shapes
    /// - `map`: `[batch, h, w, dims]`, channels last
    /// - returns: `[batch, outputs * height * width]`, channel first
    pub fn forward(&self, map: Tensor<4>, pass: &Pass) -> Tensor<2> {
        match self {
            Self::Mlp(body) => {
                let [n, height, width, channels] = map.dims();
                body.forward(map.reshape([n, height * width * channels]))
            }
            Self::Conv(body) => to_rows(body.forward(map, pass)),
            Self::Resnet(body) => to_rows(body.body.up_from(project(&body.project, map), pass)),
        }
    }
}

fn resnet(config: &ResnetConfig, ends: FromMap, draws: &mut Draws, device: &Device) -> ResnetMapDecoder {
    let FromMap { dims, shape, outputs } = ends;
    // Without a halving the map is the picture, and the body adds nothing.
    let channels = config.checked(shape).smallest(outputs)[0];
    let project = Linear::init(dims, channels, draws, device);
    ResnetMapDecoder { project, body: ResnetDecoder::of_map(shape, outputs, config, draws, device) }
}

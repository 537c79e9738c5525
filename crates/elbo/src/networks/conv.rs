//! Strided convolutions down to a code and transposed ones up again, each normalised.
//!
//! Images travel with their channels last, the layout the kernels want; at the edges they are the flat `[batch, channels * height * width]` that the
//! models speak, channel first, so that weights of the layers beside agree with PyTorch's `flatten` and `view`.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{Activation, ConvGeometry, ConvTransposeGeometry};
use serde::{Deserialize, Serialize};

use super::image::{from_rows, to_rows};
use super::mlp::check_widths;
use super::norm::Norm;
use super::pyramid::{Halving, Pyramid};
use super::{Channels, DecoderDims, LayerSummary, Linear, Mlp, Nonlinearity, Normalization, Pass};
use crate::error::{Error, Result};
use crate::random::Draws;
use crate::reference::Fields;

/// `network.kind = "conv"`: channels after each convolution, encoder order; the decoder mirrors them.
///
/// ```
/// use elbo::networks::{Channels, ConvConfig, Normalization};
///
/// let config: ConvConfig = toml::from_str("channels = [16, 32]\nkernel = 3\nnorm = 'group'").unwrap();
/// assert_eq!((config.channels, config.norm), (Channels::List(vec![16, 32]), Normalization::Group));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct ConvConfig {
    /// Channels after each convolution, from the data towards the code; each halves the image. An empty list is a linear model.
    pub channels: Channels,
    /// Side of the square windows: 3, 4 or 5.
    pub kernel: usize,
    /// What is normalised between each convolution and its activation.
    pub norm: Normalization,
    /// Widths of fully connected layers between the smallest image and the code; usually none.
    pub hidden: Vec<usize>,
    /// What follows each convolution and each of these layers.
    pub activation: Nonlinearity,
    /// A residual stack at the smallest map, on both sides of the code; of models of maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<ResidualConfig>,
}

/// `network.residual`: blocks of a 3 x 3 and a 1 x 1 convolution at the smallest map, with a 3 x 3 convolution before them (Sonnet's VQ-VAE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct ResidualConfig {
    /// Residual blocks in the stack.
    pub blocks: usize,
    /// Channels inside a block.
    pub width: usize,
}

impl Default for ResidualConfig {
    fn default() -> Self {
        Self { blocks: 2, width: 32 }
    }
}

impl Default for ConvConfig {
    fn default() -> Self {
        Self {
            channels: Channels::Auto,
            kernel: 4,
            norm: Normalization::Batch,
            hidden: Vec::new(),
            activation: Nonlinearity::Relu,
            residual: None,
        }
    }
}

impl ConvConfig {
    /// Checks what does not depend on the data.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key, as [`Channels::check`], and for windows of another size than 3, 4 or 5.
    pub fn check(&self) -> Result<()> {
        self.channels.check()?;
        check_widths(&self.hidden)?;
        if let Some(ResidualConfig { blocks, width }) = self.residual
            && (blocks > 64 || !(1..=1 << 16).contains(&width))
        {
            let expected = "at most 64 blocks of 1 to 65536 channels";
            let found = format!("{blocks} blocks of {width}");
            return Err(Error::config("network.residual", expected, found, "2 blocks of 32 are Sonnet's"));
        }
        if (3..=5).contains(&self.kernel) {
            return Ok(());
        }
        let help = "4 halves evenly; 3 and 5 have a pixel in their middle";
        Err(Error::config("network.kernel", "3, 4 or 5", self.kernel.to_string(), help))
    }

    /// Refuses a residual stack, for networks that end in a vector.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub(super) fn check_vector(&self) -> Result<()> {
        if self.residual.is_none() {
            return Ok(());
        }
        let help = "remove it, use `network.kind = \"resnet\"`, or `model.kind = \"vq-vae\"`";
        let expected = "nothing: only models of maps have a residual stack";
        Err(Error::config("network.residual", expected, "one", help))
    }

    pub(super) fn pyramid(&self, shape: [usize; 3]) -> Result<Pyramid> {
        Pyramid::new(self.kernel, &self.channels.resolve(shape), shape)
    }

    /// Channels, height and width after the last convolution.
    ///
    /// # Panics
    /// If the images are too small to be halved so often; [`super::NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use elbo::networks::ConvConfig;
    ///
    /// let config = ConvConfig { channels: vec![32, 64].into(), ..Default::default() };
    /// assert_eq!(config.smallest([1, 28, 28]), [64, 7, 7]);
    /// assert_eq!(config.smallest([3, 61, 47]), [64, 16, 12]);
    /// ```
    pub fn smallest(&self, shape: [usize; 3]) -> [usize; 3] {
        self.checked(shape).smallest(shape[0])
    }

    pub(super) fn checked(&self, shape: [usize; 3]) -> Pyramid {
        self.pyramid(shape).expect("the shape was checked")
    }

    /// The layers of [`ConvEncoder`].
    pub(super) fn encoder_summary(&self, shape: [usize; 3]) -> Vec<LayerSummary> {
        let pyramid = self.checked(shape);
        let mut rows = Vec::new();
        for (i, step) in pyramid.steps.iter().enumerate() {
            let name = |part: &str| format!("encoder.{part}.{i}");
            rows.push(LayerSummary::down(name("layers"), step.halving, [step.inputs, step.channels]));
            rows.extend(LayerSummary::norm(name("norms"), self.norm, step.channels, step.halving.small()));
        }
        rows.extend(LayerSummary::mlp("encoder.dense", &dense_down(&pyramid, &self.hidden)));
        rows
    }

    /// The layers of [`ConvDecoder`].
    pub(super) fn decoder_summary(&self, latent: usize, shape: [usize; 3], outputs: usize) -> Vec<LayerSummary> {
        let pyramid = self.checked(shape);
        let mut rows = input_summary(&pyramid, latent, outputs, &self.hidden);
        for (i, step) in pyramid.steps.iter().rev().enumerate() {
            let (name, last) = (|part: &str| format!("decoder.{part}.{i}"), i + 1 == pyramid.steps.len());
            let up = if last { outputs } else { step.inputs };
            rows.push(LayerSummary::up(name("layers"), step.halving, [step.channels, up]));
            let norm = LayerSummary::norm(name("norms"), self.norm, up, step.halving.large);
            rows.extend(norm.filter(|_| !last));
        }
        rows
    }
}

/// Widths of the fully connected layers after the smallest image.
pub(super) fn dense_down(pyramid: &Pyramid, hidden: &[usize]) -> Vec<usize> {
    [&[pyramid.smallest(pyramid.shape[0]).iter().product()], hidden].concat()
}

/// Widths of those before it, on the way back.
pub(super) fn dense_up(latent: usize, hidden: &[usize]) -> Vec<usize> {
    [latent].into_iter().chain(hidden.iter().rev().copied()).collect()
}

/// The layers from a code up to the smallest image.
pub(super) fn input_summary(pyramid: &Pyramid, latent: usize, outputs: usize, hidden: &[usize]) -> Vec<LayerSummary> {
    let widths = dense_up(latent, hidden);
    let mut rows = LayerSummary::mlp("decoder.dense", &widths);
    let features = pyramid.smallest(outputs).iter().product();
    rows.push(LayerSummary::linear("decoder.input", widths[widths.len() - 1], features));
    rows
}

/// How a convolution moves its window.
#[derive(Debug, Clone, Copy)]
enum Geometry {
    Plain(ConvGeometry),
    Transposed(ConvTransposeGeometry),
}

/// A convolution or transposed convolution: `weight` and `bias` as PyTorch names and lays them out.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[out, in, kernel, kernel]`; for a transposed convolution `[in, out, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// Biases of the output channels, `[out]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    geometry: Geometry,
}

impl Conv {
    /// The convolution that halves.
    pub(super) fn down(halving: Halving, [i, o]: [usize; 2], draws: &mut Draws, device: &Device) -> Self {
        Self::init([o, i], o, halving.kernel, Geometry::Plain(halving.down()), draws, device)
    }

    /// The transposed convolution that leads back.
    pub(super) fn up(halving: Halving, [i, o]: [usize; 2], draws: &mut Draws, device: &Device) -> Self {
        Self::init([i, o], o, halving.kernel, Geometry::Transposed(halving.up()), draws, device)
    }

    /// A convolution of odd windows that keeps the size.
    pub(super) fn same(kernel: usize, channels: usize, draws: &mut Draws, device: &Device) -> Self {
        Self::keeping(kernel, [channels; 2], draws, device)
    }

    /// The same from one number of channels to another.
    pub(super) fn keeping(kernel: usize, [i, o]: [usize; 2], draws: &mut Draws, device: &Device) -> Self {
        let geometry = ConvGeometry { stride: 1, padding: [kernel / 2; 2] };
        Self::init([o, i], o, kernel, Geometry::Plain(geometry), draws, device)
    }

    /// As PyTorch starts: uniform in +-1/sqrt(fan), `fan` being the second dimension times the window.
    fn init(
        shape: [usize; 2],
        outputs: usize,
        kernel: usize,
        geometry: Geometry,
        draws: &mut Draws,
        device: &Device,
    ) -> Self {
        let bound = 1.0 / ((shape[1] * kernel * kernel) as f64).sqrt();
        let dims = [shape[0], shape[1], kernel, kernel];
        let weight = TensorData::new(draws.uniforms(dims.iter().product(), bound), dims);
        let bias = TensorData::new(draws.uniforms(outputs, bound), [outputs]);
        Self { weight: Param::from_data(weight, device), bias: Param::from_data(bias, device), geometry }
    }

    /// # Shapes
    /// - `x`: `[batch, height, width, in]`
    /// - returns: `[batch, out_height, out_width, out]`
    pub(super) fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        match self.geometry {
            Geometry::Plain(geometry) => elbo_kernels::conv2d(x, weight, bias, geometry, activation),
            Geometry::Transposed(geometry) => elbo_kernels::conv_transpose2d(x, weight, bias, geometry, activation),
        }
    }

    /// The layer, then its normalisation if there is one, then the activation.
    pub(super) fn forward_normalised(
        &self,
        x: Tensor<4>,
        norm: Option<&Norm>,
        activation: Activation,
        pass: &Pass,
    ) -> Tensor<4> {
        match norm {
            Some(norm) => norm.forward(self.forward(x, Activation::None), activation, pass),
            None => self.forward(x, activation),
        }
    }
}

/// Convolutions that halve the image, one for each entry of `channels`.
///
/// In PyTorch: `layers`, `norms`, and `dense.layers` if there are hidden layers.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::{ConvConfig, ConvEncoder, Pass};
/// use elbo::random::{Draws, Purpose};
///
/// let (device, draws) = (elbo::device::choose("cpu")?, &mut Draws::new(0, Purpose::Weights, 0, 0));
/// let config = ConvConfig { channels: vec![16, 32].into(), ..Default::default() };
/// let encoder = ConvEncoder::init([3, 32, 32], &config, draws, &device);
/// assert_eq!(encoder.forward(Tensor::zeros([4, 3 * 32 * 32], &device), &Pass::still()).dims(), [4, 32 * 8 * 8]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct ConvEncoder {
    layers: Vec<Conv>,
    norms: Vec<Norm>,
    dense: Mlp,
    #[module(skip)]
    shape: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl ConvEncoder {
    /// For images of `shape` (channels, height, width).
    ///
    /// # Panics
    /// If they are too small to be halved so often; [`super::NetworkConfig::check_shape`] says so before.
    pub fn init(shape: [usize; 3], config: &ConvConfig, draws: &mut Draws, device: &Device) -> Self {
        let (pyramid, activation) = (config.checked(shape), config.activation.into());
        let steps = &pyramid.steps;
        Self {
            layers: steps.iter().map(|s| Conv::down(s.halving, [s.inputs, s.channels], draws, device)).collect(),
            norms: steps
                .iter()
                .filter_map(|step| Norm::init(config.norm, step.channels, step.halving.small(), device))
                .collect(),
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
        let layers = self.layers.iter().enumerate();
        layers.fold(from_rows(x, self.shape), |x, (i, layer)| {
            layer.forward_normalised(x, self.norms.get(i), self.activation, pass)
        })
    }
}

/// A layer up to the smallest image, then transposed convolutions that double it; nothing after the last.
///
/// In PyTorch: `dense.layers` if there are hidden layers, `input`, `layers`, `norms`.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::{ConvConfig, ConvDecoder, DecoderDims, Pass};
/// use elbo::random::{Draws, Purpose};
///
/// let (device, draws) = (elbo::device::choose("cpu")?, &mut Draws::new(0, Purpose::Weights, 0, 0));
/// let config = ConvConfig { channels: vec![16, 32].into(), ..Default::default() };
/// let dims = DecoderDims { latent: 10, shape: [3, 61, 47], outputs: 3 };
/// let decoder = ConvDecoder::init(dims, &config, draws, &device);
/// assert_eq!(decoder.forward(Tensor::zeros([4, 10], &device), &Pass::still()).dims(), [4, 3 * 61 * 47]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct ConvDecoder {
    dense: Mlp,
    input: Linear,
    layers: Vec<Conv>,
    norms: Vec<Norm>,
    #[module(skip)]
    smallest: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl ConvDecoder {
    /// The mirror of [`ConvEncoder::init`].
    ///
    /// # Panics
    /// As the encoder.
    pub fn init(dims: DecoderDims, config: &ConvConfig, draws: &mut Draws, device: &Device) -> Self {
        let DecoderDims { shape, outputs, .. } = dims;
        let (pyramid, activation) = (config.checked(shape), config.activation.into());
        let (dense, input) = decoder_input(&pyramid, dims, &config.hidden, activation, draws, device);
        let up = |inputs: usize, i: usize| if i == 0 { outputs } else { inputs };
        let steps = pyramid.steps.iter().enumerate().rev();
        Self {
            dense,
            input,
            layers: steps
                .clone()
                .map(|(i, s)| Conv::up(s.halving, [s.channels, up(s.inputs, i)], draws, device))
                .collect(),
            norms: steps
                .filter(|(i, _)| *i > 0)
                .filter_map(|(_, step)| Norm::init(config.norm, step.inputs, step.halving.large, device))
                .collect(),
            smallest: pyramid.smallest(outputs),
            activation,
        }
    }

    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, channels * height * width]`, channel first
    pub fn forward(&self, z: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let rows = self.input.forward(self.dense.forward(z), Activation::None);
        let mut y = from_rows(rows, self.smallest);
        for (i, layer) in self.layers.iter().enumerate() {
            let last = i + 1 == self.layers.len();
            let activation = if last { Activation::None } else { self.activation };
            y = layer.forward_normalised(y, self.norms.get(i), activation, pass);
        }
        to_rows(y)
    }
}

/// What leads from a code to the smallest image.
pub(super) fn decoder_input(
    pyramid: &Pyramid,
    dims: DecoderDims,
    hidden: &[usize],
    activation: Activation,
    draws: &mut Draws,
    device: &Device,
) -> (Mlp, Linear) {
    let widths = dense_up(dims.latent, hidden);
    let dense = Mlp::init(&widths, activation, activation, draws, device);
    let features = pyramid.smallest(dims.outputs).iter().product();
    (dense, Linear::init(widths[widths.len() - 1], features, draws, device))
}

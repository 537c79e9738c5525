//! Strided convolutions down to a code and transposed ones up again, each with batch normalisation.
//!
//! Images travel with their channels last, the layout the kernels want; at the edges they are the flat `[batch, channels * height * width]` that the
//! models speak, channel first, so that weights of the layers beside agree with PyTorch's `flatten` and `view`.

use burn::module::{Module, Param, RunningState};
use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{Activation, ConvGeometry, ConvTransposeGeometry};
use serde::{Deserialize, Serialize};

use super::{Linear, Nonlinearity};
use crate::error::{Error, Result};
use crate::random::Draws;

/// Side of the square windows.
const KERNEL: usize = 4;
/// Halves the image with each layer.
const STRIDE: usize = 2;
/// Keeps the halves exact for even sizes.
const PADDING: usize = 1;

/// `network.kind = "conv"`: channels after each convolution, encoder order; the decoder mirrors them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConvConfig {
    /// Channels after each convolution, from the data towards the code; each halves the image.
    pub channels: Vec<usize>,
    /// What follows each convolution.
    pub activation: Nonlinearity,
}

impl Default for ConvConfig {
    fn default() -> Self {
        Self { channels: vec![32, 64, 128], activation: Nonlinearity::Relu }
    }
}

impl ConvConfig {
    /// Checks the channels.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key for 0 channels or beyond `MAX_CHANNELS` (2^16), for no layer or more than 16.
    pub fn check(&self) -> Result<()> {
        const KEY: &str = "network.channels";
        const HELP: &str = "for example `--set network.channels=[32,64,128]`";
        if !(1..=16).contains(&self.channels.len()) {
            return Err(Error::config(KEY, "1 to 16 layers", format!("{} layers", self.channels.len()), HELP));
        }
        match self.channels.iter().find(|&&count| count == 0 || count > MAX_CHANNELS) {
            Some(count) => Err(Error::config(KEY, format!("1 to {MAX_CHANNELS} channels"), count.to_string(), HELP)),
            None => Ok(()),
        }
    }

    /// Checks that images of `shape` can be halved so often.
    ///
    /// # Errors
    /// [`Error::Config`] if a side is not divisible by 2 once for each layer.
    pub fn check_shape(&self, shape: [usize; 3]) -> Result<()> {
        let factor = STRIDE.pow(self.channels.len() as u32);
        let [_, height, width] = shape;
        if height.is_multiple_of(factor) && width.is_multiple_of(factor) {
            return Ok(());
        }
        let expected = format!("sides that can be halved {} times", self.channels.len());
        Err(Error::config("network.channels", expected, format!("{height} x {width}"), "use fewer layers"))
    }

    /// Channels, height and width after the last convolution.
    ///
    /// # Panics
    /// If [`ConvConfig::check_shape`] refuses the shape.
    ///
    /// ```
    /// use elbo::networks::ConvConfig;
    ///
    /// let config = ConvConfig { channels: vec![32, 64], ..Default::default() };
    /// assert_eq!(config.smallest([1, 28, 28]), [64, 7, 7]);
    /// ```
    pub fn smallest(&self, shape: [usize; 3]) -> [usize; 3] {
        self.check_shape(shape).expect("the shape was checked");
        let factor = STRIDE.pow(self.channels.len() as u32);
        [self.channels.last().copied().unwrap_or(shape[0]), shape[1] / factor, shape[2] / factor]
    }

    /// See [`NetworkConfig::parameters`](super::NetworkConfig::parameters).
    pub(super) fn parameters(&self, latent: usize, shape: [usize; 3], outputs: usize) -> u128 {
        let conv = |i: usize, o: usize| (i * KERNEL * KERNEL) as u128 * o as u128;
        let down: Vec<usize> = [&[shape[0]], self.channels.as_slice()].concat();
        let up: Vec<usize> = self.channels.iter().rev().copied().chain([outputs]).collect();
        let convs = |widths: &[usize]| widths.windows(2).map(|w| conv(w[0], w[1]) + w[1] as u128).sum::<u128>();
        let norms = 2 * self.channels.iter().chain(&up[1..up.len() - 1]).sum::<usize>() as u128;
        let features = self.smallest(shape).iter().product::<usize>() as u128;
        convs(&down) + convs(&up) + norms + (latent as u128 + 1) * features
    }
}

/// Most channels of a layer.
const MAX_CHANNELS: usize = 1 << 16;

/// A convolution or transposed convolution: `weight` and `bias` as PyTorch names and lays them out.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[out, in, 4, 4]`; for a transposed convolution `[in, out, 4, 4]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Conv {
    /// As PyTorch starts: uniform in +-1/sqrt(fan), `fan` being the second dimension times the window.
    fn init(shape: [usize; 2], outputs: usize, draws: &mut Draws, device: &Device) -> Self {
        let bound = 1.0 / ((shape[1] * KERNEL * KERNEL) as f64).sqrt();
        let dims = [shape[0], shape[1], KERNEL, KERNEL];
        let weight = TensorData::new(draws.uniforms(dims.iter().product(), bound), dims);
        let bias = TensorData::new(draws.uniforms(outputs, bound), [outputs]);
        Self { weight: Param::from_data(weight, device), bias: Param::from_data(bias, device) }
    }

    fn down(&self, x: Tensor<4>) -> Tensor<4> {
        let geometry = ConvGeometry { stride: STRIDE, padding: PADDING };
        elbo_kernels::conv2d(x, self.weight.val(), self.bias.val(), geometry, Activation::None)
    }

    fn up(&self, x: Tensor<4>) -> Tensor<4> {
        let geometry = ConvTransposeGeometry { stride: STRIDE, padding: PADDING, output_padding: 0 };
        elbo_kernels::conv_transpose2d(x, self.weight.val(), self.bias.val(), geometry, Activation::None)
    }
}

/// Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167) with PyTorch's names and constants: eps 1e-5, momentum 0.1.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Mean for inference, `[channels]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Variance (unbiased) for inference, `[channels]`.
    pub running_var: RunningState<Tensor<1>>,
}

/// Share of a batch's statistics in the running ones.
const MOMENTUM: f64 = 0.1;
/// Added to the variance.
const EPS: f64 = 1e-5;

impl BatchNorm {
    fn init(channels: usize, device: &Device) -> Self {
        let constant = |value: f32| TensorData::new(vec![value; channels], [channels]);
        let state = |value| RunningState::new(Tensor::from_data(constant(value), device));
        Self {
            weight: Param::from_data(constant(1.0), device),
            bias: Param::from_data(constant(0.0), device),
            running_mean: state(0.0),
            running_var: state(1.0),
        }
    }

    /// Normalises by the batch's statistics in training, which are on an autodiff device, and by the running ones otherwise.
    fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if !x.device().is_autodiff() {
            let (mean, variance) = (self.running_mean.value_sync(), self.running_var.value_sync());
            return elbo_kernels::batch_norm_inference(x, weight, bias, mean, variance, EPS, activation);
        }
        let [batch, height, width, _] = x.dims();
        let count = (batch * height * width) as f64;
        let (y, mean, variance) = elbo_kernels::batch_norm(x, weight, bias, EPS, activation);
        update(&self.running_mean, mean.inner());
        update(&self.running_var, variance.inner() * (count / (count - 1.0).max(1.0)));
        y
    }
}

/// Moves a running statistic towards a batch's.
fn update(state: &RunningState<Tensor<1>>, batch: Tensor<1>) {
    let old = state.value_sync();
    let new = old.clone().inner() * (1.0 - MOMENTUM) + batch * MOMENTUM;
    state.update(if old.device().is_autodiff() { Tensor::from_inner(new) } else { new });
    // The update becomes visible to visitors, and so to checkpoints, only with the next look.
    let _ = state.value_sync();
}

/// Convolutions that halve the image, one for each entry of `channels`.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::{ConvConfig, ConvEncoder};
/// use elbo::random::{Draws, Purpose};
///
/// let (device, draws) = (elbo::device::choose("cpu")?, &mut Draws::new(0, Purpose::Weights, 0, 0));
/// let config = ConvConfig { channels: vec![16, 32], ..Default::default() };
/// let encoder = ConvEncoder::init([3, 32, 32], &config, draws, &device);
/// assert_eq!(encoder.forward(Tensor::zeros([4, 3 * 32 * 32], &device)).dims(), [4, 32 * 8 * 8]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct ConvEncoder {
    layers: Vec<Conv>,
    norms: Vec<BatchNorm>,
    #[module(skip)]
    shape: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl ConvEncoder {
    /// For images of `shape` (channels, height, width).
    ///
    /// # Panics
    /// If a side is not divisible by 2 once for each layer.
    pub fn init(shape: [usize; 3], config: &ConvConfig, draws: &mut Draws, device: &Device) -> Self {
        config.smallest(shape);
        let (channels, activation) = (&config.channels, config.activation.into());
        let inputs = [shape[0]].into_iter().chain(channels.iter().copied());
        let layers = inputs.zip(channels).map(|(i, &o)| Conv::init([o, i], o, draws, device)).collect();
        let norms = channels.iter().map(|&c| BatchNorm::init(c, device)).collect();
        Self { layers, norms, shape, activation }
    }

    /// # Shapes
    /// - `x`: `[batch, channels * height * width]`, channel first
    /// - returns: `[batch, features]`, channel first
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [channels, height, width] = self.shape;
        let batch = x.dims()[0];
        let x = x.reshape([batch, channels, height, width]).permute([0, 2, 3, 1]);
        let y =
            self.layers.iter().zip(&self.norms).fold(x, |x, (conv, norm)| norm.forward(conv.down(x), self.activation));
        y.permute([0, 3, 1, 2]).flatten(1, 3)
    }
}

/// A layer up to the smallest image, then transposed convolutions that double it; no normalisation after the last.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::{ConvConfig, ConvDecoder};
/// use elbo::random::{Draws, Purpose};
///
/// let (device, draws) = (elbo::device::choose("cpu")?, &mut Draws::new(0, Purpose::Weights, 0, 0));
/// let config = ConvConfig { channels: vec![16, 32], ..Default::default() };
/// let decoder = ConvDecoder::init(10, [3, 32, 32], 3, &config, draws, &device);
/// assert_eq!(decoder.forward(Tensor::zeros([4, 10], &device)).dims(), [4, 3 * 32 * 32]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct ConvDecoder {
    input: Linear,
    layers: Vec<Conv>,
    norms: Vec<BatchNorm>,
    #[module(skip)]
    smallest: [usize; 3],
    #[module(skip)]
    activation: Activation,
}

impl ConvDecoder {
    /// The mirror of [`ConvEncoder::init`], from `latent` dimensions up to `outputs` channels.
    ///
    /// # Panics
    /// As the encoder.
    pub fn init(
        latent: usize,
        shape: [usize; 3],
        outputs: usize,
        config: &ConvConfig,
        draws: &mut Draws,
        device: &Device,
    ) -> Self {
        let (smallest, activation) = (config.smallest(shape), config.activation.into());
        let input = Linear::init(latent, smallest.iter().product(), draws, device);
        let widths: Vec<usize> = config.channels.iter().rev().copied().chain([outputs]).collect();
        let layers = widths.windows(2).map(|w| Conv::init([w[0], w[1]], w[1], draws, device)).collect();
        let norms = widths[1..widths.len() - 1].iter().map(|&c| BatchNorm::init(c, device)).collect();
        Self { input, layers, norms, smallest, activation }
    }

    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, channels * height * width]`, channel first
    pub fn forward(&self, z: Tensor<2>) -> Tensor<2> {
        let [channels, height, width] = self.smallest;
        let batch = z.dims()[0];
        let y = self.input.forward(z, Activation::None);
        let mut y = y.reshape([batch, channels, height, width]).permute([0, 2, 3, 1]);
        for (i, layer) in self.layers.iter().enumerate() {
            y = layer.up(y);
            if let Some(norm) = self.norms.get(i) {
                y = norm.forward(y, self.activation);
            }
        }
        y.permute([0, 3, 1, 2]).flatten(1, 3)
    }
}

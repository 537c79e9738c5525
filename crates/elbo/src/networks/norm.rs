//! Normalisation between layers, over images with their channels last.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::Activation;
use serde::{Deserialize, Serialize};

use super::{Buffer, Pass};

/// `network.norm`: what is normalised between a layer and its activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Normalization {
    /// Each channel, by its statistics over the batch: [`BatchNorm`].
    #[default]
    Batch,
    /// Each example's groups of channels, by their own statistics: [`GroupNorm`].
    Group,
    /// Nothing is normalised.
    None,
}

impl Normalization {
    /// What a short description adds for another than the usual one.
    pub(super) fn aside(self) -> &'static str {
        match self {
            Self::Batch => "",
            Self::Group => ", group norm",
            Self::None => ", no norm",
        }
    }
}

/// Batch or group normalisation.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "one value for each layer; Burn's derive takes no boxes")]
#[non_exhaustive]
pub enum Norm {
    /// By the statistics of the batch.
    Batch(BatchNorm),
    /// By those of each example.
    Group(GroupNorm),
}

impl Norm {
    /// For maps of `channels` and `sides` (height, width); `None` for [`Normalization::None`].
    pub(super) fn init(kind: Normalization, channels: usize, sides: [usize; 2], device: &Device) -> Option<Self> {
        match kind {
            Normalization::Batch => Some(Self::Batch(BatchNorm::init(channels, device))),
            Normalization::Group => Some(Self::Group(GroupNorm::init(channels, groups(channels, sides), device))),
            Normalization::None => None,
        }
    }

    /// # Shapes
    /// - `x`: `[batch, height, width, channels]`
    /// - returns: the same
    pub(super) fn forward(&self, x: Tensor<4>, activation: Activation, pass: &Pass) -> Tensor<4> {
        match self {
            Self::Batch(norm) => norm.forward(x, activation, pass),
            Self::Group(norm) => norm.forward(x, activation),
        }
    }
}

/// Added to the variance, as PyTorch does.
const EPS: f64 = 1e-5;

/// Batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167) with its activation, as PyTorch's `BatchNorm2d` does it.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// The scale of each channel, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// The shift of each channel, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Mean for inference, `[channels]`.
    pub running_mean: Buffer<1>,
    /// Variance (unbiased) for inference, `[channels]`.
    pub running_var: Buffer<1>,
}

/// Share of a batch's statistics in the running ones.
const MOMENTUM: f64 = 0.1;

impl BatchNorm {
    fn init(channels: usize, device: &Device) -> Self {
        let state = |value| Buffer::new(Tensor::from_data(constant(value, channels), device));
        Self {
            weight: Param::from_data(constant(1.0, channels), device),
            bias: Param::from_data(constant(0.0, channels), device),
            running_mean: state(0.0),
            running_var: state(1.0),
        }
    }

    /// Normalises by the batch's statistics in training, and by the running ones otherwise.
    fn forward(&self, x: Tensor<4>, activation: Activation, pass: &Pass) -> Tensor<4> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if !pass.trains() {
            let (mean, variance) = (self.running_mean.val(), self.running_var.val());
            return elbo_kernels::batch_norm_inference(x, weight, bias, mean, variance, EPS, activation);
        }
        let [batch, height, width, _] = x.dims();
        let count = (batch * height * width) as f64;
        let (y, mean, variance) = elbo_kernels::batch_norm(x, weight, bias, EPS, activation);
        pass.see(&self.running_mean, || moved(&self.running_mean, mean.without_autodiff()));
        let unbiased = || variance.without_autodiff() * (count / (count - 1.0).max(1.0));
        pass.see(&self.running_var, || moved(&self.running_var, unbiased()));
        y
    }
}

/// A running statistic a step nearer to a batch's.
fn moved(running: &Buffer<1>, batch: Tensor<1>) -> Tensor<1> {
    running.val().without_autodiff() * (1.0 - MOMENTUM) + batch * MOMENTUM
}

/// Group normalisation (Wu & He 2018, arXiv:1803.08494) with its activation, as PyTorch's `GroupNorm` does it.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// The scale of each channel, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// The shift of each channel, `[channels]`.
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
}

impl GroupNorm {
    fn init(channels: usize, groups: usize, device: &Device) -> Self {
        Self {
            weight: Param::from_data(constant(1.0, channels), device),
            bias: Param::from_data(constant(0.0, channels), device),
            groups,
        }
    }

    fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        elbo_kernels::group_norm(x, self.groups, self.weight.val(), self.bias.val(), EPS, activation)
    }
}

fn constant(value: f32, channels: usize) -> TensorData {
    TensorData::new(vec![value; channels], [channels])
}

/// Most groups, Wu & He's default.
const MAX_GROUPS: usize = 32;
/// Fewest values of a group: of one value nothing is left once its mean is taken away, of two only which is larger.
const MIN_VALUES: usize = 16;

/// How many groups maps of `channels` and `sides` (height, width) are normalised in: the most, up to 32, that divide the channels and leave at least 16 values
/// in each.
///
/// ```
/// use elbo::networks::groups;
///
/// assert_eq!([groups(128, [4, 4]), groups(48, [7, 7]), groups(8, [28, 28])], [32, 24, 8]);
/// assert_eq!([groups(32, [1, 1]), groups(3, [1, 2])], [2, 1]); // maps of a pixel or two
/// ```
pub fn groups(channels: usize, sides: [usize; 2]) -> usize {
    let fits =
        |groups: &usize| channels.is_multiple_of(*groups) && channels / groups * sides[0] * sides[1] >= MIN_VALUES;
    (1..=MAX_GROUPS.min(channels)).rev().find(fits).unwrap_or(1)
}

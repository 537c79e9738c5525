//! What a network costs, layer by layer, known before anything is built.

use serde::Serialize;

use super::norm::{Normalization, groups};
use super::pyramid::Halving;

/// One layer of a network as `elbo config --model` lists it.
///
/// Operations are two for each multiply-add of a matrix product or convolution, taps on the zeros around an image included, forward and for one example:
/// what PyTorch's `FlopCounterMode` counts. Biases, norms and activations are not in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LayerSummary {
    /// Its name, which its weights' names begin with.
    pub name: String,
    /// What it is, in words.
    pub kind: String,
    /// The shape of its output without the batch: `[features]` or `[channels, height, width]`.
    pub output: Vec<usize>,
    /// Weights and biases; running statistics are none.
    pub parameters: u128,
    /// Floating-point operations of a forward pass for one example.
    pub flops: u128,
}

impl LayerSummary {
    /// A fully connected layer.
    pub(crate) fn linear(name: impl Into<String>, inputs: usize, outputs: usize) -> Self {
        let products = inputs as u128 * outputs as u128;
        Self {
            name: name.into(),
            kind: "linear".into(),
            output: vec![outputs],
            parameters: products + outputs as u128,
            flops: 2 * products,
        }
    }

    /// Fully connected layers of these widths, as [`super::Mlp`] names them.
    pub(super) fn mlp(name: &str, widths: &[usize]) -> Vec<Self> {
        let layers = widths.windows(2).enumerate();
        layers.map(|(i, pair)| Self::linear(format!("{name}.layers.{i}"), pair[0], pair[1])).collect()
    }

    /// The convolution that halves an image.
    pub(super) fn down(name: String, halving: Halving, channels: [usize; 2]) -> Self {
        let (small, kernel) = (halving.small(), halving.kernel);
        Self::windows(name, format!("conv {kernel} x {kernel}, stride 2"), kernel, channels, small, small)
    }

    /// The transposed convolution that leads back.
    pub(super) fn up(name: String, halving: Halving, channels: [usize; 2]) -> Self {
        let (small, kernel) = (halving.small(), halving.kernel);
        let kind = format!("transposed conv {kernel} x {kernel}, stride 2");
        Self::windows(name, kind, kernel, channels, small, halving.large)
    }

    /// A convolution that keeps the size.
    pub(super) fn same(name: String, kernel: usize, channels: usize, sides: [usize; 2]) -> Self {
        Self::windows(name, format!("conv {kernel} x {kernel}"), kernel, [channels; 2], sides, sides)
    }

    /// The same from one number of channels to another.
    pub(crate) fn keeping(name: String, kernel: usize, channels: [usize; 2], sides: [usize; 2]) -> Self {
        Self::windows(name, format!("conv {kernel} x {kernel}"), kernel, channels, sides, sides)
    }

    /// `places` windows, each a product of all channels.
    fn windows(
        name: String,
        kind: String,
        kernel: usize,
        [inputs, outputs]: [usize; 2],
        places: [usize; 2],
        [height, width]: [usize; 2],
    ) -> Self {
        let weights = (kernel * kernel) as u128 * inputs as u128 * outputs as u128;
        Self {
            name,
            kind,
            output: vec![outputs, height, width],
            parameters: weights + outputs as u128,
            flops: 2 * weights * places[0] as u128 * places[1] as u128,
        }
    }

    /// A table of `entries` rows of `width` numbers.
    pub(crate) fn table(name: impl Into<String>, entries: usize, width: usize) -> Self {
        let parameters = entries as u128 * width as u128;
        Self { name: name.into(), kind: "embedding".into(), output: vec![width], parameters, flops: 0 }
    }

    /// A fully connected layer that is applied at each of `places` places.
    pub(super) fn at_each(name: String, [inputs, outputs]: [usize; 2], places: usize) -> Self {
        let row = Self::linear(name, inputs, outputs);
        Self { output: vec![places, outputs], flops: row.flops * places as u128, ..row }
    }

    /// A normalisation of each token.
    pub(super) fn layer_norm(name: String, width: usize) -> Self {
        Self { name, kind: "layer norm".into(), output: vec![width], parameters: 2 * width as u128, flops: 0 }
    }

    /// A normalisation; none for [`Normalization::None`].
    pub(super) fn norm(name: String, norm: Normalization, channels: usize, sides: [usize; 2]) -> Option<Self> {
        let kind = match norm {
            Normalization::Batch => "batch norm".into(),
            Normalization::Group => format!("group norm, {} groups", groups(channels, sides)),
            Normalization::None => return None,
        };
        let output = vec![channels, sides[0], sides[1]];
        Some(Self { name, kind, output, parameters: 2 * channels as u128, flops: 0 })
    }
}

//! A network whose output `i` sees only the inputs before `i` (MADE: Germain et al. 2015, arXiv:1502.03509).
//!
//! Input `i` has degree `i` (in reversed order: `dims + 1 - i`), hidden units have degrees 1 to `dims - 1` in turn. A weight is kept where the unit above
//! may see the one below: `degree(hidden) >= degree(below)`, `degree(output) > degree(hidden)`.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::Activation;

use super::{LayerSummary, Linear};
use crate::random::Draws;

/// Bound of the log scales: factors from e^-5 to e^5 in one block. Unbounded, a single far code can end a training.
const MOST_LOG_SCALE: f64 = 5.0;

/// Mean and log scale of each coordinate, given those before it.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::Made;
/// use elbo::random::{Draws, Purpose};
///
/// let device = elbo::device::choose("cpu")?;
/// let made = Made::init(3, &[16], false, &mut Draws::new(0, Purpose::Weights, 0, 0), &device);
/// let (mean, log_scale) = made.conditionals(Tensor::zeros([5, 3], &device));
/// assert_eq!((mean.dims(), log_scale.dims(), made.order()), ([5, 3], [5, 3], &[0, 1, 2][..]));
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct Made {
    layers: Vec<MaskedLinear>,
    mean: MaskedLinear,
    log_scale: MaskedLinear,
    #[module(skip)]
    order: Vec<usize>,
}

impl Made {
    /// For rows of `dims` numbers; `reversed` sees the last coordinate first.
    ///
    /// # Panics
    /// If a size is 0; configurations are checked before this point.
    pub fn init(dims: usize, hidden: &[usize], reversed: bool, draws: &mut Draws, device: &Device) -> Self {
        let inputs: Vec<usize> = if reversed { (1..=dims).rev().collect() } else { (1..=dims).collect() };
        let mut below = inputs.clone();
        let mut layers = Vec::new();
        for &width in hidden {
            // Of one coordinate nothing is known, and so nothing may be seen.
            let degrees: Vec<usize> = (0..width).map(|j| if dims == 1 { 0 } else { 1 + j % (dims - 1) }).collect();
            layers.push(MaskedLinear::init(&below, &degrees, |above, below| above >= below, draws, device));
            below = degrees;
        }
        let mut output = || MaskedLinear::init(&below, &inputs, |above, below| above > below, draws, device);
        let (mean, log_scale) = (output(), output());
        let mut order: Vec<usize> = (0..dims).collect();
        order.sort_by_key(|&i| inputs[i]);
        Self { layers, mean, log_scale, order }
    }

    /// What each coordinate is expected to be, given those before it: mean, and log scale within +-5.
    ///
    /// # Shapes
    /// - `x`: `[batch, dims]`
    /// - returns: mean and log scale, `[batch, dims]` each
    pub fn conditionals(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let features = self.layers.iter().fold(x, |x, layer| layer.forward(x, Activation::Relu));
        let log_scale = self.log_scale.forward(features.clone(), Activation::None) / MOST_LOG_SCALE;
        (self.mean.forward(features, Activation::None), log_scale.tanh() * MOST_LOG_SCALE)
    }

    /// Coordinates in the order in which they become known.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// Where its weights are.
    pub fn device(&self) -> Device {
        self.mean.linear.weight.val().device()
    }

    /// Its layers under `name`, for rows of `dims` numbers. Weights that the masks leave out are counted: they are stored.
    pub(crate) fn summary(name: &str, dims: usize, hidden: &[usize]) -> Vec<LayerSummary> {
        let widths: Vec<usize> = [dims].iter().chain(hidden).copied().collect();
        let masked = |layer: String, inputs, outputs| LayerSummary {
            kind: "masked linear".into(),
            ..LayerSummary::linear(format!("{name}.{layer}.linear"), inputs, outputs)
        };
        let inner = widths.windows(2).enumerate().map(|(i, pair)| masked(format!("layers.{i}"), pair[0], pair[1]));
        let last = widths[widths.len() - 1];
        inner.chain(["mean", "log_scale"].map(|head| masked(head.into(), last, dims))).collect()
    }
}

/// A layer of which only some weights count.
#[derive(Module, Debug)]
struct MaskedLinear {
    linear: Linear,
    #[module(skip)]
    mask: Vec<f32>,
}

impl MaskedLinear {
    fn init(
        below: &[usize],
        above: &[usize],
        sees: impl Fn(usize, usize) -> bool,
        draws: &mut Draws,
        device: &Device,
    ) -> Self {
        let mask = above.iter().flat_map(|&a| below.iter().map(move |&b| (a, b))).map(|(a, b)| f32::from(sees(a, b)));
        Self { mask: mask.collect(), linear: Linear::init(below.len(), above.len(), draws, device) }
    }

    fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        let weight = self.linear.weight.val();
        let mask = Tensor::from_data(TensorData::new(self.mask.clone(), weight.dims()), &weight.device());
        elbo_kernels::linear(x, weight * mask, self.linear.bias.val(), activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;
    use crate::tensors::values_of;

    #[test]
    fn outputs_see_only_what_comes_before_them() {
        let device = crate::device::choose("cpu").unwrap();
        for (dims, reversed) in [(1, false), (2, true), (5, false), (5, true)] {
            let made = Made::init(dims, &[32, 32], reversed, &mut Draws::new(3, Purpose::Weights, 0, 0), &device);
            let at = |x: &[f32]| {
                let (mean, log_scale) =
                    made.conditionals(Tensor::from_data(TensorData::new(x.to_vec(), [1, dims]), &device));
                (values_of(mean), values_of(log_scale))
            };
            let base = vec![0.3; dims];
            let (mean, log_scale) = at(&base);
            let rank = |i: usize| made.order().iter().position(|&j| j == i).unwrap();
            let mut seen = 0;
            for changed in 0..dims {
                let mut x = base.clone();
                x[changed] += 1.0;
                let (other_mean, other_scale) = at(&x);
                for i in 0..dims {
                    let moved = mean[i] != other_mean[i] || log_scale[i] != other_scale[i];
                    assert!(!moved || rank(i) > rank(changed), "dims {dims}: output {i} sees {changed}");
                    seen += usize::from(moved);
                }
            }
            assert_eq!(seen, dims * (dims - 1) / 2, "and all of it is seen");
        }
    }
}

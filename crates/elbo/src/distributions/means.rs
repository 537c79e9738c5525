//! E[x|z] from a decoder's output.

use burn::tensor::{Tensor, TensorData, activation};
use elbo_kernels::{Link, MIN_LOG_SCALE};

/// The centre of a location family.
pub(super) fn linked(link: Link, output: Tensor<2>) -> Tensor<2> {
    match link {
        Link::Sigmoid => activation::sigmoid(output),
        Link::Identity => output,
    }
}

/// `1 / (1 - e^-l) - 1 / l`; `1/2 + l / 12 - l^3 / 720` near 0, where the formula cancels.
pub(super) fn continuous_bernoulli(l: Tensor<2>) -> Tensor<2> {
    let near = l.clone().abs().lower_elem(0.2);
    let series = l.clone() * (l.clone().square() * (-1.0 / 720.0) + 1.0 / 12.0) + 0.5;
    let formula = ((-l.clone()).exp().neg() + 1.0).recip() - l.recip();
    formula.mask_where(near, series)
}

/// Expectation of `level / (levels - 1)`.
pub(super) fn categorical(logits: Tensor<2>, levels: usize) -> Tensor<2> {
    let [batch, outputs] = logits.dims();
    let values: Vec<f32> = (0..levels).map(|level| level as f32 / (levels - 1) as f32).collect();
    let values = Tensor::<3>::from_data(TensorData::new(values, [1, levels, 1]), &logits.device());
    let shares = activation::softmax(logits.reshape([batch, levels, outputs / levels]), 1);
    (shares * values).sum_dim(1).squeeze_dim(1)
}

/// `MIN_LOG_SCALE + softplus(raw - MIN_LOG_SCALE)`, then `exp`.
fn scale<const D: usize>(raw: Tensor<D>) -> Tensor<D> {
    (activation::softplus(raw - MIN_LOG_SCALE, 1.0) + MIN_LOG_SCALE).exp()
}

/// Mean on [-1, 1] of a logistic with what lies beyond put on the ends: `1 - integral of F from -1 to 1`, and
/// `integral of F = s (softplus((1 - m) / s) - softplus((-1 - m) / s))`.
fn clamped<const D: usize>(mean: Tensor<D>, scale: Tensor<D>) -> Tensor<D> {
    let upper = activation::softplus((-mean.clone() + 1.0) / scale.clone(), 1.0);
    let lower = activation::softplus((-mean - 1.0) / scale.clone(), 1.0);
    (scale * (lower - upper) + 1.0).clamp(-1.0, 1.0)
}

pub(super) fn discretised_logistic(parameters: Tensor<2>) -> Tensor<2> {
    let half = parameters.dims()[1] / 2;
    let (mean, raw) = (parameters.clone().narrow(1, 0, half), parameters.narrow(1, half, half));
    (clamped(mean, scale(raw)) + 1.0) * 0.5
}

pub(super) fn logistic_mixture(components: usize, channels: usize, parameters: Tensor<2>) -> Tensor<2> {
    let [batch, outputs] = parameters.dims();
    let pixels =
        outputs / elbo_kernels::Reconstruction::LogisticMixture { components, channels }.output_channels(channels);
    let blocks = |first: usize, count: usize| {
        let block = parameters.clone().narrow(1, first * components * pixels, components * count * pixels);
        block.reshape([batch, components, count, pixels])
    };
    let shares = activation::softmax(blocks(0, 1), 1);
    let (means, scales) = (blocks(1, channels), scale(blocks(1 + channels, channels)));
    let channel = |c: usize, shift: Option<Tensor<4>>| {
        let mean = means.clone().narrow(2, c, 1);
        clamped(shift.map_or(mean.clone(), |shift| mean + shift), scales.clone().narrow(2, c, 1))
    };
    let by_component = if channels == 3 {
        let [c0, c1, c2] = [0, 1, 2].map(|j| blocks(7, 3).narrow(2, j, 1).tanh());
        let red = channel(0, None);
        let green = channel(1, Some(c0 * red.clone()));
        let blue = channel(2, Some(c1 * red.clone() + c2 * green.clone()));
        Tensor::cat(vec![red, green, blue], 2)
    } else {
        Tensor::cat((0..channels).map(|c| channel(c, None)).collect(), 2)
    };
    let mean = (shares * by_component).sum_dim(1).reshape([batch, channels * pixels]);
    (mean + 1.0) * 0.5
}

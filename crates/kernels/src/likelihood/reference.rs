//! Plain Burn twins of the reconstruction terms, written as their formulas are read.

use burn::tensor::{Int, Tensor, activation};

use super::{LEVELS, Link, MIN_LOG_SCALE, MIN_LOG_VAR, Reconstruction};
use crate::reference::{bernoulli_nll, squared_error};

/// Twin of [`crate::reconstruction`].
pub fn reconstruction(term: Reconstruction, parameters: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    let ([batch, _], [examples, width]) = (parameters.dims(), x.dims());
    let x = match batch == examples {
        true => x,
        false => x.unsqueeze_dim::<3>(1).repeat_dim(1, batch / examples).reshape([batch, width]),
    };
    match term {
        Reconstruction::Bernoulli => bernoulli_nll(parameters, x),
        Reconstruction::ContinuousBernoulli => continuous_bernoulli(parameters, x),
        Reconstruction::SquaredError(Link::Sigmoid) => squared_error(parameters, x),
        Reconstruction::SquaredError(Link::Identity) => sum((parameters - x).square()),
        Reconstruction::AbsoluteError(link) => sum((centre(link, parameters) - x).abs()),
        Reconstruction::Gaussian(link) => gaussian(link, parameters, x),
        Reconstruction::DiscretisedLogistic => {
            let [mean, raw] = halves(parameters);
            sum(level(mean, raw, x))
        }
        Reconstruction::LogisticMixture { components, channels } => mixture(components, channels, parameters, x),
        Reconstruction::Categorical => categorical(parameters, x),
    }
}

fn sum(values: Tensor<2>) -> Tensor<1> {
    values.sum_dim(1).squeeze_dim(1)
}

fn centre(link: Link, output: Tensor<2>) -> Tensor<2> {
    match link {
        Link::Sigmoid => activation::sigmoid(output),
        Link::Identity => output,
    }
}

fn halves(parameters: Tensor<2>) -> [Tensor<2>; 2] {
    let half = parameters.dims()[1] / 2;
    [parameters.clone().narrow(1, 0, half), parameters.narrow(1, half, half)]
}

/// `ln(1 + e^v)` with a slope of 1/2 at 0.
fn softplus<const D: usize>(v: Tensor<D>) -> Tensor<D> {
    let magnitude = v.clone().abs();
    (v + magnitude.clone()) * 0.5 + (-magnitude).exp().log1p()
}

fn continuous_bernoulli(l: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    // Near 0 the formula loses all digits: there Taylor's series, of an argument that is 0 elsewhere, so that no infinity meets a gradient of 0.
    let near = l.clone().abs().lower_elem(0.7);
    let small = l.clone().mask_fill(near.clone().bool_not(), 0.0);
    let large = l.clone().mask_fill(near.clone(), 1.0);
    let squared = small.clone().square();
    let series = (squared.clone() / 181_440.0 - 1.0 / 2880.0) * squared.clone() + 1.0 / 24.0;
    let series = series * squared + small * 0.5;
    let magnitude = large.clone().abs();
    let decay = ((-magnitude.clone()).exp().neg() + 1.0).log() - magnitude.clone().log();
    let formula = (large + magnitude) * 0.5 + decay;
    sum(formula.mask_where(near, series) - l * x)
}

fn gaussian(link: Link, parameters: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    let [output, raw] = halves(parameters);
    let log_var = softplus(raw - MIN_LOG_VAR) + MIN_LOG_VAR;
    let square = (centre(link, output) - x).square() * (-log_var.clone()).exp();
    sum((square + log_var + (2.0 * std::f64::consts::PI).ln()) * 0.5)
}

/// `-ln P` of the level `255 x` of each value under its logistic.
fn level<const D: usize>(mean: Tensor<D>, raw: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    let half = 1.0 / 255.0;
    let level = (x * 255.0).round();
    let log_scale = softplus(raw - MIN_LOG_SCALE) + MIN_LOG_SCALE;
    let inverse = (-log_scale.clone()).exp();
    let edge = |to: f64| (level.clone() * 2.0 - to) * half - mean.clone();
    let (upper, lower) = (edge(254.0), edge(256.0));
    let (top, bottom) = (level.clone().greater_elem(254.5), level.clone().lower_elem(0.5));
    let open = top.clone().bool_or(bottom.clone());
    let above = softplus(upper * inverse.clone() * -1.0).mask_fill(top, 0.0);
    let below = softplus(lower * inverse.clone()).mask_fill(bottom, 0.0);
    // ln((1 - e^-d) / d) + ln d: exact for narrow levels too.
    let width = inverse * (2.0 * half);
    let near = width.clone().lower_elem(0.7);
    let small = width.clone().mask_fill(near.clone().bool_not(), 0.0);
    let squared = small.clone().square();
    let series = (squared.clone() / 181_440.0 - 1.0 / 2880.0) * squared.clone() + 1.0 / 24.0;
    let series = series * squared - small * 0.5 + (2.0f64 * half).ln() - log_scale;
    let formula = ((-width.mask_fill(near.clone(), 1.0)).exp().neg() + 1.0).log();
    above + below - formula.mask_where(near, series).mask_fill(open, 0.0)
}

fn mixture(components: usize, channels: usize, parameters: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    let [batch, width] = x.dims();
    let pixels = width / channels;
    let blocks = |first: usize, count: usize| {
        let block = parameters.clone().narrow(1, first * components * pixels, components * count * pixels);
        block.reshape([batch, components, count, pixels])
    };
    let ln_prior = activation::log_softmax(blocks(0, 1).squeeze_dim::<3>(2), 1);
    let (means, scales) = (blocks(1, channels), blocks(1 + channels, channels));
    let x = x.reshape([batch, 1, channels, pixels]).repeat_dim(1, components);
    let means = if channels == 3 {
        let [red, green] = [0, 1].map(|c| x.clone().narrow(2, c, 1) * 2.0 - 1.0);
        let [c0, c1, c2] = [0, 1, 2].map(|j| blocks(7, 3).narrow(2, j, 1).tanh());
        let shifts = vec![red.zeros_like(), c0 * red.clone(), c1 * red + c2 * green];
        means + Tensor::cat(shifts, 2)
    } else {
        means
    };
    let joint = ln_prior - level(means, scales, x).sum_dim(2).squeeze_dim::<3>(2);
    // Any number may be taken out before the exponential; the largest keeps it finite.
    let most = joint.clone().detach().max_dim(1);
    let total = (joint - most.clone()).exp().sum_dim(1).log() + most;
    sum(-total.squeeze_dim::<2>(1))
}

fn categorical(logits: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    let [batch, width] = x.dims();
    let levels: Tensor<2, Int> = (x * 255.0).round().int();
    let chosen = activation::log_softmax(logits.reshape([batch, LEVELS, width]), 1);
    let chosen = chosen.gather(1, levels.reshape([batch, 1, width]));
    sum(-chosen.reshape([batch, width]))
}

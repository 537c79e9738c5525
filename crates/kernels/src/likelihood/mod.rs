//! Reconstruction terms from a decoder's output, one value per example, with the gradient made in the same pass.
//!
//! | file | terms |
//! |---|---|
//! | `one_parameter` | one parameter for each value: Bernoulli, continuous Bernoulli, squared and absolute errors |
//! | `two_parameters` | two: the Gaussian with mean and log variance, the discretised logistic |
//! | `logistic` | one level's probability, and the mixture |
//! | `categorical` | 256 logits for each value |
//! | `of_linear` | any of them, from the layer that makes the parameters |

mod categorical;
mod logistic;
mod of_linear;
mod one_parameter;
#[cfg(feature = "tensors")]
pub(crate) mod reference;
mod two_parameters;

use crate::pool::{self, SharedMut};
use crate::simd;

pub use logistic::MIN_LOG_SCALE;
#[cfg(feature = "tensors")]
pub(crate) use of_linear::rows_of_linear;
pub use two_parameters::MIN_LOG_VAR;

/// Elements that justify one more part.
const PART_ELEMENTS: usize = 16_384;

/// Values of a byte.
pub const LEVELS: usize = 256;

/// From a decoder's output to the centre of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// `sigmoid(output)`, for data in [0, 1].
    Sigmoid,
    /// The output itself, for data of any size.
    Identity,
}

/// What a decoder's output says of the data, and so the reconstruction term of a value `x`.
///
/// A term with `k` parameters for each value takes them in blocks: with `C` channels, parameter `p` is in channels `p * C` to
/// `(p + 1) * C` of the decoder's output, which makes row `p` of `[k, C * height * width]`. Only the mixture has its own layout.
///
/// | term | parameters | value |
/// |---|---|---|
/// | `Bernoulli` | logit `l` | `max(l, 0) - l x + ln(1 + e^-\|l\|)` |
/// | `ContinuousBernoulli` | logit `l` | `ln((e^l - 1) / l) - l x` (Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845, eq. 7 and 8, in logits) |
/// | `SquaredError` | centre `m` | `(x - m)^2` |
/// | `AbsoluteError` | centre `m` | `\|x - m\|` |
/// | `Gaussian` | mean `m`, raw log variance `r` | `((x - m)^2 e^-v + v + ln 2 pi) / 2`, `v =` [`MIN_LOG_VAR`] `+ softplus(r -` [`MIN_LOG_VAR`]`)` |
/// | `DiscretisedLogistic` | mean, raw log scale | `-ln P(x)`, below |
/// | `LogisticMixture` | below | `-ln sum_k pi_k prod_c P_kc(x_c)` of each pixel |
/// | `Categorical` | 256 logits `l_j` | `ln sum_j e^l_j - l_level`, `level = round(255 x)` |
///
/// **Discretised logistic** (Salimans et al. 2017, arXiv:1701.05517, eq. 1 and 2). With `y = 2 x - 1` on the levels
/// `-1, -1 + 2/255, .., 1`, `P(y) = F((y + 1/255 - m) / s) - F((y - 1/255 - m) / s)`, `F` the sigmoid, open beyond the first and the last level, so that the 256
/// probabilities add to 1. `s = e^v`, `v =` [`MIN_LOG_SCALE`] `+ softplus(r -` [`MIN_LOG_SCALE`]`)`: the paper's floor of -7 without its kink.
///
/// **Mixture.** Channels of the output: `K` mixture logits (one for a pixel), then means `[K, C]`, log scales `[K, C]` and, for three
/// channels, coefficients `[K, 3]`. Red comes first: the mean of green moves by `tanh(c0) red`, that of blue by `tanh(c1) red + tanh(c2) green`
/// (eq. 3), with the true values of `y`. Other numbers of channels are independent given the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconstruction {
    /// Independent Bernoulli variables.
    Bernoulli,
    /// The Bernoulli formula normalised on [0, 1].
    ContinuousBernoulli,
    /// Squared distance to the centre.
    SquaredError(Link),
    /// Absolute distance to the centre.
    AbsoluteError(Link),
    /// A Gaussian with its own variance for each value.
    Gaussian(Link),
    /// A logistic distribution over 256 levels.
    DiscretisedLogistic,
    /// A mixture of those for each pixel.
    LogisticMixture {
        /// Number of components `K`.
        components: usize,
        /// Channels `C` of a pixel.
        channels: usize,
    },
    /// Any distribution over 256 levels.
    Categorical,
}

impl Reconstruction {
    /// Channels of the decoder's output for data of `channels`.
    ///
    /// ```
    /// use elbo_kernels::Reconstruction;
    ///
    /// assert_eq!(Reconstruction::DiscretisedLogistic.output_channels(3), 6);
    /// let mixture = Reconstruction::LogisticMixture { components: 10, channels: 3 };
    /// assert_eq!(mixture.output_channels(3), 100); // PixelCNN++'s
    /// ```
    pub fn output_channels(&self, channels: usize) -> usize {
        match *self {
            Self::Bernoulli | Self::ContinuousBernoulli | Self::SquaredError(_) | Self::AbsoluteError(_) => channels,
            Self::Gaussian(_) | Self::DiscretisedLogistic => 2 * channels,
            Self::LogisticMixture { components, channels } => {
                components * (1 + 2 * channels + logistic::coefficients(channels))
            }
            Self::Categorical => LEVELS * channels,
        }
    }

    /// Values of the decoder's output for an example of `width` values.
    ///
    /// # Panics
    /// If a mixture's pixels have no such number of values.
    pub(crate) fn parameters(&self, width: usize) -> usize {
        match *self {
            Self::LogisticMixture { channels, .. } => {
                assert!(width.is_multiple_of(channels), "{width} values are no pixels of {channels} channels");
                width / channels * self.output_channels(channels)
            }
            _ => self.output_channels(width),
        }
    }

    /// The sum over one example.
    fn row(self, parameters: &[f32], x: &[f32]) -> f32 {
        match self {
            Self::Bernoulli => one_parameter::bernoulli(parameters, x),
            Self::ContinuousBernoulli => one_parameter::continuous_bernoulli(parameters, x),
            Self::SquaredError(Link::Sigmoid) => one_parameter::squared_error(parameters, x),
            Self::SquaredError(Link::Identity) => one_parameter::squared_distance(parameters, x),
            Self::AbsoluteError(Link::Sigmoid) => one_parameter::absolute_error(parameters, x),
            Self::AbsoluteError(Link::Identity) => one_parameter::absolute_distance(parameters, x),
            Self::Gaussian(Link::Sigmoid) => two_parameters::unit_gaussian(parameters, x),
            Self::Gaussian(Link::Identity) => two_parameters::gaussian(parameters, x),
            Self::DiscretisedLogistic => two_parameters::logistic(parameters, x),
            Self::LogisticMixture { components, channels } => {
                let mut unused = vec![0f32; parameters.len()];
                logistic::mixture(components, channels, parameters, x, &mut unused)
            }
            Self::Categorical => categorical::sum(parameters, x),
        }
    }

    /// The same with the gradient by the parameters.
    fn row_with_gradient(self, parameters: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
        match self {
            Self::Bernoulli => one_parameter::bernoulli_with_gradient(parameters, x, gradient),
            Self::ContinuousBernoulli => one_parameter::continuous_bernoulli_with_gradient(parameters, x, gradient),
            Self::SquaredError(Link::Sigmoid) => one_parameter::squared_error_with_gradient(parameters, x, gradient),
            Self::SquaredError(Link::Identity) => {
                one_parameter::squared_distance_with_gradient(parameters, x, gradient)
            }
            Self::AbsoluteError(Link::Sigmoid) => one_parameter::absolute_error_with_gradient(parameters, x, gradient),
            Self::AbsoluteError(Link::Identity) => {
                one_parameter::absolute_distance_with_gradient(parameters, x, gradient)
            }
            Self::Gaussian(Link::Sigmoid) => two_parameters::unit_gaussian_with_gradient(parameters, x, gradient),
            Self::Gaussian(Link::Identity) => two_parameters::gaussian_with_gradient(parameters, x, gradient),
            Self::DiscretisedLogistic => two_parameters::logistic_with_gradient(parameters, x, gradient),
            Self::LogisticMixture { components, channels } => {
                logistic::mixture(components, channels, parameters, x, gradient)
            }
            Self::Categorical => categorical::sum_with_gradient(parameters, x, gradient),
        }
    }
}

/// Sums `term` over each row of `width` values; writes its gradient by the parameters into `gradient` when given. Where `x` has fewer rows than there are
/// sums, each serves as many of them in a row.
pub(crate) fn rows(
    term: Reconstruction,
    width: usize,
    parameters: &[f32],
    x: &[f32],
    sums: &mut [f32],
    gradient: Option<&mut [f32]>,
) {
    let (count, outputs) = (sums.len(), term.parameters(width));
    let share = count / (x.len() / width).max(1);
    let parts = pool::parts_for(count, outputs, PART_ELEMENTS, 1);
    let (sums, gradient) = (SharedMut::new(sums), gradient.map(SharedMut::new));
    pool::run(parts, |part| {
        for r in pool::part_range(count, parts, part, 1) {
            let span = r * outputs..(r + 1) * outputs;
            let (p, x) = (&parameters[span.clone()], &x[r / share * width..][..width]);
            // SAFETY: each row belongs to one part, and both buffers outlive the region.
            let (sum, gradient) = unsafe { (sums.slice(r..r + 1), gradient.as_ref().map(|g| g.slice(span))) };
            sum[0] = match gradient {
                Some(gradient) => term.row_with_gradient(p, x, gradient),
                None => term.row(p, x),
            };
        }
    });
}

/// Values computed before they are added: the loop that makes them has no sum in it and so vectorises.
const TILE: usize = 256;

/// Lanes of a partial sum: one AVX-512 register, fixed so that every machine adds in the same order.
const LANES: usize = 16;

/// Adds a tile to the partial sums; what lies beyond its first `size` values is left out.
#[inline(always)]
fn add_tile(lanes: &mut [f32; LANES], tile: &mut [f32; TILE], size: usize) {
    tile[size..].fill(0.0);
    // In a local variable, which is a register.
    let mut sums = *lanes;
    for chunk in tile.chunks_exact(LANES) {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    *lanes = sums;
}

fn total(lanes: [f32; LANES]) -> f32 {
    lanes.iter().map(|&v| f64::from(v)).sum::<f64>() as f32
}

// `element` must be the name of an `inline(always)` function: a closure would be compiled on its own, without the instruction
// set of the function around it.

/// Where the series below gives way to the formulas: its next terms are smaller than 1e-8 there.
const NEAR: f32 = 0.7;

/// `ln((1 - e^-a) / a)` and its derivative for `a` from 0 to [`NEAR`], by Taylor's series: 0 and -1/2 at 0, and no cancellation.
#[inline(always)]
fn ln_mean_decay_near(a: f32) -> (f32, f32) {
    let a2 = a * a;
    let value = -0.5 * a + a2 * (1.0 / 24.0 - a2 * (1.0 / 2880.0 - a2 * (1.0 / 181_440.0)));
    (value, -0.5 + a * (1.0 / 12.0 - a2 * (1.0 / 720.0 - a2 * (1.0 / 30_240.0))))
}

/// `ln(1 + e^v)` and its derivative, the sigmoid.
#[inline(always)]
fn softplus(v: f32) -> (f32, f32) {
    let e = simd::exp(-v.abs());
    let inverse = 1.0 / (1.0 + e);
    let (positive, sigmoid) = if v >= 0.0 { (v, inverse) } else { (0.0, e * inverse) };
    (positive + simd::ln_1p_unit(e), sigmoid)
}

/// Multiplies each row of `values` by its own factor.
pub(crate) fn scale_rows(values: &mut [f32], width: usize, factors: &[f32]) {
    let count = factors.len();
    let parts = pool::parts_for(count, width, 4 * PART_ELEMENTS, 1);
    let values = SharedMut::new(values);
    pool::run(parts, |part| {
        for r in pool::part_range(count, parts, part, 1) {
            // SAFETY: each row belongs to one part, and the buffer outlives the region.
            let row = unsafe { values.slice(r * width..(r + 1) * width) };
            scale(row, factors[r]);
        }
    });
}

simd::multiversion! {
    fn scale(row: &mut [f32], factor: f32) {
        for value in row {
            *value *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Bernoulli term or the squared error, and its slope, in float64.
    fn expected(term: Reconstruction, l: f64, x: f64) -> (f64, f64) {
        let s = 1.0 / (1.0 + (-l).exp());
        match term {
            Reconstruction::Bernoulli => (l.max(0.0) - l * x + (-l.abs()).exp().ln_1p(), s - x),
            _ => ((s - x).powi(2), 2.0 * (s - x) * s * (1.0 - s)),
        }
    }

    #[test]
    fn rows_are_sums_of_their_terms() {
        // Around the tile, and the last one cut into parts.
        for (count, width) in [(1, 1), (3, 17), (2, 255), (2, 257), (70, if cfg!(miri) { 10 } else { 1024 })] {
            let logits: Vec<f32> = (0..count * width).map(|i| (i * 37 % 199) as f32 / 10.0 - 9.9).collect();
            let x: Vec<f32> = (0..count * width).map(|i| (i * 7 % 11) as f32 / 10.0).collect();
            for term in [Reconstruction::Bernoulli, Reconstruction::SquaredError(Link::Sigmoid)] {
                let (mut sums, mut alone) = (vec![f32::NAN; count], vec![f32::NAN; count]);
                let mut slopes = vec![f32::NAN; count * width];
                rows(term, width, &logits, &x, &mut sums, Some(&mut slopes));
                rows(term, width, &logits, &x, &mut alone, None);
                assert_eq!(sums, alone);
                for (row, sum) in sums.iter().enumerate() {
                    let span = row * width..(row + 1) * width;
                    let both = span.clone().map(|i| expected(term, f64::from(logits[i]), f64::from(x[i])));
                    let (values, wanted): (Vec<f64>, Vec<f64>) = both.unzip();
                    let total: f64 = values.iter().sum();
                    assert!((f64::from(*sum) - total).abs() < 2e-6 * total.max(1.0), "{term:?} {count}x{width}");
                    let near = |(found, wanted): (&f32, &f64)| (f64::from(*found) - wanted).abs() < 1e-6;
                    assert!(slopes[span].iter().zip(&wanted).all(near), "{term:?} {count}x{width}");
                }
                scale_rows(&mut slopes, width, &vec![0.0; count]);
                assert!(slopes.iter().all(|s| *s == 0.0));
            }
        }
    }

    #[test]
    fn one_example_serves_as_many_rows_as_there_are_for_it() {
        let (examples, share, width) = (3, 5, 40);
        let parameters: Vec<f32> = (0..examples * share * width).map(|i| (i * 37 % 199) as f32 / 66.0 - 1.5).collect();
        let x: Vec<f32> = (0..examples * width).map(|i| (i * 7 % 11) as f32 / 10.0).collect();
        let repeated: Vec<f32> = x.chunks(width).flat_map(|row| row.repeat(share)).collect();
        let (mut found, mut expected) = (vec![f32::NAN; examples * share], vec![f32::NAN; examples * share]);
        rows(Reconstruction::Bernoulli, width, &parameters, &x, &mut found, None);
        rows(Reconstruction::Bernoulli, width, &parameters, &repeated, &mut expected, None);
        assert_eq!(found, expected);
    }

    /// Every term, at every number of rows, writes all it is given room for, and its gradient is its slope.
    #[test]
    fn gradients_of_all_terms_are_their_finite_differences() {
        let terms = [
            Reconstruction::Bernoulli,
            Reconstruction::ContinuousBernoulli,
            Reconstruction::SquaredError(Link::Identity),
            Reconstruction::AbsoluteError(Link::Sigmoid),
            Reconstruction::AbsoluteError(Link::Identity),
            Reconstruction::Gaussian(Link::Sigmoid),
            Reconstruction::Gaussian(Link::Identity),
            Reconstruction::DiscretisedLogistic,
            Reconstruction::LogisticMixture { components: 2, channels: 3 },
            Reconstruction::Categorical,
        ];
        for term in terms {
            let (count, width) = (2, 3);
            let outputs = term.parameters(width);
            let parameters: Vec<f32> = (0..count * outputs).map(|i| (i * 37 % 199) as f32 / 66.0 - 1.5).collect();
            let x: Vec<f32> = (0..count * width).map(|i| (i * 50 % 256) as f32 / 255.0).collect();
            let (mut sums, mut gradient) = (vec![f32::NAN; count], vec![f32::NAN; count * outputs]);
            rows(term, width, &parameters, &x, &mut sums, Some(&mut gradient));
            assert!(sums.iter().chain(&gradient).all(|v| v.is_finite()), "{term:?}");
            for at in (0..parameters.len()).step_by(parameters.len().div_ceil(6)) {
                let shifted = |by: f32| {
                    let (mut moved, mut sums) = (parameters.clone(), vec![0f32; count]);
                    moved[at] += by;
                    rows(term, width, &moved, &x, &mut sums, None);
                    f64::from(sums[at / outputs])
                };
                let slope = (shifted(0.02) - shifted(-0.02)) / 0.04;
                let found = f64::from(gradient[at]);
                assert!((found - slope).abs() < 0.02 * (1.0 + slope.abs()), "{term:?}, {at}: {found} is not {slope}");
            }
        }
    }
}

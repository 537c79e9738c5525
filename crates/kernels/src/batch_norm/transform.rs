//! `y = activation(scale x + shift)` channel by channel, and the way back.

use std::mem::MaybeUninit;

use super::statistics::{Statistics, group_means};
use crate::activation::Activation;
use crate::conv::channels::{channel_sums, for_parts, lanes, repeat};
use crate::curve::{self, with_curve};
use crate::fresh::Incoming;
use crate::pool::SharedMut;
use crate::simd;
use crate::staged::Stages;

/// The numbers of each channel, repeated over a row (see [`crate::conv::channels`]).
pub(crate) struct Transform {
    channels: usize,
    scale: Vec<f32>,
    shift: Vec<f32>,
    mean: Vec<f32>,
    inverse_deviation: Vec<f64>,
    activation: Activation,
}

/// The gradients of gamma and beta.
pub(crate) struct Sums {
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
}

impl Transform {
    /// `scale = gamma / sqrt(variance + eps)`, `shift = beta - mean scale`.
    pub(crate) fn new(statistics: &Statistics, gamma: &[f32], beta: &[f32], eps: f64, activation: Activation) -> Self {
        let inverse_deviation: Vec<f64> = statistics.variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
        let scale: Vec<f64> = inverse_deviation.iter().zip(gamma).map(|(i, gamma)| i * f64::from(*gamma)).collect();
        let shift = beta.iter().zip(&statistics.mean).zip(&scale).map(|((b, mean), s)| f64::from(*b) - mean * s);
        Self {
            channels: gamma.len(),
            scale: repeat_rounded(scale.iter().copied()),
            shift: repeat_rounded(shift),
            mean: repeat_rounded(statistics.mean.iter().copied()),
            inverse_deviation,
            activation,
        }
    }

    /// `y` from `x`.
    pub(crate) fn apply(&self, x: &[f32], y: &mut [MaybeUninit<f32>]) {
        let width = self.scale.len();
        let target = SharedMut::new(y);
        for_parts(x.len(), width, |range| {
            // SAFETY: parts own disjoint ranges, and the buffer outlives the region.
            let y = unsafe { target.slice(range.clone()) };
            apply_rows(&x[range], &self.scale, &self.shift, y, self.activation);
        });
    }

    /// Takes all of `dy`, turns it into `g = dy activation'` and sums `dgamma = sum g (x - mean) / deviation` and
    /// `dbeta = sum g`.
    pub(crate) fn sums(&self, x: &[f32], dy: &Incoming<'_>) -> Sums {
        let [beta, products] = channel_sums(x.len(), self.channels, |range, [sums, products]| {
            // SAFETY: ranges do not overlap, and the buffer outlives the region.
            let slopes = unsafe { dy.take(range.clone()) };
            slope_rows(&x[range], slopes, &self.scale, &self.shift, &self.mean, sums, products, self.activation);
        });
        let gamma = products.iter().zip(&self.inverse_deviation).map(|(sum, inverse)| sum * inverse).collect();
        Sums { gamma, beta }
    }

    /// Turns the `g` of [`Self::sums`], which must have run, into `dx`. `through` tells whether mean and variance were those of `x`
    /// itself, so that `x` acts on them; `groups` of neighbouring channels share theirs, each channel having its own
    /// in batch normalisation.
    ///
    /// `dx = scale (g - dbeta / n - (x - mean) / deviation^2 * sum g (x - mean) / n)`
    /// (Ioffe & Szegedy 2015, arXiv:1502.03167, section 3), the last two terms averaged over a group; without them if not `through`.
    ///
    /// # Safety
    /// [`Self::sums`] took all of `dy`.
    pub(crate) unsafe fn back(&self, x: &[f32], dy: &Incoming<'_>, through: Option<&Sums>, groups: usize) {
        let (factor, constant) = self.corrections(x.len() / self.channels.max(1), through, groups);
        for_parts(x.len(), lanes(self.channels), |range| {
            // SAFETY: parts own disjoint ranges, and the buffer outlives the region; taken by the caller's promise.
            let slopes = unsafe { dy.taken(range.clone()) };
            combine_rows(&x[range], slopes, &self.scale, &self.mean, &factor, &constant);
        });
    }

    /// The factor of `x - mean` and the constant in `dx`.
    fn corrections(&self, pixels: usize, through: Option<&Sums>, groups: usize) -> (Vec<f32>, Vec<f32>) {
        let Some(sums) = through else {
            return (vec![0.0; self.scale.len()], vec![0.0; self.scale.len()]);
        };
        let per_pixel = |channel: usize| -f64::from(self.scale[channel]) / pixels as f64;
        let slope = (0..self.channels).map(|c| per_pixel(c) * sums.gamma[c] * self.inverse_deviation[c]);
        let constant = (0..self.channels).map(|c| per_pixel(c) * sums.beta[c]);
        let shared = |terms: Vec<f64>| repeat_rounded(group_means(&terms, groups).into_iter());
        (shared(slope.collect()), shared(constant.collect()))
    }
}

impl Sums {
    /// Writes the gradients of gamma and beta.
    pub(crate) fn store(&self, gamma: &mut [f32], beta: &mut [f32]) {
        gamma.iter_mut().zip(&self.gamma).for_each(|(out, sum)| *out = *sum as f32);
        beta.iter_mut().zip(&self.beta).for_each(|(out, sum)| *out = *sum as f32);
    }
}

fn repeat_rounded(per_channel: impl Iterator<Item = f64>) -> Vec<f32> {
    repeat(&per_channel.map(|v| v as f32).collect::<Vec<_>>())
}

simd::multiversion! {
    /// `y = activation(scale x + shift)`; the last row may be short.
    fn apply_rows(x: &[f32], scale: &[f32], shift: &[f32], y: &mut [MaybeUninit<f32>], activation: Activation) {
        let mut stages = Stages::new();
        with_curve!(activation, C => {
            for (x, y) in x.chunks(scale.len()).zip(y.chunks_mut(scale.len())) {
                curve::affine::<C>(&mut stages, x, &scale[..x.len()], &shift[..x.len()], y);
            }
        })
    }
}

simd::multiversion! {
    /// Turns `dy` into `g` and adds it to `sums` and `g (x - mean)` to `products`; the last row may be short.
    fn slope_rows(
        x: &[f32],
        dy: &mut [f32],
        scale: &[f32],
        shift: &[f32],
        mean: &[f32],
        sums: &mut [f32],
        products: &mut [f32],
        activation: Activation,
    ) {
        let mut stages = Stages::new();
        with_curve!(activation, C => {
            for (x, dy) in x.chunks(scale.len()).zip(dy.chunks_mut(scale.len())) {
                curve::affine_gradient::<C>(&mut stages, x, &scale[..x.len()], &shift[..x.len()], dy);
                add_row(x, dy, mean, sums, products);
            }
        })
    }
}

/// Adds `g` of one row to `sums` and `g (x - mean)` to `products`.
#[inline(always)]
fn add_row(x: &[f32], slopes: &[f32], mean: &[f32], sums: &mut [f32], products: &mut [f32]) {
    let row = x.iter().zip(slopes).zip(mean).zip(sums).zip(products);
    for ((((x, slope), mean), sum), product) in row {
        *sum += *slope;
        *product += *slope * (*x - *mean);
    }
}

simd::multiversion! {
    /// `dx = g scale + (x - mean) factor + constant`; the last row may be short.
    fn combine_rows(x: &[f32], slopes: &mut [f32], scale: &[f32], mean: &[f32], factor: &[f32], constant: &[f32]) {
        for (x, slopes) in x.chunks(scale.len()).zip(slopes.chunks_mut(scale.len())) {
            let n = x.len().min(slopes.len());
            let (x, slopes) = (&x[..n], &mut slopes[..n]);
            let (scale, mean, factor, constant) = (&scale[..n], &mean[..n], &factor[..n], &constant[..n]);
            for i in 0..n {
                slopes[i] = slopes[i] * scale[i] + (x[i] - mean[i]) * factor[i] + constant[i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `y`, `dx`, `dgamma`, `dbeta` of one channel in float64, with ReLU.
    fn expected(x: &[f64], dy: &[f64], gamma: f64, beta: f64, eps: f64) -> (Vec<f64>, Vec<f64>, f64, f64) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let deviation = (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n + eps).sqrt();
        let normal: Vec<f64> = x.iter().map(|v| (v - mean) / deviation).collect();
        let before: Vec<f64> = normal.iter().map(|v| gamma * v + beta).collect();
        let slopes: Vec<f64> = dy.iter().zip(&before).map(|(d, b)| if *b > 0.0 { *d } else { 0.0 }).collect();
        let dbeta: f64 = slopes.iter().sum();
        let dgamma: f64 = slopes.iter().zip(&normal).map(|(s, v)| s * v).sum();
        let dx = slopes.iter().zip(&normal).map(|(s, v)| gamma / deviation * (s - dbeta / n - v * dgamma / n));
        (before.iter().map(|b| b.max(0.0)).collect(), dx.collect(), dgamma, dbeta)
    }

    #[test]
    fn large_batches_are_as_exact_as_small_ones() {
        for (pixels, channels) in [(3, 2), (if cfg!(miri) { 30 } else { 500 }, 33), (30_000, 5)] {
            if cfg!(miri) && pixels > 500 {
                continue;
            }
            let wave = |seed: f64| move |i: usize| (((i as f64 + seed) * 12.9898).sin() * 43758.5453).fract() as f32;
            let x: Vec<f32> = (0..pixels * channels).map(wave(0.1)).map(|v| 2.0 * v + 0.5).collect();
            let mut dx: Vec<f32> = (0..pixels * channels).map(wave(0.7)).map(|v| v + 0.3).collect();
            let dy = dx.clone();
            let (gamma, beta): (Vec<f32>, Vec<f32>) = (0..channels).map(|c| (1.0 + 0.1 * c as f32, 0.2)).unzip();
            let transform = Transform::new(&Statistics::of(&x, channels), &gamma, &beta, 1e-5, Activation::Relu);
            let mut y = Vec::with_capacity(x.len());
            transform.apply(&x, &mut y.spare_capacity_mut()[..x.len()]);
            // SAFETY: `apply` wrote them all.
            unsafe { y.set_len(x.len()) };
            let incoming = Incoming::in_place(&mut dx);
            let sums = transform.sums(&x, &incoming);
            // SAFETY: `sums` took them.
            unsafe { transform.back(&x, &incoming, Some(&sums), channels) };
            for channel in 0..channels {
                let of = |values: &[f32]| -> Vec<f64> {
                    values.iter().skip(channel).step_by(channels).map(|v| f64::from(*v)).collect()
                };
                let (gamma, beta) = (f64::from(gamma[channel]), f64::from(beta[channel]));
                let (want_y, want_dx, dgamma, dbeta) = expected(&of(&x), &of(&dy), gamma, beta, 1e-5);
                let close = |found: &[f64], want: &[f64], scale: f64| {
                    found.iter().zip(want).all(|(f, w)| (f - w).abs() < 1e-5 * scale)
                };
                assert!(close(&of(&y), &want_y, 5.0) && close(&of(&dx), &want_dx, 5.0), "{pixels} {channels}");
                assert!(close(&[sums.gamma[channel], sums.beta[channel]], &[dgamma, dbeta], pixels as f64));
            }
        }
    }
}

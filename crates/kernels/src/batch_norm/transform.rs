//! `y = activation(scale x + shift)` channel by channel, and the way back.

use super::statistics::{Statistics, group_means};
use crate::activation::{self, Activation};
use crate::conv::channels::{channel_sums, for_parts, lanes, repeat};
use crate::pool::SharedMut;
use crate::simd;

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
    pub(crate) fn apply(&self, x: &[f32], y: &mut [f32]) {
        let width = self.scale.len();
        let target = SharedMut::new(y);
        for_parts(x.len(), width, |range| {
            // SAFETY: parts own disjoint ranges, and the buffer outlives the region.
            let y = unsafe { target.slice(range.clone()) };
            for (x, y) in x[range].chunks(width).zip(y.chunks_mut(width)) {
                scaled(x, &self.scale, y);
                activation::add_bias_activate(y, &self.shift[..x.len()], self.activation);
            }
        });
    }

    /// `dgamma = sum g (x - mean) / deviation` and `dbeta = sum g`, where `g = dy activation'`.
    pub(crate) fn sums(&self, x: &[f32], dy: &[f32]) -> Sums {
        let width = self.scale.len();
        let [beta, products] = channel_sums(x.len(), self.channels, |range, [sums, products]| {
            let (mut before, mut slopes) = (vec![0f32; width], vec![0f32; width]);
            for (x, dy) in x[range.clone()].chunks(width).zip(dy[range].chunks(width)) {
                let slopes = &mut slopes[..x.len()];
                self.slopes(x, dy, &mut before[..x.len()], slopes, sums);
                add_products(slopes, x, &self.mean, products);
            }
        });
        let gamma = products.iter().zip(&self.inverse_deviation).map(|(sum, inverse)| sum * inverse).collect();
        Sums { gamma, beta }
    }

    /// `g` of one row, added to `sums`; `before` is room for the activation's input.
    fn slopes(&self, x: &[f32], dy: &[f32], before: &mut [f32], slopes: &mut [f32], sums: &mut [f32]) {
        scaled(x, &self.scale, before);
        // The derivative of tanh is told by its value; for the others the input serves as well as the output.
        let seen = if self.activation == Activation::Tanh { Activation::Tanh } else { Activation::None };
        activation::add_bias_activate(before, &self.shift[..x.len()], seen);
        activation::activation_gradient(dy, before, slopes, sums, self.activation);
    }

    /// Turns `dy` into `dx` in place. `through` tells whether mean and variance were those of `x` itself, so that `x` acts on them; `groups` of
    /// neighbouring channels share theirs, each channel having its own in batch normalisation.
    ///
    /// `dx = scale (g - dbeta / n - (x - mean) / deviation^2 * sum g (x - mean) / n)`
    /// (Ioffe & Szegedy 2015, arXiv:1502.03167, section 3), the last two terms averaged over a group; without them if not `through`.
    pub(crate) fn back(&self, x: &[f32], dy: &mut [f32], through: Option<&Sums>, groups: usize) {
        let width = lanes(self.channels);
        let (slope, constant) = self.corrections(x.len() / self.channels.max(1), through, groups);
        let target = SharedMut::new(dy);
        for_parts(x.len(), width, |range| {
            // SAFETY: parts own disjoint ranges, and the buffer outlives the region.
            let dy = unsafe { target.slice(range.clone()) };
            let (mut before, mut slopes, mut unused) = (vec![0f32; width], vec![0f32; width], vec![0f32; width]);
            for (x, dy) in x[range].chunks(width).zip(dy.chunks_mut(width)) {
                let slopes = &mut slopes[..x.len()];
                self.slopes(x, dy, &mut before[..x.len()], slopes, &mut unused);
                combine(slopes, x, &self.scale, &self.mean, &slope, &constant, dy);
            }
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
    fn scaled(x: &[f32], scale: &[f32], out: &mut [f32]) {
        for ((x, scale), out) in x.iter().zip(scale).zip(out) {
            *out = *x * *scale;
        }
    }
}

simd::multiversion! {
    fn add_products(slopes: &[f32], x: &[f32], mean: &[f32], sums: &mut [f32]) {
        for (((slope, x), mean), sum) in slopes.iter().zip(x).zip(mean).zip(sums) {
            *sum += *slope * (*x - *mean);
        }
    }
}

simd::multiversion! {
    fn combine(slopes: &[f32], x: &[f32], scale: &[f32], mean: &[f32], factor: &[f32], constant: &[f32], dx: &mut [f32]) {
        let n = dx.len();
        let (slopes, x, scale, mean) = (&slopes[..n], &x[..n], &scale[..n], &mean[..n]);
        let (factor, constant) = (&factor[..n], &constant[..n]);
        for i in 0..n {
            dx[i] = slopes[i] * scale[i] + (x[i] - mean[i]) * factor[i] + constant[i];
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
            let mut y = vec![f32::NAN; x.len()];
            transform.apply(&x, &mut y);
            let sums = transform.sums(&x, &dy);
            transform.back(&x, &mut dx, Some(&sums), channels);
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

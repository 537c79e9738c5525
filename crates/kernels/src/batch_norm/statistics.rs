//! Mean and variance of each channel in one pass.

use crate::conv::channels::{channel_sums, repeat};
use crate::simd;

/// Pixels whose mean the sums are taken around.
const SAMPLES: usize = 32;

/// Mean and biased variance of one channel for all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statistics {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
}

impl Statistics {
    /// Over all pixels of `x`; NaN where there are none, or where `x` holds a NaN or an infinity.
    ///
    /// Sums of squares around 0 would lose the variance of a channel whose mean is large. Around the mean of a few pixels spread over
    /// the batch they are small, and float32 holds them.
    pub(crate) fn of(x: &[f32], channels: usize) -> Self {
        let centre = sample_mean(x, channels);
        let repeated = repeat(&centre);
        let [sums, squares] = channel_sums(x.len(), channels, |range, [sums, squares]| {
            add_moments(&x[range], &repeated, sums, squares);
        });
        let count = (x.len() / channels) as f64;
        let offsets = sums.iter().map(|sum| sum / count);
        let mean = offsets.clone().zip(&centre).map(|(offset, centre)| f64::from(*centre) + offset).collect();
        let variance = offsets.zip(&squares).map(|(offset, square)| not_negative(square / count - offset * offset));
        Self { mean, variance: variance.collect() }
    }

    /// Mean and variance of all values of each of `groups` groups of neighbouring channels.
    pub(crate) fn of_groups(&self, groups: usize) -> Self {
        let size = self.mean.len() / groups;
        let mean = means(&self.mean, size);
        let own = self.mean.iter().zip(&self.variance).enumerate();
        let spread = own.map(|(channel, (own, variance))| variance + (own - mean[channel / size]).powi(2));
        let variance = means(&spread.collect::<Vec<_>>(), size);
        Self { mean, variance }
    }

    /// The statistics of groups given to each of `channels` channels.
    pub(crate) fn to_channels(&self, channels: usize) -> Self {
        let size = channels / self.mean.len();
        let spread = |values: &[f64]| values.iter().flat_map(|value| std::iter::repeat_n(*value, size)).collect();
        Self { mean: spread(&self.mean), variance: spread(&self.variance) }
    }
}

/// The mean of each `size` values.
fn means(values: &[f64], size: usize) -> Vec<f64> {
    values.chunks_exact(size).map(|group| group.iter().sum::<f64>() / size as f64).collect()
}

/// Each channel's value replaced by the mean of its group's.
pub(crate) fn group_means(values: &[f64], groups: usize) -> Vec<f64> {
    let size = values.len() / groups;
    means(values, size).into_iter().flat_map(|mean| std::iter::repeat_n(mean, size)).collect()
}

/// Rounding may leave a variance of 0 slightly below; NaN stays NaN.
fn not_negative(variance: f64) -> f64 {
    if variance < 0.0 { 0.0 } else { variance }
}

/// The mean of [`SAMPLES`] pixels at equal distances.
fn sample_mean(x: &[f32], channels: usize) -> Vec<f32> {
    let pixels = x.len() / channels;
    let samples = SAMPLES.min(pixels);
    let mut mean = vec![0f32; channels];
    for sample in 0..samples {
        let start = pixels * sample / samples * channels;
        add_sample(&x[start..start + channels], samples as f32, &mut mean);
    }
    mean
}

simd::multiversion! {
    /// Adds `x / samples`.
    fn add_sample(x: &[f32], samples: f32, mean: &mut [f32]) {
        mean.iter_mut().zip(x).for_each(|(mean, value)| *mean += value / samples);
    }
}

simd::multiversion! {
    /// Adds `x - centre` and its square, row by row; the last row may be short.
    fn add_moments(x: &[f32], centre: &[f32], sums: &mut [f32], squares: &mut [f32]) {
        for row in x.chunks(centre.len()) {
            for (((value, centre), sum), square) in row.iter().zip(centre).zip(sums.iter_mut()).zip(squares.iter_mut()) {
                let offset = *value - *centre;
                *sum += offset;
                *square += offset * offset;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_mean_does_not_hide_the_variance() {
        for (pixels, channels) in [(2, 1), (if cfg!(miri) { 200 } else { 1000 }, 3), (4096, 64)] {
            if cfg!(miri) && pixels > 1000 {
                continue;
            }
            let value = |i: usize| 5000.0 + ((i * 7919) % 1009) as f32 / 1009.0;
            let x: Vec<f32> = (0..pixels * channels).map(value).collect();
            let found = Statistics::of(&x, channels);
            for channel in 0..channels {
                let values = || x.iter().skip(channel).step_by(channels).map(|v| f64::from(*v));
                let mean = values().sum::<f64>() / pixels as f64;
                let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / pixels as f64;
                assert!((found.mean[channel] - mean).abs() < 1e-6 * mean, "{pixels} {channels}");
                assert!((found.variance[channel] - variance).abs() < 1e-4 * variance, "{pixels} {channels}");
            }
        }
    }

    #[test]
    fn equal_values_have_no_variance_and_nan_stays_in_its_channel() {
        let same = Statistics::of(&[0.1; 600], 3);
        assert!(same.variance.iter().all(|v| (0.0..1e-12).contains(v)), "{same:?}");
        let mut x = vec![1.0; 600];
        x[301] = f32::NAN;
        let wild = Statistics::of(&x, 3);
        assert!(wild.mean[1].is_nan() && wild.variance[1].is_nan());
        assert_eq!([wild.mean[0], wild.variance[2]], [1.0, 0.0]);
    }
}

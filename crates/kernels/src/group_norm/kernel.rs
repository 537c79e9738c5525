//! Group normalisation of whole batches: slices in, slices out.
//!
//! The examples of a batch are cut among the threads. An example meets its passes one after the other: the second finds
//! in the cache what the first read. Forwards that is the statistics and `y`; backwards the slopes with their sums and
//! `dx`, which writes over the slopes, so that the activation's derivative is taken once.

use std::mem::MaybeUninit;

use crate::activation::Activation;
use crate::batch_norm::statistics::Statistics;
use crate::batch_norm::transform::{Sums, Transform};
use crate::fresh::Incoming;
use crate::pool::{self, SharedMut};

/// Values that justify one more part.
const PART_VALUES: usize = 32_768;

/// The sizes of a batch, `[batch, pixels, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub batch: usize,
    pub pixels: usize,
    pub channels: usize,
    /// How many groups the channels fall into; divides them.
    pub groups: usize,
}

impl Sizes {
    /// Values of one example.
    fn values(self) -> usize {
        self.pixels * self.channels
    }

    /// Numbers that [`forward`] keeps for [`backward`].
    pub(super) fn statistics(self) -> usize {
        2 * self.batch * self.groups
    }

    /// Calls `work(example, its values in the batch)` for each example, on all threads.
    fn for_examples(self, work: impl Fn(usize, std::ops::Range<usize>) + Sync) {
        let parts = pool::parts_for(self.batch, self.values(), PART_VALUES, 1);
        pool::run(parts, |part| {
            for example in pool::part_range(self.batch, parts, part, 1) {
                work(example, example * self.values()..(example + 1) * self.values());
            }
        });
    }
}

/// What turns normal values into outputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layer<'a> {
    pub gamma: &'a [f32],
    pub beta: &'a [f32],
    pub eps: f64,
    pub activation: Activation,
}

impl Layer<'_> {
    fn transform(&self, statistics: &Statistics) -> Transform {
        Transform::new(statistics, self.gamma, self.beta, self.eps, self.activation)
    }
}

/// `y = activation(gamma (x - mean) / sqrt(variance + eps) + beta)`, all of it written.
///
/// `statistics`, `[batch, 2, groups]`, receives mean and biased variance of each group.
pub(super) fn forward(sizes: Sizes, layer: Layer<'_>, x: &[f32], y: &mut [MaybeUninit<f32>], statistics: &mut [f64]) {
    let (y, statistics) = (SharedMut::new(y), SharedMut::new(statistics));
    sizes.for_examples(|example, span| {
        // SAFETY: each example owns its values and its statistics, and the buffers outlive the region.
        let (y, kept) = unsafe {
            let place = 2 * example * sizes.groups;
            (y.slice(span.clone()), statistics.slice(place..place + 2 * sizes.groups))
        };
        let x = &x[span];
        let found = Statistics::of(x, sizes.channels).of_groups(sizes.groups);
        kept[..sizes.groups].copy_from_slice(&found.mean);
        kept[sizes.groups..].copy_from_slice(&found.variance);
        layer.transform(&found.to_channels(sizes.channels)).apply(x, y);
    });
}

/// The gradients from `dy`, all of which is taken and becomes `dx` if `need_dx`, and the `statistics` of [`forward`].
pub(super) fn backward(
    sizes: Sizes,
    layer: Layer<'_>,
    x: &[f32],
    statistics: &[f64],
    dy: Incoming<'_>,
    need_dx: bool,
) -> Sums {
    let Sizes { batch, channels, groups, .. } = sizes;
    // One row of sums an example, added up in the examples' order.
    let mut sums = vec![0f64; batch * 2 * channels];
    let rows = SharedMut::new(&mut sums);
    sizes.for_examples(|example, span| {
        // SAFETY: each example owns its values and its sums, and the buffers outlive the region.
        let (dy, row) = unsafe {
            let place = 2 * example * channels;
            (dy.part(span.clone()), rows.slice(place..place + 2 * channels))
        };
        let (mean, variance) = statistics[2 * example * groups..][..2 * groups].split_at(groups);
        let kept = Statistics { mean: mean.to_vec(), variance: variance.to_vec() };
        let (x, transform) = (&x[span], layer.transform(&kept.to_channels(channels)));
        let sums = transform.sums(x, &dy);
        if need_dx {
            // SAFETY: `sums` took all of it.
            unsafe { transform.back(x, &dy, Some(&sums), groups) };
        }
        row[..channels].copy_from_slice(&sums.gamma);
        row[channels..].copy_from_slice(&sums.beta);
    });
    let mut gamma = vec![0f64; 2 * channels];
    for row in sums.chunks_exact(2 * channels) {
        gamma.iter_mut().zip(row).for_each(|(total, value)| *total += value);
    }
    let beta = gamma.split_off(channels);
    Sums { gamma, beta }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fresh::written;

    /// `y`, `dx`, `dgamma`, `dbeta` of one example in float64, with SiLU.
    fn expected(sizes: Sizes, x: &[f32], dy: &[f32], [gamma, beta]: [&[f32]; 2], eps: f64) -> [Vec<f64>; 4] {
        let (channels, size) = (sizes.channels, sizes.channels / sizes.groups);
        let count = (sizes.pixels * size) as f64;
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
        for group in 0..sizes.groups {
            let places = (0..x.len()).filter(|i| i % channels / size == group).collect::<Vec<_>>();
            let mean = places.iter().map(|i| f64::from(x[*i])).sum::<f64>() / count;
            let variance = places.iter().map(|i| (f64::from(x[*i]) - mean).powi(2)).sum::<f64>() / count;
            let deviation = (variance + eps).sqrt();
            let normal = |i: usize| (f64::from(x[i]) - mean) / deviation;
            let weighted = |i: usize| {
                let h = f64::from(gamma[i % channels]) * normal(i) + f64::from(beta[i % channels]);
                let s = 1.0 / (1.0 + (-h).exp());
                (h * s, f64::from(dy[i]) * s * (1.0 + h * (1.0 - s)))
            };
            let inner = |i: usize| weighted(i).1 * f64::from(gamma[i % channels]);
            let sum = places.iter().map(|i| inner(*i)).sum::<f64>() / count;
            let product = places.iter().map(|i| inner(*i) * normal(*i)).sum::<f64>() / count;
            for i in places {
                y[i] = weighted(i).0;
                dx[i] = (inner(i) - sum - normal(i) * product) / deviation;
                dgamma[i % channels] += weighted(i).1 * normal(i);
                dbeta[i % channels] += weighted(i).1;
            }
        }
        [y, dx, dgamma, dbeta]
    }

    fn wave(seed: f64) -> impl Fn(usize) -> f32 {
        move |i| (((i as f64 + seed) * 12.9898).sin() * 43758.5453).fract() as f32
    }

    #[test]
    fn examples_follow_the_definition_one_by_one() {
        for (batch, pixels, channels, groups) in
            [(3, 4, 6, 3), (1, 1, 8, 2), (2, 35, 33, 11), (4, 700, 64, 32), (1, 9000, 16, 1)]
        {
            if cfg!(miri) && pixels * channels > 200 {
                continue;
            }
            let sizes = Sizes { batch, pixels, channels, groups };
            let x: Vec<f32> = (0..batch * sizes.values()).map(wave(0.1)).map(|v| 2.0 * v + 0.5).collect();
            let dy: Vec<f32> = (0..x.len()).map(wave(0.7)).map(|v| v + 0.3).collect();
            let (gamma, beta): (Vec<f32>, Vec<f32>) = (0..channels).map(|c| (1.0 + 0.1 * c as f32, 0.2)).unzip();
            let layer = Layer { gamma: &gamma, beta: &beta, eps: 1e-5, activation: Activation::Silu };
            let mut statistics = vec![f64::NAN; sizes.statistics()];
            // SAFETY: `forward` writes all of `y`.
            let y = unsafe { written(x.len(), |y| forward(sizes, layer, &x, y, &mut statistics)) };
            let mut dx = dy.clone();
            let found = backward(sizes, layer, &x, &statistics, Incoming::in_place(&mut dx), true);
            // SAFETY: `backward` takes all of `dy`.
            let apart = unsafe {
                written(x.len(), |place| {
                    backward(sizes, layer, &x, &statistics, Incoming::apart(&dy, place), true);
                })
            };
            assert_eq!(apart, dx, "in place or apart, {sizes:?}");
            let mut sums = [vec![0.0; channels], vec![0.0; channels]];
            for example in 0..batch {
                let span = example * sizes.values()..(example + 1) * sizes.values();
                let one = Sizes { batch: 1, ..sizes };
                let [want_y, want_dx, dgamma, dbeta] =
                    expected(one, &x[span.clone()], &dy[span.clone()], [&gamma, &beta], 1e-5);
                let close =
                    |found: &[f32], want: &[f64]| found.iter().zip(want).all(|(f, w)| (f64::from(*f) - w).abs() < 1e-4);
                assert!(close(&y[span.clone()], &want_y) && close(&dx[span], &want_dx), "{sizes:?} {example}");
                for (sums, found) in sums.iter_mut().zip([dgamma, dbeta]) {
                    sums.iter_mut().zip(found).for_each(|(sum, value)| *sum += value);
                }
            }
            for (found, want) in [&found.gamma, &found.beta].into_iter().zip(&sums) {
                let near = |(f, w): (&f64, &f64)| (f - w).abs() < 1e-6 * (batch * pixels) as f64 + 1e-5;
                assert!(found.iter().zip(want).all(near), "{sizes:?}");
            }
        }
    }
}

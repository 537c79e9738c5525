//! Rows of pixels with few channels as long rows, and sums over all pixels channel by channel.
//!
//! A loop over three channels is no vector code. Since values of one channel recur at a fixed distance, several pixels in a row are one longer
//! row, and what belongs to a channel (a bias, a scale) is repeated to that length.

use std::ops::Range;

use crate::pool::{self, SharedMut};
use crate::simd;

/// The shortest row worth a loop.
const LEAST_LANES: usize = 256;
/// Rows summed in float32 before they go into a float64 sum.
const BLOCK_ROWS: usize = 32;
/// Values that justify one more part.
const PART_VALUES: usize = 32_768;

/// Length of a row of several whole pixels.
pub(crate) fn lanes(channels: usize) -> usize {
    channels * LEAST_LANES.div_ceil(channels.max(1))
}

/// One number per channel, repeated over [`lanes`].
pub(crate) fn repeat(per_channel: &[f32]) -> Vec<f32> {
    per_channel.iter().copied().cycle().take(lanes(per_channel.len())).collect()
}

/// Cuts `values` at whole rows of `lanes` values and runs `work` on each part.
pub(crate) fn for_parts(values: usize, lanes: usize, work: impl Fn(Range<usize>) + Sync) {
    let parts = pool::parts_for(values, 1, PART_VALUES, lanes);
    pool::run(parts, |part| work(pool::part_range(values, parts, part, lanes)));
}

/// `SUMS` sums over all pixels for each channel, in float64 and in an order fixed by the shape.
///
/// `add(range, sums)` adds what the values `range` (whole pixels) contribute to `SUMS` rows of [`lanes`], and may write results of its own for them.
pub(crate) fn channel_sums<const SUMS: usize>(
    values: usize,
    channels: usize,
    add: impl Fn(Range<usize>, [&mut [f32]; SUMS]) + Sync,
) -> [Vec<f64>; SUMS] {
    let lanes = lanes(channels);
    let block = lanes * BLOCK_ROWS;
    let blocks = values.div_ceil(block.max(1));
    let parts = pool::parts_for(blocks, block, PART_VALUES, 1);
    let mut partial = vec![0f64; parts * SUMS * channels];
    let target = SharedMut::new(&mut partial);
    pool::run(parts, |part| {
        // SAFETY: each part owns its slots, and the buffer outlives the region.
        let totals = unsafe { target.slice(part * SUMS * channels..(part + 1) * SUMS * channels) };
        let mut sums: [Vec<f32>; SUMS] = std::array::from_fn(|_| vec![0.0; lanes]);
        for index in pool::part_range(blocks, parts, part, 1) {
            add(index * block..((index + 1) * block).min(values), sums.each_mut().map(Vec::as_mut_slice));
            for (totals, sums) in totals.chunks_exact_mut(channels).zip(&mut sums) {
                for row in sums.chunks_exact(channels) {
                    totals.iter_mut().zip(row).for_each(|(total, sum)| *total += f64::from(*sum));
                }
                sums.fill(0.0);
            }
        }
    });
    std::array::from_fn(|sum| {
        let rows = partial.chunks_exact(channels).skip(sum).step_by(SUMS);
        rows.fold(vec![0.0; channels], |mut total, row| {
            total.iter_mut().zip(row).for_each(|(total, value)| *total += value);
            total
        })
    })
}

simd::multiversion! {
    /// Adds each row of `values` to `sums`; the last row may be short.
    pub(crate) fn add_rows(values: &[f32], sums: &mut [f32]) {
        for row in values.chunks(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_sums_are_sums_over_pixels() {
        for (pixels, channels) in [(1, 1), (7, 3), (1000, 5), (300, 33), (2000, 64), (3, 300), (0, 4)] {
            if cfg!(miri) && pixels * channels > 1000 {
                continue;
            }
            let values: Vec<f32> = (0..pixels * channels).map(|i| ((i * 7) % 13) as f32 - 6.0).collect();
            let found = channel_sums(values.len(), channels, |range, [plain, doubled]| {
                add_rows(&values[range.clone()], plain);
                add_rows(&values[range.clone()], doubled);
                add_rows(&values[range], doubled);
            });
            let sum = |channel| -> f64 { values.iter().skip(channel).step_by(channels).map(|v| f64::from(*v)).sum() };
            let expected: Vec<f64> = (0..channels).map(sum).collect();
            assert_eq!(found[0], expected, "{pixels} pixels, {channels} channels");
            assert!(found[1].iter().zip(&expected).all(|(found, sum)| *found == 2.0 * sum));
        }
    }

    #[test]
    fn rows_are_whole_pixels() {
        for channels in [1, 3, 5, 33, 64, 255, 256, 257, 1000] {
            assert!(lanes(channels) >= 256 && lanes(channels).is_multiple_of(channels));
        }
        assert_eq!(repeat(&[1.0, 2.0, 3.0])[255..], [1.0, 2.0, 3.0]);
    }
}

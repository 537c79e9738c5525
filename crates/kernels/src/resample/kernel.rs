//! Between small images and large ones: slices in, slices out.

use std::mem::MaybeUninit;

use crate::pool::{self, SharedMut};
use crate::simd;

/// Values of the large images that justify one more part.
const PART_VALUES: usize = 32_768;

/// The sizes of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub batch: usize,
    /// Height and width of the large images.
    pub large: [usize; 2],
    /// Rows and columns of a window: how many of the large image one pixel of the small one stands for.
    pub factor: [usize; 2],
    pub channels: usize,
}

impl Sizes {
    /// Height and width of the small images. What is left of the large ones beyond whole windows belongs to no window.
    pub(super) fn small(self) -> [usize; 2] {
        [self.large[0] / self.factor[0], self.large[1] / self.factor[1]]
    }

    fn large_row(self) -> usize {
        self.large[1] * self.channels
    }

    fn small_row(self) -> usize {
        self.small()[1] * self.channels
    }

    /// Values of the large images.
    pub(super) fn large_values(self) -> usize {
        self.batch * self.large[0] * self.large_row()
    }

    /// Values of the small images.
    pub(super) fn small_values(self) -> usize {
        self.batch * self.small()[0] * self.small_row()
    }

    /// Calls `work(small row, its first large row, how many large rows are its)` for all rows of the batch. The last row of
    /// an image takes what is left with it.
    fn for_rows(self, work: impl Fn(usize, usize, usize) + Sync) {
        let ([height, _], [rows, _]) = (self.small(), self.factor);
        let count = self.batch * height;
        let parts = pool::parts_for(count, rows * self.large_row(), PART_VALUES, 1);
        pool::run(parts, |part| {
            for row in pool::part_range(count, parts, part, 1) {
                let (image, y) = (row / height, row % height);
                let end = if y + 1 == height { self.large[0] } else { (y + 1) * rows };
                work(row, image * self.large[0] + y * rows, end - y * rows);
            }
        });
    }
}

/// `large = small / divisor` over each window, 0 outside of windows; all of it written.
pub(super) fn spread(sizes: Sizes, small: &[f32], divisor: f32, large: &mut [MaybeUninit<f32>]) {
    assert!(small.len() == sizes.small_values() && large.len() == sizes.large_values(), "images of one batch");
    let (pitch, target) = (sizes.large_row(), SharedMut::new(large));
    sizes.for_rows(|row, first, count| {
        // SAFETY: each small row owns its large rows, and the buffer outlives the region.
        let large = unsafe { target.slice(first * pitch..(first + count) * pitch) };
        let (written, rest) = large.split_at_mut(pitch);
        let small = &small[row * sizes.small_row()..(row + 1) * sizes.small_row()];
        spread_row(small, sizes.channels, sizes.factor[1], divisor, written);
        let (copies, rest) = rest.split_at_mut((sizes.factor[0] - 1) * pitch);
        copies.chunks_exact_mut(pitch.max(1)).for_each(|copy| copy.copy_from_slice(written));
        rest.fill(MaybeUninit::new(0.0));
    });
}

/// `small = sum of each window of large / divisor`; all of it written.
pub(super) fn gather(sizes: Sizes, large: &[f32], divisor: f32, small: &mut [MaybeUninit<f32>]) {
    assert!(small.len() == sizes.small_values() && large.len() == sizes.large_values(), "images of one batch");
    let (pitch, target) = (sizes.large_row(), SharedMut::new(small));
    sizes.for_rows(|row, first, _| {
        // SAFETY: each row is written once, and the buffer outlives the region.
        let small = unsafe { target.slice(row * sizes.small_row()..(row + 1) * sizes.small_row()) };
        let sums = pool::zeroed(small);
        for row in large[first * pitch..(first + sizes.factor[0]) * pitch].chunks_exact(pitch.max(1)) {
            add_windows(row, sizes.channels, sizes.factor[1], sums);
        }
        divide(sums, divisor);
    });
}

simd::multiversion! {
    /// Each pixel over divisor, `columns` times, and zeros to the end.
    fn spread_row(small: &[f32], channels: usize, columns: usize, divisor: f32, large: &mut [MaybeUninit<f32>]) {
        let (windows, rest) = large.split_at_mut(small.len() * columns);
        for (pixel, window) in small.chunks_exact(channels).zip(windows.chunks_exact_mut(channels * columns)) {
            for place in window.chunks_exact_mut(channels) {
                for (place, value) in place.iter_mut().zip(pixel) {
                    place.write(*value / divisor);
                }
            }
        }
        rest.fill(MaybeUninit::new(0.0));
    }
}

simd::multiversion! {
    /// Adds the pixels of each `columns` to one.
    fn add_windows(row: &[f32], channels: usize, columns: usize, sums: &mut [f32]) {
        for (sums, window) in sums.chunks_exact_mut(channels).zip(row.chunks_exact(channels * columns)) {
            for pixel in window.chunks_exact(channels) {
                sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += *value);
            }
        }
    }
}

simd::multiversion! {
    fn divide(values: &mut [f32], divisor: f32) {
        values.iter_mut().for_each(|value| *value /= divisor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fresh::written;

    #[test]
    fn windows_are_spread_and_gathered_and_the_rest_is_zero() {
        for (batch, large, factor, channels) in [
            (2, [4, 6], [2, 3], 5),
            (3, [5, 7], [2, 2], 3),
            (1, [7, 3], [3, 1], 1),
            (2, [3, 9], [1, 4], 17),
            (if cfg!(miri) { 1 } else { 40 }, [8, 9], [2, 2], 33),
            (0, [4, 4], [2, 2], 2),
        ] {
            let sizes = Sizes { batch, large, factor, channels };
            let ([height, width], [rows, cols]) = (sizes.small(), factor);
            let small: Vec<f32> = (0..sizes.small_values()).map(|i| 4.0 * (i % 23) as f32 - 40.0).collect();
            // SAFETY: `spread` writes all of it.
            let spread = unsafe { written(sizes.large_values(), |large| spread(sizes, &small, 4.0, large)) };
            let mut sums = vec![0f32; small.len()];
            for (i, found) in spread.iter().enumerate() {
                let (channel, x) = (i % channels, i / channels % large[1]);
                let (y, n) = (i / channels / large[1] % large[0], i / channels / large[1] / large[0]);
                let inside = y / rows < height && x / cols < width;
                let place = ((n * height + y / rows) * width + x / cols) * channels + channel;
                assert_eq!(*found, if inside { small[place] / 4.0 } else { 0.0 }, "{sizes:?} {n} {y} {x} {channel}");
                if inside {
                    sums[place] += found + 1.0;
                }
            }
            let shifted: Vec<f32> = spread.iter().map(|v| v + 1.0).collect();
            // SAFETY: `gather` writes all of it.
            let gathered = unsafe { written(sizes.small_values(), |small| gather(sizes, &shifted, 2.0, small)) };
            assert!(gathered.iter().zip(&sums).all(|(found, sum)| *found == sum / 2.0), "{sizes:?}");
        }
    }
}

//! How a pass over a batch is cut: into parts for the threads, and each part into tiles whose padded input stays in the L2 cache.
//!
//! The cut depends on the shape alone, never on the number of threads.

use std::ops::Range;

use super::shape::Extent;
use crate::pool;

/// Floats of padded input and of output (counted half: it is written once) that a tile may occupy: 384 KiB of an L2 cache of 1 MiB or more.
const TILE_FLOATS: usize = 96 * 1024;
/// Multiply-adds that justify one more part: about 20 microseconds on one core.
const PART_WORK: usize = if cfg!(miri) { 2_000 } else { 2_000_000 };
/// The most parts a pass is cut into.
const MOST_PARTS: usize = 16;

/// Consecutive examples with all their rows, or a band of rows of one example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tile {
    pub images: Range<usize>,
    pub rows: Range<usize>,
}

/// The cut of a pass that writes `rows` rows of pixels for each of `batch` examples.
#[derive(Debug, Clone)]
pub(super) struct Tiling {
    batch: usize,
    rows: usize,
    bands: usize,
    /// Rows of a full band.
    pub band_rows: usize,
    /// Examples of a full tile.
    pub tile_images: usize,
    /// Parts for [`pool::run`].
    pub parts: usize,
}

impl Tiling {
    /// Cuts so that `floats(band_rows)`, the cost of a band of that many rows, fits a tile. Bands begin at multiples of `align` rows.
    pub(super) fn new(batch: usize, rows: usize, align: usize, work: usize, floats: impl Fn(usize) -> usize) -> Self {
        let wanted = (work / PART_WORK).clamp(1, MOST_PARTS);
        let mut bands = wanted.div_ceil(batch.max(1)).min(rows.div_ceil(align));
        let height = |bands: usize| rows.div_ceil(bands).next_multiple_of(align);
        while floats(height(bands)) > TILE_FLOATS && height(bands) > align {
            bands += 1;
        }
        let band_rows = height(bands);
        let bands = rows.div_ceil(band_rows);
        let tile_images = if bands == 1 { (TILE_FLOATS / floats(rows).max(1)).min(batch).max(1) } else { 1 };
        Self { batch, rows, bands, band_rows, tile_images, parts: wanted.min(batch * bands).max(1) }
    }

    /// The tiles of one part, in order.
    pub(super) fn tiles(&self, part: usize) -> impl Iterator<Item = Tile> + '_ {
        let units = pool::part_range(self.batch * self.bands, self.parts, part, 1);
        // Tiles of equal size: a short last one would leave the kernels little to work on.
        let count = units.len().div_ceil(self.tile_images);
        (0..count).map(move |i| {
            let within = pool::part_range(units.len(), count, i, 1);
            let (first, end) = (units.start + within.start, units.start + within.end);
            let (image, band) = (first / self.bands, first % self.bands);
            let top = band * self.band_rows;
            Tile {
                images: image..image + (end - first),
                rows: if self.bands == 1 { 0..self.rows } else { top..(top + self.band_rows).min(self.rows) },
            }
        })
    }
}

/// A place as it is stored in tables.
pub(super) fn index(place: usize) -> u32 {
    u32::try_from(place).expect("a tile is smaller than 16 GiB")
}

/// A rectangle of pixels of an image that zeros surround on all sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The rectangle's first row and column in the image's coordinates; negative in the zeros.
    pub top: isize,
    pub left: isize,
    pub rows: usize,
    pub cols: usize,
}

impl Window {
    /// Copies the rectangle of one image to `out`, `[rows, cols, channels]`.
    pub(super) fn copy(self, image: &[f32], extent: Extent, out: &mut [f32]) {
        let pitch = self.cols * extent.channels;
        for (row, out) in out[..self.rows * pitch].chunks_exact_mut(pitch).enumerate() {
            match usize::try_from(self.top + row as isize) {
                Ok(y) if y < extent.height => {
                    self.copy_row(&image[y * extent.row()..(y + 1) * extent.row()], extent.channels, out);
                }
                _ => out.fill(0.0),
            }
        }
    }

    fn copy_row(self, row: &[f32], channels: usize, out: &mut [f32]) {
        let from = (self.left.max(0) as usize * channels).min(row.len());
        let zeros = ((-self.left).max(0) as usize * channels).min(out.len());
        let count = (row.len() - from).min(out.len() - zeros);
        out[..zeros].fill(0.0);
        out[zeros..zeros + count].copy_from_slice(&row[from..from + count]);
        out[zeros + count..].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_row_of_every_image_once() {
        for (batch, rows, align, work, floats_per_row) in [
            (128, 16, 1, 1 << 30, 1000),
            (1, 64, 2, 1 << 30, 10),
            (3, 7, 2, 1 << 30, 90_000),
            (5, 1, 1, 10, 1),
            (0, 4, 1, 0, 1),
            (2, 33, 3, 1 << 30, 20_000),
        ] {
            let tiling = Tiling::new(batch, rows, align, work, |band| band * floats_per_row);
            let mut seen = vec![0; batch * rows];
            for tile in (0..tiling.parts).flat_map(|part| tiling.tiles(part)) {
                assert!(tile.images.len() <= tiling.tile_images && tile.rows.len() <= tiling.band_rows);
                assert!(tile.rows.start % align == 0 && (tile.images.len() == 1 || tile.rows == (0..rows)));
                tile.images.for_each(|i| tile.rows.clone().for_each(|row| seen[i * rows + row] += 1));
            }
            assert!(seen.iter().all(|&count| count == 1), "{tiling:?}");
        }
    }

    #[test]
    fn windows_are_surrounded_by_zeros() {
        let extent = Extent { height: 2, width: 3, channels: 2 };
        let image: Vec<f32> = (1..=12).map(|v| v as f32).collect();
        let at = |y: isize, x: isize, c: usize| match (usize::try_from(y), usize::try_from(x)) {
            (Ok(y), Ok(x)) if y < 2 && x < 3 => image[(y * 3 + x) * 2 + c],
            _ => 0.0,
        };
        for (top, left, rows, cols) in [(-1, -1, 4, 5), (0, 0, 2, 3), (1, 2, 3, 4), (-3, -9, 2, 3), (5, 7, 2, 2)] {
            let mut found = vec![f32::NAN; rows * cols * 2];
            Window { top, left, rows, cols }.copy(&image, extent, &mut found);
            let expected = (0..rows as isize)
                .flat_map(|y| (0..cols as isize).flat_map(move |x| (0..2).map(move |c| (top + y, left + x, c))))
                .map(|(y, x, c)| at(y, x, c));
            assert!(found.iter().copied().eq(expected), "{top} {left}: {found:?}");
        }
    }
}

//! The gradient of the weight: for each place of the window, a product of image and map summed over all pixels of the batch.
//!
//! The sum is long (every pixel) and the result small, so the work is cut along the result where that is large and along the batch where it
//! is small. Sums over groups of the batch are added in order, and the number of groups depends on the shape alone: the result has the same bits on any number
//! of threads.

use super::engine::{Engine, Gather};
use super::flipped;
use super::panels;
use super::product::multiply_transposed;
use super::scratch::with_scratch;
use super::shape::ConvShape;
use super::tiling::Tile;
use super::to_map::{Tables, copy_padded};
use crate::pool::{self, SharedMut};

/// Map pixels of a tile: long sums in registers, an input that stays in the L2 cache.
const TILE_PIXELS: usize = 192;
/// Multiply-adds that justify one more part.
const PART_WORK: usize = if cfg!(miri) { 4_000 } else { 4_000_000 };
/// The most groups of the batch.
const MOST_GROUPS: usize = 8;
/// Floats of a result that several groups may each have a copy of.
const SMALL_RESULT: usize = 128 * 1024;

/// The cut of one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    /// Map rows of a tile, and tiles that one example is cut into.
    band_rows: usize,
    bands: usize,
    /// Examples of a tile.
    images: usize,
    /// Parts of the batch, each with a sum of its own.
    groups: usize,
    /// Parts of the window's rows.
    stripes: usize,
}

impl Cut {
    fn of(shape: &ConvShape) -> Self {
        let map = shape.map;
        let band_rows = (TILE_PIXELS / map.width).clamp(1, map.height);
        let bands = map.height.div_ceil(band_rows);
        let images = if bands == 1 { (TILE_PIXELS / (map.height * map.width)).clamp(1, shape.batch.max(1)) } else { 1 };
        let wanted = (shape.work() / PART_WORK).max(1);
        let (groups, stripes) = if shape.weights() <= SMALL_RESULT {
            (wanted.min(MOST_GROUPS), 1)
        } else {
            let stripes = shape.kernel[0].min(wanted);
            // An odd number of parts would leave one of two threads idle for the last.
            (if stripes.is_multiple_of(2) { 1 } else { wanted.min(2) }, stripes)
        };
        Self { band_rows, bands, images, groups: groups.min(shape.batch * bands).max(1), stripes }
    }

    /// The tiles of one group, in order.
    fn tiles(self, shape: &ConvShape, group: usize) -> impl Iterator<Item = Tile> {
        let units = pool::part_range(shape.batch * self.bands, self.groups, group, 1);
        let rows = shape.map.height;
        units.clone().step_by(self.images).map(move |unit| {
            let image = unit / self.bands;
            let top = unit % self.bands * self.band_rows;
            let images = if self.bands == 1 { (image + self.images).min(units.end) } else { image + 1 };
            Tile { images: image..images, rows: top..(top + self.band_rows).min(rows) }
        })
    }
}

/// `dweight = sum over pixels of image x map`, of the layout `[map channels, image channels, kernel height, kernel width]`.
pub(crate) fn weight_gradient(engine: Engine, shape: &ConvShape, image: &[f32], map: &[f32], dweight: &mut [f32]) {
    let Some(other) = flipped::exchanged(shape) else { return direct(engine, shape, image, map, dweight) };
    let mut exchanged = vec![0f32; dweight.len()];
    direct(engine, &other, map, image, &mut exchanged);
    flipped::exchange(&exchanged, [shape.image.channels, shape.map.channels, shape.taps()], dweight);
}

/// [`weight_gradient`] with vectors over the map's channels.
fn direct(engine: Engine, shape: &ConvShape, image: &[f32], map: &[f32], dweight: &mut [f32]) {
    let cut = Cut::of(shape);
    let (channels, columns) = (shape.image.channels, shape.map.channels);
    let tables = Tables::new(shape, cut.images, cut.band_rows);
    let run = shape.kernel[1] * channels;
    let mut partial = vec![0f32; cut.groups * shape.weights()];
    let target = SharedMut::new(&mut partial);
    pool::run(cut.groups * cut.stripes, |part| {
        let (group, stripe) = (part / cut.stripes, part % cut.stripes);
        let terms = pool::part_range(tables.terms.len(), cut.stripes, stripe, run);
        let base = group * shape.weights();
        // SAFETY: each part owns rows of one group's sum, and the buffer outlives the region.
        let sum = unsafe { target.slice(base + terms.start * columns..base + terms.end * columns) };
        with_scratch(|scratch| {
            for tile in cut.tiles(shape, group) {
                let window = scratch.window.floats(tables.rows * tables.cols * channels * tile.images.len());
                copy_padded(shape, &tile, &tables, image, window);
                let pixels = tile.images.len() * tile.rows.len() * shape.map.width;
                let a = Gather { terms: &tables.terms[terms.clone()], ..tables.gather(window, pixels, run) };
                let start = tile.images.start * shape.map.values() + tile.rows.start * shape.map.row();
                let b = &map[start..start + pixels * columns];
                multiply_transposed(engine, a, columns, b, sum, &mut scratch.spare);
            }
        });
    });
    let partials: Vec<&[f32]> = partial.chunks_exact(shape.weights()).collect();
    panels::unpack(&partials, [columns, channels, shape.taps()], dweight);
}

#[cfg(test)]
mod tests {
    use super::super::shape::Extent;
    use super::*;

    #[test]
    fn every_pixel_is_in_one_tile_of_one_group() {
        for (batch, height, width, channels) in
            [(1, 1, 1, 1), (128, 8, 8, 256), (7, 3, 5, 64), (2, 40, 100, 8), (1, 300, 7, 512), (0, 4, 4, 4)]
        {
            let extent = Extent { height, width, channels };
            let shape =
                ConvShape { batch, image: extent, map: extent, kernel: [3, 3], stride: [1; 2], padding: [1; 2] };
            let cut = Cut::of(&shape);
            let mut seen = vec![0; batch * height];
            for tile in (0..cut.groups).flat_map(|group| cut.tiles(&shape, group)) {
                assert!(tile.images.len() <= cut.images && tile.rows.len() <= cut.band_rows);
                assert!(tile.images.len() == 1 || tile.rows == (0..height));
                tile.images.for_each(|image| tile.rows.clone().for_each(|row| seen[image * height + row] += 1));
            }
            assert!(seen.iter().all(|&count| count == 1), "{cut:?}");
        }
    }
}

//! From image to map: the convolution, and the data gradient of the transposed one.
//!
//! In `[height, width, channels]` order the window's row of `kernel width x channels` values is consecutive in a zero-padded copy of the
//! image, so the product reads it in place: no matrix of windows (im2col) is ever written. The copy is made tile by tile and stays in the L2 cache.

use super::engine::{Engine, Gather};
use super::epilogue::{Epilogue, Target};
use super::panels::{self, Layout, View};
use super::product::multiply;
use super::scratch::with_scratch;
use super::shape::ConvShape;
use super::tiling::{Tile, Tiling, Window, index};
use super::{few_channels, flipped};
use crate::pool;

/// Where to find, in padded copies of images, the windows of a tile's pixels and the terms of a window.
pub(super) struct Tables {
    pub pixels: Vec<u32>,
    pub terms: Vec<u32>,
    /// Rows and columns of the padded copy of one image.
    pub rows: usize,
    pub cols: usize,
}

impl Tables {
    /// For `images` times `map_rows` rows of the map.
    pub(super) fn new(shape: &ConvShape, images: usize, map_rows: usize) -> Self {
        let (rows, cols) = (padded(shape, map_rows, 0), padded(shape, shape.map.width, 1));
        let [down, right] = shape.stride;
        let channels = shape.image.channels;
        let pixels = (0..images).flat_map(|image| {
            let tops = (0..map_rows).map(move |y| image * rows + y * down);
            tops.flat_map(move |top| (0..shape.map.width).map(move |x| (top * cols + x * right) * channels))
        });
        let run = shape.kernel[1] * channels;
        let terms = (0..shape.kernel[0]).flat_map(|y| (0..run).map(move |i| y * cols * channels + i));
        Self { pixels: pixels.map(index).collect(), terms: terms.map(index).collect(), rows, cols }
    }
}

impl Tables {
    /// The left-hand side for the first `pixels`, whose terms come in runs of `run`.
    pub(super) fn gather<'a>(&'a self, source: &'a [f32], pixels: usize, run: usize) -> Gather<'a> {
        Gather { source, pixels: &self.pixels[..pixels], terms: &self.terms, run }
    }
}

/// Pixels of the image, padding included, that `count` windows cover along an axis.
fn padded(shape: &ConvShape, count: usize, axis: usize) -> usize {
    (count.max(1) - 1) * shape.stride[axis] + shape.kernel[axis]
}

/// Floats of the padded copy that `map_rows` rows of one example need.
pub(super) fn padded_floats(shape: &ConvShape, map_rows: usize) -> usize {
    padded(shape, map_rows, 0) * padded(shape, shape.map.width, 1) * shape.image.channels
}

/// Copies what a tile of the map reads into `window`, zero-padded, image after image.
pub(super) fn copy_padded(shape: &ConvShape, tile: &Tile, tables: &Tables, image: &[f32], window: &mut [f32]) {
    let [above, left] = shape.padding.map(|padding| padding as isize);
    let top = (tile.rows.start * shape.stride[0]) as isize - above;
    let rows = padded(shape, tile.rows.len(), 0);
    let rectangle = Window { top, left: -left, rows, cols: tables.cols };
    let floats = tables.rows * tables.cols * shape.image.channels;
    let size = shape.image.values();
    for (example, out) in tile.images.clone().zip(window.chunks_exact_mut(floats)) {
        rectangle.copy(&image[example * size..(example + 1) * size], shape.image, out);
    }
}

/// `map = epilogue(convolution of image)`. With `pre`, the value before the activation goes there.
///
/// Lengths are those of `shape`; `weight` is `[map channels, image channels, kernel height, kernel width]`.
pub(crate) fn to_map(
    engine: Engine,
    shape: &ConvShape,
    image: &[f32],
    weight: &[f32],
    epilogue: &Epilogue,
    map: &mut [f32],
    pre: Option<&mut [f32]>,
) {
    if let Some(other) = flipped::exchanged(shape) {
        let mut exchanged = vec![0f32; weight.len()];
        flipped::exchange(weight, [shape.map.channels, shape.image.channels, shape.taps()], &mut exchanged);
        return few_channels::to_image(engine, &other, image, &exchanged, epilogue, map, pre);
    }
    let channels = shape.image.channels;
    let taps: Vec<usize> = (0..shape.taps()).collect();
    let view = View { taps: &taps, channels, by_column: channels * shape.taps(), by_channel: shape.taps() };
    let layout = Layout::new(engine, view.terms(), shape.map.channels);
    let packed = panels::pack(layout, weight, view);
    let packed = packed.as_floats(layout.floats());
    let tiling = Tiling::new(shape.batch, shape.map.height, 1, shape.work(), |rows| {
        padded_floats(shape, rows) + rows * shape.map.row() / 2
    });
    let tables = Tables::new(shape, tiling.tile_images, tiling.band_rows);
    let places: Vec<u32> = (0..tables.pixels.len()).map(|pixel| index(pixel * shape.map.channels)).collect();
    let target = Target::new(epilogue, map, pre);
    pool::run(tiling.parts, |part| {
        with_scratch(|scratch| {
            for tile in tiling.tiles(part) {
                let window = scratch.window.floats(tables.rows * tables.cols * channels * tile.images.len());
                copy_padded(shape, &tile, &tables, image, window);
                let pixels = tile.images.len() * tile.rows.len() * shape.map.width;
                let a = tables.gather(window, pixels, shape.kernel[1] * channels);
                let start = tile.images.start * shape.map.values() + tile.rows.start * shape.map.row();
                let (span, places) = (start..start + pixels * shape.map.channels, &places[..pixels]);
                let write = |out: &mut [f32]| multiply(engine, a, layout, packed, out, places, &mut scratch.spare);
                // SAFETY: tiles own disjoint pixels, and the buffers outlive the region.
                unsafe { target.fill(span, write) };
            }
        });
    });
}

//! From map to image: the transposed convolution, and the data gradient of the plain one.
//!
//! With strides `s` and `t` an image pixel meets only every `s`-th row and `t`-th column of the window; which ones depends on its row modulo
//! `s` and its column modulo `t`. So the pixels fall into `s x t` classes, each a plain convolution of the map with a part of the window: every pixel is written once, nothing is
//! scattered or added up in memory, and bias and activation follow while the tile is in the cache. An image of few channels would leave most
//! lanes of a vector empty and takes the way of [`super::few_channels`].

use super::engine::{Engine, Gather};
use super::epilogue::{Epilogue, Target};
use super::few_channels;
use super::panels::{self, Layout, View};
use super::product::multiply;
use super::scratch::{Buffer, Scratch, with_scratch};
use super::shape::ConvShape;
use super::tiling::{Tile, Tiling, Window, index};
use crate::pool;

/// One direction (rows or columns) of the way back.
#[derive(Debug, Clone, Copy)]
struct Axis {
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Axis {
    /// Places of the window that pixels of class `phase` meet.
    fn taps(self, phase: usize) -> usize {
        (self.kernel.max(phase) - phase).div_ceil(self.stride)
    }

    /// The class of image pixel `at`.
    fn phase(self, at: usize) -> usize {
        (at + self.padding) % self.stride
    }

    /// The first map pixel that image pixels from `at` on may meet, negative in the zeros around the map.
    fn first(self, at: usize) -> isize {
        ((at + self.padding) / self.stride) as isize - (self.taps(0) as isize - 1)
    }

    /// Map pixels from [`Axis::first`] on that the image pixels `start..end` may meet.
    fn span(self, start: usize, end: usize) -> usize {
        let last = ((end - 1 + self.padding) / self.stride) as isize;
        (last - self.first(start) + 1) as usize
    }

    /// Image pixels of class `phase` among the first `count` from `start`, and where each begins to read, counted from [`Axis::first`].
    fn members(self, phase: usize, start: usize, count: usize) -> impl Iterator<Item = (usize, usize)> {
        let (first, taps) = (self.first(start), self.taps(phase) as isize);
        let members = (0..count).filter(move |at| self.phase(start + at) == phase);
        members.map(move |at| {
            let last = ((start + at + self.padding) / self.stride) as isize;
            (at, (last - (taps - 1) - first) as usize)
        })
    }

    /// Places of the window in the order in which class `phase` reads the map.
    fn order(self, phase: usize) -> impl Iterator<Item = usize> {
        (0..self.taps(phase)).rev().map(move |tap| phase + self.stride * tap)
    }
}

/// The pixels of one class: a product of their own.
struct Class {
    pixels: Vec<u32>,
    places: Vec<u32>,
    terms: Vec<u32>,
    run: usize,
    layout: Layout,
    packed: Buffer,
    phase: usize,
}

/// The sizes of a pass and of its tiles.
struct Plan<'a> {
    engine: Engine,
    shape: &'a ConvShape,
    y: Axis,
    x: Axis,
    tiling: Tiling,
    /// Image rows of a full tile.
    band_rows: usize,
    /// Rows and columns of the padded copy of one map.
    rows: usize,
    cols: usize,
}

impl<'a> Plan<'a> {
    fn new(engine: Engine, shape: &'a ConvShape) -> Self {
        let axis = |i: usize| Axis { kernel: shape.kernel[i], stride: shape.stride[i], padding: shape.padding[i] };
        let (y, x) = (axis(0), axis(1));
        let cols = x.span(0, shape.image.width);
        let tiling = Tiling::new(shape.batch, shape.image.height, shape.stride[0], shape.work(), |rows| {
            y.span(0, rows) * cols * shape.map.channels + rows * shape.image.row() / 2
        });
        let band_rows = tiling.band_rows.min(shape.image.height);
        let rows = y.span(0, band_rows);
        Self { engine, shape, y, x, tiling, band_rows, rows, cols }
    }

    fn classes(&self, weight: &[f32]) -> Vec<Class> {
        let [rows, cols] = self.shape.stride;
        (0..rows).flat_map(|y| (0..cols).map(move |x| (y, x))).map(|(y, x)| self.class(y, x, weight)).collect()
    }

    fn class(&self, phase_y: usize, phase_x: usize, weight: &[f32]) -> Class {
        let (shape, channels) = (self.shape, self.shape.map.channels);
        let members_x: Vec<_> = self.x.members(phase_x, 0, shape.image.width).collect();
        let members_y: Vec<_> = self.y.members(phase_y, 0, self.band_rows).collect();
        let (mut pixels, mut places) = (Vec::new(), Vec::new());
        for image in 0..self.tiling.tile_images {
            for (y, row) in &members_y {
                for (x, col) in &members_x {
                    pixels.push(index(((image * self.rows + row) * self.cols + col) * channels));
                    places.push(index(image * shape.image.values() + y * shape.image.row() + x * shape.image.channels));
                }
            }
        }
        let run = self.x.taps(phase_x) * channels;
        let terms = (0..self.y.taps(phase_y)).flat_map(|y| (0..run).map(move |i| index(y * self.cols * channels + i)));
        let order_x: Vec<_> = self.x.order(phase_x).collect();
        let taps: Vec<usize> =
            self.y.order(phase_y).flat_map(|y| order_x.iter().map(move |x| y * shape.kernel[1] + x)).collect();
        let by_channel = shape.image.channels * shape.taps();
        let view = View { taps: &taps, channels, by_column: shape.taps(), by_channel };
        let layout = Layout::new(self.engine, view.terms(), shape.image.channels);
        let packed = panels::pack(layout, weight, view);
        Class { pixels, places, terms: terms.collect(), run: run.max(1), layout, packed, phase: phase_y }
    }

    /// The sums of one tile of the image.
    fn tile(&self, classes: &[Class], tile: &Tile, map: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        let (shape, size) = (self.shape, self.shape.map.values());
        let floats = self.rows * self.cols * shape.map.channels;
        let window = scratch.window.floats(floats * tile.images.len());
        let rectangle = Window {
            top: self.y.first(tile.rows.start),
            left: self.x.first(0),
            rows: self.y.span(tile.rows.start, tile.rows.end),
            cols: self.cols,
        };
        for (example, window) in tile.images.clone().zip(window.chunks_exact_mut(floats)) {
            rectangle.copy(&map[example * size..(example + 1) * size], shape.map, window);
        }
        for class in classes {
            // A short band has fewer rows of a class; those it has come first in the tables.
            let rows = self.y.members(class.phase, 0, tile.rows.len()).count();
            let full = self.y.members(class.phase, 0, self.band_rows).count();
            let count = class.pixels.len() / (self.tiling.tile_images * full).max(1) * rows * tile.images.len();
            let a = Gather { source: window, pixels: &class.pixels[..count], terms: &class.terms, run: class.run };
            let packed = class.packed.as_floats(class.layout.floats());
            multiply(self.engine, a, class.layout, packed, out, &class.places[..count], &mut scratch.spare);
        }
    }
}

/// `image = epilogue(transposed convolution of map)`. With `pre`, the value before the activation goes there.
///
/// Lengths are those of `shape`; `weight` is `[map channels, image channels, kernel height, kernel width]`.
pub(crate) fn to_image(
    engine: Engine,
    shape: &ConvShape,
    map: &[f32],
    weight: &[f32],
    epilogue: &Epilogue,
    image: &mut [f32],
    pre: Option<&mut [f32]>,
) {
    if few_channels::fits(shape) {
        return few_channels::to_image(engine, shape, map, weight, epilogue, image, pre);
    }
    let plan = Plan::new(engine, shape);
    let classes = plan.classes(weight);
    let target = Target::new(epilogue, image, pre);
    pool::run(plan.tiling.parts, |part| {
        with_scratch(|scratch| {
            for tile in plan.tiling.tiles(part) {
                let start = tile.images.start * shape.image.values() + tile.rows.start * shape.image.row();
                let span = start..start + tile.images.len() * tile.rows.len() * shape.image.row();
                // SAFETY: tiles own disjoint pixels, and the buffers outlive the region.
                unsafe { target.fill(span, |out| plan.tile(&classes, &tile, map, out, scratch)) };
            }
        });
    });
}

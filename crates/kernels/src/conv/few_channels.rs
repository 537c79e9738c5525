//! From map to an image of few channels, such as a decoder's last layer.
//!
//! Here the columns of the product are all places of the window times the channels (16 for a gray 4 x 4 window, 48 for a coloured one), so
//! vectors are full. Each map pixel's row of results is then added to its window of the image. Neighbouring windows overlap; pixels are taken a
//! window apart, so that an addition does not wait for the store before it.

use super::engine::{Engine, Gather};
use super::epilogue::{Epilogue, Target};
use super::panels::{self, Layout, View};
use super::product::multiply;
use super::scratch::{Scratch, with_scratch};
use super::shape::{ConvShape, Extent};
use super::tiling::{Window, index};
use crate::pool;

/// Images with more channels fill vectors well enough without this.
const MOST_CHANNELS: usize = 8;
/// Floats of results between product and addition.
const GROUP_FLOATS: usize = 32 * 1024;
/// Multiply-adds that justify one more part.
const PART_WORK: usize = 1_000_000;

/// Whether this way is the better one.
pub(super) fn fits(shape: &ConvShape) -> bool {
    shape.image.channels <= MOST_CHANNELS && shape.map.channels > shape.image.channels
}

/// The sizes of a pass.
struct Plan<'a> {
    engine: Engine,
    shape: &'a ConvShape,
    layout: Layout,
    /// The image with its padding, as far as windows reach.
    whole: Extent,
    /// Map rows of a group.
    rows: usize,
    pixels: Vec<u32>,
    places: Vec<u32>,
    terms: Vec<u32>,
}

impl<'a> Plan<'a> {
    fn new(engine: Engine, shape: &'a ConvShape) -> Self {
        let columns = shape.taps() * shape.image.channels;
        let reach = |count: usize, axis: usize| (count - 1) * shape.stride[axis] + shape.kernel[axis];
        let whole = Extent {
            height: reach(shape.map.height, 0),
            width: reach(shape.map.width, 1),
            channels: shape.image.channels,
        };
        let rows = (GROUP_FLOATS / (columns * shape.map.width)).clamp(1, shape.map.height);
        let count = rows * shape.map.width;
        Self {
            engine,
            shape,
            layout: Layout::new(engine, shape.map.channels, columns),
            whole,
            rows,
            pixels: (0..count).map(|pixel| index(pixel * shape.map.channels)).collect(),
            places: (0..count).map(|pixel| index(pixel * columns)).collect(),
            terms: (0..shape.map.channels).map(index).collect(),
        }
    }

    /// The sums of one image, without its padding, to `out`.
    fn image(&self, map: &[f32], packed: &[f32], out: &mut [f32], scratch: &mut Scratch) {
        let Scratch { window, product, spare } = scratch;
        let sums = window.floats(self.whole.values());
        sums.fill(0.0);
        let columns = self.layout.columns;
        for first in (0..self.shape.map.height).step_by(self.rows) {
            let end = (first + self.rows).min(self.shape.map.height);
            let count = (end - first) * self.shape.map.width;
            let a = Gather {
                source: &map[first * self.shape.map.row()..end * self.shape.map.row()],
                pixels: &self.pixels[..count],
                terms: &self.terms,
                run: self.terms.len(),
            };
            let results = product.floats(count * columns);
            multiply(self.engine, a, self.layout, packed, results, &self.places[..count], spare);
            for (y, results) in (first..end).zip(results.chunks_exact(columns * self.shape.map.width)) {
                self.add_row(results, &mut sums[y * self.shape.stride[0] * self.whole.row()..]);
            }
        }
        let [top, left] = self.shape.padding.map(|padding| padding as isize);
        let Extent { height, width, .. } = self.shape.image;
        Window { top, left, rows: height, cols: width }.copy(sums, self.whole, out);
    }

    /// Adds the windows of one row of map pixels to `sums`, which begins at their first row.
    fn add_row(&self, results: &[f32], sums: &mut [f32]) {
        let run = self.shape.kernel[1] * self.shape.image.channels;
        let sizes = Sizes {
            columns: self.layout.columns,
            step: self.shape.stride[1] * self.shape.image.channels,
            apart: self.shape.kernel[1].div_ceil(self.shape.stride[1]),
        };
        for y in 0..self.shape.kernel[0] {
            let (results, sums) = (&results[y * run..], &mut sums[y * self.whole.row()..(y + 1) * self.whole.row()]);
            match run {
                3 => add_windows::<3>(results, sums, sizes),
                4 => add_windows::<4>(results, sums, sizes),
                9 => add_windows::<9>(results, sums, sizes),
                12 => add_windows::<12>(results, sums, sizes),
                _ => add_windows_of(run, results, sums, sizes),
            }
        }
    }
}

/// The distances within one row of windows.
#[derive(Clone, Copy)]
struct Sizes {
    /// Between the results of two pixels.
    columns: usize,
    /// Between the windows of two pixels.
    step: usize,
    /// Pixels until windows no longer overlap.
    apart: usize,
}

/// Adds one row of each window; `results` begins with that row of the first pixel's.
fn add_windows<const RUN: usize>(results: &[f32], sums: &mut [f32], sizes: Sizes) {
    for first in 0..sizes.apart {
        let results = results.chunks(sizes.columns).skip(first).step_by(sizes.apart);
        let places = (first..).step_by(sizes.apart).map(|pixel| pixel * sizes.step);
        for (place, result) in places.zip(results) {
            let (Some(sums), Some(result)) = (sums[place..].first_chunk_mut::<RUN>(), result.first_chunk::<RUN>())
            else {
                unreachable!("a window has RUN values in a row")
            };
            for (sum, value) in sums.iter_mut().zip(result) {
                *sum += *value;
            }
        }
    }
}

/// [`add_windows`] for a length known only now.
fn add_windows_of(run: usize, results: &[f32], sums: &mut [f32], sizes: Sizes) {
    for (pixel, result) in results.chunks(sizes.columns).enumerate() {
        let sums = &mut sums[pixel * sizes.step..pixel * sizes.step + run];
        sums.iter_mut().zip(&result[..run]).for_each(|(sum, value)| *sum += *value);
    }
}

/// See [`super::to_image::to_image`].
pub(super) fn to_image(
    engine: Engine,
    shape: &ConvShape,
    map: &[f32],
    weight: &[f32],
    epilogue: &Epilogue,
    image: &mut [f32],
    pre: Option<&mut [f32]>,
) {
    let plan = Plan::new(engine, shape);
    let (taps, channels) = (shape.taps(), shape.image.channels);
    // Columns in the order of the window: place by place, channel by channel.
    let by_place: Vec<f32> = weight
        .chunks_exact(channels * taps)
        .flat_map(|map| (0..taps).flat_map(move |tap| (0..channels).map(move |channel| map[channel * taps + tap])))
        .collect();
    let order: Vec<usize> = (0..shape.map.channels).map(|map| map * plan.layout.columns).collect();
    let view = View { taps: &order, channels: 1, by_column: 1, by_channel: 0 };
    let packed = panels::pack(plan.layout, &by_place, view);
    let packed = packed.as_floats(plan.layout.floats());

    let parts = pool::parts_for(shape.batch, shape.work() / shape.batch.max(1), PART_WORK, 1);
    let target = Target::new(epilogue, image, pre);
    pool::run(parts, |part| {
        with_scratch(|scratch| {
            for example in pool::part_range(shape.batch, parts, part, 1) {
                let map = &map[example * shape.map.values()..(example + 1) * shape.map.values()];
                let span = example * shape.image.values()..(example + 1) * shape.image.values();
                // SAFETY: parts own disjoint examples, and the buffers outlive the region.
                unsafe { target.fill(span, |out| plan.image(map, packed, out, scratch)) };
            }
        });
    });
}

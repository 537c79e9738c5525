//! The right-hand side of a product, `[terms, columns]`, in panels: groups of consecutive columns whose rows follow each other in memory.
//!
//! A panel of 32 or 64 columns and 256 terms stays in the L1 cache while the kernel passes over all pixels. The portable product takes one
//! panel with all columns, which is a plain matrix.

use super::engine::Engine;
use super::scratch::Buffer;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::bf16;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::linear::Matrix;
use crate::pool::{self, SharedMut};
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::scratch::words_mut;

/// Columns that are packed together, one vector of AVX-512.
const LANES: usize = 16;
/// Weights that justify one more part of packing.
const PART_WEIGHTS: usize = 16_384;

/// Where each panel lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub terms: usize,
    pub columns: usize,
    /// Columns of a full panel; the last may be narrower, but is a multiple of [`LANES`] where this is.
    width: usize,
    /// What a width is a multiple of.
    lanes: usize,
    /// What packs rows in pairs, see [`crate::bf16`].
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    bf16: Option<bf16::Engine>,
}

/// One panel: `columns` of the product from `start` on, stored `width` apart from `offset` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panel {
    pub start: usize,
    pub columns: usize,
    pub width: usize,
    pub offset: usize,
}

impl Layout {
    pub(super) fn new(engine: Engine, terms: usize, columns: usize) -> Self {
        Self {
            terms,
            columns,
            width: engine.panel_width(columns),
            lanes: engine.lanes(),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            bf16: if let Engine::Bf16(engine) = engine { Some(engine) } else { None },
        }
    }

    /// Floats of all panels, or words.
    pub(super) fn floats(self) -> usize {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if let Some(engine) = self.bf16 {
            return bf16::words_of(engine, self.terms, self.columns);
        }
        self.panels().map(|p| p.width).sum::<usize>() * self.terms
    }

    pub(super) fn panels(self) -> impl Iterator<Item = Panel> {
        (0..self.columns).step_by(self.width.max(1)).map(move |start| self.panel(start))
    }

    /// The panel that begins at column `start`.
    fn panel(self, start: usize) -> Panel {
        let columns = (self.columns - start).min(self.width);
        let width = if columns == self.width { columns } else { columns.next_multiple_of(self.lanes) };
        Panel { start, columns, width, offset: start * self.terms }
    }

    /// Index of `column` in row 0, and the distance between rows.
    fn place(self, column: usize) -> (usize, usize) {
        let panel = self.panel(column - column % self.width);
        (panel.offset + column - panel.start, panel.width)
    }
}

/// How a product reads the weight tensor: term `(tap, channel)` of a column lies at `column * by_column + channel * by_channel + taps[tap]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub taps: &'a [usize],
    pub channels: usize,
    pub by_column: usize,
    pub by_channel: usize,
}

impl View<'_> {
    pub(super) fn terms(&self) -> usize {
        self.taps.len() * self.channels
    }
}

/// Packs the weights that `view` selects; terms are ordered by tap, then by channel.
pub(super) fn pack(layout: Layout, weight: &[f32], view: View<'_>) -> Buffer {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if let Some(engine) = layout.bf16 {
        let matrix = pack(Layout { bf16: None, ..layout }, weight, view);
        return pack_bf16(engine, layout, matrix.as_floats(layout.terms * layout.columns));
    }
    let mut packed = Buffer::zeros(layout.floats());
    let blocks = layout.columns.div_ceil(LANES);
    let parts = pool::parts_for(blocks, LANES * layout.terms, PART_WEIGHTS, 1);
    let target = SharedMut::new(packed.floats(layout.floats()));
    pool::run(parts, |part| {
        for block in pool::part_range(blocks, parts, part, 1) {
            let first = block * LANES;
            let columns = first..(first + LANES).min(layout.columns);
            let (start, pitch) = layout.place(first);
            pack_block(weight, view, columns, |term, lane| {
                let index = start + term * pitch;
                // SAFETY: blocks own disjoint columns, and the buffer outlives the region.
                unsafe { target.slice(index..index + lane) }
            });
        }
    });
    packed
}

/// Rounds a plain matrix and packs it once more.
#[cfg(all(target_arch = "x86_64", not(miri)))]
fn pack_bf16(engine: bf16::Engine, layout: Layout, matrix: &[f32]) -> Buffer {
    let (sizes, words) = ([layout.terms, layout.columns], layout.floats());
    let mut packed = Buffer::zeros(words);
    if words == 0 {
        return packed;
    }
    let panels = layout.columns.div_ceil(LANES);
    let parts = pool::parts_for(panels, words / panels, PART_WEIGHTS, 1);
    let target = SharedMut::new(words_mut(packed.floats(words)));
    pool::run(parts, |part| {
        let panels_of = pool::part_range(panels, parts, part, 1);
        let room = panels_of.start * (words / panels)..panels_of.end * (words / panels);
        // SAFETY: each panel is one part's, and the buffer outlives the region.
        let out = unsafe { target.slice(room) };
        bf16::pack_right(engine, Matrix::rows(matrix, layout.columns), sizes, panels_of, out);
    });
    packed
}

/// Packs a few columns, whose part of row `term` is `row(term, count)`.
///
/// All places of the window at once, column by column: taken place by place, the columns' cache lines, often a multiple of 4 KiB apart,
/// would drive each other out.
fn pack_block<'a>(
    weight: &[f32],
    view: View<'_>,
    columns: std::ops::Range<usize>,
    row: impl Fn(usize, usize) -> &'a mut [f32],
) {
    let mut window = vec![[0f32; LANES]; view.taps.len()];
    for channel in 0..view.channels {
        for (lane, column) in columns.clone().enumerate() {
            let weight = &weight[column * view.by_column + channel * view.by_channel..];
            window.iter_mut().zip(view.taps).for_each(|(lanes, place)| lanes[lane] = weight[*place]);
        }
        for (tap, lanes) in window.iter().enumerate() {
            row(tap * view.channels + channel, columns.len()).copy_from_slice(&lanes[..columns.len()]);
        }
    }
}

/// Writes the gradient of the weight, `[columns, channels, taps]`, as the sum of `partials`, each `[taps * channels, columns]`, added in order.
pub(super) fn unpack(partials: &[&[f32]], [columns, channels, taps]: [usize; 3], weight: &mut [f32]) {
    let blocks = columns.div_ceil(LANES);
    let per_column = channels * taps;
    let parts = pool::parts_for(blocks, LANES * per_column, PART_WEIGHTS, 1);
    let target = SharedMut::new(weight);
    pool::run(parts, |part| {
        for block in pool::part_range(blocks, parts, part, 1) {
            let first = block * LANES;
            let end = (first + LANES).min(columns);
            // SAFETY: blocks own disjoint columns, and the buffer outlives the region.
            let out = unsafe { target.slice(first * per_column..end * per_column) };
            let mut window = vec![[0f32; LANES]; taps];
            for channel in 0..channels {
                for (tap, sums) in window.iter_mut().enumerate() {
                    let row = (tap * channels + channel) * columns;
                    *sums = [0.0; LANES];
                    for partial in partials {
                        sums.iter_mut().zip(&partial[row + first..row + end]).for_each(|(sum, v)| *sum += v);
                    }
                }
                for (lane, out) in out.chunks_exact_mut(per_column).enumerate() {
                    let places = &mut out[channel * taps..(channel + 1) * taps];
                    places.iter_mut().zip(&window).for_each(|(place, sums)| *place = sums[lane]);
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row-major `[terms, columns]` of what [`pack`] wrote.
    fn matrix(layout: Layout, packed: &[f32]) -> Vec<f32> {
        let places = (0..layout.terms).flat_map(|term| (0..layout.columns).map(move |column| (term, column)));
        places
            .map(|(term, column)| {
                let (start, pitch) = layout.place(column);
                packed[start + term * pitch]
            })
            .collect()
    }

    #[test]
    fn packed_weights_come_back() {
        for (columns, channels, taps) in [(1, 1, 1), (5, 3, 9), (16, 2, 4), (33, 1, 16), (64, 3, 4), (100, 2, 1)] {
            let weight: Vec<f32> = (0..columns * channels * taps).map(|v| v as f32).collect();
            let order: Vec<usize> = (0..taps).collect();
            let view = View { taps: &order, channels, by_column: channels * taps, by_channel: taps };
            for engine in Engine::all() {
                let layout = Layout::new(engine, view.terms(), columns);
                let packed = pack(layout, &weight, view);
                let rows = matrix(layout, packed.as_floats(layout.floats()));
                assert_eq!(rows[columns - 1], weight[(columns - 1) * channels * taps]);
                let mut back = vec![f32::NAN; weight.len()];
                unpack(&[&rows, &rows], [columns, channels, taps], &mut back);
                assert!(back.iter().zip(&weight).all(|(b, w)| *b == 2.0 * w), "{engine:?} {columns} {channels} {taps}");
            }
        }
    }

    #[test]
    fn padding_columns_are_zero() {
        for engine in Engine::all() {
            let layout = Layout::new(engine, 3, 17);
            let view = View { taps: &[0, 1, 2], channels: 1, by_column: 3, by_channel: 3 };
            let packed = pack(layout, &[1.0; 51], view);
            assert_eq!(packed.as_floats(layout.floats()).iter().sum::<f32>(), 51.0);
        }
    }
}

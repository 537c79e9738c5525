//! The right operand in panels: groups of columns whose rows follow each other in memory, cut into blocks of terms that stay in the L1 cache.

use std::ops::Range;

use super::engine::Engine;
use crate::matrix::{Matrix, Sizes};
use crate::pool;
use crate::simd;

/// Vectors of sums that stay in registers: 8 hide the latency of a multiply-add, and AVX2 has 16 registers.
pub(super) const MOST_VECTORS: usize = 8;
/// Bytes of a block of a panel: it shares an L1 cache of 32 KiB with lists and results.
const BLOCK_BYTES: usize = 28 * 1024;

/// How the columns and terms of a right operand are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panels {
    sizes: Sizes,
    lanes: usize,
    /// Number of panels: even where there are several, for an even number of threads.
    pub count: usize,
    /// Terms of a block, the last one's rest aside; a multiple of 16.
    pub block: usize,
}

impl Panels {
    pub(super) fn new(engine: Engine, sizes: Sizes) -> Self {
        let lanes = engine.lanes();
        let vectors = sizes.columns.div_ceil(lanes);
        let count = match vectors.div_ceil(MOST_VECTORS) {
            1 => 1,
            several => several.next_multiple_of(2),
        };
        let widest = vectors.div_ceil(count) * lanes;
        let most = (BLOCK_BYTES / (widest * size_of::<f32>())).max(16);
        let block = sizes.terms.div_ceil(sizes.terms.div_ceil(most)).next_multiple_of(16);
        Self { sizes, lanes, count, block }
    }

    /// The vectors of columns of a panel.
    fn vectors(&self, panel: usize) -> Range<usize> {
        pool::part_range(self.sizes.columns.div_ceil(self.lanes), self.count, panel, 1)
    }

    /// The columns of a panel.
    pub(super) fn columns(&self, panel: usize) -> Range<usize> {
        let vectors = self.vectors(panel);
        vectors.start * self.lanes..(vectors.end * self.lanes).min(self.sizes.columns)
    }

    /// Floats of a row of the panel: its columns in whole vectors.
    pub(super) fn width(&self, panel: usize) -> usize {
        self.vectors(panel).len() * self.lanes
    }

    /// Where the panel lies among all panels.
    pub(super) fn place(&self, panel: usize) -> Range<usize> {
        let vectors = self.vectors(panel);
        let terms = self.sizes.terms * self.lanes;
        vectors.start * terms..vectors.end * terms
    }

    /// Floats of all panels.
    pub(super) fn floats(&self) -> usize {
        self.place(self.count - 1).end
    }

    /// Writes a panel of `right`, with zeros beyond its columns; false if an entry is not finite.
    pub(super) fn pack(&self, engine: Engine, right: Matrix<'_>, panel: usize, packed: &mut [f32]) -> bool {
        let (columns, width, terms) = (self.columns(panel), self.width(panel), self.sizes.terms);
        let (_, length, pitch) = right.lines(terms, self.sizes.columns);
        let data = right.data();
        if right.is_transposed() {
            // Column after column in memory.
            packed_rest(packed, width, columns.len());
            let source = &data[columns.start * pitch..(columns.end - 1) * pitch + length];
            // SAFETY: the source holds the panel's columns, `packed` its terms over the width.
            unsafe { engine.transpose([columns.len(), terms], source, pitch, packed.as_mut_ptr(), width) };
            return columns.clone().all(|column| all_finite(&data[column * pitch..][..terms]));
        }
        let mut finite = true;
        for (term, row) in packed.chunks_exact_mut(width).enumerate() {
            let source = &data[term * pitch..][..length][columns.clone()];
            row[..source.len()].copy_from_slice(source);
            row[source.len()..].fill(0.0);
            finite &= all_finite(source);
        }
        finite
    }
}

/// Zeros in what is left of each row beyond `used`.
fn packed_rest(packed: &mut [f32], width: usize, used: usize) {
    if used < width {
        packed.chunks_exact_mut(width).for_each(|row| row[used..].fill(0.0));
    }
}

simd::multiversion! {
    /// Whether no value is infinite or NaN.
    fn all_finite(values: &[f32]) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        // Counted without a branch: an early return would keep the loop from vectorising.
        values.iter().map(|v| u32::from(v.to_bits() & EXPONENT == EXPONENT)).fold(0, |a, b| a | b) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_every_column_once_in_even_shares() {
        for engine in Engine::all() {
            for (terms, columns) in [(784, 400), (400, 784), (1, 1), (33, 65), (128, 200), (5, 1000)] {
                let panels = Panels::new(engine, Sizes { rows: 1, terms, columns });
                let (mut next, mut place) = (0, 0);
                for panel in 0..panels.count {
                    assert_eq!((panels.columns(panel).start, panels.place(panel).start), (next, place));
                    assert!(panels.width(panel) >= panels.columns(panel).len());
                    assert!(panels.width(panel) <= MOST_VECTORS * engine.lanes());
                    (next, place) = (panels.columns(panel).end, panels.place(panel).end);
                    assert_eq!(place - panels.place(panel).start, terms * panels.width(panel));
                }
                assert_eq!((next, panels.floats()), (columns, place));
                assert!(panels.block.is_multiple_of(16));
            }
        }
    }

    #[test]
    fn infinity_and_nan_are_seen_wherever_they_are() {
        for at in [0, 1, 15, 16, 36] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001)] {
                let mut values = vec![f32::MAX; 37];
                assert!(all_finite(&values));
                values[at] = value;
                assert!(!all_finite(&values), "{value} at {at}");
            }
        }
    }
}

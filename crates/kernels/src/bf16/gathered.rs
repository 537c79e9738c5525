//! The products of convolutions: a left operand that is read through tables of places, see [`crate::conv`].

use super::engine::Engine;
use super::pack::{self, Lines, WORDS, pairs};
use super::product::{BLOCK, Packed, copy_columns, multiply};
use crate::conv::Gather;
use crate::kept::{Kept, halves, halves_mut, words, words_mut};

/// Words of gathered rows at a time: 256 KiB, which the L2 cache holds beside panels.
const GROUP_WORDS: usize = 64 * 1024;

/// A left operand whose elements are rounded on their way.
pub(crate) struct Gathered<'a>(pub Gather<'a>);

impl Gathered<'_> {
    /// The source, rounded.
    fn rounded(&self) -> Kept {
        let mut rounded = Kept::floats(self.0.source.len().div_ceil(2));
        // SAFETY: an engine was chosen, so the processor has what rounding needs.
        unsafe { pack::halves(self.0.source, &mut halves_mut(&mut rounded)[..self.0.source.len()]) };
        rounded
    }

    /// Writes the rows of some `pixels` to `out`, `pitch` halves each, 0 beyond the terms.
    fn rows(&self, source: &[u16], pixels: &[u32], pitch: usize, out: &mut [u16]) {
        for (pixel, out) in pixels.iter().zip(out.chunks_exact_mut(pitch)) {
            let (terms, rest) = out.split_at_mut(self.0.terms.len());
            for (first, out) in self.0.terms.iter().step_by(self.0.run).zip(terms.chunks_exact_mut(self.0.run)) {
                let start = (*pixel + *first) as usize;
                out.copy_from_slice(&source[start..start + self.0.run]);
            }
            rest.fill(0);
        }
    }

    /// `out[places[r] + n] = sum_k a[r, k] b[k, n]` with `right` packed by [`super::pack_right`].
    ///
    /// # Panics
    /// If a place lies outside.
    pub(crate) fn multiply(&self, engine: Engine, columns: usize, right: &[u32], out: &mut [f32], places: &[u32]) {
        if self.0.terms.is_empty() {
            places.iter().for_each(|place| out[*place as usize..*place as usize + columns].fill(0.0));
            return;
        }
        let pairs = pairs(self.0.terms.len());
        let source = self.rounded();
        let group = (GROUP_WORDS / pairs / BLOCK).clamp(1, 8) * BLOCK;
        let mut rows = Kept::floats(group.min(self.0.pixels.len().next_multiple_of(BLOCK)) * pairs);
        for (pixels, places) in self.0.pixels.chunks(group).zip(places.chunks(group)) {
            self.rows(halves(&source), pixels, 2 * pairs, halves_mut(&mut rows));
            let packed = Packed { left: words(&rows), right, pairs };
            multiply(engine, packed, 0..pixels.len(), 0..columns, |block, columns, sums| {
                for (place, sums) in places[block].iter().zip(sums) {
                    let place = *place as usize;
                    copy_columns(sums, &mut out[place + columns.start..place + columns.end]);
                }
            });
        }
    }

    /// `out[k, n] += sum_r a[r, k] b[r, n]` with row-major `b` and `out`.
    pub(crate) fn multiply_transposed(&self, engine: Engine, columns: usize, b: &[f32], out: &mut [f32]) {
        let (terms, count) = (self.0.terms.len(), self.0.pixels.len());
        if terms == 0 || count == 0 || columns == 0 {
            return;
        }
        let (pairs, pitch) = (pairs(count), terms.next_multiple_of(WORDS));
        let mut rows = Kept::floats((count * pitch).div_ceil(2));
        self.rows(halves(&self.rounded()), self.0.pixels, pitch, halves_mut(&mut rows));
        let mut left = Kept::floats(terms.next_multiple_of(BLOCK) * pairs);
        for (index, left) in words_mut(&mut left).chunks_exact_mut(WORDS * pairs).take(pitch / WORDS).enumerate() {
            // SAFETY: an engine was chosen, so the processor has what packing needs.
            unsafe { pack::rows_across_halves(&halves(&rows)[..count * pitch], pitch, index * WORDS, left) };
        }
        let mut right = Kept::floats(columns.next_multiple_of(WORDS) * pairs);
        let lines = Lines { data: b, count, length: columns, pitch: columns };
        for (index, panel) in words_mut(&mut right).chunks_exact_mut(WORDS * pairs).enumerate() {
            // SAFETY: as above.
            unsafe { pack::columns_across(lines, index * WORDS, panel) };
        }
        let packed = Packed { left: words(&left), right: words(&right), pairs };
        multiply(engine, packed, 0..terms, 0..columns, |block, across, sums| {
            for (row, sums) in block.zip(sums) {
                let out = &mut out[row * columns + across.start..row * columns + across.end];
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            }
        });
    }
}

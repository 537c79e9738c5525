//! The products of convolutions: a left operand that is read through tables of places, see [`crate::conv`].

use super::engine::Engine;
use super::pack::{self, STEP, TILE, WORDS};
use super::product::{BLOCK, Packed, copy_columns, multiply, pack_right, steps, words_of, words_of_stripe};
use crate::conv::Gather;
use crate::matrix::Matrix;
use crate::scratch::{Kept, halves, halves_mut, words, words_mut};

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

    /// Where the terms lie in a window, as runs that end with a step or before.
    fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::new();
        for (first, from) in (0..).step_by(self.0.run).zip(self.0.terms.iter().step_by(self.0.run)) {
            let mut done = 0;
            while done < self.0.run {
                let (step, place) = ((first + done) / STEP, (first + done) % STEP);
                let length = (self.0.run - done).min(STEP - place);
                runs.push(Run { from: *from as usize + done, step, place, length });
                done += length;
            }
        }
        runs
    }

    /// Writes the windows of some `pixels` as stripes of rows; what is beyond the terms is left as it is.
    fn windows(&self, source: &[u16], runs: &[Run], pixels: &[u32], out: &mut [u16]) {
        let stripe = 2 * TILE * steps(self.0.terms.len());
        for (stripe, pixels) in out.chunks_exact_mut(stripe).zip(pixels.chunks(WORDS)) {
            for (row, pixel) in pixels.iter().enumerate() {
                for run in runs {
                    let out = &mut stripe[run.step * 2 * TILE + row * STEP..][..STEP];
                    copy(&source[*pixel as usize + run.from..], &mut out[run.place..run.place + run.length]);
                }
            }
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
        let stripe = words_of_stripe(engine, self.0.terms.len());
        let (source, runs) = (self.rounded(), self.runs());
        let group = (GROUP_WORDS / (2 * stripe)).clamp(1, 8) * BLOCK;
        let mut rows = Kept::floats(group.min(self.0.pixels.len()).div_ceil(WORDS) * stripe);
        rows.fill(0.0);
        for (pixels, places) in self.0.pixels.chunks(group).zip(places.chunks(group)) {
            self.windows(halves(&source), &runs, pixels, halves_mut(&mut rows));
            let packed = Packed { left: words(&rows), right, steps: steps(self.0.terms.len()) };
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
        let (length, stripe) = (terms.next_multiple_of(WORDS), words_of_stripe(engine, count));
        let mut rows = Kept::floats((count * length).div_ceil(2));
        let mut left = Kept::floats(words_of(engine, count, terms));
        let windows = &mut halves_mut(&mut rows)[..count * length];
        self.rows(halves(&self.rounded()), windows, length);
        for (index, left) in words_mut(&mut left).chunks_exact_mut(stripe).enumerate() {
            // SAFETY: the engine was chosen, so the processor has what packing needs.
            unsafe { pack::halves_across_terms(windows, length, index * WORDS, left) };
        }
        let mut right = Kept::floats(words_of(engine, count, columns));
        let panels = 0..columns.div_ceil(WORDS);
        pack_right(engine, Matrix::rows(b, columns), [count, columns], panels, words_mut(&mut right));
        let packed = Packed { left: words(&left), right: words(&right), steps: steps(count) };
        multiply(engine, packed, 0..terms, 0..columns, |block, across, sums| {
            for (row, sums) in block.zip(sums) {
                let out = &mut out[row * columns + across.start..row * columns + across.end];
                out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
            }
        });
    }

    /// Writes the windows, `length` halves each, 0 beyond the terms.
    fn rows(&self, source: &[u16], out: &mut [u16], length: usize) {
        for (pixel, out) in self.0.pixels.iter().zip(out.chunks_exact_mut(length)) {
            let (terms, rest) = out.split_at_mut(self.0.terms.len());
            for (first, out) in self.0.terms.iter().step_by(self.0.run).zip(terms.chunks_exact_mut(self.0.run)) {
                let start = (*pixel + *first) as usize;
                out.copy_from_slice(&source[start..start + self.0.run]);
            }
            rest.fill(0);
        }
    }
}

/// Consecutive terms of a window that lie in one step.
struct Run {
    /// Where they begin, counted from the window's beginning.
    from: usize,
    step: usize,
    /// Where in the step they begin.
    place: usize,
    length: usize,
}

/// Copies as many halves as fit; a whole step as one vector, without a call.
#[inline(always)]
fn copy(source: &[u16], out: &mut [u16]) {
    match <&mut [u16; STEP]>::try_from(&mut *out) {
        Ok(out) => out.copy_from_slice(&source[..STEP]),
        Err(_) => out.copy_from_slice(&source[..out.len()]),
    }
}

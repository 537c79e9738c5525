//! The loop over blocks of 32 x 32 results, and the product of dense layers.

use std::ops::Range;

use super::engine::Engine;
use super::pack::{self, Lines, WORDS, pairs};
use super::{dot, tiles};
use crate::kept::{Kept, words, words_mut};
use crate::linear::{Matrix, Sizes};
use crate::pool::{self, SharedMut};

/// Rows and columns of a block.
pub(super) const BLOCK: usize = 32;
/// Multiply-adds of the float32 product from which on packing pays.
const LEAST_WORK: usize = 1_000_000;
/// Multiply-adds that justify one more part: about 20 microseconds on one core without tiles.
const PART_WORK: usize = 2_000_000;
/// Words that justify one more part of packing.
const PART_WORDS: usize = 16_384;

/// What an engine multiplies at once: 32 rows of `pairs` words from `left` on, and two panels of `pairs` rows of 16 words, the same one twice at
/// the right edge. `pairs` is a multiple of 16, not 0. The engine writes all of the block's sums.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub left: *const u32,
    pub right: [*const u32; 2],
    pub pairs: usize,
}

/// Packed operands: rows and panels of `pairs` words.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    /// Whole blocks of rows, whatever lies beyond the last row.
    pub left: &'a [u32],
    pub right: &'a [u32],
    pub pairs: usize,
}

/// Hands the sums of `rows` and `columns` to `put`, block by block: the block's rows and columns and `sums[row][column]`.
///
/// # Panics
/// If the operands do not hold them, or columns do not begin at a panel.
pub(super) fn multiply(
    engine: Engine,
    packed: Packed<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    mut put: impl FnMut(Range<usize>, Range<usize>, &[[f32; 32]; 32]),
) {
    let Packed { left, right, pairs } = packed;
    assert!(pairs > 0 && pairs.is_multiple_of(WORDS), "whole tiles of terms");
    assert!(columns.start.is_multiple_of(WORDS), "columns from the beginning of a panel on");
    let mut sums = [[0f32; 32]; 32];
    let mut work = || {
        for first in columns.clone().step_by(BLOCK) {
            let across = first..(first + BLOCK).min(columns.end);
            let panels = [first, (first + WORDS).min(across.end - 1)].map(|column| panel(right, column / WORDS, pairs));
            for top in rows.clone().step_by(BLOCK) {
                let left = left[top * pairs..(top + BLOCK) * pairs].as_ptr();
                let block = Block { left, right: panels.map(<[u32]>::as_ptr), pairs };
                // SAFETY: the slices above are what a block reads; the processor has the engine's instructions, or `Engine::best` had not chosen it.
                unsafe {
                    match engine {
                        Engine::Dot => dot::block(block, &mut sums),
                        Engine::Tiles => tiles::block(block, &mut sums),
                    }
                }
                put(top..(top + BLOCK).min(rows.end), across.clone(), &sums);
            }
        }
    };
    match engine {
        Engine::Dot => work(),
        // SAFETY: `Engine::best` asked the processor and the system.
        Engine::Tiles => unsafe { tiles::configured(work) },
    }
}

/// The words of one panel.
fn panel(right: &[u32], index: usize, pairs: usize) -> &[u32] {
    &right[index * pairs * WORDS..(index + 1) * pairs * WORDS]
}

/// Words of a packed right operand.
pub(crate) fn words_of_right(terms: usize, columns: usize) -> usize {
    pairs(terms) * columns.next_multiple_of(WORDS)
}

/// How a matrix of `rows` and `columns` lies in memory.
fn lines_of(matrix: Matrix<'_>, rows: usize, columns: usize) -> Lines<'_> {
    let (count, length, pitch) = matrix.lines(rows, columns);
    Lines { data: matrix.data(), count, length, pitch }
}

/// Packs `panels` of a right operand `[terms, columns]` to `out`, which holds them alone.
pub(crate) fn pack_right(right: Matrix<'_>, [terms, columns]: [usize; 2], panels: Range<usize>, out: &mut [u32]) {
    let lines = lines_of(right, terms, columns);
    for (index, out) in panels.zip(out.chunks_exact_mut(pairs(terms) * WORDS)) {
        let first = index * WORDS;
        // SAFETY: an engine was chosen, so the processor has what packing needs.
        unsafe {
            if right.is_transposed() {
                let count = (columns - first).min(WORDS);
                pack::columns_along(Lines { data: &lines.data[first * lines.pitch..], count, ..lines }, out);
            } else {
                pack::columns_across(lines, first, out);
            }
        }
    }
}

/// Packs `rows` of a left operand `[.., terms]`, from a multiple of 16 on, to `out`, which holds them and what fills the last 16.
fn pack_left(left: Matrix<'_>, sizes: Sizes, rows: Range<usize>, out: &mut [u32]) {
    let lines = lines_of(left, sizes.rows, sizes.terms);
    let pitch = pairs(sizes.terms);
    // SAFETY: an engine was chosen, so the processor has what packing needs.
    unsafe {
        if left.is_transposed() {
            for (first, out) in rows.step_by(WORDS).zip(out.chunks_exact_mut(WORDS * pitch)) {
                pack::rows_across(lines, first, out);
            }
        } else {
            let data = &lines.data[rows.start * lines.pitch..];
            pack::rows_along(Lines { data, count: rows.len(), ..lines }, &mut out[..rows.len() * pitch]);
        }
    }
}

/// A product whose operands are packed.
pub(crate) struct Product {
    engine: Engine,
    sizes: Sizes,
    left: Kept,
    right: Kept,
    /// Parts of the rows and of the columns.
    cut: [usize; 2],
}

impl Product {
    /// The product of `left` and `right`; none if it is too small to be worth it.
    pub(crate) fn prepare(engine: Engine, left: Matrix<'_>, right: Matrix<'_>, sizes: Sizes) -> Option<Self> {
        let Sizes { rows, terms, columns } = sizes;
        let worth_it = rows * terms * columns >= LEAST_WORK && rows.min(columns) >= WORDS;
        worth_it.then(|| Self::new(engine, left, right, sizes))
    }

    /// Packs both operands, in one region.
    pub(super) fn new(engine: Engine, left: Matrix<'_>, right: Matrix<'_>, sizes: Sizes) -> Self {
        let Sizes { rows, terms, columns } = sizes;
        let pitch = pairs(terms);
        let panels = columns.div_ceil(WORDS);
        let mut packed_left = Kept::floats(rows.next_multiple_of(BLOCK) * pitch);
        let mut packed_right = Kept::floats(words_of_right(terms, columns));
        let left_parts = pool::parts_for(rows, pitch, PART_WORDS, WORDS);
        let right_parts = pool::parts_for(panels, pitch * WORDS, PART_WORDS, 1);
        let rows_of = SharedMut::new(words_mut(&mut packed_left));
        let panels_of = SharedMut::new(words_mut(&mut packed_right));
        pool::run(left_parts + right_parts, |part| match part.checked_sub(left_parts) {
            None => {
                let range = pool::part_range(rows, left_parts, part, WORDS);
                let room = range.start * pitch..range.end.next_multiple_of(WORDS) * pitch;
                // SAFETY: each 16 rows are one part's, and the buffer outlives the region.
                pack_left(left, sizes, range, unsafe { rows_of.slice(room) });
            }
            Some(part) => {
                let range = pool::part_range(panels, right_parts, part, 1);
                let room = range.start * pitch * WORDS..range.end * pitch * WORDS;
                // SAFETY: each panel is one part's, and the buffer outlives the region.
                pack_right(right, [terms, columns], range, unsafe { panels_of.slice(room) });
            }
        });
        let across = pool::parts_for(columns, rows * terms, PART_WORK, BLOCK);
        let down = if columns >= 256 { 1 } else { pool::parts_for(rows, columns * terms, PART_WORK, BLOCK) };
        let cut = if down > across { [down, 1] } else { [1, across] };
        Self { engine, sizes, left: packed_left, right: packed_right, cut }
    }

    /// How many parts the product is cut into.
    pub(crate) fn parts(&self) -> usize {
        self.cut[0] * self.cut[1]
    }

    /// Rows and columns of the result that `part` computes.
    pub(crate) fn part(&self, part: usize) -> (Range<usize>, Range<usize>) {
        let [down, across] = self.cut;
        let rows = pool::part_range(self.sizes.rows, down, part / across, BLOCK);
        (rows, pool::part_range(self.sizes.columns, across, part % across, BLOCK))
    }

    /// Computes `part` into its place of `out`, `[rows, columns]`.
    ///
    /// # Safety
    /// `out` outlives the region, and nobody else touches the part's rows and columns of it meanwhile.
    pub(crate) unsafe fn run(&self, part: usize, out: &SharedMut<f32>) {
        let (rows, columns) = self.part(part);
        let width = self.sizes.columns;
        let packed = Packed { left: words(&self.left), right: words(&self.right), pairs: pairs(self.sizes.terms) };
        multiply(self.engine, packed, rows, columns, |rows, columns, sums| {
            for (row, sums) in rows.zip(sums) {
                // SAFETY: the caller's promise.
                let out = unsafe { out.slice(row * width + columns.start..row * width + columns.end) };
                copy_columns(sums, out);
            }
        });
    }
}

/// Copies the first columns of a block's row; whole rows as four vectors, without a call.
pub(super) fn copy_columns(sums: &[f32; 32], out: &mut [f32]) {
    match <&mut [f32; 32]>::try_from(&mut *out) {
        Ok(out) => *out = *sums,
        Err(_) => out.copy_from_slice(&sums[..out.len()]),
    }
}

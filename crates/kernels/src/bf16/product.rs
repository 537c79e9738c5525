//! The loop over blocks of 32 x 32 results, and the product of dense layers.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::block::Block;
use super::engine::Engine;
use super::pack::{self, Lines, STEP, TILE, WORDS};
use super::{dot, tiles};
use crate::matrix::{Matrix, Sizes};
use crate::pool::{self, SharedMut};
use crate::scratch::{Kept, words, words_mut};

/// Rows and columns of a block.
pub(super) const BLOCK: usize = 32;
/// Words of the left operand that stay in the L2 cache while all of the right one passes.
const GROUP_WORDS: usize = 256 * 1024;
/// Multiply-adds of the float32 product from which on packing pays.
const LEAST_WORK: usize = 1_000_000;
/// Multiply-adds that justify one more part: about 20 microseconds on one core without tiles.
const PART_WORK: usize = 2_000_000;
/// Words that justify one more part of packing.
const PART_WORDS: usize = 16_384;

/// Packed operands: stripes of 16 rows and of 16 columns, see [`pack`].
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    pub left: &'a [u32],
    pub right: &'a [u32],
    pub steps: usize,
}

/// Steps of `terms`.
pub(super) fn steps(terms: usize) -> usize {
    terms.div_ceil(STEP)
}

/// Words of a stripe.
pub(super) fn words_of_stripe(engine: Engine, terms: usize) -> usize {
    steps(terms) * engine.pieces() * TILE
}

/// Words of an operand of `lines` rows or columns.
pub(crate) fn words_of(engine: Engine, terms: usize, lines: usize) -> usize {
    words_of_stripe(engine, terms) * lines.div_ceil(WORDS)
}

/// Hands the sums of `rows` and `columns` to `put`, block by block: the block's rows and columns and `sums[row][column]`.
///
/// # Panics
/// If the operands do not hold them, or they do not begin at a stripe.
pub(super) fn multiply(
    engine: Engine,
    packed: Packed<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    mut put: impl FnMut(Range<usize>, Range<usize>, &[[f32; 32]; 32]),
) {
    let Packed { left, right, steps } = packed;
    assert!(steps > 0, "a term at least");
    assert!((rows.start | columns.start).is_multiple_of(WORDS), "rows and columns from the beginning of a stripe on");
    let stripe = steps * engine.pieces() * TILE;
    let group = (GROUP_WORDS / (2 * stripe)).max(1) * BLOCK;
    let mut sums = [[0f32; 32]; 32];
    let mut work = || {
        for rows in ranges_of(rows.clone(), group) {
            for across in ranges_of(columns.clone(), BLOCK) {
                let right = stripes(right, &across, stripe);
                for down in ranges_of(rows.clone(), BLOCK) {
                    let block = Block { left: stripes(left, &down, stripe), right, steps };
                    // SAFETY: the stripes are what a block reads; the processor has the engine's instructions, or `Engine::best` had not chosen it.
                    unsafe {
                        match engine {
                            Engine::Dot => dot::block(block, &mut sums),
                            Engine::Tiles => tiles::block(block, &mut sums),
                            Engine::Pieces => tiles::block_of_pieces(block, &mut sums),
                        }
                    }
                    put(down, across.clone(), &sums);
                }
            }
        }
    };
    match engine {
        Engine::Dot => work(),
        // SAFETY: `Engine::best` asked the processor and the system.
        Engine::Tiles | Engine::Pieces => unsafe { tiles::configured(work) },
    }
}

/// A range, `size` at a time.
fn ranges_of(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(size).map(move |start| start..(start + size).min(range.end))
}

/// The two stripes of up to 32 rows or columns, the first one twice where there are no more than 16.
fn stripes(operand: &[u32], lines: &Range<usize>, stripe: usize) -> [*const u32; 2] {
    [lines.start, (lines.start + WORDS).min(lines.end - 1)]
        .map(|line| operand[line / WORDS * stripe..][..stripe].as_ptr())
}

/// Which operand of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// `[rows, terms]`.
    Left,
    /// `[terms, columns]`, seen as `[columns, terms]`.
    Right,
}

/// Packs `stripes` of an operand `[lines, terms]` to `out`, which holds them alone; false if three pieces were asked for and a number was not finite.
fn pack_stripes(
    engine: Engine,
    side: Side,
    operand: Matrix<'_>,
    [count, terms]: [usize; 2],
    stripes: Range<usize>,
    out: &mut [u32],
) -> bool {
    use pack::{across_terms, along_terms};
    let (lines, length, pitch) = operand.lines(count, terms);
    let lines = Lines { data: operand.data(), count: lines, length, pitch };
    let mut finite = true;
    let three = engine == Engine::Pieces;
    for (index, out) in stripes.zip(out.chunks_exact_mut(words_of_stripe(engine, terms))) {
        let first = index * WORDS;
        // SAFETY: the engine was chosen, so the processor has what packing needs.
        finite &= unsafe {
            if operand.is_transposed() {
                match (side, three) {
                    (Side::Left, false) => across_terms::<1, true>(lines, first, out),
                    (Side::Left, true) => across_terms::<3, true>(lines, first, out),
                    (Side::Right, false) => across_terms::<1, false>(lines, first, out),
                    (Side::Right, true) => across_terms::<3, false>(lines, first, out),
                }
            } else {
                let lines = Lines { data: &lines.data[first * pitch..], count: (count - first).min(WORDS), ..lines };
                match (side, three) {
                    (Side::Left, false) => along_terms::<1, false>(lines, out),
                    (Side::Left, true) => along_terms::<3, false>(lines, out),
                    (Side::Right, false) => along_terms::<1, true>(lines, out),
                    (Side::Right, true) => along_terms::<3, true>(lines, out),
                }
            }
        };
    }
    finite
}

/// Packs `stripes` of a right operand `[terms, columns]` to `out`, which holds them alone; false if three pieces were asked for and a number was not finite.
pub(crate) fn pack_right(
    engine: Engine,
    right: Matrix<'_>,
    [terms, columns]: [usize; 2],
    stripes: Range<usize>,
    out: &mut [u32],
) -> bool {
    pack_stripes(engine, Side::Right, right.transposed(), [columns, terms], stripes, out)
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
    /// The product of `left` and `right`; none if it is too small to be worth it, or if something is not finite and cannot be cut into pieces.
    pub(crate) fn prepare(engine: Engine, left: Matrix<'_>, right: Matrix<'_>, sizes: Sizes) -> Option<Self> {
        let Sizes { rows, terms, columns } = sizes;
        let worth_it = rows * terms * columns >= LEAST_WORK && rows.min(columns) >= WORDS;
        if worth_it { Self::new(engine, left, right, sizes) } else { None }
    }

    /// Packs both operands, in one region.
    pub(super) fn new(engine: Engine, left: Matrix<'_>, right: Matrix<'_>, sizes: Sizes) -> Option<Self> {
        let Sizes { rows, terms, columns } = sizes;
        let mut packed = [rows, columns].map(|lines| Kept::floats(words_of(engine, terms, lines)));
        let [left_words, right_words] = &mut packed;
        let operands = [
            (Side::Left, left, rows, SharedMut::new(words_mut(left_words))),
            (Side::Right, right.transposed(), columns, SharedMut::new(words_mut(right_words))),
        ];
        let stripe = words_of_stripe(engine, terms);
        let parts = [rows, columns].map(|lines| pool::parts_for(lines.div_ceil(WORDS), stripe, PART_WORDS, 1));
        let finite = AtomicBool::new(true);
        pool::run(parts[0] + parts[1], |part| {
            let (second, part) = pool::merged(part, parts);
            let (side, operand, lines, out) = &operands[usize::from(second)];
            let stripes = pool::part_range(lines.div_ceil(WORDS), parts[usize::from(second)], part, 1);
            // SAFETY: each stripe is one part's, and the buffer outlives the region.
            let out = unsafe { out.slice(stripes.start * stripe..stripes.end * stripe) };
            if !pack_stripes(engine, *side, *operand, [*lines, terms], stripes, out) {
                finite.store(false, Relaxed);
            }
        });
        let across = pool::parts_for(columns, rows * terms, PART_WORK, BLOCK);
        let down = if columns >= 256 { 1 } else { pool::parts_for(rows, columns * terms, PART_WORK, BLOCK) };
        let cut = if down > across { [down, 1] } else { [1, across] };
        let [left, right] = packed;
        finite.into_inner().then_some(Self { engine, sizes, left, right, cut })
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
        multiply(self.engine, self.packed(), rows, columns, |rows, columns, sums| {
            for (row, sums) in rows.zip(sums) {
                // SAFETY: the caller's promise.
                let out = unsafe { out.slice(row * width + columns.start..row * width + columns.end) };
                copy_columns(sums, out);
            }
        });
    }

    /// Computes `rows`, the first a multiple of 16, to `out`, `[rows, columns]`.
    ///
    /// # Panics
    /// If the rows are not the product's, or `out` does not hold them alone.
    pub(crate) fn write_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let (first, width) = (rows.start, self.sizes.columns);
        assert!(rows.end <= self.sizes.rows && out.len() == rows.len() * width, "rows of the product");
        multiply(self.engine, self.packed(), rows, 0..width, |rows, columns, sums| {
            for (row, sums) in rows.zip(sums) {
                copy_columns(sums, &mut out[(row - first) * width..][columns.clone()]);
            }
        });
    }

    fn packed(&self) -> Packed<'_> {
        Packed { left: words(&self.left), right: words(&self.right), steps: steps(self.sizes.terms) }
    }
}

/// Copies the first columns of a block's row; whole rows as four vectors, without a call.
pub(super) fn copy_columns(sums: &[f32; 32], out: &mut [f32]) {
    match <&mut [f32; 32]>::try_from(&mut *out) {
        Ok(out) => *out = *sums,
        Err(_) => out.copy_from_slice(&sums[..out.len()]),
    }
}

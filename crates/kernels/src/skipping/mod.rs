//! Products that skip the zeros of their left operand: `out[r, n] = sum over k with left[r, k] != 0 of left[r, k] right[k, n]`.
//!
//! Four fifths of MNIST's pixels are 0, and so is about half of what leaves a ReLU; a dense product multiplies by them all. Here each row of the left
//! operand becomes a list of its entries that are not 0, and each entry adds a multiple of one row of the right operand to sums that stay in registers,
//! read from a panel of the right operand that stays in the L1 cache.
//!
//! That is the same sum without some of its terms: `0 * w` is 0 for every finite `w`. Where the right operand holds an infinity or NaN, [`Skipping::prepare`]
//! gives none and the caller takes the dense product, which lets it travel. Which of the two runs depends on shapes and values alone, never on the number
//! of threads. Machines without AVX2 always take the dense one: this module is not compiled for other processors.

mod avx2;
pub(crate) mod avx512;
mod engine;
mod lists;
mod panels;
mod register_loop;
mod work;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use engine::Engine;
use lists::Lists;
use panels::Panels;
use work::Work;

use crate::matrix::{Matrix, Sizes};
use crate::pool::{self, SharedMut};
use crate::scratch::Kept;

/// The largest share of entries other than 0 for which this is the faster product, measured on layers of 784 by 400.
pub(crate) const DENSEST: f32 = 0.6;
/// Rows of the left operand that are looked at to tell.
const SAMPLED: usize = 16;
/// Multiply-adds of the dense product from which on lists and panels pay.
const LEAST_WORK: usize = 2_000_000;
/// Columns from which on an entry's place and value are read for enough multiply-adds.
const LEAST_COLUMNS: usize = 64;
/// Rows that make a panel's way into the L1 cache worth it.
const GROUP_ROWS: usize = 128;

/// Whether a product is large enough.
fn worth_it(sizes: Sizes) -> bool {
    sizes.columns >= LEAST_COLUMNS && sizes.rows * sizes.terms * sizes.columns >= LEAST_WORK
}

/// A product whose lists and panels are written.
pub(crate) struct Skipping {
    engine: Engine,
    sizes: Sizes,
    panels: Panels,
    /// Parts that the rows are cut into.
    groups: usize,
    lists: Lists,
    packed: Kept,
}

impl Skipping {
    /// The product of `left` and `right`; none if `left` has a larger share of entries than `densest`, if the product is small, or if something in `right` is
    /// not finite.
    pub(crate) fn prepare(left: Matrix<'_>, right: Matrix<'_>, sizes: Sizes, densest: f32) -> Option<Self> {
        let engine = Engine::best()?;
        if worth_it(sizes) && density(left, sizes) <= densest { Self::new(engine, left, right, sizes) } else { None }
    }

    /// Writes lists and panels, in one region.
    fn new(engine: Engine, left: Matrix<'_>, right: Matrix<'_>, sizes: Sizes) -> Option<Self> {
        let panels = Panels::new(engine, sizes);
        let mut lists = Lists::new(sizes, panels.block);
        let mut packed = Kept::floats(panels.floats());
        let row_parts = pool::parts_for(sizes.rows, sizes.terms, 32_768, 16);
        let finite = AtomicBool::new(true);
        let (rows_of, target) = (lists.writer(), SharedMut::new(&mut packed));
        pool::run(panels.count + row_parts, |part| match pool::merged(part, [panels.count, row_parts]) {
            (false, part) => {
                // SAFETY: each panel is one part's, and the buffer outlives the region.
                let packed = unsafe { target.slice(panels.place(part)) };
                if !panels.pack(engine, right, part, packed) {
                    finite.store(false, Relaxed);
                }
            }
            (true, part) => {
                let rows = pool::part_range(sizes.rows, row_parts, part, 16);
                // SAFETY: each row's list is one part's, and the buffers outlive the region.
                unsafe { rows_of.fill(engine, left, rows) };
            }
        });
        let groups = (sizes.rows / GROUP_ROWS).clamp(1, (16 / panels.count).max(1));
        finite.into_inner().then_some(Self { engine, sizes, panels, groups, lists, packed })
    }

    /// How many parts the product is cut into.
    pub(crate) fn parts(&self) -> usize {
        self.panels.count * self.groups
    }

    /// Rows and columns of the result that `part` computes.
    pub(crate) fn part(&self, part: usize) -> (Range<usize>, Range<usize>) {
        let rows = pool::part_range(self.sizes.rows, self.groups, part / self.panels.count, 16);
        (rows, self.panels.columns(part % self.panels.count))
    }

    /// Computes `part` into its place of `out`, `[rows, columns]`.
    ///
    /// # Safety
    /// `out` outlives the region, and nobody else touches the part's rows and columns of it meanwhile.
    pub(crate) unsafe fn run(&self, part: usize, out: &SharedMut<f32>) {
        let (rows, columns) = self.part(part);
        let width = self.sizes.columns;
        assert!(self.sizes.rows * width <= out.len(), "room for the product");
        // SAFETY: the part's rows and columns lie inside `out` by the assertion, and are its own by the caller's promise.
        unsafe {
            let first = out.as_mut_ptr().add(rows.start * width + columns.start);
            self.multiply(part % self.panels.count, rows, first, width);
        }
    }

    /// Computes `rows` to `out`, `[rows, columns]`.
    ///
    /// # Panics
    /// If the rows are not the product's, or `out` does not hold them alone.
    pub(crate) fn write_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let width = self.sizes.columns;
        assert!(rows.end <= self.sizes.rows && out.len() == rows.len() * width, "rows of the product");
        for panel in 0..self.panels.count {
            let first = self.panels.columns(panel).start;
            // SAFETY: the panel's columns of all rows lie inside `out` by the assertion, which is borrowed for us alone.
            unsafe { self.multiply(panel, rows.clone(), out.as_mut_ptr().add(first), width) };
        }
    }

    /// Computes `part` into its place of the transposed `out`, `[columns, rows]`.
    ///
    /// # Safety
    /// As for [`Self::run`].
    pub(crate) unsafe fn run_transposed(&self, part: usize, out: &SharedMut<f32>) {
        let (rows, columns) = self.part(part);
        let (panel, height) = (part % self.panels.count, self.sizes.rows);
        assert!(height * self.sizes.columns <= out.len(), "room for the product");
        let width = self.panels.width(panel);
        let mut tile = Kept::floats(rows.len() * width);
        // SAFETY: the tile holds the rows over the panel's width. Its transpose lies inside `out` by the assertion, and is the part's own by the caller's promise.
        unsafe {
            self.multiply(panel, rows.clone(), tile.as_mut_ptr(), width);
            let first = out.as_mut_ptr().add(columns.start * height + rows.start);
            self.engine.transpose([rows.len(), columns.len()], &tile, width, first, height);
        }
    }

    /// Rows times one panel, to `out` with `pitch` between rows.
    ///
    /// # Safety
    /// `out` may be written at the panel's columns of each row.
    unsafe fn multiply(&self, panel: usize, rows: Range<usize>, out: *mut f32, pitch: usize) {
        let (packed, width) = (&self.packed[self.panels.place(panel)], self.panels.width(panel));
        let columns = self.panels.columns(panel).len();
        for (block, terms) in packed.chunks(self.panels.block * width).enumerate() {
            let work =
                Work { lists: self.lists.of(block), rows: rows.clone(), add: block > 0, panel: terms, width, columns };
            // SAFETY: the caller's promise; the lists' places are rows of the block.
            unsafe { self.engine.multiply(&work, out, pitch) };
        }
    }
}

/// The share of entries other than 0, from some rows (or columns, where those lie together in memory) evenly apart.
fn density(left: Matrix<'_>, sizes: Sizes) -> f32 {
    let (lines, length, pitch) = left.lines(sizes.rows, sizes.terms);
    let taken = lines.min(SAMPLED);
    let line = |i: usize| &left.data()[(i * lines / taken) * pitch..][..length];
    let kept: usize = (0..taken).map(|i| line(i).iter().filter(|v| **v != 0.0).count()).sum();
    kept as f32 / (taken * length).max(1) as f32
}

#[cfg(test)]
mod tests;

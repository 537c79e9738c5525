//! The left operand as lists: for each row the places and values of its entries other than 0.

use std::ops::Range;

use super::engine::Engine;
use super::work::Block;
use crate::matrix::{Matrix, Sizes};
use crate::pool::SharedMut;
use crate::scratch::{Kept, words, words_mut};

/// What vector stores may write beyond the last entry.
const SLACK: usize = 16;

/// Lists of all rows.
///
/// A row has room for all its terms, so that rows are written independently of each other; what is not used costs no memory traffic.
pub(super) struct Lists {
    sizes: Sizes,
    /// Terms of a block.
    block: usize,
    blocks: usize,
    /// Room of a row.
    pitch: usize,
    values: Kept,
    /// The entries' terms, counted from the beginning of their block; bits of integers.
    places: Kept,
    /// For each row and block where its entries end; bits of integers.
    ends: Kept,
}

impl Lists {
    /// Lists to be written through [`Self::writer`].
    pub(super) fn new(sizes: Sizes, block: usize) -> Self {
        let (blocks, pitch) = (sizes.terms.div_ceil(block), sizes.terms.next_multiple_of(16) + SLACK);
        let [values, places] = [(); 2].map(|()| Kept::floats(sizes.rows * pitch));
        Self { sizes, block, blocks, pitch, values, places, ends: Kept::floats(sizes.rows * blocks) }
    }

    pub(super) fn of(&self, block: usize) -> Block<'_> {
        Block {
            values: &self.values,
            places: words(&self.places),
            ends: words(&self.ends),
            index: block,
            blocks: self.blocks,
            pitch: self.pitch,
        }
    }

    pub(super) fn writer(&mut self) -> Writer {
        Writer {
            sizes: self.sizes,
            block: self.block,
            blocks: self.blocks,
            pitch: self.pitch,
            values: SharedMut::new(&mut self.values),
            places: SharedMut::new(words_mut(&mut self.places)),
            ends: SharedMut::new(words_mut(&mut self.ends)),
        }
    }
}

/// Writes lists, some rows at a time.
pub(super) struct Writer {
    sizes: Sizes,
    block: usize,
    blocks: usize,
    pitch: usize,
    values: SharedMut<f32>,
    places: SharedMut<u32>,
    ends: SharedMut<u32>,
}

impl Writer {
    /// Writes the lists of `rows`.
    ///
    /// # Safety
    /// The lists outlive the writer, and nobody else touches those of `rows` meanwhile.
    pub(super) unsafe fn fill(&self, engine: Engine, left: Matrix<'_>, rows: Range<usize>) {
        let (_, length, pitch) = left.lines(self.sizes.rows, self.sizes.terms);
        if !left.is_transposed() {
            for row in rows {
                // SAFETY: the caller's promise.
                unsafe { self.fill_row(engine, &left.data()[row * pitch..][..length], row) };
            }
            return;
        }
        // Rows lie across memory: a few at a time are laid along it.
        let terms = self.sizes.terms;
        let mut tile = Kept::floats(16 * terms);
        for first in rows.clone().step_by(16) {
            let few = first..(first + 16).min(rows.end);
            let source = &left.data()[few.start..(terms - 1) * pitch + few.end];
            // SAFETY: the source holds the few columns of all terms, the tile those rows.
            unsafe { engine.transpose([terms, few.len()], source, pitch, tile.as_mut_ptr(), terms) };
            for (row, line) in few.zip(tile.chunks_exact(terms)) {
                // SAFETY: the caller's promise.
                unsafe { self.fill_row(engine, line, row) };
            }
        }
    }

    /// Writes the list of one row.
    ///
    /// # Safety
    /// As for [`Self::fill`].
    unsafe fn fill_row(&self, engine: Engine, line: &[f32], row: usize) {
        let room = row * self.pitch..(row + 1) * self.pitch;
        // SAFETY: the row is the caller's own.
        let (values, places, ends) = unsafe {
            let ends = self.ends.slice(row * self.blocks..(row + 1) * self.blocks);
            (self.values.slice(room.clone()), self.places.slice(room), ends)
        };
        let mut count = 0;
        for (terms, end) in line.chunks(self.block).zip(ends) {
            count += engine.compress(terms, &mut values[count..], &mut places[count..]);
            *end = count as u32;
        }
    }
}

//! One head's rows as the products of tiles want them.

use std::ops::Range;

use super::engine::Engine;
use super::shape::{AttentionShape, Strided};
use super::tile::{Left, Right};
use crate::scratch::Kept;

/// Queries of a tile. With [`KEY_TILE`], the scores of a tile and what they meet stay in the second-level cache.
pub(super) const QUERY_TILE: usize = 96;
/// Keys of a tile, a multiple of every engine's panel. Of 128, 192 and 256 the last is the fastest: fewer sums are read
/// again to be added to.
pub(super) const KEY_TILE: usize = 256;
/// Distance between the rows of a tile of scores. With a power of two, a column's lines would share few sets of the
/// first-level cache and push each other out where the tile is read across.
pub(super) const SCORE_PITCH: usize = KEY_TILE + 16;

/// Rows of a head one after the other, padded with zeros to whole panels.
pub(super) struct Rows {
    pub values: Kept,
    /// Distance between rows.
    pub pitch: usize,
    panel: usize,
}

impl Rows {
    /// The rows of some tokens of a head ([`Strided::rows`]), times `factor`.
    pub(super) fn copy<'a>(
        engine: Engine,
        shape: &AttentionShape,
        of: impl ExactSizeIterator<Item = &'a [f32]>,
        factor: f32,
    ) -> Self {
        let mut rows = Self::room(engine, shape, of.len());
        for (out, row) in rows.values.chunks_exact_mut(rows.pitch).zip(of) {
            copy_scaled(row, out, factor);
        }
        rows
    }

    /// `count` rows with whatever was there.
    pub(super) fn room(engine: Engine, shape: &AttentionShape, count: usize) -> Self {
        let panel = engine.panel();
        let pitch = shape.width.next_multiple_of(panel);
        Self { values: Kept::floats(count * pitch), pitch, panel }
    }

    /// Panels of a row.
    pub(super) fn panels(&self) -> usize {
        self.pitch / self.panel
    }

    /// Values from row `first` on.
    pub(super) fn after(&self, first: usize) -> &[f32] {
        &self.values[first * self.pitch..]
    }

    /// As [`Self::after`], for writing.
    pub(super) fn after_mut(&mut self, first: usize) -> &mut [f32] {
        &mut self.values[first * self.pitch..]
    }

    /// The first `width` values of row `token`.
    pub(super) fn row(&self, token: usize, width: usize) -> &[f32] {
        &self.after(token)[..width]
    }
}

/// `out = factor row`, filled up with zeros.
fn copy_scaled(row: &[f32], out: &mut [f32], factor: f32) {
    let (to, padding) = out.split_at_mut(row.len());
    to.iter_mut().zip(row).for_each(|(to, value)| *to = factor * value);
    padding.fill(0.0);
}

/// Rows of a head in panels of columns, each a line of cache or two wide. As a right operand, a panel's terms follow each
/// other; as a left one, so do its rows.
pub(super) struct Panels {
    values: Kept,
    width: usize,
    tokens: usize,
}

impl Panels {
    /// The rows of some tokens of a head ([`Strided::rows`]), times `factor`, filled up with zeros.
    pub(super) fn copy<'a>(
        engine: Engine,
        shape: &AttentionShape,
        of: impl ExactSizeIterator<Item = &'a [f32]>,
        factor: f32,
    ) -> Self {
        let (width, count) = (engine.panel(), of.len());
        let panel = width * count;
        let mut values = Kept::floats(shape.width.next_multiple_of(width) * count);
        for (place, row) in of.enumerate() {
            for (row, panel) in row.chunks(width).zip(values.chunks_exact_mut(panel)) {
                copy_scaled(row, &mut panel[place * width..(place + 1) * width], factor);
            }
        }
        Self { values, width, tokens: count }
    }

    /// The left operand whose rows are tokens, from `first` on.
    pub(super) fn left(&self, first: usize) -> Left<'_> {
        let (run, jump) = (self.width, self.width * self.tokens);
        Left { data: &self.values[first * self.width..], row: self.width, step: 1, run, jump }
    }

    /// The right operand whose terms are tokens, from `first` on.
    pub(super) fn right(&self, first: usize) -> Right<'_> {
        Right { data: &self.values[first * self.width..], row: self.width, panel: self.width * self.tokens }
    }
}

/// Rows of a head across: a column for each token, in panels, the last filled up with zeros.
pub(super) struct Columns {
    values: Kept,
    panel: usize,
    width: usize,
}

impl Columns {
    /// The columns of all `tokens`.
    pub(super) fn copy(
        engine: Engine,
        shape: &AttentionShape,
        of: Strided<'_>,
        unit: usize,
        tokens: Range<usize>,
    ) -> Self {
        let (panel, width) = (engine.panel(), shape.width);
        let mut values = Kept::floats(tokens.len().next_multiple_of(panel) * width);
        let mut rows = of.rows(shape, unit, tokens);
        for lines in values.chunks_exact_mut(panel * width) {
            let rows: Vec<&[f32]> = rows.by_ref().take(panel).collect();
            transpose(&rows, lines, panel);
        }
        Self { values, panel, width }
    }

    /// The columns from token `first` on, a multiple of [`KEY_TILE`].
    pub(super) fn right(&self, first: usize) -> Right<'_> {
        Right { data: &self.values[first * self.width..], row: self.panel, panel: self.panel * self.width }
    }
}

/// Writes `rows` as columns of `lines`, each of `panel` values; columns without a row are 0.
fn transpose(rows: &[&[f32]], lines: &mut [f32], panel: usize) {
    if rows.len() < panel {
        lines.fill(0.0);
    }
    let mut lane = 0;
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if crate::simd::level() >= crate::simd::Level::Avx2 {
        while let Some(eight) = rows.get(lane..lane + 8) {
            let eight = eight.try_into().expect("eight rows");
            // SAFETY: the processor has AVX2 and FMA.
            unsafe { super::avx2::transpose_eight(eight, &mut lines[lane..], panel) };
            lane += 8;
        }
    }
    for (lane, row) in rows.iter().enumerate().skip(lane) {
        for (line, value) in lines.chunks_exact_mut(panel).zip(*row) {
            line[lane] = *value;
        }
    }
}

/// The tiles of `size` tokens in `tokens`.
pub(super) fn tiles(tokens: Range<usize>, size: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
    tokens.clone().step_by(size).map(move |start| start..(start + size).min(tokens.end))
}

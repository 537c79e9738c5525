//! One head's rows as the products of tiles want them.

use std::ops::Range;

use super::engine::Engine;
use super::shape::{AttentionShape, Strided};
use super::tile::Right;
use crate::scratch::Kept;

/// Queries of a tile. With [`KEY_TILE`], the scores of a tile and what they meet stay in the second-level cache.
pub(super) const QUERY_TILE: usize = 96;
/// Keys of a tile, a multiple of every engine's panel.
pub(super) const KEY_TILE: usize = 128;

/// Rows of a head one after the other, padded with zeros to whole panels.
pub(super) struct Rows {
    pub values: Kept,
    /// Distance between rows.
    pub pitch: usize,
    panel: usize,
}

impl Rows {
    /// The rows of `tokens`, times `factor`.
    pub(super) fn copy(
        engine: Engine,
        shape: &AttentionShape,
        of: Strided<'_>,
        unit: usize,
        tokens: Range<usize>,
        factor: f32,
    ) -> Self {
        let mut rows = Self::room(engine, shape, tokens.len());
        for (out, token) in rows.values.chunks_exact_mut(rows.pitch).zip(tokens) {
            let (row, padding) = out.split_at_mut(shape.width);
            row.copy_from_slice(of.row(shape, unit, token));
            if factor != 1.0 {
                row.iter_mut().for_each(|value| *value *= factor);
            }
            padding.fill(0.0);
        }
        rows
    }

    /// `count` rows of zeros.
    pub(super) fn zeros(engine: Engine, shape: &AttentionShape, count: usize) -> Self {
        let mut rows = Self::room(engine, shape, count);
        rows.values.fill(0.0);
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

    /// The rows from `first` on as a right operand: row `k` is term `k`.
    pub(super) fn right(&self, first: usize) -> Right<'_> {
        Right { data: self.after(first), row: self.pitch, panel: self.panel }
    }

    /// The first `width` values of row `token`.
    pub(super) fn row(&self, token: usize, width: usize) -> &[f32] {
        &self.after(token)[..width]
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
        let mut first = tokens.start;
        for lines in values.chunks_exact_mut(panel * width) {
            let rows: Vec<&[f32]> =
                (first..tokens.end.min(first + panel)).map(|token| of.row(shape, unit, token)).collect();
            transpose(&rows, lines, panel);
            first += panel;
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
    for (lane, row) in rows.iter().enumerate() {
        for (line, value) in lines.chunks_exact_mut(panel).zip(*row) {
            line[lane] = *value;
        }
    }
}

/// The tiles of `size` tokens in `tokens`.
pub(super) fn tiles(tokens: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    tokens.clone().step_by(size).map(move |start| start..(start + size).min(tokens.end))
}

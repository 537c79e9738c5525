//! The operands of a product of tiles.

/// The left operand: element `[r, k]` is `data[k / run * jump + r * row + k % run * step]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub step: usize,
    /// Terms that are `step` apart, and the distance between the first of them and the first of the next ones.
    pub run: usize,
    pub jump: usize,
}

impl<'a> Left<'a> {
    /// An operand whose terms are all `step` apart.
    pub(super) fn even(data: &'a [f32], row: usize, step: usize) -> Self {
        Self { data, row, step, run: usize::MAX, jump: 0 }
    }

    /// Where the last of `rows` has the last of `terms`, of which there is one at least.
    pub(super) fn last(&self, rows: usize, terms: usize) -> usize {
        let (runs, term) = ((terms - 1) / self.run, (terms - 1) % self.run);
        let within = if runs > 0 { self.run - 1 } else { term };
        (rows - 1) * self.row
            + (runs * self.jump + term * self.step).max(runs.saturating_sub(1) * self.jump + within * self.step)
    }
}

/// The right operand in panels of [`super::engine::Engine::panel`] columns: element `[k, n]` of
/// panel `p` is `data[p * panel + k * row + n]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub panel: usize,
}

/// The result: element `[r, n]` is `data[r * row + n]`.
pub(super) struct Out<'a> {
    pub data: &'a mut [f32],
    pub row: usize,
}

/// Sizes of a product of tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    pub rows: usize,
    pub terms: usize,
    /// Columns in whole panels.
    pub panels: usize,
}

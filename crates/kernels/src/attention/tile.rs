//! The operands of a product of tiles.

/// The left operand: element `[r, k]` is `data[r * row + k * step]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub step: usize,
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

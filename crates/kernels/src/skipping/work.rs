//! What an engine is given at once.

use std::ops::Range;

/// The lists as the engines read them, for one block.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub values: &'a [f32],
    pub places: &'a [u32],
    pub ends: &'a [u32],
    pub index: usize,
    pub blocks: usize,
    pub pitch: usize,
}

impl Block<'_> {
    /// Where the entries of `row` lie in `values` and `places`.
    #[inline(always)]
    pub(super) fn entries(&self, row: usize) -> Range<usize> {
        let at = row * self.blocks + self.index;
        let start = if self.index == 0 { 0 } else { self.ends[at - 1] };
        row * self.pitch + start as usize..row * self.pitch + self.ends[at] as usize
    }
}

/// Some rows times one block of one panel.
pub(super) struct Work<'a> {
    pub lists: Block<'a>,
    pub rows: Range<usize>,
    /// Whether to add to what is there.
    pub add: bool,
    /// The block's terms over the panel's width.
    pub panel: &'a [f32],
    pub width: usize,
    /// Columns that are written, the last `width - columns < lanes` aside.
    pub columns: usize,
}

//! What an engine of bfloat16 products is given at once.

/// What an engine multiplies at once: two stripes of the left operand by two of the right one,
/// where an edge takes one of them twice. Each is `steps` times the tiles of its pieces. The engine
/// writes all of the block's sums.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub left: [*const u32; 2],
    pub right: [*const u32; 2],
    pub steps: usize,
}

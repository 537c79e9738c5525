//! Sizes of an attention, and where a tensor keeps a head's rows.

use std::ops::Range;

use crate::simd;

/// Rows that are on their way from memory while one is read or written.
pub(super) const AHEAD: usize = 8;

/// Sizes of an attention of `heads` heads over `batch` examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AttentionShape {
    pub batch: usize,
    pub heads: usize,
    pub queries: usize,
    pub keys: usize,
    pub width: usize,
    pub causal: bool,
}

impl AttentionShape {
    /// Heads of all examples.
    pub(crate) fn units(&self) -> usize {
        self.batch * self.heads
    }

    /// How many keys `query` sees, from the first on.
    pub(super) fn visible(&self, query: usize) -> usize {
        if self.causal { (query + 1 + self.keys).saturating_sub(self.queries).min(self.keys) } else { self.keys }
    }

    /// What products of queries and keys are multiplied by, `1 / sqrt(width)`.
    pub(super) fn scale(&self) -> f32 {
        (1.0 / (self.width as f64).sqrt()) as f32
    }
}

/// A tensor `[batch, tokens, heads, width]` whose rows of `width` lie together and anything else anywhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub data: &'a [f32],
    /// Where the first value lies.
    pub start: usize,
    /// Distances between examples, tokens and heads.
    pub strides: [usize; 3],
}

impl<'a> Strided<'a> {
    /// A tensor whose values follow each other in the order of its dimensions.
    pub(crate) fn contiguous(data: &'a [f32], [tokens, heads, width]: [usize; 3]) -> Self {
        Self { data, start: 0, strides: [tokens * heads * width, heads * width, width] }
    }

    /// The rows of some tokens of a head, whose neighbours in memory belong to other heads: those that come next are asked
    /// for while one is read.
    pub(super) fn rows(
        self,
        shape: &AttentionShape,
        unit: usize,
        tokens: Range<usize>,
    ) -> impl ExactSizeIterator<Item = &'a [f32]> {
        let last = tokens.end.saturating_sub(1);
        tokens.map(move |token| {
            simd::prefetch(self.row(shape, unit, (token + AHEAD).min(last)).as_ptr(), shape.width);
            self.row(shape, unit, token)
        })
    }

    /// The row of one token in head `unit % heads` of example `unit / heads`.
    pub(super) fn row(&self, shape: &AttentionShape, unit: usize, token: usize) -> &'a [f32] {
        let [batch, tokens, heads] = self.strides;
        let place = self.start + unit / shape.heads * batch + token * tokens + unit % shape.heads * heads;
        &self.data[place..place + shape.width]
    }
}

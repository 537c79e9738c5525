//! The backward pass: each tile of probabilities is computed again from the kept sums (Dao et al.
//! 2022, arXiv:2205.14135, algorithm 4).

use std::ops::Range;

use super::engine::Engine;
use super::forward::for_parts;
use super::head::{Columns, KEY_TILE, Panels, QUERY_TILE, Rows, SCORE_PITCH, tiles};
use super::shape::{AHEAD, AttentionShape, Strided};
use super::softmax;
use super::tile::{Left, Out, Tile};
use crate::pool::{Room, SharedMut};
use crate::scratch::Kept;
use crate::simd;
use std::mem::MaybeUninit;

/// What the forward pass had and found, and what comes from above.
pub(crate) struct Saved<'a> {
    pub q: Strided<'a>,
    pub k: Strided<'a>,
    pub v: Strided<'a>,
    /// `[batch, queries, heads, width]`, as is `dy`.
    pub y: &'a [f32],
    pub log_sums: &'a [f32],
    pub dy: &'a [f32],
}

/// `dq`, `dk` and `dv`, each `[batch, tokens, heads, width]`.
pub(crate) fn backward(shape: &AttentionShape, saved: &Saved<'_>) -> [Vec<f32>; 3] {
    let tokens = [shape.queries, shape.keys, shape.keys];
    let counts = tokens.map(|tokens| shape.units() * tokens * shape.width);
    let mut rooms = counts.map(Room::new);
    let mut to = counts.iter();
    let to = rooms.each_mut().map(|room| room.target(*to.next().expect("three of each")));
    for_parts(shape.units(), |unit| {
        let gradients = Head::new(shape, saved, unit).gradients();
        let place = Place::of(shape, unit, [shape.heads, 0]);
        for ((rows, to), tokens) in gradients.iter().zip(&to).zip(tokens) {
            // SAFETY: each head is one part's, and the buffers outlive the region.
            unsafe { place.write(rows, tokens, to) };
        }
    });
    let mut counts = counts.iter();
    // SAFETY: the parts cover all heads, and each writes all its rows.
    rooms.map(|room| unsafe { room.written(*counts.next().expect("three of each")) })
}

/// `dq`, `dk` and `dv` of as many queries as keys, one after another for each token: `[batch, tokens, 3 * heads, width]`.
pub(crate) fn backward_together(shape: &AttentionShape, saved: &Saved<'_>) -> Vec<f32> {
    assert_eq!(shape.queries, shape.keys, "a query and a key of each token");
    let count = 3 * shape.units() * shape.keys * shape.width;
    let mut room = Room::new(count);
    let to = room.target(count);
    for_parts(shape.units(), |unit| {
        for (part, rows) in Head::new(shape, saved, unit).gradients().iter().enumerate() {
            let place = Place::of(shape, unit, [3 * shape.heads, part * shape.heads]);
            // SAFETY: each head is one part's, and the buffer outlives the region.
            unsafe { place.write(rows, shape.keys, &to) };
        }
    });
    // SAFETY: the parts cover all heads, and each writes all its rows of the three gradients.
    unsafe { room.written(count) }
}

/// Where a head's rows lie in a tensor `[batch, tokens, heads, width]`.
struct Place {
    example: usize,
    head: usize,
    heads: usize,
    width: usize,
}

impl Place {
    /// In a tensor of so many heads a token, where those of the attention begin at the second number.
    fn of(shape: &AttentionShape, unit: usize, [heads, first]: [usize; 2]) -> Self {
        Self { example: unit / shape.heads, head: first + unit % shape.heads, heads, width: shape.width }
    }

    /// Writes the rows of the tokens.
    ///
    /// # Safety
    /// Nobody else touches them meanwhile, and the buffer outlives the call.
    unsafe fn write(&self, rows: &Rows, tokens: usize, to: &SharedMut<MaybeUninit<f32>>) {
        let Self { example, head, heads, width } = *self;
        let place = |token: usize| ((example * tokens + token) * heads + head) * width;
        for token in 0..tokens {
            let ahead = place((token + AHEAD).min(tokens - 1));
            let place = place(token);
            simd::prefetch(to.as_mut_ptr().wrapping_add(ahead), width);
            // SAFETY: the caller's promise.
            unsafe { to.slice(place..place + width) }.write_copy_of_slice(rows.row(token, width));
        }
    }
}

/// One head. `q` and `k` are scaled: their products with the columns are scores, and those with slopes are gradients.
struct Head<'a> {
    engine: Engine,
    shape: &'a AttentionShape,
    log_sums: &'a [f32],
    q: Panels,
    dy: Panels,
    k: Panels,
    k_columns: Columns,
    v_columns: Columns,
    /// `sum p dp` of each query, which is `y . dy`.
    means: Vec<f32>,
}

impl<'a> Head<'a> {
    fn new(shape: &'a AttentionShape, saved: &Saved<'a>, unit: usize) -> Self {
        let engine = Engine::best();
        let (queries, keys) = (0..shape.queries, 0..shape.keys);
        let contiguous = |data| Strided::contiguous(data, [shape.queries, shape.heads, shape.width]);
        let (y, dy) = (contiguous(saved.y), contiguous(saved.dy));
        let rows = |of: Strided<'a>| of.rows(shape, unit, queries.clone());
        Self {
            engine,
            shape,
            log_sums: &saved.log_sums[unit * shape.queries..(unit + 1) * shape.queries],
            q: Panels::copy(engine, shape, saved.q.rows(shape, unit, queries.clone()), shape.scale()),
            dy: Panels::copy(engine, shape, dy.rows(shape, unit, queries.clone()), 1.0),
            k: Panels::copy(engine, shape, saved.k.rows(shape, unit, keys.clone()), shape.scale()),
            k_columns: Columns::copy(engine, shape, saved.k, unit, keys.clone()),
            v_columns: Columns::copy(engine, shape, saved.v, unit, keys),
            means: rows(y).zip(rows(dy)).map(|(y, dy)| softmax::dot(y, dy)).collect(),
        }
    }

    /// `dq`, `dk`, `dv`.
    fn gradients(&self) -> [Rows; 3] {
        let shape = self.shape;
        let mut found = [shape.queries, shape.keys, shape.keys].map(|count| Rows::room(self.engine, shape, count));
        if shape.queries == 0 {
            found.iter_mut().for_each(|rows| rows.after_mut(0).fill(0.0));
        }
        let mut tile = [QUERY_TILE * SCORE_PITCH; 2].map(Kept::floats);
        for keys in tiles(0..shape.keys, KEY_TILE) {
            // The last queries see all keys, and leave all of `dk` and `dv` that the others add to.
            for (i, queries) in tiles(0..shape.queries, QUERY_TILE).rev().enumerate() {
                let seen = keys.start..keys.end.min(shape.visible(queries.end - 1));
                if !seen.is_empty() {
                    self.probabilities(queries.clone(), seen.clone(), &mut tile);
                    self.add(queries, seen, &tile, &mut found, i == 0);
                }
            }
        }
        found
    }

    /// The probabilities of a tile and the gradients of its scores.
    fn probabilities(&self, queries: Range<usize>, keys: Range<usize>, [scores, slopes]: &mut [Kept; 2]) {
        let panels = keys.len().div_ceil(self.engine.panel());
        let tile = Tile { rows: queries.len(), terms: self.shape.width, panels };
        for (rows, columns, out) in
            [(&self.q, &self.k_columns, &mut *scores), (&self.dy, &self.v_columns, &mut *slopes)]
        {
            let left = rows.left(queries.start);
            let out = Out { data: out, row: SCORE_PITCH };
            self.engine.multiply(tile, left, columns.right(keys.start), out, false);
        }
        for (r, query) in queries.enumerate() {
            let line = r * SCORE_PITCH..r * SCORE_PITCH + keys.len();
            let seen = self.shape.visible(query).saturating_sub(keys.start).min(keys.len());
            let (scores, unseen) = scores[line.clone()].split_at_mut(seen);
            let (slopes, unseen_slopes) = slopes[line].split_at_mut(seen);
            softmax::back(scores, slopes, self.log_sums[query], self.means[query]);
            unseen.fill(0.0);
            unseen_slopes.fill(0.0);
        }
    }

    /// Adds what a tile gives to `dq`, `dk` and `dv`. The first keys are the first that `dq` hears of; `first` says that
    /// these are the first queries for `dk` and `dv`.
    fn add(
        &self,
        queries: Range<usize>,
        keys: Range<usize>,
        [scores, slopes]: &[Kept; 2],
        [dq, dk, dv]: &mut [Rows; 3],
        first: bool,
    ) {
        let panels = self.shape.width.div_ceil(self.engine.panel());
        let across = Tile { rows: keys.len(), terms: queries.len(), panels };
        for (probabilities, rows, to) in [(scores, &self.dy, dv), (slopes, &self.q, dk)] {
            let left = Left::even(probabilities, 1, SCORE_PITCH);
            let row = to.pitch;
            let out = Out { data: to.after_mut(keys.start), row };
            self.engine.multiply(across, left, rows.right(queries.start), out, !first);
        }
        let tile = Tile { rows: queries.len(), terms: keys.len(), panels };
        let left = Left::even(slopes, SCORE_PITCH, 1);
        let row = dq.pitch;
        let out = Out { data: dq.after_mut(queries.start), row };
        self.engine.multiply(tile, left, self.k.right(keys.start), out, keys.start > 0);
    }
}

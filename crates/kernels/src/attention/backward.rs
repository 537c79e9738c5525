//! The backward pass: each tile of probabilities is computed again from the kept sums (Dao et al.
//! 2022, arXiv:2205.14135, algorithm 4).

use std::ops::Range;

use super::engine::Engine;
use super::forward::for_parts;
use super::head::{Columns, KEY_TILE, QUERY_TILE, Rows, tiles};
use super::shape::{AttentionShape, Strided};
use super::softmax;
use super::tile::{Left, Out, Tile};
use crate::pool::{Room, SharedMut};
use crate::scratch::Kept;
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
        for ((rows, to), tokens) in gradients.iter().zip(&to).zip(tokens) {
            // SAFETY: each head is one part's, and the buffers outlive the region.
            unsafe { write_rows(shape, rows, unit, tokens, to) };
        }
    });
    let mut counts = counts.iter();
    // SAFETY: the parts cover all heads, and each writes all its rows.
    rooms.map(|room| unsafe { room.written(*counts.next().expect("three of each")) })
}

/// Writes a head's rows to their places.
///
/// # Safety
/// Nobody else touches them meanwhile, and the buffer outlives the call.
unsafe fn write_rows(
    shape: &AttentionShape,
    rows: &Rows,
    unit: usize,
    tokens: usize,
    to: &SharedMut<MaybeUninit<f32>>,
) {
    for token in 0..tokens {
        let place = ((unit / shape.heads * tokens + token) * shape.heads + unit % shape.heads) * shape.width;
        // SAFETY: the caller's promise.
        unsafe { to.slice(place..place + shape.width) }.write_copy_of_slice(rows.row(token, shape.width));
    }
}

/// One head. `q` is scaled, so that its products are scores.
struct Head<'a> {
    engine: Engine,
    shape: &'a AttentionShape,
    log_sums: &'a [f32],
    q: Rows,
    dy: Rows,
    k: Rows,
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
        let mean = |query| softmax::dot(y.row(shape, unit, query), dy.row(shape, unit, query));
        Self {
            engine,
            shape,
            log_sums: &saved.log_sums[unit * shape.queries..(unit + 1) * shape.queries],
            q: Rows::copy(engine, shape, saved.q, unit, queries.clone(), shape.scale()),
            dy: Rows::copy(engine, shape, dy, unit, queries.clone(), 1.0),
            k: Rows::copy(engine, shape, saved.k, unit, keys.clone(), 1.0),
            k_columns: Columns::copy(engine, shape, saved.k, unit, keys.clone()),
            v_columns: Columns::copy(engine, shape, saved.v, unit, keys),
            means: queries.map(mean).collect(),
        }
    }

    /// `dq`, `dk`, `dv`.
    fn gradients(&self) -> [Rows; 3] {
        let shape = self.shape;
        let mut found = [shape.queries, shape.keys, shape.keys].map(|count| Rows::zeros(self.engine, shape, count));
        let mut tile = [QUERY_TILE * KEY_TILE; 2].map(Kept::floats);
        for keys in tiles(0..shape.keys, KEY_TILE) {
            for queries in tiles(0..shape.queries, QUERY_TILE) {
                if shape.visible(queries.end - 1) > keys.start {
                    self.probabilities(queries.clone(), keys.clone(), &mut tile);
                    self.add(queries, keys.clone(), &tile, &mut found);
                }
            }
        }
        softmax::scale(&mut found[0].values, shape.scale());
        found
    }

    /// The probabilities of a tile and the gradients of its scores.
    fn probabilities(&self, queries: Range<usize>, keys: Range<usize>, [scores, slopes]: &mut [Kept; 2]) {
        let panels = keys.len().div_ceil(self.engine.panel());
        let tile = Tile { rows: queries.len(), terms: self.shape.width, panels };
        for (rows, columns, out) in
            [(&self.q, &self.k_columns, &mut *scores), (&self.dy, &self.v_columns, &mut *slopes)]
        {
            let left = Left { data: rows.after(queries.start), row: rows.pitch, step: 1 };
            let out = Out { data: out, row: KEY_TILE };
            self.engine.multiply(tile, left, columns.right(keys.start), out, false);
        }
        for (r, query) in queries.enumerate() {
            let line = r * KEY_TILE..r * KEY_TILE + keys.len();
            let seen = self.shape.visible(query).saturating_sub(keys.start).min(keys.len());
            let (scores, unseen) = scores[line.clone()].split_at_mut(seen);
            let (slopes, unseen_slopes) = slopes[line].split_at_mut(seen);
            softmax::back(scores, slopes, self.log_sums[query], self.means[query]);
            unseen.fill(0.0);
            unseen_slopes.fill(0.0);
        }
    }

    /// Adds what a tile gives to `dq`, `dk` and `dv`.
    fn add(
        &self,
        queries: Range<usize>,
        keys: Range<usize>,
        [scores, slopes]: &[Kept; 2],
        [dq, dk, dv]: &mut [Rows; 3],
    ) {
        let panels = self.q.panels();
        let across = Tile { rows: keys.len(), terms: queries.len(), panels };
        for (probabilities, rows, to) in [(scores, &self.dy, dv), (slopes, &self.q, dk)] {
            let left = Left { data: probabilities, row: 1, step: KEY_TILE };
            let row = to.pitch;
            let out = Out { data: to.after_mut(keys.start), row };
            self.engine.multiply(across, left, rows.right(queries.start), out, true);
        }
        let tile = Tile { rows: queries.len(), terms: keys.len(), panels };
        let left = Left { data: slopes, row: KEY_TILE, step: 1 };
        let row = dq.pitch;
        let out = Out { data: dq.after_mut(queries.start), row };
        self.engine.multiply(tile, left, self.k.right(keys.start), out, true);
    }
}

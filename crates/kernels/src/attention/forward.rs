//! The forward pass: tiles of scores with a running maximum and sum for each query (Dao et al. 2022, arXiv:2205.14135,
//! algorithm 1; the order of loops is that of Dao 2023, arXiv:2307.08691, algorithm 1).

use std::ops::Range;

use super::engine::Engine;
use super::head::{Columns, KEY_TILE, Panels, QUERY_TILE, Rows, SCORE_PITCH, tiles};
use super::shape::{AttentionShape, Strided};
use super::softmax;
use super::tile::{Left, Out, Tile};
use crate::pool::{self, Room};
use crate::scratch::Kept;

/// Units that keep all threads busy; with fewer heads, each is cut into groups of queries.
const MOST_PARTS: usize = 16;
/// The most parts of a region.
const REGION: usize = 1024;

/// The result and, for each query, the logarithm of its sum of exponentials.
pub(crate) struct Attended {
    /// `[batch, queries, heads, width]`.
    pub y: Vec<f32>,
    /// `[batch, heads, queries]`.
    pub log_sums: Vec<f32>,
}

/// `y = softmax(scale q k^T) v`, head by head.
pub(crate) fn forward(shape: &AttentionShape, q: Strided<'_>, k: Strided<'_>, v: Strided<'_>) -> Attended {
    let (count, rows) = (shape.units() * shape.queries * shape.width, shape.units() * shape.queries);
    let (mut y, mut log_sums) = (Room::new(count), Room::new(rows));
    let (to, sums_to) = (y.target(count), log_sums.target(rows));
    let groups = (MOST_PARTS / shape.units().max(1)).clamp(1, shape.queries.div_ceil(QUERY_TILE).max(1));
    for_parts(shape.units() * groups, |index| {
        let (unit, group) = (index / groups, index % groups);
        let queries = pool::part_range(shape.queries, groups, group, QUERY_TILE);
        Head::new(shape, k, v, unit).attend(q, queries, |query, row, log_sum| {
            let place = (unit / shape.heads * shape.queries + query) * shape.heads + unit % shape.heads;
            // SAFETY: each query of a head is written by one part, and the buffers outlive the region.
            unsafe {
                to.slice(place * shape.width..(place + 1) * shape.width).write_copy_of_slice(row);
                let sum = unit * shape.queries + query;
                sums_to.slice(sum..sum + 1)[0].write(log_sum);
            }
        });
    });
    // SAFETY: the parts cover all queries of all heads.
    unsafe { Attended { y: y.written(count), log_sums: log_sums.written(rows) } }
}

/// Runs `work` for `0..count`, in parts that a region may have.
pub(super) fn for_parts(count: usize, work: impl Fn(usize) + Sync) {
    let parts = count.min(REGION);
    pool::run(parts, |part| pool::part_range(count, parts, part, 1).for_each(&work));
}

/// Keys and values of one head.
struct Head<'a> {
    engine: Engine,
    shape: &'a AttentionShape,
    unit: usize,
    keys: Columns,
    values: Panels,
}

/// What a tile of queries gathers on its way over the keys.
struct Running {
    /// The largest score of each query so far, and its sum of exponentials.
    most: [f32; QUERY_TILE],
    sum: [f32; QUERY_TILE],
    /// What the first tile of keys leaves here, and what others add.
    y: Rows,
}

impl<'a> Head<'a> {
    fn new(shape: &'a AttentionShape, k: Strided<'_>, v: Strided<'_>, unit: usize) -> Self {
        let engine = Engine::best();
        let keys = Columns::copy(engine, shape, k, unit, 0..shape.keys);
        let values = Panels::copy(engine, shape, v.rows(shape, unit, 0..shape.keys), 1.0);
        Self { engine, shape, unit, keys, values }
    }

    /// Calls `write(query, row, log_sum)` for each of `queries`.
    fn attend(&self, q: Strided<'_>, queries: Range<usize>, mut write: impl FnMut(usize, &[f32], f32)) {
        let mut scores = Kept::floats(QUERY_TILE * SCORE_PITCH);
        for tile in tiles(queries, QUERY_TILE) {
            let rows =
                Rows::copy(self.engine, self.shape, q.rows(self.shape, self.unit, tile.clone()), self.shape.scale());
            let y = Rows::room(self.engine, self.shape, tile.len());
            let mut running = Running { most: [f32::NEG_INFINITY; QUERY_TILE], sum: [0.0; QUERY_TILE], y };
            let seen = self.shape.visible(tile.end - 1);
            for keys in tiles(0..seen, KEY_TILE) {
                self.step(&rows, tile.clone(), keys, &mut scores, &mut running);
            }
            for (r, query) in tile.enumerate() {
                let row = &mut running.y.after_mut(r)[..self.shape.width];
                softmax::scale(row, 1.0 / running.sum[r]);
                write(query, row, running.most[r] + running.sum[r].ln());
            }
        }
    }

    /// One tile of scores.
    fn step(&self, rows: &Rows, queries: Range<usize>, keys: Range<usize>, scores: &mut [f32], running: &mut Running) {
        let panels = keys.len().div_ceil(self.engine.panel());
        let tile = Tile { rows: queries.len(), terms: self.shape.width, panels };
        let left = Left::even(&rows.values, rows.pitch, 1);
        let out = Out { data: scores, row: SCORE_PITCH };
        self.engine.multiply(tile, left, self.keys.right(keys.start), out, false);
        for (r, query) in queries.clone().enumerate() {
            let scores = &mut scores[r * SCORE_PITCH..r * SCORE_PITCH + keys.len()];
            let seen = self.shape.visible(query).saturating_sub(keys.start).min(keys.len());
            let (scores, unseen) = scores.split_at_mut(seen);
            unseen.fill(0.0);
            if seen > 0 {
                running.add(r, scores, self.shape.width);
            }
        }
        let tile = Tile { rows: queries.len(), terms: keys.len(), panels: running.y.panels() };
        let left = Left::even(scores, SCORE_PITCH, 1);
        let pitch = running.y.pitch;
        let out = Out { data: running.y.after_mut(0), row: pitch };
        self.engine.multiply(tile, left, self.values.right(keys.start), out, keys.start > 0);
    }
}

impl Running {
    /// Turns some scores of query `r` into exponentials, and scales what was there to the new maximum.
    fn add(&mut self, r: usize, scores: &mut [f32], width: usize) {
        let (before, found) = (self.most[r], softmax::largest(scores));
        let most = if found > before { found } else { before };
        if most > before {
            if before > f32::NEG_INFINITY {
                let factor = (before - most).exp();
                self.sum[r] *= factor;
                softmax::scale(&mut self.y.after_mut(r)[..width], factor);
            }
            self.most[r] = most;
        }
        self.sum[r] += softmax::exponentials(scores, most);
    }
}

//! Attention of one new token of each row to all before it, whose keys and values are kept.
//!
//! Keys of a head lie in tiles of some tokens, in each the tokens of a number together; values with the
//! numbers of a token together. Scores and results are then the same sum of weighted lines, in whole
//! vectors and without a sum across lanes. One row is one part of the work, so every sum has one owner and
//! one order.

use super::softmax;
use crate::pool::{self, SharedMut};
use crate::scratch::Kept;
use crate::simd;

/// Lines are padded to whole blocks of so many numbers.
const BLOCK: usize = 16;
/// Tokens of a tile of keys: as many sums as hide a product's latency, and all its lines in a few pages.
const TILE: usize = 2 * BLOCK;
/// Products that justify one more part.
const PART_PRODUCTS: usize = 65_536;

/// Sizes of a [`KeyValueCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Rows that go on together.
    pub rows: usize,
    /// Tokens of a row at most.
    pub tokens: usize,
    /// How many attention heads there are.
    pub heads: usize,
    /// Numbers of a head.
    pub width: usize,
}

impl CacheShape {
    /// Numbers of a token.
    fn outputs(&self) -> usize {
        self.heads * self.width
    }

    /// Numbers of a row's keys.
    fn keys(&self) -> usize {
        self.outputs() * self.tokens.next_multiple_of(TILE)
    }

    /// Numbers of a row's values.
    fn values(&self) -> usize {
        self.heads * self.tokens * self.width.next_multiple_of(BLOCK)
    }
}

/// Keys and values of the tokens so far.
///
/// Each new token costs one pass over them, where a whole pass of causal attention would compute all rows
/// of scores again.
///
/// ```
/// use elbo_kernels::{CacheShape, KeyValueCache};
///
/// let mut cache = KeyValueCache::new(CacheShape { rows: 1, tokens: 2, heads: 1, width: 1 });
/// // Query, key, value. The first token sees itself; equal scores share alike.
/// assert_eq!(cache.attend(&[0.0, 5.0, 1.0]), [1.0]);
/// assert_eq!(cache.attend(&[0.0, 7.0, 3.0]), [2.0]);
/// ```
#[derive(Debug, Clone)]
pub struct KeyValueCache {
    shape: CacheShape,
    /// Tokens so far.
    filled: usize,
    /// `[rows, heads, tiles, width, tokens of a tile]`.
    keys: Vec<f32>,
    /// `[rows, heads, tokens, width]`, width padded.
    values: Vec<f32>,
}

impl KeyValueCache {
    /// Room for the keys and values of all tokens.
    pub fn new(shape: CacheShape) -> Self {
        let [keys, values] = [shape.keys(), shape.values()].map(|of_row| pool::zeros(shape.rows * of_row));
        Self { shape, filled: 0, keys, values }
    }

    /// Tokens so far.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Keeps the keys and values of further tokens, some of each row. Their queries are not looked at.
    ///
    /// # Shapes
    /// - `mixed`: `[rows, tokens, 3 * heads * width]`: queries, keys and values one after another
    ///
    /// # Panics
    /// If there is no room for them, or they are no whole number of tokens for each row.
    pub fn append(&mut self, mixed: &[f32]) {
        let CacheShape { rows, tokens, .. } = self.shape;
        let token = 3 * self.shape.outputs();
        let count = mixed.len() / (rows * token).max(1);
        assert_eq!(mixed.len(), rows * count * token, "tokens of {rows} rows");
        assert!(self.filled + count <= tokens, "{} tokens and {count} more of at most {tokens}", self.filled);
        let (keys, values) = (self.shape.keys(), self.shape.values());
        for row in 0..rows {
            for i in 0..count {
                let mixed = &mixed[(row * count + i) * token..][..token];
                let (keys, values) = (&mut self.keys[row * keys..][..keys], &mut self.values[row * values..][..values]);
                Row { shape: self.shape, keys, values }.keep(mixed, self.filled + i);
            }
        }
        self.filled += count;
    }

    /// Keeps the keys and values of one further token of each row; returns what it sees of all so far.
    ///
    /// # Shapes
    /// - `mixed`: `[rows, 3 * heads * width]`
    /// - returns: `[rows, heads * width]`
    ///
    /// # Panics
    /// If there is no room for it, or there is not one token for each row.
    pub fn attend(&mut self, mixed: &[f32]) -> Vec<f32> {
        let (shape, token) = (self.shape, self.filled);
        let CacheShape { rows, tokens, .. } = shape;
        let outputs = shape.outputs();
        assert_eq!(mixed.len(), rows * 3 * outputs, "a token for each of {rows} rows");
        assert!(token < tokens, "{token} tokens and one more of at most {tokens}");
        let mut out = pool::zeros(rows * outputs);
        let [keys, values] = [&mut self.keys, &mut self.values].map(|all| SharedMut::new(all));
        let to = SharedMut::new(&mut out);
        let parts = pool::parts_for(rows, 2 * outputs * (token + 1), PART_PRODUCTS, 1);
        pool::run(parts, |part| {
            let mut scores = Kept::floats(tokens.next_multiple_of(TILE));
            let mut seen = Kept::floats(shape.width.next_multiple_of(BLOCK));
            for row in pool::part_range(rows, parts, part, 1) {
                let span = |size: usize| row * size..(row + 1) * size;
                // SAFETY: each row belongs to one part, and the buffers outlive the region.
                let (keys, values, out) = unsafe {
                    (keys.slice(span(shape.keys())), values.slice(span(shape.values())), to.slice(span(outputs)))
                };
                let mixed = &mixed[span(3 * outputs)];
                let mut row = Row { shape, keys, values };
                row.keep(mixed, token);
                row.see(&mixed[..outputs], token, [&mut scores, &mut seen], out);
            }
        });
        self.filled += 1;
        out
    }
}

/// Keys and values of a row.
struct Row<'a> {
    shape: CacheShape,
    keys: &'a mut [f32],
    values: &'a mut [f32],
}

impl Row<'_> {
    /// Puts a token's keys and values in their place.
    fn keep(&mut self, mixed: &[f32], token: usize) {
        let CacheShape { tokens, heads, width, .. } = self.shape;
        let padded = width.next_multiple_of(BLOCK);
        let [_, keys, values] = [0, 1, 2].map(|part| &mixed[part * heads * width..][..heads * width]);
        for (own, key) in
            self.keys.chunks_exact_mut(width * tokens.next_multiple_of(TILE)).zip(keys.chunks_exact(width))
        {
            let tile = &mut own[token / TILE * width * TILE..][..width * TILE];
            for (line, key) in tile.chunks_exact_mut(TILE).zip(key) {
                line[token % TILE] = *key;
            }
        }
        for (head, value) in values.chunks_exact(width).enumerate() {
            self.values[(head * tokens + token) * padded..][..width].copy_from_slice(value);
        }
    }

    /// What a query sees of the tokens up to and with `token`.
    fn see(&self, query: &[f32], token: usize, [scores, seen]: [&mut [f32]; 2], out: &mut [f32]) {
        let CacheShape { tokens, width, .. } = self.shape;
        let (of_head, padded) = (width * tokens.next_multiple_of(TILE), width.next_multiple_of(BLOCK));
        let scale = 1.0 / (width as f32).sqrt();
        let heads = query.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for (head, (query, out)) in heads.enumerate() {
            let tiles = self.keys[head * of_head..][..of_head].chunks_exact(width * TILE);
            for (scores, tile) in scores.chunks_exact_mut(TILE).zip(tiles).take(token / TILE + 1) {
                combined(query, tile, TILE, scores);
            }
            let scores = &mut scores[..=token];
            softmax::scale(scores, scale);
            let most = softmax::largest(scores);
            let sum = softmax::exponentials(scores, most);
            combined(scores, &self.values[head * tokens * padded..], padded, seen);
            softmax::scale(&mut seen[..width], 1.0 / sum);
            out.copy_from_slice(&seen[..width]);
        }
    }
}

/// Some numbers of the sum of weighted lines, from registers.
#[inline(always)]
fn block<const LANES: usize, const FUSED: bool>(weights: &[f32], lines: &[f32], pitch: usize, out: &mut [f32]) {
    let mut sums = [0f32; LANES];
    for (i, weight) in weights.iter().enumerate() {
        for (sum, value) in sums.iter_mut().zip(&lines[i * pitch..][..LANES]) {
            *sum = simd::multiply_add::<FUSED>(*weight, *value, *sum);
        }
    }
    out.copy_from_slice(&sums);
}

simd::multiversion! {
    fused FUSED:
    /// `out[j] = sum_i weights[i] lines[i * pitch + j]`, of whole blocks.
    fn combined(weights: &[f32], lines: &[f32], pitch: usize, out: &mut [f32]) {
        let mut first = 0;
        while first < out.len() {
            // Twice as many sums hide twice as much of a product's latency.
            if out.len() - first >= 2 * BLOCK {
                block::<{ 2 * BLOCK }, FUSED>(weights, &lines[first..], pitch, &mut out[first..first + 2 * BLOCK]);
                first += 2 * BLOCK;
            } else {
                block::<BLOCK, FUSED>(weights, &lines[first..], pitch, &mut out[first..first + BLOCK]);
                first += BLOCK;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 199) as f32 / 50.0 - 2.0).collect()
    }

    /// The same in float64, from all tokens of a row.
    fn expected(shape: CacheShape, rows: &[f32], row: usize, token: usize) -> Vec<f64> {
        let CacheShape { tokens, heads, width, .. } = shape;
        let size = heads * width;
        let of =
            |token: usize, part: usize, i: usize| f64::from(rows[(row * tokens + token) * 3 * size + part * size + i]);
        let mut out = vec![0f64; size];
        for head in 0..heads {
            let score = |other: usize| -> f64 {
                let products = (head * width..(head + 1) * width).map(|i| of(token, 0, i) * of(other, 1, i));
                products.sum::<f64>() / (width as f64).sqrt()
            };
            let weights: Vec<f64> = (0..=token).map(|other| score(other).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for (i, out) in out.iter_mut().enumerate().skip(head * width).take(width) {
                *out = weights.iter().enumerate().map(|(other, w)| w / sum * of(other, 2, i)).sum();
            }
        }
        out
    }

    #[test]
    fn each_token_sees_all_before_it() {
        let long = if cfg!(miri) { 5 } else { 70 };
        for (rows, tokens, heads, width) in [(1, 1, 1, 1), (3, long, 2, 3), (2, 17, 1, 16), (5, 9, 3, 33)] {
            let shape = CacheShape { rows, tokens, heads, width };
            let token = 3 * heads * width;
            let all = numbers(rows * tokens * token, tokens);
            let of = |range: std::ops::Range<usize>| -> Vec<f32> {
                (0..rows)
                    .flat_map(|row| &all[(row * tokens + range.start) * token..][..range.len() * token])
                    .copied()
                    .collect()
            };
            for prefix in [0, tokens / 3] {
                let mut cache = KeyValueCache::new(shape);
                cache.append(&of(0..prefix));
                for i in prefix..tokens {
                    let found = cache.attend(&of(i..i + 1));
                    let right = (0..rows).flat_map(|row| expected(shape, &all, row, i));
                    assert!(
                        found.iter().zip(right).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5),
                        "{shape:?}, token {i} after {prefix}"
                    );
                }
                assert_eq!(cache.filled(), tokens);
            }
        }
    }

    #[test]
    fn a_wild_number_reaches_its_row_and_no_other() {
        let shape = CacheShape { rows: 3, tokens: 4, heads: 2, width: 5 };
        let run = |wild: Option<f32>| {
            let mut cache = KeyValueCache::new(shape);
            let mut found = Vec::new();
            for i in 0..4 {
                let mut mixed = numbers(3 * 30, i);
                // Row 1, token 2, a key of head 1.
                if let Some(wild) = wild.filter(|_| i == 2) {
                    mixed[30 + 10 + 7] = wild;
                }
                found.push(cache.attend(&mixed));
            }
            found
        };
        let clean = run(None);
        for (token, (wild, clean)) in run(Some(f32::NAN)).iter().zip(&clean).enumerate() {
            for (i, (wild, clean)) in wild.iter().zip(clean).enumerate() {
                let sees = token >= 2 && (15..20).contains(&i);
                assert!(if sees { wild.is_nan() } else { wild == clean }, "token {token}, number {i}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "2 tokens and one more of at most 2")]
    fn a_full_cache_takes_no_more() {
        let mut cache = KeyValueCache::new(CacheShape { rows: 1, tokens: 2, heads: 1, width: 1 });
        (0..3).for_each(|_| drop(cache.attend(&[0.0; 3])));
    }
}

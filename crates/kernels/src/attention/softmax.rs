//! Rows of scores on their way to probabilities, and the way back.

use crate::simd;

/// Partial maxima and sums of a row, whatever the width of vectors.
const LANES: usize = 32;

/// The larger of two numbers, the second where one is NaN: one instruction, and the sum of
/// exponentials tells of a NaN anyway.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

simd::multiversion! {
    /// The largest score; minus infinity where there is none.
    pub(super) fn largest(scores: &[f32]) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        let chunks = scores.chunks_exact(LANES);
        let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |most, v| larger(*v, most));
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(lane, v)| *lane = larger(*v, *lane));
        }
        larger(rest, simd::most_of_lanes(&lanes))
    }
}

simd::multiversion! {
    /// Turns scores into `e^(score - most)`; returns their sum.
    pub(super) fn exponentials(scores: &mut [f32], most: f32) -> f32 {
        let mut lanes = [0f32; LANES];
        let mut chunks = scores.chunks_exact_mut(LANES);
        for chunk in &mut chunks {
            for (lane, score) in lanes.iter_mut().zip(chunk) {
                *score = simd::exp(*score - most);
                *lane += *score;
            }
        }
        let mut rest = 0.0;
        for score in chunks.into_remainder() {
            *score = simd::exp(*score - most);
            rest += *score;
        }
        rest + simd::sum_of_lanes(&lanes)
    }
}

simd::multiversion! {
    /// Turns scores into probabilities `p = e^(score - log_sum)`, and their gradients `dp` into those of the scores,
    /// `p (dp - mean)`, `mean` being the sum of `p dp` over the whole row.
    pub(super) fn back(scores: &mut [f32], dp: &mut [f32], log_sum: f32, mean: f32) {
        for (score, dp) in scores.iter_mut().zip(dp) {
            *score = simd::exp(*score - log_sum);
            *dp = *score * (*dp - mean);
        }
    }
}

simd::multiversion! {
    /// `row = factor row`.
    pub(super) fn scale(row: &mut [f32], factor: f32) {
        for value in row {
            *value *= factor;
        }
    }
}

simd::multiversion! {
    /// `sum_i a_i b_i`.
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0f32; LANES];
        let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in a_chunks.zip(b_chunks) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += *a * *b;
            }
        }
        rest + simd::sum_of_lanes(&lanes)
    }
}

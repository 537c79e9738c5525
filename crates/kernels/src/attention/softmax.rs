//! Rows of scores on their way to probabilities, and the way back.

use crate::simd;

/// Partial maxima and sums of a row, whatever the width of vectors.
const LANES: usize = 16;

/// The larger of two numbers, the second where one is NaN: one instruction, and the sum of
/// exponentials tells of a NaN anyway.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// Largest absolute error of [`probability`] on minus infinity to 0.
#[cfg(test)]
const PROBABILITY_MAX_ERROR: f32 = 2e-7;

/// `e^x` for `x <= 0`, and a little above: half the instructions of [`simd::exp`], which is exact far below 0 too. Below
/// -87 the result is that of -87, about 2e-38; NaN stays NaN.
///
/// `x / ln 2 = n + r`, `|r| <= 1/2`. `2^r` is the polynomial of degree 5 with the smallest largest relative error (9e-8)
/// among those that are 1 at 0; `n` is added to the exponent's bits. Adding 1.5 * 2^23 rounds to `n` and leaves it in the
/// mantissa.
#[inline(always)]
fn probability<const FUSED: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    const LINEAR: f32 = f32::from_bits(0x3f31_7215); // 0.693147, not the whole of ln 2: the best of this polynomial
    // Written so that a NaN is kept.
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = simd::multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let r = simd::multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUND - shifted);
    let poly = 0.001_326_472_7;
    let poly = simd::multiply_add::<FUSED>(poly, r, 0.009_671_513);
    let poly = simd::multiply_add::<FUSED>(poly, r, 0.055_507_336);
    let poly = simd::multiply_add::<FUSED>(poly, r, 0.240_222_42);
    let poly = simd::multiply_add::<FUSED>(poly, r, LINEAR);
    let poly = simd::multiply_add::<FUSED>(poly, r, 1.0);
    f32::from_bits(poly.to_bits().wrapping_add(shifted.to_bits() << 23))
}

simd::multiversion! {
    /// The largest score; minus infinity where there is none.
    pub(crate) fn largest(scores: &[f32]) -> f32 {
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
    fused FUSED:
    /// Turns scores into `e^(score - most)`; returns their sum.
    pub(crate) fn exponentials(scores: &mut [f32], most: f32) -> f32 {
        let mut lanes = [0f32; LANES];
        let mut chunks = scores.chunks_exact_mut(LANES);
        for chunk in &mut chunks {
            for (lane, score) in lanes.iter_mut().zip(chunk) {
                *score = probability::<FUSED>(*score - most);
                *lane += *score;
            }
        }
        let mut rest = 0.0;
        for score in chunks.into_remainder() {
            *score = probability::<FUSED>(*score - most);
            rest += *score;
        }
        rest + simd::sum_of_lanes(&lanes)
    }
}

simd::multiversion! {
    fused FUSED:
    /// Turns scores into probabilities `p = e^(score - log_sum)`, and their gradients `dp` into those of the scores,
    /// `p (dp - mean)`, `mean` being the sum of `p dp` over the whole row.
    pub(super) fn back(scores: &mut [f32], dp: &mut [f32], log_sum: f32, mean: f32) {
        for (score, dp) in scores.iter_mut().zip(dp) {
            *score = probability::<FUSED>(*score - log_sum);
            *dp = *score * (*dp - mean);
        }
    }
}

simd::multiversion! {
    /// `row = factor row`.
    pub(crate) fn scale(row: &mut [f32], factor: f32) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_stay_within_their_stated_error() {
        for probability in [probability::<true>, probability::<false>] {
            let error = |x: f32| (f64::from(probability(x)) - f64::from(x).exp()).abs() as f32;
            let worst = (0..=40_000).map(|i| error(-100.0 * i as f32 / 40_000.0)).fold(0.0, f32::max);
            assert!(worst <= PROBABILITY_MAX_ERROR, "{worst}");
            assert!(probability(f32::NAN).is_nan() && probability(0.0) == 1.0);
            assert!(probability(f32::NEG_INFINITY) < 2e-38 && probability(1e-4) > 1.0);
        }
    }
}

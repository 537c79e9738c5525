//! Reconstruction terms from decoder logits, one value per example, with the gradient made in the same pass.

use crate::pool::{self, SharedMut};
use crate::simd;

/// Elements that justify one more part.
const PART_ELEMENTS: usize = 16_384;

/// Which reconstruction term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Term {
    /// `-log Bernoulli(x | sigmoid(logit))`.
    Bernoulli,
    /// `(x - sigmoid(logit))^2`.
    SquaredError,
}

/// Sums `term` over each row of `width`; writes `d term / d logit` into `gradient` when given.
pub(crate) fn rows(
    term: Term,
    width: usize,
    logits: &[f32],
    x: &[f32],
    sums: &mut [f32],
    gradient: Option<&mut [f32]>,
) {
    let parts = pool::parts_for(sums.len(), width, PART_ELEMENTS, 1);
    let count = sums.len();
    let (sums, gradient) = (SharedMut::new(sums), gradient.map(SharedMut::new));
    pool::run(parts, |part| {
        for r in pool::part_range(count, parts, part, 1) {
            let span = r * width..(r + 1) * width;
            let (l, x) = (&logits[span.clone()], &x[span.clone()]);
            // SAFETY: each row belongs to one part, and both buffers outlive the region.
            let (sum, gradient) = unsafe { (sums.slice(r..r + 1), gradient.as_ref().map(|g| g.slice(span))) };
            sum[0] = match (term, gradient) {
                (Term::Bernoulli, Some(g)) => bernoulli_with_gradient(l, x, g),
                (Term::Bernoulli, None) => bernoulli(l, x),
                (Term::SquaredError, Some(g)) => squared_error_with_gradient(l, x, g),
                (Term::SquaredError, None) => squared_error(l, x),
            };
        }
    });
}

/// Lanes of a partial sum: wide enough for one AVX-512 register, fixed so that every machine adds in the same order.
const LANES: usize = 16;

/// Sums `f` over zipped elements in [`LANES`] partial sums, then in float64.
macro_rules! lane_sum {
    ($len:expr, |$i:ident| $value:expr) => {{
        let mut lanes = [0f32; LANES];
        let whole = $len / LANES * LANES;
        let mut start = 0;
        while start < whole {
            for lane in 0..LANES {
                let $i = start + lane;
                lanes[lane] += $value;
            }
            start += LANES;
        }
        for $i in whole..$len {
            lanes[$i - whole] += $value;
        }
        lanes.iter().map(|&v| f64::from(v)).sum::<f64>() as f32
    }};
}

/// `max(l, 0) - l x + ln(1 + e^-|l|)` and `sigmoid(l) - x`: no overflow for any finite logit.
#[inline(always)]
fn bernoulli_element(l: f32, x: f32) -> (f32, f32) {
    let e = simd::exp(-l.abs());
    let inverse = 1.0 / (1.0 + e);
    let (positive, sigmoid) = if l >= 0.0 { (l, inverse) } else { (0.0, e * inverse) };
    (positive - l * x + simd::ln_1p_unit(e), sigmoid - x)
}

#[inline(always)]
fn squared_error_element(l: f32, x: f32) -> (f32, f32) {
    let s = simd::sigmoid(l);
    let difference = s - x;
    (difference * difference, 2.0 * difference * s * (1.0 - s))
}

simd::multiversion! {
    fn bernoulli(l: &[f32], x: &[f32]) -> f32 {
        let n = l.len();
        let x = &x[..n];
        lane_sum!(n, |i| bernoulli_element(l[i], x[i]).0)
    }
}

simd::multiversion! {
    fn bernoulli_with_gradient(l: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
        let n = l.len();
        let (x, gradient) = (&x[..n], &mut gradient[..n]);
        lane_sum!(n, |i| {
            let (value, slope) = bernoulli_element(l[i], x[i]);
            gradient[i] = slope;
            value
        })
    }
}

simd::multiversion! {
    fn squared_error(l: &[f32], x: &[f32]) -> f32 {
        let n = l.len();
        let x = &x[..n];
        lane_sum!(n, |i| squared_error_element(l[i], x[i]).0)
    }
}

simd::multiversion! {
    fn squared_error_with_gradient(l: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
        let n = l.len();
        let (x, gradient) = (&x[..n], &mut gradient[..n]);
        lane_sum!(n, |i| {
            let (value, slope) = squared_error_element(l[i], x[i]);
            gradient[i] = slope;
            value
        })
    }
}

/// Multiplies each row of `values` by its own factor.
pub(crate) fn scale_rows(values: &mut [f32], width: usize, factors: &[f32]) {
    let count = factors.len();
    let parts = pool::parts_for(count, width, 4 * PART_ELEMENTS, 1);
    let values = SharedMut::new(values);
    pool::run(parts, |part| {
        for r in pool::part_range(count, parts, part, 1) {
            // SAFETY: each row belongs to one part, and the buffer outlives the region.
            let row = unsafe { values.slice(r * width..(r + 1) * width) };
            scale(row, factors[r]);
        }
    });
}

simd::multiversion! {
    fn scale(row: &mut [f32], factor: f32) {
        for value in row {
            *value *= factor;
        }
    }
}

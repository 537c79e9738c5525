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

/// Values computed before they are added: the loop that makes them has no sum in it and so vectorises.
const TILE: usize = 256;

/// Lanes of a partial sum: one AVX-512 register, fixed so that every machine adds in the same order.
const LANES: usize = 16;

/// Adds a tile to the partial sums; what lies beyond its first `size` values is left out.
#[inline(always)]
fn add_tile(lanes: &mut [f32; LANES], tile: &mut [f32; TILE], size: usize) {
    tile[size..].fill(0.0);
    for chunk in tile.chunks_exact(LANES) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
}

fn total(lanes: [f32; LANES]) -> f32 {
    lanes.iter().map(|&v| f64::from(v)).sum::<f64>() as f32
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

// `element` must be the name of an `inline(always)` function: a closure would be compiled on its own, without the instruction
// set of the function around it.

#[inline(always)]
fn sum(l: &[f32], x: &[f32], element: impl Fn(f32, f32) -> (f32, f32)) -> f32 {
    let (mut tile, mut lanes) = ([0f32; TILE], [0f32; LANES]);
    for (l, x) in l.chunks(TILE).zip(x.chunks(TILE)) {
        for ((value, l), x) in tile.iter_mut().zip(l).zip(x) {
            *value = element(*l, *x).0;
        }
        add_tile(&mut lanes, &mut tile, l.len());
    }
    total(lanes)
}

#[inline(always)]
fn sum_with_gradient(l: &[f32], x: &[f32], gradient: &mut [f32], element: impl Fn(f32, f32) -> (f32, f32)) -> f32 {
    let (mut tile, mut lanes) = ([0f32; TILE], [0f32; LANES]);
    for ((l, x), gradient) in l.chunks(TILE).zip(x.chunks(TILE)).zip(gradient.chunks_mut(TILE)) {
        for (((value, slope), l), x) in tile.iter_mut().zip(gradient).zip(l).zip(x) {
            (*value, *slope) = element(*l, *x);
        }
        add_tile(&mut lanes, &mut tile, l.len());
    }
    total(lanes)
}

simd::multiversion! {
    fn bernoulli(l: &[f32], x: &[f32]) -> f32 {
        sum(l, x, bernoulli_element)
    }
}

simd::multiversion! {
    fn bernoulli_with_gradient(l: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
        sum_with_gradient(l, x, gradient, bernoulli_element)
    }
}

simd::multiversion! {
    fn squared_error(l: &[f32], x: &[f32]) -> f32 {
        sum(l, x, squared_error_element)
    }
}

simd::multiversion! {
    fn squared_error_with_gradient(l: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
        sum_with_gradient(l, x, gradient, squared_error_element)
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

//! Terms with two parameters for each value, `[means.., spreads..]`: the Gaussian and the discretised logistic.

use super::logistic::level;
use super::{LANES, TILE, add_tile, softplus, total};
use crate::simd;

/// Least log variance, sigma = e^-6 = 0.0025: the floor of Rybkin et al. 2021 (arXiv:2006.13202), below which a value that is predicted exactly would
/// bring any likelihood one likes. It is approached softly, so that gradients never stop.
pub const MIN_LOG_VAR: f32 = -12.0;

const HALF_LN_2_PI: f32 = 0.918_938_5;

/// The value and its derivatives by the mean and by the raw log variance.
#[inline(always)]
fn gaussian_element(m: f32, raw: f32, x: f32) -> (f32, f32, f32) {
    let (above, slope) = softplus(raw - MIN_LOG_VAR);
    let log_var = MIN_LOG_VAR + above;
    let difference = m - x;
    let scaled = difference * simd::exp(-log_var);
    let square = difference * scaled;
    (0.5 * (square + log_var) + HALF_LN_2_PI, scaled, 0.5 * (1.0 - square) * slope)
}

/// The Gaussian with its mean in [0, 1], by the output that it is the sigmoid of.
#[inline(always)]
fn unit_gaussian_element(l: f32, raw: f32, x: f32) -> (f32, f32, f32) {
    let s = simd::sigmoid(l);
    let (value, by_mean, by_raw) = gaussian_element(s, raw, x);
    (value, by_mean * s * (1.0 - s), by_raw)
}

#[inline(always)]
fn sum(parameters: &[f32], x: &[f32], element: impl Fn(f32, f32, f32) -> (f32, f32, f32)) -> f32 {
    let (first, second) = parameters.split_at(x.len());
    let (mut tile, mut lanes) = ([0f32; TILE], [0f32; LANES]);
    for ((a, b), x) in first.chunks(TILE).zip(second.chunks(TILE)).zip(x.chunks(TILE)) {
        for (((value, a), b), x) in tile.iter_mut().zip(a).zip(b).zip(x) {
            *value = element(*a, *b, *x).0;
        }
        add_tile(&mut lanes, &mut tile, x.len());
    }
    total(lanes)
}

#[inline(always)]
fn sum_with_gradient(
    parameters: &[f32],
    x: &[f32],
    gradient: &mut [f32],
    element: impl Fn(f32, f32, f32) -> (f32, f32, f32),
) -> f32 {
    let (first, second) = parameters.split_at(x.len());
    let (by_first, by_second) = gradient.split_at_mut(x.len());
    let (mut tile, mut lanes) = ([0f32; TILE], [0f32; LANES]);
    let parameters = first.chunks(TILE).zip(second.chunks(TILE));
    let slopes = by_first.chunks_mut(TILE).zip(by_second.chunks_mut(TILE));
    for (((a, b), (da, db)), x) in parameters.zip(slopes).zip(x.chunks(TILE)) {
        for (((((value, a), b), x), da), db) in tile.iter_mut().zip(a).zip(b).zip(x).zip(da).zip(db) {
            (*value, *da, *db) = element(*a, *b, *x);
        }
        add_tile(&mut lanes, &mut tile, x.len());
    }
    total(lanes)
}

/// Both kernels of an element.
macro_rules! kernels {
    ($($sum:ident, $with_gradient:ident: $element:ident;)*) => {$(
        simd::multiversion! {
            pub(super) fn $sum(parameters: &[f32], x: &[f32]) -> f32 {
                sum(parameters, x, $element)
            }
        }

        simd::multiversion! {
            pub(super) fn $with_gradient(parameters: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
                sum_with_gradient(parameters, x, gradient, $element)
            }
        }
    )*};
}

kernels! {
    gaussian, gaussian_with_gradient: gaussian_element;
    unit_gaussian, unit_gaussian_with_gradient: unit_gaussian_element;
    logistic, logistic_with_gradient: level;
}

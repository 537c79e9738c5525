//! Terms with one parameter for each value.

use super::{LANES, NEAR, TILE, add_tile, ln_mean_decay_near, total};
use crate::simd;

/// `max(l, 0) - l x`, `e = e^-|l|`, of which `ln(1 + e)` is the rest of the term, and the slope `sigmoid(l) - x`: no overflow for any finite logit.
#[inline(always)]
fn bernoulli_element(l: f32, x: f32) -> (f32, f32, f32) {
    let e = simd::exp(-l.abs());
    let inverse = 1.0 / (1.0 + e);
    let (positive, sigmoid) = if l >= 0.0 { (l, inverse) } else { (0.0, e * inverse) };
    (positive - l * x, e, sigmoid - x)
}

/// A sum of Bernoulli terms, `sum max(l, 0) - l x + ln prod (1 + e)`: one logarithm for 16 values, whose factors lie between 1 and 2.
struct BernoulliSum {
    linear: [f32; TILE],
    decay: [f32; TILE],
    lanes: [f32; LANES],
}

impl BernoulliSum {
    #[inline(always)]
    fn new() -> Self {
        Self { linear: [0.0; TILE], decay: [0.0; TILE], lanes: [0.0; LANES] }
    }

    /// Adds the first `size` values of the tile.
    #[inline(always)]
    fn add(&mut self, size: usize) {
        add_tile(&mut self.lanes, &mut self.linear, size);
        self.decay[size..].fill(0.0);
        // The product less 1, which keeps what certain pixels add: (1 + p) (1 + e) - 1.
        let mut product = [0f32; LANES];
        for chunk in self.decay.chunks_exact(LANES) {
            for (product, e) in product.iter_mut().zip(chunk) {
                *product = *product * e + (*product + e);
            }
        }
        for (lane, product) in self.lanes.iter_mut().zip(product) {
            *lane += simd::ln_1p(product);
        }
    }
}

simd::multiversion! {
    pub(super) fn bernoulli(l: &[f32], x: &[f32]) -> f32 {
        let mut sum = BernoulliSum::new();
        for (l, x) in l.chunks(TILE).zip(x.chunks(TILE)) {
            let tile = sum.linear.iter_mut().zip(&mut sum.decay);
            for (((linear, decay), l), x) in tile.zip(l).zip(x) {
                (*linear, *decay, _) = bernoulli_element(*l, *x);
            }
            sum.add(l.len());
        }
        total(sum.lanes)
    }
}

simd::multiversion! {
    pub(super) fn bernoulli_with_gradient(l: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
        let mut sum = BernoulliSum::new();
        for ((l, x), gradient) in l.chunks(TILE).zip(x.chunks(TILE)).zip(gradient.chunks_mut(TILE)) {
            let tile = sum.linear.iter_mut().zip(&mut sum.decay).zip(gradient);
            for ((((linear, decay), slope), l), x) in tile.zip(l).zip(x) {
                (*linear, *decay, *slope) = bernoulli_element(*l, *x);
            }
            sum.add(l.len());
        }
        total(sum.lanes)
    }
}

#[inline(always)]
fn squared_error_element(l: f32, x: f32) -> (f32, f32) {
    let s = simd::sigmoid(l);
    let difference = s - x;
    (difference * difference, 2.0 * difference * s * (1.0 - s))
}

/// `ln((e^l - 1) / l) - l x`. The first part is `max(l, 0) + ln((1 - e^-|l|) / |l|)`; its derivative is the mean of the distribution.
#[inline(always)]
fn continuous_bernoulli_element(l: f32, x: f32) -> (f32, f32) {
    let a = l.abs();
    let near = ln_mean_decay_near(a);
    let decay = simd::exp(-a);
    let far = (simd::ln((1.0 - decay) / a), decay / (1.0 - decay) - 1.0 / a);
    let (decay, slope) = if a < NEAR { near } else { far };
    let (positive, mean) = if l >= 0.0 { (l, 1.0 + slope) } else { (0.0, -slope) };
    (positive + decay - l * x, mean - x)
}

#[inline(always)]
fn squared_distance_element(m: f32, x: f32) -> (f32, f32) {
    let difference = m - x;
    (difference * difference, 2.0 * difference)
}

/// The sign of a difference, 0 at 0; NaN stays NaN.
#[inline(always)]
fn sign(difference: f32) -> f32 {
    let one = 1f32.copysign(difference);
    if difference == 0.0 || difference.is_nan() { difference } else { one }
}

#[inline(always)]
fn absolute_error_element(l: f32, x: f32) -> (f32, f32) {
    let s = simd::sigmoid(l);
    let difference = s - x;
    (difference.abs(), sign(difference) * s * (1.0 - s))
}

#[inline(always)]
fn absolute_distance_element(m: f32, x: f32) -> (f32, f32) {
    let difference = m - x;
    (difference.abs(), sign(difference))
}

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

/// Both kernels of an element.
macro_rules! kernels {
    ($($sum:ident, $with_gradient:ident: $element:ident;)*) => {$(
        simd::multiversion! {
            pub(super) fn $sum(l: &[f32], x: &[f32]) -> f32 {
                sum(l, x, $element)
            }
        }

        simd::multiversion! {
            pub(super) fn $with_gradient(l: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
                sum_with_gradient(l, x, gradient, $element)
            }
        }
    )*};
}

kernels! {
    continuous_bernoulli, continuous_bernoulli_with_gradient: continuous_bernoulli_element;
    squared_error, squared_error_with_gradient: squared_error_element;
    squared_distance, squared_distance_with_gradient: squared_distance_element;
    absolute_error, absolute_error_with_gradient: absolute_error_element;
    absolute_distance, absolute_distance_with_gradient: absolute_distance_element;
}

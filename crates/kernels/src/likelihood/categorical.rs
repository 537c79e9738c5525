//! Any distribution over 256 levels: `[256, values]` logits.

use super::logistic::ln_sum_exp;
use super::{LANES, LEVELS, TILE, add_tile, total};
use crate::simd;

/// The level of a value `level / 255`.
#[inline(always)]
fn level_of(x: f32) -> usize {
    ((x * 255.0 + 0.5) as usize).min(LEVELS - 1)
}

/// `ln sum_j e^l_j - l_level` for a tile of values.
#[inline(always)]
fn tile(logits: &[f32], x: &[f32], start: usize, normaliser: &mut [f32; TILE], values: &mut [f32; TILE]) {
    let (width, size) = (x.len(), TILE.min(x.len() - start));
    ln_sum_exp(LEVELS, |level| &logits[level * width + start..][..size], &mut normaliser[..size]);
    for (i, (value, all)) in values.iter_mut().zip(&*normaliser).take(size).enumerate() {
        *value = all - logits[level_of(x[start + i]) * width + start + i];
    }
}

simd::multiversion! {
    pub(super) fn sum(logits: &[f32], x: &[f32]) -> f32 {
        let (mut normaliser, mut values, mut lanes) = ([0f32; TILE], [0f32; TILE], [0f32; LANES]);
        for start in (0..x.len()).step_by(TILE) {
            tile(logits, x, start, &mut normaliser, &mut values);
            add_tile(&mut lanes, &mut values, TILE.min(x.len() - start));
        }
        total(lanes)
    }
}

simd::multiversion! {
    pub(super) fn sum_with_gradient(logits: &[f32], x: &[f32], gradient: &mut [f32]) -> f32 {
        let (mut normaliser, mut values, mut lanes) = ([0f32; TILE], [0f32; TILE], [0f32; LANES]);
        let width = x.len();
        for start in (0..width).step_by(TILE) {
            tile(logits, x, start, &mut normaliser, &mut values);
            let size = TILE.min(width - start);
            for level in 0..LEVELS {
                let place = level * width + start..level * width + start + size;
                let slopes = gradient[place.clone()].iter_mut().zip(&logits[place]).zip(&normaliser);
                slopes.for_each(|((slope, logit), all)| *slope = simd::exp(logit - all));
            }
            for i in start..start + size {
                gradient[level_of(x[i]) * width + i] -= 1.0;
            }
            add_tile(&mut lanes, &mut values, size);
        }
        total(lanes)
    }
}

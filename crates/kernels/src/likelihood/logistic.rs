//! A level's probability under a logistic distribution, and mixtures of those (Salimans et al. 2017, arXiv:1701.05517).

use super::{LANES, NEAR, TILE, add_tile, ln_mean_decay_near, softplus, total};
use crate::simd;

/// Least log scale of a logistic, PixelCNN++'s, approached softly. The levels lie 2/255 apart, nine times this scale.
pub const MIN_LOG_SCALE: f32 = -7.0;

/// Half the distance of two levels.
const HALF: f32 = 1.0 / 255.0;
/// Added and taken away, this rounds to a whole number: `1.5 * 2^23`.
const ROUND: f32 = 12_582_912.0;
/// `ln(2 / 255)`.
const LN_STEP: f32 = -4.848_116_4;

/// Coefficients of one component that carry from one channel to the next.
pub(super) fn coefficients(channels: usize) -> usize {
    if channels == 3 { 3 } else { 0 }
}

/// `-ln P` of the level `255 x`, with its derivatives by mean and raw log scale.
///
/// With `a = (y + h - m) / s` and `b = (y - h - m) / s`, `y = 2 x - 1`, `F(a) - F(b) = F(a) F(-b) (1 - e^(b - a))`: three factors of which none cancels, so the logarithm
/// is exact however far the level lies from the mean. PixelCNN++ falls back to the density there and loses the normalisation.
#[inline(always)]
pub(super) fn level(m: f32, raw: f32, x: f32) -> (f32, f32, f32) {
    let (above, slope) = softplus(raw - MIN_LOG_SCALE);
    let log_scale = MIN_LOG_SCALE + above;
    let inverse = simd::exp(-log_scale);
    // From whole numbers: one level's upper edge is the next one's lower edge to the last bit, which a narrow scale would show.
    let level = (x * 255.0 + ROUND) - ROUND;
    let (upper_edge, lower_edge) = ((2.0 * level - 254.0) * HALF, (2.0 * level - 256.0) * HALF);
    let (a, b) = ((upper_edge - m) * inverse, (lower_edge - m) * inverse);
    let (lost_above, upper) = softplus(-a);
    let (lost_below, lower) = softplus(b);
    let (inside, by_width) = ln_width(2.0 * HALF * inverse, LN_STEP - log_scale);
    let (top, bottom) = (level > 254.5, level < 0.5);
    // An open end has no edge and no width.
    let (lost_above, upper) = if top { (0.0, 0.0) } else { (lost_above, upper) };
    let (lost_below, lower) = if bottom { (0.0, 0.0) } else { (lost_below, lower) };
    let (inside, by_width) = if top || bottom { (0.0, 0.0) } else { (inside, by_width) };
    let by_log_scale = a * upper - b * lower + by_width;
    (lost_above + lost_below - inside, inverse * (upper - lower), by_log_scale * slope)
}

/// `ln(1 - e^-d)` and `d / (e^d - 1)`, from `d` and its logarithm.
#[inline(always)]
fn ln_width(d: f32, ln_d: f32) -> (f32, f32) {
    let (near, near_slope) = ln_mean_decay_near(d);
    let decay = simd::exp(-d);
    let rest = 1.0 - decay;
    if d < NEAR { (ln_d + near, 1.0 + d * near_slope) } else { (simd::ln(rest), d * decay / rest) }
}

/// Values of one channel of an output that are read or written together.
#[inline(always)]
fn tile_of(values: &[f32], pixels: usize, channel: usize, start: usize, size: usize) -> &[f32] {
    &values[channel * pixels + start..][..size]
}

#[inline(always)]
fn tile_mut(values: &mut [f32], pixels: usize, channel: usize, start: usize, size: usize) -> &mut [f32] {
    &mut values[channel * pixels + start..][..size]
}

simd::multiversion! {
    /// `-ln` of the mixture's probability, summed over pixels; its gradient goes to `gradient`.
    pub(super) fn mixture(
        components: usize,
        channels: usize,
        parameters: &[f32],
        x: &[f32],
        gradient: &mut [f32],
    ) -> f32 {
        let pixels = x.len() / channels;
        let mut lanes = [0f32; LANES];
        let mut joint = vec![0f32; components * TILE];
        for start in (0..pixels).step_by(TILE) {
            let size = TILE.min(pixels - start);
            for (k, joint) in joint.chunks_exact_mut(TILE).enumerate() {
                let layout = Layout { components, channels, pixels, start, size };
                component(layout, k, parameters, x, &mut joint[..size], gradient);
            }
            let (mut prior, mut posterior) = ([0f32; TILE], [0f32; TILE]);
            ln_sum_exp(components, |k| tile_of(parameters, pixels, k, start, size), &mut prior[..size]);
            ln_sum_exp(components, |k| &joint[k * TILE..][..size], &mut posterior[..size]);
            for k in 0..components {
                let joint = &mut joint[k * TILE..][..size];
                joint.iter_mut().zip(&posterior).for_each(|(j, all)| *j = simd::exp(*j - all));
                let logits = tile_of(parameters, pixels, k, start, size);
                let by_logit = tile_mut(gradient, pixels, k, start, size);
                for (((slope, logit), all), share) in by_logit.iter_mut().zip(logits).zip(&prior).zip(&*joint) {
                    *slope = simd::exp(logit - all) - share;
                }
                for channel in channels_of(components, channels, k) {
                    let slopes = tile_mut(gradient, pixels, channel, start, size);
                    slopes.iter_mut().zip(&*joint).for_each(|(slope, share)| *slope *= share);
                }
            }
            prior.iter_mut().zip(&posterior).for_each(|(prior, posterior)| *prior -= posterior);
            add_tile(&mut lanes, &mut prior, size);
        }
        total(lanes)
    }
}

/// Where a tile of pixels lies in an example.
#[derive(Clone, Copy)]
struct Layout {
    components: usize,
    channels: usize,
    pixels: usize,
    start: usize,
    size: usize,
}

/// The output's channels with the means, log scales and coefficients of component `k`.
#[inline(always)]
fn channels_of(components: usize, channels: usize, k: usize) -> impl Iterator<Item = usize> {
    let (means, count) = (components, coefficients(channels));
    let scales = means + components * channels;
    let shifts = scales + components * channels;
    (0..channels)
        .map(move |c| means + k * channels + c)
        .chain((0..channels).map(move |c| scales + k * channels + c))
        .chain((0..count).map(move |j| shifts + k * count + j))
}

/// `ln pi_k + ln P_k` of each pixel of a tile, but for the normaliser of `pi`; the derivatives of `-ln P_k` go to `gradient`.
#[inline(always)]
fn component(layout: Layout, k: usize, parameters: &[f32], x: &[f32], joint: &mut [f32], gradient: &mut [f32]) {
    let Layout { components, channels, pixels, start, size } = layout;
    let tile = |channel: usize| tile_of(parameters, pixels, channel, start, size);
    let colour = |c: usize| tile_of(x, pixels, c, start, size);
    let (means, scales) = (components + k * channels, components * (1 + channels) + k * channels);
    let first = components * (1 + 2 * channels) + 3 * k;
    joint.copy_from_slice(tile(k));
    for c in 0..channels {
        let (mut shift, mut by_mean, mut by_scale) = ([0f32; TILE], [0f32; TILE], [0f32; TILE]);
        // Coefficient, and the channel it carries from.
        let carried: &[(usize, usize)] = match (channels, c) {
            (3, 1) => &[(0, 0)],
            (3, 2) => &[(1, 0), (2, 1)],
            _ => &[],
        };
        for &(j, from) in carried {
            for ((shift, raw), x) in shift.iter_mut().zip(tile(first + j)).zip(colour(from)) {
                *shift += simd::tanh(*raw) * (2.0 * x - 1.0);
            }
        }
        let spread = tile(means + c).iter().zip(tile(scales + c)).zip(&shift).zip(colour(c));
        let slopes = by_mean.iter_mut().zip(&mut by_scale).zip(joint.iter_mut());
        for ((((m, raw), shift), x), ((by_mean, by_scale), joint)) in spread.zip(slopes) {
            let lost;
            (lost, *by_mean, *by_scale) = level(m + shift, *raw, *x);
            *joint -= lost;
        }
        tile_mut(gradient, pixels, means + c, start, size).copy_from_slice(&by_mean[..size]);
        tile_mut(gradient, pixels, scales + c, start, size).copy_from_slice(&by_scale[..size]);
        for &(j, from) in carried {
            let slopes = tile_mut(gradient, pixels, first + j, start, size);
            for (((slope, raw), x), by_mean) in slopes.iter_mut().zip(tile(first + j)).zip(colour(from)).zip(&by_mean) {
                let t = simd::tanh(*raw);
                *slope = by_mean * (1.0 - t * t) * (2.0 * x - 1.0);
            }
        }
    }
}

/// `ln sum_k e^row_k` for each place of rows of one length.
#[inline(always)]
pub(super) fn ln_sum_exp<'a>(rows: usize, row: impl Fn(usize) -> &'a [f32], out: &mut [f32]) {
    let (mut most, mut sum) = ([f32::NEG_INFINITY; TILE], [0f32; TILE]);
    for k in 0..rows {
        most.iter_mut().zip(row(k)).for_each(|(most, v)| *most = if *v > *most { *v } else { *most });
    }
    for k in 0..rows {
        let terms = sum.iter_mut().zip(&most).zip(row(k));
        terms.for_each(|((sum, most), v)| *sum += simd::exp(v - most));
    }
    for ((out, most), sum) in out.iter_mut().zip(&most).zip(&sum) {
        // `ln` reads the bits of its argument and would make a number of NaN.
        *out = if sum.is_nan() { *sum } else { most + simd::ln(*sum) };
    }
}

//! Activations as types: a loop that is generic over its activation has no choice left inside and vectorises.

use std::cell::Cell;
use std::mem::MaybeUninit;

use crate::activation::LEAKY_SLOPE;
use crate::simd;
use crate::staged::{BLOCK, Stages};

/// One activation: its value and its derivative.
pub(crate) trait Curve {
    /// Whether [`Self::values`] and [`Self::slopes`] are faster than numbers one by one; the bits are the same.
    const STAGED: bool = false;

    /// `activation(x)`.
    fn value(x: f32) -> f32;

    /// `activation'(x)`, told by the input `x`.
    fn slope(x: f32) -> f32;

    /// `activation'(x)`, told by what a layer saves: its output `y`, or `x` itself where
    /// [`Activation::derivative_needs_input`](crate::Activation) says so.
    #[inline(always)]
    fn slope_of_saved(saved: f32) -> f32 {
        Self::slope(saved)
    }

    /// Calls `put(i, value(x(i)))` for each number of a block.
    #[inline(always)]
    fn values(_: &mut Stages, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32)) {
        (0..BLOCK).for_each(|i| put(i, Self::value(x(i))));
    }

    /// Calls `put(i, slope(x(i)))` for each number of a block.
    #[inline(always)]
    fn slopes(_: &mut Stages, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32)) {
        (0..BLOCK).for_each(|i| put(i, Self::slope(x(i))));
    }
}

/// Where the tails of GELU and SiLU have long been below float32's rounding. Held at it, `x` times a tail of 1e-38
/// (which [`simd::exp`] gives instead of 0) stays nothing for any `x`, infinities included.
const FLAT: f32 = 100.0;

/// `x * gate`, for a gate that vanishes far below zero.
#[inline(always)]
fn gated(x: f32, gate: f32) -> f32 {
    x.clamp(-FLAT, f32::INFINITY) * gate
}

/// See [`Activation::None`](crate::Activation::None).
pub(crate) struct Identity;

impl Curve for Identity {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn slope(_: f32) -> f32 {
        1.0
    }
}

/// See [`Activation::Relu`](crate::Activation::Relu).
pub(crate) struct Relu;

impl Curve for Relu {
    /// A comparison instead of `max`, which would turn NaN into 0 and hide a divergence.
    #[inline(always)]
    fn value(x: f32) -> f32 {
        if x < 0.0 { 0.0 } else { x }
    }

    /// NaN has no sign: it lets the gradient through, as in the reference.
    #[inline(always)]
    fn slope(x: f32) -> f32 {
        if x <= 0.0 { 0.0 } else { 1.0 }
    }
}

/// See [`Activation::Tanh`](crate::Activation::Tanh).
pub(crate) struct Tanh;

impl Curve for Tanh {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        simd::tanh(x)
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        Self::slope_of_saved(simd::tanh(x))
    }

    #[inline(always)]
    fn slope_of_saved(y: f32) -> f32 {
        1.0 - y * y
    }
}

/// See [`Activation::Gelu`](crate::Activation::Gelu).
pub(crate) struct Gelu;

impl Curve for Gelu {
    const STAGED: bool = true;

    #[inline(always)]
    fn value(x: f32) -> f32 {
        gated(x, simd::normal_cdf(x))
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        simd::normal_cdf(x) + x.clamp(-FLAT, FLAT) * simd::normal_pdf(x)
    }

    #[inline(always)]
    fn values(stages: &mut Stages, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32)) {
        stages.normal_cdf(x, |i, x, cdf| put(i, gated(x, cdf)));
    }

    #[inline(always)]
    fn slopes(stages: &mut Stages, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32)) {
        let mut cdf = [0f32; BLOCK];
        stages.normal_cdf(&x, |i, _, value| cdf[i] = value);
        stages.normal_pdf(x, |i, x, pdf| put(i, cdf[i] + x.clamp(-FLAT, FLAT) * pdf));
    }
}

/// See [`Activation::Silu`](crate::Activation::Silu).
pub(crate) struct Silu;

impl Curve for Silu {
    const STAGED: bool = true;

    #[inline(always)]
    fn value(x: f32) -> f32 {
        gated(x, simd::sigmoid(x))
    }

    #[inline(always)]
    fn slope(x: f32) -> f32 {
        let s = simd::sigmoid(x);
        s * (1.0 + x.clamp(-FLAT, FLAT) * (1.0 - s))
    }

    #[inline(always)]
    fn values(stages: &mut Stages, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32)) {
        stages.sigmoid(x, |i, x, s| put(i, gated(x, s)));
    }

    #[inline(always)]
    fn slopes(stages: &mut Stages, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32)) {
        stages.sigmoid(x, |i, x, s| put(i, s * (1.0 + x.clamp(-FLAT, FLAT) * (1.0 - s))));
    }
}

/// See [`Activation::LeakyRelu`](crate::Activation::LeakyRelu).
pub(crate) struct LeakyRelu;

impl Curve for LeakyRelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        if x < 0.0 { LEAKY_SLOPE * x } else { x }
    }

    /// At 0 the slope is that of the negative side, as in PyTorch.
    #[inline(always)]
    fn slope(x: f32) -> f32 {
        if x > 0.0 { 1.0 } else { LEAKY_SLOPE }
    }
}

/// Of `count` numbers, how many come in whole blocks that a staged curve takes.
#[inline(always)]
fn in_blocks<C: Curve>(count: usize) -> usize {
    if C::STAGED { count / BLOCK * BLOCK } else { 0 }
}

/// `y = value(x)`, of one length.
#[inline(always)]
pub(crate) fn values<C: Curve>(stages: &mut Stages, x: &[f32], y: &mut [f32]) {
    let whole = in_blocks::<C>(x.len());
    let blocks = x[..whole].as_chunks::<BLOCK>().0.iter().zip(y[..whole].as_chunks_mut::<BLOCK>().0);
    blocks.for_each(|(x, y)| C::values(stages, |i| x[i], |i, value| y[i] = value));
    x[whole..].iter().zip(&mut y[whole..]).for_each(|(x, y)| *y = C::value(*x));
}

/// `row = value(row + bias)`, of one length.
#[inline(always)]
pub(crate) fn add_bias<C: Curve>(stages: &mut Stages, row: &mut [f32], bias: &[f32]) {
    let whole = in_blocks::<C>(row.len());
    let blocks = row[..whole].as_chunks_mut::<BLOCK>().0.iter_mut().zip(bias[..whole].as_chunks::<BLOCK>().0);
    for (row, bias) in blocks {
        // Cells: the block is read to its end before it is written, which the language cannot see.
        let row = Cell::from_mut(row).as_array_of_cells();
        C::values(stages, |i| row[i].get() + bias[i], |i, value| row[i].set(value));
    }
    row[whole..].iter_mut().zip(&bias[whole..]).for_each(|(row, bias)| *row = C::value(*row + *bias));
}

/// `y = value(x scale + shift)`, all of one length; writes all of `y`.
#[inline(always)]
pub(crate) fn affine<C: Curve>(
    stages: &mut Stages,
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    y: &mut [MaybeUninit<f32>],
) {
    let whole = in_blocks::<C>(x.len());
    let blocks = x.as_chunks::<BLOCK>().0.iter().zip(scale.as_chunks::<BLOCK>().0).zip(shift.as_chunks::<BLOCK>().0);
    for (((x, scale), shift), y) in blocks.zip(y[..whole].as_chunks_mut::<BLOCK>().0) {
        C::values(stages, |i| x[i] * scale[i] + shift[i], |i, value| _ = y[i].write(value));
    }
    let rest = x[whole..].iter().zip(&scale[whole..]).zip(&shift[whole..]);
    for (((x, scale), shift), y) in rest.zip(&mut y[whole..]) {
        y.write(C::value(*x * *scale + *shift));
    }
}

/// `dy = dy slope(x scale + shift)`, all of one length.
#[inline(always)]
pub(crate) fn affine_gradient<C: Curve>(stages: &mut Stages, x: &[f32], scale: &[f32], shift: &[f32], dy: &mut [f32]) {
    let whole = in_blocks::<C>(x.len());
    let blocks = x.as_chunks::<BLOCK>().0.iter().zip(scale.as_chunks::<BLOCK>().0).zip(shift.as_chunks::<BLOCK>().0);
    for (((x, scale), shift), dy) in blocks.zip(dy[..whole].as_chunks_mut::<BLOCK>().0) {
        C::slopes(stages, |i| x[i] * scale[i] + shift[i], |i, slope| dy[i] *= slope);
    }
    let rest = x[whole..].iter().zip(&scale[whole..]).zip(&shift[whole..]);
    for (((x, scale), shift), dy) in rest.zip(&mut dy[whole..]) {
        *dy *= C::slope(*x * *scale + *shift);
    }
}

/// `dx = dy slope`, told by what a layer saved, and added to `sum`; all of one length.
#[inline(always)]
pub(crate) fn gradient<C: Curve>(stages: &mut Stages, dy: &[f32], saved: &[f32], dx: &mut [f32], sum: &mut [f32]) {
    let whole = in_blocks::<C>(dy.len());
    let blocks = dy[..whole].as_chunks::<BLOCK>().0.iter().zip(saved[..whole].as_chunks::<BLOCK>().0);
    let results = dx[..whole].as_chunks_mut::<BLOCK>().0.iter_mut().zip(sum[..whole].as_chunks_mut::<BLOCK>().0);
    for ((dy, saved), (dx, sum)) in blocks.zip(results) {
        // What is staged saves its input.
        C::slopes(
            stages,
            |i| saved[i],
            |i, slope| {
                dx[i] = dy[i] * slope;
                sum[i] += dx[i];
            },
        );
    }
    let rest = dy[whole..].iter().zip(&saved[whole..]).zip(&mut dx[whole..]).zip(&mut sum[whole..]);
    for (((dy, saved), dx), sum) in rest {
        let d = dy * C::slope_of_saved(*saved);
        *dx = d;
        *sum += d;
    }
}

/// Evaluates `$work` with `$curve` naming the [`Curve`] of an activation: one copy of the work for each, chosen once.
macro_rules! with_curve {
    (@arms $activation:expr, $curve:ident, $work:expr, $($variant:ident: $type:ident),+) => {
        match $activation {
            $($crate::activation::Activation::$variant => {
                type $curve = $crate::curve::$type;
                $work
            })+
        }
    };
    ($activation:expr, $curve:ident => $work:expr) => {
        $crate::curve::with_curve!(
            @arms $activation, $curve, $work,
            None: Identity, Relu: Relu, Tanh: Tanh, Gelu: Gelu, Silu: Silu, LeakyRelu: LeakyRelu
        )
    };
}
pub(crate) use with_curve;

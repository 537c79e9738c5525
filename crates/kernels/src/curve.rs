//! Activations as types: a loop that is generic over its activation has no choice left inside and vectorises.

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

//! Activations, fused into the layer before them.

#[cfg(feature = "tensors")]
use burn::tensor::{Tensor, activation};

use crate::simd;

/// The nonlinearity applied to a layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// `y = x`.
    #[default]
    None,
    /// `y = max(x, 0)`; NaN stays NaN.
    Relu,
    /// `y = tanh x`.
    Tanh,
    /// `y = x Phi(x)`, the exact form with the normal distribution's Phi (Hendrycks & Gimpel 2016), PyTorch's default.
    Gelu,
    /// `y = x sigmoid(x)`.
    Silu,
    /// `y = x` above zero, `0.01 x` below, PyTorch's default slope.
    LeakyRelu,
}

/// Slope of [`Activation::LeakyRelu`] below zero.
pub const LEAKY_SLOPE: f32 = 0.01;

impl Activation {
    /// Whether the derivative must be taken from the input `x`; for the others the output `y` tells it.
    pub(crate) fn derivative_needs_input(self) -> bool {
        matches!(self, Self::Gelu | Self::Silu)
    }

    /// The plain Burn form: reference in tests, and what runs on devices without fused operations.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use elbo_kernels::Activation;
    ///
    /// let x = Tensor::<1>::from_data([-2.0, 3.0], &Device::default());
    /// let y = Activation::Relu.reference(x);
    /// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [0.0, 3.0]);
    /// ```
    #[cfg(feature = "tensors")]
    pub fn reference<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => x,
            Self::Relu => activation::relu(x),
            Self::Tanh => activation::tanh(x),
            Self::Gelu => activation::gelu(x),
            Self::Silu => activation::silu(x),
            Self::LeakyRelu => activation::leaky_relu(x, f64::from(LEAKY_SLOPE)),
        }
    }
}

simd::multiversion! {
    /// `row = activation(row + bias)`, one output row of a layer.
    pub(crate) fn add_bias_activate(row: &mut [f32], bias: &[f32], activation: Activation) {
        // One loop per activation: a match inside the loop would keep it from vectorising.
        match activation {
            Activation::None => apply(row, bias, |x| x),
            // A comparison instead of `max`, which would turn NaN into 0 and hide a divergence.
            Activation::Relu => apply(row, bias, |x| if x < 0.0 { 0.0 } else { x }),
            Activation::Tanh => apply(row, bias, simd::tanh),
            Activation::Gelu => apply(row, bias, |x| gated(x, simd::normal_cdf(x))),
            Activation::Silu => apply(row, bias, |x| gated(x, simd::sigmoid(x))),
            Activation::LeakyRelu => apply(row, bias, |x| if x < 0.0 { LEAKY_SLOPE * x } else { x }),
        }
    }
}

/// Where the tails of GELU and SiLU have long been below float32's rounding. Held at it, `x` times a tail of 1e-38 (which
/// [`simd::exp`] gives instead of 0) stays nothing for any `x`, infinities included.
const FLAT: f32 = 100.0;

/// `x * gate`, for a gate that vanishes far below zero.
#[inline(always)]
fn gated(x: f32, gate: f32) -> f32 {
    x.clamp(-FLAT, f32::INFINITY) * gate
}

#[inline(always)]
fn apply(row: &mut [f32], bias: &[f32], f: impl Fn(f32) -> f32) {
    for (y, b) in row.iter_mut().zip(bias) {
        *y = f(*y + *b);
    }
}

simd::multiversion! {
    /// `y = activation(x)` from one slice into another.
    pub(crate) fn activate(x: &[f32], y: &mut [f32], activation: Activation) {
        y.copy_from_slice(x);
        match activation {
            Activation::None => {}
            Activation::Relu => y.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v }),
            Activation::Tanh => y.iter_mut().for_each(|v| *v = simd::tanh(*v)),
            Activation::Gelu => y.iter_mut().for_each(|v| *v = gated(*v, simd::normal_cdf(*v))),
            Activation::Silu => y.iter_mut().for_each(|v| *v = gated(*v, simd::sigmoid(*v))),
            Activation::LeakyRelu => y.iter_mut().for_each(|v| *v = if *v < 0.0 { LEAKY_SLOPE * *v } else { *v }),
        }
    }
}

simd::multiversion! {
    /// `dx = dy * activation'`, where `saved` is the output `y` or, for GELU and SiLU, the input `x`; adds `dx` to `sum`.
    pub(crate) fn activation_gradient(dy: &[f32], saved: &[f32], dx: &mut [f32], sum: &mut [f32], activation: Activation) {
        match activation {
            Activation::None => chain(dy, saved, dx, sum, |_| 1.0),
            // NaN in `y` has no sign: let it through, as the reference does for NaN gradients.
            Activation::Relu => chain(dy, saved, dx, sum, |y| if y <= 0.0 { 0.0 } else { 1.0 }),
            Activation::Tanh => chain(dy, saved, dx, sum, |y| 1.0 - y * y),
            Activation::Gelu => chain(dy, saved, dx, sum, |x| simd::normal_cdf(x) + x.clamp(-FLAT, FLAT) * simd::normal_pdf(x)),
            Activation::Silu => chain(dy, saved, dx, sum, |x| {
                let s = simd::sigmoid(x);
                s * (1.0 + x.clamp(-FLAT, FLAT) * (1.0 - s))
            }),
            // At 0 the slope is that of the negative side, as in PyTorch.
            Activation::LeakyRelu => chain(dy, saved, dx, sum, |y| if y > 0.0 { 1.0 } else { LEAKY_SLOPE }),
        }
    }
}

#[inline(always)]
fn chain(dy: &[f32], saved: &[f32], dx: &mut [f32], sum: &mut [f32], derivative: impl Fn(f32) -> f32) {
    for (((dy, saved), dx), sum) in dy.iter().zip(saved).zip(dx).zip(sum) {
        let d = dy * derivative(*saved);
        *dx = d;
        *sum += d;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 6] = [
        Activation::None,
        Activation::Relu,
        Activation::Tanh,
        Activation::Gelu,
        Activation::Silu,
        Activation::LeakyRelu,
    ];

    /// Value and slope in float64; Phi by integration of the density from far below.
    fn expected(activation: Activation, x: f64) -> (f64, f64) {
        match activation {
            Activation::None => (x, 1.0),
            Activation::Relu => (x.max(0.0), f64::from(x > 0.0)),
            Activation::Tanh => (x.tanh(), 1.0 - x.tanh().powi(2)),
            Activation::Gelu => {
                let pdf = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
                let step = (x + 9.0) / 400.0;
                let weight = |i: i32| if i == 0 || i == 400 { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
                let phi = (0..=400).map(|i| weight(i) * pdf(-9.0 + step * f64::from(i))).sum::<f64>() * step / 3.0;
                (x * phi, phi + x * pdf(x))
            }
            Activation::Silu => {
                let s = 1.0 / (1.0 + (-x).exp());
                (x * s, s * (1.0 + x * (1.0 - s)))
            }
            Activation::LeakyRelu => {
                let slope = if x > 0.0 { 1.0 } else { f64::from(LEAKY_SLOPE) };
                (slope * x, slope)
            }
        }
    }

    #[test]
    fn values_and_slopes_follow_the_definitions() {
        let x: Vec<f32> = (0..39).step_by(if cfg!(miri) { 7 } else { 1 }).map(|i| 0.25 * i as f32 - 4.6).collect();
        let bias = vec![0.5f32; x.len()];
        let (dy, mut shifted) = (vec![2.0f32; x.len()], x.clone());
        shifted.iter_mut().for_each(|v| *v -= 0.5);
        for activation in ALL {
            let (mut y, mut dx, mut sum) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()], vec![1f32; x.len()]);
            activate(&x, &mut y, activation);
            let mut with_bias = shifted.clone();
            add_bias_activate(&mut with_bias, &bias, activation);
            let saved = if activation.derivative_needs_input() { &x } else { &y };
            activation_gradient(&dy, saved, &mut dx, &mut sum, activation);
            for i in 0..x.len() {
                let (value, slope) = expected(activation, f64::from(x[i]));
                let near = |found: f32, wanted: f64| (f64::from(found) - wanted).abs() < 5e-6;
                assert!(near(y[i], value) && near(with_bias[i], value), "{activation:?}({}) = {}", x[i], y[i]);
                assert!(near(dx[i], 2.0 * slope) && near(sum[i], 1.0 + 2.0 * slope), "{activation:?}'({})", x[i]);
            }
        }
    }
}

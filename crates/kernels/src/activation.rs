//! Activations, fused into the layer before them.

#[cfg(feature = "tensors")]
use burn::tensor::{Tensor, activation};

use crate::curve::{self, with_curve};
use crate::simd;
use crate::staged::Stages;

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
    /// `rows = activation(rows + bias)`, whole output rows of a layer; the last may be short.
    pub(crate) fn add_bias_activate(rows: &mut [f32], bias: &[f32], activation: Activation) {
        with_curve!(activation, C => {
            let mut stages = Stages::new();
            for row in rows.chunks_mut(bias.len().max(1)) {
                curve::add_bias::<C>(&mut stages, row, &bias[..row.len()]);
            }
        })
    }
}

simd::multiversion! {
    /// `rows = rows + bias` and `out = activation(rows)` in one pass; the last row may be short.
    pub(crate) fn add_bias_and_activate(rows: &mut [f32], bias: &[f32], out: &mut [f32], activation: Activation) {
        with_curve!(activation, C => {
            let mut stages = Stages::new();
            for (row, out) in rows.chunks_mut(bias.len().max(1)).zip(out.chunks_mut(bias.len().max(1))) {
                row.iter_mut().zip(bias).for_each(|(row, bias)| *row += *bias);
                curve::values::<C>(&mut stages, row, out);
            }
        })
    }
}

simd::multiversion! {
    /// `y = activation(x)` from one slice into another.
    pub(crate) fn activate(x: &[f32], y: &mut [f32], activation: Activation) {
        with_curve!(activation, C => curve::values::<C>(&mut Stages::new(), x, y))
    }
}

simd::multiversion! {
    /// `dx = dy * activation'`, where `saved` is the output `y` or, for GELU and SiLU, the input `x`; adds the rows of
    /// `dx`, of which the last may be short, to `sum`.
    pub(crate) fn activation_gradient(dy: &[f32], saved: &[f32], dx: &mut [f32], sum: &mut [f32], activation: Activation) {
        with_curve!(activation, C => {
            let (mut stages, width) = (Stages::new(), sum.len().max(1));
            for ((dy, saved), dx) in dy.chunks(width).zip(saved.chunks(width)).zip(dx.chunks_mut(width)) {
                curve::gradient::<C>(&mut stages, dy, saved, dx, &mut sum[..dy.len()]);
            }
        })
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

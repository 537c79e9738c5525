//! Arguments for layers over images whose sums are exact in float32.

use super::images::{Array, ConvLayer};

impl<const D: usize> Array<D> {
    /// Multiples of 1/16 in [-1, 1]: sums of products of two are exact in float32, so that no rounding puts twins on different sides of a kink.
    pub fn grid(seed: u64, dims: [usize; D]) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 33) % 33) as f32 / 16.0 - 1.0
        };
        Self { dims, values: (0..dims.iter().product()).map(|_| next()).collect() }
    }

    /// All values through `f`.
    pub fn map(mut self, f: impl Fn(f32) -> f32) -> Self {
        self.values.iter_mut().for_each(|v| *v = f(*v));
        self
    }
}

impl<const D: usize> ConvLayer<D> {
    /// A layer of grid values; `outputs` is the length of the bias.
    pub fn grid(x: [usize; D], weight: [usize; D], outputs: usize) -> Self {
        // A power of two keeps sums exact and out of the flat parts of activations.
        let terms = weight.iter().product::<usize>() / outputs;
        let scale = 0.5f32.powi(terms.max(1).ilog2().div_ceil(2) as i32);
        Self {
            x: Array::grid(1, x),
            weight: Array::grid(2, weight).map(|w| w * scale),
            // Half a unit of the products: no value before the activation is 0, where twins may choose either slope.
            bias: Array::grid(3, [outputs]).map(|b| b + scale / 512.0),
        }
    }
}

/// A gradient from above without large cancellations.
pub fn slopes<const D: usize>(dims: [usize; D]) -> Array<D> {
    Array::grid(4, dims).map(|d| 1.0 + 0.5 * d)
}

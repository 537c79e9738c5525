//! Functions of [`crate::simd`] for blocks of numbers, to the same bits and faster.
//!
//! An exponential is a chain of some thirty operations that wait for each other, and a processor looks only a few dozen
//! operations ahead: of one vector after the other it finds two or three chains to work on. A block goes through the chain in
//! stages instead, all its vectors through one before the next begins, and what passes between stages stays in the L1 cache.
//! Measured on a Zen 3 with AVX2 (2026-11-30): SiLU of 8 numbers takes 4.9 ns instead of 7.4.

use crate::simd::{exp_parts, exp_polynomial};

/// Numbers of a block. Shorter loops the compiler unrolls and merges into chains again.
pub(crate) const BLOCK: usize = 128;

/// What passes between the stages of a block.
pub(crate) struct Stages {
    x: [f32; BLOCK],
    rest: [f32; BLOCK],
    power: [f32; BLOCK],
}

impl Stages {
    pub(crate) fn new() -> Self {
        Self { x: [0.0; BLOCK], rest: [0.0; BLOCK], power: [0.0; BLOCK] }
    }

    /// Takes `x(0)`, `x(1)`, ... in and leaves `exp(argument(x))` in `power`; see [`crate::simd::exp`].
    #[inline(always)]
    fn exp(&mut self, x: impl Fn(usize) -> f32, argument: impl Fn(f32) -> f32) {
        for i in 0..BLOCK {
            self.x[i] = x(i);
            (self.rest[i], self.power[i]) = exp_parts(argument(self.x[i]));
        }
        for i in 0..BLOCK {
            self.power[i] *= exp_polynomial(self.rest[i]);
        }
    }

    /// Calls `put(i, x(i), sigmoid(x(i)))` for each number of a block; see [`crate::simd::sigmoid`].
    #[inline(always)]
    pub(crate) fn sigmoid(&mut self, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32, f32)) {
        self.exp(x, |x| -x.abs());
        for i in 0..BLOCK {
            let (x, e) = (self.x[i], self.power[i]);
            let inverse = 1.0 / (1.0 + e);
            put(i, x, if x >= 0.0 { inverse } else { e * inverse });
        }
    }

    /// Calls `put(i, x(i), Phi(x(i)))` for each number of a block; see [`crate::simd::normal_cdf`].
    #[inline(always)]
    pub(crate) fn normal_cdf(&mut self, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32, f32)) {
        let scaled = |x: f32| x.abs() * std::f32::consts::FRAC_1_SQRT_2;
        self.exp(x, |x| -scaled(x) * scaled(x));
        for i in 0..BLOCK {
            let x = self.x[i];
            let t = 1.0 / (1.0 + 0.327_591_1 * scaled(x));
            let poly = 1.061_405_4;
            let poly = poly * t - 1.453_152;
            let poly = poly * t + 1.421_413_8;
            let poly = poly * t - 0.284_496_74;
            let poly = poly * t + 0.254_829_6;
            let upper_tail = 0.5 * poly * t * self.power[i];
            put(i, x, if x >= 0.0 { 1.0 - upper_tail } else { upper_tail });
        }
    }

    /// Calls `put(i, x(i), density)` for each number of a block; see [`crate::simd::normal_pdf`].
    #[inline(always)]
    pub(crate) fn normal_pdf(&mut self, x: impl Fn(usize) -> f32, mut put: impl FnMut(usize, f32, f32)) {
        const INV_SQRT_2PI: f32 = 0.398_942_3;
        self.exp(x, |x| -0.5 * x * x);
        for i in 0..BLOCK {
            put(i, self.x[i], INV_SQRT_2PI * self.power[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd;

    #[test]
    fn blocks_have_the_bits_of_single_numbers() {
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, -1e-40, 1e30, -1e30, 88.4, -87.4];
        let smooth = (0..9 * BLOCK - wild.len()).map(|i| (i as f32 - 500.0) * 0.21);
        let all: Vec<f32> = wild.into_iter().chain(smooth).collect();
        let mut stages = Stages::new();
        let same = |x: f32, found: f32, expected: f32| {
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{x}: {found}");
        };
        for block in all.as_chunks::<BLOCK>().0 {
            let mut count = 0;
            let x = |i: usize| block[i];
            stages.sigmoid(x, |i, x, found| {
                assert!(x == block[i] || x.is_nan());
                count += 1;
                same(x, found, simd::sigmoid(x));
            });
            stages.normal_cdf(x, |_, x, found| same(x, found, simd::normal_cdf(x)));
            stages.normal_pdf(x, |_, x, found| same(x, found, simd::normal_pdf(x)));
            assert_eq!(count, BLOCK);
        }
    }
}

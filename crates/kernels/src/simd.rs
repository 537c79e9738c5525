//! Elementwise mathematics that compilers turn into vector code, and the run-time choice of instruction set.
//!
//! Functions here are branch-free on purpose: every `if` is a select, so that a plain loop over a slice becomes AVX-512,
//! AVX2 or baseline code, whichever `multiversion` instantiates. Accuracy is part of the contract: each
//! function states its largest error and the tests assert that same constant.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Defines a function once and compiles it three times: for AVX-512, for AVX2 and for the baseline.
///
/// The body must consist of plain loops over slices. Which copy runs is decided at run time, once per call, so one
/// binary is right for every machine and users pass no compiler flags.
///
/// With `fused NAME:` in front, the body finds a constant `NAME`: whether `f32::mul_add` is one instruction. Elsewhere it
/// would be a call for each number.
macro_rules! multiversion {
    (@levels [$($constant:tt)*] [$($fused:tt)*] [$($plain:tt)*] $(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "kernels take their slices and scalars one by one")]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn generic $($constant)* ($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(all(target_arch = "x86_64", not(miri)))]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "as above")]
                fn avx512($($arg: $ty),*) $(-> $ret)? { generic $($fused)* ($($arg),*) }

                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "as above")]
                fn avx2($($arg: $ty),*) $(-> $ret)? { generic $($fused)* ($($arg),*) }

                match $crate::simd::level() {
                    // SAFETY: `level` reports AVX-512 only after the processor confirmed every feature named above.
                    $crate::simd::Level::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: likewise for AVX2 and FMA.
                    $crate::simd::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::simd::Level::Baseline => {}
                }
            }
            generic $($plain)* ($($arg),*)
        }
    };
    (fused $name:ident: $($function:tt)*) => {
        $crate::simd::multiversion! { @levels [<const $name: bool>] [::<true>] [::<false>] $($function)* }
    };
    ($($function:tt)*) => { $crate::simd::multiversion! { @levels [] [] [] $($function)* } };
}
pub(crate) use multiversion;

/// The instruction sets that `multiversion` chooses between, from the least to the most capable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Whatever the build target guarantees: SSE2 on x86-64, NEON on AArch64.
    Baseline = 1,
    /// AVX2 and FMA.
    Avx2 = 2,
    /// AVX-512 F, DQ, VL and BW.
    Avx512 = 3,
}

/// The [`Level`] in use, as a number; 0 until somebody asks.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The best [`Level`] of this processor; `ELBO_SIMD=baseline|avx2` or [`set_level`] lower it, for tests and for comparing.
///
/// ```
/// use elbo_kernels::simd::{Level, level};
///
/// match level() {
///     Level::Avx512 => println!("16 numbers at a time"),
///     Level::Avx2 => println!("8 numbers at a time"),
///     _ => println!("what the build target guarantees"),
/// }
/// ```
pub fn level() -> Level {
    match LEVEL.load(Relaxed) {
        1 => Level::Baseline,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => set_level(match std::env::var("ELBO_SIMD").as_deref() {
            Ok("baseline") => Level::Baseline,
            Ok("avx2") => Level::Avx2,
            _ => Level::Avx512,
        }),
    }
}

/// Uses `level` from now on, or the best below it that this processor has; returns which. For the whole process: results then differ in
/// their last bits, so this is for tests and comparisons.
///
/// ```
/// use elbo_kernels::simd::{Level, level, set_level};
///
/// assert_eq!(set_level(Level::Baseline), Level::Baseline);
/// let best = set_level(Level::Avx512); // never more than there is
/// assert_eq!(level(), best);
/// ```
pub fn set_level(level: Level) -> Level {
    let level = level.min(detect());
    LEVEL.store(level as u8, Relaxed);
    level
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw");
    match (avx512, avx2) {
        (true, true) => Level::Avx512,
        (false, true) => Level::Avx2,
        _ => Level::Baseline,
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
fn detect() -> Level {
    Level::Baseline
}

/// The sum of the lanes, in halves.
///
/// Never inlined: where the compiler sees the last two halves, it keeps the whole loop before them in vectors of two.
#[inline(never)]
pub(crate) fn sum_of_lanes<const LANES: usize>(lanes: &[f32; LANES]) -> f32 {
    halves(*lanes, |a, b| a + b)
}

/// The first two halvings of [`sum_of_lanes`], while the lanes are still in vectors.
#[inline(always)]
pub(crate) fn folded(lanes: [f32; 32]) -> [f32; 8] {
    let mut sums = [0f32; 8];
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = (lanes[i] + lanes[i + 16]) + (lanes[i + 8] + lanes[i + 24]);
    }
    sums
}

/// The largest of the lanes; NaN loses against anything. Never inlined, as [`sum_of_lanes`].
#[inline(never)]
pub(crate) fn most_of_lanes<const LANES: usize>(lanes: &[f32; LANES]) -> f32 {
    halves(*lanes, f32::max)
}

fn halves<const LANES: usize>(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Asks for the cache lines of four-byte values, which may lie behind the end of what there is: a hint that reads nothing.
#[inline(always)]
pub(crate) fn prefetch<T>(start: *const T, count: usize) {
    /// Values of a line.
    const LINE: usize = 16;
    for line in (0..count).step_by(LINE) {
        let line = start.wrapping_add(line);
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: the instruction has no effect but on the caches.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.cast());
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = line;
    }
}

/// `a b + c`, in one rounding if `FUSED`, which `multiversion` sets where that is one instruction.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Largest relative error of [`exp`] on [-87, 88].
pub const EXP_MAX_RELATIVE_ERROR: f32 = 3e-7;

/// `e^x`. Below -87.3 the result is about 1e-38 instead of 0 (callers add it to 1), above 88.3 it is about 2e38; NaN stays NaN.
///
/// `x = n ln 2 + r`, `|r| <= ln 2 / 2`; `e^r` is a degree-6 Taylor polynomial and `2^n` is written into the exponent bits.
/// Rounding to `n` adds 1.5 * 2^23, whose mantissa then holds `n`: no float-to-integer cast, which would not vectorise.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let (r, power) = exp_parts(x);
    exp_polynomial(r) * power
}

/// `r` and `2^n` of [`exp`].
#[inline(always)]
pub(crate) fn exp_parts(x: f32) -> (f32, f32) {
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23
    const LN_2_HIGH: f32 = 0.693_359_4; // the first 12 bits of ln 2, so that n * LN_2_HIGH is exact
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // `clamp` keeps NaN, where `max` and `min` would drop it.
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    (r, f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits())))
}

/// `e^r` of [`exp`].
#[inline(always)]
pub(crate) fn exp_polynomial(r: f32) -> f32 {
    let poly = 1.0 / 720.0;
    let poly = poly * r + 1.0 / 120.0;
    let poly = poly * r + 1.0 / 24.0;
    let poly = poly * r + 1.0 / 6.0;
    let poly = poly * r + 0.5;
    let poly = poly * r + 1.0;
    poly * r + 1.0
}

/// [`exp`] that overflows to infinity as `f32::exp` does, for terms whose explosion must be seen.
#[inline(always)]
pub fn exp_or_infinity(x: f32) -> f32 {
    if x > 88.3 { f32::INFINITY } else { exp(x) }
}

/// Largest absolute error of [`ln_1p_unit`].
pub const LN_1P_MAX_ERROR: f32 = 2e-7;

/// `ln(1 + y)` for `y` in [0, 1], by `2 artanh(y / (2 + y))`; NaN stays NaN.
#[inline(always)]
pub fn ln_1p_unit(y: f32) -> f32 {
    let t = y / (2.0 + y);
    let t2 = t * t;
    let series = 1.0 / 13.0;
    let series = series * t2 + 1.0 / 11.0;
    let series = series * t2 + 1.0 / 9.0;
    let series = series * t2 + 1.0 / 7.0;
    let series = series * t2 + 0.2;
    let series = series * t2 + 1.0 / 3.0;
    2.0 * t * (series * t2 + 1.0)
}

/// Largest absolute error of [`sigmoid`].
pub const SIGMOID_MAX_ERROR: f32 = 2e-7;

/// `1 / (1 + e^-x)`, without overflow on either side; NaN stays NaN.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let inverse = 1.0 / (1.0 + e);
    if x >= 0.0 { inverse } else { e * inverse }
}

/// Largest absolute error of [`tanh`]; below 0.625 the error is also relative.
pub const TANH_MAX_ERROR: f32 = 4e-7;

/// `tanh x`; NaN stays NaN.
///
/// Near zero, where `(1 - e)/(1 + e)` would cancel, the odd polynomial of the Cephes library (tanhf) is used.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let e = exp(-2.0 * a);
    let far = ((1.0 - e) / (1.0 + e)).copysign(x);
    let s = x * x;
    let poly = -5.704_988_7e-3;
    let poly = poly * s + 2.063_909e-2;
    let poly = poly * s - 5.373_971_5e-2;
    let poly = poly * s + 1.333_144_2e-1;
    let poly = poly * s - 3.333_328e-1;
    let near = poly * s * x + x;
    if a < 0.625 { near } else { far }
}

/// Largest absolute error of [`normal_cdf`].
pub const NORMAL_CDF_MAX_ERROR: f32 = 5e-7;

/// The cumulative distribution of N(0, 1), `Phi(x) = (1 + erf(x / sqrt 2)) / 2`; NaN stays NaN.
///
/// erf by Abramowitz & Stegun 7.1.26 (absolute error 1.5e-7 in exact arithmetic).
#[inline(always)]
pub fn normal_cdf(x: f32) -> f32 {
    let a = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let poly = 1.061_405_4;
    let poly = poly * t - 1.453_152;
    let poly = poly * t + 1.421_413_8;
    let poly = poly * t - 0.284_496_74;
    let poly = poly * t + 0.254_829_6;
    let upper_tail = 0.5 * poly * t * exp(-a * a);
    if x >= 0.0 { 1.0 - upper_tail } else { upper_tail }
}

/// The density of N(0, 1) at `x`.
#[inline(always)]
pub fn normal_pdf(x: f32) -> f32 {
    const INV_SQRT_2PI: f32 = 0.398_942_3;
    INV_SQRT_2PI * exp(-0.5 * x * x)
}

/// Largest absolute error of [`ln`] on [2^-24, 1], where its values reach -16.6.
pub const LN_MAX_ERROR: f32 = 2e-6;

/// Natural logarithm of a positive normal number.
///
/// The mantissa is brought into [sqrt 1/2, sqrt 2), where `ln m = 2 artanh((m - 1) / (m + 1))` converges fast.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (shifted as i32 >> 23) as f32;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF));
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    let series = 1.0 / 9.0;
    let series = series * t2 + 1.0 / 7.0;
    let series = series * t2 + 0.2;
    let series = series * t2 + 1.0 / 3.0;
    exponent * std::f32::consts::LN_2 + 2.0 * t * (series * t2 + 1.0)
}

/// Largest error of [`ln_1p`] on [0, 2^16], of its value.
pub const LN_1P_MAX_RELATIVE_ERROR: f32 = 3e-7;

/// `ln(1 + y)` for `y` from 0 on, to the last bits however small `y` is; NaN stays NaN.
///
/// What `1 + y` loses by rounding, `y - (u - 1)` with `u` the rounded sum, comes back as `(y - (u - 1)) / u`.
#[inline(always)]
pub fn ln_1p(y: f32) -> f32 {
    let u = 1.0 + y;
    ln(u) + (y - (u - 1.0)) / u
}

/// Largest absolute error of [`sin_cos_turns`].
pub const SIN_COS_MAX_ERROR: f32 = 1e-6;

/// `(sin, cos)` of a whole turn times `turns`, for `turns` in [-1/2, 1/2].
///
/// Taylor polynomials of the half angle, which lies in [-pi/2, pi/2], then the double-angle formulas: no quadrant to choose.
#[inline(always)]
pub fn sin_cos_turns(turns: f32) -> (f32, f32) {
    let a = std::f32::consts::PI * turns;
    let a2 = a * a;
    let s = -1.0 / 39_916_800.0;
    let s = s * a2 + 1.0 / 362_880.0;
    let s = s * a2 - 1.0 / 5_040.0;
    let s = s * a2 + 1.0 / 120.0;
    let s = s * a2 - 1.0 / 6.0;
    let s = a * (s * a2 + 1.0);
    let c = 1.0 / 479_001_600.0;
    let c = c * a2 - 1.0 / 3_628_800.0;
    let c = c * a2 + 1.0 / 40_320.0;
    let c = c * a2 - 1.0 / 720.0;
    let c = c * a2 + 1.0 / 24.0;
    let c = c * a2 - 0.5;
    let c = c * a2 + 1.0;
    (2.0 * s * c, 1.0 - 2.0 * s * s)
}

multiversion! {
    /// Independent draws from N(0, 1) out of random bits, by Box & Muller's transform: two words in, two normals out, in halves of `out`.
    ///
    /// `radius = sqrt(-2 ln u)`, `u` in (0, 1] with 24 bits, so that no draw lies beyond 5.8 standard deviations, as in PyTorch.
    ///
    /// # Panics
    /// If `bits` and `out` differ in length or the length is odd.
    pub fn normals_from_bits(bits: &[u32], out: &mut [f32]) {
        assert!(bits.len() == out.len() && bits.len().is_multiple_of(2), "one word for each normal, in pairs");
        const UNIT: f32 = 1.0 / 16_777_216.0; // 2^-24
        let (radius_bits, angle_bits) = bits.split_at(bits.len() / 2);
        let (first, second) = out.split_at_mut(bits.len() / 2);
        for (((a, b), r), t) in first.iter_mut().zip(second).zip(radius_bits).zip(angle_bits) {
            // As i32: a vector conversion from unsigned words exists only in AVX-512.
            let uniform = ((r >> 8) as i32 + 1) as f32 * UNIT;
            let turns = (t >> 8) as i32 as f32 * UNIT - 0.5;
            let radius = (-2.0 * ln(uniform)).sqrt();
            let (sin, cos) = sin_cos_turns(turns);
            (*a, *b) = (radius * cos, radius * sin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(low: f64, high: f64) -> impl Iterator<Item = f32> {
        let steps = if cfg!(miri) { 60 } else { 40_000 };
        (0..=steps).map(move |i| (low + (high - low) * f64::from(i) / f64::from(steps)) as f32)
    }

    /// The largest absolute error over a grid against a float64 oracle.
    fn max_error(low: f64, high: f64, ours: impl Fn(f32) -> f32, truth: impl Fn(f64) -> f64) -> f32 {
        grid(low, high).map(|x| (f64::from(ours(x)) - truth(f64::from(x))).abs() as f32).fold(0.0, f32::max)
    }

    #[test]
    fn exp_stays_within_its_stated_error() {
        let worst = grid(-87.0, 88.0)
            .map(|x| ((f64::from(exp(x)) / f64::from(x).exp()) - 1.0).abs() as f32)
            .fold(0.0, f32::max);
        assert!(worst <= EXP_MAX_RELATIVE_ERROR, "{worst}");
    }

    #[test]
    fn bounded_functions_stay_within_their_stated_errors() {
        let checks = [
            ("ln_1p", max_error(0.0, 1.0, ln_1p_unit, f64::ln_1p), LN_1P_MAX_ERROR),
            ("sigmoid", max_error(-100.0, 100.0, sigmoid, |x| 1.0 / (1.0 + (-x).exp())), SIGMOID_MAX_ERROR),
            ("tanh", max_error(-20.0, 20.0, tanh, f64::tanh), TANH_MAX_ERROR),
            ("normal_cdf", max_error(-9.0, 9.0, normal_cdf, cdf_by_integration), NORMAL_CDF_MAX_ERROR),
        ];
        let failures: Vec<_> = checks.iter().filter(|(_, worst, bound)| worst > bound).collect();
        assert!(failures.is_empty(), "{failures:?}");
    }

    /// Phi by Taylor series near zero and continued fraction in the tail: nothing shared with the code under test.
    fn cdf_by_integration(x: f64) -> f64 {
        let pdf = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x.abs() < 4.0 {
            let (mut term, mut sum, mut k) = (x, x, 1.0);
            while term.abs() > 1e-18 {
                k += 2.0;
                term *= x * x / k;
                sum += term;
            }
            return 0.5 + pdf * sum;
        }
        let fraction = (1..60).rev().fold(x.abs(), |tail, k| x.abs() + f64::from(k) / tail);
        let upper = pdf / fraction;
        if x > 0.0 { 1.0 - upper } else { upper }
    }

    #[test]
    fn logarithm_and_angles_stay_within_their_stated_errors() {
        let worst = max_error(1e-7, 1.0, ln, f64::ln);
        assert!(worst <= LN_MAX_ERROR, "{worst}");
        let turn = |x: f64| (std::f64::consts::TAU * x).sin_cos();
        assert!(max_error(-0.5, 0.5, |x| sin_cos_turns(x).0, |x| turn(x).0) <= SIN_COS_MAX_ERROR);
        assert!(max_error(-0.5, 0.5, |x| sin_cos_turns(x).1, |x| turn(x).1) <= SIN_COS_MAX_ERROR);
    }

    #[test]
    fn the_logarithm_of_one_and_more_stays_within_its_stated_error() {
        let points = grid(-30.0, 65_536f64.ln()).map(|power| f64::from(power).exp() as f32);
        let worst =
            points.map(|y| ((f64::from(ln_1p(y)) / f64::from(y).ln_1p()) - 1.0).abs() as f32).fold(0.0, f32::max);
        assert!(worst <= LN_1P_MAX_RELATIVE_ERROR, "{worst}");
        assert_eq!(ln_1p(0.0), 0.0);
    }

    #[test]
    fn nan_travels_and_infinities_saturate() {
        for f in [exp, sigmoid, tanh, normal_cdf, ln_1p_unit, ln_1p] {
            assert!(f(f32::NAN).is_nan());
        }
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert!(sigmoid(f32::NEG_INFINITY) < 1e-37);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(normal_cdf(f32::INFINITY), 1.0);
    }
}

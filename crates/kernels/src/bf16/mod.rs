//! Products of bfloat16 numbers with sums in float32.
//!
//! A bfloat16 is the upper half of a float32: the same range, 8 bits of precision. Processors multiply them faster: twice as fast with AVX512_BF16,
//! up to sixteen times with AMX's tiles. Two uses:
//!
//! - **Rounded operands**, where [`with_precision`] asks for them and never otherwise: a product changes by about 1 part in 400 of its terms' size, which training
//!   forgives and evaluation should not have to. Weights, sums, losses and the optimiser stay in float32, and so do small products, where rounding would save nothing.
//! - **Float32 in three pieces**, wherever dense layers meet tiles: `a = a1 + a2 + a3` exactly, eight bits each, and `a b` is six of the nine products of pieces,
//!   the rest of which is smaller than the last bit of `a b` (Henry, Tang & Heinecke 2019, arXiv:1904.06376). As exact as a sum in float32 is, and twice as fast.
//!
//! Operands are packed once, as the instructions read them (see [`pack`]): a word holds two consecutive terms. One loop over blocks of 32 rows and 32 columns
//! ([`product`]) serves all engines. Rounding is to nearest, ties to even; NaN stays NaN. What is not finite cannot be cut into pieces: the caller then takes the
//! product in float32. The instructions take numbers below 1.2e-38 as 0.

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod block;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod dot;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod engine;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod gathered;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod pack;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod product;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod tiles;

use std::cell::Cell;

#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use engine::Engine;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use gathered::Gathered;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use product::{Product, pack_right, words_of};

/// What matrix products round their operands to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Nothing is rounded to less than float32's 24 bits.
    #[default]
    Float32,
    /// Operands of large products are rounded to bfloat16; sums stay in float32.
    Bf16,
}

thread_local!(static PRECISION: Cell<Precision> = const { Cell::new(Precision::Float32) });

/// Runs `work`, whose layers and convolutions on this thread use `precision`, in the passes forwards as well as backwards. Where the processor has no
/// bfloat16 products (see [`has_bf16`]) they stay in float32.
///
/// ```
/// use elbo_kernels::{Precision, with_precision};
///
/// let sum = with_precision(Precision::Bf16, || 1 + 1); // a training step, say
/// assert_eq!(sum, 2);
/// ```
pub fn with_precision<R>(precision: Precision, work: impl FnOnce() -> R) -> R {
    /// Restores what was there, after a panic as well.
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            PRECISION.set(self.0);
        }
    }
    let _restore = Restore(PRECISION.replace(precision));
    work()
}

/// The precision in use on this thread.
pub(crate) fn precision() -> Precision {
    PRECISION.get()
}

/// Whether this processor multiplies bfloat16: AVX-512 with its BF16 extension, with AMX or without. `ELBO_SIMD` lowers it, see [`crate::simd::level`].
///
/// ```
/// println!("bfloat16 products: {}", elbo_kernels::has_bf16());
/// ```
pub fn has_bf16() -> bool {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    return Engine::best().is_some();
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    false
}

#[cfg(all(test, target_arch = "x86_64", not(miri)))]
mod oracle;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_precision_ends_with_its_scope_even_by_a_panic() {
        with_precision(Precision::Bf16, || {
            assert_eq!(precision(), Precision::Bf16);
            with_precision(Precision::Float32, || assert_eq!(precision(), Precision::Float32));
            assert_eq!(precision(), Precision::Bf16);
        });
        let _ = std::panic::catch_unwind(|| with_precision(Precision::Bf16, || panic!("on purpose")));
        assert_eq!(precision(), Precision::Float32);
    }
}

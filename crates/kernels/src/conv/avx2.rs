//! The AVX2 engine: register blocks of 6 x 16 results, 12 accumulators of 8 lanes in 16 registers.

use std::arch::x86_64::*;

use super::engine::Engine;
use super::register_block::register_block;

/// Lanes of a vector.
pub(crate) const LANES: usize = 8;
const _: () = assert!(LANES == Engine::Avx2.lanes());

register_block!(Engine::Avx2, features: "avx2,fma", rows: { 2 => 6, 1 => 8 });

/// How many lanes of a vector count, from the first on.
#[derive(Clone, Copy)]
pub(crate) struct Mask(usize);

impl Mask {
    /// All but the last `missing`.
    #[inline(always)]
    pub(crate) fn without(missing: usize) -> Self {
        Self(LANES - missing)
    }

    /// Ones in the lanes that count.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn bits(self) -> __m256i {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(self.0 as i32), lanes)
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn zero() -> __m256 {
    _mm256_setzero_ps()
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn splat(value: f32) -> __m256 {
    _mm256_set1_ps(value)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn multiply_add(a: __m256, b: __m256, sum: __m256) -> __m256 {
    _mm256_fmadd_ps(a, b, sum)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sum_of(a: __m256, b: __m256) -> __m256 {
    _mm256_add_ps(a, b)
}

/// # Safety
/// `LANES` floats may be read at `place`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn load(place: *const f32) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_ps(place) }
}

/// # Safety
/// The floats that count may be read at `place`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn load_masked(place: *const f32, mask: Mask) -> __m256 {
    // Masked reads and writes are slow on some processors, and whole vectors are the rule.
    // SAFETY: the caller's promise; masked lanes are not read.
    unsafe { if mask.0 == LANES { _mm256_loadu_ps(place) } else { _mm256_maskload_ps(place, mask.bits()) } }
}

/// # Safety
/// The floats that count may be written at `place`.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn store_masked(place: *mut f32, mask: Mask, vector: __m256) {
    // SAFETY: the caller's promise; masked lanes are not written.
    unsafe {
        if mask.0 == LANES { _mm256_storeu_ps(place, vector) } else { _mm256_maskstore_ps(place, mask.bits(), vector) }
    }
}

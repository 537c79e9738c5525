//! The AVX-512 engine: register blocks of 8 x 32 or 6 x 64 results, 24 accumulators of 16 lanes at most.

use std::arch::x86_64::*;

use super::engine::Engine;
use super::register_block::register_block;

/// Lanes of a vector.
pub(crate) const LANES: usize = 16;
const _: () = assert!(LANES == Engine::Avx512.lanes());

register_block!(Engine::Avx512, features: "avx512f", rows: { 4 => 6, 2 => 8, 1 => 8 });

/// The lanes of a vector that count.
#[derive(Clone, Copy)]
pub(crate) struct Mask(__mmask16);

impl Mask {
    /// All but the last `missing`.
    #[inline(always)]
    pub(crate) fn without(missing: usize) -> Self {
        Self(u16::MAX >> missing)
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn zero() -> __m512 {
    _mm512_setzero_ps()
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn splat(value: f32) -> __m512 {
    _mm512_set1_ps(value)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn multiply_add(a: __m512, b: __m512, sum: __m512) -> __m512 {
    _mm512_fmadd_ps(a, b, sum)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sum_of(a: __m512, b: __m512) -> __m512 {
    _mm512_add_ps(a, b)
}

/// # Safety
/// `LANES` floats may be read at `place`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn load(place: *const f32) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_ps(place) }
}

/// # Safety
/// The floats that count may be read at `place`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn load_masked(place: *const f32, mask: Mask) -> __m512 {
    // SAFETY: the caller's promise; masked lanes are not read.
    unsafe { _mm512_maskz_loadu_ps(mask.0, place) }
}

/// # Safety
/// The floats that count may be written at `place`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn store_masked(place: *mut f32, mask: Mask, vector: __m512) {
    // SAFETY: the caller's promise; masked lanes are not written.
    unsafe { _mm512_mask_storeu_ps(place, mask.0, vector) }
}

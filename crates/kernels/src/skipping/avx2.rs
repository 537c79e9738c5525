//! AVX2: blocks of 8 x 8.

use std::arch::x86_64::*;

use super::register_loop::sums_over_lists;
pub(super) use crate::conv::avx2::LANES;
use crate::conv::avx2::{Mask, load, load_masked, multiply_add, splat, store_masked, zero};

sums_over_lists!(features: "avx2,fma");

/// `out[c, r] = source[r, c]` for 8 rows and columns: pairs of rows are interleaved, then pairs of pairs, then halves are exchanged.
///
/// # Safety
/// The processor has AVX2. 8 floats may be read in each of 8 rows `from` apart, and written in rows `to` apart.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn transpose_block(source: *const f32, from: usize, out: *mut f32, to: usize) {
    let mut rows = [zero(); LANES];
    for (r, row) in rows.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *row = unsafe { load(source.add(r * from)) };
    }
    let mut pairs = rows;
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    // fours[4 i + j], half h: rows 4 i .. 4 i + 3 of column 4 h + j.
    let mut fours = rows;
    for i in 0..2 {
        for half in 0..2 {
            let (a, b) = (_mm256_castps_pd(pairs[4 * i + half]), _mm256_castps_pd(pairs[4 * i + 2 + half]));
            fours[4 * i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            fours[4 * i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    }
    for j in 0..4 {
        // SAFETY: the caller's promise.
        unsafe {
            _mm256_storeu_ps(out.add(j * to), _mm256_permute2f128_ps::<0x20>(fours[j], fours[4 + j]));
            _mm256_storeu_ps(out.add((4 + j) * to), _mm256_permute2f128_ps::<0x31>(fours[j], fours[4 + j]));
        }
    }
}

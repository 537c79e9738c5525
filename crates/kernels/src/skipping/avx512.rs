//! AVX-512: blocks of 16 x 16, entries compressed a vector at a time.

use std::arch::x86_64::*;

use super::register_loop::sums_over_lists;
pub(super) use crate::conv::avx512::LANES;
use crate::conv::avx512::{Mask, load, load_masked, multiply_add, splat, store_masked, zero};

sums_over_lists!(features: "avx512f");

/// `out[c, r] = source[r, c]` for 16 rows and columns: pairs of rows are interleaved, then pairs of pairs, then quarters are exchanged.
///
/// # Safety
/// The processor has AVX-512. 16 floats may be read in each of 16 rows `from` apart, and written in rows `to` apart.
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn transpose_block(source: *const f32, from: usize, out: *mut f32, to: usize) {
    let mut rows = [zero(); LANES];
    for (r, row) in rows.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *row = unsafe { load(source.add(r * from)) };
    }
    let mut pairs = rows;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    // fours[4 i + j], quarter q: rows 4 i .. 4 i + 3 of column 4 q + j.
    let mut fours = rows;
    for i in 0..4 {
        for half in 0..2 {
            let (a, b) = (_mm512_castps_pd(pairs[4 * i + half]), _mm512_castps_pd(pairs[4 * i + 2 + half]));
            fours[4 * i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            fours[4 * i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
    }
    for j in 0..4 {
        // Even quarters, then odd ones, of the first and the last eight rows.
        let even = [0, 8].map(|i| _mm512_shuffle_f32x4::<0x88>(fours[i + j], fours[i + 4 + j]));
        let odd = [0, 8].map(|i| _mm512_shuffle_f32x4::<0xdd>(fours[i + j], fours[i + 4 + j]));
        // SAFETY: the caller's promise.
        unsafe {
            _mm512_storeu_ps(out.add(j * to), _mm512_shuffle_f32x4::<0x88>(even[0], even[1]));
            _mm512_storeu_ps(out.add((4 + j) * to), _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]));
            _mm512_storeu_ps(out.add((8 + j) * to), _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]));
            _mm512_storeu_ps(out.add((12 + j) * to), _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]));
        }
    }
}

/// The values of `line` other than 0 and their places; returns how many.
///
/// # Safety
/// The processor has AVX-512. `values` and `places` hold `line` and a vector beyond.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn compress(line: &[f32], values: &mut [f32], places: &mut [u32]) -> usize {
    let mut count = 0;
    let mut place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for chunk in line.chunks(LANES) {
        // SAFETY: masked lanes are not read; at most as many entries as terms were written before, and a vector fits beyond.
        unsafe {
            let entries = load_masked(chunk.as_ptr(), Mask::without(LANES - chunk.len()));
            // Unordered: NaN is an entry. Lanes beyond the end are 0.
            let kept = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(entries, zero());
            _mm512_storeu_ps(values.as_mut_ptr().add(count), _mm512_maskz_compress_ps(kept, entries));
            _mm512_storeu_epi32(places.as_mut_ptr().add(count).cast(), _mm512_maskz_compress_epi32(kept, place));
            count += kept.count_ones() as usize;
        }
        place = _mm512_add_epi32(place, _mm512_set1_epi32(LANES as i32));
    }
    count
}

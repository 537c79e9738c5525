//! AVX2: 6 rows by 16 columns, 12 accumulators of 8 lanes in 16 registers.

use std::arch::x86_64::*;

use super::register_tile::register_tile;
use crate::conv::avx2::{LANES, Mask, load, multiply_add, splat, store_masked, zero};

register_tile!("avx2,fma", most: 6, rest: [5, 4, 3, 2, 1]);

/// Writes eight rows of one length as columns: value `c` of row `r` becomes `lines[c * pitch + r]`.
///
/// # Safety
/// The processor has AVX2 and FMA.
///
/// # Panics
/// If `lines` does not hold the columns, or a row is shorter than the first.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn transpose_eight(rows: &[&[f32]; 8], lines: &mut [f32], pitch: usize) {
    let width = rows[0].len();
    let squares = width / LANES * LANES;
    for first in (0..squares).step_by(LANES) {
        let lines = &mut lines[first * pitch..][..(LANES - 1) * pitch + LANES];
        let row = |r: usize| {
            let values = &rows[r][first..first + LANES];
            // SAFETY: eight floats of a slice.
            unsafe { load(values.as_ptr()) }
        };
        let columns = transposed([row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]);
        for (c, column) in columns.into_iter().enumerate() {
            // SAFETY: the slice holds eight floats from each of its lines' starts on.
            unsafe { _mm256_storeu_ps(lines.as_mut_ptr().add(c * pitch), column) };
        }
    }
    for c in squares..width {
        for (to, row) in lines[c * pitch..][..LANES].iter_mut().zip(rows) {
            *to = row[c];
        }
    }
}

/// The transpose of eight rows of eight.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transposed(rows: [__m256; 8]) -> [__m256; 8] {
    let [a, b, c, d, e, f, g, h] = rows;
    // Pairs of rows, then fours, within each half of a vector; then the halves.
    let pairs = |x, y| (_mm256_unpacklo_ps(x, y), _mm256_unpackhi_ps(x, y));
    let fours = |(x_low, x_high), (y_low, y_high)| {
        [
            _mm256_shuffle_ps::<0x44>(x_low, y_low),
            _mm256_shuffle_ps::<0xee>(x_low, y_low),
            _mm256_shuffle_ps::<0x44>(x_high, y_high),
            _mm256_shuffle_ps::<0xee>(x_high, y_high),
        ]
    };
    let (upper, lower) = (fours(pairs(a, b), pairs(c, d)), fours(pairs(e, f), pairs(g, h)));
    let half = |i: usize| _mm256_permute2f128_ps::<0x20>(upper[i], lower[i]);
    let other = |i: usize| _mm256_permute2f128_ps::<0x31>(upper[i], lower[i]);
    [half(0), half(1), half(2), half(3), other(0), other(1), other(2), other(3)]
}

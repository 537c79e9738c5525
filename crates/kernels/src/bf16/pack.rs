//! Operands as the instructions read them: words of two consecutive terms, in rows of whole cache lines.
//!
//! - The left operand is `[rows, pairs of terms]`, a row after the other.
//! - The right operand is cut into panels of 16 columns, each `[pairs of terms, 16]`: a vector for one engine, a row of a tile for the other.
//!
//! The number of pairs is a multiple of 16 and what is beyond the terms is 0. Where a line of memory runs along the terms, 32 of its numbers become 16 words
//! at once; where it runs across them, two lines do. Each orientation needs one of the two, and one of them a transposition of 16 x 16 words.

use std::arch::x86_64::*;

use crate::skipping::avx512::transpose_block;

/// Words of a vector, rows of a tile, columns of a panel.
pub(super) const WORDS: usize = 16;

/// Words of a row of `terms`: whole cache lines.
pub(crate) fn pairs(terms: usize) -> usize {
    terms.div_ceil(2).next_multiple_of(WORDS)
}

/// The first `count` lanes.
fn mask(count: usize) -> __mmask16 {
    u16::MAX.checked_shr(16 - count.min(16) as u32).unwrap_or(0)
}

/// Up to 32 numbers of a line as 16 words; 0 beyond `left`.
///
/// # Safety
/// The processor has the features; `left` numbers, 32 at most, may be read at `line`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn along(line: *const f32, left: usize) -> __m512i {
    // SAFETY: the caller's promise; masked lanes are not read.
    unsafe {
        let low = _mm512_maskz_loadu_ps(mask(left), line);
        let high = _mm512_maskz_loadu_ps(mask(left.saturating_sub(WORDS)), line.wrapping_add(WORDS));
        words(low, high)
    }
}

/// 16 + 16 numbers, rounded, one after the other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn words(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both are 64 bytes for which every pattern of bits is valid.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Up to 16 numbers each of two lines as 16 words `(first, second)`; 0 beyond `left`, and for a line that is missing.
///
/// # Safety
/// The processor has the features; `left` numbers may be read at each line, where that is not more than 16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn across(first: Option<*const f32>, second: Option<*const f32>, left: usize) -> __m512i {
    // No closure, here and below: it would be compiled without the instructions of the function around it.
    let (mut low, mut high) = (_mm512_setzero_ps(), _mm512_setzero_ps());
    // SAFETY: the caller's promise; masked lanes are not read.
    unsafe {
        if let Some(line) = first {
            low = _mm512_maskz_loadu_ps(mask(left), line);
        }
        if let Some(line) = second {
            high = _mm512_maskz_loadu_ps(mask(left), line);
        }
    }
    interleaved(words(low, high))
}

/// 16 halves of words, then 16 more, as 16 words of one of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn interleaved(halves: __m512i) -> __m512i {
    const ORDER: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = (i / 2 + i % 2 * 16) as u16;
            i += 1;
        }
        order
    };
    // SAFETY: 64 bytes of a constant.
    let order = unsafe { _mm512_loadu_epi16(ORDER.as_ptr().cast()) };
    _mm512_permutexvar_epi16(order, halves)
}

/// Writes 16 vectors of words as columns of `out`, whose rows lie `pitch` apart.
///
/// # Safety
/// The processor has AVX-512; 16 words may be written in each of 16 rows.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store_transposed(tile: [__m512i; WORDS], out: *mut u32, pitch: usize) {
    // SAFETY: the tile is 16 rows of 16 words; the rest is the caller's promise. The transposition moves bits and looks at none.
    unsafe { transpose_block(tile.as_ptr().cast(), WORDS, out.cast(), pitch) };
}

/// Some lines of an operand: line `i` begins at `data[i * pitch]` and has `length` numbers.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub data: &'a [f32],
    pub count: usize,
    pub length: usize,
    pub pitch: usize,
}

impl Lines<'_> {
    /// # Panics
    /// If the lines do not lie in the data.
    fn check(&self) {
        assert!(
            self.count == 0 || (self.count - 1) * self.pitch + self.length <= self.data.len(),
            "lines of the operand"
        );
    }

    /// Line `index` from number `first` on, which is not beyond its end.
    #[inline(always)]
    fn line(&self, index: usize, first: usize) -> Option<*const f32> {
        if index < self.count { Some(self.data[index * self.pitch + first..].as_ptr()) } else { None }
    }
}

/// Packs lines along the terms as rows of words: `out[i, p] = (lines[i, 2 p], lines[i, 2 p + 1])`, `pairs` in a row.
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If `out` is not `count` rows.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn rows_along(lines: Lines<'_>, out: &mut [u32]) {
    lines.check();
    let pitch = pairs(lines.length);
    assert_eq!(out.len(), lines.count * pitch, "a row of words for each line");
    for (i, row) in out.chunks_exact_mut(pitch).enumerate() {
        let line = lines.data[i * lines.pitch..].as_ptr();
        for (v, words) in row.chunks_exact_mut(WORDS).enumerate() {
            let first = (2 * WORDS * v).min(lines.length);
            // SAFETY: the line has what is left of its length; a chunk is a vector.
            unsafe { _mm512_storeu_epi32(words.as_mut_ptr().cast(), along(line.add(first), lines.length - first)) };
        }
    }
}

/// Packs up to 16 lines along the terms as columns of words: `out[p, i] = (lines[i, 2 p], lines[i, 2 p + 1])`.
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If `out` is not 16 words for each pair.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn columns_along(lines: Lines<'_>, out: &mut [u32]) {
    lines.check();
    assert_eq!(out.len(), pairs(lines.length) * WORDS, "a panel");
    for (v, block) in out.chunks_exact_mut(WORDS * WORDS).enumerate() {
        let first = (2 * WORDS * v).min(lines.length);
        let mut tile = [_mm512_setzero_si512(); WORDS];
        for (i, words) in tile.iter_mut().enumerate() {
            if let Some(line) = lines.line(i, first) {
                // SAFETY: the line has what is left of its length.
                *words = unsafe { along(line, lines.length - first) };
            }
        }
        // SAFETY: a chunk is 16 rows of 16 words.
        unsafe { store_transposed(tile, block.as_mut_ptr(), WORDS) };
    }
}

/// Packs up to 16 columns of lines across the terms: `out[p, n] = (lines[2 p, first + n], lines[2 p + 1, first + n])`.
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If `out` is not 16 words for each pair.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn columns_across(lines: Lines<'_>, first: usize, out: &mut [u32]) {
    lines.check();
    assert!(first <= lines.length && out.len() == pairs(lines.count) * WORDS, "a panel");
    for (p, words) in out.chunks_exact_mut(WORDS).enumerate() {
        let (low, high) = (lines.line(2 * p, first), lines.line(2 * p + 1, first));
        // SAFETY: lines have what is left of their length; a chunk is a vector.
        unsafe { _mm512_storeu_epi32(words.as_mut_ptr().cast(), across(low, high, lines.length - first)) };
    }
}

/// Packs up to 16 columns of lines across the terms as rows: `out[n, p] = (lines[2 p, first + n], lines[2 p + 1, first + n])`.
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If `out` is not 16 rows of words.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn rows_across(lines: Lines<'_>, first: usize, out: &mut [u32]) {
    lines.check();
    let pitch = pairs(lines.count);
    assert!(first <= lines.length && out.len() == WORDS * pitch, "16 rows of words");
    for v in 0..pitch / WORDS {
        let mut tile = [_mm512_setzero_si512(); WORDS];
        for (i, words) in tile.iter_mut().enumerate() {
            let p = v * WORDS + i;
            let (low, high) = (lines.line(2 * p, first), lines.line(2 * p + 1, first));
            // SAFETY: lines have what is left of their length.
            *words = unsafe { across(low, high, lines.length - first) };
        }
        // SAFETY: 16 rows of `pitch` words, of which these 16 lie inside.
        unsafe { store_transposed(tile, out.as_mut_ptr().add(v * WORDS), pitch) };
    }
}

/// Rounds numbers to halves of words, in order.
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If lengths differ.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn halves(numbers: &[f32], out: &mut [u16]) {
    assert_eq!(numbers.len(), out.len(), "a half for each number");
    let whole = numbers.len() - numbers.len() % 32;
    for (numbers, out) in numbers[..whole].chunks_exact(32).zip(out.chunks_exact_mut(32)) {
        // SAFETY: 32 numbers are read, 32 halves written.
        unsafe { _mm512_storeu_epi32(out.as_mut_ptr().cast(), along(numbers.as_ptr(), 32)) };
    }
    let (rest, out) = (&numbers[whole..], &mut out[whole..]);
    let mut last = [0u16; 32];
    // SAFETY: what is left is read, one vector written.
    unsafe { _mm512_storeu_epi32(last.as_mut_ptr().cast(), along(rest.as_ptr(), rest.len())) };
    out.copy_from_slice(&last[..rest.len()]);
}

/// Packs 16 columns of rows of halves as rows of words: `out[k, p] = (rows[2 p, first + k], rows[2 p + 1, first + k])`, 0 beyond the rows.
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If 16 columns from `first` on do not lie in a row, or `out` is not 16 rows of words.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn rows_across_halves(rows: &[u16], length: usize, first: usize, out: &mut [u32]) {
    let count = rows.len() / length;
    let pitch = pairs(count);
    assert!(first + WORDS <= length && out.len() == WORDS * pitch, "16 rows of words");
    for v in 0..pitch / WORDS {
        let mut tile = [_mm512_setzero_si512(); WORDS];
        for (i, words) in tile.iter_mut().enumerate() {
            let p = v * WORDS + i;
            let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            // SAFETY: 16 halves inside a row, by the assertion.
            unsafe {
                if 2 * p < count {
                    low = _mm256_loadu_si256(rows[2 * p * length + first..].as_ptr().cast());
                }
                if 2 * p + 1 < count {
                    high = _mm256_loadu_si256(rows[(2 * p + 1) * length + first..].as_ptr().cast());
                }
            }
            *words = interleaved(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high));
        }
        // SAFETY: 16 rows of `pitch` words, of which these 16 lie inside.
        unsafe { store_transposed(tile, out.as_mut_ptr().add(v * WORDS), pitch) };
    }
}

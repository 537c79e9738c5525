//! Operands as the instructions read them: tiles of 16 rows of 16 words, a word two consecutive terms.
//!
//! Rows of the left operand and columns of the right one are cut into stripes of 16, each `[steps, pieces, 16, 16]`: a step is 32 terms, and its tile holds
//! rows of words for the left operand, columns of words for the right one. What an instruction needs next so lies next in memory.
//!
//! One piece is the number rounded; three are its 24 bits, eight each: `number = first + second + third`, exactly. What packs three tells whether all numbers
//! were finite: three pieces of one that is not leave something over. What is beyond the terms is 0.
//!
//! Where a line of memory runs along the terms, 32 of its numbers become 16 words at once; where it runs across them, two lines do. Each operand
//! needs one of the two as it is, and the other transposed.

use std::arch::x86_64::*;

use crate::skipping::avx512::transpose_block;

/// Words of a vector, rows and columns of a tile.
pub(super) const WORDS: usize = 16;
/// Words of a tile.
pub(super) const TILE: usize = WORDS * WORDS;
/// Terms of a step.
pub(super) const STEP: usize = 2 * WORDS;

/// The first `count` lanes.
fn mask(count: usize) -> __mmask16 {
    u16::MAX.checked_shr(16 - count.min(16) as u32).unwrap_or(0)
}

/// Up to 32 numbers of a line as 16 words of each piece; 0 beyond `left`.
///
/// # Safety
/// The processor has the features; `left` numbers, 32 at most, may be read at `line`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn along<const PIECES: usize>(line: *const f32, left: usize, over: &mut __m512i) -> [__m512i; PIECES] {
    // SAFETY: the caller's promise; masked lanes are not read.
    unsafe {
        let low = _mm512_maskz_loadu_ps(mask(left), line);
        let high = _mm512_maskz_loadu_ps(mask(left.saturating_sub(WORDS)), line.wrapping_add(WORDS));
        words(low, high, over)
    }
}

/// The pieces of 16 + 16 numbers, one after the other; bits of what three pieces leave go to `over`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn words<const PIECES: usize>(mut low: __m512, mut high: __m512, over: &mut __m512i) -> [__m512i; PIECES] {
    let mut pieces = [_mm512_setzero_si512(); PIECES];
    if let [rounded] = &mut pieces[..] {
        // SAFETY: both are 64 bytes for which every pattern of bits is valid.
        *rounded = unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) };
        return pieces;
    }
    for piece in &mut pieces {
        let (upper_low, upper_high) = (upper_halves(low), upper_halves(high));
        *piece = packed_halves(upper_low, upper_high);
        // Exact: the upper half is the number without its last bits.
        (low, high) = (_mm512_sub_ps(low, upper_low), _mm512_sub_ps(high, upper_high));
    }
    let rest = _mm512_or_si512(_mm512_castps_si512(low), _mm512_castps_si512(high));
    *over = _mm512_or_si512(*over, rest);
    pieces
}

/// Whether no bit is set.
#[inline]
#[target_feature(enable = "avx512f")]
fn is_zero(words: __m512i) -> bool {
    _mm512_test_epi32_mask(words, words) == 0
}

/// Numbers cut off after the first half of their bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn upper_halves(numbers: __m512) -> __m512 {
    _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(numbers), _mm512_set1_epi32(0xffff_0000u32 as i32)))
}

/// The upper halves of 16 + 16 numbers, one after the other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn packed_halves(low: __m512, high: __m512) -> __m512i {
    const UPPER: [u16; 32] = {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i] = 2 * i as u16 + 1;
            i += 1;
        }
        order
    };
    // SAFETY: 64 bytes of a constant.
    let upper = unsafe { _mm512_loadu_epi16(UPPER.as_ptr().cast()) };
    _mm512_permutex2var_epi16(_mm512_castps_si512(low), upper, _mm512_castps_si512(high))
}

/// Up to 16 numbers each of two lines as 16 words `(first, second)` of each piece; 0 beyond `left`, and for a line that is missing.
///
/// # Safety
/// The processor has the features; `left` numbers may be read at each line, where that is not more than 16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn across<const PIECES: usize>(
    first: Option<*const f32>,
    second: Option<*const f32>,
    left: usize,
    over: &mut __m512i,
) -> [__m512i; PIECES] {
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
    let mut pieces = words(low, high, over);
    for piece in &mut pieces {
        *piece = interleaved(*piece);
    }
    pieces
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

/// Packs a stripe of up to 16 lines along the terms; `TRANSPOSED` where lines become columns. False if three pieces of a number left something over.
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If `out` is not the stripe's tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn along_terms<const PIECES: usize, const TRANSPOSED: bool>(
    lines: Lines<'_>,
    out: &mut [u32],
) -> bool {
    lines.check();
    assert_eq!(out.len(), lines.length.div_ceil(STEP) * PIECES * TILE, "a stripe");
    let mut over = _mm512_setzero_si512();
    for (step, out) in out.chunks_exact_mut(PIECES * TILE).enumerate() {
        let first = step * STEP;
        let mut tiles = [[_mm512_setzero_si512(); WORDS]; PIECES];
        for i in 0..WORDS {
            if let Some(line) = lines.line(i, first) {
                // SAFETY: the line has what is left of its length.
                let pieces = unsafe { along::<PIECES>(line, lines.length - first, &mut over) };
                for (tile, words) in tiles.iter_mut().zip(pieces) {
                    tile[i] = words;
                }
            }
        }
        // SAFETY: the tiles of a step.
        unsafe { store::<PIECES, TRANSPOSED>(tiles, out) };
    }
    is_zero(over)
}

/// Packs a stripe of up to 16 columns, from `first` on, of lines across the terms; `TRANSPOSED` where columns become rows. False as for [`along_terms`].
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If `out` is not the stripe's tiles, or there is no column `first`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn across_terms<const PIECES: usize, const TRANSPOSED: bool>(
    lines: Lines<'_>,
    first: usize,
    out: &mut [u32],
) -> bool {
    lines.check();
    assert!(first < lines.length && out.len() == lines.count.div_ceil(STEP) * PIECES * TILE, "a stripe");
    let mut over = _mm512_setzero_si512();
    for (step, out) in out.chunks_exact_mut(PIECES * TILE).enumerate() {
        let mut tiles = [[_mm512_setzero_si512(); WORDS]; PIECES];
        for i in 0..WORDS {
            let term = step * STEP + 2 * i;
            let (low, high) = (lines.line(term, first), lines.line(term + 1, first));
            // SAFETY: lines have what is left of their length.
            let pieces = unsafe { across::<PIECES>(low, high, lines.length - first, &mut over) };
            for (tile, words) in tiles.iter_mut().zip(pieces) {
                tile[i] = words;
            }
        }
        // SAFETY: the tiles of a step.
        unsafe { store::<PIECES, TRANSPOSED>(tiles, out) };
    }
    is_zero(over)
}

/// Writes the tiles of a step.
///
/// # Safety
/// The processor has AVX-512; `out` holds the tiles.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store<const PIECES: usize, const TRANSPOSED: bool>(tiles: [[__m512i; WORDS]; PIECES], out: &mut [u32]) {
    for (tile, out) in tiles.into_iter().zip(out.chunks_exact_mut(TILE)) {
        if TRANSPOSED {
            // SAFETY: 16 rows of 16 words, read and written. The transposition moves bits and looks at none.
            unsafe { transpose_block(tile.as_ptr().cast(), WORDS, out.as_mut_ptr().cast(), WORDS) };
        } else {
            for (words, out) in tile.into_iter().zip(out.chunks_exact_mut(WORDS)) {
                // SAFETY: a row of the tile.
                unsafe { _mm512_storeu_epi32(out.as_mut_ptr().cast(), words) };
            }
        }
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
    let mut over = _mm512_setzero_si512();
    for (numbers, out) in numbers.chunks(STEP).zip(out.chunks_mut(STEP)) {
        let lanes = u32::MAX >> (STEP - numbers.len());
        // SAFETY: as many numbers are read, lanes beyond them are not written.
        unsafe {
            let [rounded] = along::<1>(numbers.as_ptr(), numbers.len(), &mut over);
            _mm512_mask_storeu_epi16(out.as_mut_ptr().cast(), lanes, rounded);
        }
    }
}

/// Packs a stripe of 16 columns, from `first` on, of rows of halves across the terms; columns become rows.
///
/// # Safety
/// The processor has the features.
///
/// # Panics
/// If the columns do not lie in the rows' `length`, or `out` is not the stripe's tiles.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn halves_across_terms(rows: &[u16], length: usize, first: usize, out: &mut [u32]) {
    let count = rows.len() / length;
    assert!(first + WORDS <= length && out.len() == count.div_ceil(STEP) * TILE, "a stripe");
    for (step, out) in out.chunks_exact_mut(TILE).enumerate() {
        let mut tile = [_mm512_setzero_si512(); WORDS];
        for (i, words) in tile.iter_mut().enumerate() {
            let term = step * STEP + 2 * i;
            let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
            // SAFETY: 16 halves inside a row, by the assertion.
            unsafe {
                if term < count {
                    low = _mm256_loadu_si256(rows[term * length + first..].as_ptr().cast());
                }
                if term + 1 < count {
                    high = _mm256_loadu_si256(rows[(term + 1) * length + first..].as_ptr().cast());
                }
            }
            *words = interleaved(_mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high));
        }
        // SAFETY: a chunk is a tile.
        unsafe { store::<1, true>([tile], out) };
    }
}

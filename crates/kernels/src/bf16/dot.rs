//! AVX512_BF16: each `vdpbf16ps` adds two products to each of 16 sums.

use std::arch::x86_64::*;

use super::block::Block;
use super::pack::{TILE, WORDS};

/// Rows whose sums stay in registers beside two vectors of columns.
const ROWS: usize = 8;

/// See [`super::block::Block`].
///
/// # Safety
/// The processor has the features; the block's pointers are valid as it says.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn block(block: Block, sums: &mut [[f32; 32]; 32]) {
    for (i, sums) in sums.chunks_exact_mut(ROWS).enumerate() {
        // SAFETY: the stripes are the caller's promise: tiles of 16 rows of 16 words, of which these rows are half of one.
        unsafe {
            let left = block.left[i / 2].add(i % 2 * ROWS * WORDS);
            let mut found = [[_mm512_setzero_ps(); 2]; ROWS];
            for step in 0..block.steps {
                let left = left.add(step * TILE);
                let right = block.right.map(|stripe| stripe.add(step * TILE));
                for pair in 0..WORDS {
                    let columns = right.map(|tile| {
                        let words = _mm512_loadu_epi32(tile.add(pair * WORDS).cast());
                        std::mem::transmute::<__m512i, __m512bh>(words)
                    });
                    for (row, found) in found.iter_mut().enumerate() {
                        let word = _mm512_set1_epi32(*left.add(row * WORDS + pair) as i32);
                        let word = std::mem::transmute::<__m512i, __m512bh>(word);
                        found[0] = _mm512_dpbf16_ps(found[0], word, columns[0]);
                        found[1] = _mm512_dpbf16_ps(found[1], word, columns[1]);
                    }
                }
            }
            for (sums, found) in sums.iter_mut().zip(found) {
                _mm512_storeu_ps(sums.as_mut_ptr(), found[0]);
                _mm512_storeu_ps(sums.as_mut_ptr().add(16), found[1]);
            }
        }
    }
}

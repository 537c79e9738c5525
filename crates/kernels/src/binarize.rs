//! Batch assembly with dynamic binarisation: rows of bytes become rows of zeros and ones, drawn anew each time they are asked for.
//!
//! A draw depends on (seed, epoch, purpose, row, pixel) alone: Philox is a counter put through ten rounds of multiplication (Salmon et al.
//! 2011, "Parallel random numbers: as easy as 1, 2, 3"), so there is no state, and neither the batch nor the thread that asks changes a draw.

use crate::pool::{self, SharedMut};
use crate::simd;

/// Which draw is wanted.
///
/// ```
/// use elbo_kernels::{BinaryDraw, gather_bytes_binarized};
///
/// let images = [0, 255, 128, 128, 0, 255, 128, 128]; // two equal images of four pixels
/// let draw = BinaryDraw { seed: 1, purpose: 8, epoch: 1 };
/// let [both, second] = [&[0, 1][..], &[1]].map(|rows| gather_bytes_binarized(&images, 4, rows, draw));
/// assert_eq!((both[0], both[1]), (0.0, 1.0)); // black and white are certain
/// assert_eq!(both[4..], second); // whatever else is in the batch
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinaryDraw {
    /// The run's seed.
    pub seed: u64,
    /// Keeps this stream apart from others of the same seed.
    pub purpose: u32,
    /// The epoch: another draw in each.
    pub epoch: u32,
}

/// Writes 1 with probability `byte / 255`, else 0, for each byte of row `indices[i]` of `bytes` to row `i` of the result.
///
/// # Shapes
/// - `bytes`: `[rows, width]`, row after row
/// - returns: `[indices.len(), width]`, zeros and ones
///
/// # Panics
/// If an index is not below the number of rows.
pub fn gather_bytes_binarized(bytes: &[u8], width: usize, indices: &[u32], draw: BinaryDraw) -> Vec<f32> {
    let mut out = pool::zeros(indices.len() * width);
    let parts = pool::parts_for(indices.len(), width, 16_384, 1);
    let target = SharedMut::new(&mut out);
    pool::run(parts, |part| {
        for i in pool::part_range(indices.len(), parts, part, 1) {
            let start = indices[i] as usize * width;
            // SAFETY: each row belongs to one part, and the buffer outlives the region.
            let row = unsafe { target.slice(i * width..(i + 1) * width) };
            binarize_bytes(&bytes[start..start + width], indices[i], draw, row);
        }
    });
    out
}

/// Plain twin of [`gather_bytes_binarized`]: the definition, pixel by pixel.
pub fn gather_bytes_binarized_reference(bytes: &[u8], width: usize, indices: &[u32], draw: BinaryDraw) -> Vec<f32> {
    let pixels = indices.iter().flat_map(|&row| (0..width).map(move |pixel| (row, pixel)));
    let value = |(row, pixel): (u32, usize)| {
        let within = pixel % (4 * BLOCKS);
        let block = (pixel / (4 * BLOCKS) * BLOCKS + within % BLOCKS) as u32;
        let words = philox([block, row, draw.epoch, draw.purpose], [draw.seed as u32, (draw.seed >> 32) as u32]);
        is_one(bytes[row as usize * width + pixel], words[within / BLOCKS])
    };
    pixels.map(value).collect()
}

/// Blocks of four words drawn together: word `k` of block `b` decides pixel `64 k + b` of a tile of 256, so that all loops run along memory.
const BLOCKS: usize = 64;

simd::multiversion! {
    /// One row of [`gather_bytes_binarized`]: `row` is its number in the data set.
    pub fn binarize_bytes(bytes: &[u8], row: u32, draw: BinaryDraw, out: &mut [f32]) {
        let key = [draw.seed as u32, (draw.seed >> 32) as u32];
        let mut words = [0u32; 4 * BLOCKS];
        for (tile, (bytes, out)) in bytes.chunks(4 * BLOCKS).zip(out.chunks_mut(4 * BLOCKS)).enumerate() {
            let first = (tile * BLOCKS) as u32;
            for lane in 0..BLOCKS {
                let block = philox([first + lane as u32, row, draw.epoch, draw.purpose], key);
                for (k, word) in block.into_iter().enumerate() {
                    words[k * BLOCKS + lane] = word;
                }
            }
            for ((value, byte), word) in out.iter_mut().zip(bytes).zip(&words) {
                *value = is_one(*byte, *word);
            }
        }
    }
}

/// 1 with probability `byte / 255` (to 2^-24): `u < byte / 255` for the `u` in [0, 1) that the word's upper 24 bits tell, in whole numbers.
#[inline(always)]
fn is_one(byte: u8, word: u32) -> f32 {
    f32::from((word >> 8) * 255 < u32::from(byte) << 24)
}

/// Philox 4x32-10.
#[inline(always)]
fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut a, mut b, mut c, mut d], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (first, second) = (u64::from(a) * 0xd251_1f53, u64::from(c) * 0xcd9e_8d57);
        (a, b, c, d) = ((second >> 32) as u32 ^ b ^ k0, second as u32, (first >> 32) as u32 ^ d ^ k1, first as u32);
        (k0, k1) = (k0.wrapping_add(0x9e37_79b9), k1.wrapping_add(0xbb67_ae85));
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAW: BinaryDraw = BinaryDraw { seed: 0x1234_5678_9abc_def0, purpose: 8, epoch: 3 };

    /// The known answers of the authors' library, Random123 (`kat_vectors`).
    #[test]
    fn philox_gives_its_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        let (counter, key) = ([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        assert_eq!(philox(counter, key), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
    }

    #[test]
    fn the_twin_agrees_at_every_width_and_batch() {
        let widths: &[usize] = if cfg!(miri) { &[1, 65, 257] } else { &[1, 3, 63, 64, 65, 255, 256, 257, 784] };
        for &width in widths {
            let bytes: Vec<u8> = (0..5 * width).map(|i| (i * 31 % 256) as u8).collect();
            let found = gather_bytes_binarized(&bytes, width, &[4, 0, 3, 3], DRAW);
            assert_eq!(found, gather_bytes_binarized_reference(&bytes, width, &[4, 0, 3, 3], DRAW), "{width}");
            assert_eq!(found[2 * width..3 * width], found[3 * width..]);
            assert_eq!(found[..width], gather_bytes_binarized(&bytes, width, &[4], DRAW));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million draws")]
    fn shares_of_ones_are_the_bytes() {
        // Row `b` holds the byte `b` often.
        let width = 4096;
        let bytes: Vec<u8> = (0..256 * width).map(|i| (i / width) as u8).collect();
        let rows: Vec<u32> = (0..256).collect();
        let drawn = gather_bytes_binarized(&bytes, width, &rows, DRAW);
        let shares = drawn.chunks(width).map(|row| f64::from(row.iter().sum::<f32>()) / width as f64);
        let mut squares = 0.0;
        for (byte, share) in shares.enumerate() {
            let p = byte as f64 / 255.0;
            let deviation = (p * (1.0 - p) / width as f64).sqrt();
            assert!((share - p).abs() <= 5.0 * deviation, "{byte}: {share}");
            squares += if deviation > 0.0 { ((share - p) / deviation).powi(2) } else { 0.0 };
        }
        // Chi squared with 254 degrees of freedom has the deviation 22.5.
        assert!((squares - 254.0).abs() < 5.0 * 22.5, "{squares}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million draws")]
    fn rows_epochs_seeds_purposes_and_neighbouring_pixels_are_independent() {
        let (width, rows) = (1000, 200);
        let bytes = vec![128u8; width * rows];
        let all: Vec<u32> = (0..rows as u32).collect();
        let base = gather_bytes_binarized(&bytes, width, &all, DRAW);
        let agreement =
            |other: &[f32]| base.iter().zip(other).filter(|(a, b)| a == b).count() as f64 / other.len() as f64;
        let p = 128.0 / 255.0;
        let (expected, bound) = (p * p + (1.0 - p) * (1.0 - p), 5.0 * 0.5 / ((width * rows) as f64).sqrt());
        let others = [
            BinaryDraw { epoch: 4, ..DRAW },
            BinaryDraw { purpose: 9, ..DRAW },
            BinaryDraw { seed: DRAW.seed + 1, ..DRAW },
            BinaryDraw { seed: DRAW.seed + (1 << 32), ..DRAW },
        ];
        for other in others {
            let share = agreement(&gather_bytes_binarized(&bytes, width, &all, other));
            assert!((share - expected).abs() < bound, "{other:?}: {share}");
        }
        for shift in [1, 2, 4, 64, 128, 256, width] {
            let share = agreement(&base[shift..]);
            assert!((share - expected).abs() < 1.01 * bound, "{shift} further: {share}");
        }
    }
}

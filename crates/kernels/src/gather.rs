//! Batch assembly: rows of bytes become rows of `f32` in [0, 1].

use crate::pool::{self, SharedMut};
use crate::simd;

/// Writes row `indices[i]` of `bytes`, divided by 255, to row `i` of the result.
///
/// # Shapes
/// - `bytes`: `[rows, width]`, row after row
/// - returns: `[indices.len(), width]`
///
/// # Panics
/// If an index is not below the number of rows.
///
/// ```
/// let images = [0, 255, 51, 0, 255, 255]; // three images of two pixels
/// assert_eq!(elbo_kernels::gather_bytes(&images, 2, &[1, 0]), [0.2, 0.0, 0.0, 1.0]);
/// ```
pub fn gather_bytes(bytes: &[u8], width: usize, indices: &[u32]) -> Vec<f32> {
    let mut out = pool::zeros(indices.len() * width);
    let parts = pool::parts_for(indices.len(), width, 16_384, 1);
    let target = SharedMut::new(&mut out);
    pool::run(parts, |part| {
        for i in pool::part_range(indices.len(), parts, part, 1) {
            let start = indices[i] as usize * width;
            // SAFETY: each row belongs to one part, and the buffer outlives the region.
            let row = unsafe { target.slice(i * width..(i + 1) * width) };
            unit_from_bytes(&bytes[start..start + width], row);
        }
    });
    out
}

simd::multiversion! {
    /// `out = byte / 255`, correctly rounded: the same value PyTorch's `ToTensor` gives.
    ///
    /// ```
    /// let mut values = [0.0; 3];
    /// elbo_kernels::unit_from_bytes(&[0, 51, 255], &mut values);
    /// assert_eq!(values, [0.0, 0.2, 1.0]);
    /// ```
    pub fn unit_from_bytes(bytes: &[u8], out: &mut [f32]) {
        for (value, byte) in out.iter_mut().zip(bytes) {
            *value = f32::from(*byte) / 255.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_every_row_comes_where_it_belongs() {
        // The last of these is cut into parts.
        for (rows, width, count) in [(3, 1, 5), (4, 17, 4), (2, 300, 1), (64, if cfg!(miri) { 16 } else { 1024 }, 700)]
        {
            let bytes: Vec<u8> = (0..rows * width).map(|i| (i * 31 % 251) as u8).collect();
            let indices: Vec<u32> = (0..count).map(|i| (i * 7 % rows) as u32).collect();
            let found = gather_bytes(&bytes, width, &indices);
            let expected = indices.iter().flat_map(|&i| &bytes[i as usize * width..][..width]);
            assert!(
                found.iter().eq(expected.map(|&b| f32::from(b) / 255.0).collect::<Vec<_>>().iter()),
                "{rows}x{width}"
            );
        }
        assert!(gather_bytes(&[1, 2], 2, &[]).is_empty());
    }
}

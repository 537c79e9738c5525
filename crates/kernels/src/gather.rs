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
    let mut out = vec![0f32; indices.len() * width];
    let parts = pool::parts_for(indices.len(), width, 65_536, 1);
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

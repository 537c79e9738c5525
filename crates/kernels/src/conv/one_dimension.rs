//! The sizes of one-dimensional convolutions, over time steps in `[batch, steps, channels]` order.
//!
//! Steps are the rows of an image of width 1: the same memory, and tiles are cut along rows.

use super::shape::{ConvGeometry, ConvTransposeGeometry};

/// Stride and zero padding of [`conv1d`](crate::conv1d).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv1dGeometry {
    /// Steps between neighbouring windows; at least 1.
    pub stride: usize,
    /// Zeros before the first step and after the last.
    pub padding: usize,
}

impl Conv1dGeometry {
    /// How many windows of `kernel` steps fit `steps`: `floor((steps + 2 padding - kernel) / stride) + 1`; `None` if not one
    /// does or the stride is 0.
    ///
    /// ```
    /// let geometry = elbo_kernels::Conv1dGeometry { stride: 2, padding: 1 };
    /// assert_eq!(geometry.output_size(9, 3), Some(5));
    /// ```
    pub fn output_size(self, steps: usize, kernel: usize) -> Option<usize> {
        self.of_image().output_size([steps, 1], [kernel, 1]).map(|[steps, _]| steps)
    }

    pub(super) fn of_image(self) -> ConvGeometry<[usize; 2]> {
        ConvGeometry { stride: [self.stride, 1], padding: [self.padding, 0] }
    }
}

/// Stride, padding and output padding of [`conv_transpose1d`](crate::conv_transpose1d), as PyTorch defines them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose1dGeometry {
    /// Steps between neighbouring windows of the output; at least 1.
    pub stride: usize,
    /// Steps cut off the output at both ends.
    pub padding: usize,
    /// Steps added at the end, fewer than the stride.
    pub output_padding: usize,
}

impl ConvTranspose1dGeometry {
    /// The output's steps for an input of `steps`: `(steps - 1) stride - 2 padding + kernel + output_padding`; `None` if that
    /// is not positive or the output padding is not smaller than the stride.
    ///
    /// ```
    /// let geometry = elbo_kernels::ConvTranspose1dGeometry { stride: 2, padding: 1, output_padding: 0 };
    /// assert_eq!(geometry.output_size(5, 4), Some(10));
    /// ```
    pub fn output_size(self, steps: usize, kernel: usize) -> Option<usize> {
        self.of_image().output_size([steps, 1], [kernel, 1]).map(|[steps, _]| steps)
    }

    pub(super) fn of_image(self) -> ConvTransposeGeometry<[usize; 2]> {
        ConvTransposeGeometry {
            stride: [self.stride, 1],
            padding: [self.padding, 0],
            output_padding: [self.output_padding, 0],
        }
    }
}

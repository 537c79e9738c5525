//! The sizes of a convolution, named so that both directions read the same.
//!
//! A convolution leads from the *image* (the larger side) to the *map*; the transposed convolution leads from the map to the image, which is
//! also what the data gradient of a convolution does. Both share one weight tensor `[map channels, image channels, height, width]`, so three
//! kernels (image to map, map to image, weight gradient) serve both layers forwards and backwards.

/// Stride and zero padding of [`conv2d`](crate::conv2d), the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Pixels between neighbouring windows; at least 1.
    pub stride: usize,
    /// Zeros around the image on each side.
    pub padding: usize,
}

impl ConvGeometry {
    /// How many windows of `kernel` pixels fit `size` pixels; `None` if not one does or the stride is 0.
    pub fn output_size(self, size: usize, kernel: usize) -> Option<usize> {
        let room = (size + 2 * self.padding).checked_sub(kernel)?;
        Some(room.checked_div(self.stride)? + 1)
    }
}

/// Stride, padding and output padding of [`conv_transpose2d`](crate::conv_transpose2d), as PyTorch defines them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTransposeGeometry {
    /// Pixels between neighbouring windows of the output; at least 1.
    pub stride: usize,
    /// Pixels cut off the output on each side.
    pub padding: usize,
    /// Rows and columns added below and to the right, smaller than the stride: several sizes lead to one map, this chooses among them.
    pub output_padding: usize,
}

impl ConvTransposeGeometry {
    /// The output's size for an input of `size` pixels: `(size - 1) stride - 2 padding + kernel + output_padding`; `None` if that is not positive
    /// or the output padding is not smaller than the stride.
    pub fn output_size(self, size: usize, kernel: usize) -> Option<usize> {
        let whole = size.checked_sub(1)? * self.stride + kernel + self.output_padding;
        let cut = whole.checked_sub(2 * self.padding)?;
        (cut > 0 && self.output_padding < self.stride).then_some(cut)
    }

    /// The convolution that this one transposes.
    pub(crate) fn forward(self) -> ConvGeometry {
        ConvGeometry { stride: self.stride, padding: self.padding }
    }
}

/// One side of a convolution, an example's `[height, width, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Extent {
    /// Values in one row of pixels.
    pub(crate) fn row(self) -> usize {
        self.width * self.channels
    }

    /// Values in one example.
    pub(crate) fn values(self) -> usize {
        self.height * self.row()
    }
}

/// All sizes of one convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub batch: usize,
    pub image: Extent,
    pub map: Extent,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: usize,
}

impl ConvShape {
    /// Pixels of the window.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Elements of the weight.
    pub(crate) fn weights(&self) -> usize {
        self.taps() * self.image.channels * self.map.channels
    }

    /// Multiply-adds of one pass.
    pub(crate) fn work(&self) -> usize {
        let pixels = self.batch * self.map.height * self.map.width;
        pixels.saturating_mul(self.weights())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pytorchs() {
        let size = |size, kernel, stride, padding| ConvGeometry { stride, padding }.output_size(size, kernel);
        assert_eq!(size(32, 4, 2, 1), Some(16));
        assert_eq!(size(9, 3, 2, 1), Some(5));
        assert_eq!(size(1, 1, 3, 0), Some(1));
        assert_eq!(size(2, 3, 1, 0), None, "the window does not fit");
        assert_eq!(size(2, 3, 0, 1), None, "no stride");

        let size = |size, kernel, stride, padding, output_padding| {
            ConvTransposeGeometry { stride, padding, output_padding }.output_size(size, kernel)
        };
        assert_eq!(size(16, 4, 2, 1, 0), Some(32));
        assert_eq!(size(5, 3, 2, 1, 1), Some(10));
        assert_eq!(size(5, 3, 2, 1, 2), None, "output padding as large as the stride");
        assert_eq!(size(1, 1, 1, 1, 0), None, "nothing is left");
        assert_eq!(size(0, 3, 1, 0, 0), None);
    }

    #[test]
    fn a_transposed_convolution_leads_back() {
        for (map, kernel, stride, padding) in [(7, 3, 2, 1), (4, 5, 3, 2), (6, 1, 2, 0), (5, 4, 1, 1)] {
            for output_padding in 0..stride {
                let geometry = ConvTransposeGeometry { stride, padding, output_padding };
                let image = geometry.output_size(map, kernel).unwrap();
                assert_eq!(geometry.forward().output_size(image, kernel), Some(map));
            }
        }
    }
}

//! The sizes of a convolution, named so that both directions read the same.
//!
//! A convolution leads from the *image* (the larger side) to the *map*; the transposed convolution leads from the map to the image, which is
//! also what the data gradient of a convolution does. Both share one weight tensor `[map channels, image channels, height, width]`, so three
//! kernels (image to map, map to image, weight gradient) serve both layers forwards and backwards.

/// A stride: one number for rows and columns, or `[rows, columns]`. As PyTorch's "int or tuple".
pub trait Stride: sealed::Sealed + Copy + std::fmt::Debug {
    /// Rows and columns between neighbouring windows.
    fn by_axis(self) -> [usize; 2];
}

impl Stride for usize {
    fn by_axis(self) -> [usize; 2] {
        [self; 2]
    }
}

impl Stride for [usize; 2] {
    fn by_axis(self) -> [usize; 2] {
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for [usize; 2] {}
}

/// Stride and zero padding of [`conv2d`](crate::conv2d).
///
/// ```
/// use elbo_kernels::ConvGeometry;
///
/// let (square, flat) = (ConvGeometry { stride: 2, padding: [1; 2] }, ConvGeometry { stride: [1, 2], padding: [1; 2] });
/// assert_eq!(square.output_size([8, 8], [4; 2]), Some([4, 4]));
/// assert_eq!(flat.output_size([8, 8], [3, 4]), Some([8, 4]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry<S = usize> {
    /// Pixels between neighbouring windows, at least 1: one number, or one for rows and one for columns.
    pub stride: S,
    /// Zeros above and below the image, and left and right of it.
    pub padding: [usize; 2],
}

impl<S: Stride> ConvGeometry<S> {
    /// The same with a stride for each axis.
    pub(crate) fn by_axis(self) -> ConvGeometry<[usize; 2]> {
        ConvGeometry { stride: self.stride.by_axis(), padding: self.padding }
    }

    /// How many windows of `kernel` rows and columns fit `size` rows and columns; `None` if not one does or a stride is 0.
    pub fn output_size(self, size: [usize; 2], kernel: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let room = (size[axis] + 2 * self.padding[axis]).checked_sub(kernel[axis])?;
            Some(room.checked_div(self.stride.by_axis()[axis])? + 1)
        };
        Some([along(0)?, along(1)?])
    }
}

/// Stride, padding and output padding of [`conv_transpose2d`](crate::conv_transpose2d), as PyTorch defines them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTransposeGeometry<S = usize> {
    /// Pixels between neighbouring windows of the output, at least 1: one number, or one for rows and one for columns.
    pub stride: S,
    /// Rows cut off the output at top and bottom, and columns at left and right.
    pub padding: [usize; 2],
    /// Rows added below and columns to the right, fewer than the stride: several sizes lead to one map, this chooses among them.
    pub output_padding: [usize; 2],
}

impl<S: Stride> ConvTransposeGeometry<S> {
    /// The same with a stride for each axis.
    pub(crate) fn by_axis(self) -> ConvTransposeGeometry<[usize; 2]> {
        let Self { stride, padding, output_padding } = self;
        ConvTransposeGeometry { stride: stride.by_axis(), padding, output_padding }
    }

    /// The output's rows and columns for an input of `size`: `(size - 1) stride - 2 padding + kernel + output_padding`; `None` if that is not
    /// positive or the output padding is not smaller than the stride.
    pub fn output_size(self, size: [usize; 2], kernel: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let stride = self.stride.by_axis()[axis];
            let whole = size[axis].checked_sub(1)? * stride + kernel[axis] + self.output_padding[axis];
            let cut = whole.checked_sub(2 * self.padding[axis])?;
            (cut > 0 && self.output_padding[axis] < stride).then_some(cut)
        };
        Some([along(0)?, along(1)?])
    }

    /// The convolution that this one transposes.
    pub(crate) fn forward(self) -> ConvGeometry<S> {
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
    /// Rows and columns between neighbouring windows.
    pub stride: [usize; 2],
    pub padding: [usize; 2],
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
        // The other axis always fits: what is refused is refused for the first.
        let size = |size, kernel, stride, padding| {
            let geometry = ConvGeometry { stride, padding: [padding, 0] };
            geometry.output_size([size, 1], [kernel, 1]).map(|size| size[0])
        };
        assert_eq!(size(32, 4, 2, 1), Some(16));
        assert_eq!(size(9, 3, 2, 1), Some(5));
        assert_eq!(size(1, 1, 3, 0), Some(1));
        assert_eq!(size(2, 3, 1, 0), None, "the window does not fit");
        assert_eq!(size(2, 3, 0, 1), None, "no stride");

        let size = |size, kernel, stride, padding, output_padding| {
            let (padding, output_padding) = ([0, padding], [0, output_padding]);
            ConvTransposeGeometry { stride, padding, output_padding }
                .output_size([1, size], [1, kernel])
                .map(|size| size[1])
        };
        assert_eq!(size(16, 4, 2, 1, 0), Some(32));
        assert_eq!(size(5, 3, 2, 1, 1), Some(10));
        assert_eq!(size(5, 3, 2, 1, 2), None, "output padding as large as the stride");
        assert_eq!(size(1, 1, 1, 1, 0), None, "nothing is left");
        assert_eq!(size(0, 3, 1, 0, 0), None);
    }

    #[test]
    fn a_transposed_convolution_leads_back() {
        for (map, kernel, stride, padding) in [
            ([7, 5], [3; 2], [2, 2], [1, 2]),
            ([4, 9], [5; 2], [3, 3], [2, 0]),
            ([6, 6], [1, 3], [2, 2], [0, 1]),
            ([5, 4], [4; 2], [1, 1], [1; 2]),
            ([5, 4], [4, 3], [1, 3], [1; 2]),
            ([9, 1], [5, 1], [4, 1], [2, 0]),
        ] {
            for output_padding in (0..stride[0]).flat_map(|rows| (0..stride[1]).map(move |cols| [rows, cols])) {
                let geometry = ConvTransposeGeometry { stride, padding, output_padding };
                let image = geometry.output_size(map, kernel).unwrap();
                assert_eq!(geometry.forward().output_size(image, kernel), Some(map));
            }
        }
    }
}

//! The public changes of resolution.

use burn::tensor::Tensor;

use super::extension::ResampleOps;
use super::reference;
use crate::extension::{Router, is_fused};

/// Nearest upsampling by whole factors: each pixel becomes a block of `factor[0]` rows and `factor[1]` columns.
///
/// `y[n, i, j, c] = x[n, floor(i / factor[0]), floor(j / factor[1]), c]`, PyTorch's `Upsample(mode="nearest")` for images with
/// the channels last. A pixel's gradient is the sum over its block.
///
/// # Shapes
/// - `x`: `[batch, height, width, channels]`
/// - returns: `[batch, height * factor[0], width * factor[1], channels]`
///
/// # Panics
/// If a factor or the number of channels is 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let x = Tensor::<4>::from_data([[[[1.0], [2.0]]]], &Device::default());
/// let y = elbo_kernels::upsample_nearest(x, [1, 3]);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]);
/// ```
pub fn upsample_nearest(x: Tensor<4>, factor: [usize; 2]) -> Tensor<4> {
    check(&x, factor);
    if !is_fused(&x) {
        return reference::upsample_nearest(x, factor);
    }
    Tensor::from_dispatch(Router::elbo_upsample_nearest(x.into_dispatch(), factor))
}

/// Average pooling by whole factors: the mean of each window of `factor[0]` rows and `factor[1]` columns.
///
/// `y[n, i, j, c] = mean of x[n, i factor[0] + u, j factor[1] + v, c] over u < factor[0], v < factor[1]`. Windows do not overlap.
/// A remainder at the bottom and at the right, less than a window, is left out, and its gradient is 0: PyTorch's
/// `AvgPool2d(factor)` for images with the channels last.
///
/// # Shapes
/// - `x`: `[batch, height, width, channels]`
/// - returns: `[batch, floor(height / factor[0]), floor(width / factor[1]), channels]`
///
/// # Panics
/// If a factor or the number of channels is 0, or the image is smaller than one window.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let x = Tensor::<4>::from_data([[[[1.0], [3.0], [100.0]]]], &Device::default());
/// let y = elbo_kernels::average_pool(x, [1, 2]);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [2.0]);
/// ```
pub fn average_pool(x: Tensor<4>, factor: [usize; 2]) -> Tensor<4> {
    let [_, height, width, _] = x.dims();
    check(&x, factor);
    assert!(height >= factor[0] && width >= factor[1], "windows of {factor:?} on an image of {height} x {width}");
    if !is_fused(&x) {
        return reference::average_pool(x, factor);
    }
    Tensor::from_dispatch(Router::elbo_average_pool(x.into_dispatch(), factor))
}

fn check(x: &Tensor<4>, factor: [usize; 2]) {
    assert!(factor[0] > 0 && factor[1] > 0, "factors {factor:?} of at least 1");
    assert!(x.dims()[3] > 0, "x {:?} has no channels", x.dims());
}

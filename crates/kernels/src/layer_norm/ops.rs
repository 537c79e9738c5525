//! The public normalisations of rows.

use burn::tensor::Tensor;

use super::extension::LayerNormOps;
use super::reference;
use crate::extension::{Router, is_fused};

/// Layer normalisation of rows (Ba et al. 2016, arXiv:1607.06450, eq. 3 and 4).
///
/// `y = weight (x - mean) / sqrt(variance + eps) + bias`; mean and biased variance are those of the
/// row, and gradients flow through them. PyTorch's `LayerNorm` over the last dimension.
///
/// # Shapes
/// - `x`: `[rows, width]`; `weight`, `bias`: `[width]`
/// - returns: `[rows, width]`
///
/// # Panics
/// If the lengths of `weight` and `bias` are not the width of `x`, or the width is 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::layer_norm;
///
/// let device = Device::default();
/// let x = Tensor::<2>::from_data([[1.0, 3.0], [10.0, 30.0]], &device);
/// let (weight, bias) = (Tensor::<1>::ones([2], &device), Tensor::<1>::zeros([2], &device));
/// let y = layer_norm(x, weight, bias, 0.0);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [-1.0, 1.0, -1.0, 1.0]);
/// ```
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<2> {
    check(&x, [&weight, &bias]);
    if !is_fused(&x) {
        return reference::layer_norm(x, weight, bias, eps);
    }
    Tensor::from_dispatch(Router::elbo_layer_norm(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch(), eps))
}

/// Root-mean-square normalisation of rows (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4).
///
/// `y = weight x / sqrt(mean(x^2) + eps)`, the mean over the row. PyTorch's `RMSNorm` over the last dimension.
///
/// # Shapes
/// - `x`: `[rows, width]`; `weight`: `[width]`
/// - returns: `[rows, width]`
///
/// # Panics
/// If the length of `weight` is not the width of `x`, or the width is 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::rms_norm;
///
/// let device = Device::default();
/// let x = Tensor::<2>::from_data([[3.0, 3.0], [0.0, -8.0]], &device);
/// let y = rms_norm(x, Tensor::ones([2], &device), 0.0).into_data().to_vec::<f32>().unwrap();
/// let expected = [1.0, 1.0, 0.0, -(2f32.sqrt())];
/// assert!(y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-6));
/// ```
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f64) -> Tensor<2> {
    check(&x, [&weight]);
    if !is_fused(&x) {
        return reference::rms_norm(x, weight, eps);
    }
    Tensor::from_dispatch(Router::elbo_rms_norm(x.into_dispatch(), weight.into_dispatch(), eps))
}

fn check<const N: usize>(x: &Tensor<2>, vectors: [&Tensor<1>; N]) {
    let [_, width] = x.dims();
    assert!(width > 0, "rows {:?} have values", x.dims());
    for vector in vectors {
        assert_eq!(vector.dims(), [width], "one number for each column of x {:?}", x.dims());
    }
}

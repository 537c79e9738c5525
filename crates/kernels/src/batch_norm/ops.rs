//! The public batch normalisations.

use burn::tensor::Tensor;

use super::extension::BatchNormOps;
use super::reference;
use crate::activation::Activation;
use crate::extension::{Router, is_fused};

/// Batch normalisation with its activation as training uses it, by the statistics of the batch itself (Ioffe & Szegedy 2015, arXiv:1502.03167).
///
/// `y = activation(gamma (x - mean) / sqrt(variance + eps) + beta)`; mean and biased variance are taken over all dimensions but the last, and
/// gradients flow through them.
///
/// Returns `y`, the mean and the biased variance. The caller updates running statistics; PyTorch's rule is
/// `running_var = (1 - momentum) running_var + momentum * variance * n / (n - 1)` for `n` values per channel, and without the last factor for the mean.
///
/// # Shapes
/// - `x`: `[batch, height, width, channels]` or `[batch, channels]`; `gamma`, `beta`: `[channels]`
/// - returns: `x`'s shape, `[channels]`, `[channels]`; no gradient flows through the last two
///
/// # Panics
/// If the last dimension of `x`, `gamma` and `beta` differ or are 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, batch_norm};
///
/// let device = Device::default();
/// let x = Tensor::<2>::from_data([[1.0], [3.0]], &device);
/// let (gamma, beta) = (Tensor::<1>::ones([1], &device), Tensor::<1>::zeros([1], &device));
/// let (y, mean, variance) = batch_norm(x, gamma, beta, 0.0, Activation::Relu);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [0.0, 1.0]);
/// assert_eq!([mean.into_scalar::<f32>(), variance.into_scalar::<f32>()], [2.0, 1.0]);
/// ```
pub fn batch_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    activation: Activation,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    check(&x, [&gamma, &beta]);
    if !is_fused(&x) {
        return reference::batch_norm(x, gamma, beta, eps, activation);
    }
    let (y, mean, variance) =
        Router::elbo_batch_norm(x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch(), eps, activation);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// Batch normalisation with its activation as inference uses it, by given statistics.
///
/// `y = activation(gamma (x - running_mean) / sqrt(running_var + eps) + beta)`.
///
/// # Shapes
/// - `x`: `[batch, height, width, channels]` or `[batch, channels]`; all others: `[channels]`
/// - returns: `x`'s shape; no gradient flows into the running statistics
///
/// # Panics
/// If the last dimension of `x` and the length of another argument differ or are 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, batch_norm_inference};
///
/// let device = Device::default();
/// let vector = |value: f32| Tensor::<1>::from_data([value], &device);
/// let x = Tensor::<2>::from_data([[1.0], [3.0]], &device);
/// let y = batch_norm_inference(x, vector(2.0), vector(1.0), vector(1.0), vector(4.0), 0.0, Activation::None);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [1.0, 3.0]);
/// ```
pub fn batch_norm_inference<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    running_mean: Tensor<1>,
    running_var: Tensor<1>,
    eps: f64,
    activation: Activation,
) -> Tensor<D> {
    check(&x, [&gamma, &beta]);
    check(&x, [&running_mean, &running_var]);
    if !is_fused(&x) {
        return reference::batch_norm_inference(x, gamma, beta, running_mean, running_var, eps, activation);
    }
    Tensor::from_dispatch(Router::elbo_batch_norm_inference(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        running_mean.into_dispatch(),
        running_var.into_dispatch(),
        eps,
        activation,
    ))
}

fn check<const D: usize>(x: &Tensor<D>, per_channel: [&Tensor<1>; 2]) {
    let dims = x.dims();
    let channels = dims[D - 1];
    assert!(channels > 0, "x {dims:?} has no channels");
    for vector in per_channel {
        assert_eq!(vector.dims(), [channels], "one number for each channel of x {dims:?}");
    }
}

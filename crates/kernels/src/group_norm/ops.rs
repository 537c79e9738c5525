//! The public group normalisation.

use burn::tensor::Tensor;

use super::extension::{GroupNormOps, Settings};
use super::reference;
use crate::activation::Activation;
use crate::extension::{Router, is_fused};

/// Group normalisation with its activation (Wu & He 2018, arXiv:1803.08494).
///
/// `y = activation(gamma (x - mean) / sqrt(variance + eps) + beta)`; mean and biased variance are those of one example's group of `channels / groups`
/// neighbouring channels over all pixels, and gradients flow through them. PyTorch's `GroupNorm` for images with the channels last.
///
/// # Shapes
/// - `x`: `[batch, height, width, channels]`; `gamma`, `beta`: `[channels]`
/// - returns: `x`'s shape
///
/// # Panics
/// If `groups` does not divide the channels or is 0, or the last dimension of `x`, `gamma` and `beta` differ or are 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, group_norm};
///
/// let device = Device::default();
/// let x = Tensor::<4>::from_data([[[[1.0, 3.0, 10.0, 30.0]]]], &device);
/// let (gamma, beta) = (Tensor::<1>::ones([4], &device), Tensor::<1>::zeros([4], &device));
/// let y = group_norm(x, 2, gamma, beta, 0.0, Activation::None);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [-1.0, 1.0, -1.0, 1.0]);
/// ```
pub fn group_norm(
    x: Tensor<4>,
    groups: usize,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    activation: Activation,
) -> Tensor<4> {
    let [.., channels] = x.dims();
    assert!(groups > 0 && channels > 0 && channels.is_multiple_of(groups), "{groups} groups of {channels} channels");
    for vector in [&gamma, &beta] {
        assert_eq!(vector.dims(), [channels], "one number for each channel of x {:?}", x.dims());
    }
    if !is_fused(&x) {
        return reference::group_norm(x, groups, gamma, beta, eps, activation);
    }
    Tensor::from_dispatch(Router::elbo_group_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        Settings { groups, eps, activation },
    ))
}

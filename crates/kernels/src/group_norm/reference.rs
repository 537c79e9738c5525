//! Plain Burn twin of group normalisation.

use burn::tensor::Tensor;

use crate::activation::Activation;

/// Twin of [`crate::group_norm`](crate::group_norm()).
pub fn group_norm(
    x: Tensor<4>,
    groups: usize,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    activation: Activation,
) -> Tensor<4> {
    let dims @ [batch, height, width, channels] = x.dims();
    let grouped = x.reshape([batch, height * width, groups, channels / groups]);
    let mean = grouped.clone().mean_dim(1).mean_dim(3);
    let centred = grouped - mean;
    let variance = centred.clone().square().mean_dim(1).mean_dim(3);
    let normal = (centred / (variance + eps).sqrt()).reshape(dims);
    activation.reference(normal * gamma.unsqueeze::<4>() + beta.unsqueeze::<4>())
}

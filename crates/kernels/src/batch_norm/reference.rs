//! Plain Burn twins of batch normalisation.

use burn::tensor::Tensor;

use crate::activation::Activation;

/// Twin of [`crate::batch_norm`].
pub fn batch_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
    activation: Activation,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let (dims, channels) = (x.dims(), gamma.dims()[0]);
    let pixels = dims.iter().product::<usize>() / channels.max(1);
    let rows: Tensor<2> = x.reshape([pixels, channels]);
    let mean = rows.clone().mean_dim(0);
    let centred = rows - mean.clone();
    let variance = centred.clone().square().mean_dim(0);
    let normal = centred / (variance.clone() + eps).sqrt();
    let y = normal * gamma.unsqueeze::<2>() + beta.unsqueeze::<2>();
    let statistics = |row: Tensor<2>| row.detach().reshape([channels]);
    (activation.reference(y.reshape(dims)), statistics(mean), statistics(variance))
}

/// Twin of [`crate::batch_norm_inference`].
pub fn batch_norm_inference<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    running_mean: Tensor<1>,
    running_var: Tensor<1>,
    eps: f64,
    activation: Activation,
) -> Tensor<D> {
    let centred = x - running_mean.detach().unsqueeze();
    let deviation = (running_var.detach() + eps).sqrt();
    activation.reference(centred / deviation.unsqueeze() * gamma.unsqueeze() + beta.unsqueeze())
}

//! Plain Burn twins of the normalisations of rows.

use burn::tensor::Tensor;

/// Twin of [`crate::layer_norm`](crate::layer_norm()).
pub fn layer_norm(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    rms_norm(centred, weight, eps) + bias.unsqueeze::<2>()
}

/// Twin of [`crate::rms_norm`](crate::rms_norm()).
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f64) -> Tensor<2> {
    let deviation = (x.clone().square().mean_dim(1) + eps).sqrt();
    x / deviation * weight.unsqueeze::<2>()
}

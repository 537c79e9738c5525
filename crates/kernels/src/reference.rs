//! Plain Burn twins of the fused operations: the reference in tests, and what runs on every device but Flex.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use elbo_kernels::{gaussian_kl, reference};
//!
//! let device = Device::default();
//! let (mean, log_var) = (Tensor::<2>::from_data([[0.3]], &device), Tensor::<2>::from_data([[-1.0]], &device));
//! let difference = gaussian_kl(mean.clone(), log_var.clone()) - reference::gaussian_kl(mean, log_var);
//! assert!(difference.into_scalar::<f32>().abs() < 1e-6);
//! ```

use burn::tensor::{Tensor, activation};

use crate::activation::Activation;
pub use crate::attention::reference::{attention, self_attention};
pub use crate::batch_norm::reference::{batch_norm, batch_norm_inference};
pub use crate::codebook::code_statistics_reference as code_statistics;
pub use crate::conv::reference::{conv_transpose1d, conv_transpose2d, conv1d, conv2d};
pub use crate::cross_entropy::reference::cross_entropy;
pub use crate::embedding::reference::embedding;
pub use crate::group_norm::reference::group_norm;
pub use crate::layer_norm::reference::{layer_norm, rms_norm};
pub use crate::likelihood::reference::reconstruction;
pub use crate::resample::reference::{average_pool, upsample_nearest};

/// Twin of [`crate::linear`](crate::linear()).
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, activation: Activation) -> Tensor<2> {
    activation.reference(x.matmul(weight.transpose()) + bias.unsqueeze::<2>())
}

/// Twin of [`crate::bernoulli_nll`].
pub fn bernoulli_nll(logits: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    let magnitude = logits.clone().abs();
    // max(l, 0), written so that its slope at 0 is 1/2, as the loss has it there: autodiff takes 0 for |l| (and for ReLU).
    let positive = (logits.clone() + magnitude.clone()) * 0.5;
    let softplus = (-magnitude).exp().log1p();
    (positive - logits * x + softplus).sum_dim(1).squeeze_dim(1)
}

/// Twin of [`crate::squared_error`].
pub fn squared_error(logits: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    (activation::sigmoid(logits) - x).square().sum_dim(1).squeeze_dim(1)
}

/// Twin of [`crate::gaussian_kl`].
pub fn gaussian_kl(mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<2> {
    (mean.square() + log_var.clone().exp() - log_var - 1.0) * 0.5
}

/// Twin of [`crate::reparameterize`].
pub fn reparameterize(mean: Tensor<2>, log_var: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    mean + (log_var * 0.5).exp() * noise
}

//! `-ln p(k)` of symbols under logits, in nats.

use burn::tensor::{Int, Tensor};

use crate::tensors::values_of;

/// `-ln softmax(logits)[target]` of each row, in nats.
///
/// # Shapes
/// - `logits`: `[n, symbols]`; `targets`: `[n]`
///
/// # Panics
/// If a target is not below the number of symbols, or there is not one for each row.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use elbo::networks::token_nll;
///
/// let device = Device::default();
/// let (logits, targets) = (Tensor::zeros([3, 8], &device), Tensor::<1, Int>::from_data([0, 7, 3], &device));
/// assert!(token_nll(logits, targets).iter().all(|nll| (nll - 8f32.ln()).abs() < 1e-6));
/// ```
pub fn token_nll(logits: Tensor<2>, targets: Tensor<1, Int>) -> Vec<f32> {
    values_of(elbo_kernels::cross_entropy(logits.without_autodiff(), targets))
}

/// The mean over examples of the sum of [`token_nll`] over their rows, which lie one after another.
///
/// # Shapes
/// - `logits`: `[n, symbols]`; `targets`: `[n]`
/// - returns: `[1]`
///
/// # Panics
/// As [`token_nll`], and if the rows are no whole number for each example.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, examples: usize) -> Tensor<1> {
    let rows = logits.dims()[0];
    elbo_kernels::cross_entropy(logits, targets).reshape([examples, rows / examples]).sum_dim(1).mean()
}

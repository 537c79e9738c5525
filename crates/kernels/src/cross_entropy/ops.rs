//! The public cross-entropy.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};

use super::extension::CrossEntropyOps;
use super::reference;
use crate::by_entry::indices_of;
use crate::extension::{Router, is_fused};

/// `-ln softmax(logits)[target]` of each row, in nats; PyTorch's `cross_entropy` with `reduction="none"`.
///
/// The slopes are made in the same pass over the logits.
///
/// # Shapes
/// - `logits`: `[n, symbols]`; `targets`: `[n]`
/// - returns: `[n]`
///
/// # Panics
/// If there is not one target for each row, or one is negative or not below the number of symbols.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use elbo_kernels::cross_entropy;
///
/// let device = Device::default();
/// let (logits, targets) = (Tensor::zeros([3, 8], &device), Tensor::<1, Int>::from_data([0, 7, 3], &device));
/// let nll = cross_entropy(logits, targets).into_data().to_vec::<f32>().unwrap();
/// assert!(nll.iter().all(|nll| (nll - 8f32.ln()).abs() < 1e-6));
/// ```
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let ([n, symbols], given) = (logits.dims(), targets.dims()[0]);
    assert_eq!(given, n, "one target for each of {n} rows");
    let numbers = indices_of(targets.clone(), symbols);
    if !is_fused(&logits) {
        return reference::cross_entropy(logits, targets);
    }
    Tensor::from_dispatch(Router::elbo_cross_entropy(logits.into_dispatch(), Arc::from(numbers)))
}

//! Plain Burn twin of the cross-entropy.

use burn::tensor::{Int, Tensor, activation};

/// Twin of [`crate::cross_entropy`](crate::cross_entropy()).
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let n = logits.dims()[0];
    activation::log_softmax(logits, 1).gather(1, targets.reshape([n, 1])).neg().reshape([n])
}

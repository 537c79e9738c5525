//! Plain Burn twin of the embedding.

use burn::tensor::{Int, Tensor};

/// Twin of [`crate::embedding`](crate::embedding()).
pub fn embedding(table: Tensor<2>, indices: Tensor<1, Int>) -> Tensor<2> {
    table.select(0, indices)
}

//! The public embedding.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};

use super::extension::EmbeddingOps;
use super::reference;
use crate::by_entry::indices_of;
use crate::extension::{Router, is_fused};

/// Row `indices[i]` of `table` as row `i`; PyTorch's `embedding`.
///
/// The gradient of a row of the table is the sum of those of its places in the result, added in
/// their order: the same bits on any number of threads.
///
/// # Shapes
/// - `table`: `[entries, width]`; `indices`: `[n]`
/// - returns: `[n, width]`
///
/// # Panics
/// If an index is negative or not below the number of entries.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use elbo_kernels::embedding;
///
/// let device = Device::default();
/// let table = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 4.0]], &device);
/// let indices = Tensor::<1, Int>::from_data([1, 0, 1], &device);
/// let rows = embedding(table, indices).into_data().to_vec::<f32>().unwrap();
/// assert_eq!(rows, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
/// ```
pub fn embedding(table: Tensor<2>, indices: Tensor<1, Int>) -> Tensor<2> {
    let [entries, _] = table.dims();
    let numbers = indices_of(indices.clone(), entries);
    if !is_fused(&table) {
        return reference::embedding(table, indices);
    }
    Tensor::from_dispatch(Router::elbo_embedding(table.into_dispatch(), Arc::from(numbers), entries))
}

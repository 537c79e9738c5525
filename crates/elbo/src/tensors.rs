//! Between tensors and the host's vectors.

use burn::tensor::Tensor;

/// The values of a tensor as float32, in row-major order.
pub fn values_of<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data_as::<f32>().try_into_vec().expect("converted to float32")
}

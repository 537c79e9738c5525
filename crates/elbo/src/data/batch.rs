//! From bytes to tensors: examples of a split as one batch.

use burn::tensor::{Device, Tensor, TensorData};

use super::split::Subset;

/// Examples `chosen` (places in the split) as one tensor with values `byte / 255`.
///
/// # Shapes
/// - returns: `[chosen.len(), channels * height * width]`
///
/// # Panics
/// If a place is not below the split's length.
pub fn batch(split: &Subset, chosen: &[u32], device: &Device) -> Tensor<2> {
    let source = split.source();
    let width = source.shape().numel();
    let indices: Vec<u32> = chosen.iter().map(|&place| split.indices()[place as usize]).collect();
    let values = match source.bytes() {
        Some(bytes) => elbo_kernels::gather_bytes(bytes, width, &indices),
        None => rendered(split, chosen, width),
    };
    Tensor::from_data(TensorData::new(values, [chosen.len(), width]), device)
}

/// The same for a source that makes its images when asked.
fn rendered(split: &Subset, chosen: &[u32], width: usize) -> Vec<f32> {
    let mut bytes = vec![0u8; chosen.len() * width];
    for (image, &place) in bytes.chunks_exact_mut(width).zip(chosen) {
        split.read(place as usize, image);
    }
    let mut values = vec![0f32; bytes.len()];
    elbo_kernels::unit_from_bytes(&bytes, &mut values);
    values
}

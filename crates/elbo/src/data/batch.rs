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
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::{ImageShape, InMemory, Subset, batch::batch};
///
/// let pixels = vec![0, 51, 102, 255]; // two images of two pixels
/// let source = InMemory::new("tiny", ImageShape::grey(1, 2), pixels, None, vec![], "made by hand");
/// let split = Subset::all(Arc::new(source));
/// let x = batch(&split, &[1, 0], &elbo::device::choose("cpu")?);
/// assert_eq!(x.into_data().to_vec::<f32>().unwrap(), [0.4, 1.0, 0.0, 0.2]);
/// # Ok::<(), elbo::Error>(())
/// ```
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

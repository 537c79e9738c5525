//! From bytes and rows to tensors: examples of a split as one batch.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::source::Source;
use super::split::Subset;

/// Examples `chosen` (places in the split) as one tensor with values `byte / 255`, or the source's real numbers.
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
    let values = match (source.bytes(), source.floats()) {
        (Some(bytes), _) => elbo_kernels::gather_bytes(bytes, width, &indices),
        (None, Some(rows)) => gather_rows(rows, width, &indices),
        (None, None) => rendered(source.as_ref(), width, &indices),
    };
    Tensor::from_data(TensorData::new(values, [chosen.len(), width]), device)
}

fn gather_rows(rows: &[f32], width: usize, indices: &[u32]) -> Vec<f32> {
    let row = |&index: &u32| &rows[index as usize * width..][..width];
    indices.iter().flat_map(row).copied().collect()
}

/// The same for a source that makes or reads its examples when asked.
fn rendered(source: &dyn Source, width: usize, indices: &[u32]) -> Vec<f32> {
    let mut values = vec![0f32; indices.len() * width];
    values.par_chunks_exact_mut(width).zip(indices).for_each(|(row, &index)| source.read_values(index as usize, row));
    values
}

//! From bytes and rows to tensors: examples of a split as one batch.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::augment::Augment;
use super::source::{Domain, Source};
use super::split::Subset;
use crate::random::Draws;

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
    let dims = [chosen.len(), split.source().shape().numel()];
    Tensor::from_data(TensorData::new(values(split, chosen), dims), device)
}

/// The same for training, with random changes to the images.
///
/// # Panics
/// As [`batch`].
pub fn augmented(split: &Subset, chosen: &[u32], augment: &Augment, draws: &mut Draws, device: &Device) -> Tensor<2> {
    let source = split.source();
    let mut values = values(split, chosen);
    augment.apply(&mut values, source.shape(), source.domain() == Domain::Levels, draws);
    Tensor::from_data(TensorData::new(values, [chosen.len(), source.shape().numel()]), device)
}

/// Example after example, as the model sees them.
fn values(split: &Subset, chosen: &[u32]) -> Vec<f32> {
    let source = split.source();
    let width = source.shape().numel();
    let indices: Vec<u32> = chosen.iter().map(|&place| split.indices()[place as usize]).collect();
    match (source.bytes(), source.floats()) {
        (Some(bytes), _) => elbo_kernels::gather_bytes(bytes, width, &indices),
        (None, Some(rows)) => gather_rows(rows, width, &indices),
        (None, None) => rendered(source.as_ref(), width, &indices),
    }
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

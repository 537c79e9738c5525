//! From bytes and rows to tensors: examples of a split as one batch.

use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::BinaryDraw;
use rayon::prelude::*;

use super::augment::Augment;
use super::binarize::{Binarize, threshold};
use super::source::{Domain, Source};
use super::split::Subset;
use crate::random::Draws;

/// Examples `chosen` (places in the split) as one tensor with values `byte / 255`, or the source's real numbers. Splits that are binarised by
/// chance give always the same draw, as evaluations want it; [`training_batch`] gives another in each epoch.
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
    training_batch(split, chosen, 0, device)
}

/// [`batch`] as training sees it in `epoch`, counted from 1; 0 is the fixed draw of evaluations.
///
/// # Panics
/// As [`batch`].
pub fn training_batch(split: &Subset, chosen: &[u32], epoch: usize, device: &Device) -> Tensor<2> {
    let dims = [chosen.len(), split.source().shape().numel()];
    Tensor::from_data(TensorData::new(values(split, chosen, epoch), dims), device)
}

/// The same with random changes to the images; what is drawn from a changed image is drawn after the change.
///
/// # Panics
/// As [`batch`].
pub fn augmented(
    split: &Subset,
    chosen: &[u32],
    epoch: usize,
    augment: &Augment,
    draws: &mut Draws,
    device: &Device,
) -> Tensor<2> {
    let (source, binarization) = (split.source(), split.binarization());
    let indices = split.source_indices(chosen);
    let mut values = grey(split, &indices);
    augment.apply(&mut values, source.shape(), source.domain() == Domain::Levels, draws);
    let width = source.shape().numel();
    match binarization.binarize {
        Binarize::None => {}
        Binarize::Threshold => values.iter_mut().for_each(threshold),
        Binarize::Dynamic => {
            for (row, &index) in values.chunks_exact_mut(width).zip(&indices) {
                let bytes: Vec<u8> = row.iter().map(|value| (255.0 * value).round() as u8).collect();
                elbo_kernels::binarize_bytes(&bytes, index, binarization.draw(epoch), row);
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [chosen.len(), width]), device)
}

/// Example after example, as the model sees them in `epoch`.
fn values(split: &Subset, chosen: &[u32], epoch: usize) -> Vec<f32> {
    let (source, binarization) = (split.source(), split.binarization());
    let (indices, width) = (split.source_indices(chosen), source.shape().numel());
    match (binarization.binarize, source.bytes()) {
        (Binarize::Dynamic, Some(bytes)) => {
            elbo_kernels::gather_bytes_binarized(bytes, width, &indices, binarization.draw(epoch))
        }
        (Binarize::Dynamic, None) => rendered_binarized(source.as_ref(), width, &indices, binarization.draw(epoch)),
        (Binarize::Threshold, _) => {
            let mut values = grey(split, &indices);
            values.iter_mut().for_each(threshold);
            values
        }
        (Binarize::None, _) => grey(split, &indices),
    }
}

/// Examples by their places in the source, as they are there.
fn grey(split: &Subset, indices: &[u32]) -> Vec<f32> {
    let source = split.source();
    let width = source.shape().numel();
    match (source.bytes(), source.floats()) {
        (Some(bytes), _) => elbo_kernels::gather_bytes(bytes, width, indices),
        (None, Some(rows)) => gather_rows(rows, width, indices),
        (None, None) => rendered(source.as_ref(), width, indices),
    }
}

/// Reads the examples' bytes and makes them binary: the same draws as for a source that lies in memory.
fn rendered_binarized(source: &dyn Source, width: usize, indices: &[u32], draw: BinaryDraw) -> Vec<f32> {
    let mut values = vec![0f32; indices.len() * width];
    values.par_chunks_exact_mut(width).zip(indices).for_each(|(row, &index)| {
        let mut pixels = vec![0u8; width];
        source.read(index as usize, &mut pixels);
        elbo_kernels::binarize_bytes(&pixels, index, draw, row);
    });
    values
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::binarize::Binarization;
    use super::super::source::{ImageShape, InMemory};
    use super::*;

    /// The bytes of another source, read one image at a time as from a disk.
    struct Slow(InMemory);

    impl Source for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn len(&self) -> usize {
            self.0.len()
        }
        fn shape(&self) -> ImageShape {
            self.0.shape()
        }
        fn read(&self, index: usize, pixels: &mut [u8]) {
            self.0.read(index, pixels);
        }
        fn label(&self, _: usize) -> Option<u32> {
            None
        }
        fn label_names(&self) -> &[String] {
            &[]
        }
        fn fingerprint(&self) -> &str {
            "slow"
        }
    }

    fn drawn(split: &Subset, chosen: &[u32], epoch: usize) -> Vec<f32> {
        training_batch(split, chosen, epoch, &Device::flex()).into_data().try_into_vec().expect("float32")
    }

    #[test]
    fn draws_depend_on_seed_epoch_and_image_and_on_nothing_else() {
        let pixels: Vec<u8> = (0..40 * 90).map(|i| (i * 7 % 256) as u8).collect();
        let source = InMemory::new("grey", ImageShape::grey(9, 10), pixels.clone(), None, vec![], "grey");
        let dynamic = |seed| Binarization { binarize: Binarize::Dynamic, seed };
        let memory = Subset::all(Arc::new(source.clone())).binarized(dynamic(1));
        let slow = Subset::all(Arc::new(Slow(source.clone()))).binarized(dynamic(1));
        let all: Vec<u32> = (0..40).collect();
        let first = drawn(&memory, &all, 1);
        assert!(first.iter().all(|v| [0.0, 1.0].contains(v)));
        assert_eq!(drawn(&slow, &all, 1), first, "read or in memory");
        assert_eq!(drawn(&memory, &[17, 3], 1), [&first[17 * 90..18 * 90], &first[3 * 90..4 * 90]].concat());
        // Image 17 of the source is the same image wherever it lies in a split.
        let split = Subset::new(Arc::new(source.clone()), [5, 17]).binarized(dynamic(1));
        assert_eq!(drawn(&split, &[1], 1), first[17 * 90..18 * 90]);
        assert_ne!(drawn(&memory, &all, 2), first);
        assert_ne!(drawn(&memory.clone().binarized(dynamic(2)), &all, 1), first);
        // What is taken from a split stays binary.
        assert_eq!(drawn(&split.select(&[1]), &[0], 1), first[17 * 90..18 * 90]);
        assert_eq!(drawn(&split.whole(), &all, 1), first);
        let fixed: Vec<f32> = batch(&memory, &all, &Device::flex()).into_data().try_into_vec().expect("float32");
        assert_eq!(fixed, drawn(&memory, &all, 0));
        assert!(fixed != first);
    }

    #[test]
    fn a_threshold_cuts_at_one_half() {
        let source = InMemory::new("grey", ImageShape::grey(1, 4), vec![0, 127, 128, 255], None, vec![], "grey");
        let threshold = Binarization { binarize: Binarize::Threshold, seed: 1 };
        assert_eq!(drawn(&Subset::all(Arc::new(source)).binarized(threshold), &[0], 3), [0.0, 0.0, 1.0, 1.0]);
    }
}

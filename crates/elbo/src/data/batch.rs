//! From bytes and rows to tensors: examples of a split as one batch.

use burn::tensor::{Device, Int, Tensor, TensorData};
use elbo_kernels::BinaryDraw;
use rayon::prelude::*;

use super::augment::Augment;
use super::binarize::{Binarize, threshold};
use super::source::Source;
use super::split::Subset;
use crate::error::{Error, Result};
use crate::random::Draws;
use crate::space::Domain;
use crate::space::Rows;

/// What a model is told beside the examples, a row each. What it does not need is not there.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Given {
    /// The class of each example, below the number of classes. `[n]`.
    pub class: Option<Tensor<1, Int>>,
    /// Tokens of a text for each example. `[n, length]`.
    pub text: Option<Tensor<2, Int>>,
    /// Codes of other levels or runs.
    pub codes: Vec<Rows>,
}

impl Given {
    /// The same class for `n` examples.
    pub fn of_class(class: u32, n: usize, device: &Device) -> Self {
        Self::of_classes(&vec![class; n], device)
    }

    /// A class for each example.
    pub fn of_classes(classes: &[u32], device: &Device) -> Self {
        let numbers: Vec<i32> = classes.iter().map(|&class| class as i32).collect();
        let class = Tensor::from_data(TensorData::new(numbers, [classes.len()]), device);
        Self { class: Some(class), ..Self::default() }
    }

    /// Each row `times` times, one after the other, as samples of one posterior want it.
    #[must_use]
    pub fn repeated(&self, times: usize) -> Self {
        let rows = |tensor: &Tensor<2, Int>| {
            let [n, width] = tensor.dims();
            tensor.clone().unsqueeze_dim::<3>(1).repeat_dim(1, times).reshape([n * times, width])
        };
        let class = self.class.as_ref().map(|class| {
            let n = class.dims()[0];
            class.clone().unsqueeze_dim::<2>(1).repeat_dim(1, times).reshape([n * times])
        });
        Self { class, text: self.text.as_ref().map(rows), codes: self.codes.clone() }
    }
}

/// What a model asks of a batch beside the examples. It is held against the data once, before a run is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Needs {
    /// Whether it needs classes, in [`Given::class`].
    pub class: bool,
    /// Whether it needs texts, in [`Given::text`].
    pub text: bool,
    /// Batches of the training's size wherever the loss is taken, since it depends on how many examples stand together.
    pub whole_batches: bool,
}

impl Needs {
    /// Holds the needs against a split.
    ///
    /// # Errors
    /// [`Error::Config`] naming `model.kind` if the data lack what is needed.
    pub fn check(self, split: &Subset) -> Result<()> {
        let source = split.source();
        let labelled = !source.label_names().is_empty() && (0..split.len()).all(|i| split.label(i).is_some());
        if self.class && !labelled {
            let found = format!("{}, examples without a class", source.name());
            let help = "give a folder with a sub-folder for each class, or a table with `data.label`; `vae` needs none";
            return Err(Error::config("model.kind", "data with a class for each example", found, help));
        }
        if self.text {
            let help = "captions come with image-text sets";
            return Err(Error::config("model.kind", "data with a text for each example", source.name(), help));
        }
        Ok(())
    }
}

/// What is modelled, and what the model is told.
///
/// ```
/// use elbo::data::{self, DataConfig, batch::{Batch, Needs}};
///
/// let splits = data::open(&DataConfig { count: 20, ..Default::default() }, 0, &mut |_| {})?;
/// let mut needs = Needs::default();
/// needs.class = true;
/// let batch = Batch::of_split(&splits.train, &[3, 1], needs, &elbo::device::choose("cpu")?);
/// assert_eq!((batch.len(), batch.given.class.unwrap().dims()), (2, [2]));
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Batch {
    /// The examples. `[n, space.numel()]`.
    pub x: Rows,
    /// What the model is told of each.
    pub given: Given,
}

impl Batch {
    /// Examples of which nothing is told.
    pub fn of(x: Tensor<2>) -> Self {
        Self { x: Rows::Real(x), given: Given::default() }
    }

    /// Examples `chosen` (places in the split) with what a model needs, as evaluations see them ([`batch`]).
    ///
    /// # Panics
    /// If a place is not below the split's length, or a needed class is missing: [`Needs::check`] says so before.
    pub fn of_split(split: &Subset, chosen: &[u32], needs: Needs, device: &Device) -> Self {
        Self { x: rows(split, chosen, 0, device), given: given(split, chosen, needs, device) }
    }

    /// How many examples there are.
    pub fn len(&self) -> usize {
        self.x.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.x.is_empty()
    }
}

/// Examples as training sees them in `epoch`, counted from 1 (0 is the fixed draw of evaluations): numbers or symbols, as the source has them.
///
/// # Panics
/// As [`batch`].
pub fn rows(split: &Subset, chosen: &[u32], epoch: usize, device: &Device) -> Rows {
    let source = split.source();
    if !matches!(source.domain(), Domain::Index { .. }) {
        return Rows::Real(training_batch(split, chosen, epoch, device));
    }
    let width = source.shape().numel();
    let mut symbols = vec![0u32; chosen.len() * width];
    for (row, index) in symbols.chunks_exact_mut(width).zip(split.source_indices(chosen)) {
        source.read_symbols(index as usize, row);
    }
    let symbols: Vec<i32> = symbols.into_iter().map(|symbol| symbol as i32).collect();
    Rows::Index(Tensor::from_data(TensorData::new(symbols, [chosen.len(), width]), device))
}

/// What a model is told of the examples `chosen`.
///
/// # Panics
/// If a needed class is missing.
pub fn given(split: &Subset, chosen: &[u32], needs: Needs, device: &Device) -> Given {
    if !needs.class {
        return Given::default();
    }
    let class = |place: &u32| split.label(*place as usize).expect("the model's needs were checked");
    Given::of_classes(&chosen.iter().map(class).collect::<Vec<_>>(), device)
}

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
/// let source = InMemory::new("tiny", ImageShape::grey(1, 2), pixels, "made by hand");
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

/// Random changes to images, and what decides them.
pub struct Augmentation<'a> {
    /// Which changes, and how large.
    pub augment: &'a Augment,
    /// The stream they are drawn from.
    pub draws: &'a mut Draws,
}

/// The same with random changes to the images; what is drawn from a changed image is drawn after the change.
///
/// # Panics
/// As [`batch`].
pub fn augmented(
    split: &Subset,
    chosen: &[u32],
    epoch: usize,
    augmentation: Augmentation<'_>,
    device: &Device,
) -> Tensor<2> {
    let Augmentation { augment, draws } = augmentation;
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
        let source = InMemory::new("grey", ImageShape::grey(9, 10), pixels.clone(), "grey");
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
        let source = InMemory::new("grey", ImageShape::grey(1, 4), vec![0, 127, 128, 255], "grey");
        let threshold = Binarization { binarize: Binarize::Threshold, seed: 1 };
        assert_eq!(drawn(&Subset::all(Arc::new(source)).binarized(threshold), &[0], 3), [0.0, 0.0, 1.0, 1.0]);
    }
}

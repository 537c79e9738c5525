//! Training of the classifier in whose features sets of images are compared.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData, activation};

use super::{Optimizer, OptimizerConfig};
use crate::data::batch::batch;
use crate::data::split::Subset;
use crate::error::{Error, Result};
use crate::networks::Classifier;
use crate::random::{Draws, Purpose};
use crate::run::parameters::values_of;

/// Images in a step.
const BATCH: usize = 128;

/// Trains a new classifier on a labelled split by cross-entropy with Adam at 1e-3, a function of (split, `epochs`, `seed`).
///
/// # Errors
/// [`Error::Config`] if images of the split have no class, or all the same.
///
/// ```
/// use elbo::data::{self, DataConfig};
/// use elbo::training::{accuracy, train_classifier};
///
/// let data = data::open(&DataConfig { count: 400, ..Default::default() }, 0, &mut |_| {})?;
/// let device = elbo::device::choose("cpu")?;
/// let classifier = train_classifier(&data.train, 2, 0, &device)?;
/// assert!(accuracy(&classifier, &data.test, &device) > 0.2); // chance is 0.1
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn train_classifier(train: &Subset, epochs: usize, seed: u64, device: &Device) -> Result<Classifier> {
    let classes = train.source().label_names().len();
    let labelled = (0..train.len()).all(|i| train.label(i).is_some());
    if classes < 2 || !labelled {
        let found = format!("{} without classes", train.source().name());
        return Err(Error::config(
            "--features",
            "images with at least two classes",
            found,
            "`--features pca` needs none",
        ));
    }
    let device = device.clone().autodiff();
    let mut classifier = Classifier::init(train.source().shape().dims(), classes, seed, &device).train();
    let mut optimizer = Optimizer::new(OptimizerConfig::default());
    for epoch in 1..=epochs as u64 {
        let order = Draws::new(seed, Purpose::Shuffle, epoch, 0).permutation(train.len() as u32);
        // One image has no batch statistics.
        for chosen in order.chunks(BATCH).filter(|chosen| chosen.len() > 1) {
            let logits = classifier.logits(batch(train, chosen, &device));
            let loss = cross_entropy(logits, &one_hot(train, chosen, classes), &device);
            let gradients = GradientsParams::from_module(&mut loss.backward(), &classifier);
            classifier = optimizer.step(classifier, gradients, 1e-3).0;
        }
    }
    Ok(classifier.valid())
}

/// Share of a split's images whose most likely class is theirs.
///
/// # Panics
/// If the images do not fit the classifier.
pub fn accuracy(classifier: &Classifier, split: &Subset, device: &Device) -> f64 {
    let places: Vec<u32> = (0..split.len() as u32).collect();
    let mut right = 0;
    for chosen in places.chunks(512) {
        let logits = classifier.logits(batch(split, chosen, device));
        let classes = logits.dims()[1];
        for (row, &place) in values_of(logits).chunks_exact(classes).zip(chosen) {
            let best = (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            right += usize::from(best.map(|class| class as u32) == split.label(place as usize));
        }
    }
    right as f64 / split.len().max(1) as f64
}

fn one_hot(split: &Subset, chosen: &[u32], classes: usize) -> Vec<f32> {
    let mut targets = vec![0f32; chosen.len() * classes];
    for (row, &place) in targets.chunks_exact_mut(classes).zip(chosen) {
        if let Some(label) = split.label(place as usize) {
            row[label as usize] = 1.0;
        }
    }
    targets
}

fn cross_entropy(logits: Tensor<2>, targets: &[f32], device: &Device) -> Tensor<1> {
    let [batch, classes] = logits.dims();
    let targets = Tensor::from_data(TensorData::new(targets.to_vec(), [batch, classes]), device);
    (activation::log_softmax(logits, 1) * targets).sum() * (-1.0 / batch as f64)
}

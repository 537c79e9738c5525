//! The classifier in whose features sets of images are compared: a learner like any model, trained by the same loop.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::{OptimizerConfig, Quiet, Stop, Trainer};
use crate::data::batch::{Batch, Needs, batch};
use crate::data::split::{Splits, Subset};
use crate::error::{Error, Result};
use crate::models::{Learner, Loss, Model, Report};
use crate::networks::{Classifier, Pass};
use crate::space::Space;
use crate::tensors::values_of;

/// Images in a step.
const BATCH: usize = 128;

impl Model for Classifier {
    fn space(&self) -> Space {
        self.shape().into()
    }

    fn needs(&self) -> Needs {
        Needs { class: true, ..Needs::default() }
    }
}

impl Learner for Classifier {
    fn reports(&self) -> &'static [Report] {
        &[]
    }

    /// Cross-entropy, `-log softmax(logits)[class]`, mean over the batch, in nats.
    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        let logits = self.logits(batch.x.real(), pass);
        let [n, classes] = logits.dims();
        let class = batch.given.class.clone().expect("the classes that it needs");
        let targets = class.one_hot::<2>(classes).float();
        let total = (activation::log_softmax(logits, 1) * targets).sum() * (-1.0 / n as f64);
        Loss { total, reports: Vec::new() }
    }
}

/// Trains a new classifier on a labelled split by cross-entropy with Adam at 1e-3, a function of (split, `epochs`, `seed`).
///
/// # Errors
/// [`Error::Config`] if images of the split have no class, or all the same; [`Error::Diverged`] as [`Trainer::run`].
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
            "features",
            "images with at least two classes",
            found,
            "`--features pca` needs none",
        ));
    }
    let classifier = Classifier::init(train.source().shape().dims(), classes, seed, &device.clone().autodiff());
    // One image alone has no batch statistics.
    let n = if train.len() % BATCH == 1 { train.len() - 1 } else { train.len() };
    let train = train.take(n);
    let data = Splits { test: train.take(0), validation: None, validation_is_test: false, train };
    let mut trainer = Trainer::new(classifier, &data, OptimizerConfig::default(), device);
    trainer.config.epochs = epochs;
    trainer.config.batch_size = BATCH;
    trainer.config.seed = seed;
    trainer.run(&mut Quiet, &Stop::new())?;
    Ok(trainer.into_model())
}

/// The most likely class of images given by their values.
///
/// # Shapes
/// - `values`: `[n, width]`
/// - returns: `[n]`
pub fn classify(classifier: &Classifier, values: &[f32], width: usize, device: &Device) -> Vec<usize> {
    let chunks = values.chunks(512 * width).flat_map(|rows| {
        let x = Tensor::from_data(TensorData::new(rows.to_vec(), [rows.len() / width, width]), device);
        let logits = classifier.logits(x, &Pass::still());
        let classes = logits.dims()[1];
        let largest = |row: &[f32]| (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
        values_of(logits).chunks_exact(classes).map(largest).collect::<Vec<_>>()
    });
    chunks.collect()
}

/// Share of a split's images whose most likely class is theirs.
///
/// # Panics
/// If the images do not fit the classifier.
pub fn accuracy(classifier: &Classifier, split: &Subset, device: &Device) -> f64 {
    let places: Vec<u32> = (0..split.len() as u32).collect();
    let mut right = 0;
    for chosen in places.chunks(512) {
        let logits = classifier.logits(batch(split, chosen, device), &Pass::still());
        let classes = logits.dims()[1];
        for (row, &place) in values_of(logits).chunks_exact(classes).zip(chosen) {
            let best = (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b]));
            right += usize::from(best.map(|class| class as u32) == split.label(place as usize));
        }
    }
    right as f64 / split.len().max(1) as f64
}

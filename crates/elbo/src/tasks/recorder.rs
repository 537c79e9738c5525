//! Writes down what happens: metrics, TensorBoard events, sample pictures.

use std::time::Instant;

use burn::tensor::Device;

use super::memory::peak_memory_mb;
use crate::data::Subset;
use crate::data::source::ImageShape;
use crate::error::Result;
use crate::generation::{self, CodeDecoder, Pictures};
use crate::models::Model;
use crate::report::image_grid::{self, GridLayout, ImageBatch};
use crate::run::directory::{RunDir, RunInfo};
use crate::run::history::{EpochRecord, Means};
use crate::run::tensorboard::EventWriter;
use crate::training::{EpochEnd, Observer, StepReport};

/// Images in the picture of an epoch.
const SHOWN: usize = 64;
/// Examples in the picture of reconstructions: with the originals above them it is as large as that of the samples.
const RECONSTRUCTED: u32 = 32;
/// Images in a row.
const COLUMNS: usize = 8;

/// An observer that keeps the run directory up to date and passes everything on.
pub(super) struct Recorder<'a> {
    pub dir: &'a RunDir,
    pub info: RunInfo,
    pub seed: u64,
    /// What an autoencoder's pictures reconstruct.
    pub shown: Subset,
    pub device: Device,
    pub events: EventWriter,
    pub next: &'a mut dyn Observer,
    /// Seconds of earlier sessions and the start of this one.
    pub seconds_before: f64,
    pub started: Instant,
}

impl Observer for Recorder<'_> {
    fn step(&mut self, report: &StepReport) -> Result<()> {
        self.next.step(report)
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.dir.check_intact()?;
        self.dir.write_metrics(end.history)?;
        let picture = self.examples(end.record.epoch, end.model)?;
        self.write_events(end.record, Some(end.images_per_s), picture.as_ref())?;
        // Last: it says that all of the epoch is written.
        self.info.epochs = end.record.epoch;
        self.update_times();
        self.info.images_per_s = end.images_per_s;
        self.dir.write_info(&self.info)?;
        self.next.epoch(end)
    }
}

impl Recorder<'_> {
    /// Writes what a killed process had not written of the epochs in `history` after the first [`RunInfo::epochs`]. Pictures are of a
    /// `model`, which is there while the weights are those of the last epoch's end; usually that is the only one missing.
    pub fn make_up(&mut self, history: &[EpochRecord], model: Option<&dyn Model>) -> Result<()> {
        let missing = history.get(self.info.epochs..).unwrap_or_default();
        for (place, record) in missing.iter().enumerate() {
            let model = model.filter(|_| place + 1 == missing.len());
            let picture = model.map_or(Ok(None), |model| self.examples(record.epoch, model))?;
            self.write_events(record, None, picture.as_ref())?;
            self.info.epochs = record.epoch;
        }
        if missing.is_empty() { Ok(()) } else { self.dir.write_info(&self.info) }
    }

    /// Brings seconds and memory up to now.
    pub fn update_times(&mut self) {
        self.info.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        self.info.peak_memory_mb = peak_memory_mb();
    }

    /// Writes what the model makes at the end of an epoch; returns the picture where it is one. A model that neither generates nor reconstructs
    /// has none.
    fn examples(&self, epoch: usize, model: &dyn Model) -> Result<Option<Png>> {
        let (samples, encodes) = (self.samples(model)?, model.encoder().is_some());
        let name = format!("samples/epoch-{epoch:04}");
        let examples = match &samples {
            Some(samples) => samples.clone(),
            None if encodes && model.decoder().is_some() => {
                let chosen: Vec<u32> = (0..self.shown.len().min(SHOWN) as u32).collect();
                generation::reconstruct(model, &self.shown, &chosen, &self.device)?
            }
            None => return Ok(None),
        };
        if let Some(columns) = &self.info.data.columns {
            self.dir.write(&format!("{name}.csv"), columns.csv(&examples.pixels))?;
            return Ok(None);
        }
        let picture = grid_png(&examples, COLUMNS)?;
        self.dir.write(&format!("{name}.png"), &picture.bytes)?;
        // Where nothing is sampled, reconstructions are in the picture above.
        if samples.is_some() && encodes && !self.shown.is_empty() {
            let name = format!("samples/reconstructions-{epoch:04}.png");
            self.dir.write(&name, self.reconstructions(model)?)?;
        }
        Ok(Some(picture))
    }

    /// Samples from the prior, always of the same codes, of each class in turn; none of a model without a prior.
    fn samples(&self, model: &dyn Model) -> Result<Option<Pictures>> {
        if model.prior_or_refuse().is_err() {
            return Ok(None);
        }
        let decoder = CodeDecoder::of(model, &self.device)?;
        Ok(Some(generation::sample_in_turn(&decoder, SHOWN, self.info.data.classes.len(), self.seed)))
    }

    /// The first held-out examples, a row of them above a row of what became of them, as PNG.
    fn reconstructions(&self, model: &dyn Model) -> Result<Vec<u8>> {
        let chosen: Vec<u32> = (0..RECONSTRUCTED.min(self.shown.len() as u32)).collect();
        let originals = generation::originals(&self.shown, &chosen, &self.device);
        let decoded = generation::reconstruct(model, &self.shown, &chosen, &self.device)?;
        let ImageShape { channels, height, width } = originals.shape;
        let batch = |pictures| ImageBatch::new(pictures, channels, height, width);
        let layout = GridLayout { columns: COLUMNS, ..Default::default() };
        image_grid::png(&image_grid::side_by_side(batch(&originals.pixels)?, batch(&decoded.pixels)?, layout)?)
    }

    /// The numbers of an epoch and its picture for TensorBoard. The speed is known only to the process that trained it.
    fn write_events(&mut self, record: &EpochRecord, images_per_s: Option<f64>, picture: Option<&Png>) -> Result<()> {
        let EpochRecord { step, learning_rate, beta, train, validation, .. } = record;
        let step = *step as i64;
        let named = |split: &str, means: &Means| {
            means.iter().map(|(name, value)| (format!("{split}/{name}"), value)).collect::<Vec<_>>()
        };
        let mut scalars = named("train", train);
        scalars.push(("schedule/learning_rate".into(), *learning_rate));
        scalars.extend(beta.map(|beta| ("schedule/beta".into(), beta)));
        scalars.extend(images_per_s.map(|speed| ("speed/images_per_s".into(), speed)));
        scalars.extend(validation.iter().flat_map(|means| named("validation", means)));
        for (tag, value) in scalars {
            self.events.scalar(step, &tag, value as f32)?;
        }
        if let Some(picture) = picture {
            self.events.image_png(step, "samples", picture.width, picture.height, &picture.bytes)?;
        }
        self.events.flush()
    }
}

/// A finished picture.
pub(super) struct Png {
    pub bytes: Vec<u8>,
    pub width: u32,
    pub height: u32,
}

/// Tiles pictures.
pub(super) fn grid_png(pictures: &Pictures, columns: usize) -> Result<Png> {
    enlarged_grid_png(pictures, columns, 1)
}

/// The same with every pixel as a square of `scale` pixels.
pub(super) fn enlarged_grid_png(pictures: &Pictures, columns: usize, scale: usize) -> Result<Png> {
    let ImageShape { channels, height, width } = pictures.shape;
    let layout = GridLayout { columns, scale, ..Default::default() };
    let grid = image_grid::image_grid(ImageBatch::new(&pictures.pixels, channels, height, width)?, layout)?;
    Ok(Png { width: grid.width(), height: grid.height(), bytes: image_grid::png(&grid)? })
}

//! Every sampler of a run beside the others: samples, and their distances from data that were held out.

use std::time::Instant;

use serde::Serialize;

use super::recorder::grid_png;
use super::run::{Run, held_out};
use super::sampler_distance::PooledSpace;
use super::samplers::{FitRequest, FitSettings, SamplerNote};
use crate::data::{Splits, Subset};
use crate::error::{Error, Result};
use crate::generation::{self, Pictures};
use crate::priors::store::Record;
use crate::priors::{CodesKind, Draw, SamplerKind};
use crate::report::table_figures::pair;
use crate::report::{Picture, SamplerPage, SamplerRow};
use crate::training::{Observer, Stop};

/// Samples shown of each.
const SHOWN: usize = 64;
/// Training examples that the feature space is made of, at most.
const FEATURES: usize = 10_000;

/// What is compared.
#[derive(Debug, Clone)]
pub struct SamplerComparison {
    /// Which, in this order.
    pub kinds: Vec<SamplerKind>,
    /// How those that are not there yet are fitted.
    pub fit: FitSettings,
    /// Settings of those that are trained ([`FitRequest::set`]).
    pub set: Vec<String>,
    /// Samples of each for the distance, at most as many as there are held-out examples.
    pub samples: Draw,
}

/// One line of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ComparedSampler {
    /// The sampler, or `reconstructions` and `training data`, which bound it.
    pub name: String,
    /// Frechet distance of decoded samples from held-out data.
    pub frechet: f64,
    /// Mean log-density of held-out codes in nats, where the sampler has one.
    pub log_likelihood: Option<f64>,
    /// Seconds of fitting; none if it was there.
    pub fit_seconds: Option<f64>,
}

/// What came of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ComparedSamplers {
    /// The space of the distances, in words.
    pub feature_space: String,
    /// The split held against.
    pub split: &'static str,
    /// Examples on either side.
    pub n: usize,
    /// Which codes the samplers were fitted on.
    pub codes: CodesKind,
    /// The two bounds, then the samplers.
    pub rows: Vec<ComparedSampler>,
    /// The page that shows it.
    pub page: SamplerPage,
}

/// Who hears of a comparison while it runs, and who can stop it.
pub struct ComparisonListeners<'a> {
    /// Hears of each sampler that was fitted or loaded.
    pub fitted: &'a mut dyn FnMut(&SamplerKind, &Record, &SamplerNote),
    /// Watches each training.
    pub observer: &'a mut dyn Observer,
    /// Asked between two samplers and while one is trained.
    pub stop: &'a Stop,
}

/// Fits what is missing, samples from each and measures; none if it was asked to stop.
///
/// # Errors
/// As [`Run::sampler`]; [`Error::Config`] if there are fewer than two examples to compare with.
pub fn compare_samplers(
    run: &Run,
    splits: &Splits,
    wanted: &SamplerComparison,
    listeners: ComparisonListeners<'_>,
) -> Result<Option<ComparedSamplers>> {
    let ComparisonListeners { fitted, observer, stop } = listeners;
    let (split_name, split) = held_out(splits);
    let n = wanted.samples.count.min(split.len());
    if n < 2 {
        let help = "distances need held-out data: give the run a test split";
        return Err(Error::config("n", "at least two held-out examples", n.to_string(), help));
    }
    let seed = wanted.samples.seed;
    let chosen = |split: &Subset, count| generation::random_places(split, count, seed);
    let real = generation::originals(split, &chosen(split, n), &run.device);
    let train = generation::originals(&splits.train, &chosen(&splits.train, FEATURES), &run.device);
    let space = PooledSpace::fit(&train, &run.device)?;
    let decoder = run.decoder("priors")?;
    let rebuilt = generation::reconstruct(run.model.as_ref(), split, &chosen(split, n), &run.device)?;
    let kind = wanted.fit.codes.unwrap_or_else(|| CodesKind::of(run.model.as_ref()));
    let codes = run.codes_of(split, kind, wanted.fit.seed)?;
    let first = |pictures: &Pictures, count: usize| Pictures {
        shape: pictures.shape,
        pixels: pictures.pixels[..count.min(pictures.len()) * pictures.shape.numel()].to_vec(),
    };
    let mut rows = Vec::new();
    let mut shown = Vec::new();
    for (name, pictures) in [("training data", first(&train, n)), ("reconstructions", rebuilt)] {
        rows.push(ComparedSampler {
            name: name.into(),
            frechet: space.distance(&pictures, &real)?,
            log_likelihood: None,
            fit_seconds: None,
        });
        shown.push(picture(run, &real, &first(&pictures, SHOWN), name)?);
    }
    for kind in &wanted.kinds {
        if stop.requested() {
            return Ok(None);
        }
        let began = Instant::now();
        let request = FitRequest { kind, settings: wanted.fit, set: if is_trained(kind) { &wanted.set } else { &[] } };
        let Some((stored, note)) = run.fit_sampler(request, observer, stop)? else { return Ok(None) };
        let seconds = began.elapsed().as_secs_f64();
        fitted(kind, &stored.record, &note);
        let drawn = stored.sampler.sample(&Draw { count: n, ..wanted.samples });
        let pictures = generation::decode_in_turn(&decoder, &drawn, run.info.data.classes.len());
        rows.push(ComparedSampler {
            name: kind.name().into(),
            frechet: space.distance(&pictures, &real)?,
            log_likelihood: stored.sampler.log_likelihood(&codes),
            fit_seconds: (note != SamplerNote::Loaded).then_some(seconds),
        });
        shown.push(picture(run, &real, &first(&pictures, SHOWN), kind.name())?);
    }
    let page = SamplerPage {
        title: format!("Samplers of {}", run.name()),
        model: run.config.describe(run.shape.dims()),
        feature_space: space.name(),
        compared: format!("{n} samples of each and {n} examples of the {split_name} split"),
        codes: kind.to_string(),
        temperature: wanted.samples.temperature,
        truncation: wanted.samples.truncation,
        rows: rows
            .iter()
            .zip(shown)
            .map(|(row, picture)| SamplerRow {
                name: row.name.clone(),
                is_bound: !wanted.kinds.iter().any(|kind| kind.name() == row.name),
                frechet: row.frechet,
                log_likelihood: row.log_likelihood,
                picture,
            })
            .collect(),
    };
    Ok(Some(ComparedSamplers { feature_space: space.name(), split: split_name, n, codes: kind, rows, page }))
}

fn is_trained(kind: &SamplerKind) -> bool {
    matches!(kind, SamplerKind::Prior(_))
}

/// A grid of images, or two columns of a table with those of the data.
fn picture(run: &Run, real: &Pictures, pictures: &Pictures, name: &str) -> Result<Option<Picture>> {
    let Some(columns) = run.columns() else {
        return Ok(Some(Picture::pixels(grid_png(pictures, 8)?.bytes, format!("{name}: {SHOWN} images"))));
    };
    let width = columns.names.len();
    if width < 2 {
        return Ok(None);
    }
    let [data, drawn] = [real, pictures].map(|pictures| columns.original(&pictures.pixels));
    let column = |rows: &[f64], j: usize| -> Vec<f64> { rows.iter().skip(j).step_by(width).copied().collect() };
    let figure = pair(
        [&columns.names[0], &columns.names[1]],
        [&column(&data, 0), &column(&data, 1)],
        [&column(&drawn, 0), &column(&drawn, 1)],
    );
    Ok(Some(Picture::rendering(&figure, format!("{name}: two columns in data and samples"))))
}

//! Requests, read and checked: nothing here is trusted, and every refusal names its field.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use burn::tensor::{Device, Tensor, TensorData};
use elbo::data::batch::{Batch, Given, batch};
use elbo::data::{Binarization, ImageShape, InMemory, Subset, pictures};
use elbo::space::Domain;
use elbo::tasks::Run;
use elbo::tensors::values_of;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::class::Class;
use crate::App;
use crate::heavy::Wanted;
use crate::limits::{LARGE, MAX_CODE};
use crate::problem::{Problem, shortened};
use crate::run_entry::RunEntry;

/// Examples that go through a model at once.
const CHUNK: usize = 256;

/// Reads a JSON body; an empty one is an empty object.
pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let message = shortened(&inner.to_string());
        match inner.classify() {
            serde_json::error::Category::Data if path != "." => Problem {
                field: Some(shortened(&path)),
                ..Problem::malformed(format!("`{}`: {message}", shortened(&path)))
            },
            _ => Problem::malformed(format!("the body is no such JSON: {message}")),
        }
    })?;
    reader.end().map_err(|_| Problem::malformed("the body goes on after its JSON"))?;
    Ok(value)
}

/// Checks a number of things asked for.
pub fn count(field: &str, count: usize, most: usize) -> Result<usize, Problem> {
    match (1..=most).contains(&count) {
        true => Ok(count),
        false => Err(Problem::field(field, format!("1 to {most}"), count)),
    }
}

/// Checks a number.
pub fn number(field: &str, value: f64, least: f64, most: f64) -> Result<f64, Problem> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(Problem::field(field, format!("a number from {least} to {most}"), value)),
    }
}

/// Checks codes, and that what comes of them is not too much; row after row.
pub fn codes(app: &App, run: &RunEntry, field: &str, z: &[Vec<f32>]) -> Result<Vec<f32>, Problem> {
    images(app, run, field, z.len())?;
    let latent = run.summary.latent;
    for (row, code) in z.iter().enumerate() {
        if code.len() != latent {
            let expected = format!("{latent} numbers, the run's latent dimensions");
            return Err(Problem::field(format!("{field}[{row}]"), expected, format!("{} numbers", code.len())));
        }
        // NaN is in no range, and so refused too.
        if let Some(place) = code.iter().position(|value| !(-MAX_CODE..=MAX_CODE).contains(value)) {
            let expected = format!("a number from -{MAX_CODE} to {MAX_CODE}");
            return Err(Problem::field(format!("{field}[{row}][{place}]"), expected, code[place]));
        }
    }
    Ok(z.concat())
}

/// Checks how many images are asked for: by number, and by what they weigh.
pub fn images(app: &App, run: &RunEntry, field: &str, n: usize) -> Result<usize, Problem> {
    let [channels, height, width] = run.summary.shape;
    let size = channels.saturating_mul(height).saturating_mul(width).max(1);
    count(field, n, app.limits.batch.min(app.limits.values / size).max(1))
}

/// Examples in a request: values, encoded pictures, places in a split, or, in a body that is no JSON, pixels or one encoded picture.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Examples {
    /// Values as the model sees them, channel first.
    x: Option<Vec<Vec<f32>>>,
    /// Encoded pictures (PNG, JPEG, ...) in base64.
    images: Option<Vec<String>>,
    /// Places in a split of the run's data.
    indices: Option<Vec<u32>>,
    /// Which; the held-out one if none is named.
    split: Option<String>,
    /// What a conditional run is told of them; of examples of its data their own classes if nothing is said.
    class: Option<Class>,
    /// How many of the nearest training examples `score` is to name.
    pub neighbours: Option<usize>,
}

/// Examples, checked, on their way to a model.
pub struct Input {
    examples: Sent,
    /// The class of each, for a model that is told; else empty.
    classes: Vec<u32>,
}

/// Examples as they came.
enum Sent {
    Values(Vec<f32>),
    Of(Subset),
}

impl Sent {
    /// Number of examples of `size` values.
    fn len(&self, size: usize) -> usize {
        match self {
            Self::Values(values) => values.len() / size.max(1),
            Self::Of(examples) => examples.len(),
        }
    }
}

impl Input {
    /// Number of examples of a run.
    pub fn len(&self, run: &RunEntry) -> usize {
        self.examples.len(run.summary.shape.iter().product())
    }

    /// The class of each, for a run that is told; else nothing.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// All of them as a model takes them, with what it is told of each, [`CHUNK`] at a time.
    pub fn batches<'a>(&'a self, run: &'a Run) -> impl Iterator<Item = Batch> + 'a {
        let size = run.shape.numel();
        let n = self.examples.len(size);
        (0..n).step_by(CHUNK).map(move |start| self.batch(start..n.min(start + CHUNK), size, &run.device))
    }

    /// Their values as the model sees them, one example after another.
    pub fn originals(&self, run: &Run) -> Vec<f32> {
        self.batches(run).flat_map(|batch| values_of(batch.x.real())).collect()
    }

    /// Some of them, `[places.len(), input]`.
    fn batch(&self, places: Range<usize>, input: usize, device: &Device) -> Batch {
        let x = match &self.examples {
            Sent::Values(values) => {
                let rows = values[places.start * input..places.end * input].to_vec();
                Tensor::from_data(TensorData::new(rows, [places.len(), input]), device)
            }
            Sent::Of(examples) => {
                let chosen: Vec<u32> = (places.start as u32..places.end as u32).collect();
                batch(examples, &chosen, device)
            }
        };
        let given = match self.classes.as_slice() {
            [] => Given::default(),
            classes => Given::of_classes(&classes[places], device),
        };
        Batch { given, ..Batch::of(x) }
    }
}

/// Reads the examples of a request, and whatever else it says.
pub async fn examples(
    app: &App,
    run: &Arc<RunEntry>,
    headers: &HeaderMap,
    query: Option<&str>,
    body: &Bytes,
) -> Result<(Input, Examples), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (sent, asked) = if kind.starts_with("image/") {
        let (loaded, body) = (app.loaded(run).await?.run, body.clone());
        let sent =
            app.reading.compute(move |wanted| decoded(&loaded, "body", &[body], |body| Ok(body.to_vec()), wanted));
        (sent.await?, Examples::default())
    } else if kind.starts_with("application/octet-stream") {
        (raw(app, run, body).await?, Examples::default())
    } else {
        let text = body.clone();
        let mut asked: Examples = app.reading.compute_if(body.len() > LARGE, move || json(&text)).await?;
        (sent(app, run, &mut asked).await?, asked)
    };
    let named = asked.class.clone().or_else(|| Class::of_query(query));
    let known = match &sent {
        Sent::Of(examples) if run.summary.conditional && named.is_none() => classes_of(examples),
        _ => None,
    };
    let n = sent.len(run.summary.shape.iter().product());
    let classes = known.map_or_else(|| Class::of_each(named.as_ref(), run, n), Ok)?;
    Ok((Input { examples: sent, classes }, asked))
}

/// The class of each example, where all have one.
fn classes_of(examples: &Subset) -> Option<Vec<u32>> {
    (0..examples.len()).map(|place| examples.label(place)).collect()
}

/// The examples of a JSON body, which are taken out of what was asked.
async fn sent(app: &App, run: &Arc<RunEntry>, asked: &mut Examples) -> Result<Sent, Problem> {
    match (asked.x.take(), asked.images.take(), asked.indices.take()) {
        (Some(x), None, None) => {
            let (state, entry) = (Arc::clone(app), Arc::clone(run));
            let numbers = x.iter().map(Vec::len).sum::<usize>();
            app.reading.compute_if(numbers > LARGE, move || values(&state, &entry, &x)).await
        }
        (None, Some(encoded), None) => {
            images(app, run, "images", encoded.len())?;
            let loaded = app.loaded(run).await?.run;
            let bytes = |text: &String| STANDARD.decode(text).map_err(|error| error.to_string());
            app.reading.compute(move |wanted| decoded(&loaded, "images", &encoded, bytes, wanted)).await
        }
        (None, None, Some(indices)) => {
            images(app, run, "indices", indices.len())?;
            let data = app.dataset(run).await?;
            let (name, split) = data.split(asked.split.as_deref())?;
            if let Some(place) = indices.iter().position(|&index| index as usize >= split.len()) {
                let expected = format!("a place in the {name} split, 0 to {}", split.len() - 1);
                return Err(Problem::field(format!("indices[{place}]"), expected, indices[place]));
            }
            Ok(Sent::Of(split.select(&indices)))
        }
        _ => {
            let message =
                "give one of `x` (values), `images` (base64 of PNG or JPEG) and `indices` (places in a split)";
            Err(Problem { field: Some("x".into()), ..Problem::malformed(message) })
        }
    }
}

/// Values as the model sees them: of the right number, and in the range of its data.
fn values(app: &App, run: &RunEntry, x: &[Vec<f32>]) -> Result<Sent, Problem> {
    images(app, run, "x", x.len())?;
    let size: usize = run.summary.shape.iter().product();
    let most = if run.summary.domain == Domain::Real { MAX_CODE } else { 1.0 };
    let least = if run.summary.domain == Domain::Real { -MAX_CODE } else { 0.0 };
    for (row, values) in x.iter().enumerate() {
        if values.len() != size {
            let expected = format!("{size} numbers, one for each value of an example");
            return Err(Problem::field(format!("x[{row}]"), expected, format!("{} numbers", values.len())));
        }
        if let Some(place) = values.iter().position(|value| !(least..=most).contains(value)) {
            let expected = format!("a number from {least} to {most}");
            return Err(Problem::field(format!("x[{row}][{place}]"), expected, values[place]));
        }
    }
    Ok(Sent::Values(x.concat()))
}

/// Pixels, a byte each, channel first.
async fn raw(app: &App, entry: &Arc<RunEntry>, body: &[u8]) -> Result<Sent, Problem> {
    let run = app.loaded(entry).await?.run;
    let size = run.shape.numel();
    if body.is_empty() || !body.len().is_multiple_of(size) {
        let expected = format!("a whole number of images of {size} bytes");
        return Err(Problem::field("body", expected, format!("{} bytes", body.len())));
    }
    images(app, entry, "body", body.len() / size)?;
    pixels(&run, "body", body.to_vec())
}

/// Encoded pictures, brought to the model's size and colours as those it was trained on.
///
/// One of them is in memory at a time; `bytes_of` gives those of one, or says why it cannot.
fn decoded<T>(
    run: &Run,
    field: &str,
    encoded: &[T],
    bytes_of: impl Fn(&T) -> Result<Vec<u8>, String>,
    wanted: &Wanted,
) -> Result<Sent, Problem> {
    let mut bytes = Vec::with_capacity(encoded.len() * run.shape.numel());
    for (place, picture) in encoded.iter().enumerate() {
        wanted.check()?;
        let picture = bytes_of(picture).map_err(|why| Problem::field(format!("{field}[{place}]"), "base64", why))?;
        let read = pictures::decode_one(&picture, run.shape, run.config.data.fit);
        bytes.extend(read.map_err(|error| match error {
            elbo::Error::Data { expected, found, .. } => Problem::field(format!("{field}[{place}]"), expected, found),
            other => other.into(),
        })?);
    }
    pixels(run, field, bytes)
}

/// Bytes as a split of their own, made binary where the run's data are.
fn pixels(run: &Run, field: &str, bytes: Vec<u8>) -> Result<Sent, Problem> {
    if run.info.data.domain == Domain::Real {
        return Err(Problem::field(field, "rows of numbers as `x`: the run was trained on a table", "pixels"));
    }
    let shape: ImageShape = run.shape;
    let binarization = Binarization { binarize: run.config.data.binarize, seed: run.config.training.seed };
    let source = InMemory::new("request", shape, bytes, "sent by a client");
    Ok(Sent::Of(Subset::all(Arc::new(source)).binarized(binarization)))
}

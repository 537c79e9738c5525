//! What models are asked: codes of examples, examples of codes, and what both say of the data.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use elbo::evaluation::ACTIVE_THRESHOLD;
use elbo::experiment::Trained;
use elbo::generation::{self, Pictures};
use elbo::models::Model;
use elbo::run::parameters::values_of;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Content;
use super::answer::{self, Format, Tables, rows};
use super::ask::{self, Input};
use super::json::Json;
use crate::App;
use crate::analysis::{Analysis, Of, terms_at_mean};
use crate::models::Models;
use crate::plane::{Method, Plane};
use crate::problem::Problem;
use crate::run::Run;

/// Pictures come as JSON unless something else is asked for.
const PICTURES: [Format; 4] = [Format::Json, Format::Raw, Format::Png, Format::Gif];
/// Tables of numbers.
const NUMBERS: [Format; 2] = [Format::Json, Format::Raw];
/// Examples that go through a model at once.
const CHUNK: usize = 256;
/// Neighbours that may be asked for.
const MAX_NEIGHBOURS: usize = 32;
/// Bars of the histogram of scores.
const BARS: usize = 40;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decode {
    z: Vec<Vec<f32>>,
}

/// `POST /api/runs/{id}/decode`: E[x|z] of codes.
pub async fn decode(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Content,
) -> Result<Response, Problem> {
    let (run, format) = (app.run(&id)?, Format::wanted(&headers, &PICTURES)?);
    let Decode { z } = ask::json(&body)?;
    let codes = ask::codes(&app, &run, "z", &z)?;
    let pictures = app.worker.decode(&run, codes).await?;
    shown(&app, &run, format, pictures, Tables::new()).await
}

/// Pictures as an answer; rows of a table in its own units too.
async fn shown(
    app: &App,
    run: &Arc<Run>,
    format: Format,
    pictures: Pictures,
    tables: Tables<'_>,
) -> Result<Response, Problem> {
    let trained = match run.summary.columns {
        Some(_) => Some(app.loaded(run).await?.trained),
        None => None,
    };
    let columns = trained.as_ref().and_then(|trained| trained.columns());
    answer::pictures(format, &pictures, columns, tables)
}

/// Posterior means and log variances, row after row.
struct Encoded {
    mean: Vec<f32>,
    log_var: Option<Vec<f32>>,
}

fn encoded(trained: &Trained, input: &Input, n: usize) -> Encoded {
    let (mut mean, mut log_var) = (Vec::new(), Vec::new());
    for start in (0..n).step_by(CHUNK) {
        let x = input.tensor(start..n.min(start + CHUNK), trained.shape.numel(), &trained.device);
        let code = trained.model.encode(x);
        mean.extend(values_of(code.mean));
        log_var.extend(code.log_var.map(values_of).unwrap_or_default());
    }
    Encoded { log_var: (log_var.len() == mean.len()).then_some(log_var), mean }
}

/// q(z|x) as JSON.
#[derive(Serialize)]
struct Codes<'a> {
    mean: Vec<&'a [f32]>,
    log_var: Option<Vec<&'a [f32]>>,
}

/// `POST /api/runs/{id}/encode`: q(z|x) of examples.
pub async fn encode(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Content,
) -> Result<Response, Problem> {
    let (run, format) = (app.run(&id)?, Format::wanted(&headers, &NUMBERS)?);
    let (input, _) = ask::examples(&app, &run, &headers, &body).await?;
    let (asked, n) = (run.clone(), input.len(&run));
    let codes = app.worker.call(move |models| Ok(encoded(&models.get(&asked)?.trained, &input, n))).await?;
    let latent = run.summary.latent;
    Ok(match format {
        Format::Json => {
            let log_var = codes.log_var.as_ref().map(|values| rows(values, latent));
            Json(Codes { mean: rows(&codes.mean, latent), log_var }).into_response()
        }
        _ => answer::floats(&codes.mean, &[n, latent]),
    })
}

/// `POST /api/runs/{id}/reconstruct`: examples, encoded and decoded again.
pub async fn reconstruct(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Content,
) -> Result<Response, Problem> {
    let (run, format) = (app.run(&id)?, Format::wanted(&headers, &PICTURES)?);
    let (input, _) = ask::examples(&app, &run, &headers, &body).await?;
    let (asked, n) = (run.clone(), input.len(&run));
    let work = move |models: &mut Models| {
        let trained = models.get(&asked)?.trained;
        let code = encoded(&trained, &input, n);
        let mut originals = Vec::with_capacity(n * trained.shape.numel());
        for start in (0..n).step_by(CHUNK) {
            let x = input.tensor(start..n.min(start + CHUNK), trained.shape.numel(), &trained.device);
            originals.extend(values_of(x));
        }
        let pictures = generation::decode(&trained.model, trained.shape, &code.mean, &trained.device);
        Ok::<_, Problem>((pictures, originals, code.mean))
    };
    let (pictures, originals, mean) = app.worker.call(work).await?;
    let size = pictures.shape.numel();
    let tables = Tables::from([("originals", rows(&originals, size)), ("mean", rows(&mean, run.summary.latent))]);
    shown(&app, &run, format, pictures, tables).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    n: usize,
    seed: u64,
    sampler: String,
    temperature: f64,
}

impl Default for Sample {
    fn default() -> Self {
        Self { n: 64, seed: 0, sampler: "normal".into(), temperature: 1.0 }
    }
}

/// What codes may be drawn from: the one place to add to.
const SAMPLERS: [&str; 1] = ["normal"];

/// `POST /api/runs/{id}/sample`: codes drawn and decoded, as `elbo sample` does.
pub async fn sample(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Content,
) -> Result<Response, Problem> {
    let (run, format) = (app.run(&id)?, Format::wanted(&headers, &PICTURES)?);
    let Sample { n, seed, sampler, temperature } = ask::json(&body)?;
    ask::images(&app, &run, "n", n)?;
    ask::number("temperature", temperature, 0.0, 100.0)?;
    if !SAMPLERS.contains(&sampler.as_str()) {
        return Err(Problem::field("sampler", SAMPLERS.join(", "), sampler));
    }
    let latent = run.summary.latent;
    let codes = generation::sample_codes(latent, n, temperature, seed);
    let pictures = app.worker.decode(&run, codes.clone()).await?;
    shown(&app, &run, format, pictures, Tables::from([("z", rows(&codes, latent))])).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interpolate {
    /// From this code.
    a: Vec<f32>,
    /// To that.
    b: Vec<f32>,
    #[serde(default = "twelve")]
    steps: usize,
    #[serde(default = "linear")]
    path: String,
}

fn twelve() -> usize {
    12
}

fn linear() -> String {
    "linear".into()
}

/// `POST /api/runs/{id}/interpolate`: pictures on the way from one code to another.
pub async fn interpolate(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Content,
) -> Result<Response, Problem> {
    let (run, format) = (app.run(&id)?, Format::wanted(&headers, &PICTURES)?);
    let Interpolate { a, b, steps, path } = ask::json(&body)?;
    ask::images(&app, &run, "steps", steps)?;
    let (a, b) = (ask::codes(&app, &run, "a", &[a])?, ask::codes(&app, &run, "b", &[b])?);
    let path = match path.as_str() {
        "linear" => generation::Path::Linear,
        "spherical" => generation::Path::Spherical,
        _ => return Err(Problem::field("path", "linear or spherical", path)),
    };
    let codes = generation::interpolation_codes(&a, &b, steps, path);
    let pictures = app.worker.decode(&run, codes.clone()).await?;
    shown(&app, &run, format, pictures, Tables::from([("z", rows(&codes, run.summary.latent))])).await
}

/// `POST /api/runs/{id}/score`: how badly the model explains examples, beside what it is used to.
pub async fn score(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Content,
) -> Result<Response, Problem> {
    let run = app.run(&id)?;
    Format::wanted(&headers, &[Format::Json])?;
    let (input, asked) = ask::examples(&app, &run, &headers, &body).await?;
    let neighbours = asked.neighbours.unwrap_or(0);
    if neighbours > MAX_NEIGHBOURS {
        return Err(Problem::field("neighbours", format!("0 to {MAX_NEIGHBOURS}"), neighbours));
    }
    let (of, n) = (run.clone(), input.len(&run));
    let work = move |models: &mut Models| {
        let trained = models.get(&of)?.trained;
        let (mut recon, mut kl) = (Vec::new(), Vec::new());
        for start in (0..n).step_by(CHUNK) {
            let x = input.tensor(start..n.min(start + CHUNK), trained.shape.numel(), &trained.device);
            let (more_recon, more_kl, _) = terms_at_mean(&trained, x);
            recon.extend(more_recon);
            kl.extend(more_kl);
        }
        Ok::<_, Problem>((recon, kl, encoded(&trained, &input, n).mean))
    };
    let (recon, kl, mean) = app.worker.call(work).await?;
    let score: Vec<f32> = recon.iter().zip(&kl).map(|(recon, kl)| recon + kl).collect();
    let latent = run.summary.latent;
    let mut answer = Scores {
        recon,
        kl,
        mean: rows(&mean, latent),
        unit: run.summary.unit,
        score,
        share_above: None,
        neighbours: None,
    };
    if neighbours > 0 {
        let gallery = app.analysis(&run, Of::Gallery).await?;
        answer.share_above = Some(answer.score.iter().map(|score| share_above(&gallery, *score)).collect());
        answer.neighbours = Some(answer.mean.iter().map(|code| nearest(&gallery, code, neighbours)).collect());
    }
    Ok(Json(answer).into_response())
}

/// What `score` answers, one entry for each example.
#[derive(Serialize)]
struct Scores<'a> {
    score: Vec<f32>,
    recon: Vec<f32>,
    kl: Vec<f32>,
    mean: Vec<&'a [f32]>,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_above: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<Vec<Vec<Neighbour>>>,
}

/// A training example near another in the space of codes.
#[derive(Serialize)]
struct Neighbour {
    index: u32,
    distance: f32,
    label: Option<u32>,
}

/// The share of training examples that are at least as strange.
fn share_above(gallery: &Analysis, score: f32) -> f64 {
    let above = (0..gallery.len()).filter(|&example| gallery.score(example) >= score).count();
    above as f64 / gallery.len().max(1) as f64
}

/// The training examples whose codes are nearest.
fn nearest(gallery: &Analysis, code: &[f32], count: usize) -> Vec<Neighbour> {
    let codes = gallery.codes.mean.chunks_exact(code.len());
    let distance = |other: &[f32]| other.iter().zip(code).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
    let mut all: Vec<(f32, usize)> = codes.map(distance).zip(0..).collect();
    let count = count.min(all.len());
    if count < all.len() {
        all.select_nth_unstable_by(count, |a, b| a.0.total_cmp(&b.0));
    }
    all.truncate(count);
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let label = |place: usize| gallery.codes.labels.as_ref().map(|labels| labels[place]);
    let near = |(squared, place): (f32, usize)| Neighbour {
        index: gallery.places[place],
        distance: squared.sqrt(),
        label: label(place),
    };
    all.into_iter().map(near).collect()
}

/// `GET /api/runs/{id}/reference`: the distribution of scores over training examples.
pub async fn reference(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let run = app.run(&id)?;
    let gallery = app.analysis(&run, Of::Gallery).await?;
    let mut scores: Vec<f32> = (0..gallery.len()).map(|example| gallery.score(example)).collect();
    scores.sort_by(f32::total_cmp);
    let at = |share: f64| scores[((scores.len() - 1) as f64 * share) as usize];
    let (low, high) = (at(0.0), at(0.995).max(at(0.0) + f32::EPSILON));
    let mut counts = vec![0usize; BARS];
    for score in scores.iter().filter(|score| **score <= high) {
        counts[(((score - low) / (high - low) * BARS as f32) as usize).min(BARS - 1)] += 1;
    }
    let edges: Vec<f32> = (0..=BARS).map(|i| low + (high - low) * i as f32 / BARS as f32).collect();
    Ok(Json(
        json!({ "n": scores.len(), "split": gallery.split, "edges": edges, "counts": counts, "median": at(0.5), "p95": at(0.95), "unit": run.summary.unit }),
    ))
}

/// `GET /api/runs/{id}/dimensions`: what each dimension of the code carries, over the held-out split.
pub async fn dimensions(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let run = app.run(&id)?;
    let analysis = app.analysis(&run, Of::HeldOut).await?;
    let (centre, spread) = (analysis.codes.centre(), analysis.codes.spread());
    let dimensions: Vec<Value> = (0..run.summary.latent)
        .map(|dim| {
            let active = spread[dim].powi(2) > ACTIVE_THRESHOLD;
            json!({ "kl": analysis.kl_per_dim.get(dim), "mean": centre[dim], "std": spread[dim], "active": active })
        })
        .collect();
    Ok(Json(json!({ "split": analysis.split, "n": analysis.len(), "dimensions": dimensions })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Project {
    method: String,
    /// Which two, for `dims`.
    dims: [usize; 2],
    /// Codes to project; without them, those of the held-out split.
    z: Option<Vec<Vec<f32>>>,
}

impl Default for Project {
    fn default() -> Self {
        Self { method: "dims".into(), dims: [0, 1], z: None }
    }
}

/// `POST /api/runs/{id}/project`: codes as points of a plane in the space of codes, with what leads back from the plane.
pub async fn project(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Content,
) -> Result<Response, Problem> {
    let (run, format) = (app.run(&id)?, Format::wanted(&headers, &NUMBERS)?);
    let asked: Project = ask::json(&body)?;
    let method = Method::checked(&asked.method, asked.dims, run.summary.latent)?;
    let given = asked.z.as_ref().map(|z| ask::codes(&app, &run, "z", z)).transpose()?;
    let analysis = app.analysis(&run, Of::HeldOut).await?;
    let made = Arc::clone(&analysis);
    let plane = tokio::task::spawn_blocking(move || Plane::of(&made.codes, method));
    let plane = plane.await.map_err(|_| Problem::internal())?;
    let points = plane.points(given.as_deref().unwrap_or(&analysis.codes.mean));
    if format == Format::Raw {
        return Ok(answer::floats(&points, &[points.len() / 2, 2]));
    }
    let split = given.is_none().then(|| Split {
        split: analysis.split,
        indices: &analysis.places,
        labels: analysis.codes.labels.as_deref(),
        score: (0..analysis.len()).map(|example| analysis.score(example)).collect(),
    });
    let Plane { origin, x, y, explained } = &plane;
    Ok(Json(Projected { points: rows(&points, 2), origin, x, y, explained, split }).into_response())
}

/// Points of a plane, and the plane.
#[derive(Serialize)]
struct Projected<'a> {
    points: Vec<&'a [f32]>,
    origin: &'a [f64],
    x: &'a [f64],
    y: &'a [f64],
    explained: &'a [f64; 2],
    #[serde(flatten)]
    split: Option<Split<'a>>,
}

/// What the points are, where they are examples of the run's data.
#[derive(Serialize)]
struct Split<'a> {
    split: &'static str,
    indices: &'a [u32],
    labels: Option<&'a [u32]>,
    score: Vec<f32>,
}

/// `GET /api/runs/{id}/examples/{split}/{index}`: an example of the run's data, as the model sees it.
pub async fn example(
    State(app): State<App>,
    Path((id, split, index)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = app.run(&id)?;
    let format = Format::wanted(&headers, &[Format::Png, Format::Raw, Format::Json])?;
    let data = app.dataset(&run).await?;
    let (name, examples) = data.split(Some(&split))?;
    let index: u32 = index.parse().map_err(|_| Problem::field("index", "a number", &index))?;
    if index as usize >= examples.len() {
        let expected = format!("a place in the {name} split, 0 to {}", examples.len() - 1);
        return Err(Problem::field("index", expected, index));
    }
    let (examples, device) = (examples.select(&[index]), app.device.clone());
    let pixels = app.worker.call(move |_| Ok(generation::originals(&examples, &[0], &device))).await?;
    let mut response = shown(&app, &run, format, pixels, Tables::new()).await?;
    let keep = axum::http::HeaderValue::from_static("private, max-age=600");
    response.headers_mut().insert(axum::http::header::CACHE_CONTROL, keep);
    Ok(response)
}

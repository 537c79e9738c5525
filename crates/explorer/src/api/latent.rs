//! The space of codes: its dimensions, the planes that are looked at, and what was fitted to it.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use elbo::evaluation::{ACTIVE_THRESHOLD, Codes};
use elbo::models::Capability;
use elbo::priors::{Sampler, SamplerKind};
use elbo::run::directory::DimensionInfo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::json::Json;
use super::model::{NUMBERS, sampler};
use super::request::RunRequest;
use super::response::{self, Format, rows};
use crate::analysis::{Analysis, Of};
use crate::background::State;
use crate::plane::{Method, Plane, Spot};
use crate::problem::Problem;
use crate::run_entry::{RunEntry, Summary};

/// `GET /api/runs/{id}/dimensions`: what each dimension of the code carries, over the held-out split.
pub async fn dimensions(asked: RunRequest) -> Result<Json<Value>, Problem> {
    asked.require("dimensions", &[Capability::Encode])?;
    let analysis = match asked.app.analyses.get(&asked.run, Of::HeldOut).await {
        Ok(analysis) => analysis,
        Err(problem) => return without_data(&asked, problem).map(Json),
    };
    let (centre, spread) = (analysis.codes.centre(), analysis.codes.spread());
    let dimensions: Vec<Value> = (0..asked.run.summary.latent)
        .map(|dim| {
            let active = spread[dim].powi(2) > ACTIVE_THRESHOLD;
            json!({ "kl": analysis.kl_per_dim.get(dim), "mean": centre[dim], "std": spread[dim], "active": active })
        })
        .collect();
    Ok(Json(json!({ "split": analysis.split, "n": analysis.len(), "dimensions": dimensions })))
}

/// The dimensions as the run wrote them down, or all alike where codes have a prior: what can be told when its data cannot be opened.
fn known(run: &RunEntry) -> Option<Vec<DimensionInfo>> {
    let Summary { dimensions, can, latent, .. } = &run.summary;
    let alike = || vec![DimensionInfo { kl: None, mean: 0.0, std: 1.0 }; *latent];
    let written = dimensions.clone().filter(|dimensions| dimensions.len() == *latent && *latent > 0);
    written.or_else(|| can.contains(&Capability::Prior).then(alike))
}

/// What is known although there is this problem with the data. Of a run whose configuration no longer fits its model, nothing is.
fn known_despite(asked: &RunRequest, problem: &Problem) -> Option<Vec<DimensionInfo>> {
    let of_the_model = *problem == Problem::changed() || problem.kind == "model";
    if of_the_model { None } else { known(&asked.run) }
}

/// The same as an answer; `problem` is why there are no data.
fn without_data(asked: &RunRequest, problem: Problem) -> Result<Value, Problem> {
    let Some(known) = known_despite(asked, &problem) else { return Err(problem) };
    let dimensions = known.into_iter().map(|DimensionInfo { kl, mean, std }| {
        json!({ "kl": kl, "mean": mean, "std": std, "active": std.powi(2) > ACTIVE_THRESHOLD })
    });
    let dimensions: Vec<Value> = dimensions.collect();
    Ok(json!({ "split": null, "n": 0, "without_data": problem.message, "dimensions": dimensions }))
}

/// Codes of the means and variances that are known: on each axis one to either side, so that planes and views come out as of the data.
fn stand_in(known: &[DimensionInfo]) -> Codes {
    let (latent, reach) = (known.len(), (known.len() as f64).sqrt());
    let at = |axis: usize, side: f64| {
        let value = move |(dim, info): (usize, &DimensionInfo)| {
            (info.mean + if dim == axis { side * reach * info.std } else { 0.0 }) as f32
        };
        known.iter().enumerate().map(value)
    };
    let mean = (0..latent).flat_map(|axis| at(axis, -1.0).chain(at(axis, 1.0))).collect();
    Codes { latent, mean, log_var: None, labels: None }
}

/// Points, and the plane they lie on where that is one of the space of codes.
#[derive(Serialize)]
struct Projected<'a> {
    /// Why there are no points, where the data cannot be opened: what the decoder draws is there all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_data: Option<String>,
    points: Vec<&'a [f32]>,
    #[serde(flatten)]
    plane: Option<&'a Plane>,
    #[serde(flatten)]
    split: Option<Split<'a>>,
}

/// What the points are, where they are examples of the run's data.
#[derive(Serialize)]
struct Split<'a> {
    split: &'static str,
    indices: &'a [u32],
    labels: Option<&'a [u32]>,
    /// None of a model without a likelihood.
    score: Option<&'a [f32]>,
}

impl<'a> Split<'a> {
    /// The first `n` examples.
    fn of(analysis: &'a Analysis, n: usize) -> Self {
        Self {
            split: analysis.split,
            indices: &analysis.places[..n],
            labels: analysis.codes.labels.as_ref().map(|labels| &labels[..n]),
            score: analysis.scores.get(..n),
        }
    }
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

/// `POST /api/runs/{id}/project`: codes as points of a plane in the space of codes, with what leads back from the plane; for `tsne`, the held-out
/// examples as points of a map of neighbours, from which nothing leads back, and 202 while it is being laid out.
pub async fn project(asked: RunRequest) -> Result<Response, Problem> {
    let format = asked.format(&NUMBERS)?;
    asked.require("project", &[Capability::Encode])?;
    let Project { method, dims, z } = asked.json().await?;
    if method == "tsne" {
        return match z {
            Some(_) => Err(Problem::field("z", "no codes with `tsne`, which has no place for new ones", "some")),
            None => neighbours(&asked, format).await,
        };
    }
    let method = Method::checked(&method, dims, asked.run.summary.latent)?;
    let given = z.as_ref().map(|z| asked.codes("z", z)).transpose()?;
    let analysis = match asked.app.analyses.get(&asked.run, Of::HeldOut).await {
        Ok(analysis) => analysis,
        Err(problem) => return decoded_only(&asked, method, given.as_deref(), format, problem),
    };
    let plane = plane(&analysis, method).await?;
    let numbers = given.as_ref().map_or(analysis.codes.mean.len(), Vec::len);
    let write = move || {
        let points = plane.points(given.as_deref().unwrap_or(&analysis.codes.mean));
        if format == Format::Raw {
            return Ok(response::floats(&points, &[points.len() / 2, 2]));
        }
        let split = given.is_none().then(|| Split::of(&analysis, analysis.len()));
        let projected = Projected { without_data: None, points: rows(&points, 2), plane: Some(&plane), split };
        Ok(Json(projected).into_response())
    };
    asked.written(numbers, write).await
}

/// The plane without any examples on it, for what is decoded.
fn decoded_only(
    asked: &RunRequest,
    method: Method,
    given: Option<&[f32]>,
    format: Format,
    problem: Problem,
) -> Result<Response, Problem> {
    let Some(known) = known_despite(asked, &problem) else { return Err(problem) };
    let plane = Plane::of(&stand_in(&known), method);
    let points = plane.points(given.unwrap_or_default());
    if format == Format::Raw {
        return Ok(response::floats(&points, &[points.len() / 2, 2]));
    }
    let without_data = Some(problem.message);
    Ok(Json(Projected { without_data, points: rows(&points, 2), plane: Some(&plane), split: None }).into_response())
}

async fn neighbours(asked: &RunRequest, format: Format) -> Result<Response, Problem> {
    let layout = match asked.app.layouts.get(&asked.run).await? {
        State::Computing(since) => return Ok(response::computing("laying out neighbours", since)),
        State::Ready(layout) => layout,
    };
    let n = layout.points.len() / 2;
    if format == Format::Raw {
        return Ok(response::floats(&layout.points, &[n, 2]));
    }
    let split = Some(Split::of(&layout.analysis, n));
    Ok(Json(Projected { without_data: None, points: rows(&layout.points, 2), plane: None, split }).into_response())
}

/// The plane for the codes of an analysis, off the threads that serve.
async fn plane(analysis: &Arc<Analysis>, method: Method) -> Result<Plane, Problem> {
    let analysis = Arc::clone(analysis);
    let plane = tokio::task::spawn_blocking(move || Plane::of(&analysis.codes, method));
    plane.await.map_err(|_| Problem::internal())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Mixture {
    sampler: String,
    method: String,
    dims: [usize; 2],
}

impl Default for Mixture {
    fn default() -> Self {
        Self { sampler: SamplerKind::Mixture.to_string(), method: "dims".into(), dims: [0, 1] }
    }
}

/// A mixture as it is seen on a plane.
#[derive(Serialize)]
struct Seen {
    sampler: SamplerKind,
    /// Codes it was fitted on.
    n: usize,
    /// Whether it is the run's own.
    stored: bool,
    components: Vec<Spot>,
}

/// `POST /api/runs/{id}/mixture`: the components of the mixture fitted to the training codes, projected to a plane; 202 while it is being fitted.
pub async fn mixture(asked: RunRequest) -> Result<Response, Problem> {
    asked.format(&[Format::Json])?;
    asked.require("mixture", &[Capability::Encode])?;
    let Mixture { sampler: name, method, dims } = asked.json().await?;
    let (kind, method) = (sampler(&name)?, Method::checked(&method, dims, asked.run.summary.latent)?);
    if !matches!(kind, SamplerKind::Gaussian | SamplerKind::Mixture) {
        return Err(Problem::field("sampler", "gaussian or mixture, which have components", name));
    }
    let fitted = match asked.app.samplers.get(&asked.run, kind.clone()).await? {
        State::Computing(since) => return Ok(response::computing("fitting the sampler", since)),
        State::Ready(fitted) => fitted,
    };
    let plane = plane(&asked.app.analyses.get(&asked.run, Of::HeldOut).await?, method).await?;
    let components = match &fitted.sampler {
        Sampler::Gaussian(mixture) | Sampler::Mixture(mixture) => plane.spots(mixture),
        Sampler::OfClasses(mixtures) => mixtures.mixtures().iter().flat_map(|mixture| plane.spots(mixture)).collect(),
        _ => return Err(Problem::internal()),
    };
    Ok(Json(Seen { sampler: kind, n: fitted.n, stored: fitted.stored, components }).into_response())
}

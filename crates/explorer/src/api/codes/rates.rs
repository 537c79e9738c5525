//! How unlikely the codes of pictures are: in all, and code by code.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use elbo::space::Rows;
use elbo::tensors::values_of;
use serde::Serialize;
use serde_json::Value;

use super::super::examples::{Neighbour, histogram, share_above};
use super::super::json::Json;
use super::super::parse::Input;
use super::super::request::RunRequest;
use super::super::response::{Symbols, rows};
use super::{joined, no_prior};
use crate::codes::Rated;
use crate::heavy::Wanted;
use crate::models::Models;
use crate::problem::Problem;

/// Rows that the prior rates between two looks at whether anybody waits.
const TOGETHER: usize = 64;

/// What `score` answers for such a run, one entry for each example.
#[derive(Serialize)]
struct Scores<'a> {
    /// The rate; of a run without a prior the reconstruction error.
    score: Vec<f32>,
    /// `-log p(x|k)`.
    recon: &'a [f32],
    /// `-log p(k)`, in nats.
    rate: Option<Vec<f32>>,
    /// The same of each code given those that are drawn before it, as they lie in a row.
    by_code: Option<Vec<&'a [f32]>>,
    symbols: Symbols,
    unit: &'static str,
    /// Why there is no rate, and what gives one.
    without_prior: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_above: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<Vec<Vec<Neighbour>>>,
}

/// `POST /api/runs/{id}/score` of such a run: how unlikely its prior finds the codes of examples.
pub async fn score(asked: RunRequest, input: Input, neighbours: usize) -> Result<Response, Problem> {
    let entry = asked.run.clone();
    let work = move |models: &mut Models| {
        let run = models.get(&entry)?.run;
        let (discrete, observe) = (run.model.discrete_or_refuse()?, run.model.observe_or_refuse()?);
        let (mut symbols, mut recon) = (Vec::new(), Vec::new());
        for batch in input.batches(&run) {
            let codes = discrete.encode(&batch).into_codes();
            symbols.extend(Rows::joined_symbols(&codes));
            recon.extend(values_of(observe.recon(&codes, &batch.given, batch.x.real())));
        }
        Ok((symbols, recon, joined(&run)?.numel()))
    };
    let (symbols, recon, width) = asked.app.worker.call(work).await?;
    let by_code = by_code(&asked, symbols.clone(), width).await?;
    let rate: Option<Vec<f32>> =
        by_code.as_ref().map(|values| values.chunks_exact(width).map(|row| row.iter().sum()).collect());
    let score = rate.clone().unwrap_or_else(|| recon.clone());
    let mut answer = Scores {
        recon: &recon,
        by_code: by_code.as_ref().map(|values| rows(values, width)),
        unit: if rate.is_some() { "nats" } else { asked.run.summary.unit },
        without_prior: rate.is_none().then(|| no_prior(&asked).message),
        symbols: Symbols { values: symbols.clone(), width },
        rate,
        score,
        share_above: None,
        neighbours: None,
    };
    if neighbours > 0 {
        let rated = asked.app.codes.rated(&asked.run).await?;
        let scores = answer.score.clone();
        let compare = move |wanted: &Wanted| {
            let above = scores.iter().map(|score| share_above(&rated.scores, *score)).collect();
            let near = symbols.chunks_exact(width).map(|row| {
                wanted.check()?;
                Ok(nearest(&rated, row, neighbours))
            });
            Ok((above, near.collect::<Result<Vec<_>, Problem>>()?))
        };
        let (above, near) = asked.app.writing.compute(compare).await?;
        (answer.share_above, answer.neighbours) = (Some(above), Some(near));
    }
    Ok(Json(answer).into_response())
}

/// The nats of each code under the run's prior; none where it has none.
async fn by_code(asked: &RunRequest, symbols: Vec<u16>, width: usize) -> Result<Option<Vec<f32>>, Problem> {
    let Some(prior) = asked.app.codes.prior(&asked.run).await? else { return Ok(None) };
    let rate = move |wanted: &Wanted| {
        let mut values = Vec::with_capacity(symbols.len());
        for rows in symbols.chunks(TOGETHER * width) {
            wanted.check()?;
            values.extend(prior.surprise(rows)?);
        }
        Ok(Some(values))
    };
    asked.app.drawing.compute(rate).await
}

/// The training examples that have the most codes in common: the distance is the number of places with another code.
fn nearest(rated: &Arc<Rated>, row: &[u16], count: usize) -> Vec<Neighbour> {
    let distance = |other: &[u16]| other.iter().zip(row).filter(|(a, b)| a != b).count();
    let mut all: Vec<(usize, usize)> = rated.symbols.chunks_exact(row.len()).map(distance).zip(0..).collect();
    all.sort_unstable();
    all.truncate(count);
    let near = |(distance, place): (usize, usize)| Neighbour {
        index: rated.places[place],
        distance: distance as f32,
        label: rated.labels[place],
    };
    all.into_iter().map(near).collect()
}

/// `GET /api/runs/{id}/reference` of such a run: the distribution of scores over training examples.
pub async fn reference(asked: RunRequest) -> Result<Json<Value>, Problem> {
    let rated = asked.app.codes.rated(&asked.run).await?;
    let unit = if rated.by_prior { "nats" } else { asked.run.summary.unit };
    Ok(Json(histogram(&rated.scores, "train", unit)))
}

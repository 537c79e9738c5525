//! Examples: the run's own, and how strange others are beside them.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use elbo::generation;
use elbo::models::Capability;
use serde::Serialize;
use serde_json::{Value, json};

use super::codes;
use super::json::Json;
use super::model::encoded;
use super::request::RunRequest;
use super::response::{Format, Tables, rows};
use crate::analysis::{Analysis, Of, TermsAtMean};
use crate::heavy::Wanted;
use crate::models::Models;
use crate::problem::Problem;

/// Neighbours that may be asked for.
const MAX_NEIGHBOURS: usize = 32;
/// Bars of the histogram of scores.
const BARS: usize = 40;

/// `GET /api/runs/{id}/examples/{split}/{index}`: an example of the run's data, as the model sees it.
pub async fn example(asked: RunRequest) -> Result<Response, Problem> {
    let format = asked.format(&[Format::Png, Format::Raw, Format::Json])?;
    let data = asked.app.dataset(&asked.run).await?;
    let (name, examples) = data.split(Some(asked.param("split")))?;
    let index: u32 = asked.number("index")?;
    if index as usize >= examples.len() {
        let expected = format!("a place in the {name} split, 0 to {}", examples.len() - 1);
        return Err(Problem::field("index", expected, index));
    }
    let (examples, device) = (examples.select(&[index]), asked.app.device.clone());
    let pixels = asked.app.worker.call(move |_| Ok(generation::originals(&examples, &[0], &device))).await?;
    let mut response = asked.shown(format, pixels, Tables::default()).await?;
    let keep = HeaderValue::from_static("private, max-age=600");
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    Ok(response)
}

/// `POST /api/runs/{id}/score`: how badly the model explains examples, beside what it is used to.
pub async fn score(asked: RunRequest) -> Result<Response, Problem> {
    asked.format(&[Format::Json])?;
    let is_discrete = asked.run.is_discrete();
    if !is_discrete {
        asked.require("score", &[Capability::Encode, Capability::Observe])?;
    }
    let (input, wanted) = asked.examples().await?;
    let neighbours = wanted.neighbours.unwrap_or(0);
    if neighbours > MAX_NEIGHBOURS {
        return Err(Problem::field("neighbours", format!("0 to {MAX_NEIGHBOURS}"), neighbours));
    }
    if is_discrete {
        return codes::score(asked, input, neighbours).await;
    }
    let entry = asked.run.clone();
    let work = move |models: &mut Models| {
        let run = models.get(&entry)?.run;
        let (mut recon, mut kl) = (Vec::new(), Vec::new());
        for batch in input.batches(&run) {
            let further = run.explained("score", TermsAtMean::of(run.model.as_ref(), &batch))?;
            recon.extend(further.recon);
            kl.extend(further.kl);
        }
        Ok::<_, Problem>((recon, kl, encoded(&run, &input, "score")?.mean))
    };
    let (recon, kl, mean) = asked.app.worker.call(work).await?;
    let score: Vec<f32> = recon.iter().zip(&kl).map(|(recon, kl)| recon + kl).collect();
    let latent = asked.run.summary.latent;
    let mut answer = Scores {
        recon,
        kl,
        mean: rows(&mean, latent),
        unit: asked.run.summary.unit,
        score,
        share_above: None,
        neighbours: None,
    };
    if neighbours > 0 {
        let gallery = asked.app.analyses.get(&asked.run, Of::Gallery).await?;
        let (scores, codes) = (answer.score.clone(), mean.clone());
        let compare = move |wanted: &Wanted| {
            let share_above = scores.iter().map(|score| share_above(&gallery.scores, *score)).collect();
            let near = codes.chunks_exact(latent).map(|code| {
                wanted.check()?;
                Ok(nearest(&gallery, code, neighbours))
            });
            Ok((share_above, near.collect::<Result<Vec<_>, Problem>>()?))
        };
        let (share_above, near) = asked.app.writing.compute(compare).await?;
        (answer.share_above, answer.neighbours) = (Some(share_above), Some(near));
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
pub(super) struct Neighbour {
    pub index: u32,
    pub distance: f32,
    pub label: Option<u32>,
}

/// The share of training examples, which have these `scores`, that are at least as strange.
pub(super) fn share_above(scores: &[f32], score: f32) -> f64 {
    let above = scores.iter().filter(|&&other| other >= score).count();
    above as f64 / scores.len().max(1) as f64
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
pub async fn reference(asked: RunRequest) -> Result<Json<Value>, Problem> {
    if asked.run.is_discrete() {
        return codes::reference(asked).await;
    }
    asked.require("reference", &[Capability::Encode, Capability::Observe])?;
    let gallery = asked.app.analyses.get(&asked.run, Of::Gallery).await?;
    Ok(Json(histogram(&gallery.scores, gallery.split, asked.run.summary.unit)))
}

/// Scores of a split as bars, with the median and the 95th percentile.
pub(super) fn histogram(scores: &[f32], split: &str, unit: &str) -> Value {
    let mut scores = scores.to_vec();
    scores.sort_by(f32::total_cmp);
    let at = |share: f64| scores[((scores.len() - 1) as f64 * share) as usize];
    let (low, high) = (at(0.0), at(0.995).max(at(0.0) + f32::EPSILON));
    let mut counts = vec![0usize; BARS];
    for score in scores.iter().filter(|score| **score <= high) {
        counts[(((score - low) / (high - low) * BARS as f32) as usize).min(BARS - 1)] += 1;
    }
    let edges: Vec<f32> = (0..=BARS).map(|i| low + (high - low) * i as f32 / BARS as f32).collect();
    let (n, median, p95) = (scores.len(), at(0.5), at(0.95));
    json!({ "n": n, "split": split, "edges": edges, "counts": counts, "median": median, "p95": p95, "unit": unit })
}

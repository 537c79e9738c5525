//! What models are asked: codes of examples, and examples of codes.

use axum::response::{IntoResponse, Response};
use elbo::generation::{self, ShowAs};
use elbo::models::{Capability, Posterior};
use elbo::priors::{Draw, SamplerKind};
use elbo::tasks::Run;
use elbo::tensors::values_of;
use serde::{Deserialize, Serialize};

use super::class::Class;
use super::codes;
use super::json::Json;
use super::parse::{self, Input};
use super::request::RunRequest;
use super::response::{self, Format, Tables, rows, told};
use crate::background::State;
use crate::models::Models;
use crate::problem::Problem;

/// Pictures come as JSON unless something else is asked for.
const PICTURES: [Format; 4] = [Format::Json, Format::Raw, Format::Png, Format::Gif];
/// Tables of numbers.
pub(super) const NUMBERS: [Format; 2] = [Format::Json, Format::Raw];
/// Truncations below would let hardly a draw pass.
const LEAST_TRUNCATION: f64 = 0.01;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decode {
    z: Vec<Vec<f32>>,
    #[serde(default)]
    class: Option<Class>,
}

/// `POST /api/runs/{id}/decode`: E[x|z] of codes.
pub async fn decode(asked: RunRequest) -> Result<Response, Problem> {
    let format = asked.format(&PICTURES)?;
    if asked.run.is_discrete() {
        return codes::decode(asked, format).await;
    }
    asked.require("decode", &[Capability::Decode])?;
    let Decode { z, class } = asked.json().await?;
    let codes = asked.codes("z", &z)?;
    let classes = Class::of_each(class.as_ref(), &asked.run, z.len())?;
    let pictures = asked.app.worker.decode(&asked.run, codes, classes).await?;
    asked.shown(format, pictures, Tables::default()).await
}

/// Posterior means and log variances, row after row.
pub(super) struct Encoded {
    pub mean: Vec<f32>,
    log_var: Option<Vec<f32>>,
}

/// Encodes the examples of a request. `wanted_by` is the address that asks.
pub(super) fn encoded(run: &Run, input: &Input, wanted_by: &str) -> Result<Encoded, Problem> {
    let encoder = run.encoder(wanted_by)?;
    let (mut mean, mut log_var) = (Vec::new(), Vec::new());
    for batch in input.batches(run) {
        match encoder.encode(&batch) {
            Posterior::Gaussian(posterior) => {
                mean.extend(values_of(posterior.mean));
                log_var.extend(values_of(posterior.log_var));
            }
            code => mean.extend(values_of(code.mean())),
        }
    }
    Ok(Encoded { log_var: (log_var.len() == mean.len()).then_some(log_var), mean })
}

/// q(z|x) as JSON.
#[derive(Serialize)]
struct Codes<'a> {
    mean: Vec<&'a [f32]>,
    log_var: Option<Vec<&'a [f32]>>,
    /// What a conditional run was told of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a [u32]>,
}

/// `POST /api/runs/{id}/encode`: q(z|x) of examples.
pub async fn encode(asked: RunRequest) -> Result<Response, Problem> {
    let format = asked.format(&NUMBERS)?;
    if asked.run.is_discrete() {
        return codes::encode(asked, format).await;
    }
    asked.require("encode", &[Capability::Encode])?;
    let (input, _) = asked.examples().await?;
    let classes = input.classes().to_vec();
    let (entry, n) = (asked.run.clone(), input.len(&asked.run));
    let work = move |models: &mut Models| encoded(&models.get(&entry)?.run, &input, "encode");
    let codes = asked.app.worker.call(work).await?;
    let latent = asked.run.summary.latent;
    let write = move || match format {
        Format::Json => {
            let log_var = codes.log_var.as_ref().map(|values| rows(values, latent));
            Ok(Json(Codes { mean: rows(&codes.mean, latent), log_var, class: told(&classes) }).into_response())
        }
        _ => Ok(response::floats(&codes.mean, &[n, latent])),
    };
    asked.written(n * latent, write).await
}

/// `POST /api/runs/{id}/reconstruct`: examples, encoded and decoded again.
pub async fn reconstruct(asked: RunRequest) -> Result<Response, Problem> {
    let format = asked.format(&PICTURES)?;
    if asked.run.is_discrete() {
        return codes::reconstruct(asked, format).await;
    }
    asked.require("reconstruct", &[Capability::Encode, Capability::Decode])?;
    let (input, _) = asked.examples().await?;
    let (entry, classes) = (asked.run.clone(), input.classes().to_vec());
    let work = move |models: &mut Models| {
        let run = models.get(&entry)?.run;
        let code = encoded(&run, &input, "reconstruct")?;
        let originals = input.originals(&run);
        let pictures =
            generation::show_of_classes(&run.decoder("reconstruct")?, &code.mean, input.classes(), ShowAs::Mean)?;
        Ok::<_, Problem>((pictures, originals, code.mean))
    };
    let (pictures, originals, mean) = asked.app.worker.call(work).await?;
    let size = pictures.shape.numel();
    let tables = [("originals", originals, size), ("mean", mean, asked.run.summary.latent)];
    let tables = Tables::of(tables, classes);
    asked.shown(format, pictures, tables).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    n: usize,
    seed: u64,
    sampler: String,
    temperature: f64,
    /// Draws beyond so many deviations are drawn again.
    truncation: Option<f64>,
    class: Option<Class>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            n: 64,
            seed: 0,
            sampler: SamplerKind::Normal.to_string(),
            temperature: 1.0,
            truncation: None,
            class: None,
        }
    }
}

/// The sampler a client named.
pub(super) fn sampler(name: &str) -> Result<SamplerKind, Problem> {
    let names = || SamplerKind::builtin().iter().map(SamplerKind::name).collect::<Vec<_>>().join(", ");
    name.parse().map_err(|_| Problem::field("sampler", format!("one of {}", names()), name))
}

/// `POST /api/runs/{id}/sample`: pictures of new codes, equal for equal seeds; 202 while the sampler they come from is still being fitted.
pub async fn sample(asked: RunRequest) -> Result<Response, Problem> {
    let format = asked.format(&PICTURES)?;
    if asked.run.is_discrete() {
        return codes::sample(asked, format).await;
    }
    asked.require("sample", &[Capability::Decode])?;
    let Sample { n, seed, sampler: name, temperature, truncation, class } = asked.json().await?;
    asked.images("n", n)?;
    parse::number("temperature", temperature, 0.0, 100.0)?;
    truncation.map_or(Ok(0.0), |bound| parse::number("truncation", bound, LEAST_TRUNCATION, 100.0))?;
    let (kind, latent) = (sampler(&name)?, asked.run.summary.latent);
    if kind != SamplerKind::Normal {
        // Whatever else draws codes was fitted to those of examples.
        asked.require("sample", &[Capability::Encode])?;
    }
    let classes = Class::of_each(class.as_ref(), &asked.run, n)?;
    let draw = Draw { count: n, temperature, truncation, seed };
    let codes = match kind {
        SamplerKind::Normal => elbo::priors::Sampler::Normal(latent).sample(&draw),
        kind => match asked.app.samplers.get(&asked.run, kind).await? {
            State::Computing(since) => return Ok(response::computing("fitting the sampler", since)),
            State::Ready(fitted) => {
                let classes = classes.clone();
                asked.app.worker.call(move |_| Ok(fitted.sampler.sample_as(&draw, &classes))).await?
            }
        },
    };
    let pictures = asked.app.worker.decode(&asked.run, codes.clone(), classes.clone()).await?;
    asked.shown(format, pictures, Tables::of([("z", codes, latent)], classes)).await
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
    #[serde(default)]
    class: Option<Class>,
}

fn twelve() -> usize {
    12
}

fn linear() -> String {
    "linear".into()
}

/// `POST /api/runs/{id}/interpolate`: pictures on the way from one code to another.
pub async fn interpolate(asked: RunRequest) -> Result<Response, Problem> {
    let format = asked.format(&PICTURES)?;
    asked.require("interpolate", &[Capability::Decode])?;
    let Interpolate { a, b, steps, path, class } = asked.json().await?;
    asked.images("steps", steps)?;
    let (a, b) = (asked.codes("a", &[a])?, asked.codes("b", &[b])?);
    let path = match path.as_str() {
        "linear" => generation::Path::Linear,
        "spherical" => generation::Path::Spherical,
        _ => return Err(Problem::field("path", "linear or spherical", path)),
    };
    let codes = generation::interpolation_codes(&a, &b, steps, path);
    let classes = Class::of_each(class.as_ref(), &asked.run, steps)?;
    let pictures = asked.app.worker.decode(&asked.run, codes.clone(), classes.clone()).await?;
    let tables = Tables::of([("z", codes, asked.run.summary.latent)], classes);
    asked.shown(format, pictures, tables).await
}

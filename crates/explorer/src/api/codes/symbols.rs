//! Examples to symbols, symbols to pictures, and symbols that a prior draws.

use axum::response::{IntoResponse, Response};
use elbo::data::batch::Given;
use elbo::generation::{self, Pictures, ShowAs};
use elbo::models::{Ask, Capability, KeptSymbols};
use elbo::space::Rows;
use elbo::tasks::{Run, SymbolPrior};
use serde::{Deserialize, Serialize};

use super::super::class::Class;
use super::super::json::Json;
use super::super::parse::{self, Input};
use super::super::request::RunRequest;
use super::super::response::{self, Format, Symbols, Tables};
use super::{joined, no_prior};
use crate::heavy::Wanted;
use crate::models::Models;
use crate::problem::Problem;

/// Strongest guidance accepted, either way.
const MAX_GUIDANCE: f64 = 100.0;
/// Smallest share of the probability that draws may be kept to.
const LEAST_TOP_P: f64 = 1e-6;

/// The symbols of the examples of a request, row after row.
fn symbols_of(run: &Run, input: &Input) -> Result<Vec<u16>, Problem> {
    let discrete = run.model.discrete_or_refuse()?;
    Ok(input.batches(run).flat_map(|batch| Rows::joined_symbols(&discrete.encode(&batch).into_codes())).collect())
}

/// Codes as JSON.
#[derive(Serialize)]
struct Encoded {
    symbols: Symbols,
}

/// `POST /api/runs/{id}/encode` of such a run: the codes of examples.
pub async fn encode(asked: RunRequest, format: Format) -> Result<Response, Problem> {
    let (input, _) = asked.examples().await?;
    let (entry, n) = (asked.run.clone(), input.len(&asked.run));
    let work = move |models: &mut Models| {
        let run = models.get(&entry)?.run;
        Ok((symbols_of(&run, &input)?, joined(&run)?.numel()))
    };
    let (values, width) = asked.app.worker.call(work).await?;
    let write = move || match format {
        Format::Json => Ok(Json(Encoded { symbols: Symbols { values, width } }).into_response()),
        _ => {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            Ok(response::floats(&values, &[n, width]))
        }
    };
    asked.written(n * width, write).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Decode {
    symbols: Option<Vec<Vec<u32>>>,
    /// Of runs whose code is a vector.
    z: Option<serde::de::IgnoredAny>,
}

/// `POST /api/runs/{id}/decode` of such a run: E[x|k] of codes.
pub async fn decode(asked: RunRequest, format: Format) -> Result<Response, Problem> {
    let Decode { symbols, z } = asked.json().await?;
    let Some(symbols) = symbols else {
        if z.is_some() {
            asked.require("decode", &[Capability::Decode])?;
        }
        let message = "give `symbols`, rows of codes of this run";
        return Err(Problem { field: Some("symbols".into()), ..Problem::malformed(message) });
    };
    asked.images("symbols", symbols.len())?;
    let run = asked.app.loaded(&asked.run).await?.run;
    let symbols = checked(&run, "symbols", &symbols)?;
    let pictures = decoded(&asked, symbols).await?;
    asked.shown(format, pictures, Tables::default()).await
}

/// Rows of codes of a run, each of which there is.
fn checked(run: &Run, field: &str, rows: &[Vec<u32>]) -> Result<Vec<u16>, Problem> {
    let space = joined(run)?;
    let (width, entries) = (space.numel(), space.symbols().unwrap_or(0));
    for (row, codes) in rows.iter().enumerate() {
        if codes.len() != width {
            let expected = format!("{width} codes, as `codes` of the run tells");
            return Err(Problem::field(format!("{field}[{row}]"), expected, format!("{} codes", codes.len())));
        }
        if let Some(place) = codes.iter().position(|&code| code as usize >= entries) {
            let expected = format!("a code below {entries}");
            return Err(Problem::field(format!("{field}[{row}][{place}]"), expected, codes[place]));
        }
    }
    Ok(rows.iter().flatten().map(|&code| code as u16).collect())
}

/// Pictures of checked codes.
async fn decoded(asked: &RunRequest, symbols: Vec<u16>) -> Result<Pictures, Problem> {
    let entry = asked.run.clone();
    let work = move |models: &mut Models| {
        let run = models.get(&entry)?.run;
        Ok(generation::decode_symbols(run.model.as_ref(), &symbols, ShowAs::Mean, &run.device)?)
    };
    asked.app.worker.call(work).await
}

/// `POST /api/runs/{id}/reconstruct` of such a run: examples, encoded and decoded again, with their codes.
pub async fn reconstruct(asked: RunRequest, format: Format) -> Result<Response, Problem> {
    let (input, _) = asked.examples().await?;
    let entry = asked.run.clone();
    let work = move |models: &mut Models| {
        let run = models.get(&entry)?.run;
        let (symbols, originals) = (symbols_of(&run, &input)?, input.originals(&run));
        let pictures = generation::decode_symbols(run.model.as_ref(), &symbols, ShowAs::Mean, &run.device)?;
        Ok((pictures, originals, symbols, joined(&run)?.numel()))
    };
    let (pictures, originals, symbols, width) = asked.app.worker.call(work).await?;
    let size = pictures.shape.numel();
    let tables = Tables::of([("originals", originals, size)], Vec::new()).with_symbols(symbols, width);
    asked.shown(format, pictures, tables).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sample {
    n: usize,
    seed: u64,
    /// The name of the prior; the one that the run has if none is named.
    sampler: Option<String>,
    temperature: f64,
    /// Only so many of the most likely codes.
    top_k: Option<usize>,
    /// Only the most likely codes that hold this share.
    top_p: f64,
    /// Strength of the class; 1 is none beyond what the prior says.
    guidance: f64,
    class: Option<Class>,
    kept: Option<Kept>,
}

impl Default for Sample {
    fn default() -> Self {
        let (sampler, top_k, class, kept) = (None, None, None, None);
        Self { n: 64, seed: 0, sampler, temperature: 1.0, top_k, top_p: 1.0, guidance: 1.0, class, kept }
    }
}

/// Codes that are not drawn.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// One row, of which the codes at the places that are kept are read.
    symbols: Vec<u32>,
    is_kept: Vec<bool>,
}

impl Kept {
    fn check(&self, run: &Run) -> Result<(), Problem> {
        checked(run, "kept.symbols", std::slice::from_ref(&self.symbols))?;
        match self.is_kept.len() == self.symbols.len() {
            true => Ok(()),
            false => {
                let expected = format!("{} times true or false, one for each code", self.symbols.len());
                Err(Problem::field("kept.is_kept", expected, format!("{} of them", self.is_kept.len())))
            }
        }
    }
}

impl Sample {
    fn check(&self, prior: &SymbolPrior) -> Result<(), Problem> {
        parse::number("temperature", self.temperature, 0.0, 100.0)?;
        parse::number("top_p", self.top_p, LEAST_TOP_P, 1.0)?;
        parse::number("guidance", self.guidance, -MAX_GUIDANCE, MAX_GUIDANCE)?;
        if self.top_k == Some(0) {
            return Err(Problem::field("top_k", "at least 1 code", 0));
        }
        let other = self.sampler.as_ref().filter(|name| **name != prior.name());
        other.map_or(Ok(()), |name| Err(Problem::field("sampler", format!("{}, the run's own", prior.name()), name)))
    }

    fn ask(self, prior: &SymbolPrior) -> Result<(Ask, Vec<u32>), Problem> {
        let classes = Class::of_drawn(self.class.as_ref(), prior.classes(), self.n)?;
        let mut ask = Ask::new(self.n, self.seed)
            .temperature(self.temperature)
            .among(self.top_k, self.top_p)
            .guidance(self.guidance);
        if !classes.is_empty() {
            ask = ask.given(Given::of_classes(&classes, &prior.run.device));
        }
        if let Some(Kept { symbols, is_kept }) = self.kept {
            ask = ask.keeping(KeptSymbols { symbols: symbols.repeat(self.n), is_kept });
        }
        Ok((ask, classes))
    }
}

/// `POST /api/runs/{id}/sample` of such a run: pictures of codes that its prior draws, all of them or those that are not
/// kept.
pub async fn sample(asked: RunRequest, format: Format) -> Result<Response, Problem> {
    let prior = asked.app.codes.prior(&asked.run).await?.ok_or_else(|| no_prior(&asked))?;
    let wanted: Sample = asked.json().await?;
    asked.images("n", wanted.n)?;
    wanted.check(&prior)?;
    let run = asked.app.loaded(&asked.run).await?.run;
    wanted.kept.as_ref().map_or(Ok(()), |kept| kept.check(&run))?;
    let (width, (ask, classes)) = (joined(&run)?.numel(), wanted.ask(&prior)?);
    let draw = move |still: &Wanted| {
        let drawn = generation::draw_symbols(prior.generator(), &ask, &mut |_, _| still.check().is_ok())?;
        // Nothing comes where nobody waits any more.
        drawn.map_or_else(|| still.check().and(Err(Problem::internal())), Ok)
    };
    let symbols = asked.app.drawing.compute(draw).await?;
    let pictures = decoded(&asked, symbols.clone()).await?;
    let tables = Tables::of([], classes).with_symbols(symbols, width);
    asked.shown(format, pictures, tables).await
}

//! Runs whose codes are entries of codebooks: what the codebooks hold, what is drawn of them, what pictures cost in them.

mod rates;
mod symbols;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use elbo::data::ImageShape;
use elbo::evaluation::{CodeExample, ModelFinding, level_names};
use elbo::generation::Pictures;
use elbo::models::{Capability, Discrete, Encode};
use elbo::networks::SequenceShape;
use elbo::space::Space;
use elbo::tasks::Run;
use serde::{Deserialize, Serialize};

pub(super) use rates::{reference, score};
pub(super) use symbols::{decode, encode, reconstruct, sample};

use super::json::Json;
use super::parse;
use super::request::RunRequest;
use super::response::{self, Format, Tables, rows};
use crate::background::State;
use crate::codes::{Counted, Patches};
use crate::problem::Problem;

/// Examples that use a code which may be asked for.
const MAX_EXAMPLES: usize = 128;

/// One map of codes.
#[derive(Debug, Serialize)]
struct Level {
    /// `top` and `bottom` of two; none of the only one.
    name: Option<&'static str>,
    height: usize,
    width: usize,
    /// Codebooks of a place: product codes times residual codes, depths one after another.
    groups: usize,
    depth: usize,
    /// Entries of each codebook.
    entries: usize,
    /// Where it begins in a row of codes, and how long it is: codebook after codebook, row after row.
    first: usize,
    codes: usize,
}

/// The prior in a run's folder.
#[derive(Serialize)]
struct ThePrior<'a> {
    name: String,
    /// Classes that it may be told; none where it was trained without.
    classes: &'a [String],
}

#[derive(Serialize)]
struct Description<'a> {
    levels: &'a [Level],
    /// Codes of an example.
    codes: usize,
    /// Places of a row in the order in which a prior draws them.
    order: Vec<usize>,
    prior: Option<ThePrior<'a>>,
    /// What there is to do where there is no prior.
    without_prior: Option<String>,
}

/// `GET /api/runs/{id}/codes`: the maps of codes that a run's pictures become, and the prior over them.
pub async fn describe(asked: RunRequest) -> Result<Response, Problem> {
    asked.require("codes", &[Capability::Discrete])?;
    let (run, prior) = (asked.app.loaded(&asked.run).await?.run, asked.app.codes.prior(&asked.run).await?);
    let (levels, space) = (levels(&run)?, joined(&run)?);
    let order = drawing_order(Encode::codes(run.model.discrete_or_refuse()?));
    let prior = prior.as_deref();
    let description = Description {
        levels: &levels,
        codes: space.numel(),
        order,
        prior: prior.map(|prior| ThePrior { name: prior.name(), classes: prior.classes() }),
        without_prior: prior.is_none().then(|| no_prior(&asked).message),
    };
    Ok(Json(description).into_response())
}

/// Places of a row in the order in which a prior draws them: map by map, each row by row.
fn drawing_order(maps: &[Space]) -> Vec<usize> {
    let mut first = 0;
    let of_map = |map: &Space| {
        let shape = SequenceShape { shape: map.shape, symbols: map.symbols().unwrap_or(1), classes: 0, prefix: first };
        let places: Vec<usize> = shape.order().into_iter().map(|place| first + place).collect();
        first += map.numel();
        places
    };
    maps.iter().flat_map(of_map).collect()
}

/// All codes of an example as one row.
fn joined(run: &Run) -> Result<Space, Problem> {
    Ok(run.model.discrete_or_refuse().map(Discrete::joined)?)
}

fn levels(run: &Run) -> Result<Vec<Level>, Problem> {
    let discrete = run.model.discrete_or_refuse()?;
    let (spaces, depth) = (Encode::codes(discrete), discrete.depth());
    let mut first = 0;
    let level = |(space, &name): (&Space, &Option<&'static str>)| {
        let [books, height, width] = space.shape;
        let entries = space.symbols().unwrap_or(0);
        let codes = space.numel();
        first += codes;
        Level { name, height, width, groups: books / depth, depth, entries, first: first - codes, codes }
    };
    Ok(spaces.iter().zip(level_names(spaces.len())).map(level).collect())
}

/// The refusal of what needs a prior, with the command that trains one.
fn no_prior(asked: &RunRequest) -> Problem {
    let message = format!(
        "this needs a prior over the codes, and {} has none that is complete and of these weights: \
         `elbo train autoregressive --codes-of RUN` trains one",
        asked.run.summary.name
    );
    Problem::new(axum::http::StatusCode::CONFLICT, "capability", message)
}

/// Which codebook.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Book {
    level: usize,
    book: usize,
}

impl Book {
    fn check(self, counted: &Counted) -> Result<[usize; 2], Problem> {
        let below = |field: &str, of: usize, found: usize| match found < of {
            true => Ok(found),
            false => Err(Problem::field(field, format!("a number below {of}"), found)),
        };
        let level = below("level", counted.levels.len(), self.level)?;
        Ok([level, below("book", counted.levels[level].books(), self.book)?])
    }
}

/// A codebook over the held-out split.
#[derive(Serialize)]
struct Codebook<'a> {
    split: &'static str,
    /// Examples whose codes were counted.
    n: usize,
    level: usize,
    book: usize,
    entries: usize,
    used: usize,
    /// `exp` of the entropy of this codebook's entries.
    perplexity: f64,
    /// Of the level's quantiser, in decibels.
    snr: f64,
    /// The entries that are shown, the most used first, with how often each is used.
    codes: Vec<usize>,
    counts: Vec<u64>,
    /// Number of patches, channels, height, width.
    shape: [usize; 4],
    images: Vec<&'a [f32]>,
    /// The perplexity at each place of the map alone.
    perplexity_by_place: &'a [f64],
    /// The most common code at each place of a row, of all levels.
    usual: &'a [u16],
    findings: &'a [ModelFinding],
}

/// `POST /api/runs/{id}/codebook`: what each entry of a codebook stands for and how often it is used; 202 while that is
/// being counted.
pub async fn codebook(asked: RunRequest) -> Result<Response, Problem> {
    let format = asked.format(&[Format::Json, Format::Raw, Format::Png])?;
    asked.require("codebook", &[Capability::Discrete])?;
    require_pictures(&asked)?;
    let book: Book = asked.json().await?;
    let counted = match asked.app.codes.counted(&asked.run).await? {
        State::Computing(since) => return Ok(response::computing("counting the codes", since)),
        State::Ready(counted) => counted,
    };
    let place = book.check(&counted)?;
    let patches = match asked.app.codes.patches(&asked.run, &counted, place).await? {
        State::Computing(since) => return Ok(response::computing("drawing the codes", since)),
        State::Ready(patches) => patches,
    };
    // What is counted over all examples is work for a thread beside those that serve.
    asked.app.writing.compute(move |_| written(format, &counted, &patches, place)).await
}

fn require_pictures(asked: &RunRequest) -> Result<(), Problem> {
    match asked.run.summary.columns {
        None => Ok(()),
        Some(_) => {
            let message = "the run was trained on a table: the patches of its rows are no pictures";
            Err(Problem::new(axum::http::StatusCode::CONFLICT, "capability", message))
        }
    }
}

fn written(format: Format, counted: &Counted, found: &Patches, [level, book]: [usize; 2]) -> Result<Response, Problem> {
    let [channels, height, width] = found.shape;
    let pixels: Vec<f32> = found.patches.iter().flat_map(|patch| patch.pixels.iter().copied()).collect();
    if format != Format::Json {
        let pictures = Pictures { shape: ImageShape { channels, height, width }, pixels };
        return response::pictures(format, &pictures, None, &Tables::default());
    }
    let map = &counted.levels[level];
    let places = map.space.shape[1] * map.space.shape[2];
    let answer = Codebook {
        split: counted.split,
        n: map.n(),
        level,
        book,
        entries: map.entries(),
        used: map.used_of(book),
        perplexity: map.perplexity_of(book),
        snr: map.snr(),
        codes: found.patches.iter().map(|patch| patch.code).collect(),
        counts: found.patches.iter().map(|patch| patch.count).collect(),
        shape: [found.patches.len(), channels, height, width],
        images: rows(&pixels, channels * height * width),
        perplexity_by_place: &counted.perplexity[level][book * places..][..places],
        usual: &counted.usual,
        findings: &counted.findings,
    };
    Ok(Json(answer).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    level: usize,
    #[serde(default)]
    book: usize,
    code: usize,
    /// Examples that are named.
    #[serde(default = "dozens")]
    n: usize,
}

fn dozens() -> usize {
    24
}

/// An entry of a codebook.
#[derive(Serialize)]
struct Code<'a> {
    split: &'static str,
    code: usize,
    count: u64,
    /// Of all codes of this codebook.
    share: f64,
    /// How often it comes at each place of the map, row after row.
    counts_by_place: Vec<u64>,
    /// How often it comes in examples of each class of the data, by its place among the names.
    counts_by_class: Option<Vec<u64>>,
    classes: &'a [String],
    examples: Vec<Example>,
}

/// An example that uses an entry.
#[derive(Serialize)]
struct Example {
    /// Its place in the split.
    index: u32,
    label: Option<u32>,
    /// Places of the map, row after row.
    places: Vec<usize>,
}

/// `POST /api/runs/{id}/code`: where in the map, in which examples and of which classes an entry of a codebook is used.
pub async fn code(asked: RunRequest) -> Result<Response, Problem> {
    asked.format(&[Format::Json])?;
    asked.require("code", &[Capability::Discrete])?;
    let Wanted { level, book, code, n } = asked.json().await?;
    parse::count("n", n, MAX_EXAMPLES)?;
    let counted = match asked.app.codes.counted(&asked.run).await? {
        State::Computing(since) => return Ok(response::computing("counting the codes", since)),
        State::Ready(counted) => counted,
    };
    let [level, book] = Book { level, book }.check(&counted)?;
    let entries = counted.levels[level].entries();
    if code >= entries {
        return Err(Problem::field("code", format!("a number below {entries}"), code));
    }
    let look = move || look(&counted, [level, book], code, n);
    asked.app.writing.compute(move |_| look()).await
}

fn look(counted: &Arc<Counted>, [level, book]: [usize; 2], code: usize, n: usize) -> Result<Response, Problem> {
    let map = &counted.levels[level];
    let counts = map.counts(book);
    let example = |CodeExample { example, places, .. }: CodeExample| Example {
        index: counted.places[example],
        label: counted.examples.label(example),
        places,
    };
    let answer = Code {
        split: counted.split,
        code,
        count: counts[code],
        share: counts[code] as f64 / counts.iter().sum::<u64>().max(1) as f64,
        counts_by_place: map.counts_by_place(book, code),
        counts_by_class: map.counts_by_class(book, code),
        classes: counted.examples.source().label_names(),
        examples: map.examples_with(book, code, n).into_iter().map(example).collect(),
    };
    Ok(Json(answer).into_response())
}

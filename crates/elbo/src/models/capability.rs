//! What a trained model can do, a trait for each.

use std::fmt;

use burn::tensor::{Int, Tensor};
use serde::Serialize;

use super::{Model, ObjectiveConfig};
use crate::data::batch::{Batch, Given};
use crate::distributions::{DiagonalGaussian, Likelihood};
use crate::error::{Error, Result};
use crate::networks::Pass;
use crate::random::Draws;
use crate::space::{Domain, Rows, Space};

/// The capabilities by name, for help, pages and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Capability {
    /// It encodes examples: [`Encode`].
    Encode,
    /// It decodes codes: [`Decode`].
    Decode,
    /// [`Decode::prior`]: codes to decode can be drawn without data.
    Prior,
    /// [`Decode::observation`]: p(x|z) in closed form.
    Observe,
    /// It bounds log p(x): [`Bound`].
    Bound,
    /// It knows log p(x) itself: [`Density`].
    Density,
    /// It makes examples without a code: [`Generate`].
    Generate,
    /// It puts examples into a common space: [`Embed`].
    Embed,
    /// Its codes are symbols: [`Discrete`].
    Discrete,
}

impl Capability {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 9] = [
        Self::Encode,
        Self::Decode,
        Self::Prior,
        Self::Observe,
        Self::Bound,
        Self::Density,
        Self::Generate,
        Self::Embed,
        Self::Discrete,
    ];

    /// Those that a model has.
    pub fn of(model: &(dyn Model + '_)) -> Vec<Self> {
        Self::ALL.into_iter().filter(|capability| capability.is_in(model)).collect()
    }

    /// Whether a model has it.
    pub fn is_in(self, model: &(dyn Model + '_)) -> bool {
        let decoder = model.decoder();
        match self {
            Self::Encode => model.encoder().is_some(),
            Self::Decode => decoder.is_some(),
            Self::Prior => decoder.is_some_and(|decoder| decoder.prior().is_some()),
            Self::Observe => decoder.is_some_and(|decoder| decoder.observation().is_some()),
            Self::Bound => model.bound().is_some(),
            Self::Density => model.density().is_some(),
            Self::Generate => model.generator().is_some(),
            Self::Embed => model.embedder().is_some(),
            Self::Discrete => model.discrete().is_some(),
        }
    }

    /// What a model with it does, as in "a run that ...".
    pub fn verb(self) -> &'static str {
        match self {
            Self::Encode => "encodes examples",
            Self::Decode => "decodes codes",
            Self::Prior => "has a prior over its codes",
            Self::Observe => "has a likelihood p(x|z)",
            Self::Bound => "bounds log p(x)",
            Self::Density => "gives log p(x) exactly",
            Self::Generate => "generates examples",
            Self::Embed => "embeds pictures and texts",
            Self::Discrete => "encodes examples to codes of a codebook",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())
    }
}

/// What an encoder says about a batch.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "one value for each batch")]
pub enum Posterior {
    /// A code without uncertainty, as an autoencoder's. `[batch, latent]`.
    Point(Tensor<2>),
    /// q(z|x), a Gaussian for each example.
    Gaussian(DiagonalGaussian),
    /// Places in codebooks, one tensor for each space of [`Encode::codes`]. `[batch, symbols]`.
    Symbols(Vec<Tensor<2, Int>>),
}

impl Posterior {
    /// The mean of q(z|x), or the code itself. `[batch, latent]`.
    ///
    /// # Panics
    /// If the codes are symbols, which have no mean.
    pub fn mean(self) -> Tensor<2> {
        match self {
            Self::Point(code) => code,
            Self::Gaussian(posterior) => posterior.mean,
            Self::Symbols(_) => panic!("symbols have no mean"),
        }
    }

    /// What a decoder takes: means, codes or symbols.
    pub fn into_codes(self) -> Vec<Rows> {
        match self {
            Self::Point(code) => vec![Rows::Real(code)],
            Self::Gaussian(posterior) => vec![Rows::Real(posterior.mean)],
            Self::Symbols(symbols) => symbols.into_iter().map(Rows::Index).collect(),
        }
    }

    /// The Gaussian.
    ///
    /// # Panics
    /// If it is none.
    pub fn gaussian(self) -> DiagonalGaussian {
        match self {
            Self::Gaussian(posterior) => posterior,
            Self::Point(_) | Self::Symbols(_) => panic!("no Gaussian posterior"),
        }
    }
}

/// A model that encodes examples.
pub trait Encode: Model {
    /// The spaces of its codes; one for most models.
    fn codes(&self) -> &[Space];

    /// q(z|x), or the code of each example.
    fn encode(&self, batch: &Batch) -> Posterior;
}

impl dyn Model + '_ {
    /// The capability, or the error that says what the model can do instead.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn encode_or_refuse(&self) -> Result<&dyn Encode> {
        self.encoder().ok_or_else(|| self.refusal(Capability::Encode))
    }

    /// An encoder to one code of real numbers, which maps, distances and mixtures take.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn encode_vectors_or_refuse(&self) -> Result<&dyn Encode> {
        let encoder = self.encode_or_refuse()?;
        match encoder.codes() {
            [code] if code.domain == Domain::Real => Ok(encoder),
            _ => Err(self.unsupported("encodes examples to one code of real numbers")),
        }
    }

    /// As [`dyn Model::encode_or_refuse`].
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn decode_or_refuse(&self) -> Result<&dyn Decode> {
        self.decoder().ok_or_else(|| self.refusal(Capability::Decode))
    }

    /// A decoder of one code of real numbers.
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn decode_vectors_or_refuse(&self) -> Result<&dyn Decode> {
        let decoder = self.decode_or_refuse()?;
        match decoder.codes() {
            [code] if code.domain == Domain::Real => Ok(decoder),
            _ => Err(self.unsupported("decodes one code of real numbers")),
        }
    }

    /// As [`dyn Model::encode_or_refuse`].
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn observe_or_refuse(&self) -> Result<&dyn Observe> {
        self.decoder().and_then(Decode::observation).ok_or_else(|| self.refusal(Capability::Observe))
    }

    /// As [`dyn Model::encode_or_refuse`].
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn discrete_or_refuse(&self) -> Result<&dyn Discrete> {
        self.discrete().ok_or_else(|| self.refusal(Capability::Discrete))
    }

    /// As [`dyn Model::encode_or_refuse`].
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn bound_or_refuse(&self) -> Result<&dyn Bound> {
        self.bound().ok_or_else(|| self.refusal(Capability::Bound))
    }

    /// As [`dyn Model::encode_or_refuse`].
    ///
    /// # Errors
    /// [`Error::Unsupported`].
    pub fn prior_or_refuse(&self) -> Result<&dyn Generate> {
        self.decoder().and_then(Decode::prior).ok_or_else(|| self.refusal(Capability::Prior))
    }

    /// What the model makes of examples: E[x|z] of their codes, of the means where codes are distributions. `[batch, numel]`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model that does not both encode and decode.
    pub fn reconstruct(&self, batch: &Batch) -> Result<Tensor<2>> {
        let (encoder, decoder) = (self.encode_or_refuse()?, self.decode_or_refuse()?);
        Ok(decoder.decode(&encoder.encode(batch).into_codes(), &batch.given, Show::Mean)?.real())
    }

    /// The error for a capability that is missing.
    pub fn refusal(&self, wanted: Capability) -> Error {
        self.unsupported(wanted.verb())
    }

    fn unsupported(&self, wanted: &str) -> Error {
        let can: Vec<&str> = Capability::of(self).into_iter().map(Capability::verb).collect();
        let found =
            if can.is_empty() { "one that can do nothing".to_owned() } else { format!("one that {}", can.join(", ")) };
        let help = "`elbo recipes` lists models that can";
        Error::Unsupported { wanted_by: "model".into(), wanted: wanted.into(), found, help: help.into() }
    }
}

/// What a quantiser makes of a batch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Quantised {
    /// The encoder's vectors, `[n * places, channels]`.
    pub vectors: Tensor<2>,
    /// The codes in their place.
    pub codes: Tensor<2>,
    /// The entries, `[n, numel]` of their space of codes.
    pub indices: Tensor<2, Int>,
    /// What the loss adds to `-log p(x|z)`, in nats, the mean over the batch. `[1]`.
    pub penalty: Tensor<1>,
}

/// A model whose codes are entries of codebooks: maps of symbols.
pub trait Discrete: Encode {
    /// Vectors and their codes, for each space of [`Encode::codes`], in its order.
    fn quantise(&self, batch: &Batch) -> Vec<Quantised>;

    /// Residual codes of a vector; 1 for most.
    fn depth(&self) -> usize;

    /// The same model with the first `depth` of them: fewer bits and a larger distortion.
    ///
    /// # Panics
    /// If there is none, or are not so many.
    fn at_depth(&self, depth: usize) -> Box<dyn Model>;

    /// All codes of an example as one row: what a prior models.
    fn joined(&self) -> Space {
        Space::joined(Encode::codes(self))
    }
}

/// What stands for x given its code.
#[derive(Debug)]
#[non_exhaustive]
pub enum Show<'a> {
    /// E[x|z]: what the decoder expects, without the noise of single values.
    Mean,
    /// A draw from p(x|z): what the model says data look like.
    Draw(&'a mut Draws),
}

/// A model that decodes codes.
pub trait Decode: Model {
    /// The spaces of its codes; one for most models.
    fn codes(&self) -> &[Space];

    /// Examples for codes, one tensor of rows for each space of [`Decode::codes`].
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a draw from what is no distribution.
    fn decode(&self, codes: &[Rows], given: &Given, show: Show<'_>) -> Result<Rows>;

    /// What the decoder was trained to decode draws of: N(0, I) for a VAE; none for an autoencoder.
    fn prior(&self) -> Option<&dyn Generate> {
        None
    }

    /// p(x|z), where it has a closed form.
    fn observation(&self) -> Option<&dyn Observe> {
        None
    }
}

/// p(x|z) in closed form.
pub trait Observe: Decode {
    /// What the decoder's output means.
    fn likelihood(&self) -> Likelihood;

    /// The scale of the likelihood where it is learned ([`Observation::scale`](crate::distributions::Observation::scale)).
    fn scale(&self) -> Option<f64> {
        None
    }

    /// The parameters of p(x|z).
    ///
    /// # Shapes
    /// - returns: `[batch, output_channels * height * width]`
    fn parameters(&self, codes: &[Rows], given: &Given) -> Tensor<2>;

    /// The mean or a draw of p(x|z): [`Decode::decode`] of a model whose p(x|z) has a closed form.
    ///
    /// # Errors
    /// As [`Likelihood::sample`]: a surrogate has no distribution to draw from.
    fn show(&self, codes: &[Rows], given: &Given, show: Show<'_>) -> Result<Rows> {
        let (parameters, likelihood) = (self.parameters(codes, given), self.likelihood());
        match show {
            Show::Mean => Ok(Rows::Real(likelihood.mean(parameters))),
            Show::Draw(draws) => likelihood.sample(parameters, self.scale(), draws).map(Rows::Real),
        }
    }

    /// `-log p(x|z)` of each code: [`Likelihood::nll`] of what [`Observe::parameters`] gives, at the learned scale where there is one. A decoder
    /// that can do both at once does.
    ///
    /// # Shapes
    /// - `x`: as many rows as `codes`, or `1 / r` of them, each example for `r` codes in a row
    /// - returns: `[batch]`, in nats
    fn nll(&self, codes: &[Rows], given: &Given, x: Tensor<2>) -> Tensor<1> {
        self.likelihood().with_scale(self.scale()).nll(self.parameters(codes, given), x)
    }

    /// `-log p(x|z)` as the loss has it: [`Observe::nll`] to rounding.
    fn recon(&self, codes: &[Rows], given: &Given, x: Tensor<2>) -> Tensor<1> {
        self.nll(codes, given, x)
    }

    /// Codes that [`Observe::nll`] takes at once fastest.
    fn codes_at_once(&self) -> usize {
        256
    }
}

/// The terms of a bound, before they are weighted or averaged.
#[derive(Debug, Clone)]
pub struct Terms {
    /// `-log p(x|z)` of each example, summed over dimensions. `[batch]`.
    pub recon: Tensor<1>,
    /// `KL(q(z|x) || p(z))` by example and latent dimension. `[batch, latent]`.
    pub kl: Tensor<2>,
    /// What is minimised in place of their weighted sum, for models with a bound of their own. `[batch]`.
    pub bound: Option<Tensor<1>>,
}

/// A lower bound on log p(x): `-(recon + kl)` of [`Terms`] at least.
pub trait Bound: Model {
    /// The terms of each example.
    fn terms(&self, batch: &Batch, pass: &Pass) -> Terms;

    /// Whether something else than the weighted sum of the terms is minimised: [`Terms::bound`].
    fn has_own_objective(&self) -> bool {
        false
    }

    /// How training weighted the terms.
    fn objective(&self) -> ObjectiveConfig {
        ObjectiveConfig::default()
    }
}

/// An exact density.
pub trait Density: Model {
    /// `log p(row)` of each row, in nats.
    ///
    /// # Shapes
    /// - `rows`: one for each space, `[batch, numel]`
    /// - returns: `[batch]`
    fn log_prob(&self, rows: &[Rows], given: &Given) -> Tensor<1>;

    /// `-log p` of each value given those before it, in nats, where the density is a product of such terms.
    ///
    /// # Shapes
    /// - returns: `[batch, numel]`, as the rows lie
    fn surprise(&self, _rows: &[Rows], _given: &Given) -> Option<Tensor<2>> {
        None
    }
}

/// Pictures and texts in one space, as unit vectors.
pub trait Embed: Model {
    /// Dimensions of the space.
    fn dims(&self) -> usize;

    /// # Shapes
    /// - `x`: `[batch, channels * height * width]`
    /// - returns: `[batch, dims]`
    fn image(&self, x: Tensor<2>) -> Tensor<2>;

    /// # Shapes
    /// - `tokens`: `[batch, length]`
    /// - returns: `[batch, dims]`
    fn text(&self, tokens: Tensor<2, Int>) -> Tensor<2>;
}

/// Symbols that a generator does not draw: part of a map that is to be completed.
#[derive(Debug, Clone)]
pub struct KeptSymbols {
    /// A row of symbols for each row that is asked for; what is not kept of it is not read.
    pub symbols: Vec<u32>,
    /// Which places of a row are kept, the same for all rows.
    pub is_kept: Vec<bool>,
}

/// What is to be generated.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ask {
    /// How many rows there are.
    pub count: usize,
    /// What the rows are told, a row each.
    pub given: Given,
    /// Scale of the normal draws; for a density, of its deviations.
    pub temperature: f64,
    /// Normal draws beyond so many deviations are drawn again.
    pub truncation: Option<f64>,
    /// Steps of generators that have a choice; their own number if none is given.
    pub steps: Option<usize>,
    /// Strength of guidance for conditional generators; 1 is none.
    pub guidance: f64,
    /// Of symbols: only so many of the most likely may come.
    pub top_k: Option<usize>,
    /// Of symbols: only the most likely that hold this share may come.
    pub top_p: f64,
    /// Symbols that are not drawn.
    pub kept: Option<KeptSymbols>,
    /// Of all draws.
    pub seed: u64,
}

impl Ask {
    /// Asks for `count` rows from `seed`, at temperature 1.
    pub fn new(count: usize, seed: u64) -> Self {
        let (given, temperature, guidance) = (Given::default(), 1.0, 1.0);
        let (truncation, steps, top_k, top_p, kept) = (None, None, None, 1.0, None);
        Self { count, given, temperature, truncation, steps, guidance, top_k, top_p, kept, seed }
    }

    /// The same with draws of symbols among the `top_k` most likely, and those that hold `top_p` of the probability.
    #[must_use]
    pub fn among(self, top_k: Option<usize>, top_p: f64) -> Self {
        Self { top_k, top_p, ..self }
    }

    /// The same with guidance of this strength.
    #[must_use]
    pub fn guidance(self, guidance: f64) -> Self {
        Self { guidance, ..self }
    }

    /// The same with symbols that are not drawn.
    #[must_use]
    pub fn keeping(self, kept: KeptSymbols) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// The same at another temperature.
    #[must_use]
    pub fn temperature(self, temperature: f64) -> Self {
        Self { temperature, ..self }
    }

    /// The same with draws beyond `truncation` deviations drawn again.
    #[must_use]
    pub fn truncation(self, truncation: Option<f64>) -> Self {
        Self { truncation, ..self }
    }

    /// The same for rows that are told something.
    #[must_use]
    pub fn given(self, given: Given) -> Self {
        Self { given, ..self }
    }

    /// `count * width` normal draws, truncated and scaled, from stream `part`.
    pub(crate) fn normals(&self, width: usize, part: u64) -> Vec<f32> {
        let draws = &mut Draws::new(self.seed, crate::random::Purpose::Prior, 0, part);
        let mut normals = draws.normals_within(self.count * width, self.truncation);
        normals.iter_mut().for_each(|value| *value *= self.temperature as f32);
        normals
    }
}

/// A generator of rows.
pub trait Generate: Send + Sync + fmt::Debug {
    /// The spaces of its rows.
    fn spaces(&self) -> &[Space];

    /// Begins to generate.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for what cannot be asked of it.
    fn begin<'a>(&'a self, ask: &Ask) -> Result<Box<dyn Generating + 'a>>;
}

/// Generation under way: a bar, Ctrl-C and the explorer look in between its steps.
pub trait Generating {
    /// Takes a step; returns how many are done, and of how many.
    fn step(&mut self) -> (usize, usize);

    /// The rows, once all steps are done.
    fn finish(self: Box<Self>) -> Vec<Rows>;
}

impl dyn Generate + '_ {
    /// All of it at once.
    ///
    /// # Errors
    /// As [`Generate::begin`].
    pub fn generate(&self, ask: &Ask) -> Result<Vec<Rows>> {
        let mut generating = self.begin(ask)?;
        loop {
            let (done, of) = generating.step();
            if done >= of {
                return Ok(generating.finish());
            }
        }
    }
}

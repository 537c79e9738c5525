//! What examples cost in bits: the distortion that the decoder leaves, and the rate of the codes under
//! three priors.
//!
//! The posterior is a point, so `-log p(x) <= D + R` with `D = -log p(x|e_k)` and `R = -log p(k)` for any prior over the codes. Bits mean something only
//! where `D` is that of a probability of the levels; a density has none.

use burn::tensor::Device;
use serde::Serialize;

use super::codes::symbols_of;
use super::run::Run;
use super::samplers::SymbolPrior;
use crate::data::{Binarize, Splits, Subset};
use crate::distributions::Likelihood;
use crate::error::Result;
use crate::evaluation::{CodeUse, Metric, code_use, mean};
use crate::models::Model;
use crate::space::Domain;

/// The three rates, the distortion, and bits where they mean something.
pub(super) fn metrics(
    run: &Run,
    splits: &Splits,
    parts: &[Subset],
    found: &CodeUse,
) -> Result<Vec<(&'static str, Metric)>> {
    let likelihood = run.model.observe_or_refuse()?.likelihood();
    let training = run.symbols(&splits.train)?;
    let n = found.n();
    let over = |what: &str| format!("{what}; summed over {} codes, mean over {n} examples", found.space.numel());
    let uniform = vec![found.uniform_rate(); n];
    let mut rates = vec![
        ("rate_uniform", "bits_uniform", uniform, "T ln K: all codes alike".to_owned()),
        (
            "rate_frequencies",
            "bits_frequencies",
            found.rate_by_place(&training),
            "-ln p of each code by how often the training codes have it at that place, one added to each count"
                .to_owned(),
        ),
    ];
    if let Some((rate, name)) = learned(run, found)? {
        rates.push(("rate_learned", "bits_learned", rate, format!("-ln p of the codes under the prior `{name}`")));
    }
    let why_none = no_bits(&likelihood, parts);
    let definition = match why_none {
        None => likelihood.definition(),
        Some(reason) => format!("{}; no bits: {reason}", likelihood.definition()),
    };
    let mut metrics = vec![("distortion", Metric::mean_of(&found.distortion, likelihood.unit(), definition))];
    metrics.extend(
        rates.iter().map(|(name, _, rate, what)| (*name, Metric::mean_of(rate, "nats per example", over(what)))),
    );
    if why_none.is_none() {
        let per_nat = 1.0 / (run.shape.numel() as f64 * std::f64::consts::LN_2);
        metrics.extend(rates.iter().map(|(name, bits, rate, _)| {
            let bits_of: Vec<f64> =
                found.distortion.iter().zip(rate).map(|(distortion, rate)| (distortion + rate) * per_nat).collect();
            let definition = format!("(distortion + {name}) / (dims ln 2): a code length of the levels");
            (*bits, Metric::mean_of(&bits_of, "bits per dimension", definition))
        }));
    }
    Ok(metrics)
}

/// What a run costs with the first residual codes of each vector alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DepthTerms {
    /// Codes of a vector.
    pub depth: usize,
    /// `-log p(x|z)`, in nats per example.
    pub distortion: f64,
    /// `T ln K`, in nats per example.
    pub rate_uniform: f64,
    /// `-ln p` of the codes by how often the training codes have them at their place, in nats per example.
    pub rate_frequencies: f64,
    /// `(distortion + rate_frequencies) / (dims ln 2)`, where the distortion is a code length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_frequencies: Option<f64>,
}

/// Distortion and rate by depth, from the coarsest codes to all of them; none for codes of one depth.
///
/// `found` is how all of them are used.
pub(super) fn by_depth(run: &Run, splits: &Splits, parts: &[Subset], found: &CodeUse) -> Result<Vec<DepthTerms>> {
    let likelihood = run.model.observe_or_refuse()?.likelihood();
    let discrete = run.explained("rate", run.model.discrete_or_refuse())?;
    let all = discrete.depth();
    if all < 2 {
        return Ok(Vec::new());
    }
    let per_nat = 1.0 / (run.shape.numel() as f64 * std::f64::consts::LN_2);
    let terms = |depth: usize, found: &CodeUse, training: &[u16]| {
        let (distortion, rate) = (mean(&found.distortion), mean(&found.rate_by_place(training)));
        let bits = no_bits(&likelihood, parts).is_none().then_some((distortion + rate) * per_nat);
        let rate_uniform = found.uniform_rate();
        DepthTerms { depth, distortion, rate_uniform, rate_frequencies: rate, bits_frequencies: bits }
    };
    let at_depth = |depth: usize| {
        let model = discrete.at_depth(depth);
        let found = code_use_of(model.as_ref(), parts, &run.device)?;
        Ok(terms(depth, &found, &symbols_of(model.discrete_or_refuse()?, &splits.train, &run.device)))
    };
    let mut by_depth = (1..all).map(at_depth).collect::<Result<Vec<_>>>()?;
    by_depth.push(terms(all, found, &run.symbols(&splits.train)?));
    Ok(by_depth)
}

/// How the examples of all parts together use a model's codes.
pub(super) fn code_use_of(model: &dyn Model, parts: &[Subset], device: &Device) -> Result<CodeUse> {
    let mut all = parts.iter().map(|part| code_use(model, part, device));
    let first = all.next().expect("some examples")?;
    all.try_fold(first, |mut whole, found| {
        whole.append(found?);
        Ok(whole)
    })
}

/// Why a distortion is no code length; nothing where it is one.
fn no_bits(likelihood: &Likelihood, parts: &[Subset]) -> Option<&'static str> {
    let levels = parts.iter().all(|part| part.source().domain() == Domain::Levels);
    let binary = parts.iter().all(|part| part.binarization().binarize != Binarize::None);
    match likelihood {
        Likelihood::Categorical | Likelihood::DiscretisedLogistic | Likelihood::LogisticMixture { .. } if levels => {
            None
        }
        Likelihood::Bernoulli if binary => None,
        Likelihood::Bernoulli => Some("the data are grey, and the Bernoulli formula is a probability of binary values"),
        _ if likelihood.is_distribution() => {
            Some("the likelihood is a density, whose nats depend on the unit; `discretised-logistic` gives bits")
        }
        _ => Some("the loss is no log-likelihood"),
    }
}

/// `-ln p(k)` of the codes under the prior in the run, with its name; none where there is none.
fn learned(run: &Run, found: &CodeUse) -> Result<Option<(Vec<f64>, String)>> {
    let Some(prior) = run.stored_symbol_prior(None)? else { return Ok(None) };
    Ok(Some((rate_under(&prior, &found.symbols)?, prior.name())))
}

/// `-ln p(k)` of the codes of a split under the prior in the run; none where there is no prior.
pub(super) fn learned_rate(run: &Run, split: &Subset) -> Result<Vec<f64>> {
    let Some(prior) = run.stored_symbol_prior(None)? else { return Ok(Vec::new()) };
    rate_under(&prior, &run.symbols(split)?)
}

/// `-ln p(k)` of rows of codes. The prior is not told the classes: a code length that leaves them out would
/// not be that of the picture.
fn rate_under(prior: &SymbolPrior, symbols: &[u16]) -> Result<Vec<f64>> {
    let width = prior.run.model.space().numel();
    Ok(prior.surprise(symbols)?.chunks_exact(width).map(|row| f64::from(row.iter().sum::<f32>())).collect())
}

/// Codes revived in the last epoch; none where training did not count them.
pub(super) fn revived(run: &Run) -> Option<Metric> {
    let history = run.state().ok()?.history;
    let last = history.last()?;
    let before = history.len().checked_sub(2).map_or(0, |place| history[place].step);
    let revived = last.train.get("revived")? * (last.step - before) as f64;
    Some(Metric::new(revived.round(), "codes", "codes that took a vector of the batch in the last epoch of training"))
}

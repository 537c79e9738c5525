//! How many components: the number with the lowest information criterion.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Serialize;

use super::em::{EmConfig, Fitted, fit};
use crate::error::{Error, Result};

/// What is weighed against the likelihood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Criterion {
    /// Bayesian: `p ln n`. Finds the true number with enough data.
    #[default]
    Bic,
    /// Akaike's: `2 p`. Prefers more components.
    Aic,
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bic => "BIC",
            Self::Aic => "AIC",
        })
    }
}

/// One number of components that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// How many components it has.
    pub components: usize,
    /// Mean per row, in nats.
    pub log_likelihood: f64,
    /// Lower is better.
    pub bic: f64,
    /// Lower is better.
    pub aic: f64,
    /// Iterations of the start that counts.
    pub iterations: usize,
    /// Whether they ended before the limit.
    pub converged: bool,
}

impl Candidate {
    /// The numbers of a fit.
    pub fn of(fitted: &Fitted) -> Self {
        Self {
            components: fitted.mixture.components(),
            log_likelihood: fitted.log_likelihood,
            bic: fitted.bic(),
            aic: fitted.aic(),
            iterations: fitted.iterations,
            converged: fitted.converged,
        }
    }
}

/// All that were tried, and the best.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Selection {
    /// In the order of their numbers of components.
    pub candidates: Vec<Candidate>,
    /// The one with the lowest criterion.
    pub best: Fitted,
}

impl Selection {
    /// The same in other units: [`Fitted::rescaled`].
    ///
    /// # Errors
    /// As [`Fitted::rescaled`].
    ///
    /// # Panics
    /// As [`Fitted::rescaled`].
    pub fn rescaled(&self, shift: &[f64], scale: &[f64]) -> Result<Self> {
        let log_scale: f64 = scale.iter().map(|scale| scale.ln()).sum();
        let criteria = 2.0 * self.best.n as f64 * log_scale;
        let candidates = self.candidates.iter().map(|candidate| Candidate {
            log_likelihood: candidate.log_likelihood - log_scale,
            bic: candidate.bic + criteria,
            aic: candidate.aic + criteria,
            ..*candidate
        });
        Ok(Self { candidates: candidates.collect(), best: self.best.rescaled(shift, scale)? })
    }
}

/// Fits one mixture for each number of components in `range`; `config.components` does not matter.
///
/// # Errors
/// As [`fit`]; [`Error::Config`] for an empty range.
///
/// ```
/// use elbo::mixtures::{Criterion, EmConfig, GaussianMixture, select};
/// use elbo::random::{Draws, Purpose};
///
/// let means = vec![vec![-6.0], vec![0.0], vec![6.0]];
/// let truth = GaussianMixture::diagonal(vec![0.25, 0.25, 0.5], means, vec![vec![1.0]; 3])?;
/// let rows = truth.sample(600, 1.0, None, &mut Draws::new(0, Purpose::Prior, 0, 0));
/// let selection = select(&rows, 1, 1..=5, &EmConfig { restarts: 3, ..Default::default() }, Criterion::Bic)?;
/// assert_eq!((selection.best.mixture.components(), selection.candidates.len()), (3, 5));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn select(
    rows: &[f64],
    dims: usize,
    range: RangeInclusive<usize>,
    config: &EmConfig,
    criterion: Criterion,
) -> Result<Selection> {
    let score = |candidate: &Candidate| match criterion {
        Criterion::Bic => candidate.bic,
        Criterion::Aic => candidate.aic,
    };
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut best: Option<(f64, Fitted)> = None;
    for components in range.clone() {
        let fitted = fit(rows, dims, &EmConfig { components, ..*config })?;
        let candidate = Candidate::of(&fitted);
        if best.as_ref().is_none_or(|(lowest, _)| score(&candidate) < *lowest) {
            best = Some((score(&candidate), fitted));
        }
        candidates.push(candidate);
    }
    let empty = || {
        let found = format!("{}..{}", range.start(), range.end());
        Error::config("components", "a range that rises", found, "for example `--components 1..10`")
    };
    Ok(Selection { candidates, best: best.ok_or_else(empty)?.1 })
}

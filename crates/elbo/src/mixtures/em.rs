//! Expectation maximisation.
//!
//! | step | formula (Bishop 2006, section 9.2.2) |
//! |---|---|
//! | E | `r_nk = weight_k N(x_n; mean_k, covariance_k) / p(x_n)` |
//! | M | `N_k = sum_n r_nk`, `weight_k = N_k / n`, `mean_k = sum_n r_nk x_n / N_k`, `covariance_k = sum_n r_nk (x_n - mean_k)(x_n - mean_k)^T / N_k + reg I` |
//!
//! As in scikit-learn, a regularisation is added to each variance so that no component shrinks to a point, and iterations end when the mean log-likelihood of
//! the E-step changes by less than `tolerance`.
//!
//! **In each column's units.** `reg_covar` is added as it is where a column is about as spread out as its densest part. A column of tight clusters that lie far
//! apart, or with one value far from all others, is not: its own deviation says nothing of its clusters, and `reg_covar` is multiplied by the
//! variance of its densest parts instead ([`regularisation`]). What float64 needs to factorise a covariance is taken from that component alone.
//!
//! **Monotone.** Without `reg` no iteration lowers the likelihood. With it, the M-step ends beside the best covariances with variances of at least
//! `reg`; how much that can cost is known in closed form (`allowed_decrease`), and a decrease beyond it is an error, not a result.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;

use super::covariance::{CovarianceKind, Factored};
use super::gmm::GaussianMixture;
use super::kmeans;
use crate::error::{Error, Result};
use crate::random::{Draws, Purpose};

/// Rows of one product, the same on any number of threads.
const BLOCK: usize = 512;
/// Share of the data's variance below which `reg_covar` is not taken: a Cholesky factorisation in float64 needs that much.
const LEAST_REGULARISATION: f64 = 1e-12;
/// Decrease of the mean log-likelihood, relative to its size, that rounding explains.
const ROUNDING: f64 = 1e-9;
/// Total responsibility below which a component has no data to estimate anything from.
const EMPTY: f64 = 1e-10;

/// How a mixture is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmConfig {
    /// Number of components.
    pub components: usize,
    /// Form of the covariances.
    pub covariance: CovarianceKind,
    /// Added to each variance, at most: see [`regularisation`]. Default: 1e-6, as in scikit-learn.
    pub reg_covar: f64,
    /// Change of the mean log-likelihood, in nats per row, below which iterations end. Default: 1e-6, where scikit-learn has 1e-3 and stops short.
    pub tolerance: f64,
    /// Iterations at most. Default: 500.
    pub max_iterations: usize,
    /// Starts; the one that ends highest counts. Default: 1.
    pub restarts: usize,
    /// Of the starts. Default: 0.
    pub seed: u64,
}

impl Default for EmConfig {
    fn default() -> Self {
        Self {
            components: 1,
            covariance: CovarianceKind::Full,
            reg_covar: 1e-6,
            tolerance: 1e-6,
            max_iterations: 500,
            restarts: 1,
            seed: 0,
        }
    }
}

/// Most components accepted.
const MAX_COMPONENTS: usize = 10_000;
/// Most restarts and iterations accepted.
const MAX_COUNT: usize = 1_000_000;

impl EmConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Config`] naming the flag.
    pub fn check(&self) -> Result<()> {
        let counts = [
            ("components", self.components, MAX_COMPONENTS),
            ("max-iterations", self.max_iterations, MAX_COUNT),
            ("restarts", self.restarts, MAX_COUNT),
        ];
        if let Some((key, value, most)) = counts.iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            let expected = format!("a number from 1 to {most}");
            return Err(Error::config(format!("--{key}"), expected, value.to_string(), "choose another number"));
        }
        let numbers = [("reg-covar", self.reg_covar), ("tolerance", self.tolerance)];
        match numbers.iter().find(|(_, value)| !(0.0..=1e12).contains(value)) {
            Some((key, value)) => {
                let help = "1e-6 is the usual one";
                Err(Error::config(format!("--{key}"), "a number of at least 0", value.to_string(), help))
            }
            None => Ok(()),
        }
    }
}

/// A fitted mixture with what its fit was like.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fitted {
    /// The mixture of the start that counts.
    pub mixture: GaussianMixture,
    /// Mean of `ln p(x)` over the rows it was fitted on, in nats.
    pub log_likelihood: f64,
    /// Rows it was fitted on.
    pub n: usize,
    /// Iterations of the start that counts.
    pub iterations: usize,
    /// Whether they ended before `max_iterations`.
    pub converged: bool,
    /// Mean log-likelihood at each E-step of that start: what rises.
    pub trace: Vec<f64>,
}

impl Fitted {
    /// [`GaussianMixture::bic`] on the rows it was fitted on.
    pub fn bic(&self) -> f64 {
        self.mixture.bic(self.n, self.log_likelihood)
    }

    /// [`GaussianMixture::aic`] on the rows it was fitted on.
    pub fn aic(&self) -> f64 {
        self.mixture.aic(self.n, self.log_likelihood)
    }

    /// The same fit in other units: [`GaussianMixture::rescaled`].
    ///
    /// # Errors
    /// As [`GaussianMixture::rescaled`].
    ///
    /// # Panics
    /// As [`GaussianMixture::rescaled`].
    pub fn rescaled(&self, shift: &[f64], scale: &[f64]) -> Result<Self> {
        let log_scale: f64 = scale.iter().map(|scale| scale.ln()).sum();
        Ok(Self {
            mixture: self.mixture.rescaled(shift, scale)?,
            log_likelihood: self.log_likelihood - log_scale,
            trace: self.trace.iter().map(|value| value - log_scale).collect(),
            ..self.clone()
        })
    }
}

/// Fits a mixture from k-means starts, the best of `restarts`.
///
/// With fewer different rows than components, some components share a place or have no weight; nothing is NaN.
///
/// # Shapes
/// - `rows`: `[n, dims]`
///
/// # Errors
/// [`Error::Config`] for settings out of range, more components than rows, and rows that are not finite or whose squares float64 does not hold;
/// [`Error::Internal`] if the likelihood falls.
pub fn fit(rows: &[f64], dims: usize, config: &EmConfig) -> Result<Fitted> {
    config.check()?;
    let data = Centred::new(rows, dims)?;
    if config.components > data.n {
        let (expected, found) = (format!("at most the {} rows", data.n), config.components.to_string());
        return Err(Error::config("components", expected, found, "choose fewer, or give more data"));
    }
    let mut best: Option<(f64, Fitted)> = None;
    for restart in 0..config.restarts {
        let draws = &mut Draws::new(config.seed, Purpose::Mixture, config.components as u64, restart as u64);
        let fitted = data.ascend(data.start(config, draws)?, config)?;
        let bound = fitted.trace[fitted.trace.len() - 1];
        if best.as_ref().is_none_or(|(best, _)| bound > *best) {
            best = Some((bound, fitted));
        }
    }
    data.finish(best.expect("at least one start").1)
}

/// Fits a mixture from a given start: its number of components and form of covariance, whatever `config` says of them.
///
/// # Errors
/// As [`fit`]; [`Error::Config`] if the start is of other dimensions.
pub fn fit_from(rows: &[f64], dims: usize, start: &GaussianMixture, config: &EmConfig) -> Result<Fitted> {
    let config = EmConfig { components: start.components(), covariance: start.kind(), ..*config };
    config.check()?;
    let data = Centred::new(rows, dims)?;
    if start.dims() != dims {
        let found = format!("means of {} numbers", start.dims());
        return Err(Error::config("start", format!("means of {dims} numbers"), found, "give a start for these rows"));
    }
    let back: Vec<f64> = data.centre.iter().map(|centre| -centre).collect();
    let start = start.rescaled(&back, &vec![1.0; dims])?;
    data.finish(data.ascend(start, &config)?)
}

/// Rows about their mean: what is large and close together keeps its digits.
struct Centred {
    n: usize,
    dims: usize,
    rows: Vec<f64>,
    centre: Vec<f64>,
    /// Part of `reg_covar` that each column takes.
    grain: Vec<f64>,
}

impl Centred {
    fn new(rows: &[f64], dims: usize) -> Result<Self> {
        let help = "leave out rows with missing values, and rescale columns of very large numbers";
        let refused = |expected: &str, found: String| Error::config("rows", expected, found, help);
        let n = rows.len() / dims.max(1);
        if n == 0 || n > u32::MAX as usize || !rows.len().is_multiple_of(dims) {
            return Err(refused("rows of equal length, at least one", format!("{} numbers", rows.len())));
        }
        if let Some(place) = rows.iter().position(|value| !value.is_finite()) {
            return Err(refused("finite numbers", format!("{} in row {}", rows[place], place / dims)));
        }
        // Distances from the first row: large numbers close together keep their digits.
        let mut centre = vec![0.0; dims];
        for row in rows.chunks_exact(dims) {
            centre.iter_mut().zip(row).zip(rows).for_each(|((sum, x), first)| *sum += x - first);
        }
        centre.iter_mut().zip(rows).for_each(|(sum, first)| *sum = first + *sum / n as f64);
        let rows: Vec<f64> =
            rows.chunks_exact(dims).flat_map(|row| row.iter().zip(&centre).map(|(x, c)| x - c)).collect();
        let variance = rows.iter().map(|x| x * x / n as f64).sum::<f64>();
        match variance.is_finite() {
            true => Ok(Self { n, dims, grain: grain(&rows, dims), rows, centre }),
            false => Err(refused("numbers whose squares float64 holds", "larger ones".into())),
        }
    }

    /// What is added to the variances of a component, given its own: `reg_covar` in the column's units, and at least what a factorisation in float64
    /// needs, which is a share of its own variance in all columns of which it is a combination.
    fn added(&self, config: &EmConfig, variances: &[f64]) -> Vec<f64> {
        let needed = LEAST_REGULARISATION * self.dims as f64;
        let of = |(grain, variance): (&f64, &f64)| {
            // Rows that are all equal have no variance at all.
            (config.reg_covar * grain).max(needed * variance).max(f64::MIN_POSITIVE.sqrt())
        };
        self.grain.iter().zip(variances).map(of).collect()
    }

    /// The most that is added to a variance of these components.
    fn most_added(&self, config: &EmConfig, mixtures: [&GaussianMixture; 2]) -> f64 {
        let components = mixtures.into_iter().flat_map(|mixture| (0..mixture.components()).map(move |k| (mixture, k)));
        let added = components.flat_map(|(mixture, k)| self.added(config, &mixture.variances(k)));
        added.fold(0.0, f64::max)
    }

    /// The M-step of a hard assignment by k-means.
    fn start(&self, config: &EmConfig, draws: &mut Draws) -> Result<GaussianMixture> {
        let clusters = kmeans::cluster(&self.rows, self.dims, config.components, draws);
        let mut hard = vec![0.0; self.n * config.components];
        for (row, group) in hard.chunks_exact_mut(config.components).zip(&clusters.assigned) {
            row[*group] = 1.0;
        }
        self.maximise(&hard, &clusters.centres, config)
    }

    /// Iterates to convergence.
    fn ascend(&self, mut mixture: GaussianMixture, config: &EmConfig) -> Result<Fitted> {
        let (mut trace, mut converged, mut previous) = (Vec::new(), false, None);
        while trace.len() < config.max_iterations && !converged {
            let (bound, responsibilities) = mixture.expectation(&self.rows);
            if let (Some(&before), Some(previous)) = (trace.last(), &previous) {
                let most = || self.most_added(config, [previous, &mixture]);
                check_monotone(before, bound, || allowed_decrease(previous, &mixture, most()))?;
                converged = f64::abs(bound - before) < config.tolerance;
            }
            trace.push(bound);
            let updated = self.maximise(&responsibilities, mixture.means(), config)?;
            previous = Some(std::mem::replace(&mut mixture, updated));
        }
        let (iterations, log_likelihood) = (trace.len(), mixture.log_likelihood(&self.rows));
        Ok(Fitted { mixture, log_likelihood, n: self.n, iterations, converged, trace })
    }

    /// The M-step: weights, means and covariances for these responsibilities. A component without any keeps its mean.
    fn maximise(&self, responsibilities: &[f64], means: &[Vec<f64>], config: &EmConfig) -> Result<GaussianMixture> {
        let components = config.components;
        let estimated: Vec<Estimate> = (0..components)
            .into_par_iter()
            .map(|k| {
                let shares: Vec<f64> = responsibilities.iter().skip(k).step_by(components).copied().collect();
                self.estimate(&shares, &means[k], config.covariance)
            })
            .collect();
        let total: f64 = estimated.iter().map(|estimate| estimate.count).sum();
        let regularised = |scatter: &Mat<f64>, count: f64, diagonal: bool| {
            let share = if count < EMPTY { 0.0 } else { 1.0 / count };
            let at = |j: usize| if diagonal { scatter[(j, 0)] } else { scatter[(j, j)] };
            let variances: Vec<f64> = (0..self.dims).map(|j| at(j) * share).collect();
            regularised(scatter, share, &self.added(config, &variances), diagonal)
        };
        let factors = match config.covariance {
            CovarianceKind::Tied => {
                let mut shared = Mat::<f64>::zeros(self.dims, self.dims);
                estimated.iter().for_each(|estimate| shared += &estimate.scatter);
                vec![regularised(&shared, total, false)]
            }
            kind => {
                let diagonal = kind == CovarianceKind::Diagonal;
                estimated.iter().map(|e| regularised(&e.scatter, e.count, diagonal)).collect()
            }
        };
        let factors: Option<Vec<_>> = factors.into_iter().collect();
        let factors = factors.ok_or_else(|| {
            let help = "raise `--reg-covar`, or leave out columns that are combinations of others";
            Error::config(
                "reg_covar",
                "enough to keep covariances positive definite",
                format!("{:e}", config.reg_covar),
                help,
            )
        })?;
        let weights = estimated.iter().map(|estimate| estimate.count / total).collect();
        let means = estimated.into_iter().map(|estimate| estimate.mean).collect();
        GaussianMixture::new(config.covariance, weights, means, factors)
    }

    /// Count, mean and scatter about it of the rows with these shares.
    fn estimate(&self, shares: &[f64], old_mean: &[f64], kind: CovarianceKind) -> Estimate {
        let count: f64 = shares.iter().sum();
        let square = kind != CovarianceKind::Diagonal;
        let mut scatter = Mat::zeros(self.dims, if square { self.dims } else { 1 });
        if count < EMPTY {
            return Estimate { count, mean: old_mean.to_vec(), scatter };
        }
        let mut mean = vec![0.0; self.dims];
        for (row, share) in self.rows.chunks_exact(self.dims).zip(shares) {
            mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += share * x);
        }
        mean.iter_mut().for_each(|sum| *sum /= count);
        let mut weighted = Vec::with_capacity(BLOCK * self.dims);
        for (rows, shares) in self.rows.chunks(BLOCK * self.dims).zip(shares.chunks(BLOCK)) {
            weighted.clear();
            for (row, share) in rows.chunks_exact(self.dims).zip(shares) {
                let root = share.sqrt();
                weighted.extend(row.iter().zip(&mean).map(|(x, mean)| root * (x - mean)));
            }
            if square {
                // Rows one after another are the columns of the transpose.
                let columns = MatRef::from_column_major_slice(&weighted, self.dims, shares.len());
                matmul(scatter.as_mut(), Accum::Add, columns, columns.transpose(), 1.0, Par::Seq);
            } else {
                for row in weighted.chunks_exact(self.dims) {
                    row.iter().enumerate().for_each(|(j, value)| scatter[(j, 0)] += value * value);
                }
            }
        }
        Estimate { count, mean, scatter }
    }

    /// Back to where the rows were.
    fn finish(&self, fitted: Fitted) -> Result<Fitted> {
        fitted.rescaled(&self.centre, &vec![1.0; self.dims])
    }
}

/// What one component makes of its share of the rows.
struct Estimate {
    /// `N_k`.
    count: f64,
    mean: Vec<f64>,
    /// `sum_n r_nk (x_n - mean)(x_n - mean)^T`; of diagonal covariances only its diagonal, as a column.
    scatter: Mat<f64>,
}

/// `share * scatter + diag(added)`.
fn regularised(scatter: &Mat<f64>, share: f64, added: &[f64], diagonal: bool) -> Option<Factored> {
    let dims = scatter.nrows();
    if diagonal {
        return Factored::diagonal((0..dims).map(|j| scatter[(j, 0)] * share + added[j]).collect());
    }
    // The product is symmetric only to rounding.
    let entry = |i: usize, j: usize| 0.5 * (scatter[(i, j)] + scatter[(j, i)]) * share;
    Factored::matrix(Mat::from_fn(dims, dims, |i, j| entry(i, j) + if i == j { added[i] } else { 0.0 }))
}

/// Share of a column's values in the parts whose spread is looked at.
const PART: usize = 50;
/// Fewest values of such a part.
const FEWEST_IN_PART: usize = 8;
/// Of these parts, the share that are denser than the one that counts.
const DENSER: usize = 10;
/// How much wider a column may be than its densest parts before it takes less than the whole of `reg_covar`, as a ratio of variances: of a normal
/// distribution the densest fiftieth has a variance of 2e-4, and ten times as much is left for chance.
const WIDER: f64 = 5e4;

/// What [`fit`] adds to the variances of each column: `reg_covar` for a column about as spread out as its densest parts are; less for one of tight clusters
/// far apart, or with values far from all others, so that it stays small beside the variance of a cluster.
///
/// # Shapes
/// - `rows`: `[n, dims]`
/// - returns: `[dims]`
///
/// ```
/// use elbo::mixtures::regularisation;
///
/// let even: Vec<f64> = (0..300).map(|i| f64::from(i) / 150.0 - 1.0).collect();
/// assert_eq!(regularisation(&even, 1, 1e-6), [1e-6]);
/// let far: Vec<f64> = even.iter().map(|x| 1e-6 * x).chain(even.iter().map(|x| 1.0 + 1e-6 * x)).collect();
/// assert!(regularisation(&far, 1, 1e-6)[0] < 1e-15, "small beside 3e-13, the variance of each cluster");
/// ```
pub fn regularisation(rows: &[f64], dims: usize, reg_covar: f64) -> Vec<f64> {
    grain(rows, dims).into_iter().map(|part| reg_covar * part).collect()
}

/// Part of `reg_covar` that each column takes: `min(1, WIDER v / s)`, `s` its variance and `v` that of its dense parts: windows of its values in order, of which one
/// in ten is denser. Windows of equal values tell nothing.
fn grain(rows: &[f64], dims: usize) -> Vec<f64> {
    let n = rows.len() / dims.max(1);
    let width = (n / PART).max(FEWEST_IN_PART);
    (0..dims)
        .map(|column| {
            let mut values: Vec<f64> = rows.iter().skip(column).step_by(dims).copied().collect();
            values.sort_unstable_by(f64::total_cmp);
            let windows = values.windows(width).step_by((width / 4).max(1));
            let mut parts: Vec<f64> = windows.map(variance).filter(|v| *v > 0.0).collect();
            let whole = variance(&values);
            parts.sort_unstable_by(f64::total_cmp);
            parts.get(parts.len() / DENSER).map_or(1.0, |part| (WIDER * part / whole).min(1.0))
        })
        .collect()
}

/// Variance of some numbers, as a population's.
fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values[0] + values.iter().map(|x| x - values[0]).sum::<f64>() / n;
    values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n
}

/// How far an M-step that adds `reg` to the variances may lower the mean log-likelihood.
///
/// Among covariances with variances of at least `reg` along every axis, the best of scatter `S` with eigenvalues `l` has `max(l, reg)`; the step takes
/// `l + reg` instead. With `f(v) = ln v + l / v`, the expected complete log-likelihood is then at most
/// `sum_k weight_k / 2 sum_j [f(l_j + reg) - f(max(l_j, reg))]` below its best, which is at least that of the covariances before; and the likelihood
/// rises by at least as much as that does. Covariances before that had smaller variances (a start of the caller's) are promised nothing.
///
/// Rounding adds its share where covariances are nearly singular: their entries are exact to about `epsilon` times the largest variance, which is much
/// of a small one.
fn allowed_decrease(before: &GaussianMixture, after: &GaussianMixture, reg: f64) -> f64 {
    let low = |k: usize| before.factor(k).principal_variances().into_iter().any(|v| v < reg * (1.0 - 1e-6));
    let tied = before.kind() == CovarianceKind::Tied;
    let distinct = if tied { 1 } else { before.components() };
    if (0..distinct).any(low) {
        return f64::INFINITY;
    }
    let cost = |variance: f64| {
        let scatter = (variance - reg).max(0.0);
        let f = |v: f64| v.ln() + scatter / v;
        (f(scatter + reg) - f(scatter.max(reg))).max(0.0)
    };
    let rounding = |variances: &[f64]| -> f64 {
        let largest = variances.iter().copied().fold(0.0, f64::max);
        let error = 8.0 * f64::EPSILON * variances.len() as f64 * largest;
        variances.iter().map(|variance| error / variance.max(f64::MIN_POSITIVE)).sum()
    };
    let of = |k: usize| {
        let (old, new) = (before.factor(k).principal_variances(), after.factor(k).principal_variances());
        0.5 * new.iter().copied().map(cost).sum::<f64>() + rounding(&old) + rounding(&new)
    };
    if tied { of(0) } else { (0..distinct).map(|k| after.weights()[k] * of(k)).sum() }
}

fn check_monotone(before: f64, after: f64, allowed: impl FnOnce() -> f64) -> Result<()> {
    let rounding = ROUNDING * (1.0 + before.abs());
    if after >= before - rounding || after >= before - rounding - allowed() {
        return Ok(());
    }
    let message = format!("the likelihood of a mixture fell from {before} to {after} nats a row");
    let help = "this is a mistake in elbo, not in your data: please report the command and this message; another `--seed` may avoid it";
    Err(Error::Internal { message, help: help.into() })
}

#[cfg(test)]
mod tests;

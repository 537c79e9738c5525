//! The density.

use std::f64::consts::TAU;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::covariance::{CovarianceKind, Covariances, Factored, is_symmetric, matrix_of};
use crate::error::{Error, Result};
use crate::random::Draws;

/// Rows worked on at once: few enough to stay in the cache, and the same on any number of threads.
const BLOCK: usize = 512;

/// `p(x) = sum_k weight_k N(x; mean_k, covariance_k)`.
///
/// A value of this type is sound: weights sum to 1, covariances are positive definite. Serialised and read back it is the same to the bit.
///
/// ```
/// use elbo::mixtures::GaussianMixture;
///
/// let mixture = GaussianMixture::diagonal(vec![0.5, 0.5], vec![vec![-1.0], vec![1.0]], vec![vec![1.0]; 2])?;
/// let density = (-0.5f64).exp() / std::f64::consts::TAU.sqrt(); // at 0, of either
/// assert!((mixture.log_prob(&[0.0])[0] - density.ln()).abs() < 1e-15);
/// assert!(mixture.responsibilities(&[0.0]).iter().all(|share| (share - 0.5).abs() < 1e-15));
///
/// let json = serde_json::to_string(&mixture).unwrap();
/// assert_eq!(serde_json::from_str::<GaussianMixture>(&json).unwrap(), mixture);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Plain", into = "Plain")]
pub struct GaussianMixture {
    kind: CovarianceKind,
    weights: Vec<f64>,
    /// `[components][dims]`.
    means: Vec<Vec<f64>>,
    /// One for each component, or the one they share.
    factors: Vec<Factored>,
}

/// What is written to files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    covariance: CovarianceKind,
    weights: Vec<f64>,
    means: Vec<Vec<f64>>,
    covariances: Covariances,
}

impl TryFrom<Plain> for GaussianMixture {
    type Error = Error;

    fn try_from(plain: Plain) -> Result<Self> {
        match (plain.covariance, plain.covariances) {
            (CovarianceKind::Full, Covariances::Full(all)) => Self::full(plain.weights, plain.means, all),
            (CovarianceKind::Diagonal, Covariances::Rows(all)) => Self::diagonal(plain.weights, plain.means, all),
            (CovarianceKind::Tied, Covariances::Rows(matrix)) => Self::tied(plain.weights, plain.means, matrix),
            (kind, _) => Err(refused("covariances", &format!("the shape of {kind} covariances"), "another")),
        }
    }
}

impl From<GaussianMixture> for Plain {
    fn from(mixture: GaussianMixture) -> Self {
        let covariances = mixture.covariances();
        Self { covariance: mixture.kind, weights: mixture.weights, means: mixture.means, covariances }
    }
}

impl PartialEq for GaussianMixture {
    fn eq(&self, other: &Self) -> bool {
        let same = self.kind == other.kind && self.weights == other.weights && self.means == other.means;
        same && self.covariances() == other.covariances()
    }
}

fn refused(key: &str, expected: &str, found: impl Into<String>) -> Error {
    Error::config(
        key,
        expected,
        found,
        "a mixture has K weights that sum to 1, K means and positive definite covariances",
    )
}

impl GaussianMixture {
    /// A mixture with a covariance matrix for each component: `covariances[k][i][j]`.
    ///
    /// # Errors
    /// [`Error::Config`] if the numbers are no mixture: other lengths, weights that do not sum to 1, a matrix that is not symmetric and positive
    /// definite.
    pub fn full(weights: Vec<f64>, means: Vec<Vec<f64>>, covariances: Vec<Vec<Vec<f64>>>) -> Result<Self> {
        let factors = covariances.iter().map(|rows| factored_matrix(rows, &means)).collect::<Result<Vec<_>>>()?;
        Self::new(CovarianceKind::Full, weights, means, factors)
    }

    /// A mixture with variances for each component: `variances[k][j]`.
    ///
    /// # Errors
    /// As [`GaussianMixture::full`].
    pub fn diagonal(weights: Vec<f64>, means: Vec<Vec<f64>>, variances: Vec<Vec<f64>>) -> Result<Self> {
        let dims = means.first().map_or(0, Vec::len);
        let factors = variances.into_iter().map(|variances| {
            let found = format!("{variances:?}");
            let fits = variances.len() == dims;
            let factor = Factored::diagonal(variances).filter(|_| fits);
            factor.ok_or_else(|| refused("covariances", &format!("{dims} positive variances"), found))
        });
        let factors = factors.collect::<Result<Vec<_>>>()?;
        Self::new(CovarianceKind::Diagonal, weights, means, factors)
    }

    /// A mixture whose components share one covariance matrix.
    ///
    /// # Errors
    /// As [`GaussianMixture::full`].
    pub fn tied(weights: Vec<f64>, means: Vec<Vec<f64>>, covariance: Vec<Vec<f64>>) -> Result<Self> {
        let factor = factored_matrix(&covariance, &means)?;
        Self::new(CovarianceKind::Tied, weights, means, vec![factor])
    }

    /// Checks what the constructors and files give.
    pub(super) fn new(
        kind: CovarianceKind,
        weights: Vec<f64>,
        means: Vec<Vec<f64>>,
        factors: Vec<Factored>,
    ) -> Result<Self> {
        let components = weights.len();
        let dims = means.first().map_or(0, Vec::len);
        let sum: f64 = weights.iter().sum();
        if components == 0
            || weights.iter().any(|weight| !(0.0..=1.0 + 1e-9).contains(weight))
            || (sum - 1.0).abs() > 1e-6
        {
            return Err(refused("weights", "numbers from 0 to 1 that sum to 1", format!("{weights:?}")));
        }
        if dims == 0 || means.len() != components || means.iter().any(|mean| mean.len() != dims) {
            let expected = format!("{components} means of as many numbers each");
            return Err(refused("means", &expected, format!("{} of {dims}", means.len())));
        }
        if means.iter().flatten().any(|value| !value.is_finite()) {
            return Err(refused("means", "finite numbers", "others"));
        }
        let wanted = if kind == CovarianceKind::Tied { 1 } else { components };
        if factors.len() != wanted {
            return Err(refused("covariances", &format!("{wanted} of them"), factors.len().to_string()));
        }
        Ok(Self { kind, weights, means, factors })
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.weights.len()
    }

    /// Numbers in a row.
    pub fn dims(&self) -> usize {
        self.means[0].len()
    }

    /// The form of its covariances.
    pub fn kind(&self) -> CovarianceKind {
        self.kind
    }

    /// Share of each component; they sum to 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Means of the components, `[components][dims]`.
    pub fn means(&self) -> &[Vec<f64>] {
        &self.means
    }

    /// The covariances as plain numbers.
    pub fn covariances(&self) -> Covariances {
        let dims = self.dims();
        match self.kind {
            CovarianceKind::Full => Covariances::Full(self.factors.iter().map(|factor| factor.rows(dims)).collect()),
            CovarianceKind::Tied => Covariances::Rows(self.factors[0].rows(dims)),
            CovarianceKind::Diagonal => {
                let variances = |factor: &Factored| (0..dims).map(|j| factor.entry(j, j)).collect();
                Covariances::Rows(self.factors.iter().map(variances).collect())
            }
        }
    }

    /// Covariance matrix of component `k`, whatever the form.
    ///
    /// # Panics
    /// If there is no such component.
    pub fn covariance_of(&self, k: usize) -> Vec<Vec<f64>> {
        assert!(k < self.components(), "component {k} of {}", self.components());
        self.factor(k).rows(self.dims())
    }

    /// Variances of component `k` along the columns.
    pub(super) fn variances(&self, k: usize) -> Vec<f64> {
        (0..self.dims()).map(|j| self.factor(k).entry(j, j)).collect()
    }

    pub(super) fn factor(&self, k: usize) -> &Factored {
        if self.kind == CovarianceKind::Tied { &self.factors[0] } else { &self.factors[k] }
    }

    /// Free numbers: weights, means and covariances.
    ///
    /// ```
    /// use elbo::mixtures::GaussianMixture;
    ///
    /// let variances = vec![vec![1.0, 2.0]; 3];
    /// let mixture = GaussianMixture::diagonal(vec![0.2, 0.3, 0.5], vec![vec![0.0; 2]; 3], variances)?;
    /// assert_eq!(mixture.parameters(), 2 + 3 * 2 + 3 * 2);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn parameters(&self) -> usize {
        let (components, dims) = (self.components(), self.dims());
        components - 1 + components * dims + self.kind.parameters(components, dims)
    }

    /// Bayesian information criterion of `n` rows whose mean log-likelihood is `log_likelihood`: `p ln n - 2 n log_likelihood`, lower is better
    /// (Schwarz 1978).
    pub fn bic(&self, n: usize, log_likelihood: f64) -> f64 {
        self.parameters() as f64 * (n as f64).ln() - 2.0 * n as f64 * log_likelihood
    }

    /// Akaike's information criterion: `2 p - 2 n log_likelihood`, lower is better (Akaike 1974).
    pub fn aic(&self, n: usize, log_likelihood: f64) -> f64 {
        2.0 * self.parameters() as f64 - 2.0 * n as f64 * log_likelihood
    }

    /// `ln p(x)` of each row, in nats.
    ///
    /// # Shapes
    /// - `rows`: `[n, dims]`
    /// - returns: `[n]`
    ///
    /// # Panics
    /// If `rows` are no whole number of rows.
    pub fn log_prob(&self, rows: &[f64]) -> Vec<f64> {
        self.joint(rows).chunks_exact(self.components()).map(log_sum_exp).collect()
    }

    /// Mean of [`GaussianMixture::log_prob`] over the rows.
    ///
    /// # Panics
    /// As [`GaussianMixture::log_prob`].
    pub fn log_likelihood(&self, rows: &[f64]) -> f64 {
        let log_prob = self.log_prob(rows);
        log_prob.iter().sum::<f64>() / log_prob.len() as f64
    }

    /// `p(k | x)` of each row and component.
    ///
    /// # Shapes
    /// - `rows`: `[n, dims]`
    /// - returns: `[n, components]`
    ///
    /// # Panics
    /// As [`GaussianMixture::log_prob`].
    pub fn responsibilities(&self, rows: &[f64]) -> Vec<f64> {
        self.expectation(rows).1
    }

    /// Mean log-likelihood, and responsibilities `[n, components]`: the E-step.
    pub(super) fn expectation(&self, rows: &[f64]) -> (f64, Vec<f64>) {
        let mut joint = self.joint(rows);
        let mut sum = 0.0;
        for row in joint.chunks_exact_mut(self.components()) {
            let total = log_sum_exp(row);
            match total.is_finite() {
                true => row.iter_mut().for_each(|value| *value = (*value - total).exp()),
                // So far away that no density is left in float64: the row tells nothing.
                false => row.copy_from_slice(&self.weights),
            }
            sum += total;
        }
        (sum / (rows.len() / self.dims()) as f64, joint)
    }

    /// `ln weight_k + ln N(x; mean_k, covariance_k)`, `[n, components]`.
    fn joint(&self, rows: &[f64]) -> Vec<f64> {
        let (dims, components) = (self.dims(), self.components());
        assert!(rows.len().is_multiple_of(dims), "{} values are no whole number of rows of {dims}", rows.len());
        let mut joint = vec![0.0; rows.len() / dims * components];
        let constants: Vec<f64> = (0..components)
            .map(|k| self.weights[k].ln() - self.factor(k).half_log_det() - 0.5 * dims as f64 * TAU.ln())
            .collect();
        joint.par_chunks_mut(BLOCK * components).zip(rows.par_chunks(BLOCK * dims)).for_each(|(joint, rows)| {
            let mut distances = Distances::new(dims);
            for k in 0..components {
                let squares = distances.squared(rows, &self.means[k], self.factor(k));
                for (out, square) in joint.chunks_exact_mut(components).zip(squares) {
                    out[k] = constants[k] - 0.5 * square;
                }
            }
        });
        joint
    }

    /// `n` rows. `temperature` scales the deviations around the means; with `truncation`, normal draws beyond that many deviations are redrawn.
    /// Which component a row is from is always drawn from the weights.
    ///
    /// # Shapes
    /// - returns: `[n, dims]`
    ///
    /// # Panics
    /// If `truncation` is not positive.
    ///
    /// ```
    /// use elbo::mixtures::GaussianMixture;
    /// use elbo::random::{Draws, Purpose};
    ///
    /// let mixture = GaussianMixture::diagonal(vec![1.0], vec![vec![5.0]], vec![vec![4.0]])?;
    /// let draws = || Draws::new(0, Purpose::Prior, 0, 0);
    /// assert!(mixture.sample(100, 1.0, Some(1.5), &mut draws()).iter().all(|x| (x - 5.0).abs() <= 3.0));
    /// assert_eq!(mixture.sample(2, 0.0, None, &mut draws()), [5.0, 5.0]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn sample(&self, n: usize, temperature: f64, truncation: Option<f64>, draws: &mut Draws) -> Vec<f64> {
        let chosen: Vec<usize> = (0..n).map(|_| self.component(draws.uniform())).collect();
        let normals = draws.normals_within(n * self.dims(), truncation);
        let mut rows = Vec::with_capacity(normals.len());
        for (k, normals) in chosen.into_iter().zip(normals.chunks_exact(self.dims())) {
            let mut row = self.means[k].clone();
            self.factor(k).colour(normals, temperature, &mut row);
            rows.append(&mut row);
        }
        rows
    }

    /// The component at which the summed weights pass `u` in [0, 1).
    fn component(&self, u: f64) -> usize {
        let mut left = u;
        let place = self.weights.iter().position(|weight| {
            left -= weight;
            left < 0.0
        });
        // The weights sum to 1 only to rounding.
        place.unwrap_or_else(|| self.weights.iter().rposition(|&weight| weight > 0.0).expect("they sum to 1"))
    }

    /// The mixture of `shift + scale * x`, column by column, where this is that of `x`. Log-densities fall by `sum_j ln scale_j`.
    ///
    /// # Errors
    /// [`Error::Config`] if a covariance in the new units is beyond float64.
    ///
    /// # Panics
    /// If `shift` or `scale` have another length than a row.
    ///
    /// ```
    /// use elbo::mixtures::GaussianMixture;
    ///
    /// let metres = GaussianMixture::diagonal(vec![1.0], vec![vec![1.7]], vec![vec![0.01]])?;
    /// let centimetres = metres.rescaled(&[0.0], &[100.0])?;
    /// assert!((centimetres.log_prob(&[180.0])[0] - (metres.log_prob(&[1.8])[0] - 100f64.ln())).abs() < 1e-12);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn rescaled(&self, shift: &[f64], scale: &[f64]) -> Result<Self> {
        let dims = self.dims();
        assert!(shift.len() == dims && scale.len() == dims, "a shift and a scale for each of {dims} columns");
        let moved = |mean: &Vec<f64>| -> Vec<f64> {
            mean.iter().zip(scale).zip(shift).map(|((mean, scale), shift)| shift + scale * mean).collect()
        };
        let factors = self.factors.iter().map(|factor| factor.rescaled(scale)).collect::<Option<Vec<_>>>();
        let factors = factors.ok_or_else(|| refused("covariances", "numbers that float64 holds", "others"))?;
        Self::new(self.kind, self.weights.clone(), self.means.iter().map(moved).collect(), factors)
    }
}

/// The factor of a matrix from a file or a caller.
fn factored_matrix(rows: &[Vec<f64>], means: &[Vec<f64>]) -> Result<Factored> {
    let dims = means.first().map_or(0, Vec::len);
    let matrix = matrix_of(rows, dims)
        .ok_or_else(|| refused("covariances", &format!("a matrix of {dims} x {dims}"), "another shape"))?;
    let factor = if is_symmetric(&matrix) { Factored::matrix(matrix) } else { None };
    factor.ok_or_else(|| refused("covariances", "a symmetric, positive definite matrix", "another"))
}

/// `ln sum_k exp value_k`; minus infinity where all are.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + values.iter().map(|value| (value - most).exp()).sum::<f64>().ln()
}

/// Squared Mahalanobis distances of a block of rows, with the memory they need.
struct Distances {
    dims: usize,
    centred: Vec<f64>,
    squares: Vec<f64>,
}

impl Distances {
    fn new(dims: usize) -> Self {
        Self { dims, centred: Vec::new(), squares: Vec::new() }
    }

    fn squared(&mut self, rows: &[f64], mean: &[f64], factor: &Factored) -> &[f64] {
        self.centred.clear();
        self.centred
            .extend(rows.chunks_exact(self.dims).flat_map(|row| row.iter().zip(mean).map(|(x, mean)| x - mean)));
        self.squares.clear();
        match factor {
            Factored::Matrix { whiten, .. } => {
                let n = self.centred.len() / self.dims;
                // Rows one after another are the columns of the transpose.
                let centred = MatRef::from_column_major_slice(&self.centred, self.dims, n);
                let mut white = Mat::zeros(self.dims, n);
                matmul(white.as_mut(), Accum::Replace, whiten, centred, 1.0, Par::Seq);
                self.squares.extend((0..n).map(|row| white.col(row).squared_norm_l2()));
            }
            Factored::Diagonal { deviations, .. } => self.squares.extend(
                self.centred
                    .chunks_exact(self.dims)
                    .map(|row| row.iter().zip(deviations).map(|(x, deviation)| (x / deviation).powi(2)).sum::<f64>()),
            ),
        }
        &self.squares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn correlated() -> GaussianMixture {
        let covariances = vec![vec![vec![2.0, 0.8], vec![0.8, 1.0]], vec![vec![0.5, -0.3], vec![-0.3, 1.5]]];
        GaussianMixture::full(vec![0.3, 0.7], vec![vec![-1.0, 0.5], vec![2.0, -1.0]], covariances).unwrap()
    }

    /// The density of one Gaussian in two dimensions, written out.
    fn normal2(x: &[f64], mean: &[f64], [[a, b], [_, d]]: [[f64; 2]; 2]) -> f64 {
        let (u, v, det) = (x[0] - mean[0], x[1] - mean[1], a * d - b * b);
        (-0.5 * (d * u * u - 2.0 * b * u * v + a * v * v) / det).exp() / (TAU * det.sqrt())
    }

    #[test]
    fn densities_are_those_of_the_formula() {
        let mixture = correlated();
        for x in [[0.0, 0.0], [-1.0, 0.5], [3.0, -4.0]] {
            let first = 0.3 * normal2(&x, &[-1.0, 0.5], [[2.0, 0.8], [0.8, 1.0]]);
            let second = 0.7 * normal2(&x, &[2.0, -1.0], [[0.5, -0.3], [-0.3, 1.5]]);
            assert!((mixture.log_prob(&x)[0] - (first + second).ln()).abs() < 1e-12);
            assert!((mixture.responsibilities(&x)[0] - first / (first + second)).abs() < 1e-12);
        }
    }

    #[test]
    fn the_density_integrates_to_one_in_each_form() {
        let means = vec![vec![-1.0, 0.5], vec![2.0, -1.0]];
        let matrix = vec![vec![1.2, 0.4], vec![0.4, 0.7]];
        let diagonal = GaussianMixture::diagonal(vec![0.4, 0.6], means.clone(), vec![vec![0.6, 1.0], vec![1.5, 0.4]]);
        let tied = GaussianMixture::tied(vec![0.4, 0.6], means, matrix);
        for mixture in [correlated(), diagonal.unwrap(), tied.unwrap()] {
            let (step, half) = (0.05, 240);
            let at = |i: i32| f64::from(i) * step;
            let grid: Vec<f64> = (-half..half).flat_map(|i| (-half..half).flat_map(move |j| [at(i), at(j)])).collect();
            let mass: f64 = mixture.log_prob(&grid).iter().map(|log| log.exp()).sum::<f64>() * step * step;
            assert!((mass - 1.0).abs() < 1e-9, "{:?}: {mass}", mixture.kind());
        }
    }

    #[test]
    fn far_rows_have_finite_densities_and_responsibilities() {
        let mixture = correlated();
        let far = [1e6, -1e6];
        assert!(mixture.log_prob(&far)[0].is_finite());
        let responsibilities = mixture.responsibilities(&far);
        assert!((responsibilities.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{responsibilities:?}");
    }

    #[test]
    fn samples_have_the_moments_of_the_mixture() {
        let mixture = correlated();
        let n = 200_000;
        let rows = mixture.sample(n, 1.0, None, &mut Draws::new(3, Purpose::Prior, 0, 0));
        let mean = [-0.3 + 0.7 * 2.0, 0.3 * 0.5 - 0.7];
        // Covariance of the whole: within plus between.
        let between = |i: usize, j: usize| {
            let d: Vec<f64> = mixture.means().iter().map(|m| (m[i] - mean[i]) * (m[j] - mean[j])).collect();
            0.3 * (mixture.covariance_of(0)[i][j] + d[0]) + 0.7 * (mixture.covariance_of(1)[i][j] + d[1])
        };
        let moment = |f: &dyn Fn(&[f64]) -> f64| rows.chunks(2).map(f).sum::<f64>() / n as f64;
        for i in 0..2 {
            // Five standard errors.
            let bound = 5.0 * (between(i, i) / n as f64).sqrt();
            assert!((moment(&|x| x[i]) - mean[i]).abs() < bound);
        }
        let covariance = moment(&|x| (x[0] - mean[0]) * (x[1] - mean[1]));
        assert!((covariance - between(0, 1)).abs() < 0.05, "{covariance} where {} is expected", between(0, 1));
        assert_eq!(rows, mixture.sample(n, 1.0, None, &mut Draws::new(3, Purpose::Prior, 0, 0)));
    }

    #[test]
    fn files_keep_every_bit_and_refuse_what_is_no_mixture() {
        let third = 1.0 / 3.0;
        let mixture = GaussianMixture::tied(vec![third, 1.0 - third], vec![vec![0.1, 1e-17], vec![1e17, third]], {
            vec![vec![third, 0.1], vec![0.1, 0.7]]
        })
        .unwrap();
        for mixture in [mixture, correlated()] {
            let json = serde_json::to_string(&mixture).unwrap();
            let read: GaussianMixture = serde_json::from_str(&json).unwrap();
            assert_eq!(read, mixture);
            let draws = || Draws::new(1, Purpose::Prior, 0, 0);
            assert_eq!(read.sample(5, 1.0, None, &mut draws()), mixture.sample(5, 1.0, None, &mut draws()));
        }
        let json = serde_json::to_string(&correlated()).unwrap();
        let edits = [
            ("[0.3,0.7]", "[0.3,0.8]", "sum to 1"),
            ("[0.3,0.7]", "[1.0]", "1 means"),
            ("[2.0,-1.0]", "[2.0]", "means"),
            ("[2.0,0.8]", "[2.0,0.9]", "symmetric"),
            ("[[2.0,0.8],[0.8,1.0]]", "[[2.0,8.0],[8.0,1.0]]", "positive definite"),
            ("[[2.0,0.8],[0.8,1.0]]", "[[2.0,0.8]]", "2 x 2"),
            ("\"full\"", "\"tied\"", "tied covariances"),
            ("\"full\"", "\"round\"", "round"),
        ];
        for (from, to, words) in edits {
            assert!(json.contains(from), "{json}");
            let error = serde_json::from_str::<GaussianMixture>(&json.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(words), "{from} -> {to}: {error}");
        }
    }
}

//! The three forms of covariance, and what a density needs of each: a factor that whitens.

use std::fmt;

use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Mat, Par, Side};
use serde::{Deserialize, Serialize};

/// A matrix as rows, or a list of them, as reports and files have it.
pub(super) type Rows = Vec<Vec<f64>>;

/// What form the covariances of a mixture have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CovarianceKind {
    /// A matrix for each component: ellipsoids of any direction.
    #[default]
    Full,
    /// Variances for each component: ellipsoids along the axes.
    Diagonal,
    /// One matrix that all components share: equal ellipsoids.
    Tied,
}

impl CovarianceKind {
    /// Free numbers in the covariances of `components` in `dims` dimensions.
    ///
    /// ```
    /// use elbo::mixtures::CovarianceKind::{Diagonal, Full, Tied};
    ///
    /// assert_eq!([Full, Diagonal, Tied].map(|kind| kind.parameters(3, 4)), [30, 12, 10]);
    /// ```
    pub fn parameters(self, components: usize, dims: usize) -> usize {
        let matrix = dims * (dims + 1) / 2;
        match self {
            Self::Full => components * matrix,
            Self::Diagonal => components * dims,
            Self::Tied => matrix,
        }
    }
}

impl fmt::Display for CovarianceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Diagonal => "diagonal",
            Self::Tied => "tied",
        })
    }
}

/// The covariances of a mixture, as plain numbers: JSON has them as one array.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Covariances {
    /// A matrix for each component, `[components][dims][dims]`.
    Full(Vec<Vec<Vec<f64>>>),
    /// `[components][dims]` for [`CovarianceKind::Diagonal`], `[dims][dims]` for [`CovarianceKind::Tied`].
    Rows(Vec<Vec<f64>>),
}

/// A symmetric, positive definite covariance with what densities and samples need of it.
#[derive(Debug, Clone)]
pub(super) enum Factored {
    /// `covariance = lower * lower^T`, `whiten = lower^-1`.
    Matrix { covariance: Mat<f64>, lower: Mat<f64>, whiten: Mat<f64> },
    /// Variances and their roots.
    Diagonal { variances: Vec<f64>, deviations: Vec<f64> },
}

impl Factored {
    /// Factors a matrix; none if it is not positive definite in float64.
    pub fn matrix(covariance: Mat<f64>) -> Option<Self> {
        let dims = covariance.nrows();
        let factor = covariance.llt(Side::Lower).ok()?;
        // The upper triangle of the factor's storage holds nothing of meaning.
        let lower = Mat::from_fn(dims, dims, |i, j| if i >= j { factor.L()[(i, j)] } else { 0.0 });
        let sound = (0..dims).all(|i| lower[(i, i)].is_normal());
        let mut whiten = Mat::identity(dims, dims);
        solve_lower_triangular_in_place(lower.as_ref(), whiten.as_mut(), Par::Seq);
        sound.then_some(Self::Matrix { covariance, lower, whiten })
    }

    /// Takes variances; none if one is not positive.
    pub fn diagonal(variances: Vec<f64>) -> Option<Self> {
        let deviations: Vec<f64> = variances.iter().map(|variance| variance.sqrt()).collect();
        deviations.iter().all(|deviation| deviation.is_normal()).then_some(Self::Diagonal { variances, deviations })
    }

    /// `1/2 ln det covariance`.
    pub fn half_log_det(&self) -> f64 {
        match self {
            Self::Matrix { lower, .. } => (0..lower.nrows()).map(|i| lower[(i, i)].ln()).sum(),
            Self::Diagonal { deviations, .. } => deviations.iter().map(|deviation| deviation.ln()).sum(),
        }
    }

    /// Adds `lower * normals` to `point`.
    pub fn colour(&self, normals: &[f32], temperature: f64, point: &mut [f64]) {
        match self {
            Self::Matrix { lower, .. } => {
                for (i, value) in point.iter_mut().enumerate() {
                    let product: f64 = (0..=i).map(|j| lower[(i, j)] * f64::from(normals[j])).sum();
                    *value += temperature * product;
                }
            }
            Self::Diagonal { deviations, .. } => {
                for ((value, deviation), normal) in point.iter_mut().zip(deviations).zip(normals) {
                    *value += temperature * deviation * f64::from(*normal);
                }
            }
        }
    }

    /// The same of `scale * x`.
    pub fn rescaled(&self, scale: &[f64]) -> Option<Self> {
        match self {
            Self::Matrix { covariance, .. } => {
                let dims = scale.len();
                Self::matrix(Mat::from_fn(dims, dims, |i, j| covariance[(i, j)] * scale[i] * scale[j]))
            }
            Self::Diagonal { variances, .. } => {
                Self::diagonal(variances.iter().zip(scale).map(|(variance, scale)| variance * scale * scale).collect())
            }
        }
    }

    /// Entry `(i, j)`.
    pub fn entry(&self, i: usize, j: usize) -> f64 {
        match self {
            Self::Matrix { covariance, .. } => covariance[(i, j)],
            Self::Diagonal { variances, .. } if i == j => variances[i],
            Self::Diagonal { .. } => 0.0,
        }
    }

    /// The rows of a matrix.
    pub fn rows(&self, dims: usize) -> Rows {
        (0..dims).map(|i| (0..dims).map(|j| self.entry(i, j)).collect()).collect()
    }

    /// Variances along the principal axes, in any order.
    pub fn principal_variances(&self) -> Vec<f64> {
        match self {
            // Symmetric and finite, so that the eigenvalues exist; the diagonal bounds nothing but is a number.
            Self::Matrix { covariance, .. } => covariance
                .self_adjoint_eigenvalues(Side::Lower)
                .unwrap_or_else(|_| (0..covariance.nrows()).map(|i| covariance[(i, i)]).collect()),
            Self::Diagonal { variances, .. } => variances.clone(),
        }
    }
}

/// The matrix with these rows, if they are as many as each is long.
pub(super) fn matrix_of(rows: &[Vec<f64>], dims: usize) -> Option<Mat<f64>> {
    let square = rows.len() == dims && rows.iter().all(|row| row.len() == dims);
    square.then(|| Mat::from_fn(dims, dims, |i, j| rows[i][j]))
}

/// Whether a matrix is its own transpose, to rounding.
pub(super) fn is_symmetric(matrix: &Mat<f64>) -> bool {
    let dims = matrix.nrows();
    let close = |i: usize, j: usize| {
        let (a, b) = (matrix[(i, j)], matrix[(j, i)]);
        (a - b).abs() <= 1e-9 * (matrix[(i, i)] * matrix[(j, j)]).abs().sqrt()
    };
    (0..dims).all(|i| (0..i).all(|j| close(i, j)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Mat<f64> {
        Mat::from_fn(3, 3, |i, j| [[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 2.0]][i][j])
    }

    #[test]
    fn factors_multiply_to_the_covariance_and_whiten_it() {
        let Some(Factored::Matrix { covariance, lower, whiten }) = Factored::matrix(example()) else { panic!() };
        let product = &lower * lower.transpose();
        let white = &whiten * &covariance * whiten.transpose();
        for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
            assert!((product[(i, j)] - covariance[(i, j)]).abs() < 1e-13);
            assert!((white[(i, j)] - f64::from(i == j)).abs() < 1e-13);
        }
    }

    #[test]
    fn half_the_log_determinant_is_that_of_the_expansion() {
        let [[a, b, c], [_, e, f], [_, _, i]] = [[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 2.0f64]];
        let determinant = a * (e * i - f * f) - b * (b * i - f * c) + c * (b * f - e * c);
        assert!((Factored::matrix(example()).unwrap().half_log_det() - 0.5 * determinant.ln()).abs() < 1e-13);
        assert!((Factored::diagonal(vec![4.0, 9.0]).unwrap().half_log_det() - 6f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn what_is_no_covariance_is_refused() {
        assert!(Factored::matrix(Mat::from_fn(2, 2, |i, j| if i == j { 1.0 } else { 2.0 })).is_none());
        assert!(Factored::matrix(Mat::zeros(2, 2)).is_none() && Factored::matrix(Mat::full(1, 1, f64::NAN)).is_none());
        assert!(Factored::diagonal(vec![1.0, 0.0]).is_none() && Factored::diagonal(vec![f64::INFINITY]).is_none());
    }
}

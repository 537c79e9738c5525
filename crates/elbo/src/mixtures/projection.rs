//! The plane in which rows vary most, and a mixture seen in it.

use faer::{Mat, Side};

use super::covariance::CovarianceKind;
use super::gmm::GaussianMixture;
use crate::error::{Error, Result};

/// The first principal components of rows: a centre and orthonormal directions.
///
/// ```
/// use elbo::mixtures::Projection;
///
/// let rows = [0.0, 0.0, 3.0, 4.0, 6.0, 8.0]; // along (3, 4) / 5
/// let projection = Projection::principal(&rows, 2, 1)?;
/// assert!((projection.share - 1.0).abs() < 1e-12);
/// let along = projection.project(&rows);
/// assert!((along[0].abs() - 5.0).abs() < 1e-12 && along[1].abs() < 1e-12);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Projection {
    /// Mean of the rows.
    pub centre: Vec<f64>,
    /// Orthonormal, by falling variance; the largest entry of each is positive.
    pub directions: Vec<Vec<f64>>,
    /// Share of the rows' variance along the directions, 0 to 1.
    pub share: f64,
}

impl Projection {
    /// The `count` directions of largest variance.
    ///
    /// # Shapes
    /// - `rows`: `[n, dims]`
    ///
    /// # Errors
    /// [`Error::Config`] if the covariance has no eigenvectors in float64.
    ///
    /// # Panics
    /// If there are no rows, or `count` is more than `dims`.
    pub fn principal(rows: &[f64], dims: usize, count: usize) -> Result<Self> {
        let n = rows.len() / dims;
        assert!(n > 0 && count <= dims, "{count} directions of {n} rows of {dims}");
        let mut centre = vec![0.0; dims];
        for row in rows.chunks_exact(dims) {
            centre.iter_mut().zip(row).for_each(|(sum, x)| *sum += x / n as f64);
        }
        let centred = Mat::from_fn(dims, n, |j, i| rows[i * dims + j] - centre[j]);
        let covariance = &centred * centred.transpose();
        let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(|_| {
            Error::config(
                "rows",
                "a covariance with eigenvectors",
                "none found",
                "rescale columns of very large numbers",
            )
        })?;
        let variances: Vec<f64> = (0..dims).map(|j| eigen.S()[j].max(0.0)).collect();
        let total: f64 = variances.iter().sum();
        // Eigenvalues rise.
        let chosen = (0..count).map(|rank| dims - 1 - rank);
        let share = if total > 0.0 { chosen.clone().map(|j| variances[j]).sum::<f64>() / total } else { 1.0 };
        let directions = chosen.map(|j| upright((0..dims).map(|i| eigen.U()[(i, j)]).collect())).collect();
        Ok(Self { centre, directions, share })
    }

    /// Coordinates along the directions.
    ///
    /// # Shapes
    /// - `rows`: `[n, dims]`
    /// - returns: `[n, directions]`
    pub fn project(&self, rows: &[f64]) -> Vec<f64> {
        let along = |row: &[f64], direction: &Vec<f64>| -> f64 {
            row.iter().zip(&self.centre).zip(direction).map(|((x, centre), d)| (x - centre) * d).sum()
        };
        let dims = self.centre.len();
        rows.chunks_exact(dims).flat_map(|row| self.directions.iter().map(move |d| along(row, d))).collect()
    }

    /// The marginal of a mixture in these coordinates: exact, and again a mixture.
    ///
    /// # Errors
    /// [`Error::Config`] if a projected covariance is not positive definite in float64.
    pub fn project_mixture(&self, mixture: &GaussianMixture) -> Result<GaussianMixture> {
        let means = mixture.means().iter().map(|mean| self.project(mean)).collect();
        let covariances: Vec<_> =
            (0..mixture.components()).map(|k| self.project_covariance(&mixture.covariance_of(k))).collect();
        match mixture.kind() {
            CovarianceKind::Tied => GaussianMixture::tied(mixture.weights().to_vec(), means, covariances[0].clone()),
            _ => GaussianMixture::full(mixture.weights().to_vec(), means, covariances),
        }
    }

    fn project_covariance(&self, covariance: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let form = |a: &[f64], b: &[f64]| -> f64 {
            covariance.iter().zip(a).map(|(row, a)| a * row.iter().zip(b).map(|(c, b)| c * b).sum::<f64>()).sum()
        };
        self.directions.iter().map(|a| self.directions.iter().map(|b| form(a, b)).collect()).collect()
    }
}

/// An eigenvector's sign is arbitrary: the largest entry is made positive.
fn upright(mut direction: Vec<f64>) -> Vec<f64> {
    let largest =
        direction.iter().copied().fold(0.0, |largest: f64, x| if x.abs() > largest.abs() { x } else { largest });
    if largest < 0.0 {
        direction.iter_mut().for_each(|x| *x = -*x);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    #[test]
    fn a_projected_mixture_is_the_mixture_of_projected_samples() {
        let covariances = vec![
            vec![vec![2.0, 0.5, 0.1], vec![0.5, 1.0, -0.2], vec![0.1, -0.2, 0.5]],
            vec![vec![1.0, 0.0, 0.3], vec![0.0, 0.4, 0.0], vec![0.3, 0.0, 3.0]],
        ];
        let means = vec![vec![0.0, 1.0, 2.0], vec![5.0, -1.0, 0.0]];
        let mixture = GaussianMixture::full(vec![0.4, 0.6], means, covariances).unwrap();
        let rows = mixture.sample(100_000, 1.0, None, &mut Draws::new(5, Purpose::Prior, 0, 0));
        let projection = Projection::principal(&rows, 3, 2).unwrap();
        let (flat, seen) = (projection.project_mixture(&mixture).unwrap(), projection.project(&rows));
        for axis in 0..2 {
            let observed = seen.chunks(2).map(|row| row[axis]).sum::<f64>() / 100_000.0;
            let expected: f64 = flat.weights().iter().zip(flat.means()).map(|(w, m)| w * m[axis]).sum();
            assert!((observed - expected).abs() < 0.05, "{observed} {expected}");
            let second =
                |rows: &[f64]| rows.chunks(2).map(|row| row[axis].powi(2)).sum::<f64>() / (rows.len() / 2) as f64;
            let drawn = flat.sample(100_000, 1.0, None, &mut Draws::new(6, Purpose::Prior, 0, 0));
            assert!((second(&seen) / second(&drawn) - 1.0).abs() < 0.03, "{} {}", second(&seen), second(&drawn));
        }
    }
}

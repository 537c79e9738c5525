//! A mixture seen along fewer directions.

use super::covariance::CovarianceKind;
use super::gmm::GaussianMixture;
use crate::error::Result;
use crate::projection::Projection;

impl GaussianMixture {
    /// The marginal in the coordinates of a projection: exact, and again a mixture.
    ///
    /// ```
    /// use elbo::mixtures::GaussianMixture;
    /// use elbo::projection::Projection;
    ///
    /// let mixture = GaussianMixture::diagonal(vec![1.0], vec![vec![1.0, 2.0]], vec![vec![4.0, 1.0]])?;
    /// let across = Projection { centre: vec![0.0; 2], directions: vec![vec![0.6, 0.8]], shares: vec![1.0], share: 1.0 };
    /// let seen = mixture.projected(&across)?; // mean 0.6 + 2 * 0.8, variance 4 * 0.36 + 0.64
    /// assert!((seen.means()[0][0] - 2.2).abs() < 1e-12 && (seen.covariance_of(0)[0][0] - 2.08).abs() < 1e-12);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if a projected covariance is not positive definite in float64.
    ///
    /// # Panics
    /// If the two are of different dimensions.
    pub fn projected(&self, projection: &Projection) -> Result<Self> {
        assert_eq!(self.dims(), projection.centre.len(), "a projection of the mixture's space");
        let means = self.means().iter().map(|mean| projection.project(mean)).collect();
        let seen = |k: usize| along(&projection.directions, &self.covariance_of(k));
        match self.kind() {
            CovarianceKind::Tied => Self::tied(self.weights().to_vec(), means, seen(0)),
            _ => Self::full(self.weights().to_vec(), means, (0..self.components()).map(seen).collect()),
        }
    }
}

/// `D C D^T` for directions in the rows of `D`.
fn along(directions: &[Vec<f64>], covariance: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let form = |a: &[f64], b: &[f64]| -> f64 {
        covariance.iter().zip(a).map(|(row, a)| a * row.iter().zip(b).map(|(c, b)| c * b).sum::<f64>()).sum()
    };
    directions.iter().map(|a| directions.iter().map(|b| form(a, b)).collect()).collect()
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
        let (flat, seen) = (mixture.projected(&projection).unwrap(), projection.project(&rows));
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

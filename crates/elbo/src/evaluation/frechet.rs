//! Frechet distance between two sets of points, each taken for a Gaussian (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500, eq. 6).

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

use super::points::Features;
use crate::error::{Error, Result};

/// Mean and covariance of points.
#[derive(Debug, Clone)]
pub struct Moments {
    /// The mean of the features, `[dims]`.
    pub mean: Vec<f64>,
    /// `[dims, dims]`, over n - 1.
    pub covariance: Mat<f64>,
}

impl Moments {
    /// Of a set of points, in float64.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two points, which have no covariance.
    pub fn of(points: &Features) -> Result<Self> {
        const ROWS: usize = 1024;
        let (n, dims) = (points.n(), points.dims);
        if n < 2 {
            return Err(Error::config("limit", "at least 2 images", n.to_string(), "a covariance needs more"));
        }
        let mut mean = vec![0f64; dims];
        for point in points.values.chunks_exact(dims) {
            mean.iter_mut().zip(point).for_each(|(mean, value)| *mean += value);
        }
        mean.iter_mut().for_each(|mean| *mean /= n as f64);
        let mut covariance = Mat::zeros(dims, dims);
        for start in (0..n).step_by(ROWS) {
            let rows = start..(start + ROWS).min(n);
            let centred = Mat::from_fn(dims, rows.len(), |d, i| points.values[(start + i) * dims + d] - mean[d]);
            matmul(&mut covariance, Accum::Add, &centred, centred.transpose(), 1.0 / (n - 1) as f64, Par::Seq);
        }
        Ok(Self { mean, covariance })
    }
}

/// `|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))`.
///
/// The last trace is the sum of the singular values of `C_1^(1/2) C_2^(1/2)`: unlike the square root of a product, that loses no digits where
/// covariances have no full rank, as those of pixels.
///
/// # Errors
/// [`Error::Internal`] if a decomposition does not converge, as for numbers that are not finite.
///
/// ```
/// use elbo::evaluation::{Features, Moments, frechet_distance};
///
/// // Two sets on a line: means 0 and 3, standard deviations 1 and 2.
/// let points = |values: &[f64]| Moments::of(&Features::new(1, values.to_vec()));
/// let (a, b) = (points(&[-1.0, 0.0, 1.0])?, points(&[1.0, 3.0, 5.0])?);
/// assert!((frechet_distance(&a, &b)? - (9.0 + 1.0)).abs() < 1e-12);
/// # Ok::<(), elbo::Error>(())
/// ```
///
/// # Panics
/// If the two lie in spaces of different dimensions.
pub fn frechet_distance(a: &Moments, b: &Moments) -> Result<f64> {
    assert_eq!(a.mean.len(), b.mean.len(), "points of one space");
    let apart: f64 = a.mean.iter().zip(&b.mean).map(|(a, b)| (a - b).powi(2)).sum();
    let product = root(&a.covariance)? * root(&b.covariance)?;
    let shared: f64 = product.singular_values().map_err(no_convergence)?.iter().sum();
    let trace = |m: &Mat<f64>| (0..m.nrows()).map(|i| m[(i, i)]).sum::<f64>();
    Ok((apart + trace(&a.covariance) + trace(&b.covariance) - 2.0 * shared).max(0.0))
}

/// The symmetric square root.
fn root(matrix: &Mat<f64>) -> Result<Mat<f64>> {
    let eigen = matrix.self_adjoint_eigen(Side::Lower).map_err(no_convergence)?;
    let axes = eigen.U();
    let values = eigen.S().column_vector();
    let scaled = Mat::from_fn(axes.nrows(), axes.ncols(), |i, j| axes[(i, j)] * values[j].max(0.0).sqrt());
    Ok(scaled * axes.transpose())
}

pub(super) fn no_convergence(_: impl std::fmt::Debug) -> Error {
    let help = "look for numbers that are not finite: `elbo eval RUN --metrics recon`";
    Error::Internal { message: "the decomposition of a covariance did not converge".into(), help: help.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    fn cloud(n: usize, dims: usize, step: u64) -> Features {
        let values = Draws::new(5, Purpose::Prior, 1, step).normals(n * dims);
        Features::new(dims, values.into_iter().enumerate().map(|(i, v)| f64::from(v) * (1 + i % dims) as f64).collect())
    }

    #[test]
    fn a_set_is_at_distance_0_from_itself_even_without_full_rank() {
        // Fewer points than dimensions: 20 of 40 eigenvalues are 0.
        for (n, dims) in [(200, 12), (21, 40)] {
            let moments = Moments::of(&cloud(n, dims, 0)).unwrap();
            let trace: f64 = (0..dims).map(|i| moments.covariance[(i, i)]).sum();
            let found = frechet_distance(&moments, &moments).unwrap();
            assert!(found.abs() < 1e-8 * trace, "{found} of {trace}");
        }
    }

    #[test]
    fn gaussians_with_common_axes_are_as_far_apart_as_their_axes() {
        let diagonal = |mean: &[f64], deviations: &[f64]| Moments {
            mean: mean.to_vec(),
            covariance: Mat::from_fn(3, 3, |i, j| if i == j { deviations[i].powi(2) } else { 0.0 }),
        };
        let (a, b) = (diagonal(&[0.0, 1.0, 2.0], &[1.0, 0.0, 3.0]), diagonal(&[1.0, 1.0, 0.0], &[2.0, 0.5, 1.0]));
        let expected = (1.0 + 0.0 + 4.0) + (1.0 + 0.25 + 4.0);
        assert!((frechet_distance(&a, &b).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn moments_are_those_of_the_definition() {
        let points = cloud(2500, 3, 1);
        let found = Moments::of(&points).unwrap();
        for i in 0..3 {
            let mean = (0..2500).map(|p| points.point(p)[i]).sum::<f64>() / 2500.0;
            assert!((found.mean[i] - mean).abs() < 1e-12);
            for j in 0..3 {
                let term = |p: usize| (points.point(p)[i] - found.mean[i]) * (points.point(p)[j] - found.mean[j]);
                let expected = (0..2500).map(term).sum::<f64>() / 2499.0;
                assert!((found.covariance[(i, j)] - expected).abs() < 1e-10);
            }
        }
        assert!(Moments::of(&cloud(1, 3, 1)).is_err());
    }
}

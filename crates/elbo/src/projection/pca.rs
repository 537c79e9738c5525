//! Principal components: the directions in which rows vary most.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

use crate::error::{Error, Result};

/// Rows whose part of the covariance is added at once.
const BLOCK: usize = 1024;

/// The first principal components of rows: a centre and orthonormal directions.
///
/// ```
/// use elbo::projection::Projection;
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
    /// Share of the rows' variance along each direction, 0 to 1; 0 where rows do not vary at all.
    pub shares: Vec<f64>,
    /// Share of the rows' variance along all of them together; 1 where rows do not vary at all.
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
        let centre = mean(rows, dims);
        let eigen = scatter(rows, &centre).self_adjoint_eigen(Side::Lower).map_err(|_| {
            Error::config(
                "rows",
                "a covariance with eigenvectors",
                "none found",
                "look for numbers that are not finite; rescale columns of very large ones",
            )
        })?;
        let variances: Vec<f64> = (0..dims).map(|j| eigen.S()[j].max(0.0)).collect();
        let total: f64 = variances.iter().sum();
        // Eigenvalues rise.
        let chosen = (0..count).map(|rank| dims - 1 - rank);
        let share_of = |variance: f64| if total > 0.0 { variance / total } else { 0.0 };
        let shares = chosen.clone().map(|j| share_of(variances[j])).collect();
        let share = if total > 0.0 { chosen.clone().map(|j| variances[j]).sum::<f64>() / total } else { 1.0 };
        let directions = chosen.map(|j| upright((0..dims).map(|i| eigen.U()[(i, j)]).collect())).collect();
        Ok(Self { centre, directions, shares, share })
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
}

fn mean(rows: &[f64], dims: usize) -> Vec<f64> {
    let n = (rows.len() / dims) as f64;
    let mut centre = vec![0.0; dims];
    for row in rows.chunks_exact(dims) {
        centre.iter_mut().zip(row).for_each(|(sum, x)| *sum += x / n);
    }
    centre
}

/// `sum_i (x_i - centre) (x_i - centre)^T`, block by block, so that no second copy of the rows is made.
fn scatter(rows: &[f64], centre: &[f64]) -> Mat<f64> {
    let dims = centre.len();
    let mut sum = Mat::zeros(dims, dims);
    for block in rows.chunks(BLOCK * dims) {
        let centred = Mat::from_fn(dims, block.len() / dims, |j, i| block[i * dims + j] - centre[j]);
        matmul(&mut sum, Accum::Add, &centred, centred.transpose(), 1.0, Par::Seq);
    }
    sum
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

    /// Rows `centre + sum_k spread_k z_k direction_k`, more of them than one block.
    fn ellipsoid(n: usize) -> (Vec<f64>, [[f64; 3]; 3]) {
        let axes = [[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]];
        let noise = Draws::new(3, Purpose::Choice, 0, 0).normals(3 * n);
        let row = |z: &[f32]| {
            let at = |k: usize| [5.0, 2.0, 0.5][k] * f64::from(z[k]);
            [0, 1, 2].map(|d| 10.0 + (0..3).map(|k| at(k) * axes[k][d]).sum::<f64>())
        };
        (noise.chunks_exact(3).flat_map(row).collect(), axes)
    }

    #[test]
    fn the_axes_of_an_ellipsoid_are_found_with_their_shares() {
        let (rows, axes) = ellipsoid(20_000);
        let found = Projection::principal(&rows, 3, 3).unwrap();
        for (direction, axis) in found.directions.iter().zip(axes) {
            let cosine: f64 = direction.iter().zip(axis).map(|(a, b)| a * b).sum();
            assert!(cosine.abs() > 0.999, "{found:?}");
        }
        for (share, variance) in found.shares.iter().zip([25.0, 4.0, 0.25]) {
            assert!((share - variance / 29.25).abs() < 0.01, "{found:?}");
        }
        assert!((found.share - 1.0).abs() < 1e-12 && found.centre.iter().all(|c| (c - 10.0).abs() < 0.2));
    }

    #[test]
    fn coordinates_are_uncorrelated_and_centred() {
        let (rows, _) = ellipsoid(3000);
        let found = Projection::principal(&rows, 3, 2).unwrap();
        let points = found.project(&rows);
        let product = |a: usize, b: usize| points.chunks_exact(2).map(|p| p[a] * p[b]).sum::<f64>() / 3000.0;
        assert!(product(0, 1).abs() < 1e-9 * product(0, 0));
        assert!(points.chunks_exact(2).map(|p| p[0]).sum::<f64>().abs() < 1e-7);
    }

    #[test]
    fn rows_without_variance_have_directions_and_no_shares() {
        let found = Projection::principal(&[1.0; 8], 2, 2).unwrap();
        assert_eq!((found.shares, found.share, found.centre), (vec![0.0, 0.0], 1.0, vec![1.0, 1.0]));
        assert!(found.directions.iter().flatten().all(|v| v.is_finite()));
    }
}

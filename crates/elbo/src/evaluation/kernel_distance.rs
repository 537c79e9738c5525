//! Kernel distance between two sets of points, KID (Binkowski et al. 2018, arXiv:1801.01401, section 4).

use faer::Mat;

use super::points::Features;
use crate::parallel;

/// Points of each set in one estimate.
const BLOCK: usize = 1000;

/// Unbiased estimates of the squared maximum mean discrepancy under the kernel `(x.y / dims + 1)^3`, one for each pair of disjoint blocks of at most 1,000 points.
/// Their mean is the kernel distance; since no point is used twice, their spread gives its standard error. Single values may be below 0.
///
/// `MMD^2 = 1/(m(m-1)) sum_(i != j) k(x_i, x_j) + 1/(m(m-1)) sum_(i != j) k(y_i, y_j) - 2/m^2 sum_ij k(x_i, y_j)`.
///
/// # Panics
/// If a set has fewer than two points, or the two lie in different spaces.
///
/// ```
/// use elbo::evaluation::{Features, kernel_distances};
///
/// let points = |values: [f64; 2]| Features::new(1, values.to_vec());
/// // (0 * 0 + 1)^3 + (2 * 2 + 1)^3 - 2 (0 * 2 + 1)^3
/// assert_eq!(kernel_distances(&points([0.0, 0.0]), &points([2.0, 2.0])), [1.0 + 125.0 - 2.0]);
/// ```
pub fn kernel_distances(a: &Features, b: &Features) -> Vec<f64> {
    assert_eq!(a.dims, b.dims, "points of one space");
    let n = a.n().min(b.n());
    assert!(n >= 2, "one point is in no pair");
    let size = BLOCK.min(n);
    parallel::map(n / size, |block| {
        let rows = block * size..(block + 1) * size;
        let (x, y) = (a.matrix(rows.clone()), b.matrix(rows));
        let sum = |products: Mat<f64>, pairs: bool| -> f64 {
            let kernel = |v: f64| (v / a.dims as f64 + 1.0).powi(3);
            let column = |j: usize| {
                let values = products.col_as_slice(j);
                values.iter().map(|v| kernel(*v)).sum::<f64>() - if pairs { kernel(values[j]) } else { 0.0 }
            };
            (0..size).map(column).sum()
        };
        let within = sum(x * x.transpose(), true) + sum(y * y.transpose(), true);
        let m = size as f64;
        within / (m * (m - 1.0)) - 2.0 * sum(x * y.transpose(), false) / (m * m)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::metric::{mean, stderr};
    use crate::random::{Draws, Purpose};

    fn cloud(n: usize, step: u64, shift: f64) -> Features {
        let values = Draws::new(6, Purpose::Prior, 2, step).normals(n * 4);
        Features::new(4, values.into_iter().map(|v| f64::from(v) + shift).collect())
    }

    #[test]
    fn estimates_are_those_of_a_direct_loop() {
        let (a, b) = (cloud(30, 0, 0.0), cloud(30, 1, 0.5));
        let kernel = |x: &[f64], y: &[f64]| (x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / 4.0 + 1.0).powi(3);
        let mut expected = 0.0;
        for i in 0..30 {
            for j in 0..30 {
                if i != j {
                    expected += (kernel(a.point(i), a.point(j)) + kernel(b.point(i), b.point(j))) / (30.0 * 29.0);
                }
                expected -= 2.0 * kernel(a.point(i), b.point(j)) / 900.0;
            }
        }
        let found = kernel_distances(&a, &b);
        assert!(found.len() == 1 && (found[0] - expected).abs() < 1e-12 * expected.abs(), "{found:?}, not {expected}");
    }

    /// The mean over blocks of one distribution is 0: nothing is left of the bias that comparing points with themselves has.
    #[test]
    fn it_is_unbiased() {
        let same = kernel_distances(&cloud(20_000, 2, 0.0), &cloud(20_000, 3, 0.0));
        assert_eq!(same.len(), 20);
        assert!(mean(&same).abs() < 4.0 * stderr(&same), "{} +- {}", mean(&same), stderr(&same));
        assert!(same.iter().any(|value| *value < 0.0));
        let apart = kernel_distances(&cloud(5000, 2, 0.0), &cloud(5000, 3, 0.3));
        assert!(mean(&apart) > 8.0 * stderr(&apart));
    }
}

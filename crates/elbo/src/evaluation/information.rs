//! What the code knows of the data, and how the KL term divides (Hoffman & Johnson 2016, "ELBO surgery"; Chen et al. 2018, arXiv:1802.04942, eq. 2).

use super::codes::Codes;
use super::metric::Metric;
use crate::error::{Error, Result};
use crate::random::{Draws, Purpose};

/// The KL of each example, divided in three.
///
/// With the aggregate posterior `q(z) = 1/N sum_n q(z|x_n)` and one draw `z` of each example's posterior,
///
/// `KL(q(z|x) || p(z)) = E[log q(z|x) - log q(z)] + E[log q(z) - sum_j log q(z_j)] + E[sum_j log q(z_j) - log p(z)]`:
/// mutual information, total correlation, dimension-wise KL. The three add up draw by draw.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Information {
    /// `log q(z|x) - log p(z)` of each draw: its mean estimates the KL term.
    pub kl: Vec<f64>,
    /// `log q(z|x) - log q(z)`: mean at most `ln N`.
    pub mutual_information: Vec<f64>,
    /// `log q(z) - sum_j log q(z_j)`: how far the dimensions of the code are from independent.
    pub total_correlation: Vec<f64>,
    /// `sum_j (log q(z_j) - log p(z_j))`: how far each dimension alone is from N(0, 1).
    pub dimension_wise_kl: Vec<f64>,
}

/// Divides the KL of a split's codes. Every posterior of the split is in the mixture: nothing is weighted or left out, so the estimate has no bias from
/// minibatches. Takes `N^2` times the latent dimensions.
///
/// # Errors
/// [`Error::Config`] for codes without a posterior.
///
/// ```
/// use elbo::evaluation::{Codes, information};
///
/// // Two needles far apart: the code tells which example it is, ln 2 nats.
/// let codes = Codes { latent: 1, mean: vec![-1.0, 1.0], log_var: Some(vec![-8.0; 2]), labels: None };
/// let parts = information(&codes, 0)?;
/// assert!((parts.mutual_information[0] - 2f64.ln()).abs() < 1e-4);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn information(codes: &Codes, seed: u64) -> Result<Information> {
    let Some(log_var) = &codes.log_var else {
        let help = "an autoencoder has codes without a distribution; ask for other metrics";
        return Err(Error::config("mutual_information", "a model with a posterior q(z|x)", "one without", help));
    };
    let (latent, n) = (codes.latent, codes.n());
    let noise: Vec<f32> =
        (0..n as u64).flat_map(|i| Draws::new(seed, Purpose::AggregateNoise, 0, i).normals(latent)).collect();
    let draw = |((mean, log_var), noise): ((&f32, &f32), &f32)| mean + (0.5 * log_var).exp() * noise;
    let z: Vec<f32> = codes.mean.iter().zip(log_var).zip(&noise).map(draw).collect();
    let densities = elbo_kernels::DiagonalPosteriors::new(&codes.mean, log_var, latent).log_densities(&z);

    let [mut kl, mut mutual_information, mut total_correlation, mut dimension_wise_kl] =
        [(); 4].map(|()| Vec::with_capacity(n));
    let rows = z.chunks_exact(latent).zip(noise.chunks_exact(latent)).zip(log_var.chunks_exact(latent));
    for (((z, noise), log_var), density) in rows.zip(&densities) {
        let own: f64 = noise.iter().zip(log_var).map(|(e, v)| log_normal(f64::from(*e)) - 0.5 * f64::from(*v)).sum();
        let prior: f64 = z.iter().map(|z| log_normal(f64::from(*z))).sum();
        let independent: f64 = density.marginals.iter().sum();
        kl.push(own - prior);
        mutual_information.push(own - density.joint);
        total_correlation.push(density.joint - independent);
        dimension_wise_kl.push(independent - prior);
    }
    Ok(Information { kl, mutual_information, total_correlation, dimension_wise_kl })
}

/// `log N(value; 0, 1)`.
fn log_normal(value: f64) -> f64 {
    -0.5 * (value * value + std::f64::consts::TAU.ln())
}

impl Information {
    /// `mutual_information`, `total_correlation`, `dimension_wise_kl` and their sum `kl_sampled`.
    pub fn metrics(&self) -> [(&'static str, Metric); 4] {
        let n = self.kl.len();
        let over = format!("q(z) the mixture of all {n} posteriors, one draw of each");
        let of = |values: &[f64], what: &str| Metric::mean_of(values, "nats per example", format!("{what}, {over}"));
        let most = format!("I(x; z) = E[log q(z|x) - log q(z)], at most ln {n} = {:.2}", (n as f64).ln());
        [
            ("mutual_information", of(&self.mutual_information, &most)),
            (
                "total_correlation",
                of(&self.total_correlation, "KL(q(z) || prod_j q(z_j)), 0 for independent dimensions"),
            ),
            ("dimension_wise_kl", of(&self.dimension_wise_kl, "sum_j KL(q(z_j) || N(0, 1))")),
            ("kl_sampled", of(&self.kl, "E[log q(z|x) - log p(z)], the sum of the three")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::metric::{mean, stderr};

    fn normals(count: usize, step: u64) -> Vec<f64> {
        Draws::new(3, Purpose::Prior, 9, step).normals(count).into_iter().map(f64::from).collect()
    }

    /// Posteriors of variance `s^2` whose means are Gaussian with correlation `rho`: everything is known in closed form.
    #[test]
    fn gaussian_codes_have_their_known_information_and_correlation() {
        let (n, rho, s2) = (6000, 0.8f64, 0.25f64);
        let (u, v) = (normals(n, 0), normals(n, 1));
        let mean_codes: Vec<f32> =
            u.iter().zip(&v).flat_map(|(u, v)| [*u as f32, (rho * u + (1.0 - rho * rho).sqrt() * v) as f32]).collect();
        let log_var = vec![s2.ln() as f32; 2 * n];
        let codes = Codes { latent: 2, mean: mean_codes, log_var: Some(log_var), labels: None };
        let found = information(&codes, 0).unwrap();
        // q(z) = N(0, C) with variances 1 + s^2 and covariance rho.
        let variance = 1.0 + s2;
        let determinant = variance * variance - rho * rho;
        let expected = [
            (0.5 * (determinant / (s2 * s2)).ln(), &found.mutual_information),
            (-0.5 * (1.0 - (rho / variance).powi(2)).ln(), &found.total_correlation),
            (2.0 * 0.5 * (variance - 1.0 - variance.ln()), &found.dimension_wise_kl),
        ];
        for (expected, values) in expected {
            let (value, error) = (mean(values), stderr(values));
            // A mixture of n posteriors is not quite the Gaussian it stands for: of order 1/n times the overlap.
            assert!((value - expected).abs() < 4.0 * error + 0.02, "{value} +- {error}, not {expected}");
            assert!(error < 0.05);
        }
    }

    #[test]
    fn the_parts_add_up_and_estimate_the_closed_form() {
        let (n, latent) = (700, 5);
        let mean_codes: Vec<f32> = normals(n * latent, 2).into_iter().map(|v| 0.8 * v as f32).collect();
        let log_var: Vec<f32> = normals(n * latent, 3).into_iter().map(|v| -1.5 + 0.5 * v as f32).collect();
        let closed: Vec<f64> = mean_codes
            .iter()
            .zip(&log_var)
            .map(|(m, v)| (f64::from(*m), f64::from(*v)))
            .map(|(m, v)| 0.5 * (m * m + v.exp() - v - 1.0))
            .collect();
        let closed: Vec<f64> = closed.chunks_exact(latent).map(|row| row.iter().sum()).collect();
        let codes = Codes { latent, mean: mean_codes, log_var: Some(log_var), labels: None };
        let found = information(&codes, 1).unwrap();
        for i in 0..n {
            let sum = found.mutual_information[i] + found.total_correlation[i] + found.dimension_wise_kl[i];
            assert!((sum - found.kl[i]).abs() < 1e-9, "{sum} is not {}", found.kl[i]);
        }
        let difference: Vec<f64> = found.kl.iter().zip(&closed).map(|(a, b)| a - b).collect();
        assert!(mean(&difference).abs() < 4.0 * stderr(&difference), "{}", mean(&difference));
        // Weighting each dimension of the mixture apart, a known fault, makes total correlation far below 0.
        assert!(mean(&found.total_correlation) > -3.0 * stderr(&found.total_correlation));
        assert!(mean(&found.mutual_information) <= (n as f64).ln() + 3.0 * stderr(&found.mutual_information));
    }

    #[test]
    fn autoencoders_are_refused() {
        let codes = Codes { latent: 1, mean: vec![0.0; 3], log_var: None, labels: None };
        assert!(information(&codes, 0).unwrap_err().to_string().contains("mutual_information"));
    }
}

//! How unlike its training data a model finds an example: scores that rise with strangeness, and the threshold above which examples are flagged.
//!
//! All look at one example at a time and know nothing of anomalies. Which is best depends on what anomalies are like; `docs/anomaly.md` has measurements.

use burn::tensor::Device;
use faer::{Mat, Side};
use serde::Serialize;

use super::codes::Codes;
use super::frechet::{Moments, no_convergence};
use super::points::Features;
use crate::data::batch::Batch;
use crate::data::split::Subset;
use crate::error::{Error, Result};
use crate::models::Model;
use crate::tensors::values_of;

/// Examples that go through a model at once.
const BATCH: usize = 512;

/// Share of the largest variance of codes below which a direction counts as constant: rounding of float32 codes would be divided by it.
const CONSTANT: f64 = 1e-10;

/// `-log p(x|z)` of every example of a split at `z` = its mean code: no noise, unlike `recon` of [`super::evaluate`]. In the unit of the model's likelihood.
///
/// # Panics
/// If the examples do not fit the model.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// use elbo::evaluation::reconstruction_errors;
///
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// let errors = reconstruction_errors(&vae, &data.test, &device)?;
/// assert_eq!(errors, reconstruction_errors(&vae, &data.test, &device)?);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn reconstruction_errors(model: &dyn Model, split: &Subset, device: &Device) -> Result<Vec<f64>> {
    let (encoder, observe) = (model.encode_or_refuse()?, model.observe_or_refuse()?);
    let places: Vec<u32> = (0..split.len() as u32).collect();
    let errors = places.chunks(BATCH).flat_map(|chosen| {
        let batch = Batch::of_split(split, chosen, model.needs(), device);
        values_of(observe.nll(&encoder.encode(&batch).into_codes(), &batch.given, batch.x.real()))
    });
    Ok(errors.map(f64::from).collect())
}

/// Distances from the codes of the training data, in units of their own scatter: `d(z)^2 = (z - m)^T C^-1 (z - m)` (Mahalanobis 1936).
///
/// Directions in which the codes do not vary, such as those of unused dimensions of an autoencoder, are left out, as a pseudoinverse does.
#[derive(Debug, Clone)]
pub struct Mahalanobis {
    mean: Vec<f64>,
    /// `[directions, latent]`: what takes a code, less the mean, to unit variance.
    whiten: Mat<f64>,
}

impl Mahalanobis {
    /// From the mean and covariance of the mean codes of training data.
    ///
    /// # Errors
    /// [`Error::Config`] for fewer than two codes, or codes that are all equal; [`Error::Internal`] for codes that are not finite.
    ///
    /// ```
    /// use elbo::evaluation::{Codes, Mahalanobis};
    ///
    /// let codes = |mean: &[f32]| Codes { latent: 2, mean: mean.to_vec(), log_var: None, labels: None };
    /// // Variances 1 and 4 over n - 1, no covariance.
    /// let around = Mahalanobis::fit(&codes(&[1.0, 2.0, -1.0, -2.0, 1.0, -2.0, -1.0, 2.0, 0.0, 0.0]))?;
    /// let distances = around.distances(&codes(&[3.0, 0.0, 0.0, 4.0]));
    /// assert!((distances[0] - 3.0).abs() < 1e-12 && (distances[1] - 2.0).abs() < 1e-12);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn fit(codes: &Codes) -> Result<Self> {
        let values = codes.mean.iter().map(|&value| f64::from(value)).collect();
        let Moments { mean, covariance } = Moments::of(&Features::new(codes.latent, values))?;
        let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(no_convergence)?;
        let (variances, axes) = (eigen.S().column_vector(), eigen.U());
        let largest = variances.iter().copied().fold(0.0, f64::max);
        let varying: Vec<usize> = (0..codes.latent).filter(|&j| variances[j] > CONSTANT * largest).collect();
        if varying.is_empty() {
            let help = "the encoder makes the same of all examples: use another score, or another model";
            return Err(Error::config("mahalanobis", "codes that vary", "equal ones", help));
        }
        let whiten =
            Mat::from_fn(varying.len(), codes.latent, |i, j| axes[(j, varying[i])] / variances[varying[i]].sqrt());
        Ok(Self { mean, whiten })
    }

    /// Directions that count.
    pub fn directions(&self) -> usize {
        self.whiten.nrows()
    }

    /// `d(z)` of each mean code, in standard deviations.
    ///
    /// # Panics
    /// If the codes have other dimensions than those it is made of.
    pub fn distances(&self, codes: &Codes) -> Vec<f64> {
        assert_eq!(codes.latent, self.mean.len(), "codes of one model");
        codes.mean.chunks_exact(codes.latent).map(|code| self.distance(code)).collect()
    }

    fn distance(&self, code: &[f32]) -> f64 {
        let centred: Vec<f64> = code.iter().zip(&self.mean).map(|(value, mean)| f64::from(*value) - mean).collect();
        let along = |i: usize| centred.iter().enumerate().map(|(j, value)| self.whiten[(i, j)] * value).sum::<f64>();
        (0..self.directions()).map(|i| along(i).powi(2)).sum::<f64>().sqrt()
    }
}

/// `|value - expected|` of each negative ELBO: what is far likelier than training data is as strange as what is far less likely
/// (Nalisnick et al. 2019, arXiv:1906.02994, section 3, with batches of one example).
///
/// `expected` is the mean negative ELBO of normal examples, best of some that were not trained on.
///
/// ```
/// assert_eq!(elbo::evaluation::typicality(&[90.0, 100.0, 140.0], 105.0), [15.0, 5.0, 35.0]);
/// ```
pub fn typicality(negative_elbo: &[f64], expected: f64) -> Vec<f64> {
    negative_elbo.iter().map(|value| (value - expected).abs()).collect()
}

/// A score above which examples are flagged, chosen for a false-alarm rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Threshold {
    /// Examples that score higher are flagged.
    pub value: f64,
    /// The false-alarm rate that was asked for.
    pub asked: f64,
    /// Share of the normal examples it was chosen on that it flags, at most `asked`.
    pub found: f64,
    /// Number of those.
    pub n: usize,
}

impl Threshold {
    /// The `k`-th smallest of `n` scores of normal examples, `k = ceil((n + 1) (1 - rate))`: a further normal example is then flagged with a probability of at most
    /// `rate`, whatever the distribution (a conformal quantile; Vovk, Gammerman & Shafer 2005). None where `rate < 1 / (n + 1)`: so few examples tell nothing of
    /// so rare an event.
    ///
    /// # Panics
    /// If `rate` is not between 0 and 1, or a score is not a number.
    ///
    /// ```
    /// use elbo::evaluation::Threshold;
    ///
    /// let scores: Vec<f64> = (1..=99).map(f64::from).collect();
    /// let threshold = Threshold::at(&scores, 0.05).unwrap();
    /// assert_eq!((threshold.value, threshold.found), (95.0, 4.0 / 99.0));
    /// assert!(threshold.flags(95.5) && !threshold.flags(95.0));
    /// assert_eq!(Threshold::at(&scores, 0.001), None, "999 examples can tell one in a thousand");
    /// ```
    pub fn at(scores: &[f64], rate: f64) -> Option<Self> {
        assert!(rate > 0.0 && rate < 1.0, "a false-alarm rate is between 0 and 1");
        assert!(scores.iter().all(|score| !score.is_nan()), "what is not a number has no rank");
        let n = scores.len();
        // 0.05 of 20 is one example, though (n + 1) * 0.95 may round to more than 19.95.
        let place = ((n + 1) as f64 * (1.0 - rate) - 1e-9).ceil().max(1.0) as usize;
        if place > n {
            return None;
        }
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        let value = sorted[place - 1];
        let above = sorted.iter().filter(|score| **score > value).count();
        Some(Self { value, asked: rate, found: above as f64 / n as f64, n })
    }

    /// Whether a score is above it.
    pub fn flags(&self, score: f64) -> bool {
        score > self.value
    }

    /// Normal examples that are needed for a false-alarm rate.
    pub fn examples_for(rate: f64) -> usize {
        (1.0 / rate - 1.0 - 1e-9).ceil().max(1.0) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    #[test]
    fn no_more_false_alarms_than_asked_for() {
        for (n, rate) in [(19, 0.05), (20, 0.05), (99, 0.01), (1000, 0.1), (7, 0.5), (3, 0.9)] {
            let scores: Vec<f64> =
                Draws::new(n, Purpose::Choice, 0, 0).normals(n as usize).iter().map(|&v| v.into()).collect();
            let threshold = Threshold::at(&scores, rate).unwrap();
            let flagged = scores.iter().filter(|score| threshold.flags(**score)).count();
            assert_eq!(flagged as f64 / n as f64, threshold.found);
            assert!(threshold.found <= rate, "{n}, {rate}: {threshold:?}");
            // One more would be too many for a further example: (flagged + 1 + 1) / (n + 1) > rate.
            assert!((flagged + 2) as f64 > rate * (n + 1) as f64, "{n}, {rate}: {threshold:?}");
            assert_eq!(
                Threshold::at(&vec![1.0; n as usize], rate).unwrap().found,
                0.0,
                "ties are not above themselves"
            );
        }
        for rate in [0.05, 0.01, 0.1, 0.5, 0.003] {
            let n = Threshold::examples_for(rate);
            assert!(Threshold::at(&vec![0.0; n], rate).is_some() && Threshold::at(&vec![0.0; n - 1], rate).is_none());
        }
        assert_eq!(Threshold::examples_for(0.05), 19);
    }

    /// Over many sets of 39 examples, a 40th is flagged at most as often as asked.
    #[test]
    fn a_further_normal_example_is_flagged_as_rarely_as_asked() {
        let flagged = (0..4000).filter(|&seed| {
            let scores: Vec<f64> =
                Draws::new(seed, Purpose::Choice, 0, 0).normals(40).iter().map(|&v| v.into()).collect();
            Threshold::at(&scores[..39], 0.1).unwrap().flags(scores[39])
        });
        let rate = flagged.count() as f64 / 4000.0;
        // Exactly 0.1 in expectation; the standard error of 4,000 trials is 0.005.
        assert!((0.08..0.12).contains(&rate), "{rate}");
    }

    #[test]
    fn distances_are_those_of_the_closed_form() {
        // Correlated codes in the plane: C = A A^T with A = [[2, 0], [1, 3]], as far as 4,000 draws tell.
        let noise = Draws::new(3, Purpose::Choice, 0, 0).normals(8000);
        let mean: Vec<f32> = noise.chunks_exact(2).flat_map(|e| [5.0 + 2.0 * e[0], -1.0 + e[0] + 3.0 * e[1]]).collect();
        let codes = Codes { latent: 2, mean, log_var: None, labels: None };
        let fitted = Mahalanobis::fit(&codes).unwrap();
        // The sample's own mean and covariance, inverted by hand.
        let n = codes.n() as f64;
        let centre = codes.centre();
        let sum = |f: fn(f64, f64) -> f64| {
            codes.mean.chunks_exact(2).map(|c| f(f64::from(c[0]) - centre[0], f64::from(c[1]) - centre[1])).sum::<f64>()
        };
        let [a, b, d] = [sum(|x, _| x * x), sum(|x, y| x * y), sum(|_, y| y * y)].map(|sum| sum / (n - 1.0));
        for (x, y) in [(5.0f32, -1.0), (9.0, 4.0), (-20.0, 0.5)] {
            let (u, v) = (f64::from(x) - centre[0], f64::from(y) - centre[1]);
            let expected = ((d * u * u - 2.0 * b * u * v + a * v * v) / (a * d - b * b)).sqrt();
            let found = fitted.distances(&Codes { mean: vec![x, y], ..codes.clone() })[0];
            assert!((found - expected).abs() < 1e-9 * (1.0 + expected), "{found} is not {expected}");
        }
        // The mean squared distance of the codes themselves is (n - 1) / n times their dimensions.
        let squares: f64 = fitted.distances(&codes).iter().map(|d| d * d).sum();
        assert!((squares / n - 2.0 * (n - 1.0) / n).abs() < 1e-9);
    }

    #[test]
    fn constant_directions_do_not_count() {
        let mean: Vec<f32> = (0..30).flat_map(|i| [i as f32, 7.0, 2.0 * i as f32]).collect();
        let codes = Codes { latent: 3, mean, log_var: None, labels: None };
        let fitted = Mahalanobis::fit(&codes).unwrap();
        assert_eq!(fitted.directions(), 1);
        let found = fitted.distances(&Codes { mean: vec![14.5, 900.0, 29.0], ..codes.clone() })[0];
        assert!(found < 1e-6, "{found}: away from the codes only where they do not vary");
        let equal = Codes { mean: vec![1.0; 30], ..codes.clone() };
        assert!(Mahalanobis::fit(&equal).unwrap_err().to_string().contains("codes that vary"));
        assert!(Mahalanobis::fit(&Codes { mean: vec![1.0; 3], ..codes }).is_err(), "one code");
    }
}

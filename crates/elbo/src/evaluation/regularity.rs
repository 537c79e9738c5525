//! What the KL term is said to buy: a reconstruction that holds for data never seen, and a code that may be off a little.

use burn::tensor::{Device, Tensor, TensorData};

use super::anomaly::reconstruction_errors;
use super::codes::encode;
use super::metric::{Metric, mean, stderr};
use crate::data::batch::batch;
use crate::data::split::Subset;
use crate::models::Model;
use crate::random::{Draws, Purpose};
use crate::run::parameters::values_of;

/// Draws of noise behind `noise_tolerance`.
const REPEATS: u64 = 4;
/// The largest noise tried, in standard deviations of the codes.
const LARGEST: f64 = 8.0;
/// Halvings of the interval in which the reconstruction breaks.
const HALVINGS: usize = 8;

/// `recon_gap`: `recon` of held-out examples less that of training examples, both at the mean of the code, so that an autoencoder and a VAE are asked the
/// same thing. 0 for a model that has learned nothing by heart; its standard error is that of both means.
///
/// # Panics
/// If one side is empty, or the examples do not fit the model.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// use elbo::evaluation::recon_gap;
///
/// let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::mlp(&[32]), Likelihood::Bernoulli, 0, &device);
/// assert_eq!(recon_gap(&vae, &[data.train.clone()], &data.train, &device).value, 0.0);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn recon_gap(model: &dyn Model, held_out: &[Subset], train: &Subset, device: &Device) -> Metric {
    let seen = reconstruction_errors(model, train, device);
    let unseen: Vec<f64> = held_out.iter().flat_map(|part| reconstruction_errors(model, part, device)).collect();
    let definition = format!(
        "recon of {} held-out examples less that of {} training examples, at the mean of the code",
        unseen.len(),
        seen.len()
    );
    let gap = Metric::new(mean(&unseen) - mean(&seen), model.likelihood().unit(), definition);
    Metric { stderr: Some(stderr(&unseen).hypot(stderr(&seen))), ..gap }
}

/// `noise_tolerance`: the size of Gaussian noise on the mean codes, in standard deviations of each latent dimension over the examples, at which the mean squared
/// error of the reconstructions reaches half of the variance of the data (so that half of it is still explained). 0 where it is larger without noise.
///
/// Dimensions that the data do not move get no noise, and stretching a dimension changes nothing, so that an autoencoder's code, whose scale is arbitrary, and a
/// VAE's compare. Means over four draws of the noise, with their standard error; 8 where even noise of eight standard deviations breaks nothing.
///
/// # Panics
/// If there are no examples or they do not fit the model.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// use elbo::evaluation::noise_tolerance;
///
/// let untrained = Vae::init([1, 28, 28], 2, &NetworkConfig::mlp(&[32]), Likelihood::Bernoulli, 0, &device);
/// assert_eq!(noise_tolerance(&untrained, &[data.test], 0, &device).value, 0.0);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn noise_tolerance(model: &dyn Model, parts: &[Subset], seed: u64, device: &Device) -> Metric {
    let probed = Probed::of(model, parts, device);
    let found: Vec<f64> = (0..REPEATS).map(|repeat| probed.tolerance(seed, repeat)).collect();
    let definition = format!(
        "noise on the mean code, in standard deviations of each dimension over {} examples, at which the squared error of E[x|z] is half of the data's variance",
        probed.means.len()
    );
    Metric::mean_of(&found, "standard deviations of the codes", definition)
}

/// Examples with their codes.
struct Probed<'a> {
    model: &'a dyn Model,
    device: &'a Device,
    /// Mean code of each example.
    means: Vec<Vec<f32>>,
    /// Standard deviation of each latent dimension over the examples.
    spread: Vec<f64>,
    x: Vec<Vec<f32>>,
    /// Squared distance of the examples from their mean, per value.
    variance: f64,
}

impl<'a> Probed<'a> {
    fn of(model: &'a dyn Model, parts: &[Subset], device: &'a Device) -> Self {
        let (mut means, mut x) = (Vec::new(), Vec::new());
        for part in parts {
            means.extend(encode(model, part, device).mean.chunks(model.latent()).map(<[f32]>::to_vec));
            let places: Vec<u32> = (0..part.len() as u32).collect();
            for chosen in places.chunks(512) {
                x.extend(values_of(batch(part, chosen, device)).chunks(model.input()).map(<[f32]>::to_vec));
            }
        }
        let spread = variances(&means).into_iter().map(f64::sqrt).collect();
        let per_value = variances(&x);
        Self { model, device, means, spread, variance: mean(&per_value), x }
    }

    /// Doubles the noise until the reconstruction breaks, then halves the interval.
    fn tolerance(&self, seed: u64, repeat: u64) -> f64 {
        let breaks = |size: f64| self.error(size, seed, repeat) >= 0.5 * self.variance;
        if breaks(0.0) {
            return 0.0;
        }
        let (mut holds, mut broken) = (0.0, 0.125);
        while !breaks(broken) {
            if broken >= LARGEST {
                return LARGEST;
            }
            (holds, broken) = (broken, 2.0 * broken);
        }
        for _ in 0..HALVINGS {
            let middle = 0.5 * (holds + broken);
            if breaks(middle) { broken = middle } else { holds = middle }
        }
        0.5 * (holds + broken)
    }

    /// Mean squared error per value with noise of `size`; the same draws for every size.
    fn error(&self, size: f64, seed: u64, repeat: u64) -> f64 {
        let latent = self.model.latent();
        let mut sum = 0.0;
        for (i, (means, x)) in self.means.chunks(512).zip(self.x.chunks(512)).enumerate() {
            let noise = Draws::new(seed, Purpose::CodeNoise, repeat, i as u64).normals(means.len() * latent);
            let moved = means
                .iter()
                .flatten()
                .zip(&noise)
                .enumerate()
                .map(|(place, (mean, noise))| mean + (size * self.spread[place % latent]) as f32 * noise);
            let z = TensorData::new(moved.collect::<Vec<f32>>(), [means.len(), latent]);
            let made = values_of(self.model.decode_mean(Tensor::from_data(z, self.device)));
            sum += x.iter().flatten().zip(&made).map(|(x, made)| f64::from(x - made).powi(2)).sum::<f64>();
        }
        sum / (self.x.len() * self.model.input()) as f64
    }
}

/// Variance of each column over the rows.
fn variances(rows: &[Vec<f32>]) -> Vec<f64> {
    let n = rows.len() as f64;
    let column = |place: usize| {
        let mean = rows.iter().map(|row| f64::from(row[place])).sum::<f64>() / n;
        rows.iter().map(|row| (f64::from(row[place]) - mean).powi(2)).sum::<f64>() / n
    };
    (0..rows[0].len()).map(column).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::digits;
    use crate::distributions::{Likelihood, Link};
    use crate::models::{Code, Terms};

    /// The code is the example itself, and the decoder gives back the code: the error of the reconstruction is the noise.
    struct Mirror;

    impl Model for Mirror {
        fn latent(&self) -> usize {
            784
        }

        fn input(&self) -> usize {
            784
        }

        fn likelihood(&self) -> Likelihood {
            Likelihood::Sse { link: Link::Identity }
        }

        fn encode(&self, x: Tensor<2>) -> Code {
            Code { mean: x, log_var: None }
        }

        fn decode(&self, z: Tensor<2>) -> Tensor<2> {
            z
        }

        fn terms(&self, x: Tensor<2>, noise: Tensor<2>) -> Terms {
            Terms { recon: noise.square().sum_dim(1).squeeze_dim(1) + 0.0 * x.sum(), kl: None, bound: None }
        }
    }

    #[test]
    fn noise_on_an_identity_breaks_it_at_the_square_root_of_a_half() {
        let device = crate::device::choose("cpu").unwrap();
        let data = Subset::all(Arc::new(digits::generate(0, 400)));
        let found = noise_tolerance(&Mirror, std::slice::from_ref(&data), 0, &device);
        // The error is size^2 times the variance: half of it at 0.7071; clamping is none of this model's business.
        assert!((found.value - 0.5f64.sqrt()).abs() < 0.01, "{found:?}");
        assert!(found.stderr.unwrap() < 0.01);
        let gap = recon_gap(&Mirror, &[data.take(100)], &data, &device);
        assert_eq!((gap.value, gap.stderr), (0.0, Some(0.0)));
    }
}

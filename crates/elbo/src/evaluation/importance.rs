//! Importance-weighted estimates of log p(x), the numbers that papers print (Burda, Grosse & Salakhutdinov 2015, arXiv:1509.00519, eq. 8 and section 5).

use burn::tensor::{Device, Tensor, TensorData};

use super::metric::Metric;
use crate::data::batch::{Batch, Given};
use crate::data::split::Subset;
use crate::error::{Error, Result};
use crate::models::{Encode, Model, Observe, Posterior};
use crate::parallel;
use crate::random::{Draws, Purpose};
use crate::tensors::values_of;

/// Samples of one image that share a stream of noise.
const CHUNK: usize = 512;

/// Most values of the decoder's output that a thread holds: 16 MiB.
const VALUES: usize = 1 << 22;

/// Images encoded at once, and so between two calls of `progress`.
const IMAGES: usize = 512;

/// How [`importance_weighted`] draws from the posterior.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportanceSampling {
    /// Draws for each image, `k`, at least 1. Papers take 5000.
    pub samples: usize,
    /// Seed of all draws.
    pub seed: u64,
}

/// Estimates of log p(x) from `samples` draws of the posterior, image by image.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImportanceWeighted {
    /// Draws for each image, `k`.
    pub samples: usize,
    /// `ln 1/k sum_i w_i` of each image, in nats.
    pub log_likelihood: Vec<f64>,
    /// Effective number of samples of each image, `(sum w)^2 / sum w^2`, from 1 to `k`.
    pub effective_samples: Vec<f64>,
}

/// Estimates `log p(x)` of every image of a split:
///
/// `log p(x) >= E[ln 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x)]`, with `z_i` drawn from q(z|x) and `p(z) = N(0, I)`.
///
/// The bound rises with `k` and is exact at any `k` where q(z|x) is the true posterior; with `k = 1` it is the ELBO with both terms sampled.
/// Draws are functions of (seed, place in the split, number of the sample), sums are in float64. `progress` hears how many images are done.
///
/// # Errors
/// [`Error::Config`] for models without a posterior, likelihoods that are none, and 0 samples.
///
/// # Panics
/// If the images do not fit the model.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 60, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// use elbo::evaluation::{ImportanceSampling, importance_weighted};
///
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// let sampling = ImportanceSampling { samples: 50, seed: 0 };
/// let estimate = importance_weighted(&vae, &data.test, sampling, &device, &mut |_| {})?;
/// let [(_, nll), (_, effective)] = estimate.metrics();
/// println!("{} +- {} {}", nll.value, nll.stderr.unwrap(), nll.unit);
/// assert!(effective.value >= 1.0 && effective.value <= 50.0);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn importance_weighted(
    model: &dyn Model,
    split: &Subset,
    sampling: ImportanceSampling,
    device: &Device,
    progress: &mut dyn FnMut(usize),
) -> Result<ImportanceWeighted> {
    let sampler = Sampler::new(model, split, sampling, device)?;
    let mut estimates =
        ImportanceWeighted { samples: sampling.samples, log_likelihood: Vec::new(), effective_samples: Vec::new() };
    let places: Vec<u32> = (0..split.len() as u32).collect();
    for chosen in places.chunks(IMAGES) {
        for (log_likelihood, effective) in sampler.images(split, chosen)? {
            estimates.log_likelihood.push(log_likelihood);
            estimates.effective_samples.push(effective);
        }
        progress(estimates.log_likelihood.len());
    }
    Ok(estimates)
}

impl ImportanceWeighted {
    /// Adds what the same model made of further images.
    pub fn append(&mut self, further: Self) {
        self.log_likelihood.extend(further.log_likelihood);
        self.effective_samples.extend(further.effective_samples);
    }

    /// `nll_iw` and `ess`.
    pub fn metrics(&self) -> [(&'static str, Metric); 2] {
        let (k, n) = (self.samples, self.log_likelihood.len());
        let nll: Vec<f64> = self.log_likelihood.iter().map(|value| -value).collect();
        let definition = format!(
            "-ln 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x), z_i ~ q(z|x), k = {k}: an upper bound on -log p(x) that falls with k, mean over {n} examples"
        );
        let nll = Metric { k: Some(k), ..Metric::mean_of(&nll, "nats per example", definition) };
        let definition = format!(
            "(sum_i w_i)^2 / sum_i w_i^2 of the weights behind nll_iw, from 1 to k = {k}: {k} where q(z|x) is the true posterior, mean over {n} examples"
        );
        let effective = Metric::mean_of(&self.effective_samples, "samples", definition);
        [("nll_iw", nll), ("ess", Metric { k: Some(k), ..effective })]
    }
}

/// What all images share.
struct Sampler<'a> {
    encoder: &'a dyn Encode,
    decoder: &'a dyn Observe,
    latent: usize,
    samples: usize,
    seed: u64,
    device: &'a Device,
    /// Rows decoded at once.
    rows: usize,
}

/// Images of one batch with their posteriors, on the host.
struct Posteriors<'a> {
    places: &'a [u32],
    x: Vec<f32>,
    mean: Vec<f32>,
    log_var: Vec<f32>,
    /// What a conditional model is told.
    class: Option<Vec<i32>>,
}

impl Posteriors<'_> {
    /// What is told of `rows` codes of these images, as many of each.
    fn given(&self, images: std::ops::Range<usize>, rows: usize, device: &Device) -> Given {
        let Some(class) = &self.class else { return Given::default() };
        let classes: Vec<u32> = class[images.clone()].iter().map(|&class| class as u32).collect();
        Given::of_classes(&classes, device).repeated(rows / images.len())
    }
}

impl<'a> Sampler<'a> {
    fn new(model: &'a dyn Model, split: &Subset, sampling: ImportanceSampling, device: &'a Device) -> Result<Self> {
        let ImportanceSampling { samples, seed } = sampling;
        if samples == 0 {
            return Err(Error::config("k", "at least 1 sample", "0", "papers take 5000; 100 is a quick estimate"));
        }
        let (encoder, decoder) = (model.encode_vectors_or_refuse()?, model.observe_or_refuse()?);
        let likelihood = decoder.likelihood();
        if !likelihood.is_distribution() {
            let help = "choose a likelihood such as `bernoulli` or `gaussian-shared`, or ask for other metrics";
            return Err(Error::config("nll_iw", "a likelihood", likelihood.describe(), help));
        }
        model.prior_or_refuse()?;
        let [channels, height, width] = split.source().shape().dims();
        let outputs = likelihood.output_channels(channels) * height * width;
        let rows = (VALUES / outputs).clamp(1, decoder.codes_at_once());
        let latent = encoder.codes()[0].numel();
        Ok(Self { encoder, decoder, latent, samples, seed, device, rows })
    }

    /// Log-likelihood and effective samples of the images `chosen`.
    fn images(&self, split: &Subset, chosen: &[u32]) -> Result<Vec<(f64, f64)>> {
        let batch = Batch::of_split(split, chosen, self.encoder.needs(), self.device);
        let Posterior::Gaussian(posterior) = self.encoder.encode(&batch) else {
            let help = "an autoencoder gives no density of x; ask for other metrics";
            return Err(Error::config("nll_iw", "a model with a posterior q(z|x)", "one without", help));
        };
        let (mean, log_var) = (values_of(posterior.mean), values_of(posterior.log_var));
        let class = batch.given.class.map(|class| class.into_data_as::<i32>().try_into_vec::<i32>().expect("numbers"));
        let posteriors = Posteriors { places: chosen, x: values_of(batch.x.real()), mean, log_var, class };
        let together = (self.rows / self.samples).max(1);
        let parts = chosen.len().div_ceil(together);
        let estimates = parallel::map(parts, |part| {
            let first = part * together;
            self.weigh(&posteriors, first..(first + together).min(chosen.len()))
        });
        Ok(estimates.into_iter().flatten().collect())
    }

    /// A few images that are decoded together.
    fn weigh(&self, posteriors: &Posteriors<'_>, images: std::ops::Range<usize>) -> Vec<(f64, f64)> {
        let mut log_weights = vec![Vec::with_capacity(self.samples); images.len()];
        let together = self.rows.next_multiple_of(CHUNK);
        for start in (0..self.samples).step_by(together) {
            let count = together.min(self.samples - start);
            let (mut z, mut log_ratios) = (Vec::new(), Vec::new());
            for image in images.clone() {
                for first in (start..start + count).step_by(CHUNK) {
                    let drawn = first..(first + CHUNK).min(start + count);
                    self.draw(posteriors, image, drawn, &mut z, &mut log_ratios);
                }
            }
            let nll = self.nll(posteriors, images.clone(), z);
            let rows = log_ratios.chunks_exact(count).zip(nll.chunks_exact(count));
            for (weights, (ratios, nll)) in log_weights.iter_mut().zip(rows) {
                weights.extend(ratios.iter().zip(nll).map(|(ratio, nll)| ratio - f64::from(*nll)));
            }
        }
        log_weights.iter().map(|weights| summarise(weights)).collect()
    }

    /// Appends draws of an image's posterior, of a chunk or the beginning of one, and `log p(z) - log q(z|x)` of each. With `z = mean + e^(log_var / 2) noise` that is
    /// `(|noise|^2 - |z|^2 + sum log_var) / 2`.
    fn draw(
        &self,
        posteriors: &Posteriors<'_>,
        image: usize,
        drawn: std::ops::Range<usize>,
        z: &mut Vec<f32>,
        log_ratios: &mut Vec<f64>,
    ) {
        let latent = self.latent;
        let span = image * latent..(image + 1) * latent;
        let (mean, log_var) = (&posteriors.mean[span.clone()], &posteriors.log_var[span]);
        let scale: Vec<f32> = log_var.iter().map(|v| (0.5 * v).exp()).collect();
        let volume: f64 = log_var.iter().map(|v| f64::from(*v)).sum();
        let place = u64::from(posteriors.places[image]);
        let chunk = (drawn.start / CHUNK) as u64;
        let noise = Draws::new(self.seed, Purpose::ImportanceNoise, chunk, place).normals(drawn.len() * latent);
        for noise in noise.chunks_exact(latent) {
            let mut difference = 0f64;
            for ((mean, scale), noise) in mean.iter().zip(&scale).zip(noise) {
                let value = mean + scale * noise;
                difference += f64::from(*noise).powi(2) - f64::from(value).powi(2);
                z.push(value);
            }
            log_ratios.push(0.5 * (difference + volume));
        }
    }

    /// `-log p(x|z)` of each row of `z`, as many for each image.
    fn nll(&self, posteriors: &Posteriors<'_>, images: std::ops::Range<usize>, z: Vec<f32>) -> Vec<f32> {
        let (latent, input) = (self.latent, self.decoder.space().numel());
        let x = posteriors.x[images.start * input..images.end * input].to_vec();
        let x = Tensor::<2>::from_data(TensorData::new(x, [images.len(), input]), self.device);
        // Several images only come together when all their rows fit one pass.
        let whole = if images.len() > 1 { z.len() } else { self.rows * latent };
        let decoded = z.chunks(whole).flat_map(|rows| {
            let n = rows.len() / latent;
            let z = Tensor::<2>::from_data(TensorData::new(rows.to_vec(), [n, latent]), self.device);
            values_of(self.decoder.nll(&[z.into()], &posteriors.given(images.clone(), n, self.device), x.clone()))
        });
        decoded.collect()
    }
}

/// `ln mean w` and `(sum w)^2 / sum w^2`, from logarithms.
fn summarise(log_weights: &[f64]) -> (f64, f64) {
    let most = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut sum, mut squares) = (0f64, 0f64);
    for log_weight in log_weights {
        let weight = (log_weight - most).exp();
        sum += weight;
        squares += weight * weight;
    }
    (most + (sum / log_weights.len() as f64).ln(), sum * sum / squares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_summarised_without_overflow() {
        let (log_mean, effective) = summarise(&[1000.0, 1000.0 + 3f64.ln()]);
        assert!((log_mean - (1000.0 + 2f64.ln())).abs() < 1e-12);
        assert!((effective - 16.0 / 10.0).abs() < 1e-12);
        assert_eq!(summarise(&[-5000.0; 7]), (-5000.0, 7.0));
    }
}

//! The codes of a split: what the encoder makes of data.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use crate::data::batch::{Batch, Given};
use crate::data::split::Subset;
use crate::error::{Error, Result};
use crate::models::{Encode, Model, Posterior};
use crate::space::Rows;
use crate::tensors::values_of;

/// Variance of the posterior mean over data above which a dimension counts as active (Burda et al. 2015, arXiv:1509.00519, section 4).
pub const ACTIVE_THRESHOLD: f64 = 0.01;
/// Deviation relative to the mean below which float32 codes are the same: rounding in a sum of some hundred products.
const SAME: f64 = 3e-6;

/// Examples encoded at once.
const BATCH: usize = 512;

/// Posterior means and log variances of a split, in its order.
#[derive(Debug, Clone)]
pub struct Codes {
    /// Dimensions of the code.
    pub latent: usize,
    /// `[n, latent]`, row after row.
    pub mean: Vec<f32>,
    /// `[n, latent]`; none for an autoencoder.
    pub log_var: Option<Vec<f32>>,
    /// Class of each example, where known.
    pub labels: Option<Vec<u32>>,
}

/// Encodes a split.
///
/// # Errors
/// [`crate::Error::Unsupported`] if the model does not encode to one code of real numbers.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// use elbo::evaluation::encode;
///
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// let codes = encode(&vae, &data.test, &device)?;
/// for (code, label) in codes.mean.chunks(codes.latent).zip(codes.labels.unwrap()).take(3) {
///     println!("a {label} lies at {code:?}");
/// }
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn encode(model: &dyn Model, split: &Subset, device: &Device) -> Result<Codes> {
    encode_while(model, split, device, &|| Ok(()))
}

/// [`encode`], asking before each batch whether to go on.
pub(crate) fn encode_while(
    model: &dyn Model,
    split: &Subset,
    device: &Device,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Codes> {
    let encoder = model.encode_vectors_or_refuse()?;
    let places: Vec<u32> = (0..split.len() as u32).collect();
    let mut outcome = Ok(());
    let batches = places.chunks(BATCH).map_while(|chosen| {
        outcome = go_on();
        outcome.is_ok().then(|| Batch::of_split(split, chosen, model.needs(), device))
    });
    let codes = encode_batches(encoder, batches);
    outcome?;
    let labels = (0..split.len()).map(|i| split.label(i)).collect();
    Ok(Codes { labels, ..codes })
}

/// Encodes images given by their values, such as samples. `given` is what the model needs of a chunk of so many images, from the first place on.
///
/// # Shapes
/// - `values`: `[n, values]`
///
/// # Errors
/// As [`encode`].
///
/// # Panics
/// If the values are no whole number of the model's inputs.
pub fn encode_values(
    model: &dyn Model,
    values: &[f32],
    given: impl Fn(Range<usize>) -> Given,
    device: &Device,
) -> Result<Codes> {
    let (encoder, width) = (model.encode_vectors_or_refuse()?, model.space().numel());
    assert!(values.len().is_multiple_of(width), "{} values in images of {width}", values.len());
    let batches = values.chunks(BATCH * width).enumerate().map(|(i, chunk)| {
        let (first, n) = (i * BATCH, chunk.len() / width);
        let x = Tensor::from_data(TensorData::new(chunk.to_vec(), [n, width]), device);
        Batch { x: Rows::Real(x), given: given(first..first + n) }
    });
    Ok(encode_batches(encoder, batches))
}

fn encode_batches(encoder: &dyn Encode, batches: impl Iterator<Item = Batch>) -> Codes {
    let (mut mean, mut log_var) = (Vec::new(), Vec::new());
    for batch in batches {
        match encoder.encode(&batch) {
            Posterior::Gaussian(posterior) => {
                mean.extend(values_of(posterior.mean));
                log_var.extend(values_of(posterior.log_var));
            }
            other => mean.extend(values_of(other.mean())),
        }
    }
    let log_var = (log_var.len() == mean.len()).then_some(log_var);
    Codes { latent: encoder.codes()[0].numel(), mean, log_var, labels: None }
}

impl Codes {
    /// Adds the codes that the same model gave to further examples.
    pub fn append(&mut self, further: Self) {
        self.mean.extend(further.mean);
        self.log_var = self.log_var.take().zip(further.log_var).map(|(a, b)| [a, b].concat());
        self.labels = self.labels.take().zip(further.labels).map(|(a, b)| [a, b].concat());
    }

    /// Number of examples.
    pub fn n(&self) -> usize {
        self.mean.len() / self.latent
    }

    /// Mean over the data of each dimension of the code.
    pub fn centre(&self) -> Vec<f64> {
        self.moments().into_iter().map(|(mean, _)| mean).collect()
    }

    /// Standard deviation over the data of each dimension of the code.
    pub fn spread(&self) -> Vec<f64> {
        self.moments().into_iter().map(|(_, variance)| variance.sqrt()).collect()
    }

    /// What each dimension carries: the mean KL of its posterior from N(0, 1), `(mean^2 + variance - 1 - ln variance) / 2` in nats; of an autoencoder,
    /// which has no posterior, the variance of its codes.
    ///
    /// ```
    /// use elbo::evaluation::Codes;
    ///
    /// let codes = Codes { latent: 2, mean: vec![2.0, 0.0], log_var: Some(vec![0.0, 0.0]), labels: None };
    /// assert_eq!(codes.carried(), [2.0, 0.0]);
    /// ```
    pub fn carried(&self) -> Vec<f64> {
        let Some(log_var) = &self.log_var else {
            return self.moments().into_iter().map(|(_, variance)| variance).collect();
        };
        let mut sums = vec![0f64; self.latent];
        for (means, log_vars) in self.mean.chunks_exact(self.latent).zip(log_var.chunks_exact(self.latent)) {
            for ((sum, &mean), &log_var) in sums.iter_mut().zip(means).zip(log_vars) {
                let (mean, log_var) = (f64::from(mean), f64::from(log_var));
                *sum += 0.5 * (mean * mean + log_var.exp() - 1.0 - log_var);
            }
        }
        sums.into_iter().map(|sum| sum / self.n().max(1) as f64).collect()
    }

    /// Dimensions whose posterior mean varies by more than [`ACTIVE_THRESHOLD`] over the data.
    pub fn active_units(&self) -> usize {
        self.moments().into_iter().filter(|(_, variance)| *variance > ACTIVE_THRESHOLD).count()
    }

    /// Whether each dimension is active, as [`Codes::active_units`] counts them.
    pub fn active(&self) -> Vec<bool> {
        self.moments().into_iter().map(|(_, variance)| variance > ACTIVE_THRESHOLD).collect()
    }

    /// Mean and standard deviation of each dimension of the aggregate posterior, `1/n sum_i q(z|x_i)`, which the prior is meant to be; none for an
    /// autoencoder, which has no posterior.
    ///
    /// ```
    /// use elbo::evaluation::Codes;
    ///
    /// let codes = Codes { latent: 1, mean: vec![-1.0, 1.0], log_var: Some(vec![0.0, 0.0]), labels: None };
    /// assert_eq!(codes.aggregate_moments(), Some(vec![(0.0, 2f64.sqrt())]));
    /// ```
    pub fn aggregate_moments(&self) -> Option<Vec<(f64, f64)>> {
        let (log_var, n) = (self.log_var.as_ref()?, self.n().max(1) as f64);
        let mut within = vec![0f64; self.latent];
        for row in log_var.chunks_exact(self.latent) {
            within.iter_mut().zip(row).for_each(|(sum, log_var)| *sum += f64::from(*log_var).exp() / n);
        }
        let moments = self.moments().into_iter().zip(within);
        Some(moments.map(|((mean, between), within)| (mean, (between + within).sqrt())).collect())
    }

    /// Refuses codes that all lie in one place, as far as float32 tells: there is no plane to lay them out in, and nothing to tell them apart by.
    ///
    /// # Errors
    /// [`Error::Config`] naming `wanted_by`.
    pub fn check_spread(&self, wanted_by: &str) -> Result<()> {
        let finite = self.mean.iter().all(|value| value.is_finite());
        let flat =
            |(mean, variance): (f64, f64)| variance.sqrt() <= SAME * mean.abs().max(f64::from(f32::MIN_POSITIVE));
        if self.n() < 2 || !finite || !self.moments().into_iter().all(flat) {
            return Ok(());
        }
        let found = format!("{} equal ones", self.n());
        let help = "the data are all equal, or the posterior collapsed: `elbo data DATA` and `elbo eval RUN` tell";
        Err(Error::config(wanted_by, "codes that differ", found, help))
    }

    /// Mean and variance (over n, as a population's) of each dimension.
    fn moments(&self) -> Vec<(f64, f64)> {
        let n = self.n().max(1) as f64;
        let mut sums = vec![(0f64, 0f64); self.latent];
        for row in self.mean.chunks_exact(self.latent) {
            for ((sum, squares), &value) in sums.iter_mut().zip(row) {
                *sum += f64::from(value);
                *squares += f64::from(value).powi(2);
            }
        }
        sums.into_iter().map(|(sum, squares)| (sum / n, (squares / n - (sum / n).powi(2)).max(0.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn active_units_are_those_that_move() {
        let codes = Codes { latent: 2, mean: vec![1.0, 0.05, -1.0, -0.05], log_var: None, labels: None };
        assert_eq!(codes.active_units(), 1);
        assert_eq!(codes.centre(), [0.0, 0.0]);
        assert!((codes.spread()[0] - 1.0).abs() < 1e-9);
    }
}

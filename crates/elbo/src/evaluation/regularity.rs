//! What the KL term is said to buy: a reconstruction that holds for data never seen, and a code that may be off a little.

use burn::tensor::{Device, Tensor, TensorData};

use super::anomaly::reconstruction_errors;
use super::codes::encode;
use super::metric::{Metric, mean, stderr};
use crate::data::batch::{Given, Needs, batch};
use crate::data::split::Subset;
use crate::error::Result;
use crate::models::{Decode, Model, Show};
use crate::random::{Draws, Purpose};
use crate::tensors::values_of;

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
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// use elbo::evaluation::recon_gap;
///
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::mlp(&[32]), Likelihood::Bernoulli), 0, &device);
/// assert_eq!(recon_gap(&vae, &[data.train.clone()], &data.train, &device)?.value, 0.0);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn recon_gap(model: &dyn Model, held_out: &[Subset], train: &Subset, device: &Device) -> Result<Metric> {
    let seen = reconstruction_errors(model, train, device)?;
    let mut unseen = Vec::new();
    for part in held_out {
        unseen.extend(reconstruction_errors(model, part, device)?);
    }
    let definition = format!(
        "recon of {} held-out examples less that of {} training examples, at the mean of the code",
        unseen.len(),
        seen.len()
    );
    let gap = Metric::new(mean(&unseen) - mean(&seen), model.observe_or_refuse()?.likelihood().unit(), definition);
    Ok(Metric { stderr: Some(stderr(&unseen).hypot(stderr(&seen))), ..gap })
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
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// use elbo::evaluation::noise_tolerance;
///
/// let untrained = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::mlp(&[32]), Likelihood::Bernoulli), 0, &device);
/// assert_eq!(noise_tolerance(&untrained, &[data.test], 0, &device)?.value, 0.0);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn noise_tolerance(model: &dyn Model, parts: &[Subset], seed: u64, device: &Device) -> Result<Metric> {
    let probed = Probed::of(model, parts, device)?;
    let found: Vec<f64> = (0..REPEATS).map(|repeat| probed.tolerance(seed, repeat)).collect();
    let definition = format!(
        "noise on the mean code, in standard deviations of each dimension over {} examples, at which the squared error of E[x|z] is half of the data's variance",
        probed.means.len()
    );
    Ok(Metric::mean_of(&found, "standard deviations of the codes", definition))
}

/// Examples with their codes.
struct Probed<'a> {
    decoder: &'a dyn Decode,
    device: &'a Device,
    /// Mean code of each example.
    means: Vec<Vec<f32>>,
    /// Standard deviation of each latent dimension over the examples.
    spread: Vec<f64>,
    x: Vec<Vec<f32>>,
    /// What a conditional model is told of each 512 examples.
    given: Vec<Given>,
    /// Squared distance of the examples from their mean, per value.
    variance: f64,
}

impl<'a> Probed<'a> {
    fn of(model: &'a dyn Model, parts: &[Subset], device: &'a Device) -> Result<Self> {
        let decoder = model.decode_vectors_or_refuse()?;
        let (mut means, mut x) = (Vec::new(), Vec::new());
        for part in parts {
            let codes = encode(model, part, device)?;
            means.extend(codes.mean.chunks(codes.latent).map(<[f32]>::to_vec));
            let places: Vec<u32> = (0..part.len() as u32).collect();
            for chosen in places.chunks(512) {
                x.extend(values_of(batch(part, chosen, device)).chunks(model.space().numel()).map(<[f32]>::to_vec));
            }
        }
        let spread = variances(&means).into_iter().map(f64::sqrt).collect();
        let per_value = variances(&x);
        let given = given_in_chunks(parts, model.needs(), device);
        Ok(Self { decoder, device, means, spread, variance: mean(&per_value), x, given })
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
        let latent = self.spread.len();
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
            let z = Tensor::<2>::from_data(z, self.device);
            let made = self.decoder.decode(&[z.into()], &self.given[i], Show::Mean).expect("a mean").real();
            let made = values_of(made);
            sum += x.iter().flatten().zip(&made).map(|(x, made)| f64::from(x - made).powi(2)).sum::<f64>();
        }
        sum / (self.x.len() * self.decoder.space().numel()) as f64
    }
}

/// What a model is told of the examples of all parts, 512 at a time.
fn given_in_chunks(parts: &[Subset], needs: Needs, device: &Device) -> Vec<Given> {
    let examples: usize = parts.iter().map(Subset::len).sum();
    if !needs.class {
        return vec![Given::default(); examples.div_ceil(512)];
    }
    let class = |part: &Subset, i: usize| part.label(i).expect("the model's needs were checked");
    let classes: Vec<u32> = parts.iter().flat_map(|part| (0..part.len()).map(move |i| class(part, i))).collect();
    classes.chunks(512).map(|classes| Given::of_classes(classes, device)).collect()
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
    use crate::models::{Decode, Encode, Posterior, VectorCode};
    use crate::networks::Pass;
    use crate::space::Space;

    /// The code is the example itself, and the decoder gives back the code: the error of the reconstruction is the noise.
    #[derive(Debug)]
    struct Mirror(crate::distributions::Observation);

    impl VectorCode for Mirror {
        fn codes(&self) -> &[Space; 1] {
            const { &[Space::vector(784)] }
        }

        fn observed(&self) -> &crate::distributions::Observation {
            &self.0
        }

        fn posterior(&self, batch: &crate::data::batch::Batch, _: &Pass) -> Posterior {
            Posterior::Point(batch.x.real())
        }

        fn parameters(&self, z: Tensor<2>, _: &Given, _: &Pass) -> Tensor<2> {
            z
        }
    }

    impl Model for Mirror {
        fn space(&self) -> Space {
            Space::vector(784)
        }

        fn encoder(&self) -> Option<&dyn Encode> {
            Some(self)
        }

        fn decoder(&self) -> Option<&dyn Decode> {
            Some(self)
        }
    }

    #[test]
    fn noise_on_an_identity_breaks_it_at_the_square_root_of_a_half() {
        let device = crate::device::choose("cpu").unwrap();
        let data = Subset::all(Arc::new(digits::generate(0, 400)));
        let likelihood = Likelihood::Sse { link: Link::Identity };
        let mirror = Mirror(crate::distributions::Observation::new(likelihood, &device));
        let found = noise_tolerance(&mirror, std::slice::from_ref(&data), 0, &device).unwrap();
        // The error is size^2 times the variance: half of it at 0.7071; clamping is none of this model's business.
        assert!((found.value - 0.5f64.sqrt()).abs() < 0.01, "{found:?}");
        assert!(found.stderr.unwrap() < 0.01);
        let gap = recon_gap(&mirror, &[data.take(100)], &data, &device).unwrap();
        assert_eq!((gap.value, gap.stderr), (0.0, Some(0.0)));
    }
}

//! Draws from p(x|z).

use burn::tensor::{Tensor, TensorData};
use elbo_kernels::{LEVELS, MIN_LOG_SCALE, MIN_LOG_VAR};

use super::{Likelihood, Link};
use crate::error::{Error, Result};
use crate::random::Draws;

/// An open interval's uniform: quantile functions are infinite at both ends.
fn open_uniform(draws: &mut Draws) -> f64 {
    draws.uniform().clamp(1e-12, 1.0 - 1e-12)
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

fn softplus(v: f64) -> f64 {
    v.max(0.0) + (-v.abs()).exp().ln_1p()
}

fn linked(link: Link, output: f64) -> f64 {
    if link == Link::Sigmoid { sigmoid(output) } else { output }
}

impl Likelihood {
    /// One draw of x from p(x|z) for each example. `scale` is the learned one, where there is one ([`super::Observation::scale`]).
    ///
    /// Densities may give values outside [0, 1]; pictures clamp them.
    ///
    /// # Shapes
    /// - `parameters`: `[batch, output_channels * height * width]`
    /// - returns: `[batch, dims]`
    ///
    /// # Errors
    /// [`Error::Config`] for `sse` and surrogates: they are no distributions.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::distributions::Likelihood;
    /// use elbo::random::{Draws, Purpose};
    ///
    /// let device = elbo::device::choose("cpu")?;
    /// let logits = Tensor::<2>::from_data([[100.0, -100.0]], &device);
    /// let draws = &mut Draws::new(0, Purpose::Likelihood, 0, 0);
    /// let x = Likelihood::Bernoulli.sample(logits, None, draws)?;
    /// assert_eq!(x.into_data().to_vec::<f32>().unwrap(), [1.0, 0.0]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn sample(&self, parameters: Tensor<2>, scale: Option<f64>, draws: &mut Draws) -> Result<Tensor<2>> {
        if !self.is_distribution() {
            let help = "`--observation mean` shows what the decoder gives; `model.likelihood` names the distributions";
            return Err(Error::config("observation", "mean: nothing can be drawn here", self.describe(), help));
        }
        let ([batch, outputs], device) = (parameters.dims(), parameters.device());
        let values = parameters.into_data_as::<f32>().try_into_vec::<f32>().expect("converted to float32");
        let mut x = Vec::new();
        for row in values.chunks_exact(outputs) {
            self.draw_row(row, scale.unwrap_or(1.0), draws, &mut x);
        }
        let dims = x.len() / batch.max(1);
        Ok(Tensor::from_data(TensorData::new(x, [batch, dims]), &device))
    }

    /// Appends a draw of one example.
    fn draw_row(&self, row: &[f32], scale: f64, draws: &mut Draws, x: &mut Vec<f32>) {
        let outputs = row.iter().map(|&v| f64::from(v));
        let pairs =
            || row[..row.len() / 2].iter().zip(&row[row.len() / 2..]).map(|(&a, &b)| (f64::from(a), f64::from(b)));
        match *self {
            Self::Bernoulli => x.extend(outputs.map(|l| f32::from(draws.uniform() < sigmoid(l)))),
            Self::ContinuousBernoulli => x.extend(outputs.map(|l| continuous_bernoulli(l, draws.uniform()) as f32)),
            Self::Gaussian { sigma, link } => gaussian(outputs.map(|m| (linked(link, m), sigma)), draws, x),
            Self::GaussianShared { link } => gaussian(outputs.map(|m| (linked(link, m), scale)), draws, x),
            Self::GaussianPerPixel { link } => {
                let floor = f64::from(MIN_LOG_VAR);
                let sigma = |raw: f64| (0.5 * (floor + softplus(raw - floor))).exp();
                gaussian(pairs().map(|(m, raw)| (linked(link, m), sigma(raw))), draws, x);
            }
            Self::Laplace { scale, link } => laplace(outputs.map(|m| linked(link, m)), scale, draws, x),
            Self::LaplaceShared { link } => laplace(outputs.map(|m| linked(link, m)), scale, draws, x),
            Self::DiscretisedLogistic => x.extend(pairs().map(|(m, raw)| unit(level(m, raw, draws)))),
            Self::LogisticMixture { components, channels } => mixture(components, channels, row, draws, x),
            Self::Categorical => {
                let width = row.len() / LEVELS;
                x.extend(
                    (0..width).map(|i| chosen(|j| row[j * width + i], LEVELS, draws) as f32 / (LEVELS - 1) as f32),
                );
            }
            Self::Sse { .. } | Self::MsSsim { .. } | Self::Edge { .. } => unreachable!("no distribution"),
        }
    }
}

fn gaussian(parameters: impl Iterator<Item = (f64, f64)>, draws: &mut Draws, x: &mut Vec<f32>) {
    let parameters: Vec<_> = parameters.collect();
    let noise = draws.normals(parameters.len());
    x.extend(parameters.iter().zip(noise).map(|((mean, sigma), e)| (mean + sigma * f64::from(e)) as f32));
}

fn laplace(centres: impl Iterator<Item = f64>, scale: f64, draws: &mut Draws, x: &mut Vec<f32>) {
    x.extend(centres.map(|centre| {
        let u = open_uniform(draws) - 0.5;
        (centre - scale * u.signum() * (1.0 - 2.0 * u.abs()).ln()) as f32
    }));
}

/// The `u`-quantile: `ln(1 + u (e^l - 1)) / l`, from the side on which `e^l` is small.
fn continuous_bernoulli(l: f64, u: f64) -> f64 {
    match l {
        _ if l.abs() < 1e-6 => u,
        _ if l > 0.0 => 1.0 - continuous_bernoulli(-l, 1.0 - u),
        _ => ((u * l.exp_m1()).ln_1p() / l).clamp(0.0, 1.0),
    }
}

/// A level on [-1, 1]: a draw of the logistic, taken to the nearest.
fn level(mean: f64, raw: f64, draws: &mut Draws) -> f64 {
    let floor = f64::from(MIN_LOG_SCALE);
    let u = open_uniform(draws);
    let y = mean + (floor + softplus(raw - floor)).exp() * (u / (1.0 - u)).ln();
    ((y.clamp(-1.0, 1.0) + 1.0) * 127.5).round() / 127.5 - 1.0
}

/// From [-1, 1] to [0, 1], exactly `byte / 255` on levels.
fn unit(y: f64) -> f32 {
    ((y + 1.0) * 127.5).round() as f32 / 255.0
}

/// An index drawn with probabilities `softmax(logit)`.
fn chosen(logit: impl Fn(usize) -> f32, count: usize, draws: &mut Draws) -> usize {
    let most = (0..count).map(&logit).fold(f32::NEG_INFINITY, f32::max);
    let share = |j: usize| f64::from(logit(j) - most).exp();
    let mut left = draws.uniform() * (0..count).map(share).sum::<f64>();
    (0..count - 1)
        .find(|&j| {
            left -= share(j);
            left < 0.0
        })
        .unwrap_or(count - 1)
}

/// A component for each pixel, then its channels one after the other, each on the drawn values of those before.
fn mixture(components: usize, channels: usize, row: &[f32], draws: &mut Draws, x: &mut Vec<f32>) {
    let pixels = row.len() / Likelihood::LogisticMixture { components, channels }.output_channels(channels);
    let at = |channel: usize, pixel: usize| f64::from(row[channel * pixels + pixel]);
    let start = x.len();
    x.resize(start + channels * pixels, 0.0);
    for pixel in 0..pixels {
        let k = chosen(|k| row[k * pixels + pixel], components, draws);
        let (means, scales) = (components + k * channels, components * (1 + channels) + k * channels);
        let coefficient = |j: usize| at(components * (1 + 2 * channels) + 3 * k + j, pixel).tanh();
        let mut drawn = vec![0f64; channels];
        for c in 0..channels {
            let shift = match (channels, c) {
                (3, 1) => coefficient(0) * drawn[0],
                (3, 2) => coefficient(1) * drawn[0] + coefficient(2) * drawn[1],
                _ => 0.0,
            };
            drawn[c] = level(at(means + c, pixel) + shift, at(scales + c, pixel), draws);
            x[start + c * pixels + pixel] = unit(drawn[c]);
        }
    }
}

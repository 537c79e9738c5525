//! Two-stage VAE (Dai & Wipf 2019, arXiv:1903.05789, section 4): a second VAE on the codes of the first.
//!
//! The second stage has codes of the same size, `u`, and learns `p(z) = integral N(z; decoder(u), gamma I) N(u; 0, I) du`. Both its likelihood's scale
//! and its task are easy: `z` fills its space, so that the aggregate posterior of `u` comes close to N(0, I), and N(0, I) may be sampled.
//! Departures: codes are standardised first, and the weight of the KL term rises from 0 over the first third of the epochs. Without that rise, codes in two
//! groups came out as one Gaussian between them.
//!
//! A code is drawn in three steps: `u ~ N(0, I)`, `z ~ N(decoder(u), gamma I)`, `x = E[x|z]` from the first stage's decoder.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::Draw;
use super::standardised::Standardised;
use crate::data::{ImageShape, Source, Splits, Subset};
use crate::distributions::{Likelihood, Link};
use crate::error::Result;
use crate::generation::CodeDecoder;
use crate::models::{Architecture, ObjectiveConfig, Vae, VectorCode};
use crate::networks::NetworkConfig;
use crate::run::parameters;
use crate::run::weights::NamedTensor;
use crate::space::Domain;
use crate::space::Space;
use crate::training::{OptimizerConfig, Quiet, Schedule, Stop, Trainer};

/// The second stage's size and training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoStageConfig {
    /// Widths of the encoder's hidden layers; the decoder mirrors them. Default: 512, 512.
    pub hidden: Vec<usize>,
    /// Passes over the codes at most. Default: 60.
    pub epochs: usize,
    /// Optimiser steps at most, which counts where there are many codes. Default: 6000.
    pub steps: usize,
    /// Codes in one step. Default: 256.
    pub batch_size: usize,
    /// Learning rate at the start; it falls along a cosine. Default: 1e-3.
    pub lr: f64,
}

impl Default for TwoStageConfig {
    fn default() -> Self {
        Self { hidden: vec![512, 512], epochs: 60, steps: 6000, batch_size: 256, lr: 1e-3 }
    }
}

impl TwoStageConfig {
    /// Whether the sizes make a network at all, and one of at most `most` weights.
    fn is_sound(&self, most: usize) -> bool {
        let inner: usize =
            self.hidden.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).fold(0, usize::saturating_add);
        let widest = self.hidden.iter().copied().max().unwrap_or(0).max(inner);
        self.hidden.len() <= 16 && !self.hidden.contains(&0) && widest <= most
    }

    fn init(&self, latent: usize, seed: u64, device: &Device) -> Vae {
        let likelihood = Likelihood::GaussianShared { link: Link::Identity };
        let network = NetworkConfig::mlp(&self.hidden);
        Vae::init(&Architecture::new(Space::vector(latent), latent, &network, likelihood), seed, device)
    }
}

/// The second stage with the scale of the codes it was trained on.
#[derive(Debug)]
pub struct TwoStage {
    config: TwoStageConfig,
    vae: Vae,
    standardised: Standardised,
    device: Device,
}

impl TwoStage {
    /// Trains a second stage on codes.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    ///
    /// # Errors
    /// As [`Trainer::run`].
    ///
    /// # Panics
    /// If there are no codes, or a size in `config` is 0.
    pub fn fit(codes: &[f32], latent: usize, config: &TwoStageConfig, seed: u64, device: &Device) -> Result<Self> {
        assert!(
            codes.len() >= latent && config.is_sound(usize::MAX) && config.batch_size > 0,
            "codes, and sizes above 0"
        );
        let device = device.clone().without_autodiff();
        let standardised = Standardised::fit(codes, latent);
        let source: Arc<dyn Source> = Arc::new(CodeRows { latent, values: standardised.forward(codes) });
        let per_epoch = source.len().div_ceil(config.batch_size);
        let splits = Splits {
            test: Subset::new(source.clone(), Vec::new()),
            train: Subset::all(source),
            validation: None,
            validation_is_test: false,
        };
        let optimizer = OptimizerConfig { lr: config.lr, clip_norm: 5.0, ..Default::default() };
        let epochs = (config.steps / per_epoch).clamp(1, config.epochs.max(1));
        // From the start at full weight, the KL term drives the second stage to ignore `u`: a standardised `z` is at once fitted by a mere Gaussian.
        let objective = ObjectiveConfig { warmup_epochs: epochs as f64 / 3.0, ..Default::default() };
        let vae = config.init(latent, seed, &device).with_objective(objective);
        let mut trainer = Trainer::new(vae, &splits, optimizer, &device);
        trainer.config.epochs = epochs;
        trainer.config.batch_size = config.batch_size;
        trainer.config.seed = seed;
        trainer.schedule = Schedule::Cosine { min_lr: 0.01 * config.lr };
        trainer.run(&mut Quiet, &Stop::new())?;
        Ok(Self { config: config.clone(), vae: trainer.into_model(), standardised, device })
    }

    pub(super) fn sample(&self, draw: &Draw) -> Vec<f32> {
        let latent = self.standardised.shift.len();
        let (u, noise) = (draw.normals(latent, 0), draw.normals(latent, 1));
        let gamma = self.vae.observed().scale().unwrap_or(0.0) as f32;
        let decoder = CodeDecoder::of(&self.vae, &self.device).expect("a VAE decodes");
        let decoded = decoder.means(&u);
        let z: Vec<f32> = decoded.into_iter().zip(noise).map(|(mean, e)| mean + gamma * e).collect();
        self.standardised.back(&z)
    }

    pub(super) fn config(&self) -> &TwoStageConfig {
        &self.config
    }

    pub(super) fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = parameters::export(&self.vae);
        tensors.extend(self.standardised.tensors());
        tensors
    }

    /// A second stage without its numbers; none if the sizes cannot be, or need more than `most` of them.
    pub(super) fn blank(config: &TwoStageConfig, latent: usize, most: usize, device: &Device) -> Option<Self> {
        if !config.is_sound(most) {
            return None;
        }
        let device = device.clone().without_autodiff();
        let vae = config.init(latent, 0, &device);
        let standardised = Standardised { shift: vec![0.0; latent], scale: vec![1.0; latent] };
        Some(Self { config: config.clone(), vae, standardised, device })
    }

    /// Names and shapes of its tensors.
    pub(super) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut shapes = parameters::shapes(&self.vae);
        shapes.extend(Standardised::shapes(self.standardised.shift.len()));
        shapes
    }

    /// Fills a blank with checked tensors.
    pub(super) fn filled(self, mut tensors: Vec<NamedTensor>) -> Self {
        let standardised = Standardised::take(&mut tensors);
        Self { vae: parameters::import(self.vae, tensors).valid(), standardised, ..self }
    }
}

/// Codes as a data set.
struct CodeRows {
    latent: usize,
    values: Vec<f32>,
}

impl Source for CodeRows {
    fn name(&self) -> &str {
        "codes"
    }

    fn len(&self) -> usize {
        self.values.len() / self.latent
    }

    fn shape(&self) -> ImageShape {
        ImageShape { channels: 1, height: 1, width: self.latent }
    }

    fn read(&self, index: usize, pixels: &mut [u8]) {
        let values = &self.values[index * self.latent..][..self.latent];
        pixels.iter_mut().zip(values).for_each(|(pixel, z)| *pixel = ((z + 4.0) / 8.0 * 255.0).round() as u8);
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn label_names(&self) -> &[String] {
        &[]
    }

    fn domain(&self) -> Domain {
        Domain::Real
    }

    fn read_values(&self, index: usize, values: &mut [f32]) {
        values.copy_from_slice(&self.values[index * self.latent..][..self.latent]);
    }

    fn floats(&self) -> Option<&[f32]> {
        Some(&self.values)
    }

    fn fingerprint(&self) -> &str {
        "codes"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    #[test]
    fn samples_have_the_moments_of_the_codes() {
        let draws = &mut Draws::new(0, Purpose::Choice, 0, 0);
        // Two groups, far from 0 and of different spread.
        let noise = draws.normals(8000);
        let codes: Vec<f32> =
            (0..8000)
                .map(|i| {
                    if i % 2 == 0 {
                        40.0 + 3.0 * if i % 4 == 0 { 1.0 } else { -1.0 } + noise[i]
                    } else {
                        0.1 * noise[i]
                    }
                })
                .collect();
        let config =
            TwoStageConfig { hidden: vec![64, 64], epochs: 30, steps: 1000, batch_size: 128, ..Default::default() };
        let device = crate::device::choose("cpu").unwrap();
        let model = TwoStage::fit(&codes, 2, &config, 0, &device).unwrap();
        let drawn = model.sample(&Draw { count: 4000, seed: 1, ..Default::default() });
        let moments = |values: &[f32], j: usize| {
            let column: Vec<f64> = values.iter().skip(j).step_by(2).map(|&z| f64::from(z)).collect();
            let mean = column.iter().sum::<f64>() / column.len() as f64;
            (mean, (column.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / column.len() as f64).sqrt())
        };
        for j in 0..2 {
            let ((mean, std), (drawn_mean, drawn_std)) = (moments(&codes, j), moments(&drawn, j));
            assert!((mean - drawn_mean).abs() < 0.25 * std, "dimension {j}: {mean} {drawn_mean}");
            assert!((0.75..1.25).contains(&(drawn_std / std)), "dimension {j}: {std} {drawn_std}");
        }
        // Two groups: few samples lie between them.
        let between = drawn.iter().step_by(2).filter(|z| (*z - 40.0).abs() < 1.0).count();
        assert!(between < 800, "{between} of 4000 between the groups; a Gaussian has about 1000");
    }
}

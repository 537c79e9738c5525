//! Masked autoregressive flow (Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057).
//!
//! | paper | here |
//! |---|---|
//! | `u_i = (x_i - mu_i(x_<i)) exp(-alpha_i(x_<i))`, eq. 4 | one block of [`Maf::log_prob`] |
//! | `log abs det = -sum_i alpha_i`, eq. 5 | the same |
//! | `x_i = u_i exp(alpha_i) + mu_i`, eq. 3 | [`Maf::sample`], one coordinate after the other |
//! | order reversed from block to block, section 4.1 | `Made::init` |
//!
//! Departures: log scales are bounded (`5 tanh(alpha / 5)`); codes are standardised first, where the paper has batch normalisation between blocks; of
//! the epochs, the weights with the highest likelihood of held-out codes are kept.

use std::f64::consts::{PI, TAU};

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::Draw;
use super::made::Made;
use super::standardised::Standardised;
use crate::error::{Error, Result};
use crate::random::{Draws, Purpose};
use crate::run::parameters;
use crate::run::weights::NamedTensor;
use crate::tensors::values_of;
use crate::training::{Optimizer, OptimizerConfig};

/// Codes in one pass that keeps no gradients.
const CHUNK: usize = 2048;

/// A flow's size and training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MafConfig {
    /// Autoregressive networks one after another. Default: 5, as in the paper.
    pub blocks: usize,
    /// Widths of the hidden layers of each. Default: 128, 128.
    pub hidden: Vec<usize>,
    /// Passes over the codes at most. Default: 60.
    pub epochs: usize,
    /// Optimiser steps at most, which counts where there are many codes. Default: 6000.
    pub steps: usize,
    /// Codes in one step. Default: 256.
    pub batch_size: usize,
    /// Learning rate at the start; it falls to 0 along a cosine. Default: 1e-3.
    pub lr: f64,
}

impl Default for MafConfig {
    fn default() -> Self {
        Self { blocks: 5, hidden: vec![128, 128], epochs: 60, steps: 6000, batch_size: 256, lr: 1e-3 }
    }
}

impl MafConfig {
    /// Whether the sizes make a flow at all, and one of at most `most` weights.
    fn is_sound(&self, most: usize) -> bool {
        let inner: usize =
            self.hidden.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).fold(0, usize::saturating_add);
        let widest = self.hidden.iter().copied().max().unwrap_or(0).max(inner);
        let layers = (1..=64).contains(&self.blocks) && self.hidden.len() <= 16 && !self.hidden.contains(&0);
        layers && widest.saturating_mul(self.blocks) <= most
    }
}

/// A flow with the scale of its codes.
#[derive(Debug)]
pub struct Maf {
    config: MafConfig,
    flow: Flow,
    standardised: Standardised,
    device: Device,
}

impl Maf {
    /// Fits a flow to codes by maximum likelihood.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    ///
    /// # Errors
    /// [`Error::Diverged`] if a loss is not finite.
    ///
    /// # Panics
    /// If there are no codes, or a size in `config` is 0.
    pub fn fit(codes: &[f32], latent: usize, config: &MafConfig, seed: u64, device: &Device) -> Result<Self> {
        assert!(
            codes.len() >= latent && config.is_sound(usize::MAX) && config.batch_size > 0,
            "codes, and sizes above 0"
        );
        let standardised = Standardised::fit(codes, latent);
        let device = device.clone().without_autodiff();
        let flow = Flow::init(latent, config, seed, &device);
        let flow = Training { config, latent, seed, device: device.clone().autodiff() }
            .run(flow, &standardised.forward(codes))?;
        Ok(Self { config: config.clone(), flow, standardised, device })
    }

    /// `ln p(z)` of each code, exact, in nats.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    /// - returns: `[n]`
    pub fn log_prob(&self, codes: &[f32]) -> Vec<f32> {
        let log_scale = self.standardised.log_scale() as f32;
        let log_prob = self.mapped(&self.standardised.forward(codes), |x| values_of(self.flow.log_prob(x)));
        log_prob.into_iter().map(|value| value - log_scale).collect()
    }

    /// Codes to the noise they come from, `[n, latent]` each: standard normal where the fit is good.
    pub fn to_noise(&self, codes: &[f32]) -> Vec<f32> {
        self.mapped(&self.standardised.forward(codes), |x| values_of(self.flow.forward(x).0))
    }

    /// The inverse of [`Maf::to_noise`].
    pub fn from_noise(&self, noise: &[f32]) -> Vec<f32> {
        self.standardised.back(&self.mapped(noise, |u| values_of(self.flow.inverse(u))))
    }

    pub(super) fn sample(&self, draw: &Draw) -> Vec<f32> {
        self.from_noise(&draw.normals(self.standardised.shift.len(), 0))
    }

    fn mapped(&self, rows: &[f32], f: impl Fn(Tensor<2>) -> Vec<f32>) -> Vec<f32> {
        let latent = self.standardised.shift.len();
        rows.chunks(CHUNK * latent).flat_map(|rows| f(matrix(rows.to_vec(), latent, &self.device))).collect()
    }

    pub(super) fn config(&self) -> &MafConfig {
        &self.config
    }

    pub(super) fn tensors(&self) -> Vec<NamedTensor> {
        let mut tensors = parameters::export(&self.flow);
        tensors.extend(self.standardised.tensors());
        tensors
    }

    /// A flow without its numbers; none if the sizes cannot be, or need more than `most` of them.
    pub(super) fn blank(config: &MafConfig, latent: usize, most: usize, device: &Device) -> Option<Self> {
        if !config.is_sound(most) {
            return None;
        }
        let device = device.clone().without_autodiff();
        let flow = Flow::init(latent, config, 0, &device);
        let standardised = Standardised { shift: vec![0.0; latent], scale: vec![1.0; latent] };
        Some(Self { config: config.clone(), flow, standardised, device })
    }

    /// Names and shapes of its tensors.
    pub(super) fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let mut shapes = parameters::shapes(&self.flow);
        shapes.extend(Standardised::shapes(self.standardised.shift.len()));
        shapes
    }

    /// Fills a blank with checked tensors.
    pub(super) fn filled(self, mut tensors: Vec<NamedTensor>) -> Self {
        let standardised = Standardised::take(&mut tensors);
        Self { flow: parameters::import(self.flow, tensors), standardised, ..self }
    }
}

fn matrix(values: Vec<f32>, width: usize, device: &Device) -> Tensor<2> {
    let rows = values.len() / width;
    Tensor::from_data(TensorData::new(values, [rows, width]), device)
}

/// The blocks.
#[derive(Module, Debug)]
struct Flow {
    blocks: Vec<Made>,
}

impl Flow {
    fn init(latent: usize, config: &MafConfig, seed: u64, device: &Device) -> Self {
        let draws = &mut Draws::new(seed, Purpose::Sampler, 0, 0);
        let block = |i: usize| Made::init(latent, &config.hidden, i % 2 == 1, draws, device);
        Self { blocks: (0..config.blocks).map(block).collect() }
    }

    /// Noise `[batch, dims]` and `ln |det du/dx|` `[batch]`.
    fn forward(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let log_det = Tensor::zeros([x.dims()[0]], &x.device());
        self.blocks.iter().fold((x, log_det), |(x, log_det), block| {
            let (mean, log_scale) = block.conditionals(x.clone());
            let own = log_scale.clone().sum_dim(1).squeeze_dim::<1>(1);
            ((x - mean) * log_scale.neg().exp(), log_det - own)
        })
    }

    fn log_prob(&self, x: Tensor<2>) -> Tensor<1> {
        let constant = 0.5 * x.dims()[1] as f64 * TAU.ln();
        let (u, log_det) = self.forward(x);
        let squares = u.square().sum_dim(1).squeeze_dim::<1>(1);
        squares * -0.5 + log_det - constant
    }

    fn inverse(&self, u: Tensor<2>) -> Tensor<2> {
        self.blocks.iter().rev().fold(u, |u, block| {
            let [_, dims] = u.dims();
            let device = u.device();
            block.order().iter().fold(u.zeros_like(), |x, &coordinate| {
                // All that this coordinate sees is known by now; the others stay 0 until it is their turn.
                let (mean, log_scale) = block.conditionals(x.clone());
                let mut only = vec![0f32; dims];
                only[coordinate] = 1.0;
                x + (u.clone() * log_scale.exp() + mean) * matrix(only, dims, &device)
            })
        })
    }
}

/// Maximum likelihood with Adam.
struct Training<'a> {
    config: &'a MafConfig,
    latent: usize,
    seed: u64,
    /// With autodiff.
    device: Device,
}

impl Training<'_> {
    fn run(&self, flow: Flow, rows: &[f32]) -> Result<Flow> {
        let n = rows.len() / self.latent;
        let order = Draws::new(self.seed, Purpose::Sampler, 0, 1).permutation(n as u32);
        // A tenth is held out; of fewer than twenty codes none can be spared.
        let (held_out, kept) = order.split_at(if n < 20 { 0 } else { n / 10 });
        let per_epoch = kept.len().div_ceil(self.config.batch_size);
        let epochs = (self.config.steps / per_epoch).clamp(1, self.config.epochs.max(1));
        let mut optimizer = Optimizer::new(OptimizerConfig { clip_norm: 5.0, ..Default::default() });
        let mut best = (f64::INFINITY, flow.clone());
        let mut flow = flow.train();
        for epoch in 1..=epochs {
            let mut order = kept.to_vec();
            Draws::new(self.seed, Purpose::Sampler, epoch as u64, 0).shuffle(&mut order);
            for chosen in order.chunks(self.config.batch_size) {
                let done = optimizer.time() as f64 / (epochs * per_epoch) as f64;
                let lr = 0.5 * self.config.lr * (1.0 + (PI * done).cos());
                let loss = flow.log_prob(self.batch(rows, chosen)).mean().neg();
                let step = optimizer.time() as usize + 1;
                self.check("loss", loss.clone().into_scalar::<f32>(), epoch, step)?;
                let gradients = GradientsParams::from_module(&mut loss.backward(), &flow);
                let stepped;
                (flow, stepped) = optimizer.step(flow, gradients, lr);
                if stepped.not_finite.is_some() {
                    self.check("gradient", f32::NAN, epoch, step)?;
                }
            }
            let judged = flow.valid();
            let loss = self.loss(&judged, rows, if held_out.is_empty() { kept } else { held_out });
            if loss < best.0 {
                best = (loss, judged);
            }
        }
        Ok(best.1)
    }

    fn batch(&self, rows: &[f32], chosen: &[u32]) -> Tensor<2> {
        let values = chosen.iter().flat_map(|&i| &rows[i as usize * self.latent..][..self.latent]).copied().collect();
        matrix(values, self.latent, &self.device)
    }

    /// Mean of `-ln p(x)` over chosen rows.
    fn loss(&self, flow: &Flow, rows: &[f32], chosen: &[u32]) -> f64 {
        let sum = chosen.chunks(CHUNK).map(|chosen| {
            let x = self.batch(rows, chosen).without_autodiff();
            values_of(flow.log_prob(x)).into_iter().map(f64::from).sum::<f64>()
        });
        -sum.sum::<f64>() / chosen.len() as f64
    }

    fn check(&self, term: &str, value: f32, epoch: usize, step: usize) -> Result<()> {
        match value.is_finite() {
            true => Ok(()),
            false => Err(Error::Diverged { epoch, step, term: term.into(), value, tensor: None }),
        }
    }
}

#[cfg(test)]
mod tests;

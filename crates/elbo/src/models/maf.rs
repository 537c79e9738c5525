//! Masked autoregressive flow (Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057).
//!
//! | paper | here |
//! |---|---|
//! | `u_i = (x_i - mu_i(x_<i)) exp(-alpha_i(x_<i))`, eq. 4 | one block of [`Maf::to_noise`] |
//! | `log abs det = -sum_i alpha_i`, eq. 5 | the same |
//! | `x_i = u_i exp(alpha_i) + mu_i`, eq. 3 | one step of its [`Generate`]: one coordinate after the other |
//! | order reversed from block to block, section 4.1 | [`Made::init`] |
//! | maximum likelihood, section 3.1 | `loss`: the mean of `-ln p(x)`, in nats |
//!
//! Departures: log scales are bounded (`5 tanh(alpha / 5)`); rows are expected to be standardised, where the paper has batch normalisation between
//! blocks.

use std::f64::consts::TAU;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Ask, Capability, Density, Family, Generate, Generating, Learner, Loss, Model, Report, Setting};
use crate::data::batch::{Batch, Given};
use crate::error::{Error, Result};
use crate::networks::{LayerSummary, Made, Pass};
use crate::random::{Draws, Purpose};
use crate::reference::Fields;
use crate::space::{Domain, Rows, Space};

/// Rows in one pass when rows are generated.
const CHUNK: usize = 2048;

/// Most blocks accepted.
const MAX_BLOCKS: usize = 64;
/// Most hidden layers of a block accepted.
const MAX_HIDDEN: usize = 16;
/// Widest hidden layer accepted.
const MAX_WIDTH: usize = 1 << 16;

/// The `[model]` table of `kind = "maf"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct MafConfig {
    /// Autoregressive networks one after another. The paper has 5 and 10.
    pub blocks: usize,
    /// Widths of the hidden layers of each.
    pub hidden: Vec<usize>,
}

impl Default for MafConfig {
    fn default() -> Self {
        Self { blocks: 5, hidden: vec![128, 128] }
    }
}

impl MafConfig {
    /// Checks the sizes alone.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check_sizes(&self) -> Result<()> {
        if !(1..=MAX_BLOCKS).contains(&self.blocks) {
            let (expected, found) = (format!("a number from 1 to {MAX_BLOCKS}"), self.blocks.to_string());
            return Err(Error::config("model.blocks", expected, found, "the paper takes 5 or 10"));
        }
        let widths = self.hidden.iter().all(|width| (1..=MAX_WIDTH).contains(width));
        if self.hidden.len() > MAX_HIDDEN || !widths {
            let expected = format!("at most {MAX_HIDDEN} widths from 1 to {MAX_WIDTH}");
            let help = "for example `model.hidden = [128, 128]`";
            return Err(Error::config("model.hidden", expected, format!("{:?}", self.hidden), help));
        }
        Ok(())
    }
}

/// The flow: blocks that turn rows into standard normal noise, and noise into rows.
#[derive(Module, Debug)]
pub struct Maf {
    blocks: Vec<Made>,
    #[module(skip)]
    spaces: [Space; 1],
}

impl Maf {
    /// A flow over rows of a space, with initial weights drawn from `seed`.
    ///
    /// # Panics
    /// If a size is 0: [`MafConfig::check_sizes`] says so before.
    ///
    /// ```
    /// use elbo::models::{Ask, Generate, Maf, MafConfig};
    /// use elbo::space::Space;
    ///
    /// let device = elbo::device::choose("cpu")?;
    /// let flow = Maf::init(Space::vector(3), &MafConfig { blocks: 2, hidden: vec![16] }, 0, &device);
    /// let generator: &dyn Generate = &flow;
    /// assert_eq!(generator.generate(&Ask::new(7, 0))?[0].real().dims(), [7, 3]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(space: Space, config: &MafConfig, seed: u64, device: &Device) -> Self {
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let block = |i: usize| Made::init(space.numel(), &config.hidden, i % 2 == 1, draws, device);
        Self { blocks: (0..config.blocks).map(block).collect(), spaces: [space] }
    }

    /// Rows to the noise they come from, and `ln |det du/dx|`.
    ///
    /// # Shapes
    /// - `x`: `[batch, dims]`
    /// - returns: `[batch, dims]` and `[batch]`
    pub fn to_noise(&self, x: Tensor<2>) -> (Tensor<2>, Tensor<1>) {
        let log_det = Tensor::zeros([x.dims()[0]], &x.device());
        self.blocks.iter().fold((x, log_det), |(x, log_det), block| {
            let (mean, log_scale) = block.conditionals(x.clone());
            let own = log_scale.clone().sum_dim(1).squeeze_dim::<1>(1);
            ((x - mean) * log_scale.neg().exp(), log_det - own)
        })
    }

    /// `ln p(x)` of each row, in nats: that of its noise under N(0, I), and the log-determinant.
    ///
    /// # Shapes
    /// - `x`: `[batch, dims]`
    /// - returns: `[batch]`
    pub fn log_density(&self, x: Tensor<2>) -> Tensor<1> {
        let constant = 0.5 * x.dims()[1] as f64 * TAU.ln();
        let (u, log_det) = self.to_noise(x);
        let squares = u.square().sum_dim(1).squeeze_dim::<1>(1);
        squares * -0.5 + log_det - constant
    }

    /// The inverse of [`Maf::to_noise`], of all steps at once.
    ///
    /// # Shapes
    /// - `u`, returns: `[batch, dims]`
    pub fn from_noise(&self, u: Tensor<2>) -> Tensor<2> {
        let mut inverting = Inverting::new(self, vec![u]);
        while inverting.advance() {}
        inverting.rows()
    }
}

/// Noise on its way to rows: from the last block to the first, in each one coordinate after the other.
struct Inverting<'a> {
    flow: &'a Maf,
    /// What enters the block under way, a chunk of rows each.
    noise: Vec<Tensor<2>>,
    /// What of its result is known; the rest is 0 until it is its turn.
    known: Vec<Tensor<2>>,
    done: usize,
}

impl<'a> Inverting<'a> {
    fn new(flow: &'a Maf, noise: Vec<Tensor<2>>) -> Self {
        let known = noise.iter().map(Tensor::zeros_like).collect();
        Self { flow, noise, known, done: 0 }
    }

    fn dims(&self) -> usize {
        self.flow.spaces[0].numel()
    }

    fn steps(&self) -> usize {
        self.flow.blocks.len() * self.dims()
    }

    /// Takes a step; false when there was none left.
    fn advance(&mut self) -> bool {
        if self.done == self.steps() {
            return false;
        }
        let dims = self.dims();
        let block = &self.flow.blocks[self.flow.blocks.len() - 1 - self.done / dims];
        let mut only = vec![0f32; dims];
        only[block.order()[self.done % dims]] = 1.0;
        let only = Tensor::from_data(TensorData::new(only, [1, dims]), &block.device());
        for (u, x) in self.noise.iter().zip(&mut self.known) {
            // All that this coordinate sees is known by now.
            let (mean, log_scale) = block.conditionals(x.clone());
            *x = x.clone() + (u.clone() * log_scale.exp() + mean) * only.clone();
        }
        self.done += 1;
        if self.done.is_multiple_of(dims) {
            self.noise = std::mem::take(&mut self.known);
            self.known = self.noise.iter().map(Tensor::zeros_like).collect();
        }
        true
    }

    fn rows(self) -> Tensor<2> {
        Tensor::cat(self.noise, 0)
    }
}

impl Generating for Inverting<'_> {
    fn step(&mut self) -> (usize, usize) {
        self.advance();
        (self.done, self.steps())
    }

    fn finish(self: Box<Self>) -> Vec<Rows> {
        vec![Rows::Real(self.rows())]
    }
}

impl Generate for Maf {
    fn spaces(&self) -> &[Space] {
        &self.spaces
    }

    fn begin<'a>(&'a self, ask: &Ask) -> Result<Box<dyn Generating + 'a>> {
        let (dims, device) = (self.spaces[0].numel(), self.blocks[0].device());
        let noise = ask.normals(dims, 0);
        let chunk =
            |rows: &[f32]| Tensor::from_data(TensorData::new(rows.to_vec(), [rows.len() / dims, dims]), &device);
        let chunks: Vec<Tensor<2>> = match noise.is_empty() {
            true => vec![chunk(&[])],
            false => noise.chunks(CHUNK * dims).map(chunk).collect(),
        };
        Ok(Box::new(Inverting::new(self, chunks)))
    }
}

impl Density for Maf {
    fn log_prob(&self, rows: &[Rows], _: &Given) -> Tensor<1> {
        self.log_density(rows[0].real())
    }
}

impl Model for Maf {
    fn space(&self) -> Space {
        self.spaces[0]
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }

    fn generator(&self) -> Option<&dyn Generate> {
        Some(self)
    }
}

impl Learner for Maf {
    /// None beside the loss, which is `-ln p(x)` itself.
    fn reports(&self) -> &'static [Report] {
        MafConfig::REPORTS
    }

    fn loss(&self, _: usize, batch: &Batch, _: &Pass) -> Loss {
        Loss { total: self.log_density(batch.x.real()).mean().neg(), reports: Vec::new() }
    }
}

impl Family for MafConfig {
    const KIND: &'static str = "maf";
    const ABOUT: &'static str =
        "a masked autoregressive flow over rows of numbers or codes: exact log p(x), and samples";
    const CAN: &'static [Capability] = &[Capability::Density, Capability::Generate];
    const KEYS: &'static [&'static str] = &["blocks", "hidden"];
    const REPORTS: &'static [Report] = &[];
    type Learner = Maf;

    fn title(&self) -> String {
        let hidden = self.hidden.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        format!("MAF, {} blocks of {hidden}", self.blocks)
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        if matches!(setting.space.domain, Domain::Index { .. }) {
            let help = "a flow is a density of real numbers: give a table or codes";
            return Err(Error::config("model.kind", "data of real numbers", "symbols", help));
        }
        self.check_sizes()
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        let dims = setting.space.numel();
        Ok((0..self.blocks).flat_map(|i| Made::summary(&format!("blocks.{i}"), dims, &self.hidden)).collect())
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<Maf> {
        self.check_sizes()?;
        Ok(Maf::init(setting.space, self, seed, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::values_of;

    fn device() -> Device {
        crate::device::choose("cpu").unwrap()
    }

    fn rows(values: &[f32], dims: usize) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / dims, dims]), &device())
    }

    #[test]
    fn the_log_determinant_is_that_of_finite_differences() {
        let dims = 3;
        let flow = Maf::init(Space::vector(dims), &MafConfig { blocks: 3, hidden: vec![24, 24] }, 5, &device());
        let forward = |x: &[f32]| {
            let (u, log_det) = flow.to_noise(rows(x, dims));
            (values_of(u), values_of(log_det)[0])
        };
        for x in [[0.1f32, -0.4, 0.9], [2.0, 0.3, -1.1]] {
            let h = 1e-2f32;
            let column = |j: usize| {
                let (mut up, mut down) = (x, x);
                up[j] += h;
                down[j] -= h;
                let (up, down) = (forward(&up).0, forward(&down).0);
                [0, 1, 2].map(|i| f64::from(up[i] - down[i]) / f64::from(2.0 * h))
            };
            let [a, b, c] = [column(0), column(1), column(2)];
            let determinant = a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1])
                + c[0] * (a[1] * b[2] - a[2] * b[1]);
            let log_det = f64::from(forward(&x).1);
            assert!((determinant.abs().ln() - log_det).abs() < 2e-2, "{} {log_det}", determinant.abs().ln());
            assert!(log_det.abs() > 1e-3, "the test point tells something");
        }
    }

    #[test]
    fn inverse_is_inverse_and_log_prob_is_that_of_the_noise() {
        let (dims, n) = (6, 50);
        let flow = Maf::init(Space::vector(dims), &MafConfig { blocks: 4, hidden: vec![32] }, 1, &device());
        let x = Draws::new(0, Purpose::Choice, 0, 0).normals(n * dims);
        let (u, log_det) = flow.to_noise(rows(&x, dims));
        let log_prob = values_of(flow.log_density(rows(&x, dims)));
        for (i, u) in values_of(u.clone()).chunks(dims).enumerate() {
            let normal: f32 = u.iter().map(|u| -0.5 * (u * u + TAU.ln() as f32)).sum();
            assert!((log_prob[i] - normal - values_of(log_det.clone())[i]).abs() < 1e-4);
        }
        for (back, x) in values_of(flow.from_noise(u)).iter().zip(&x) {
            assert!((back - x).abs() < 1e-4, "{back} {x}");
        }
    }

    #[test]
    fn generation_takes_a_step_for_each_coordinate_of_each_block() {
        let flow = Maf::init(Space::vector(3), &MafConfig { blocks: 2, hidden: vec![8] }, 1, &device());
        let mut generating = flow.begin(&Ask::new(4, 9)).unwrap();
        let steps: Vec<_> = (0..6).map(|_| generating.step()).collect();
        assert_eq!((steps[0], steps[5]), ((1, 6), (6, 6)));
        let noise = rows(&Ask::new(4, 9).normals(3, 0), 3);
        assert_eq!(values_of(generating.finish()[0].real()), values_of(flow.from_noise(noise)));
    }
}

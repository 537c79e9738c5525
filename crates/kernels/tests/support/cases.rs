//! Drawn comparisons of fused operations with their plain twins: shapes, strides, activations, threads and instruction sets by chance.
//!
//! `tests/properties.rs` and the fuzz target share this file: both hand [`Case::draw`] a source of numbers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Tensor;
use elbo_kernels::simd::{Level, set_level};
use elbo_kernels::{
    Activation, ConvGeometry, ConvTransposeGeometry, LEVELS, Link, Reconstruction, batch_norm, batch_norm_inference,
    conv_transpose2d, conv2d, reconstruction, reference,
};

use super::activations::ACTIVATIONS;
use super::images::{Array, gradient, values};

/// Largest difference from the twin, relative to the scale of the sums behind a result.
pub const TOLERANCE: f64 = 1e-4;

/// Which operation, and its sizes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    Linear { batch: usize, inputs: usize, outputs: usize },
    Conv { x: [usize; 4], outputs: usize, kernel: [usize; 2], geometry: ConvGeometry },
    ConvTranspose { x: [usize; 4], outputs: usize, kernel: [usize; 2], geometry: ConvTransposeGeometry },
    BatchNorm { x: [usize; 4], inference: bool },
    Likelihood { batch: usize, pixels: usize, term: Reconstruction },
    Latent { batch: usize, width: usize },
}

impl Operation {
    /// Whether padding may cut a place of the window off from every pixel.
    fn may_cut_off(&self) -> bool {
        match *self {
            Self::Conv { x, kernel, geometry, .. } => [0, 1].into_iter().any(|axis| {
                let (side, window, padding) = (x[1 + axis], kernel[axis], geometry.padding[axis]);
                let outputs = (side + 2 * padding - window) / geometry.stride + 1;
                let meets = |place: usize, output: usize| {
                    (output * geometry.stride + place).checked_sub(padding).is_some_and(|pixel| pixel < side)
                };
                !(0..window).all(|place| (0..outputs).any(|output| meets(place, output)))
            }),
            Self::ConvTranspose { .. } => true,
            _ => false,
        }
    }
}

const TERMS: [Reconstruction; 10] = [
    Reconstruction::Bernoulli,
    Reconstruction::SquaredError(Link::Sigmoid),
    Reconstruction::SquaredError(Link::Identity),
    Reconstruction::ContinuousBernoulli,
    Reconstruction::AbsoluteError(Link::Sigmoid),
    Reconstruction::AbsoluteError(Link::Identity),
    Reconstruction::Gaussian(Link::Identity),
    Reconstruction::DiscretisedLogistic,
    Reconstruction::LogisticMixture { components: 2, channels: 3 },
    Reconstruction::Categorical,
];

/// The kinds of operations, for [`Case::draw`].
pub const KINDS: usize = 6;

/// One comparison.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    operation: Operation,
    activation: (&'static str, Activation),
    threads: usize,
    level: Level,
    seed: u64,
    /// A value that is not finite and its place in the first argument.
    wild: Option<(f32, usize)>,
}

/// A result: its name, the fused and the plain values, and the least scale that its error is measured by.
type Compared = (&'static str, Vec<f32>, Vec<f32>, f64);

fn choose<T: Copy>(pick: &mut dyn FnMut(usize) -> usize, from: &[T]) -> T {
    from[pick(from.len())]
}

impl Case {
    /// A case of operation `kind`; `pick(n)` chooses a number below `n`. The first choices are the simplest.
    pub fn draw(kind: usize, pick: &mut dyn FnMut(usize) -> usize) -> Self {
        let operation = Operation::draw(kind, pick);
        let mut activation = choose(pick, &ACTIVATIONS);
        let wild = match pick(8) {
            7 => Some((choose(pick, &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]), pick(1 << 16))),
            _ => None,
        };
        if wild.is_some() {
            // Twins may differ in what they make of infinities behind an activation; `special_values.rs` says what holds there.
            activation = ACTIVATIONS[0];
        }
        Self {
            operation,
            activation,
            threads: choose(pick, &[1, 2, 3, 5]),
            level: choose(pick, &[Level::Avx512, Level::Avx2, Level::Baseline]),
            seed: 1 + pick(1 << 16) as u64,
            wild,
        }
    }

    /// A case of one thread and ReLU with nothing drawn.
    #[allow(dead_code, reason = "the fuzz target draws all its cases")]
    pub fn plain(operation: Operation, level: Level) -> Self {
        Self { operation, activation: ACTIVATIONS[1], threads: 1, level, seed: 1, wild: None }
    }

    /// The same case with a value that is not finite at a place of the first argument.
    #[allow(dead_code, reason = "the fuzz target draws all its cases")]
    pub fn wild(self, value: f32, place: usize) -> Self {
        Self { wild: Some((value, place)), activation: ACTIVATIONS[0], ..self }
    }

    /// Compares values and gradients.
    ///
    /// # Errors
    /// Everything that differs, or the message of a panic.
    pub fn check(self) -> Result<(), String> {
        elbo_kernels::set_threads(self.threads);
        set_level(self.level);
        let compared = catch_unwind(AssertUnwindSafe(|| self.compare()));
        let compared = compared.map_err(|_| format!("{self:?} panicked"))?;
        let differs = compared.iter().filter_map(|result| self.difference(result)).collect::<Vec<_>>();
        if differs.is_empty() { Ok(()) } else { Err(format!("{self:?}: {}", differs.join("; "))) }
    }

    fn difference(&self, (name, fused, plain, least): &Compared) -> Option<String> {
        if fused.len() != plain.len() {
            return Some(format!("{name}: {} values against {}", fused.len(), plain.len()));
        }
        let wild = |i: usize| !plain[i].is_finite();
        if let Some(i) = (0..plain.len()).find(|&i| wild(i) == fused[i].is_finite()) {
            return Some(format!("{name}[{i}]: {} against {}", fused[i], plain[i]));
        }
        let tame = (0..plain.len()).filter(|&i| !wild(i));
        let scale = tame.clone().fold(*least, |most, i| most.max(f64::from(plain[i].abs())));
        let worst = tame.map(|i| (f64::from(fused[i]) - f64::from(plain[i])).abs()).fold(0.0, f64::max);
        (worst > TOLERANCE * scale).then(|| format!("{name}: off by {worst:.2e} where sums have the scale {scale:.2e}"))
    }

    fn compare(&self) -> Vec<Compared> {
        let activation = self.activation.1;
        match self.operation {
            Operation::Linear { batch, inputs, outputs } => {
                let (x, weight, bias) = self.layer([batch, inputs], [outputs, inputs], inputs, outputs);
                self.layers(&x, &weight, &bias, |plain, x, w, b| match plain {
                    false => elbo_kernels::linear(x, w, b, activation),
                    true => reference::linear(x, w, b, activation),
                })
            }
            Operation::Conv { x, outputs, kernel: [rows, cols], geometry } => {
                let (x, weight, bias) = self.layer(x, [outputs, x[3], rows, cols], x[3] * rows * cols, outputs);
                self.layers(&x, &weight, &bias, |plain, x, w, b| match plain {
                    false => conv2d(x, w, b, geometry, activation),
                    true => reference::conv2d(x, w, b, geometry, activation),
                })
            }
            Operation::ConvTranspose { x, outputs, kernel: [rows, cols], geometry } => {
                let (x, weight, bias) = self.layer(x, [x[3], outputs, rows, cols], x[3] * rows * cols, outputs);
                self.layers(&x, &weight, &bias, |plain, x, w, b| match plain {
                    false => conv_transpose2d(x, w, b, geometry, activation),
                    true => reference::conv_transpose2d(x, w, b, geometry, activation),
                })
            }
            Operation::BatchNorm { x, inference } => self.batch_norms(x, inference),
            Operation::Likelihood { batch, pixels, term } => self.likelihoods(batch, pixels, term),
            Operation::Latent { batch, width } => {
                let [mean, log_var, noise] = [0, 1, 2].map(|i| self.array(i, [batch, width]).map(|v| 3.0 * v));
                let [fused, plain] = [false, true].map(|plain| {
                    let (mean, log_var) =
                        (self.with_wild(mean.clone()).tensor().require_grad(), log_var.tensor().require_grad());
                    let (kl, z) = match plain {
                        false => (
                            elbo_kernels::gaussian_kl(mean.clone(), log_var.clone()),
                            elbo_kernels::reparameterize(mean.clone(), log_var.clone(), noise.tensor()),
                        ),
                        true => (
                            reference::gaussian_kl(mean.clone(), log_var.clone()),
                            reference::reparameterize(mean.clone(), log_var.clone(), noise.tensor()),
                        ),
                    };
                    let weights = self.array(3, [batch, width]).tensor();
                    let gradients = ((kl.clone() + z.clone()) * weights).sum().backward();
                    [values(kl), values(z), gradient(&mean, &gradients), gradient(&log_var, &gradients)]
                });
                pair(["kl", "z", "dmean", "dlog_var"], fused, plain, [1.0; 4], 4)
            }
        }
    }

    /// Multiples of 1/16 in [-1, 1], others for each `argument`.
    fn array<const D: usize>(&self, argument: u64, dims: [usize; D]) -> Array<D> {
        Array::grid(self.seed * 8 + argument, dims)
    }

    fn with_wild<const D: usize>(&self, mut array: Array<D>) -> Array<D> {
        if let (Some((value, place)), false) = (self.wild, array.values.is_empty()) {
            let place = place % array.values.len();
            array.values[place] = value;
        }
        array
    }

    /// Arguments of a layer whose sums are exact in float32 and never 0 before the activation, as `support/grids.rs` explains.
    fn layer<const D: usize>(
        &self,
        x: [usize; D],
        weight: [usize; D],
        terms: usize,
        outputs: usize,
    ) -> (Array<D>, Array<D>, Array<1>) {
        let scale = weight_scale(terms);
        let bias = self.array(2, [outputs]).map(|b| b + scale / 512.0);
        (self.with_wild(self.array(0, x)), self.array(1, weight).map(|w| w * scale), bias)
    }

    fn layers<const D: usize>(
        &self,
        x: &Array<D>,
        weight: &Array<D>,
        bias: &Array<1>,
        run: impl Fn(bool, Tensor<D>, Tensor<D>, Tensor<1>) -> Tensor<D>,
    ) -> Vec<Compared> {
        let [fused, plain] = [false, true].map(|plain| {
            let (x, w) = (x.tensor().require_grad(), weight.tensor().require_grad());
            let b = bias.tensor().require_grad();
            let y = run(plain, x.clone(), w.clone(), b.clone());
            let dy = self.array(3, y.dims()).map(|d| 1.0 + 0.5 * d).tensor();
            let gradients = (y.clone() * dy).sum().backward();
            [values(y), gradient(&x, &gradients), gradient(&w, &gradients), gradient(&b, &gradients)]
        });
        let one_weight = weight.values.iter().fold(1e-3f32, |most, w| most.max(w.abs()));
        // A place of the window that padding cuts off meets no pixel. Its gradient is 0, which a form that multiplies by the padding's zeros makes
        // NaN where `x` is wild; both forms do so for some shapes.
        let kept = if self.wild.is_some() && self.operation.may_cut_off() { 2 } else { 4 };
        pair(["y", "dx", "dw", "db"], fused, plain, [0.1, f64::from(one_weight), 1.0, 1.0], kept)
    }

    fn likelihoods(&self, batch: usize, pixels: usize, term: Reconstruction) -> Vec<Compared> {
        // Three channels, as the mixture wants them; of the 256 logits of a level fewer pixels are enough.
        let width = if term == Reconstruction::Categorical { 1 + pixels % 5 } else { 3 * pixels };
        let outputs = term.output_channels(3) * width / 3;
        let outputs = if term == Reconstruction::Categorical { LEVELS * width } else { outputs };
        let single = matches!(term, Reconstruction::Bernoulli | Reconstruction::SquaredError(_));
        // Off the grid of `x`, where the absolute error has its kink.
        let spread = if single { 8.0 } else { 2.0 };
        let parameters = self.array(0, [batch, outputs]).map(|p| spread * p + 0.013);
        let x = self.array(1, [batch, width]).map(|x| (255.0 * x.abs()).round() / 255.0);
        let [fused, plain] = [reconstruction, reference::reconstruction].map(|op| {
            let parameters = self.with_wild(parameters.clone()).tensor().require_grad();
            let y = op(term, parameters.clone(), x.tensor());
            let weights = self.array(2, y.dims()).tensor();
            let gradients = (y.clone() * weights).sum().backward();
            [values(y), gradient(&parameters, &gradients)]
        });
        // Slopes at infinities are limits in one form and NaN in the other, and so are values of all but the simplest terms.
        let kept = match self.wild {
            None => 2,
            Some((value, _)) if single || value.is_nan() => 1,
            Some(_) => 0,
        };
        pair(["y", "dparameters"], fused, plain, [1.0, 0.1], kept)
    }

    fn batch_norms(&self, dims: [usize; 4], inference: bool) -> Vec<Compared> {
        const EPS: f64 = 1e-3;
        let channels = dims[3];
        let x = self.with_wild(self.array(0, dims).map(|v| v * 1.7 + 0.377_77));
        let (gamma, beta) = (self.array(1, [channels]).map(|g| 1.0 + 0.5 * g), self.array(2, [channels]));
        let beta = beta.map(|b| 0.3 * b + 0.01);
        let (mean, variance) = (self.array(4, [channels]), self.array(5, [channels]).map(|v| v.abs() + 0.3));
        let run = |plain: bool, activation| {
            let (x, g, b) = (x.tensor().require_grad(), gamma.tensor().require_grad(), beta.tensor().require_grad());
            let y = match (plain, inference) {
                (false, false) => batch_norm(x.clone(), g.clone(), b.clone(), EPS, activation).0,
                (true, false) => reference::batch_norm(x.clone(), g.clone(), b.clone(), EPS, activation).0,
                (plain, true) => {
                    let op = if plain { reference::batch_norm_inference } else { batch_norm_inference };
                    op(x.clone(), g.clone(), b.clone(), mean.tensor(), variance.tensor(), EPS, activation)
                }
            };
            let dy = self.array(3, dims).map(|d| 0.3 + d).tensor();
            let gradients = (y.clone() * dy).sum().backward();
            [values(y), gradient(&x, &gradients), gradient(&g, &gradients), gradient(&b, &gradients)]
        };
        let [fused, plain] = [false, true].map(|plain| run(plain, self.activation.1));
        // One over the least deviation there can be: what the terms of the sums are multiplied by.
        let inverse = if inference { 2.0 } else { 1.0 / EPS.sqrt() };
        // Where the value before the activation nearly vanishes, twins may take either slope of a kink.
        let before = || run(true, Activation::None)[0].iter().any(|y| y.abs() < 1e-3);
        let kinked = matches!(self.activation.1, Activation::Relu | Activation::LeakyRelu);
        let kept = if self.wild.is_some() || kinked && before() { 1 } else { 4 };
        pair(["y", "dx", "dgamma", "dbeta"], fused, plain, [inverse, 2.0 * inverse, 2.0 * inverse, 1.0], kept)
    }
}

impl Operation {
    fn draw(kind: usize, pick: &mut dyn FnMut(usize) -> usize) -> Self {
        const WIDTHS: [usize; 12] = [1, 3, 5, 2, 8, 15, 16, 17, 33, 64, 65, 130];
        const CHANNELS: [usize; 9] = [1, 3, 5, 33, 2, 8, 9, 16, 40];
        let batch = |pick: &mut dyn FnMut(usize) -> usize| choose(pick, &[1, 2, 3, 7]);
        let image =
            |pick: &mut dyn FnMut(usize) -> usize| [batch(pick), 1 + pick(12), 1 + pick(12), choose(pick, &CHANNELS)];
        match kind % KINDS {
            0 => Self::Linear { batch: 1 + pick(40), inputs: choose(pick, &WIDTHS), outputs: choose(pick, &WIDTHS) },
            1 => {
                let (x, outputs, kernel) = (image(pick), choose(pick, &CHANNELS), [1 + pick(5), 1 + pick(5)]);
                let mut geometry = ConvGeometry { stride: 1 + pick(4), padding: [pick(4), pick(4)] };
                // A window larger than the image gets the padding it needs.
                while geometry.output_size([x[1], x[2]], kernel).is_none() {
                    geometry.padding = geometry.padding.map(|p| p + 1);
                }
                Self::Conv { x, outputs, kernel, geometry }
            }
            2 => {
                let (x, outputs, kernel) = (image(pick), choose(pick, &CHANNELS), [1 + pick(5), 1 + pick(5)]);
                let stride = 1 + pick(4);
                let (padding, output_padding) = ([pick(4), pick(4)], [pick(stride), pick(stride)]);
                let mut geometry = ConvTransposeGeometry { stride, padding, output_padding };
                while geometry.output_size([x[1], x[2]], kernel).is_none() {
                    geometry.padding = geometry.padding.map(|p| p.saturating_sub(1));
                }
                Self::ConvTranspose { x, outputs, kernel, geometry }
            }
            3 => Self::BatchNorm { x: image(pick), inference: pick(2) == 1 },
            4 => Self::Likelihood { batch: 1 + pick(8), pixels: 1 + pick(300), term: choose(pick, &TERMS) },
            _ => Self::Latent { batch: 1 + pick(8), width: choose(pick, &WIDTHS) },
        }
    }
}

/// A power of two near `1 / sqrt(terms)`: it keeps sums exact and out of the flat parts of activations.
fn weight_scale(terms: usize) -> f32 {
    0.5f32.powi(terms.max(1).ilog2().div_ceil(2) as i32)
}

/// The first `kept` results side by side.
fn pair<const N: usize>(
    names: [&'static str; N],
    fused: [Vec<f32>; N],
    plain: [Vec<f32>; N],
    least: [f64; N],
    kept: usize,
) -> Vec<Compared> {
    let values = fused.into_iter().zip(plain).zip(least).take(kept);
    names.into_iter().zip(values).map(|(name, ((fused, plain), least))| (name, fused, plain, least)).collect()
}

#[test]
fn the_comparison_can_fail() {
    let case = Case::draw(0, &mut |_| 0);
    let differs = |fused: &[f32], plain: &[f32]| case.difference(&("y", fused.to_vec(), plain.to_vec(), 1.0)).is_some();
    assert!(!differs(&[1.0, 2.0], &[1.0, 2.000_1]));
    assert!(!differs(&[f32::NAN], &[f32::INFINITY]), "both are not finite");
    for (fused, plain) in [(&[1.0f32, 2.0][..], &[1.0f32, 2.001][..]), (&[1.0], &[1.0, 2.0]), (&[1.0], &[f32::NAN])] {
        assert!(differs(fused, plain), "{fused:?} against {plain:?}");
    }
    assert!(differs(&[f32::NAN], &[1.0]));
}

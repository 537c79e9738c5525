//! Adam and AdamW (Kingma & Ba 2014, arXiv:1412.6980; Loshchilov & Hutter 2017, arXiv:1711.05101), in place.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[cfg(feature = "tensors")]
use burn::tensor::Tensor;
#[cfg(feature = "tensors")]
use burn_flex::FlexTensor;

#[cfg(feature = "tensors")]
use crate::extension::{flex_mut, flex_slice, from_flex, into_flex, is_fused};
use crate::pool::{self, SharedMut};
use crate::simd;

/// The numbers of one optimiser step, PyTorch's names and meaning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// The learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the corrected second moment.
    pub eps: f64,
    /// Coupled weight decay (PyTorch's `Adam(weight_decay)`): `g += l2 * w` before the moments.
    pub l2: f64,
    /// Decoupled weight decay (AdamW): `w *= 1 - lr * decay` before the step.
    pub decay: f64,
    /// Multiplies the gradient first: 1, or less when gradients are clipped.
    pub gradient_scale: f64,
    /// Number of this step, from 1.
    pub time: u64,
}

/// The same in float32, as the inner loop wants it.
#[derive(Clone, Copy)]
struct Constants {
    scale: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    l2: f32,
    keep: f32,
    step_size: f32,
    root_scale: f32,
    eps: f32,
}

impl AdamStep {
    /// The same step for what no weight decay reaches.
    fn without_decay(&self) -> Self {
        Self { l2: 0.0, decay: 0.0, ..*self }
    }

    fn constants(&self) -> Constants {
        let time = i32::try_from(self.time).unwrap_or(i32::MAX);
        Constants {
            scale: self.gradient_scale as f32,
            beta1: self.beta1 as f32,
            one_minus_beta1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            one_minus_beta2: (1.0 - self.beta2) as f32,
            l2: self.l2 as f32,
            keep: (1.0 - self.lr * self.decay) as f32,
            step_size: (self.lr / (1.0 - self.beta1.powi(time))) as f32,
            root_scale: (1.0 / (1.0 - self.beta2.powi(time)).sqrt()) as f32,
            eps: self.eps as f32,
        }
    }
}

/// A parameter after one step.
#[cfg(feature = "tensors")]
#[derive(Debug, Clone)]
pub struct Updated {
    /// The new weight. `[n]`.
    pub weight: Tensor<1>,
    /// The new first moment. `[n]`.
    pub m: Tensor<1>,
    /// The new second moment. `[n]`.
    pub v: Tensor<1>,
    /// False if the gradient held a NaN or an infinity or the update overflowed float32 (the second moment does so for gradients
    /// beyond 1e19); the other fields are then of no use.
    pub finite: bool,
}

/// One Adam step on one flattened parameter.
///
/// `m = beta1 m + (1 - beta1) g`, `v = beta2 v + (1 - beta2) g^2`,
/// `w = w - lr / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + eps)`.
///
/// On Flex, storage that nobody else holds is updated in place.
///
/// # Shapes
/// - `weight`, `gradient`, `m`, `v`: `[n]`
///
/// # Panics
/// If the lengths differ.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{AdamStep, adam};
///
/// let device = Device::default();
/// let tensor = |value: f32| Tensor::<1>::from_data([value], &device);
/// let step = AdamStep {
///     lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, l2: 0.0, decay: 0.0, gradient_scale: 1.0, time: 1,
/// };
/// let updated = adam(tensor(1.0), tensor(-25.0), tensor(0.0), tensor(0.0), &step);
/// // Adam's first step has the length of the learning rate, whatever the gradient's.
/// assert!((updated.weight.into_scalar::<f32>() - 1.1).abs() < 1e-6 && updated.finite);
/// ```
#[cfg(feature = "tensors")]
pub fn adam(weight: Tensor<1>, gradient: Tensor<1>, m: Tensor<1>, v: Tensor<1>, step: &AdamStep) -> Updated {
    adam_all(vec![Parameter { weight, gradient, m, v, decays: true }], step).swap_remove(0)
}

/// What [`adam_all`] takes for each parameter, all `[n]`.
#[cfg(feature = "tensors")]
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The weight, flattened.
    pub weight: Tensor<1>,
    /// The gradient of the loss by the weight.
    pub gradient: Tensor<1>,
    /// The first moment.
    pub m: Tensor<1>,
    /// The second moment.
    pub v: Tensor<1>,
    /// Whether weight decay, coupled or not, reaches it.
    pub decays: bool,
}

/// [`adam`] for many parameters in one parallel pass: small ones, biases and the narrow layers around a code, share it with the large ones.
///
/// # Panics
/// If the lengths within a parameter differ.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{AdamStep, Parameter, adam_all};
///
/// let tensor = |value: f32| Tensor::<1>::from_data([value], &Device::default());
/// let parameter = |gradient| Parameter {
///     weight: tensor(1.0), gradient: tensor(gradient), m: tensor(0.0), v: tensor(0.0), decays: true,
/// };
/// let step = AdamStep {
///     lr: 0.1, beta1: 0.9, beta2: 0.999, eps: 1e-8, l2: 0.0, decay: 0.0, gradient_scale: 1.0, time: 1,
/// };
/// let updated = adam_all(vec![parameter(-25.0), parameter(f32::NAN)], &step);
/// assert_eq!([updated[0].finite, updated[1].finite], [true, false]);
/// ```
#[cfg(feature = "tensors")]
pub fn adam_all(parameters: Vec<Parameter>, step: &AdamStep) -> Vec<Updated> {
    for Parameter { weight, gradient, m, v, .. } in &parameters {
        let dims = weight.dims();
        assert!(
            dims == gradient.dims() && dims == m.dims() && dims == v.dims(),
            "weight, gradient and moments of one length"
        );
    }
    if !parameters.iter().all(|parameter| is_fused(&parameter.weight)) {
        let bare = step.without_decay();
        let plain = |Parameter { weight, gradient, m, v, decays }| {
            adam_reference(weight, gradient, m, v, if decays { step } else { &bare })
        };
        return parameters.into_iter().map(plain).collect();
    }
    let flex = |Parameter { weight, gradient, m, v, decays }| ([weight, gradient, m, v].map(into_flex), decays);
    let mut parameters: Vec<_> = parameters.into_iter().map(flex).collect();
    let slices = parameters.iter_mut().map(|([weight, gradient, m, v], decays)| {
        Slices::new(flex_mut(weight), flex_slice(gradient), flex_mut(m), flex_mut(v), *decays)
    });
    let finite = update(&slices.collect::<Vec<_>>(), step);
    let updated = |(([weight, _, m, v], _), finite): (([FlexTensor; 4], bool), _)| {
        let [weight, m, v] = [weight, m, v].map(from_flex);
        Updated { weight, m, v, finite }
    };
    parameters.into_iter().zip(finite).map(updated).collect()
}

/// Plain Burn twin of [`adam`], same arguments and results.
#[cfg(feature = "tensors")]
pub fn adam_reference(weight: Tensor<1>, gradient: Tensor<1>, m: Tensor<1>, v: Tensor<1>, step: &AdamStep) -> Updated {
    let c = step.constants();
    let gradient = gradient * c.scale + weight.clone() * c.l2;
    let m = m * c.beta1 + gradient.clone() * c.one_minus_beta1;
    let v = v * c.beta2 + gradient.square() * c.one_minus_beta2;
    let weight = weight * c.keep - m.clone() * c.step_size / (v.clone().sqrt() * c.root_scale + c.eps);
    let finite = (weight.clone() * 0.0 + v.clone() * 0.0).sum().into_scalar::<f32>() == 0.0;
    Updated { weight, m, v, finite }
}

/// One parameter in memory.
struct Slices<'a> {
    w: SharedMut<f32>,
    g: &'a [f32],
    m: SharedMut<f32>,
    v: SharedMut<f32>,
    decays: bool,
    finite: AtomicBool,
}

impl<'a> Slices<'a> {
    fn new(w: &'a mut [f32], g: &'a [f32], m: &'a mut [f32], v: &'a mut [f32], decays: bool) -> Self {
        assert!(w.len() == g.len() && m.len() == g.len() && v.len() == g.len(), "slices of one length");
        let [w, m, v] = [w, m, v].map(SharedMut::new);
        Self { w, g, m, v, decays, finite: AtomicBool::new(true) }
    }
}

/// Updates all parameters, cut into parts as if they lay one after the other; returns which are still finite.
fn update(parameters: &[Slices<'_>], step: &AdamStep) -> Vec<bool> {
    let [all, bare] = [*step, step.without_decay()].map(|step| step.constants());
    let count = parameters.iter().map(|parameter| parameter.g.len()).sum();
    let parts = pool::parts_for(count, 1, 32_768, 16);
    pool::run(parts, |part| {
        for Slices { w, g, m, v, decays, finite } in parameters {
            // A share of each, not some of them whole: the layers' passes share each as well.
            let range = pool::part_range(g.len(), parts, part, 16);
            if range.is_empty() {
                continue;
            }
            // SAFETY: parts own disjoint ranges of the three buffers, which `parameters` borrows for longer than the region.
            let still = unsafe {
                update_slice(
                    w.slice(range.clone()),
                    &g[range.clone()],
                    m.slice(range.clone()),
                    v.slice(range),
                    if *decays { all } else { bare },
                )
            };
            finite.fetch_and(still, Relaxed);
        }
    });
    parameters.iter().map(|parameter| parameter.finite.load(Relaxed)).collect()
}

/// The least average of a gradient that is kept. A weight whose gradient has become 0, as that of a pixel that is black in nearly every image, keeps a `m`
/// that falls by `beta1` in each step, after 900 of them below the normal numbers, where each operation takes a processor a hundred times as long. With an
/// `eps` of 1e-8 this much moves a weight by 1e-25.
const LEAST_AVERAGE: f32 = 1e-30;

/// 0 for what is too small to matter; NaN stays NaN.
#[inline(always)]
fn vanishing(m: f32) -> f32 {
    if m.abs() < LEAST_AVERAGE { 0.0 } else { m }
}

simd::multiversion! {
    /// Returns whether all of `w` and `v` is still finite: no exponent bits all set. A gradient that is not finite, or whose square
    /// is not, leaves its mark in `v`. Bits are collected with `or`, which unlike a sum of floats may be reordered and so vectorises.
    fn update_slice(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], c: Constants) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        let mut not_finite = 0u32;
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            let g = g * c.scale + *w * c.l2;
            let new_m = vanishing(*m * c.beta1 + g * c.one_minus_beta1);
            let new_v = *v * c.beta2 + g * g * c.one_minus_beta2;
            let new_w = *w * c.keep - new_m * c.step_size / (new_v.sqrt() * c.root_scale + c.eps);
            not_finite |= u32::from(new_w.to_bits() & EXPONENT == EXPONENT);
            not_finite |= u32::from(new_v.to_bits() & EXPONENT == EXPONENT);
            (*w, *m, *v) = (new_w, new_m, new_v);
        }
        not_finite == 0
    }
}

/// Sum of squares of a flattened gradient, in float64 and in an order fixed by its length: global-norm clipping and the check that it is finite.
///
/// # Shapes
/// - `gradient`: `[n]`
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let gradient = Tensor::<1>::from_data([3.0, 4.0], &Device::default());
/// assert_eq!(elbo_kernels::sum_of_squares(gradient), 25.0);
/// ```
#[cfg(feature = "tensors")]
pub fn sum_of_squares(gradient: Tensor<1>) -> f64 {
    if !is_fused(&gradient) {
        return f64::from(gradient.square().sum().into_scalar::<f32>());
    }
    let gradient = into_flex(gradient);
    let values = flex_slice(&gradient);
    let parts = pool::parts_for(values.len(), 1, 32_768, 16);
    let mut partial = vec![0f64; parts];
    let slots = SharedMut::new(&mut partial);
    pool::run(parts, |part| {
        // SAFETY: each part owns its slot, and the buffer outlives the region.
        unsafe { slots.slice(part..part + 1)[0] = squares(&values[pool::part_range(values.len(), parts, part, 16)]) };
    });
    partial.iter().sum()
}

simd::multiversion! {
    fn squares(values: &[f32]) -> f64 {
        let mut lanes = [0f64; 16];
        let mut chunks = values.chunks_exact(16);
        for chunk in &mut chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(*value) * f64::from(*value);
            }
        }
        for (lane, value) in lanes.iter_mut().zip(chunks.remainder()) {
            *lane += f64::from(*value) * f64::from(*value);
        }
        lanes.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weight, gradient and both moments of a parameter.
    fn parameter(count: usize) -> [Vec<f32>; 4] {
        let value = |i: usize, seed: usize| ((i * 37 + seed * 101) % 199) as f32 / 99.5 - 1.0;
        let [w, g, m] = [0, 1, 2].map(|seed| (0..count).map(|i| value(i, seed + count)).collect());
        [w, g, m, vec![0.5; count]]
    }

    fn slices([w, g, m, v]: &mut [Vec<f32>; 4]) -> Slices<'_> {
        Slices::new(w, g, m, v, true)
    }

    #[test]
    fn parameters_are_updated_by_the_formula_and_what_is_not_finite_shows() {
        let step = AdamStep {
            lr: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            eps: 1e-5,
            l2: 0.1,
            decay: 0.2,
            gradient_scale: 0.5,
            time: 3,
        };
        // Bounds of parts fall into parameters and between them.
        let counts = [1, 15, if cfg!(miri) { 333 } else { 100_003 }, 0, 16, if cfg!(miri) { 64 } else { 40_000 }, 33];
        let before = counts.map(parameter);
        let mut after = before.clone();
        let finite = update(&after.iter_mut().map(slices).collect::<Vec<_>>(), &step);
        assert_eq!(finite, [true; 7]);
        for ([start, gradient, first, _], [w, _, m, v]) in before.iter().zip(&after) {
            for i in 0..start.len() {
                let g = 0.5 * f64::from(gradient[i]) + 0.1 * f64::from(start[i]);
                let want_m = 0.9 * f64::from(first[i]) + 0.1 * g;
                let want_v = 0.99 * 0.5 + 0.01 * g * g;
                let root = (want_v / (1.0 - 0.99f64.powi(3))).sqrt() + 1e-5;
                let want_w = f64::from(start[i]) * (1.0 - 0.01 * 0.2) - 0.01 / (1.0 - 0.9f64.powi(3)) * want_m / root;
                for (found, wanted) in [(m[i], want_m), (v[i], want_v), (w[i], want_w)] {
                    assert!((f64::from(found) - wanted).abs() < 1e-6, "{found} is not {wanted}");
                }
            }
        }
        for wild in [0, 2, 6] {
            let mut after = before.clone();
            *after[wild][1].last_mut().expect("a number") = f32::INFINITY;
            let finite = update(&after.iter_mut().map(slices).collect::<Vec<_>>(), &step);
            assert!(finite.iter().enumerate().all(|(i, finite)| *finite == (i != wild)), "{finite:?}");
        }
    }

    /// The weights of a pixel that turned black: in float64 the same, and no number below the normal ones on the way, which would be slow.
    #[test]
    fn averages_of_gradients_that_ended_vanish() {
        let step = |time| AdamStep {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            l2: 0.0,
            decay: 0.0,
            gradient_scale: 1.0,
            time,
        };
        let (mut w, mut m, mut v) = ([1f32; 3], [0f32; 3], [0f32; 3]);
        let (mut exact_w, mut exact_m, mut exact_v) = ([1f64; 3], [0f64; 3], [0f64; 3]);
        for time in 1..1500 {
            let g = if time < 4 { [0.3f32, 1e-4, 1e-9] } else { [0.0; 3] };
            for i in 0..3 {
                exact_m[i] = 0.9 * exact_m[i] + 0.1 * f64::from(g[i]);
                exact_v[i] = 0.999 * exact_v[i] + 0.001 * f64::from(g[i]).powi(2);
                let [first, second] =
                    [(exact_m[i], 0.9f64), (exact_v[i], 0.999)].map(|(m, b)| m / (1.0 - b.powi(time)));
                exact_w[i] -= 1e-3 * first / (second.sqrt() + 1e-8);
            }
            update(&[Slices::new(&mut w, &g, &mut m, &mut v, true)], &step(time as u64));
            assert!(m.iter().all(|m| *m == 0.0 || m.is_normal()), "{m:?} in step {time}");
        }
        assert_eq!(m, [0.0; 3]);
        assert!(w.iter().zip(exact_w).all(|(w, exact)| (f64::from(*w) - exact).abs() < 2e-6), "{w:?} {exact_w:?}");
    }
}

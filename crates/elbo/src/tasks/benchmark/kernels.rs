//! Single operations of sequence models, forward and backward, at the sizes that `bench/peer_kernels.py` has for PyTorch.

use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{Activation, attention, backward_from, group_norm, layer_norm};

use super::repeat;
use crate::random::{Draws, Purpose};

/// Examples of an attention and of a group norm; the rows of a layer norm.
pub(super) const EXAMPLES: usize = 32;
/// As [`EXAMPLES`].
pub(super) const ROWS: usize = 8192;

const EPS: f64 = 1e-5;

/// Standard normal numbers.
fn noise<const D: usize>(part: u64, dims: [usize; D], device: &Device) -> Tensor<D> {
    let values = Draws::new(0, Purpose::Choice, 1, part).normals(dims.iter().product());
    Tensor::from_data(TensorData::new(values, dims), device)
}

/// Attention of 4 heads of width 64 over 256 tokens. Examples a second of every repetition, as below.
pub(super) fn attention_passes(seconds: f64, device: &Device) -> Vec<f64> {
    let device = &device.clone().autodiff();
    let tensor = |part| noise(part, [EXAMPLES, 256, 4, 64], device);
    let [q, k, v] = [0, 1, 2].map(|part| tensor(part).require_grad());
    let dy = tensor(3);
    repeat(EXAMPLES, EXAMPLES, seconds, |_| {
        backward_from(attention(q.clone(), k.clone(), v.clone(), false), dy.clone());
    })
}

/// Layer norm of rows of 256 values.
pub(super) fn layer_norm_passes(seconds: f64, device: &Device) -> Vec<f64> {
    let device = &device.clone().autodiff();
    let (x, dy) = (noise(0, [ROWS, 256], device).require_grad(), noise(1, [ROWS, 256], device));
    let [weight, bias] = [2, 3].map(|part| noise(part, [256], device).require_grad());
    repeat(ROWS, ROWS, seconds, |_| {
        backward_from(layer_norm(x.clone(), weight.clone(), bias.clone(), EPS), dy.clone());
    })
}

/// Group norm of 32 groups and SiLU, on maps of 16 x 16 with 128 channels.
pub(super) fn group_norm_passes(seconds: f64, device: &Device) -> Vec<f64> {
    let device = &device.clone().autodiff();
    let size = [EXAMPLES, 16, 16, 128];
    let (x, dy) = (noise(0, size, device).require_grad(), noise(1, size, device));
    let [gamma, beta] = [2, 3].map(|part| noise(part, [128], device).require_grad());
    repeat(EXAMPLES, EXAMPLES, seconds, |_| {
        backward_from(group_norm(x.clone(), 32, gamma.clone(), beta.clone(), EPS, Activation::Silu), dy.clone());
    })
}

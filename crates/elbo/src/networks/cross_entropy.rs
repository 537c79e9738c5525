//! `-ln p(k)` of symbols under logits, in nats.

use burn::tensor::{Int, Tensor, TensorData};
use elbo_kernels::simd;
use rayon::prelude::*;

/// Logits become `softmax`, the target's less 1, all times `scale`: the gradient of `scale * nll`. Returns
/// the nll.
fn gradient_in_place(logits: &mut [f32], target: usize, scale: f32) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let own = logits[target] - most;
    let mut sum = 0f32;
    for logit in logits.iter_mut() {
        *logit = simd::exp(*logit - most);
        sum += *logit;
    }
    let factor = scale / sum;
    logits.iter_mut().for_each(|value| *value *= factor);
    logits[target] -= scale;
    sum.ln() - own
}

fn targets_of(targets: Tensor<1, Int>) -> Vec<i32> {
    targets.into_data_as::<i32>().try_into_vec().expect("whole numbers")
}

fn host(logits: Tensor<2>) -> Vec<f32> {
    logits.into_data_as::<f32>().try_into_vec().expect("converted to float32")
}

/// `-ln softmax(logits)[target]` of each row, in nats.
///
/// # Shapes
/// - `logits`: `[n, symbols]`; `targets`: `[n]`
///
/// # Panics
/// If a target is not below the number of symbols, or there is not one for each row.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use elbo::networks::token_nll;
///
/// let device = Device::default();
/// let (logits, targets) = (Tensor::zeros([3, 8], &device), Tensor::<1, Int>::from_data([0, 7, 3], &device));
/// assert!(token_nll(logits, targets).iter().all(|nll| (nll - 8f32.ln()).abs() < 1e-6));
/// ```
pub fn token_nll(logits: Tensor<2>, targets: Tensor<1, Int>) -> Vec<f32> {
    let ([n, symbols], targets) = (logits.dims(), targets_of(targets));
    assert_eq!(targets.len(), n, "a target for each row");
    let mut values = host(logits);
    values
        .par_chunks_exact_mut(symbols)
        .zip(targets)
        .map(|(row, target)| gradient_in_place(row, target as usize, 1.0))
        .collect()
}

/// The sum of [`token_nll`] divided by `examples`, with its gradient, which is made in the same pass over
/// the logits.
///
/// # Shapes
/// - `logits`: `[n, symbols]`; `targets`: `[n]`
/// - returns: `[1]`
///
/// # Panics
/// As [`token_nll`].
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>, examples: usize) -> Tensor<1> {
    let ([n, symbols], targets, device) = (logits.dims(), targets_of(targets), logits.device());
    assert_eq!(targets.len(), n, "a target for each row");
    let scale = 1.0 / examples as f32;
    let mut values = host(logits.clone().detach());
    let nll: Vec<f32> = values
        .par_chunks_exact_mut(symbols)
        .zip(targets)
        .map(|(row, target)| gradient_in_place(row, target as usize, scale))
        .collect();
    let total = nll.iter().map(|&nll| f64::from(nll)).sum::<f64>() / examples as f64;
    let gradient = Tensor::<2>::from_data(TensorData::new(values, [n, symbols]), &device);
    // Linear in the logits with the gradient as its slope, moved to where the value is.
    let slope = (logits * gradient).sum();
    slope.clone() - slope.detach() + Tensor::from_data([total as f32], &device)
}

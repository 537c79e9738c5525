//! The variational bound on `-ln p(x)`, whatever the network predicts (Kingma et al. 2021, arXiv:2107.00630, eq. 11 to 15).
//!
//! `-ln p(x) <= KL(q(z_T|x) || N(0, I)) + sum over steps of 1/2 (SNR(s) - SNR(t)) |x - D|^2 - ln p(x|z_0)`.

use super::{Denoise, DenoiseWithTrace, Levels};

/// `KL(q(z_T | x) || N(0, I))` of one value at the highest level, in nats, with `z = alpha x_T`.
pub fn prior_kl(x: f64, highest: f64) -> f64 {
    let kept = 1.0 / (1.0 + highest * highest);
    0.5 * (kept * x * x - kept - (-kept).ln_1p())
}

/// `1/2 (SNR(to) - SNR(from)) |x - D(x + from n; from)|^2`: the term of a step in nats, for one draw `n` of its noise.
///
/// # Panics
/// If `to` is not above 0 and below `from`.
pub fn step_term(denoiser: &mut dyn Denoise, x: &[f64], (from, to): (f64, f64), noise: &[f64]) -> f64 {
    assert!(0.0 < to && to < from, "a term from {from} to {to}");
    let weight = 0.5 * (to.powi(-2) - from.powi(-2));
    weight * squared_error(denoiser, x, from, noise)
}

/// `|x - D|^2 / sigma^2`: the same in the limit of many steps, for each unit of `ln sigma`.
pub fn term_by_log_level(denoiser: &mut dyn Denoise, x: &[f64], sigma: f64, noise: &[f64]) -> f64 {
    squared_error(denoiser, x, sigma, noise) / (sigma * sigma)
}

fn squared_error(denoiser: &mut dyn Denoise, x: &[f64], sigma: f64, noise: &[f64]) -> f64 {
    let state: Vec<f64> = x.iter().zip(noise).map(|(x, n)| x + sigma * n).collect();
    denoiser.denoise(&state, sigma).iter().zip(x).map(|(clean, x)| (x - clean).powi(2)).sum()
}

/// `-ln p(level | x_0)` in nats: a softmax over all levels of `-(state - level)^2 / (2 sigma^2)`, which sums to 1.
///
/// # Panics
/// If there is no such level.
///
/// ```
/// use elbo::diffusion::level_nll;
///
/// let levels = [-1.0, 0.0, 1.0];
/// let total: f64 = (0..3).map(|level| (-level_nll(0.4, 0.3, &levels, level)).exp()).sum();
/// assert!((total - 1.0).abs() < 1e-12);
/// ```
pub fn level_nll(state: f64, sigma: f64, levels: &[f64], level: usize) -> f64 {
    let logit = |value: f64| -(state - value).powi(2) / (2.0 * sigma * sigma);
    let most = levels.iter().copied().map(logit).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = levels.iter().map(|&value| (logit(value) - most).exp()).sum();
    most + sum.ln() - logit(levels[level])
}

/// `ln p(x)` in nats by the probability flow, from the lowest level above 0 up to the highest (Song et al. 2021, arXiv:2011.13456, eq. 39), where
/// the state is taken as `N(0, highest^2)`. The slope is `(x - D) / sigma`, its divergence `(dims - tr dD/dx) / sigma`; steps are Heun's.
///
/// ```
/// use elbo::diffusion::{Levels, flow_log_likelihood};
///
/// // Data from N(0, 1): D = x / (1 + sigma^2).
/// let mut exact = |x: &[f64], sigma: f64| (vec![x[0] / (1.0 + sigma * sigma)], 1.0 / (1.0 + sigma * sigma));
/// let found = flow_log_likelihood(&mut exact, &[0.5], &Levels::karras(400, 0.002, 200.0)?);
/// assert!((found + 0.125 + 0.5 * std::f64::consts::TAU.ln()).abs() < 1e-3, "{found}");
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn flow_log_likelihood(denoiser: &mut dyn DenoiseWithTrace, x: &[f64], levels: &Levels) -> f64 {
    let dims = x.len() as f64;
    let mut slope = |x: &[f64], sigma: f64| {
        let (clean, trace) = denoiser.denoise_with_trace(x, sigma);
        let slope: Vec<f64> = x.iter().zip(clean).map(|(x, clean)| (x - clean) / sigma).collect();
        (slope, (dims - trace) / sigma)
    };
    let upward: Vec<f64> = levels.as_slice().iter().rev().copied().filter(|&level| level > 0.0).collect();
    let (mut x, mut divergence) = (x.to_vec(), 0.0);
    for pair in upward.windows(2) {
        let (low, step) = (pair[0], pair[1] - pair[0]);
        let (first, first_divergence) = slope(&x, low);
        let guess: Vec<f64> = x.iter().zip(&first).map(|(x, slope)| x + step * slope).collect();
        let (second, second_divergence) = slope(&guess, pair[1]);
        divergence += 0.5 * step * (first_divergence + second_divergence);
        x = x.iter().zip(first.iter().zip(second)).map(|(x, (a, b))| x + 0.5 * step * (a + b)).collect();
    }
    let variance = levels.highest().powi(2);
    let squares: f64 = x.iter().map(|x| x * x).sum();
    -0.5 * (squares / variance + dims * (std::f64::consts::TAU * variance).ln()) + divergence
}

//! Heun's method on the probability flow (Karras et al. 2022, algorithm 1 without churn).

use super::{Denoise, euler};

/// The mean slope of both ends; Euler's step to level 0, where the slope has no value.
pub(super) fn step(denoiser: &mut dyn Denoise, x: &[f64], (from, to): (f64, f64)) -> Vec<f64> {
    if to == 0.0 {
        return euler::step(denoiser, x, (from, to));
    }
    let clean = denoiser.denoise(x, from);
    let slope: Vec<f64> = x.iter().zip(clean).map(|(x, clean)| (x - clean) / from).collect();
    let guess: Vec<f64> = x.iter().zip(&slope).map(|(x, slope)| x + (to - from) * slope).collect();
    let clean = denoiser.denoise(&guess, to);
    let corrected = guess.iter().zip(clean).map(|(guess, clean)| (guess - clean) / to);
    x.iter().zip(slope.iter().zip(corrected)).map(|(x, (a, b))| x + (to - from) * 0.5 * (a + b)).collect()
}

//! Euler's method on the probability flow `dx/dsigma = (x - D(x; sigma)) / sigma` (Karras et al. 2022, eq. 4 and 3).

use super::Denoise;

/// `x + (to - from) (x - D) / from`, as a mean of the state and what it is denoised to: exact at level 0.
pub(super) fn step(denoiser: &mut dyn Denoise, x: &[f64], (from, to): (f64, f64)) -> Vec<f64> {
    let (clean, kept) = (denoiser.denoise(x, from), to / from);
    x.iter().zip(clean).map(|(x, clean)| kept * x + (1.0 - kept) * clean).collect()
}

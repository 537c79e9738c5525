//! DDIM (Song, Meng & Ermon 2020, arXiv:2010.02502, eq. 12 and 16), for `x = z / alpha`.

use super::Denoise;
use super::ancestral::posterior_variance;

/// `x_s = D + sqrt(s^2 - eta^2 v) (x_t - D) / t + eta sqrt(v) n`, with the variance `v` of the posterior.
pub(super) fn step(denoiser: &mut dyn Denoise, x: &[f64], (from, to): (f64, f64), eta: f64, noise: &[f64]) -> Vec<f64> {
    let clean = denoiser.denoise(x, from);
    let fresh = eta * eta * posterior_variance(from, to);
    let (kept, fresh) = ((to * to - fresh).max(0.0).sqrt() / from, fresh.sqrt());
    x.iter().zip(clean).zip(noise).map(|((x, clean), n)| clean + kept * (x - clean) + fresh * n).collect()
}

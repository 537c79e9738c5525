//! The ancestral sampler of DDPM (Ho, Jain & Abbeel 2020, arXiv:2006.11239, eq. 6 and 7), for `x = z / alpha`.
//!
//! In these coordinates `q(x_s | x_t, x_0) = N(x_0 + (s/t)^2 (x_t - x_0), s^2 (t^2 - s^2) / t^2)` at levels `s < t`.

use super::{Denoise, Variance};

/// A draw from the posterior, with `D` in the place of `x_0`. At level 0, where the noise is 0, it is `D`.
pub(super) fn step(
    denoiser: &mut dyn Denoise,
    x: &[f64],
    (from, to): (f64, f64),
    variance: Variance,
    noise: &[f64],
) -> Vec<f64> {
    let clean = denoiser.denoise(x, from);
    let kept = (to / from).powi(2);
    let deviation = match variance {
        Variance::Posterior => posterior_variance(from, to),
        Variance::Forward => forward_variance(from, to),
    }
    .sqrt();
    x.iter().zip(clean).zip(noise).map(|((x, clean), n)| clean + kept * (x - clean) + deviation * n).collect()
}

/// `s^2 (t^2 - s^2) / t^2`: `beta~` over `alpha_s^2`.
pub(super) fn posterior_variance(from: f64, to: f64) -> f64 {
    to * to * (1.0 - (to / from).powi(2))
}

/// `(t^2 - s^2) (1 + s^2) / (1 + t^2)`: `beta` over `alpha_s^2`.
pub(super) fn forward_variance(from: f64, to: f64) -> f64 {
    (from * from - to * to) * (1.0 + to * to) / (1.0 + from * from)
}

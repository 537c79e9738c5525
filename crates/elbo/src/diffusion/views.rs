//! What networks of other papers predict, as views of a denoised state.

/// What a network predicts of the state `x = x_0 + sigma n`, where `alpha = 1 / sqrt(1 + sigma^2)` and `t = sigma / (1 + sigma)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// `x_0` itself.
    Clean,
    /// The noise `n` (Ho et al. 2020).
    Noise,
    /// `v = alpha n - sqrt(1 - alpha^2) x_0` (Salimans & Ho 2022, arXiv:2202.00512).
    Velocity,
    /// `n - x_0`, the direction of rectified flow from data to noise (Liu et al. 2022, arXiv:2209.03003).
    Flow,
}

/// The target of the denoised value `clean` of a state `x`.
///
/// # Panics
/// If `sigma` is not above 0.
///
/// ```
/// use elbo::diffusion::{Target, denoised, target};
///
/// let (x, sigma) = (1.5, 2.0);
/// let noise = target(Target::Noise, x, 0.5, sigma);
/// assert_eq!((noise, denoised(Target::Noise, x, noise, sigma)), (0.5, 0.5));
/// ```
pub fn target(kind: Target, x: f64, clean: f64, sigma: f64) -> f64 {
    assert!(sigma > 0.0, "a level of {sigma}");
    let noise = (x - clean) / sigma;
    match kind {
        Target::Clean => clean,
        Target::Noise => noise,
        Target::Velocity => (noise - sigma * clean) / (1.0 + sigma * sigma).sqrt(),
        Target::Flow => noise - clean,
    }
}

/// The denoised value of a state `x` that a network's prediction stands for.
pub fn denoised(kind: Target, x: f64, predicted: f64, sigma: f64) -> f64 {
    match kind {
        Target::Clean => predicted,
        Target::Noise => x - sigma * predicted,
        Target::Velocity => {
            let variance = 1.0 + sigma * sigma;
            x / variance - sigma / variance.sqrt() * predicted
        }
        Target::Flow => (x - sigma * predicted) / (1.0 + sigma),
    }
}

/// `D_u + w (D_c - D_u)`: classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598). At weight 1 it is `D_c` to the bit.
pub fn guided(untold: f64, told: f64, weight: f64) -> f64 {
    if weight == 1.0 { told } else { untold + weight * (told - untold) }
}

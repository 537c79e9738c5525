//! The latent terms of a diagonal Gaussian posterior. Their tensors are small (batch x latent), so they run on one thread.

use crate::simd;

simd::multiversion! {
    /// `kl = -(1 + log_var - mean^2 - e^log_var) / 2`, element by element.
    pub(crate) fn kl(mean: &[f32], log_var: &[f32], out: &mut [f32]) {
        for ((kl, m), lv) in out.iter_mut().zip(mean).zip(log_var) {
            *kl = 0.5 * (m * m + simd::exp_or_infinity(*lv) - lv - 1.0);
        }
    }
}

simd::multiversion! {
    /// `d kl / d mean = mean`, `d kl / d log_var = (e^log_var - 1) / 2`, both times the upstream gradient.
    pub(crate) fn kl_gradient(mean: &[f32], log_var: &[f32], dkl: &[f32], dmean: &mut [f32], dlog_var: &mut [f32]) {
        for ((((m, lv), d), dm), dlv) in mean.iter().zip(log_var).zip(dkl).zip(dmean).zip(dlog_var) {
            *dm = d * m;
            *dlv = 0.5 * d * (simd::exp_or_infinity(*lv) - 1.0);
        }
    }
}

simd::multiversion! {
    /// `z = mean + e^(log_var / 2) noise`.
    pub(crate) fn sample(mean: &[f32], log_var: &[f32], noise: &[f32], out: &mut [f32]) {
        for (((z, m), lv), e) in out.iter_mut().zip(mean).zip(log_var).zip(noise) {
            *z = m + simd::exp_or_infinity(0.5 * lv) * e;
        }
    }
}

simd::multiversion! {
    /// `d z / d log_var = e^(log_var / 2) noise / 2`, times the upstream gradient; `d z / d mean` is 1.
    pub(crate) fn sample_gradient(log_var: &[f32], noise: &[f32], dz: &[f32], dlog_var: &mut [f32]) {
        for (((dlv, lv), e), d) in dlog_var.iter_mut().zip(log_var).zip(noise).zip(dz) {
            *dlv = 0.5 * d * simd::exp_or_infinity(0.5 * lv) * e;
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latent_terms_follow_their_formulas() {
        for count in [1, 7, 16, 33] {
            let value = |i: usize, seed: usize| ((i * 37 + seed * 101) % 199) as f32 / 33.0 - 3.0;
            let [mean, log_var, noise, slope] =
                [0, 1, 2, 3].map(|seed| (0..count).map(|i| value(i, seed)).collect::<Vec<_>>());
            let [mut terms, mut dmean, mut dkl, mut z, mut dz] = [(); 5].map(|()| vec![f32::NAN; count]);
            kl(&mean, &log_var, &mut terms);
            kl_gradient(&mean, &log_var, &slope, &mut dmean, &mut dkl);
            sample(&mean, &log_var, &noise, &mut z);
            sample_gradient(&log_var, &noise, &slope, &mut dz);
            for i in 0..count {
                let [m, lv, e, d] = [mean[i], log_var[i], noise[i], slope[i]].map(f64::from);
                let expected = [
                    (terms[i], 0.5 * (m * m + lv.exp() - lv - 1.0)),
                    (dmean[i], d * m),
                    (dkl[i], 0.5 * d * (lv.exp() - 1.0)),
                    (z[i], m + (0.5 * lv).exp() * e),
                    (dz[i], 0.5 * d * (0.5 * lv).exp() * e),
                ];
                assert!(
                    expected.iter().all(|(f, e)| (f64::from(*f) - e).abs() < 1e-5 * (1.0 + e.abs())),
                    "{expected:?}"
                );
            }
        }
    }
}

//! Quantiles of the normal distribution.

/// The `p`-quantile of N(0, 1), for `p` in (0, 1); infinite at the ends.
///
/// Acklam's rational approximation (relative error 1.15e-9), coefficients as he published them.
///
/// ```
/// assert!((elbo::generation::normal_quantile(0.975) - 1.959963985).abs() < 1e-8);
/// ```
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 5] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0];
    const TAIL: f64 = 0.02425;
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p <= 0.0 || p >= 1.0 {
        return if p <= 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    if p < TAIL {
        let q = (-2.0 * p.ln()).sqrt();
        return horner(&C, q) / horner(&D, q);
    }
    if p > 1.0 - TAIL {
        return -normal_quantile(1.0 - p);
    }
    let q = p - 0.5;
    let r = q * q;
    q * horner(&A, r) / horner(&B, r)
}

#[cfg(test)]
mod tests {
    use super::normal_quantile;

    #[test]
    fn known_quantiles() {
        let known = [(0.5, 0.0), (0.05, -1.6448536269514722), (0.975, 1.959963984540054), (1e-6, -4.753424308822899)];
        for (p, expected) in known {
            let found = normal_quantile(p);
            assert!((found - expected).abs() < 1e-8 * f64::max(1.0, f64::abs(expected)) * 5.0, "{p}: {found}");
        }
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
    }
}

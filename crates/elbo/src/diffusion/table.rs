//! The noise tables of DDPM, in float64.

use std::f64::consts::FRAC_PI_2;

/// Largest step of the cosine table (Nichol & Dhariwal 2021, arXiv:2102.09672, section 3.2).
const MOST_BETA: f64 = 0.999;
/// Its offset `s`.
const OFFSET: f64 = 0.008;

/// `abar_t = prod (1 - beta_i)` for the times 1 to T, and the levels `sigma_t = sqrt((1 - abar_t) / abar_t)`.
///
/// ```
/// use elbo::diffusion::NoiseTable;
///
/// let table = NoiseTable::linear(1000, 1e-4, 0.02);
/// assert!((table.alpha_bar(1) - 0.9999).abs() < 1e-15);
/// assert!(table.sigma(1000) > 150.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseTable {
    betas: Vec<f64>,
    alpha_bars: Vec<f64>,
}

impl NoiseTable {
    fn of(betas: Vec<f64>) -> Self {
        let product = |all: &mut f64, beta: &f64| {
            *all *= 1.0 - beta;
            Some(*all)
        };
        Self { alpha_bars: betas.iter().scan(1.0, product).collect(), betas }
    }

    /// Steps evenly from `first` to `last` (Ho et al. 2020, section 4: 1000, 1e-4, 0.02).
    ///
    /// # Panics
    /// If there are fewer than two times.
    pub fn linear(times: usize, first: f64, last: f64) -> Self {
        assert!(times >= 2, "{times} times");
        Self::of((0..times).map(|i| first + (last - first) * i as f64 / (times - 1) as f64).collect())
    }

    /// `abar_t = f(t) / f(0)`, `f(t) = cos^2((t/T + s) / (1 + s) pi/2)` with `s` 0.008 and steps of at most 0.999.
    ///
    /// # Panics
    /// If there is no time.
    pub fn cosine(times: usize) -> Self {
        assert!(times >= 1, "no time");
        let f = |i: usize| (((i as f64 / times as f64) + OFFSET) / (1.0 + OFFSET) * FRAC_PI_2).cos().powi(2);
        Self::of((0..times).map(|i| (1.0 - f(i + 1) / f(i)).min(MOST_BETA)).collect())
    }

    /// T.
    pub fn times(&self) -> usize {
        self.betas.len()
    }

    /// `beta_t`, of time 1 to T.
    ///
    /// # Panics
    /// If there is no such time.
    pub fn beta(&self, time: usize) -> f64 {
        self.betas[time - 1]
    }

    /// `abar_t`, of time 0 to T; 1 at time 0.
    ///
    /// # Panics
    /// If there is no such time.
    pub fn alpha_bar(&self, time: usize) -> f64 {
        if time == 0 { 1.0 } else { self.alpha_bars[time - 1] }
    }

    /// `sigma_t`, of time 0 to T; 0 at time 0.
    ///
    /// # Panics
    /// If there is no such time.
    pub fn sigma(&self, time: usize) -> f64 {
        let kept = self.alpha_bar(time);
        ((1.0 - kept) / kept).sqrt()
    }
}

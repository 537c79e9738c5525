//! Diffusion as mathematics: one denoiser, and everything else as a view of it. It knows no network and no Burn; all is float64.
//!
//! A noisy state is `x = x_0 + sigma n` with `n ~ N(0, I)`, and the canon is the denoiser `D(x; sigma) = E[x_0 | x]`
//! (Karras et al. 2022, arXiv:2206.00364). What DDPM writes as `z = alpha x_0 + sqrt(1 - alpha^2) n` is `z = alpha x`, with
//! `sigma = sqrt(1 - alpha^2) / alpha`. A step of any sampler is therefore written once, for `x`.
//!
//! | file | what |
//! |---|---|
//! | `precondition` | the constants that make a network into a denoiser |
//! | `table` | the noise tables of DDPM, linear and cosine |
//! | `levels` | the list of noise levels that a sampler visits |
//! | `views` | noise, velocity and flow of a denoised state, and back |
//! | `law` | which noise levels training draws, and what they weigh |
//! | `bound` | the variational bound and the likelihood by the probability flow |
//! | `ancestral`, `ddim`, `euler`, `heun` | a step from one level to the next |
//!
//! The state of a sampler stays in float64: at `sigma = 80` float32 would lose five of the digits of `x_0`. A sampler takes the
//! list of levels as it is and computes no level of its own.

mod ancestral;
mod bound;
mod ddim;
mod euler;
mod heun;
mod law;
mod levels;
mod precondition;
mod table;
#[cfg(test)]
mod tests;
mod views;

pub use bound::{flow_log_likelihood, level_nll, prior_kl, step_term, term_by_log_level};
pub use law::{Law, Times, Weighting};
pub use levels::Levels;
pub use precondition::Preconditioner;
pub use table::NoiseTable;
pub use views::{Target, denoised, guided, target};

/// `D(x; sigma)`: what the state `x` is expected to have been before noise of deviation `sigma`.
pub trait Denoise {
    /// The denoised state.
    ///
    /// # Shapes
    /// - `x`, returns: any number of values
    fn denoise(&mut self, x: &[f64], sigma: f64) -> Vec<f64>;
}

impl<F: FnMut(&[f64], f64) -> Vec<f64>> Denoise for F {
    fn denoise(&mut self, x: &[f64], sigma: f64) -> Vec<f64> {
        self(x, sigma)
    }
}

/// A denoiser with the divergence of what it gives: what a likelihood needs.
pub trait DenoiseWithTrace {
    /// `D(x; sigma)` and `tr dD/dx`.
    fn denoise_with_trace(&mut self, x: &[f64], sigma: f64) -> (Vec<f64>, f64);
}

impl<F: FnMut(&[f64], f64) -> (Vec<f64>, f64)> DenoiseWithTrace for F {
    fn denoise_with_trace(&mut self, x: &[f64], sigma: f64) -> (Vec<f64>, f64) {
        self(x, sigma)
    }
}

/// How a sampler goes from a level to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The posterior of DDPM (Ho et al. 2020, eq. 7), with its variance.
    Ancestral(Variance),
    /// DDIM (Song et al. 2020): no noise at `eta` 0, the ancestral posterior at 1.
    Ddim {
        /// Share of the posterior's deviation.
        eta: f64,
    },
    /// Euler's method on the probability flow.
    Euler,
    /// Heun's method on the probability flow; its last step, to level 0, is Euler's.
    Heun,
}

/// The variance of an ancestral step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Variance {
    /// That of `q(x_s | x_t, x_0)`, `beta~` of DDPM.
    Posterior,
    /// That of `q(x_t | x_s)`, `beta` of DDPM.
    Forward,
}

impl Method {
    /// Whether a step uses its noise.
    pub fn is_random(self) -> bool {
        match self {
            Self::Ancestral(_) => true,
            Self::Ddim { eta } => eta != 0.0,
            Self::Euler | Self::Heun => false,
        }
    }

    /// Evaluations of the denoiser over a list of levels.
    pub fn evaluations(self, levels: &Levels) -> usize {
        match self {
            Self::Heun => levels.pairs().map(|(_, to)| if to > 0.0 { 2 } else { 1 }).sum(),
            Self::Ancestral(_) | Self::Ddim { .. } | Self::Euler => levels.steps(),
        }
    }

    /// The state at level `to`, from that at the higher level `from`. `noise` gives standard normal draws, as many as asked.
    ///
    /// # Panics
    /// If `to` is not below `from`, or `noise` gives another number of draws.
    pub fn step(
        self,
        denoiser: &mut dyn Denoise,
        x: &[f64],
        (from, to): (f64, f64),
        noise: &mut dyn FnMut(usize) -> Vec<f64>,
    ) -> Vec<f64> {
        assert!(from > to && to >= 0.0, "a step from {from} to {to}");
        let noise = if self.is_random() && to > 0.0 { noise(x.len()) } else { vec![0.0; x.len()] };
        assert_eq!(noise.len(), x.len(), "a draw for each value");
        match self {
            Self::Ancestral(variance) => ancestral::step(denoiser, x, (from, to), variance, &noise),
            Self::Ddim { eta } => ddim::step(denoiser, x, (from, to), eta, &noise),
            Self::Euler => euler::step(denoiser, x, (from, to)),
            Self::Heun => heun::step(denoiser, x, (from, to)),
        }
    }

    /// All steps of a list, from the state at its first level.
    ///
    /// ```
    /// use elbo::diffusion::{Levels, Method};
    ///
    /// // Data that are always 3: every state is denoised to 3, and every sampler ends there.
    /// let levels = Levels::karras(18, 0.002, 80.0)?;
    /// let end = Method::Heun.run(&mut |x: &[f64], _| vec![3.0; x.len()], vec![80.0, -5.0], &levels, &mut |n| vec![0.0; n]);
    /// assert_eq!(end, [3.0, 3.0]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn run(
        self,
        denoiser: &mut dyn Denoise,
        x: Vec<f64>,
        levels: &Levels,
        noise: &mut dyn FnMut(usize) -> Vec<f64>,
    ) -> Vec<f64> {
        levels.pairs().fold(x, |x, pair| self.step(denoiser, &x, pair, noise))
    }
}

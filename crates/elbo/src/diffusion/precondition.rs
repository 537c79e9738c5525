//! From a network to a denoiser (Karras et al. 2022, arXiv:2206.00364, table 1 and appendix B.6).

/// `D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)`, for data of deviation `sd`, measured from the training data.
///
/// The inputs and the targets of the network `F` then have variance 1 at each level.
///
/// ```
/// use elbo::diffusion::Preconditioner;
///
/// let at_once = Preconditioner { sd: 0.5 };
/// assert_eq!((at_once.skip(0.5), at_once.input(0.0)), (0.5, 2.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preconditioner {
    /// Deviation of the data, above 0.
    pub sd: f64,
}

impl Preconditioner {
    /// `sigma^2 + sd^2`.
    fn variance(self, sigma: f64) -> f64 {
        sigma * sigma + self.sd * self.sd
    }

    /// `c_skip = sd^2 / (sigma^2 + sd^2)`.
    pub fn skip(self, sigma: f64) -> f64 {
        self.sd * self.sd / self.variance(sigma)
    }

    /// `c_out = sigma sd / sqrt(sigma^2 + sd^2)`.
    pub fn output(self, sigma: f64) -> f64 {
        sigma * self.sd / self.variance(sigma).sqrt()
    }

    /// `c_in = 1 / sqrt(sigma^2 + sd^2)`.
    pub fn input(self, sigma: f64) -> f64 {
        1.0 / self.variance(sigma).sqrt()
    }

    /// `c_noise = ln(sigma) / 4`.
    pub fn noise(self, sigma: f64) -> f64 {
        sigma.ln() / 4.0
    }

    /// `1 / c_out^2`: the weight of `|D - x_0|^2` at which `|F - target|^2` weighs 1.
    pub fn weight(self, sigma: f64) -> f64 {
        self.variance(sigma) / (sigma * self.sd).powi(2)
    }

    /// What `F` should give for the state `x_0 + sigma n`.
    pub fn network_target(self, x: f64, clean: f64, sigma: f64) -> f64 {
        (clean - self.skip(sigma) * x) / self.output(sigma)
    }
}

//! p(x|z): what the decoder's output means.

use burn::tensor::{Tensor, activation};
use elbo_kernels::{Activation, LEVELS, Reconstruction, linear, linear_reconstruction, reconstruction};

pub use elbo_kernels::Link;

use super::{means, surrogates};
use crate::error::{Error, Result};

/// The distribution of the data given the decoder's output.
///
/// | likelihood | parameters of a value | `-log p(x\|z)`, summed over values |
/// |---|---|---|
/// | `bernoulli` | logit | `-x log s - (1 - x) log(1 - s)`, `s = sigmoid(logit)`; for grey x in (0, 1) the tutorials' cross-entropy, not a normalised density |
/// | `continuous-bernoulli` | logit | the same, normalised on [0, 1] (Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845) |
/// | `gaussian` | mean | `(x - m)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2`, sigma given |
/// | `gaussian-shared` | mean | the same, with the one sigma that fits best (sigma-VAE, Rybkin et al. 2021, arXiv:2006.13202) |
/// | `gaussian-per-pixel` | mean, log variance | the same, with a sigma for each value |
/// | `laplace` | centre | `\|x - m\| / b + log 2b`, b given or the one that fits best |
/// | `discretised-logistic` | mean, log scale | `-log P(level)` (Salimans et al. 2017, arXiv:1701.05517, eq. 2) |
/// | `logistic-mixture` | a mixture of those | PixelCNN++'s (the same, eq. 1 to 3) |
/// | `categorical` | 256 logits | `-log softmax(logits)[level]` |
/// | `sse` | centre | `(x - m)^2`: equals `gaussian` with `sigma^2 = 1/2` up to `d log(pi) / 2`; the tutorials' choice, not a log-likelihood |
/// | `ms-ssim`, `edge` | logit | surrogates for how alike two pictures look; no log-likelihoods |
///
/// Means are `sigmoid(output)` for data in [0, 1] and the output itself for real numbers ([`Link`]). Where a value has `k` parameters, parameter `p` of
/// `C` channels is in channels `p * C` to `(p + 1) * C` of the decoder's output; the mixture's own layout is in [`Reconstruction`].
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::distributions::{Likelihood, Link};
///
/// let device = elbo::device::choose("cpu")?;
/// let logits = Tensor::<2>::zeros([1, 784], &device); // a mean of 0.5 everywhere
/// let x = Tensor::<2>::ones([1, 784], &device);
/// let nll = |likelihood: Likelihood| likelihood.nll(logits.clone(), x.clone()).into_scalar::<f32>();
/// assert!((nll(Likelihood::Bernoulli) - 784.0 * 2f32.ln()).abs() < 1e-3);
/// assert_eq!(nll(Likelihood::Sse { link: Link::Sigmoid }), 784.0 * 0.25);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Likelihood {
    /// Independent Bernoulli variables, from logits.
    Bernoulli,
    /// The Bernoulli formula as a density on [0, 1].
    ContinuousBernoulli,
    /// Independent Gaussians of one fixed standard deviation.
    Gaussian {
        /// Standard deviation, in units of the data (of the pixel range 0..1).
        sigma: f64,
        /// From outputs to means.
        link: Link,
    },
    /// Independent Gaussians of one standard deviation that follows the error: [`super::Observation`].
    GaussianShared {
        /// From outputs to means.
        link: Link,
    },
    /// Independent Gaussians, each with its own mean and standard deviation.
    GaussianPerPixel {
        /// From outputs to means.
        link: Link,
    },
    /// Independent Laplace variables of one fixed scale.
    Laplace {
        /// Mean absolute deviation, in units of the data.
        scale: f64,
        /// From outputs to centres.
        link: Link,
    },
    /// Independent Laplace variables of one scale that follows the error: [`super::Observation`].
    LaplaceShared {
        /// From outputs to centres.
        link: Link,
    },
    /// Any distribution over the 256 levels of each value.
    Categorical,
    /// A logistic distribution over the 256 levels of each value.
    DiscretisedLogistic,
    /// A mixture of discretised logistics for each pixel, with coefficients from channel to channel for RGB.
    LogisticMixture {
        /// Number of components.
        components: usize,
        /// Channels of a pixel.
        channels: usize,
    },
    /// Plain sum of squared errors.
    Sse {
        /// From outputs to what is compared.
        link: Link,
    },
    /// Multi-scale structural similarity, a surrogate.
    MsSsim {
        /// Channels, height and width.
        shape: [usize; 3],
        /// Factor of the loss.
        weight: f64,
    },
    /// Squared errors of pixels and of edges, a surrogate.
    Edge {
        /// Channels, height and width.
        shape: [usize; 3],
        /// Factor of the edges' part.
        weight: f64,
    },
}

/// Least standard deviation that a learned scale takes, `e^-6 = 0.0025` as in Rybkin et al.: half a grey level. What is predicted
/// exactly would otherwise have an infinite likelihood.
pub const MIN_LEARNED_SCALE: f64 = 0.002_478_752_176_666_358_4;

/// Most components of a mixture.
pub const MAX_COMPONENTS: usize = 100;

impl Likelihood {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::Config`] if a scale or weight is not positive and finite, there are no or too many components, or pictures are too small for `ms-ssim` or
    /// `edge`.
    pub fn check(&self) -> Result<()> {
        let positive = |key, value: f64, help| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => Err(Error::config(key, "a positive number", value.to_string(), help)),
        };
        match *self {
            Self::Gaussian { sigma, .. } => {
                positive("model.sigma", sigma, "0.1 is a usual choice for pixels in 0..1: `--set model.sigma=0.1`")
            }
            Self::Laplace { scale, .. } => positive(
                "model.scale",
                scale,
                "0.1 is a usual choice for pixels in 0..1; without it the scale is learned",
            ),
            Self::LogisticMixture { components, .. } if !(1..=MAX_COMPONENTS).contains(&components) => {
                let expected = format!("1 to {MAX_COMPONENTS} components");
                Err(Error::config("model.components", expected, components.to_string(), "PixelCNN++ has 10"))
            }
            Self::MsSsim { shape, weight } | Self::Edge { shape, weight } => {
                let [_, height, width] = shape;
                if height.min(width) < surrogates::MIN_SIDE {
                    let expected = format!("pictures of at least {0} x {0}", surrogates::MIN_SIDE);
                    let help = "choose a likelihood of single values, such as \"bernoulli\"";
                    return Err(Error::config("model.likelihood", expected, format!("{height} x {width}"), help));
                }
                positive("model.weight", weight, "1 is the default")
            }
            _ => Ok(()),
        }
    }

    /// Channels the decoder gives for data of `channels`: as many parameters as the distribution has for each value.
    ///
    /// ```
    /// use elbo::distributions::Likelihood;
    ///
    /// assert_eq!(Likelihood::Bernoulli.output_channels(3), 3);
    /// assert_eq!(Likelihood::LogisticMixture { components: 10, channels: 3 }.output_channels(3), 100);
    /// ```
    pub fn output_channels(&self, channels: usize) -> usize {
        self.term().map_or(channels, |term| term.output_channels(channels))
    }

    /// The kernel's sum; none for what is computed from whole pictures.
    fn term(&self) -> Option<Reconstruction> {
        Some(match *self {
            Self::Bernoulli => Reconstruction::Bernoulli,
            Self::ContinuousBernoulli => Reconstruction::ContinuousBernoulli,
            Self::Gaussian { link, .. } | Self::GaussianShared { link } | Self::Sse { link } => {
                Reconstruction::SquaredError(link)
            }
            Self::Laplace { link, .. } | Self::LaplaceShared { link } => Reconstruction::AbsoluteError(link),
            Self::GaussianPerPixel { link } => Reconstruction::Gaussian(link),
            Self::Categorical => Reconstruction::Categorical,
            Self::DiscretisedLogistic => Reconstruction::DiscretisedLogistic,
            Self::LogisticMixture { components, channels } => Reconstruction::LogisticMixture { components, channels },
            Self::MsSsim { .. } | Self::Edge { .. } => return None,
        })
    }

    /// Whether one scale is shared by all values and follows the error.
    pub fn learns_scale(&self) -> bool {
        matches!(self, Self::GaussianShared { .. } | Self::LaplaceShared { .. })
    }

    /// The same with a learned scale as a fixed one: what [`super::Observation`] uses outside training. Others stay as they are.
    ///
    /// ```
    /// use elbo::distributions::{Likelihood, Link};
    ///
    /// let shared = Likelihood::GaussianShared { link: Link::Identity };
    /// assert_eq!(shared.with_scale(Some(0.3)), Likelihood::Gaussian { sigma: 0.3, link: Link::Identity });
    /// assert_eq!(Likelihood::Bernoulli.with_scale(None), Likelihood::Bernoulli);
    /// ```
    pub fn with_scale(self, scale: Option<f64>) -> Self {
        match (self, scale) {
            (Self::GaussianShared { link }, Some(sigma)) => Self::Gaussian { sigma, link },
            (Self::LaplaceShared { link }, Some(scale)) => Self::Laplace { scale, link },
            (other, _) => other,
        }
    }

    /// Whether this is a distribution, so that values can be drawn from it.
    pub fn is_distribution(&self) -> bool {
        !matches!(self, Self::Sse { .. } | Self::MsSsim { .. } | Self::Edge { .. })
    }

    /// Whether this stands for how alike pictures look, so that nothing made from it may be called an ELBO.
    pub fn is_surrogate(&self) -> bool {
        matches!(self, Self::MsSsim { .. } | Self::Edge { .. })
    }

    /// `-log p(x|z)` for each example, summed over dimensions. A learned scale takes the value that fits this batch best; models keep an average
    /// of those for evaluation ([`super::Observation`]).
    ///
    /// # Shapes
    /// - `x`: `[batch, dims]`; no gradient flows into it. Of a distribution, `[batch / r, dims]` stands for each example `r` times in a row
    /// - `parameters`: `[batch, output_channels * height * width]`
    /// - returns: `[batch]`, in nats (other than a distribution: in its [`Likelihood::unit`])
    pub fn nll(&self, parameters: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
        let dims = x.dims()[1];
        match self.term() {
            Some(term) => self.nll_of_sum(reconstruction(term, parameters, x), dims),
            None => surrogates::loss(self, parameters, x),
        }
    }

    /// [`Likelihood::nll`] of `parameters = h W^T + bias`, a decoder's last layer, without writing them out where no gradient is asked for.
    ///
    /// # Shapes
    /// - `h`: `[batch, features]`, `weight`: `[output_channels * height * width, features]`, `bias`: as many
    /// - `x` and what is returned: as for [`Likelihood::nll`]
    pub fn nll_of_linear(&self, h: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, x: Tensor<2>) -> Tensor<1> {
        let dims = x.dims()[1];
        match self.term() {
            Some(term) => self.nll_of_sum(linear_reconstruction(term, h, weight, bias, x), dims),
            None => surrogates::loss(self, linear(h, weight, bias, Activation::None), x),
        }
    }

    /// `-log p(x|z)` from the sum of a kernel's term over each example.
    fn nll_of_sum(&self, sum: Tensor<1>, dims: usize) -> Tensor<1> {
        match *self {
            Self::Gaussian { sigma, .. } => gaussian(sum, sigma, dims),
            Self::Laplace { scale, .. } => laplace(sum, scale, dims),
            Self::GaussianShared { .. } | Self::LaplaceShared { .. } => {
                let error = mean_error(&sum, dims);
                self.with_error(sum, error, dims)
            }
            _ => sum,
        }
    }

    /// The errors of each example that a learned scale follows: squared for the Gaussian, absolute for Laplace.
    pub(super) fn errors(&self, parameters: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
        reconstruction(self.term().expect("a learned scale is one of single values"), parameters, x)
    }

    /// The scale that fits a mean error (squared or absolute) best.
    pub(super) fn scale_of(&self, error: f64) -> f64 {
        let scale = if matches!(self, Self::GaussianShared { .. }) { error.sqrt() } else { error };
        scale.max(MIN_LEARNED_SCALE)
    }

    /// `-log p(x|z)` from sums of errors, with the scale that fits the mean error `error`.
    ///
    /// The scale is a constant to the gradient. Where it is the batch's own optimum, the derivative by it is 0 and nothing is missing:
    /// the gradient is that of `D/2 log MSE` (Rybkin et al., eq. 5).
    pub(super) fn with_error(&self, sum: Tensor<1>, error: f64, dims: usize) -> Tensor<1> {
        let scale = self.scale_of(error);
        if matches!(self, Self::GaussianShared { .. }) { gaussian(sum, scale, dims) } else { laplace(sum, scale, dims) }
    }

    /// E[x|z], what reconstructions and samples show.
    ///
    /// Exact but for the logistics: their mean is that of the continuous distribution with what lies beyond the ends put there, at most half a level
    /// (1/510) from the sum over levels; and in a mixture a channel takes the means of the channels before it in place of their values.
    ///
    /// # Shapes
    /// - `parameters`: `[batch, output_channels * height * width]`
    /// - returns: `[batch, dims]`
    pub fn mean(&self, parameters: Tensor<2>) -> Tensor<2> {
        match *self {
            Self::Gaussian { link, .. }
            | Self::GaussianShared { link }
            | Self::Laplace { link, .. }
            | Self::LaplaceShared { link }
            | Self::Sse { link } => means::linked(link, parameters),
            Self::GaussianPerPixel { link } => {
                let half = parameters.dims()[1] / 2;
                means::linked(link, parameters.narrow(1, 0, half))
            }
            Self::Bernoulli | Self::MsSsim { .. } | Self::Edge { .. } => activation::sigmoid(parameters),
            Self::ContinuousBernoulli => means::continuous_bernoulli(parameters),
            Self::Categorical => means::categorical(parameters, LEVELS),
            Self::DiscretisedLogistic => means::discretised_logistic(parameters),
            Self::LogisticMixture { components, channels } => means::logistic_mixture(components, channels, parameters),
        }
    }
}

/// Mean over a batch of a sum over `dims` values, on the host.
pub(super) fn mean_error(sum: &Tensor<1>, dims: usize) -> f64 {
    f64::from(sum.clone().detach().mean().into_scalar::<f32>()) / dims as f64
}

fn gaussian(squares: Tensor<1>, sigma: f64, dims: usize) -> Tensor<1> {
    let constant = dims as f64 * (sigma.ln() + 0.5 * (2.0 * std::f64::consts::PI).ln());
    squares * (0.5 / (sigma * sigma)) + constant
}

fn laplace(distances: Tensor<1>, scale: f64, dims: usize) -> Tensor<1> {
    distances * (1.0 / scale) + dims as f64 * (2.0 * scale).ln()
}

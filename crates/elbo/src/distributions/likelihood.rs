//! p(x|z): what the decoder's output means.

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The distribution of the data given the decoder's output, one logit per value; its mean is `sigmoid(logit)`, in [0, 1].
///
/// | likelihood | `-log p(x\|z)`, summed over dimensions | constants |
/// |---|---|---|
/// | `bernoulli` | `-x log s - (1 - x) log(1 - s)`, `s = sigmoid(logit)` | none for binary x; for grey x in (0, 1) it is the tutorials' cross-entropy, not a normalised density |
/// | `gaussian` | `(x - s)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2` | included, so values with different sigma compare |
/// | `sse` | `(x - s)^2` | none: equals `gaussian` with `sigma^2 = 1/2` up to `d log(pi) / 2`; the tutorials' choice, not a log-likelihood |
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::distributions::Likelihood;
///
/// let device = elbo::device::choose("cpu")?;
/// let logits = Tensor::<2>::zeros([1, 784], &device); // a mean of 0.5 everywhere
/// let x = Tensor::<2>::ones([1, 784], &device);
/// let nll = |likelihood: Likelihood| likelihood.nll(logits.clone(), x.clone()).into_scalar::<f32>();
/// assert!((nll(Likelihood::Bernoulli) - 784.0 * 2f32.ln()).abs() < 1e-3);
/// assert_eq!(nll(Likelihood::Sse), 784.0 * 0.25);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Likelihood {
    /// Independent Bernoulli variables, from logits.
    Bernoulli,
    /// Independent Gaussians of one fixed standard deviation.
    Gaussian {
        /// Standard deviation, in units of the pixel range 0..1.
        sigma: f64,
    },
    /// Plain sum of squared errors on the sigmoid output.
    Sse,
}

impl Likelihood {
    /// Checks the parameters.
    ///
    /// # Errors
    /// [`Error::Config`] if sigma is not positive and finite.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Gaussian { sigma } if !(sigma.is_finite() && *sigma > 0.0) => Err(Error::config(
                "model.sigma",
                "a positive number",
                sigma.to_string(),
                "0.1 is a usual choice for pixels in 0..1: `--set model.sigma=0.1`",
            )),
            _ => Ok(()),
        }
    }

    /// Channels the decoder gives for data of `channels`: as many parameters as the distribution has for each value.
    pub fn output_channels(&self, channels: usize) -> usize {
        match self {
            Self::Bernoulli | Self::Gaussian { .. } | Self::Sse => channels,
        }
    }

    /// `-log p(x|z)` for each example, summed over dimensions.
    ///
    /// # Shapes
    /// - `logits`, `x`: `[batch, dims]`, `x` in [0, 1]
    /// - returns: `[batch]`, in nats (for `sse`: the sum of squared errors)
    pub fn nll(&self, logits: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
        let dims = logits.dims()[1] as f64;
        match *self {
            Self::Bernoulli => elbo_kernels::bernoulli_nll(logits, x),
            Self::Sse => elbo_kernels::squared_error(logits, x),
            Self::Gaussian { sigma } => {
                let constant = dims * (sigma.ln() + 0.5 * (2.0 * std::f64::consts::PI).ln());
                elbo_kernels::squared_error(logits, x) * (0.5 / (sigma * sigma)) + constant
            }
        }
    }

    /// E[x|z], what reconstructions and samples show.
    ///
    /// # Shapes
    /// - `logits`, returns: `[batch, dims]`
    pub fn mean(&self, logits: Tensor<2>) -> Tensor<2> {
        activation::sigmoid(logits)
    }

    /// How reports define `recon` under this likelihood.
    pub fn definition(&self) -> String {
        match self {
            Self::Bernoulli => "-E[log p(x|z)], Bernoulli from logits".into(),
            Self::Gaussian { sigma } => format!("-E[log p(x|z)], Gaussian with sigma {sigma}, constants included"),
            Self::Sse => "E[sum of (x - sigmoid(logit))^2], not a log-likelihood".into(),
        }
    }

    /// Unit of `recon`.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Sse => "squared error per example",
            _ => "nats per example",
        }
    }
}

//! What a likelihood is on given data: how reports name it, and whether it belongs there.

use super::{Likelihood, Link};
use crate::data::inspect::DataFinding;
use crate::space::Domain;

/// How a likelihood fits the numbers it is to describe.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Suitability {
    /// An honest one: a probability of levels, or a density of real numbers.
    Honest,
    /// It can be trained, and the numbers have to be read as what they are.
    Loose {
        /// What is not as the name says.
        reason: &'static str,
        /// What would be.
        help: &'static str,
    },
    /// No number it gives would mean anything: refused before training.
    Refused {
        /// Why such data have no such likelihood.
        reason: &'static str,
        /// What to take instead.
        help: &'static str,
    },
}

/// How a value of `-elbo` becomes bits per dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Bits {
    /// Bits added for each dimension, beyond `-elbo / (dims ln 2)`.
    pub offset: f64,
    /// The definition that stands beside the number.
    pub definition: &'static str,
}

const LEVELS_INSTEAD: &str = "`--set model.likelihood=discretised-logistic` (or logistic-mixture, categorical) gives probabilities of the 256 levels";
const REAL_INSTEAD: &str = "`--set model.likelihood=gaussian-shared`, or gaussian-per-pixel, or laplace";

impl Likelihood {
    /// How this likelihood fits data of a domain.
    ///
    /// ```
    /// use elbo::space::Domain;
    /// use elbo::distributions::{Suitability, Likelihood};
    ///
    /// assert_eq!(Likelihood::DiscretisedLogistic.fits(Domain::Levels), Suitability::Honest);
    /// assert!(matches!(Likelihood::Bernoulli.fits(Domain::Levels), Suitability::Loose { .. }));
    /// assert!(matches!(Likelihood::Bernoulli.fits(Domain::Real), Suitability::Refused { .. }));
    /// ```
    pub fn fits(&self, domain: Domain) -> Suitability {
        match (self, domain) {
            (_, Domain::Index { .. }) => Suitability::Refused {
                reason: "it describes numbers, and these are symbols",
                help: "models of symbols, such as priors over codes, need no `model.likelihood`",
            },
            (Self::Sse { .. }, _) => Suitability::Loose {
                reason: "a sum of squared errors is no log-likelihood: its weight against the KL is arbitrary",
                help: "`--set model.likelihood=gaussian-shared` learns that weight",
            },
            (Self::MsSsim { .. } | Self::Edge { .. }, Domain::Levels | Domain::Unit) => Suitability::Loose {
                reason: "a surrogate for how alike pictures look, no log-likelihood",
                help: "compare such runs by other measures than their loss",
            },
            (Self::Bernoulli, Domain::Levels) => Suitability::Loose {
                reason: "a likelihood where every value is 0 or 1; for grey values a cross-entropy that no distribution has",
                help: "usual for digits; `--set data.binarize=dynamic` makes the pixels binary, `--set model.likelihood=discretised-logistic` gives \
                       probabilities of the 256 levels",
            },
            (Self::Bernoulli, Domain::Unit) => Suitability::Loose {
                reason: "a likelihood where every value is 0 or 1; for values between a cross-entropy that no distribution has",
                help: "`--set model.likelihood=continuous-bernoulli` is its normalised form",
            },
            (Self::Categorical | Self::DiscretisedLogistic | Self::LogisticMixture { .. }, Domain::Levels) => {
                Suitability::Honest
            }
            (Self::Categorical | Self::DiscretisedLogistic | Self::LogisticMixture { .. }, Domain::Unit) => {
                Suitability::Refused {
                    reason: "probabilities of 256 levels, and these numbers lie between them",
                    help: "`--set model.likelihood=continuous-bernoulli`, or gaussian-shared, describes numbers in [0, 1]",
                }
            }
            (Self::ContinuousBernoulli, Domain::Unit) => Suitability::Honest,
            (_, Domain::Levels) => Suitability::Loose {
                reason: "a density on bytes: its bits per dimension assume noise between the levels that the data has not, and are no bound",
                help: LEVELS_INSTEAD,
            },
            (_, Domain::Unit) => Suitability::Loose {
                reason: "a density with mass outside [0, 1]",
                help: "`--set model.likelihood=continuous-bernoulli` has none",
            },
            (
                Self::Gaussian { .. }
                | Self::GaussianShared { .. }
                | Self::GaussianPerPixel { .. }
                | Self::Laplace { .. }
                | Self::LaplaceShared { .. },
                Domain::Real,
            ) => Suitability::Honest,
            (Self::MsSsim { .. } | Self::Edge { .. }, Domain::Real) => {
                Suitability::Refused { reason: "it compares pictures, and this is a table", help: REAL_INSTEAD }
            }
            (_, Domain::Real) => Suitability::Refused {
                reason: "it describes values in [0, 1], and these are real numbers",
                help: REAL_INSTEAD,
            },
        }
    }

    /// What the data doctor says of this likelihood, called `name` in recipes; `binary` data have no values but 0 and 1.
    pub fn finding(&self, name: &str, domain: Domain, binary: bool) -> Option<DataFinding> {
        let said = |reason: &str| format!("the likelihood `{name}` on these values: {reason}");
        match self.fits(domain) {
            Suitability::Honest => None,
            Suitability::Loose { .. } if binary && *self == Self::Bernoulli => None,
            Suitability::Loose { reason, help } => Some(DataFinding::note(said(reason), help)),
            Suitability::Refused { reason, help } => Some(DataFinding::warning(said(reason), help)),
        }
    }

    /// Bits per dimension on data of a domain; none where there is no log-likelihood.
    ///
    /// A density of numbers that stand for bytes is read off at 256 levels, `p(level) = density / 256`, hence the 8. That is a bound on a code length only
    /// with dequantisation noise in the data (Theis et al. 2016, arXiv:1511.01844, section 3.1), which elbo does not add.
    pub fn bits(&self, domain: Domain) -> Option<Bits> {
        let bits = |offset, definition| Some(Bits { offset, definition });
        match (self, domain) {
            _ if !self.is_distribution() => None,
            (_, Domain::Index { .. }) => None,
            (Self::Bernoulli, _) => {
                bits(0.0, "-elbo / (dims ln 2); a code length for binary pixels, a cross-entropy for grey ones")
            }
            (Self::Categorical | Self::DiscretisedLogistic | Self::LogisticMixture { .. }, _) => {
                bits(0.0, "-elbo / (dims ln 2): a code length of the 256 levels")
            }
            (_, Domain::Levels) => bits(8.0, "-elbo / (dims ln 2) + 8: the density on 0..1 read off at 256 levels"),
            (_, Domain::Unit) => bits(0.0, "-elbo / (dims ln 2): of a density on 0..1, may be negative"),
            (_, Domain::Real) => {
                bits(0.0, "-elbo / (dims ln 2): of a density of the standardised values, may be negative")
            }
        }
    }

    /// How reports define `recon` under this likelihood.
    pub fn definition(&self) -> String {
        let of = |what: String| format!("-E[log p(x|z)], {what}");
        match *self {
            Self::Bernoulli => of("Bernoulli from logits".into()),
            Self::ContinuousBernoulli => of("continuous Bernoulli from logits, a density on 0..1".into()),
            Self::Gaussian { sigma, .. } => of(format!("Gaussian with sigma {sigma}, constants included")),
            Self::GaussianShared { .. } => of("Gaussian with one learned sigma, constants included".into()),
            Self::GaussianPerPixel { .. } => of("Gaussian with a sigma for each value, constants included".into()),
            Self::Laplace { scale, .. } => of(format!("Laplace with scale {scale}, constants included")),
            Self::LaplaceShared { .. } => of("Laplace with one learned scale, constants included".into()),
            Self::Categorical => of("categorical over 256 levels".into()),
            Self::DiscretisedLogistic => of("discretised logistic over 256 levels".into()),
            Self::LogisticMixture { components, .. } => {
                of(format!("mixture of {components} discretised logistics over 256 levels"))
            }
            Self::Sse { link: Link::Sigmoid } => "E[sum of (x - sigmoid(logit))^2], not a log-likelihood".into(),
            Self::Sse { link: Link::Identity } => "E[sum of (x - output)^2], not a log-likelihood".into(),
            Self::MsSsim { weight, .. } => format!("surrogate: {weight} values (1 - MS-SSIM), not a log-likelihood"),
            Self::Edge { weight, .. } => {
                format!(
                    "surrogate: sum of (x - mean)^2 + {weight} sum of squared errors of edges, not a log-likelihood"
                )
            }
        }
    }

    /// Unit of `recon`.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Sse { .. } => "squared error per example",
            Self::MsSsim { .. } | Self::Edge { .. } => "surrogate loss per example",
            _ => "nats per example",
        }
    }

    /// The likelihood in two or three words, for the line that describes a model.
    pub fn describe(&self) -> String {
        match *self {
            Self::Bernoulli => "Bernoulli likelihood".into(),
            Self::ContinuousBernoulli => "continuous Bernoulli likelihood".into(),
            Self::Gaussian { sigma, .. } => format!("Gaussian likelihood (sigma {sigma})"),
            Self::GaussianShared { .. } => "Gaussian likelihood (learned sigma)".into(),
            Self::GaussianPerPixel { .. } => "Gaussian likelihood (sigma for each value)".into(),
            Self::Laplace { scale, .. } => format!("Laplace likelihood (scale {scale})"),
            Self::LaplaceShared { .. } => "Laplace likelihood (learned scale)".into(),
            Self::Categorical => "categorical likelihood (256 levels)".into(),
            Self::DiscretisedLogistic => "discretised logistic likelihood".into(),
            Self::LogisticMixture { components, .. } => format!("mixture of {components} logistics"),
            Self::Sse { .. } => "squared errors".into(),
            Self::MsSsim { .. } => "MS-SSIM (surrogate)".into(),
            Self::Edge { .. } => "squared errors of pixels and edges (surrogate)".into(),
        }
    }
}

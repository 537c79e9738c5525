//! The measure of a run's ELBO, and what has to be said beside it.
//!
//! [`Measure`] says which numbers compare.

use crate::data::{Binarize, Subset};
use crate::models::{Capability, LikelihoodName};
use crate::recipe::RunConfig;
pub use crate::report::measure::{Measure, comparable};
use crate::run::directory::RunInfo;

impl Measure {
    /// Of a run, by its configuration and facts alone.
    pub fn of(config: &RunConfig, info: &RunInfo) -> Self {
        let data = &info.data;
        let held_out = match (data.test, data.validation) {
            (0, 0) => format!("train {}", data.train_sha256.as_deref().unwrap_or_default()),
            (0, n) => format!("validation {n} {} {}", config.training.seed, config.data.validation),
            (n, _) => match &data.test_sha256 {
                Some(sha256) => format!("test {sha256}"),
                None => format!("test {n} {} {}", config.training.seed, config.data.test),
            },
        };
        Self {
            data: data.fingerprint.clone(),
            examples: format!("{held_out} {}", config.data.labels.join("\n")),
            likelihood: config.model.likelihood_keys().map(|keys| format!("{:?}", keys.likelihood)),
            values: (data.domain, config.data.binarize),
            scale: data.columns.as_ref().map_or(Vec::new(), |columns| columns.std.clone()),
            has_elbo: has_elbo(config),
        }
    }
}

/// Whether a model of this configuration has an ELBO: a KL term, and a likelihood that is no surrogate.
pub fn has_elbo(config: &RunConfig) -> bool {
    let surrogate = |likelihood| matches!(likelihood, LikelihoodName::MsSsim | LikelihoodName::Edge);
    let keys = config.model.likelihood_keys();
    config.model.can().contains(&Capability::Bound) && keys.is_some_and(|keys| !surrogate(keys.likelihood))
}

/// Examples looked at for values between 0 and 1.
const LOOKED_AT: usize = 1000;

/// Whether the examples of a part have no values but 0 and 1 when a model sees them, as far as a sample of them tells.
pub(super) fn is_binary(part: &Subset) -> bool {
    if part.binarization().binarize != Binarize::None {
        return true;
    }
    let mut values = vec![0f32; part.source().shape().numel()];
    part.sampled(LOOKED_AT, 0).indices().iter().all(|&index| {
        part.source().read_values(index as usize, &mut values);
        values.iter().all(|&value| value == 0.0 || value == 1.0)
    })
}

/// What has to be said beside the numbers of a run whose `recon` is no log-likelihood; nothing where it is one.
pub fn caution(config: &RunConfig, info: &RunInfo) -> Option<&'static str> {
    let binary = config.data.binarize != Binarize::None || info.data.binary == Some(true);
    match config.model.likelihood_keys()?.likelihood {
        LikelihoodName::Bernoulli if !binary => Some(
            "recon is a cross-entropy on grey values, not a likelihood: no distribution has it, so the numbers made from it bound no \
             log-likelihood and no code length. They compare with other runs of this likelihood on the same data.",
        ),
        LikelihoodName::Sse => Some(
            "recon is sse, a plain sum of squared errors, not a likelihood: its weight against the KL is arbitrary, and what is called \
             ELBO here is one up to a constant only for a Gaussian of variance 1/2.",
        ),
        LikelihoodName::MsSsim | LikelihoodName::Edge => {
            Some("recon is a surrogate for how alike pictures look, not a likelihood: there is no ELBO.")
        }
        _ => None,
    }
}

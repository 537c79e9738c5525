//! Which numbers compare: one predicate for the terminal, the pages and the explorer.
//!
//! An ELBO bounds `log p(x)` of certain data under a certain measure. A density of standardised values, a probability of 256 levels and a
//! cross-entropy are numbers on different scales, and so are sums over different examples. Two runs compare where everything in [`Measure`]
//! agrees; a run without a KL term has no ELBO at all.

use sha2::{Digest, Sha256};

use crate::data::idx::hex;
use crate::data::{Binarize, Subset};
use crate::models::{Capability, LikelihoodName};
use crate::recipe::RunConfig;
use crate::run::directory::RunInfo;
use crate::space::Domain;

/// What a run's ELBO is measured on and with.
///
/// ```
/// use elbo::tasks::{Measure, comparable};
///
/// let bernoulli = Measure::default();
/// assert_eq!(comparable(&[bernoulli.clone(), bernoulli.clone()]), Ok(()));
/// let other = Measure { data: "another sha256".into(), ..bernoulli.clone() };
/// assert!(comparable(&[bernoulli, other]).unwrap_err().contains("data"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Fingerprint of the data.
    pub data: String,
    /// Which of their examples are held out.
    pub examples: String,
    /// The distribution of the data given a code; none for a model without one.
    pub likelihood: Option<LikelihoodName>,
    /// What the numbers are, and whether they are made binary.
    pub values: (Domain, Binarize),
    /// The scale of each column of a table: a density of standardised values is one of these.
    pub scale: Vec<f64>,
    /// Whether there is an ELBO at all: not without a KL term, and not of a surrogate for how alike pictures look.
    pub has_elbo: bool,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            data: String::new(),
            examples: String::new(),
            likelihood: Some(LikelihoodName::Bernoulli),
            values: (Domain::Levels, Binarize::None),
            scale: Vec::new(),
            has_elbo: true,
        }
    }
}

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
            likelihood: config.model.likelihood_keys().map(|keys| keys.likelihood),
            values: (data.domain, config.data.binarize),
            scale: data.columns.as_ref().map_or(Vec::new(), |columns| columns.std.clone()),
            has_elbo: has_elbo(config),
        }
    }

    /// What differs between two runs, in a word; nothing where their ELBOs compare.
    fn differs(&self, other: &Self) -> Option<&'static str> {
        let pairs = [
            (self.data == other.data, "data"),
            (self.examples == other.examples, "held-out examples"),
            (self.likelihood == other.likelihood, "likelihood"),
            (self.values == other.values, "kind of values"),
            (self.scale == other.scale, "scale of the columns"),
        ];
        pairs.iter().find(|(same, _)| !same).map(|(_, what)| *what)
    }

    /// The same text for runs whose ELBOs compare, another for others; none for a run without an ELBO.
    pub fn key(&self) -> Option<String> {
        self.has_elbo.then(|| hex(&Sha256::digest(format!("{self:?}"))[..8]))
    }
}

/// Whether a model of this configuration has an ELBO: a KL term, and a likelihood that is no surrogate.
pub fn has_elbo(config: &RunConfig) -> bool {
    let surrogate = |likelihood| matches!(likelihood, LikelihoodName::MsSsim | LikelihoodName::Edge);
    let keys = config.model.likelihood_keys();
    config.model.can().contains(&Capability::Bound) && keys.is_some_and(|keys| !surrogate(keys.likelihood))
}

/// Whether the ELBOs of runs compare.
///
/// # Errors
/// Why not, in one sentence.
pub fn comparable(runs: &[Measure]) -> Result<(), String> {
    if runs.iter().any(|run| !run.has_elbo) {
        let why = "an autoencoder lacks the KL term, a surrogate the likelihood";
        return Err(format!("Not every run has an ELBO ({why}), so there is no ranking."));
    }
    match runs.iter().find_map(|run| run.differs(&runs[0])) {
        None => Ok(()),
        Some(what) => Err(format!("The {what} of these runs differ, so their ELBOs do not compare.")),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_that_changes_the_measure_ends_the_comparison() {
        let base = Measure::default();
        assert_eq!(comparable(&[]), Ok(()));
        let others = [
            Measure { data: "b".into(), ..base.clone() },
            Measure { examples: "other".into(), ..base.clone() },
            Measure { likelihood: Some(LikelihoodName::Gaussian), ..base.clone() },
            Measure { values: (Domain::Levels, Binarize::Dynamic), ..base.clone() },
            Measure { values: (Domain::Unit, Binarize::None), ..base.clone() },
            Measure { scale: vec![2.0], ..base.clone() },
            Measure { has_elbo: false, ..base.clone() },
        ];
        for other in others {
            assert!(comparable(&[base.clone(), other.clone()]).is_err(), "{other:?}");
            assert_ne!(base.key(), other.key());
        }
        assert_eq!(base.key(), Measure::default().key());
    }
}

//! Which numbers compare: one predicate for the terminal, the pages and the explorer.
//!
//! An ELBO bounds `log p(x)` of certain data under a certain measure. A density of standardised values, a probability of 256 levels and a
//! cross-entropy are numbers on different scales, and so are sums over different examples. Two runs compare where everything in [`Measure`]
//! agrees; a run without a KL term has no ELBO at all.

use sha2::{Digest, Sha256};

use crate::data::Binarize;
use crate::data::idx::hex;
use crate::space::Domain;

/// What a run's ELBO is measured on and with.
///
/// ```
/// use elbo::report::measure::{Measure, comparable};
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
    pub likelihood: Option<String>,
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
            likelihood: Some("Bernoulli".into()),
            values: (Domain::Levels, Binarize::None),
            scale: Vec::new(),
            has_elbo: true,
        }
    }
}

impl Measure {
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
            Measure { likelihood: Some("Gaussian".into()), ..base.clone() },
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

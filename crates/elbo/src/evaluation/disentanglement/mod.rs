//! Whether the dimensions of a code line up with known factors of variation.
//!
//! | score | asks | source |
//! |---|---|---|
//! | `mig` | is each factor in one dimension and no other, by mutual information | Chen et al. 2018, arXiv:1802.04942, section 4.1 |
//! | `sap` | the same, by prediction from one dimension | Kumar et al. 2018, arXiv:1711.00848, section 3 |
//! | `dci_*` | how concentrated a forest's importances are: over factors, over dimensions; and how well it predicts | Eastwood & Williams 2018 |
//! | `factor_vae_score` | which dimension stays still when one factor is held | Kim & Mnih 2018, arXiv:1802.05983, section 3 |
//! | `beta_vae_score` | can a linear classifier tell the held factor from differences | Higgins et al. 2017, section 3 |
//!
//! All work on one table of codes and factors; disentanglement_lib's own tests, a code that is the factors, one that is constant, one that has each
//! factor twice, are tests here.

mod forest;
mod single;
mod votes;

use super::codes::Codes;
use super::metric::Metric;
use crate::error::{Error, Result};

pub use forest::Importances;

/// Mean codes of examples whose factors of variation are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Representation {
    /// Dimensions of the code.
    pub latent: usize,
    /// Codes, `[n, latent]` row by row.
    pub codes: Vec<f64>,
    /// Name of each factor; `shape` has no order, all others do.
    pub names: Vec<&'static str>,
    /// Number of values of each factor.
    pub sizes: Vec<usize>,
    /// `[n, factors]`, each below its size.
    pub factors: Vec<u32>,
}

impl Representation {
    /// The mean codes of examples with their `factors`, `[n, names.len()]`.
    ///
    /// # Errors
    /// [`Error::Config`] where no factors are known, or fewer than 100 examples are given.
    pub fn new(codes: &Codes, names: &[(&'static str, usize)], factors: Vec<u32>) -> Result<Self> {
        if names.is_empty() {
            let help = "only generated sets know their factors: `--data sprites`";
            return Err(Error::config("mig", "examples with known factors of variation", "none", help));
        }
        if codes.n() < 100 {
            let help = "give a larger `--limit`";
            return Err(Error::config("limit", "at least 100 examples", codes.n().to_string(), help));
        }
        assert_eq!(factors.len(), codes.n() * names.len(), "one value of each factor for each example");
        Ok(Self {
            latent: codes.latent,
            codes: codes.mean.iter().map(|v| f64::from(*v)).collect(),
            names: names.iter().map(|(name, _)| *name).collect(),
            sizes: names.iter().map(|(_, size)| *size).collect(),
            factors,
        })
    }

    /// Number of examples.
    pub fn n(&self) -> usize {
        self.codes.len() / self.latent
    }

    /// Factor `k` of every example.
    fn factor(&self, k: usize) -> Vec<u32> {
        self.factors[k..].iter().step_by(self.sizes.len()).copied().collect()
    }

    /// Dimension `j` of every code.
    fn dimension(&self, j: usize) -> Vec<f64> {
        self.codes[j..].iter().step_by(self.latent).copied().collect()
    }

    fn code(&self, index: usize) -> &[f64] {
        &self.codes[index * self.latent..(index + 1) * self.latent]
    }

    /// Dimension `j` in bins of equal width between its ends.
    fn binned(&self, j: usize, bins: usize) -> Vec<u32> {
        let values = self.dimension(j);
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        let width = if high > low { high - low } else { 1.0 };
        values.iter().map(|v| (((v - low) / width * bins as f64) as u32).min(bins as u32 - 1)).collect()
    }
}

/// The scores, each from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Disentanglement {
    /// Mutual information gap.
    pub mig: f64,
    /// Separated attribute predictability.
    pub sap: f64,
    /// Disentanglement, completeness, informativeness.
    pub dci: [f64; 3],
    /// The score of FactorVAE (Kim & Mnih 2018).
    pub factor_vae: f64,
    /// The score of beta-VAE (Higgins et al. 2017).
    pub beta_vae: f64,
    n: usize,
    factors: String,
}

/// Computes all scores; draws follow from `seed`.
///
/// ```
/// use elbo::evaluation::{Codes, Representation, disentanglement};
///
/// // Two dimensions that are the two factors.
/// let value = |i: u32| [i % 4, i / 4 % 5];
/// let mean = (0..400).flat_map(|i| value(i).map(|v| v as f32)).collect();
/// let codes = Codes { latent: 2, mean, log_var: None, labels: None };
/// let known = Representation::new(&codes, &[("x", 4), ("y", 5)], (0..400).flat_map(value).collect())?;
/// assert!(disentanglement(&known, 0).mig > 0.99);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn disentanglement(known: &Representation, seed: u64) -> Disentanglement {
    let importances = Importances::of(known, seed);
    Disentanglement {
        mig: single::mutual_information_gap(known),
        sap: single::separated_predictability(known),
        dci: [importances.disentanglement(), importances.completeness(), importances.informativeness],
        factor_vae: votes::factor_vae_score(known, seed),
        beta_vae: votes::beta_vae_score(known, seed),
        n: known.n(),
        factors: known.names.join(", "),
    }
}

impl Disentanglement {
    /// `mig`, `sap`, `dci_disentanglement`, `dci_completeness`, `dci_informativeness`, `factor_vae_score` and `beta_vae_score`.
    pub fn metrics(&self) -> [(&'static str, Metric); 7] {
        let over = format!("mean codes of {} examples, factors {}", self.n, self.factors);
        let score = |value, what: &str| Metric::new(value, "from 0 to 1", format!("{what}, {over}"));
        let [disentangled, complete, informative] = self.dci;
        [
            (
                "mig",
                score(
                    self.mig,
                    "gap between the two largest I(z_j; factor) over H(factor), 20 bins, mean over factors",
                ),
            ),
            (
                "sap",
                score(
                    self.sap,
                    "gap between the two best predictions of a factor from one dimension: R^2, balanced accuracy for shape",
                ),
            ),
            (
                "dci_disentanglement",
                score(
                    disentangled,
                    "1 - entropy over factors of a random forest's importances, weighted mean over dimensions",
                ),
            ),
            ("dci_completeness", score(complete, "1 - entropy over dimensions of the importances, mean over factors")),
            (
                "dci_informativeness",
                score(informative, "accuracy of the forest on held-out examples, mean over factors"),
            ),
            (
                "factor_vae_score",
                score(
                    self.factor_vae,
                    "accuracy of the vote of the stillest dimension, 64 examples with one factor held",
                ),
            ),
            (
                "beta_vae_score",
                score(
                    self.beta_vae,
                    "accuracy of a linear classifier of |z - z'| over 64 pairs with one factor shared",
                ),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    const N: usize = 4000;
    /// No more values than there are bins.
    const FACTORS: [(&str, usize); 5] = [("shape", 3), ("scale", 6), ("orientation", 10), ("x", 8), ("y", 8)];

    /// Random factors, and codes made of them.
    fn known(latent: usize, code: impl Fn(&[u32; 5]) -> Vec<f32>) -> Representation {
        let draws = &mut Draws::new(0, Purpose::Choice, 0, 0);
        let factors: Vec<[u32; 5]> = (0..N).map(|_| FACTORS.map(|(_, size)| draws.below(size as u32))).collect();
        let mean: Vec<f32> = factors.iter().flat_map(code).collect();
        assert_eq!(mean.len(), N * latent);
        let codes = Codes { latent, mean, log_var: None, labels: None };
        Representation::new(&codes, &FACTORS, factors.concat()).unwrap()
    }

    fn identity(factors: &[u32; 5]) -> Vec<f32> {
        factors.map(|v| v as f32).to_vec()
    }

    #[test]
    fn a_code_that_is_the_factors_has_the_best_scores() {
        let found = disentanglement(&known(5, identity), 0);
        let scores = [found.mig, found.sap, found.dci[0], found.dci[1], found.dci[2], found.factor_vae, found.beta_vae];
        assert!(scores.iter().all(|score| (0.9..=1.0 + 1e-9).contains(score)), "{found:?}");
    }

    #[test]
    fn a_constant_code_has_the_worst() {
        let found = disentanglement(&known(5, |_| vec![0.0; 5]), 0);
        let scores = [found.mig, found.sap, found.dci[0], found.dci[1], found.factor_vae];
        assert!(scores.iter().all(|score| (0.0..=0.2).contains(score)), "{found:?}");
        // Five factors to guess from.
        assert!(found.beta_vae < 0.3, "{found:?}");
    }

    #[test]
    fn a_code_with_each_factor_twice_separates_none() {
        let found = disentanglement(&known(10, |factors| identity(factors).repeat(2)), 0);
        assert!(found.mig < 0.1 && found.sap < 0.1, "{found:?}");
        // Each dimension still has one factor, but no factor one dimension.
        assert!(found.dci[0] > 0.9 && found.dci[1] < 0.8 && found.factor_vae > 0.9, "{found:?}");
    }

    #[test]
    fn mixed_dimensions_score_less_than_pure_ones() {
        let mixed = |factors: &[u32; 5]| {
            let f = factors.map(|v| v as f32);
            vec![f[3] + f[4], f[3] - f[4], f[1] + 0.6 * f[2], f[1] - 0.6 * f[2], f[0]]
        };
        let (found, pure) = (disentanglement(&known(5, mixed), 0), disentanglement(&known(5, identity), 0));
        assert!(found.mig < 0.6 * pure.mig && found.sap < 0.6 * pure.sap, "{found:?}");
        assert!(found.dci[0] < 0.8 * pure.dci[0], "{found:?}");
    }
}

//! What the mean code knows of classes it was never told.

use super::clustering::{adjusted_rand_index, clusters, normalised_mutual_information};
use super::codes::Codes;
use super::metric::Metric;
use super::points::Features;
use super::probe::LinearProbe;
use crate::error::{Error, Result};
use crate::projection::Nearest;

/// Neighbours that vote.
const VOTERS: usize = 5;

/// Points for k-means, at most.
const CLUSTERED: usize = 10_000;

/// How well classes can be read from codes.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Accuracy of a linear classifier.
    pub linear_probe: f64,
    /// Accuracy of the vote of the 5 nearest training codes.
    pub knn_accuracy: f64,
    /// Normalised mutual information of k-means clusters and classes.
    pub nmi: f64,
    /// Adjusted Rand index of the same.
    pub ari: f64,
    classes: usize,
    train: usize,
    test: usize,
    clustered: usize,
}

/// Reads classes from the mean codes of a split: a linear classifier and neighbours learn from `train`, and k-means with as many clusters as classes
/// looks at 10,000 of `test` at most.
///
/// # Errors
/// [`Error::Config`] if examples have no classes.
///
/// ```
/// use elbo::evaluation::{Codes, embedding};
///
/// let codes = |shift: f32| Codes {
///     latent: 1,
///     mean: (0..20).map(|i| (i % 2) as f32 * 10.0 + shift * i as f32).collect(),
///     log_var: None,
///     labels: Some((0..20).map(|i| i % 2).collect()),
/// };
/// let found = embedding(&codes(0.1), &codes(0.11), 0)?;
/// assert_eq!((found.linear_probe, found.knn_accuracy, found.ari), (1.0, 1.0, 1.0));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn embedding(train: &Codes, test: &Codes, seed: u64) -> Result<Embedding> {
    let (Some(known), Some(sought)) = (&train.labels, &test.labels) else {
        let help = "the metrics of the group `embedding` compare codes with classes; ask for others";
        return Err(Error::config("linear_probe", "examples with classes", "none", help));
    };
    let classes = known.iter().chain(sought).max().map_or(0, |most| *most as usize + 1);
    let (train, test) = (points(train), points(test));
    let probe = LinearProbe::fit(&train, known, classes);
    // Evenly from all of them: many sets are sorted by class.
    let places: Vec<usize> = (0..test.n()).step_by(test.n().div_ceil(CLUSTERED)).collect();
    let few = places.iter().flat_map(|i| test.point(*i)).copied().collect();
    let clusters = clusters(&Features::new(test.dims, few), classes, seed);
    let classes_of_few: Vec<u32> = places.iter().map(|i| sought[*i]).collect();
    Ok(Embedding {
        linear_probe: probe.accuracy(&test, sought),
        knn_accuracy: knn_accuracy(&train, known, &test, sought),
        nmi: normalised_mutual_information(&clusters, &classes_of_few),
        ari: adjusted_rand_index(&clusters, &classes_of_few),
        classes,
        train: train.n(),
        test: test.n(),
        clustered: places.len(),
    })
}

fn points(codes: &Codes) -> Features {
    Features::new(codes.latent, codes.mean.iter().map(|v| f64::from(*v)).collect())
}

/// Share of points whose nearest neighbours in `train` vote for their class; among equals the class of the nearest of them wins.
fn knn_accuracy(train: &Features, known: &[u32], test: &Features, sought: &[u32]) -> f64 {
    let mut nearest = Nearest::new(&test.values, test.dims, VOTERS);
    nearest.offer(&train.values);
    let right = nearest.found().into_iter().zip(sought).filter(|(voters, sought)| {
        let votes = |class: u32| voters.iter().filter(|voter| known[voter.index] == class).count();
        // The last of equals by `max_by_key` is the first in reversed order, the nearest.
        let chosen = voters.iter().rev().map(|voter| known[voter.index]).max_by_key(|class| votes(*class));
        chosen == Some(**sought)
    });
    right.count() as f64 / sought.len().max(1) as f64
}

impl Embedding {
    /// `linear_probe`, `knn_accuracy`, `nmi` and `ari`.
    pub fn metrics(&self) -> [(&'static str, Metric); 4] {
        let Self { classes, train, test, clustered, .. } = self;
        let learned = format!("on the mean codes of {train} training examples, accuracy on {test} of the split");
        let clustered = format!("{classes} k-means clusters of mean codes against classes, {clustered} examples");
        // Of a share of n independent answers.
        let share = |value: f64, what: String| Metric {
            stderr: Some((value * (1.0 - value) / *test as f64).sqrt()),
            ..Metric::new(value, "share", what)
        };
        [
            ("linear_probe", share(self.linear_probe, format!("logistic regression (C = 1, standardised) {learned}"))),
            ("knn_accuracy", share(self.knn_accuracy, format!("vote of the {VOTERS} nearest {learned}"))),
            ("nmi", Metric::new(self.nmi, "1 for equal", format!("mutual information over mean entropy, {clustered}"))),
            ("ari", Metric::new(self.ari, "1 for equal", format!("adjusted Rand index, {clustered}"))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_vote_and_the_nearest_decides_between_equals() {
        let train = Features::new(1, vec![0.0, 1.0, 2.0, 3.0, 100.0, 101.0]);
        let known = [0, 1, 1, 0, 2, 2];
        let test = Features::new(1, vec![-1.0, 1.4, 100.4]);
        // Nearest five of -1: classes 0 1 1 0 2, a tie that 0 wins; of 1.4: 1 1 0 0 2, won by 1; of 100.4: 2 2 0 1 1, won by 2.
        assert_eq!(knn_accuracy(&train, &known, &test, &[0, 1, 2]), 1.0);
        assert_eq!(knn_accuracy(&train, &known, &test, &[1, 1, 2]), 2.0 / 3.0);
    }
}

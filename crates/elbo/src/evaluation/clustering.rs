//! Clusters of codes beside their classes: k-means, normalised mutual information, adjusted Rand index.

use super::points::Features;
use crate::mixtures::k_means;
use crate::random::{Draws, Purpose};

/// Starts, of which the one with the least inertia counts.
const STARTS: u64 = 10;

/// The cluster of each point by k-means, the best of ten starts.
pub(super) fn clusters(points: &Features, k: usize, seed: u64) -> Vec<u32> {
    let draws = |start: u64| Draws::new(seed, Purpose::Choice, 1, start);
    let found = k_means(&points.values, points.dims, k, STARTS, draws);
    found.assigned.into_iter().map(|cluster| cluster as u32).collect()
}

/// How often each pair of values occurs, and each value alone.
struct Contingency {
    pairs: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    n: f64,
}

impl Contingency {
    fn of(a: &[u32], b: &[u32]) -> Self {
        assert!(!a.is_empty() && a.len() == b.len(), "two labels for each point");
        let size = |labels: &[u32]| labels.iter().max().map_or(0, |most| *most as usize + 1);
        let (rows, columns) = (size(a), size(b));
        let mut table = Self {
            pairs: vec![0.0; rows * columns],
            first: vec![0.0; rows],
            second: vec![0.0; columns],
            n: a.len() as f64,
        };
        for (a, b) in a.iter().zip(b).map(|(a, b)| (*a as usize, *b as usize)) {
            table.pairs[a * columns + b] += 1.0;
            table.first[a] += 1.0;
            table.second[b] += 1.0;
        }
        table
    }

    fn entropy(&self, counts: &[f64]) -> f64 {
        counts.iter().filter(|count| **count > 0.0).map(|count| -count / self.n * (count / self.n).ln()).sum()
    }

    fn mutual_information(&self) -> f64 {
        (self.entropy(&self.first) + self.entropy(&self.second) - self.entropy(&self.pairs)).max(0.0)
    }
}

/// Mutual information of two labellings in nats.
pub(super) fn mutual_information(a: &[u32], b: &[u32]) -> f64 {
    Contingency::of(a, b).mutual_information()
}

/// Entropy of a labelling in nats.
pub(super) fn entropy(labels: &[u32]) -> f64 {
    let table = Contingency::of(labels, labels);
    table.entropy(&table.first)
}

/// Normalised mutual information of two labellings, `I(a; b)` over the mean of their entropies: 1 for the same partition, near 0 for independent ones.
///
/// ```
/// use elbo::evaluation::normalised_mutual_information;
///
/// assert_eq!(normalised_mutual_information(&[0, 0, 1, 1], &[1, 1, 0, 0]), 1.0);
/// ```
///
/// # Panics
/// If there are no points or the lengths differ.
pub fn normalised_mutual_information(a: &[u32], b: &[u32]) -> f64 {
    let table = Contingency::of(a, b);
    let scale = 0.5 * (table.entropy(&table.first) + table.entropy(&table.second));
    // Two labellings of one class each are the same partition.
    if scale == 0.0 { 1.0 } else { table.mutual_information() / scale }
}

/// Adjusted Rand index (Hubert & Arabie 1985): agreement on pairs of points, 1 for the same partition and 0 in the mean over random ones.
///
/// ```
/// use elbo::evaluation::adjusted_rand_index;
///
/// assert_eq!(adjusted_rand_index(&[0, 0, 1, 1], &[1, 1, 0, 0]), 1.0);
/// ```
///
/// # Panics
/// As [`normalised_mutual_information`].
pub fn adjusted_rand_index(a: &[u32], b: &[u32]) -> f64 {
    let table = Contingency::of(a, b);
    let pairs = |counts: &[f64]| counts.iter().map(|n| 0.5 * n * (n - 1.0)).sum::<f64>();
    let (first, second, all) = (pairs(&table.first), pairs(&table.second), pairs(&[table.n]));
    let (expected, most) = (first * second / all.max(1.0), 0.5 * (first + second));
    if most == expected { 1.0 } else { (pairs(&table.pairs) - expected) / (most - expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_far_apart_are_found() {
        let noise = Draws::new(0, Purpose::Prior, 4, 0).normals(600);
        let centre = |i: usize| [(i % 3) as f64 * 20.0, (i % 2) as f64 * 20.0];
        let values = (0..300).flat_map(|i| [0, 1].map(|d| centre(i)[d] + f64::from(noise[2 * i + d]))).collect();
        let truth: Vec<u32> = (0..300).map(|i| i % 6).collect();
        let found = clusters(&Features::new(2, values), 6, 0);
        assert!((adjusted_rand_index(&found, &truth) - 1.0).abs() < 1e-12);
        assert!((normalised_mutual_information(&found, &truth) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn independent_labels_share_nothing() {
        let a: Vec<u32> = (0..900).map(|i| i % 3).collect();
        let b: Vec<u32> = (0..900).map(|i| i / 3 % 5).collect();
        assert!(normalised_mutual_information(&a, &b) < 1e-12);
        assert!(adjusted_rand_index(&a, &b).abs() < 0.01);
        assert_eq!(
            (normalised_mutual_information(&[0; 9], &[0; 9]), adjusted_rand_index(&[0; 9], &[0; 9])),
            (1.0, 1.0)
        );
    }
}

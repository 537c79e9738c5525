//! Importances of dimensions for factors, from random forests (Breiman 2001), as DCI takes them (Eastwood & Williams 2018, sections 2 and 4.1).

use super::Representation;
use crate::parallel;
use crate::random::{Draws, Purpose};

const TREES: usize = 10;
const DEPTH: usize = 12;
/// Examples in a leaf, at least.
const LEAF: usize = 5;
/// Thresholds looked at in each dimension, and one more bin.
const BINS: usize = 64;

/// How much each dimension of the code helps to predict each factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Importances {
    latent: usize,
    /// `[factors, latent]`: decrease of Gini impurity, scaled to a sum of 1 for each factor; zeros where no split helps.
    matrix: Vec<f64>,
    /// Accuracy on the quarter of the examples that was held out, mean over factors.
    pub informativeness: f64,
}

impl Importances {
    /// One forest of ten trees for each factor, on three quarters of the examples.
    pub fn of(known: &Representation, seed: u64) -> Self {
        let bins: Vec<Vec<u32>> = (0..known.latent).map(|j| known.binned(j, BINS)).collect();
        let order = Draws::new(seed, Purpose::Choice, 2, 0).permutation(known.n() as u32);
        let (train, test) = order.split_at(3 * known.n() / 4);
        let (mut matrix, mut accuracies) = (Vec::new(), Vec::new());
        for (k, &classes) in known.sizes.iter().enumerate() {
            let labels = known.factor(k);
            let trees = parallel::map(TREES, |tree| {
                let draws = Draws::new(seed, Purpose::Choice, 3, (k * TREES + tree) as u64);
                Tree::grow(&bins, &labels, classes, train, draws)
            });
            let sum = |j: usize| trees.iter().map(|tree| tree.importances[j]).sum::<f64>();
            let row: Vec<f64> = (0..known.latent).map(sum).collect();
            let total: f64 = row.iter().sum();
            matrix.extend(row.iter().map(|value| if total > 0.0 { value / total } else { 0.0 }));
            let right = test.iter().filter(|&&i| vote(&trees, &bins, i, classes) == labels[i as usize]).count();
            accuracies.push(right as f64 / test.len().max(1) as f64);
        }
        let informativeness = super::super::metric::mean(&accuracies);
        Self { latent: known.latent, matrix, informativeness }
    }

    /// `sum_j rho_j (1 - H_K(importances of j))`: `H_K` the entropy over the K factors in units of `ln K`, `rho_j` the share of all importance.
    pub fn disentanglement(&self) -> f64 {
        let factors = self.matrix.len() / self.latent;
        let column = |j: usize| (0..factors).map(|k| self.matrix[k * self.latent + j]).collect::<Vec<_>>();
        let total: f64 = self.matrix.iter().sum();
        let weighted = (0..self.latent).map(|j| column(j).iter().sum::<f64>() * concentration(&column(j)));
        if total > 0.0 { weighted.sum::<f64>() / total } else { 0.0 }
    }

    /// `1 - H_L(importances for k)`, `H_L` the entropy over the L dimensions in units of `ln L`, mean over factors; 0 where nothing helps.
    pub fn completeness(&self) -> f64 {
        let rows = self.matrix.chunks_exact(self.latent);
        rows.map(concentration).sum::<f64>() / (self.matrix.len() / self.latent) as f64
    }
}

/// `1 - H(shares) / ln(their number)`: 1 for all in one place, 0 for equal shares or none.
fn concentration(values: &[f64]) -> f64 {
    let total: f64 = values.iter().sum();
    if total <= 0.0 {
        return 0.0;
    }
    if values.len() == 1 {
        return 1.0;
    }
    let shares = values.iter().map(|v| v / total).filter(|share| *share > 0.0);
    1.0 + shares.map(|share| share * share.ln()).sum::<f64>() / (values.len() as f64).ln()
}

/// The class that the trees give the highest mean share.
fn vote(trees: &[Tree], bins: &[Vec<u32>], example: u32, classes: usize) -> u32 {
    let mut shares = vec![0.0; classes];
    for tree in trees {
        shares.iter_mut().zip(tree.leaf(bins, example)).for_each(|(sum, share)| *sum += share);
    }
    let best = (0..classes).max_by(|a, b| shares[*a].total_cmp(&shares[*b]));
    best.unwrap_or(0) as u32
}

enum Node {
    /// Bins up to `last` of `dimension` go to the node `below`, the others to the one after it.
    Split { dimension: usize, last: u32, below: usize },
    /// Share of each class.
    Leaf(Vec<f64>),
}

struct Tree {
    nodes: Vec<Node>,
    importances: Vec<f64>,
}

/// The best cut of a node.
struct Cut {
    dimension: usize,
    last: u32,
    gain: f64,
}

impl Tree {
    /// On as many examples as there are, drawn with replacement; every dimension is looked at in each node, the first of equals in random order is taken.
    fn grow(bins: &[Vec<u32>], labels: &[u32], classes: usize, train: &[u32], mut draws: Draws) -> Self {
        let sample = (0..train.len()).map(|_| train[draws.below(train.len() as u32) as usize]).collect();
        let mut tree = Self { nodes: vec![Node::Leaf(Vec::new())], importances: vec![0.0; bins.len()] };
        let mut open = vec![(0, sample, 0)];
        while let Some((place, examples, depth)) = open.pop() {
            let examples: Vec<u32> = examples;
            let mut dimensions: Vec<u32> = (0..bins.len() as u32).collect();
            draws.shuffle(&mut dimensions);
            let cut = (depth < DEPTH).then(|| best_cut(bins, labels, classes, &examples, &dimensions)).flatten();
            let Some(Cut { dimension, last, gain }) = cut else {
                tree.nodes[place] = Node::Leaf(shares(labels, classes, &examples));
                continue;
            };
            tree.importances[dimension] += gain;
            let (low, high) = examples.iter().partition(|&&i| bins[dimension][i as usize] <= last);
            let below = tree.nodes.len();
            tree.nodes[place] = Node::Split { dimension, last, below };
            tree.nodes.extend([Node::Leaf(Vec::new()), Node::Leaf(Vec::new())]);
            open.extend([(below, low, depth + 1), (below + 1, high, depth + 1)]);
        }
        tree
    }

    fn leaf(&self, bins: &[Vec<u32>], example: u32) -> &[f64] {
        let mut place = 0;
        loop {
            match &self.nodes[place] {
                Node::Leaf(shares) => return shares,
                Node::Split { dimension, last, below } => {
                    place = below + usize::from(bins[*dimension][example as usize] > *last);
                }
            }
        }
    }
}

fn shares(labels: &[u32], classes: usize, examples: &[u32]) -> Vec<f64> {
    let mut shares = vec![0.0; classes];
    for &i in examples {
        shares[labels[i as usize] as usize] += 1.0 / examples.len() as f64;
    }
    shares
}

/// The cut that decreases the Gini impurity most; none where no cut decreases it or leaves enough on both sides.
fn best_cut(bins: &[Vec<u32>], labels: &[u32], classes: usize, examples: &[u32], dimensions: &[u32]) -> Option<Cut> {
    let mut best: Option<Cut> = None;
    let mut counts = vec![0f64; BINS * classes];
    for &dimension in dimensions {
        let dimension = dimension as usize;
        counts.fill(0.0);
        for &i in examples {
            counts[bins[dimension][i as usize] as usize * classes + labels[i as usize] as usize] += 1.0;
        }
        let mut high: Vec<f64> = (0..classes).map(|class| counts[class..].iter().step_by(classes).sum()).collect();
        let mut low = vec![0f64; classes];
        let whole = impurity(&high);
        for (bin, row) in counts.chunks_exact(classes).enumerate() {
            for (class, count) in row.iter().enumerate() {
                low[class] += count;
                high[class] -= count;
            }
            let smaller = low.iter().sum::<f64>().min(high.iter().sum::<f64>());
            let gain = whole - impurity(&low) - impurity(&high);
            let better = gain > best.as_ref().map_or(1e-9, |best| best.gain + 1e-9);
            if smaller >= LEAF as f64 && better {
                best = Some(Cut { dimension, last: bin as u32, gain });
            }
        }
    }
    best
}

/// Gini impurity times the number of examples: `n - sum_c n_c^2 / n`.
fn impurity(counts: &[f64]) -> f64 {
    let n: f64 = counts.iter().sum();
    if n > 0.0 { n - counts.iter().map(|count| count * count).sum::<f64>() / n } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_concentrated_in_one_place_or_spread() {
        assert_eq!((concentration(&[0.0, 3.0, 0.0]), concentration(&[0.0; 3])), (1.0, 0.0));
        assert!(concentration(&[1.0; 4]).abs() < 1e-12);
        assert!((concentration(&[1.0, 1.0, 0.0, 0.0]) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_best_cut_separates_the_classes() {
        let bins = [vec![0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1], vec![0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 9, 9]];
        let labels = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1];
        let examples: Vec<u32> = (0..12).collect();
        let cut = best_cut(&bins, &labels, 2, &examples, &[0, 1]).unwrap();
        assert_eq!((cut.dimension, cut.last, cut.gain), (1, 0, 6.0));
        assert!(best_cut(&bins, &labels, 2, &examples[..6], &[0, 1]).is_none(), "pure already");
    }

    #[test]
    fn scores_follow_their_formulas() {
        // The first dimension is the first factor's, the second is shared, the third is nobody's.
        let found = Importances { latent: 3, matrix: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0], informativeness: 1.0 };
        assert_eq!((found.disentanglement(), found.completeness()), (1.0, 1.0));
        let found = Importances { latent: 2, matrix: vec![0.5, 0.5, 0.5, 0.5], informativeness: 1.0 };
        assert!(found.disentanglement().abs() < 1e-12 && found.completeness().abs() < 1e-12);
    }
}

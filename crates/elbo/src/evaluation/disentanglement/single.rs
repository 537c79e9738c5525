//! Scores that look at one dimension and one factor at a time.

use super::super::clustering::{entropy, mutual_information};
use super::Representation;

/// Bins of a dimension, as in disentanglement_lib.
const BINS: usize = 20;

/// Mean over factors of `(I(z_j; v) - I(z_j'; v)) / H(v)`, `j` and `j'` the dimensions with the most and the second most information.
pub(super) fn mutual_information_gap(known: &Representation) -> f64 {
    let dimensions: Vec<Vec<u32>> = (0..known.latent).map(|j| known.binned(j, BINS)).collect();
    mean_gap(known, |k| {
        let factor = known.factor(k);
        let scale = entropy(&factor);
        let shared =
            |dimension: &Vec<u32>| if scale > 0.0 { mutual_information(dimension, &factor) / scale } else { 0.0 };
        dimensions.iter().map(shared).collect()
    })
}

/// Mean over factors of the gap between the two dimensions that predict it best.
pub(super) fn separated_predictability(known: &Representation) -> f64 {
    mean_gap(known, |k| {
        let factor = known.factor(k);
        let score = |j: usize| {
            let dimension = known.dimension(j);
            match known.names[k] {
                "shape" => balanced_accuracy(&dimension, &factor, known.sizes[k]),
                _ => determination(&dimension, &factor),
            }
        };
        (0..known.latent).map(score).collect()
    })
}

/// The mean over factors of the largest score less the second largest.
fn mean_gap(known: &Representation, scores: impl Fn(usize) -> Vec<f64>) -> f64 {
    let gap = |k: usize| {
        let mut scores = scores(k);
        scores.sort_by(|a, b| b.total_cmp(a));
        scores[0] - scores.get(1).copied().unwrap_or(0.0)
    };
    (0..known.sizes.len()).map(gap).sum::<f64>() / known.sizes.len() as f64
}

/// R^2 of a straight line, the square of the correlation; 0 where nothing varies.
fn determination(dimension: &[f64], factor: &[u32]) -> f64 {
    let n = dimension.len() as f64;
    let (x, y) = (dimension.iter().sum::<f64>() / n, factor.iter().map(|v| f64::from(*v)).sum::<f64>() / n);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in dimension.iter().zip(factor) {
        let (a, b) = (a - x, f64::from(*b) - y);
        (xx, yy, xy) = (xx + a * a, yy + b * b, xy + a * b);
    }
    if xx > 1e-12 && yy > 0.0 { xy * xy / (xx * yy) } else { 0.0 }
}

/// Mean over classes of the share that the nearest class mean gets right; 0 where the dimension does not vary.
fn balanced_accuracy(dimension: &[f64], factor: &[u32], classes: usize) -> f64 {
    let mut sums = vec![(0.0, 0.0); classes];
    for (value, class) in dimension.iter().zip(factor) {
        let (sum, count) = &mut sums[*class as usize];
        (*sum, *count) = (*sum + value, *count + 1.0);
    }
    let means: Vec<f64> = sums.iter().map(|(sum, count)| if *count > 0.0 { sum / count } else { f64::NAN }).collect();
    if dimension.iter().all(|value| *value == dimension[0]) {
        return 0.0;
    }
    let mut right = vec![0.0; classes];
    for (value, class) in dimension.iter().zip(factor) {
        let nearest = (0..classes).min_by(|a, b| (means[*a] - value).abs().total_cmp(&(means[*b] - value).abs()));
        right[*class as usize] += f64::from(u8::from(nearest == Some(*class as usize)));
    }
    let shares =
        right.iter().zip(&sums).filter(|(_, (_, count))| *count > 0.0).map(|(right, (_, count))| right / count);
    let present = sums.iter().filter(|(_, count)| *count > 0.0).count();
    shares.sum::<f64>() / present.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_explains_what_follows_it() {
        let factor = [0, 1, 2, 3];
        assert!((determination(&[5.0, 3.0, 1.0, -1.0], &factor) - 1.0).abs() < 1e-12);
        assert_eq!(determination(&[1.0, -1.0, -1.0, 1.0], &factor), 0.0);
        assert_eq!(determination(&[2.0; 4], &factor), 0.0);
    }

    #[test]
    fn class_means_decide() {
        assert_eq!(balanced_accuracy(&[0.0, 0.2, 1.0, 9.0], &[0, 0, 1, 2], 3), 1.0);
        // Means 0.0025 and 0.1: three of four and one of two are right, and both classes count alike.
        assert_eq!(balanced_accuracy(&[0.0, 0.1, -0.1, 0.01, -8.0, 8.2], &[0, 0, 0, 0, 1, 1], 2), 0.625);
    }
}

//! Multinomial logistic regression: what a linear classifier reads from codes.

use super::points::Features;
use crate::parallel;

/// Strength of the inverse regularisation, scikit-learn's `C` and its default.
const C: f64 = 1.0;
/// Steps of L-BFGS, at most.
const ITERATIONS: usize = 500;
/// Steps and gradients that L-BFGS remembers.
const MEMORY: usize = 10;
/// Largest entry of the gradient of the mean loss at the end.
const TOLERANCE: f64 = 1e-7;
/// Points whose part of the gradient is one part of the work.
const BLOCK: usize = 1024;

/// A linear classifier of standardised points.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearProbe {
    classes: usize,
    mean: Vec<f64>,
    std: Vec<f64>,
    /// `[classes, dims + 1]`, the bias last.
    weights: Vec<f64>,
    /// `sum_i -log p(label_i|x_i) + |W|^2 / 2` at the end, biases not regularised.
    pub loss: f64,
}

impl LinearProbe {
    /// Minimises `sum_i -log softmax(W x_i + b)[label_i] + |W|^2 / (2 C)`, `C = 1`, over standardised points: scikit-learn's
    /// `LogisticRegression` behind a `StandardScaler`, by L-BFGS (Nocedal & Wright 2006, algorithm 7.5).
    ///
    /// # Panics
    /// If there are no points, not as many labels, or a label is not below `classes`.
    ///
    /// ```
    /// use elbo::evaluation::{Features, LinearProbe};
    ///
    /// let points = Features::new(1, vec![-2.0, -1.0, 1.0, 2.0]);
    /// let probe = LinearProbe::fit(&points, &[0, 0, 1, 1], 2);
    /// assert_eq!(probe.accuracy(&points, &[0, 0, 1, 1]), 1.0);
    /// ```
    pub fn fit(points: &Features, labels: &[u32], classes: usize) -> Self {
        assert!(points.n() > 0 && points.n() == labels.len(), "one label for each of {} points", points.n());
        assert!(labels.iter().all(|label| (*label as usize) < classes), "labels below {classes}");
        let (mean, std) = scales(points);
        let mut probe = Self { classes, mean, std, weights: vec![0.0; classes * (points.dims + 1)], loss: 0.0 };
        let rows = probe.standardised(points);
        let objective = |weights: &[f64]| objective(weights, &rows, labels, classes);
        (probe.weights, probe.loss) = minimise(&objective, probe.weights.clone());
        probe.loss *= points.n() as f64;
        probe
    }

    /// Share of the points whose most likely class is theirs.
    ///
    /// # Panics
    /// If the points have another number of dimensions than those fitted.
    pub fn accuracy(&self, points: &Features, labels: &[u32]) -> f64 {
        assert_eq!(points.dims, self.mean.len(), "points of one space");
        let rows = self.standardised(points);
        let right = rows.chunks_exact(points.dims + 1).zip(labels).filter(|(row, label)| {
            let scores: Vec<f64> = self.weights.chunks_exact(row.len()).map(|weights| dot(weights, row)).collect();
            let best = (0..self.classes).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            best == Some(**label as usize)
        });
        right.count() as f64 / labels.len().max(1) as f64
    }

    /// `[n, dims + 1]`, with a 1 for the bias at the end of each row.
    fn standardised(&self, points: &Features) -> Vec<f64> {
        let scaled = |row: &[f64]| {
            let values = row.iter().zip(&self.mean).zip(&self.std).map(|((v, mean), std)| (v - mean) / std);
            values.chain([1.0]).collect::<Vec<_>>()
        };
        points.values.chunks_exact(points.dims).flat_map(scaled).collect()
    }
}

/// Mean and standard deviation of each dimension; 1 for those that do not vary.
fn scales(points: &Features) -> (Vec<f64>, Vec<f64>) {
    let n = points.n() as f64;
    let column = |d: usize| points.values[d..].iter().step_by(points.dims);
    let mean: Vec<f64> = (0..points.dims).map(|d| column(d).sum::<f64>() / n).collect();
    let std = |d: usize| (column(d).map(|v| (v - mean[d]).powi(2)).sum::<f64>() / n).sqrt();
    let std = (0..points.dims).map(std).map(|std| if std > 1e-12 { std } else { 1.0 }).collect();
    (mean, std)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The loss over the number of points, and its gradient.
fn objective(weights: &[f64], rows: &[f64], labels: &[u32], classes: usize) -> (f64, Vec<f64>) {
    let width = weights.len() / classes;
    let parts = parallel::map(labels.len().div_ceil(BLOCK), |part| {
        let (mut loss, mut gradient, mut scores) = (0.0, vec![0.0; weights.len()], vec![0.0; classes]);
        let rows = rows.chunks_exact(width).zip(labels).skip(part * BLOCK).take(BLOCK);
        for (row, label) in rows {
            let label = *label as usize;
            scores.iter_mut().zip(weights.chunks_exact(width)).for_each(|(score, weights)| *score = dot(weights, row));
            let most = scores.iter().copied().fold(f64::MIN, f64::max);
            let own = scores[label];
            scores.iter_mut().for_each(|score| *score = (*score - most).exp());
            let total: f64 = scores.iter().sum();
            loss += most + total.ln() - own;
            for (class, (score, gradient)) in scores.iter().zip(gradient.chunks_exact_mut(width)).enumerate() {
                let slope = score / total - f64::from(u8::from(class == label));
                gradient.iter_mut().zip(row).for_each(|(gradient, value)| *gradient += slope * value);
            }
        }
        (loss, gradient)
    });
    let n = labels.len() as f64;
    let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
    for (part, slopes) in parts {
        loss += part;
        gradient.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += slope);
    }
    for (i, (slope, weight)) in gradient.iter_mut().zip(weights).enumerate() {
        let regularised = if i % width + 1 == width { 0.0 } else { weight / C };
        loss += 0.5 * regularised * weight;
        *slope = (*slope + regularised) / n;
    }
    (loss / n, gradient)
}

/// A function that gives its value and gradient.
type Differentiable<'a> = dyn Fn(&[f64]) -> (f64, Vec<f64>) + 'a;

/// L-BFGS with backtracking, for a convex function that gives its value and gradient. Returns the place of the minimum and its value.
fn minimise(function: &Differentiable<'_>, start: Vec<f64>) -> (Vec<f64>, f64) {
    let (mut x, (mut value, mut gradient)) = (start.clone(), function(&start));
    let mut pairs: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..ITERATIONS {
        if gradient.iter().all(|slope| slope.abs() < TOLERANCE) {
            break;
        }
        let direction = descent(&gradient, &pairs);
        let slope = dot(&direction, &gradient);
        let mut length = 1.0;
        let (next, (next_value, next_gradient)) = loop {
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let found = function(&next);
            if found.0 <= value + 1e-4 * length * slope || length < 1e-12 {
                break (next, found);
            }
            length *= 0.5;
        };
        let step: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&step, &change) > 1e-14 {
            pairs.push((step, change));
            pairs.drain(..pairs.len().saturating_sub(MEMORY));
        }
        (x, value, gradient) = (next, next_value, next_gradient);
        if length < 1e-12 {
            break;
        }
    }
    (x, value)
}

/// The two-loop recursion: minus the inverse Hessian, as far as the pairs know it, times the gradient.
fn descent(gradient: &[f64], pairs: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|slope| -slope).collect();
    let mut along = Vec::new();
    for (step, change) in pairs.iter().rev() {
        let a = dot(step, &direction) / dot(step, change);
        direction.iter_mut().zip(change).for_each(|(d, y)| *d -= a * y);
        along.push(a);
    }
    if let Some((step, change)) = pairs.last() {
        let scale = dot(step, change) / dot(change, change);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((step, change), a) in pairs.iter().zip(along.iter().rev()) {
        let b = dot(change, &direction) / dot(step, change);
        direction.iter_mut().zip(step).for_each(|(d, s)| *d += (a - b) * s);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let rows: Vec<f64> = (0..5).flat_map(|i| [f64::from(i) * 0.7 - 1.0, f64::from(i * i) * 0.2, 1.0]).collect();
        let (labels, weights) = ([0, 1, 2, 1, 0], (0..9).map(|i| f64::from(i * 7 % 5) * 0.3 - 0.5).collect::<Vec<_>>());
        let (_, gradient) = objective(&weights, &rows, &labels, 3);
        for at in 0..9 {
            let shifted = |by: f64| {
                let mut moved = weights.clone();
                moved[at] += by;
                objective(&moved, &rows, &labels, 3).0
            };
            let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!((gradient[at] - slope).abs() < 1e-8, "{at}: {} is not {slope}", gradient[at]);
        }
    }
}

//! Densities under a mixture of many diagonal Gaussians of equal weight: the aggregate posterior `q(z) = 1/N sum_n q(z|x_n)`.
//!
//! Every pair of a point and a component costs a square and an exponential in each dimension, so this is a kernel: tiles of components stay in the
//! first-level cache while a handful of points passes over them, and the exponentials are vector code. Sums run in float64 over tiles of 256.

use std::sync::OnceLock;

use crate::{pool, simd};

/// Components between two looks at the running maximum: three rows of them and the sums of [`POINTS`] points fit the first-level cache.
const TILE: usize = 256;

/// Points that pass over a tile together.
const POINTS: usize = 8;

/// Sums below this are of densities that `simd::exp` flushes: they are taken again in float64.
const UNDERFLOW: f64 = 1e-30;

const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// A mixture of diagonal Gaussians of equal weight.
///
/// ```
/// use elbo_kernels::DiagonalPosteriors;
///
/// // N(-1, 1) and N(1, 1), half each.
/// let mixture = DiagonalPosteriors::new(&[-1.0, 1.0], &[0.0, 0.0], 1);
/// let density = &mixture.log_densities(&[0.0])[0];
/// let expected = -0.5 - 0.5 * std::f64::consts::TAU.ln();
/// assert!((density.joint - expected).abs() < 1e-6 && (density.marginals[0] - expected).abs() < 1e-6);
/// ```
#[derive(Debug, Clone)]
pub struct DiagonalPosteriors {
    dims: usize,
    count: usize,
    /// `[dims, count]`, as are the next two.
    mean: Vec<f32>,
    /// `e^-log_var / 2`.
    half_precision: Vec<f32>,
    /// `-(log_var + ln 2 pi) / 2`: the largest log density of a component.
    peak: Vec<f32>,
    /// The largest of `peak` in each dimension.
    highest: Vec<f32>,
}

/// Log densities of one point, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct LogDensity {
    /// `ln 1/N sum_n prod_j q(z_j|x_n)`.
    pub joint: f64,
    /// `ln 1/N sum_n q(z_j|x_n)` for each dimension `j`.
    pub marginals: Vec<f64>,
}

impl DiagonalPosteriors {
    /// Components `N(mean, diag(e^log_var))`, both `[components, dims]`.
    ///
    /// # Panics
    /// If there are no components, or the two differ in length or are no whole number of rows.
    pub fn new(mean: &[f32], log_var: &[f32], dims: usize) -> Self {
        let whole = dims > 0 && !mean.is_empty() && mean.len().is_multiple_of(dims) && mean.len() == log_var.len();
        assert!(whole, "{} means and {} log variances of {dims} dimensions", mean.len(), log_var.len());
        let count = mean.len() / dims;
        let by_dimension = |values: &[f32], f: fn(f32) -> f32| -> Vec<f32> {
            (0..dims).flat_map(|j| values[j..].iter().step_by(dims).map(move |value| f(*value))).collect()
        };
        let peak = by_dimension(log_var, |v| (-0.5 * f64::from(v) - HALF_LN_TAU) as f32);
        Self {
            dims,
            count,
            mean: by_dimension(mean, |v| v),
            half_precision: by_dimension(log_var, |v| (0.5 * f64::from(-v).exp()).min(f64::from(f32::MAX)) as f32),
            highest: peak.chunks_exact(count).map(|row| row.iter().copied().fold(f32::MIN, f32::max)).collect(),
            peak,
        }
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.count
    }

    /// Log densities of points `z`, `[points, dims]`, in parallel.
    ///
    /// # Panics
    /// If `z` is no whole number of points.
    pub fn log_densities(&self, z: &[f32]) -> Vec<LogDensity> {
        assert!(z.len().is_multiple_of(self.dims), "{} values are no points of {} dimensions", z.len(), self.dims);
        // A region has at most 65,535 parts.
        let groups: Vec<&[f32]> = z.chunks(POINTS * self.dims).collect();
        let slots: Vec<OnceLock<Vec<LogDensity>>> = groups.iter().map(|_| OnceLock::new()).collect();
        for (groups, slots) in groups.chunks(1 << 15).zip(slots.chunks(1 << 15)) {
            pool::run(groups.len(), |part| {
                slots[part].get_or_init(|| self.few(groups[part]));
            });
        }
        slots.into_iter().flat_map(|slot| slot.into_inner().expect("every part ran")).collect()
    }

    /// At most [`POINTS`] points.
    fn few(&self, z: &[f32]) -> Vec<LogDensity> {
        let mut joints = vec![[0f32; TILE]; z.len() / self.dims];
        let mut values = [0f32; TILE];
        let mut sums = vec![RunningSum::default(); joints.len()];
        let mut marginals = vec![0f64; z.len()];
        for start in (0..self.count).step_by(TILE) {
            let size = TILE.min(self.count - start);
            joints.iter_mut().for_each(|joint| joint.fill(0.0));
            for j in 0..self.dims {
                let span = j * self.count + start..j * self.count + start + size;
                let (mean, half, peak) =
                    (&self.mean[span.clone()], &self.half_precision[span.clone()], &self.peak[span]);
                for (point, joint) in joints.iter_mut().enumerate() {
                    let at = point * self.dims + j;
                    densities(z[at], self.highest[j], mean, half, peak, &mut joint[..size], &mut values[..size]);
                    marginals[at] += total(&values[..size]);
                }
            }
            for (sum, joint) in sums.iter_mut().zip(&joints) {
                sum.add(&joint[..size], &mut values[..size]);
            }
        }
        let count = (self.count as f64).ln();
        let rows = z.chunks_exact(self.dims).zip(marginals.chunks_exact(self.dims)).zip(sums);
        rows.map(|((z, marginals), sum)| {
            let marginal = |(j, &sum): (usize, &f64)| match sum < UNDERFLOW {
                true => self.marginal(j, z[j]) - count,
                false => f64::from(self.highest[j]) + sum.ln() - count,
            };
            LogDensity { joint: sum.ln() - count, marginals: marginals.iter().enumerate().map(marginal).collect() }
        })
        .collect()
    }

    /// `ln sum_n q(z_j|x_n)`, slowly and whatever its size.
    fn marginal(&self, j: usize, z: f32) -> f64 {
        let span = j * self.count..(j + 1) * self.count;
        let rows = self.mean[span.clone()].iter().zip(&self.half_precision[span.clone()]).zip(&self.peak[span]);
        let term = |((m, h), p): ((&f32, &f32), &f32)| f64::from(*p) - f64::from(z - m).powi(2) * f64::from(*h);
        let terms: Vec<f64> = rows.map(term).collect();
        let most = terms.iter().copied().fold(f64::MIN, f64::max);
        most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
    }
}

/// `sum e^value` without overflow, as `e^most * sum`.
#[derive(Debug, Clone, Copy)]
struct RunningSum {
    most: f32,
    sum: f64,
}

impl Default for RunningSum {
    fn default() -> Self {
        Self { most: f32::MIN, sum: 0.0 }
    }
}

impl RunningSum {
    fn add(&mut self, values: &[f32], scratch: &mut [f32]) {
        let most = values.iter().copied().fold(self.most, f32::max);
        exponentials(values, most, scratch);
        self.sum = self.sum * f64::from(self.most - most).exp() + total(scratch);
        self.most = most;
    }

    fn ln(self) -> f64 {
        f64::from(self.most) + self.sum.ln()
    }
}

simd::multiversion! {
    /// Adds the log densities of `z` under each component to `joint`, and writes the densities over `e^highest`.
    fn densities(z: f32, highest: f32, mean: &[f32], half: &[f32], peak: &[f32], joint: &mut [f32], out: &mut [f32]) {
        for ((((m, h), p), joint), out) in mean.iter().zip(half).zip(peak).zip(joint).zip(out) {
            let difference = z - m;
            let density = p - difference * difference * h;
            *joint += density;
            *out = simd::exp(density - highest);
        }
    }
}

simd::multiversion! {
    fn exponentials(values: &[f32], most: f32, out: &mut [f32]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = simd::exp(value - most);
        }
    }
}

/// A sum over a tile, in 16 lanes whatever the machine.
fn total(values: &[f32]) -> f64 {
    let mut lanes = [0f32; 16];
    let chunks = values.chunks_exact(lanes.len());
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += value);
    }
    f64::from(rest) + lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_sum(terms: &[f64]) -> f64 {
        let most = terms.iter().copied().fold(f64::MIN, f64::max);
        most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()
    }

    /// By the definition, in float64.
    fn expected(z: &[f32], mean: &[f32], log_var: &[f32]) -> LogDensity {
        let (dims, n) = (z.len(), (mean.len() / z.len()) as f64);
        let term = |i: usize, j: usize| {
            let (m, lv) = (f64::from(mean[i * dims + j]), f64::from(log_var[i * dims + j]));
            -0.5 * (f64::from(z[j]) - m).powi(2) / lv.exp() - 0.5 * lv - HALF_LN_TAU
        };
        let components = 0..mean.len() / dims;
        let joint: Vec<f64> = components.clone().map(|i| (0..dims).map(|j| term(i, j)).sum()).collect();
        let marginal = |j| log_sum(&components.clone().map(|i| term(i, j)).collect::<Vec<_>>()) - n.ln();
        LogDensity { joint: log_sum(&joint) - n.ln(), marginals: (0..dims).map(marginal).collect() }
    }

    fn noise(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1999) as f32 / 400.0 - 2.5).collect()
    }

    #[test]
    fn densities_are_those_of_the_definition() {
        for (points, components, dims) in [(1, 1, 1), (9, 300, 3), (17, 257, 5), (3, 512, 2)] {
            let (mean, log_var, z) =
                (noise(components * dims, 1), noise(components * dims, 2), noise(points * dims, 3));
            let found = DiagonalPosteriors::new(&mean, &log_var, dims).log_densities(&z);
            assert_eq!(found.len(), points);
            for (found, z) in found.iter().zip(z.chunks_exact(dims)) {
                let expected = expected(z, &mean, &log_var);
                assert!((found.joint - expected.joint).abs() < 2e-5 * (1.0 + expected.joint.abs()), "{found:?}");
                for (found, expected) in found.marginals.iter().zip(&expected.marginals) {
                    assert!((found - expected).abs() < 2e-5 * (1.0 + expected.abs()), "{found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn points_beyond_every_component_and_needles_keep_their_logarithm() {
        // The first is a needle far from the second, whose density at 0 is e^-92 of the needle's height.
        let (mean, log_var) = ([40.0f32, 0.0], [-180.0f32, 4.0]);
        for z in [0.0f32, 3.0, -200.0] {
            let found = &DiagonalPosteriors::new(&mean, &log_var, 1).log_densities(&[z])[0];
            let expected = expected(&[z], &mean, &log_var);
            assert!((found.joint - expected.joint).abs() < 1e-5 * (1.0 + expected.joint.abs()), "{z}: {found:?}");
            let (found, expected) = (found.marginals[0], expected.marginals[0]);
            assert!((found - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{z}: {found} is not {expected}");
        }
    }
}

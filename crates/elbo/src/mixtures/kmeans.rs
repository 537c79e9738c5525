//! k-means: groups of rows, and where EM starts.

use rayon::prelude::*;

use crate::random::Draws;

/// Lloyd's iterations at most, scikit-learn's number.
const MAX_ITERATIONS: usize = 300;
/// Rows assigned at once, the same on any number of threads.
const BLOCK: usize = 1024;

/// Rows in groups.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Clusters {
    /// Centres of the clusters, `[k][dims]`.
    pub centres: Vec<Vec<f64>>,
    /// The group of each row.
    pub assigned: Vec<usize>,
    /// Sum over rows of the squared distance to the centre of their group.
    pub inertia: f64,
}

/// k-means: Lloyd's algorithm (Lloyd 1982) from greedy k-means++ starts (Arthur & Vassilvitskii 2007), the restart of least inertia. `draws` gives the
/// numbers of each restart, counted from 0.
///
/// # Shapes
/// - `rows`: `[n, dims]`
///
/// ```
/// use elbo::mixtures::k_means;
/// use elbo::random::{Draws, Purpose};
///
/// let rows = [0.0, 0.1, 5.0, 5.1, 0.2];
/// let found = k_means(&rows, 1, 2, 3, |restart| Draws::new(0, Purpose::Choice, 0, restart));
/// assert_eq!(found.assigned[0], found.assigned[4]);
/// assert!((found.inertia - (0.02 + 0.005)).abs() < 1e-12);
/// ```
///
/// # Panics
/// If there are no rows, no groups or no restarts.
pub fn k_means(rows: &[f64], dims: usize, k: usize, restarts: u64, draws: impl Fn(u64) -> Draws) -> Clusters {
    assert!(rows.len() >= dims && dims > 0 && k > 0, "{k} groups of {} values in rows of {dims}", rows.len());
    let all = (0..restarts).map(|restart| cluster(rows, dims, k, &mut draws(restart)));
    all.min_by(|a, b| a.inertia.total_cmp(&b.inertia)).expect("at least one restart")
}

/// Lloyd's algorithm from a k-means++ start. With fewer different rows than groups some groups stay empty.
pub(super) fn cluster(rows: &[f64], dims: usize, components: usize, draws: &mut Draws) -> Clusters {
    let mut centres = plus_plus(rows, dims, components, draws);
    let mut assigned = vec![usize::MAX; rows.len() / dims];
    let mut inertia = f64::INFINITY;
    for _ in 0..MAX_ITERATIONS {
        let nearest = nearest(rows, dims, &centres);
        let settled = nearest.iter().zip(&assigned).all(|((group, _), old)| group == old);
        assigned = nearest.iter().map(|(group, _)| *group).collect();
        inertia = nearest.iter().map(|(_, distance)| distance).sum();
        if settled {
            break;
        }
        centres = means(rows, dims, &centres, &nearest);
    }
    Clusters { centres, assigned, inertia }
}

/// Greedy k-means++ (Arthur & Vassilvitskii 2007, section 5): each centre is the best of a few rows drawn in proportion to their squared distance from
/// the centres before.
fn plus_plus(rows: &[f64], dims: usize, components: usize, draws: &mut Draws) -> Vec<Vec<f64>> {
    let n = rows.len() / dims;
    let row = |i: usize| &rows[i * dims..(i + 1) * dims];
    let trials = 2 + (components as f64).ln() as usize;
    let first = draws.below(n as u32) as usize;
    let mut centres = vec![row(first).to_vec()];
    let mut closest = distances(rows, dims, row(first));
    while centres.len() < components {
        let candidates = (0..trials).map(|_| {
            let chosen = proportional(&closest, draws.uniform()).unwrap_or_else(|| draws.below(n as u32) as usize);
            let mut left = distances(rows, dims, row(chosen));
            left.iter_mut().zip(&closest).for_each(|(new, old)| *new = new.min(*old));
            (chosen, left)
        });
        let best = candidates.min_by(|(_, a), (_, b)| a.iter().sum::<f64>().total_cmp(&b.iter().sum::<f64>()));
        let (chosen, left) = best.expect("at least two trials");
        centres.push(row(chosen).to_vec());
        closest = left;
    }
    centres
}

/// The place at which the summed weights pass the share `u`; none when all are 0.
fn proportional(weights: &[f64], u: f64) -> Option<usize> {
    let mut left = u * weights.iter().sum::<f64>();
    let found = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    found.or_else(|| weights.iter().rposition(|&weight| weight > 0.0))
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn distances(rows: &[f64], dims: usize, centre: &[f64]) -> Vec<f64> {
    rows.par_chunks(BLOCK * dims)
        .flat_map_iter(|block| block.chunks_exact(dims).map(|row| squared_distance(row, centre)))
        .collect()
}

/// The nearest centre of each row, the first of equals, and the squared distance to it.
fn nearest(rows: &[f64], dims: usize, centres: &[Vec<f64>]) -> Vec<(usize, f64)> {
    let nearest_of = |row: &[f64]| {
        let distances = centres.iter().map(|centre| squared_distance(row, centre)).enumerate();
        distances.min_by(|(_, a), (_, b)| a.total_cmp(b)).expect("at least one centre")
    };
    rows.par_chunks(BLOCK * dims).flat_map_iter(|block| block.chunks_exact(dims).map(nearest_of)).collect()
}

/// The means of the groups. An empty group moves to the row farthest from its centre; where no row is away from its own, it stays.
fn means(rows: &[f64], dims: usize, centres: &[Vec<f64>], nearest: &[(usize, f64)]) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; dims]; centres.len()];
    let mut counts = vec![0usize; centres.len()];
    for (row, (group, _)) in rows.chunks_exact(dims).zip(nearest) {
        counts[*group] += 1;
        sums[*group].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    let mut farthest: Vec<usize> = Vec::new();
    if counts.contains(&0) {
        farthest = (0..nearest.len()).filter(|&row| nearest[row].1 > 0.0).collect();
        farthest.sort_by(|&a, &b| nearest[a].1.total_cmp(&nearest[b].1));
    }
    let moved = sums.into_iter().zip(counts).zip(centres).map(|((sum, count), old)| match count {
        0 => farthest.pop().map_or_else(|| old.clone(), |row| rows[row * dims..(row + 1) * dims].to_vec()),
        count => sum.into_iter().map(|sum| sum / count as f64).collect(),
    });
    moved.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn draws(seed: u64) -> Draws {
        Draws::new(seed, Purpose::Mixture, 0, 0)
    }

    #[test]
    fn groups_that_lie_apart_are_found_from_any_seed() {
        let centres = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]];
        let noise = draws(99).normals(400);
        let rows: Vec<f64> = (0..400).map(|i| centres[i / 2 % 4][i % 2] + 0.3 * f64::from(noise[i])).collect();
        for seed in 0..20 {
            let found = cluster(&rows, 2, 4, &mut draws(seed));
            let mut near: Vec<usize> = centres
                .iter()
                .filter_map(|c| found.centres.iter().position(|f| squared_distance(f, c) < 0.1))
                .collect();
            near.sort_unstable();
            assert_eq!(near, [0, 1, 2, 3], "seed {seed}: {:?}", found.centres);
            assert!((0..200).all(|row| found.assigned[row] == found.assigned[row % 4]));
        }
    }

    #[test]
    fn duplicates_leave_groups_empty_and_numbers_finite() {
        let found = cluster(&[1.0, 1.0, 1.0, 2.0], 1, 3, &mut draws(0));
        assert!(found.centres.iter().all(|centre| centre[0] == 1.0 || centre[0] == 2.0), "{:?}", found.centres);
        assert_eq!(found.assigned[0], found.assigned[2]);
        assert_ne!(found.assigned[0], found.assigned[3]);
    }
}

//! How much of what is made looks like data, and how much of the data is made: precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991), density and
//! coverage (Naeem et al. 2020, arXiv:2002.09797).

use super::points::Features;

/// Neighbours that draw the ball around a point, as in Naeem et al.
pub const NEIGHBOURS: usize = 5;

/// Shares of points that lie in the balls around points of the other set. A ball reaches to the k-th neighbour in its own set.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Coverage {
    /// Share of the made points in the ball of any real one.
    pub precision: f64,
    /// Share of the real points in the ball of any made one.
    pub recall: f64,
    /// Mean number of real points' balls around a made one, over k; may exceed 1.
    pub density: f64,
    /// Share of the real points with a made one in their ball.
    pub coverage: f64,
}

/// Compares `made` with `real`, with balls that reach to the `k`-th neighbour.
///
/// # Panics
/// If a set has no more than `k` points, or the two lie in different spaces.
///
/// ```
/// use elbo::evaluation::{Features, coverage};
///
/// let real = Features::new(1, vec![0.0, 1.0, 2.0, 10.0]);
/// let made = Features::new(1, vec![0.5, 0.6, 50.0]);
/// let found = coverage(&real, &made, 1);
/// assert_eq!((found.precision, found.coverage), (2.0 / 3.0, 0.5)); // of 0 and 1, not of 2 and 10
/// ```
pub fn coverage(real: &Features, made: &Features, k: usize) -> Coverage {
    assert_eq!(real.dims, made.dims, "points of one space");
    assert!(real.n() > k && made.n() > k, "more than {k} points");
    let (real_radii, made_radii) = (radii(real, k), radii(made, k));
    let balls = made.with_distances(real, |_, distances| inside(distances, &real_radii));
    let reached = real.with_distances(made, |i, distances| {
        (inside(distances, &made_radii) > 0, distances.iter().any(|distance| *distance < real_radii[i]))
    });
    let share = |count: usize, of: usize| count as f64 / of as f64;
    Coverage {
        precision: share(balls.iter().filter(|count| **count > 0).count(), made.n()),
        recall: share(reached.iter().filter(|(recalled, _)| *recalled).count(), real.n()),
        density: share(balls.iter().sum(), k * made.n()),
        coverage: share(reached.iter().filter(|(_, covered)| *covered).count(), real.n()),
    }
}

/// How many squared distances are below their squared radius.
fn inside(distances: &[f64], radii: &[f64]) -> usize {
    distances.iter().zip(radii).filter(|(distance, radius)| distance < radius).count()
}

/// Squared distance of each point to its `k`-th neighbour, itself not counted.
fn radii(points: &Features, k: usize) -> Vec<f64> {
    points.with_distances(points, |i, distances| {
        distances[i] = f64::INFINITY;
        *distances.select_nth_unstable_by(k - 1, f64::total_cmp).1
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    fn cloud(n: usize, step: u64, shift: f64) -> Features {
        let values = Draws::new(8, Purpose::Prior, 3, step).normals(n * 2);
        Features::new(2, values.into_iter().map(|v| f64::from(v) + shift).collect())
    }

    /// The definitions, word for word.
    fn by_definition(real: &Features, made: &Features, k: usize) -> Coverage {
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let radius = |set: &Features, i: usize| {
            let others = (0..set.n()).filter(|j| *j != i);
            let mut all: Vec<f64> = others.map(|j| distance(set.point(i), set.point(j))).collect();
            all.sort_by(f64::total_cmp);
            all[k - 1]
        };
        let holds = |set: &Features, i: usize, point: &[f64]| distance(set.point(i), point) < radius(set, i);
        let (n, m) = (real.n(), made.n());
        let count = |items: usize, of: &dyn Fn(usize) -> bool| (0..items).filter(|i| of(*i)).count() as f64;
        let pairs = (0..m).map(|j| count(n, &|i| holds(real, i, made.point(j)))).sum::<f64>();
        Coverage {
            precision: count(m, &|j| (0..n).any(|i| holds(real, i, made.point(j)))) / m as f64,
            recall: count(n, &|i| (0..m).any(|j| holds(made, j, real.point(i)))) / n as f64,
            density: pairs / (k * m) as f64,
            coverage: count(n, &|i| (0..m).any(|j| holds(real, i, made.point(j)))) / n as f64,
        }
    }

    #[test]
    fn shares_are_those_of_the_definitions() {
        for (n, m, k, shift) in [(12, 9, 1, 0.0), (20, 31, 3, 0.7), (40, 15, 5, 1.5), (7, 7, 2, 30.0)] {
            let (real, made) = (cloud(n, 0, 0.0), cloud(m, 1, shift));
            assert_eq!(coverage(&real, &made, k), by_definition(&real, &made, k), "{n} {m} {k} {shift}");
        }
    }

    #[test]
    fn what_is_made_elsewhere_or_at_one_place_is_seen() {
        let real = cloud(400, 0, 0.0);
        let alike = coverage(&real, &cloud(400, 1, 0.0), NEIGHBOURS);
        assert!(alike.precision > 0.9 && alike.recall > 0.9 && alike.coverage > 0.9, "{alike:?}");
        assert!((alike.density - 1.0).abs() < 0.15, "{alike:?}");
        let apart = coverage(&real, &cloud(400, 1, 40.0), NEIGHBOURS);
        assert_eq!(apart, Coverage { precision: 0.0, recall: 0.0, density: 0.0, coverage: 0.0 });
        let collapsed = Features::new(2, cloud(400, 1, 0.0).values.iter().map(|v| 0.05 * v).collect());
        let collapsed = coverage(&real, &collapsed, NEIGHBOURS);
        assert!(collapsed.precision > 0.95 && collapsed.recall < 0.1 && collapsed.coverage < 0.3, "{collapsed:?}");
    }
}

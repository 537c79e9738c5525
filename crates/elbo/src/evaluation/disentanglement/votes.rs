//! Scores that hold one factor and look at what the code does: FactorVAE's and beta-VAE's.

use super::super::points::Features;
use super::super::probe::LinearProbe;
use super::Representation;
use crate::random::{Draws, Purpose};

/// Examples, or pairs of them, behind one vote.
const BATCH: usize = 64;
/// Votes that train a classifier, and votes that judge it.
const VOTES: [usize; 2] = [4000, 2000];

/// The examples with each value of each factor.
struct Groups(Vec<Vec<Vec<u32>>>);

impl Groups {
    fn of(known: &Representation) -> Self {
        let groups = known.sizes.iter().enumerate().map(|(k, size)| {
            let mut groups = vec![Vec::new(); *size];
            for (i, value) in known.factor(k).into_iter().enumerate() {
                groups[value as usize].push(i as u32);
            }
            groups.retain(|group| !group.is_empty());
            groups
        });
        Self(groups.collect())
    }

    /// A factor, and examples that share a value of it.
    fn draw(&self, draws: &mut Draws) -> (u32, &[u32]) {
        let k = draws.below(self.0.len() as u32);
        let groups = &self.0[k as usize];
        (k, &groups[draws.below(groups.len() as u32) as usize])
    }
}

fn pick(group: &[u32], draws: &mut Draws) -> usize {
    group[draws.below(group.len() as u32) as usize] as usize
}

/// Accuracy of the vote of the dimension that varies least, relative to its variance over all examples, among those with one factor held. 0 where no dimension
/// varies.
pub(super) fn factor_vae_score(known: &Representation, seed: u64) -> f64 {
    let everyone: Vec<usize> = (0..known.n()).collect();
    let overall = variances(known, &everyone);
    if overall.iter().all(|variance| *variance < 1e-12) {
        return 0.0;
    }
    let groups = Groups::of(known);
    let vote = |draws: &mut Draws| {
        let (k, group) = groups.draw(draws);
        let chosen: Vec<usize> = (0..BATCH).map(|_| pick(group, draws)).collect();
        let within = variances(known, &chosen);
        let ratio = |j: usize| if overall[j] < 1e-12 { f64::INFINITY } else { within[j] / overall[j] };
        let stillest = (0..known.latent).min_by(|a, b| ratio(*a).total_cmp(&ratio(*b))).unwrap_or(0);
        (k as usize, stillest)
    };
    let factors = known.sizes.len();
    let mut counts = vec![0u32; known.latent * factors];
    let draws = &mut Draws::new(seed, Purpose::Choice, 4, 0);
    for _ in 0..VOTES[0] {
        let (k, j) = vote(draws);
        counts[j * factors + k] += 1;
    }
    let of_dimension = |j: usize| (0..factors).max_by_key(|k| counts[j * factors + k]);
    let right = (0..VOTES[1]).filter(|_| {
        let (k, j) = vote(draws);
        of_dimension(j) == Some(k)
    });
    right.count() as f64 / VOTES[1] as f64
}

fn variances(known: &Representation, chosen: &[usize]) -> Vec<f64> {
    let n = chosen.len() as f64;
    let mut moments = vec![(0.0, 0.0); known.latent];
    for &i in chosen {
        for ((sum, squares), value) in moments.iter_mut().zip(known.code(i)) {
            (*sum, *squares) = (*sum + value, *squares + value * value);
        }
    }
    moments.into_iter().map(|(sum, squares)| (squares / n - (sum / n).powi(2)).max(0.0)).collect()
}

/// Accuracy of a linear classifier of the held factor from the mean of `|z - z'|` over pairs that share its value.
pub(super) fn beta_vae_score(known: &Representation, seed: u64) -> f64 {
    let groups = Groups::of(known);
    let set = |count: usize, step: u64| {
        let draws = &mut Draws::new(seed, Purpose::Choice, 5, step);
        let (mut points, mut labels) = (Vec::with_capacity(count * known.latent), Vec::with_capacity(count));
        for _ in 0..count {
            let (k, group) = groups.draw(draws);
            let mut differences = vec![0.0; known.latent];
            for _ in 0..BATCH {
                let pair = [pick(group, draws), pick(group, draws)].map(|i| known.code(i));
                let values = differences.iter_mut().zip(pair[0].iter().zip(pair[1]));
                values.for_each(|(sum, (a, b))| *sum += (a - b).abs() / BATCH as f64);
            }
            points.extend(differences);
            labels.push(k);
        }
        (Features::new(known.latent, points), labels)
    };
    let ((train, known_labels), (test, sought)) = (set(VOTES[0], 0), set(VOTES[1], 1));
    LinearProbe::fit(&train, &known_labels, known.sizes.len()).accuracy(&test, &sought)
}

//! How well scores rank anomalies above normal examples: areas under the ROC and precision-recall curves, with standard errors.

use super::metric::{Metric, mean, stderr};
use crate::random::{Draws, Purpose};

/// Resamplings behind the standard error of the average precision.
const RESAMPLINGS: u64 = 200;

/// How scores rank the two kinds of examples.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Ranking {
    /// Number of normal examples.
    pub normal: usize,
    /// Number of anomalies.
    pub anomalies: usize,
    /// Probability that an anomaly scores higher than a normal example, ties counted half.
    pub auroc: f64,
    /// Its standard error over examples of both kinds (DeLong et al. 1988); where these tell nothing of it, that of the interval.
    pub auroc_stderr: f64,
    /// The interval in which it lies with 95 % confidence.
    pub auroc_interval: [f64; 2],
    /// Precision at the score of each anomaly, averaged.
    pub average_precision: f64,
    /// Its standard error, by resampling examples of both kinds.
    pub average_precision_stderr: f64,
}

/// Ranks by score, the anomalies being those sought; none unless there are examples of both kinds.
///
/// - `auroc = P(anomaly > normal) + 1/2 P(anomaly = normal)`, the Mann-Whitney statistic over the product of both numbers (Hanley & McNeil 1982). Its variance
///   is DeLong's, from the share of the other kind that each example is ranked above (DeLong, DeLong & Clarke-Pearson 1988, by midranks as Sun & Xu 2014).
/// - `average_precision = sum_t (R_t - R_(t-1)) P_t` over the different scores `t` from the highest down, with recall `R_t` and precision `P_t` of taking all
///   scores from `t` up for anomalies. No interpolation, which would be optimistic (Davis & Goadrich 2006). Chance is the share of anomalies. The standard error
///   is the deviation over 200 resamplings of both kinds, drawn from `seed`.
///
/// One example of a kind says nothing of how others scatter, and neither do two kinds that do not overlap: DeLong's variance is then too small or 0. With fewer
/// than ten of a kind, or without any overlap, the interval is Wilson's (1927) for as many examples as there are of the rarer kind, which covers the worst case, a
/// variance of `auroc (1 - auroc) / min(anomalies, normal)` (Birnbaum & Klose 1957); the standard error is then at least a quarter of its width.
///
/// # Panics
/// If the two differ in length, or a score is not a number.
///
/// ```
/// use elbo::evaluation::ranking;
///
/// let found = ranking(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true], 0).unwrap();
/// assert_eq!((found.auroc, (100.0 * found.average_precision).round()), (0.75, 83.0));
/// assert!(ranking(&[1.0, 2.0], &[true, true], 0).is_none(), "nothing to tell them from");
/// ```
pub fn ranking(scores: &[f64], anomalous: &[bool], seed: u64) -> Option<Ranking> {
    assert_eq!(scores.len(), anomalous.len(), "one truth for each score");
    assert!(scores.iter().all(|score| !score.is_nan()), "what is not a number has no rank");
    let of_kind = |kind: bool| {
        let chosen = scores.iter().zip(anomalous).filter(|(_, anomalous)| **anomalous == kind);
        chosen.map(|(score, _)| *score).collect::<Vec<f64>>()
    };
    let (normal, anomalies) = (of_kind(false), of_kind(true));
    if normal.is_empty() || anomalies.is_empty() {
        return None;
    }
    let (auroc, delong) = area(&normal, &anomalies);
    let steps = Steps::new(scores, anomalous);
    let fewest = normal.len().min(anomalies.len());
    let few = fewest < FEW || delong == 0.0;
    let auroc_interval = match few {
        true => wilson(auroc, fewest),
        false => [(auroc - DEVIATIONS * delong).max(0.0), (auroc + DEVIATIONS * delong).min(1.0)],
    };
    let average_precision = steps.average_precision(&vec![1; scores.len()]);
    let half = |[low, high]: [f64; 2]| (high - low) / (2.0 * DEVIATIONS);
    let least = |interval: [f64; 2]| if few { half(interval) } else { 0.0 };
    Some(Ranking {
        normal: normal.len(),
        anomalies: anomalies.len(),
        auroc,
        auroc_stderr: delong.max(least(auroc_interval)),
        auroc_interval,
        average_precision,
        average_precision_stderr: steps.stderr(seed).max(least(wilson(average_precision, fewest))),
    })
}

/// Examples of a kind below which their scatter tells too little.
const FEW: usize = 10;
/// Standard errors to either side of a 95 % interval.
const DEVIATIONS: f64 = 1.959_963_984_540_054;

/// Wilson's interval of 95 % confidence for a share of `n` examples (Wilson 1927): never of no width, and never beyond 0 and 1.
fn wilson(share: f64, n: usize) -> [f64; 2] {
    let (n, z) = (n as f64, DEVIATIONS);
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

impl Ranking {
    /// `auroc` and `average_precision`.
    pub fn metrics(&self) -> [(&'static str, Metric); 2] {
        let Self { normal, anomalies, auroc_interval: [low, high], .. } = *self;
        let share = anomalies as f64 / (normal + anomalies) as f64;
        let of = format!("{anomalies} anomalies and {normal} normal examples");
        let metric =
            |value, stderr, unit, definition| Metric { stderr: Some(stderr), ..Metric::new(value, unit, definition) };
        let auroc = format!(
            "area under the ROC curve: how often an anomaly scores higher than a normal example, ties half, over {of}; chance is 0.5; 95 % interval {low:.3} to {high:.3}; standard error by DeLong et al. (1988), of few examples from Wilson's interval"
        );
        let precision = format!(
            "average precision, the area under the steps of the precision-recall curve, over {of}; chance is their share, {share:.3}; standard error by {RESAMPLINGS} resamplings"
        );
        [
            ("auroc", metric(self.auroc, self.auroc_stderr, "probability", auroc)),
            (
                "average_precision",
                metric(self.average_precision, self.average_precision_stderr, "precision", precision),
            ),
        ]
    }
}

/// Area under the ROC curve, and its standard error.
fn area(normal: &[f64], anomalies: &[f64]) -> (f64, f64) {
    let together = midranks(&[anomalies, normal].concat());
    let (of_anomalies, of_normal) = together.split_at(anomalies.len());
    // An example's rank among all less its rank among its own kind is the number of the other kind below it.
    let below = |ranks: &[f64], own: &[f64], others: usize| -> Vec<f64> {
        ranks.iter().zip(midranks(own)).map(|(rank, among_own)| (rank - among_own) / others as f64).collect()
    };
    let over_normal = below(of_anomalies, anomalies, normal.len());
    let over_anomalies = below(of_normal, normal, anomalies.len());
    (mean(&over_normal), stderr(&over_normal).hypot(stderr(&over_anomalies)))
}

/// Ranks from 1; equal values share the mean of theirs.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.0;
        equal.iter().for_each(|&place| ranks[place] = rank);
        before += equal.len();
    }
    ranks
}

/// Examples from the highest score down.
struct Steps<'a> {
    anomalous: &'a [bool],
    order: Vec<usize>,
    /// How many in a row of `order` have equal scores.
    equal: Vec<usize>,
}

impl<'a> Steps<'a> {
    fn new(scores: &[f64], anomalous: &'a [bool]) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let equal = order.chunk_by(|&a, &b| scores[a] == scores[b]).map(<[usize]>::len).collect();
        Self { anomalous, order, equal }
    }

    /// With each example taken so many times.
    fn average_precision(&self, times: &[u32]) -> f64 {
        let (mut found, mut taken, mut sum, mut begin) = (0f64, 0f64, 0f64, 0);
        for length in &self.equal {
            let before = found;
            for &place in &self.order[begin..begin + length] {
                let times = f64::from(times[place]);
                taken += times;
                found += if self.anomalous[place] { times } else { 0.0 };
            }
            begin += length;
            // None may have been drawn yet.
            sum += if taken > 0.0 { (found - before) * found / taken } else { 0.0 };
        }
        sum / found
    }

    /// Deviation of the average precision over resamplings within each kind.
    fn stderr(&self, seed: u64) -> f64 {
        let kinds = [false, true].map(|kind| {
            let of_kind = (0..self.anomalous.len()).filter(|&place| self.anomalous[place] == kind);
            of_kind.collect::<Vec<usize>>()
        });
        let resampled = |number| {
            let mut draws = Draws::new(seed, Purpose::Resampling, 0, number);
            let mut times = vec![0u32; self.anomalous.len()];
            for places in &kinds {
                places.iter().for_each(|_| times[places[draws.below(places.len() as u32) as usize]] += 1);
            }
            self.average_precision(&times)
        };
        let found: Vec<f64> = (0..RESAMPLINGS).map(resampled).collect();
        stderr(&found) * (RESAMPLINGS as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_and_the_middle() {
        let truth = [false, false, true, true];
        let found = |scores: &[f64]| ranking(scores, &truth, 0).unwrap();
        let perfect = found(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!((perfect.auroc, perfect.average_precision), (1.0, 1.0));
        // Wilson's interval of 2 of 2: 1 / (1 + z^2 / 2) to 1.
        let [low, high] = perfect.auroc_interval;
        assert!((low - 0.342_37).abs() < 1e-4 && (high - 1.0).abs() < 1e-12, "{perfect:?}");
        assert!(perfect.auroc_stderr > 0.1 && perfect.average_precision_stderr > 0.1);
        let worst = found(&[3.0, 4.0, 1.0, 2.0]);
        assert_eq!((worst.auroc, worst.average_precision), (0.0, (1.0 / 3.0 + 0.5) / 2.0));
        let equal = found(&[5.0; 4]);
        assert_eq!((equal.auroc, equal.average_precision), (0.5, 0.5));
        assert_eq!(found(&[1.0, 2.0, f64::INFINITY, f64::INFINITY]).auroc, 1.0);
    }

    #[test]
    fn one_kind_alone_has_no_ranking() {
        assert!(ranking(&[], &[], 0).is_none() && ranking(&[1.0], &[true], 0).is_none());
        let single = ranking(&[1.0, 2.0], &[false, true], 0).unwrap();
        assert_eq!((single.auroc, single.average_precision), (1.0, 1.0));
    }

    /// One anomaly above all of many normal examples may have been luck.
    #[test]
    fn one_anomaly_has_a_wide_interval() {
        let scores: Vec<f64> = (0..101).map(f64::from).collect();
        let truth: Vec<bool> = (0..101).map(|i| i == 100).collect();
        let found = ranking(&scores, &truth, 0).unwrap();
        // Wilson's interval of 1 of 1: 1 / (1 + z^2) to 1.
        assert_eq!(found.auroc, 1.0);
        assert!((found.auroc_interval[0] - 0.206_55).abs() < 1e-4, "{found:?}");
        assert!(found.auroc_stderr > 0.2 && found.average_precision_stderr > 0.2, "{found:?}");
    }

    /// Standard errors against the deviation of the numbers themselves over 300 samples of 60 + 40 normal numbers.
    #[test]
    fn standard_errors_are_what_samples_scatter_by() {
        let truth: Vec<bool> = (0..100).map(|i| i >= 60).collect();
        let samples: Vec<Ranking> = (0..300)
            .map(|seed| {
                let noise = Draws::new(seed, Purpose::Choice, 0, 0).normals(100);
                let scores: Vec<f64> = noise
                    .iter()
                    .zip(&truth)
                    .map(|(v, anomalous)| f64::from(*v) + f64::from(u8::from(*anomalous)))
                    .collect();
                ranking(&scores, &truth, seed).unwrap()
            })
            .collect();
        let deviation = |values: Vec<f64>| {
            let mean = mean(&values);
            (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 299.0).sqrt()
        };
        let all = |value: fn(&Ranking) -> f64| samples.iter().map(value).collect::<Vec<f64>>();
        let auroc = mean(&all(|found| found.auroc_stderr)) / deviation(all(|found| found.auroc));
        let precision =
            mean(&all(|found| found.average_precision_stderr)) / deviation(all(|found| found.average_precision));
        // A deviation of 300 samples is itself known to 4 %.
        assert!((0.85..1.15).contains(&auroc) && (0.85..1.15).contains(&precision), "{auroc}, {precision}");
        // P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2).
        assert!((mean(&all(|found| found.auroc)) - 0.760_25).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn the_area_is_the_share_of_pairs_in_order(cases in prop::collection::vec((0u8..6, any::<bool>()), 2..40)) {
            let (scores, truth): (Vec<f64>, Vec<bool>) = cases.iter().map(|(score, kind)| (f64::from(*score), *kind)).unzip();
            let Some(found) = ranking(&scores, &truth, 0) else { return Ok(()) };
            let (mut pairs, mut won) = (0.0, 0.0);
            for (a, _) in scores.iter().zip(&truth).filter(|(_, kind)| **kind) {
                for (b, _) in scores.iter().zip(&truth).filter(|(_, kind)| !**kind) {
                    pairs += 1.0;
                    won += if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 };
                }
            }
            prop_assert!((found.auroc - won / pairs).abs() < 1e-12);
            // Turned round, the other kind is on top.
            let turned: Vec<f64> = scores.iter().map(|score| -score).collect();
            prop_assert!((ranking(&turned, &truth, 0).unwrap().auroc + found.auroc - 1.0).abs() < 1e-12);
        }
    }
}

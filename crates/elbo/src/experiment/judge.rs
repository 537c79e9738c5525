//! How good is a run: every metric by its name, computed with the parts of [`crate::evaluation`].

use super::feature_space::{FeatureName, feature_space};
use super::samplers::FitSettings;
use super::trained::Trained;
use crate::data::known::did_you_mean;
use crate::data::{Domain, Splits, Subset};
use crate::error::{Error, Result};
use crate::evaluation::{self, Codes, Evaluation, Finding, Metric, Patient, Similarity};
use crate::generation;
use crate::priors::{Draw, SamplerKind};
use crate::random::{Draws, Purpose};

/// Metrics that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    name: &'static str,
    metrics: &'static [&'static str],
    /// What it costs or needs, for the help text.
    note: &'static str,
}

const GROUPS: [Group; 8] = [
    Group {
        name: "terms",
        metrics: &["recon", "kl", "loss", "elbo", "bits_per_dim", "active_units"],
        note: "the default",
    },
    Group {
        name: "likelihood",
        metrics: &["nll_iw", "ess"],
        note: "minutes at k = 5000; a posterior and a likelihood",
    },
    Group {
        name: "information",
        metrics: &["mutual_information", "total_correlation", "dimension_wise_kl", "kl_sampled"],
        note: "n squared: seconds for 10,000; a posterior",
    },
    Group { name: "reconstruction", metrics: &["mse", "psnr", "ssim", "ms_ssim", "sharpness"], note: "seconds" },
    Group {
        name: "generation",
        metrics: &["fid", "kid", "precision", "recall", "density", "coverage"],
        note: "half a minute; images, compared in the space of --features",
    },
    Group {
        name: "regularity",
        metrics: &["recon_gap", "noise_tolerance"],
        note: "seconds; what a KL term is said to improve",
    },
    Group { name: "embedding", metrics: &["linear_probe", "knn_accuracy", "nmi", "ari"], note: "seconds; classes" },
    Group {
        name: "disentanglement",
        metrics: &[
            "mig",
            "sap",
            "dci_disentanglement",
            "dci_completeness",
            "dci_informativeness",
            "factor_vae_score",
            "beta_vae_score",
        ],
        note: "seconds; known factors, as in sprites",
    },
];

/// Images of which reconstructions tell the doctor enough.
const EXAMINED: usize = 1000;
/// Examples with known factors, the protocol of disentanglement_lib.
const FACTORED: usize = 10_000;

/// What is to be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Names of metrics or groups, or `all`; empty for the default.
    pub metrics: Vec<String>,
    /// Samples of each posterior behind `nll_iw`.
    pub k: usize,
    /// Images made, and images of the split at most that they are compared with.
    pub samples: usize,
    /// Where the codes of the images made come from.
    pub sampler: SamplerKind,
    /// Where they are compared.
    pub features: FeatureName,
    /// Of all draws.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Number of examples.
    pub n: usize,
    /// Metrics by name, in the order of [`metric_names`].
    pub metrics: Vec<(&'static str, Metric)>,
    /// What the doctor says.
    pub findings: Vec<Finding>,
    /// Groups of `all` that mean nothing for this run, each with the reason.
    pub left_out: Vec<(&'static str, String)>,
}

/// What is being computed, and how much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Group of metrics.
    pub group: &'static str,
    /// Examples done.
    pub done: usize,
    /// Of so many.
    pub total: usize,
}

/// Every metric with its group, in the order of reports.
pub fn metric_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    GROUPS.iter().flat_map(|group| group.metrics.iter().map(|metric| (*metric, group.name)))
}

/// The groups with their metrics and what they need, a line each: for help texts.
pub fn describe_metrics() -> String {
    let line = |group: &Group| format!("  {:<16} {} ({})", group.name, group.metrics.join(", "), group.note);
    GROUPS.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Default for Request {
    fn default() -> Self {
        let (features, sampler) = (FeatureName::Pca, SamplerKind::Normal);
        Self { metrics: Vec::new(), k: 500, samples: 10_000, sampler, features, seed: 0 }
    }
}

impl Request {
    /// Checks the names.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is neither a metric nor a group.
    pub fn check(&self) -> Result<()> {
        let known = || metric_names().map(|(metric, _)| metric).chain(GROUPS.iter().map(|g| g.name)).chain(["all"]);
        let Some(unknown) = self.metrics.iter().find(|name| known().all(|k| k != name.as_str())) else {
            return Ok(());
        };
        let help = match did_you_mean(unknown, known()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("groups and their metrics:\n{}", describe_metrics()),
        };
        let expected = format!("some of {}", known().collect::<Vec<_>>().join(", "));
        Err(Error::config("--metrics", expected, format!("`{unknown}`"), help))
    }

    /// Whether anything of a group is asked for.
    fn wants(&self, group: &Group) -> bool {
        let named = |name: &String| name == "all" || name == group.name || group.metrics.contains(&name.as_str());
        if self.metrics.is_empty() { group.name == "terms" } else { self.metrics.iter().any(named) }
    }

    /// Whether a metric is to be told; `group` is its own.
    fn tells(&self, metric: &str, group: &Group) -> bool {
        let named = |name: &String| name == "all" || name == group.name || name == metric;
        self.metrics.is_empty() || self.metrics.iter().any(named)
    }

    /// Whether a group is only in because of `all`.
    fn by_the_way(&self, group: &Group) -> bool {
        let named = |name: &String| name == group.name || group.metrics.contains(&name.as_str());
        !self.metrics.iter().any(named)
    }
}

/// Judges a run by the examples of `parts`, which come from `splits`.
///
/// # Errors
/// [`Error::Config`] for unknown names, and for metrics asked for by name that mean nothing here.
///
/// # Panics
/// If there are no examples or they do not fit the model.
///
/// ```
/// # use elbo::experiment::{Experiment, Trained};
/// # use elbo::recipe::Layers;
/// # use elbo::training::{Quiet, Stop};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut layers = Layers::from_recipe("digits")?;
/// # for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]"] {
/// #     layers.set(setting)?;
/// # }
/// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
/// # let experiment = Experiment::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// # experiment.train(&mut Quiet, &Stop::new())?;
/// use elbo::experiment::{Request, judge};
///
/// let run = Trained::load(&path, None, &device)?;
/// let splits = run.open_data(None)?;
/// let metrics = vec!["kl".into(), "information".into()];
/// let request = Request { metrics, ..Request::default() };
/// let judgement = judge(&run, &splits, &[splits.test.clone()], &request, &mut |_| {})?;
/// assert_eq!((judgement.metrics.len(), judgement.metrics[0].0), (5, "kl"));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn judge(
    run: &Trained,
    splits: &Splits,
    parts: &[Subset],
    request: &Request,
    progress: &mut dyn FnMut(Stage),
) -> Result<Judgement> {
    request.check()?;
    let parts: Vec<Subset> = parts.iter().filter(|part| !part.is_empty()).cloned().collect();
    let judge = Judge::new(run, splits, parts, request);
    let mut judgement =
        Judgement { n: judge.n(), metrics: Vec::new(), findings: judge.examine(), left_out: Vec::new() };
    let mut computed = Vec::new();
    for group in GROUPS.iter().filter(|group| request.wants(group)) {
        progress(Stage { group: group.name, done: 0, total: judge.n() });
        match judge.group(group, progress) {
            Ok(metrics) => {
                computed.extend(metrics.iter().map(|(name, _)| *name));
                judgement.metrics.extend(metrics.into_iter().filter(|(name, _)| request.tells(name, group)));
            }
            Err(error @ Error::Config { .. }) if request.by_the_way(group) => {
                judgement.left_out.push((group.name, error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    let is_metric = |name: &str| metric_names().any(|(metric, _)| metric == name);
    match request.metrics.iter().find(|name| is_metric(name) && !computed.contains(&name.as_str())) {
        None => Ok(judgement),
        Some(absent) => {
            let found = format!("`{absent}`, which this likelihood or these data do not have");
            Err(Error::config("--metrics", "metrics of this run", found, format!("there are {}", computed.join(", "))))
        }
    }
}

/// What the groups share.
struct Judge<'a> {
    run: &'a Trained,
    splits: &'a Splits,
    parts: Vec<Subset>,
    request: &'a Request,
    evaluation: Evaluation,
    codes: Codes,
}

impl<'a> Judge<'a> {
    fn new(run: &'a Trained, splits: &'a Splits, parts: Vec<Subset>, request: &'a Request) -> Self {
        let objective = run.config.loss.target();
        let looked_at = parts.iter().map(|part| {
            let evaluation = evaluation::evaluate(&run.model, part, objective, request.seed, &run.device);
            (evaluation, evaluation::encode(&run.model, part, &run.device))
        });
        let (evaluation, codes) = looked_at
            .reduce(|(mut evaluation, mut codes), further| {
                evaluation.append(further.0);
                codes.append(further.1);
                (evaluation, codes)
            })
            .expect("some examples");
        Self { run, splits, parts, request, evaluation, codes }
    }

    fn n(&self) -> usize {
        self.evaluation.n()
    }

    fn group(&self, group: &Group, progress: &mut dyn FnMut(Stage)) -> Result<Vec<(&'static str, Metric)>> {
        match group.name {
            "terms" => Ok(self.terms()),
            "likelihood" => self.likelihood(progress),
            "information" => {
                Ok(evaluation::information(&self.codes, self.request.seed)?.metrics().into_iter().collect())
            }
            "reconstruction" => Ok(self.similarity(&self.parts).metrics()),
            "generation" => self.generation(&|metric| self.request.tells(metric, group)),
            "regularity" => Ok(self.regularity()),
            "embedding" => self.embedding(),
            _ => self.disentanglement(),
        }
    }

    fn terms(&self) -> Vec<(&'static str, Metric)> {
        let mut metrics = self.evaluation.metrics();
        let definition = format!(
            "latent dimensions whose mean code varies by more than {} (variance) over {} images",
            evaluation::ACTIVE_THRESHOLD,
            self.n()
        );
        metrics.push(("active_units", Metric::new(self.codes.active_units() as f64, "dimensions", definition)));
        metrics
    }

    fn likelihood(&self, progress: &mut dyn FnMut(Stage)) -> Result<Vec<(&'static str, Metric)>> {
        let Request { k, seed, .. } = *self.request;
        let mut whole: Option<evaluation::ImportanceWeighted> = None;
        for part in &self.parts {
            let before = whole.as_ref().map_or(0, |found| found.log_likelihood.len());
            let mut heard = |done| progress(Stage { group: "likelihood", done: before + done, total: self.n() });
            let run = self.run;
            let found = evaluation::importance_weighted(&run.model, part, k, seed, &run.device, &mut heard)?;
            match &mut whole {
                None => whole = Some(found),
                Some(whole) => whole.append(found),
            }
        }
        Ok(whole.map(|found| found.metrics().into_iter().collect()).unwrap_or_default())
    }

    fn similarity(&self, parts: &[Subset]) -> Similarity {
        let looked_at = parts.iter().map(|part| evaluation::similarity(&self.run.model, part, &self.run.device));
        looked_at
            .reduce(|mut whole, further| {
                whole.append(further);
                whole
            })
            .unwrap_or_default()
    }

    fn generation(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<(&'static str, Metric)>> {
        let (run, Request { samples, sampler, features, seed, .. }) = (self.run, self.request);
        if run.columns().is_some() {
            let help = "the metrics of the group `generation` compare pictures; ask for others";
            return Err(Error::config("fid", "images", "a table", help));
        }
        let space = feature_space(features, run, self.splits)?;
        // In random order: blocks of neighbours are of one kind in many sets.
        let real = shuffled(&self.parts, *samples, *seed);
        let mut points = evaluation::Features { dims: 0, values: Vec::new() };
        for part in &real {
            let found = space.of_split(part, &run.device);
            points = evaluation::Features { dims: found.dims, values: [points.values, found.values].concat() };
        }
        if points.n() <= evaluation::NEIGHBOURS || *samples <= evaluation::NEIGHBOURS {
            let expected = format!("more than {} images on both sides", evaluation::NEIGHBOURS);
            let found = format!("{} and {samples}", points.n());
            return Err(Error::config("--samples", expected, found, "10000 of each is usual"));
        }
        let (fitted, _) = run.sampler(*sampler, FitSettings { codes: None, seed: *seed })?;
        let codes = fitted.sampler.sample(&Draw { count: *samples, seed: *seed, ..Draw::default() });
        let made = generation::decode(&run.model, run.shape, &codes, &run.device);
        let made = space.of_values(&made.pixels, run.shape.numel(), &run.device);
        let source = match sampler {
            SamplerKind::Normal => "N(0, I)".to_owned(),
            kind => format!("the sampler `{kind}`, fitted to the training codes"),
        };
        evaluation::generation_metrics(&points, &made, &space, &source, wanted)
    }

    fn regularity(&self) -> Vec<(&'static str, Metric)> {
        let Request { seed, .. } = *self.request;
        let (model, device) = (&self.run.model, &self.run.device);
        let train = limited(std::slice::from_ref(&self.splits.train), self.n(), seed);
        let gap = evaluation::recon_gap(model, &self.parts, &train[0], device);
        let probed = limited(&self.parts, EXAMINED, seed);
        let tolerance = evaluation::noise_tolerance(model, &probed, seed, device);
        vec![("recon_gap", gap), ("noise_tolerance", tolerance)]
    }

    fn embedding(&self) -> Result<Vec<(&'static str, Metric)>> {
        let train = evaluation::encode(&self.run.model, &self.splits.train, &self.run.device);
        Ok(evaluation::embedding(&train, &self.codes, self.request.seed)?.metrics().into_iter().collect())
    }

    fn disentanglement(&self) -> Result<Vec<(&'static str, Metric)>> {
        let part = &limited(&self.parts[..1], FACTORED, self.request.seed)[0];
        let source = part.source();
        let factors: Vec<u32> = part.indices().iter().flat_map(|&index| source.factors(index as usize)).collect();
        let codes = evaluation::encode(&self.run.model, part, &self.run.device);
        let known = evaluation::Representation::new(&codes, source.factor_names(), factors)?;
        Ok(evaluation::disentanglement(&known, self.request.seed).metrics().into_iter().collect())
    }

    fn examine(&self) -> Vec<Finding> {
        let few = limited(&self.parts, EXAMINED, self.request.seed);
        let pictures = self.parts[0].source().domain() != Domain::Real;
        let similarity = pictures.then(|| self.similarity(&few));
        // What cannot be read is told by those who need it.
        let history = self.run.state().map(|state| state.history).unwrap_or_default();
        evaluation::examine(&Patient {
            evaluation: &self.evaluation,
            codes: &self.codes,
            similarity: similarity.as_ref(),
            objective: &self.run.config.loss,
            history: &history,
        })
    }
}

/// At most `count` examples of all parts, chosen at random from `seed`, in their order. Empty parts are left out.
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::{Subset, digits};
/// use elbo::experiment::limited;
///
/// let all = Subset::all(Arc::new(digits::generate(0, 30)));
/// assert_eq!(limited(&[all.clone()], 7, 0)[0].len(), 7);
/// assert_eq!(limited(&[all], 100, 0)[0].len(), 30);
/// ```
pub fn limited(parts: &[Subset], count: usize, seed: u64) -> Vec<Subset> {
    chosen(parts, count, seed, |places| places.sort_unstable())
}

/// The same in random order.
fn shuffled(parts: &[Subset], count: usize, seed: u64) -> Vec<Subset> {
    chosen(parts, count, seed, |_| {})
}

fn chosen(parts: &[Subset], count: usize, seed: u64, order: impl Fn(&mut [u32])) -> Vec<Subset> {
    let total: usize = parts.iter().map(Subset::len).sum();
    let mut places = Draws::new(seed, Purpose::Choice, 6, 0).permutation(total as u32);
    places.truncate(count);
    order(&mut places);
    let mut begin = 0u32;
    let of_part = parts.iter().map(|part| {
        let end = begin + part.len() as u32;
        let own: Vec<u32> = places.iter().filter(|place| (begin..end).contains(place)).map(|p| p - begin).collect();
        begin = end;
        part.select(&own)
    });
    of_part.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::digits;

    #[test]
    fn names_are_unique_and_every_group_can_be_asked_for() {
        let mut names: Vec<&str> = metric_names().map(|(name, _)| name).chain(GROUPS.iter().map(|g| g.name)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let request = |names: &[&str]| Request {
            metrics: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Request::default()
        };
        assert!(GROUPS.iter().all(|group| request(&[group.name]).check().is_ok() && request(&["all"]).wants(group)));
        assert!(request(&["nll"]).check().is_err());
        assert!(request(&["fidd"]).check().unwrap_err().help().contains("`fid`"));
        let wanted: Vec<&str> = GROUPS.iter().filter(|g| request(&["kl", "ess"]).wants(g)).map(|g| g.name).collect();
        assert_eq!(wanted, ["terms", "likelihood"]);
    }

    #[test]
    fn examples_are_chosen_over_all_parts_and_none_twice() {
        let part = |seed, count| Subset::all(Arc::new(digits::generate(seed, count)));
        let parts = [part(0, 40), part(1, 20)];
        for found in [limited(&parts, 45, 3), shuffled(&parts, 45, 3)] {
            assert_eq!(found.iter().map(Subset::len).sum::<usize>(), 45);
            for part in &found {
                let mut indices = part.indices().to_vec();
                indices.sort_unstable();
                indices.dedup();
                assert_eq!(indices.len(), part.len());
            }
        }
        assert!(limited(&parts, 45, 3)[0].indices().is_sorted() && !shuffled(&parts, 45, 3)[0].indices().is_sorted());
    }
}

//! How good is a run: every metric by its name, computed with the parts of [`crate::evaluation`].

use std::cell::OnceCell;

use serde::Serialize;

use super::feature_space::{FeatureName, classifier, feature_space};
use super::rate::{self, DepthTerms};
use super::run::{Run, held_out};
use super::samplers::FitSettings;
use crate::data::{self, Splits, Subset};
use crate::error::{Error, Result};
use crate::evaluation::{self, CodeUse, Codes, Evaluation, Metric, ModelFinding, Patient, Similarity};
use crate::generation::{self, Pictures, ShowAs};
use crate::models::Ask;
use crate::priors::{Draw, SamplerKind};
use crate::random::{Draws, Purpose};
use crate::space::Domain;
use crate::suggest::did_you_mean;
use crate::training::{accuracy, classify};

/// Metrics that are computed together.
struct Group {
    name: &'static str,
    metrics: &'static [&'static str],
    /// What it costs or needs, for the help text.
    note: &'static str,
    compute: fn(&Judged<'_>, &mut dyn FnMut(MetricsProgress)) -> Result<Metrics>,
}

const GROUPS: [Group; 11] = [
    Group {
        name: "terms",
        metrics: &["recon", "kl", "loss", "elbo", "bits_per_dim", "active_units"],
        note: "the default",
        compute: |judged, progress| judged.terms(progress),
    },
    Group {
        name: "codebook",
        metrics: &[
            "codes_used",
            "perplexity",
            "perplexity_by_place",
            "code_entropy",
            "code_snr",
            "code_label_information",
            "revived_last_epoch",
        ],
        note: "seconds; codes of a codebook",
        compute: |judged, _| judged.codebook(),
    },
    Group {
        name: "rate",
        metrics: &[
            "distortion",
            "rate_uniform",
            "rate_frequencies",
            "rate_learned",
            "bits_uniform",
            "bits_frequencies",
            "bits_learned",
        ],
        note: "seconds to minutes; codes of a codebook, rate_learned with a prior in the run",
        compute: |judged, _| judged.rate(),
    },
    Group {
        name: "likelihood",
        metrics: &["nll_iw", "ess"],
        note: "minutes at k = 5000; a posterior and a likelihood",
        compute: |judged, progress| judged.likelihood(progress),
    },
    Group {
        name: "information",
        metrics: &["mutual_information", "total_correlation", "dimension_wise_kl", "kl_sampled"],
        note: "n squared: seconds for 10,000; a posterior",
        compute: |judged, progress| judged.information(progress),
    },
    Group {
        name: "reconstruction",
        metrics: &["mse", "psnr", "ssim", "ms_ssim", "sharpness"],
        note: "seconds",
        compute: |judged, progress| judged.reconstruction(progress),
    },
    Group {
        name: "generation",
        metrics: &["fid", "kid", "precision", "recall", "density", "coverage"],
        note: "half a minute; images, compared in the space of --features",
        compute: |judged, progress| judged.generation(progress),
    },
    Group {
        name: "conditioning",
        metrics: &["class_accuracy"],
        note: "half a minute; a conditional model, images",
        compute: |judged, progress| judged.conditioning(progress),
    },
    Group {
        name: "regularity",
        metrics: &["recon_gap", "noise_tolerance"],
        note: "seconds; what a KL term is said to improve",
        compute: |judged, progress| judged.regularity(progress),
    },
    Group {
        name: "embedding",
        metrics: &["linear_probe", "knn_accuracy", "nmi", "ari"],
        note: "seconds; classes",
        compute: |judged, progress| judged.embedding(progress),
    },
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
        compute: |judged, progress| judged.disentanglement(progress),
    },
];

/// Images of which reconstructions tell the doctor enough.
const EXAMINED: usize = 1000;
/// Examples with known factors, the protocol of disentanglement_lib.
const FACTORED: usize = 10_000;

/// What is to be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsRequest {
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
#[non_exhaustive]
pub struct MetricsReport {
    /// Number of examples.
    pub n: usize,
    /// Metrics by name, in the order of [`metric_names`].
    pub metrics: Vec<(&'static str, Metric)>,
    /// What the doctor says.
    pub findings: Vec<ModelFinding>,
    /// The terms of each class, for a model that is told the class; else empty.
    pub classes: Vec<ClassTerms>,
    /// Distortion and rate by the number of residual codes, where the rate was asked for and there are several; else empty.
    pub by_depth: Vec<DepthTerms>,
    /// Groups of `all` that mean nothing for this run, each with the reason.
    pub left_out: Vec<(&'static str, String)>,
}

/// The terms of the examples of one class, means in nats per example.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ClassTerms {
    /// Name of the class.
    pub class: String,
    /// How many examples of it there are.
    pub n: usize,
    /// `-E_q[log p(x|z, y)]`.
    pub recon: f64,
    /// `KL(q(z|x, y) || p(z))`.
    pub kl: f64,
}

/// What is being computed, and how much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsProgress {
    /// Group of metrics.
    pub group: &'static str,
    /// How many examples are done.
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

impl Default for MetricsRequest {
    fn default() -> Self {
        let (features, sampler) = (FeatureName::Pca, SamplerKind::Normal);
        Self { metrics: Vec::new(), k: 500, samples: 10_000, sampler, features, seed: 0 }
    }
}

impl MetricsRequest {
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
        Err(Error::config("metrics", expected, format!("`{unknown}`"), help))
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
/// # use elbo::tasks::{TrainingRun, Run};
/// # use elbo::recipe::Layers;
/// # use elbo::training::{Quiet, Stop};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut layers = Layers::from_recipe("digits")?;
/// # for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]"] {
/// #     layers.set(setting)?;
/// # }
/// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
/// # let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// # training.train(&mut Quiet, &Stop::new())?;
/// use elbo::tasks::{MetricsRequest, evaluate};
///
/// let run = Run::open(&path, None, &device)?;
/// let splits = run.open_data(None)?;
/// let metrics = vec!["kl".into(), "information".into()];
/// let request = MetricsRequest { metrics, ..MetricsRequest::default() };
/// let judgement = evaluate(&run, &splits, &[splits.test.clone()], &request, &mut |_| {})?;
/// assert_eq!((judgement.metrics.len(), judgement.metrics[0].0), (5, "kl"));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn evaluate(
    run: &Run,
    splits: &Splits,
    parts: &[Subset],
    request: &MetricsRequest,
    progress: &mut dyn FnMut(MetricsProgress),
) -> Result<MetricsReport> {
    request.check()?;
    let parts: Vec<Subset> = parts.iter().filter(|part| !part.is_empty()).cloned().collect();
    let judge = Judged::new(run, splits, parts, request);
    let findings = judge.examine()?;
    let classes = if run.model.needs().class { judge.by_class()? } else { Vec::new() };
    let (metrics, by_depth, left_out) = (Vec::new(), Vec::new(), Vec::new());
    let mut judgement = MetricsReport { n: judge.n(), metrics, findings, classes, by_depth, left_out };
    let mut computed = Vec::new();
    for group in GROUPS.iter().filter(|group| request.wants(group)) {
        progress(MetricsProgress { group: group.name, done: 0, total: judge.n() });
        match (group.compute)(&judge, progress).and_then(|metrics| judge.sound(metrics)) {
            Ok(metrics) => {
                computed.extend(metrics.iter().map(|(name, _)| *name));
                judgement.metrics.extend(metrics.into_iter().filter(|(name, _)| request.tells(name, group)));
            }
            // What is no number is refused where it was asked for, even by asking for nothing.
            Err(error @ Error::Model { .. }) if request.by_the_way(group) && !request.metrics.is_empty() => {
                judgement.left_out.push((group.name, error.to_string()));
            }
            Err(error @ (Error::Config { .. } | Error::Unsupported { .. })) if request.by_the_way(group) => {
                judgement.left_out.push((group.name, error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    if computed.contains(&"rate_uniform") {
        judgement.by_depth = rate::by_depth(run, splits, &judge.parts, judge.code_use()?)?;
    }
    let is_metric = |name: &str| metric_names().any(|(metric, _)| metric == name);
    match request.metrics.iter().find(|name| is_metric(name) && !computed.contains(&name.as_str())) {
        None => Ok(judgement),
        Some(absent) => {
            let found = format!("`{absent}`, which this likelihood or these data do not have");
            Err(Error::config("metrics", "metrics of this run", found, format!("there are {}", computed.join(", "))))
        }
    }
}

/// What the groups share: the loss terms and the codes of the examples, computed when first asked for.
struct Judged<'a> {
    run: &'a Run,
    splits: &'a Splits,
    parts: Vec<Subset>,
    request: &'a MetricsRequest,
    evaluation: OnceCell<Evaluation>,
    codes: OnceCell<Codes>,
    code_use: OnceCell<CodeUse>,
}

/// Metrics of a group by name.
type Metrics = Vec<(&'static str, Metric)>;

impl<'a> Judged<'a> {
    fn new(run: &'a Run, splits: &'a Splits, parts: Vec<Subset>, request: &'a MetricsRequest) -> Self {
        Self {
            run,
            splits,
            parts,
            request,
            evaluation: OnceCell::new(),
            codes: OnceCell::new(),
            code_use: OnceCell::new(),
        }
    }

    fn n(&self) -> usize {
        self.parts.iter().map(Subset::len).sum()
    }

    fn evaluation(&self) -> Result<&Evaluation> {
        if let Some(known) = self.evaluation.get() {
            return Ok(known);
        }
        let model = self.run.model.as_ref();
        let mut whole: Option<Evaluation> = None;
        for part in &self.parts {
            let found = evaluation::evaluate(model, part, self.request.seed, &self.run.device);
            let found = self.run.explained("eval", found)?;
            match &mut whole {
                None => whole = Some(found),
                Some(whole) => whole.append(found),
            }
        }
        Ok(self.evaluation.get_or_init(|| whole.expect("some examples")))
    }

    fn codes(&self) -> Result<&Codes> {
        if let Some(known) = self.codes.get() {
            return Ok(known);
        }
        let mut whole: Option<Codes> = None;
        for part in &self.parts {
            let found = evaluation::encode(self.run.model.as_ref(), part, &self.run.device);
            let found = self.run.explained("eval", found)?;
            match &mut whole {
                None => whole = Some(found),
                Some(whole) => whole.append(found),
            }
        }
        Ok(self.codes.get_or_init(|| whole.expect("some examples")))
    }

    /// The terms of the examples of each class that there are any of.
    fn by_class(&self) -> Result<Vec<ClassTerms>> {
        let evaluation = self.evaluation()?;
        let labels: Vec<Option<u32>> =
            self.parts.iter().flat_map(|part| (0..part.len()).map(|i| part.label(i))).collect();
        let names = self.run.info.data.classes.iter().enumerate();
        let terms = names.map(|(class, name)| {
            let of_class: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == Some(class as u32)).collect();
            let mean =
                |values: &[f32]| of_class.iter().map(|&i| f64::from(values[i])).sum::<f64>() / of_class.len() as f64;
            let (recon, kl) = (mean(&evaluation.recon), mean(&evaluation.kl));
            ClassTerms { class: name.clone(), n: of_class.len(), recon, kl }
        });
        Ok(terms.filter(|terms| terms.n > 0).collect())
    }

    /// Refuses numbers that are none: they would stand in a file or a table like results. A PSNR may be infinite, of what is exact.
    fn sound(&self, metrics: Metrics) -> Result<Metrics> {
        let bad = |(name, metric): &&(&'static str, Metric)| {
            !(metric.value.is_finite() || *name == "psnr" && metric.value == f64::INFINITY)
        };
        match metrics.iter().find(bad) {
            None => Ok(metrics),
            Some((name, metric)) => {
                let help = "the weights or the data are out of range, or all alike: look at `elbo data DATA`, or take another `--checkpoint`";
                Err(Error::model(self.run.dir.path(), *name, "a finite number", metric.value.to_string(), help))
            }
        }
    }

    fn terms(&self, _: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        if self.run.symbol_space().is_some() {
            return self.terms_of_symbols();
        }
        let (mut metrics, codes) = (self.evaluation()?.metrics(), self.codes()?);
        let definition = format!(
            "latent dimensions whose mean code varies by more than {} (variance) over {} images",
            evaluation::ACTIVE_THRESHOLD,
            self.n()
        );
        metrics.push(("active_units", Metric::new(codes.active_units() as f64, "dimensions", definition)));
        Ok(metrics)
    }

    /// How the examples use their codes, all parts together.
    fn code_use(&self) -> Result<&CodeUse> {
        if let Some(known) = self.code_use.get() {
            return Ok(known);
        }
        let found = rate::code_use_of(self.run.model.as_ref(), &self.parts, &self.run.device);
        let found = self.run.explained("codebook", found)?;
        Ok(self.code_use.get_or_init(|| found))
    }

    /// The terms of a model whose codes are symbols: what it is trained on, which is no bound on log p(x).
    fn terms_of_symbols(&self) -> Result<Metrics> {
        let found = self.code_use()?;
        let over = format!("mean over {} examples", found.n());
        let observe = self.run.model.observe_or_refuse()?.likelihood();
        let recon = Metric::mean_of(&found.distortion, observe.unit(), format!("{}, {over}", observe.definition()));
        let loss = Metric::new(recon.value + found.penalty, observe.unit(), "recon and the commitment to the codes");
        Ok(vec![("recon", recon), ("loss", loss)])
    }

    fn codebook(&self) -> Result<Metrics> {
        let mut metrics = self.code_use()?.metrics();
        metrics.extend(rate::revived(self.run).map(|metric| ("revived_last_epoch", metric)));
        Ok(metrics)
    }

    fn rate(&self) -> Result<Metrics> {
        rate::metrics(self.run, self.splits, &self.parts, self.code_use()?)
    }

    fn information(&self, _: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        Ok(evaluation::information(self.codes()?, self.request.seed)?.metrics().into_iter().collect())
    }

    fn reconstruction(&self, _: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        Ok(self.similarity(&self.parts)?.metrics())
    }

    fn likelihood(&self, progress: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        let MetricsRequest { k, seed, .. } = *self.request;
        let sampling = evaluation::ImportanceSampling { samples: k, seed };
        let mut whole: Option<evaluation::ImportanceWeighted> = None;
        for part in &self.parts {
            let before = whole.as_ref().map_or(0, |found| found.log_likelihood.len());
            let mut heard =
                |done| progress(MetricsProgress { group: "likelihood", done: before + done, total: self.n() });
            let run = self.run;
            let found = evaluation::importance_weighted(run.model.as_ref(), part, sampling, &run.device, &mut heard);
            let found = run.explained("nll_iw", found)?;
            match &mut whole {
                None => whole = Some(found),
                Some(whole) => whole.append(found),
            }
        }
        Ok(whole.map(|found| found.metrics().into_iter().collect()).unwrap_or_default())
    }

    fn similarity(&self, parts: &[Subset]) -> Result<Similarity> {
        let mut whole = Similarity::default();
        for (i, part) in parts.iter().enumerate() {
            let found = evaluation::similarity(self.run.model.as_ref(), part, &self.run.device);
            let found = self.run.explained("eval", found)?;
            if i == 0 { whole = found } else { whole.append(found) }
        }
        Ok(whole)
    }

    fn generation(&self, _: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        let wanted = |metric: &str| self.request.tells(metric, group_named("generation"));
        let (run, MetricsRequest { samples, sampler, features, seed, .. }) = (self.run, self.request);
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
            return Err(Error::config("samples", expected, found, "10000 of each is usual"));
        }
        if run.symbol_space().is_some() {
            let (made, source) = self.drawn_from_symbols()?;
            let made = space.of_values(&made.pixels, run.shape.numel(), &run.device);
            return evaluation::generation_metrics(&points, &made, &space, &source, &wanted);
        }
        let (fitted, _) = run.sampler(sampler, FitSettings { codes: None, seed: *seed })?;
        let decoder = run.decoder("fid")?;
        // Of a conditional model, as many of each class as the data have.
        let classes = match decoder.is_conditional() {
            true => drawn_classes(&self.splits.train, *samples, *seed),
            false => Vec::new(),
        };
        let codes = fitted.sampler.sample_as(&Draw { count: *samples, seed: *seed, ..Draw::default() }, &classes);
        let made = match decoder.is_conditional() {
            true => Pictures { shape: run.shape, pixels: decoder.means_of_classes(&codes, &classes) },
            false => generation::decode(&decoder, &codes),
        };
        let made = space.of_values(&made.pixels, run.shape.numel(), &run.device);
        evaluation::generation_metrics(&points, &made, &space, &source_of(sampler), &wanted)
    }

    /// Samples of the prior over symbols that the run has, and what they are called.
    fn drawn_from_symbols(&self) -> Result<(Pictures, String)> {
        let (run, MetricsRequest { samples, seed, .. }) = (self.run, self.request);
        let Some(prior) = run.stored_symbol_prior(None)? else {
            let help = format!("`elbo train autoregressive --codes-of {}` trains one", run.dir.quoted());
            return Err(Error::config("fid", "a prior over the codes of the run", "none", help));
        };
        let ask = Ask::new(*samples, *seed);
        let symbols = generation::draw_symbols(prior.generator(), &ask, &mut |_, _| true)?.unwrap_or_default();
        let made = generation::decode_symbols(run.model.as_ref(), &symbols, ShowAs::Mean, &run.device)?;
        Ok((made, format!("the prior `{}` at temperature 1", prior.name())))
    }

    /// `class_accuracy`: whether samples of a class are taken for that class by a classifier trained on the data.
    fn conditioning(&self, _: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        let (run, MetricsRequest { samples, sampler, seed, .. }) = (self.run, self.request);
        let (samples, seed) = (*samples, *seed);
        let decoder = run.decoder("class_accuracy")?;
        let classes = run.info.data.classes.len();
        if !decoder.is_conditional() || run.columns().is_some() {
            let help = "`elbo train mnist-cvae` trains one; ask for other metrics";
            return Err(Error::config(
                "class_accuracy",
                "a conditional model of images",
                run.config.model.title(),
                help,
            ));
        }
        let (fitted, _) = run.sampler(sampler, FitSettings { codes: None, seed })?;
        let codes = fitted.sampler.sample(&Draw { count: samples, seed, ..Draw::default() });
        let made = generation::decode_in_turn(&decoder, &codes, classes);
        let classifier = classifier(run, self.splits)?;
        let taken_for = classify(&classifier, &made.pixels, run.shape.numel(), &run.device);
        let right: Vec<f64> =
            taken_for.iter().enumerate().map(|(i, &class)| f64::from(u8::from(class == i % classes))).collect();
        let definition = format!(
            "share of {samples} samples from {}, of each class in turn, that a classifier takes for their class; it is right on {:.4} of the test images",
            source_of(sampler),
            accuracy(&classifier, held_out(self.splits).1, &run.device)
        );
        Ok(vec![("class_accuracy", Metric::mean_of(&right, "share", definition))])
    }

    fn regularity(&self, _: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        let MetricsRequest { seed, .. } = *self.request;
        let (model, device) = (self.run.model.as_ref(), &self.run.device);
        let train = drawn(std::slice::from_ref(&self.splits.train), self.n(), seed);
        let gap = evaluation::recon_gap(model, &self.parts, &train[0], device);
        let probed = drawn(&self.parts, EXAMINED, seed);
        let tolerance = evaluation::noise_tolerance(model, &probed, seed, device);
        let named = |metric: Result<Metric>| self.run.explained("regularity", metric);
        Ok(vec![("recon_gap", named(gap)?), ("noise_tolerance", named(tolerance)?)])
    }

    fn embedding(&self, _: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        let train = evaluation::encode(self.run.model.as_ref(), &self.splits.train, &self.run.device);
        let train = self.run.explained("embedding", train)?;
        Ok(evaluation::embedding(&train, self.codes()?, self.request.seed)?.metrics().into_iter().collect())
    }

    fn disentanglement(&self, _: &mut dyn FnMut(MetricsProgress)) -> Result<Metrics> {
        let part = &drawn(&self.parts[..1], FACTORED, self.request.seed)[0];
        let source = part.source();
        let factors: Vec<u32> = part.indices().iter().flat_map(|&index| source.factors(index as usize)).collect();
        let codes = evaluation::encode(self.run.model.as_ref(), part, &self.run.device);
        let codes = self.run.explained("disentanglement", codes)?;
        let known = evaluation::Representation::new(&codes, source.factor_names(), factors)?;
        Ok(evaluation::disentanglement(&known, self.request.seed).metrics().into_iter().collect())
    }

    fn examine(&self) -> Result<Vec<ModelFinding>> {
        if self.run.symbol_space().is_some() {
            return Ok(evaluation::examine_codes(self.code_use()?));
        }
        // The doctor knows models around a vector code.
        if self.run.model.encode_vectors_or_refuse().is_err() || self.run.model.observe_or_refuse().is_err() {
            return Ok(Vec::new());
        }
        let few = drawn(&self.parts, EXAMINED, self.request.seed);
        let pictures = self.parts[0].source().domain() != Domain::Real;
        let similarity = if pictures { Some(self.similarity(&few)?) } else { None };
        // What cannot be read is told by those who need it.
        let history = self.run.state().map(|state| state.history).unwrap_or_default();
        Ok(evaluation::examine(&Patient {
            evaluation: self.evaluation()?,
            codes: self.codes()?,
            similarity: similarity.as_ref(),
            objective: &self.run.config.loss,
            history: &history,
        }))
    }
}

/// The group of this name.
fn group_named(name: &str) -> &'static Group {
    GROUPS.iter().find(|group| group.name == name).expect("a group of the table")
}

/// Where the codes of a sampler come from, in words.
fn source_of(sampler: &SamplerKind) -> String {
    match sampler {
        SamplerKind::Normal => "N(0, I)".to_owned(),
        kind => format!("the sampler `{kind}`, fitted to the training codes"),
    }
}

/// Classes of `count` examples drawn from a split.
fn drawn_classes(split: &Subset, count: usize, seed: u64) -> Vec<u32> {
    let draws = &mut Draws::new(seed, Purpose::Choice, 7, 0);
    (0..count).map(|_| split.label(draws.below(split.len() as u32) as usize).unwrap_or(0)).collect()
}

/// At most `count` examples of all parts, chosen at random from `seed`, of each class its share, in their order. Empty parts are left out.
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::{Subset, digits};
/// use elbo::tasks::limited;
///
/// let all = Subset::all(Arc::new(digits::generate(0, 30)));
/// assert_eq!(limited(&[all.clone()], 7, 0)[0].len(), 7);
/// assert_eq!(limited(&[all], 100, 0)[0].len(), 30);
/// ```
pub fn limited(parts: &[Subset], count: usize, seed: u64) -> Vec<Subset> {
    let classes: Vec<Option<u32>> = parts.iter().flat_map(data::labels).collect();
    at_places(parts, &data::stratified(&classes, count, seed))
}

/// At most `count` examples of all parts, drawn from `seed` whatever their class, in random order.
fn shuffled(parts: &[Subset], count: usize, seed: u64) -> Vec<Subset> {
    at_places(parts, &drawn_places(parts, count, seed))
}

/// The same in their order: what metrics look at beside the examples that they are of.
fn drawn(parts: &[Subset], count: usize, seed: u64) -> Vec<Subset> {
    let mut places = drawn_places(parts, count, seed);
    places.sort_unstable();
    at_places(parts, &places)
}

fn drawn_places(parts: &[Subset], count: usize, seed: u64) -> Vec<u32> {
    let total: usize = parts.iter().map(Subset::len).sum();
    let mut places = Draws::new(seed, Purpose::Choice, 6, 0).permutation(total as u32);
    places.truncate(count);
    places
}

/// The examples at places of all parts, one after another, in the order given.
fn at_places(parts: &[Subset], places: &[u32]) -> Vec<Subset> {
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
        let request = |names: &[&str]| MetricsRequest {
            metrics: names.iter().map(|name| (*name).to_owned()).collect(),
            ..MetricsRequest::default()
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

//! Anomaly scores of examples by a saved run: which scores it has, where their thresholds come from, and how well they tell.

use super::reading::OwnData;
use super::run::Run;
use crate::data::{Splits, Subset, check_labels};
use crate::distributions::Likelihood;
use crate::error::{Error, Result};
use crate::evaluation::{self, Mahalanobis, Ranking, Threshold};
use crate::models::Capability;
use crate::suggest::did_you_mean;

/// An anomaly score; higher is stranger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Score {
    /// The negative ELBO, `recon + kl`.
    NegElbo,
    /// The importance-weighted estimate of `-log p(x)`.
    NllIw,
    /// The reconstruction error at the mean code.
    Recon,
    /// Distance of the mean code from those of the training data.
    Mahalanobis,
    /// Distance of the negative ELBO from what is usual.
    Typicality,
    /// `-log p(k)` of the codes, symbols, under the prior in the run.
    Rate,
}

impl Score {
    /// All scores, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::NegElbo, Self::NllIw, Self::Recon, Self::Mahalanobis, Self::Typicality, Self::Rate];

    /// The name that `--by` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::NegElbo => "neg-elbo",
            Self::NllIw => "nll-iw",
            Self::Recon => "recon",
            Self::Mahalanobis => "mahalanobis",
            Self::Typicality => "typicality",
            Self::Rate => "rate",
        }
    }

    /// The scores that a run's model has, best first choice first: an autoencoder has no density of x, a surrogate loss bounds none.
    pub fn of(run: &Run) -> Vec<Self> {
        let Ok(observe) = run.model.observe_or_refuse() else { return Vec::new() };
        let likelihood = observe.likelihood();
        let bound = run.model.bound().is_some() && !likelihood.is_surrogate();
        let has = |score: &Self| match score {
            Self::NegElbo | Self::Typicality => bound,
            Self::NllIw => bound && likelihood.is_distribution(),
            Self::Recon => run.model.encoder().is_some(),
            Self::Mahalanobis => run.latent() > 0,
            Self::Rate => run.stored_symbol_prior(None).is_ok_and(|prior| prior.is_some()),
        };
        Self::ALL.into_iter().filter(has).collect()
    }

    /// What helps where a model does not have it.
    fn help(self, run: &Run) -> String {
        match self {
            Self::Rate if run.symbol_space().is_some() => {
                let run = run.dir.quoted();
                format!("`elbo train autoregressive --codes-of {run}` trains the prior that rates its codes")
            }
            Self::Rate => {
                "a rate is that of codes that are symbols: train `mnist-vq` or another recipe of `vq-vae`".into()
            }
            _ => "an autoencoder gives no density of x, and squared errors or a surrogate are no likelihood".into(),
        }
    }

    /// The scores of these names; the first that the model has for no name, every one for `all`.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is no score, or a score that this model does not have.
    pub fn chosen(names: &[String], run: &Run) -> Result<Vec<Self>> {
        let there = Self::of(run);
        let list = |scores: &[Self]| scores.iter().map(|score| score.name()).collect::<Vec<_>>().join(", ");
        if there.is_empty() {
            return run.explained("score", Err(run.model.refusal(Capability::Observe)));
        }
        if names.is_empty() {
            return Ok(there[..1].to_vec());
        }
        let mut chosen = Vec::new();
        for name in names {
            if name == "all" {
                chosen.extend(&there);
                continue;
            }
            let found = format!("`{name}`");
            let Some(score) = Self::ALL.into_iter().find(|score| score.name() == name) else {
                let help = match did_you_mean(name, Self::ALL.map(Self::name)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "`elbo score --help` says what each is".into(),
                };
                return Err(Error::config("by", format!("some of {}, or all", list(&Self::ALL)), found, help));
            };
            if !there.contains(&score) {
                let model = run.config.describe(run.shape.dims());
                let expected = format!("a score that this model has ({model}): {}", list(&there));
                return Err(Error::config("by", expected, found, score.help(run)));
            }
            chosen.push(score);
        }
        let mut seen = Vec::new();
        chosen.retain(|score| {
            !seen.contains(score) && {
                seen.push(*score);
                true
            }
        });
        Ok(chosen)
    }
}

/// What is to be scored, and how.
#[derive(Debug, Clone)]
pub struct ScoreRequest {
    /// By what; at least one.
    pub by: Vec<Score>,
    /// Samples of each posterior behind [`Score::NllIw`].
    pub k: usize,
    /// Share of normal examples that may be flagged, between 0 and 1.
    pub false_alarm: f64,
    /// Names of the normal classes; empty where that is not known.
    pub normal: Vec<String>,
    /// Of all draws.
    pub seed: u64,
}

/// The examples that are scored: those of `parts`, then those of `anomalies`.
#[derive(Debug, Clone, Copy)]
pub struct Examined<'a> {
    /// Normal examples and anomalies, told apart by [`ScoreRequest::normal`] where that names classes.
    pub parts: &'a [Subset],
    /// All of them are anomalies; may be empty.
    pub anomalies: &'a [Subset],
}

/// The scores of many examples.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Scored {
    /// One for each of [`ScoreRequest::by`].
    pub columns: Vec<ScoreColumn>,
    /// Whether each example is an anomaly, where that is known.
    pub anomalous: Vec<Option<bool>>,
    /// Split of the run's own data that thresholds come from; none where it held none back.
    pub reference: Option<&'static str>,
}

/// One score of many examples.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScoreColumn {
    /// Which score it is.
    pub score: Score,
    /// Of each example.
    pub values: Vec<f64>,
    /// Unit of the values.
    pub unit: String,
    /// How it is computed.
    pub definition: String,
    /// From the validation split; none where that has too few examples for the rate.
    pub threshold: Option<Threshold>,
    /// How well it tells, where examples of both kinds are known.
    pub ranking: Option<Ranking>,
}

impl ScoreColumn {
    /// How many examples with this truth the threshold flags, and of how many; none without a threshold.
    pub fn flagged(&self, anomalous: &[Option<bool>], kind: Option<bool>) -> Option<(usize, usize)> {
        let threshold = self.threshold?;
        let of_kind = self.values.iter().zip(anomalous).filter(|(_, truth)| kind.is_none() || **truth == kind);
        let flags: Vec<bool> = of_kind.map(|(value, _)| threshold.flags(*value)).collect();
        Some((flags.iter().filter(|flag| **flag).count(), flags.len()))
    }
}

/// Scores the examples of [`Examined::parts`], then those of [`Examined::anomalies`]. Thresholds and what is usual come from the run's own data, `own`.
///
/// An example of `parts` is an anomaly if its class is none of [`ScoreRequest::normal`]. Where no classes are named it is normal if there are `anomalies` to
/// compare with, else unknown.
///
/// # Errors
/// [`Error::Config`] for a rate outside of 0 to 1, unknown classes, no scores, or what cannot be computed; [`Error::Model`] for scores that are not finite.
///
/// # Panics
/// If the examples do not fit the model.
///
/// ```
/// # use elbo::tasks::{TrainingRun, Run};
/// # use elbo::recipe::Layers;
/// # use elbo::training::{Quiet, Stop};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut layers = Layers::from_recipe("digits")?;
/// # for setting in ["data.count=600", "data.labels=[3]", "training.epochs=1", "network.hidden=[32]"] {
/// #     layers.set(setting)?;
/// # }
/// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
/// # let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// # training.train(&mut Quiet, &Stop::new())?;
/// use elbo::tasks::{Examined, Score, ScoreRequest, score};
///
/// let run = Run::open(&path, None, &device)?; // trained with `data.labels = ["3"]`
/// let own = run.open_own()?;
/// let by = vec![Score::NegElbo, Score::Mahalanobis];
/// let request = ScoreRequest { by, k: 100, false_alarm: 0.2, normal: vec!["3".into()], seed: 0 };
/// let examined = Examined { parts: &[own.complete.test.clone()], anomalies: &[] };
/// let scored = score(&run, &own, examined, &request, &mut |_, _| {})?;
/// let ranking = scored.columns[0].ranking.unwrap();
/// assert_eq!(ranking.normal, own.chosen.test.len());
/// println!("AUROC {:.3} +- {:.3}", ranking.auroc, ranking.auroc_stderr);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn score(
    run: &Run,
    own: &OwnData,
    examined: Examined<'_>,
    request: &ScoreRequest,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scored> {
    let Examined { parts, anomalies } = examined;
    request.check(parts)?;
    let scorer = Scorer::new(run, &own.chosen, request)?;
    let everything: Vec<&Subset> = parts.iter().chain(anomalies).filter(|part| !part.is_empty()).collect();
    let total = everything.iter().map(|part| part.len()).sum();
    let mut values = vec![Vec::with_capacity(total); request.by.len()];
    for part in everything {
        let before = values[0].len();
        let found = scorer.scores(part, &mut |done| progress(before + done, total))?;
        values.iter_mut().zip(found).for_each(|(all, further)| all.extend(further));
    }
    let anomalous = truth(parts, anomalies, &request.normal);
    let reference = own.chosen.validation.as_ref();
    let normal = reference.map(|part| scorer.scores(part, &mut |_| {})).transpose()?;
    let columns = request.by.iter().zip(values).enumerate().map(|(i, (&score, values))| ScoreColumn {
        score,
        unit: scorer.unit(score),
        definition: scorer.definition(score),
        threshold: normal.as_ref().and_then(|normal| Threshold::at(&normal[i], request.false_alarm)),
        ranking: ranked(&values, &anomalous, request.seed),
        values,
    });
    let reference = reference.map(|_| if own.chosen.validation_is_test { "test" } else { "validation" });
    Ok(Scored { columns: columns.collect(), anomalous, reference })
}

impl ScoreRequest {
    fn check(&self, parts: &[Subset]) -> Result<()> {
        if self.by.is_empty() {
            return Err(Error::config("by", "at least one score", "none", "leave it out for the usual one"));
        }
        if !(self.false_alarm > 0.0 && self.false_alarm < 1.0) {
            let found = self.false_alarm.to_string();
            let help = "0.05 flags about one normal example in twenty";
            return Err(Error::config("false_alarm", "a share between 0 and 1", found, help));
        }
        match parts.first() {
            Some(part) if !self.normal.is_empty() => check_labels("normal", &self.normal, part),
            _ => Ok(()),
        }
    }
}

/// Whether each example is an anomaly, where that is known.
fn truth(parts: &[Subset], anomalies: &[Subset], normal: &[String]) -> Vec<Option<bool>> {
    let unnamed = (!anomalies.is_empty()).then_some(false);
    let of_class = |class: Option<&str>| match normal {
        [] => unnamed,
        _ => class.map(|class| !normal.iter().any(|name| name == class)),
    };
    let examined = parts.iter().flat_map(|part| (0..part.len()).map(move |i| of_class(part.class(i))));
    let strange = anomalies.iter().map(Subset::len).sum();
    examined.chain(std::iter::repeat_n(Some(true), strange)).collect()
}

/// Over the examples whose kind is known.
fn ranked(values: &[f64], anomalous: &[Option<bool>], seed: u64) -> Option<Ranking> {
    let known = values.iter().zip(anomalous).filter_map(|(value, truth)| Some((*value, (*truth)?)));
    let (values, anomalous): (Vec<f64>, Vec<bool>) = known.unzip();
    evaluation::ranking(&values, &anomalous, seed)
}

/// A run with what its scores need of its own data.
struct Scorer<'a> {
    run: &'a Run,
    request: &'a ScoreRequest,
    codes: Option<Mahalanobis>,
    trained_on: usize,
    usual: Option<Usual>,
}

/// What the negative ELBO of normal examples is.
struct Usual {
    mean: f64,
    split: &'static str,
    n: usize,
}

impl<'a> Scorer<'a> {
    fn new(run: &'a Run, splits: &Splits, request: &'a ScoreRequest) -> Result<Self> {
        let wants = |score: Score| request.by.contains(&score);
        let mut scorer = Self { run, request, codes: None, trained_on: splits.train.len(), usual: None };
        if wants(Score::Mahalanobis) {
            let codes = evaluation::encode(run.model.as_ref(), &splits.train, &run.device)?;
            scorer.codes = Some(Mahalanobis::fit(&codes)?);
        }
        if wants(Score::Typicality) {
            let (split, part) = match &splits.validation {
                Some(validation) => ("validation", validation),
                None => ("training", &splits.train),
            };
            let values = scorer.negative_elbo(part)?;
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            scorer.usual = Some(Usual { mean, split, n: values.len() });
        }
        Ok(scorer)
    }

    /// Each score of each example of a part.
    fn scores(&self, part: &Subset, progress: &mut dyn FnMut(usize)) -> Result<Vec<Vec<f64>>> {
        let mut bound: Option<Vec<f64>> = None;
        let mut negative_elbo = || -> Result<Vec<f64>> {
            match &bound {
                Some(known) => Ok(known.clone()),
                None => Ok(bound.insert(self.negative_elbo(part)?).clone()),
            }
        };
        self.request
            .by
            .iter()
            .map(|score| {
                let values = match score {
                    Score::NegElbo => negative_elbo()?,
                    Score::NllIw => self.importance_weighted(part, progress)?,
                    Score::Recon => evaluation::reconstruction_errors(self.run.model.as_ref(), part, &self.run.device)?,
                    Score::Mahalanobis => {
                        let codes = evaluation::encode(self.run.model.as_ref(), part, &self.run.device)?;
                        self.codes.as_ref().map_or_else(Vec::new, |trained| trained.distances(&codes))
                    }
                    Score::Typicality => match &self.usual {
                        Some(usual) => evaluation::typicality(&negative_elbo()?, usual.mean),
                        None => Vec::new(),
                    },
                    Score::Rate => super::rate::learned_rate(self.run, part)?,
                };
                self.finite(*score, values)
            })
            .collect()
    }

    fn negative_elbo(&self, part: &Subset) -> Result<Vec<f64>> {
        let found = evaluation::evaluate(self.run.model.as_ref(), part, self.request.seed, &self.run.device)?;
        Ok(found.recon.iter().zip(&found.kl).map(|(recon, kl)| f64::from(recon + kl)).collect())
    }

    fn importance_weighted(&self, part: &Subset, progress: &mut dyn FnMut(usize)) -> Result<Vec<f64>> {
        let run = self.run;
        let sampling = evaluation::ImportanceSampling { samples: self.request.k, seed: self.request.seed };
        let found = evaluation::importance_weighted(run.model.as_ref(), part, sampling, &run.device, progress)?;
        Ok(found.log_likelihood.into_iter().map(|value| -value).collect())
    }

    /// Refuses what no threshold can be compared with.
    fn finite(&self, score: Score, values: Vec<f64>) -> Result<Vec<f64>> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(place) => {
                let found = format!("{} at example {place}", values[place]);
                let help =
                    "the model gives no finite numbers here: look at `elbo eval RUN`, or score by something else";
                Err(Error::model(self.run.dir.path(), score.name(), "finite scores", found, help))
            }
        }
    }

    fn likelihood(&self) -> Option<Likelihood> {
        self.run.model.observe_or_refuse().ok().map(|observe| observe.likelihood())
    }

    fn unit(&self, score: Score) -> String {
        match score {
            Score::NllIw => "nats per example".into(),
            Score::Mahalanobis => "standard deviations of the codes".into(),
            Score::Rate => "nats per example".into(),
            _ => self.likelihood().map_or("nats per example", |likelihood| likelihood.unit()).into(),
        }
    }

    fn definition(&self, score: Score) -> String {
        let likelihood = self.likelihood().map_or_else(String::new, |likelihood| likelihood.definition());
        let values = self.run.shape.numel();
        match score {
            Score::NegElbo => {
                format!("recon + kl with one sample of q(z|x); recon is {likelihood}, summed over {values} values")
            }
            Score::NllIw => {
                format!("-ln 1/k sum_i p(x|z_i) p(z_i) / q(z_i|x), z_i ~ q(z|x), k = {}", self.request.k)
            }
            Score::Recon => format!("{likelihood}, with z = the mean code, summed over {values} values"),
            Score::Mahalanobis => format!(
                "sqrt((z - m)^T C^-1 (z - m)) of the mean code z, m and C the mean and covariance of those of {} training examples, in {} directions that vary",
                self.trained_on,
                self.codes.as_ref().map_or(0, Mahalanobis::directions)
            ),
            Score::Rate => "-ln p(k) of the codes under the prior in the run, which is not told the class".into(),
            Score::Typicality => {
                let Some(Usual { mean, split, n }) = &self.usual else { return String::new() };
                format!("|recon + kl - {mean:.3}|, the mean over {n} {split} examples (Nalisnick et al. 2019)")
            }
        }
    }
}

//! What commonly goes wrong with a variational autoencoder, found in its numbers, each with the setting that cures it.

use serde::Serialize;

use super::codes::Codes;
use super::elbo::Evaluation;
use super::similarity::Similarity;
use crate::models::ObjectiveConfig;
use crate::run::history::EpochRecord;

/// Something wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelFinding {
    /// What was found, with its numbers.
    pub finding: String,
    /// A flag of `elbo train` that helps, and why.
    pub cure: String,
}

/// What the doctor looks at.
#[derive(Debug, Clone, Copy)]
pub struct Patient<'a> {
    /// Loss terms of a split.
    pub evaluation: &'a Evaluation,
    /// Codes of the same split.
    pub codes: &'a Codes,
    /// Reconstructions of (some of) it.
    pub similarity: Option<&'a Similarity>,
    /// The `[loss]` table of the run.
    pub objective: &'a ObjectiveConfig,
    /// The records of the epochs that are trained.
    pub history: &'a [EpochRecord],
}

/// Nats of KL below which a code says next to nothing of its example.
const SILENT: f64 = 0.5;
/// Share of a maximum that the KL of training has fallen to when something pushed it down.
const FALLEN: f64 = 0.5;
/// Posterior standard deviation below which a code is a point: 1/400 of the prior's.
const POINT_LOG_VAR: f64 = -12.0;
/// Log variance that no posterior needs: three times the prior's deviation.
const WIDE_LOG_VAR: f64 = 2.2;
/// Share of the images' edge energy below which reconstructions are blurred more than a VAE's usually are: healthy ones keep 40 to 60 %.
const BLURRED: f64 = 0.25;
/// Distance of the mean of a dimension's codes from 0 beyond which N(0, 1) hardly meets them.
const OFF_CENTRE: f64 = 0.75;
/// Deviations of a dimension's codes, of which N(0, 1) has 1, outside of which samples miss them.
const USUAL_DEVIATIONS: std::ops::RangeInclusive<f64> = 0.6..=1.5;
/// Codes of which the mean and deviation tell something.
const FEWEST_CODES: usize = 30;
/// Share of the training loss by which the held-out loss may exceed it.
const GAP: f64 = 0.1;

/// Looks for posterior collapse, unused dimensions, posteriors that became points or wide, codes that lie outside the prior, blurred reconstructions,
/// and overfitting.
///
/// An autoencoder has no posterior: only its reconstructions and its gap are looked at.
pub fn examine(patient: &Patient<'_>) -> Vec<ModelFinding> {
    let mut findings = Vec::new();
    if patient.codes.log_var.is_some() {
        findings.extend(collapse(patient).or_else(|| unused(patient)));
        findings.extend(falling_kl(patient));
        findings.extend(scales(patient));
        findings.extend(off_prior(patient));
    }
    findings.extend(blur(patient));
    findings.extend(overfitting(patient));
    findings
}

fn finding(finding: String, cure: impl Into<String>) -> Option<ModelFinding> {
    Some(ModelFinding { finding, cure: cure.into() })
}

/// A setting that keeps the KL alive and is not in use yet.
fn keep_alive(objective: &ObjectiveConfig) -> String {
    match objective {
        ObjectiveConfig { capacity: Some(c), .. } => {
            format!("--set loss.capacity.target={} (a KL of more nats is then asked for)", 2.0 * c.target.max(1.0))
        }
        ObjectiveConfig { beta, .. } if *beta > 1.0 => {
            format!("--set loss.beta={} (the KL term outweighs what the code could say)", short(beta / 2.0))
        }
        ObjectiveConfig { warmup_epochs, cycle_epochs, .. } if *warmup_epochs == 0.0 && *cycle_epochs == 0.0 => {
            "--set loss.warmup_epochs=10 (the decoder learns to use the code before it costs)".into()
        }
        ObjectiveConfig { free_bits: 0.0, .. } => {
            "--set loss.free_bits=0.1 (the first 0.1 nats of each dimension are free)".into()
        }
        ObjectiveConfig { beta, .. } => format!("--set loss.beta={} (less weight on the KL term)", short(beta / 2.0)),
    }
}

fn collapse(patient: &Patient<'_>) -> Option<ModelFinding> {
    let kl = patient.evaluation.terms().get("kl")?;
    let active = patient.codes.active_units();
    (active == 0 || kl < SILENT).then_some(())?;
    let latent = patient.codes.latent;
    let text = format!("posterior collapse: {active} of {latent} latent dimensions are active, the KL is {kl:.2} nats");
    finding(text, keep_alive(patient.objective))
}

fn unused(patient: &Patient<'_>) -> Option<ModelFinding> {
    let (active, latent) = (patient.codes.active_units(), patient.codes.latent);
    (active < latent).then_some(())?;
    let idle: Vec<String> = patient.evaluation.kl_per_dim.iter().map(|kl| format!("{kl:.2}")).collect();
    let shown = match idle.len() {
        0..=32 => format!("; KL of each in nats: {}", idle.join(" ")),
        _ => String::new(),
    };
    let text = format!("{} of {latent} latent dimensions are inactive{shown}", latent - active);
    finding(text, format!("--set model.latent={active} (they cost little; {})", keep_alive(patient.objective)))
}

fn falling_kl(patient: &Patient<'_>) -> Option<ModelFinding> {
    // Under a schedule of the weight the KL falls because it is told to.
    let scheduled = patient.objective.warmup_epochs > 0.0 || patient.objective.cycle_epochs > 0.0;
    let kl = |record: &EpochRecord| record.train.get("kl");
    let last = kl(patient.history.last()?)?;
    let highest = patient.history.iter().max_by(|a, b| kl(a).unwrap_or(0.0).total_cmp(&kl(b).unwrap_or(0.0)))?;
    let most = kl(highest)?;
    let fallen = !scheduled && patient.objective.capacity.is_none() && last < FALLEN * most;
    fallen.then_some(())?;
    let text = format!("the KL fell in training from {:.2} nats in epoch {} to {last:.2} nats", most, highest.epoch);
    finding(text, keep_alive(patient.objective))
}

fn scales(patient: &Patient<'_>) -> Option<ModelFinding> {
    let log_var = patient.codes.log_var.as_ref()?;
    let share = |count: usize| count as f64 / log_var.len().max(1) as f64;
    let points = share(log_var.iter().filter(|v| f64::from(**v) < POINT_LOG_VAR).count());
    let wide = share(log_var.iter().filter(|v| f64::from(**v) > WIDE_LOG_VAR).count());
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    if points > 0.5 {
        let text = format!(
            "{} of the posteriors' log variances are below {POINT_LOG_VAR}: codes are points, as an autoencoder's",
            percent(points)
        );
        let beta = patient.objective.beta.max(0.05);
        return finding(text, format!("--set loss.beta={} (more weight on the KL term)", short(4.0 * beta)));
    }
    (wide > 0.05).then_some(())?;
    let text =
        format!("{} of the posteriors' log variances exceed {WIDE_LOG_VAR}: wider than the prior", percent(wide));
    finding(text, "--set optimizer.lr=3e-4 (the encoder's variances have run away; a smaller step holds them)")
}

/// Codes, draws of all posteriors together, that do not lie where N(0, I) draws: what it draws is then none of them.
fn off_prior(patient: &Patient<'_>) -> Option<ModelFinding> {
    let Codes { latent, .. } = *patient.codes;
    let active = patient.codes.active();
    if patient.codes.n() < FEWEST_CODES {
        return None;
    }
    let moments = patient.codes.aggregate_moments()?;
    let strange = |(mean, deviation): &(f64, f64)| mean.abs() > OFF_CENTRE || !USUAL_DEVIATIONS.contains(deviation);
    let found: Vec<usize> = (0..latent).filter(|&dim| active[dim] && strange(&moments[dim])).collect();
    let extent = |dim: &usize| moments[*dim].0.abs().max((moments[*dim].1.ln()).abs());
    let worst = *found.iter().max_by(|a, b| extent(a).total_cmp(&extent(b)))?;
    let text = format!(
        "codes lie outside N(0, I) in {} of {latent} dimensions: those of z{worst} have mean {:.2} and deviation {:.2}, so that samples from N(0, I) are none of them",
        found.len(),
        moments[worst].0,
        moments[worst].1
    );
    let beta = 2.0 * patient.objective.beta.max(0.05);
    let cure = format!(
        "--set loss.beta={} (more weight on the KL term; of this run, `elbo sample RUN --sampler gaussian`, or mixture, draws where the codes lie)",
        short(beta)
    );
    finding(text, cure)
}

fn blur(patient: &Patient<'_>) -> Option<ModelFinding> {
    let sharpness = patient.similarity?.sharpness().filter(|sharpness| *sharpness < BLURRED)?;
    let text = format!("reconstructions are blurred: {:.0} % of the images' edge energy", 100.0 * sharpness);
    let (latent, all) = (patient.codes.latent, patient.codes.active_units() == patient.codes.latent);
    match all {
        true => finding(text, format!("--set model.latent={} (every dimension is in use)", 2 * latent)),
        false => {
            let beta = patient.objective.beta / 2.0;
            finding(text, format!("--set loss.beta={} (less weight on the KL term)", short(beta)))
        }
    }
}

fn overfitting(patient: &Patient<'_>) -> Option<ModelFinding> {
    let last = patient.history.last()?;
    let (train, held) = (last.train.loss(), last.validation.as_ref()?.loss());
    // Losses of densities may be negative, where a share means nothing.
    (train > 0.0 && held > (1.0 + GAP) * train).then_some(())?;
    let text = format!("overfitting: the loss is {train:.2} in training and {held:.2} in validation");
    finding(text, "--set early_stopping.patience=5 (stops where validation no longer improves, and keeps the best)")
}

/// At most three digits.
fn short(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

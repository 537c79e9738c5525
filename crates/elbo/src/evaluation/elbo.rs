//! The evidence lower bound of a split, term by term, with standard errors.

use burn::tensor::Device;

use super::metric::{Metric, known_stderr, mean};
use crate::data::batch::Batch;
use crate::data::split::Subset;
use crate::distributions::{Bits, Likelihood};
use crate::error::Result;
use crate::models::{Bound, Model, Objective, ObjectiveConfig, Terms};
use crate::networks::Pass;
use crate::random::{Draws, Purpose};
use crate::run::history::{LOSS, Means};
use crate::space::Domain;
use crate::tensors::values_of;

/// The terms of every example of a split.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// `recon` of each example.
    pub recon: Vec<f32>,
    /// `kl` of each example; zeros for an autoencoder.
    pub kl: Vec<f32>,
    /// The bound of each example that is minimised in place of their sum; empty for models without one of their own.
    pub bound: Vec<f32>,
    /// Mean KL of each latent dimension, in nats; empty for an autoencoder.
    pub kl_per_dim: Vec<f64>,
    objective: Objective,
    likelihood: Likelihood,
    /// The learned scale of the likelihood.
    scale: Option<f64>,
    domain: Domain,
    dims: usize,
}

/// Evaluates `model` on `split` with one posterior sample an example, drawn from `seed`. The data's order does not matter to the
/// draws of other seeds, and equal seeds give equal numbers.
///
/// # Panics
/// If the split is empty or its images do not fit the model.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// use elbo::evaluation::evaluate;
/// use elbo::models::ObjectiveConfig;
///
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// let vae = vae.with_objective(ObjectiveConfig { beta: 4.0, ..Default::default() });
/// let terms = evaluate(&vae, &data.test, 0, &device)?.terms();
/// let [recon, kl] = ["recon", "kl"].map(|name| terms.get(name).unwrap());
/// assert!((terms.loss() - (recon + 4.0 * kl)).abs() < 1e-9);
/// assert_eq!(terms.elbo(), Some(-(recon + kl)));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn evaluate(model: &dyn Model, split: &Subset, seed: u64, device: &Device) -> Result<Evaluation> {
    evaluate_while(model, split, seed, device, &|| Ok(()))
}

/// [`evaluate`], asking before each batch whether to go on.
pub(crate) fn evaluate_while(
    model: &dyn Model,
    split: &Subset,
    seed: u64,
    device: &Device,
    go_on: &dyn Fn() -> Result<()>,
) -> Result<Evaluation> {
    assert!(!split.is_empty(), "an empty split has no mean");
    let observe = model.observe_or_refuse()?;
    let mut evaluation = Evaluation {
        recon: Vec::with_capacity(split.len()),
        kl: Vec::with_capacity(split.len()),
        bound: Vec::new(),
        kl_per_dim: Vec::new(),
        objective: model.bound().map_or_else(ObjectiveConfig::default, Bound::objective).target(),
        likelihood: observe.likelihood(),
        scale: observe.scale(),
        domain: split.source().domain(),
        dims: model.space().numel(),
    };
    let places: Vec<u32> = (0..split.len() as u32).collect();
    for (i, chosen) in places.chunks(model.examples_at_once()).enumerate() {
        go_on()?;
        let batch = Batch::of_split(split, chosen, model.needs(), device);
        match model.bound() {
            Some(bound) => {
                let pass = Pass::judging(Draws::new(seed, Purpose::EvaluationNoise, 0, i as u64));
                evaluation.add_terms(bound.terms(&batch, &pass));
            }
            // An autoencoder, which bounds nothing: what became of its examples.
            None => {
                let codes = model.encode_or_refuse()?.encode(&batch).into_codes();
                let recon = observe.recon(&codes, &batch.given, batch.x.real());
                evaluation.recon.extend(values_of(recon));
                evaluation.kl.resize(evaluation.recon.len(), 0.0);
            }
        }
    }
    evaluation.kl_per_dim.iter_mut().for_each(|sum| *sum /= split.len() as f64);
    Ok(evaluation)
}

impl Evaluation {
    /// Takes in the terms of a batch; `kl_per_dim` holds sums meanwhile.
    fn add_terms(&mut self, terms: Terms) {
        let [_, latent] = terms.kl.dims();
        self.recon.extend(values_of(terms.recon));
        self.bound.extend(terms.bound.map(values_of).unwrap_or_default());
        self.kl_per_dim.resize(latent, 0.0);
        for row in values_of(terms.kl).chunks_exact(latent) {
            self.kl.push(row.iter().sum());
            self.kl_per_dim.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }

    /// Adds what the same model made of further examples.
    pub fn append(&mut self, further: Self) {
        let share = further.n() as f64 / (self.n() + further.n()) as f64;
        for (mean, other) in self.kl_per_dim.iter_mut().zip(&further.kl_per_dim) {
            *mean += share * (other - *mean);
        }
        self.recon.extend(further.recon);
        self.kl.extend(further.kl);
        self.bound.extend(further.bound);
    }

    /// Number of examples.
    pub fn n(&self) -> usize {
        self.recon.len()
    }

    /// Means over the split. `loss` weights the KL as training's final step would.
    pub fn terms(&self) -> Means {
        let (recon, kl) = (mean(&widened(&self.recon)), mean(&widened(&self.kl)));
        let Objective { beta, free_bits, capacity } = self.objective;
        let weighted = match capacity {
            _ if self.kl_per_dim.is_empty() => 0.0,
            Some((gamma, target)) => gamma * (kl - target).abs(),
            None if free_bits > 0.0 => beta * self.kl_per_dim.iter().map(|k| k.max(free_bits)).sum::<f64>(),
            None => beta * kl,
        };
        let loss = if self.bound.is_empty() { recon + weighted } else { mean(&widened(&self.bound)) };
        Means::of([("recon", recon), ("kl", kl), (LOSS, loss)])
    }

    /// Named metrics: `recon`, `kl`, `loss`, `elbo` and, where the likelihood has one, `bits_per_dim`.
    pub fn metrics(&self) -> Vec<(&'static str, Metric)> {
        let terms = self.terms();
        let [recon_mean, kl_mean, loss] = ["recon", "kl", LOSS].map(|name| terms.get(name).expect("its own names"));
        let elbo = -(recon_mean + kl_mean);
        let (dims, latent) = (self.dims, self.kl_per_dim.len());
        let unit = self.likelihood.unit();
        let over = format!("summed over {dims} values, mean over {} examples", self.n());
        let sum: Vec<f32> = self.recon.iter().zip(&self.kl).map(|(r, k)| r + k).collect();
        let stderr = |values: &[f32]| known_stderr(&widened(values));
        let metric =
            |value, stderr, unit: &str, definition: String| Metric { stderr, ..Metric::new(value, unit, definition) };
        let scale = self.scale.map_or(String::new(), |scale| format!(" ({scale:.4})"));
        let recon = format!("{}{scale}, {over}", self.likelihood.definition());
        let kl = match latent {
            0 => "0: an autoencoder has no KL term".into(),
            _ => format!(
                "KL(q(z|x) || N(0, I)), summed over {latent} latent dimensions, mean over {} examples",
                self.n()
            ),
        };
        let mut metrics = vec![
            ("recon", metric(recon_mean, stderr(&self.recon), unit, recon)),
            ("kl", metric(kl_mean, stderr(&self.kl), "nats per example", kl)),
            ("loss", metric(loss, self.loss_stderr(&sum), unit, format!("{}, {over}", self.loss_definition()))),
        ];
        // What is made of a surrogate bounds nothing, and neither does an autoencoder.
        if !self.likelihood.is_surrogate() && latent > 0 {
            let definition = format!("-(recon + kl), higher is better, {over}");
            metrics.push(("elbo", metric(elbo, stderr(&sum), unit, definition)));
        }
        // An autoencoder has no distribution of codes, so no code length either.
        if let Some(Bits { offset, definition }) = self.likelihood.bits(self.domain).filter(|_| latent > 0) {
            let per_nat = 1.0 / (dims as f64 * std::f64::consts::LN_2);
            let value = -elbo * per_nat + offset;
            let definition = format!("{definition}, mean over {} examples", self.n());
            metrics.push((
                "bits_per_dim",
                metric(value, stderr(&sum).map(|error| error * per_nat), "bits per dimension", definition),
            ));
        }
        metrics
    }

    fn loss_definition(&self) -> String {
        match (self.objective.capacity, self.objective.free_bits > 0.0) {
            _ if !self.bound.is_empty() => {
                "-L_k, the importance-weighted bound of the samples it was trained with".into()
            }
            _ if self.kl_per_dim.is_empty() => "recon".into(),
            (Some((gamma, target)), _) => format!("recon + {gamma} |kl - {target}|"),
            (None, true) => {
                format!("recon + {} sum_j max({}, KL_j)", self.objective.beta, self.objective.free_bits)
            }
            (None, false) => format!("recon + {} kl", self.objective.beta),
        }
    }

    /// Known only where the loss is a mean over examples.
    fn loss_stderr(&self, sum: &[f32]) -> Option<f64> {
        if !self.bound.is_empty() {
            return known_stderr(&widened(&self.bound));
        }
        let Objective { beta, free_bits, capacity } = self.objective;
        let plain = capacity.is_none() && free_bits == 0.0;
        let weighted: Vec<f32> = sum.iter().zip(&self.kl).map(|(s, k)| s + (beta as f32 - 1.0) * k).collect();
        known_stderr(&widened(&weighted)).filter(|_| plain || self.kl_per_dim.is_empty())
    }
}

/// In float64, as all means are.
fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributions::Link;

    fn evaluation(objective: Objective, likelihood: Likelihood) -> Evaluation {
        Evaluation {
            recon: vec![1.0, 3.0],
            kl: vec![2.0, 4.0],
            bound: Vec::new(),
            kl_per_dim: vec![0.5, 2.5],
            objective,
            likelihood,
            scale: None,
            domain: Domain::Levels,
            dims: 4,
        }
    }

    fn value(evaluation: &Evaluation, name: &str) -> Option<f64> {
        evaluation.metrics().into_iter().find(|(n, _)| *n == name).map(|(_, m)| m.value)
    }

    #[test]
    fn losses_follow_their_objective() {
        let plain = Objective { beta: 2.0, free_bits: 0.0, capacity: None };
        let free = Objective { free_bits: 1.0, ..plain };
        let capacity = Objective { capacity: Some((10.0, 5.0)), ..plain };
        for (objective, loss) in [(plain, 2.0 + 6.0), (free, 2.0 + 2.0 * 3.5), (capacity, 2.0 + 20.0)] {
            let evaluation = evaluation(objective, Likelihood::Bernoulli);
            assert_eq!(value(&evaluation, "loss"), Some(loss));
            assert_eq!(value(&evaluation, "elbo"), Some(-5.0));
        }
    }

    #[test]
    fn bits_are_nats_over_ln_2_and_absent_for_squared_errors() {
        let plain = Objective { beta: 1.0, free_bits: 0.0, capacity: None };
        let bits = |likelihood| value(&evaluation(plain, likelihood), "bits_per_dim");
        assert!((bits(Likelihood::Bernoulli).unwrap() - 5.0 / 4.0 / std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!(bits(Likelihood::Sse { link: Link::Sigmoid }), None);
    }

    #[test]
    fn a_density_of_bytes_is_read_off_at_256_levels_and_a_surrogate_has_no_bound() {
        let plain = Objective { beta: 1.0, free_bits: 0.0, capacity: None };
        let mut density = evaluation(plain, Likelihood::GaussianShared { link: Link::Sigmoid });
        let bits = value(&density, "bits_per_dim").unwrap();
        density.domain = Domain::Unit;
        assert_eq!(bits, value(&density, "bits_per_dim").unwrap() + 8.0);
        density.kl_per_dim.clear();
        assert_eq!(value(&density, "bits_per_dim"), None, "an autoencoder");
        let surrogate = evaluation(plain, Likelihood::Edge { shape: [1, 2, 2], weight: 1.0 });
        assert!(value(&surrogate, "elbo").is_none() && value(&surrogate, "bits_per_dim").is_none());
        assert_eq!((value(&surrogate, "loss"), value(&surrogate, "kl")), (Some(5.0), Some(3.0)));
    }

    #[test]
    fn standard_error_of_two_values() {
        assert!((known_stderr(&[1.0, 3.0]).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(known_stderr(&[1.0]), None, "one value says nothing about others");
    }
}

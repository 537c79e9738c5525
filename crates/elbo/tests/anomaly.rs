//! Anomaly scores: rankings and distances against scikit-learn and SciPy (`fixtures/anomaly`), densities against each other under the same noise.

#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use elbo::data::batch::{Batch, batch};
use elbo::data::{Subset, digits};
use elbo::distributions::{Likelihood, Link};
use elbo::evaluation::{Codes, ImportanceSampling, Mahalanobis, importance_weighted, ranking, reconstruction_errors};
use elbo::models::{Architecture, Bound, Encode, Model, Vae};
use elbo::networks::{NetworkConfig, Pass, When};
use elbo::random::{Draws, Purpose};
use elbo::tensors::values_of;
use fixture::{count, list, number, numbers, read, text};
use serde_json::Value;

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64, place: &str) {
    assert!((found - expected).abs() <= tolerance * (1.0 + expected.abs()), "{place}: {found} is not {expected}");
}

#[test]
fn rankings_are_those_of_scikit_learn() {
    let cases = read("anomaly/cases.json");
    for case in list(&cases["rankings"]) {
        let name = text(&case["name"]);
        let anomalous: Vec<bool> = list(&case["anomalous"]).iter().map(|truth| truth.as_bool().unwrap()).collect();
        let found = ranking(&numbers(&case["scores"]), &anomalous, 0).unwrap();
        near(found.auroc, number(&case["auroc"]), 1e-9, name);
        // Of fewer than ten of a kind, or without overlap, Wilson's interval may be wider than DeLong's.
        let (delong, fewest) = (number(&case["stderr"]), found.normal.min(found.anomalies));
        match fewest < 10 || delong == 0.0 {
            true => assert!(found.auroc_stderr >= delong && found.auroc_stderr > 0.0, "{name}: {found:?}"),
            false => near(found.auroc_stderr, delong, 1e-9, name),
        }
        near(found.average_precision, number(&case["average_precision"]), 1e-9, name);
        assert!(found.average_precision_stderr >= 0.0 && found.average_precision_stderr < 0.2, "{name}: {found:?}");
        assert_eq!(found.anomalies, anomalous.iter().filter(|truth| **truth).count());
    }
    assert_eq!(list(&cases["rankings"]).len(), 8);
}

fn codes(array: &Value) -> Codes {
    let mean = numbers(array).into_iter().map(|value| value as f32).collect();
    Codes { latent: count(&list(&array["shape"])[1]), mean, log_var: None, labels: None }
}

#[test]
fn distances_are_those_of_scipy() {
    let cases = read("anomaly/cases.json");
    for (i, case) in list(&cases["distances"]).iter().enumerate() {
        let found = Mahalanobis::fit(&codes(&case["codes"])).unwrap().distances(&codes(&case["others"]));
        let expected = numbers(&case["distances"]);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            near(*found, expected, 1e-7, &format!("case {i}"));
        }
    }
    assert_eq!(list(&cases["distances"]).len(), 3);
}

fn vae(likelihood: Likelihood) -> (Vae, Subset, Device) {
    let device = elbo::device::choose("cpu").unwrap().without_autodiff();
    let network = NetworkConfig::mlp(&[24]);
    (
        Vae::init(&Architecture::new([1, 28, 28], 4, &network, likelihood), 3, &device),
        Subset::all(Arc::new(digits::generate(5, 40))),
        device,
    )
}

/// With one sample, `-ln w = -log p(x|z) + log q(z|x) - log p(z)`: the negative ELBO with the same noise and both terms sampled. Here `recon` is the model's own
/// and the other two are densities written out; none of the estimator's code takes part.
#[test]
fn one_importance_sample_is_the_negative_elbo_under_the_same_noise() {
    for likelihood in [Likelihood::Bernoulli, Likelihood::Gaussian { sigma: 0.3, link: Link::Sigmoid }] {
        let (model, examples, device) = vae(likelihood);
        let sampling = ImportanceSampling { samples: 1, seed: 9 };
        let estimate = importance_weighted(&model, &examples, sampling, &device, &mut |_| {}).unwrap();
        let places: Vec<u32> = (0..examples.len() as u32).collect();
        let x = batch(&examples, &places, &device);
        let noise: Vec<f32> = places
            .iter()
            .flat_map(|place| Draws::new(9, Purpose::ImportanceNoise, 0, u64::from(*place)).normals(4))
            .collect();
        let x = Batch::of(x);
        let drawn = Tensor::from_data(TensorData::new(noise.clone(), [examples.len(), 4]), &device);
        let terms = model.terms(&x, &Pass::given(When::Judging, [drawn]));
        let posterior = model.encode(&x).gaussian();
        let (mean, log_var) = (values_of(posterior.mean), values_of(posterior.log_var));
        let ln_two_pi = (2.0 * std::f64::consts::PI).ln();
        let density =
            |z: f64, mean: f64, log_var: f64| -0.5 * (ln_two_pi + log_var + (z - mean).powi(2) / log_var.exp());
        let (mut sampled, mut exact) = (0.0, 0.0);
        for (i, recon) in values_of(terms.recon).into_iter().enumerate() {
            let kl: f64 = (4 * i..4 * i + 4)
                .map(|j| {
                    let (mean, log_var, noise) = (f64::from(mean[j]), f64::from(log_var[j]), f64::from(noise[j]));
                    let z = mean + (log_var / 2.0).exp() * noise;
                    density(z, mean, log_var) - density(z, 0.0, 0.0)
                })
                .sum();
            near(-estimate.log_likelihood[i], f64::from(recon) + kl, 2e-6, &format!("example {i}"));
            sampled += kl / examples.len() as f64;
        }
        exact += values_of(terms.kl).iter().map(|kl| f64::from(*kl)).sum::<f64>() / examples.len() as f64;
        // 160 draws of variance at most about 1 each: the two means agree within 5 standard errors.
        assert!((sampled - exact).abs() < 5.0 * (4.0f64 / examples.len() as f64).sqrt(), "{sampled} against {exact}");
    }
}

/// Bernoulli by its definition in float64, from what the decoder shows at the mean code.
#[test]
fn reconstruction_errors_are_taken_at_the_mean_code() {
    let (model, examples, device) = vae(Likelihood::Bernoulli);
    let places: Vec<u32> = (0..examples.len() as u32).collect();
    let x = batch(&examples, &places, &device);
    let shown = values_of((&model as &dyn Model).reconstruct(&Batch::of(x.clone())).unwrap());
    let x = values_of(x);
    for (i, found) in reconstruction_errors(&model, &examples, &device).unwrap().into_iter().enumerate() {
        let pixels = x[784 * i..784 * (i + 1)].iter().zip(&shown[784 * i..784 * (i + 1)]);
        let expected: f64 = pixels
            .map(|(x, m)| (f64::from(*x), f64::from(*m)))
            .map(|(x, m)| -(x * m.ln() + (1.0 - x) * (1.0 - m).ln()))
            .sum();
        near(found, expected, 1e-5, &format!("example {i}"));
    }
}

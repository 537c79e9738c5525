//! `iwae` against PyTorch in float64 (`fixtures/iwae`), both gradients; and what the bound must be to a VAE's.

#[path = "../../kernels/tests/support/comparison.rs"]
mod comparison;
#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;
#[path = "support/pytorch.rs"]
mod pytorch;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use comparison::Table;
use elbo::data::batch::{Batch, Given};
use elbo::distributions::Likelihood;
use elbo::models::{Architecture, Bound, Iwae, ObjectiveConfig, Terms, Vae, VectorCode};
use elbo::networks::{MlpConfig, NetworkConfig, Nonlinearity, Pass, When};
use elbo::random::{Draws, Purpose};
use elbo::run::parameters;
use elbo::tensors::values_of;
use fixture::{count, list, number, numbers, read, text};
use pytorch::{gradients_of, matrix, with_weights};
use serde_json::Value;

const CASES: &str = "iwae/cases.json";

fn network(case: &Value) -> NetworkConfig {
    let hidden = list(&case["hidden"]).iter().map(count).collect();
    NetworkConfig::Mlp(MlpConfig { hidden, activation: Nonlinearity::Tanh })
}

fn model(case: &Value, dreg: bool) -> Iwae {
    let [input, latent, samples] = ["input", "latent", "samples"].map(|key| count(&case[key]));
    let (network, bernoulli) = (network(case), Likelihood::Bernoulli);
    let architecture = Architecture::new([1, 1, input], latent, &network, bernoulli);
    let iwae = Iwae::init(&architecture, samples, 0, &Device::default());
    with_weights(iwae.with_dreg(dreg).train(), case)
}

/// The terms of examples under given noise.
fn terms(model: &impl Bound, when: When, x: Tensor<2>, noise: Tensor<2>) -> Terms {
    model.terms(&Batch::of(x), &Pass::given(when, [noise]))
}

#[test]
fn bound_and_gradients() {
    let device = Device::default().autodiff();
    let mut table = Table::new(1e-5);
    for case in list(&read(CASES)["cases"]) {
        let name = text(&case["name"]);
        for (dreg, stored) in [(false, "gradients"), (true, "dreg")] {
            let iwae = model(case, dreg);
            let terms = terms(
                &iwae,
                When::Training { epochs: 0.0 },
                matrix(&case["x"], &device),
                matrix(&case["noise"], &device),
            );
            let bound: Vec<f32> = values_of(terms.bound.clone().expect("its own bound")).iter().map(|v| -v).collect();
            table.tensor(format_args!("{name} bound"), &bound, &numbers(&case["bound"]));
            table.tensor(format_args!("{name} recon"), &values_of(terms.recon.clone()), &numbers(&case["recon"]));
            let loss = ObjectiveConfig::default().target().loss(terms);
            table.tensor(format_args!("{name} kl"), &values_of(loss.reports[1].clone()), &[number(&case["kl"])]);
            for ((parameter, _), gradient) in parameters::shapes(&iwae).iter().zip(gradients_of(&iwae, &loss.total)) {
                let gradient = gradient.expect("every parameter has one");
                let expected = numbers(&case[stored][parameter]);
                table.tensor(format_args!("{name} {stored} of {parameter}"), &gradient, &expected);
            }
        }
    }
    table.assert_all(4 * 2 * 17);
}

/// Two models with the same weights, and examples to hold them against each other.
struct Pair {
    weights: Vae,
    x: Tensor<2>,
}

const INPUT: usize = 12;
const LATENT: usize = 3;
const BATCH: usize = 400;

impl Pair {
    fn new() -> Self {
        let device = Device::default();
        let network = NetworkConfig::mlp(&[8]);
        let weights = Vae::init(&Architecture::new([1, 1, INPUT], LATENT, &network, Likelihood::Bernoulli), 5, &device);
        let pixels = Draws::new(1, Purpose::Choice, 0, 0).normals(BATCH * INPUT);
        let pixels: Vec<f32> = pixels.into_iter().map(|v| f32::from(v > 0.0)).collect();
        Self { weights, x: Tensor::from_data(TensorData::new(pixels, [BATCH, INPUT]), &device) }
    }

    fn iwae(&self, samples: usize) -> Iwae {
        let network = NetworkConfig::mlp(&[8]);
        let device = Device::default();
        let architecture = Architecture::new([1, 1, INPUT], LATENT, &network, Likelihood::Bernoulli);
        let iwae = Iwae::init(&architecture, samples, 0, &device);
        parameters::import(iwae, parameters::export(&self.weights))
    }

    fn noise(&self, samples: usize, seed: u64) -> Tensor<2> {
        let width = samples * LATENT;
        let values = Draws::new(seed, Purpose::EvaluationNoise, 0, 0).normals(BATCH * width);
        Tensor::from_data(TensorData::new(values, [BATCH, width]), &self.x.device())
    }

    /// Mean of L_k over the examples.
    fn bound(&self, samples: usize, seed: u64) -> f64 {
        let terms = terms(&self.iwae(samples), When::Judging, self.x.clone(), self.noise(samples, seed));
        -f64::from(terms.bound.expect("its own bound").mean().into_scalar::<f32>())
    }
}

#[test]
fn with_one_sample_the_bound_is_the_elbo_with_the_sampled_kl() {
    let pair = Pair::new();
    // In expectation: the VAE has its KL in closed form.
    let vae = |seed| {
        let terms = terms(&pair.weights, When::Judging, pair.x.clone(), pair.noise(1, seed));
        let kl = terms.kl.sum_dim(1).squeeze_dim::<1>(1);
        -f64::from((terms.recon + kl).mean().into_scalar::<f32>())
    };
    let differences: Vec<f64> = (0..40).map(|seed| pair.bound(1, seed) - vae(seed)).collect();
    let mean = differences.iter().sum::<f64>() / 40.0;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 39.0;
    assert!(mean.abs() < 4.0 * (variance / 40.0).sqrt() && variance > 0.0, "{mean} with variance {variance}");
}

#[test]
fn the_bound_rises_with_k_towards_the_likelihood() {
    let pair = Pair::new();
    let bounds = [1, 2, 5, 20, 100].map(|k| (0..5).map(|seed| pair.bound(k, seed)).sum::<f64>() / 5.0);
    assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{bounds:?}");
    // log p(x) by brute force: draws from the prior.
    let draws = 200_000;
    let z = Draws::new(9, Purpose::Prior, 0, 0).normals(draws * LATENT);
    let z = Tensor::<2>::from_data(TensorData::new(z, [draws, LATENT]), &pair.x.device());
    let logits = pair.weights.parameters(z, &Given::default(), &Pass::still());
    let first: Vec<f64> = (0..20)
        .map(|example| {
            let x = pair.x.clone().narrow(0, example, 1).repeat_dim(0, draws);
            let log_p = values_of(Likelihood::Bernoulli.nll(logits.clone(), x)).into_iter().map(|v| (-v as f64).exp());
            (log_p.sum::<f64>() / draws as f64).ln()
        })
        .collect();
    let exact = first.iter().sum::<f64>() / 20.0;
    let terms = terms(&pair.iwae(2000), When::Judging, pair.x.clone(), pair.noise(2000, 3));
    let found = -values_of(terms.bound.expect("its own bound"))[..20].iter().map(|v| f64::from(*v)).sum::<f64>() / 20.0;
    assert!((found - exact).abs() < 0.03, "{found} against {exact}");
}

#[test]
fn a_vae_of_more_samples_is_the_mean_over_its_draws() {
    let pair = Pair::new();
    let (a, b) = (pair.noise(1, 1), pair.noise(1, 2));
    let judged = |vae: &Vae, noise| terms(vae, When::Judging, pair.x.clone(), noise);
    let both = judged(&pair.weights.clone().with_samples(2), Tensor::cat(vec![a.clone(), b.clone()], 1));
    let [a, b] = [a, b].map(|noise| values_of(judged(&pair.weights, noise).recon));
    let both = values_of(both.recon);
    assert!(both.iter().zip(a.iter().zip(&b)).all(|(both, (a, b))| (both - 0.5 * (a + b)).abs() < 1e-4));
}

//! Importance-weighted likelihoods against exact ones: a linear VAE is probabilistic PCA, whose marginal likelihood has a closed form (Tipping & Bishop 1999;
//! Lucas et al. 2019, arXiv:1911.02469).

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use elbo::data::Subset;
use elbo::data::batch::{Batch, Given};
use elbo::data::source::{ImageShape, Source};
use elbo::distributions::{DiagonalGaussian, Likelihood, Link, Observation};
use elbo::evaluation::{ImportanceSampling, ImportanceWeighted, importance_weighted};
use elbo::models::{
    Ae, Architecture, Bound, Decode, Encode, Generate, Model, Posterior, StandardNormal, Terms, Vae, VectorCode,
};
use elbo::networks::{Activation::None as Identity, Linear, NetworkConfig, Pass, When};
use elbo::random::{Draws, Purpose};
use elbo::space::{Domain, Space};
use elbo::tensors::values_of;

const WIDTH: usize = 5;
const SIGMA: f64 = 0.6;
/// Orthogonal columns, so that the true posterior is diagonal: `x = W z + b + noise`.
const W: [[f64; 2]; WIDTH] = [[0.9, 0.4], [0.7, -0.3], [0.0, 0.8], [-0.5, 0.3], [0.4, 0.0]];
const B: [f64; WIDTH] = [0.1, -0.4, 0.3, 0.0, 0.2];

/// p(x|z) = N(W z + b, sigma^2 I) and a posterior given by its layers.
#[derive(Module, Debug)]
struct LinearVae {
    mean: Linear,
    log_var: Linear,
    decoder: Linear,
    observation: Observation,
    #[module(skip)]
    prior: StandardNormal,
}

impl VectorCode for LinearVae {
    fn codes(&self) -> &[Space; 1] {
        &self.prior.0
    }
    fn code_prior(&self) -> Option<&dyn Generate> {
        Some(&self.prior)
    }
    fn observed(&self) -> &Observation {
        &self.observation
    }
    fn posterior(&self, batch: &Batch, _: &Pass) -> Posterior {
        let [mean, log_var] = [&self.mean, &self.log_var].map(|head| head.forward(batch.x.real(), Identity));
        Posterior::Gaussian(DiagonalGaussian { mean, log_var })
    }
    fn parameters(&self, z: Tensor<2>, _: &Given, _: &Pass) -> Tensor<2> {
        self.decoder.forward(z, Identity)
    }
}

impl Bound for LinearVae {
    fn terms(&self, batch: &Batch, pass: &Pass) -> Terms {
        let posterior = self.posterior(batch, pass).gaussian();
        let z = posterior.sample(pass.normals(posterior.mean.dims(), &posterior.mean.device()));
        let recon = self.observation.nll(self.parameters(z, &batch.given, pass), batch.x.real(), pass);
        Terms { recon, kl: posterior.kl_to_standard_normal(), bound: None }
    }
}

impl Model for LinearVae {
    fn space(&self) -> Space {
        Space::vector(WIDTH)
    }
    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }
    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }
    fn bound(&self) -> Option<&dyn Bound> {
        Some(self)
    }
}

/// A layer with these rows and biases.
fn layer(rows: &[Vec<f64>], bias: &[f64], device: &Device) -> Linear {
    let single = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<_>>();
    let weight = TensorData::new(single(&rows.concat()), [rows.len(), rows[0].len()]);
    let bias = TensorData::new(single(bias), [bias.len()]);
    Linear { weight: Param::from_data(weight, device), bias: Param::from_data(bias, device) }
}

fn column(j: usize) -> Vec<f64> {
    W.iter().map(|row| row[j]).collect()
}

/// `|w_j|^2`, once it is sure that the columns are orthogonal.
fn squares() -> [f64; 2] {
    let dot = |a: usize, b: usize| column(a).iter().zip(column(b)).map(|(a, b)| a * b).sum::<f64>();
    assert!(dot(0, 1).abs() < 1e-12, "{}", dot(0, 1));
    [dot(0, 0), dot(1, 1)]
}

/// The true posterior: precision `1 + |w_j|^2 / sigma^2`, mean `w_j . (x - b) / sigma^2` over that. `error` moves its means and widens it.
fn model(error: f64, device: &Device) -> LinearVae {
    let precision = squares().map(|square| 1.0 + square / (SIGMA * SIGMA));
    let row = |j: usize| column(j).iter().map(|w| w / (SIGMA * SIGMA * precision[j])).collect::<Vec<_>>();
    let rows = [row(0), row(1)];
    let at_b = |j: usize| -rows[j].iter().zip(B).map(|(w, b)| w * b).sum::<f64>() + 0.3 * error;
    let log_var = [0, 1].map(|j| -precision[j].ln() + 0.5 * error);
    LinearVae {
        mean: layer(&rows, &[at_b(0), at_b(1)], device),
        log_var: layer(&vec![vec![0.0; WIDTH]; 2], &log_var, device),
        decoder: layer(&W.map(|row| row.to_vec()), &B, device),
        observation: Observation::new(Likelihood::Gaussian { sigma: SIGMA, link: Link::Identity }, device),
        prior: StandardNormal([Space::vector(2)]),
    }
}

/// `log N(x; b, W W^T + sigma^2 I)`, along the orthogonal columns and across them.
fn exact(x: &[f32]) -> f64 {
    let centred: Vec<f64> = x.iter().zip(B).map(|(x, b)| f64::from(*x) - b).collect();
    let (variance, mut rest) = (SIGMA * SIGMA, centred.iter().map(|c| c * c).sum::<f64>());
    let mut log_density = 0.0;
    for (j, square) in squares().into_iter().enumerate() {
        let along = column(j).iter().zip(&centred).map(|(w, c)| w * c).sum::<f64>().powi(2) / square;
        log_density -= 0.5 * (along / (square + variance) + (square + variance).ln());
        rest -= along;
    }
    let across = (WIDTH - 2) as f64;
    log_density - 0.5 * (rest / variance + across * variance.ln() + WIDTH as f64 * std::f64::consts::TAU.ln())
}

/// Rows of real numbers.
struct Rows(Vec<f32>);

impl Source for Rows {
    fn name(&self) -> &str {
        "rows"
    }
    fn len(&self) -> usize {
        self.0.len() / WIDTH
    }
    fn shape(&self) -> ImageShape {
        ImageShape::grey(1, WIDTH)
    }
    fn read(&self, _: usize, _: &mut [u8]) {
        unreachable!("rows are no pictures")
    }
    fn label(&self, _: usize) -> Option<u32> {
        None
    }
    fn label_names(&self) -> &[String] {
        &[]
    }
    fn domain(&self) -> Domain {
        Domain::Real
    }
    fn floats(&self) -> Option<&[f32]> {
        Some(&self.0)
    }
    fn fingerprint(&self) -> &str {
        "rows"
    }
}

/// The first rows of 600, the same whatever the count.
fn rows(count: usize) -> Vec<f32> {
    Draws::new(4, Purpose::Prior, 0, 0).normals(600 * WIDTH)[..count * WIDTH].to_vec()
}

fn split(count: usize) -> Subset {
    Subset::all(Arc::new(Rows(rows(count))))
}

fn estimate(model: &dyn Model, split: &Subset, samples: usize, seed: u64) -> ImportanceWeighted {
    importance_weighted(model, split, ImportanceSampling { samples, seed }, &Device::flex(), &mut |_| {}).unwrap()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn with_the_true_posterior_every_weight_is_the_exact_likelihood() {
    let (model, split) = (model(0.0, &Device::flex()), split(40));
    for samples in [1, 7, 700] {
        let found = estimate(&model, &split, samples, 0);
        for (row, log_likelihood) in rows(40).chunks(WIDTH).zip(&found.log_likelihood) {
            let expected = exact(row);
            assert!((log_likelihood - expected).abs() < 1e-4, "{samples}: {log_likelihood} is not {expected}");
        }
        assert!(found.effective_samples.iter().all(|ess| (ess / samples as f64 - 1.0).abs() < 1e-6), "{samples}");
    }
}

#[test]
fn with_another_posterior_the_bound_rises_to_the_exact_likelihood() {
    let (model, split) = (model(1.0, &Device::flex()), split(600));
    let exact = mean(&rows(600).chunks(WIDTH).map(exact).collect::<Vec<_>>());
    let bounds = [1, 5, 50, 2000].map(|samples| mean(&estimate(&model, &split, samples, 0).log_likelihood));
    assert!(bounds.is_sorted(), "{bounds:?}");
    assert!(exact - bounds[0] > 0.05 && (exact - bounds[3]).abs() < 0.005, "{bounds:?}, exact {exact}");
    assert!(bounds[1] < exact, "{bounds:?}, exact {exact}");
    let found = estimate(&model, &split, 2000, 0);
    assert!(found.effective_samples.iter().all(|ess| *ess > 1.0 && *ess < 2000.0));
}

#[test]
fn one_sample_is_the_elbo_under_the_same_noise() {
    let (device, split) = (Device::flex(), split(30));
    let model = model(1.0, &device);
    let found = estimate(&model, &split, 1, 5);
    let x = Batch::of_split(&split, &(0..30).collect::<Vec<_>>(), model.needs(), &device);
    let noise: Vec<f32> =
        (0..30).flat_map(|image| Draws::new(5, Purpose::ImportanceNoise, 0, image).normals(2)).collect();
    let matrix = |values: &[f32]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [30, 2]), &device);
    let recon = values_of(model.terms(&x, &Pass::given(When::Judging, [matrix(&noise)])).recon);
    let posterior = model.encode(&x).gaussian();
    let (mean, log_var) = (values_of(posterior.mean), values_of(posterior.log_var));
    for (i, recon) in recon.into_iter().enumerate() {
        // log q(z|x) - log p(z) of the draw, whose mean over draws is the KL term.
        let term = |j: usize| {
            let (m, v, e) = (f64::from(mean[j]), f64::from(log_var[j]), f64::from(noise[j]));
            0.5 * ((m + (0.5 * v).exp() * e).powi(2) - e * e - v)
        };
        let elbo = -f64::from(recon) - term(2 * i) - term(2 * i + 1);
        assert!((found.log_likelihood[i] - elbo).abs() < 1e-5, "{} is not {elbo}", found.log_likelihood[i]);
    }
}

#[test]
fn estimates_depend_on_the_seed_and_not_on_what_else_is_evaluated_or_on_threads() {
    let model = model(1.0, &Device::flex());
    let whole = estimate(&model, &split(600), 60, 0);
    let few = estimate(&model, &split(37), 60, 0);
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near(&whole.log_likelihood, &few.log_likelihood));
    assert_ne!(few.log_likelihood, estimate(&model, &split(37), 60, 1).log_likelihood);
    let threads = elbo::device::threads();
    elbo::device::set_threads(1);
    let alone = estimate(&model, &split(600), 60, 0);
    elbo::device::set_threads(threads);
    assert_eq!(alone, whole);
}

#[test]
fn what_has_no_likelihood_is_refused() {
    let device = Device::flex();
    let refused = |model: &dyn Model, samples| {
        let sampling = ImportanceSampling { samples, seed: 0 };
        importance_weighted(model, &split(3), sampling, &device, &mut |_| {}).unwrap_err().to_string()
    };
    let network = NetworkConfig::mlp(&[8]);
    let sse =
        Vae::init(&Architecture::new([1, 1, WIDTH], 2, &network, Likelihood::Sse { link: Link::Identity }), 0, &device);
    assert!(refused(&sse, 5).contains("squared errors"));
    let gaussian = Likelihood::Gaussian { sigma: 1.0, link: Link::Identity };
    let ae = Ae::init(&Architecture::new([1, 1, WIDTH], 2, &network, gaussian), 0, &device);
    assert!(refused(&ae, 5).contains("prior over its codes"));
    assert!(refused(&model(0.0, &device), 0).contains("at least 1 sample"));
}

//! What must hold whatever the numbers are: the KL divergence against its definition, samples against their distribution,
//! likelihoods against the axioms, gradients against differences, files against what was saved.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use elbo::data::batch::Batch;
use elbo::data::digits;
use elbo::data::split::{Splits, Subset};
use elbo::distributions::{DiagonalGaussian, Likelihood, Link};
use elbo::models::{Architecture, Bound, Objective, Vae};
use elbo::networks::{MlpConfig, NetworkConfig, Nonlinearity, Pass, When};
use elbo::random::{Draws, Purpose};
use elbo::run::parameters;
use elbo::run::weights::{self, NamedTensor};
use elbo::tensors::values_of;
use elbo::training::{Checkpoints, OptimizerConfig, Quiet, Saved, Stop, Trainer};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn matrix(values: Vec<f32>, dims: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, dims), &Device::default())
}

/// KL of one dimension.
fn kl(mean: f32, log_var: f32) -> f64 {
    let posterior = DiagonalGaussian { mean: matrix(vec![mean], [1, 1]), log_var: matrix(vec![log_var], [1, 1]) };
    f64::from(values_of(posterior.kl_to_standard_normal())[0])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(1312), ..Default::default() })]

    #[test]
    fn kl_is_its_closed_form_and_not_negative(mean in -30f32..30.0, log_var in -60f32..40.0) {
        let (m, lv) = (f64::from(mean), f64::from(log_var));
        let terms = [m * m, lv.exp(), -lv, -1.0];
        let (expected, size) = (0.5 * terms.iter().sum::<f64>(), terms.iter().map(|t| t.abs()).sum::<f64>());
        let found = kl(mean, log_var);
        prop_assert!((found - expected).abs() <= 4e-7 * size, "KL({mean}, {log_var}) = {found}, not {expected}");
        prop_assert!(found >= 0.0 || -found <= 4e-7 * size);
    }

    #[test]
    fn kl_is_positive_away_from_the_prior(angle in 0f32..std::f32::consts::TAU, distance in 1e-2f32..20.0) {
        prop_assert!(kl(distance * angle.cos(), distance * angle.sin()) > 0.0);
    }

    #[test]
    fn bernoulli_probabilities_sum_to_one(logits in prop::array::uniform3(-30f32..30.0)) {
        // All eight binary vectors of three dimensions, one in a row.
        let x = (0..8).flat_map(|word| [0, 1, 2].map(|bit| (word >> bit & 1) as f32)).collect();
        let nll = Likelihood::Bernoulli.nll(matrix(logits.repeat(8), [8, 3]), matrix(x, [8, 3]));
        let total: f64 = values_of(nll).iter().map(|&nll| f64::from(-nll).exp()).sum();
        prop_assert!((total - 1.0).abs() < 1e-5, "{total}");
    }

    #[test]
    fn a_gaussian_density_integrates_to_one(logit in -4f32..4.0, sigma in 0.02f64..3.0) {
        let (count, centre) = (2001, 1.0 / (1.0 + f64::from(-logit).exp()));
        // Ten standard deviations to either side, beyond [0, 1] too: the density knows no bounds.
        let width = 20.0 * sigma / (count - 1) as f64;
        let x = (0..count).map(|i| (centre - 10.0 * sigma + width * i as f64) as f32).collect();
        let logits = matrix(vec![logit; count], [count, 1]);
        let nll = values_of(Likelihood::Gaussian { sigma, link: Link::Sigmoid }.nll(logits, matrix(x, [count, 1])));
        let integral: f64 = nll.iter().map(|&nll| f64::from(-nll).exp() * width).sum();
        prop_assert!((integral - 1.0).abs() < 1e-4, "{integral}");
    }

    #[test]
    fn sse_is_a_gaussian_of_variance_one_half_up_to_its_constant(
        (logits, x) in (1usize..40).prop_flat_map(|dims| {
            (prop::collection::vec(-8f32..8.0, dims), prop::collection::vec(0f32..=1.0, dims))
        })
    ) {
        let dims = logits.len();
        let nll = |likelihood: Likelihood| {
            f64::from(values_of(likelihood.nll(matrix(logits.clone(), [1, dims]), matrix(x.clone(), [1, dims])))[0])
        };
        let difference = nll(Likelihood::Gaussian { sigma: 0.5f64.sqrt(), link: Link::Sigmoid }) - nll(Likelihood::Sse { link: Link::Sigmoid });
        let constant = 0.5 * dims as f64 * std::f64::consts::PI.ln();
        prop_assert!((difference - constant).abs() < 1e-6 * (1.0 + constant), "{difference}, not {constant}");
    }
}

#[test]
fn kl_is_zero_exactly_at_the_prior() {
    assert_eq!(kl(0.0, 0.0), 0.0);
    assert_eq!(kl(-0.0, -0.0), 0.0);
}

/// Posteriors whose statistics are estimated from a million draws each.
const POSTERIORS: [(f32, f32); 6] = [(0.0, 0.0), (1.5, 0.0), (0.0, 1.0), (0.0, -3.0), (-2.0, -1.0), (0.3, 0.8)];
const DRAWS: usize = 1_000_000;

/// A million draws of z by reparameterization.
fn samples(place: usize, mean: f32, log_var: f32) -> Vec<f64> {
    let dims = [1000, DRAWS / 1000];
    let filled = |value| matrix(vec![value; DRAWS], dims);
    let noise = Draws::new(11, Purpose::Prior, place as u64, 0).normals(DRAWS);
    let posterior = DiagonalGaussian { mean: filled(mean), log_var: filled(log_var) };
    values_of(posterior.sample(matrix(noise, dims))).into_iter().map(f64::from).collect()
}

/// Mean and variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

#[test]
fn samples_have_the_moments_and_the_kl_of_their_posterior() {
    let root = (DRAWS as f64).sqrt();
    for (place, (mean, log_var)) in POSTERIORS.into_iter().enumerate() {
        let z = samples(place, mean, log_var);
        let (m, variance) = (f64::from(mean), f64::from(log_var).exp());
        let (found_mean, found_variance) = moments(&z);
        // Five standard errors each: sigma / sqrt(n), and sigma^2 sqrt(2 / n).
        assert!((found_mean - m).abs() < 5.0 * variance.sqrt() / root, "mean {found_mean} of ({mean}, {log_var})");
        let error = 5.0 * variance * 2f64.sqrt() / root;
        assert!((found_variance - variance).abs() < error, "variance {found_variance} of ({mean}, {log_var})");

        // log q(z) - log p(z), the constants of the two densities being the same.
        let log_ratio = |z: &f64| 0.5 * (z * z - (z - m).powi(2) / variance - f64::from(log_var));
        let (estimate, spread) = moments(&z.iter().map(log_ratio).collect::<Vec<_>>());
        let error = 5.0 * spread.sqrt() / root + 1e-6;
        let closed = kl(mean, log_var);
        assert!((estimate - closed).abs() < error, "KL of ({mean}, {log_var}): {closed}, by draws {estimate}");
    }
}

/// Batch, values of an example and latent dimensions of the model whose gradients are checked.
const SIZES: (usize, usize, usize) = (4, 6, 2);

fn loss(model: &Vae, objective: &Objective, device: &Device) -> Tensor<1> {
    let (batch, input, latent) = SIZES;
    let x = (0..batch * input).map(|i| (i * 5 % 9) as f32 / 8.0).collect::<Vec<_>>();
    let noise = Draws::new(3, Purpose::TrainingNoise, 0, 0).normals(batch * latent);
    let x = Tensor::from_data(TensorData::new(x, [batch, input]), device);
    let noise = Tensor::from_data(TensorData::new(noise, [batch, latent]), device);
    objective.loss(model.terms(&Batch::of(x), &Pass::given(When::Training { epochs: 0.0 }, [noise]))).total
}

/// The gradient of every weight, in the order of [`parameters::export`].
fn gradients(model: &Vae, objective: &Objective) -> Vec<Vec<f32>> {
    struct Collect(GradientsParams, Vec<Vec<f32>>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(values_of(self.0.get::<D>(param.id).expect("a gradient")));
        }
    }
    let model = model.clone().train();
    let gradients = loss(&model, objective, &Device::default().autodiff()).backward();
    let mut collect = Collect(GradientsParams::from_grads(gradients, &model), Vec::new());
    model.visit(&mut collect);
    collect.1
}

/// `(loss(w + h) - loss(w - h)) / 2h` for one weight.
fn difference(model: &Vae, objective: &Objective, tensor: usize, place: usize) -> f64 {
    // Balances float32's rounding of the loss (1e-7 / h) and the third derivative (h^2 / 6).
    const STEP: f32 = 1.0 / 64.0;
    let at = |offset: f32| {
        let mut weights = parameters::export(model);
        weights[tensor].values[place] += offset;
        let moved = parameters::import(model.clone(), weights);
        f64::from(loss(&moved, objective, &Device::default()).into_scalar::<f32>())
    };
    (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP)
}

#[test]
fn every_gradient_of_the_loss_is_its_difference_quotient() {
    let (_, input, latent) = SIZES;
    let plain = Objective { beta: 1.0, free_bits: 0.0, capacity: None };
    let settings = [
        (Nonlinearity::Tanh, Likelihood::Bernoulli, Objective { beta: 4.0, ..plain }),
        (
            Nonlinearity::Gelu,
            Likelihood::Gaussian { sigma: 0.5, link: Link::Sigmoid },
            Objective { free_bits: 0.05, ..plain },
        ),
        (
            Nonlinearity::Silu,
            Likelihood::Sse { link: Link::Sigmoid },
            Objective { capacity: Some((3.0, 2.0)), ..plain },
        ),
        (Nonlinearity::Gelu, Likelihood::Bernoulli, plain),
    ];
    let mut failures = Vec::new();
    for (activation, likelihood, objective) in settings {
        let network = NetworkConfig::Mlp(MlpConfig { hidden: vec![5], activation });
        let model = Vae::init(&Architecture::new([1, 1, input], latent, &network, likelihood), 4, &Device::default());
        for (tensor, gradient) in gradients(&model, &objective).iter().enumerate() {
            let largest = gradient.iter().fold(0f64, |most, g| most.max(f64::from(g.abs())));
            for (place, &found) in gradient.iter().enumerate() {
                let (found, expected) = (f64::from(found), difference(&model, &objective, tensor, place));
                if (found - expected).abs() > 1e-2 * expected.abs().max(0.1 * largest) {
                    failures
                        .push(format!("{activation:?} {likelihood:?} tensor {tensor}[{place}]: {found}, {expected}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A model after four steps, and what it was trained with.
fn trained(data: &Splits) -> Trainer<'_, Vae> {
    let network = NetworkConfig::mlp(&[24]);
    let architecture = Architecture::new([1, 28, 28], 3, &network, Likelihood::Bernoulli);
    let vae = Vae::init(&architecture, 1, &Device::default());
    let mut trainer = Trainer::new(vae, data, OptimizerConfig::default(), &Device::default());
    (trainer.config.epochs, trainer.config.batch_size) = (2, 16);
    trainer.run(&mut Quiet, &Stop::new()).expect("training works");
    trainer
}

fn bits(tensors: &[NamedTensor]) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let bits = |tensor: &NamedTensor| tensor.values.iter().map(|v| v.to_bits()).collect();
    tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.clone(), bits(tensor))).collect()
}

#[test]
fn what_is_saved_comes_back_bit_for_bit() {
    let subset = Subset::all(std::sync::Arc::new(digits::generate(0, 30)));
    let data = Splits { train: subset.clone(), validation: None, test: subset.take(0), validation_is_test: false };
    let trainer = trained(&data);
    let mut saved = parameters::export(trainer.model());
    // The smallest numbers and the zero with a sign.
    saved[0].values[..3].copy_from_slice(&[-0.0, f32::from_bits(1), f32::MIN_POSITIVE]);
    let model = parameters::import(trainer.model().clone(), saved.clone());

    let file = weights::from_bytes(&weights::to_bytes(&saved, &Default::default()), "memory").expect("a valid file");
    assert_eq!(bits(&file.tensors), bits(&saved), "weight file");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoints = Checkpoints::new(folder.path(), "seed = 1");
    let (optimizers, state) = (&trainer.optimizers, &trainer.state);
    checkpoints.save_last(&Saved { model: &model, ema: None, optimizers, state }).expect("saved");
    checkpoints.save_best(&model, &trainer.state).expect("saved");
    let network = NetworkConfig::mlp(&[24]);
    let architecture = Architecture::new([1, 28, 28], 3, &network, Likelihood::Bernoulli);
    let other = || Vae::init(&architecture, 2, &Device::default());
    let resumed = checkpoints.resume(other(), &OptimizerConfig::default(), &Device::default()).expect("resumed");
    assert_eq!(bits(&parameters::export(&resumed.model)), bits(&saved), "weights of `last`");
    assert_eq!(resumed.state, trainer.state);
    assert_eq!((resumed.optimizers[0].time(), resumed.passed_over.len()), (4, 0));
    let moments = |optimizer: &elbo::training::Optimizer| {
        let pairs = optimizer.moments().iter().map(|pair| pair.clone().expect("a moment for each parameter"));
        pairs.map(|(m, v)| [values_of(m), values_of(v)].concat()).collect::<Vec<_>>()
    };
    assert_eq!(moments(&resumed.optimizers[0]), moments(&trainer.optimizers[0]));
    let (best, _) = checkpoints.load("best", other()).expect("loaded");
    assert_eq!(bits(&parameters::export(&best)), bits(&saved), "weights of `best`");
}

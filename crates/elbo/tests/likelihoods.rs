//! Every likelihood alone and inside a VAE against PyTorch in float64 (`fixtures/likelihoods`), its means and draws against its own
//! probabilities, and the scale that a model learns.

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
use elbo::distributions::{Likelihood, Link, MIN_LEARNED_SCALE, Observation, Suitability};
use elbo::models::{Architecture, Iwae, Learner, LikelihoodKeys, LikelihoodName, Model, ModelConfig, Vae};
use elbo::networks::{MlpConfig, NetworkConfig, Nonlinearity, Pass, When};
use elbo::random::{Draws, Purpose};
use elbo::run::parameters;
use elbo::space::{Domain, Space};
use elbo::tensors::values_of;
use fixture::{count, list, number, numbers, read, text};
use pytorch::{floats, gradients_of, matrix, shape_of, with_weights};
use serde_json::Value;

fn shape(case: &Value) -> [usize; 3] {
    let sides: Vec<usize> = list(&case["shape"]).iter().map(count).collect();
    sides.try_into().expect("channels, height, width")
}

/// The likelihood of a case, by the way recipes take: keys and the data's domain.
fn likelihood(case: &Value) -> Likelihood {
    let spec = &case["likelihood"];
    let name: LikelihoodName = serde_json::from_value(spec["kind"].clone()).expect("a known likelihood");
    let keys = ModelConfig::default().likelihood_keys().expect("a VAE's");
    let keys = LikelihoodKeys {
        likelihood: name,
        sigma: spec["sigma"].as_f64(),
        scale: spec["scale"].as_f64(),
        components: spec["components"].as_u64().map(|k| k as usize),
        weight: spec["weight"].as_f64(),
        ..keys
    };
    let domain = if text(&spec["link"]) == "identity" { Domain::Real } else { Domain::Levels };
    keys.likelihood(Space::new(shape(case), domain)).expect("a valid likelihood")
}

#[test]
fn alone() {
    let device = Device::default().autodiff();
    let mut table = Table::new(5e-6);
    for case in list(&read("likelihoods/terms.json")["cases"]) {
        let name = text(&case["name"]);
        let parameters = matrix(&case["parameters"], &device).require_grad();
        let nll = likelihood(case).nll(parameters.clone(), matrix(&case["x"], &device));
        table.tensor(name, &values_of(nll.clone()), &numbers(&case["nll"]));
        let weights =
            Tensor::<1>::from_data(TensorData::new(floats(&case["weights"]), shape_of(&case["weights"])), &device);
        let gradients = (nll * weights).sum().backward();
        let slopes = values_of(parameters.grad(&gradients).expect("a gradient"));
        table.tensor(format_args!("gradient of {name}"), &slopes, &numbers(&case["gradient"]));
    }
    table.assert_all(2 * 26);
}

#[test]
fn inside_a_vae() {
    let device = Device::default().autodiff();
    // Variances of windows are differences of means of squares: MS-SSIM has four digits fewer than its terms.
    let (mut table, mut similarity) = (Table::new(1e-5), Table::new(1e-4));
    for case in list(&read("likelihoods/models.json")["cases"]) {
        let (name, latent, likelihood) = (text(&case["name"]), count(&case["latent"]), likelihood(case));
        let hidden = list(&case["hidden"]).iter().map(count).collect();
        let network = NetworkConfig::Mlp(MlpConfig { hidden, activation: Nonlinearity::Tanh });
        let architecture = Architecture::new(shape(case), latent, &network, likelihood);
        let vae = Vae::init(&architecture, 0, &Device::default()).train();
        let vae = with_weights(vae, case);
        let table = if matches!(likelihood, Likelihood::MsSsim { .. }) { &mut similarity } else { &mut table };
        let pass = Pass::given(When::Training { epochs: 0.0 }, [matrix(&case["noise"], &device)]);
        let loss = vae.loss(0, &Batch::of(matrix(&case["x"], &device)), &pass);
        for (report, found) in vae.reports().iter().zip(&loss.reports) {
            let stored = number(&case[report.name]);
            table.tensor(format_args!("{name} {}", report.name), &values_of(found.clone()), &[stored]);
        }
        for ((parameter, _), gradient) in parameters::shapes(&vae).iter().zip(gradients_of(&vae, &loss.total)) {
            match gradient {
                Some(found) => table.tensor(
                    format_args!("{name} gradient of {parameter}"),
                    &found,
                    &numbers(&case["gradients"][parameter]),
                ),
                None => assert_eq!(parameter, "observation.running_error"),
            }
        }
    }
    table.assert_all(24 * 12);
    similarity.assert_all(2 * 12);
}

/// The model after batches that have taught it a scale of 0.7, where it learns one.
fn at_scale<M: Module>(model: M) -> M {
    let mut weights = parameters::export(&model);
    for tensor in weights.iter_mut().filter(|tensor| tensor.name == "observation.running_error") {
        tensor.values[0] = 0.7;
    }
    parameters::import(model, weights)
}

/// A decoder's last layer and the likelihood in one pass, as evaluation takes them, and one after the other.
#[test]
fn codes_are_judged_in_one_pass_as_in_two() {
    let device = Device::default();
    for case in list(&read("likelihoods/models.json")["cases"]) {
        let (latent, likelihood) = (count(&case["latent"]), likelihood(case));
        let network = NetworkConfig::Mlp(MlpConfig { hidden: vec![9, 7], ..Default::default() });
        let architecture = Architecture::new(shape(case), latent, &network, likelihood);
        let vae = at_scale(Vae::init(&architecture, 0, &device));
        let iwae = at_scale(Iwae::init(&architecture, 5, 0, &device));
        let x: Tensor<2> = matrix(&case["x"], &device);
        let share = if likelihood.is_distribution() { 3 } else { 1 };
        let batch = x.dims()[0] * share;
        let noise = Draws::new(1, Purpose::EvaluationNoise, 0, 0).normals(batch * latent);
        let z = Tensor::<2>::from_data(TensorData::new(noise, [batch, latent]), &device);
        let (codes, given) = ([z.into()], Given::default());
        for model in [&vae as &dyn Model, &iwae] {
            let observe = model.observe_or_refuse().expect("p(x|z) in closed form");
            let together = values_of(observe.nll(&codes, &given, x.clone()));
            let fixed = likelihood.with_scale(observe.scale());
            let apart = values_of(fixed.nll(observe.parameters(&codes, &given), x.clone()));
            for (found, expected) in together.iter().zip(&apart) {
                assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{}", text(&case["name"]));
            }
            assert_eq!(together.len(), batch);
        }
    }
}

fn row(values: &[f32]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), &Device::default())
}

/// `p(x)` of single values, or of pixels of `channels`.
fn probabilities(likelihood: Likelihood, parameters: &[f32], x: &[f32], channels: usize) -> Vec<f64> {
    let count = x.len() / channels;
    let outputs = TensorData::new(parameters.repeat(count), [count, parameters.len()]);
    let x = Tensor::from_data(TensorData::new(x.to_vec(), [count, channels]), &Device::default());
    let nll = likelihood.nll(Tensor::from_data(outputs, &Device::default()), x);
    values_of(nll).into_iter().map(|v| (-f64::from(v)).exp()).collect()
}

fn levels() -> Vec<f32> {
    (0..256).map(|byte| byte as f32 / 255.0).collect()
}

#[test]
fn means_are_expectations() {
    let mean = |likelihood: Likelihood, parameters: &[f32]| f64::from(values_of(likelihood.mean(row(parameters)))[0]);
    let expectation = |likelihood: Likelihood, parameters: &[f32], x: &[f32], weight: f64| {
        let p = probabilities(likelihood, parameters, x, 1);
        x.iter().zip(p).map(|(x, p)| f64::from(*x) * p * weight).sum::<f64>()
    };
    for logit in [-20.0, -2.0, -0.21, -0.19, 0.0, 1e-4, 0.2, 1.0, 12.0] {
        let middles: Vec<f32> = (0..20_000).map(|i| (i as f32 + 0.5) / 20_000.0).collect();
        let expected = expectation(Likelihood::ContinuousBernoulli, &[logit], &middles, 1.0 / 20_000.0);
        let found = mean(Likelihood::ContinuousBernoulli, &[logit]);
        assert!((found - expected).abs() < 2e-5, "{logit}: {found}, {expected}");
    }
    let logits: Vec<f32> = (0..256).map(|j| ((j * 37) % 101) as f32 / 20.0).collect();
    let expected = expectation(Likelihood::Categorical, &logits, &levels(), 1.0);
    assert!((mean(Likelihood::Categorical, &logits) - expected).abs() < 1e-5);
    let mixture = Likelihood::LogisticMixture { components: 2, channels: 1 };
    for centre in [-1.5, -0.9, 0.004, 0.37, 1.0] {
        for raw in [-9.0, -4.0, -1.0, 1.0] {
            for (likelihood, outputs) in [
                (Likelihood::DiscretisedLogistic, vec![centre, raw]),
                (mixture, vec![0.5, -0.2, centre, 0.3, raw, -2.0]),
            ] {
                let (found, expected) = (mean(likelihood, &outputs), expectation(likelihood, &outputs, &levels(), 1.0));
                assert!((found - expected).abs() < 1.01 / 510.0, "half a level: {outputs:?}: {found}, {expected}");
            }
        }
    }
}

/// Draws of `count` examples with the same parameters, values side by side.
fn draws(likelihood: Likelihood, parameters: &[f32], scale: Option<f64>, count: usize) -> Vec<f32> {
    let outputs = TensorData::new(parameters.repeat(count), [count, parameters.len()]);
    let stream = &mut Draws::new(3, Purpose::Likelihood, 0, 0);
    values_of(likelihood.sample(Tensor::from_data(outputs, &Device::default()), scale, stream).expect("a distribution"))
}

#[test]
fn draws_have_the_probabilities_of_their_likelihood() {
    const COUNT: usize = 100_000;
    let one = Likelihood::LogisticMixture { components: 2, channels: 1 };
    let logits: Vec<f32> = (0..256).map(|j| ((j * 37) % 101) as f32 / 20.0).collect();
    let cases = [
        (Likelihood::DiscretisedLogistic, vec![0.9, -2.0]),
        (Likelihood::DiscretisedLogistic, vec![-0.2, -5.5]),
        (one, vec![0.5, -0.2, -0.8, 0.3, -3.0, -2.0]),
        (Likelihood::Categorical, logits),
    ];
    for (likelihood, parameters) in cases {
        let expected = probabilities(likelihood, &parameters, &levels(), 1);
        let mut found = vec![0f64; 256];
        for x in draws(likelihood, &parameters, None, COUNT) {
            let level = (x * 255.0).round();
            assert_eq!(level / 255.0, x, "{likelihood:?} draws levels");
            found[level as usize] += 1.0;
        }
        // Pearson's statistic over levels that are expected five times or more: mean k, variance 2 k.
        let (mut statistic, mut k) = (0.0, 0.0);
        for (found, p) in found.iter().zip(&expected).filter(|(_, p)| **p * COUNT as f64 >= 5.0) {
            statistic += (found - p * COUNT as f64).powi(2) / (p * COUNT as f64);
            k += 1.0;
        }
        assert!(
            k > 2.0 && (statistic - k).abs() < 5.0 * (2.0f64 * k).sqrt(),
            "{likelihood:?}: {statistic} over {k} levels"
        );
    }
}

#[test]
fn draws_of_densities_have_their_moments() {
    const COUNT: usize = 100_000;
    let real = Link::Identity;
    // Likelihood, parameters, learned scale, mean, variance.
    let cases = [
        (Likelihood::Bernoulli, vec![1.0], None, 0.731_058_6, 0.196_611_9),
        (Likelihood::ContinuousBernoulli, vec![2.0], None, 0.656_517_6, 0.068_976_3),
        (Likelihood::ContinuousBernoulli, vec![0.0], None, 0.5, 1.0 / 12.0),
        (Likelihood::Gaussian { sigma: 0.3, link: Link::Sigmoid }, vec![0.0], None, 0.5, 0.09),
        (Likelihood::GaussianShared { link: real }, vec![-1.0], Some(2.0), -1.0, 4.0),
        (Likelihood::GaussianPerPixel { link: real }, vec![2.0, -1.0], None, 2.0, (-1.0f64).exp()),
        (Likelihood::Laplace { scale: 0.5, link: real }, vec![1.0], None, 1.0, 0.5),
        (Likelihood::LaplaceShared { link: real }, vec![1.0], Some(0.25), 1.0, 0.125),
    ];
    for (likelihood, parameters, scale, mean, variance) in cases {
        let x: Vec<f64> = draws(likelihood, &parameters, scale, COUNT).into_iter().map(f64::from).collect();
        let found = x.iter().sum::<f64>() / COUNT as f64;
        let spread = x.iter().map(|v| (v - found).powi(2)).sum::<f64>() / COUNT as f64;
        assert!((found - mean).abs() < 5.0 * (variance / COUNT as f64).sqrt(), "{likelihood:?}: mean {found}");
        assert!((spread / variance - 1.0).abs() < 0.05, "{likelihood:?}: variance {spread}");
    }
}

#[test]
fn an_rgb_mixture_draws_its_channels_together() {
    // Green follows red by a coefficient near 1, blue follows neither.
    let likelihood = Likelihood::LogisticMixture { components: 1, channels: 3 };
    let x = draws(likelihood, &[0.0, 0.0, 0.0, 0.0, -1.5, -4.0, -1.5, 9.0, 0.0, 0.0], None, 20_000);
    let channel = |c: usize| x.iter().skip(c).step_by(3).map(|v| f64::from(*v)).collect::<Vec<_>>();
    let correlation = |a: &[f64], b: &[f64]| {
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let (ma, mb) = (mean(a), mean(b));
        let moment = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
        moment(&|x, y| x * y) / (moment(&|x, _| x * x) * moment(&|_, y| y * y)).sqrt()
    };
    assert!(correlation(&channel(0), &channel(1)) > 0.99);
    assert!(correlation(&channel(0), &channel(2)).abs() < 0.03);
}

#[test]
fn nothing_is_drawn_from_what_is_no_distribution() {
    for likelihood in [Likelihood::Sse { link: Link::Sigmoid }, Likelihood::Edge { shape: [1, 4, 4], weight: 1.0 }] {
        let stream = &mut Draws::new(0, Purpose::Likelihood, 0, 0);
        let error = likelihood.sample(row(&[0.0; 16]), None, stream).unwrap_err();
        assert!(error.to_string().contains("observation"), "{error}");
    }
}

#[test]
fn a_learned_scale_follows_the_batches_and_stays_in_evaluation() {
    let likelihood = Likelihood::GaussianShared { link: Link::Identity };
    let device = Device::default().autodiff();
    let observation = Observation::new(likelihood, &device);
    let training = || Pass::given(When::Training { epochs: 0.0 }, []);
    assert_eq!(observation.scale(), Some(1.0), "before any batch");
    let errors = |size: f32, device: &Device| Tensor::<2>::from_data([[size, -size], [size, size]], device);
    let nothing = |device: &Device| Tensor::<2>::zeros([2, 2], device);
    let pass = training();
    observation.nll(errors(2.0, &device), nothing(&device), &pass);
    assert_eq!(observation.scale(), Some(1.0), "a forward pass changes nothing");
    let observation = pass.absorbed(observation);
    assert_eq!(observation.scale(), Some(2.0), "the first batch is all that is known");
    let pass = training();
    let nll = values_of(observation.nll(errors(0.5, &device), nothing(&device), &pass));
    let observation = pass.absorbed(observation);
    // The batch's own scale in training: -log N(0.5 | 0, 0.5^2) twice.
    let expected = 2.0 * (0.5 + (0.5f64 * (2.0 * std::f64::consts::PI).sqrt()).ln());
    assert!((f64::from(nll[0]) - expected).abs() < 1e-6, "{nll:?}");
    let average = 0.9 * 4.0 + 0.1 * 0.25;
    assert!((observation.scale().unwrap() - f64::sqrt(average)).abs() < 1e-6);

    let plain = Device::default();
    let evaluated = observation.valid();
    let nll = values_of(evaluated.nll(errors(0.5, &plain), nothing(&plain), &Pass::still()));
    let fixed = Likelihood::Gaussian { sigma: f64::sqrt(average), link: Link::Identity };
    let expected = values_of(fixed.nll(errors(0.5, &plain), nothing(&plain)));
    assert!((nll[0] - expected[0]).abs() < 1e-5 && (evaluated.scale(), nll[1]) == (observation.scale(), nll[0]));
}

#[test]
fn exact_predictions_do_not_give_infinite_likelihoods() {
    let x = row(&[0.25, 0.5]);
    for likelihood in
        [Likelihood::GaussianShared { link: Link::Identity }, Likelihood::LaplaceShared { link: Link::Identity }]
    {
        let nll = values_of(likelihood.nll(x.clone(), x.clone()))[0];
        assert!(nll.is_finite() && nll < -9.0, "{likelihood:?}: {nll}");
    }
    assert!((MIN_LEARNED_SCALE.ln() + 6.0).abs() < 1e-12);
}

#[test]
fn every_likelihood_says_what_it_is_on_every_domain() {
    let shape = [1, 8, 8];
    for (name, honest) in [
        ("bernoulli", None),
        ("continuous-bernoulli", Some(Domain::Unit)),
        ("gaussian-shared", Some(Domain::Real)),
        ("gaussian-per-pixel", Some(Domain::Real)),
        ("laplace", Some(Domain::Real)),
        ("categorical", Some(Domain::Levels)),
        ("discretised-logistic", Some(Domain::Levels)),
        ("logistic-mixture", Some(Domain::Levels)),
        ("sse", None),
        ("ms-ssim", None),
        ("edge", None),
    ] {
        let config: ModelConfig = toml::from_str(&format!("likelihood = '{name}'")).expect("a name");
        let keys = config.likelihood_keys().expect("a VAE's");
        let likelihood = keys.likelihood(shape.into()).expect("8 x 8 pictures suit all");
        for domain in [Domain::Levels, Domain::Unit, Domain::Real] {
            assert_eq!(likelihood.fits(domain) == Suitability::Honest, honest == Some(domain), "{name} on {domain:?}");
        }
        let nats = likelihood.unit() == "nats per example";
        assert_eq!(nats, likelihood.is_distribution(), "{name}");
        assert_eq!(likelihood.bits(Domain::Levels).is_some(), nats, "{name}");
        assert_eq!(likelihood.definition().contains("surrogate"), likelihood.is_surrogate(), "{name}");
        assert_eq!(likelihood.definition().contains("not a log-likelihood"), !nats, "{name}");
    }
}

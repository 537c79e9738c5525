//! `vae` and `ae` against PyTorch in float64 (`fixtures/vae`, `fixtures/ae`): names and shapes of the parameters, every activation,
//! each term of the loss and every gradient, for each likelihood, network and objective.

#[path = "../../kernels/tests/support/comparison.rs"]
mod comparison;
#[path = "support/families.rs"]
mod families;
#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;
#[path = "support/pytorch.rs"]
mod pytorch;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use comparison::Table;
use elbo::data::batch::{Batch, Given};
use elbo::distributions::Likelihood;
use elbo::models::{
    Ae, Architecture, Capacity, Encode, Learner, LikelihoodKeys, LikelihoodName, Model, ObjectiveConfig, Posterior,
    Vae, VectorCode,
};
use elbo::networks::{MlpConfig, NetworkConfig, Nonlinearity, Pass, When};
use elbo::run::parameters;
use elbo::tensors::values_of;
use families::{Task, setting, with_model};
use fixture::{count, list, number, numbers, read, text};
use pytorch::{gradients_of, matrix, shape_of, with_weights};
use serde_json::Value;

const VAE: &str = "vae/cases.json";
const AE: &str = "ae/cases.json";

/// The largest relative error allowed.
const TOLERANCE: f64 = 1e-5;

fn network(case: &Value) -> NetworkConfig {
    let activation: Nonlinearity = serde_json::from_value(case["activation"].clone()).expect("a known activation");
    NetworkConfig::Mlp(MlpConfig { hidden: list(&case["hidden"]).iter().map(count).collect(), activation })
}

fn likelihood(case: &Value) -> Likelihood {
    let name: LikelihoodName = serde_json::from_value(case["likelihood"]["kind"].clone()).expect("a known likelihood");
    let sigma = case["likelihood"]["sigma"].as_f64();
    let keys = families::table("vae", "").likelihood_keys().expect("a VAE's");
    LikelihoodKeys { likelihood: name, sigma, ..keys }.likelihood([1, 1, 1].into()).expect("a valid likelihood")
}

/// The objective of a case; an autoencoder's has nothing to weight.
fn objective(case: &Value) -> ObjectiveConfig {
    let capacity = |c: &serde_json::Map<String, Value>| Capacity {
        gamma: number(&c["gamma"]),
        target: number(&c["target"]),
        epochs: 0.0,
    };
    ObjectiveConfig {
        beta: case["beta"].as_f64().unwrap_or(1.0),
        free_bits: case["free_bits"].as_f64().unwrap_or(0.0),
        capacity: case["capacity"].as_object().map(capacity),
        ..Default::default()
    }
}

/// A training pass with the noise of a case.
fn training(noise: Option<Tensor<2>>) -> Pass {
    Pass::given(When::Training { epochs: 0.0 }, noise)
}

/// Compares what both kinds of model have: loss terms and gradients.
fn compare_training<L: Learner>(table: &mut Table, case: &Value, model: &L, x: Tensor<2>, noise: Option<Tensor<2>>) {
    let name = text(&case["name"]);
    let loss = model.loss(0, &Batch::of(x), &training(noise));
    table.tensor(format_args!("{name} loss"), &values_of(loss.total.clone()), &[number(&case["loss"])]);
    for (report, scalar) in model.reports().iter().zip(&loss.reports) {
        let found = values_of(scalar.clone());
        match case.get(report.name) {
            Some(stored) => table.tensor(format_args!("{name} {}", report.name), &found, &[number(stored)]),
            None => assert_eq!((report.name, found.as_slice()), ("kl", &[0.0][..]), "{name}: an autoencoder has none"),
        }
    }
    let gradients = gradients_of(model, &loss.total);
    for ((parameter, _), gradient) in parameters::shapes(model).iter().zip(&gradients) {
        let stored = numbers(&case["gradients"][parameter]);
        let gradient = gradient.as_ref().expect("every parameter has a gradient");
        table.tensor(format_args!("{name} gradient of {parameter}"), gradient, &stored);
    }
}

#[test]
fn vae_forward_losses_and_gradients() {
    let device = Device::default().autodiff();
    let fixture = read(VAE);
    let mut table = Table::new(TOLERANCE);
    for case in list(&fixture["cases"]) {
        let (input, latent) = (count(&case["input"]), count(&case["latent"]));
        let network = network(case);
        let architecture = Architecture::new([1, 1, input], latent, &network, likelihood(case));
        let vae = Vae::init(&architecture, 0, &Device::default()).with_objective(objective(case));
        let vae = with_weights(vae.train(), case);
        let (x, noise) = (matrix(&case["x"], &device), matrix(&case["noise"], &device));
        let posterior = vae.gaussian(&Batch::of(x.clone()), &training(None));
        let z = posterior.sample(noise.clone());
        let found = [
            ("mean", values_of(posterior.mean.clone())),
            ("log_var", values_of(posterior.log_var.clone())),
            ("z", values_of(z.clone())),
            ("logits", values_of(vae.parameters(z, &Given::default(), &training(None)))),
            ("kl_per_dim", values_of(posterior.kl_to_standard_normal().mean_dim(0))),
        ];
        for (what, values) in found {
            table.tensor(format_args!("{} {what}", text(&case["name"])), &values, &numbers(&case[what]));
        }
        compare_training(&mut table, case, &vae, x, Some(noise));
    }
    // 35 cases of five tensors, three losses and ten gradients at least.
    table.assert_all(35 * 18);
}

#[test]
fn ae_forward_losses_and_gradients() {
    let device = Device::default().autodiff();
    let fixture = read(AE);
    let mut table = Table::new(TOLERANCE);
    for case in list(&fixture["cases"]) {
        let (input, latent) = (count(&case["input"]), count(&case["latent"]));
        let network = network(case);
        let architecture = Architecture::new([1, 1, input], latent, &network, likelihood(case));
        let ae = with_weights(Ae::init(&architecture, 0, &Device::default()).train(), case);
        let x = matrix(&case["x"], &device);
        let Posterior::Point(code) = ae.encode(&Batch::of(x.clone())) else {
            panic!("an autoencoder's code is a point")
        };
        let logits = ae.parameters(code.clone(), &Given::default(), &training(None));
        let found = [("code", values_of(code)), ("logits", values_of(logits))];
        for (what, values) in found {
            table.tensor(format_args!("{} {what}", text(&case["name"])), &values, &numbers(&case[what]));
        }
        compare_training(&mut table, case, &ae, x, None);
    }
    table.assert_all(37 * 12);
}

/// Hands a task the model of a case as recipes choose it, at run time.
fn chosen<T: Task>(kind: &str, case: &Value, task: T) -> T::Output {
    let config = families::table(kind, &format!("latent = {}", count(&case["latent"])));
    with_model(&config, &setting([1, 1, count(&case["input"])], &network(case)), 0, task)
}

struct Shapes;

impl Task for Shapes {
    type Output = Vec<(String, Vec<usize>)>;

    fn with<L: Learner + 'static>(self, model: L) -> Self::Output {
        parameters::shapes(&model)
    }
}

/// Loads the weights of a case, and forgets the type as whoever loads a run does.
struct Loaded<'a>(&'a Value);

impl Task for Loaded<'_> {
    type Output = Box<dyn Model>;

    fn with<L: Learner + 'static>(self, model: L) -> Self::Output {
        Box::new(with_weights(model, self.0))
    }
}

#[test]
fn parameters_have_the_names_and_shapes_of_pytorch() {
    for (file, kind) in [(VAE, "vae"), (AE, "ae")] {
        for case in list(&read(file)["cases"]) {
            let mut ours = chosen(kind, case, Shapes);
            let stored = case["weights"].as_object().expect("weights by name");
            let mut theirs: Vec<_> = stored.iter().map(|(name, array)| (name.clone(), shape_of(array))).collect();
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "{}", case["name"]);
        }
    }
}

#[test]
fn a_model_chosen_at_run_time_computes_the_same() {
    let device = Device::default();
    for (file, kind, mean) in [(VAE, "vae", "mean"), (AE, "ae", "code")] {
        let fixture = read(file);
        let case = &fixture["cases"][0];
        let model = chosen(kind, case, Loaded(case));
        let encoder = model.encoder().expect("it encodes");
        let code = encoder.encode(&Batch::of(matrix(&case["x"], &device)));
        let mut table = Table::new(TOLERANCE);
        table.tensor("mean", &values_of(code.mean()), &numbers(&case[mean]));
        table.assert_all(1);
        let sizes = (model.space().numel(), encoder.codes()[0].numel());
        assert_eq!(sizes, (count(&case["input"]), count(&case["latent"])));
    }
}

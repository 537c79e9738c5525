//! Convolutional and residual VAEs against PyTorch in float64 (`fixtures/conv`), for odd, rectangular, coloured and tiny images: names and shapes of the
//! parameters, every output in training and inference, running statistics, loss terms, gradients, and what each layer costs.

#[path = "../../kernels/tests/support/comparison.rs"]
mod comparison;
#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;
#[path = "support/network_table.rs"]
mod network_table;
#[path = "support/pytorch.rs"]
mod pytorch;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use comparison::Table;
use elbo::data::batch::{Batch, Given};
use elbo::models::{
    Family, Learner, LikelihoodName, ModelConfig, ObjectiveConfig, Setting, Vae, VaeConfig, VectorCode,
};
use elbo::networks::{NetworkConfig, Pass, When};
use elbo::run::parameters;
use elbo::tensors::values_of;
use fixture::{count, list, number, numbers, read, text};
use network_table::network;
use pytorch::{gradients_of, matrix, with_weights};
use serde_json::Value;

const CASES: &str = "conv/cases.json";

/// The largest relative error allowed. Batch norm over a handful of values enlarges float32's rounding.
const TOLERANCE: f64 = 2e-5;

fn sizes(array: &Value) -> Vec<usize> {
    list(array).iter().map(count).collect()
}

fn image(case: &Value) -> [usize; 3] {
    sizes(&case["shape"]).try_into().expect("channels, height and width")
}

fn config(case: &Value) -> VaeConfig {
    let likelihood: LikelihoodName =
        serde_json::from_value(case["likelihood"]["kind"].clone()).expect("a known likelihood");
    let sigma = case["likelihood"]["sigma"].as_f64();
    VaeConfig { likelihood, sigma, latent: count(&case["latent"]), ..Default::default() }
}

fn setting<'a>(case: &Value, network: &'a NetworkConfig) -> Setting<'a> {
    Setting { space: image(case).into(), classes: 0, ..Setting::of_tables(network, &ObjectiveConfig::PLAIN) }
}

/// The model of a case with its weights, taken in the way weight files are: checked by name and shape.
fn model(case: &Value) -> Vae {
    let network = network(case);
    let model = config(case).init(&setting(case, &network), 0, &Device::default()).expect("a valid model");
    with_weights(model, case)
}

/// A pass of the mode that the fixtures name, with the noise of a case.
fn pass(mode: &str, case: &Value, device: &Device) -> Pass {
    let when = if mode == "training" { When::Training { epochs: 0.0 } } else { When::Judging };
    Pass::given(when, [matrix(&case["noise"], device)])
}

/// Posterior, sample and logits.
fn compare_outputs(table: &mut Table, case: &Value, mode: &str, model: &Vae, pass: &Pass, device: &Device) {
    let posterior = model.gaussian(&Batch::of(matrix(&case["x"], device)), pass);
    let z = posterior.sample(matrix(&case["noise"], device));
    let logits = model.parameters(z.clone(), &Given::default(), pass);
    for (what, tensor) in [("mean", posterior.mean), ("log_var", posterior.log_var), ("z", z), ("logits", logits)] {
        let place = format!("{} {mode} {what}", text(&case["name"]));
        table.tensor(place, &values_of(tensor), &numbers(&case[mode][what]));
    }
}

/// Loss terms; returns the loss.
fn compare_terms(table: &mut Table, case: &Value, mode: &str, model: &Vae, device: &Device) -> Tensor<1> {
    let found = model.loss(0, &Batch::of(matrix(&case["x"], device)), &pass(mode, case, device));
    for (what, scalar) in [("recon", &found.reports[0]), ("kl", &found.reports[1]), ("loss", &found.total)] {
        let place = format!("{} {mode} {what}", text(&case["name"]));
        table.tensor(place, &values_of(scalar.clone()), &[number(&case[mode][what])]);
    }
    found.total
}

#[test]
fn inference() {
    let (fixture, device) = (read(CASES), Device::default());
    let mut table = Table::new(TOLERANCE);
    for case in list(&fixture["cases"]) {
        let model = model(case);
        compare_outputs(&mut table, case, "inference", &model, &pass("inference", case, &device), &device);
        compare_terms(&mut table, case, "inference", &model, &device);
    }
    table.assert_all(13 * 7);
}

#[test]
fn training_moves_the_running_statistics() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let (mut table, mut statistics) = (Table::new(TOLERANCE), 0);
    for case in list(&fixture["cases"]) {
        let model = model(case).train();
        let pass = pass("training", case, &device);
        compare_outputs(&mut table, case, "training", &model, &pass, &device);
        let model = pass.absorbed(model);
        let updated = case["updated"].as_object().expect("statistics by name");
        let found = parameters::export(&model);
        for (name, stored) in updated {
            let tensor = found.iter().find(|tensor| tensor.name == *name).expect("a running statistic");
            table.tensor(format!("{} updated {name}", text(&case["name"])), &tensor.values, &numbers(stored));
        }
        statistics += updated.len();
    }
    assert!(statistics >= 36, "{statistics}");
    table.assert_all(13 * 4 + statistics);
}

#[test]
fn losses_and_gradients() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let (mut table, mut count) = (Table::new(TOLERANCE), 0);
    for case in list(&fixture["cases"]) {
        let model = model(case).train();
        let loss = compare_terms(&mut table, case, "training", &model, &device);
        let stored = |name: &str| case["gradients"].get(name).map(numbers);
        let shapes = parameters::shapes(&model);
        let largest =
            shapes.iter().filter_map(|(name, _)| stored(name)).flatten().fold(0.0, |most: f64, g| most.max(g.abs()));
        for ((name, _), gradient) in shapes.iter().zip(gradients_of(&model, &loss)) {
            let (Some(mut gradient), Some(mut expected)) = (gradient, stored(name)) else {
                assert!(name.contains("running"), "{name} has no gradient");
                continue;
            };
            // A bias before a batch norm moves nothing: what is left is rounding, held against the largest gradient of all.
            if expected.iter().all(|g| *g == 0.0) {
                gradient.push(largest as f32);
                expected.push(largest);
            }
            table.tensor(format!("{} gradient of {name}", text(&case["name"])), &gradient, &expected);
            count += 1;
        }
    }
    assert!(count > 13 * 12, "{count}");
    table.assert_all(13 * 3 + count);
}

#[test]
fn parameters_have_the_names_and_shapes_of_pytorch() {
    for case in list(&read(CASES)["cases"]) {
        let mut ours = parameters::shapes(&model(case));
        let stored = case["weights"].as_object().expect("weights by name");
        let mut theirs: Vec<_> = stored.iter().map(|(name, array)| (name.clone(), sizes(&array["shape"]))).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{}", case["name"]);
    }
}

#[test]
fn costs_are_what_pytorch_counts() {
    for case in list(&read(CASES)["cases"]) {
        let network = network(case);
        let rows = ModelConfig::from(config(case)).layers(&setting(case, &network));
        let parameters: u128 = rows.iter().map(|row| row.parameters).sum();
        assert_eq!(parameters, count(&case["parameters"]) as u128, "{}", case["name"]);
        let mut ours: Vec<(&str, u128)> =
            rows.iter().filter(|row| row.flops > 0).map(|row| (row.name.as_str(), row.flops)).collect();
        let stored = case["flops"].as_object().expect("operations by layer");
        let mut theirs: Vec<(&str, u128)> =
            stored.iter().map(|(name, flops)| (name.as_str(), count(flops) as u128)).collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs, "{}", case["name"]);
    }
}

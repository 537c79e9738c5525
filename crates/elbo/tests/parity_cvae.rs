//! `cvae` against PyTorch in float64 (`fixtures/cvae`), fully connected, convolutional and residual: names and shapes of the parameters, every output in
//! training and in use, running statistics, loss terms, and every gradient, the embedding's of classes that are not in the batch included.

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
    Cvae, CvaeConfig, Family, Learner, LikelihoodName, ModelConfig, ObjectiveConfig, Setting, VectorCode,
};
use elbo::networks::{NetworkConfig, Pass, When};
use elbo::run::parameters;
use elbo::tensors::values_of;
use fixture::{count, list, number, numbers, read, text};
use network_table::network;
use pytorch::{gradients_of, matrix, shape_of, with_weights};
use serde_json::Value;

const CASES: &str = "cvae/cases.json";

/// The largest relative error allowed.
const TOLERANCE: f64 = 1e-5;

fn config(case: &Value) -> CvaeConfig {
    let likelihood: LikelihoodName =
        serde_json::from_value(case["likelihood"]["kind"].clone()).expect("a known likelihood");
    let sigma = case["likelihood"]["sigma"].as_f64();
    CvaeConfig { likelihood, sigma, latent: count(&case["latent"]), ..Default::default() }
}

fn setting<'a>(case: &Value, network: &'a NetworkConfig) -> Setting<'a> {
    let shape: [usize; 3] = shape(case).try_into().expect("channels, height and width");
    let tables = Setting::of_tables(network, &ObjectiveConfig::PLAIN);
    Setting { space: shape.into(), classes: count(&case["classes"]), ..tables }
}

fn shape(case: &Value) -> Vec<usize> {
    list(&case["shape"]).iter().map(count).collect()
}

/// The model of a case with its weights, taken in the way weight files are: checked by name and shape.
fn model(case: &Value) -> Cvae {
    let network = network(case);
    let model = config(case).init(&setting(case, &network), 0, &Device::default()).expect("a valid model");
    with_weights(model, case)
}

/// Examples with their classes.
fn batch(case: &Value, device: &Device) -> Batch {
    let classes: Vec<u32> = list(&case["class"]).iter().map(|class| count(class) as u32).collect();
    Batch { x: matrix(&case["x"], device).into(), given: Given::of_classes(&classes, device) }
}

/// A pass of the mode that the fixtures name, with the noise of a case.
fn pass(mode: &str, case: &Value, device: &Device) -> Pass {
    let when = if mode == "training" { When::Training { epochs: 0.0 } } else { When::Judging };
    Pass::given(when, [matrix(&case["noise"], device)])
}

/// Posterior, sample and logits.
fn compare_outputs(table: &mut Table, case: &Value, mode: &str, model: &Cvae, pass: &Pass, device: &Device) {
    let batch = batch(case, device);
    let posterior = model.gaussian(&batch, pass);
    let z = posterior.sample(matrix(&case["noise"], device));
    let logits = model.parameters(z.clone(), &batch.given, pass);
    let per_dim = values_of(posterior.kl_to_standard_normal().mean_dim(0));
    table.tensor(format!("{} {mode} KL", text(&case["name"])), &per_dim, &numbers(&case[mode]["kl_per_dim"]));
    for (what, tensor) in [("mean", posterior.mean), ("log_var", posterior.log_var), ("z", z), ("logits", logits)] {
        let place = format!("{} {mode} {what}", text(&case["name"]));
        table.tensor(place, &values_of(tensor), &numbers(&case[mode][what]));
    }
}

/// Loss terms; returns the loss.
fn compare_terms(table: &mut Table, case: &Value, mode: &str, model: &Cvae, device: &Device) -> Tensor<1> {
    let found = model.loss(0, &batch(case, device), &pass(mode, case, device));
    for (what, scalar) in [("recon", &found.reports[0]), ("kl", &found.reports[1]), ("loss", &found.total)] {
        let place = format!("{} {mode} {what}", text(&case["name"]));
        table.tensor(place, &values_of(scalar.clone()), &[number(&case[mode][what])]);
    }
    found.total
}

#[test]
fn in_use() {
    let (fixture, device) = (read(CASES), Device::default());
    let (mut table, mut cases) = (Table::new(TOLERANCE), 0);
    // With a learned scale PyTorch's twin keeps no average to use.
    for case in list(&fixture["cases"]).iter().filter(|case| case.get("inference").is_some()) {
        let model = model(case);
        compare_outputs(&mut table, case, "inference", &model, &pass("inference", case, &device), &device);
        compare_terms(&mut table, case, "inference", &model, &device);
        cases += 1;
    }
    assert_eq!(cases, 12);
    table.assert_all(cases * 8);
}

#[test]
fn training_moves_the_running_statistics() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let (mut table, mut statistics) = (Table::new(TOLERANCE), 0);
    for case in list(&fixture["cases"]) {
        let (model, pass) = (model(case).train(), pass("training", case, &device));
        compare_outputs(&mut table, case, "training", &model, &pass, &device);
        let found = parameters::export(&pass.absorbed(model));
        for (name, stored) in case["updated"].as_object().expect("statistics by name") {
            let tensor = found.iter().find(|tensor| tensor.name == *name).expect("a running statistic");
            table.tensor(format!("{} updated {name}", text(&case["name"])), &tensor.values, &numbers(stored));
            statistics += 1;
        }
    }
    assert_eq!(statistics, 24);
    table.assert_all(14 * 5 + statistics);
}

#[test]
fn losses_and_gradients() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let (mut table, mut gradients, mut embeddings) = (Table::new(TOLERANCE), 0, 0);
    for case in list(&fixture["cases"]) {
        let (name, model) = (text(&case["name"]), model(case).train());
        let loss = compare_terms(&mut table, case, "training", &model, &device);
        let stored = |parameter: &str| case["gradients"].get(parameter).map(numbers);
        let shapes = parameters::shapes(&model);
        let largest =
            shapes.iter().filter_map(|(name, _)| stored(name)).flatten().fold(0.0, |most: f64, g| most.max(g.abs()));
        for ((parameter, _), gradient) in shapes.iter().zip(gradients_of(&model, &loss)) {
            let (Some(mut gradient), Some(mut expected)) = (gradient, stored(parameter)) else {
                assert!(parameter.contains("running"), "{name}: {parameter} has no gradient");
                continue;
            };
            // A bias before a batch norm moves nothing: what is left is rounding, held against the largest gradient of all.
            if expected.iter().all(|g| *g == 0.0) {
                gradient.push(largest as f32);
                expected.push(largest);
            }
            table.tensor(format!("{name} gradient of {parameter}"), &gradient, &expected);
            gradients += 1;
            embeddings += usize::from(parameter == "class_embedding.weight");
        }
        assert_eq!(
            case["gradients"].as_object().expect("by name").len(),
            shapes.iter().filter(|(n, _)| stored(n).is_some()).count()
        );
    }
    assert_eq!(embeddings, 7, "every network of maps has an embedding");
    table.assert_all(14 * 3 + gradients);
}

/// The embedding of a class is moved by its examples alone.
#[test]
fn classes_that_are_not_in_the_batch_have_no_gradient() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let mut absent = 0;
    for case in list(&fixture["cases"]) {
        let model = model(case).train();
        let loss = model.loss(0, &batch(case, &device), &pass("training", case, &device)).total;
        let shapes = parameters::shapes(&model);
        let Some(place) = shapes.iter().position(|(name, _)| name == "class_embedding.weight") else { continue };
        let gradient = gradients_of(&model, &loss).swap_remove(place).expect("a gradient");
        let width = shapes[place].1[1];
        for (class, row) in gradient.chunks_exact(width).enumerate() {
            let present = list(&case["class"]).iter().any(|found| count(found) == class);
            assert_eq!(row.iter().any(|g| *g != 0.0), present, "{} class {class}", text(&case["name"]));
            absent += usize::from(!present);
        }
    }
    assert!(absent >= 6, "{absent}");
}

#[test]
fn parameters_have_the_names_and_shapes_of_pytorch() {
    for case in list(&read(CASES)["cases"]) {
        let mut ours = parameters::shapes(&model(case));
        ours.retain(|(name, _)| name != "observation.running_error");
        let stored = case["weights"].as_object().expect("weights by name");
        let mut theirs: Vec<_> = stored.iter().map(|(name, array)| (name.clone(), shape_of(array))).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{}", case["name"]);
        let network = network(case);
        let told = ModelConfig::from(config(case)).parameters(&setting(case, &network));
        assert_eq!(told, count(&case["parameters"]) as u128, "{}", case["name"]);
    }
}

/// What a class is told reaches encoder and decoder: another class gives another code and another picture.
#[test]
fn the_class_reaches_encoder_and_decoder() {
    let device = Device::default();
    for case in list(&read(CASES)["cases"]).iter().filter(|case| count(&case["classes"]) > 1) {
        let (model, batch) = (model(case), batch(case, &device));
        let told = |class: u32| {
            let given = Given::of_class(class, batch.len(), &device);
            let z = Tensor::zeros([batch.len(), count(&case["latent"])], &device);
            let code = model.gaussian(&Batch { x: batch.x.clone(), given: given.clone() }, &Pass::still()).mean;
            [values_of(code), values_of(model.parameters(z, &given, &Pass::still()))]
        };
        let (first, second) = (told(0), told(1));
        assert!(first.iter().zip(&second).all(|(a, b)| a != b), "{}", text(&case["name"]));
    }
}

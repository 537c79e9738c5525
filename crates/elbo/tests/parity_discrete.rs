//! Quantisers, a VQ-VAE, a VQ-VAE-2 and the causal transformer against PyTorch in float64 (`fixtures/discrete`): codes,
//! losses, gradients, moving averages, and a hundred steps of AdamW.

#[path = "../../kernels/tests/support/comparison.rs"]
mod comparison;
#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;
#[path = "support/pytorch.rs"]
mod pytorch;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use comparison::Table;
use elbo::data::batch::{Batch, Given};
use elbo::distributions::{Likelihood, Link};
use elbo::models::{Autoregressive, AutoregressiveConfig, Discrete, Learner, QuantisedArchitecture, VqVae, VqVae2};
use elbo::networks::{
    CodebookKind, CodebookStart, ConvConfig, Estimator, NetworkConfig, Nonlinearity, Normalization, Pass,
    QuantizerConfig, When,
};
use elbo::run::parameters;
use elbo::space::{Domain, Rows, Space};
use elbo::tensors::values_of;
use elbo::training::{Optimizer, OptimizerConfig, OptimizerKind};
use fixture::{count, list, number, numbers, read, text};
use pytorch::{gradients_of, matrix, with_weights};
use serde_json::Value;

const CASES: &str = "discrete/cases.json";

/// The largest relative error allowed.
const TOLERANCE: f64 = 1e-5;

fn training() -> Pass {
    Pass::given(When::Training { epochs: 0.0 }, [])
}

fn quantizer(case: &Value) -> QuantizerConfig {
    let kind = match text(&case["kind"]) {
        "ema" => CodebookKind::Ema,
        "gradient" => CodebookKind::Gradient,
        _ => CodebookKind::Fsq,
    };
    let rotates = text(&case["gradient"]) == "rotation";
    QuantizerConfig {
        kind,
        codes: count(&case["codes"]),
        dims: count(&case["dims"]),
        groups: count(&case["groups"]),
        depth: count(&case["depth"]),
        cosine: case["cosine"].as_bool().expect("a truth value"),
        start: CodebookStart::Uniform,
        gradient: if rotates { Estimator::Rotation } else { Estimator::StraightThrough },
        levels: list(&case["levels"]).iter().map(count).collect(),
        ..QuantizerConfig::default()
    }
}

/// The space, network and likelihood of the cases.
fn parts(fixture: &Value) -> (Space, NetworkConfig, Likelihood) {
    let shape: Vec<usize> = list(&fixture["shape"]).iter().map(count).collect();
    let network = NetworkConfig::Conv(ConvConfig {
        channels: list(&fixture["channels"]).iter().map(count).collect::<Vec<_>>().into(),
        kernel: count(&fixture["kernel"]),
        norm: Normalization::None,
        activation: Nonlinearity::Tanh,
        ..ConvConfig::default()
    });
    let likelihood = Likelihood::Gaussian { sigma: number(&fixture["sigma"]), link: Link::Sigmoid };
    ([shape[0], shape[1], shape[2]].into(), network, likelihood)
}

fn vq_vae(fixture: &Value, case: &Value, device: &Device) -> VqVae {
    let (space, network, likelihood) = parts(fixture);
    let architecture = QuantisedArchitecture { space, network: &network, quantizer: &quantizer(case), likelihood };
    with_weights(VqVae::init(&architecture, 0, device), case)
}

fn vq_vae_2(fixture: &Value, case: &Value, device: &Device) -> VqVae2 {
    let (space, network, likelihood) = parts(fixture);
    let architecture = QuantisedArchitecture { space, network: &network, quantizer: &quantizer(case), likelihood };
    with_weights(VqVae2::init(&architecture, 0, device), case)
}

/// The loss with its terms, every gradient, and what the averages become, of a model of discrete codes.
fn compare<M: Learner>(table: &mut Table, model: M, case: &Value, batch: &Batch) {
    let (name, pass) = (text(&case["name"]), training());
    let loss = model.loss(0, batch, &pass);
    for (what, value) in [("recon", &loss.reports[0]), ("penalty", &loss.reports[1]), ("loss", &loss.total)] {
        table.tensor(format!("{name} {what}"), &values_of(value.clone()), &[number(&case[what])]);
    }
    let stored = case["gradients"].as_object().expect("gradients by name");
    let shapes = parameters::shapes(&model);
    let mut compared = 0;
    for ((parameter, _), gradient) in shapes.iter().zip(gradients_of(&model, &loss.total)) {
        let (Some(gradient), Some(expected)) = (gradient, stored.get(parameter)) else { continue };
        table.tensor(format!("{name} gradient of {parameter}"), &gradient, &numbers(expected));
        compared += 1;
    }
    assert_eq!(compared, stored.len(), "{name}: every gradient");

    let after = parameters::export(&pass.absorbed(model));
    for (buffer, expected) in case["updated"].as_object().expect("averages by name") {
        let found = after.iter().find(|tensor| tensor.name == *buffer).expect("a buffer");
        table.tensor(format!("{name} updated {buffer}"), &found.values, &numbers(expected));
    }
}

/// The loss and every gradient of a prior.
fn compare_loss<M: Learner>(table: &mut Table, model: &M, case: &Value, batch: &Batch) {
    let loss = model.loss(0, batch, &training()).total;
    table.tensor("loss", &values_of(loss.clone()), &[number(&case["loss"])]);
    let stored = case["gradients"].as_object().expect("gradients by name");
    for ((name, _), gradient) in parameters::shapes(model).iter().zip(gradients_of(model, &loss)) {
        table.tensor(format!("gradient of {name}"), &gradient.expect("a gradient"), &numbers(&stored[name]));
    }
}

/// Entries of one map: those that are found and those that are stored.
fn assert_codes(found: Tensor<2, Int>, stored: &Value, what: &str) {
    let found: Vec<i32> = found.into_data_as::<i32>().try_into_vec().unwrap();
    let stored: Vec<i32> = list(stored).iter().map(|index| count(index) as i32).collect();
    assert_eq!(found, stored, "{what}: codes");
}

#[test]
fn codes_losses_gradients_and_averages_of_two_levels() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let mut table = Table::new(TOLERANCE);
    let cases = list(&fixture["two_levels"]);
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (name, model) = (text(&case["name"]), vq_vae_2(&fixture, case, &device).train());
        let batch = Batch::of(matrix(&case["x"], &device));
        let found = model.quantise(&batch);
        assert_eq!(found.len(), 2, "{name}: a top and a bottom level");
        for (level, found) in found.into_iter().enumerate() {
            assert_codes(found.indices, &list(&case["indices"])[level], name);
            let z = numbers(&list(&case["z"])[level]);
            table.tensor(format!("{name} level {level} quantised"), &values_of(found.codes), &z);
        }
        compare(&mut table, model, case, &batch);
    }
    // Two maps, three terms and 22 gradients of layers each; six averages by moving, eight by residual
    // codes twice, four books by gradient.
    table.assert_all(4 * (2 + 3 + 22) + 6 + 12 + 4);
}

#[test]
fn codes_losses_gradients_and_averages_of_every_option() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let mut table = Table::new(TOLERANCE);
    for case in list(&fixture["cases"]) {
        let (name, model) = (text(&case["name"]), vq_vae(&fixture, case, &device).train());
        let batch = Batch::of(matrix(&case["x"], &device));
        let found = model.quantise(&batch).swap_remove(0);
        assert_codes(found.indices, &case["indices"], name);
        table.tensor(format!("{name} quantised"), &values_of(found.codes), &numbers(&case["z"]));
        compare(&mut table, model, case, &batch);
    }
    table.assert_all(9 * 4 + 9 * 12);
}

fn transformer(case: &Value, device: &Device) -> Autoregressive {
    let shape: Vec<usize> = list(&case["shape"]).iter().map(count).collect();
    let of = count(&case["symbols"]);
    let space = Space::new([shape[0], shape[1], shape[2]], Domain::Index { of });
    let [width, layers, heads] = ["width", "layers", "heads"].map(|key| count(&case[key]));
    let lists = |value: &Value| -> Vec<usize> { list(value).iter().map(count).collect() };
    let maps: Vec<[usize; 3]> = case.get("maps").map_or(Vec::new(), |maps| {
        list(maps).iter().map(|map| lists(map).try_into().expect("channels, height, width")).collect()
    });
    let tokens = maps.iter().map(|map| map.iter().product::<usize>()).sum();
    let space = if maps.is_empty() { space } else { Space::new([1, 1, tokens], space.domain) };
    let config = AutoregressiveConfig { width, layers, heads, dropout: 0.0, dropped_labels: 0.0, maps };
    with_weights(Autoregressive::init(space, count(&case["classes"]), &config, 0, device), case)
}

/// Rows, and as classes the starts, of which the last stands for none.
fn batch(case: &Value, device: &Device) -> (Rows, Vec<i32>) {
    let rows: Vec<i32> = list(&case["rows"]).iter().flat_map(|row| list(row).iter().map(|s| count(s) as i32)).collect();
    let starts = list(&case["starts"]).iter().map(|start| count(start) as i32).collect();
    let width = rows.len() / list(&case["rows"]).len();
    (Rows::symbols(rows, width, device), starts)
}

#[test]
fn logits_loss_gradients_and_a_hundred_steps_of_the_transformer() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let case = &list(&fixture["transformer"])[0];
    let mut model = transformer(case, &device).train();
    let (rows, starts) = batch(case, &device.clone().without_autodiff());
    let mut table = Table::new(TOLERANCE);
    let n = starts.len();
    let starts = Tensor::<1, Int>::from_data(TensorData::new(starts, [n]), &device);
    let steps = model.transformer().shape().in_steps(rows.index());
    let logits = model.transformer().forward(steps, starts.clone(), &Pass::still());
    table.tensor("logits", &values_of(logits), &numbers(&case["logits"]));
    // The class beyond the last is "no class", so the starts may be handed over as classes.
    let mut given = Given::default();
    given.class = Some(starts);
    let batch = Batch { x: rows, given };
    compare_loss(&mut table, &model, case, &batch);
    table.assert_all(2 + 33);

    let mut optimizer = Optimizer::new(OptimizerConfig {
        kind: OptimizerKind::AdamW,
        betas: [0.9, 0.95],
        weight_decay: 0.05,
        ..OptimizerConfig::default()
    });
    // Rounding grows from step to step; over a hundred it stays below this.
    let mut table = Table::new(1e-4);
    for (step, expected) in list(&case["losses"]).iter().enumerate() {
        let loss = model.loss(0, &batch, &training()).total;
        table.tensor(format!("loss at step {step}"), &values_of(loss.clone()), &[number(expected)]);
        let gradients = GradientsParams::from_module(&mut loss.backward(), &model);
        model = optimizer.step(model, gradients, 1e-3).0;
    }
    table.assert_all(100);
}

#[test]
fn logits_loss_and_gradients_of_a_prior_over_two_maps() {
    let (fixture, device) = (read(CASES), Device::default().autodiff());
    let case = &list(&fixture["maps"])[0];
    let model = transformer(case, &device).train();
    let (rows, starts) = batch(case, &device.clone().without_autodiff());
    let mut table = Table::new(TOLERANCE);
    let n = starts.len();
    let mut given = Given::default();
    given.class = Some(Tensor::<1, Int>::from_data(TensorData::new(starts, [n]), &device));
    // What a symbol costs, from the stored logits of each map: a place's channels follow each other there.
    let symbols: Vec<i32> = rows.index().into_data_as::<i32>().try_into_vec().unwrap();
    let mut expected = vec![0f64; symbols.len()];
    for (first, [channels, places], logits) in
        [(0, [1, 3], 0), (3, [2, 4], 1)].map(|(f, s, i)| (f, s, &case["logits"][i]))
    {
        for (at, row) in numbers(logits).chunks_exact(count(&case["symbols"])).enumerate() {
            let (example, step) = (at / (channels * places), at % (channels * places));
            let place = example * 11 + first + step % channels * places + step / channels;
            let sum: f64 = row.iter().map(|logit| logit.exp()).sum();
            expected[place] = sum.ln() - row[symbols[place] as usize];
        }
    }
    table.tensor("surprise", &model.surprise(&rows.index(), &given), &expected);
    let batch = Batch { x: rows, given };
    compare_loss(&mut table, &model, case, &batch);
    table.assert_all(2 + 33 + 35);
}

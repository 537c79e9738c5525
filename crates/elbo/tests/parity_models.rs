//! `vae` and `ae` against PyTorch in float64 (`fixtures/vae`, `fixtures/ae`): names and shapes of the parameters, every activation,
//! each term of the loss and every gradient, for each likelihood, network and objective.

#[path = "../../kernels/tests/support/comparison.rs"]
mod comparison;
#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;
#[path = "support/pytorch.rs"]
mod pytorch;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use comparison::Table;
use elbo::distributions::Likelihood;
use elbo::models::{Ae, AnyModel, LikelihoodName, Model, ModelConfig, ModelKind, Objective, Vae};
use elbo::networks::{MlpConfig, NetworkConfig, Nonlinearity};
use elbo::run::parameters;
use elbo::tensors::values_of;
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
    let config = ModelConfig { likelihood: name, sigma: case["likelihood"]["sigma"].as_f64(), ..Default::default() };
    config.likelihood([1, 1, 1]).expect("a valid likelihood")
}

/// The objective of a case; an autoencoder's has nothing to weight.
fn objective(case: &Value) -> Objective {
    let capacity = case["capacity"].as_object().map(|c| (number(&c["gamma"]), number(&c["target"])));
    Objective {
        beta: case["beta"].as_f64().unwrap_or(1.0),
        free_bits: case["free_bits"].as_f64().unwrap_or(0.0),
        capacity,
    }
}

/// Compares what both kinds of model have: loss terms and gradients.
fn compare_training<M: Model + Module>(table: &mut Table, case: &Value, model: &M, x: Tensor<2>, noise: Tensor<2>) {
    let name = text(&case["name"]);
    let weighted = objective(case).apply(model.terms(x, noise));
    for (what, scalar) in
        [("loss", Some(&weighted.loss)), ("recon", Some(&weighted.recon)), ("kl", weighted.kl.as_ref())]
    {
        match (scalar, case.get(what)) {
            (Some(scalar), Some(stored)) => {
                table.tensor(format_args!("{name} {what}"), &values_of(scalar.clone()), &[number(stored)]);
            }
            (scalar, stored) => assert!(scalar.is_none() && stored.is_none(), "{name}: {what} on one side only"),
        }
    }
    let gradients = gradients_of(model, &weighted.loss);
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
        let vae = Vae::init([1, 1, input], latent, &network(case), likelihood(case), 0, &Device::default());
        let vae = with_weights(vae.train(), case);
        let (x, noise) = (matrix(&case["x"], &device), matrix(&case["noise"], &device));
        let posterior = vae.posterior(x.clone());
        let z = posterior.sample(noise.clone());
        let found = [
            ("mean", values_of(posterior.mean.clone())),
            ("log_var", values_of(posterior.log_var.clone())),
            ("z", values_of(z.clone())),
            ("logits", values_of(vae.decode(z))),
            ("kl_per_dim", values_of(posterior.kl_to_standard_normal().mean_dim(0))),
        ];
        for (what, values) in found {
            table.tensor(format_args!("{} {what}", text(&case["name"])), &values, &numbers(&case[what]));
        }
        compare_training(&mut table, case, &vae, x, noise);
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
        let ae = Ae::init([1, 1, input], latent, &network(case), likelihood(case), 0, &Device::default());
        let ae = with_weights(ae.train(), case);
        let x = matrix(&case["x"], &device);
        let code = ae.encode(x.clone());
        assert!(code.log_var.is_none());
        let found = [("code", values_of(code.mean.clone())), ("logits", values_of(ae.decode(code.mean)))];
        for (what, values) in found {
            table.tensor(format_args!("{} {what}", text(&case["name"])), &values, &numbers(&case[what]));
        }
        let noise = Tensor::zeros([count(&case["batch"]), ae.noise_dims()], &device);
        compare_training(&mut table, case, &ae, x, noise);
    }
    table.assert_all(37 * 12);
}

/// The model of a case as recipes choose it, at run time.
fn chosen(kind: ModelKind, case: &Value) -> AnyModel {
    let config = ModelConfig { kind, latent: count(&case["latent"]), ..Default::default() };
    config.init(&network(case), [1, 1, count(&case["input"])], 0, &Device::default()).expect("a valid model")
}

#[test]
fn parameters_have_the_names_and_shapes_of_pytorch() {
    for (file, kind) in [(VAE, ModelKind::Vae), (AE, ModelKind::Ae)] {
        for case in list(&read(file)["cases"]) {
            let mut ours = parameters::shapes(&chosen(kind, case));
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
    for (file, kind) in [(VAE, ModelKind::Vae), (AE, ModelKind::Ae)] {
        let fixture = read(file);
        let case = &fixture["cases"][0];
        let model = with_weights(chosen(kind, case), case);
        let code = model.encode(matrix(&case["x"], &device));
        let stored = if kind == ModelKind::Vae { &case["mean"] } else { &case["code"] };
        let mut table = Table::new(TOLERANCE);
        table.tensor("mean", &values_of(code.mean), &numbers(stored));
        table.assert_all(1);
        assert_eq!((model.input(), model.latent()), (count(&case["input"]), count(&case["latent"])));
    }
}

//! The first 100 steps of training against PyTorch in float64 (`fixtures/training`): same weights, batches and noise, five settings of
//! likelihood, optimiser, reduction, clipping, learning rate and KL weight.

#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use elbo::data::batch::Batch;
use elbo::distributions::{Likelihood, Link};
use elbo::models::{Architecture, Learner, ObjectiveConfig, Vae};
use elbo::networks::{NetworkConfig, Pass, When};
use elbo::run::parameters;
use elbo::run::weights::{self, NamedTensor, WeightFile};
use elbo::training::{Optimizer, OptimizerConfig, OptimizerKind, Schedule};
use elbo_kernels::gather_bytes;
use fixture::{count, list, number, numbers, read, text};
use safetensors::SafeTensors;
use serde_json::Value;

const STEPS: usize = 100;
const BATCH: usize = 16;
const INPUT: usize = 784;
const LATENT: usize = 8;

/// What the five runs share.
struct Start {
    weights: Vec<NamedTensor>,
    images: Vec<u8>,
    indices: Vec<u32>,
    noise: Vec<f32>,
}

fn four_bytes(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    bytes.as_chunks().0.iter().copied()
}

impl Start {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/training/first_steps.safetensors");
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let data = |name: &str| file.tensor(name).expect("a tensor of the fixture").data();
        let mut weights = Vec::new();
        for (name, view) in file.iter() {
            if !["images", "indices", "noise"].contains(&name) {
                let values = four_bytes(view.data()).map(f32::from_le_bytes).collect();
                weights.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values });
            }
        }
        Self {
            weights,
            images: data("images").to_vec(),
            indices: four_bytes(data("indices")).map(u32::from_le_bytes).collect(),
            noise: four_bytes(data("noise")).map(f32::from_le_bytes).collect(),
        }
    }

    /// The model before its first step.
    fn model(&self, likelihood: Likelihood, objective: ObjectiveConfig) -> Vae {
        let network = NetworkConfig::mlp(&[32]);
        let architecture = Architecture::new([1, 1, INPUT], LATENT, &network, likelihood);
        let vae = Vae::init(&architecture, 0, &Device::default()).with_objective(objective).train();
        let file = WeightFile { tensors: self.weights.clone(), metadata: BTreeMap::new() };
        let tensors = weights::check(file, &parameters::shapes(&vae), "fixture").expect("the weights of this model");
        parameters::import(vae, tensors)
    }

    /// Images and noise of a step.
    fn batch(&self, step: usize, device: &Device) -> (Tensor<2>, Tensor<2>) {
        let chosen = &self.indices[step * BATCH..(step + 1) * BATCH];
        let noise = &self.noise[step * BATCH * LATENT..(step + 1) * BATCH * LATENT];
        let x = TensorData::new(gather_bytes(&self.images, INPUT, chosen), [BATCH, INPUT]);
        let noise = TensorData::new(noise.to_vec(), [BATCH, LATENT]);
        (Tensor::from_data(x, device), Tensor::from_data(noise, device))
    }
}

fn likelihood(run: &Value) -> Likelihood {
    match text(&run["likelihood"]["kind"]) {
        "bernoulli" => Likelihood::Bernoulli,
        "sse" => Likelihood::Sse { link: Link::Sigmoid },
        "gaussian" => Likelihood::Gaussian { sigma: number(&run["likelihood"]["sigma"]), link: Link::Sigmoid },
        other => panic!("likelihood {other}"),
    }
}

fn optimizer(run: &Value) -> OptimizerConfig {
    let betas = numbers(&run["betas"]);
    OptimizerConfig {
        kind: if run["optimizer"] == "adamw" { OptimizerKind::AdamW } else { OptimizerKind::Adam },
        lr: number(&run["lr"]),
        betas: [betas[0], betas[1]],
        eps: number(&run["eps"]),
        weight_decay: number(&run["weight_decay"]),
        // A bound never reached changes nothing, and has the optimiser report the norm.
        clip_norm: run["clip_norm"].as_f64().unwrap_or(1e30),
        ..Default::default()
    }
}

/// One step's numbers under the names of the trace.
type Step = [(&'static str, f64); 6];

/// Trains as `run` says and returns each step's numbers. An epoch here is the whole run: 100 steps.
fn train(start: &Start, run: &Value) -> Vec<Step> {
    let device = Device::default().autodiff();
    let warm_up = count(&run["warm_up_steps"]) as f64 / STEPS as f64;
    let objective = ObjectiveConfig { beta: number(&run["beta"]), warmup_epochs: warm_up, ..Default::default() };
    let mut model = start.model(likelihood(run), objective);
    let mut optimizer = Optimizer::new(optimizer(run));
    let schedule = run["lr_min"].as_f64().map_or(Schedule::Constant, |min_lr| Schedule::Cosine { min_lr });
    let scalar = |tensor: &Tensor<1>| f64::from(tensor.clone().into_scalar::<f32>());
    let mut steps = Vec::new();
    for step in 0..STEPS {
        let done = step as f64 / STEPS as f64;
        let (when, lr) = (When::Training { epochs: done }, schedule.rate(optimizer.lr(), done, 1.0));
        let (x, noise) = start.batch(step, &device);
        let loss = model.loss(0, &Batch::of(x), &Pass::given(when, [noise]));
        let stepped_on = if run["reduction"] == "sum" { loss.total.clone() * BATCH as f64 } else { loss.total.clone() };
        let gradients = GradientsParams::from_grads(stepped_on.backward(), &model);
        let (moved, stepped) = optimizer.step(model, gradients, lr);
        model = moved;
        assert_eq!(stepped.not_finite, None);
        let norm = stepped.gradient_norm.expect("clipping is on");
        steps.push([
            ("loss", scalar(&loss.total)),
            ("recon", scalar(&loss.reports[0])),
            ("kl", scalar(&loss.reports[1])),
            ("lr", lr),
            ("beta", model.weights(when)[0].1),
            ("gradient_norm", norm),
        ]);
    }
    assert_eq!(optimizer.time(), STEPS as u64);
    steps
}

#[test]
fn a_hundred_steps_of_each_setting() {
    let (start, fixture) = (Start::read(), read("training/first_steps.json"));
    let runs = list(&fixture["runs"]);
    assert_eq!(runs.len(), 5);
    let (mut failures, mut worst) = (Vec::new(), 0f64);
    for run in runs {
        let (name, trace) = (text(&run["name"]), &run["trace"]);
        for (i, step) in train(&start, run).into_iter().enumerate() {
            for (what, found) in step {
                let stored = numbers(&trace[what])[i];
                // `lr` and `beta` are not rounded to float32 on the way.
                let allowed = if ["lr", "beta"].contains(&what) { 1e-9 } else { 1e-4 } * stored.abs();
                worst = worst.max((found - stored).abs() / stored.abs().max(1e-9));
                if (found - stored).abs() > allowed || found.is_nan() {
                    failures.push(format!("{name}, step {i}: {what} {found}, stored {stored}"));
                }
            }
        }
    }
    println!("largest relative difference {worst:.1e}");
    let count = failures.len();
    failures.truncate(20);
    assert!(count == 0, "{count} numbers differ, the first of them:\n{}", failures.join("\n"));
}

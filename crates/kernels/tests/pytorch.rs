//! The fused operations against numbers PyTorch computed in float64 (`fixtures/kernels`), through Burn's autodiff, at every
//! instruction set this machine has.

mod support {
    pub mod comparison;
    pub mod fixture;
    pub mod layer;
}

use std::process::Command;

use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::simd::{self, Level};
use elbo_kernels::{Activation, AdamStep, adam, bernoulli_nll, linear};
use serde_json::Value;
use support::comparison::Table;
use support::fixture::{count, list, number, numbers, read, text};
use support::layer::{ACTIVATIONS, Layer, gradient, values};

const NUMBERS: &str = "kernels/linear.json";

fn activation(name: &str) -> Activation {
    ACTIVATIONS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("activation {name}")).1
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|v| v as f32).collect()
}

#[test]
fn layers_and_their_gradients() {
    let fixture = read(NUMBERS);
    let mut table = Table::new(1e-5);
    for case in list(&fixture["linear"]) {
        let layer = Layer {
            batch: count(&case["batch"]),
            inputs: count(&case["inputs"]),
            outputs: count(&case["outputs"]),
            x: floats(&case["x"]),
            weight: floats(&case["w"]),
            bias: floats(&case["b"]),
            dy: floats(&case["dy"]),
        };
        let found = layer.run(|x, weight, bias| linear(x, weight, bias, activation(text(&case["activation"]))));
        for (name, values) in found {
            table.tensor(format_args!("{} {name}", text(&case["name"])), &values, &numbers(&case[name]));
        }
    }
    table.assert_all(4 * 24);
}

/// A number that the fixture stores as text, because JSON has no NaN.
fn special(value: &Value) -> f64 {
    text(value).parse().unwrap_or_else(|_| panic!("a number as text, not {value}"))
}

/// Whether `found` is `expected`: NaN for NaN, an infinity for itself, otherwise up to float32's rounding and an absolute `floor`.
fn agrees(found: f32, expected: f64, floor: f64) -> bool {
    let found = f64::from(found);
    found == expected
        || (found.is_nan() && expected.is_nan())
        || (found - expected).abs() <= 1e-6 * expected.abs() + floor
}

/// Tails may come out as anything that small.
const NOTHING: f64 = 1e-30;

#[test]
fn activations_at_special_points() {
    let fixture = read(NUMBERS);
    let mut failures = Vec::new();
    for (name, activation) in ACTIVATIONS {
        let mut points: Vec<_> = list(&fixture["activations"]).iter().filter(|p| p["activation"] == name).collect();
        assert_eq!(points.len(), 15, "{name}");
        // Over and over, to fill whole vectors and a rest: each point is met at several places.
        points = points.iter().copied().cycle().take(45).collect();
        let layer = Layer {
            batch: 1,
            inputs: 1,
            outputs: points.len(),
            x: vec![1.0],
            weight: points.iter().map(|p| special(&p["x"]) as f32).collect(),
            bias: vec![0.0; points.len()],
            dy: vec![1.0; points.len()],
        };
        let [(_, value), _, _, (_, derivative)] = layer.run(|x, weight, bias| linear(x, weight, bias, activation));
        for (i, point) in points.iter().enumerate() {
            for (what, found) in [("value", value[i]), ("derivative", derivative[i])] {
                let (stored, limit) = (special(&point[what]), special(&point[&format!("limit_{what}")]));
                if !agrees(found, stored, NOTHING) && !agrees(found, limit, NOTHING) {
                    failures.push(format!("{name} {what} at {}: {found}, stored {stored}, limit {limit}", point["x"]));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn bernoulli_at_special_logits() {
    let fixture = read(NUMBERS);
    let points = list(&fixture["bernoulli"]);
    assert_eq!(points.len(), 27);
    let device = Device::default().autodiff();
    let mut failures = Vec::new();
    for point in points {
        let matrix = |value: &Value| Tensor::<2>::full([1, 1], special(value) as f32, &device);
        let logits = matrix(&point["logit"]).require_grad();
        let loss = bernoulli_nll(logits.clone(), matrix(&point["x"]));
        let slope = gradient(&logits, &loss.backward())[0];
        // The gradient is a difference, sigmoid(logit) - x, of numbers up to 1.
        for (what, found, floor) in [("loss", values(loss)[0], NOTHING), ("gradient", slope, f64::from(f32::EPSILON))] {
            if !agrees(found, special(&point[what]), floor) {
                failures
                    .push(format!("{what} at {} for {}: {found}, stored {}", point["logit"], point["x"], point[what]));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn step_of(case: &Value, time: usize) -> AdamStep {
    let (betas, decay) = (numbers(&case["betas"]), number(&case["weight_decay"]));
    let decoupled = case["decoupled"] == true;
    AdamStep {
        lr: number(&case["lr"]),
        beta1: betas[0],
        beta2: betas[1],
        eps: number(&case["eps"]),
        l2: if decoupled { 0.0 } else { decay },
        decay: if decoupled { decay } else { 0.0 },
        gradient_scale: 1.0,
        time: time as u64,
    }
}

#[test]
fn optimizers_step_by_step() {
    let fixture = read(NUMBERS);
    let device = Device::default();
    let vector = |values: &[f32]| Tensor::<1>::from_data(TensorData::new(values.to_vec(), [values.len()]), &device);
    let mut table = Table::new(1e-5);
    for case in list(&fixture["optimizers"]) {
        let name = text(&case["name"]);
        let start = floats(&case["start"]);
        let width = start.len();
        let (mut weight, mut m, mut v) = (vector(&start), vector(&vec![0.0; width]), vector(&vec![0.0; width]));
        let (gradients, params) = (floats(&case["gradients"]), numbers(&case["params"]));
        for (time, (gradient, expected)) in gradients.chunks(width).zip(params.chunks(width)).enumerate() {
            let updated = adam(weight, vector(gradient), m, v, &step_of(case, time + 1));
            assert!(updated.finite, "{name}, step {}", time + 1);
            (weight, m, v) = (updated.weight, updated.m, updated.v);
            table.tensor(format_args!("{name}, step {}", time + 1), &values(weight.clone()), expected);
        }
        table.tensor(format_args!("{name}, first moment"), &values(m), &numbers(&case["exp_avg"]));
        table.tensor(format_args!("{name}, second moment"), &values(v), &numbers(&case["exp_avg_sq"]));
    }
    table.assert_all(7 * 12);
}

/// The level a value of `ELBO_SIMD` asks for.
fn asked_for(name: &str) -> Level {
    match name {
        "baseline" => Level::Baseline,
        "avx2" => Level::Avx2,
        _ => panic!("level {name}"),
    }
}

#[test]
fn the_level_asked_for_is_the_level_used() {
    if let Ok(name) = std::env::var("ELBO_SIMD") {
        assert_eq!(simd::level(), asked_for(&name));
    }
}

/// Runs all other tests of this file again, in processes of their own: the level is chosen once in a process.
#[test]
fn every_lower_level_passes_the_same_tests() {
    let own_level = simd::level();
    let lower: &[&str] = match own_level {
        Level::Avx512 => &["avx2", "baseline"],
        Level::Avx2 => &["baseline"],
        Level::Baseline => &[],
    };
    let program = std::env::current_exe().expect("a test program has a path");
    for name in lower {
        let output = Command::new(&program)
            .args(["--skip", "every_lower_level", "--test-threads", "1"])
            .env("ELBO_SIMD", name)
            .output()
            .expect("the test program starts");
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "at level {name}:\n{report}");
        assert!(report.contains("test the_level_asked_for_is_the_level_used ... ok"), "{report}");
        assert!(report.contains("test layers_and_their_gradients ... ok"), "{report}");
    }
}

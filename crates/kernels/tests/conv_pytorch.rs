//! Convolutions and batch normalisation against numbers PyTorch computed in float64 (`fixtures/kernels/conv.json`), at every instruction set
//! this machine has.

mod support {
    pub mod activations;
    pub mod comparison;
    pub mod fixture;
    pub mod images;
}

use std::process::Command;

use burn::tensor::Tensor;
use elbo_kernels::simd::{self, Level};
use elbo_kernels::{
    Activation, Conv1dGeometry, ConvGeometry, ConvTranspose1dGeometry, ConvTransposeGeometry, average_pool, batch_norm,
    batch_norm_inference, conv_transpose1d, conv_transpose2d, conv1d, conv2d, group_norm, upsample_nearest,
};
use serde_json::Value;
use support::activations::ACTIVATIONS;
use support::comparison::Table;
use support::fixture::{count, list, number, numbers, read, text};
use support::images::{Array, ConvLayer, Results, gradient, values};

const NUMBERS: &str = "kernels/conv.json";
const STRIDES: &str = "kernels/strides.json";

fn activation(case: &Value) -> Activation {
    let name = text(&case["activation"]);
    ACTIVATIONS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("activation {name}")).1
}

fn array<const D: usize>(value: &Value) -> Array<D> {
    let dims: Vec<usize> = list(&value["shape"]).iter().map(count).collect();
    let values = numbers(value).into_iter().map(|v| v as f32).collect();
    Array { dims: dims.try_into().unwrap_or_else(|dims| panic!("{D} dimensions, not {dims:?}")), values }
}

fn check_layers<const D: usize>(
    (file, name, least): (&str, &str, usize),
    run: impl Fn(&Value, &ConvLayer<D>) -> Results,
) {
    let fixture = read(file);
    let mut table = Table::new(1e-5);
    for (index, case) in list(&fixture[name]).iter().enumerate() {
        let layer = ConvLayer { x: array(&case["x"]), weight: array(&case["w"]), bias: array(&case["b"]) };
        for (what, values) in run(case, &layer) {
            table.tensor(format_args!("{name} {index} {what}"), &values, &numbers(&case[what]));
        }
    }
    table.assert_all(4 * least);
}

#[test]
fn convolutions() {
    check_layers((NUMBERS, "conv2d", 9), |case, layer| {
        let geometry = ConvGeometry { stride: count(&case["stride"]), padding: [count(&case["padding"]); 2] };
        layer.run(|x, w, b| conv2d(x, w, b, geometry, activation(case)), |_| array(&case["dy"]))
    });
}

#[test]
fn transposed_convolutions() {
    check_layers((NUMBERS, "conv_transpose2d", 9), |case, layer| {
        let geometry = ConvTransposeGeometry {
            stride: count(&case["stride"]),
            padding: [count(&case["padding"]); 2],
            output_padding: [count(&case["output_padding"]); 2],
        };
        layer.run(|x, w, b| conv_transpose2d(x, w, b, geometry, activation(case)), |_| array(&case["dy"]))
    });
}

fn two(value: &Value) -> [usize; 2] {
    let [rows, cols] = list(value) else { panic!("two numbers, not {value}") };
    [count(rows), count(cols)]
}

#[test]
fn strides_that_differ_between_rows_and_columns() {
    check_layers((STRIDES, "conv2d", 3), |case, layer| {
        let geometry = ConvGeometry { stride: two(&case["stride"]), padding: two(&case["padding"]) };
        layer.run(|x, w, b| conv2d(x, w, b, geometry, activation(case)), |_| array(&case["dy"]))
    });
    check_layers((STRIDES, "conv_transpose2d", 3), |case, layer| {
        let geometry = ConvTransposeGeometry {
            stride: two(&case["stride"]),
            padding: two(&case["padding"]),
            output_padding: two(&case["output_padding"]),
        };
        layer.run(|x, w, b| conv_transpose2d(x, w, b, geometry, activation(case)), |_| array(&case["dy"]))
    });
}

#[test]
fn convolutions_of_sequences() {
    check_layers((STRIDES, "conv1d", 5), |case, layer| {
        let geometry = Conv1dGeometry { stride: count(&case["stride"]), padding: count(&case["padding"]) };
        layer.run(|x, w, b| conv1d(x, w, b, geometry, activation(case)), |_| array(&case["dy"]))
    });
    check_layers((STRIDES, "conv_transpose1d", 5), |case, layer| {
        let geometry = ConvTranspose1dGeometry {
            stride: count(&case["stride"]),
            padding: count(&case["padding"]),
            output_padding: count(&case["output_padding"]),
        };
        layer.run(|x, w, b| conv_transpose1d(x, w, b, geometry, activation(case)), |_| array(&case["dy"]))
    });
}

/// A change of resolution by a factor in height and width.
type Resample = fn(Tensor<4>, [usize; 2]) -> Tensor<4>;

#[test]
fn changes_of_resolution() {
    let fixture = read("kernels/resample.json");
    let mut table = Table::new(1e-6);
    let ops: [(&str, Resample); 2] = [("upsample_nearest", upsample_nearest), ("average_pool", average_pool)];
    for (name, op) in ops {
        for (index, case) in list(&fixture[name]).iter().enumerate() {
            let x = array::<4>(&case["x"]).tensor().require_grad();
            let y = op(x.clone(), two(&case["factor"]));
            let gradients = (y.clone() * array::<4>(&case["dy"]).tensor()).sum().backward();
            table.tensor(format_args!("{name} {index} y"), &values(y), &numbers(&case["y"]));
            table.tensor(format_args!("{name} {index} dx"), &gradient(&x, &gradients), &numbers(&case["dx"]));
        }
    }
    table.assert_all(2 * 4 * 2);
}

fn check_batch_norm<const D: usize>(table: &mut Table, index: usize, case: &Value) {
    let vector = |name: &str| array::<1>(&case[name]).tensor();
    let (eps, momentum) = (number(&case["eps"]), number(&case["momentum"]));
    let dy = array::<D>(&case["dy"]).tensor();
    let mut check = |prefix: &str, what: &str, found: Vec<f32>| {
        let name = format!("{prefix}{what}");
        table.tensor(format_args!("batch_norm {index} {name}"), &found, &numbers(&case[name.as_str()]));
    };
    for prefix in ["", "inference_"] {
        let x = array::<D>(&case["x"]).tensor().require_grad();
        let (gamma, beta) = (vector("gamma").require_grad(), vector("beta").require_grad());
        let (running_mean, running_var) = (vector("running_mean"), vector("running_var"));
        let y: Tensor<D> = if prefix.is_empty() {
            let (y, mean, variance) = batch_norm(x.clone(), gamma.clone(), beta.clone(), eps, activation(case));
            let count = x.shape().num_elements() as f64 / gamma.dims()[0] as f64;
            let unbiased = variance.clone() * (count / (count - 1.0));
            check("", "updated_mean", values(running_mean * (1.0 - momentum) + mean.clone() * momentum));
            check("", "updated_var", values(running_var * (1.0 - momentum) + unbiased * momentum));
            check("", "mean", values(mean));
            check("", "variance", values(variance));
            y
        } else {
            batch_norm_inference(
                x.clone(),
                gamma.clone(),
                beta.clone(),
                running_mean,
                running_var,
                eps,
                activation(case),
            )
        };
        let gradients = (y.clone() * dy.clone()).sum().backward();
        check(prefix, "y", values(y));
        check(prefix, "dx", gradient(&x, &gradients));
        check(prefix, "dgamma", gradient(&gamma, &gradients));
        check(prefix, "dbeta", gradient(&beta, &gradients));
    }
}

#[test]
fn batch_normalisation() {
    let fixture = read(NUMBERS);
    // The case of mean 10 and deviation 0.1 loses two digits of x itself.
    let mut table = Table::new(1e-4);
    for (index, case) in list(&fixture["batch_norm"]).iter().enumerate() {
        match list(&case["x"]["shape"]).len() {
            2 => check_batch_norm::<2>(&mut table, index, case),
            4 => check_batch_norm::<4>(&mut table, index, case),
            other => panic!("{other} dimensions"),
        }
    }
    table.assert_all(6 * 12);
}

#[test]
fn group_normalisation() {
    let fixture = read("kernels/group_norm.json");
    // As for batch normalisation.
    let mut table = Table::new(1e-4);
    for (index, case) in list(&fixture["group_norm"]).iter().enumerate() {
        let x = array::<4>(&case["x"]).tensor().require_grad();
        let [gamma, beta] = ["gamma", "beta"].map(|name| array::<1>(&case[name]).tensor().require_grad());
        let (groups, eps) = (count(&case["groups"]), number(&case["eps"]));
        let y = group_norm(x.clone(), groups, gamma.clone(), beta.clone(), eps, activation(case));
        let gradients = (y.clone() * array::<4>(&case["dy"]).tensor()).sum().backward();
        let found = [
            ("y", values(y)),
            ("dx", gradient(&x, &gradients)),
            ("dgamma", gradient(&gamma, &gradients)),
            ("dbeta", gradient(&beta, &gradients)),
        ];
        for (what, values) in found {
            table.tensor(format_args!("group_norm {index} {what}"), &values, &numbers(&case[what]));
        }
    }
    table.assert_all(8 * 4);
}

#[test]
fn the_level_asked_for_is_the_level_used() {
    let asked = std::env::var("ELBO_SIMD");
    let expected = match asked.as_deref() {
        Ok("baseline") => Level::Baseline,
        Ok("avx2") => Level::Avx2,
        _ => return,
    };
    assert_eq!(simd::level(), expected);
}

/// Runs all other tests of this file again, in processes of their own: the level is chosen once in a process.
#[test]
fn every_lower_level_passes_the_same_tests() {
    let lower: &[&str] = match simd::level() {
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
        assert!(report.contains("test convolutions ... ok"), "{report}");
    }
}

//! The reconstruction terms against PyTorch in float64 (`fixtures/likelihoods`), against their plain twins, at extremes, and as
//! distributions: what they give must add or integrate to 1.

mod support {
    pub mod comparison;
    pub mod fixture;
}

use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{Activation, Link, Reconstruction, linear_reconstruction, reconstruction, reference};
use serde_json::Value;
use support::comparison::Table;
use support::fixture::{count, list, numbers, read, text};

/// All terms but the shared scales and surrogates, which are made from these.
fn term(case: &Value) -> Option<Reconstruction> {
    let spec = &case["likelihood"];
    let link = if text(&spec["link"]) == "identity" { Link::Identity } else { Link::Sigmoid };
    Some(match text(&spec["kind"]) {
        "bernoulli" => Reconstruction::Bernoulli,
        "continuous-bernoulli" => Reconstruction::ContinuousBernoulli,
        "gaussian-per-pixel" => Reconstruction::Gaussian(link),
        "discretised-logistic" => Reconstruction::DiscretisedLogistic,
        "logistic-mixture" => Reconstruction::LogisticMixture {
            components: count(&spec["components"]),
            channels: count(&list(&case["shape"])[0]),
        },
        "categorical" => Reconstruction::Categorical,
        "sse" => Reconstruction::SquaredError(link),
        _ => return None,
    })
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("float32")
}

type Op = fn(Reconstruction, Tensor<2>, Tensor<2>) -> Tensor<1>;

/// Values and the gradient of their weighted sum by the parameters.
fn run(op: Op, term: Reconstruction, parameters: &[f32], x: &[f32], weights: &[f32]) -> [Vec<f32>; 2] {
    let device = Device::default().autodiff();
    let batch = weights.len();
    let matrix = |values: &[f32]| {
        Tensor::<2>::from_data(TensorData::new(values.to_vec(), [batch, values.len() / batch]), &device)
    };
    let (parameters, weights) = (
        matrix(parameters).require_grad(),
        Tensor::<1>::from_data(TensorData::new(weights.to_vec(), [batch]), &device),
    );
    let nll = op(term, parameters.clone(), matrix(x));
    let gradients = (nll.clone() * weights).sum().backward();
    let slopes = values(parameters.grad(&gradients).expect("a gradient"));
    [values(nll), slopes]
}

fn floats(array: &Value) -> Vec<f32> {
    numbers(array).into_iter().map(|value| value as f32).collect()
}

#[test]
fn terms_and_gradients_are_pytorchs() {
    let fixture = read("likelihoods/terms.json");
    let mut table = Table::new(5e-6);
    for case in list(&fixture["cases"]) {
        let Some(term) = term(case) else { continue };
        for (who, op) in [("fused", reconstruction as Op), ("plain", reference::reconstruction as Op)] {
            let [parameters, x, weights] = ["parameters", "x", "weights"].map(|name| floats(&case[name]));
            let [nll, slopes] = run(op, term, &parameters, &x, &weights);
            let name = text(&case["name"]);
            table.tensor(format_args!("{who} {name}"), &nll, &numbers(&case["nll"]));
            table.tensor(format_args!("{who} gradient of {name}"), &slopes, &numbers(&case["gradient"]));
        }
    }
    table.assert_all(4 * 13);
}

/// One example beside several rows of parameters, on both sides and with gradients.
#[test]
fn an_example_given_once_stands_for_its_copies() {
    let (examples, share) = (2, 3);
    for term in TERMS {
        let width = 6;
        let outputs = match term {
            Reconstruction::LogisticMixture { channels, .. } => width / channels * term.output_channels(channels),
            _ => term.output_channels(width),
        };
        let device = Device::default().autodiff();
        let tensor = |count: usize, rows: usize, value: fn(usize) -> f32| {
            let values = (0..rows * count).map(value).collect::<Vec<_>>();
            Tensor::<2>::from_data(TensorData::new(values, [rows, count]), &device)
        };
        let x = tensor(width, examples, |i| (i * 50 % 256) as f32 / 255.0);
        let copies = x.clone().unsqueeze_dim::<3>(1).repeat_dim(1, share).reshape([examples * share, width]);
        let slopes_and_values = |op: Op, x: Tensor<2>| {
            let parameters = tensor(outputs, examples * share, |i| (i * 37 % 199) as f32 / 66.0 - 1.5).require_grad();
            let nll = op(term, parameters.clone(), x);
            let gradients = nll.clone().sum().backward();
            (values(nll), values(parameters.grad(&gradients).expect("a gradient")))
        };
        for op in [reconstruction as Op, reference::reconstruction as Op] {
            assert_eq!(slopes_and_values(op, x.clone()), slopes_and_values(op, copies.clone()), "{term:?}");
        }
    }
}

/// In one pass on a plain device, in two where a gradient is asked for.
#[test]
fn the_term_of_a_layer_is_that_of_its_outputs() {
    let (batch, share, inputs) = (6, 3, 5);
    for term in TERMS {
        let [parameters, x] = arguments(term, batch, 2, 1.0);
        let (width, outputs) = (x.len() / batch, parameters.len() / batch);
        let run = |device: &Device, together: bool| {
            let tensor = |rows: usize, columns: usize, seed: usize| {
                let values: Vec<f32> =
                    (0..rows * columns).map(|i| ((i * 37 + seed) % 199) as f32 / 200.0 - 0.5).collect();
                Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), device)
            };
            let mut operands = [tensor(batch, inputs, 1), tensor(outputs, inputs, 2), tensor(1, outputs, 3)];
            if device.is_autodiff() {
                operands = operands.map(Tensor::require_grad);
            }
            let [h, weight, bias] = operands.clone();
            let bias = bias.reshape([outputs]);
            let examples = x[..batch / share * width].to_vec();
            let target = Tensor::<2>::from_data(TensorData::new(examples, [batch / share, width]), device);
            let nll = if together {
                linear_reconstruction(term, h, weight, bias, target)
            } else {
                reference::reconstruction(term, reference::linear(h, weight, bias, Activation::None), target)
            };
            let slopes = if device.is_autodiff() {
                let gradients = nll.clone().sum().backward();
                operands.iter().flat_map(|operand| values(operand.grad(&gradients).expect("a gradient"))).collect()
            } else {
                Vec::new()
            };
            [values(nll), slopes]
        };
        for device in [Device::default(), Device::default().autodiff()] {
            for (found, expected) in run(&device, true).iter().zip(&run(&device, false)) {
                assert_eq!(found.len(), expected.len());
                let size = expected.iter().fold(1f32, |most, v| most.max(v.abs()));
                for (found, expected) in found.iter().zip(expected) {
                    assert!((found - expected).abs() <= 1e-5 * size, "{term:?}: {found} for {expected}");
                }
            }
        }
    }
}

const TERMS: [Reconstruction; 13] = [
    Reconstruction::Bernoulli,
    Reconstruction::ContinuousBernoulli,
    Reconstruction::SquaredError(Link::Sigmoid),
    Reconstruction::SquaredError(Link::Identity),
    Reconstruction::AbsoluteError(Link::Sigmoid),
    Reconstruction::AbsoluteError(Link::Identity),
    Reconstruction::Gaussian(Link::Sigmoid),
    Reconstruction::Gaussian(Link::Identity),
    Reconstruction::DiscretisedLogistic,
    Reconstruction::LogisticMixture { components: 1, channels: 1 },
    Reconstruction::LogisticMixture { components: 3, channels: 3 },
    Reconstruction::LogisticMixture { components: 2, channels: 2 },
    Reconstruction::Categorical,
];

/// Outputs for `pixels` pixels of six (so that 1, 2 and 3 channels fit): examples, and bytes as data.
fn arguments(term: Reconstruction, batch: usize, pixels: usize, reach: f32) -> [Vec<f32>; 2] {
    let width = 6 * pixels;
    let outputs = match term {
        Reconstruction::LogisticMixture { channels, .. } => width / channels * term.output_channels(channels),
        _ => term.output_channels(width),
    };
    let draw = |seed: usize, i: usize| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0;
    let parameters = (0..batch * outputs).map(|i| reach * draw(1, i)).collect();
    let x = (0..batch * width).map(|i| ((draw(2, i) * 170.0 + 128.0) as u8) as f32 / 255.0).collect();
    [parameters, x]
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

#[test]
fn fused_terms_are_their_twins() {
    // A continuous Bernoulli's terms have either sign, and their sum may be small.
    let mut table = Table::new(3e-5);
    for term in TERMS {
        // Around the width of a tile, 256 values.
        for (batch, pixels) in [(1, 1), (3, 7), (2, 43), (5, 86), (2, 260)] {
            let [parameters, x] = arguments(term, batch, pixels, 3.0);
            let weights: Vec<f32> = (0..batch).map(|i| 1.0 + i as f32 / 4.0).collect();
            let fused = run(reconstruction, term, &parameters, &x, &weights);
            let plain = run(reference::reconstruction, term, &parameters, &x, &weights);
            for (what, (fused, plain)) in ["value", "gradient"].iter().zip(fused.iter().zip(&plain)) {
                table.tensor(format_args!("{term:?} {batch} x {pixels} {what}"), fused, &doubles(plain));
            }
            let without = Tensor::<2>::from_data(
                TensorData::new(parameters, [batch, fused[1].len() / batch]),
                &Device::default(),
            );
            let x = Tensor::from_data(TensorData::new(x, [batch, 6 * pixels]), &Device::default());
            assert_eq!(values(reconstruction(term, without, x)), fused[0], "{term:?}: the value alone is the same");
        }
    }
    table.assert_all(13 * 5 * 2);
}

#[test]
fn extreme_outputs_give_finite_values_and_gradients() {
    for term in TERMS {
        for reach in [1e-30, 30.0, 200.0, 1e4] {
            let [parameters, x] = arguments(term, 4, 11, reach);
            let [nll, slopes] = run(reconstruction, term, &parameters, &x, &[1.0; 4]);
            assert!(nll.iter().chain(&slopes).all(|v| v.is_finite()), "{term:?} with outputs to {reach}");
        }
    }
}

#[test]
fn nan_in_an_output_reaches_its_example_and_no_other() {
    for term in TERMS {
        let [mut parameters, x] = arguments(term, 3, 5, 1.0);
        let [clean, _] = run(reconstruction, term, &parameters, &x, &[1.0; 3]);
        let place = parameters.len() / 3 + 1;
        parameters[place] = f32::NAN;
        let [nll, slopes] = run(reconstruction, term, &parameters, &x, &[1.0; 3]);
        assert!(nll[1].is_nan() && slopes[place].is_nan(), "{term:?}: {nll:?}");
        assert_eq!([nll[0], nll[2]], [clean[0], clean[2]], "{term:?}");
    }
}

/// `-ln p` of single values under the same parameters.
fn single(term: Reconstruction, parameters: &[f32], x: &[f32]) -> Vec<f64> {
    let count = x.len();
    let rows = TensorData::new(parameters.repeat(count), [count, parameters.len()]);
    let x = Tensor::<2>::from_data(TensorData::new(x.to_vec(), [count, 1]), &Device::default());
    doubles(&values(reconstruction(term, Tensor::from_data(rows, &Device::default()), x)))
}

#[test]
fn probabilities_of_levels_add_to_one() {
    let levels: Vec<f32> = (0..256).map(|byte| byte as f32 / 255.0).collect();
    let one = Reconstruction::LogisticMixture { components: 2, channels: 1 };
    let logits: Vec<f32> = (0..256).map(|j| ((j * 37) % 101) as f32 / 10.0 - 5.0).collect();
    let mut cases = vec![(Reconstruction::Categorical, logits)];
    for mean in [-3.0, -1.0, -0.31, 0.0, 0.52, 0.99, 2.0] {
        for raw in [-12.0, -7.0, -5.0, -2.0, 0.0, 3.0] {
            cases.push((Reconstruction::DiscretisedLogistic, vec![mean, raw]));
            cases.push((one, vec![0.3, -0.4, mean, -mean, raw, -1.0]));
        }
    }
    for (term, parameters) in cases {
        let total: f64 = single(term, &parameters, &levels).iter().map(|nll| (-nll).exp()).sum();
        assert!((total - 1.0).abs() < 1e-6, "{term:?} {parameters:?}: {total}");
    }
}

#[test]
fn an_rgb_mixture_adds_to_one_over_all_colours_of_a_few_levels() {
    // Given red and green, blue's 256 probabilities add to the joint probability of the two; and so on to 1. Three nested sums of 256 are too many:
    // blue is summed for some colours, against the mixture of the first two channels alone.
    let term = Reconstruction::LogisticMixture { components: 2, channels: 3 };
    let (logits, means, scales) = ([0.4, -0.7], [0.1, -0.3, 0.5, -0.8, 0.9, 0.0], [-1.0, -2.0, -3.0, -0.5, -2.5, -4.0]);
    let coefficients = [0.5, -1.0, 0.25, 2.0, -0.1, 0.7];
    let parameters: Vec<f32> = [&logits[..], &means, &scales, &coefficients].concat();
    let blue_levels: Vec<f32> = (0..256).map(|byte| byte as f32 / 255.0).collect();
    for (red, green) in [(0u8, 255u8), (17, 80), (200, 131), (255, 0)] {
        let (r, g) = (f32::from(red) / 255.0, f32::from(green) / 255.0);
        let rows: Vec<f32> = blue_levels.iter().flat_map(|&b| [r, g, b]).collect();
        let x = Tensor::<2>::from_data(TensorData::new(rows, [256, 3]), &Device::default());
        let outputs =
            Tensor::from_data(TensorData::new(parameters.repeat(256), [256, parameters.len()]), &Device::default());
        let found: f64 = doubles(&values(reconstruction(term, outputs, x))).iter().map(|nll| (-nll).exp()).sum();
        let y_red = 2.0 * r - 1.0;
        let share = |k: usize| f64::from(logits[k].exp()) / logits.iter().map(|l| f64::from(l.exp())).sum::<f64>();
        let expected: f64 = (0..2)
            .map(|k| {
                let level = |c: usize, shift: f32, x: f32| {
                    let pair = [means[3 * k + c] + shift, scales[3 * k + c]];
                    (-single(Reconstruction::DiscretisedLogistic, &pair, &[x])[0]).exp()
                };
                share(k) * level(0, 0.0, r) * level(1, coefficients[3 * k].tanh() * y_red, g)
            })
            .sum();
        assert!((found - expected).abs() < 2e-6 * expected.max(1e-3), "{red} {green}: {found} {expected}");
    }
}

#[test]
fn densities_integrate_to_one() {
    // Simpson's rule on float64 sums of float32 values.
    let integral = |term, parameters: &[f32], low: f64, high: f64| {
        let n = 20_000usize;
        let step = (high - low) / n as f64;
        let x: Vec<f32> = (0..=n).map(|i| (low + i as f64 * step) as f32).collect();
        let weight = |i: usize| {
            if i == 0 || i == n {
                1.0
            } else if i % 2 == 1 {
                4.0
            } else {
                2.0
            }
        };
        single(term, parameters, &x).iter().enumerate().map(|(i, nll)| weight(i) * (-nll).exp()).sum::<f64>() * step
            / 3.0
    };
    for logit in [-30.0, -3.0, -0.71, -0.69, -1e-3, 0.0, 1e-6, 0.2, 0.7, 5.0, 40.0] {
        let total = integral(Reconstruction::ContinuousBernoulli, &[logit], 0.0, 1.0);
        assert!((total - 1.0).abs() < 1e-5, "continuous Bernoulli {logit}: {total}");
    }
    for (mean, raw) in [(0.0, 0.0), (2.0, -3.0), (-1.0, 2.0)] {
        let reach = 12.0 * (0.5 * f64::from(raw)).exp();
        let total = integral(
            Reconstruction::Gaussian(Link::Identity),
            &[mean, raw],
            f64::from(mean) - reach,
            f64::from(mean) + reach,
        );
        assert!((total - 1.0).abs() < 1e-4, "Gaussian {mean} {raw}: {total}");
    }
}

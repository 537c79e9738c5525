//! Convolutions and batch normalisation against their plain Burn twins in [`elbo_kernels::reference`], values and gradients.

mod support {
    pub mod activations;
    pub mod comparison;
    pub mod grids;
    pub mod images;
}

use burn::tensor::Tensor;
use elbo_kernels::{
    Activation, Conv1dGeometry, ConvGeometry, ConvTranspose1dGeometry, ConvTransposeGeometry, Stride, average_pool,
    batch_norm, batch_norm_inference, conv_transpose1d, conv_transpose2d, conv1d, conv2d, group_norm, reference,
    upsample_nearest,
};
use support::activations::ACTIVATIONS;
use support::comparison::Table;
use support::grids::slopes;
use support::images::{Array, ConvLayer, Results, gradient, values};

fn compare(table: &mut Table, place: &str, fused: &[(&str, Vec<f32>)], plain: &[(&str, Vec<f32>)]) {
    for ((what, fused), (_, plain)) in fused.iter().zip(plain) {
        let plain: Vec<f64> = plain.iter().map(|&v| f64::from(v)).collect();
        table.tensor(format_args!("{place} {what}"), fused, &plain);
    }
}

fn plain_pair(layer: &ConvLayer, geometry: ConvGeometry<impl Stride>, activation: Activation) -> [Results; 2] {
    [
        layer.run(|x, w, b| conv2d(x, w, b, geometry, activation), slopes),
        layer.run(|x, w, b| reference::conv2d(x, w, b, geometry, activation), slopes),
    ]
}

fn transposed_pair(
    layer: &ConvLayer,
    geometry: ConvTransposeGeometry<impl Stride>,
    activation: Activation,
) -> [Results; 2] {
    [
        layer.run(|x, w, b| conv_transpose2d(x, w, b, geometry, activation), slopes),
        layer.run(|x, w, b| reference::conv_transpose2d(x, w, b, geometry, activation), slopes),
    ]
}

/// Kernel, stride and padding.
fn windows() -> impl Iterator<Item = (usize, usize, usize)> {
    let kernels = [1, 3, 4, 5].into_iter();
    kernels.flat_map(|k| [1, 2, 3].into_iter().flat_map(move |s| [0, 1, 2].map(move |p| (k, s, p))))
}

/// Batch, height, width, channels here and there.
const IMAGES: [([usize; 3], [usize; 2]); 6] = [
    ([1, 7, 10], [1, 5]),
    ([3, 9, 6], [3, 33]),
    ([1, 5, 5], [33, 3]),
    ([3, 8, 7], [5, 1]),
    ([2, 6, 9], [64, 16]),
    ([1, 4, 11], [16, 64]),
];

#[test]
fn convolutions() {
    let mut table = Table::new(1e-5);
    for (kernel, stride, padding) in windows() {
        for ([batch, height, width], [inputs, outputs]) in IMAGES {
            let geometry = ConvGeometry { stride, padding: [padding; 2] };
            if geometry.output_size([height, width], [kernel; 2]).is_none() {
                continue;
            }
            let layer = ConvLayer::grid([batch, height, width, inputs], [outputs, inputs, kernel, kernel], outputs);
            let [fused, plain] = plain_pair(&layer, geometry, Activation::None);
            let place = format!("{kernel}x{kernel}/{stride}+{padding} {batch}x{height}x{width} {inputs}->{outputs}");
            compare(&mut table, &place, &fused, &plain);
        }
    }
    table.assert_all(4 * 200);
}

#[test]
fn transposed_convolutions() {
    let mut table = Table::new(1e-5);
    for (kernel, stride, padding) in windows() {
        for (output_padding, ([batch, height, width], [inputs, outputs])) in (0..stride).cycle().zip(IMAGES) {
            let geometry = ConvTransposeGeometry { stride, padding: [padding; 2], output_padding: [output_padding; 2] };
            if geometry.output_size([height, width], [kernel; 2]).is_none() {
                continue;
            }
            let layer = ConvLayer::grid([batch, height, width, inputs], [inputs, outputs, kernel, kernel], outputs);
            let [fused, plain] = transposed_pair(&layer, geometry, Activation::None);
            let place = format!(
                "{kernel}x{kernel}/{stride}+{padding}+{output_padding} {batch}x{height}x{width} {inputs}->{outputs}"
            );
            compare(&mut table, &place, &fused, &plain);
        }
    }
    table.assert_all(4 * 200);
}

#[test]
fn windows_and_images_that_are_not_square() {
    let mut table = Table::new(1e-5);
    for (rows, cols) in [(1, 4), (5, 2), (3, 1)] {
        for (stride, padding) in [(1, [1, 1]), (1, [0, 2]), (2, [0, 0]), (2, [2, 1]), (3, [2, 1])] {
            let layer = ConvLayer::grid([2, 5, 9, 3], [20, 3, rows, cols], 20);
            let [fused, plain] = plain_pair(&layer, ConvGeometry { stride, padding }, Activation::None);
            compare(&mut table, &format!("{rows}x{cols}/{stride}+{padding:?}"), &fused, &plain);
            let layer = ConvLayer::grid([2, 5, 9, 20], [20, 10, rows, cols], 10);
            let geometry = ConvTransposeGeometry { stride, padding, output_padding: [stride - 1, 0] };
            let [fused, plain] = transposed_pair(&layer, geometry, Activation::None);
            compare(&mut table, &format!("transposed {rows}x{cols}/{stride}+{padding:?}"), &fused, &plain);
        }
    }
    table.assert_all(2 * 4 * 15);
}

#[test]
fn strides_that_differ_between_rows_and_columns() {
    let mut table = Table::new(1e-5);
    for (stride, kernel) in [([1, 2], [3, 4]), ([2, 1], [4, 1]), ([3, 2], [3, 3]), ([1, 4], [1, 5]), ([5, 1], [2, 2])] {
        for (inputs, outputs) in [(3, 20), (20, 10), (16, 1), (2, 33)] {
            let padding = [kernel[0] / 2, kernel[1] / 2];
            let layer = ConvLayer::grid([2, 9, 11, inputs], [outputs, inputs, kernel[0], kernel[1]], outputs);
            let [fused, plain] = plain_pair(&layer, ConvGeometry { stride, padding }, Activation::Silu);
            compare(&mut table, &format!("{kernel:?}/{stride:?} {inputs}->{outputs}"), &fused, &plain);
            let layer = ConvLayer::grid([2, 4, 5, inputs], [inputs, outputs, kernel[0], kernel[1]], outputs);
            let output_padding = [stride[0] - 1, stride[1] / 2];
            let geometry = ConvTransposeGeometry { stride, padding, output_padding };
            let [fused, plain] = transposed_pair(&layer, geometry, Activation::Gelu);
            compare(&mut table, &format!("transposed {kernel:?}/{stride:?} {inputs}->{outputs}"), &fused, &plain);
        }
    }
    table.assert_all(5 * 4 * 2 * 4);
}

#[test]
fn convolutions_of_sequences() {
    let mut table = Table::new(1e-5);
    for (kernel, stride, padding) in windows() {
        for ([batch, steps], [inputs, outputs]) in
            [([1, 7], [1, 5]), ([3, 10], [3, 33]), ([2, 5], [33, 3]), ([1, 300], [16, 20])]
        {
            let place = format!("{kernel}/{stride}+{padding} {batch}x{steps} {inputs}->{outputs}");
            let geometry = Conv1dGeometry { stride, padding };
            if geometry.output_size(steps, kernel).is_some() {
                let layer = ConvLayer::grid([batch, steps, inputs], [outputs, inputs, kernel], outputs);
                let fused = layer.run(|x, w, b| conv1d(x, w, b, geometry, Activation::Silu), slopes);
                let plain = layer.run(|x, w, b| reference::conv1d(x, w, b, geometry, Activation::Silu), slopes);
                compare(&mut table, &place, &fused, &plain);
            }
            let geometry = ConvTranspose1dGeometry { stride, padding, output_padding: stride - 1 };
            if geometry.output_size(steps, kernel).is_some() {
                let layer = ConvLayer::grid([batch, steps, inputs], [inputs, outputs, kernel], outputs);
                let op = |x, w, b| conv_transpose1d(x, w, b, geometry, Activation::Gelu);
                let twin = |x, w, b| reference::conv_transpose1d(x, w, b, geometry, Activation::Gelu);
                compare(&mut table, &format!("transposed {place}"), &layer.run(op, slopes), &layer.run(twin, slopes));
            }
        }
    }
    table.assert_all(4 * 250);
}

#[test]
fn changes_of_resolution() {
    let mut table = Table::new(1e-6);
    for dims in [[2, 4, 6, 5], [3, 5, 7, 3], [1, 7, 3, 1], [2, 3, 9, 33], [40, 8, 9, 64]] {
        for factor in [[1, 1], [2, 2], [1, 3], [3, 1], [2, 3]] {
            for (name, ops) in [
                ("upsample", [upsample_nearest, reference::upsample_nearest]),
                ("pool", [average_pool, reference::average_pool]),
            ] {
                let [fused, plain] = ops.map(|op: fn(Tensor<4>, [usize; 2]) -> Tensor<4>| {
                    let x = Array::grid(5, dims).tensor().require_grad();
                    let y = op(x.clone(), factor);
                    let gradients = (y.clone() * slopes(y.dims()).tensor()).sum().backward();
                    [("y", values(y)), ("dx", gradient(&x, &gradients))]
                });
                compare(&mut table, &format!("{name} {dims:?} by {factor:?}"), &fused, &plain);
            }
        }
    }
    table.assert_all(5 * 5 * 2 * 2);
}

#[test]
fn activations_of_convolutions() {
    let mut table = Table::new(1e-5);
    for (name, activation) in ACTIVATIONS {
        for channels in [1, 3, 33] {
            let layer = ConvLayer::grid([3, 7, 6, 5], [channels, 5, 4, 4], channels);
            let [fused, plain] = plain_pair(&layer, ConvGeometry { stride: 2, padding: [1; 2] }, activation);
            compare(&mut table, &format!("{name} 5->{channels}"), &fused, &plain);
            let layer = ConvLayer::grid([3, 4, 3, 9], [9, channels, 4, 4], channels);
            let geometry = ConvTransposeGeometry { stride: 2, padding: [1; 2], output_padding: [0; 2] };
            let [fused, plain] = transposed_pair(&layer, geometry, activation);
            compare(&mut table, &format!("{name} transposed 9->{channels}"), &fused, &plain);
        }
    }
    table.assert_all(6 * 3 * 2 * 4);
}

#[test]
fn layers_without_gradients_and_with_some() {
    let layer = ConvLayer::grid([2, 6, 6, 3], [20, 3, 3, 3], 20);
    let geometry = ConvGeometry { stride: 2, padding: [1; 2] };
    let run = |x, w, b| conv2d(x, w, b, geometry, Activation::Relu);
    let all = layer.run(run, slopes);
    let [x, weight] = [&layer.x, &layer.weight].map(Array::tensor);
    let bias = layer.bias.tensor();
    assert_eq!(values(run(x.clone().inner(), weight.clone().inner(), bias.clone().inner())), all[0].1);
    assert_eq!(values(run(x.clone(), weight.clone(), bias.clone())), all[0].1);

    // Only the weight: the image is data, as in a first layer.
    let weight = weight.require_grad();
    let y = run(x.clone(), weight.clone(), bias);
    let gradients = (y.clone() * slopes(y.dims()).tensor()).sum().backward();
    assert_eq!(gradient(&weight, &gradients), all[2].1);
    assert!(x.grad(&gradients).is_none());
}

/// `y`, mean, variance, `dx`, `dgamma`, `dbeta`.
fn normalised<const D: usize>(
    x: &Array<D>,
    op: impl FnOnce(Tensor<D>, Tensor<1>, Tensor<1>) -> (Tensor<D>, Tensor<1>, Tensor<1>),
) -> Vec<(&'static str, Vec<f32>)> {
    let channels = x.dims[D - 1];
    let gamma = Array::grid(6, [channels]).map(|g| 1.0 + 0.5 * g).tensor().require_grad();
    let beta = Array::grid(7, [channels]).map(|b| 0.3 * b + 0.01).tensor().require_grad();
    let x = x.tensor().require_grad();
    let (y, mean, variance) = op(x.clone(), gamma.clone(), beta.clone());
    let dy = Array::grid(8, x.dims()).map(|d| 0.3 + d).tensor();
    let gradients = (y.clone() * dy).sum().backward();
    vec![
        ("y", values(y)),
        ("mean", values(mean)),
        ("variance", values(variance)),
        ("dx", gradient(&x, &gradients)),
        ("dgamma", gradient(&gamma, &gradients)),
        ("dbeta", gradient(&beta, &gradients)),
    ]
}

fn batch_norm_cases<const D: usize>(table: &mut Table, dims: [usize; D]) {
    // Irrational enough that no value lies on a kink.
    let x = Array::grid(5, dims).map(|v| v * 1.7 + 0.377_77);
    for (name, activation) in ACTIVATIONS {
        let fused = normalised(&x, |x, gamma, beta| batch_norm(x, gamma, beta, 1e-5, activation));
        let plain = normalised(&x, |x, gamma, beta| reference::batch_norm(x, gamma, beta, 1e-5, activation));
        compare(table, &format!("{name} {dims:?}"), &fused, &plain);

        let channels = dims[D - 1];
        let statistics =
            || [Array::grid(9, [channels]).tensor(), Array::grid(10, [channels]).map(|v| v.abs() + 0.3).tensor()];
        let [fused, plain] = [batch_norm_inference, reference::batch_norm_inference].map(|op| {
            normalised(&x, |x, gamma, beta| {
                let [mean, variance] = statistics();
                (op(x, gamma, beta, mean.clone(), variance.clone(), 1e-3, activation), mean, variance)
            })
        });
        compare(table, &format!("{name} inference {dims:?}"), &fused, &plain);
    }
}

#[test]
fn batch_normalisation() {
    let mut table = Table::new(2e-5);
    for channels in [1, 3, 5, 16, 33, 64, 300] {
        batch_norm_cases(&mut table, [17, channels]);
        batch_norm_cases(&mut table, [3, 7, 6, channels]);
    }
    table.assert_all(14 * 12 * 6);
}

#[test]
fn group_normalisation() {
    let mut table = Table::new(2e-5);
    for (dims, groups) in [
        ([2, 3, 4, 1], 1),
        ([3, 7, 6, 6], 3),
        ([17, 1, 3, 8], 2),
        ([1, 9, 5, 33], 11),
        ([5, 4, 4, 64], 32),
        ([2, 2, 3, 300], 30),
        ([1, 40, 40, 24], 24),
    ] {
        let x = Array::grid(5, dims).map(|v| v * 1.7 + 0.377_77);
        for (name, activation) in ACTIVATIONS {
            let run = |op: fn(Tensor<4>, usize, Tensor<1>, Tensor<1>, f64, Activation) -> Tensor<4>| {
                normalised(&x, |x, gamma, beta| {
                    let y = op(x, groups, gamma.clone(), beta.clone(), 1e-5, activation);
                    (y, gamma, beta)
                })
            };
            compare(&mut table, &format!("{name} {dims:?}"), &run(group_norm), &run(reference::group_norm));
        }
    }
    table.assert_all(7 * 6 * 6);
}

/// The gradient of a sum is one tensor that both of its terms get: neither may write over it.
#[test]
fn layers_that_share_a_gradient_leave_it_alone() {
    let (x, other) = (Array::grid(5, [3, 5, 6, 8]), Array::grid(6, [3, 5, 6, 8]));
    let vector = |seed| Array::grid(seed, [8]).map(|v| 1.0 + 0.5 * v).tensor();
    let run = |plain: bool| {
        let (x, other) = (x.tensor().require_grad(), other.tensor().require_grad());
        let group = if plain { reference::group_norm } else { group_norm };
        let batch = if plain { reference::batch_norm } else { batch_norm };
        let first = group(x.clone(), 4, vector(1), vector(2), 1e-5, Activation::Silu);
        let second = batch(other.clone(), vector(3), vector(4), 1e-5, Activation::Gelu).0;
        let gradients = ((first + second) * slopes([3, 5, 6, 8]).tensor()).sum().backward();
        [("first", gradient(&x, &gradients)), ("second", gradient(&other, &gradients))]
    };
    let mut table = Table::new(2e-5);
    compare(&mut table, "shared", &run(false), &run(true));
    table.assert_all(2);
}

#[test]
fn a_batch_of_one_normalised_by_single_channels_is_batch_normalisation() {
    let x = Array::grid(5, [1, 5, 6, 7]).map(|v| v * 1.7 + 0.377_77);
    let grouped = normalised(&x, |x, gamma, beta| {
        (group_norm(x, 7, gamma.clone(), beta.clone(), 1e-5, Activation::Silu), gamma, beta)
    });
    let batch = normalised(&x, |x, gamma, beta| {
        (batch_norm(x, gamma.clone(), beta.clone(), 1e-5, Activation::Silu).0, gamma, beta)
    });
    let mut table = Table::new(1e-6);
    compare(&mut table, "one example", &grouped, &batch);
    table.assert_all(6);
}

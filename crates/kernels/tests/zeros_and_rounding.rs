//! Large layers, whose products skip zeros or round their operands: against plain twins, with NaN where zeros meet it, and rounded only where asked.

mod support {
    pub mod comparison;
    pub mod grids;
    pub mod images;
    pub mod layer;
}

use elbo_kernels::{
    Activation, ConvGeometry, ConvTransposeGeometry, Precision, conv_transpose2d, conv2d, has_bf16, linear, reference,
    with_precision,
};
use support::comparison::Table;
use support::grids::slopes;
use support::images::{Array, ConvLayer};
use support::layer::{ACTIVATIONS, Layer};

/// Large enough for either kind of product, with sizes that no vector and no tile divides.
const SIZES: [(usize, usize, usize); 3] = [(128, 784, 400), (101, 333, 90), (515, 100, 203)];

/// Values in (-1, 1) that need rounding in every sum.
fn rough(seed: u32, count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| ((i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) as f32 / 4e9 - 0.5).sin())
        .collect()
}

/// The same with about four fifths of zeros, as MNIST's pixels.
fn sparse(seed: u32, count: usize) -> Vec<f32> {
    rough(seed, count).into_iter().map(|v| if (v * 1e4).fract().abs() < 0.2 { v } else { 0.0 }).collect()
}

fn layer((batch, inputs, outputs): (usize, usize, usize)) -> Layer {
    Layer {
        batch,
        inputs,
        outputs,
        x: sparse(1, batch * inputs),
        weight: rough(2, outputs * inputs),
        bias: rough(3, outputs),
        dy: sparse(4, batch * outputs),
    }
}

/// The same without zeros, which some processors skip rather than round.
fn dense((batch, inputs, outputs): (usize, usize, usize)) -> Layer {
    Layer { x: rough(1, batch * inputs), dy: rough(4, batch * outputs), ..layer((batch, inputs, outputs)) }
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// To nearest, ties to even.
fn rounded(values: &[f32]) -> Vec<f32> {
    let round = |v: f32| f32::from_bits((v.to_bits() + 0x7fff + (v.to_bits() >> 16 & 1)) & 0xffff_0000);
    values.iter().map(|v| round(*v)).collect()
}

#[test]
fn sparse_layers_equal_their_twins() {
    let mut table = Table::new(1e-5);
    for sizes in SIZES {
        let layer = layer(sizes);
        for (name, activation) in ACTIVATIONS {
            let fused = layer.run(|x, weight, bias| linear(x, weight, bias, activation));
            let plain = layer.run(|x, weight, bias| reference::linear(x, weight, bias, activation));
            for ((what, fused), (_, plain)) in fused.iter().zip(&plain) {
                table.tensor(format_args!("{sizes:?} {name} {what}"), fused, &doubles(plain));
            }
        }
    }
    table.assert_all(3 * 6 * 4);
}

#[test]
fn a_zero_does_not_hide_a_weight_that_is_not_finite() {
    let clean = layer(SIZES[0]);
    let (inputs, outputs) = (clean.inputs, clean.outputs);
    assert!(clean.x.iter().step_by(inputs).filter(|x| **x == 0.0).count() > 50, "zeros meet the weight");
    for bad in [f32::NAN, f32::INFINITY] {
        let mut wild = layer(SIZES[0]);
        wild.weight[7 * inputs] = bad;
        let [(_, y), ..] = wild.run(|x, weight, bias| linear(x, weight, bias, Activation::None));
        for (row, y) in y.chunks(outputs).enumerate() {
            let meets_zero = wild.x[row * inputs] == 0.0;
            assert!(
                !y[7].is_finite() && (y[7].is_nan() || !meets_zero || bad.is_nan()),
                "{bad} in row {row}: {}",
                y[7]
            );
            assert!(y[..7].iter().chain(&y[8..]).all(|y| y.is_finite()));
        }

        let mut wild = layer(SIZES[0]);
        wild.dy[3 * outputs + 5] = bad;
        let [_, _, (_, dw), _] = wild.run(|x, weight, bias| linear(x, weight, bias, Activation::None));
        assert!(dw[5 * inputs..6 * inputs].iter().all(|d| !d.is_finite()), "{bad} from above");
        assert!(dw[..5 * inputs].iter().all(|d| d.is_finite()));
    }
}

/// Each gradient of a layer without activation is a product of two of its tensors: with both rounded, the plain twin gives what rounding products give.
#[test]
fn bf16_rounds_the_operands_of_every_product_and_nothing_else() {
    if !has_bf16() {
        return println!("skipped: this processor does not multiply bfloat16");
    }
    let (mut table, mut moved) = (Table::new(1e-5), 0);
    let bf16 =
        |layer: &Layer| with_precision(Precision::Bf16, || layer.run(|x, w, b| linear(x, w, b, Activation::None)));
    for sizes in SIZES {
        let full = dense(sizes);
        let found = bf16(&full);
        let half = Layer { x: rounded(&full.x), weight: rounded(&full.weight), dy: rounded(&full.dy), ..dense(sizes) };
        let expected = half.run(|x, w, b| reference::linear(x, w, b, Activation::None));
        let float32 = full.run(|x, w, b| reference::linear(x, w, b, Activation::None));
        for (i, (what, found)) in found.iter().enumerate() {
            // The bias's gradient is a sum of what comes from above, not of a rounded copy.
            let expected = if *what == "db" { &float32[i].1 } else { &expected[i].1 };
            table.tensor(format_args!("{sizes:?} {what}"), found, &doubles(expected));
            moved += usize::from(*found != float32[i].1);
        }
    }
    assert!(moved >= 9, "rounding shows");
    let layer = dense(SIZES[0]);
    assert_ne!(bf16(&layer), layer.run(|x, w, b| linear(x, w, b, Activation::None)), "only where asked");
    table.assert_all(3 * 4);
}

#[test]
fn bf16_convolutions_equal_twins_with_rounded_operands() {
    if !has_bf16() {
        return println!("skipped: this processor does not multiply bfloat16");
    }
    let mut table = Table::new(1e-5);
    let rough = |layer: ConvLayer| {
        let rough = |array: Array<4>| array.map(|v| (v * 12.9).sin());
        ConvLayer { x: rough(layer.x), weight: rough(layer.weight), bias: layer.bias }
    };
    let round = |array: &Array<4>| Array { dims: array.dims, values: rounded(&array.values) };
    for (channels, kernel, stride, size) in [(1, 4, 2, 12), (3, 3, 1, 9), (33, 3, 2, 7), (64, 4, 2, 8), (40, 1, 1, 5)] {
        let plain = ConvGeometry { stride, padding: [kernel / 2; 2] };
        let layer = rough(ConvLayer::grid([5, size, size + 2, channels], [48, channels, kernel, kernel], 48));
        let half = ConvLayer { x: round(&layer.x), weight: round(&layer.weight), bias: layer.bias.clone() };
        let found =
            with_precision(Precision::Bf16, || layer.run(|x, w, b| conv2d(x, w, b, plain, Activation::None), slopes));
        let expected = half.run(|x, w, b| reference::conv2d(x, w, b, plain, Activation::None), slopes);
        for ((what, found), (_, expected)) in found.iter().zip(&expected) {
            table.tensor(format_args!("{channels} {kernel} {stride} {what}"), found, &doubles(expected));
        }

        let up = ConvTransposeGeometry { stride, padding: [0; 2], output_padding: [0; 2] };
        let layer = rough(ConvLayer::grid([3, size, size + 1, 48], [48, channels, kernel, kernel], channels));
        let half = ConvLayer { x: round(&layer.x), weight: round(&layer.weight), bias: layer.bias.clone() };
        let found = with_precision(Precision::Bf16, || {
            layer.run(|x, w, b| conv_transpose2d(x, w, b, up, Activation::None), slopes)
        });
        let expected = half.run(|x, w, b| reference::conv_transpose2d(x, w, b, up, Activation::None), slopes);
        for ((what, found), (_, expected)) in found.iter().zip(&expected) {
            table.tensor(format_args!("transposed {channels} {kernel} {stride} {what}"), found, &doubles(expected));
        }
    }
    table.assert_all(5 * 2 * 4);
}

//! NaN and infinities travel through convolutions and batch normalisation, and views give the same bits as contiguous tensors.

mod support {
    pub mod activations;
    pub mod grids;
    pub mod images;
}

use std::panic::catch_unwind;

use burn::tensor::Tensor;
use elbo_kernels::{
    Activation, Conv1dGeometry, ConvGeometry, ConvTranspose1dGeometry, ConvTransposeGeometry, average_pool, batch_norm,
    conv_transpose1d, conv_transpose2d, conv1d, conv2d, group_norm, reference, upsample_nearest,
};
use support::activations::ACTIVATIONS;
use support::grids::slopes;
use support::images::{Array, ConvLayer, gradient, values};

const DOWN: ConvGeometry = ConvGeometry { stride: 2, padding: [1; 2] };
const UP: ConvTransposeGeometry = ConvTransposeGeometry { stride: 2, padding: [1; 2], output_padding: [0; 2] };
const WILD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

fn finite(values: &[f32]) -> Vec<bool> {
    values.iter().map(|v| v.is_finite()).collect()
}

/// Where outputs and gradients are finite must agree with the twin, for each activation and each place of the wild value.
#[test]
fn convolutions_hide_nothing() {
    for (name, activation) in ACTIVATIONS {
        for wild in WILD {
            for (inputs, outputs) in [(3, 20), (20, 1)] {
                let mut down = ConvLayer::grid([2, 6, 6, inputs], [outputs, inputs, 4, 4], outputs);
                down.x.values[40] = wild;
                let mut up = ConvLayer::grid([2, 3, 3, inputs], [inputs, outputs, 4, 4], outputs);
                up.x.values[10] = wild;
                let pairs = [
                    (
                        down.run(|x, w, b| conv2d(x, w, b, DOWN, Activation::None), slopes),
                        down.run(|x, w, b| reference::conv2d(x, w, b, DOWN, Activation::None), slopes),
                    ),
                    (
                        up.run(|x, w, b| conv_transpose2d(x, w, b, UP, Activation::None), slopes),
                        up.run(|x, w, b| reference::conv_transpose2d(x, w, b, UP, Activation::None), slopes),
                    ),
                ];
                for (fused, plain) in pairs {
                    assert!(fused[0].1.iter().any(|y| !y.is_finite()));
                    for ((what, fused), (_, plain)) in fused.iter().zip(&plain) {
                        assert_eq!(finite(fused), finite(plain), "{wild} {what}");
                    }
                }
                if wild.is_nan() {
                    let linear = values(conv2d(
                        down.x.tensor(),
                        down.weight.tensor(),
                        down.bias.tensor(),
                        DOWN,
                        Activation::None,
                    ));
                    let bent =
                        values(conv2d(down.x.tensor(), down.weight.tensor(), down.bias.tensor(), DOWN, activation));
                    assert_eq!(finite(&linear), finite(&bent), "{name}");
                }
            }
        }
    }
}

#[test]
fn convolutions_of_sequences_hide_nothing() {
    for wild in WILD {
        let mut down = ConvLayer::grid([2, 9, 3], [20, 3, 4], 20);
        down.x.values[31] = wild;
        let mut up = ConvLayer::grid([2, 5, 20], [20, 3, 4], 3);
        up.x.values[110] = wild;
        let geometry = Conv1dGeometry { stride: 2, padding: 1 };
        let back = ConvTranspose1dGeometry { stride: 2, padding: 1, output_padding: 0 };
        for (fused, plain) in [
            (
                down.run(|x, w, b| conv1d(x, w, b, geometry, Activation::None), slopes),
                down.run(|x, w, b| reference::conv1d(x, w, b, geometry, Activation::None), slopes),
            ),
            (
                up.run(|x, w, b| conv_transpose1d(x, w, b, back, Activation::None), slopes),
                up.run(|x, w, b| reference::conv_transpose1d(x, w, b, back, Activation::None), slopes),
            ),
        ] {
            assert!(fused[0].1.iter().any(|y| !y.is_finite()));
            for ((what, fused), (_, plain)) in fused.iter().zip(&plain) {
                assert_eq!(finite(fused), finite(plain), "{wild} {what}");
            }
        }
    }
}

/// A wild value reaches the pixels made of it, a wild slope those that made its pixel, and neither any other.
#[test]
fn changes_of_resolution_keep_wild_values_in_their_windows() {
    let place = |i: usize, width: usize| (i / 3 / width, i / 3 % width, i % 3);
    for wild in WILD {
        for up in [true, false] {
            let op = |x| if up { upsample_nearest(x, [2, 3]) } else { average_pool(x, [2, 3]) };
            let mut x = Array::grid(5, [1, 5, 7, 3]);
            x.values[(3 * 7 + 4) * 3 + 1] = wild; // row 3, column 4, channel 1
            let x = x.tensor().require_grad();
            let y = op(x.clone());
            let [_, _, width, _] = y.dims();
            let mut dy = slopes(y.dims());
            dy.values[(width + 1) * 3 + 2] = wild; // row 1, column 1, channel 2
            let dx = gradient(&x, &(y.clone() * dy.tensor()).sum().backward());
            for (i, value) in values(y).into_iter().enumerate() {
                let (row, col, channel) = place(i, width);
                let source = if up { (row / 2, col / 3) == (3, 4) } else { (row, col) == (1, 1) };
                assert_eq!(value.is_finite(), !(source && channel == 1), "{wild} {up} y at {row} {col} {channel}");
            }
            for (i, value) in dx.into_iter().enumerate() {
                let (row, col, channel) = place(i, 7);
                let source = if up { (row, col) == (0, 0) } else { (row / 2, col / 3) == (1, 1) };
                assert_eq!(value.is_finite(), !(source && channel == 2), "{wild} {up} dx at {row} {col} {channel}");
            }
        }
    }
}

#[test]
fn a_wild_gradient_reaches_what_it_touches() {
    let layer = ConvLayer::grid([2, 6, 6, 3], [20, 3, 4, 4], 20);
    let wild = |dims: [usize; 4]| {
        let mut dy = slopes(dims);
        dy.values[7] = f32::NAN; // the first pixel, channel 7
        dy
    };
    let [_, (_, dx), (_, dw), (_, db)] = layer.run(|x, w, b| conv2d(x, w, b, DOWN, Activation::None), wild);
    assert!(db.iter().enumerate().all(|(channel, d)| d.is_nan() == (channel == 7)), "{db:?}");
    assert!(dw.iter().enumerate().all(|(i, d)| d.is_nan() == (i / 48 == 7)));
    assert!(dx[..9].iter().all(|d| d.is_nan()) && dx[6 * 6 * 3..].iter().all(|d| d.is_finite()));
}

#[test]
fn batch_norm_keeps_a_wild_value_in_its_channel_and_shows_it() {
    for (name, activation) in ACTIVATIONS {
        for wild in WILD {
            let mut x = Array::grid(1, [2, 3, 3, 5]);
            x.values[33] = wild; // channel 3
            let x = x.tensor().require_grad();
            let ones = || Array { dims: [5], values: vec![1.0; 5] }.tensor();
            let (y, mean, variance) = batch_norm(x.clone(), ones(), ones(), 1e-5, activation);
            let dx = gradient(&x, &y.clone().sum().backward());
            for (i, (y, dx)) in values(y).iter().zip(&dx).enumerate() {
                assert_eq!([y.is_nan(), dx.is_nan()], [i % 5 == 3; 2], "{name} {wild} at {i}: {y} {dx}");
            }
            for statistic in [values(mean), values(variance)] {
                assert!(statistic.iter().enumerate().all(|(c, v)| v.is_finite() == (c != 3)), "{statistic:?}");
            }
        }
    }
}

/// Values and gradients; 160 values an example, which staged activations take as a block and a rest.
#[test]
fn group_norm_keeps_a_wild_value_in_its_group_and_shows_it() {
    for (name, activation) in ACTIVATIONS {
        for wild in WILD {
            let mut x = Array::grid(5, [3, 4, 5, 8]);
            x.values[2 * 160 + 34] = wild; // the third example, the second of its four groups
            let x = x.tensor().require_grad();
            let channels = || Array { dims: [8], values: vec![1.0; 8] }.tensor();
            let y = group_norm(x.clone(), 4, channels(), channels(), 1e-5, activation);
            let dx = gradient(&x, &(y.clone() * slopes([3, 4, 5, 8]).tensor()).sum().backward());
            for (i, (y, dx)) in values(y).iter().zip(&dx).enumerate() {
                let touched = i >= 320 && i % 8 / 2 == 1;
                assert_eq!([y.is_nan(), dx.is_nan()], [touched; 2], "{name} {wild} at {i}: {y} {dx}");
            }
        }
    }
}

/// The same image as a view of another order in memory.
fn view(x: Tensor<4>) -> Tensor<4> {
    let [_, height, width, channels] = x.dims();
    let swapped = x.permute([0, 3, 1, 2]);
    let wide = Tensor::cat(vec![swapped.clone(), swapped], 2).permute([0, 2, 3, 1]);
    let cut = wide.narrow(1, height, height);
    assert_eq!(cut.dims()[1..], [height, width, channels]);
    cut
}

#[test]
fn views_give_the_same_bits() {
    let layer = ConvLayer::grid([2, 5, 6, 3], [20, 3, 4, 4], 20);
    let down = |x, w, b| conv2d(x, w, b, DOWN, Activation::Tanh);
    let up = |x, w, b| conv_transpose2d(x, w, b, UP, Activation::Tanh);
    let weight_view = |w: Tensor<4>| view(w.permute([0, 2, 3, 1])).permute([0, 3, 1, 2]);
    assert_eq!(layer.run(down, slopes), layer.run(|x, w, b| down(view(x), weight_view(w), b), slopes));
    let layer = ConvLayer::grid([2, 5, 6, 20], [20, 3, 4, 4], 3);
    assert_eq!(layer.run(up, slopes), layer.run(|x, w, b| up(view(x), weight_view(w), b), slopes));

    let x = Array::grid(5, [2, 5, 6, 3]);
    let ones = || Array { dims: [3], values: vec![1.0; 3] }.tensor();
    let run = |x: Tensor<4>| {
        let leaf = x.require_grad();
        let y = batch_norm(leaf.clone(), ones(), ones(), 1e-5, Activation::Silu).0;
        (values(y.clone()), gradient(&leaf, &(y * slopes([2, 5, 6, 3]).tensor()).sum().backward()))
    };
    assert_eq!(run(x.tensor()), run(view(x.tensor())));
}

#[test]
fn sizes_that_do_not_fit_are_refused_by_name() {
    let message = |x: [usize; 4], weight: [usize; 4], bias: usize, stride, padding| {
        let refused = catch_unwind(|| {
            let (x, weight) = (Array::grid(1, x).tensor(), Array::grid(2, weight).tensor());
            conv2d(
                x,
                weight,
                Array::grid(3, [bias]).tensor(),
                ConvGeometry { stride, padding: [padding; 2] },
                Activation::None,
            )
        });
        *refused.expect_err("it does not fit").downcast::<String>().expect("a message")
    };
    assert!(message([1, 5, 5, 3], [4, 2, 3, 3], 4, 1, 0).contains("[4, 2, 3, 3]"), "another number of channels");
    assert!(message([1, 5, 5, 3], [4, 3, 3, 3], 3, 1, 0).contains("[4, 3, 3, 3]"), "another length of the bias");
    assert!(message([1, 5, 2, 3], [4, 3, 3, 3], 4, 1, 0).contains("3 x 3"), "a window wider than the image");
    assert!(message([1, 5, 5, 3], [4, 3, 3, 3], 4, 0, 0).contains("stride: 0"), "no stride");

    let refused = catch_unwind(|| {
        let (x, weight) = (Array::grid(1, [1, 2, 2, 3]).tensor(), Array::grid(2, [3, 4, 3, 3]).tensor());
        let geometry = ConvTransposeGeometry { stride: 2, padding: [1; 2], output_padding: [2; 2] };
        conv_transpose2d(x, weight, Array::grid(3, [4]).tensor(), geometry, Activation::None)
    });
    assert!(refused.is_err(), "an output padding as large as the stride");
    let refused = |op: fn(Tensor<4>, [usize; 2]) -> Tensor<4>, factor| {
        catch_unwind(move || op(Array::grid(1, [1, 5, 5, 3]).tensor(), factor)).is_err()
    };
    assert!(refused(average_pool, [2, 6]) && refused(average_pool, [0, 1]), "a window larger than the image, and none");
    assert!(refused(upsample_nearest, [0, 2]) && !refused(upsample_nearest, [1, 2]), "no copies");
    let refused = catch_unwind(|| {
        let channels = |count| Array::grid(3, [count]).tensor();
        batch_norm(Array::grid(1, [2, 3]).tensor(), channels(3), channels(2), 1e-5, Activation::None)
    });
    assert!(refused.is_err(), "another number of channels");
}

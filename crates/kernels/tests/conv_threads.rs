//! Thread counts change the speed of convolutions and batch normalisation and nothing else. One test in a program of its own: the thread count
//! is global.

mod support {
    pub mod grids;
    pub mod images;
}

use elbo_kernels::{
    Activation, Conv1dGeometry, ConvGeometry, ConvTransposeGeometry, Precision, average_pool, batch_norm,
    conv_transpose2d, conv1d, conv2d, group_norm, set_threads, upsample_nearest, with_precision,
};
use support::grids::slopes;
use support::images::{Array, ConvLayer, Results, gradient, values};

/// Values that need rounding in every sum.
fn rough<const D: usize>(array: Array<D>) -> Array<D> {
    array.map(|v| (v * 12.9).sin())
}

fn layer(x: [usize; 4], weight: [usize; 4], outputs: usize) -> ConvLayer {
    let ConvLayer { x, weight, bias } = ConvLayer::grid(x, weight, outputs);
    ConvLayer { x: rough(x), weight: rough(weight), bias: rough(bias) }
}

/// Everything that is cut into parts, at sizes where it is.
fn everything() -> Vec<Results> {
    let (down, up) = (
        ConvGeometry { stride: 2, padding: [1; 2] },
        ConvTransposeGeometry { stride: 2, padding: [1; 2], output_padding: [0; 2] },
    );
    let same = ConvGeometry { stride: 1, padding: [1; 2] };
    let rounded = |work: &dyn Fn() -> Results| with_precision(Precision::Bf16, work);
    let mut all = vec![
        rounded(&|| {
            layer([37, 16, 16, 32], [64, 32, 4, 4], 64).run(|x, w, b| conv2d(x, w, b, down, Activation::None), slopes)
        }),
        rounded(&|| {
            layer([61, 16, 16, 32], [32, 1, 4, 4], 1)
                .run(|x, w, b| conv_transpose2d(x, w, b, up, Activation::Silu), slopes)
        }),
        layer([61, 32, 32, 1], [32, 1, 4, 4], 32).run(|x, w, b| conv2d(x, w, b, down, Activation::Relu), slopes),
        layer([37, 16, 16, 32], [64, 32, 4, 4], 64).run(|x, w, b| conv2d(x, w, b, down, Activation::None), slopes),
        layer([9, 8, 8, 160], [200, 160, 3, 3], 200).run(|x, w, b| conv2d(x, w, b, same, Activation::Gelu), slopes),
        layer([1, 64, 64, 24], [24, 24, 3, 3], 24).run(|x, w, b| conv2d(x, w, b, same, Activation::Tanh), slopes),
        layer([9, 32, 32, 32], [3, 32, 3, 3], 3).run(|x, w, b| conv2d(x, w, b, same, Activation::LeakyRelu), slopes),
        layer([37, 8, 8, 64], [64, 32, 4, 4], 32)
            .run(|x, w, b| conv_transpose2d(x, w, b, up, Activation::None), slopes),
        layer([61, 16, 16, 32], [32, 1, 4, 4], 1)
            .run(|x, w, b| conv_transpose2d(x, w, b, up, Activation::Silu), slopes),
    ];
    let flat = ConvGeometry { stride: [1, 2], padding: [1; 2] };
    all.push(
        layer([17, 16, 16, 32], [48, 32, 3, 4], 48).run(|x, w, b| conv2d(x, w, b, flat, Activation::Silu), slopes),
    );
    let ConvLayer { x, weight, bias } = ConvLayer::grid([3, 2000, 24], [40, 24, 5], 40);
    let sequence = ConvLayer { x: rough(x), weight: rough(weight), bias };
    let geometry = Conv1dGeometry { stride: 2, padding: 2 };
    all.push(sequence.run(|x, w, b| conv1d(x, w, b, geometry, Activation::Gelu), slopes));
    let image = rough(Array::grid(5, [9, 32, 33, 17])).tensor().require_grad();
    let (up, pooled) = (upsample_nearest(image.clone(), [2, 3]), average_pool(image.clone(), [3, 2]));
    let both = (up.clone() * rough(slopes(up.dims())).tensor()).sum();
    let gradients = (both + (pooled.clone() * rough(slopes(pooled.dims())).tensor()).sum()).backward();
    all.push([
        ("upsampled", values(up)),
        ("pooled", values(pooled)),
        ("resampled dx", gradient(&image, &gradients)),
        ("image", values(image)),
    ]);
    let x = rough(Array::grid(5, [61, 16, 16, 33])).tensor().require_grad();
    let gamma = rough(Array::grid(6, [33])).tensor().require_grad();
    let (y, mean, _) = batch_norm(x.clone(), gamma.clone(), gamma.clone(), 1e-5, Activation::Relu);
    let gradients = (y.clone() * slopes(y.dims()).tensor()).sum().backward();
    all.push([
        ("normal y", values(y)),
        ("normal dx", gradient(&x, &gradients)),
        ("normal dgamma", gradient(&gamma, &gradients)),
        ("mean", values(mean)),
    ]);
    let y = group_norm(x.clone(), 11, gamma.clone(), gamma.clone(), 1e-5, Activation::Gelu);
    let gradients = (y.clone() * slopes(y.dims()).tensor()).sum().backward();
    all.push([
        ("group normal y", values(y)),
        ("group normal dx", gradient(&x, &gradients)),
        ("group normal dgamma", gradient(&gamma, &gradients)),
        ("x", values(x)),
    ]);
    all
}

#[test]
fn thread_counts_change_no_bit() {
    set_threads(1);
    let alone = everything();
    for count in [2, 3, 8] {
        set_threads(count);
        for (case, (found, expected)) in everything().iter().zip(&alone).enumerate() {
            for ((what, found), (_, expected)) in found.iter().zip(expected) {
                let same = found.iter().zip(expected).all(|(f, e)| f.to_bits() == e.to_bits());
                assert!(same && found.len() == expected.len(), "{what} of case {case} differs on {count} threads");
            }
        }
    }
}

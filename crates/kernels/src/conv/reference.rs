//! Plain Burn twins of the convolutions.

use burn::tensor::Tensor;
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

use super::shape::{ConvGeometry, ConvTransposeGeometry};
use crate::activation::Activation;

/// Twin of [`crate::conv2d`].
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvGeometry,
    activation: Activation,
) -> Tensor<4> {
    let ConvGeometry { stride, padding } = geometry;
    let options = ConvOptions::new([stride; 2], padding, [1; 2], 1);
    let y = module::conv2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options);
    activation.reference(y.permute([0, 2, 3, 1]))
}

/// Twin of [`crate::conv_transpose2d`].
pub fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvTransposeGeometry,
    activation: Activation,
) -> Tensor<4> {
    let ConvTransposeGeometry { stride, padding, output_padding } = geometry;
    let options = ConvTransposeOptions::new([stride; 2], padding, output_padding, [1; 2], 1);
    let y = module::conv_transpose2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options);
    activation.reference(y.permute([0, 2, 3, 1]))
}

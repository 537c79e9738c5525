//! Plain Burn twins of the convolutions.

use burn::tensor::Tensor;
use burn::tensor::module;
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

use super::one_dimension::{Conv1dGeometry, ConvTranspose1dGeometry};
use super::shape::{ConvGeometry, ConvTransposeGeometry, Stride};
use crate::activation::Activation;

/// Twin of [`crate::conv2d`].
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvGeometry<impl Stride>,
    activation: Activation,
) -> Tensor<4> {
    let ConvGeometry { stride, padding } = geometry.by_axis();
    let options = ConvOptions::new(stride, padding, [1; 2], 1);
    let y = module::conv2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options);
    activation.reference(y.permute([0, 2, 3, 1]))
}

/// Twin of [`crate::conv_transpose2d`].
pub fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvTransposeGeometry<impl Stride>,
    activation: Activation,
) -> Tensor<4> {
    let ConvTransposeGeometry { stride, padding, output_padding } = geometry.by_axis();
    let options = ConvTransposeOptions::new(stride, padding, output_padding, [1; 2], 1);
    let y = module::conv_transpose2d(x.permute([0, 3, 1, 2]), weight, Some(bias), options);
    activation.reference(y.permute([0, 2, 3, 1]))
}

/// Twin of [`crate::conv1d`].
pub fn conv1d(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Tensor<1>,
    geometry: Conv1dGeometry,
    activation: Activation,
) -> Tensor<3> {
    let Conv1dGeometry { stride, padding } = geometry;
    let options = ConvOptions::new([stride], [padding], [1], 1);
    let y = module::conv1d(x.permute([0, 2, 1]), weight, Some(bias), options);
    activation.reference(y.permute([0, 2, 1]))
}

/// Twin of [`crate::conv_transpose1d`].
pub fn conv_transpose1d(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Tensor<1>,
    geometry: ConvTranspose1dGeometry,
    activation: Activation,
) -> Tensor<3> {
    let ConvTranspose1dGeometry { stride, padding, output_padding } = geometry;
    let options = ConvTransposeOptions::new([stride], [padding], [output_padding], [1], 1);
    let y = module::conv_transpose1d(x.permute([0, 2, 1]), weight, Some(bias), options);
    activation.reference(y.permute([0, 2, 1]))
}

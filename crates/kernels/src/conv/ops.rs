//! The public convolutions.

use burn::tensor::Tensor;

use super::extension::ConvOps;
use super::one_dimension::{Conv1dGeometry, ConvTranspose1dGeometry};
use super::reference;
use super::shape::{ConvGeometry, ConvTransposeGeometry, Stride};
use crate::activation::Activation;
use crate::extension::{Router, is_fused};

/// A two-dimensional convolution with its activation: `y = activation(x * weight + bias)`.
///
/// `y[n, i, j, o] = activation(bias[o] + sum_{u, v, c} x[n, i stride[0] + u - padding[0], j stride[1] + v - padding[1], c] weight[o, c, u, v])`, where `x` is 0 outside
/// the image: PyTorch's `Conv2d` for images with the channels last.
///
/// # Shapes
/// - `x`: `[batch, height, width, in]`, `weight`: `[out, in, kernel_height, kernel_width]` (PyTorch's orientation), `bias`: `[out]`
/// - returns: `[batch, out_height, out_width, out]` with `out_height = floor((height + 2 padding[0] - kernel_height) / stride[0]) + 1`, likewise
///   the width
///
/// # Panics
/// If the shapes do not fit, the weight is empty, the window is larger than the padded image, or a stride is 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, ConvGeometry, conv2d};
///
/// let device = Device::default();
/// let x = Tensor::<4>::ones([1, 3, 3, 1], &device);
/// let weight = Tensor::<4>::ones([1, 1, 3, 3], &device);
/// let bias = Tensor::<1>::from_data([-5.0], &device);
/// let y = conv2d(x, weight, bias, ConvGeometry { stride: 1, padding: [1; 2] }, Activation::Relu);
/// // How many of the nine pixels lie inside, less five.
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [0.0, 1.0, 0.0, 1.0, 4.0, 1.0, 0.0, 1.0, 0.0]);
/// ```
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvGeometry<impl Stride>,
    activation: Activation,
) -> Tensor<4> {
    let ([_, height, width, inputs], [outputs, channels, rows, cols]) = (x.dims(), weight.dims());
    assert!(
        inputs == channels && bias.dims() == [outputs],
        "x [batch, {height}, {width}, {inputs}] against weight [{outputs}, {channels}, {rows}, {cols}]"
    );
    let fits = geometry.output_size([height, width], [rows, cols]).is_some();
    assert!(
        weight.shape().num_elements() > 0 && fits,
        "a window of {rows} x {cols} on an image of {height} x {width} with {geometry:?}"
    );
    if !is_fused(&x) {
        return reference::conv2d(x, weight, bias, geometry, activation);
    }
    Tensor::from_dispatch(Router::elbo_conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        geometry.by_axis(),
        activation,
    ))
}

/// A transposed two-dimensional convolution with its activation, from small images to large ones.
///
/// `y = activation(bias + z)`, where each input pixel adds its window to the output:
/// `z[n, i stride[0] + u - padding[0], j stride[1] + v - padding[1], o] += sum_c x[n, i, j, c] weight[c, o, u, v]`; what falls outside is dropped.
/// PyTorch's `ConvTranspose2d` for images with the channels last.
///
/// # Shapes
/// - `x`: `[batch, height, width, in]`, `weight`: `[in, out, kernel_height, kernel_width]` (PyTorch's orientation), `bias`: `[out]`
/// - returns: `[batch, out_height, out_width, out]` with
///   `out_height = (height - 1) stride[0] - 2 padding[0] + kernel_height + output_padding[0]`, likewise the width
///
/// # Panics
/// If the shapes do not fit, the weight is empty, nothing is left of the output, or the output padding is not smaller than the stride.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, ConvTransposeGeometry, conv_transpose2d};
///
/// let device = Device::default();
/// let x = Tensor::<4>::from_data([[[[1.0], [2.0]]]], &device);
/// let weight = Tensor::<4>::from_data([[[[1.0, 10.0]]]], &device);
/// let bias = Tensor::<1>::zeros([1], &device);
/// let geometry = ConvTransposeGeometry { stride: 2, padding: [0; 2], output_padding: [0; 2] };
/// let y = conv_transpose2d(x, weight, bias, geometry, Activation::None);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [1.0, 10.0, 2.0, 20.0]);
/// ```
pub fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvTransposeGeometry<impl Stride>,
    activation: Activation,
) -> Tensor<4> {
    let ([_, height, width, inputs], [channels, outputs, rows, cols]) = (x.dims(), weight.dims());
    assert!(
        inputs == channels && bias.dims() == [outputs],
        "x [batch, {height}, {width}, {inputs}] against weight [{channels}, {outputs}, {rows}, {cols}]"
    );
    let fits = geometry.output_size([height, width], [rows, cols]).is_some();
    assert!(
        weight.shape().num_elements() > 0 && fits,
        "a window of {rows} x {cols} on an image of {height} x {width} with {geometry:?}"
    );
    if !is_fused(&x) {
        return reference::conv_transpose2d(x, weight, bias, geometry, activation);
    }
    Tensor::from_dispatch(Router::elbo_conv_transpose2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        geometry.by_axis(),
        activation,
    ))
}

/// A one-dimensional convolution with its activation: `y = activation(x * weight + bias)`.
///
/// `y[n, i, o] = activation(bias[o] + sum_{u, c} x[n, i stride + u - padding, c] weight[o, c, u])`, where `x` is 0 before the
/// first step and after the last. PyTorch's `Conv1d` for sequences with the channels last.
///
/// # Shapes
/// - `x`: `[batch, steps, in]`, `weight`: `[out, in, kernel]` (PyTorch's orientation), `bias`: `[out]`
/// - returns: `[batch, out_steps, out]` with `out_steps = floor((steps + 2 padding - kernel) / stride) + 1`
///
/// # Panics
/// If the shapes do not fit, the weight is empty, the window is longer than the padded sequence, or the stride is 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, Conv1dGeometry, conv1d};
///
/// let device = Device::default();
/// let x = Tensor::<3>::from_data([[[1.0], [2.0], [3.0]]], &device);
/// let (weight, bias) = (Tensor::<3>::from_data([[[1.0, 10.0]]], &device), Tensor::<1>::zeros([1], &device));
/// let y = conv1d(x, weight, bias, Conv1dGeometry { stride: 1, padding: 1 }, Activation::None);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [10.0, 21.0, 32.0, 3.0]);
/// ```
pub fn conv1d(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Tensor<1>,
    geometry: Conv1dGeometry,
    activation: Activation,
) -> Tensor<3> {
    if !is_fused(&x) {
        return reference::conv1d(x, weight, bias, geometry, activation);
    }
    conv2d(x.unsqueeze_dim(2), weight.unsqueeze_dim(3), bias, geometry.of_image(), activation).squeeze_dim(2)
}

/// A transposed one-dimensional convolution with its activation, from short sequences to long ones.
///
/// `y = activation(bias + z)`, where each step of the input adds its window to the output:
/// `z[n, i stride + u - padding, o] += sum_c x[n, i, c] weight[c, o, u]`; what falls outside is dropped. PyTorch's
/// `ConvTranspose1d` for sequences with the channels last.
///
/// # Shapes
/// - `x`: `[batch, steps, in]`, `weight`: `[in, out, kernel]` (PyTorch's orientation), `bias`: `[out]`
/// - returns: `[batch, out_steps, out]` with `out_steps = (steps - 1) stride - 2 padding + kernel + output_padding`
///
/// # Panics
/// If the shapes do not fit, the weight is empty, nothing is left of the output, or the output padding is not smaller than the
/// stride.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, ConvTranspose1dGeometry, conv_transpose1d};
///
/// let device = Device::default();
/// let x = Tensor::<3>::from_data([[[1.0], [2.0]]], &device);
/// let (weight, bias) = (Tensor::<3>::from_data([[[1.0, 10.0]]], &device), Tensor::<1>::zeros([1], &device));
/// let geometry = ConvTranspose1dGeometry { stride: 2, padding: 0, output_padding: 0 };
/// let y = conv_transpose1d(x, weight, bias, geometry, Activation::None);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [1.0, 10.0, 2.0, 20.0]);
/// ```
pub fn conv_transpose1d(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Tensor<1>,
    geometry: ConvTranspose1dGeometry,
    activation: Activation,
) -> Tensor<3> {
    if !is_fused(&x) {
        return reference::conv_transpose1d(x, weight, bias, geometry, activation);
    }
    conv_transpose2d(x.unsqueeze_dim(2), weight.unsqueeze_dim(3), bias, geometry.of_image(), activation).squeeze_dim(2)
}

//! One fully connected layer.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::Activation;

use crate::random::Draws;

/// `y = activation(x W^T + b)`, with weights in PyTorch's orientation.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::{Activation, Linear};
/// use elbo::random::{Draws, Purpose};
///
/// let device = elbo::device::choose("cpu")?;
/// let layer = Linear::init(3, 2, &mut Draws::new(0, Purpose::Weights, 0, 0), &device);
/// assert_eq!(layer.weight.dims(), [2, 3]);
/// assert_eq!(layer.forward(Tensor::zeros([5, 3], &device), Activation::Relu).dims(), [5, 2]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct Linear {
    /// Weights, `[out, in]` as in PyTorch.
    pub weight: Param<Tensor<2>>,
    /// Biases of the outputs, `[out]`.
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer as PyTorch's `nn.Linear` starts: weight and bias uniform in +-1/sqrt(`inputs`), from `draws`.
    ///
    /// # Panics
    /// If a size is 0; configurations are checked before this point.
    pub fn init(inputs: usize, outputs: usize, draws: &mut Draws, device: &Device) -> Self {
        assert!(inputs > 0 && outputs > 0, "a layer of {inputs} inputs and {outputs} outputs");
        let bound = 1.0 / (inputs as f64).sqrt();
        let weight = TensorData::new(draws.uniforms(inputs * outputs, bound), [outputs, inputs]);
        let bias = TensorData::new(draws.uniforms(outputs, bound), [outputs]);
        Self { weight: Param::from_data(weight, device), bias: Param::from_data(bias, device) }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// - `x`: `[batch, in]`
    /// - returns: `[batch, out]`
    pub fn forward(&self, x: Tensor<2>, activation: Activation) -> Tensor<2> {
        elbo_kernels::linear(x, self.weight.val(), self.bias.val(), activation)
    }
}

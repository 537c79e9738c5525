//! Layers over images, run forwards and backwards through Burn's autodiff.

use burn::tensor::{Device, Gradients, Tensor, TensorData};

/// A tensor by its shape and values.
#[derive(Clone, Debug)]
pub struct Array<const D: usize> {
    pub dims: [usize; D],
    pub values: Vec<f32>,
}

impl<const D: usize> Array<D> {
    /// The tensor, on a device with gradients.
    pub fn tensor(&self) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.dims), &Device::default().autodiff())
    }
}

/// A convolution's arguments and, in `dy`, what comes back from above (made of a seed, for its shape follows from the layer).
pub struct ConvLayer<const D: usize = 4> {
    pub x: Array<D>,
    pub weight: Array<D>,
    pub bias: Array<1>,
}

/// A layer's output and gradients, by name.
pub type Results = [(&'static str, Vec<f32>); 4];

impl<const D: usize> ConvLayer<D> {
    /// `y`, `dx`, `dw` and `db` when `op` computes the layer and `dy` gives the gradient that comes back for a shape.
    pub fn run(
        &self,
        op: impl FnOnce(Tensor<D>, Tensor<D>, Tensor<1>) -> Tensor<D>,
        dy: impl FnOnce([usize; D]) -> Array<D>,
    ) -> Results {
        let x = self.x.tensor().require_grad();
        let weight = self.weight.tensor().require_grad();
        let bias = self.bias.tensor().require_grad();
        let y = op(x.clone(), weight.clone(), bias.clone());
        let gradients = (y.clone() * dy(y.dims()).tensor()).sum().backward();
        [
            ("y", values(y)),
            ("dx", gradient(&x, &gradients)),
            ("dw", gradient(&weight, &gradients)),
            ("db", gradient(&bias, &gradients)),
        ]
    }
}

/// The values of a tensor in row-major order.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("float32")
}

/// The gradient that reached `tensor`.
pub fn gradient<const D: usize>(tensor: &Tensor<D>, gradients: &Gradients) -> Vec<f32> {
    values(tensor.grad(gradients).expect("a gradient"))
}

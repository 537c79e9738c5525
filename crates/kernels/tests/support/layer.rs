//! A fully connected layer, run forwards and backwards through Burn's autodiff.

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use elbo_kernels::Activation;

/// All activations with their names in the fixtures.
pub const ACTIVATIONS: [(&str, Activation); 6] = [
    ("none", Activation::None),
    ("relu", Activation::Relu),
    ("tanh", Activation::Tanh),
    ("gelu", Activation::Gelu),
    ("silu", Activation::Silu),
    ("leaky-relu", Activation::LeakyRelu),
];

/// What goes into a layer and, in `dy`, what comes back from above.
pub struct Layer {
    pub batch: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub dy: Vec<f32>,
}

/// The layer's output and gradients, by name.
pub type Results = [(&'static str, Vec<f32>); 4];

impl Layer {
    /// `y`, `dx`, `dw` and `db` when `op` computes the layer.
    pub fn run(&self, op: impl FnOnce(Tensor<2>, Tensor<2>, Tensor<1>) -> Tensor<2>) -> Results {
        let device = Device::default().autodiff();
        let matrix = |values: &[f32], rows, columns| {
            Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, columns]), &device)
        };
        let x = matrix(&self.x, self.batch, self.inputs).require_grad();
        let weight = matrix(&self.weight, self.outputs, self.inputs).require_grad();
        let bias = Tensor::<1>::from_data(TensorData::new(self.bias.clone(), [self.outputs]), &device).require_grad();
        let y = op(x.clone(), weight.clone(), bias.clone());
        let gradients = (y.clone() * matrix(&self.dy, self.batch, self.outputs)).sum().backward();
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

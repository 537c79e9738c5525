//! Layers over images, run forwards and backwards through Burn's autodiff.

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

/// A tensor by its shape and values.
#[derive(Clone, Debug)]
pub struct Array<const D: usize> {
    pub dims: [usize; D],
    pub values: Vec<f32>,
}

impl<const D: usize> Array<D> {
    /// Multiples of 1/16 in [-1, 1]: sums of products of two are exact in float32, so that no rounding puts twins on different sides of a kink.
    pub fn grid(seed: u64, dims: [usize; D]) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 33) % 33) as f32 / 16.0 - 1.0
        };
        Self { dims, values: (0..dims.iter().product()).map(|_| next()).collect() }
    }

    /// All values through `f`.
    pub fn map(mut self, f: impl Fn(f32) -> f32) -> Self {
        self.values.iter_mut().for_each(|v| *v = f(*v));
        self
    }

    /// The tensor, on a device with gradients.
    pub fn tensor(&self) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.dims), &Device::default().autodiff())
    }
}

/// A convolution's arguments and, in `dy`, what comes back from above (made of a seed, for its shape follows from the layer).
pub struct ConvLayer {
    pub x: Array<4>,
    pub weight: Array<4>,
    pub bias: Array<1>,
}

/// A layer's output and gradients, by name.
pub type Results = [(&'static str, Vec<f32>); 4];

impl ConvLayer {
    /// A layer of grid values; `outputs` is the length of the bias.
    pub fn grid(x: [usize; 4], weight: [usize; 4], outputs: usize) -> Self {
        // A power of two keeps sums exact and out of the flat parts of activations.
        let terms = weight.iter().product::<usize>() / outputs;
        let scale = 0.5f32.powi(terms.max(1).ilog2().div_ceil(2) as i32);
        Self {
            x: Array::grid(1, x),
            weight: Array::grid(2, weight).map(|w| w * scale),
            // Half a unit of the products: no value before the activation is 0, where twins may choose either slope.
            bias: Array::grid(3, [outputs]).map(|b| b + scale / 512.0),
        }
    }

    /// `y`, `dx`, `dw` and `db` when `op` computes the layer and `dy` gives the gradient that comes back for a shape.
    pub fn run(
        &self,
        op: impl FnOnce(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>,
        dy: impl FnOnce([usize; 4]) -> Array<4>,
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

/// A gradient from above without large cancellations.
pub fn slopes(dims: [usize; 4]) -> Array<4> {
    Array::grid(4, dims).map(|d| 1.0 + 0.5 * d)
}

/// The values of a tensor in row-major order.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("float32")
}

/// The gradient that reached `tensor`.
pub fn gradient<const D: usize>(tensor: &Tensor<D>, gradients: &Gradients) -> Vec<f32> {
    values(tensor.grad(gradients).expect("a gradient"))
}

//! The activations by name.

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

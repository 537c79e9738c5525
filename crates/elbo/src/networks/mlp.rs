//! A stack of fully connected layers.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::Linear;
use crate::error::{Error, Result};
use crate::random::Draws;
use crate::reference::Fields;

pub use elbo_kernels::Activation;

/// The nonlinearity between layers, as recipes name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Nonlinearity {
    /// The positive part, `max(x, 0)`.
    #[default]
    Relu,
    /// The hyperbolic tangent, `tanh x`.
    Tanh,
    /// `x Phi(x)`, exact.
    Gelu,
    /// `x sigmoid(x)`, also called swish.
    Silu,
    /// `x` above zero, `0.01 x` below.
    LeakyRelu,
}

impl From<Nonlinearity> for Activation {
    fn from(value: Nonlinearity) -> Self {
        match value {
            Nonlinearity::Relu => Self::Relu,
            Nonlinearity::Tanh => Self::Tanh,
            Nonlinearity::Gelu => Self::Gelu,
            Nonlinearity::Silu => Self::Silu,
            Nonlinearity::LeakyRelu => Self::LeakyRelu,
        }
    }
}

/// `network.kind = "mlp"`: widths between the data and the code, encoder order; the decoder mirrors them.
///
/// ```
/// use elbo::networks::{MlpConfig, Nonlinearity};
///
/// let config: MlpConfig = toml::from_str("hidden = [512, 256]\nactivation = 'leaky-relu'").unwrap();
/// assert_eq!(config.activation, Nonlinearity::LeakyRelu);
/// assert!(MlpConfig { hidden: vec![0], ..config }.check().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct MlpConfig {
    /// Widths of the hidden layers, from the data towards the code. May be empty: a linear model.
    pub hidden: Vec<usize>,
    /// What follows each hidden layer.
    pub activation: Nonlinearity,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { hidden: vec![400], activation: Nonlinearity::Relu }
    }
}

/// Widest layer accepted.
pub const MAX_WIDTH: usize = 1 << 20;

impl MlpConfig {
    /// Checks the widths.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key for a width of 0 or beyond `MAX_WIDTH` (2^20), or more than 64 layers.
    pub fn check(&self) -> Result<()> {
        check_widths(&self.hidden)
    }

    /// Widths from examples of `shape` to the features.
    pub(super) fn widths(&self, shape: [usize; 3]) -> Vec<usize> {
        [&[shape.iter().product()], self.hidden.as_slice()].concat()
    }

    /// Widths from a code to `outputs` channels.
    pub(super) fn widths_up(&self, latent: usize, shape: [usize; 3], outputs: usize) -> Vec<usize> {
        let mut widths = self.widths([outputs, shape[1], shape[2]]);
        widths.push(latent);
        widths.reverse();
        widths
    }
}

/// Checks `network.hidden`.
pub(super) fn check_widths(hidden: &[usize]) -> Result<()> {
    if hidden.len() > 64 {
        let found = format!("{} layers", hidden.len());
        return Err(Error::config("network.hidden", "at most 64 layers", found, "drop some widths"));
    }
    match hidden.iter().find(|&&width| width == 0 || width > MAX_WIDTH) {
        Some(width) => Err(Error::config(
            "network.hidden",
            format!("widths from 1 to {MAX_WIDTH}"),
            width.to_string(),
            "change the width, for example `--set network.hidden=[400]`",
        )),
        None => Ok(()),
    }
}

/// Layers applied one after another.
///
/// Parameter names are those of PyTorch's `self.layers = nn.ModuleList([...])`: `layers.0.weight`, `layers.0.bias`, ...
///
/// ```
/// use elbo::networks::{Activation, Mlp};
/// use elbo::random::{Draws, Purpose};
/// use elbo::run::parameters;
///
/// let device = elbo::device::choose("cpu")?;
/// let draws = &mut Draws::new(0, Purpose::Weights, 0, 0);
/// let mlp = Mlp::init(&[4, 3], Activation::Relu, Activation::None, draws, &device);
/// let shapes = parameters::shapes(&mlp);
/// assert_eq!(shapes, [("layers.0.weight".to_owned(), vec![3, 4]), ("layers.0.bias".to_owned(), vec![3])]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    last: Activation,
}

impl Mlp {
    /// Layers of widths `widths[0] -> widths[1] -> ...`; `activation` between them, `last` after the last.
    pub fn init(
        widths: &[usize],
        activation: Activation,
        last: Activation,
        draws: &mut Draws,
        device: &Device,
    ) -> Self {
        let layers = widths.windows(2).map(|pair| Linear::init(pair[0], pair[1], draws, device)).collect();
        Self { layers, activation, last }
    }

    /// Applies all layers.
    ///
    /// # Shapes
    /// - `x`: `[batch, widths[0]]`
    /// - returns: `[batch, last width]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self.layers.split_last() {
            Some((last, hidden)) => last.forward(self.hidden(hidden, x), self.last),
            None => x,
        }
    }

    /// What enters the last layer, and that layer, for callers that fuse it with what follows; none where an activation follows it.
    pub fn all_but_last(&self, x: Tensor<2>) -> Option<(Tensor<2>, &Linear)> {
        let (last, hidden) = self.layers.split_last()?;
        (self.last == Activation::None).then(|| (self.hidden(hidden, x), last))
    }

    fn hidden(&self, layers: &[Linear], x: Tensor<2>) -> Tensor<2> {
        layers.iter().fold(x, |x, layer| layer.forward(x, self.activation))
    }
}

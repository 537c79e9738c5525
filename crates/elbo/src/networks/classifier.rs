//! A small convolutional classifier: not a model of this crate, but a space to compare images in.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Activation, Channels, ConvConfig, Encoder, Linear, NetworkConfig, Pass};
use crate::random::{Draws, Purpose};

/// Convolutions, one hidden layer and one output for each class. In PyTorch: `body.layers`, `body.norms`, `body.dense`, `head`.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::networks::{Classifier, Pass};
///
/// let device = elbo::device::choose("cpu")?;
/// let classifier = Classifier::init([1, 28, 28], 10, 0, &device);
/// let x = Tensor::zeros([4, 784], &device);
/// assert_eq!(classifier.features(x.clone(), &Pass::still()).dims(), [4, Classifier::FEATURES]);
/// assert_eq!(classifier.logits(x, &Pass::still()).dims(), [4, 10]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct Classifier {
    body: Encoder,
    head: Linear,
    #[module(skip)]
    shape: [usize; 3],
}

impl Classifier {
    /// Width of the hidden layer.
    pub const FEATURES: usize = 64;

    /// A classifier of images of `shape` (channels, height, width) with initial weights from `seed`. Half the channels that
    /// [`Channels::Auto`] takes, batch normalisation, ReLU.
    ///
    /// # Panics
    /// If there are no classes or no pixels.
    pub fn init(shape: [usize; 3], classes: usize, seed: u64, device: &Device) -> Self {
        let channels: Vec<usize> = Channels::Auto.resolve(shape).into_iter().map(|width| width / 2).collect();
        let config = ConvConfig { channels: channels.into(), hidden: vec![Self::FEATURES], ..Default::default() };
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let body = NetworkConfig::Conv(config).encoder(shape, draws, device);
        Self { body, head: Linear::init(Self::FEATURES, classes, draws, device), shape }
    }

    /// Shape of its images (channels, height, width).
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The hidden layer, after its activation.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels * height * width]`
    /// - returns: `[batch, FEATURES]`
    pub fn features(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.body.forward(x, pass)
    }

    /// Log-odds of the classes, up to a constant.
    ///
    /// # Shapes
    /// - `x`: `[batch, channels * height * width]`
    /// - returns: `[batch, classes]`
    pub fn logits(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.head.forward(self.features(x, pass), Activation::None)
    }
}

//! What models around one vector code share: an encoder body with heads, a decoder body, a likelihood.

use burn::tensor::{Device, Tensor};

use super::{Decode, Encode, Generate, Model, ObjectiveConfig, Observe, Posterior, Show, StandardNormal};
use crate::data::batch::{Batch, Given};
use crate::distributions::{Likelihood, Observation};
use crate::error::Result;
use crate::networks::{self, LayerSummary, Linear, NetworkConfig, Pass};
use crate::random::{Draws, Purpose};
use crate::space::{Rows, Space};

/// The sizes of a model around one vector code.
///
/// ```
/// use elbo::distributions::Likelihood;
/// use elbo::models::{Architecture, Vae};
/// use elbo::networks::NetworkConfig;
///
/// let (network, device) = (NetworkConfig::mlp(&[400]), elbo::device::choose("cpu")?);
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 20, &network, Likelihood::Bernoulli), 0, &device);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Architecture<'a> {
    /// What is modelled.
    pub space: Space,
    /// Dimensions of the code.
    pub latent: usize,
    /// Bodies of encoder and decoder.
    pub network: &'a NetworkConfig,
    /// What the decoder's output means.
    pub likelihood: Likelihood,
}

impl<'a> Architecture<'a> {
    /// For examples of a space, or of a shape (channels, height, width), which stands for bytes.
    pub fn new(space: impl Into<Space>, latent: usize, network: &'a NetworkConfig, likelihood: Likelihood) -> Self {
        Self { space: space.into(), latent, network, likelihood }
    }

    /// The two bodies with linear heads between them, with PyTorch's initial weights from `seed`: encoder, `N` heads, decoder, in this order.
    ///
    /// `conditions` values come to the examples before the encoder (channels of a map, for networks of maps) and to the code before the decoder.
    pub(super) fn bodies<const N: usize>(&self, conditions: usize, seed: u64, device: &Device) -> Bodies<N> {
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let shape = self.conditioned_shape(conditions);
        let outputs = self.likelihood.output_channels(self.space.shape[0]);
        let features = self.network.features(shape);
        let encoder = self.network.encoder(shape, draws, device);
        let heads = [(); N].map(|()| Linear::init(features, self.latent, draws, device));
        let decoder = self.network.decoder(self.latent + conditions, self.space.shape, outputs, draws, device);
        Bodies { encoder, heads, decoder, observation: Observation::new(self.likelihood, device) }
    }

    /// The shape that the encoder sees: further channels for a network of maps, further values for a fully connected one.
    pub(super) fn conditioned_shape(&self, conditions: usize) -> [usize; 3] {
        match (conditions, self.network) {
            (0, _) => self.space.shape,
            (_, NetworkConfig::Mlp(_)) => [1, 1, self.space.numel() + conditions],
            (_, NetworkConfig::Conv(_) | NetworkConfig::Resnet(_)) => {
                let [channels, height, width] = self.space.shape;
                [channels + conditions, height, width]
            }
        }
    }

    /// The layers of [`Architecture::bodies`], from the data to the parameters of p(x|z).
    pub(super) fn layers(&self, heads: &[&str], conditions: usize) -> Vec<LayerSummary> {
        let shape = self.conditioned_shape(conditions);
        let outputs = self.likelihood.output_channels(self.space.shape[0]);
        let head = |name: &&str| LayerSummary::linear(*name, self.network.features(shape), self.latent);
        let mut rows = self.network.encoder_summary(shape);
        rows.extend(heads.iter().map(head));
        rows.extend(self.network.decoder_summary(self.latent + conditions, self.space.shape, outputs));
        rows
    }
}

/// The parts of a model around one vector code.
pub(super) struct Bodies<const N: usize> {
    pub encoder: networks::Encoder,
    pub heads: [Linear; N],
    pub decoder: networks::Decoder,
    pub observation: Observation,
}

/// What a model around one vector code knows of itself beside its weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub space: Space,
    pub prior: StandardNormal,
    pub objective: ObjectiveConfig,
}

impl Facts {
    pub fn of(architecture: &Architecture<'_>) -> Self {
        let prior = StandardNormal([Space::vector(architecture.latent)]);
        Self { space: architecture.space, prior, objective: ObjectiveConfig::default() }
    }

    pub fn codes(&self) -> &[Space; 1] {
        &self.prior.0
    }

    /// Noise for `samples` draws of each posterior. `[batch, samples * latent]`.
    pub fn noise(&self, mean: &Tensor<2>, samples: usize, pass: &Pass) -> Tensor<2> {
        let [batch, latent] = mean.dims();
        pass.normals([batch, samples * latent], &mean.device())
    }

    /// Examples that bring the decoder about as many rows as ever.
    pub fn examples_at_once(&self, samples: usize) -> usize {
        (512 / samples).max(16)
    }
}

/// A model around one vector code. Whoever implements it has [`Encode`], [`Decode`] and [`Observe`].
pub trait VectorCode: Model {
    /// The space of the code, `[1, 1, latent]` real numbers.
    fn codes(&self) -> &[Space; 1];

    /// What the decoder's output means.
    fn observed(&self) -> &Observation;

    /// q(z|x), or the code itself.
    fn posterior(&self, batch: &Batch, pass: &Pass) -> Posterior;

    /// The parameters of p(x|z), as many for each value as [`Likelihood`] says.
    ///
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, output_channels * height * width]`
    fn parameters(&self, z: Tensor<2>, given: &Given, pass: &Pass) -> Tensor<2>;

    /// What enters the last layer of the decoder and that layer, where it is fully connected: it is then taken in one pass with the likelihood.
    fn all_but_last(&self, _z: Tensor<2>, _given: &Given) -> Option<(Tensor<2>, &Linear)> {
        None
    }

    /// Codes that are decoded at once fastest.
    fn codes_at_once(&self) -> usize {
        256
    }

    /// What codes are drawn from; none where training gave them no distribution.
    fn code_prior(&self) -> Option<&dyn Generate> {
        None
    }
}

impl<T: VectorCode> Encode for T {
    fn codes(&self) -> &[Space] {
        VectorCode::codes(self)
    }

    fn encode(&self, batch: &Batch) -> Posterior {
        self.posterior(batch, &Pass::still())
    }
}

impl<T: VectorCode> Decode for T {
    fn codes(&self) -> &[Space] {
        VectorCode::codes(self)
    }

    fn decode(&self, codes: &[Rows], given: &Given, show: Show<'_>) -> Result<Rows> {
        self.show(codes, given, show)
    }

    fn prior(&self) -> Option<&dyn Generate> {
        self.code_prior()
    }

    fn observation(&self) -> Option<&dyn Observe> {
        Some(self)
    }
}

impl<T: VectorCode> Observe for T {
    fn likelihood(&self) -> Likelihood {
        self.observed().likelihood()
    }

    fn scale(&self) -> Option<f64> {
        self.observed().scale()
    }

    fn parameters(&self, codes: &[Rows], given: &Given) -> Tensor<2> {
        VectorCode::parameters(self, codes[0].real(), given, &Pass::still())
    }

    fn nll(&self, codes: &[Rows], given: &Given, x: Tensor<2>) -> Tensor<1> {
        let likelihood = Observe::likelihood(self).with_scale(Observe::scale(self));
        match self.all_but_last(codes[0].real(), given) {
            Some((h, last)) => likelihood.nll_of_linear(h, last.weight.val(), last.bias.val(), x),
            None => likelihood.nll(Observe::parameters(self, codes, given), x),
        }
    }

    fn recon(&self, codes: &[Rows], given: &Given, x: Tensor<2>) -> Tensor<1> {
        self.observed().nll(Observe::parameters(self, codes, given), x, &Pass::still())
    }

    fn codes_at_once(&self) -> usize {
        VectorCode::codes_at_once(self)
    }
}

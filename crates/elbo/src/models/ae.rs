//! Autoencoder (Hinton & Salakhutdinov 2006, Science 313:504): compress to a code, reconstruct from it.
//!
//! | symbol | here |
//! |---|---|
//! | code `c = f(x)` | [`Ae::encode`], its `mean` |
//! | `p(x\|c)` | [`Ae::decode`], its parameters |
//! | loss `-log p(x\|c)` | [`Ae::terms`], `recon`; there is no KL term |
//!
//! Nothing shapes the distribution of the codes, so samples from N(0, I) mean little here: that is the difference to [`super::Vae`].

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Code, Model, Terms};
use crate::distributions::{Likelihood, Observation};
use crate::networks::{Activation, Decoder, Encoder, Linear, NetworkConfig};
use crate::random::{Draws, Purpose};

/// The model. In PyTorch: `encoder.layers`, `code`, `decoder.layers`.
#[derive(Module, Debug)]
pub struct Ae {
    encoder: Encoder,
    code: Linear,
    decoder: Decoder,
    observation: Observation,
    #[module(skip)]
    input: usize,
    #[module(skip)]
    latent: usize,
}

impl Ae {
    /// A model for examples of `shape` (channels, height, width) with PyTorch's initial weights, drawn from `seed`.
    ///
    /// # Panics
    /// If the network cannot take the shape: [`NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::distributions::{Likelihood, Link};
    /// use elbo::models::{Ae, Model};
    /// use elbo::networks::NetworkConfig;
    ///
    /// let device = elbo::device::choose("cpu")?;
    /// let likelihood = Likelihood::Sse { link: Link::Sigmoid };
    /// let ae = Ae::init([1, 28, 28], 2, &NetworkConfig::default(), likelihood, 0, &device);
    /// let code = ae.encode(Tensor::zeros([8, 784], &device));
    /// assert_eq!((code.mean.dims(), code.log_var.is_none()), ([8, 2], true));
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(
        shape: [usize; 3],
        latent: usize,
        network: &NetworkConfig,
        likelihood: Likelihood,
        seed: u64,
        device: &Device,
    ) -> Self {
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let outputs = likelihood.output_channels(shape[0]);
        Self {
            encoder: network.encoder(shape, draws, device),
            code: Linear::init(network.features(shape), latent, draws, device),
            decoder: network.decoder(latent, shape, outputs, draws, device),
            input: shape.iter().product(),
            observation: Observation::new(likelihood, device),
            latent,
        }
    }
}

impl Model for Ae {
    fn latent(&self) -> usize {
        self.latent
    }

    fn input(&self) -> usize {
        self.input
    }

    fn likelihood(&self) -> Likelihood {
        self.observation.likelihood()
    }

    fn scale(&self) -> Option<f64> {
        self.observation.scale()
    }

    fn noise_dims(&self) -> usize {
        0
    }

    fn encode(&self, x: Tensor<2>) -> Code {
        let mean = self.code.forward(self.encoder.forward(x), Activation::None);
        Code { mean, log_var: None }
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.decoder.forward(z)
    }

    fn terms(&self, x: Tensor<2>, _noise: Tensor<2>) -> Terms {
        let parameters = self.decode(self.encode(x.clone()).mean);
        Terms { recon: self.observation.nll(parameters, x), kl: None, bound: None }
    }
}

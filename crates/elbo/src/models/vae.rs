//! Variational autoencoder (Kingma & Welling 2013, arXiv:1312.6114; Rezende, Mohamed & Wierstra 2014, arXiv:1401.4082).
//!
//! | paper | here |
//! |---|---|
//! | q(z\|x) = N(mu, sigma^2 I), section 3 | [`Vae::encode`]: `mean`, `log_var = log sigma^2` |
//! | z = mu + sigma * eps, eq. 4 | [`DiagonalGaussian::sample`] |
//! | -log p(x\|z), appendix C | [`Vae::decode`] gives its parameters, [`Observation::nll`] the value: `recon` |
//! | KL(q \|\| p), appendix B | [`DiagonalGaussian::kl_to_standard_normal`]: `kl` |
//! | -L, eq. 10 | `recon + kl`, `recon` a mean over L samples: [`Vae::with_samples`], 1 if not called |
//!
//! Departures: the weighting of `kl` (beta, free bits, capacity) is [`super::Objective`]'s; the encoder predicts log sigma^2 with no clamp.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Code, Model, Terms, decode_nll};
use crate::distributions::{DiagonalGaussian, Likelihood, Observation, mean_over};
use crate::networks::{Activation, Decoder, Encoder, Linear, NetworkConfig};
use crate::random::{Draws, Purpose};

/// The model. In PyTorch: `encoder.layers`, `mean`, `log_var`, `decoder.layers`.
#[derive(Module, Debug)]
pub struct Vae {
    encoder: Encoder,
    mean: Linear,
    log_var: Linear,
    decoder: Decoder,
    observation: Observation,
    #[module(skip)]
    input: usize,
    #[module(skip)]
    latent: usize,
    #[module(skip)]
    samples: usize,
}

impl Vae {
    /// A model for examples of `shape` (channels, height, width) with PyTorch's initial weights, drawn from `seed`.
    ///
    /// # Panics
    /// If the network cannot take the shape: [`NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use elbo::distributions::Likelihood;
    /// use elbo::models::{Model, Vae};
    /// use elbo::networks::NetworkConfig;
    ///
    /// let device = Device::default();
    /// let vae = Vae::init([1, 28, 28], 20, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
    /// let x = Tensor::<2>::zeros([8, 784], &device);
    /// let noise = Tensor::<2>::zeros([8, 20], &device);
    /// let terms = vae.terms(x, noise);
    /// assert_eq!(terms.recon.dims(), [8]);
    /// assert_eq!(terms.kl.unwrap().dims(), [8, 20]);
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
        let (features, outputs) = (network.features(shape), likelihood.output_channels(shape[0]));
        Self {
            encoder: network.encoder(shape, draws, device),
            mean: Linear::init(features, latent, draws, device),
            log_var: Linear::init(features, latent, draws, device),
            decoder: network.decoder(latent, shape, outputs, draws, device),
            input: shape.iter().product(),
            observation: Observation::new(likelihood, device),
            latent,
            samples: 1,
        }
    }

    /// The same with `samples` draws of the posterior for each example.
    ///
    /// # Panics
    /// If there are none.
    pub fn with_samples(self, samples: usize) -> Self {
        assert!(samples > 0, "an estimate of no samples");
        Self { samples, ..self }
    }

    /// q(z|x) = N(mean, diag(e^log_var)).
    ///
    /// # Shapes
    /// - `x`: `[batch, input]`
    pub fn posterior(&self, x: Tensor<2>) -> DiagonalGaussian {
        let features = self.encoder.forward(x);
        DiagonalGaussian {
            mean: self.mean.forward(features.clone(), Activation::None),
            log_var: self.log_var.forward(features, Activation::None),
        }
    }
}

impl Model for Vae {
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
        self.samples * self.latent
    }

    fn encode(&self, x: Tensor<2>) -> Code {
        let DiagonalGaussian { mean, log_var } = self.posterior(x);
        Code { mean, log_var: Some(log_var) }
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<2> {
        self.decoder.forward(z)
    }

    fn decode_nll(&self, z: Tensor<2>, likelihood: &Likelihood, x: Tensor<2>) -> Tensor<1> {
        decode_nll(&self.decoder, likelihood, z, x)
    }

    fn codes_at_once(&self) -> usize {
        self.decoder.codes_at_once()
    }

    fn terms(&self, x: Tensor<2>, noise: Tensor<2>) -> Terms {
        let posterior = self.posterior(x.clone()); // q(z|x)
        let kl = Some(posterior.kl_to_standard_normal());
        let (posterior, x, noise) = posterior.repeated(self.samples, x, noise);
        let z = posterior.sample(noise); // z ~ q(z|x)
        let parameters = self.decode(z); // p(x|z)
        let recon = mean_over(self.samples, self.observation.nll(parameters, x));
        Terms { recon, kl, bound: None }
    }
}

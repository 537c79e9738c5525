//! Importance-weighted autoencoder (Burda, Grosse & Salakhutdinov 2015, arXiv:1509.00519).
//!
//! | paper | here |
//! |---|---|
//! | w_i = p(x, z_i) / q(z_i\|x), section 3 | [`Iwae::terms`]: `log_w` |
//! | L_k = E[log 1/k sum_i w_i], eq. 8 | `bound` (negated), from the log-mean-exp of `log_w` |
//! | its gradient weights sample i by w_i / sum_j w_j, eq. 14 | automatic differentiation of `bound` |
//! | the doubly reparameterized gradient, Tucker et al. 2018, arXiv:1810.04152, eq. 8 | `dreg`: [`Iwae::with_dreg`] |
//!
//! Departures: `recon` and `kl` are reported as a VAE's, means over the k samples and in closed form, so that they compare; the loss is -L_k, not their
//! sum. The weights enter the gradient as they come from the bound: the best sample counts most, never the worst.

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation::softmax};

use super::{Code, Model, Terms, decode_nll};
use crate::distributions::{DiagonalGaussian, Likelihood, Observation, mean_over};
use crate::networks::{Activation, Decoder, Encoder, Linear, NetworkConfig};
use crate::random::{Draws, Purpose};

/// The model: a VAE's networks under another bound. In PyTorch: `encoder.layers`, `mean`, `log_var`, `decoder.layers`.
#[derive(Module, Debug)]
pub struct Iwae {
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
    #[module(skip)]
    dreg: bool,
}

impl Iwae {
    /// A model for examples of `shape` (channels, height, width) whose bound takes `samples` draws of the posterior, with PyTorch's initial weights,
    /// drawn from `seed`.
    ///
    /// # Panics
    /// If `samples` is 0, or the network cannot take the shape: [`NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::distributions::Likelihood;
    /// use elbo::models::{Iwae, Model};
    /// use elbo::networks::NetworkConfig;
    ///
    /// let device = elbo::device::choose("cpu")?;
    /// let iwae = Iwae::init([1, 28, 28], 20, 5, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
    /// let terms = iwae.terms(Tensor::zeros([8, 784], &device), Tensor::ones([8, iwae.noise_dims()], &device));
    /// assert_eq!((iwae.noise_dims(), terms.bound.unwrap().dims()), (100, [8]));
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(
        shape: [usize; 3],
        latent: usize,
        samples: usize,
        network: &NetworkConfig,
        likelihood: Likelihood,
        seed: u64,
        device: &Device,
    ) -> Self {
        assert!(samples > 0, "a bound of no samples");
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let (features, outputs) = (network.features(shape), likelihood.output_channels(shape[0]));
        Self {
            encoder: network.encoder(shape, draws, device),
            mean: Linear::init(features, latent, draws, device),
            log_var: Linear::init(features, latent, draws, device),
            decoder: network.decoder(latent, shape, outputs, draws, device),
            observation: Observation::new(likelihood, device),
            input: shape.iter().product(),
            latent,
            samples,
            dreg: false,
        }
    }

    /// The same with the doubly reparameterized gradient for the encoder: no bias, and a variance that does not grow with k. Costs a second pass through
    /// the decoder.
    pub fn with_dreg(self, dreg: bool) -> Self {
        Self { dreg, ..self }
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

    /// `-log p(x|z)` and `log w = log p(x|z) + log p(z) - log q(z|x)` of rows of samples.
    fn weigh(&self, q: &DiagonalGaussian, z: Tensor<2>, x: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
        let recon = self.observation.nll(self.decode(z.clone()), x);
        // The constants of the two Gaussians cancel.
        let squares = (z.clone() - q.mean.clone()).square() / q.log_var.clone().exp();
        let prior_over_posterior = (squares + q.log_var.clone() - z.square()).sum_dim(1).squeeze_dim::<1>(1) * 0.5;
        let log_w = prior_over_posterior - recon.clone();
        (recon, log_w)
    }
}

impl Model for Iwae {
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
        let ([batch, _], k) = (x.dims(), self.samples);
        let posterior = self.posterior(x.clone()); // q(z|x)
        let kl = Some(posterior.kl_to_standard_normal());
        let (q, x, noise) = posterior.repeated(k, x, noise);
        let z = q.sample(noise); // z_i ~ q(z|x)
        let (recon, log_w) = self.weigh(&q, z.clone(), x.clone());
        let log_w = log_w.reshape([batch, k]);
        let mut bound = log_mean_exp(log_w.clone()); // L_k
        if self.dreg && bound.device().is_autodiff() {
            let weights = softmax(log_w, 1).detach(); // w_i / sum_j w_j
            let rows = weights.clone().reshape([batch * k, 1]);
            // The gradient that reaches the encoder through z is weighted once more.
            let z = z.clone() * rows.clone() + z.detach() * (rows.neg() + 1.0);
            let constant = DiagonalGaussian { mean: q.mean.detach(), log_var: q.log_var.detach() };
            let (_, log_w) = self.weigh(&constant, z, x);
            let slope = (weights * log_w.reshape([batch, k])).sum_dim(1).squeeze_dim::<1>(1);
            bound = bound.detach() + slope.clone() - slope.detach(); // the bound's value, the estimator's gradient
        }
        Terms { recon: mean_over(k, recon), kl, bound: Some(bound.neg()) }
    }
}

/// `log (1/k) sum_i e^values_i` of each row, without overflow.
///
/// # Shapes
/// - `values`: `[n, k]`
/// - returns: `[n]`
fn log_mean_exp(values: Tensor<2>) -> Tensor<1> {
    let k = values.dims()[1] as f64;
    let largest = values.clone().max_dim(1).detach();
    let sum = (values - largest.clone()).exp().sum_dim(1);
    (sum.log() + largest - k.ln()).squeeze_dim::<1>(1)
}

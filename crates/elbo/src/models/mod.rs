//! The models: one file each, reading like its paper, and what they share.
//!
//! [`Model`] is all that training, evaluation and generation know of a model, and it is object-safe: those that only look take `&dyn Model`.
//! Training also needs Burn's `Module` to reach the weights. To write your own model, implement [`Model`] for your module; `examples/own_model.rs`
//! does it in one page.
//!
//! ```
//! use burn::tensor::Tensor;
//! use elbo::models::{Model, ModelConfig};
//! use elbo::networks::NetworkConfig;
//!
//! let device = elbo::device::choose("cpu")?;
//! let config = ModelConfig { latent: 2, ..Default::default() };
//! let vae = config.init(&NetworkConfig::default(), [1, 28, 28], 0, &device)?;
//! let model: &dyn Model = &vae;
//! let code = model.encode(Tensor::zeros([8, 784], &device));
//! assert_eq!(model.decode_mean(code.mean).dims(), [8, 784]);
//! # Ok::<(), elbo::Error>(())
//! ```

mod ae;
mod choice;
mod iwae;
mod objective;
mod vae;

use burn::tensor::Tensor;

use crate::distributions::Likelihood;
use crate::error::Result;
use crate::networks::Decoder;
use crate::random::Draws;

pub use ae::Ae;
pub use choice::{AnyModel, InitialWeights, LikelihoodName, ModelConfig, ModelKind, OutputBias};
pub use iwae::Iwae;
pub use objective::{Capacity, Objective, ObjectiveConfig, Weighted};
pub use vae::Vae;

/// What an encoder says about a batch.
#[derive(Debug, Clone)]
pub struct Code {
    /// Mean of q(z|x), or an autoencoder's code. `[batch, latent]`.
    pub mean: Tensor<2>,
    /// Log variance of q(z|x); none for an autoencoder. `[batch, latent]`.
    pub log_var: Option<Tensor<2>>,
}

/// The terms of the loss, before they are weighted or averaged.
#[derive(Debug, Clone)]
pub struct Terms {
    /// `-log p(x|z)` of each example, summed over dimensions. `[batch]`.
    pub recon: Tensor<1>,
    /// `KL(q(z|x) || p(z))` by example and latent dimension; none for an autoencoder. `[batch, latent]`.
    pub kl: Option<Tensor<2>>,
    /// What is minimised in place of their weighted sum, for models with a bound of their own. `[batch]`.
    pub bound: Option<Tensor<1>>,
}

/// An encoder and a decoder around a latent code.
///
/// ```
/// use burn::module::Module;
/// use burn::tensor::Tensor;
/// use elbo::distributions::{DiagonalGaussian, Likelihood, Link};
/// use elbo::models::{Code, Model, Terms};
/// use elbo::networks::{Activation::None as Identity, Linear};
/// use elbo::random::{Draws, Purpose};
///
/// /// A VAE without hidden layers: probabilistic PCA, learned.
/// #[derive(Module, Debug)]
/// struct LinearVae {
///     mean: Linear,
///     log_var: Linear,
///     decoder: Linear,
/// }
///
/// impl Model for LinearVae {
///     fn latent(&self) -> usize { self.mean.weight.dims()[0] }
///     fn input(&self) -> usize { self.mean.weight.dims()[1] }
///     fn likelihood(&self) -> Likelihood { Likelihood::Gaussian { sigma: 0.1, link: Link::Identity } }
///     fn encode(&self, x: Tensor<2>) -> Code {
///         Code { mean: self.mean.forward(x.clone(), Identity), log_var: Some(self.log_var.forward(x, Identity)) }
///     }
///     fn decode(&self, z: Tensor<2>) -> Tensor<2> { self.decoder.forward(z, Identity) }
///     fn terms(&self, x: Tensor<2>, noise: Tensor<2>) -> Terms {
///         let Code { mean, log_var } = self.encode(x.clone());
///         let posterior = DiagonalGaussian { mean, log_var: log_var.expect("encoded above") };
///         let logits = self.decode(posterior.sample(noise));
///         Terms { recon: self.likelihood().nll(logits, x), kl: Some(posterior.kl_to_standard_normal()), bound: None }
///     }
/// }
///
/// let (device, draws) = (elbo::device::choose("cpu")?, &mut Draws::new(0, Purpose::Weights, 0, 0));
/// let [mean, log_var] = [(); 2].map(|()| Linear::init(16, 2, draws, &device));
/// let model = LinearVae { mean, log_var, decoder: Linear::init(2, 16, draws, &device) };
/// let terms = model.terms(Tensor::ones([5, 16], &device), Tensor::zeros([5, 2], &device));
/// assert_eq!((terms.recon.dims(), terms.kl.unwrap().dims()), ([5], [5, 2]));
/// # Ok::<(), elbo::Error>(())
/// ```
pub trait Model {
    /// Dimensions of the code.
    fn latent(&self) -> usize;

    /// Values of one example.
    fn input(&self) -> usize;

    /// What the decoder's output means.
    fn likelihood(&self) -> Likelihood;

    /// The scale of the likelihood where it is learned ([`Observation::scale`](crate::distributions::Observation::scale)).
    fn scale(&self) -> Option<f64> {
        None
    }

    /// Draws from N(0, 1) that [`Model::terms`] wants for each example; 0 for a deterministic model.
    fn noise_dims(&self) -> usize {
        self.latent()
    }

    /// q(z|x).
    ///
    /// # Shapes
    /// - `x`: `[batch, input]`
    fn encode(&self, x: Tensor<2>) -> Code;

    /// The parameters of p(x|z), as many for each value as [`Likelihood`] says.
    ///
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, output_channels * height * width]`
    fn decode(&self, z: Tensor<2>) -> Tensor<2>;

    /// `-log p(x|z)` of each code: [`Likelihood::nll`] of what [`Model::decode`] gives. A decoder that can do both at once does.
    ///
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - `x`: `[batch, input]` or `[batch / r, input]`, each example for `r` codes in a row
    /// - returns: `[batch]`, in nats
    fn decode_nll(&self, z: Tensor<2>, likelihood: &Likelihood, x: Tensor<2>) -> Tensor<1> {
        likelihood.nll(self.decode(z), x)
    }

    /// Codes that [`Model::decode_nll`] takes at once fastest.
    fn codes_at_once(&self) -> usize {
        256
    }

    /// The terms of the loss for a batch, with the noise given.
    ///
    /// # Shapes
    /// - `x`: `[batch, input]`
    /// - `noise`: `[batch, noise_dims]`, from N(0, 1)
    fn terms(&self, x: Tensor<2>, noise: Tensor<2>) -> Terms;

    /// E[x|z]: what a picture of the decoded code shows.
    ///
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, input]`
    fn decode_mean(&self, z: Tensor<2>) -> Tensor<2> {
        self.likelihood().mean(self.decode(z))
    }

    /// A draw of x from p(x|z).
    ///
    /// # Shapes
    /// - `z`: `[batch, latent]`
    /// - returns: `[batch, input]`
    ///
    /// # Errors
    /// As [`Likelihood::sample`].
    fn decode_draw(&self, z: Tensor<2>, draws: &mut Draws) -> Result<Tensor<2>> {
        self.likelihood().sample(self.decode(z), self.scale(), draws)
    }
}

/// [`Model::decode_nll`] of a model that decodes with `decoder` alone: in one pass where its last layer is fully connected.
fn decode_nll(decoder: &Decoder, likelihood: &Likelihood, z: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    match decoder.all_but_last(z.clone()) {
        Some((h, last)) => likelihood.nll_of_linear(h, last.weight.val(), last.bias.val(), x),
        None => likelihood.nll(decoder.forward(z), x),
    }
}

/// Examples of one batch when nothing is learned: fewer where each is taken with many samples, so that the decoder sees about as many rows.
pub(crate) fn examples_at_once<M: Model + ?Sized>(model: &M) -> usize {
    let samples = (model.noise_dims() / model.latent()).max(1);
    (512 / samples).max(16)
}

//! The codes a sampler is fitted on.

use burn::tensor::Device;

use crate::data::Subset;
use crate::data::codes::CodesKind;
use crate::error::{Error, Result};
use crate::evaluation::{Codes, encode};
use crate::models::Model;
use crate::random::{Draws, Purpose};

impl CodesKind {
    /// What fits a model: draws where it draws, else its codes.
    pub fn of(model: &dyn Model) -> Self {
        if model.bound().is_some() { Self::Sample } else { Self::Mean }
    }
}

/// The codes of a split in its order. `seed` is that of the draws.
///
/// # Shapes
/// - returns: `[n, latent]`
///
/// # Errors
/// [`Error::Config`] for draws from an autoencoder, which has none, and for codes that are not finite.
pub fn training_codes(
    model: &dyn Model,
    split: &Subset,
    kind: CodesKind,
    seed: u64,
    device: &Device,
) -> Result<Vec<f32>> {
    sampler_codes(encode(model, split, device)?, kind, seed)
}

/// What a sampler is fitted on, from posteriors that are known already. `seed` is that of the draws.
///
/// # Shapes
/// - returns: `[n, latent]`
///
/// # Errors
/// As [`training_codes`].
///
/// ```
/// use elbo::evaluation::Codes;
/// use elbo::priors::{CodesKind, sampler_codes};
///
/// let codes = Codes { latent: 2, mean: vec![1.0, 2.0], log_var: Some(vec![f32::NEG_INFINITY; 2]), labels: None };
/// assert_eq!(sampler_codes(codes, CodesKind::Sample, 0)?, [1.0, 2.0]); // a posterior without width
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn sampler_codes(codes: Codes, kind: CodesKind, seed: u64) -> Result<Vec<f32>> {
    let Codes { latent, mean: mut z, log_var, .. } = codes;
    if kind == CodesKind::Sample {
        let Some(log_var) = log_var else {
            let help = "an autoencoder has one code for each example";
            return Err(Error::config("codes", "mean", "sample", help));
        };
        let noise = Draws::new(seed, Purpose::SamplerCodes, 0, 0).normals(z.len());
        z.iter_mut().zip(log_var).zip(noise).for_each(|((z, log_var), e)| *z += (0.5 * log_var).exp() * e);
    }
    match z.iter().position(|value| !value.is_finite()) {
        None => Ok(z),
        Some(place) => {
            let found = format!("{} as code of example {}", z[place], place / latent.max(1));
            Err(Error::config("codes", "finite codes", found, "the encoder's weights are of no use: train again"))
        }
    }
}

//! Decoded images, originals beside reconstructions, and samples.

use burn::tensor::{Device, Tensor, TensorData};

use crate::data::batch::batch;
use crate::data::source::ImageShape;
use crate::data::split::Subset;
use crate::error::Result;
use crate::models::Model;
use crate::random::{Draws, Purpose};
use crate::run::parameters::values_of;

/// Images of one shape with values in [0, 1], `[n, channels, height, width]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pictures {
    /// The shape all share.
    pub shape: ImageShape,
    /// Image after image, channel first.
    pub pixels: Vec<f32>,
}

impl Pictures {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.numel()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }
}

/// Decodes codes to E[x|z].
///
/// # Shapes
/// - `codes`: `[n, latent]`, row after row
///
/// # Panics
/// If `codes` is not a whole number of codes, or `shape` is not the model's.
///
/// ```
/// # use elbo::data::ImageShape;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
/// use elbo::generation::decode;
///
/// let codes = [0.0, 0.0, 1.5, -0.5]; // two of them
/// let pictures = decode(&vae, ImageShape::grey(28, 28), &codes, &device);
/// assert_eq!(pictures.len(), 2);
/// assert!(pictures.pixels.iter().all(|value| (0.0..=1.0).contains(value)));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn decode(model: &dyn Model, shape: ImageShape, codes: &[f32], device: &Device) -> Pictures {
    let latent = model.latent();
    assert!(codes.len().is_multiple_of(latent), "{} values are no whole number of codes", codes.len());
    assert_eq!(shape.numel(), model.input(), "the model decodes to {} values", model.input());
    let mut pixels = Vec::with_capacity(codes.len() / latent * shape.numel());
    for rows in codes.chunks(512 * latent) {
        let z = Tensor::<2>::from_data(TensorData::new(rows.to_vec(), [rows.len() / latent, latent]), device);
        pixels.extend(values_of(model.decode_mean(z)));
    }
    Pictures { shape, pixels }
}

/// What stands for x given its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// E[x|z]: what the decoder expects, without the noise of single values.
    Mean,
    /// A draw from p(x|z), from a seed of its own: what the model says data look like.
    Draw {
        /// Of the draws.
        seed: u64,
    },
}

/// [`decode`] to means or draws.
///
/// # Errors
/// As [`Likelihood::sample`](crate::distributions::Likelihood::sample): nothing can be drawn from squared errors or a surrogate.
///
/// # Panics
/// As [`decode`].
///
/// ```
/// # use elbo::data::ImageShape;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
/// use elbo::generation::{Show, show};
///
/// let pictures = show(&vae, ImageShape::grey(28, 28), &[0.0, 0.0], Show::Draw { seed: 1 }, &device)?;
/// assert!(pictures.pixels.iter().all(|&value| value == 0.0 || value == 1.0), "a Bernoulli's draws");
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn show(model: &dyn Model, shape: ImageShape, codes: &[f32], show: Show, device: &Device) -> Result<Pictures> {
    let Show::Draw { seed } = show else {
        return Ok(decode(model, shape, codes, device));
    };
    let latent = model.latent();
    assert!(codes.len().is_multiple_of(latent), "{} values are no whole number of codes", codes.len());
    let mut pixels = Vec::with_capacity(codes.len() / latent * shape.numel());
    for (chunk, rows) in codes.chunks(512 * latent).enumerate() {
        let z = Tensor::<2>::from_data(TensorData::new(rows.to_vec(), [rows.len() / latent, latent]), device);
        let draws = &mut Draws::new(seed, Purpose::Likelihood, 0, chunk as u64);
        pixels.extend(values_of(model.decode_draw(z, draws)?));
    }
    Ok(Pictures { shape, pixels })
}

/// `count` codes from N(0, `temperature`^2 I), drawn from `seed`. `[count, latent]`.
///
/// ```
/// use elbo::generation::sample_codes;
///
/// assert_eq!(sample_codes(2, 3, 1.0, 0).len(), 6);
/// assert_eq!(sample_codes(2, 3, 0.0, 0), [0.0; 6]);
/// ```
pub fn sample_codes(latent: usize, count: usize, temperature: f64, seed: u64) -> Vec<f32> {
    let mut codes = Draws::new(seed, Purpose::Prior, 0, 0).normals(count * latent);
    codes.iter_mut().for_each(|z| *z *= temperature as f32);
    codes
}

/// `count` images decoded from [`sample_codes`].
///
/// ```
/// # use elbo::data::ImageShape;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
/// use elbo::generation::sample;
///
/// let shape = ImageShape::grey(28, 28);
/// assert_eq!(sample(&vae, shape, 16, 0.8, 5, &device), sample(&vae, shape, 16, 0.8, 5, &device));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn sample(
    model: &dyn Model,
    shape: ImageShape,
    count: usize,
    temperature: f64,
    seed: u64,
    device: &Device,
) -> Pictures {
    decode(model, shape, &sample_codes(model.latent(), count, temperature, seed), device)
}

/// `count` distinct places of a split (all when there are fewer) in random order, the same for the same seed.
///
/// ```
/// use elbo::data::{self, DataConfig};
///
/// let splits = data::open(&DataConfig { count: 200, ..Default::default() }, 0, &mut |_| {})?;
/// let places = elbo::generation::random_places(&splits.test, 5, 1);
/// assert_eq!(places, elbo::generation::random_places(&splits.test, 5, 1));
/// assert_eq!(places.len(), 5);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn random_places(split: &Subset, count: usize, seed: u64) -> Vec<u32> {
    let mut places = Draws::new(seed, Purpose::Choice, 0, 0).permutation(split.len() as u32);
    places.truncate(count);
    places
}

/// The images at places `chosen` of a split.
pub fn originals(split: &Subset, chosen: &[u32], device: &Device) -> Pictures {
    Pictures { shape: split.source().shape(), pixels: values_of(batch(split, chosen, device)) }
}

/// Decodes the posterior means of the images at places `chosen`.
///
/// ```
/// # use elbo::data::ImageShape;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
/// use std::sync::Arc;
///
/// use elbo::data::{Subset, digits};
/// use elbo::generation::{originals, reconstruct};
///
/// let split = Subset::all(Arc::new(digits::generate(0, 20)));
/// let (before, after) = (originals(&split, &[3, 7], &device), reconstruct(&vae, &split, &[3, 7], &device));
/// assert_eq!((before.len(), after.len()), (2, 2));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn reconstruct(model: &dyn Model, split: &Subset, chosen: &[u32], device: &Device) -> Pictures {
    let shape = split.source().shape();
    let mut pixels = Vec::with_capacity(chosen.len() * shape.numel());
    for rows in chosen.chunks(512) {
        pixels.extend(values_of(model.decode_mean(model.encode(batch(split, rows, device)).mean)));
    }
    Pictures { shape, pixels }
}

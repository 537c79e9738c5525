//! Decoded images, originals beside reconstructions, and samples.

use burn::tensor::Device;

use super::decoder::CodeDecoder;
use crate::data::batch::{Batch, batch};
use crate::data::source::ImageShape;
use crate::data::split::Subset;
use crate::error::Result;
use crate::models::Model;
use crate::random::{Draws, Purpose};
use crate::tensors::values_of;

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
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
/// use elbo::generation::{CodeDecoder, decode};
///
/// let codes = [0.0, 0.0, 1.5, -0.5]; // two of them
/// let pictures = decode(&CodeDecoder::of(&vae, &device)?, &codes);
/// assert_eq!(pictures.len(), 2);
/// assert!(pictures.pixels.iter().all(|value| (0.0..=1.0).contains(value)));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn decode(decoder: &CodeDecoder<'_>, codes: &[f32]) -> Pictures {
    decoder.pictures(decoder.means(codes))
}

/// What stands for x given its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowAs {
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
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
/// use elbo::generation::{CodeDecoder, ShowAs, show};
///
/// let pictures = show(&CodeDecoder::of(&vae, &device)?, &[0.0, 0.0], ShowAs::Draw { seed: 1 })?;
/// assert!(pictures.pixels.iter().all(|&value| value == 0.0 || value == 1.0), "a Bernoulli's draws");
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn show(decoder: &CodeDecoder<'_>, codes: &[f32], show: ShowAs) -> Result<Pictures> {
    Ok(decoder.pictures(decoder.shown(codes, &[], show)?))
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
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
/// use elbo::generation::{CodeDecoder, sample};
///
/// let decoder = CodeDecoder::of(&vae, &device)?;
/// assert_eq!(sample(&decoder, 16, 0.8, 5), sample(&decoder, 16, 0.8, 5));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn sample(decoder: &CodeDecoder<'_>, count: usize, temperature: f64, seed: u64) -> Pictures {
    decode(decoder, &sample_codes(decoder.latent(), count, temperature, seed))
}

/// The same, of a conditional decoder of each of `classes` classes in turn.
pub fn sample_in_turn(decoder: &CodeDecoder<'_>, count: usize, classes: usize, seed: u64) -> Pictures {
    let codes = sample_codes(decoder.latent(), count, 1.0, seed);
    decode_in_turn(decoder, &codes, classes)
}

/// [`decode`], of a conditional decoder as each of `classes` classes in turn.
pub fn decode_in_turn(decoder: &CodeDecoder<'_>, codes: &[f32], classes: usize) -> Pictures {
    show_in_turn(decoder, codes, classes, ShowAs::Mean).expect("a mean is always there")
}

/// [`show`] with a class for each code, which a decoder that is not conditional ignores.
///
/// # Errors
/// As [`show`].
pub fn show_of_classes(decoder: &CodeDecoder<'_>, codes: &[f32], classes: &[u32], show: ShowAs) -> Result<Pictures> {
    Ok(decoder.pictures(decoder.shown(codes, classes, show)?))
}

/// [`show`], of a conditional decoder as each of `classes` classes in turn.
///
/// # Errors
/// As [`show`].
pub fn show_in_turn(decoder: &CodeDecoder<'_>, codes: &[f32], classes: usize, show: ShowAs) -> Result<Pictures> {
    let n = codes.len() / decoder.latent();
    let in_turn: Vec<u32> = (0..n).map(|i| (i % classes.max(1)) as u32).collect();
    show_of_classes(decoder, codes, &in_turn, show)
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
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
/// use std::sync::Arc;
///
/// use elbo::data::{Subset, digits};
/// use elbo::generation::{originals, reconstruct};
///
/// let split = Subset::all(Arc::new(digits::generate(0, 20)));
/// let (before, after) = (originals(&split, &[3, 7], &device), reconstruct(&vae, &split, &[3, 7], &device)?);
/// assert_eq!((before.len(), after.len()), (2, 2));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn reconstruct(model: &dyn Model, split: &Subset, chosen: &[u32], device: &Device) -> Result<Pictures> {
    let shape = split.source().shape();
    let mut pixels = Vec::with_capacity(chosen.len() * shape.numel());
    for rows in chosen.chunks(512) {
        let batch = Batch::of_split(split, rows, model.needs(), device);
        pixels.extend(values_of(model.reconstruct(&batch)?));
    }
    Ok(Pictures { shape, pixels })
}

//! Traversals and manifolds: codes on lines and grids.

use super::decoder::CodeDecoder;
use super::pictures::{Pictures, decode, sample_codes};
use super::quantile::normal_quantile;

/// The codes of a traversal: for each of `dims` one row, `steps` values from `base[dim] - reach[dim]` to `base[dim] + reach[dim]`, all other dimensions
/// as in `base`.
///
/// # Shapes
/// - `base`, `reach`: `[latent]`
/// - returns: `[dims.len() * steps, latent]`
///
/// ```
/// use elbo::generation::traversal_codes;
///
/// let codes = traversal_codes(&[0.0, 5.0], &[3.0, 3.0], &[0], 3); // along dimension 0
/// assert_eq!(codes, [-3.0, 5.0, 0.0, 5.0, 3.0, 5.0]);
/// ```
pub fn traversal_codes(base: &[f32], reach: &[f32], dims: &[usize], steps: usize) -> Vec<f32> {
    let mut codes = Vec::with_capacity(dims.len() * steps * base.len());
    for &dim in dims {
        for step in 0..steps {
            let start = codes.len();
            codes.extend_from_slice(base);
            codes[start + dim] = base[dim] + reach[dim] * fraction(step, steps, -1.0, 1.0);
        }
    }
    codes
}

/// Decodes [`traversal_codes`].
///
/// ```
/// # use elbo::generation::CodeDecoder;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
/// use elbo::generation::traverse;
///
/// let rows = traverse(&CodeDecoder::of(&vae, &device)?, &[0.0, 0.0], &[3.0, 3.0], &[0, 1], 11);
/// assert_eq!(rows.len(), 2 * 11);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn traverse(decoder: &CodeDecoder<'_>, base: &[f32], reach: &[f32], dims: &[usize], steps: usize) -> Pictures {
    decode(decoder, &traversal_codes(base, reach, dims, steps))
}

/// The manifold of a two-dimensional code on a linear grid, `size` x `size` images from `-reach` to `reach`; the first dimension grows to the right, the
/// second upwards.
///
/// # Panics
/// If the code has not two dimensions.
///
/// ```
/// # use elbo::generation::CodeDecoder;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
/// use elbo::generation::manifold_linear;
///
/// assert_eq!(manifold_linear(&CodeDecoder::of(&vae, &device)?, 2.0, 20).len(), 400);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn manifold_linear(decoder: &CodeDecoder<'_>, reach: f32, size: usize) -> Pictures {
    manifold_around(decoder, [0.0; 2], [reach; 2], size)
}

/// [`manifold_linear`] around any centre, with its own reach in each dimension: an autoencoder's codes lie where they like.
///
/// # Panics
/// If the code has not two dimensions.
pub fn manifold_around(decoder: &CodeDecoder<'_>, centre: [f32; 2], reach: [f32; 2], size: usize) -> Pictures {
    let [x, y] = [0, 1].map(|dim| {
        (0..size).map(|i| fraction(i, size, centre[dim] - reach[dim], centre[dim] + reach[dim])).collect::<Vec<_>>()
    });
    manifold(decoder, &x, &y)
}

/// The manifold at normal quantiles from `tail` to `1 - tail`: equal steps of probability under N(0, I), as in Kingma & Welling 2013, figure 4.
///
/// # Panics
/// If the code has not two dimensions.
///
/// ```
/// # use elbo::generation::CodeDecoder;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli), 0, &device);
/// use elbo::generation::manifold_quantiles;
///
/// assert_eq!(manifold_quantiles(&CodeDecoder::of(&vae, &device)?, 0.05, 15).len(), 225);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn manifold_quantiles(decoder: &CodeDecoder<'_>, tail: f64, size: usize) -> Pictures {
    let tail = tail as f32;
    let ticks: Vec<f32> =
        (0..size).map(|i| normal_quantile(f64::from(fraction(i, size, tail, 1.0 - tail))) as f32).collect();
    manifold(decoder, &ticks, &ticks)
}

fn manifold(decoder: &CodeDecoder<'_>, across: &[f32], up: &[f32]) -> Pictures {
    assert_eq!(decoder.latent(), 2, "a manifold needs a two-dimensional code");
    let codes: Vec<f32> = up.iter().rev().flat_map(|&y| across.iter().flat_map(move |&x| [x, y])).collect();
    decode(decoder, &codes)
}

/// Place `step` of `steps` between two ends, both reached; the middle when there is one step.
/// A conditional decoder's classes beside each other: `rows` codes from N(0, I), drawn from `seed`, each decoded as every one of `classes` classes.
///
/// # Shapes
/// - returns: `rows * classes` pictures, a row for each code
pub fn class_grid(decoder: &CodeDecoder<'_>, rows: usize, classes: usize, seed: u64) -> Pictures {
    let drawn = sample_codes(decoder.latent(), rows, 1.0, seed);
    let codes: Vec<f32> = drawn.chunks(decoder.latent()).flat_map(|code| code.repeat(classes)).collect();
    let columns: Vec<u32> = (0..rows).flat_map(|_| 0..classes as u32).collect();
    decoder.pictures(decoder.means_of_classes(&codes, &columns))
}

pub(super) fn fraction(step: usize, steps: usize, low: f32, high: f32) -> f32 {
    match steps {
        0 | 1 => 0.5 * (low + high),
        _ => low + (high - low) * step as f32 / (steps - 1) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traversal_moves_one_dimension_and_is_centred_on_its_base() {
        let codes = traversal_codes(&[1.0, 5.0], &[2.0, 3.0], &[1], 3);
        assert_eq!(codes, [1.0, 2.0, 1.0, 5.0, 1.0, 8.0]);
    }
}

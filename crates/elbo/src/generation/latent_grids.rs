//! Walks through the latent space.

use burn::tensor::Device;

use super::pictures::{Pictures, decode};
use super::quantile::normal_quantile;
use crate::data::source::ImageShape;
use crate::models::Model;

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
/// # use elbo::data::ImageShape;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
/// use elbo::generation::traverse;
///
/// let rows = traverse(&vae, ImageShape::grey(28, 28), &[0.0, 0.0], &[3.0, 3.0], &[0, 1], 11, &device);
/// assert_eq!(rows.len(), 2 * 11);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn traverse(
    model: &dyn Model,
    shape: ImageShape,
    base: &[f32],
    reach: &[f32],
    dims: &[usize],
    steps: usize,
    device: &Device,
) -> Pictures {
    decode(model, shape, &traversal_codes(base, reach, dims, steps), device)
}

/// How an interpolation moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Along the straight line.
    Linear,
    /// Along the great circle, the length interpolated too: stays where N(0, I) has its mass (White 2016, arXiv:1609.04468).
    Spherical,
}

/// Codes from `a` to `b`, both included.
///
/// # Shapes
/// - `a`, `b`: `[latent]`
/// - returns: `[steps, latent]`
///
/// ```
/// use elbo::generation::{Path, interpolation_codes};
///
/// let line = interpolation_codes(&[2.0, 0.0], &[0.0, 2.0], 3, Path::Linear);
/// assert_eq!(line[2..4], [1.0, 1.0]);
/// let circle = interpolation_codes(&[2.0, 0.0], &[0.0, 2.0], 3, Path::Spherical);
/// assert!((circle[2].hypot(circle[3]) - 2.0).abs() < 1e-6);
/// ```
pub fn interpolation_codes(a: &[f32], b: &[f32], steps: usize, path: Path) -> Vec<f32> {
    let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let (length_a, length_b) = (norm(a), norm(b));
    let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    let angle = (dot / (length_a * length_b).max(f32::MIN_POSITIVE)).clamp(-1.0, 1.0).acos();
    // Nearly parallel or opposite codes have no well-defined great circle between them.
    let linear = path == Path::Linear || angle.sin() < 1e-4;
    let weights = |t: f32| match linear {
        true => (1.0 - t, t),
        false => {
            let length = length_a + (length_b - length_a) * t;
            let part = |share: f32, own: f32| (share * angle).sin() / angle.sin() * length / own;
            (part(1.0 - t, length_a), part(t, length_b))
        }
    };
    (0..steps)
        .flat_map(|step| {
            let (wa, wb) = weights(fraction(step, steps, 0.0, 1.0));
            a.iter().zip(b).map(move |(x, y)| wa * x + wb * y)
        })
        .collect()
}

/// Decodes [`interpolation_codes`].
///
/// ```
/// # use elbo::data::ImageShape;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
/// use elbo::generation::{Path, interpolate};
///
/// let walk = interpolate(&vae, ImageShape::grey(28, 28), &[2.0, 0.0], &[0.0, 2.0], 12, Path::Spherical, &device);
/// assert_eq!(walk.len(), 12);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn interpolate(
    model: &dyn Model,
    shape: ImageShape,
    a: &[f32],
    b: &[f32],
    steps: usize,
    path: Path,
    device: &Device,
) -> Pictures {
    decode(model, shape, &interpolation_codes(a, b, steps, path), device)
}

/// The manifold of a two-dimensional code on a linear grid, `size` x `size` images from `-reach` to `reach`; the first dimension grows to the right, the
/// second upwards.
///
/// # Panics
/// If the code has not two dimensions.
///
/// ```
/// # use elbo::data::ImageShape;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
/// use elbo::generation::manifold_linear;
///
/// assert_eq!(manifold_linear(&vae, ImageShape::grey(28, 28), 2.0, 20, &device).len(), 400);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn manifold_linear(model: &dyn Model, shape: ImageShape, reach: f32, size: usize, device: &Device) -> Pictures {
    manifold_around(model, shape, [0.0; 2], [reach; 2], size, device)
}

/// [`manifold_linear`] around any centre, with its own reach in each dimension: an autoencoder's codes lie where they like.
///
/// # Panics
/// If the code has not two dimensions.
pub fn manifold_around(
    model: &dyn Model,
    shape: ImageShape,
    centre: [f32; 2],
    reach: [f32; 2],
    size: usize,
    device: &Device,
) -> Pictures {
    let [x, y] = [0, 1].map(|dim| {
        (0..size).map(|i| fraction(i, size, centre[dim] - reach[dim], centre[dim] + reach[dim])).collect::<Vec<_>>()
    });
    manifold(model, shape, &x, &y, device)
}

/// The manifold at normal quantiles from `tail` to `1 - tail`: equal steps of probability under N(0, I), as in Kingma & Welling 2013, figure 4.
///
/// # Panics
/// If the code has not two dimensions.
///
/// ```
/// # use elbo::data::ImageShape;
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::Vae;
/// # use elbo::networks::NetworkConfig;
/// # let device = elbo::device::choose("cpu")?;
/// # let vae = Vae::init([1, 28, 28], 2, &NetworkConfig::default(), Likelihood::Bernoulli, 0, &device);
/// use elbo::generation::manifold_quantiles;
///
/// assert_eq!(manifold_quantiles(&vae, ImageShape::grey(28, 28), 0.05, 15, &device).len(), 225);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn manifold_quantiles(model: &dyn Model, shape: ImageShape, tail: f64, size: usize, device: &Device) -> Pictures {
    let tail = tail as f32;
    let ticks: Vec<f32> =
        (0..size).map(|i| normal_quantile(f64::from(fraction(i, size, tail, 1.0 - tail))) as f32).collect();
    manifold(model, shape, &ticks, &ticks, device)
}

fn manifold(model: &dyn Model, shape: ImageShape, across: &[f32], up: &[f32], device: &Device) -> Pictures {
    assert_eq!(model.latent(), 2, "a manifold needs a two-dimensional code");
    let codes: Vec<f32> = up.iter().rev().flat_map(|&y| across.iter().flat_map(move |&x| [x, y])).collect();
    decode(model, shape, &codes, device)
}

/// Place `step` of `steps` between two ends, both reached; the middle when there is one step.
fn fraction(step: usize, steps: usize, low: f32, high: f32) -> f32 {
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

    #[test]
    fn interpolations_reach_both_ends() {
        let (a, b) = ([1.0, 0.0, 2.0], [0.0, 3.0, 1.0]);
        for path in [Path::Linear, Path::Spherical] {
            let codes = interpolation_codes(&a, &b, 7, path);
            let close = |x: &[f32], y: &[f32]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-5);
            assert!(close(&codes[..3], &a) && close(&codes[18..], &b), "{path:?} {codes:?}");
        }
    }

    #[test]
    fn great_circles_keep_the_length() {
        let (a, b) = ([3.0, 0.0], [0.0, 3.0]);
        for code in interpolation_codes(&a, &b, 9, Path::Spherical).chunks(2) {
            assert!((code[0].hypot(code[1]) - 3.0).abs() < 1e-5);
        }
        // Opposite codes fall back to the line instead of dividing by zero.
        let through_zero = interpolation_codes(&[1.0, 0.0], &[-1.0, 0.0], 3, Path::Spherical);
        assert!(through_zero.iter().all(|v| v.is_finite()) && through_zero[2].abs() < 1e-6);
    }
}

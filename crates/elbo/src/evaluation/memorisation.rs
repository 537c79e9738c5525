//! Does a model copy? How far its samples are from the nearest training images, beside images it has never seen.

use burn::tensor::Device;

use super::codes::Codes;
use crate::data::batch::batch;
use crate::data::split::Subset;
use crate::projection::{Nearest, Neighbour};
use crate::tensors::values_of;

/// Training images brought into float64 at once.
const BLOCK: usize = 2048;

/// The `k` training images nearest to each of `images`, by the Euclidean distance of their values, nearest first; their indices are places in `train`.
///
/// # Shapes
/// - `images`: `[n, values]`
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::{Subset, digits};
/// use elbo::evaluation::nearest_images;
/// use elbo::generation::originals;
///
/// let device = elbo::device::choose("cpu")?;
/// let train = Subset::all(Arc::new(digits::generate(0, 50)));
/// let found = nearest_images(&originals(&train, &[7], &device).pixels, &train, 3, &device);
/// assert_eq!((found[0][0].index, found[0][0].distance), (7, 0.0));
/// # Ok::<(), elbo::Error>(())
/// ```
///
/// # Panics
/// If `images` is no whole number of images like those of `train`.
pub fn nearest_images(images: &[f32], train: &Subset, k: usize, device: &Device) -> Vec<Vec<Neighbour>> {
    let queries = wide(images);
    let mut nearest = Nearest::new(&queries, train.source().shape().numel(), k);
    let places: Vec<u32> = (0..train.len() as u32).collect();
    for chosen in places.chunks(BLOCK) {
        nearest.offer(&wide(&values_of(batch(train, chosen, device))));
    }
    nearest.found()
}

/// The `k` training codes nearest to each of `codes`, by the Euclidean distance of posterior means.
///
/// # Panics
/// If the codes are of different models.
pub fn nearest_codes(codes: &Codes, train: &Codes, k: usize) -> Vec<Vec<Neighbour>> {
    assert_eq!(codes.latent, train.latent, "codes of one model");
    let queries = wide(&codes.mean);
    let mut nearest = Nearest::new(&queries, codes.latent, k);
    train.mean.chunks(BLOCK * train.latent).for_each(|block| nearest.offer(&wide(block)));
    nearest.found()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Distances to the nearest training image, of samples beside those of a yardstick.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Memorisation {
    /// Median over the samples.
    pub samples: f64,
    /// Median over the yardstick's images.
    pub yardstick: f64,
    /// The first over the second: near 1 where samples are as far from training images as unseen images are, near 0 where they are copies. None where
    /// the yardstick itself lies on training images.
    pub ratio: Option<f64>,
    /// Share of the samples nearer to a training image than 99 of 100 of the yardstick's images; 0.01 is expected of images like those.
    pub nearer_than_most: f64,
}

impl Memorisation {
    /// Compares distances to the nearest training image; none where there are no samples or no yardstick.
    ///
    /// ```
    /// use elbo::evaluation::Memorisation;
    ///
    /// let found = Memorisation::of(&[0.0, 0.1, 5.0], &[2.0, 4.0, 6.0]).unwrap();
    /// assert_eq!((found.samples, found.yardstick, found.ratio), (0.1, 4.0, Some(0.025)));
    /// assert_eq!(found.nearer_than_most, 2.0 / 3.0);
    /// ```
    pub fn of(samples: &[f64], yardstick: &[f64]) -> Option<Self> {
        let (of_samples, of_yardstick) = (quantile(samples, 0.5)?, quantile(yardstick, 0.5)?);
        let least = quantile(yardstick, 0.01)?;
        let nearer = samples.iter().filter(|distance| **distance < least).count();
        Some(Self {
            samples: of_samples,
            yardstick: of_yardstick,
            ratio: (of_yardstick > 0.0).then(|| of_samples / of_yardstick),
            nearer_than_most: nearer as f64 / samples.len() as f64,
        })
    }
}

/// The value at a share of the sorted values, between two of them by a straight line (NumPy's default).
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpy_s() {
        let values = [3.0, 1.0, 4.0, 2.0];
        assert_eq!([0.0, 0.5, 1.0, 0.1].map(|share| quantile(&values, share).unwrap()), [1.0, 2.5, 4.0, 1.3]);
        assert_eq!((quantile(&[], 0.5), quantile(&[7.0], 0.01)), (None, Some(7.0)));
    }

    #[test]
    fn a_yardstick_of_copies_says_nothing() {
        let found = Memorisation::of(&[1.0], &[0.0, 0.0, 3.0]).unwrap();
        assert_eq!((found.ratio, found.nearer_than_most), (None, 0.0));
        assert_eq!((Memorisation::of(&[], &[1.0]), Memorisation::of(&[1.0], &[])), (None, None));
    }

    #[test]
    fn like_beside_like_has_a_ratio_of_one() {
        let distances: Vec<f64> = (0..1000).map(|i| 1.0 + f64::from(i) / 1000.0).collect();
        let found = Memorisation::of(&distances, &distances).unwrap();
        assert_eq!((found.ratio, found.nearer_than_most), (Some(1.0), 0.01));
    }
}

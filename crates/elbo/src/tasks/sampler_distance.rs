//! How far decoded samples are from data: the [Frechet distance](crate::evaluation::frechet_distance) in the space of the data's principal components,
//! for images of any size. Numbers in one feature space compare with each other and with no other's.

use burn::tensor::Device;

use crate::data::ImageShape;
use crate::error::Result;
use crate::evaluation::{FeatureSpace, Moments, frechet_distance};
use crate::generation::Pictures;

/// Values of an example before its projection, at most; larger images are averaged over squares of pixels first.
const MOST_VALUES: usize = 1024;

/// The space distances are measured in: principal components, behind an average over squares where images are large.
pub(super) struct PooledSpace {
    components: FeatureSpace,
    device: Device,
    square: usize,
}

impl PooledSpace {
    /// The principal components of data.
    pub fn fit(data: &Pictures, device: &Device) -> Result<Self> {
        let ImageShape { channels, height, width } = data.shape;
        let values = |square: usize| channels * height.div_ceil(square) * width.div_ceil(square);
        let fits = |square: &usize| values(*square) <= MOST_VALUES;
        let square = (1..=height.max(width)).find(fits).unwrap_or(height.max(width));
        let components = FeatureSpace::pca_of_values(&pooled(data, square), values(square), device)?;
        Ok(Self { components, device: device.clone(), square })
    }

    /// What it is, for readers of the numbers.
    pub fn name(&self) -> String {
        match self.square {
            1 => self.components.description.clone(),
            side => format!("{}, averaged over {side} x {side} pixels", self.components.description),
        }
    }

    /// Frechet distance of two sets.
    pub fn distance(&self, a: &Pictures, b: &Pictures) -> Result<f64> {
        frechet_distance(&self.moments(a)?, &self.moments(b)?)
    }

    fn moments(&self, pictures: &Pictures) -> Result<Moments> {
        let values = pooled(pictures, self.square);
        let width = values.len() / pictures.len().max(1);
        Moments::of(&self.components.of_values(&values, width, &self.device))
    }
}

/// Means over squares of pixels; at the right and lower edge over what is left of them.
fn pooled(pictures: &Pictures, square: usize) -> Vec<f32> {
    let ImageShape { channels, height, width } = pictures.shape;
    let mut rows = Vec::new();
    for image in pictures.pixels.chunks_exact(channels * height * width) {
        for plane in image.chunks_exact(height * width) {
            for (top, left) in
                (0..height).step_by(square).flat_map(|top| (0..width).step_by(square).map(move |left| (top, left)))
            {
                let (bottom, right) = ((top + square).min(height), (left + square).min(width));
                let lines = (top..bottom).flat_map(|y| &plane[y * width + left..y * width + right]);
                let sum: f64 = lines.map(|&value| f64::from(value)).sum();
                rows.push((sum / ((bottom - top) * (right - left)) as f64) as f32);
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    fn device() -> Device {
        crate::device::choose("cpu").unwrap()
    }

    #[test]
    fn equal_sets_have_no_distance_and_shifted_ones_the_square_of_the_shift() {
        let shape = ImageShape::grey(5, 5);
        let pixels = Draws::new(0, Purpose::Choice, 0, 0).normals(25 * 200);
        let data = Pictures { shape, pixels: pixels.clone() };
        let space = PooledSpace::fit(&data, &device()).unwrap();
        assert!(space.distance(&data, &data).unwrap() < 1e-9);
        let shifted = Pictures { shape, pixels: pixels.iter().map(|value| value + 0.1).collect() };
        assert!((space.distance(&data, &shifted).unwrap() - 25.0 * 0.01).abs() < 1e-4);
    }

    #[test]
    fn large_images_are_averaged_over_squares() {
        let shape = ImageShape { channels: 1, height: 65, width: 64 };
        let pixels: Vec<f32> = (0..3 * 65 * 64).map(|i| (i % 97) as f32).collect();
        let data = Pictures { shape, pixels };
        let space = PooledSpace::fit(&data, &device()).unwrap();
        assert_eq!((space.square, pooled(&data, space.square).len()), (3, 3 * 22 * 22));
        let first: f32 = (0..3).flat_map(|y| (0..3).map(move |x| ((y * 64 + x) % 97) as f32)).sum();
        assert!((pooled(&data, space.square)[0] - first / 9.0).abs() < 1e-4);
        assert!(space.name().contains("3 x 3 pixels"), "{}", space.name());
    }
}

//! How far decoded samples are from data: the [Frechet distance](crate::evaluation::frechet_distance) in the space of the data's principal components,
//! for images of any size. Numbers in one feature space compare with each other and with no other's.

use crate::data::ImageShape;
use crate::error::Result;
use crate::evaluation::{Features, Moments, frechet_distance};
use crate::generation::Pictures;
use crate::mixtures::Projection;

/// Principal components at most.
const COMPONENTS: usize = 64;
/// Values of an example before its projection, at most; larger images are averaged over squares of pixels first.
const MOST_VALUES: usize = 1024;

/// The space distances are measured in.
pub(super) struct FeatureSpace {
    projection: Projection,
    shape: ImageShape,
    square: usize,
}

impl FeatureSpace {
    /// The principal components of data.
    pub fn fit(data: &Pictures) -> Result<Self> {
        let ImageShape { channels, height, width } = data.shape;
        let small = |square: usize| channels * height.div_ceil(square) * width.div_ceil(square) <= MOST_VALUES;
        let square = (1..=height.max(width)).find(|&square| small(square)).unwrap_or(height.max(width));
        let mut space = Self {
            projection: Projection { centre: Vec::new(), directions: Vec::new(), share: 1.0 },
            shape: data.shape,
            square,
        };
        let rows = space.pooled(data);
        let dims = rows.len() / data.len().max(1);
        space.projection = Projection::principal(&rows, dims, dims.min(COMPONENTS))?;
        Ok(space)
    }

    /// What it is, for readers of the numbers.
    pub fn name(&self) -> String {
        let pooled = match self.square {
            1 => String::new(),
            side => format!(" averaged over {side} x {side} pixels"),
        };
        format!(
            "{} principal components of the training data{pooled} ({:.0} % of its variance)",
            self.projection.directions.len(),
            100.0 * self.projection.share
        )
    }

    /// Frechet distance of two sets.
    pub fn distance(&self, a: &Pictures, b: &Pictures) -> Result<f64> {
        frechet_distance(&self.moments(a)?, &self.moments(b)?)
    }

    fn moments(&self, pictures: &Pictures) -> Result<Moments> {
        let points = self.projection.project(&self.pooled(pictures));
        Moments::of(&Features::new(self.projection.directions.len(), points))
    }

    /// Means over squares of pixels; at the right and lower edge over what is left of them.
    fn pooled(&self, pictures: &Pictures) -> Vec<f64> {
        let ImageShape { channels, height, width } = self.shape;
        let square = self.square;
        let mut rows = Vec::new();
        for image in pictures.pixels.chunks_exact(channels * height * width) {
            for plane in image.chunks_exact(height * width) {
                for (top, left) in
                    (0..height).step_by(square).flat_map(|top| (0..width).step_by(square).map(move |left| (top, left)))
                {
                    let (bottom, right) = ((top + square).min(height), (left + square).min(width));
                    let lines = (top..bottom).flat_map(|y| &plane[y * width + left..y * width + right]);
                    let sum: f64 = lines.map(|&value| f64::from(value)).sum();
                    rows.push(sum / ((bottom - top) * (right - left)) as f64);
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    #[test]
    fn equal_sets_have_no_distance_and_shifted_ones_the_square_of_the_shift() {
        let shape = ImageShape::grey(5, 5);
        let pixels = Draws::new(0, Purpose::Choice, 0, 0).normals(25 * 200);
        let data = Pictures { shape, pixels: pixels.clone() };
        let space = FeatureSpace::fit(&data).unwrap();
        assert!(space.distance(&data, &data).unwrap() < 1e-9);
        let shifted = Pictures { shape, pixels: pixels.iter().map(|value| value + 0.1).collect() };
        assert!((space.distance(&data, &shifted).unwrap() - 25.0 * 0.01).abs() < 1e-4);
    }

    #[test]
    fn large_images_are_averaged_over_squares() {
        let shape = ImageShape { channels: 1, height: 65, width: 64 };
        let pixels: Vec<f32> = (0..3 * 65 * 64).map(|i| (i % 97) as f32).collect();
        let data = Pictures { shape, pixels };
        let space = FeatureSpace::fit(&data).unwrap();
        assert_eq!((space.square, space.pooled(&data).len()), (3, 3 * 22 * 22));
        let first: f32 = (0..3).flat_map(|y| (0..3).map(move |x| ((y * 64 + x) % 97) as f32)).sum();
        assert!((space.pooled(&data)[0] - f64::from(first) / 9.0).abs() < 1e-9);
        assert!(space.name().contains("3 x 3 pixels"), "{}", space.name());
    }
}

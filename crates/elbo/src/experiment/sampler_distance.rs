//! How far decoded samples are from data: the Frechet distance of two Gaussians, in the space of the data's principal components.
//!
//! `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)` (Dowson & Landau 1982; Heusel et al. 2017, arXiv:1706.08500, with a classifier's features
//! instead of these). Numbers in one feature space compare with each other and with no other's.

use faer::{Mat, Side};

use crate::data::ImageShape;
use crate::error::{Error, Result};
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
        frechet(&self.moments(a), &self.moments(b))
    }

    fn moments(&self, pictures: &Pictures) -> Moments {
        Moments::of(&self.projection.project(&self.pooled(pictures)), self.projection.directions.len())
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

/// Mean and covariance (over n - 1).
struct Moments {
    mean: Vec<f64>,
    covariance: Mat<f64>,
}

impl Moments {
    fn of(rows: &[f64], dims: usize) -> Self {
        let n = rows.len() / dims;
        let mean: Vec<f64> = (0..dims).map(|j| rows.iter().skip(j).step_by(dims).sum::<f64>() / n as f64).collect();
        let centred = Mat::from_fn(dims, n, |j, i| rows[i * dims + j] - mean[j]);
        let scale = 1.0 / n.saturating_sub(1).max(1) as f64;
        let covariance = &centred * centred.transpose();
        Self { mean, covariance: Mat::from_fn(dims, dims, |i, j| covariance[(i, j)] * scale) }
    }
}

fn frechet(a: &Moments, b: &Moments) -> Result<f64> {
    let between: f64 = a.mean.iter().zip(&b.mean).map(|(a, b)| (a - b).powi(2)).sum();
    let dims = a.mean.len();
    let trace = |m: &Mat<f64>| (0..dims).map(|i| m[(i, i)]).sum::<f64>();
    let unsolved = || {
        let help = "the model's samples are of no use: train it longer or otherwise";
        Error::config("--n", "samples with finite variances", "others", help)
    };
    let eigen = a.covariance.self_adjoint_eigen(Side::Lower).map_err(|_| unsolved())?;
    // The root of a covariance: rounding makes small eigenvalues negative.
    let scaled = Mat::from_fn(dims, dims, |i, j| eigen.U()[(i, j)] * eigen.S()[j].max(0.0).sqrt());
    let root = &scaled * eigen.U().transpose();
    let product = &root * &b.covariance * &root;
    let squares = product.self_adjoint_eigenvalues(Side::Lower).map_err(|_| unsolved())?;
    let cross: f64 = squares.iter().map(|value| value.max(0.0).sqrt()).sum();
    Ok((between + trace(&a.covariance) + trace(&b.covariance) - 2.0 * cross).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    fn diagonal(mean: [f64; 2], variances: [f64; 2]) -> Moments {
        Moments { mean: mean.to_vec(), covariance: Mat::from_fn(2, 2, |i, j| if i == j { variances[i] } else { 0.0 }) }
    }

    #[test]
    fn gaussians_have_the_distance_of_the_formula() {
        let (a, b) = (diagonal([0.0, 1.0], [1.0, 4.0]), diagonal([3.0, 1.0], [9.0, 4.0]));
        // 3^2 + (1 - 3)^2 + (2 - 2)^2
        assert!((frechet(&a, &b).unwrap() - 13.0).abs() < 1e-12);
        // Turned by 45 degrees, the first has the same variances along other axes.
        let turned =
            Moments { mean: vec![0.0; 2], covariance: Mat::from_fn(2, 2, |i, j| if i == j { 2.5 } else { 1.5 }) };
        let straight = diagonal([0.0; 2], [1.0, 4.0]);
        // Root of the product's eigenvalues, solved by hand: trace 12.5, determinant 16.
        let (t, d) = (2.5 * 5.0f64, 16.0f64);
        let roots = [0.5 * (t + (t * t - 4.0 * d).sqrt()), 0.5 * (t - (t * t - 4.0 * d).sqrt())];
        let expected = 10.0 - 2.0 * roots.iter().map(|root| root.sqrt()).sum::<f64>();
        assert!((frechet(&turned, &straight).unwrap() - expected).abs() < 1e-9);
    }

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

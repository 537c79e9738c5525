//! Planes in the space of codes: where codes fall on them, and which code a point of them stands for.

use elbo::evaluation::Codes;
use elbo::mixtures::GaussianMixture;
use elbo::projection::Projection;
use serde::Serialize;

use crate::problem::Problem;

/// Which plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Two dimensions of the code.
    Dims([usize; 2]),
    /// The two directions in which codes vary most (principal components).
    Pca,
}

impl Method {
    /// Reads a client's choice.
    pub fn checked(name: &str, dims: [usize; 2], latent: usize) -> Result<Self, Problem> {
        match name {
            "dims" => match dims.iter().position(|dim| *dim >= latent) {
                // A code of one dimension has a line for a plane.
                Some(1) if latent == 1 && dims == [0, 1] => Ok(Self::Dims([0, 0])),
                Some(place) => {
                    let expected = format!("a dimension from 0 to {}", latent.saturating_sub(1));
                    Err(Problem::field(format!("dims[{place}]"), expected, dims[place]))
                }
                None => Ok(Self::Dims(dims)),
            },
            "pca" if latent <= MAX_COMPONENTS => Ok(Self::Pca),
            "pca" => Err(Problem::field(
                "method",
                format!("`dims` for codes of more than {MAX_COMPONENTS} dimensions"),
                "pca",
            )),
            other => Err(Problem::field("method", "dims or pca, for maps of examples also tsne", other)),
        }
    }
}

/// A plane `origin + a x + b y`, with orthogonal `x` and `y` of length 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Plane {
    /// The codes' mean, in the dimensions that the plane does not move.
    pub origin: Vec<f64>,
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    /// Share of the codes' variance in each direction.
    pub explained: [f64; 2],
}

/// A component of a mixture on a plane: its marginal there, which is a Gaussian too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Spot {
    pub weight: f64,
    pub mean: [f64; 2],
    pub covariance: [[f64; 2]; 2],
}

/// Largest code whose covariance is computed.
const MAX_COMPONENTS: usize = 1024;

impl Plane {
    /// The plane for some codes.
    pub fn of(codes: &Codes, method: Method) -> Self {
        match method {
            Method::Dims(dims) => Self::of_dims(codes, dims),
            // Codes that are not finite have no components; two of their dimensions at least show which are.
            Method::Pca => Self::principal(codes).unwrap_or_else(|| Self::of_dims(codes, [0, 1.min(codes.latent - 1)])),
        }
    }

    fn of_dims(codes: &Codes, [x, y]: [usize; 2]) -> Self {
        let (mut origin, latent) = (codes.centre(), codes.latent);
        let unit = |dim: usize| (0..latent).map(|i| f64::from(u8::from(i == dim))).collect::<Vec<f64>>();
        let variances: Vec<f64> = codes.spread().iter().map(|std| std * std).collect();
        let total = variances.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        (origin[x], origin[y]) = (0.0, 0.0);
        let explained = [variances[x] / total, variances[y] / total];
        Self { origin, x: unit(x), y: unit(y), explained }
    }

    fn principal(codes: &Codes) -> Option<Self> {
        if codes.mean.iter().any(|value| !value.is_finite()) || codes.n() == 0 {
            return None;
        }
        let rows: Vec<f64> = codes.mean.iter().map(|value| f64::from(*value)).collect();
        let found = Projection::principal(&rows, codes.latent, codes.latent.min(2)).ok()?;
        // A code of one dimension has no second direction.
        let axis = |rank: usize| found.directions.get(rank).cloned().unwrap_or_else(|| vec![0.0; codes.latent]);
        let explained = [0, 1].map(|rank| found.shares.get(rank).copied().unwrap_or(0.0));
        Some(Self { x: axis(0), y: axis(1), explained, origin: found.centre })
    }

    /// Where codes fall on the plane, `[n, 2]`.
    pub fn points(&self, codes: &[f32]) -> Vec<f32> {
        let along = |code: &[f32], axis: &[f64]| -> f32 {
            code.iter().zip(&self.origin).zip(axis).map(|((z, o), a)| (f64::from(*z) - o) * a).sum::<f64>() as f32
        };
        codes.chunks_exact(self.origin.len()).flat_map(|code| [along(code, &self.x), along(code, &self.y)]).collect()
    }

    /// The components of a mixture as this plane sees them: mean `A (m - origin)` and covariance `A S A^T`, where the rows of A are `x` and `y`.
    pub fn spots(&self, mixture: &GaussianMixture) -> Vec<Spot> {
        let spot = |k: usize| {
            let from_origin: Vec<f64> = mixture.means()[k].iter().zip(&self.origin).map(|(m, o)| m - o).collect();
            let covariance = mixture.covariance_of(k);
            let times = |axis: &[f64]| covariance.iter().map(|row| dot(row, axis)).collect::<Vec<f64>>();
            let (along_x, along_y) = (times(&self.x), times(&self.y));
            let across = dot(&self.x, &along_y);
            Spot {
                weight: mixture.weights()[k],
                mean: [dot(&from_origin, &self.x), dot(&from_origin, &self.y)],
                covariance: [[dot(&self.x, &along_x), across], [across, dot(&self.y, &along_y)]],
            }
        };
        (0..mixture.components()).map(spot).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use elbo::random::{Draws, Purpose};

    use super::*;

    fn codes(latent: usize, mean: Vec<f32>) -> Codes {
        Codes { latent, mean, log_var: None, labels: None }
    }

    #[test]
    fn two_dimensions_are_a_plane_through_zero_at_the_mean_of_the_others() {
        let codes = codes(3, vec![1.0, 5.0, 2.0, 3.0, 7.0, -2.0]);
        let plane = Plane::of(&codes, Method::Dims([2, 0]));
        assert_eq!(plane.origin, [0.0, 6.0, 0.0]);
        assert_eq!(plane.points(&codes.mean), [2.0, 1.0, -2.0, 3.0]);
    }

    #[test]
    fn principal_components_are_those_of_a_known_ellipse() {
        // Along (3, 4) / 5 with deviation 5, across it with 1, and a little in the third dimension.
        let mut mean = Vec::new();
        for step in 0..2000 {
            let (a, b, c) = ((step as f64 * 0.7).sin(), (step as f64 * 1.3).cos(), (step as f64 * 0.31).sin());
            let (along, across) = (5.0 * a, b);
            mean.extend([
                (0.6 * along - 0.8 * across + 10.0) as f32,
                (0.8 * along + 0.6 * across) as f32,
                0.1 * c as f32,
            ]);
        }
        let plane = Plane::of(&codes(3, mean), Method::Pca);
        let close = |found: &[f64], expected: [f64; 3]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.01);
        assert!(close(&plane.x, [0.6, 0.8, 0.0]), "{plane:?}");
        assert!(close(&plane.y, [-0.8, 0.6, 0.0]) || close(&plane.y, [0.8, -0.6, 0.0]), "{plane:?}");
        assert!((plane.explained[0] / plane.explained[1] - 25.0).abs() < 0.5, "{plane:?}");
        assert!((plane.x.iter().zip(&plane.y).map(|(a, b)| a * b).sum::<f64>()).abs() < 1e-9);
    }

    #[test]
    fn a_component_on_a_plane_is_its_marginal() {
        let covariance = vec![vec![2.0, 0.3, -0.5], vec![0.3, 1.0, 0.2], vec![-0.5, 0.2, 3.0]];
        let mixture = GaussianMixture::full(vec![1.0], vec![vec![1.0, 2.0, 3.0]], vec![covariance]).unwrap();
        // Two dimensions: entries of mean and covariance.
        let dims =
            Plane { origin: vec![0.0, 5.0, 0.0], x: vec![0.0, 0.0, 1.0], y: vec![1.0, 0.0, 0.0], explained: [0.0; 2] };
        let [spot] = dims.spots(&mixture).try_into().unwrap();
        assert_eq!((spot.mean, spot.covariance), ([3.0, 1.0], [[3.0, -0.5], [-0.5, 2.0]]));
        // A turned plane: moments of draws that are projected.
        let plane =
            Plane { origin: vec![1.0, 0.0, 0.0], x: vec![0.6, 0.8, 0.0], y: vec![-0.8, 0.6, 0.0], explained: [0.0; 2] };
        let [spot] = plane.spots(&mixture).try_into().unwrap();
        let draws = mixture.sample(200_000, 1.0, None, &mut Draws::new(0, Purpose::Prior, 0, 0));
        let draws: Vec<f32> = draws.into_iter().map(|value| value as f32).collect();
        let drawn = codes(2, plane.points(&draws));
        let (centre, spread, across) = (drawn.centre(), drawn.spread(), covariance_of(&drawn));
        for axis in 0..2 {
            assert!((spot.mean[axis] - centre[axis]).abs() < 0.02, "{spot:?} {centre:?}");
            assert!((spot.covariance[axis][axis] - spread[axis].powi(2)).abs() < 0.03, "{spot:?} {spread:?}");
        }
        assert!((spot.covariance[0][1] - across).abs() < 0.02 && spot.weight == 1.0, "{spot:?} {across}");
    }

    /// Between the two coordinates of points.
    fn covariance_of(codes: &Codes) -> f64 {
        let centre = codes.centre();
        let products =
            codes.mean.chunks_exact(2).map(|p| (f64::from(p[0]) - centre[0]) * (f64::from(p[1]) - centre[1]));
        products.sum::<f64>() / codes.n() as f64
    }

    #[test]
    fn codes_that_do_not_vary_still_have_a_plane() {
        let plane = Plane::of(&codes(2, vec![1.0; 8]), Method::Pca);
        assert!(plane.x.iter().chain(&plane.y).all(|v| v.is_finite()) && plane.explained == [0.0, 0.0]);
        assert_eq!(Method::checked("dims", [0, 1], 1), Ok(Method::Dims([0, 0])));
        assert!(Method::checked("dims", [0, 2], 2).is_err() && Method::checked("tsne", [0, 1], 2).is_err());
    }
}

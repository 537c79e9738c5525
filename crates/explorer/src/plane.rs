//! Planes in the space of codes: where codes fall on them, and which code a point of them stands for.

use elbo::evaluation::Codes;
use elbo::projection::Projection;

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
            other => Err(Problem::field("method", "dims or pca", other)),
        }
    }
}

/// A plane `origin + a x + b y`, with orthogonal `x` and `y` of length 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plane {
    /// The codes' mean, in the dimensions that the plane does not move.
    pub origin: Vec<f64>,
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    /// Share of the codes' variance in each direction.
    pub explained: [f64; 2],
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
}

#[cfg(test)]
mod tests {
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
    fn codes_that_do_not_vary_still_have_a_plane() {
        let plane = Plane::of(&codes(2, vec![1.0; 8]), Method::Pca);
        assert!(plane.x.iter().chain(&plane.y).all(|v| v.is_finite()) && plane.explained == [0.0, 0.0]);
        assert_eq!(Method::checked("dims", [0, 1], 1), Ok(Method::Dims([0, 0])));
        assert!(Method::checked("dims", [0, 2], 2).is_err() && Method::checked("tsne", [0, 1], 2).is_err());
    }
}

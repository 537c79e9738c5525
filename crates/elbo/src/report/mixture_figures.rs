//! Charts of a Gaussian mixture over its data: the densities of components and their sum in one dimension, ellipses over points in two.
//!
//! ```
//! use elbo::mixtures::GaussianMixture;
//! use elbo::report::Theme;
//! use elbo::report::mixture_figures::density;
//!
//! let mixture = GaussianMixture::diagonal(vec![0.5; 2], vec![vec![-2.0], vec![2.0]], vec![vec![1.0]; 2])?;
//! assert!(density("length", &[-2.1, -1.5, 1.8, 2.4], &mixture).svg(Theme::Light).contains("length"));
//! # Ok::<(), elbo::Error>(())
//! ```

use std::f64::consts::TAU;

use super::chart::{Figure, Key, KeyShape, Mark, Span, Ticks};
use super::latent_figures::{crowd, densities, shuffled};
use super::style::Ink;
use crate::mixtures::GaussianMixture;

/// Points drawn at most: more add ink, not information.
const MOST_POINTS: usize = 5000;
/// Components with a line of the legend of their own.
const NAMED: usize = 12;
/// Corners of a density's line and of an ellipse.
const CORNERS: usize = 480;

/// Histogram of one column as a density, with `weight_k N(x; mean_k, variance_k)` of each component and their sum.
///
/// # Panics
/// If the mixture is not of one dimension.
pub fn density(column: &str, data: &[f64], mixture: &GaussianMixture) -> Figure {
    assert_eq!(mixture.dims(), 1, "a density over one axis");
    let x = crowd(data.iter().copied());
    // Rice's rule: bars that narrow as rows grow in number.
    let bins = ((2.0 * (data.len().max(1) as f64).cbrt()).ceil() as usize).clamp(8, 100);
    let (edges, heights) = densities(data.iter().copied(), x, bins);
    let places = positions(x, mixture);
    let shares: Vec<Vec<f64>> = places.iter().map(|&place| joint(mixture, place)).collect();
    let curve = |height: &dyn Fn(&[f64]) -> f64| -> Vec<(f64, f64)> {
        places.iter().zip(&shares).map(|(&place, shares)| (place, height(shares))).collect()
    };
    let total = curve(&|shares| shares.iter().sum());
    let y = Span::of(heights.iter().copied().chain(total.iter().map(|point| point.1)), 0.08).including_zero();
    let mut marks = vec![Mark::Bins { edges, heights, ink: Ink::Muted }];
    marks.extend((0..mixture.components()).map(|k| line(curve(&|shares| shares[k]), Ink::Class(k))));
    // In dashes, so that a component under it is seen between them.
    let dash = (x.high - x.low) / 120.0;
    marks.extend(dashes(&total, Ink::Strong, |_, place| ((place.0 - x.low) / dash) as usize));
    let mut keys = vec![key("data", Ink::Muted, KeyShape::Box)];
    keys.extend(component_keys(mixture, KeyShape::Line));
    keys.push(key("their sum", Ink::Strong, KeyShape::Dashed));
    Figure {
        title: format!("{} of {column}", components(mixture)),
        x_label: column.into(),
        y_label: "density".into(),
        x,
        y: Span { low: 0.0, high: y.high },
        ticks: Ticks::Auto,
        marks,
        keys,
        size: (640.0, 420.0),
        equal_aspect: false,
    }
}

/// Points coloured by their likeliest component, and each component's ellipses of one (line) and two (dashes) standard deviations.
///
/// # Shapes
/// - `points`: `[n, 2]`, row after row
///
/// # Panics
/// If the mixture is not of two dimensions.
pub fn ellipses(title: &str, axes: [&str; 2], points: &[f64], mixture: &GaussianMixture) -> Figure {
    assert_eq!(mixture.dims(), 2, "ellipses in a plane");
    let all = rings(mixture, 1.0);
    let corners = |axis: usize| all.iter().flatten().map(move |point| [point.0, point.1][axis]);
    let span = |axis: usize| {
        // The whole of each ellipse is seen, and the crowd of the points.
        let points = crowd(points.chunks_exact(2).map(move |point| point[axis]));
        let around = Span::of(corners(axis), 0.03);
        Span { low: points.low.min(around.low), high: points.high.max(around.high) }
    };
    let radius = if points.len() > 3000 { 1.9 } else { 2.8 };
    let mut chosen = shuffled(points.len() / 2);
    chosen.truncate(MOST_POINTS);
    let shown: Vec<f64> = chosen.iter().flat_map(|&i| [points[2 * i], points[2 * i + 1]]).collect();
    let likeliest: Vec<usize> =
        mixture.responsibilities(&shown).chunks_exact(mixture.components()).map(largest).collect();
    let mut marks: Vec<Mark> = Vec::new();
    for k in 0..mixture.components() {
        let own = shown.chunks_exact(2).zip(&likeliest).filter(|(_, chosen)| **chosen == k);
        let points = own.map(|(point, _)| (point[0], point[1])).collect();
        marks.push(Mark::Dots { points, ink: Ink::Class(k), radius, opacity: 0.4 });
    }
    for (k, (one, two)) in rings(mixture, 1.0).into_iter().zip(rings(mixture, 2.0)).enumerate() {
        marks.push(line(one, Ink::Class(k)));
        marks.extend(dashes(&two, Ink::Class(k), |corner, _| corner / 5));
    }
    let mut keys: Vec<Key> = component_keys(mixture, KeyShape::Dot).collect();
    keys.push(key("one deviation", Ink::Muted, KeyShape::Line));
    keys.push(key("two deviations", Ink::Muted, KeyShape::Dashed));
    Figure {
        title: title.into(),
        x_label: axes[0].into(),
        y_label: axes[1].into(),
        x: span(0),
        y: span(1),
        ticks: Ticks::Auto,
        marks,
        keys,
        size: (640.0, 520.0),
        equal_aspect: false,
    }
}

/// "3 components", "1 component".
fn components(mixture: &GaussianMixture) -> String {
    match mixture.components() {
        1 => "1 Gaussian component".into(),
        many => format!("{many} Gaussian components"),
    }
}

fn component_keys(mixture: &GaussianMixture, shape: KeyShape) -> impl Iterator<Item = Key> {
    let named = mixture.weights().iter().take(NAMED).enumerate();
    named.map(move |(k, weight)| key(&format!("{}: {:.1} %", k + 1, 100.0 * weight), Ink::Class(k), shape))
}

fn line(points: Vec<(f64, f64)>, ink: Ink) -> Mark {
    Mark::Line { points, ink, dashed: false, dots: false }
}

/// Every second stretch of a line, where `stretch` numbers its points. The library starts its own dashes anew at each point: between close ones they are
/// never seen.
fn dashes(points: &[(f64, f64)], ink: Ink, stretch: impl Fn(usize, (f64, f64)) -> usize) -> Vec<Mark> {
    let numbered: Vec<_> = points.iter().enumerate().map(|(i, &point)| (stretch(i, point), point)).collect();
    let pieces = numbered.chunk_by(|a, b| a.0 == b.0).filter(|piece| piece[0].0 % 2 == 0 && piece.len() > 1);
    pieces.map(|piece| line(piece.iter().map(|numbered| numbered.1).collect(), ink)).collect()
}

fn key(label: &str, ink: Ink, shape: KeyShape) -> Key {
    Key { label: label.into(), ink, shape }
}

/// `weight_k N(x; mean_k, variance_k)` of each component.
fn joint(mixture: &GaussianMixture, x: f64) -> Vec<f64> {
    let density = mixture.log_prob(&[x])[0].exp();
    mixture.responsibilities(&[x]).into_iter().map(|share| share * density).collect()
}

/// Places along the axis: even ones, and more around each mean, so that a narrow peak keeps its height.
fn positions(span: Span, mixture: &GaussianMixture) -> Vec<f64> {
    let step = (span.high - span.low) / CORNERS as f64;
    let mut places: Vec<f64> = (0..=CORNERS).map(|i| span.low + step * i as f64).collect();
    for k in 0..mixture.components() {
        let deviation = mixture.covariance_of(k)[0][0].sqrt();
        places.extend((-20..=20).map(|i| mixture.means()[k][0] + deviation * f64::from(i) / 5.0));
    }
    places.retain(|place| (span.low..=span.high).contains(place));
    places.sort_by(f64::total_cmp);
    places
}

/// The ellipse of each component on which the Mahalanobis distance is `deviations`: `mean + deviations * lower * (cos, sin)`.
fn rings(mixture: &GaussianMixture, deviations: f64) -> Vec<Vec<(f64, f64)>> {
    let ring = |k: usize| {
        let (mean, covariance) = (&mixture.means()[k], mixture.covariance_of(k));
        // Cholesky of two by two.
        let a = covariance[0][0].sqrt();
        let b = covariance[1][0] / a;
        let c = (covariance[1][1] - b * b).max(0.0).sqrt();
        let corner = |i: usize| {
            let (sin, cos) = (TAU * i as f64 / CORNERS as f64).sin_cos();
            (mean[0] + deviations * a * cos, mean[1] + deviations * (b * cos + c * sin))
        };
        (0..=CORNERS).map(corner).collect()
    };
    (0..mixture.components()).map(ring).collect()
}

fn largest(shares: &[f64]) -> usize {
    let ranked = shares.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    ranked.map_or(0, |(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::super::style::Theme;
    use super::*;

    fn plane() -> GaussianMixture {
        let covariances = vec![vec![vec![2.0, 1.2], vec![1.2, 1.0]], vec![vec![0.5, 0.0], vec![0.0, 1e-9]]];
        GaussianMixture::full(vec![0.3, 0.7], vec![vec![1.0, 2.0], vec![-3.0, 0.0]], covariances).unwrap()
    }

    #[test]
    fn rings_lie_at_their_mahalanobis_distance() {
        for (k, ring) in rings(&plane(), 2.0).iter().enumerate() {
            let (mean, s) = (&plane().means()[k].clone(), plane().covariance_of(k));
            let det = s[0][0] * s[1][1] - s[0][1] * s[1][0];
            for (x, y) in ring {
                let (u, v) = (x - mean[0], y - mean[1]);
                let distance = (s[1][1] * u * u - 2.0 * s[0][1] * u * v + s[0][0] * v * v) / det;
                assert!((distance - 4.0).abs() < 1e-6, "{distance}");
            }
        }
    }

    #[test]
    fn the_sum_is_the_density_of_the_mixture() {
        let means = vec![vec![-2.0], vec![2.0]];
        let mixture = GaussianMixture::diagonal(vec![0.4, 0.6], means, vec![vec![0.01], vec![1.0]]).unwrap();
        let figure = density("a", &[-2.0, 2.0, 1.0, 3.0], &mixture);
        let of_the_sum = figure.marks.iter().filter_map(|mark| match mark {
            Mark::Line { points, ink: Ink::Strong, .. } => Some(points),
            _ => None,
        });
        let points: Vec<(f64, f64)> = of_the_sum.flatten().copied().collect();
        assert!(points.len() > 150, "about half of the places");
        for (x, height) in &points {
            assert!((height - mixture.log_prob(&[*x])[0].exp()).abs() < 1e-12);
        }
        let places = positions(figure.x, &mixture);
        let highest = places.iter().map(|&x| mixture.log_prob(&[x])[0].exp()).fold(0.0, f64::max);
        assert!((highest - 0.4 / (TAU * 0.01).sqrt()).abs() < 0.01, "the narrow peak: {highest}");
    }

    #[test]
    fn every_chart_is_drawn_whatever_the_values() {
        for points in [vec![], vec![1.0, 2.0], vec![0.0; 100], vec![1e14, -1e14, 3.0, 4.0]] {
            let line = GaussianMixture::diagonal(vec![1.0], vec![vec![1.0]], vec![vec![1e-6]]).unwrap();
            for theme in Theme::BOTH {
                let figures = [ellipses("a", ["x", "y"], &points, &plane()), density("x", &points, &line)];
                for figure in figures {
                    assert!(image::load_from_memory(&figure.png(theme)).is_ok());
                    assert!(!figure.svg(theme).contains("NaN"));
                }
            }
        }
    }
}

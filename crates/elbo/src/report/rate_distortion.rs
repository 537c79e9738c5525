//! Rate against distortion: what several models pay for how good a reconstruction (Alemi et al. 2018, "Fixing a broken ELBO", arXiv:1711.00464).
//!
//! The rate `R = KL(q(z|x) || p(z))` is what the code costs in nats, the distortion `D = -E_q[log p(x|z)]` what is still missing when it is known. `-ELBO = D + R`, so models
//! of one ELBO lie on a line that falls by one; `loss.beta` chooses the point of a family of models where their curve falls by beta (section 3).
//!
//! ```
//! use elbo::report::Theme;
//! use elbo::report::rate_distortion::{Operating, rate_distortion};
//!
//! let models = [(0.5, 34.3, 74.0), (1.0, 25.6, 80.1), (4.0, 9.5, 112.2)].into_iter().enumerate();
//! let points: Vec<Operating> = models
//!     .map(|(colour, (beta, rate, distortion))| Operating { name: "mnist".into(), beta: Some(beta), rate, distortion, colour })
//!     .collect();
//! assert!(rate_distortion(&points, "nats per image").svg(Theme::Light).contains("beta 0.5"));
//! ```

use super::chart::{Figure, Key, KeyShape, Mark, Span, Ticks, drawable};
use super::figures::shortened;
use super::style::Ink;

/// Where a model works on the plane of rate and distortion.
#[derive(Debug, Clone, PartialEq)]
pub struct Operating {
    /// Name of its run.
    pub name: String,
    /// The weight of the KL term that it was trained with, where that is all there is to its objective.
    pub beta: Option<f64>,
    /// KL in nats.
    pub rate: f64,
    /// The distortion D, which is `recon`, in nats per example.
    pub distortion: f64,
    /// Which series colour its run has.
    pub colour: usize,
}

/// The models as points, named by beta where each has another, with the line of the best ELBO among them.
///
/// `unit` is that of the distortions, which all points share. Points that are not finite are left out.
pub fn rate_distortion(points: &[Operating], unit: &str) -> Figure {
    let mut seen: Vec<&Operating> =
        points.iter().filter(|point| drawable(point.rate) && drawable(point.distortion)).collect();
    seen.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let x = Span::of(seen.iter().map(|point| point.rate), 0.1);
    let y = Span::of(seen.iter().map(|point| point.distortion), 0.1);
    let by_beta = differ_in_beta(&seen);
    let path = seen.iter().map(|point| (point.rate, point.distortion)).collect();
    let mut marks = vec![Mark::Line { points: path, ink: Ink::Muted, dashed: false, dots: false }];
    let mut keys = Vec::new();
    if let Some(best) = seen.iter().map(|point| point.rate + point.distortion).min_by(f64::total_cmp) {
        marks.push(Mark::Line { points: falling(best, x, y), ink: Ink::Strong, dashed: true, dots: false });
        let label = format!("ELBO {:.2}, the best of these", -best);
        keys.push(Key { label, ink: Ink::Strong, shape: KeyShape::Dashed });
    }
    for point in seen {
        let place = (point.rate, point.distortion);
        marks.push(Mark::Dots { points: vec![place], ink: Ink::Series(point.colour), radius: 5.0, opacity: 1.0 });
        let text = match point.beta {
            Some(beta) if by_beta => format!("beta {beta}"),
            _ => shortened(&point.name),
        };
        marks.push(Mark::Label { x: place.0, y: place.1, text });
    }
    Figure {
        title: "Rate and distortion".into(),
        x_label: "rate: KL, nats per example".into(),
        y_label: format!("distortion: recon, {unit}"),
        x,
        y,
        ticks: Ticks::Auto,
        marks,
        keys,
        size: (560.0, 420.0),
        equal_aspect: false,
    }
}

/// Whether beta tells the points apart.
fn differ_in_beta(points: &[&Operating]) -> bool {
    let mut betas: Vec<f64> = points.iter().filter_map(|point| point.beta).collect();
    betas.sort_by(f64::total_cmp);
    betas.dedup();
    betas.len() == points.len()
}

/// The part of the line `x + y = sum` inside the frame.
fn falling(sum: f64, x: Span, y: Span) -> Vec<(f64, f64)> {
    let (left, right) = (x.low.max(sum - y.high), x.high.min(sum - y.low));
    if left < right { vec![(left, sum - left), (right, sum - right)] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::style::Theme;
    use super::*;

    fn point(beta: f64, rate: f64, distortion: f64) -> Operating {
        Operating { name: format!("run-{beta}"), beta: Some(beta), rate, distortion, colour: 0 }
    }

    #[test]
    fn points_are_named_by_what_tells_them_apart() {
        let betas = [point(1.0, 25.0, 80.0), point(4.0, 10.0, 111.0)];
        let svg = rate_distortion(&betas, "nats per image").svg(Theme::Light);
        for word in ["beta 1<", "beta 4<", "ELBO -105.00", "nats per image"] {
            assert!(svg.contains(word), "`{word}` is missing");
        }
        let equal = [point(1.0, 25.0, 80.0), Operating { name: "other".into(), ..point(1.0, 24.0, 82.0) }];
        let svg = rate_distortion(&equal, "nats").svg(Theme::Dark);
        assert!(svg.contains("run-1<") && svg.contains("other<") && !svg.contains("beta 1<"));
        assert!(rate_distortion(&betas, "nats").png(Theme::Light) == rate_distortion(&betas, "nats").png(Theme::Light));
    }

    #[test]
    fn the_line_of_one_bound_stays_inside_the_frame() {
        let (x, y) = (Span { low: 0.0, high: 10.0 }, Span { low: 100.0, high: 104.0 });
        assert_eq!(falling(106.0, x, y), [(2.0, 104.0), (6.0, 100.0)]);
        assert_eq!(falling(90.0, x, y), []);
    }

    #[test]
    fn odd_numbers_are_left_out() {
        let odd = [point(1.0, f64::NAN, 1.0), point(2.0, 3.0, f64::INFINITY)];
        for points in [&odd[..], &[]] {
            assert!(!rate_distortion(points, "nats").svg(Theme::Light).contains("NaN"));
        }
    }
}

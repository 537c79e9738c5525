//! Charts of a table, in its own units: how each column is distributed in the data and in samples, how closely values come back, and how two
//! columns go together.
//!
//! ```
//! use elbo::report::Theme;
//! use elbo::report::table_figures::marginal;
//!
//! let (data, samples) = ([5.1, 4.9, 6.3, 7.0], [5.0, 5.5, 6.1]);
//! assert!(marginal("length", &data, &samples).svg(Theme::Light).contains("length"));
//! ```

use super::chart::{Figure, Key, KeyShape, Mark, Span, Ticks};
use super::figures::PANEL;
use super::latent_figures::{crowd, densities, shuffled};
use super::style::Ink;

/// Most points of one colour: more add ink, not information.
const MOST_POINTS: usize = 2000;

/// Histogram of a column in the data, with the outline of that of samples over it.
///
/// Both are densities, so that they compare whatever their numbers of rows.
pub fn marginal(column: &str, data: &[f64], samples: &[f64]) -> Figure {
    let both = data.iter().chain(samples).copied();
    let span = crowd(both);
    // Rice's rule: bars that narrow as rows grow in number.
    let bins = ((2.0 * (data.len().max(1) as f64).cbrt()).ceil() as usize).clamp(4, 64);
    let (edges, heights) = densities(data.iter().copied(), span, bins);
    let (_, outline) = densities(samples.iter().copied(), span, bins);
    let y = Span::of(heights.iter().chain(&outline).copied(), 0.08).including_zero();
    // Each step of the outline has two corners; it starts and ends on the floor.
    let corners =
        outline.iter().enumerate().flat_map(|(bin, &height)| [(edges[bin], height), (edges[bin + 1], height)]);
    let points = [(edges[0], 0.0)].into_iter().chain(corners).chain([(edges[bins], 0.0)]).collect();
    Figure {
        title: column.into(),
        x_label: column.into(),
        y_label: "density".into(),
        x: span,
        y: Span { low: 0.0, high: y.high },
        ticks: Ticks::Auto,
        marks: vec![
            Mark::Bins { edges, heights, ink: Ink::Fill },
            Mark::Line { points, ink: Ink::Strong, dashed: false, dots: false },
        ],
        keys: vec![key("data", Ink::Fill, KeyShape::Box), key("samples", Ink::Strong, KeyShape::Line)],
        size: PANEL,
        equal_aspect: false,
    }
}

/// The values of a column against what the decoder makes of their codes, and the line on which both are equal.
///
/// # Panics
/// If the two differ in length.
pub fn agreement(column: &str, originals: &[f64], reconstructions: &[f64]) -> Figure {
    assert_eq!(originals.len(), reconstructions.len(), "one reconstruction for each value");
    let span = crowd(originals.iter().chain(reconstructions).copied());
    let points = thinned(originals, reconstructions);
    Figure {
        title: column.into(),
        x_label: "original".into(),
        y_label: "reconstruction".into(),
        x: span,
        y: span,
        ticks: Ticks::Auto,
        marks: vec![
            Mark::Line {
                points: vec![(span.low, span.low), (span.high, span.high)],
                ink: Ink::Muted,
                dashed: true,
                dots: false,
            },
            Mark::Dots { points, ink: Ink::Series(0), radius: 2.4, opacity: 0.6 },
        ],
        keys: Vec::new(),
        size: (340.0, 320.0),
        equal_aspect: true,
    }
}

/// Two columns of the data and of samples as clouds of points.
///
/// # Panics
/// If the two columns of either differ in length.
pub fn pair(names: [&str; 2], data: [&[f64]; 2], samples: [&[f64]; 2]) -> Figure {
    let span = |axis: usize| crowd(data[axis].iter().chain(samples[axis]).copied());
    let cloud = |values: [&[f64]; 2], ink| Mark::Dots {
        points: thinned(values[0], values[1]),
        ink,
        radius: 2.4,
        opacity: 0.55,
    };
    Figure {
        title: format!("{} and {}", names[0], names[1]),
        x_label: names[0].into(),
        y_label: names[1].into(),
        x: span(0),
        y: span(1),
        ticks: Ticks::Auto,
        marks: vec![cloud(data, Ink::Series(0)), cloud(samples, Ink::Series(1))],
        keys: vec![key("data", Ink::Series(0), KeyShape::Dot), key("samples", Ink::Series(1), KeyShape::Dot)],
        size: (480.0, 400.0),
        equal_aspect: false,
    }
}

fn key(label: &str, ink: Ink, shape: KeyShape) -> Key {
    Key { label: label.into(), ink, shape }
}

/// A fixed choice of the points.
fn thinned(x: &[f64], y: &[f64]) -> Vec<(f64, f64)> {
    assert_eq!(x.len(), y.len(), "both columns have as many rows");
    shuffled(x.len()).into_iter().take(MOST_POINTS).map(|row| (x[row], y[row])).collect()
}

#[cfg(test)]
mod tests {
    use super::super::style::Theme;
    use super::*;

    #[test]
    fn densities_of_data_and_samples_integrate_to_one() {
        let data: Vec<f64> = (0..1000).map(|i| f64::from(i % 37)).collect();
        let figure = marginal("a", &data, &data[..100]);
        let Mark::Bins { edges, heights, .. } = &figure.marks[0] else { panic!("bins") };
        let area: f64 = edges.windows(2).zip(heights).map(|(edge, height)| (edge[1] - edge[0]) * height).sum();
        assert!((area - 1.0).abs() < 1e-9, "{area}");
        let Mark::Line { points, .. } = &figure.marks[1] else { panic!("a line") };
        let area: f64 = points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum();
        assert!((area - 1.0).abs() < 1e-9, "{area}");
    }

    #[test]
    fn every_chart_is_drawn_whatever_the_values() {
        let cases: [&[f64]; 5] = [&[], &[3.0], &[2.0; 50], &[f64::NAN, 1.0, f64::INFINITY], &[1e-30, 1e14, -1e14]];
        for values in cases {
            let figures = [
                marginal("a", values, &[0.5]),
                agreement("a", values, values),
                pair(["a", "b"], [values; 2], [&[1.0]; 2]),
            ];
            for figure in figures {
                for theme in Theme::BOTH {
                    assert!(image::load_from_memory(&figure.png(theme)).is_ok());
                    assert!(!figure.svg(theme).contains("NaN"), "{values:?}");
                }
            }
        }
    }
}

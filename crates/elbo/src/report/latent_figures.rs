//! Charts of the latent space: codes as a scatter, their distributions, and the KL of each dimension.
//!
//! Input is plain slices as the encoder gives them. Values that are not finite are left out of a chart but still count
//! in what a histogram is normalised by; a few far outliers do not flatten a picture, and where points fall outside the
//! frame the title says how many.
//!
//! ```
//! use elbo::report::Theme;
//! use elbo::report::latent_figures::scatter;
//!
//! let figure = scatter(&[[0.1, -0.4], [1.2, 0.3]], &[0, 1], &["cat".into(), "dog".into()]);
//! assert!(figure.svg(Theme::Light).contains("dog"));
//! ```

use std::f64::consts::PI;

use super::chart::{Figure, Key, KeyShape, Mark, Span, Ticks, drawable};
use super::figures::PANEL;
use super::style::Ink;

/// More points than this add ink, not information: a fixed choice of them is drawn.
const MOST_POINTS: usize = 10_000;

/// Classes are painted in this many alternating layers, so that none lies wholly on top of the others.
const LAYERS: usize = 10;

/// More legend entries than this do not fit beside the chart.
const MOST_KEYS: usize = 20;

/// Bars of a histogram.
const BINS: usize = 64;

/// Up to this many dimensions each bar of the KL chart carries its name.
const NAMED_DIMENSIONS: usize = 20;

/// More bars than this would be narrower than a pixel or two and show seams.
const MOST_BARS: usize = 120;

/// Two-dimensional codes as points, coloured by label.
///
/// `labels[i]` belongs to `codes[i]`; codes without a label share one colour. `names[label]` is used in the legend
/// where it exists, else the number.
pub fn scatter(codes: &[[f32; 2]], labels: &[usize], names: &[String]) -> Figure {
    projected("Codes", &["z0".into(), "z1".into()], codes, labels, names)
}

/// [`scatter`] of codes in a plane of another kind, with its own title and axes.
pub fn projected(title: &str, axes: &[String; 2], codes: &[[f32; 2]], labels: &[usize], names: &[String]) -> Figure {
    let points: Vec<(f64, f64)> = codes.iter().map(|code| (f64::from(code[0]), f64::from(code[1]))).collect();
    let x = crowd(points.iter().map(|point| point.0));
    let y = crowd(points.iter().map(|point| point.1));
    let inside = |point: &(f64, f64)| x.contains(point.0) && y.contains(point.1);
    let outside = points.iter().filter(|point| !inside(point)).count();
    let mut drawn = shuffled(points.len());
    drawn.truncate(MOST_POINTS);
    drawn.retain(|index| inside(&points[*index]));
    Figure {
        title: if outside == 0 { title.into() } else { format!("{title} ({outside} outside the frame)") },
        x_label: axes[0].clone(),
        y_label: axes[1].clone(),
        x,
        y,
        ticks: Ticks::Auto,
        marks: layers(&points, labels, &drawn),
        keys: class_keys(labels, names),
        size: (480.0, 436.0),
        equal_aspect: true,
    }
}

/// `0..count` in a fixed scattered order. A stride would meet the period of data sets whose labels take turns, and the
/// stored order would bury the first classes of those that are sorted.
pub(super) fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|index| (*index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    order
}

/// Points grouped by class, in alternating layers.
fn layers(points: &[(f64, f64)], labels: &[usize], drawn: &[usize]) -> Vec<Mark> {
    let (radius, opacity) = match drawn.len() {
        0..=300 => (4.0, 0.85),
        301..=3000 => (2.8, 0.7),
        _ => (1.7, 0.55),
    };
    let mut marks = Vec::new();
    for layer in drawn.chunks(drawn.len().div_ceil(LAYERS).max(1)) {
        let mut members: Vec<_> = layer.iter().map(|&index| (labels.get(index).copied(), points[index])).collect();
        members.sort_by_key(|(label, _)| *label);
        for group in members.chunk_by(|a, b| a.0 == b.0) {
            let ink = group[0].0.map_or(Ink::Series(0), Ink::Class);
            marks.push(Mark::Dots { points: group.iter().map(|member| member.1).collect(), ink, radius, opacity });
        }
    }
    marks
}

fn class_keys(labels: &[usize], names: &[String]) -> Vec<Key> {
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let key = |label, ink| Key { label, ink, shape: KeyShape::Dot };
    let mut keys: Vec<_> = classes.iter().take(MOST_KEYS).map(|class| key(name(*class), Ink::Class(*class))).collect();
    if classes.len() > MOST_KEYS {
        keys.push(key(format!("{} more", classes.len() - MOST_KEYS), Ink::Muted));
    }
    keys
}

/// Histogram of the posterior means of all examples and dimensions, with the prior's density drawn over it.
pub fn mean_histogram(mean: &[f32]) -> Figure {
    let span = crowd(mean.iter().map(|value| f64::from(*value)));
    let span = Span { low: span.low.min(-3.5), high: span.high.max(3.5) };
    let mut figure = histogram("Posterior means", "mean, all examples and dimensions", mean.iter().copied(), span);
    let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    let curve = (0..=160).map(|i| span.low + span.length() * f64::from(i) / 160.0).map(|x| (x, density(x)));
    figure.marks.push(Mark::Line { points: curve.collect(), ink: Ink::Strong, dashed: false, dots: false });
    figure.y.high = figure.y.high.max(0.43);
    figure.keys = vec![
        Key { label: "means".into(), ink: Ink::Fill, shape: KeyShape::Box },
        Key { label: "prior N(0, 1)".into(), ink: Ink::Strong, shape: KeyShape::Line },
    ];
    figure
}

/// Histogram of `sigma = exp(log_var / 2)` of all examples and dimensions; a guide marks the prior's sigma of 1.
pub fn sigma_histogram(log_var: &[f32]) -> Figure {
    let sigma = || log_var.iter().map(|value| (value / 2.0).exp());
    let span = crowd(sigma().map(f64::from));
    let span = Span { low: 0.0, high: span.high.max(1.2) };
    let mut figure = histogram("Posterior sigmas", "sigma, all examples and dimensions", sigma(), span);
    figure.marks.push(Mark::Guide { x: 1.0, label: "prior".into() });
    figure
}

/// Histogram of an autoencoder's code over all examples and dimensions.
pub fn code_histogram(code: &[f32]) -> Figure {
    let span = crowd(code.iter().map(|value| f64::from(*value)));
    histogram("Codes", "code, all examples and dimensions", code.iter().copied(), span)
}

fn histogram(title: &str, x_label: &str, values: impl Iterator<Item = f32>, span: Span) -> Figure {
    let (edges, heights) = densities(values.map(f64::from), span, BINS);
    Figure {
        title: title.into(),
        x_label: x_label.into(),
        y_label: "density".into(),
        x: span,
        y: Span::of(heights.iter().copied(), 0.08).including_zero().above_zero(),
        ticks: Ticks::Auto,
        marks: vec![Mark::Bins { edges, heights, ink: Ink::Fill }],
        keys: Vec::new(),
        size: PANEL,
        equal_aspect: false,
    }
}

/// Edges and heights of `bins` bars over `span`; their area is the share of the values that lie in it.
pub(super) fn densities(values: impl Iterator<Item = f64>, span: Span, bins: usize) -> (Vec<f64>, Vec<f64>) {
    let width = span.length() / bins as f64;
    let mut counts = vec![0u64; bins];
    let mut total = 0u64;
    for value in values {
        total += 1;
        let bin = (value - span.low) / width;
        if bin >= 0.0 && bin < bins as f64 {
            counts[bin as usize] += 1;
        }
    }
    let heights = counts.iter().map(|count| *count as f64 / (total.max(1) as f64 * width)).collect();
    ((0..=bins).map(|bin| span.low + width * bin as f64).collect(), heights)
}

/// KL of each latent dimension, a mean over examples, largest first; inactive dimensions in grey. `unit` labels the
/// vertical axis, usually `nats per image`.
///
/// `kl[j]` belongs to dimension `j`, and so does `active[j]`, by the one definition of [`crate::evaluation::Codes::active_units`]; and the bars keep these numbers as names where they fit.
pub fn kl_per_dimension(kl: &[f64], active: &[bool], unit: &str) -> Figure {
    let is_active = active;
    let mut ranked: Vec<(usize, f64)> = kl.iter().copied().enumerate().filter(|(_, nats)| drawable(*nats)).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let active = ranked.iter().filter(|(dimension, _)| is_active[*dimension]).count();
    let total: f64 = ranked.iter().map(|(_, nats)| nats).sum();
    let named = ranked.len() <= NAMED_DIMENSIONS;
    let mut figure = Figure {
        title: format!("{active} of {} dimensions active, {total:.2} nats in all", kl.len()),
        x_label: if named { "latent dimension z" } else { "latent dimensions, by rank" }.into(),
        y_label: unit.to_owned(),
        x: Span { low: 0.4, high: ranked.len().max(1) as f64 + 0.6 },
        y: Span::of(ranked.iter().map(|(_, nats)| *nats), 0.08).including_zero().above_zero(),
        ticks: Ticks::Auto,
        marks: Vec::new(),
        keys: kl_keys(active, ranked.len()),
        size: (460.0, 300.0),
        equal_aspect: false,
    };
    if named && !ranked.is_empty() {
        figure.ticks = Ticks::Names(ranked.iter().map(|(dimension, _)| dimension.to_string()).collect());
        figure.marks = vec![Mark::Bars {
            heights: ranked.iter().map(|(dimension, nats)| (*nats, activity_ink(is_active[*dimension]))).collect(),
        }];
    } else {
        // The active ones first, each group by its nats.
        let of = |kind: bool| -> Vec<f64> {
            ranked.iter().filter(|(dimension, _)| is_active[*dimension] == kind).map(|(_, nats)| *nats).collect()
        };
        figure.marks = vec![rank_bins(&of(true), 0, true), rank_bins(&of(false), active, false)];
        if ranked.len() > MOST_BARS {
            figure.marks = figure.marks.into_iter().map(as_area).collect();
        }
    }
    figure
}

fn rank_bins(nats: &[f64], first: usize, active: bool) -> Mark {
    let edges = (0..=nats.len()).map(|rank| (first + rank) as f64 + 0.5).collect();
    Mark::Bins { edges, heights: nats.to_vec(), ink: activity_ink(active) }
}

fn as_area(mark: Mark) -> Mark {
    match mark {
        Mark::Bins { edges, heights, ink } => Mark::Area { edges, heights, ink },
        other => other,
    }
}

fn activity_ink(active: bool) -> Ink {
    if active { Ink::Fill } else { Ink::Muted }
}

fn kl_keys(active: usize, all: usize) -> Vec<Key> {
    if active == all {
        return Vec::new();
    }
    vec![
        Key { label: "active".into(), ink: Ink::Fill, shape: KeyShape::Box },
        Key { label: "inactive".into(), ink: Ink::Muted, shape: KeyShape::Box },
    ]
}

/// The range that holds the crowd: all values, unless a few outliers would take more than half of the picture.
pub(super) fn crowd(values: impl Iterator<Item = f64> + Clone) -> Span {
    let full = Span::of(values.clone(), 0.04);
    let count = values.clone().count();
    let mut sample: Vec<f64> = values.step_by((count / 50_000).max(1)).filter(|value| drawable(*value)).collect();
    sample.sort_by(f64::total_cmp);
    let at = |share: f64| sample[((sample.len() - 1) as f64 * share).round() as usize];
    if sample.len() < 20 {
        return full;
    }
    let core = Span::of([at(0.001), at(0.999)], 0.25);
    if full.length() > 2.5 * core.length() { core } else { full }
}

impl Span {
    fn length(self) -> f64 {
        self.high - self.low
    }

    fn contains(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The same range cut at zero, for heights that cannot be negative.
    fn above_zero(self) -> Self {
        Self { low: 0.0, high: self.high }
    }
}

#[cfg(test)]
mod tests {
    use super::super::style::Theme;
    use super::*;

    /// Values spread like a Gaussian: quantiles by a crude sum of a low-discrepancy sequence.
    fn spread(count: usize, scale: f32) -> Vec<f32> {
        let part = |i: usize, step: f64| (i as f64 * step).fract() as f32;
        (0..count)
            .map(|i| scale * (part(i, 0.618_034) + part(i, 0.754_878) + part(i, 0.569_84) + part(i, 0.414_21) - 2.0))
            .collect()
    }

    fn draws(figure: &Figure) {
        for theme in Theme::BOTH {
            assert!(image::load_from_memory(&figure.png(theme)).is_ok());
            assert!(!figure.svg(theme).contains("NaN"));
        }
    }

    fn heights(figure: &Figure) -> (&[f64], &[f64]) {
        match &figure.marks[0] {
            Mark::Bins { edges, heights, .. } => (edges, heights),
            mark => panic!("expected bins, found {mark:?}"),
        }
    }

    #[test]
    fn a_histogram_is_a_density() {
        for figure in [mean_histogram(&spread(5000, 1.0)), sigma_histogram(&spread(5000, 1.0))] {
            let (edges, heights) = heights(&figure);
            let area: f64 = edges.windows(2).zip(heights).map(|(edge, height)| (edge[1] - edge[0]) * height).sum();
            assert!((area - 1.0).abs() < 1e-9, "area {area}");
        }
    }

    #[test]
    fn values_that_are_not_finite_lower_the_area_and_break_nothing() {
        let figure = code_histogram(&[0.0, 1.0, f32::NAN, f32::INFINITY]);
        let (edges, heights) = heights(&figure);
        let area: f64 = edges.windows(2).zip(heights).map(|(edge, height)| (edge[1] - edge[0]) * height).sum();
        assert!((area - 0.5).abs() < 1e-9, "area {area}");
    }

    #[test]
    fn odd_inputs_draw() {
        for values in [vec![], vec![0.5], vec![f32::NAN; 3], vec![f32::MAX, f32::MIN], vec![1e-30; 40]] {
            draws(&mean_histogram(&values));
            draws(&sigma_histogram(&values));
            draws(&code_histogram(&values));
            let codes: Vec<[f32; 2]> = values.iter().map(|value| [*value, -*value]).collect();
            draws(&scatter(&codes, &[], &[]));
            draws(&scatter(&codes, &[0, 7, 7, 999], &["zero".into()]));
        }
    }

    #[test]
    fn kl_bars_are_sorted_named_and_counted() {
        let figure = kl_per_dimension(&[0.5, 0.02, 3.0, f64::NAN], &[true, false, true, true], "nats per image");
        assert_eq!(figure.ticks, Ticks::Names(vec!["2".into(), "0".into(), "1".into()]));
        assert_eq!(figure.title(), "2 of 4 dimensions active, 3.52 nats in all");
        let Mark::Bars { heights } = &figure.marks[0] else { panic!("expected bars") };
        assert_eq!(heights.as_slice(), [(3.0, Ink::Fill), (0.5, Ink::Fill), (0.02, Ink::Muted)]);
    }

    #[test]
    fn kl_of_nothing_and_of_a_thousand_dimensions_draws() {
        draws(&kl_per_dimension(&[], &[], "nats per image"));
        draws(&kl_per_dimension(&[f64::INFINITY], &[true], "nats per image"));
        draws(&kl_per_dimension(&[0.0; 5], &[false; 5], "nats per image"));
        let many: Vec<f64> = (0..1000).map(|rank| (-(f64::from(rank)) / 40.0).exp()).collect();
        let active: Vec<bool> = (0..1000).map(|rank| rank % 3 == 0).collect();
        draws(&kl_per_dimension(&many, &active, "nats per image"));
    }

    #[test]
    fn a_far_outlier_does_not_flatten_the_scatter() {
        let values = spread(4000, 1.0);
        let mut codes: Vec<[f32; 2]> = values.chunks(2).map(|pair| [pair[0], pair[1]]).collect();
        codes.push([1e6, 0.0]);
        let figure = scatter(&codes, &[], &[]);
        assert!(figure.x.high < 10.0, "{:?}", figure.x);
        assert_eq!(figure.title(), "Codes (1 outside the frame)");
    }

    #[test]
    fn large_sets_are_thinned_and_many_classes_fit_the_legend() {
        let codes = vec![[0.5, 0.5]; 35_000];
        let labels: Vec<usize> = (0..35_000).map(|index| index % 100).collect();
        let figure = scatter(&codes, &labels, &[]);
        let drawn: usize =
            figure.marks.iter().map(|mark| if let Mark::Dots { points, .. } = mark { points.len() } else { 0 }).sum();
        assert!(drawn <= MOST_POINTS && drawn > MOST_POINTS / 2, "{drawn} points");
        assert_eq!(figure.keys.len(), MOST_KEYS + 1);
        assert_eq!(figure.keys[MOST_KEYS].label, "80 more");
    }
}

//! A chart as plain data, and its drawing as PNG or SVG. The only file that knows the plotting library.
//!
//! A [`Figure`] holds what is to be seen (points, bars, labels, axis ranges) with colours named by meaning, so one
//! value draws itself in both themes and equal values give equal bytes. Numbers that are not finite, and numbers too
//! large to lay out, are left out rather than refused: a diverged run deserves its picture up to the point where it
//! diverged.

use kuva::backend::raster::RasterBackend;
use kuva::backend::svg::SvgBackend;
use kuva::plot::legend::{LegendEntry, LegendPosition, LegendShape};
use kuva::plot::{BarPlot, Histogram, LinePlot, ScatterPlot};
use kuva::render::annotations::{ReferenceLine, TextAnnotation};
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;
use kuva::render::render::{Scene, render_multiple};

use super::style::{Ink, Surface, Theme};

/// Device pixels per logical pixel of a PNG, so that it is sharp on a telephone.
const PNG_SCALE: f32 = 2.0;

/// Beyond this a coordinate is treated like infinity: no loss worth looking at is larger.
const LARGEST: f64 = 1e15;

/// One chart, drawn on demand.
#[derive(Debug, Clone)]
pub struct Figure {
    pub(super) title: String,
    pub(super) x_label: String,
    pub(super) y_label: String,
    pub(super) x: Span,
    pub(super) y: Span,
    pub(super) ticks: Ticks,
    pub(super) marks: Vec<Mark>,
    pub(super) keys: Vec<Key>,
    pub(super) size: (f64, f64),
    pub(super) equal_aspect: bool,
}

/// The visible part of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub low: f64,
    pub high: f64,
}

/// How the horizontal axis is labelled.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ticks {
    /// Round numbers chosen by the plotting library.
    Auto,
    /// Whole numbers, this far apart.
    Every(f64),
    /// One name per bar; bar `i` stands at `i + 1`.
    Names(Vec<String>),
}

/// One thing drawn into the chart.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    /// What lies under a staircase; step `i` runs from `edges[i]` to `edges[i + 1]`. For more steps than pixels.
    Area { edges: Vec<f64>, heights: Vec<f64>, ink: Ink },
    /// A line through points; with `dots`, the points are marked too.
    Line { points: Vec<(f64, f64)>, ink: Ink, dashed: bool, dots: bool },
    /// Bars that touch: `heights[i]` spans `edges[i]..edges[i + 1]`.
    Bins { edges: Vec<f64>, heights: Vec<f64>, ink: Ink },
    /// Bars that stand apart, at 1, 2, 3, ...
    Bars { heights: Vec<(f64, Ink)> },
    /// A cloud of translucent points.
    Dots { points: Vec<(f64, f64)>, ink: Ink, radius: f64, opacity: f64 },
    /// A dashed vertical guide with a word beside it.
    Guide { x: f64, label: String },
    /// A word above a point.
    Label { x: f64, y: f64, text: String },
}

/// One line of the legend.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub label: String,
    pub ink: Ink,
    pub shape: KeyShape,
}

/// How a legend entry looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyShape {
    Line,
    Dashed,
    Dot,
    Box,
}

impl Span {
    /// The range of the finite values, widened by `margin` of its length at both ends; `0..1` where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>, margin: f64) -> Self {
        let seen = values.into_iter().filter(|value| drawable(*value));
        let (low, high) =
            seen.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self { low: 0.0, high: 1.0 };
        }
        let size = high.abs().max(low.abs());
        // A range this short is a constant; tick labels of three or four digits could not tell its ends apart.
        let constant = high - low <= 1e-3 * size || size < 1e-9;
        let pad = if constant { (0.02 * size).max(1e-9) } else { (high - low) * margin };
        Self { low: low - pad, high: high + pad }
    }

    /// The same range, widened to hold zero.
    pub fn including_zero(self) -> Self {
        Self { low: self.low.min(0.0), high: self.high.max(1e-9) }
    }
}

/// Whether a coordinate can be laid out at all.
pub(super) fn drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

impl Figure {
    /// The title drawn above the chart.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The chart as PNG bytes, two device pixels per logical pixel. Equal charts give equal bytes.
    ///
    /// # Panics
    /// If the picture does not fit into memory; nothing else can fail, since the size is a constant of each chart.
    pub fn png(&self, theme: Theme) -> Vec<u8> {
        let raster = RasterBackend::new().with_scale(PNG_SCALE);
        raster.render_scene(&self.scene(theme)).expect("a chart of a few hundred pixels encodes into memory")
    }

    /// The chart as an SVG document. It names its font and does not carry it. Equal charts give equal text.
    pub fn svg(&self, theme: Theme) -> String {
        renumbered(&SvgBackend::new().render_scene(&self.scene(theme)))
    }

    fn scene(&self, theme: Theme) -> Scene {
        let plots = self.marks.iter().flat_map(|mark| mark.plots(theme)).collect();
        render_multiple(plots, self.layout(theme))
    }

    fn layout(&self, theme: Theme) -> Layout {
        let mut layout = Layout::new((self.x.low, self.x.high), (self.y.low, self.y.high))
            .with_width(self.size.0)
            .with_height(self.size.1)
            .with_x_axis_min(self.x.low)
            .with_x_axis_max(self.x.high)
            .with_y_axis_min(self.y.low)
            .with_y_axis_max(self.y.high)
            .with_title(plain(&self.title))
            .with_x_label(plain(&self.x_label))
            .with_y_label(plain(&self.y_label))
            .with_title_size(15)
            .with_label_size(13)
            .with_tick_size(12)
            .with_body_size(12)
            .with_tick_length(0.0)
            .with_theme(chrome(theme));
        if self.equal_aspect {
            layout = layout.with_equal_aspect();
        }
        layout = match &self.ticks {
            Ticks::Auto => layout,
            Ticks::Every(step) => layout.with_x_tick_step(*step),
            Ticks::Names(names) => layout.with_x_categories(names.iter().map(|name| plain(name)).collect()),
        };
        for mark in &self.marks {
            layout = match mark {
                Mark::Guide { x, label } => layout.with_reference_line(guide(*x, label, theme)),
                Mark::Label { x, y, text } => layout.with_annotation(TextAnnotation::new(plain(text), *x, *y)),
                _ => layout,
            };
        }
        self.legend(layout, theme)
    }

    fn legend(&self, layout: Layout, theme: Theme) -> Layout {
        if self.keys.is_empty() {
            return layout;
        }
        let entries = self.keys.iter().map(|key| key.entry(theme)).collect();
        // A tall legend beside the chart where there are many entries, a flat one below it otherwise.
        let position =
            if self.equal_aspect { LegendPosition::OutsideRightTop } else { LegendPosition::OutsideBottomColumns };
        layout.with_legend_entries(entries).with_legend_position(position).with_legend_box(false)
    }
}

impl Mark {
    fn plots(&self, theme: Theme) -> Vec<Plot> {
        match self {
            Self::Line { points, ink, dashed, dots } => line(points, &ink.hex(theme), *dashed, *dots),
            Self::Bins { edges, heights, ink } => {
                vec![Histogram::from_bins(edges.clone(), heights.clone()).with_color(ink.hex(theme)).into()]
            }
            Self::Area { edges, heights, ink } => {
                let corners = edges.iter().copied().zip(heights.iter().copied().chain(heights.last().copied()));
                let line = LinePlot::new().with_data(corners).with_color(ink.hex(theme)).with_stroke_width(1.0);
                vec![line.with_step().with_fill().with_fill_opacity(1.0).into()]
            }
            Self::Bars { heights } => {
                let bars = heights.iter().map(|(height, ink)| (String::new(), *height, ink.hex(theme)));
                vec![BarPlot::new().with_colored_bars(bars).with_width(0.74).into()]
            }
            Self::Dots { points, ink, radius, opacity } => {
                vec![dots(points, &ink.hex(theme), *radius).with_marker_opacity(*opacity).into()]
            }
            Self::Guide { .. } | Self::Label { .. } => Vec::new(),
        }
    }
}

impl Key {
    fn entry(&self, theme: Theme) -> LegendEntry {
        let shape = match self.shape {
            KeyShape::Line | KeyShape::Dashed => LegendShape::Line,
            KeyShape::Dot => LegendShape::Circle,
            KeyShape::Box => LegendShape::Rect,
        };
        let dasharray = (self.shape == KeyShape::Dashed).then(|| "5 4".to_owned());
        LegendEntry { label: plain(&self.label), color: self.ink.hex(theme), shape, dasharray }
    }
}

fn line(points: &[(f64, f64)], colour: &str, dashed: bool, marked: bool) -> Vec<Plot> {
    let seen: Vec<_> = finite(points);
    let line = LinePlot::new().with_data(seen.iter().copied()).with_color(colour).with_stroke_width(2.2);
    let line = if dashed { line.with_dashed() } else { line };
    let mut plots = vec![line.into()];
    if marked || seen.len() == 1 {
        plots.push(dots(&seen, colour, 3.0).into());
    }
    plots
}

fn dots(points: &[(f64, f64)], colour: &str, radius: f64) -> ScatterPlot {
    ScatterPlot::new().with_data(finite(points)).with_color(colour).with_size(radius)
}

fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|(x, y)| drawable(*x) && drawable(*y)).collect()
}

fn guide(x: f64, label: &str, theme: Theme) -> ReferenceLine {
    ReferenceLine::vertical(x).with_color(Ink::Strong.hex(theme)).with_label(plain(label)).with_stroke_width(1.6)
}

/// The library numbers clip paths through the life of the process, so the same chart would differ from call to call.
/// Here they are numbered by first appearance instead.
fn renumbered(svg: &str) -> String {
    const PREFIX: &str = "kuva-clip-";
    let mut parts = svg.split(PREFIX);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut seen: Vec<&str> = Vec::new();
    for part in parts {
        let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(end);
        let index = seen.iter().position(|known| *known == number).unwrap_or_else(|| {
            seen.push(number);
            seen.len() - 1
        });
        text += &format!("clip-{index}{rest}");
    }
    text
}

/// The plotting library's frame in our colours.
fn chrome(theme: Theme) -> kuva::render::theme::Theme {
    let surface = Surface::of(theme);
    let mut chrome = kuva::render::theme::Theme::light();
    chrome.background = surface.background.into();
    chrome.legend_bg = surface.background.into();
    chrome.legend_border = surface.background.into();
    chrome.text_color = surface.text.into();
    chrome.axis_color = surface.quiet.into();
    chrome.tick_color = surface.quiet.into();
    chrome.grid_color = surface.grid.into();
    chrome
}

/// Text taken literally: the library would read `$..$` as a formula.
fn plain(text: &str) -> String {
    text.replace('$', "\\$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_survives_anything() {
        assert_eq!(Span::of([], 0.1), Span { low: 0.0, high: 1.0 });
        assert_eq!(Span::of([f64::NAN, f64::INFINITY, 1e300], 0.1), Span { low: 0.0, high: 1.0 });
        assert_eq!(Span::of([0.0, 10.0, f64::NAN], 0.1), Span { low: -1.0, high: 11.0 });
        for constant in [0.0, 7.0, -1e14, 1e-12, 16.6] {
            let span = Span::of([constant], 0.1);
            assert!(span.low < constant && constant < span.high, "{span:?} around {constant}");
        }
    }

    #[test]
    fn clip_paths_are_numbered_including_zero() {
        let svg = r#"<a id="kuva-clip-41"/><b at="kuva-clip-7"/><c at="kuva-clip-41""#;
        assert_eq!(renumbered(svg), r#"<a id="clip-0"/><b at="clip-1"/><c at="clip-0""#);
    }

    #[test]
    fn dollars_are_not_formulas() {
        assert_eq!(plain("a$b$"), "a\\$b\\$");
    }
}

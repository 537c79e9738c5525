//! A metric of many runs against a setting in which they differ: means over the runs of each value, with standard errors.
//!
//! ```
//! use elbo::report::{Theme, Trend, TrendLine, TrendPoint};
//!
//! let point = |at: &str, mean| TrendPoint { at: at.into(), mean, stderr: 0.5, runs: 3 };
//! let line = TrendLine { name: "VAE".into(), points: vec![point("500", 40.0), point("60000", 4.0)] };
//! let by = "training examples".into();
//! let trend = Trend { metric: "recon_gap".into(), unit: "nats".into(), definition: String::new(), by, lines: vec![line] };
//! assert!(trend.figure().svg(Theme::Light).contains("60000"));
//! ```

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde::Serialize;

use super::chart::{Figure, Key, KeyShape, Mark, Span, Ticks};
use super::figures::PANEL;
use super::page::{Picture, escape, number};
use super::style::Ink;

/// One metric against one setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trend {
    /// Name of the metric.
    pub metric: String,
    /// The unit of the metric.
    pub unit: String,
    /// How it is computed.
    pub definition: String,
    /// The setting, in words.
    pub by: String,
    /// A line for each kind of model.
    pub lines: Vec<TrendLine>,
}

/// Runs of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrendLine {
    /// What they have in common.
    pub name: String,
    /// By growing value of the setting.
    pub points: Vec<TrendPoint>,
}

/// Order of the values of a setting: numbers by size, words after them.
pub(crate) fn by_value(a: &str, b: &str) -> Ordering {
    let value = |at: &str| at.parse::<f64>().unwrap_or(f64::INFINITY);
    value(a).total_cmp(&value(b))
}

/// Runs with one value of the setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrendPoint {
    /// The value of the setting that the runs share.
    pub at: String,
    /// Mean of the metric over the runs.
    pub mean: f64,
    /// Its standard error over the runs; 0 for one run.
    pub stderr: f64,
    /// How many runs.
    pub runs: usize,
}

impl Trend {
    /// The values of the setting, evenly spaced, with a line for each kind of model and bars of one standard error.
    pub fn figure(&self) -> Figure {
        let places = self.places();
        let place = |point: &TrendPoint| places.iter().position(|at| *at == point.at).map_or(0.0, |i| i as f64 + 1.0);
        let mut marks = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            let ink = Ink::Series(index);
            let points = line.points.iter().map(|point| (place(point), point.mean)).collect();
            marks.push(Mark::Line { points, ink, dashed: false, dots: true });
            marks.extend(line.points.iter().filter(|point| point.stderr > 0.0).map(|point| {
                let (x, [low, high]) = (place(point), [point.mean - point.stderr, point.mean + point.stderr]);
                Mark::Line { points: vec![(x, low), (x, high)], ink, dashed: false, dots: false }
            }));
        }
        let ends = self.lines.iter().flat_map(|line| &line.points);
        let ends = ends.flat_map(|point| [point.mean - point.stderr, point.mean + point.stderr]);
        let key = |(index, line): (usize, &TrendLine)| Key {
            label: line.name.clone(),
            ink: Ink::Series(index),
            shape: KeyShape::Line,
        };
        Figure {
            title: self.metric.clone(),
            x_label: self.by.clone(),
            y_label: self.unit.clone(),
            x: Span { low: 0.5, high: places.len() as f64 + 0.5 },
            y: Span::of(ends, 0.08),
            ticks: Ticks::Names(places.iter().map(|at| (*at).to_owned()).collect()),
            marks,
            keys: self.lines.iter().enumerate().map(key).collect(),
            size: (PANEL.0, PANEL.1 + 18.0 * self.lines.len().saturating_sub(1) as f64),
            equal_aspect: false,
        }
    }

    /// All values of the setting, in their order.
    fn places(&self) -> Vec<&str> {
        let mut places: Vec<&str> = Vec::new();
        for point in self.lines.iter().flat_map(|line| &line.points) {
            if !places.contains(&point.at.as_str()) {
                places.push(&point.at);
            }
        }
        places.sort_by(|a, b| by_value(a, b));
        places
    }

    /// The chart and its numbers.
    pub(super) fn html(&self) -> String {
        let places = self.places();
        let head: String = places.iter().map(|at| format!("<th>{}</th>", escape(at))).collect();
        let mut rows = String::new();
        for line in &self.lines {
            let cell = |at: &&str| match line.points.iter().find(|point| point.at == **at) {
                Some(point) => format!("<td>{} ± {}</td>", number(point.mean), number(point.stderr)),
                None => "<td>–</td>".into(),
            };
            let cells: String = places.iter().map(cell).collect();
            let _ = write!(rows, "<tr><th>{}</th>{cells}</tr>", escape(&line.name));
        }
        let alt = format!("{} against {}", self.metric, self.by);
        format!(
            "<div class=\"row\">{}</div><div class=\"scroll\"><table><thead><tr><th>{} ({})</th>{head}</tr></thead>\
             <tbody>{rows}</tbody></table></div><p class=\"quiet\">{}. Means over runs that differ in nothing but the seed, ± one standard error.</p>",
            Picture::drawing(&self.figure(), alt).html(),
            escape(&self.metric),
            escape(&self.unit),
            escape(&self.definition),
        )
    }
}

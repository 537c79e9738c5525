//! Curves over epochs: one run's loss terms, or one term of several runs laid over each other.
//!
//! Every term gets a chart of its own, because reconstruction and KL differ by an order of magnitude and share no axis
//! honestly. Charts are small (readable at telephone width) and are laid out by the page, not glued into one picture.
//!
//! ```
//! use elbo::report::Theme;
//! use elbo::report::figures::curve;
//!
//! let empty = curve(&[], "kl", "nats per image"); // no epoch yet: empty axes
//! assert!(empty.svg(Theme::Dark).contains("</svg>"));
//! ```

pub use super::chart::Figure;
use super::chart::{Key, KeyShape, Mark, Span, Ticks};
use super::style::Ink;
use crate::run::history::{EpochRecord, LOSS};

/// Logical size of a chart that shares its row with others.
pub(super) const PANEL: (f64, f64) = (400.0, 300.0);

/// Height of one more line of the legend.
const LEGEND_ROW: f64 = 18.0;

/// Up to this many epochs each one is marked with a dot.
const DOTTED_EPOCHS: usize = 30;

/// A term of the loss as a heading: the field's words for those of a VAE, the name itself for others.
pub fn heading(term: &str) -> String {
    match term {
        "recon" => "Reconstruction".into(),
        "kl" => "KL divergence".into(),
        _ => {
            let words = term.replace('_', " ");
            words.chars().take(1).flat_map(char::to_uppercase).chain(words.chars().skip(1)).collect()
        }
    }
}

/// The unit of a term in a run whose losses are in `unit`: the KL divergence is in nats, whatever the reconstruction is in.
fn unit_of<'a>(term: &str, unit: &'a str) -> &'a str {
    if term == "kl" { "nats per image" } else { unit }
}

/// The terms of a run's records, the loss first.
pub fn terms(history: &[EpochRecord]) -> Vec<&str> {
    let names = history.first().map(|record| record.train.names().collect::<Vec<_>>()).unwrap_or_default();
    names
        .iter()
        .copied()
        .filter(|name| *name == LOSS)
        .chain(names.iter().copied().filter(|name| *name != LOSS))
        .collect()
}

/// One term over the epochs, training and (where there is one) validation.
///
/// `unit` labels the vertical axis, usually `nats per image`. An empty history gives empty axes.
pub fn curve(history: &[EpochRecord], term: &str, unit: &str) -> Figure {
    let train = points(history, |record| record.train.get(term));
    let validation = points(history, |record| record.validation.as_ref()?.get(term));
    let dots = history.len() <= DOTTED_EPOCHS;
    let mut lines = vec![Series { name: "train".into(), points: train, ink: Ink::Series(0), dashed: false }];
    if !validation.is_empty() {
        lines.push(Series { name: "validation".into(), points: validation, ink: Ink::Series(1), dashed: false });
    }
    over_epochs(&heading(term), unit_of(term, unit), lines, dots)
}

/// The weight of the KL term over the epochs, or `None` where it never changes.
pub fn beta_curve(history: &[EpochRecord]) -> Option<Figure> {
    let first = Some(history.first()?.beta?);
    if history.iter().all(|record| record.beta == first) {
        return None;
    }
    let beta = points(history, |record| record.beta);
    let line = Series { name: "beta".into(), points: beta, ink: Ink::Series(2), dashed: false };
    let mut figure = over_epochs("Weight of the KL term", "beta", vec![line], history.len() <= DOTTED_EPOCHS);
    figure.keys.clear();
    figure.y = figure.y.including_zero();
    Some(figure)
}

/// A run's name and history, for [`overlay`].
#[derive(Debug, Clone, Copy)]
pub struct NamedHistory<'a> {
    /// How the legend calls the run.
    pub name: &'a str,
    /// The records of the run's epochs.
    pub history: &'a [EpochRecord],
    /// Which series colour it has, the same in every chart of a page.
    pub colour: usize,
}

/// One term of several runs in one chart: validation where a run has it, else training (then the line is dashed and
/// the legend says so).
pub fn overlay(runs: &[NamedHistory<'_>], term: &str, unit: &str) -> Figure {
    let longest = runs.iter().map(|run| run.history.len()).max().unwrap_or(0);
    let lines = runs.iter().map(|run| run.series(term)).collect();
    let mut figure = over_epochs(&heading(term), unit_of(term, unit), lines, longest <= DOTTED_EPOCHS);
    figure.size.1 += LEGEND_ROW * runs.len().saturating_sub(1) as f64;
    figure
}

impl NamedHistory<'_> {
    fn series(&self, term: &str) -> Series {
        let validation = points(self.history, |record| record.validation.as_ref()?.get(term));
        let ink = Ink::Series(self.colour);
        if validation.is_empty() {
            let train = points(self.history, |record| record.train.get(term));
            return Series { name: format!("{} (train)", self.name), points: train, ink, dashed: true };
        }
        Series { name: self.name.to_owned(), points: validation, ink, dashed: false }
    }
}

struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    ink: Ink,
    dashed: bool,
}

fn points(history: &[EpochRecord], value: impl Fn(&EpochRecord) -> Option<f64>) -> Vec<(f64, f64)> {
    history.iter().filter_map(|record| Some((record.epoch as f64, value(record)?))).collect()
}

fn over_epochs(title: &str, unit: &str, lines: Vec<Series>, dots: bool) -> Figure {
    let y = Span::of(lines.iter().flat_map(|line| line.points.iter().map(|point| point.1)), 0.06);
    let (x, step) = epoch_axis(lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)));
    let key = |line: &Series| Key {
        label: shortened(&line.name),
        ink: line.ink,
        shape: if line.dashed { KeyShape::Dashed } else { KeyShape::Line },
    };
    Figure {
        title: title.to_owned(),
        x_label: "epoch".to_owned(),
        y_label: unit.to_owned(),
        x,
        y,
        ticks: Ticks::Every(step),
        keys: lines.iter().map(key).collect(),
        marks: lines
            .into_iter()
            .map(|line| Mark::Line { points: line.points, ink: line.ink, dashed: line.dashed, dots })
            .collect(),
        size: PANEL,
        equal_aspect: false,
    }
}

/// From just before the first epoch to just after the last one, with whole-numbered ticks, at most nine of them.
fn epoch_axis(epochs: impl Iterator<Item = f64>) -> (Span, f64) {
    let (low, high) = epochs.fold((f64::INFINITY, 0.0_f64), |(low, high), epoch| (low.min(epoch), high.max(epoch)));
    if high <= low {
        let middle = if low.is_finite() { low } else { 1.0 };
        return (Span { low: middle - 1.0, high: middle + 1.0 }, 1.0);
    }
    let length = high - low;
    let step = [1.0, 2.0, 5.0]
        .iter()
        .flat_map(|digit| (0..16).map(move |power| digit * 10f64.powi(power)))
        .filter(|step| length / step <= 8.0)
        .fold(f64::INFINITY, f64::min);
    (Span { low: low - 0.04 * length, high: high + 0.04 * length }, if step.is_finite() { step } else { length })
}

/// Names longer than a legend can hold lose their middle: run names differ at the start or at the end.
pub(super) fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= 26 {
        return name.to_owned();
    }
    let (head, tail) = (&letters[..12], &letters[letters.len() - 13..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::super::style::Theme;
    use super::*;
    use crate::run::history::Means;

    fn record(epoch: usize, recon: f64, kl: f64) -> EpochRecord {
        let train = Means::of([("recon", recon), ("kl", kl), ("loss", recon + kl)]);
        EpochRecord { beta: Some(1.0), validation: Some(train.clone()), ..EpochRecord::new(epoch, epoch, 1e-3, train) }
    }

    fn run(epochs: usize) -> Vec<EpochRecord> {
        (1..=epochs).map(|epoch| record(epoch, 80.0 + 60.0 / epoch as f64, 25.0 - 10.0 / epoch as f64)).collect()
    }

    #[test]
    fn equal_histories_give_equal_bytes_and_themes_differ() {
        let figure = || curve(&run(10), "kl", "nats per image");
        for theme in Theme::BOTH {
            assert!(figure().png(theme) == figure().png(theme));
            assert!(figure().svg(theme) == figure().svg(theme));
        }
        assert!(figure().svg(Theme::Light) != figure().svg(Theme::Dark));
    }

    #[test]
    fn a_chart_names_its_unit_and_its_lines() {
        let svg = curve(&run(10), "recon", "nats per image").svg(Theme::Light);
        for word in ["nats per image", "epoch", "train", "validation", "Reconstruction"] {
            assert!(svg.contains(&format!(">{word}<")), "`{word}` is missing");
        }
    }

    #[test]
    fn without_validation_the_legend_does_not_promise_it() {
        let mut history = run(3);
        history.iter_mut().for_each(|record| record.validation = None);
        assert!(!curve(&history, "loss", "nats").svg(Theme::Light).contains("validation"));
    }

    #[test]
    fn odd_histories_draw() {
        let broken = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, f64::MIN, 0.0];
        let histories = [
            vec![],
            run(1),
            run(2000),
            broken.iter().enumerate().map(|(epoch, value)| record(epoch, *value, -*value)).collect(),
            vec![record(usize::MAX, 1.0, 1.0)],
            vec![record(3, 7.0, 7.0); 4],
        ];
        for history in &histories {
            for term in ["recon", "kl", "loss"] {
                let figure = curve(history, term, "nats");
                let picture = image::load_from_memory(&figure.png(Theme::Dark)).expect("a PNG");
                assert_eq!((picture.width(), picture.height()), (800, 600));
                assert!(!figure.svg(Theme::Light).contains("NaN"));
            }
        }
    }

    #[test]
    fn beta_is_drawn_only_when_it_moves() {
        let mut history = run(4);
        assert!(beta_curve(&history).is_none());
        assert!(beta_curve(&[]).is_none());
        history[0].beta = Some(0.25);
        assert!(beta_curve(&history).is_some_and(|figure| figure.svg(Theme::Light).contains("beta")));
    }

    #[test]
    fn overlays_prefer_validation_and_say_when_they_cannot() {
        let mut history = run(3);
        history.iter_mut().for_each(|record| record.validation = None);
        let runs = [
            NamedHistory { name: "plain", history: &run(5), colour: 0 },
            NamedHistory { name: "a<b>&$x$", history: &history, colour: 1 },
            NamedHistory { name: "none", history: &[], colour: 2 },
        ];
        let svg = overlay(&runs, "loss", "nats").svg(Theme::Light);
        assert!(svg.contains(">plain<") && svg.contains("a&lt;b&gt;&amp;$x$ (train)"), "{svg}");
    }

    #[test]
    fn ticks_are_whole_and_few() {
        for (last, step) in [(1, 1.0), (8, 1.0), (10, 2.0), (30, 5.0), (100, 20.0), (9999, 2000.0)] {
            assert_eq!(epoch_axis([1.0, last as f64].into_iter()).1, step, "{last} epochs");
        }
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("mnist-bce"), "mnist-bce");
        assert_eq!(shortened("mnist-bce-with-a-very-long-suffix-beta-4"), "mnist-bce-wi…suffix-beta-4");
    }
}

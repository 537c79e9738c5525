//! What a report shows of a table, in place of grids of images.

use super::plots::save_figure;
use super::run::Run;
use crate::data::{Columns, Subset};
use crate::error::Result;
use crate::generation::{self, ShowAs};
use crate::report::table_figures::{agreement, marginal, pair};
use crate::report::{Figure, Picture, Section};

/// Columns with a chart of their own, at most.
const COLUMNS: usize = 12;
/// Rows looked at, at most.
const ROWS: usize = 2000;

/// Rows of the held-out split, what the decoder makes of them, and samples; in the units of the table, row after row.
pub(super) struct Rows<'a> {
    columns: &'a Columns,
    originals: Vec<f64>,
    reconstructions: Vec<f64>,
    samples: Vec<f64>,
    /// Whether samples are draws from p(x|z); else its means.
    drawn: bool,
}

impl<'a> Rows<'a> {
    pub fn gather(run: &Run, split: &Subset, columns: &'a Columns) -> Result<Self> {
        let decoder = run.decoder("report")?;
        let seed = run.config.training.seed;
        let chosen = generation::random_places(split, ROWS, seed);
        let codes = generation::sample_codes(decoder.latent(), chosen.len().max(200), 1.0, seed);
        // What is no distribution, such as a squared error, has no draws.
        let draws = generation::show(&decoder, &codes, ShowAs::Draw { seed });
        let drawn = draws.is_ok();
        let samples = draws.unwrap_or_else(|_| generation::decode(&decoder, &codes));
        let reconstructions = generation::reconstruct(run.model.as_ref(), split, &chosen, &run.device)?;
        Ok(Self {
            columns,
            originals: columns.original(&generation::originals(split, &chosen, &run.device).pixels),
            reconstructions: columns.original(&reconstructions.pixels),
            samples: columns.original(&samples.pixels),
            drawn,
        })
    }

    /// The sections of a report, their charts written to `plots/`.
    pub fn sections(&self, run: &Run, split_name: &str) -> Result<Vec<Section>> {
        let shown = match self.columns.names.len() {
            all if all > COLUMNS => format!(" The first {COLUMNS} of {all} columns."),
            _ => String::new(),
        };
        let (mut came_back, mut distributed) = (Vec::new(), Vec::new());
        for column in 0..self.shown() {
            let name = &self.columns.names[column];
            let figure = self.agreement(column);
            save_figure(run, &format!("reconstruction_{column}"), &figure)?;
            came_back.push(Picture::rendering(&figure, format!("{name}: originals against reconstructions")));
            let figure = self.marginal(column);
            save_figure(run, &format!("column_{column}"), &figure)?;
            distributed.push(Picture::drawing(&figure, format!("{name}: histogram of data and samples")));
        }
        if let Some(figure) = self.pair() {
            save_figure(run, "pair", &figure)?;
            distributed.push(Picture::rendering(&figure, "the two columns most alike, in data and samples"));
        }
        Ok(vec![
            Section {
                title: "Reconstructions".into(),
                explanation: format!(
                    "Values of the {split_name} split, and what the decoder makes of the codes of their rows: on the dashed line both are \
                     equal.{shown}"
                ),
                pictures: came_back,
            },
            Section {
                title: "Samples from N(0, I)".into(),
                explanation: format!(
                    "How columns are distributed in the {split_name} split and in samples: codes drawn from N(0, I), {}.{shown}",
                    match self.drawn {
                        true => "then rows from p(x|z)",
                        false =>
                            "decoded to E[x|z], which lacks the noise of single values and so is narrower than the data",
                    }
                ),
                pictures: distributed,
            },
        ])
    }

    /// The charts of a comparison: of the two columns that go together most, or of the only one.
    pub fn compared(&self) -> Vec<(String, Picture)> {
        let figure = self.pair().unwrap_or_else(|| self.marginal(0));
        vec![("Samples from N(0, I)".to_owned(), Picture::rendering(&figure, "columns in data and samples"))]
    }

    fn shown(&self) -> usize {
        self.columns.names.len().min(COLUMNS)
    }

    fn column(&self, rows: &[f64], column: usize) -> Vec<f64> {
        rows.iter().skip(column).step_by(self.columns.names.len()).copied().collect()
    }

    fn agreement(&self, column: usize) -> Figure {
        let (original, decoded) = (self.column(&self.originals, column), self.column(&self.reconstructions, column));
        agreement(&self.columns.names[column], &original, &decoded)
    }

    fn marginal(&self, column: usize) -> Figure {
        let (data, samples) = (self.column(&self.originals, column), self.column(&self.samples, column));
        marginal(&self.columns.names[column], &data, &samples)
    }

    /// The two of the shown columns with the largest correlation, either sign.
    fn pair(&self) -> Option<Figure> {
        let columns: Vec<Vec<f64>> = (0..self.shown()).map(|column| self.column(&self.originals, column)).collect();
        let pairs = (0..columns.len()).flat_map(|a| (a + 1..columns.len()).map(move |b| [a, b]));
        let strength = |&[a, b]: &[usize; 2]| correlation(&columns[a], &columns[b]).abs();
        let [a, b] = pairs.max_by(|x, y| strength(x).total_cmp(&strength(y)))?;
        let samples = [a, b].map(|column| self.column(&self.samples, column));
        let names = [a, b].map(|column| self.columns.names[column].as_str());
        Some(pair(names, [&columns[a], &columns[b]], [&samples[0], &samples[1]]))
    }
}

/// Pearson's correlation; 0 where a column is constant.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let (x_mean, y_mean) = (mean(x), mean(y));
    let covariance = |a: &[f64], a_mean: f64, b: &[f64], b_mean: f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - a_mean) * (b - b_mean)).sum()
    };
    let together = covariance(x, x_mean, y, y_mean);
    let apart = (covariance(x, x_mean, x, x_mean) * covariance(y, y_mean, y, y_mean)).sqrt();
    if apart > 0.0 { together / apart } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_is_pearsons() {
        let (x, y) = ([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 5.0]);
        assert!((correlation(&x, &y) - 0.831_521_840_620_299).abs() < 1e-12);
        assert_eq!((correlation(&x, &x.map(|v| -v)), correlation(&x, &[2.0; 4])), (-1.0, 0.0));
    }
}

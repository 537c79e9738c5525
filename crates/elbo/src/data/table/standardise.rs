//! Columns to mean 0 and standard deviation 1, and back.

use super::cells::Cells;
use super::{Request, columns_flag};
use crate::data::source::Columns;
use crate::error::Error;

/// A column that cannot be standardised.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadColumn {
    name: String,
    /// The row, counted from 0, when one value is to blame.
    row: Option<usize>,
    problem: &'static str,
}

impl BadColumn {
    pub fn refuse(self, request: &Request<'_>) -> Error {
        let place = match self.row {
            Some(row) => format!("row {row}, column `{}`", self.name),
            None => format!("column `{}`", self.name),
        };
        let help =
            format!("rescale that column, or leave it out with `{}`", columns_flag([]).replace("[]", "[\"...\"]"));
        request.error(place, "numbers whose spread fits float32", self.problem, &help)
    }
}

/// Mean and standard deviation (with the number of rows as divisor) of each column over the rows `chosen`, in two passes of float64.
///
/// A column that has one value in all these rows keeps that value as its mean and gets 1 as its deviation: it becomes 0, and the inverse
/// brings it back.
pub(super) fn fit(names: &[String], cells: &Cells, chosen: &[u32]) -> Result<Columns, BadColumn> {
    let (width, count) = (names.len(), chosen.len().max(1) as f64);
    let first: Vec<f64> = match chosen.first() {
        Some(&row) => (0..width).map(|column| cells.get(row as usize * width + column)).collect(),
        None => vec![0.0; width],
    };
    let mut varies = vec![false; width];
    let mut mean = vec![0.0; width];
    // Distances from the first row: large numbers close together keep their digits.
    for &row in chosen {
        cells.for_row(row as usize, width, |column, value| {
            varies[column] |= value != first[column];
            mean[column] += value - first[column];
        });
    }
    mean.iter_mut().zip(&first).for_each(|(mean, first)| *mean = first + *mean / count);
    let mut variance = vec![0.0; width];
    for &row in chosen {
        cells.for_row(row as usize, width, |column, value| variance[column] += (value - mean[column]).powi(2));
    }
    let mut std: Vec<f64> = variance.into_iter().map(|sum| (sum / count).sqrt()).collect();
    for column in 0..width {
        if !varies[column] {
            (mean[column], std[column]) = (first[column], 1.0);
        }
        if !(mean[column].is_finite() && std[column].is_normal()) {
            let problem = "values so large or so close together that their deviation cannot be computed";
            return Err(BadColumn { name: names[column].clone(), row: None, problem });
        }
    }
    Ok(Columns { names: names.to_vec(), mean, std })
}

/// All rows as `(value - mean) / std`.
pub(super) fn apply(columns: &Columns, cells: &Cells) -> Result<Vec<f32>, BadColumn> {
    let width = columns.names.len();
    let rows = cells.len() / width.max(1);
    let mut values = Vec::with_capacity(cells.len());
    for row in 0..rows {
        cells.for_row(row, width, |column, value| values.push(columns.standardised(column, value)));
        if let Some(column) = values[row * width..].iter().position(|value| !value.is_finite()) {
            let problem = "a value too far from the mean of the training rows";
            return Err(BadColumn { name: columns.names[column].clone(), row: Some(row), problem });
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(width: usize) -> Vec<String> {
        (0..width).map(|column| format!("c{column}")).collect()
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_chosen_rows() {
        let cells = Cells::Read(vec![1.0, 10.0, 2.0, 10.0, 1e9, -7.0, 6.0, 10.0]);
        let columns = fit(&names(2), &cells, &[0, 1, 3]).unwrap();
        assert_eq!(columns.mean, [3.0, 10.0]);
        assert!((columns.std[0] - (14.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(columns.std[1], 1.0, "a constant column is only shifted");
        let values = apply(&columns, &cells).unwrap();
        assert_eq!([values[1], values[3], values[5], values[7]], [0.0, 0.0, -17.0, 0.0]);
        assert!((values[0] - (-2.0 / (14.0f64 / 3.0).sqrt()) as f32).abs() < 1e-7);
    }

    #[test]
    fn large_numbers_close_together_keep_their_digits() {
        let base = 1_700_000_000_000.0;
        let cells = Cells::Read((0..1000).map(|i| base + f64::from(i % 10)).collect());
        let columns = fit(&names(1), &cells, &(0..1000).collect::<Vec<_>>()).unwrap();
        assert!((columns.mean[0] - base - 4.5).abs() < 1e-3 && (columns.std[0] - 8.25f64.sqrt()).abs() < 1e-6);
        let back = columns.original(&apply(&columns, &cells).unwrap());
        assert!(back.iter().enumerate().all(|(i, value)| (value - base - (i % 10) as f64).abs() < 1e-3));
    }

    #[test]
    fn numbers_beyond_float64_and_float32_are_refused_by_name() {
        let cells = Cells::Read(vec![0.0, 1e300, 1.0, -1e300]);
        assert_eq!(fit(&names(2), &cells, &[0, 1]).unwrap_err().name, "c1");
        let cells = Cells::Read(vec![0.0, 1.0, 1e200]);
        let columns = fit(&names(1), &cells, &[0, 1]).unwrap();
        let bad = apply(&columns, &cells).unwrap_err();
        assert_eq!((bad.name.as_str(), bad.row), ("c0", Some(2)));
    }
}

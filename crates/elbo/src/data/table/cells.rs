//! The numbers of a table, row after row, as they were read.

use super::mapped::Numbers;

/// Row after row; in the units of the file.
pub(super) enum Cells {
    /// In memory.
    Read(Vec<f64>),
    /// Float32 in memory or in a mapped file.
    Single(Numbers<f32>),
}

impl Cells {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Read(values) => values.len(),
            Self::Single(values) => values.as_slice().len(),
        }
    }

    /// Followed by others, in memory.
    pub fn with(self, more: Self) -> Self {
        let mut all = self.into_values();
        all.extend(more.into_values());
        Self::Read(all)
    }

    fn into_values(self) -> Vec<f64> {
        match self {
            Self::Read(values) => values,
            Self::Single(values) => values.as_slice().iter().map(|&value| f64::from(value)).collect(),
        }
    }

    /// Value `place`.
    pub fn get(&self, place: usize) -> f64 {
        match self {
            Self::Read(values) => values[place],
            Self::Single(values) => f64::from(values.as_slice()[place]),
        }
    }

    /// Hands `width` values from row `row` to `each`, with their column.
    pub fn for_row(&self, row: usize, width: usize, mut each: impl FnMut(usize, f64)) {
        let span = row * width..(row + 1) * width;
        match self {
            Self::Read(values) => values[span].iter().enumerate().for_each(|(column, &value)| each(column, value)),
            Self::Single(values) => {
                let values = &values.as_slice()[span];
                values.iter().enumerate().for_each(|(column, &value)| each(column, f64::from(value)));
            }
        }
    }
}

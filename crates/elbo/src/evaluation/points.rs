//! Points in a feature space, and the distances between them.

use std::ops::Range;

use faer::{Mat, MatRef};

use crate::parallel;

/// Points in a feature space, row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Dimensions of the space.
    pub dims: usize,
    /// Coordinates of the points, `[n, dims]` row by row.
    pub values: Vec<f64>,
}

impl Features {
    /// Points from rows of numbers.
    ///
    /// # Panics
    /// If the values are no whole number of rows.
    pub fn new(dims: usize, values: Vec<f64>) -> Self {
        assert!(dims > 0 && values.len().is_multiple_of(dims), "{} values in rows of {dims}", values.len());
        Self { dims, values }
    }

    /// Number of points.
    pub fn n(&self) -> usize {
        self.values.len() / self.dims.max(1)
    }

    /// The points `rows` as a matrix, a point in each row.
    pub(super) fn matrix(&self, rows: Range<usize>) -> MatRef<'_, f64> {
        let values = &self.values[rows.start * self.dims..rows.end * self.dims];
        MatRef::from_row_major_slice(values, rows.len(), self.dims)
    }

    /// One of the points.
    pub(super) fn point(&self, index: usize) -> &[f64] {
        &self.values[index * self.dims..(index + 1) * self.dims]
    }

    /// `f(i, squared distances of point i to all points of other)` for every point, in parallel.
    pub(super) fn with_distances<T: Send + Sync>(
        &self,
        other: &Self,
        f: impl Fn(usize, &mut [f64]) -> T + Sync,
    ) -> Vec<T> {
        const BLOCK: usize = 64;
        let squares = |points: &Self| -> Vec<f64> {
            points.values.chunks_exact(points.dims).map(|row| row.iter().map(|v| v * v).sum()).collect()
        };
        let (own, others) = (squares(self), squares(other));
        let blocks = parallel::map(self.n().div_ceil(BLOCK), |block| {
            let rows = block * BLOCK..(block * BLOCK + BLOCK).min(self.n());
            // A column for each point of the block, so that its distances lie together.
            let mut products: Mat<f64> = other.matrix(0..other.n()) * self.matrix(rows.clone()).transpose();
            let of_point = |(column, i): (usize, usize)| {
                let distances = products.col_as_slice_mut(column);
                for (distance, square) in distances.iter_mut().zip(&others) {
                    *distance = (own[i] + square - 2.0 * *distance).max(0.0);
                }
                f(i, distances)
            };
            rows.enumerate().map(of_point).collect::<Vec<T>>()
        });
        blocks.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_definition() {
        let value = |i: usize| (i * 37 % 101) as f64 / 10.0;
        let a = Features::new(3, (0..3 * 130).map(value).collect());
        let b = Features::new(3, (0..3 * 70).map(|i| value(i + 7) - 2.0).collect());
        let found = a.with_distances(&b, |i, distances| (i, distances.to_vec()));
        for (i, distances) in found {
            assert_eq!(distances.len(), 70);
            for (j, found) in distances.iter().enumerate() {
                let expected: f64 = a.point(i).iter().zip(b.point(j)).map(|(a, b)| (a - b).powi(2)).sum();
                assert!((found - expected).abs() < 1e-9 * (1.0 + expected));
            }
        }
    }
}

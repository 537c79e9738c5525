//! Exact nearest neighbours by blocked matrix products.

use faer::{Mat, MatRef};
use rayon::prelude::*;

/// Queries whose products with a block of rows are held at once.
const QUERIES: usize = 64;
/// Rows of that block.
const ROWS: usize = 2048;

/// A row, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Neighbour {
    /// Place of the row among all rows offered.
    pub index: usize,
    /// The Euclidean distance to it.
    pub distance: f64,
}

impl Neighbour {
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.index.cmp(&other.index))
    }
}

/// The `k` nearest rows of each query, found while rows pass by: a set larger than memory can be offered block by block.
///
/// Candidates come from `|q|^2 + |x|^2 - 2 q x`, a matrix product; the distances of those that stay are computed from differences, so that a copy of a
/// query has distance 0 and not the square root of a rounding error. Of equally near rows the first counts. The result is the same on any number of
/// threads.
///
/// ```
/// use elbo::projection::Nearest;
///
/// let mut nearest = Nearest::new(&[1.0, 1.0], 2, 2); // one query in the plane
/// nearest.offer(&[0.0, 0.0, 1.0, 2.0]);
/// nearest.offer(&[1.0, 1.0]);
/// let found = nearest.found();
/// assert_eq!(found[0].iter().map(|n| (n.index, n.distance)).collect::<Vec<_>>(), [(2, 0.0), (1, 1.0)]);
/// ```
#[derive(Debug, Clone)]
pub struct Nearest<'a> {
    queries: &'a [f64],
    dims: usize,
    k: usize,
    squares: Vec<f64>,
    offered: usize,
    found: Vec<Vec<Neighbour>>,
}

impl<'a> Nearest<'a> {
    /// A search for the `k` nearest of each query.
    ///
    /// # Shapes
    /// - `queries`: `[n, dims]`
    ///
    /// # Panics
    /// If the queries are no whole number of rows.
    pub fn new(queries: &'a [f64], dims: usize, k: usize) -> Self {
        assert!(dims > 0 && queries.len().is_multiple_of(dims), "{} values in rows of {dims}", queries.len());
        let squares = squares(queries, dims);
        let found = vec![Vec::new(); squares.len()];
        Self { queries, dims, k, squares, offered: 0, found }
    }

    /// Looks at further rows; their indices go on from those before.
    ///
    /// # Shapes
    /// - `rows`: `[m, dims]`
    ///
    /// # Panics
    /// If the rows are no whole number of rows.
    pub fn offer(&mut self, rows: &[f64]) {
        let (dims, k) = (self.dims, self.k);
        assert!(rows.len().is_multiple_of(dims), "{} values in rows of {dims}", rows.len());
        for block in rows.chunks(ROWS * dims) {
            let (first, others) = (self.offered, squares(block, dims));
            let matrix = MatRef::from_row_major_slice(block, others.len(), dims);
            let parts = self.queries.par_chunks(QUERIES * dims).zip(self.squares.par_chunks(QUERIES));
            parts.zip(self.found.par_chunks_mut(QUERIES)).for_each(|((queries, squares), found)| {
                let own = MatRef::from_row_major_slice(queries, squares.len(), dims);
                // A column for each query, so that its products lie together.
                let mut products: Mat<f64> = Mat::zeros(others.len(), squares.len());
                let seq = faer::Par::Seq;
                faer::linalg::matmul::matmul(&mut products, faer::Accum::Replace, matrix, own.transpose(), -2.0, seq);
                for (column, found) in found.iter_mut().enumerate() {
                    let distances = products.col_as_slice_mut(column);
                    distances.iter_mut().zip(&others).for_each(|(product, other)| *product += squares[column] + other);
                    let query = &queries[column * dims..(column + 1) * dims];
                    let nearer = promising(distances, found, k, squares[column], &others);
                    found.extend(smallest(nearer, distances, k).into_iter().map(|i| Neighbour {
                        index: first + i,
                        distance: distance(query, &block[i * dims..(i + 1) * dims]),
                    }));
                    found.sort_by(Neighbour::order);
                    found.truncate(k);
                }
            });
            self.offered += others.len();
        }
    }

    /// For each query its nearest rows, the nearest first; fewer than `k` where fewer were offered.
    pub fn found(self) -> Vec<Vec<Neighbour>> {
        self.found
    }
}

fn squares(rows: &[f64], dims: usize) -> Vec<f64> {
    rows.chunks_exact(dims).map(|row| row.iter().map(|v| v * v).sum()).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Places whose squared distance may be among the `k` smallest: all, until `k` are found, then those not beyond the farthest of them by more than the
/// products round.
fn promising(distances: &[f64], found: &[Neighbour], k: usize, own: f64, others: &[f64]) -> Vec<usize> {
    /// Of the squares whose difference a squared distance is; products of thousands of dimensions stay far below.
    const ROUNDING: f64 = 1e-9;
    match found.get(k.wrapping_sub(1)) {
        None => (0..distances.len()).collect(),
        Some(farthest) => {
            let limit = farthest.distance.powi(2);
            let near = |i: &usize| distances[*i] <= limit + ROUNDING * (own + others[*i]);
            (0..distances.len()).filter(near).collect()
        }
    }
}

/// Of some places those of the `k` smallest values, in no order; the first of equals.
fn smallest(mut places: Vec<usize>, values: &[f64], k: usize) -> Vec<usize> {
    if k < places.len() {
        places.select_nth_unstable_by(k, |a, b| values[*a].total_cmp(&values[*b]).then(a.cmp(b)));
        places.truncate(k);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Draws, Purpose};

    fn rows(n: usize, dims: usize, step: u64) -> Vec<f64> {
        Draws::new(1, Purpose::Choice, 0, step).normals(n * dims).into_iter().map(f64::from).collect()
    }

    #[test]
    fn neighbours_are_those_of_a_plain_search_over_blocks_of_any_size() {
        let (dims, k) = (5, 7);
        let (queries, rows) = (rows(131, dims, 0), rows(ROWS + 300, dims, 1));
        let mut nearest = Nearest::new(&queries, dims, k);
        rows.chunks(777 * dims).for_each(|block| nearest.offer(block));
        for (query, found) in queries.chunks_exact(dims).zip(nearest.found()) {
            let plain = rows.chunks_exact(dims).enumerate();
            let mut plain: Vec<_> =
                plain.map(|(index, row)| Neighbour { index, distance: distance(query, row) }).collect();
            plain.sort_by(Neighbour::order);
            assert_eq!(found, plain[..k]);
        }
    }

    #[test]
    fn a_copy_has_no_distance_and_the_first_of_equals_counts() {
        let mut all = rows(50, 100, 2).iter().map(|v| 1e4 + v).collect::<Vec<f64>>();
        let copy = all[300..400].to_vec();
        all.extend_from_slice(&copy);
        let mut nearest = Nearest::new(&copy, 100, 2);
        nearest.offer(&all);
        let found = nearest.found();
        assert_eq!(found[0].iter().map(|n| (n.index, n.distance)).collect::<Vec<_>>(), [(3, 0.0), (50, 0.0)]);
    }

    #[test]
    fn fewer_rows_than_asked_for_are_all_found() {
        let mut nearest = Nearest::new(&[0.0], 1, 9);
        nearest.offer(&[3.0, -1.0]);
        assert_eq!(nearest.found()[0].iter().map(|n| n.index).collect::<Vec<_>>(), [1, 0]);
    }
}

//! The nearest entry of a codebook (van den Oord et al. 2017, arXiv:1711.00937, eq. 1), and what belongs to each entry.

#[cfg(feature = "tensors")]
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

#[cfg(feature = "tensors")]
use crate::by_entry::{self, indices_of};
#[cfg(feature = "tensors")]
use crate::extension::{flex_slice, from_flex, from_values, into_flex, is_fused};
use crate::matrix::{Matrix, multiply};
use crate::pool::{self, SharedMut};

/// Vectors scored together: their scores against 1,024 entries fit a core's second-level cache.
const TILE: usize = 64;

/// Index of the codebook entry closest to each vector: `argmin_k |z_i - e_k|^2`, the first of equals.
///
/// Computed as `argmin_k |e_k|^2 - 2 z_i . e_k`, one matrix product instead of a difference for each pair. No gradient flows
/// through an index.
///
/// # Shapes
/// - `z`: `[n, dims]`, `codebook`: `[entries, dims]`
/// - returns: `[n]`
///
/// # Panics
/// If the widths differ or the codebook is empty.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::nearest_entries;
///
/// let device = Device::default();
/// let z = Tensor::<2>::from_data([[0.9, 0.1], [-2.0, 0.0]], &device);
/// let codebook = Tensor::<2>::from_data([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], &device);
/// assert_eq!(nearest_entries(z, codebook).into_data_as::<i32>().to_vec::<i32>().unwrap(), [1, 2]);
/// ```
#[cfg(feature = "tensors")]
pub fn nearest_entries(z: Tensor<2>, codebook: Tensor<2>) -> Tensor<1, Int> {
    let ([_, dims], [entries, width]) = (z.dims(), codebook.dims());
    assert!(dims == width && entries > 0, "vectors of {dims} values against {entries} entries of {width}");
    if !is_fused(&z) {
        return nearest_entries_reference(z, codebook);
    }
    let device = z.device().without_autodiff();
    let (z, codebook) = (into_flex(z.without_autodiff()), into_flex(codebook.without_autodiff()));
    let nearest = nearest(flex_slice(&z), flex_slice(&codebook), dims);
    let count = nearest.len();
    Tensor::from_data(TensorData::new(nearest, [count]), &device)
}

/// Plain Burn twin of [`nearest_entries`].
#[cfg(feature = "tensors")]
pub fn nearest_entries_reference(z: Tensor<2>, codebook: Tensor<2>) -> Tensor<1, Int> {
    let squares = codebook.clone().square().sum_dim(1).transpose();
    (squares - z.matmul(codebook.transpose()) * 2.0).argmin(1).squeeze_dim(1)
}

/// The number of rows that belong to each entry, and their sum: what a codebook's moving averages are fed with
/// (van den Oord et al. 2017, arXiv:1711.00937, eq. 6 and 7). The sums are the same bits on any number of threads.
///
/// # Shapes
/// - `rows`: `[n, width]`; `nearest`: `[n]`; no gradient flows into either
/// - returns: counts `[entries]`, sums `[entries, width]`; 0 for an entry without rows
///
/// # Panics
/// If the lengths differ, or an index is negative or not below `entries`.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use elbo_kernels::code_statistics;
///
/// let device = Device::default();
/// let rows = Tensor::<2>::from_data([[1.0, 2.0], [5.0, 5.0], [3.0, 4.0]], &device);
/// let nearest = Tensor::<1, Int>::from_data([2, 0, 2], &device);
/// let (counts, sums) = code_statistics(rows, nearest, 3);
/// assert_eq!(counts.into_data().to_vec::<f32>().unwrap(), [1.0, 0.0, 2.0]);
/// assert_eq!(sums.into_data().to_vec::<f32>().unwrap(), [5.0, 5.0, 0.0, 0.0, 4.0, 6.0]);
/// ```
#[cfg(feature = "tensors")]
pub fn code_statistics(rows: Tensor<2>, nearest: Tensor<1, Int>, entries: usize) -> (Tensor<1>, Tensor<2>) {
    let [count, width] = rows.dims();
    assert_eq!(nearest.dims(), [count], "one entry for each of {count} rows");
    let numbers = indices_of(nearest.clone(), entries);
    if !is_fused(&rows) {
        return code_statistics_reference(rows, nearest, entries);
    }
    let rows = into_flex(rows.without_autodiff());
    let (sums, counts) = by_entry::sums(flex_slice(&rows), width, &numbers, entries);
    (from_flex(from_values(counts, &[entries])), from_flex(from_values(sums, &[entries, width])))
}

/// Plain Burn twin of [`code_statistics`].
#[cfg(feature = "tensors")]
pub fn code_statistics_reference(rows: Tensor<2>, nearest: Tensor<1, Int>, entries: usize) -> (Tensor<1>, Tensor<2>) {
    let rows = rows.without_autodiff();
    let ([count, width], device) = (rows.dims(), rows.device());
    let ones = Tensor::<1>::ones([count], &device);
    let nearest = nearest.to_device(&device);
    let counts = Tensor::<1>::zeros([entries], &device);
    let counts = counts.select_assign(0, nearest.clone(), ones, IndexingUpdateOp::Add);
    let sums = Tensor::<2>::zeros([entries, width], &device);
    (counts, sums.select_assign(0, nearest, rows, IndexingUpdateOp::Add))
}

fn nearest(z: &[f32], codebook: &[f32], dims: usize) -> Vec<i32> {
    let squares: Vec<f32> = codebook.chunks_exact(dims).map(|e| e.iter().map(|v| v * v).sum()).collect();
    let (count, entries) = (z.len() / dims, squares.len());
    let mut out = vec![0i32; count];
    let target = SharedMut::new(&mut out);
    pool::run(count.div_ceil(TILE), |tile| {
        let rows = tile * TILE..(tile * TILE + TILE).min(count);
        let vectors = &z[rows.start * dims..rows.end * dims];
        let mut scores = vec![0f32; rows.len() * entries];
        let (a, b) = (Matrix::rows(vectors, dims), Matrix::rows(codebook, dims).transposed());
        multiply(&SharedMut::new(&mut scores), entries, a, b, dims, 0..rows.len(), 0..entries);
        // SAFETY: each tile owns its rows of the result, which outlives the region.
        let chosen = unsafe { target.slice(rows) };
        for (chosen, scores) in chosen.iter_mut().zip(scores.chunks_exact(entries)) {
            *chosen = first_smallest(scores, &squares);
        }
    });
    out
}

/// The first index with the smallest `squares - 2 scores`; 0 if none compares, as with NaN.
fn first_smallest(scores: &[f32], squares: &[f32]) -> i32 {
    let (mut best, mut least) = (0, f32::INFINITY);
    for (k, (score, square)) in scores.iter().zip(squares).enumerate() {
        let distance = square - 2.0 * score;
        if distance < least {
            (best, least) = (k, distance);
        }
    }
    best as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "tensors")]
    use burn::tensor::Device;

    /// Numbers without a pattern, the same on every machine.
    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// The nearest of `codes` to each of `z`, by all differences in float64.
    fn brute_force(z: &[f32], codes: &[f32], dims: usize) -> Vec<i32> {
        let nearest = |z: &[f32]| {
            let distance = |e: &[f32]| z.iter().zip(e).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            let all: Vec<f64> = codes.chunks_exact(dims).map(distance).collect();
            (0..all.len()).min_by(|&a, &b| all[a].total_cmp(&all[b])).unwrap_or(0) as i32
        };
        z.chunks_exact(dims).map(nearest).collect()
    }

    #[test]
    fn slices_agree_with_brute_force() {
        for (count, entries, dims) in [(1, 1, 1), (5, 3, 2), (65, 4, 3), (130, 2, 1)] {
            let (z, codes) = (values(count * dims, 1), values(entries * dims, 2));
            assert_eq!(nearest(&z, &codes, dims), brute_force(&z, &codes, dims), "{count} {entries} {dims}");
        }
    }

    #[test]
    #[cfg(feature = "tensors")]
    fn brute_force_and_the_twin_agree() {
        let device = Device::flex();
        for (count, entries, dims) in [(1, 1, 1), (5, 3, 2), (64, 17, 5), (65, 512, 64), (300, 33, 7)] {
            let (z, codes) = (values(count * dims, 1), values(entries * dims, 2));
            let brute = brute_force(&z, &codes, dims);
            let tensor =
                |v: &Vec<f32>, n: usize| Tensor::<2>::from_data(TensorData::new(v.clone(), [n, dims]), &device);
            let (z, codes) = (tensor(&z, count), tensor(&codes, entries));
            let indices = |t: Tensor<1, Int>| t.into_data_as::<i32>().try_into_vec::<i32>().unwrap();
            assert_eq!(indices(nearest_entries(z.clone(), codes.clone())), brute, "{count} {entries} {dims}");
            assert_eq!(indices(nearest_entries_reference(z, codes)), brute);
        }
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(nearest(&[0.0, 0.0], &[1.0, 0.0, 0.0, 1.0], 2), [0]);
        assert_eq!(nearest(&[f32::NAN], &[1.0, 2.0], 1), [0]);
    }
}

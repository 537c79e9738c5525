//! Finite scalar quantisation (Mentzer et al. 2023, arXiv:2309.15505, section 3): each channel is squeezed
//! between two bounds and rounded.
//!
//! `f(z) = tanh(z + atanh(o / h)) h - o` with `h = (L - 1)(1 + 1e-3) / 2` and `o` one half for an even
//! number of levels `L`, else 0; then `round(f) / floor(L / 2)`, which lies in [-1, 1]. The entry of a
//! vector is its rounded values read as the digits of a number, the first channel the lowest.

use burn::tensor::{Int, Tensor, TensorData};

/// A row with one number for each channel.
fn row(levels: &[usize], value: impl Fn(usize) -> f64, like: &Tensor<2>) -> Tensor<2> {
    let values: Vec<f32> = levels.iter().map(|&levels| value(levels) as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, levels.len()]), &like.device())
}

/// h, half the width between the bounds.
fn half_width(levels: usize) -> f64 {
    (levels - 1) as f64 * (1.0 + 1e-3) / 2.0
}

/// o, what brings an even number of levels between whole numbers.
fn offset(levels: usize) -> f64 {
    if levels.is_multiple_of(2) { 0.5 } else { 0.0 }
}

/// What the digit 0 stands for, negated.
fn half(levels: usize) -> usize {
    levels / 2
}

/// Rows within their bounds, rounded with a straight gradient through the rounding, and the entry of each.
///
/// # Shapes
/// - `z`, returns: `[rows, channels]` twice, and an entry for each row
pub(super) fn rounded(z: Tensor<2>, levels: &[usize]) -> (Tensor<2>, Tensor<2>, Vec<i32>) {
    let shift = row(levels, |l| (offset(l) / half_width(l)).atanh(), &z);
    let (h, o, scale) = (row(levels, half_width, &z), row(levels, offset, &z), row(levels, |l| half(l) as f64, &z));
    let bounded = (z + shift).tanh() * h - o;
    let whole = bounded.clone().detach().round();
    let digits = whole.clone().into_data_as::<f32>().try_into_vec::<f32>().expect("converted to float32");
    let entry = |row: &[f32]| {
        let digits = row.iter().zip(levels).rev();
        digits.fold(0i32, |entry, (value, &l)| entry * l as i32 + (value + half(l) as f32) as i32)
    };
    let entries = digits.chunks_exact(levels.len()).map(entry).collect();
    let straight = bounded.clone() + (whole - bounded.clone()).detach();
    (bounded / scale.clone(), straight / scale, entries)
}

/// The values of entries.
///
/// # Shapes
/// - `entries`: `[rows]`; returns: `[rows, channels]`
pub(super) fn values(entries: Tensor<1, Int>, levels: &[usize]) -> Tensor<2> {
    let (rows, device) = (entries.dims()[0], entries.device());
    let entries: Vec<i32> = entries.into_data_as::<i32>().try_into_vec().expect("whole numbers");
    let mut values = Vec::with_capacity(rows * levels.len());
    for mut entry in entries.into_iter().map(|entry| entry as usize) {
        for &l in levels {
            values.push(((entry % l) as f32 - half(l) as f32) / half(l) as f32);
            entry /= l;
        }
    }
    Tensor::from_data(TensorData::new(values, [rows, levels.len()]), &device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn entries_and_values_are_one_to_one_and_lie_in_the_unit_interval() {
        for levels in [vec![8, 6, 5], vec![3], vec![4, 7], vec![5, 5, 3]] {
            let count: usize = levels.iter().product();
            let all: Vec<i32> = (0..count as i32).collect();
            let tensor = Tensor::from_data(TensorData::new(all.clone(), [count]), &Device::flex());
            let codes: Vec<f32> = values(tensor, &levels).into_data().try_into_vec().unwrap();
            assert!(codes.iter().all(|value| (-1.0..=1.0).contains(value)), "{levels:?}");
            // What rounds to a code has its entry: the bound is inverted for each value.
            let inverse = |(value, l): (&f32, &usize)| {
                let (h, o) = (half_width(*l), offset(*l));
                ((f64::from(*value) * half(*l) as f64 + o) / h).atanh() as f32 - ((o / h).atanh() as f32)
            };
            let z: Vec<f32> = codes.iter().zip(levels.iter().cycle()).map(inverse).collect();
            let z = Tensor::from_data(TensorData::new(z, [count, levels.len()]), &Device::flex());
            let (_, back, entries) = rounded(z, &levels);
            assert_eq!(entries, all, "{levels:?}");
            let back: Vec<f32> = back.into_data().try_into_vec().unwrap();
            assert!(back.iter().zip(&codes).all(|(a, b)| (a - b).abs() < 1e-6), "{levels:?}");
        }
    }
}

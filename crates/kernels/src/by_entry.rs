//! Rows added up by the entry of a table that each belongs to.
//!
//! Rows are first sorted by entry, those of one entry in their own order. An entry then has one
//! owner, and its sum one order, on any number of threads.

use crate::pool::{self, Room};

/// Values that justify one more part.
const PART_VALUES: usize = 32_768;

/// Which rows belong to each entry.
struct Members {
    /// Row numbers, those of entry 0 first.
    rows: Vec<u32>,
    /// Where each entry's begin; one more at the end.
    starts: Vec<usize>,
}

impl Members {
    /// # Panics
    /// If an index is not below `entries`.
    fn new(indices: &[u32], entries: usize) -> Self {
        let mut starts = vec![0usize; entries + 1];
        for index in indices {
            assert!((*index as usize) < entries, "index {index} in a table of {entries} entries");
            starts[*index as usize + 1] += 1;
        }
        for entry in 0..entries {
            starts[entry + 1] += starts[entry];
        }
        let (mut next, mut rows) = (starts.clone(), vec![0u32; indices.len()]);
        for (row, index) in indices.iter().enumerate() {
            rows[next[*index as usize]] = row as u32;
            next[*index as usize] += 1;
        }
        Self { rows, starts }
    }

    fn of(&self, entry: usize) -> &[u32] {
        &self.rows[self.starts[entry]..self.starts[entry + 1]]
    }
}

/// The sum of the rows of `values`, `[indices.len(), width]`, that belong to each entry, `[entries,
/// width]`, and their number. Sums run in float64, in the order of the rows.
///
/// # Panics
/// If an index is not below `entries`.
pub(crate) fn sums(values: &[f32], width: usize, indices: &[u32], entries: usize) -> (Vec<f32>, Vec<f32>) {
    let members = Members::new(indices, entries);
    let mut room = Room::new(entries * width);
    let target = room.target(entries * width);
    let row = |row: u32| &values[row as usize * width..(row as usize + 1) * width];
    let parts = pool::parts_for(entries, width * (1 + indices.len() / entries.max(1)), PART_VALUES, 1);
    pool::run(parts, |part| {
        let mut sum = vec![0f64; width];
        for entry in pool::part_range(entries, parts, part, 1) {
            // SAFETY: each entry belongs to one part, and the buffer outlives the region.
            let out = unsafe { target.slice(entry * width..(entry + 1) * width) };
            let out = match members.of(entry) {
                [] => pool::zeroed(out),
                [only] => out.write_copy_of_slice(row(*only)),
                several => {
                    sum.fill(0.0);
                    for member in several {
                        sum.iter_mut().zip(row(*member)).for_each(|(sum, value)| *sum += f64::from(*value));
                    }
                    pool::zeroed(out)
                }
            };
            if members.of(entry).len() > 1 {
                out.iter_mut().zip(&sum).for_each(|(out, sum)| *out = *sum as f32);
            }
        }
    });
    // SAFETY: the parts cover all entries.
    let sums = unsafe { room.written(entries * width) };
    (sums, (0..entries).map(|entry| members.of(entry).len() as f32).collect())
}

/// Row `indices[i]` of `table`, `[entries, width]`, as row `i`.
///
/// # Panics
/// If an index is not below the number of entries.
pub(crate) fn gather(table: &[f32], width: usize, indices: &[u32]) -> Vec<f32> {
    let count = indices.len() * width;
    let mut room = Room::new(count);
    let target = room.target(count);
    let parts = pool::parts_for(indices.len(), width, PART_VALUES, 1);
    pool::run(parts, |part| {
        for i in pool::part_range(indices.len(), parts, part, 1) {
            let entry = indices[i] as usize;
            // SAFETY: each row belongs to one part, and the buffer outlives the region.
            let out = unsafe { target.slice(i * width..(i + 1) * width) };
            out.write_copy_of_slice(&table[entry * width..(entry + 1) * width]);
        }
    });
    // SAFETY: the parts cover all rows.
    unsafe { room.written(count) }
}

/// The values of a tensor of indices.
///
/// # Panics
/// If one is negative or not below `entries`.
#[cfg(feature = "tensors")]
pub(crate) fn indices_of(indices: burn::tensor::Tensor<1, burn::tensor::Int>, entries: usize) -> Vec<u32> {
    let values = indices.into_data_as::<i64>().try_into_vec::<i64>().expect("just converted");
    let checked = values.into_iter().map(|index| {
        assert!(index >= 0 && (index as usize) < entries, "index {index} in a table of {entries} entries");
        index as u32
    });
    checked.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_counts_are_those_of_each_entry() {
        let large = if cfg!(miri) { (20, 3, 7) } else { (3000, 33, 500) };
        for (count, width, entries) in [(0, 3, 2), (1, 1, 1), (9, 4, 3), large] {
            let values: Vec<f32> = (0..count * width).map(|i| ((i * 37) % 17) as f32 - 8.0).collect();
            let indices: Vec<u32> = (0..count).map(|i| ((i * i + 3) % entries) as u32).collect();
            let (sums, counts) = sums(&values, width, &indices, entries);
            let (mut expected, mut numbers) = (vec![0f32; entries * width], vec![0f32; entries]);
            for (row, index) in values.chunks(width).zip(&indices) {
                let index = *index as usize;
                expected[index * width..][..width].iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
                numbers[index] += 1.0;
            }
            assert!(sums == expected && counts == numbers, "{count} {width} {entries}");
            let rows = gather(&sums, width, &indices);
            let chosen = indices.iter().flat_map(|index| &expected[*index as usize * width..][..width]);
            assert!(rows.iter().eq(chosen));
        }
    }

    #[test]
    #[should_panic(expected = "index 3 in a table of 3 entries")]
    fn an_index_out_of_range_is_refused() {
        sums(&[1.0], 1, &[3], 3);
    }
}

//! What the vector engines do: sums of a few rows over a block of a panel, transposed copies, lists of a row's entries.

use super::work::Work;

/// Which instructions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512.
    Avx512,
}

impl Engine {
    /// The best one of this machine; `ELBO_SIMD` lowers it, see [`crate::simd::level`].
    pub(super) fn best() -> Option<Self> {
        match crate::simd::level() {
            crate::simd::Level::Avx512 => Some(Self::Avx512),
            crate::simd::Level::Avx2 => Some(Self::Avx2),
            crate::simd::Level::Baseline => None,
        }
    }

    /// All that this machine can run.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        match Self::best() {
            Some(Self::Avx512) => vec![Self::Avx2, Self::Avx512],
            Some(Self::Avx2) => vec![Self::Avx2],
            None => Vec::new(),
        }
    }

    /// Floats of a vector.
    pub(super) fn lanes(self) -> usize {
        match self {
            Self::Avx2 => super::avx2::LANES,
            Self::Avx512 => super::avx512::LANES,
        }
    }

    /// `out[r, n] (+)= sum of values * panel[places, n]` over the lists of the rows.
    ///
    /// # Safety
    /// `out` may be written at `columns` of each row, `pitch` apart.
    pub(super) unsafe fn multiply(self, work: &Work<'_>, out: *mut f32, pitch: usize) {
        match self {
            // SAFETY: `best` chose the engine after asking the processor; the rest is the caller's promise.
            Self::Avx2 => unsafe { super::avx2::multiply(work, out, pitch) },
            // SAFETY: as above.
            Self::Avx512 => unsafe { super::avx512::multiply(work, out, pitch) },
        }
    }

    /// `out[c, r] = source[r, c]` for `[rows, columns]`, the rows of `source` `from` apart, those of `out` `to`.
    ///
    /// # Panics
    /// If `source` does not hold the last row.
    ///
    /// # Safety
    /// `out` may be written at `rows` of each column.
    pub(super) unsafe fn transpose(self, size: [usize; 2], source: &[f32], from: usize, out: *mut f32, to: usize) {
        let [rows, columns] = size;
        if rows == 0 || columns == 0 {
            return;
        }
        assert!((rows - 1) * from + columns <= source.len(), "a matrix of {rows} x {columns}");
        let lanes = self.lanes();
        let (whole_rows, whole_columns) = (rows - rows % lanes, columns - columns % lanes);
        for row in (0..whole_rows).step_by(lanes) {
            for column in (0..whole_columns).step_by(lanes) {
                // SAFETY: a block inside both matrices, by the assertion and the caller's promise; the processor has the engine's instructions.
                unsafe {
                    let (source, out) = (source.as_ptr().add(row * from + column), out.add(column * to + row));
                    match self {
                        Self::Avx2 => super::avx2::transpose_block(source, from, out, to),
                        Self::Avx512 => super::avx512::transpose_block(source, from, out, to),
                    }
                }
            }
        }
        for row in 0..rows {
            let rest = if row < whole_rows { whole_columns..columns } else { 0..columns };
            for column in rest {
                // SAFETY: inside `out` by the caller's promise.
                unsafe { *out.add(column * to + row) = source[row * from + column] };
            }
        }
    }

    /// Writes the values of `line` that are not 0 and their places; returns how many.
    ///
    /// # Panics
    /// If `values` or `places` are shorter than `line` and a vector beyond.
    pub(super) fn compress(self, line: &[f32], values: &mut [f32], places: &mut [u32]) -> usize {
        let room = line.len() + 16;
        assert!(room <= values.len() && room <= places.len(), "room for all entries and a vector");
        match self {
            Self::Avx2 => compress_plainly(line, values, places),
            // SAFETY: `best` chose the engine after asking the processor; the assertion is what is asked for.
            Self::Avx512 => unsafe { super::avx512::compress(line, values, places) },
        }
    }
}

/// [`Engine::compress`] entry by entry, without a branch: a mispredicted one costs more than two stores.
fn compress_plainly(line: &[f32], values: &mut [f32], places: &mut [u32]) -> usize {
    let mut count = 0;
    for (place, value) in line.iter().enumerate() {
        values[count] = *value;
        places[count] = place as u32;
        count += usize::from(*value != 0.0);
    }
    count
}

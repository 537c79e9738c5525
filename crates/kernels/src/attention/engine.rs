//! Products of tiles: `out[r, n] (+)= sum_k a[r, k] b[k, n]` from registers, for matrices that the caches hold.
//!
//! The left operand is read one number at a time from anywhere, the right one in whole vectors, so nothing is packed in
//! here. Right operands and results are padded to whole panels of columns, and no masks are needed.

use super::tile::{Left, Out, Right, Tile};
#[cfg(all(target_arch = "x86_64", not(miri)))]
use super::{avx2, avx512};
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::simd::Level;

/// Which code multiplies tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// Intrinsics for AVX2 and FMA.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx2,
    /// Intrinsics for AVX-512.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx512,
    /// Plain loops.
    Portable,
}

impl Engine {
    /// The fastest that [`crate::simd::level`] allows.
    pub(super) fn best() -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        match crate::simd::level() {
            Level::Avx512 => return Self::Avx512,
            Level::Avx2 => return Self::Avx2,
            Level::Baseline => {}
        }
        Self::Portable
    }

    /// All that this machine has.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        match crate::simd::level() {
            Level::Avx512 => return vec![Self::Portable, Self::Avx2, Self::Avx512],
            Level::Avx2 => return vec![Self::Portable, Self::Avx2],
            Level::Baseline => {}
        }
        vec![Self::Portable]
    }

    /// Columns of a panel: two vectors.
    pub(super) fn panel(self) -> usize {
        match self {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx512 => 2 * crate::conv::avx512::LANES,
            _ => 16,
        }
    }

    /// `out = a b`, added to what is there if `add`.
    ///
    /// # Panics
    /// If an operand does not hold its elements.
    pub(super) fn multiply(self, tile: Tile, a: Left<'_>, b: Right<'_>, out: Out<'_>, add: bool) {
        let (Tile { rows, terms, panels }, width) = (tile, self.panel());
        if rows == 0 || panels == 0 {
            return;
        }
        assert!((rows - 1) * out.row + panels * width <= out.data.len(), "the result's place");
        if terms == 0 {
            let lines = out.data.chunks_mut(out.row).take(if add { 0 } else { rows });
            return lines.for_each(|line| line[..panels * width].fill(0.0));
        }
        assert!(a.last(rows, terms) < a.data.len(), "the left operand");
        assert!((panels - 1) * b.panel + (terms - 1) * b.row + width <= b.data.len(), "the right operand");
        match self {
            // SAFETY: the assertions are the contract; the processor has the engine's instructions, see `best`.
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx2 => unsafe { avx2::multiply(tile, a, b, out, add) },
            // SAFETY: as above.
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx512 => unsafe { avx512::multiply(tile, a, b, out, add) },
            Self::Portable => portable(tile, a, b, out, add),
        }
    }
}

/// The product in plain loops, which the compiler turns into the build target's vectors.
fn portable(tile: Tile, a: Left<'_>, b: Right<'_>, out: Out<'_>, add: bool) {
    const WIDTH: usize = 16;
    for panel in 0..tile.panels {
        for r in 0..tile.rows {
            let mut sums = [0f32; WIDTH];
            for k in 0..tile.terms {
                let value = a.data[k / a.run * a.jump + r * a.row + k % a.run * a.step];
                let line = &b.data[panel * b.panel + k * b.row..][..WIDTH];
                sums.iter_mut().zip(line).for_each(|(sum, b)| *sum += value * b);
            }
            let place = &mut out.data[r * out.row + panel * WIDTH..][..WIDTH];
            place.iter_mut().zip(sums).for_each(|(out, sum)| *out = if add { *out + sum } else { sum });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that every order of summation gives the same result.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 17) as f32 - 8.0).collect()
    }

    #[test]
    fn a_left_operand_in_runs_is_read_run_by_run() {
        let (rows, terms, run) = (7, 20, 8);
        let a = numbers(rows * terms, 3);
        // Three panels of eight columns, the last of four.
        let mut panels = vec![0.0; 3 * rows * run];
        for (i, value) in a.iter().enumerate() {
            let (r, k) = (i / terms, i % terms);
            panels[k / run * rows * run + r * run + k % run] = *value;
        }
        for engine in Engine::all() {
            let width = engine.panel();
            let b = numbers(terms * width, 4);
            let right = Right { data: &b, row: width, panel: terms * width };
            let product = |left| {
                let mut out = vec![0.0; rows * width];
                let place = Out { data: &mut out, row: width };
                engine.multiply(Tile { rows, terms, panels: 1 }, left, right, place, false);
                out
            };
            let in_runs = Left { data: &panels, row: run, step: 1, run, jump: rows * run };
            assert_eq!(product(in_runs), product(Left::even(&a, terms, 1)), "{engine:?}");
        }
    }

    #[test]
    fn products_are_exact_sums_inside_their_columns() {
        for (rows, terms, panels) in [(1, 1, 1), (6, 3, 2), (13, 64, 1), (8, 0, 1), (17, 5, 3)] {
            for engine in Engine::all() {
                let width = engine.panel();
                let columns = panels * width;
                let (a, b) = (numbers((rows + 2) * (terms + 3), 1), numbers(panels * (terms + 1) * width, 2));
                let right = Right { data: &b, row: width, panel: (terms + 1) * width };
                // Read along rows and, transposed, along columns.
                for (row, step) in [(terms + 2, 1), (1, rows + 1)] {
                    let left = Left::even(&a, row, step);
                    let mut out = vec![0.5; rows * (columns + 3)];
                    for add in [false, true] {
                        let place = Out { data: &mut out, row: columns + 3 };
                        engine.multiply(Tile { rows, terms, panels }, left, right, place, add);
                    }
                    for (r, line) in out.chunks(columns + 3).enumerate() {
                        let b_at = |k: usize, n: usize| b[n / width * (terms + 1) * width + k * width + n % width];
                        let sum = |n: usize| (0..terms).map(|k| a[r * row + k * step] * b_at(k, n)).sum::<f32>();
                        let right = line[..columns].iter().enumerate().all(|(n, v)| *v == 2.0 * sum(n));
                        assert!(right && line[columns..] == [0.5; 3], "{engine:?} {rows} {terms} {panels}");
                    }
                }
            }
        }
    }
}

//! The register tile of the vector engines: some rows by two vectors of results.
//!
//! A macro writes the same code for each instruction set, as [`crate::conv`]'s does: a function
//! takes its instructions from its own attribute, which a type parameter cannot choose. The module
//! that calls it has the vector operations.

/// `multiply` of one engine, `$most` rows at a time, and the rest with as many rows as there are.
macro_rules! register_tile {
    ($features:literal, most: $most:literal, rest: [$($rest:literal),+]) => {
        use super::tile::{Left, Out, Right, Tile};

        /// `out = a b`, added to what is there if `add`.
        ///
        /// # Safety
        /// The processor has the features, and the operands hold the elements of the product, of
        /// which there is at least one in each.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn multiply(tile: Tile, a: Left<'_>, b: Right<'_>, out: Out<'_>, add: bool) {
            for panel in 0..tile.panels {
                for first in (0..tile.rows).step_by($most) {
                    let rows = (tile.rows - first).min($most);
                    // SAFETY: rows and panels of the product, which the operands hold by the caller's promise.
                    unsafe {
                        let from = Left { data: a.data.get_unchecked(first * a.row..), ..a };
                        let with = (b.data.as_ptr().add(panel * b.panel), b.row);
                        let to = (out.data.as_mut_ptr().add(first * out.row + panel * 2 * LANES), out.row);
                        match rows {
                            $most => block::<$most>(tile.terms, from, with, to, add),
                            $($rest => block::<$rest>(tile.terms, from, with, to, add),)+
                            _ => unreachable!("no more rows than a tile has"),
                        }
                    }
                }
            }
        }

        /// `ROWS` rows by two vectors.
        ///
        /// # Safety
        /// The processor has the features; `a` has each row and term, `b` may be read over two
        /// vectors in each of `terms` rows, and `out` written over two vectors in each row.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn block<const ROWS: usize>(
            terms: usize,
            a: Left<'_>,
            (mut b, b_row): (*const f32, usize),
            (out, out_row): (*mut f32, usize),
            add: bool,
        ) {
            let mut sums = [[zero(); 2]; ROWS];
            let mut start = a.data.as_ptr();
            let mut missing = terms;
            while missing > 0 {
                let (mut place, run) = (start, missing.min(a.run));
                for _ in 0..run {
                    // SAFETY: the caller's promise; the pointers move on without being read behind the last term.
                    unsafe {
                        let columns = [load(b), load(b.add(LANES))];
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let value = splat(*place.add(r * a.row));
                            sums[0] = multiply_add(value, columns[0], sums[0]);
                            sums[1] = multiply_add(value, columns[1], sums[1]);
                        }
                    }
                    place = place.wrapping_add(a.step);
                    b = b.wrapping_add(b_row);
                }
                start = start.wrapping_add(a.jump);
                missing -= run;
            }
            for (r, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    // SAFETY: the caller's promise.
                    unsafe {
                        let place = out.add(r * out_row + v * LANES);
                        let sum = if add { multiply_add(splat(1.0), load(place), *sum) } else { *sum };
                        store_masked(place, Mask::without(0), sum);
                    }
                }
            }
        }
    };
}

pub(super) use register_tile;

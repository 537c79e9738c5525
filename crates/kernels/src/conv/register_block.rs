//! The register block of the vector engines: some rows by some vectors of results whose left operand is read through tables, without packing.
//!
//! Each term costs one vector load for every vector of columns and one broadcast for every row; enough multiply-adds stand between to hide both. The
//! right operand comes in panels (see [`super::panels`]) of which 256 terms stay in the L1 cache.
//!
//! A macro writes the same code for each instruction set: a function takes its instructions from its own attribute, which a type parameter cannot
//! choose. The module that calls it has `LANES`, `Mask` and the vector operations that are named below.

use super::panels::Panel;
use super::scratch::Spare;

/// The left-hand side: element `[r, k]` is `source[rows[r] + steps[k]]`.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    pub source: &'a [f32],
    pub rows: &'a [u32],
    pub steps: &'a [u32],
}

/// Copies the panel's columns of a row-major matrix together; padding columns are 0.
pub(super) fn pack_panel<'a>(b: &[f32], columns: usize, panel: Panel, spare: &'a mut Spare) -> &'a [f32] {
    let rows = b.len() / columns;
    let packed = spare.packed.floats(rows * panel.width);
    for (out, row) in packed.chunks_exact_mut(panel.width).zip(b.chunks_exact(columns)) {
        let (used, padding) = out.split_at_mut(panel.columns);
        used.copy_from_slice(&row[panel.start..panel.start + panel.columns]);
        padding.fill(0.0);
    }
    packed
}

/// `multiply` and `multiply_transposed` for one engine, with the rows of a block by its number of vectors.
macro_rules! register_block {
    ($engine:expr, features: $features:literal, rows: { $($vectors:literal => $rows:literal),+ }) => {
        use super::panels::{Layout, Panel};
        use super::register_block::{Tables, pack_panel};
        use super::scratch::Spare;

        /// Terms of a panel that are used before the next.
        const TERM_BLOCK: usize = 256;

        /// `out[places[r] + n] = sum_k a[r, k] b[k, n]`, added to what is there if `add`.
        ///
        /// # Safety
        /// The processor has the features. Each sum of an entry of `rows` and one of `steps` is an index of `source`; `b` holds `layout.floats()`; each entry
        /// of `places`, of which there are as many as rows, plus the columns stays within `out`.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn multiply(a: Tables<'_>, layout: Layout, b: &[f32], out: &mut [f32], places: &[u32], add: bool) {
            if layout.terms == 0 && !add {
                for place in places {
                    out[*place as usize..*place as usize + layout.columns].fill(0.0);
                }
                return;
            }
            for panel in layout.panels() {
                // SAFETY: the caller's promise, for one panel.
                unsafe { multiply_panel(a, panel, &b[panel.offset..], out, places, add) };
            }
        }

        /// One panel of [`multiply`]; `b` begins with it.
        ///
        /// # Safety
        /// As for [`multiply`].
        #[target_feature(enable = $features)]
        unsafe fn multiply_panel(a: Tables<'_>, panel: Panel, b: &[f32], out: &mut [f32], places: &[u32], add: bool) {
            for first in (0..a.steps.len()).step_by(TERM_BLOCK) {
                let terms = first..(first + TERM_BLOCK).min(a.steps.len());
                let a = Tables { steps: &a.steps[terms.clone()], ..a };
                let b = &b[terms.start * panel.width..terms.end * panel.width];
                let add = add || first > 0;
                // SAFETY: the caller's promise, for some of the terms.
                unsafe {
                    match panel.width / LANES {
                        $($vectors => multiply_blocks::<$rows, $vectors>(a, panel, b, out, places, add),)+
                        _ => unreachable!("no panel is so wide"),
                    }
                }
            }
        }

        /// One panel and one block of terms, `ROWS` rows at a time.
        ///
        /// # Safety
        /// As for [`multiply`], and the panel is `LANES * VECTORS` wide.
        #[target_feature(enable = $features)]
        unsafe fn multiply_blocks<const ROWS: usize, const VECTORS: usize>(
            a: Tables<'_>,
            panel: Panel,
            b: &[f32],
            out: &mut [f32],
            places: &[u32],
            add: bool,
        ) {
            let missing = panel.width - panel.columns;
            debug_assert!(missing < LANES && panel.width == LANES * VECTORS && b.len() == a.steps.len() * panel.width);
            let last = Mask::without(missing);
            // Where rows beyond the last write.
            let mut nowhere = [[0f32; LANES]; VECTORS];
            let out = out.as_mut_ptr();
            for first in (0..a.rows.len()).step_by(ROWS) {
                let mut left = [a.source.as_ptr(); ROWS];
                let mut right = [nowhere.as_mut_ptr().cast::<f32>(); ROWS];
                let rows = first..(first + ROWS).min(a.rows.len());
                for (i, row) in rows.enumerate() {
                    // SAFETY: rows and places lie inside by the caller's promise. Missing rows read row 0 of the source, which has its steps
                    // since there is a row at all.
                    unsafe {
                        left[i] = left[i].add(*a.rows.get_unchecked(row) as usize);
                        right[i] = out.add(*places.get_unchecked(row) as usize + panel.start);
                    }
                }
                // SAFETY: the pointers stay valid for the steps and the panel's columns, as shown above.
                unsafe { block::<ROWS, VECTORS>(left, a.steps, b.as_ptr(), right, last, add) };
            }
        }

        /// The register block: `out[r][n] (+)= sum_k left[r][steps[k]] * b[k][n]`.
        ///
        /// # Safety
        /// The processor has the features; each `left[r]` may be read at each step, `b` over all steps, and each `out[r]` may be written over the
        /// vectors, of which the last is masked by `last`.
        #[inline]
        #[target_feature(enable = $features)]
        unsafe fn block<const ROWS: usize, const VECTORS: usize>(
            left: [*const f32; ROWS],
            steps: &[u32],
            mut b: *const f32,
            out: [*mut f32; ROWS],
            last: Mask,
            add: bool,
        ) {
            let mut sums = [[zero(); VECTORS]; ROWS];
            for step in steps {
                let step = *step as usize;
                // SAFETY: the caller's promise.
                unsafe {
                    let mut columns = [zero(); VECTORS];
                    for (v, column) in columns.iter_mut().enumerate() {
                        *column = load(b.add(v * LANES));
                    }
                    for (sums, left) in sums.iter_mut().zip(&left) {
                        let value = splat(*left.add(step));
                        for (sum, column) in sums.iter_mut().zip(&columns) {
                            *sum = multiply_add(value, *column, *sum);
                        }
                    }
                    b = b.add(VECTORS * LANES);
                }
            }
            for (sums, out) in sums.iter().zip(&out) {
                for (v, sum) in sums.iter().enumerate() {
                    let mask = if v + 1 == VECTORS { last } else { Mask::without(0) };
                    // SAFETY: masked lanes are neither read nor written; the others are the caller's promise.
                    unsafe {
                        let place = out.add(v * LANES);
                        let sum = if add { sum_of(load_masked(place, mask), *sum) } else { *sum };
                        store_masked(place, mask, sum);
                    }
                }
            }
        }

        /// `out[r, n] += sum_k a[r, k] b[k, n]`, `b` and `out` row-major.
        ///
        /// # Safety
        /// The processor has the features. Each sum of an entry of `rows` and one of `steps` is an index of `source`; `b` holds `steps x columns`,
        /// `out` holds `rows x columns`.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn multiply_transposed(a: Tables<'_>, columns: usize, b: &[f32], out: &mut [f32], spare: &mut Spare) {
            let places: Vec<u32> = (0..a.rows.len()).map(|r| (r * columns) as u32).collect();
            let layout = Layout::new($engine, a.steps.len(), columns);
            for panel in layout.panels() {
                let whole = panel.width == columns;
                let packed = if whole { b } else { pack_panel(b, columns, panel, spare) };
                // SAFETY: the caller's promise; the packed panel holds all its rows.
                unsafe { multiply_panel(a, panel, packed, out, &places, true) };
            }
        }
    };
}

pub(super) use register_block;

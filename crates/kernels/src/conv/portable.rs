//! The portable engine: rows gathered a cache-sized group at a time, multiplied by the `gemm` crate.

use super::engine::Gather;
use super::panels::Layout;
use super::scratch::Spare;

/// Gathered floats at a time, 1 MiB: fewer leave `gemm` packing its right-hand side for few rows (half the speed at a quarter of this), more do not help.
const GROUP_FLOATS: usize = 256 * 1024;

/// Rows gathered at a time.
fn group(terms: usize) -> usize {
    (GROUP_FLOATS / terms.max(1)).clamp(64, 256)
}

/// Writes rows of the left-hand side to `rows`, one after the other.
fn gather(a: Gather<'_>, pixels: &[u32], rows: &mut [f32]) {
    let runs = pixels.iter().flat_map(|pixel| a.terms.iter().step_by(a.run).map(move |term| (pixel + term) as usize));
    for (out, start) in rows.chunks_exact_mut(a.run).zip(runs) {
        out.copy_from_slice(&a.source[start..start + a.run]);
    }
}

/// See [`super::product::multiply`].
pub(super) fn multiply(a: Gather<'_>, layout: Layout, b: &[f32], out: &mut [f32], places: &[u32], spare: &mut Spare) {
    let (terms, columns) = (layout.terms, layout.columns);
    for (pixels, places) in a.pixels.chunks(group(terms)).zip(places.chunks(group(terms))) {
        let rows = spare.packed.floats(pixels.len() * terms);
        gather(a, pixels, rows);
        let dense = spare.dense.floats(pixels.len() * columns);
        matrix_product([pixels.len(), columns, terms], (rows, terms, 1), b, dense, false);
        for (row, place) in dense.chunks_exact(columns).zip(places) {
            out[*place as usize..*place as usize + columns].copy_from_slice(row);
        }
    }
}

/// See [`super::product::multiply_transposed`].
pub(super) fn multiply_transposed(a: Gather<'_>, columns: usize, b: &[f32], out: &mut [f32], spare: &mut Spare) {
    let terms = a.terms.len();
    for (pixels, b) in a.pixels.chunks(group(terms)).zip(b.chunks(group(terms) * columns)) {
        let rows = spare.packed.floats(pixels.len() * terms);
        gather(a, pixels, rows);
        matrix_product([terms, columns, pixels.len()], (rows, 1, terms), b, out, true);
    }
}

/// `out (+)= a b` for `[rows, columns, inner]`, with `a` given by its row and column strides and the others row-major.
fn matrix_product(
    [rows, columns, inner]: [usize; 3],
    (a, row, col): (&[f32], usize, usize),
    b: &[f32],
    out: &mut [f32],
    add: bool,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    if inner == 0 {
        return if add {
        } else {
            out.fill(0.0)
        };
    }
    assert!((rows - 1) * row + (inner - 1) * col < a.len(), "left-hand side");
    assert!(b.len() == inner * columns && out.len() == rows * columns, "right-hand side and result");
    // SAFETY: the assertions bound every element of the three matrices; `out` is borrowed for writing and overlaps neither.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            out.as_mut_ptr(),
            1,
            columns as isize,
            add,
            a.as_ptr(),
            col as isize,
            row as isize,
            b.as_ptr(),
            1,
            columns as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

//! Matrices in memory and their dense product on one thread, which every kind of layer product begins from.

use std::ops::Range;

use crate::pool::SharedMut;

/// A matrix in memory: pointer, row stride and column stride.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    row: usize,
    col: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `width` one after the other.
    pub(crate) fn rows(data: &'a [f32], width: usize) -> Self {
        Self { data, row: width, col: 1 }
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { data: self.data, row: self.col, col: self.row }
    }

    /// The same without its first rows.
    pub(crate) fn without_rows(self, first: usize) -> Self {
        Self { data: &self.data[first * self.row..], ..self }
    }

    /// All that lies in memory.
    pub(crate) fn data(&self) -> &'a [f32] {
        self.data
    }

    /// Whether columns, not rows, lie together in memory.
    pub(crate) fn is_transposed(&self) -> bool {
        self.col != 1
    }

    /// How a matrix of `rows` and `columns` lies in memory: number of lines, length of a line, distance between lines.
    pub(crate) fn lines(&self, rows: usize, columns: usize) -> (usize, usize, usize) {
        if self.is_transposed() { (columns, rows, self.col) } else { (rows, columns, self.row) }
    }
}

/// `out[rows, cols] = a[rows, :] b[:, cols]` on this thread, `out` of width `width`, `inner` terms each.
pub(crate) fn multiply(
    out: &SharedMut<f32>,
    width: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    inner: usize,
    rows: Range<usize>,
    cols: Range<usize>,
) {
    if rows.is_empty() || cols.is_empty() {
        return;
    }
    let last = |m: Matrix<'_>, r: usize, c: usize| (r * m.row + c * m.col) < m.data.len();
    assert!(
        inner > 0 && last(a, rows.end - 1, inner - 1) && last(b, inner - 1, cols.end - 1),
        "operands fit the product"
    );
    // SAFETY: the assertion bounds every read. Writes stay within rows x cols of `out`, which the callers below size as
    // (all rows) x width and hand to one part each. Strides fit isize because slices do.
    unsafe {
        gemm::gemm(
            rows.len(),
            cols.len(),
            inner,
            out.as_mut_ptr().add(rows.start * width + cols.start),
            1,
            width as isize,
            false,
            a.data.as_ptr().add(rows.start * a.row),
            a.col as isize,
            a.row as isize,
            b.data.as_ptr().add(cols.start * b.col),
            b.col as isize,
            b.row as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Sizes of a product: `[rows, terms]` times `[terms, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub rows: usize,
    pub terms: usize,
    pub columns: usize,
}

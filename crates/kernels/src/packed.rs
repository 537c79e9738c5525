//! The products of dense layers that pack their operands first: without zeros, or of rounded operands.

use std::ops::Range;

use crate::bf16;
use crate::matrix::{Matrix, Sizes};
use crate::pool::SharedMut;
use crate::skipping::{DENSEST, Skipping};

/// The largest share of entries other than 0 for which skipping beats rounding without tiles. On Zen 4 skipping does the work of 400 GFLOP/s at 0.2 and of 170
/// at 0.5 (dense float32: 100); the registers' limit of `vdpbf16ps` is 206.
const DENSEST_BESIDE_BF16: f32 = 0.3;
/// The same beside float32 in pieces. On a Xeon skipping does the work of 390 GFLOP/s a core at 0.2 and of 190 at 0.5, pieces 240 (`gemm`: 145).
const DENSEST_BESIDE_PIECES: f32 = 0.4;

/// A product whose operands are packed.
pub(crate) enum Packed {
    /// Without the zeros of the left operand.
    SkippingLeft(Skipping),
    /// Without the zeros of the right operand: the transposed product, written transposed.
    SkippingRight(Skipping),
    /// Of bfloat16: rounded operands where the caller asked for it, or pieces of float32.
    Bf16(bf16::Product),
}

impl Packed {
    /// The fastest product of `a` and `b` among those that may skip the zeros of `a`; none where the dense one is.
    pub(crate) fn left(a: Matrix<'_>, b: Matrix<'_>, sizes: Sizes) -> Option<Self> {
        Self::first(sizes, a, b, |densest| Skipping::prepare(a, b, sizes, densest).map(Self::SkippingLeft))
    }

    /// As [`Self::left`] with the zeros of `b`.
    pub(crate) fn right(a: Matrix<'_>, b: Matrix<'_>, sizes: Sizes) -> Option<Self> {
        let Sizes { rows, terms, columns } = sizes;
        let across = Sizes { rows: columns, terms, columns: rows };
        Self::first(sizes, a, b, |densest| {
            Skipping::prepare(b.transposed(), a.transposed(), across, densest).map(Self::SkippingRight)
        })
    }

    fn first(sizes: Sizes, a: Matrix<'_>, b: Matrix<'_>, skipping: impl FnOnce(f32) -> Option<Self>) -> Option<Self> {
        let product = |engine| bf16::Product::prepare(engine, a, b, sizes).map(Self::Bf16);
        let Some(engine) = bf16::Engine::rounding().or_else(bf16::Engine::of_pieces) else {
            return skipping(DENSEST);
        };
        match engine {
            bf16::Engine::Dot => skipping(DENSEST_BESIDE_BF16).or_else(|| product(engine)),
            bf16::Engine::Tiles => product(engine),
            bf16::Engine::Pieces => skipping(DENSEST_BESIDE_PIECES).or_else(|| product(engine)),
        }
    }

    /// How many parts the product is cut into.
    pub(crate) fn parts(&self) -> usize {
        match self {
            Self::SkippingLeft(product) | Self::SkippingRight(product) => product.parts(),
            Self::Bf16(product) => product.parts(),
        }
    }

    /// Computes one part of `out`, `[rows, columns]`; returns its rows and columns.
    ///
    /// # Safety
    /// `out` outlives the region, and nobody else touches the part's rows and columns of it meanwhile.
    pub(crate) unsafe fn run(&self, part: usize, out: &SharedMut<f32>) -> (Range<usize>, Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::SkippingLeft(product) => {
                    product.run(part, out);
                    product.part(part)
                }
                Self::SkippingRight(product) => {
                    product.run_transposed(part, out);
                    let (columns, rows) = product.part(part);
                    (rows, columns)
                }
                Self::Bf16(product) => {
                    product.run(part, out);
                    product.part(part)
                }
            }
        }
    }

    /// Computes `rows`, the first a multiple of 16, to `out`, `[rows, columns]`.
    ///
    /// # Panics
    /// If the rows are not the product's, or `out` does not hold them alone; for a product that skips zeros on the right, whose result is written transposed.
    pub(crate) fn write_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        match self {
            Self::SkippingLeft(product) => product.write_rows(rows, out),
            Self::SkippingRight(_) => unreachable!("layers ask for products that skip on the left"),
            Self::Bf16(product) => product.write_rows(rows, out),
        }
    }
}

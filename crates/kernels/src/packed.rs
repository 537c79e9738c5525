//! The products of dense layers that pack their operands first: without zeros, or of rounded operands.

use std::ops::Range;

use crate::bf16;
use crate::linear::{Matrix, Sizes};
use crate::pool::SharedMut;
use crate::skipping::{DENSEST, Skipping};

/// The largest share of entries other than 0 for which skipping beats rounding without tiles. On Zen 4 skipping does the work of 400 GFLOP/s at 0.2 and of 170
/// at 0.5 (dense float32: 100); the registers' limit of `vdpbf16ps` is 206.
const DENSEST_BESIDE_BF16: f32 = 0.3;

/// A product whose operands are packed.
pub(crate) enum Packed {
    /// Without the zeros of the left operand.
    SkippingLeft(Skipping),
    /// Without the zeros of the right operand: the transposed product, written transposed.
    SkippingRight(Skipping),
    /// Of rounded operands, where the caller asked for it.
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
        let rounded = |engine| bf16::Product::prepare(engine, a, b, sizes).map(Self::Bf16);
        match bf16::Engine::wanted() {
            None => skipping(DENSEST),
            Some(engine @ bf16::Engine::Dot) => skipping(DENSEST_BESIDE_BF16).or_else(|| rounded(engine)),
            Some(engine @ bf16::Engine::Tiles) => rounded(engine),
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
}

//! Which code computes the products of convolutions, and what its left operand is. The choice stands below the engines, which
//! know each other by nothing else.

#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::bf16;

/// Which code computes products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Intrinsics for AVX2 and FMA.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx2,
    /// Intrinsics for AVX-512.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx512,
    /// Operands rounded to bfloat16.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Bf16(bf16::Engine),
    /// The `gemm` crate on gathered rows.
    Portable,
}

impl Engine {
    /// The faster of those this machine has; `ELBO_SIMD` lowers it, see [`crate::simd::level`].
    pub(crate) fn best() -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        match crate::simd::level() {
            crate::simd::Level::Avx512 => return Self::Avx512,
            crate::simd::Level::Avx2 => return Self::Avx2,
            crate::simd::Level::Baseline => {}
        }
        Self::Portable
    }

    /// [`Self::best`], or what the calling thread's [`crate::with_precision`] asks for.
    pub(crate) fn wanted() -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if let Some(engine) = bf16::Engine::rounding() {
            return Self::Bf16(engine);
        }
        Self::best()
    }

    /// All that this machine can run in float32.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        let vector = match crate::simd::level() {
            crate::simd::Level::Avx512 => vec![Self::Avx2, Self::Avx512],
            crate::simd::Level::Avx2 => vec![Self::Avx2],
            crate::simd::Level::Baseline => Vec::new(),
        };
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let vector = Vec::new();
        [vec![Self::Portable], vector].concat()
    }

    /// Lanes of its vectors.
    pub(super) const fn lanes(self) -> usize {
        match self {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx2 => 8,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx512 => 16,
            // What is packed is a plain matrix, at first where operands are rounded.
            _ => 1,
        }
    }

    /// Columns of a full panel for a right-hand side of `columns`: 256 terms of it leave room in the L1 cache, 16 of 32 KiB with
    /// AVX2 and 32 of 48 KiB with AVX-512.
    pub(super) fn panel_width(self, columns: usize) -> usize {
        let lanes = self.lanes();
        match lanes {
            1 => columns,
            _ if columns <= lanes => lanes,
            16 if columns.is_multiple_of(4 * lanes) => 4 * lanes,
            _ => 2 * lanes,
        }
    }
}

/// The left-hand side of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gather<'a> {
    pub source: &'a [f32],
    /// Where the window of each pixel begins.
    pub pixels: &'a [u32],
    /// Where each term lies, counted from there: runs of consecutive places.
    pub terms: &'a [u32],
    /// Length of each run; divides the number of terms.
    pub run: usize,
}

impl Gather<'_> {
    /// # Panics
    /// If an element lies outside the source, or the runs do not divide the terms.
    pub(super) fn check(&self) {
        let inside =
            self.pixels.is_empty() || self.terms.is_empty() || most(self.pixels) + most(self.terms) < self.source.len();
        assert!(inside, "windows lie inside the source");
        assert!(self.terms.len().is_multiple_of(self.run), "whole runs");
    }
}

/// The largest entry of a table.
pub(super) fn most(table: &[u32]) -> usize {
    table.iter().copied().max().map_or(0, |place| place as usize)
}

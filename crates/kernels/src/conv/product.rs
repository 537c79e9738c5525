//! The one product under all three passes: `out[p, n] = sum_k source[pixels[p] + terms[k]] * b[k, n]`.
//!
//! The left-hand side is never written out as a matrix. An element is found by two tables: where pixel `p`'s window begins and how far term `k`
//! lies from there. Three engines compute it: AVX-512 and AVX2 read through the tables directly; the portable one gathers some rows at a time for
//! the `gemm` crate, on every machine that Rust runs on. The weight gradient is the same product with the tables exchanged.

use super::engine::{Engine, Gather, most};
use super::panels::Layout;
use super::portable;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use super::register_block::Tables;
use super::scratch::Spare;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::bf16;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::scratch::words;

/// `out[places[p] + n] = sum_k a[p, k] b[k, n]` with `b` packed by `layout`.
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
    spare: &mut Spare,
) {
    a.check();
    assert!(a.terms.len() == layout.terms && a.pixels.len() == places.len(), "tables fit the product");
    assert!(b.len() == layout.floats(), "a packed right-hand side");
    assert!(places.is_empty() || most(places) + layout.columns <= out.len(), "results lie inside the output");
    match engine {
        Engine::Portable => portable::multiply(a, layout, b, out, places, spare),
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Engine::Bf16(engine) => bf16::Gathered(a).multiply(engine, layout.columns, words(b), out, places),
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Engine::Avx2 | Engine::Avx512 => {
            let tables = Tables { source: a.source, rows: a.pixels, steps: a.terms };
            // SAFETY: the assertions above are what they ask for; the processor has the engine's instructions, or `Engine::best` had not chosen it.
            unsafe {
                match engine {
                    Engine::Avx512 => super::avx512::multiply(tables, layout, b, out, places, false),
                    _ => super::avx2::multiply(tables, layout, b, out, places, false),
                }
            }
        }
    }
}

/// `out[k, n] += sum_p a[p, k] b[p, n]` with row-major `b` and `out` of `columns` columns.
///
/// # Panics
/// If sizes do not fit each other.
pub(super) fn multiply_transposed(
    engine: Engine,
    a: Gather<'_>,
    columns: usize,
    b: &[f32],
    out: &mut [f32],
    spare: &mut Spare,
) {
    a.check();
    assert!(b.len() == a.pixels.len() * columns && out.len() == a.terms.len() * columns, "matrices of one product");
    match engine {
        Engine::Portable => portable::multiply_transposed(a, columns, b, out, spare),
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Engine::Bf16(engine) => bf16::Gathered(a).multiply_transposed(engine, columns, b, out),
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Engine::Avx2 | Engine::Avx512 => {
            let tables = Tables { source: a.source, rows: a.terms, steps: a.pixels };
            // SAFETY: as in `multiply`.
            unsafe {
                match engine {
                    Engine::Avx512 => super::avx512::multiply_transposed(tables, columns, b, out, spare),
                    _ => super::avx2::multiply_transposed(tables, columns, b, out, spare),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::panels::{View, pack};
    use super::*;

    /// Whole numbers, so that every order of summation gives the same result.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 37 + seed * 11) % 17) as f32 - 8.0).collect()
    }

    struct Case {
        source: Vec<f32>,
        pixels: Vec<u32>,
        terms: Vec<u32>,
        run: usize,
        columns: usize,
    }

    impl Case {
        /// Pixels three apart whose windows are `runs` runs, ten apart.
        fn new(pixels: usize, runs: usize, run: usize, columns: usize) -> Self {
            let terms: Vec<u32> = (0..runs).flat_map(|r| (0..run).map(move |i| (r * 10 + i) as u32)).collect();
            let pixels: Vec<u32> = (0..pixels as u32).map(|p| p * 3).collect();
            let length = pixels.last().unwrap() + terms.last().unwrap() + 1;
            Self { source: numbers(length as usize, 1), pixels, terms, run, columns }
        }

        fn gather(&self) -> Gather<'_> {
            Gather { source: &self.source, pixels: &self.pixels, terms: &self.terms, run: self.run }
        }

        fn a(&self, pixel: usize, term: usize) -> f32 {
            self.source[(self.pixels[pixel] + self.terms[term]) as usize]
        }
    }

    fn cases() -> impl Iterator<Item = Case> {
        let sizes = [(1, 1, 1), (7, 2, 3), (9, 1, 300), (130, 4, 4), (257, 3, 9)];
        let all = sizes.into_iter().flat_map(|(p, runs, run)| [1, 3, 16, 17, 33, 64, 100].map(|n| (p, runs, run, n)));
        let few = all.filter(|(p, runs, run, n)| !cfg!(miri) || p * runs * run * n < 1500);
        few.map(|(p, runs, run, n)| Case::new(p, runs, run, n))
    }

    #[test]
    fn products_are_exact_sums_at_every_place_and_nowhere_else() {
        for case in cases() {
            let (terms, columns) = (case.terms.len(), case.columns);
            let b = numbers(terms * columns, 2);
            let order: Vec<usize> = (0..terms).map(|k| k * columns).collect();
            let view = View { taps: &order, channels: 1, by_column: 1, by_channel: 0 };
            // Results in reverse order and apart from each other.
            let places: Vec<u32> = (0..case.pixels.len()).rev().map(|p| (p * (columns + 2)) as u32).collect();
            for engine in Engine::all() {
                let layout = Layout::new(engine, terms, columns);
                let packed = pack(layout, &b, view);
                let mut out = vec![0.5; case.pixels.len() * (columns + 2)];
                let packed = packed.as_floats(layout.floats());
                multiply(engine, case.gather(), layout, packed, &mut out, &places, &mut Spare::default());
                for (p, place) in places.iter().enumerate() {
                    let row = &out[*place as usize..][..columns + 2];
                    let sum = |n: usize| (0..terms).map(|k| case.a(p, k) * b[k * columns + n]).sum::<f32>();
                    assert!(
                        row[..columns].iter().enumerate().all(|(n, v)| *v == sum(n)),
                        "{engine:?} {terms}x{columns}"
                    );
                    assert_eq!(row[columns..], [0.5, 0.5]);
                }
            }
        }
    }

    #[test]
    fn transposed_products_add_exact_sums() {
        for case in cases() {
            let (terms, columns, pixels) = (case.terms.len(), case.columns, case.pixels.len());
            let b = numbers(pixels * columns, 3);
            for engine in Engine::all() {
                let mut out = vec![1.0; terms * columns];
                multiply_transposed(engine, case.gather(), columns, &b, &mut out, &mut Spare::default());
                for (k, row) in out.chunks(columns).enumerate() {
                    let sum = |n: usize| 1.0 + (0..pixels).map(|p| case.a(p, k) * b[p * columns + n]).sum::<f32>();
                    assert!(row.iter().enumerate().all(|(n, v)| *v == sum(n)), "{engine:?} {pixels} {terms}x{columns}");
                }
            }
        }
    }
}

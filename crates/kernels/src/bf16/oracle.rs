//! Products against sums in float64 of operands that were rounded one by one.

use super::engine::Engine;
use super::gathered::Gathered;
use super::product::{Product, pack_right, words_of};
use crate::conv::Gather;
use crate::matrix::{self, Matrix, Sizes};
use crate::pool::{self, SharedMut};

/// To nearest, ties to even: written down once more.
fn rounded(value: f32) -> f32 {
    if value.is_nan() {
        return value;
    }
    let bits = value.to_bits();
    f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

/// Numbers with all bits of the mantissa in use.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len()).map(|at| values[at % rows * columns + at / rows]).collect()
}

/// `sum_k left(r, k) right(k, n)` of rounded operands, and the sum of the terms' sizes.
fn expected(engine: Engine, terms: usize, left: impl Fn(usize) -> f32, right: impl Fn(usize) -> f32) -> (f64, f64) {
    (0..terms).fold((0.0, 0.0), |(sum, size), k| {
        let [left, right] = [left(k), right(k)].map(|v| if engine == Engine::Pieces { v } else { rounded(v) });
        let term = f64::from(left) * f64::from(right);
        (sum + term, size + term.abs())
    })
}

/// Sums in float32 of terms that are exact: as good as their number and size allow.
fn assert_close(found: f32, (sum, size): (f64, f64), case: &dyn std::fmt::Debug) {
    assert!((f64::from(found) - sum).abs() <= 1e-6 * size + 1e-30, "{found} for {sum} in {case:?}");
}

#[test]
fn products_of_every_orientation_are_sums_of_rounded_operands() {
    let sizes = [(1, 1, 1), (16, 32, 16), (15, 33, 17), (31, 64, 33), (33, 100, 70), (130, 65, 200), (70, 300, 31)];
    for engine in Engine::all() {
        for (rows, terms, columns) in sizes {
            let sizes = Sizes { rows, terms, columns };
            let (left, right) = (numbers(rows * terms, 1), numbers(terms * columns, 2));
            let (left_across, right_across) = (transposed(&left, terms), transposed(&right, columns));
            let lefts = [Matrix::rows(&left, terms), Matrix::rows(&left_across, rows).transposed()];
            let rights = [Matrix::rows(&right, columns), Matrix::rows(&right_across, terms).transposed()];
            for (a, b) in lefts.into_iter().flat_map(|l| rights.map(|r| (l, r))) {
                let product = Product::new(engine, a, b, sizes).expect("finite operands");
                let mut out = vec![f32::NAN; rows * columns];
                let target = SharedMut::new(&mut out);
                // SAFETY: parts own disjoint rows and columns of a buffer that outlives the region.
                pool::run(product.parts(), |part| unsafe { product.run(part, &target) });
                for (at, found) in out.iter().enumerate() {
                    let (r, n) = (at / columns, at % columns);
                    let sum = expected(engine, terms, |k| left[r * terms + k], |k| right[k * columns + n]);
                    assert_close(*found, sum, &(engine, sizes, r, n));
                }
            }
        }
    }
}

/// Root mean square of a product's errors, in units of the sum of its terms' sizes.
fn error_of(found: &[f32], sizes: Sizes, left: &[f32], right: &[f32]) -> f64 {
    let Sizes { terms, columns, .. } = sizes;
    let relative = found.iter().enumerate().map(|(at, found)| {
        let (r, n) = (at / columns, at % columns);
        let (sum, size) = expected(Engine::Pieces, terms, |k| left[r * terms + k], |k| right[k * columns + n]);
        (f64::from(*found) - sum) / size
    });
    (relative.map(|e| e * e).sum::<f64>() / found.len() as f64).sqrt()
}

/// Three pieces of eight bits are a float32, and what their product leaves out is less than what summation loses anyway.
#[test]
fn pieces_are_as_exact_as_float32() {
    if !Engine::all().contains(&Engine::Pieces) {
        return;
    }
    for sizes in [Sizes { rows: 64, terms: 400, columns: 64 }, Sizes { rows: 64, terms: 3000, columns: 32 }] {
        let Sizes { rows, terms, columns } = sizes;
        // Sizes over six decades.
        let spread = |values: Vec<f32>| -> Vec<f32> {
            values.iter().enumerate().map(|(i, v)| v * 10f32.powi((i % 7) as i32 - 3)).collect()
        };
        let (left, right) = (spread(numbers(rows * terms, 1)), spread(numbers(terms * columns, 2)));
        let [a, b] = [Matrix::rows(&left, terms), Matrix::rows(&right, columns)];
        let product = Product::new(Engine::Pieces, a, b, sizes).expect("finite operands");
        let [mut pieces, mut plain] = [(); 2].map(|()| vec![f32::NAN; rows * columns]);
        product.write_rows(0..rows, &mut pieces);
        matrix::multiply(&SharedMut::new(&mut plain), columns, a, b, terms, 0..rows, 0..columns);
        let [pieces, plain] = [pieces, plain].map(|found| error_of(&found, sizes, &left, &right));
        assert!(pieces < 1.5 * plain && plain < 1e-6, "{pieces:e} beside {plain:e} of gemm, {sizes:?}");
    }
}

#[test]
fn nan_and_infinity_travel() {
    let sizes = Sizes { rows: 20, terms: 50, columns: 40 };
    for engine in Engine::all() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001)] {
            for on_left in [true, false] {
                let (mut left, mut right) = (vec![1.0; 1000], vec![1.0; 2000]);
                if on_left {
                    left[3 * 50 + 7] = bad
                } else {
                    right[7 * 40 + 3] = bad
                }
                let product = Product::new(engine, Matrix::rows(&left, 50), Matrix::rows(&right, 40), sizes);
                let Some(product) = product else {
                    assert_eq!(engine, Engine::Pieces, "the caller multiplies in float32");
                    continue;
                };
                assert_ne!(engine, Engine::Pieces);
                let mut out = vec![0.0; 800];
                let target = SharedMut::new(&mut out);
                // SAFETY: as above.
                pool::run(product.parts(), |part| unsafe { product.run(part, &target) });
                for (at, found) in out.iter().enumerate() {
                    let touched = if on_left { at / 40 == 3 } else { at % 40 == 3 };
                    let right =
                        if !touched { *found == 50.0 } else { found.is_nan() == bad.is_nan() && !found.is_finite() };
                    assert!(right, "{found} at {at} for {bad}, {engine:?}");
                }
            }
        }
    }
}

#[test]
fn gathered_products_are_sums_at_every_place_and_nowhere_else() {
    for engine in Engine::all().into_iter().filter(|engine| engine.pieces() == 1) {
        for (pixels, runs, run) in [(1, 1, 1), (7, 2, 3), (9, 1, 300), (130, 4, 4), (257, 3, 9), (300, 9, 64)] {
            for columns in [1, 3, 16, 17, 33, 64, 100] {
                let terms: Vec<u32> = (0..runs).flat_map(|r| (0..run).map(move |i| r * (run + 3) + i)).collect();
                let pixels: Vec<u32> = (0..pixels).map(|p| p * 3).collect();
                let source = numbers((pixels.last().unwrap() + terms.last().unwrap() + 1) as usize, 1);
                let a = Gathered(Gather { source: &source, pixels: &pixels, terms: &terms, run: run as usize });
                let at = |p: usize, k: usize| source[(pixels[p] + terms[k]) as usize];
                let case = (engine, pixels.len(), terms.len(), columns);

                let b = numbers(terms.len() * columns, 2);
                let mut right = vec![0; words_of(engine, terms.len(), columns)];
                let panels = 0..columns.div_ceil(16);
                pack_right(engine, Matrix::rows(&b, columns), [terms.len(), columns], panels, &mut right);
                let places: Vec<u32> = (0..pixels.len()).rev().map(|p| (p * (columns + 2)) as u32).collect();
                let mut out = vec![0.5; pixels.len() * (columns + 2)];
                a.multiply(engine, columns, &right, &mut out, &places);
                for (p, place) in places.iter().enumerate() {
                    let row = &out[*place as usize..][..columns + 2];
                    for (n, found) in row[..columns].iter().enumerate() {
                        assert_close(
                            *found,
                            expected(engine, terms.len(), |k| at(p, k), |k| b[k * columns + n]),
                            &case,
                        );
                    }
                    assert_eq!(row[columns..], [0.5, 0.5]);
                }

                let b = numbers(pixels.len() * columns, 3);
                let mut out = vec![1.0; terms.len() * columns];
                a.multiply_transposed(engine, columns, &b, &mut out);
                for (k, row) in out.chunks(columns).enumerate() {
                    for (n, found) in row.iter().enumerate() {
                        let (sum, size) = expected(engine, pixels.len(), |p| at(p, k), |p| b[p * columns + n]);
                        assert_close(*found, (1.0 + sum, 1.0 + size), &case);
                    }
                }
            }
        }
    }
}

use super::*;

/// Whole numbers, so that every order of summation gives the same result; `share` of them are not 0.
fn numbers(count: usize, seed: usize, share: f32) -> Vec<f32> {
    let draw = |i: usize| (i * 2_654_435_761 + seed * 97) % 1009;
    let keep = |i: usize| (draw(i * 3 + 1) as f32) < share * 1009.0;
    (0..count).map(|i| if keep(i) { (draw(i) % 17) as f32 - 8.5 } else { 0.0 }).collect()
}

/// `[rows, terms]` times `[terms, columns]`, term by term.
fn product(left: &[f32], right: &[f32], Sizes { rows, terms, columns }: Sizes) -> Vec<f32> {
    let sum = |r: usize, n: usize| (0..terms).map(|k| left[r * terms + k] * right[k * columns + n]).sum();
    (0..rows * columns).map(|at| sum(at / columns, at % columns)).collect()
}

fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len()).map(|at| values[at % rows * columns + at / rows]).collect()
}

/// Runs all parts into a buffer of NaN.
fn run(skipping: &Skipping, across: bool) -> Vec<f32> {
    let mut out = vec![f32::NAN; skipping.sizes.rows * skipping.sizes.columns];
    let target = SharedMut::new(&mut out);
    pool::run(skipping.parts(), |part| {
        // SAFETY: parts own disjoint rows and columns of a buffer that outlives the region.
        unsafe { if across { skipping.run_transposed(part, &target) } else { skipping.run(part, &target) } }
    });
    out
}

#[test]
fn products_are_exact_sums_for_every_orientation() {
    let sizes = [
        (1, 1, 1),
        (15, 16, 17),
        (16, 31, 16),
        (33, 100, 70),
        (130, 65, 200),
        (300, 784, 33),
        (20, 784, 200),
        (257, 40, 784),
    ];
    for engine in Engine::all() {
        for (rows, terms, columns) in sizes {
            let sizes = Sizes { rows, terms, columns };
            for share in [0.0, 0.2, 1.0] {
                let (left, right) = (numbers(rows * terms, 1, share), numbers(terms * columns, 2, 1.0));
                let expected = product(&left, &right, sizes);
                let (left_across, right_across) = (transposed(&left, terms), transposed(&right, columns));
                let lefts = [Matrix::rows(&left, terms), Matrix::rows(&left_across, rows).transposed()];
                let rights = [Matrix::rows(&right, columns), Matrix::rows(&right_across, terms).transposed()];
                for (left, right) in lefts.into_iter().flat_map(|l| rights.map(|r| (l, r))) {
                    let ready = Skipping::new(engine, left, right, sizes).expect("finite numbers");
                    assert_eq!(run(&ready, false), expected, "{engine:?} {sizes:?} {share}");
                    assert_eq!(run(&ready, true), transposed(&expected, columns), "{engine:?} {sizes:?} {share}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_on_the_right_is_left_to_the_dense_product() {
    let sizes = Sizes { rows: 32, terms: 100, columns: 70 };
    let left = numbers(3200, 1, 0.2);
    for engine in Engine::all() {
        for at in [0, 69, 70, 6930, 6999] {
            let mut right = numbers(7000, 2, 1.0);
            right[at] = f32::NEG_INFINITY;
            assert!(Skipping::new(engine, Matrix::rows(&left, 100), Matrix::rows(&right, 70), sizes).is_none());
            let across = transposed(&right, 70);
            let across = Matrix::rows(&across, 100).transposed();
            assert!(Skipping::new(engine, Matrix::rows(&left, 100), across, sizes).is_none());
        }
    }
}

#[test]
fn nan_and_infinity_on_the_left_are_entries() {
    let sizes = Sizes { rows: 2, terms: 40, columns: 20 };
    let (mut left, right) = (vec![0.0; 80], vec![1.0; 800]);
    (left[17], left[79]) = (f32::NAN, f32::INFINITY);
    for engine in Engine::all() {
        let ready = Skipping::new(engine, Matrix::rows(&left, 40), Matrix::rows(&right, 20), sizes).unwrap();
        let out = run(&ready, false);
        assert!(out[..20].iter().all(|v| v.is_nan()) && out[20..].iter().all(|v| *v == f32::INFINITY), "{engine:?}");
    }
}

#[test]
fn density_is_seen_in_either_orientation() {
    let sizes = Sizes { rows: 100, terms: 200, columns: 64 };
    for share in [0.0, 0.3, 1.0] {
        let left = numbers(20_000, 5, share);
        let across = transposed(&left, 200);
        for left in [Matrix::rows(&left, 200), Matrix::rows(&across, 100).transposed()] {
            assert!((density(left, sizes) - share).abs() < 0.05, "{share}: {}", density(left, sizes));
        }
    }
}

#[test]
fn dense_and_small_products_are_not_taken() {
    let sizes = Sizes { rows: 128, terms: 200, columns: 100 };
    let (sparse, dense, right) = (numbers(25_600, 1, 0.2), numbers(25_600, 1, 1.0), numbers(20_000, 2, 1.0));
    let taken = |left: &[f32], sizes| {
        Skipping::prepare(Matrix::rows(left, 200), Matrix::rows(&right, 100), sizes, DENSEST).is_some()
    };
    assert_eq!(taken(&sparse, sizes), !Engine::all().is_empty());
    assert!(!taken(&dense, sizes));
    assert!(!taken(&sparse, Sizes { rows: 4, ..sizes }));
}

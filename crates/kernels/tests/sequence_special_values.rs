//! What the operations on sequences make of NaN, infinities and extreme numbers, and what they refuse.

mod support {
    pub mod noise;
    pub mod sequences;
}

use std::panic::{AssertUnwindSafe, catch_unwind};

use elbo_kernels::{attention, code_statistics, cross_entropy, embedding, layer_norm, rms_norm};
use support::noise::noise;
use support::sequences::{attended, embedded, indices, row_norm, surprised, tensor, values};

const WILD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

#[test]
fn a_wild_value_reaches_its_row_and_no_other() {
    let (rows, width) = (20, 37);
    let (weight, bias, dy) = (noise(3, width), noise(4, width), noise(2, rows * width));
    let clean = noise(1, rows * width);
    let run = |x: &[f32], dy: &[f32]| {
        let layer = row_norm(x, &weight, Some(&bias), dy, |x, w, b| layer_norm(x, w, b.unwrap(), 1e-5));
        let rms = row_norm(x, &weight, None, dy, |x, w, _| rms_norm(x, w, 1e-5));
        [layer, rms]
    };
    let untouched = run(&clean, &dy);
    for wild in WILD {
        let mut x = clean.clone();
        x[7 * width + 35] = wild;
        for (found, untouched) in run(&x, &dy).iter().zip(&untouched) {
            for result in 0..2 {
                for row in 0..rows {
                    let span = row * width..(row + 1) * width;
                    let (found, clean) = (&found[result].1[span.clone()], &untouched[result].1[span]);
                    let right = if row == 7 { found.iter().any(|v| v.is_nan()) } else { found == clean };
                    assert!(right, "{wild}, {}, row {row}", untouched[result].0);
                }
            }
        }
        let mut slopes = dy.clone();
        slopes[7 * width + 3] = wild;
        for found in run(&clean, &slopes) {
            assert!(found[1].1[7 * width..8 * width].iter().all(|v| !v.is_finite()), "{wild}: dx of the row");
            assert!(found[2].1[3].is_nan() || found[2].1[3].is_infinite(), "{wild}: dweight of the column");
            assert!(found[2].1[4..].iter().all(|v| v.is_finite()), "{wild}: dweight of the others");
        }
    }
}

#[test]
fn rows_of_equal_and_of_huge_numbers() {
    let norm = |x: f32, eps: f64| {
        let ones = tensor(&[1.0; 33], [33]);
        values(layer_norm(tensor(&[x; 33], [1, 33]), ones.clone(), ones * 0.5, eps))
    };
    // Without variance the bias is left, to the last bit where the mean has no rounding.
    assert!(norm(1024.0, 1e-5).iter().all(|y| *y == 0.5));
    assert!(norm(0.0, 0.0).iter().all(|y| y.is_nan()), "0 / 0 is not hidden");
    // A large mean takes no digits from the variance.
    let x: Vec<f32> = (0..64).map(|i| 8192.0 + (i % 2) as f32).collect();
    let y = values(layer_norm(tensor(&x, [1, 64]), tensor(&[1.0; 64], [64]), tensor(&[0.0; 64], [64]), 0.0));
    assert!(y.iter().enumerate().all(|(i, y)| *y == if i % 2 == 0 { -1.0 } else { 1.0 }), "{y:?}");
}

#[test]
fn scores_of_any_size_give_probabilities() {
    // One query; scores 1e4 apart: all weight on the largest, without overflow.
    for (q, expected) in [(1e4, 2.0), (-1e4, 1.0), (3e38, 2.0), (0.0, 1.5)] {
        let y = attention(
            tensor(&[q], [1, 1, 1, 1]),
            tensor(&[0.25, 0.5], [1, 2, 1, 1]),
            tensor(&[1.0, 2.0], [1, 2, 1, 1]),
            false,
        );
        assert_eq!(values(y), [expected], "q = {q}");
    }
}

#[test]
fn a_wild_query_reaches_its_row_and_a_wild_key_all_that_see_it() {
    let size @ [batch, tokens, _, heads, width] = [2, 150, 150, 2, 9];
    let count = batch * tokens * heads * width;
    let [q, k, v, dy] = [1, 2, 3, 4].map(|seed| noise(seed, count));
    let run = |q: &[f32], k: &[f32]| attended(size, [q, k, &v, &dy], |q, k, v| attention(q, k, v, true));
    let clean = run(&q, &k);
    // Example 1, token 140, head 1.
    let place = ((tokens + 140) * heads + 1) * width + 5;
    let row_of = |i: usize| i / width;
    for wild in [f32::NAN, f32::INFINITY] {
        let mut wild_q = q.clone();
        wild_q[place] = wild;
        for (i, (found, clean)) in run(&wild_q, &k)[0].1.iter().zip(&clean[0].1).enumerate() {
            let right = if row_of(i) == row_of(place) { found.is_nan() } else { found == clean };
            assert!(right, "query {wild}: value {i} is {found}");
        }
        let mut wild_k = k.clone();
        wild_k[place] = f32::NAN;
        for (i, (found, clean)) in run(&q, &wild_k)[0].1.iter().zip(&clean[0].1).enumerate() {
            let sees = i >= place / width * width && row_of(i) % heads == 1;
            let right = if sees { found.is_nan() } else { found == clean };
            assert!(right, "key: value {i} is {found}");
        }
    }
    let mut wild_dy = dy.clone();
    wild_dy[place] = f32::NAN;
    let found = attended(size, [&q, &k, &v, &wild_dy], |q, k, v| attention(q, k, v, true));
    let dq = &found[1].1;
    assert!((0..count).all(|i| dq[i].is_nan() == (row_of(i) == row_of(place))), "dq of the query alone");
    assert!(found[3].1[place].is_nan(), "dv of a key that it sees");
}

#[test]
fn tables_pass_on_what_they_hold() {
    let table = [1.0, f32::NAN, f32::INFINITY, 4.0];
    let found = embedded(&table, 2, &[1, 1, 0], &[1.0, 2.0, f32::NEG_INFINITY, f32::NAN, 5.0, 6.0], embedding);
    assert!(found[0].1[..2] == [f32::INFINITY, 4.0] && found[0].1[5].is_nan());
    let slopes = &found[1].1;
    assert!(slopes[..3] == [5.0, 6.0, f32::NEG_INFINITY] && slopes[3].is_nan());
}

#[test]
fn a_wild_logit_reaches_its_row_and_no_other() {
    let (n, symbols) = (9, 37);
    let (clean, dy) = (noise(1, n * symbols), noise(2, n));
    let targets: Vec<i32> = (0..n as i32).map(|i| 4 * i).collect();
    let untouched = surprised(&clean, &targets, &dy, cross_entropy);
    for wild in [f32::NAN, f32::INFINITY] {
        let mut logits = clean.clone();
        logits[3 * symbols + 36] = wild;
        let found = surprised(&logits, &targets, &dy, cross_entropy);
        for row in 0..n {
            let span = row * symbols..(row + 1) * symbols;
            let (slopes, clean) = (&found[1].1[span.clone()], &untouched[1].1[span]);
            let right = if row == 3 { slopes.iter().all(|v| v.is_nan()) } else { slopes == clean };
            assert!(right && found[0].1[row].is_nan() == (row == 3), "{wild}, row {row}");
        }
    }
    let mut slopes = dy.clone();
    slopes[3] = f32::NAN;
    let found = surprised(&clean, &targets, &slopes, cross_entropy);
    assert!((0..n * symbols).all(|i| found[1].1[i].is_nan() == (i / symbols == 3)), "a wild slope from above");
}

#[test]
fn logits_of_any_size_are_probabilities() {
    const NONE: f32 = f32::NEG_INFINITY;
    // Far apart: no overflow, and the term is the distance. Minus infinity is a symbol that cannot come.
    for (logits, target, expected) in [
        ([1e30, 0.0], 0, 0.0),
        ([1e30, 0.0], 1, 1e30),
        ([-3e38, -3e38], 0, std::f32::consts::LN_2),
        ([0.0, NONE], 0, 0.0),
        ([0.0, NONE], 1, f32::INFINITY),
    ] {
        let found = surprised(&logits, &[target], &[1.0], cross_entropy);
        assert!((found[0].1[0] - expected).abs() < 1e-6 || found[0].1[0] == expected, "{logits:?}: {found:?}");
        assert!(found[1].1.iter().all(|slope| slope.is_finite()), "{logits:?}: {found:?}");
    }
    assert!(surprised(&[NONE; 2], &[0], &[1.0], cross_entropy)[0].1[0].is_nan(), "no symbol can come");
}

/// The message of the panic that `work` must end in.
fn refused(work: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(work)).expect_err("it must be refused");
    payload.downcast_ref::<String>().cloned().or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).into())).unwrap()
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers() {
    let cube = |tokens: usize, width: usize| tensor(&vec![0.0; tokens * width], [1, tokens, 1, width]);
    let table = || tensor(&[0.0; 6], [3, 2]);
    let messages = [
        (refused(|| drop(attention(cube(3, 2), cube(2, 2), cube(2, 2), true))), "the last of 3 queries sees 2 keys"),
        (refused(|| drop(attention(cube(3, 2), cube(2, 2), cube(3, 2), false))), "for queries [1, 3, 1, 2]"),
        (refused(|| drop(embedding(table(), indices(&[0, 3])))), "index 3 in a table of 3 entries"),
        (refused(|| drop(embedding(table(), indices(&[-1])))), "index -1 in a table of 3 entries"),
        (refused(|| drop(cross_entropy(table(), indices(&[0, 1, 2])))), "index 2 in a table of 2 entries"),
        (refused(|| drop(cross_entropy(table(), indices(&[0])))), "one target for each of 3 rows"),
        (refused(|| drop(code_statistics(table(), indices(&[0, 1, 4]), 4))), "index 4 in a table of 4 entries"),
        (refused(|| drop(code_statistics(table(), indices(&[0]), 4))), "one entry for each of 3 rows"),
        (refused(|| drop(rms_norm(table(), tensor(&[1.0], [1]), 0.0))), "one number for each column of x [3, 2]"),
    ];
    for (message, part) in messages {
        assert!(message.contains(part), "{message} should say: {part}");
    }
}

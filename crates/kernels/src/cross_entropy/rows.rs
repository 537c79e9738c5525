//! Rows of logits to their terms and slopes.

use std::mem::MaybeUninit;

use crate::attention::softmax;
use crate::pool::{self, SharedMut};

/// Logits that justify one more part.
const PART_LOGITS: usize = 16_384;

/// The term of a row of logits, and the sum of their exponentials, which the row becomes.
///
/// A logit of minus infinity has probability 0, and as a target the term is infinite. NaN and infinity
/// make all of the row NaN, as in PyTorch.
fn exponentials_of(logits: &mut [f32], target: usize) -> (f32, f32) {
    let most = softmax::largest(logits);
    let own = logits[target] - most;
    let sum = softmax::exponentials(logits, most);
    (sum.ln() - own, sum)
}

/// The term of each row and its slopes.
///
/// # Shapes
/// - `logits`: `[n, symbols]`; `targets`, `terms`: `[n]`; `slopes`: `[n, symbols]`, all of them written
///
/// # Panics
/// If a target is not below the number of symbols, or the lengths do not fit together.
pub(crate) fn with_slopes(logits: &[f32], targets: &[u32], terms: &mut [f32], slopes: &mut [MaybeUninit<f32>]) {
    let (n, symbols) = checked(logits, targets, terms);
    assert_eq!(slopes.len(), logits.len(), "a slope for each logit");
    let (terms, slopes) = (SharedMut::new(terms), SharedMut::new(slopes));
    let parts = pool::parts_for(n, symbols, PART_LOGITS, 1);
    pool::run(parts, |part| {
        for i in pool::part_range(n, parts, part, 1) {
            let span = i * symbols..(i + 1) * symbols;
            // SAFETY: each row belongs to one part, and both buffers outlive the region.
            let (term, slopes) = unsafe { (terms.slice(i..i + 1), slopes.slice(span.clone())) };
            let (row, target) = (slopes.write_copy_of_slice(&logits[span]), targets[i] as usize);
            let sum;
            (term[0], sum) = exponentials_of(row, target);
            softmax::scale(row, 1.0 / sum);
            row[target] -= 1.0;
        }
    });
}

/// The term of each row.
///
/// # Shapes
/// - `logits`: `[n, symbols]`; `targets`, `terms`: `[n]`
///
/// # Panics
/// As [`with_slopes`].
pub(crate) fn terms(logits: &[f32], targets: &[u32], terms: &mut [f32]) {
    let (n, symbols) = checked(logits, targets, terms);
    let terms = SharedMut::new(terms);
    let parts = pool::parts_for(n, symbols, PART_LOGITS, 1);
    pool::run(parts, |part| {
        let mut copy = vec![0f32; symbols];
        for i in pool::part_range(n, parts, part, 1) {
            copy.copy_from_slice(&logits[i * symbols..(i + 1) * symbols]);
            // SAFETY: each row belongs to one part, and the buffer outlives the region.
            let term = unsafe { terms.slice(i..i + 1) };
            term[0] = exponentials_of(&mut copy, targets[i] as usize).0;
        }
    });
}

/// Rows and symbols.
fn checked(logits: &[f32], targets: &[u32], terms: &[f32]) -> (usize, usize) {
    let n = targets.len();
    assert!(terms.len() == n && logits.len().is_multiple_of(n.max(1)), "a target and a term for each row");
    (n, logits.len() / n.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Miri checks every access and needs few symbols.
    const SIZES: [(usize, usize); 5] =
        [(1, 1), (3, 17), (2, 33), (5, 128), if cfg!(miri) { (9, 40) } else { (300, 513) }];

    #[test]
    fn terms_and_slopes_are_those_of_the_formula() {
        for (n, symbols) in SIZES {
            let logits: Vec<f32> = (0..n * symbols).map(|i| (i * 37 % 199) as f32 / 20.0 - 5.0).collect();
            let targets: Vec<u32> = (0..n).map(|i| (i * 7 % symbols) as u32).collect();
            let mut found = vec![0f32; n];
            let mut slopes = vec![MaybeUninit::new(0f32); n * symbols];
            with_slopes(&logits, &targets, &mut found, &mut slopes);
            for i in 0..n {
                let row: Vec<f64> = logits[i * symbols..][..symbols].iter().map(|&v| f64::from(v)).collect();
                let sum: f64 = row.iter().map(|v| v.exp()).sum();
                let own = targets[i] as usize;
                assert!((f64::from(found[i]) - (sum.ln() - row[own])).abs() < 1e-5, "{n}x{symbols}");
                for (j, v) in row.iter().enumerate() {
                    let expected = v.exp() / sum - f64::from(u8::from(j == own));
                    // SAFETY: `with_slopes` writes all of them, and they were numbers before.
                    let slope = unsafe { slopes[i * symbols + j].assume_init() };
                    assert!((f64::from(slope) - expected).abs() < 1e-6, "{n}x{symbols}");
                }
            }
            let mut alone = vec![0f32; n];
            terms(&logits, &targets, &mut alone);
            assert_eq!(alone, found, "the same bits without slopes");
        }
    }

    #[test]
    fn no_rows_have_no_terms() {
        terms(&[], &[], &mut []);
        with_slopes(&[], &[], &mut [], &mut []);
    }
}

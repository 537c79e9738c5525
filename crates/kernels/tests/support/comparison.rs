//! Tables of comparisons that report every failing entry, not the first.
//!
//! Tensors are compared by `max|found - expected| / max|expected|`: single entries may be cancellations, whose own relative
//! error says nothing.

use std::fmt::Display;

/// Compares tensors and remembers those that differ by more than a tolerance.
pub struct Table {
    tolerance: f64,
    checked: usize,
    worst: f64,
    failures: Vec<String>,
}

impl Table {
    /// A table that allows a relative error below `tolerance`.
    pub fn new(tolerance: f64) -> Self {
        Self { tolerance, checked: 0, worst: 0.0, failures: Vec::new() }
    }

    /// Compares one tensor, named `place` in the report.
    pub fn tensor(&mut self, place: impl Display, found: &[f32], expected: &[f64]) {
        let error = relative_error(found, expected);
        self.checked += 1;
        self.worst = self.worst.max(error);
        if error >= self.tolerance {
            self.failures.push(format!("{place}: relative error {error:.2e}"));
        }
    }

    /// Fails with all that differed, or if fewer than `least` tensors were compared: an empty table proves nothing.
    pub fn assert_all(self, least: usize) {
        let Self { tolerance, checked, worst, failures } = self;
        let count = failures.len();
        assert!(checked >= least, "only {checked} of {least} tensors were compared");
        assert!(count == 0, "{count} of {checked} reach {tolerance:.0e}:\n{}", failures.join("\n"));
        println!("{checked} tensors within {worst:.1e}");
    }
}

/// `max|found - expected| / max|expected|`, absolute where all of `expected` is 0; infinite for another length or a number that is
/// not finite.
fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let largest = expected.iter().fold(0.0, |most: f64, e| most.max(e.abs()));
    let differences = found.iter().zip(expected).map(|(f, e)| (f64::from(*f) - e).abs());
    let worst = differences.fold(0.0, |most: f64, d| if d > most || d.is_nan() { d } else { most });
    if worst.is_finite() { worst / if largest > 0.0 { largest } else { 1.0 } } else { f64::INFINITY }
}

#[test]
fn the_comparison_itself_can_fail() {
    assert_eq!(relative_error(&[1.0, -2.0], &[1.0, -2.0]), 0.0);
    assert_eq!(relative_error(&[1.0, -2.5], &[1.0, -2.0]), 0.25);
    assert_eq!(relative_error(&[123.0], &[0.0]), 123.0);
    for (found, expected) in [(&[1.0f32][..], &[1.0, 1.0][..]), (&[f32::NAN, 1.0], &[1.0, 1.0]), (&[1.0], &[f64::NAN])]
    {
        assert_eq!(relative_error(found, expected), f64::INFINITY, "{found:?} against {expected:?}");
    }
}

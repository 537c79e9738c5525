//! One number with what it means, and how means over examples become one.

use serde::Serialize;

/// One number with what it means.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Metric {
    /// The number itself, in `unit`.
    pub value: f64,
    /// Its standard error over examples, where it is a mean over examples.
    pub stderr: Option<f64>,
    /// Its unit, such as `nats per example`.
    pub unit: String,
    /// How it is computed, and which dimensions were summed.
    pub definition: String,
    /// Samples of each example's posterior, for importance-weighted estimates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
}

impl Metric {
    /// A number without a standard error.
    pub fn new(value: f64, unit: &str, definition: impl Into<String>) -> Self {
        Self { value, stderr: None, unit: unit.into(), definition: definition.into(), k: None }
    }

    /// The mean of `values` with its standard error.
    ///
    /// ```
    /// use elbo::evaluation::Metric;
    ///
    /// let metric = Metric::mean_of(&[1.0, 3.0], "nats", "an example");
    /// assert_eq!((metric.value, metric.stderr), (2.0, Some(1.0)));
    /// ```
    pub fn mean_of(values: &[f64], unit: &str, definition: impl Into<String>) -> Self {
        Self { stderr: Some(stderr(values)), ..Self::new(mean(values), unit, definition) }
    }
}

/// The mean; not a number for none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard error of a mean, where there is one: a single value says nothing about how others scatter.
pub(crate) fn known_stderr(values: &[f64]) -> Option<f64> {
    (values.len() > 1).then(|| stderr(values))
}

/// Standard error of the mean; 0 for one example.
pub(crate) fn stderr(values: &[f64]) -> f64 {
    let (n, mean) = (values.len() as f64, mean(values));
    let squares = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    (squares / (n - 1.0).max(1.0) / n).sqrt()
}

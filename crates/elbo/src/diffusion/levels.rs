//! The list of noise levels that a sampler visits.

use super::NoiseTable;
use crate::error::{Error, Result};

/// The exponent of [`Levels::karras`].
const RHO: f64 = 7.0;

/// Levels from the highest to 0, each below the one before it. A sampler takes them as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels(Vec<f64>);

impl Levels {
    /// A list of one's own.
    ///
    /// # Errors
    /// [`Error::Config`] if it has fewer than two levels, does not fall, or does not end in 0.
    pub fn new(levels: Vec<f64>) -> Result<Self> {
        let falls = levels.windows(2).all(|pair| pair[0] > pair[1]);
        let finite = levels.iter().all(|level| level.is_finite());
        if levels.len() < 2 || !falls || !finite || levels.last() != Some(&0.0) {
            let help = "for example `80, 10, 1, 0`";
            return Err(Error::config("levels", "falling noise levels that end in 0", format!("{levels:?}"), help));
        }
        Ok(Self(levels))
    }

    /// `sigma_i = (max^(1/7) + i/(N-1) (min^(1/7) - max^(1/7)))^7` for i below N, then 0 (Karras et al. 2022, eq. 5).
    ///
    /// # Errors
    /// [`Error::Config`] for no step, and for bounds that are not `0 < min < max`.
    pub fn karras(steps: usize, min: f64, max: f64) -> Result<Self> {
        if steps == 0 || !(min > 0.0 && min < max && max.is_finite()) {
            let found = format!("{steps} steps from {max} to {min}");
            return Err(Error::config("steps", "a step at least, from a level down to one above 0", found, "take 18"));
        }
        let (low, high) = (min.powf(1.0 / RHO), max.powf(1.0 / RHO));
        let level = |i: usize| match i {
            0 => max,
            i if i + 1 == steps => min,
            i => (high + i as f64 / (steps - 1) as f64 * (low - high)).powf(RHO),
        };
        Self::new((0..steps).map(level).chain([0.0]).collect())
    }

    /// `steps` times of a table, evenly from its last to its first, then 0.
    ///
    /// # Errors
    /// [`Error::Config`] for no step or more than there are times.
    pub fn of_table(table: &NoiseTable, steps: usize) -> Result<Self> {
        let times = table.times();
        if steps == 0 || steps > times {
            return Err(Error::config("steps", format!("from 1 to {times}"), steps.to_string(), "fewer are faster"));
        }
        let time = |i: usize| match steps {
            1 => times,
            _ => times - (i * (times - 1) + (steps - 1) / 2) / (steps - 1),
        };
        Self::new((0..steps).map(|i| table.sigma(time(i))).chain([0.0]).collect())
    }

    /// The levels from the first at or below `sigma`, which takes its place: where image-to-image begins.
    ///
    /// # Errors
    /// [`Error::Config`] for a level that is not above 0.
    pub fn from_level(&self, sigma: f64) -> Result<Self> {
        let below = self.0.iter().copied().filter(|&level| level < sigma);
        Self::new(std::iter::once(sigma).chain(below).collect())
    }

    /// The levels, 0 included.
    pub fn as_slice(&self) -> &[f64] {
        &self.0
    }

    /// The highest.
    pub fn highest(&self) -> f64 {
        self.0[0]
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.0.len() - 1
    }

    /// Each step: from which level to which.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        self.0.windows(2).map(|pair| (pair[0], pair[1]))
    }
}

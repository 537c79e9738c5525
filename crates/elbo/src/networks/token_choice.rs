//! How a symbol is drawn from logits.

use crate::parallel;

/// Logits that are worth a part of their own.
const ROWS_LOGITS: usize = 4096;

/// Temperature, then the `top_k` most likely, then the fewest that hold `top_p` of what is left, then a
/// draw among these in proportion.
///
/// A temperature of 0 takes the most likely, the first of equals.
///
/// ```
/// use elbo::networks::TokenChoice;
///
/// let logits = [0.0, 2.0, 1.0];
/// let choice = TokenChoice { temperature: 0.0, ..TokenChoice::default() };
/// assert_eq!(choice.of(&logits, 0.99), 1);
/// assert_eq!(TokenChoice { top_k: Some(1), ..TokenChoice::default() }.of(&logits, 0.99), 1);
/// assert_eq!(TokenChoice::default().of(&logits, 0.99), 2);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenChoice {
    /// Logits are divided by it.
    pub temperature: f64,
    /// Only so many of the most likely symbols may come.
    pub top_k: Option<usize>,
    /// Only the most likely symbols that hold this share may come.
    pub top_p: f64,
}

impl Default for TokenChoice {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: 1.0 }
    }
}

impl TokenChoice {
    /// The symbol that a uniform draw from [0, 1) stands for.
    ///
    /// # Panics
    /// If there are no logits.
    pub fn of(&self, logits: &[f32], uniform: f64) -> usize {
        let weights = self.weights(logits);
        let total: f64 = weights.iter().sum();
        let mut left = uniform * total;
        let last = weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0);
        let drawn = weights.iter().position(|&weight| {
            left -= weight;
            left < 0.0
        });
        drawn.unwrap_or(last)
    }

    /// [`TokenChoice::of`] for each row of logits, with a draw for each.
    ///
    /// # Shapes
    /// - `logits`: `[n, symbols]`; `uniforms`: `[n]`
    ///
    /// # Panics
    /// As [`TokenChoice::of`].
    ///
    /// ```
    /// use elbo::networks::TokenChoice;
    ///
    /// assert_eq!(TokenChoice::default().of_rows(&[0.0, 9.0, 9.0, 0.0], &[0.5, 0.5]), [1, 0]);
    /// ```
    pub fn of_rows(&self, logits: &[f32], uniforms: &[f64]) -> Vec<usize> {
        let symbols = logits.len() / uniforms.len().max(1);
        let together = (ROWS_LOGITS / symbols.max(1)).max(1);
        let parts = parallel::map(uniforms.len().div_ceil(together), |part| {
            let rows = logits.chunks_exact(symbols).zip(uniforms).skip(part * together).take(together);
            rows.map(|(row, uniform)| self.of(row, *uniform)).collect::<Vec<_>>()
        });
        parts.concat()
    }

    /// Probabilities of the symbols, not yet divided by their sum; 0 for those that may not come.
    ///
    /// # Panics
    /// If there are no logits.
    pub fn weights(&self, logits: &[f32]) -> Vec<f64> {
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if self.temperature == 0.0 {
            let first = logits.iter().position(|&logit| logit == most).unwrap_or(0);
            return (0..logits.len()).map(|i| f64::from(u8::from(i == first))).collect();
        }
        let weight = |logit: &f32| (f64::from(logit - most) / self.temperature).exp();
        let mut weights: Vec<f64> = logits.iter().map(weight).collect();
        if self.top_k.is_none() && self.top_p >= 1.0 {
            return weights;
        }
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
        let kept = self.kept(&order, &weights);
        order[kept..].iter().for_each(|&symbol| weights[symbol] = 0.0);
        weights
    }

    /// How many of the most likely symbols may come.
    fn kept(&self, order: &[usize], weights: &[f64]) -> usize {
        let most = self.top_k.unwrap_or(order.len()).clamp(1, order.len());
        if self.top_p >= 1.0 {
            return most;
        }
        let total: f64 = order[..most].iter().map(|&symbol| weights[symbol]).sum();
        let mut mass = 0.0;
        let enough = order[..most].iter().position(|&symbol| {
            mass += weights[symbol];
            mass >= self.top_p * total
        });
        enough.map_or(most, |place| place + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.3, 1.5, -2.0, 1.5, 0.9];

    fn kept(choice: TokenChoice) -> Vec<usize> {
        let weights = choice.weights(&LOGITS);
        (0..weights.len()).filter(|&i| weights[i] > 0.0).collect()
    }

    #[test]
    fn the_most_likely_is_all_that_is_left_of_one_and_of_no_temperature() {
        let cold = TokenChoice { temperature: 0.0, ..Default::default() };
        let one = TokenChoice { top_k: Some(1), ..Default::default() };
        assert_eq!((kept(cold), kept(one)), (vec![1], vec![1]), "the first of equals");
        let nearly = TokenChoice { temperature: 1e-3, top_k: None, top_p: 1.0 };
        assert!((0..100).all(|i| [1, 3].contains(&nearly.of(&LOGITS, f64::from(i) / 100.0))));
    }

    #[test]
    fn a_share_of_one_changes_nothing_and_top_p_works_without_top_k() {
        let plain = TokenChoice::default();
        assert_eq!(plain.weights(&LOGITS), TokenChoice { top_p: 1.0, top_k: Some(5), ..plain }.weights(&LOGITS));
        assert_eq!(kept(TokenChoice { top_p: 0.5, ..plain }), [1, 3]);
        assert_eq!(kept(TokenChoice { top_p: 1e-9, ..plain }), [1], "one at least");
        // top-k is taken first, and the share is of what it leaves.
        assert_eq!(kept(TokenChoice { top_p: 0.9, top_k: Some(2), ..plain }), [1, 3]);
    }

    #[test]
    fn draws_have_the_weights_as_their_shares() {
        let choice = TokenChoice { temperature: 0.7, ..Default::default() };
        let weights = choice.weights(&LOGITS);
        let total: f64 = weights.iter().sum();
        let n = 20_000;
        let mut counts = [0usize; 5];
        (0..n).for_each(|i| counts[choice.of(&LOGITS, (f64::from(i) + 0.5) / f64::from(n))] += 1);
        for (count, weight) in counts.iter().zip(weights) {
            assert!((*count as f64 / f64::from(n) - weight / total).abs() < 2e-4);
        }
    }
}

//! Random numbers that depend on (seed, index, tag) alone.
//!
//! ChaCha with eight rounds is keyed with the three numbers, so every digit owns a stream that needs no state from the
//! digit before. Bell-shaped numbers are sums of four uniform ones: free of logarithms, hence the same on every
//! platform, and never further than 3.5 standard deviations out, which keeps the wildest digit legible.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// One stream of random numbers.
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of `tag` for number `index` of `seed`.
    pub(super) fn new(seed: u64, index: u64, tag: u64) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, index, tag, 0]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `low..high`.
    pub(super) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Bell-shaped, with the given mean and standard deviation, within 3.5 deviations of the mean.
    pub(super) fn normal(&mut self, mean: f32, deviation: f32) -> f32 {
        // A sum of four has mean 2 and variance 4/12.
        const ROOT_OF_THREE: f32 = 1.732_050_8;
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        mean + deviation * (sum - 2.0) * ROOT_OF_THREE
    }

    /// Uniform among `0..count`.
    pub(super) fn below(&mut self, count: u32) -> u32 {
        // The bias of the multiplication is below count / 2^32.
        ((u64::from(self.0.next_u32()) * u64::from(count)) >> 32) as u32
    }

    /// Puts `items` into random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }

    fn unit(&mut self) -> f32 {
        const SCALE: f32 = 1.0 / (1 << 24) as f32;
        (self.0.next_u32() >> 8) as f32 * SCALE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_changes_the_stream() {
        let first = |seed, index, tag| Draws::new(seed, index, tag).below(u32::MAX);
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        for other in [first(2, 2, 3), first(1, 3, 3), first(1, 2, 4), first(2, 1, 3), first(1 + (1 << 40), 2, 3)] {
            assert_ne!(first(1, 2, 3), other);
        }
    }

    #[test]
    fn moments_are_those_asked_for() {
        let mut draws = Draws::new(5, 0, 0);
        let count = 40_000;
        let sample: Vec<f64> = (0..count).map(|_| f64::from(draws.normal(3.0, 2.0))).collect();
        let mean = sample.iter().sum::<f64>() / f64::from(count);
        let variance = sample.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / f64::from(count);
        assert!((mean - 3.0).abs() < 0.05, "mean {mean}");
        assert!((variance - 4.0).abs() < 0.12, "variance {variance}");
    }

    #[test]
    fn uniform_numbers_fill_their_range() {
        let mut draws = Draws::new(6, 0, 0);
        let sample: Vec<f32> = (0..10_000).map(|_| draws.uniform(-1.0, 3.0)).collect();
        assert!(sample.iter().all(|value| (-1.0..3.0).contains(value)));
        assert!(sample.iter().any(|&value| value < -0.99) && sample.iter().any(|&value| value > 2.99));
        let mut counts = [0; 7];
        (0..7_000).for_each(|_| counts[draws.below(7) as usize] += 1);
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }

    #[test]
    fn a_shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Draws::new(7, 0, 0).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}

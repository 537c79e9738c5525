//! Explicit, counter-based randomness: every draw is a function of (seed, purpose, epoch, step).
//!
//! There is no global generator and no generator state to save. A resumed run asks for the draws of epoch 7, step 120 and
//! gets the ones an uninterrupted run got; the order in which threads ask does not matter. The stream is ChaCha8 with the
//! four numbers as its 256-bit key, so two purposes never share a stream.

use std::sync::Mutex;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What the draws are for. The numbers are part of the file formats: never renumber, only add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Purpose {
    /// Initial weights; the step is the parameter's place in the model.
    Weights = 1,
    /// The order of the training examples in an epoch.
    Shuffle = 2,
    /// Posterior noise of a training step.
    TrainingNoise = 3,
    /// Posterior noise of an evaluation batch.
    EvaluationNoise = 4,
    /// Samples from the prior.
    Prior = 5,
    /// Choosing examples to show.
    Choice = 6,
    /// Draws from a likelihood, such as binary pixels.
    Likelihood = 7,
    /// Random changes to the images of a training batch.
    Augmentation = 8,
    /// Binary pixels of the data, by [`elbo_kernels::gather_bytes_binarized`]; epoch 0 is the fixed draw of evaluations.
    Binarization = 9,
    /// Posterior noise of importance-weighted likelihoods; the epoch numbers 512 samples, the step is the image.
    ImportanceNoise = 20,
    /// Draws from each posterior of a split for the aggregate posterior; the step is the image.
    AggregateNoise = 21,
    /// Starts of a Gaussian mixture: the epoch is the number of components, the step the restart.
    Mixture = 22,
    /// Training of what codes are sampled from: splits, batches and weights.
    Sampler = 23,
    /// Draws of codes from q(z|x) that a sampler is fitted on.
    SamplerCodes = 24,
    /// Starts of a codebook: which vectors of the encoder become codes.
    Codebook = 25,
    /// Resamplings of scored examples for a standard error; the step is the number of the resampling.
    Resampling = 30,
    /// Noise on codes that asks how much of it a reconstruction bears; the epoch is the repetition.
    CodeNoise = 31,
}

/// Factors of dropout that are worth a part of their own; a whole number of words.
const KEPT_TOGETHER: usize = 65_536;

/// Factors of [`Draws::kept`], from two bytes each.
fn fill_kept(stream: &mut ChaCha8Rng, factors: &mut [f32], least: u32, factor: f32) {
    let mut bytes = [0u8; 4096];
    for factors in factors.chunks_mut(bytes.len() / 2) {
        let bytes = &mut bytes[..2 * factors.len()];
        stream.fill_bytes(bytes);
        for (value, pair) in factors.iter_mut().zip(bytes.chunks_exact(2)) {
            *value = if u32::from(u16::from_le_bytes([pair[0], pair[1]])) < least { 0.0 } else { factor };
        }
    }
}

/// A stream of draws.
///
/// ```
/// use elbo::random::{Draws, Purpose};
///
/// let a = Draws::new(1, Purpose::TrainingNoise, 3, 10).normals(4);
/// let b = Draws::new(1, Purpose::TrainingNoise, 3, 10).normals(4);
/// let c = Draws::new(1, Purpose::TrainingNoise, 3, 11).normals(4);
/// assert_eq!(a, b);
/// assert_ne!(a, c);
/// ```
#[derive(Debug, Clone)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream of (`seed`, `purpose`, `epoch`, `step`).
    pub fn new(seed: u64, purpose: Purpose, epoch: u64, step: u64) -> Self {
        let mut key = [0u8; 32];
        for (bytes, part) in key.chunks_exact_mut(8).zip([seed, purpose as u64, epoch, step]) {
            bytes.copy_from_slice(&part.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// `count` values uniform in [-bound, bound).
    pub fn uniforms(&mut self, count: usize, bound: f64) -> Vec<f32> {
        (0..count).map(|_| ((2.0 * self.uniform() - 1.0) * bound) as f32).collect()
    }

    /// Uniform in 0..`bound`, without bias (Lemire 2019, arXiv:1805.10941).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "an empty range has no element");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.0.next_u32()) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// `count` independent draws from N(0, 1), by [`elbo_kernels::simd::normals_from_bits`].
    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        let words = count.next_multiple_of(2);
        let mut bytes = vec![0u8; 4 * words];
        self.0.fill_bytes(&mut bytes);
        let bits: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let mut values = vec![0f32; words];
        elbo_kernels::simd::normals_from_bits(&bits, &mut values);
        values.truncate(count);
        values
    }

    /// [`Draws::normals`]; with a bound, those beyond it on either side are drawn again (the truncated normal distribution).
    ///
    /// # Panics
    /// If the bound is not positive.
    ///
    /// ```
    /// use elbo::random::{Draws, Purpose};
    ///
    /// let draws = || Draws::new(1, Purpose::Prior, 0, 0);
    /// assert_eq!(draws().normals_within(9, None), draws().normals(9));
    /// assert!(draws().normals_within(1000, Some(0.5)).iter().all(|value| value.abs() <= 0.5));
    /// ```
    pub fn normals_within(&mut self, count: usize, bound: Option<f64>) -> Vec<f32> {
        let mut values = self.normals(count);
        let Some(bound) = bound else { return values };
        assert!(bound > 0.0, "nothing lies within {bound} deviations");
        let beyond = |value: f32| f64::from(value.abs()) > bound;
        let mut places: Vec<usize> = (0..count).filter(|&i| beyond(values[i])).collect();
        while !places.is_empty() {
            let redrawn = self.normals(places.len());
            places.iter().zip(redrawn).for_each(|(&place, value)| values[place] = value);
            places.retain(|&place| beyond(values[place]));
        }
        values
    }

    /// Factors of inverted dropout: 0 with probability `rate` (to 1/65,536), else `1 / (1 - rate)`.
    ///
    /// # Panics
    /// If the rate is not at least 0 and below 1.
    pub fn kept(&mut self, count: usize, rate: f64) -> Vec<f32> {
        assert!((0.0..1.0).contains(&rate), "a rate of {rate}");
        let (least, factor) = ((rate * 65536.0).round() as u32, (1.0 / (1.0 - rate)) as f32);
        let mut values = vec![0f32; count];
        let parts: Vec<Mutex<&mut [f32]>> = values.chunks_mut(KEPT_TOGETHER).map(Mutex::new).collect();
        let first = self.0.get_word_pos();
        elbo_kernels::parallel(parts.len(), |part| {
            // Two factors of a word: the stream is that of one thread.
            let mut own = self.0.clone();
            own.set_word_pos(first + (part * KEPT_TOGETHER / 2) as u128);
            fill_kept(&mut own, &mut parts[part].lock().expect("each part is taken once"), least, factor);
        });
        self.0.set_word_pos(first + count.div_ceil(2) as u128);
        values
    }

    /// A random order of 0..`count` (Fisher & Yates).
    pub fn permutation(&mut self, count: u32) -> Vec<u32> {
        let mut order: Vec<u32> = (0..count).collect();
        self.shuffle(&mut order);
        order
    }

    /// Shuffles in place.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_moments_of_the_normal_distribution() {
        let n = 400_000;
        let draws = Draws::new(7, Purpose::Prior, 0, 0).normals(n);
        let moment = |k: i32| draws.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n as f64;
        // Bounds are five standard errors: sqrt(Var(x^k) / n).
        for (k, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let bound = 5.0 * f64::sqrt(variance / n as f64);
            assert!((moment(k) - expected).abs() < bound, "moment {k}: {} against {expected}", moment(k));
        }
        let beyond_two = draws.iter().filter(|v| v.abs() > 2.0).count() as f64 / n as f64;
        assert!((beyond_two - 0.0455).abs() < 0.002, "{beyond_two}");
    }

    #[test]
    fn neighbouring_streams_are_uncorrelated() {
        let n = 100_000;
        let a = Draws::new(7, Purpose::Prior, 0, 0).normals(n);
        for other in [(8, 0, 0), (7, 1, 0), (7, 0, 1)] {
            let b = Draws::new(other.0, Purpose::Prior, other.1, other.2).normals(n);
            let correlation = a.iter().zip(&b).map(|(x, y)| f64::from(x * y)).sum::<f64>() / n as f64;
            assert!(correlation.abs() < 5.0 / (n as f64).sqrt(), "{other:?}: {correlation}");
        }
    }

    #[test]
    fn factors_of_dropout_are_those_of_one_stream() {
        for count in [0, 1, 7, 4096, KEPT_TOGETHER - 1, 3 * KEPT_TOGETHER + 5] {
            let mut draws = Draws::new(5, Purpose::TrainingNoise, 1, 2);
            let before = draws.uniform();
            let mut alone = draws.clone();
            let found = draws.kept(count, 0.25);
            let mut bytes = vec![0u8; 2 * count];
            alone.0.fill_bytes(&mut bytes);
            let pairs = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            assert!(found.into_iter().eq(pairs.map(|pair| if pair < 16384 { 0.0 } else { 4.0 / 3.0 })), "{count}");
            assert_eq!(draws.uniform(), alone.uniform(), "the stream goes on where it would, after {before}");
        }
    }

    #[test]
    fn permutations_are_uniform() {
        let mut counts = std::collections::HashMap::new();
        for i in 0..24_000 {
            *counts.entry(Draws::new(i, Purpose::Shuffle, 0, 0).permutation(4)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|&c| (850..1150).contains(&c)), "{counts:?}");
    }

    #[test]
    fn below_reaches_both_ends() {
        let mut draws = Draws::new(1, Purpose::Choice, 0, 0);
        let seen: std::collections::BTreeSet<u32> = (0..200).map(|_| draws.below(5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(draws.below(1), 0);
    }
}

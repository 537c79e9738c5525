//! Rows of symbols under way through a [`Transformer`], one step after another.

use burn::tensor::{Tensor, TensorData};
use elbo_kernels::KeyValueCache;

use super::pass::Pass;
use super::transformer::{SequenceShape, Transformer};
use crate::tensors::values_of;

/// Rows under way: each step costs one token, whatever came before it.
pub struct Decoding<'a> {
    transformer: &'a Transformer,
    n: usize,
    step: usize,
    /// The embedding of each step's position.
    positions: Vec<f32>,
    /// Of each block.
    caches: Vec<KeyValueCache>,
}

impl<'a> Decoding<'a> {
    /// Before the first step, or after a prefix, `[n, prefix, width]`.
    pub(super) fn new(transformer: &'a Transformer, n: usize, known: Option<Tensor<3>>) -> Self {
        let (shape, config) = (transformer.cache_shape(n), transformer.config());
        let caches = (0..config.layers).map(|_| KeyValueCache::new(shape)).collect();
        let mut decoding = Self { transformer, n, step: 0, positions: values_of(transformer.positions()), caches };
        if let Some(known) = known {
            decoding.fill(known);
        }
        decoding
    }

    /// Goes through the prefix, whose symbols all see each other.
    fn fill(&mut self, known: Tensor<3>) {
        let [n, prefix, width] = known.dims();
        let mut x = known.reshape([n * prefix, width]);
        let last = self.caches.len() - 1;
        for (i, (block, cache)) in self.transformer.blocks().iter().zip(&mut self.caches).enumerate() {
            let mixed = block.mixed(x.clone(), n, self.transformer.config());
            cache.append(&values_of(mixed.rows()));
            // Of the last block nothing but keys and values is looked at.
            if i < last {
                x = block.after(x, mixed.seen(prefix).reshape([n * prefix, width]), 0.0, &Pass::still());
            }
        }
    }

    /// Logits of the next step, `[n, symbols]`, from the token before it: the starts at the first step, the
    /// symbols of the last step after that.
    ///
    /// # Panics
    /// If all steps are done, or there is not one token for each row.
    pub fn next(&mut self, tokens: &[i32]) -> Vec<f32> {
        let (transformer, n, step) = (self.transformer, self.n, self.step);
        assert!(tokens.len() == n && !self.is_done(), "step {step} of {n} rows");
        let (width, device) = (transformer.config().width, transformer.device().without_autodiff());
        let position = TensorData::new(self.positions[step * width..][..width].to_vec(), [1, width]);
        let tokens = Tensor::from_data(TensorData::new(tokens.to_vec(), [n]), &device);
        let mut x = transformer.entry(step, tokens) + Tensor::<2>::from_data(position, &device);
        let still = Pass::still();
        for (block, cache) in transformer.blocks().iter().zip(&mut self.caches) {
            let mixed = values_of(block.mixed(x.clone(), n, transformer.config()).rows());
            let seen = TensorData::new(cache.attend(&mixed), [n, width]);
            x = block.after(x, Tensor::from_data(seen, &device), 0.0, &still);
        }
        self.step += 1;
        values_of(transformer.logits(x))
    }

    /// What the rows are.
    pub fn shape(&self) -> SequenceShape {
        self.transformer.shape()
    }

    /// Tokens that have been read so far.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Whether every symbol of the rows has been predicted.
    pub fn is_done(&self) -> bool {
        self.step >= self.shape().tokens()
    }
}

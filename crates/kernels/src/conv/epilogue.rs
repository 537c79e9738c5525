//! The epilogue of a convolution, bias and activation, and its gradients.

use std::ops::Range;

use super::channels;
use crate::activation::{self, Activation};
use crate::pool::SharedMut;

/// Bias and activation of one layer.
pub(crate) struct Epilogue {
    bias: Vec<f32>,
    activation: Activation,
    nothing: bool,
}

impl Epilogue {
    /// `activation(x + bias)`.
    pub(crate) fn new(bias: &[f32], activation: Activation) -> Self {
        Self { bias: channels::repeat(bias), activation, nothing: false }
    }

    /// Leaves the sums as they are.
    pub(crate) fn none() -> Self {
        Self { bias: Vec::new(), activation: Activation::None, nothing: true }
    }

    /// Finishes whole pixels in place.
    fn apply(&self, sums: &mut [f32]) {
        if self.nothing {
            return;
        }
        activation::add_bias_activate(sums, &self.bias, self.activation);
    }

    /// Adds the bias in place and writes the activation's value to `out`.
    fn apply_apart(&self, sums: &mut [f32], out: &mut [f32]) {
        activation::add_bias_and_activate(sums, &self.bias, out, self.activation);
    }
}

/// Where the parts of a pass write: a layer's output and, with `pre`, the value before its activation.
pub(super) struct Target<'a> {
    epilogue: &'a Epilogue,
    out: SharedMut<f32>,
    pre: Option<SharedMut<f32>>,
}

impl<'a> Target<'a> {
    pub(super) fn new(epilogue: &'a Epilogue, out: &mut [f32], pre: Option<&mut [f32]>) -> Self {
        Self { epilogue, out: SharedMut::new(out), pre: pre.map(SharedMut::new) }
    }

    /// Has `write` write the sums of `span` and finishes them while they are in the cache.
    ///
    /// # Safety
    /// Spans of calls that run at the same time do not overlap, and both buffers outlive them.
    pub(super) unsafe fn fill(&self, span: Range<usize>, write: impl FnOnce(&mut [f32])) {
        // SAFETY: the caller's promise.
        let (out, pre) = unsafe { (self.out.slice(span.clone()), self.pre.as_ref().map(|pre| pre.slice(span))) };
        match pre {
            None => {
                write(out);
                self.epilogue.apply(out);
            }
            Some(pre) => {
                write(pre);
                self.epilogue.apply_apart(pre, out);
            }
        }
    }
}

/// `dpre = dy * activation'` and the bias's gradient, its sum over all pixels. `saved` is as for [`activation::activation_gradient`].
pub(crate) fn through_activation(
    dy: &[f32],
    saved: &[f32],
    activation: Activation,
    dpre: &mut [f32],
    dbias: &mut [f32],
) {
    let target = SharedMut::new(dpre);
    let [sums] = channels::channel_sums(dy.len(), dbias.len(), |range, [sums]| {
        // SAFETY: ranges do not overlap, and the buffer outlives the region.
        let dpre = unsafe { target.slice(range.clone()) };
        activation::activation_gradient(&dy[range.clone()], &saved[range], dpre, sums, activation);
    });
    store(&sums, dbias);
}

/// The bias's gradient of a layer without activation: the sum of `dy` over all pixels.
pub(crate) fn bias_gradient(dy: &[f32], dbias: &mut [f32]) {
    let [sums] = channels::channel_sums(dy.len(), dbias.len(), |range, [sums]| channels::add_rows(&dy[range], sums));
    store(&sums, dbias);
}

fn store(sums: &[f64], out: &mut [f32]) {
    out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum as f32);
}

//! How the cross-entropy enters Burn; [`crate::extension`] explains the pattern.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use super::rows;
use crate::extension::{Kernels, RowTermsNode, contiguous, flex_mut, flex_slice, written_like, zeros};

/// The operation with what its backward pass wants, on one backend's plain tensors.
pub trait CrossEntropyKernels: Kernels {
    /// The term of each row, and its slopes by the logits.
    fn cross_entropy_with_slopes(logits: FloatTensor<Self>, targets: &[u32]) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl CrossEntropyKernels for Flex {
    fn cross_entropy_with_slopes(logits: FlexTensor, targets: &[u32]) -> (FlexTensor, FlexTensor) {
        let logits = contiguous(logits);
        let mut terms = zeros(&[targets.len()]);
        // SAFETY: `with_slopes` writes a slope for each logit.
        let slopes = unsafe {
            written_like(&logits, |slopes| {
                rows::with_slopes(flex_slice(&logits), targets, flex_mut(&mut terms), slopes)
            })
        };
        (terms, slopes)
    }
}

/// The operation Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait CrossEntropyOps: Backend {
    /// The operation behind [`crate::cross_entropy`](crate::cross_entropy()), where formula and shapes stand.
    fn elbo_cross_entropy(logits: FloatTensor<Self>, targets: Arc<[u32]>) -> FloatTensor<Self>;
}

impl CrossEntropyOps for Flex {
    fn elbo_cross_entropy(logits: FlexTensor, targets: Arc<[u32]>) -> FlexTensor {
        let logits = contiguous(logits);
        let mut terms = zeros(&[targets.len()]);
        rows::terms(flex_slice(&logits), &targets, flex_mut(&mut terms));
        terms
    }
}

impl<B: CrossEntropyOps + CrossEntropyKernels, C: CheckpointStrategy> CrossEntropyOps for Autodiff<B, C> {
    fn elbo_cross_entropy(logits: FloatTensor<Self>, targets: Arc<[u32]>) -> FloatTensor<Self> {
        let node = RowTermsNode.prepare::<C>([logits.node()]).compute_bound().stateful();
        let logits = logits.into_primitive();
        match node {
            OpsKind::Tracked(prep) => {
                let (terms, slopes) = B::cross_entropy_with_slopes(logits, &targets);
                prep.finish(slopes, terms)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::elbo_cross_entropy(logits, targets)),
        }
    }
}

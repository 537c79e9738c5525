//! How the embedding enters Burn; [`crate::extension`] explains the pattern.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use crate::by_entry;
use crate::extension::{contiguous, dims2, flex_slice, from_values};

/// The gradient on one backend's plain tensors.
pub trait EmbeddingKernels: Backend {
    /// The sum of the rows of `dy` that belong to each of `entries`.
    fn embedding_gradient(dy: FloatTensor<Self>, indices: &[u32], entries: usize) -> FloatTensor<Self>;
}

impl EmbeddingKernels for Flex {
    fn embedding_gradient(dy: FlexTensor, indices: &[u32], entries: usize) -> FlexTensor {
        let dy = contiguous(dy);
        let [_, width] = dims2(&dy);
        from_values(by_entry::sums(flex_slice(&dy), width, indices, entries).0, &[entries, width])
    }
}

/// The operation Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait EmbeddingOps: Backend {
    /// See [`crate::embedding`](crate::embedding()); `entries` is the table's length.
    fn elbo_embedding(table: FloatTensor<Self>, indices: Arc<[u32]>, entries: usize) -> FloatTensor<Self>;
}

impl EmbeddingOps for Flex {
    fn elbo_embedding(table: FlexTensor, indices: Arc<[u32]>, _: usize) -> FlexTensor {
        let table = contiguous(table);
        let [_, width] = dims2(&table);
        from_values(by_entry::gather(flex_slice(&table), width, &indices), &[indices.len(), width])
    }
}

#[derive(Debug)]
struct EmbeddingNode;

impl<B: EmbeddingKernels> Backward<B, 1> for EmbeddingNode {
    /// The indices and the number of entries.
    type State = (Arc<[u32]>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        let (indices, entries) = ops.state;
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::embedding_gradient(dy, &indices, entries));
        }
    }
}

impl<B: EmbeddingOps + EmbeddingKernels, C: CheckpointStrategy> EmbeddingOps for Autodiff<B, C> {
    fn elbo_embedding(table: FloatTensor<Self>, indices: Arc<[u32]>, entries: usize) -> FloatTensor<Self> {
        let node = EmbeddingNode.prepare::<C>([table.node()]).compute_bound().stateful();
        let table = table.into_primitive();
        let rows = B::elbo_embedding(table, Arc::clone(&indices), entries);
        match node {
            OpsKind::Tracked(prep) => prep.finish((indices, entries), rows),
            OpsKind::UnTracked(prep) => prep.finish(rows),
        }
    }
}

//! How attention enters Burn; [`crate::extension`] explains the pattern.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use super::backward;
use super::forward;
use super::shape::{AttentionShape, Strided};
use crate::extension::{contiguous, flex_slice, from_values, register};

/// The raw operations on one backend's plain tensors.
pub trait AttentionKernels: Backend {
    /// Returns `y` and the logarithms of each query's sum of exponentials.
    fn attention_forward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        causal: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Returns `dq`, `dk`, `dv`.
    fn attention_backward(saved: Saved<Self>, dy: FloatTensor<Self>) -> [FloatTensor<Self>; 3];

    /// Returns `y` and the logarithms of each query's sum, of queries, keys and values that lie together.
    fn self_attention_forward(mixed: FloatTensor<Self>, causal: bool) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Returns the gradient of what lies together.
    fn self_attention_backward(saved: SavedTogether<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What is kept for the backward pass.
#[derive(Debug, Clone)]
pub struct Saved<B: Backend> {
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    y: FloatTensor<B>,
    log_sums: FloatTensor<B>,
    causal: bool,
}

/// What is kept of queries, keys and values that lie together.
#[derive(Debug, Clone)]
pub struct SavedTogether<B: Backend> {
    mixed: FloatTensor<B>,
    y: FloatTensor<B>,
    log_sums: FloatTensor<B>,
    causal: bool,
}

/// Sizes of the attention within `[batch, tokens, 3 * heads, width]`, and its queries, keys and values.
fn together(mixed: &FlexTensor, causal: bool) -> (AttentionShape, [Strided<'_>; 3]) {
    let [batch, tokens, parts, width] = dims(mixed);
    let heads = parts / 3;
    let shape = AttentionShape { batch, heads, queries: tokens, keys: tokens, width, causal };
    let all = Strided::contiguous(flex_slice(mixed), [tokens, parts, width]);
    let part = |part: usize| Strided { start: part * heads * width, ..all };
    (shape, [0, 1, 2].map(part))
}

fn dims(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

fn shape_of(q: &FlexTensor, k: &FlexTensor, causal: bool) -> AttentionShape {
    let ([batch, queries, heads, width], [_, keys, ..]) = (dims(q), dims(k));
    AttentionShape { batch, heads, queries, keys, width, causal }
}

/// The tensor itself where the values of a head follow each other and no distance is negative; else a contiguous copy.
fn readable(tensor: FlexTensor) -> FlexTensor {
    let strides = tensor.layout().strides();
    let in_place = strides.iter().all(|stride| *stride >= 0) && (strides[3] == 1 || dims(&tensor)[3] == 1);
    if in_place { tensor } else { contiguous(tensor) }
}

fn strided(tensor: &FlexTensor) -> Strided<'_> {
    let strides = tensor.layout().strides();
    let strides = [strides[0], strides[1], strides[2]].map(isize::unsigned_abs);
    Strided { data: tensor.storage(), start: tensor.layout().start_offset(), strides }
}

impl AttentionKernels for Flex {
    fn attention_forward(q: FlexTensor, k: FlexTensor, v: FlexTensor, causal: bool) -> (FlexTensor, FlexTensor) {
        let [q, k, v] = [q, k, v].map(readable);
        let shape = shape_of(&q, &k, causal);
        let attended = forward::forward(&shape, strided(&q), strided(&k), strided(&v));
        let log_sums = from_values(attended.log_sums, &[shape.batch, shape.heads, shape.queries]);
        (from_values(attended.y, &dims(&q)), log_sums)
    }

    fn attention_backward(saved: Saved<Self>, dy: FlexTensor) -> [FlexTensor; 3] {
        let [q, k, v] = [saved.q, saved.k, saved.v].map(readable);
        let [y, log_sums, dy] = [saved.y, saved.log_sums, dy].map(contiguous);
        let shape = shape_of(&q, &k, saved.causal);
        let operands = backward::Saved {
            q: strided(&q),
            k: strided(&k),
            v: strided(&v),
            y: flex_slice(&y),
            log_sums: flex_slice(&log_sums),
            dy: flex_slice(&dy),
        };
        let [dq, dk, dv] = backward::backward(&shape, &operands);
        [from_values(dq, &dims(&q)), from_values(dk, &dims(&k)), from_values(dv, &dims(&v))]
    }

    fn self_attention_forward(mixed: FlexTensor, causal: bool) -> (FlexTensor, FlexTensor) {
        let mixed = contiguous(mixed);
        let (shape, [q, k, v]) = together(&mixed, causal);
        let attended = forward::forward(&shape, q, k, v);
        let AttentionShape { batch, heads, queries, width, .. } = shape;
        let log_sums = from_values(attended.log_sums, &[batch, heads, queries]);
        (from_values(attended.y, &[batch, queries, heads, width]), log_sums)
    }

    fn self_attention_backward(saved: SavedTogether<Self>, dy: FlexTensor) -> FlexTensor {
        let [mixed, y, log_sums, dy] = [saved.mixed, saved.y, saved.log_sums, dy].map(contiguous);
        let (shape, [q, k, v]) = together(&mixed, saved.causal);
        let (y, log_sums, dy) = (flex_slice(&y), flex_slice(&log_sums), flex_slice(&dy));
        let operands = backward::Saved { q, k, v, y, log_sums, dy };
        from_values(backward::backward_together(&shape, &operands), &dims(&mixed))
    }
}

/// The operation Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait AttentionOps: Backend {
    /// The operation behind [`crate::attention`](crate::attention()), where formula and shapes stand.
    fn elbo_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        causal: bool,
    ) -> FloatTensor<Self>;

    /// See [`crate::self_attention`].
    fn elbo_self_attention(mixed: FloatTensor<Self>, causal: bool) -> FloatTensor<Self>;
}

impl AttentionOps for Flex {
    fn elbo_attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, causal: bool) -> FlexTensor {
        Self::attention_forward(q, k, v, causal).0
    }

    fn elbo_self_attention(mixed: FlexTensor, causal: bool) -> FlexTensor {
        Self::self_attention_forward(mixed, causal).0
    }
}

#[derive(Debug)]
struct SelfAttentionNode;

impl<B: AttentionKernels> Backward<B, 1> for SelfAttentionNode {
    type State = SavedTogether<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::self_attention_backward(ops.state, dy));
        }
    }
}

#[derive(Debug)]
struct AttentionNode;

impl<B: AttentionKernels> Backward<B, 3> for AttentionNode {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [q_node, k_node, v_node] = ops.parents.map(|node| node.map(|node| node.id));
        let dy = gradients.consume::<B>(&ops.node);
        let [dq, dk, dv] = B::attention_backward(ops.state, dy);
        register::<B, 3>(gradients, [(q_node, Some(dq)), (k_node, Some(dk)), (v_node, Some(dv))]);
    }
}

impl<B: AttentionOps + AttentionKernels, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn elbo_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        causal: bool,
    ) -> FloatTensor<Self> {
        let node = AttentionNode.prepare::<C>([q.node(), k.node(), v.node()]).compute_bound().stateful();
        let [q, k, v] = [q, k, v].map(|tensor| tensor.into_primitive());
        let (y, log_sums) = B::attention_forward(q.clone(), k.clone(), v.clone(), causal);
        match node {
            OpsKind::Tracked(prep) => prep.finish(Saved { q, k, v, y: y.clone(), log_sums, causal }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn elbo_self_attention(mixed: FloatTensor<Self>, causal: bool) -> FloatTensor<Self> {
        let node = SelfAttentionNode.prepare::<C>([mixed.node()]).compute_bound().stateful();
        let mixed = mixed.into_primitive();
        let (y, log_sums) = B::self_attention_forward(mixed.clone(), causal);
        match node {
            OpsKind::Tracked(prep) => prep.finish(SavedTogether { mixed, y: y.clone(), log_sums, causal }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

//! How the normalisations of rows enter Burn; [`crate::extension`] explains the pattern.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use super::rows::{Normalisation, Upstream};
use crate::extension::{contiguous, dims2, flex_mut, flex_slice, from_values, register};

/// The raw operations on one backend's plain tensors; without a bias it is root-mean-square normalisation.
pub trait LayerNormKernels: Backend {
    /// Returns `y` and the statistics of each row.
    fn row_norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
        eps: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Returns `dx` (when asked), `dweight`, `dbias`.
    fn row_norm_backward(
        saved: Saved<Self>,
        dy: FloatTensor<Self>,
        need_dx: bool,
    ) -> (Option<FloatTensor<Self>>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What is kept for the backward pass.
#[derive(Debug, Clone)]
pub struct Saved<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    statistics: FloatTensor<B>,
    eps: f64,
}

impl LayerNormKernels for Flex {
    fn row_norm_forward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: Option<FlexTensor>,
        eps: f64,
    ) -> (FlexTensor, FlexTensor) {
        let (x, weight, bias) = (contiguous(x), contiguous(weight), bias.map(contiguous));
        let norm = Normalisation { weight: flex_slice(&weight), bias: bias.as_ref().map(flex_slice), eps };
        let (y, statistics) = norm.forward(flex_slice(&x));
        let [rows, width] = dims2(&x);
        (from_values(y, &[rows, width]), from_values(statistics, &[rows, 2]))
    }

    fn row_norm_backward(
        saved: Saved<Self>,
        dy: FlexTensor,
        need_dx: bool,
    ) -> (Option<FlexTensor>, FlexTensor, FlexTensor) {
        let Saved { x, weight, bias, statistics, eps } = saved;
        let [x, weight, statistics, mut dy] = [x, weight, statistics, dy].map(contiguous);
        let bias = bias.map(contiguous);
        let norm = Normalisation { weight: flex_slice(&weight), bias: bias.as_ref().map(flex_slice), eps };
        let own = need_dx && dy.is_unique();
        let upstream = match (need_dx, own) {
            (false, _) => Upstream::Last(flex_slice(&dy)),
            (true, false) => Upstream::Shared(flex_slice(&dy)),
            (true, true) => Upstream::Own(flex_mut(&mut dy)),
        };
        let found = norm.backward(flex_slice(&x), flex_slice(&statistics), upstream);
        let dx = if own { Some(dy) } else { found.dx.map(|dx| from_values(dx, &dims2(&x))) };
        let width = found.dweight.len();
        (dx, from_values(found.dweight, &[width]), from_values(found.dbias, &[width]))
    }
}

/// The operations Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait LayerNormOps: Backend {
    /// The operation behind [`crate::layer_norm`], where formula and shapes stand.
    fn elbo_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self>;

    /// The operation behind [`crate::rms_norm`], where formula and shapes stand.
    fn elbo_rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self>;
}

impl LayerNormOps for Flex {
    fn elbo_layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f64) -> FlexTensor {
        Self::row_norm_forward(x, weight, Some(bias), eps).0
    }

    fn elbo_rms_norm(x: FlexTensor, weight: FlexTensor, eps: f64) -> FlexTensor {
        Self::row_norm_forward(x, weight, None, eps).0
    }
}

#[derive(Debug)]
struct RowNormNode;

/// The gradients of `x`, weight and, where there is one, bias.
fn back<B: LayerNormKernels, const N: usize>(
    nodes: [Option<NodeId>; N],
    saved: Saved<B>,
    dy: FloatTensor<B>,
    gradients: &mut Gradients,
) {
    let (dx, dweight, dbias) = B::row_norm_backward(saved, dy, nodes[0].is_some());
    let mut found = [dx, Some(dweight), Some(dbias)].into_iter();
    register::<B, N>(gradients, nodes.map(|node| (node, found.next().flatten())));
}

impl<B: LayerNormKernels> Backward<B, 3> for RowNormNode {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<B>(&ops.node);
        back(ops.parents.map(|node| node.map(|node| node.id)), ops.state, dy, gradients);
    }
}

impl<B: LayerNormKernels> Backward<B, 2> for RowNormNode {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients.consume::<B>(&ops.node);
        back(ops.parents.map(|node| node.map(|node| node.id)), ops.state, dy, gradients);
    }
}

impl<B: LayerNormOps + LayerNormKernels, C: CheckpointStrategy> LayerNormOps for Autodiff<B, C> {
    fn elbo_layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        let parents = [x.node(), weight.node(), bias.node()];
        let node = Backward::<B, 3>::prepare::<C>(RowNormNode, parents).compute_bound().stateful();
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
        let (y, statistics) = B::row_norm_forward(x.clone(), weight.clone(), Some(bias.clone()), eps);
        match node {
            OpsKind::Tracked(prep) => prep.finish(Saved { x, weight, bias: Some(bias), statistics, eps }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn elbo_rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        let node = Backward::<B, 2>::prepare::<C>(RowNormNode, [x.node(), weight.node()]).compute_bound().stateful();
        let [x, weight] = [x, weight].map(|tensor| tensor.into_primitive());
        let (y, statistics) = B::row_norm_forward(x.clone(), weight.clone(), None, eps);
        match node {
            OpsKind::Tracked(prep) => prep.finish(Saved { x, weight, bias: None, statistics, eps }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

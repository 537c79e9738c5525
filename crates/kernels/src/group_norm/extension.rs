//! How group normalisation enters Burn; [`crate::extension`] explains the pattern.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use super::kernel::{self, Layer, Sizes};
use crate::activation::Activation;
use crate::extension::{contiguous, flex_mut, flex_slice, register, replaced, written_like, zeros_like};
use crate::fresh::Incoming;

/// The operation and its gradients on one backend's plain tensors.
pub trait GroupNormKernels: Backend {
    /// Returns `y`, and mean and biased variance of each group of each example for the backward pass.
    fn group_norm_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        settings: Settings,
    ) -> (FloatTensor<Self>, Vec<f64>);

    /// Returns `dx` (when asked), `dgamma`, `dbeta`.
    fn group_norm_backward(
        saved: Saved<Self>,
        dy: FloatTensor<Self>,
        need_dx: bool,
    ) -> (Option<FloatTensor<Self>>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What a group normalisation is told beside its tensors.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Groups of neighbouring channels.
    pub groups: usize,
    /// What is added to a variance before its root is taken.
    pub eps: f64,
    /// What follows the normalisation.
    pub activation: Activation,
}

/// What is kept for the backward pass.
#[derive(Debug, Clone)]
pub struct Saved<B: Backend> {
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    settings: Settings,
    /// As [`GroupNormKernels::group_norm_forward`] gives them.
    statistics: Vec<f64>,
}

impl Settings {
    /// The sizes of `x`, `[batch, height, width, channels]`.
    fn sizes(&self, x: &FlexTensor) -> Sizes {
        let shape = x.layout().shape();
        Sizes { batch: shape[0], pixels: shape[1] * shape[2], channels: shape[3], groups: self.groups }
    }

    fn layer<'a>(&self, gamma: &'a FlexTensor, beta: &'a FlexTensor) -> Layer<'a> {
        Layer { gamma: flex_slice(gamma), beta: flex_slice(beta), eps: self.eps, activation: self.activation }
    }
}

impl GroupNormKernels for Flex {
    fn group_norm_forward(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        settings: Settings,
    ) -> (FlexTensor, Vec<f64>) {
        let [x, gamma, beta] = [x, gamma, beta].map(contiguous);
        let (sizes, layer) = (settings.sizes(&x), settings.layer(&gamma, &beta));
        let mut statistics = vec![0f64; sizes.statistics()];
        // SAFETY: `forward` writes all of `y`.
        let y = unsafe { written_like(&x, |y| kernel::forward(sizes, layer, flex_slice(&x), y, &mut statistics)) };
        (y, statistics)
    }

    fn group_norm_backward(
        saved: Saved<Self>,
        dy: FlexTensor,
        need_dx: bool,
    ) -> (Option<FlexTensor>, FlexTensor, FlexTensor) {
        let Saved { x, gamma, beta, settings, statistics } = saved;
        let [x, gamma, beta] = [x, gamma, beta].map(contiguous);
        let (sizes, layer) = (settings.sizes(&x), settings.layer(&gamma, &beta));
        let run = |dy: Incoming<'_>| kernel::backward(sizes, layer, flex_slice(&x), &statistics, dy, need_dx);
        // SAFETY: `backward` takes all of it.
        let (dx, sums) = unsafe { replaced(dy, run) };
        let (mut dgamma, mut dbeta) = (zeros_like(&gamma), zeros_like(&beta));
        sums.store(flex_mut(&mut dgamma), flex_mut(&mut dbeta));
        (need_dx.then_some(dx), dgamma, dbeta)
    }
}

/// The operation Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait GroupNormOps: Backend {
    /// The operation behind [`crate::group_norm`](crate::group_norm()), where formula and shapes stand.
    fn elbo_group_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self>;
}

impl GroupNormOps for Flex {
    fn elbo_group_norm(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, settings: Settings) -> FlexTensor {
        Self::group_norm_forward(x, gamma, beta, settings).0
    }
}

#[derive(Debug)]
struct GroupNormNode;

impl<B: GroupNormKernels> Backward<B, 3> for GroupNormNode {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node] = ops.parents.map(|node| node.map(|node| node.id));
        let dy = gradients.consume::<B>(&ops.node);
        let (dx, dgamma, dbeta) = B::group_norm_backward(ops.state, dy, x_node.is_some());
        register::<B, 3>(gradients, [(x_node, dx), (gamma_node, Some(dgamma)), (beta_node, Some(dbeta))]);
    }
}

impl<B: GroupNormOps + GroupNormKernels, C: CheckpointStrategy> GroupNormOps for Autodiff<B, C> {
    fn elbo_group_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        settings: Settings,
    ) -> FloatTensor<Self> {
        let node = GroupNormNode.prepare::<C>([x.node(), gamma.node(), beta.node()]).compute_bound().stateful();
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
        let (y, statistics) = B::group_norm_forward(x.clone(), gamma.clone(), beta.clone(), settings);
        match node {
            OpsKind::Tracked(prep) => prep.finish(Saved { x, gamma, beta, settings, statistics }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

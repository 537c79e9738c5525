//! How batch normalisation enters Burn; [`crate::extension`] explains the pattern.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use super::statistics::Statistics;
use super::transform::Transform;
use crate::activation::Activation;
use crate::extension::{contiguous, flex_mut, flex_slice, register, replaced, written_like, zeros_like};
use crate::fresh::Incoming;

/// The operation and its gradients on one backend's plain tensors.
pub trait BatchNormKernels: Backend {
    /// Returns `dx` (when asked), `dgamma`, `dbeta`.
    fn batch_norm_backward(
        saved: Saved<Self>,
        dy: FloatTensor<Self>,
        need_dx: bool,
    ) -> (Option<FloatTensor<Self>>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What is kept for the backward pass.
#[derive(Debug, Clone)]
pub struct Saved<B: Backend> {
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    eps: f64,
    activation: Activation,
    /// Whether mean and variance are those of `x`.
    own_statistics: bool,
}

fn doubles(tensor: &FlexTensor) -> Vec<f64> {
    flex_slice(tensor).iter().map(|v| f64::from(*v)).collect()
}

impl BatchNormKernels for Flex {
    fn batch_norm_backward(
        saved: Saved<Self>,
        dy: FlexTensor,
        need_dx: bool,
    ) -> (Option<FlexTensor>, FlexTensor, FlexTensor) {
        let [x, gamma, beta, mean, variance] =
            [saved.x, saved.gamma, saved.beta, saved.mean, saved.variance].map(contiguous);
        let statistics = Statistics { mean: doubles(&mean), variance: doubles(&variance) };
        let transform = Transform::new(&statistics, flex_slice(&gamma), flex_slice(&beta), saved.eps, saved.activation);
        let (x, channels) = (flex_slice(&x), flex_slice(&gamma).len());
        let run = |dy: Incoming<'_>| {
            let sums = transform.sums(x, &dy);
            if need_dx {
                // SAFETY: `sums` took all of it.
                unsafe { transform.back(x, &dy, saved.own_statistics.then_some(&sums), channels) };
            }
            sums
        };
        // SAFETY: `sums` takes all of it.
        let (dx, sums) = unsafe { replaced(dy, run) };
        let (mut dgamma, mut dbeta) = (zeros_like(&gamma), zeros_like(&beta));
        sums.store(flex_mut(&mut dgamma), flex_mut(&mut dbeta));
        (need_dx.then_some(dx), dgamma, dbeta)
    }
}

/// The operations Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait BatchNormOps: Backend {
    /// The operation behind [`crate::batch_norm`], where formula and shapes stand.
    fn elbo_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The operation behind [`crate::batch_norm_inference`], where formula and shapes stand.
    fn elbo_batch_norm_inference(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

impl BatchNormOps for Flex {
    fn elbo_batch_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        eps: f64,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [x, gamma, beta] = [x, gamma, beta].map(contiguous);
        let statistics = Statistics::of(flex_slice(&x), flex_slice(&gamma).len());
        let (mut mean, mut variance) = (zeros_like(&gamma), zeros_like(&gamma));
        for (tensor, values) in [(&mut mean, &statistics.mean), (&mut variance, &statistics.variance)] {
            flex_mut(tensor).iter_mut().zip(values).for_each(|(out, value)| *out = *value as f32);
        }
        // The rounded statistics, for these are what the backward pass has.
        let y = Self::elbo_batch_norm_inference(x, gamma, beta, mean.clone(), variance.clone(), eps, activation);
        (y, mean, variance)
    }

    fn elbo_batch_norm_inference(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        eps: f64,
        activation: Activation,
    ) -> FlexTensor {
        let [x, gamma, beta, mean, variance] = [x, gamma, beta, mean, variance].map(contiguous);
        let statistics = Statistics { mean: doubles(&mean), variance: doubles(&variance) };
        let transform = Transform::new(&statistics, flex_slice(&gamma), flex_slice(&beta), eps, activation);
        // SAFETY: `apply` writes all of `y`.
        unsafe { written_like(&x, |y| transform.apply(flex_slice(&x), y)) }
    }
}

#[derive(Debug)]
struct BatchNormNode;

impl<B: BatchNormKernels> Backward<B, 3> for BatchNormNode {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node] = ops.parents.map(|node| node.map(|node| node.id));
        let dy = gradients.consume::<B>(&ops.node);
        let (dx, dgamma, dbeta) = B::batch_norm_backward(ops.state, dy, x_node.is_some());
        register::<B, 3>(gradients, [(x_node, dx), (gamma_node, Some(dgamma)), (beta_node, Some(dbeta))]);
    }
}

impl<B: BatchNormOps + BatchNormKernels, C: CheckpointStrategy> BatchNormOps for Autodiff<B, C> {
    fn elbo_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let node = BatchNormNode.prepare::<C>([x.node(), gamma.node(), beta.node()]).compute_bound().stateful();
        let (x, gamma, beta) = (x.into_primitive(), gamma.into_primitive(), beta.into_primitive());
        let (y, mean, variance) = B::elbo_batch_norm(x.clone(), gamma.clone(), beta.clone(), eps, activation);
        let statistics = (Self::from_inner(mean.clone()), Self::from_inner(variance.clone()));
        let y = match node {
            OpsKind::Tracked(prep) => {
                prep.finish(Saved { x, gamma, beta, mean, variance, eps, activation, own_statistics: true }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (y, statistics.0, statistics.1)
    }

    /// The statistics are constants: no gradient flows into them.
    fn elbo_batch_norm_inference(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let node = BatchNormNode.prepare::<C>([x.node(), gamma.node(), beta.node()]).compute_bound().stateful();
        let [x, gamma, beta, mean, variance] = [x, gamma, beta, mean, variance].map(|tensor| tensor.into_primitive());
        let y = B::elbo_batch_norm_inference(
            x.clone(),
            gamma.clone(),
            beta.clone(),
            mean.clone(),
            variance.clone(),
            eps,
            activation,
        );
        match node {
            OpsKind::Tracked(prep) => {
                prep.finish(Saved { x, gamma, beta, mean, variance, eps, activation, own_statistics: false }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

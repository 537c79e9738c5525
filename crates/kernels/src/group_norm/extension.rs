//! How group normalisation enters Burn; [`crate::extension`] explains the pattern.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use crate::activation::Activation;
use crate::batch_norm::statistics::Statistics;
use crate::batch_norm::transform::{Sums, Transform};
use crate::extension::{contiguous, flex_mut, flex_slice, register, zeros_like};
use crate::pool::{self, SharedMut};

/// Values that justify one more part.
const PART_VALUES: usize = 32_768;

/// The gradient on one backend's plain tensors.
pub trait GroupNormKernels: Backend {
    /// Returns `dx` (when asked), `dgamma`, `dbeta`.
    fn group_norm_backward(
        saved: Saved<Self>,
        dy: FloatTensor<Self>,
        need_dx: bool,
    ) -> (Option<FloatTensor<Self>>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What is kept for the backward pass, which takes the statistics again: one pass over an example that is in the cache.
#[derive(Debug, Clone)]
pub struct Saved<B: Backend> {
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    groups: usize,
    eps: f64,
    activation: Activation,
}

/// The parameters of a pass, by which each example is transformed.
struct Pass<'a> {
    groups: usize,
    gamma: &'a [f32],
    beta: &'a [f32],
    eps: f64,
    activation: Activation,
}

impl Pass<'_> {
    fn transform(&self, x: &[f32]) -> Transform {
        let statistics = Statistics::of(x, self.gamma.len()).over_groups(self.groups);
        Transform::new(&statistics, self.gamma, self.beta, self.eps, self.activation)
    }

    /// Calls `work(example, transform)` for each of the examples in `x`, on all threads.
    fn for_examples(&self, x: &FlexTensor, work: impl Fn(usize, &[f32], Transform) + Sync) {
        let batch = x.layout().shape()[0];
        let (x, values) = (flex_slice(x), example_values(x));
        let parts = pool::parts_for(batch, values, PART_VALUES, 1);
        pool::run(parts, |part| {
            for example in pool::part_range(batch, parts, part, 1) {
                let x = &x[example * values..(example + 1) * values];
                work(example, x, self.transform(x));
            }
        });
    }
}

fn example_values(x: &FlexTensor) -> usize {
    x.layout().shape()[1..].iter().product()
}

impl GroupNormKernels for Flex {
    fn group_norm_backward(
        saved: Saved<Self>,
        dy: FlexTensor,
        need_dx: bool,
    ) -> (Option<FlexTensor>, FlexTensor, FlexTensor) {
        let Saved { x, gamma, beta, groups, eps, activation } = saved;
        let [x, gamma, beta, mut dy] = [x, gamma, beta, dy].map(contiguous);
        let pass = Pass { groups, gamma: flex_slice(&gamma), beta: flex_slice(&beta), eps, activation };
        let (batch, channels, values) = (x.layout().shape()[0], pass.gamma.len(), example_values(&x));
        // One row of sums an example, added up in the examples' order.
        let mut sums = vec![0f64; batch * 2 * channels];
        let (rows, slopes) = (SharedMut::new(&mut sums), SharedMut::new(flex_mut(&mut dy)));
        pass.for_examples(&x, |example, x, transform| {
            // SAFETY: each example owns its values and its sums, and the buffers outlive the region.
            let (dy, row) = unsafe {
                let row = rows.slice(example * 2 * channels..(example + 1) * 2 * channels);
                (slopes.slice(example * values..(example + 1) * values), row)
            };
            let sums = transform.sums(x, dy);
            if need_dx {
                transform.back(x, dy, Some(&sums), groups);
            }
            row[..channels].copy_from_slice(&sums.gamma);
            row[channels..].copy_from_slice(&sums.beta);
        });
        let mut total = vec![0f64; 2 * channels];
        for row in sums.chunks_exact(2 * channels) {
            total.iter_mut().zip(row).for_each(|(total, value)| *total += value);
        }
        let (mut dgamma, mut dbeta) = (zeros_like(&gamma), zeros_like(&beta));
        let total_beta = total.split_off(channels);
        Sums { gamma: total, beta: total_beta }.store(flex_mut(&mut dgamma), flex_mut(&mut dbeta));
        (need_dx.then_some(dy), dgamma, dbeta)
    }
}

/// The operation Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait GroupNormOps: Backend {
    /// See [`crate::group_norm`].
    fn elbo_group_norm(
        x: FloatTensor<Self>,
        groups: usize,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

impl GroupNormOps for Flex {
    fn elbo_group_norm(
        x: FlexTensor,
        groups: usize,
        gamma: FlexTensor,
        beta: FlexTensor,
        eps: f64,
        activation: Activation,
    ) -> FlexTensor {
        let [x, gamma, beta] = [x, gamma, beta].map(contiguous);
        let pass = Pass { groups, gamma: flex_slice(&gamma), beta: flex_slice(&beta), eps, activation };
        let (mut y, values) = (zeros_like(&x), example_values(&x));
        let target = SharedMut::new(flex_mut(&mut y));
        pass.for_examples(&x, |example, x, transform| {
            // SAFETY: each example owns its values, and the buffer outlives the region.
            transform.apply(x, unsafe { target.slice(example * values..(example + 1) * values) });
        });
        y
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
        groups: usize,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f64,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let node = GroupNormNode.prepare::<C>([x.node(), gamma.node(), beta.node()]).compute_bound().stateful();
        let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
        let y = B::elbo_group_norm(x.clone(), groups, gamma.clone(), beta.clone(), eps, activation);
        match node {
            OpsKind::Tracked(prep) => prep.finish(Saved { x, gamma, beta, groups, eps, activation }, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

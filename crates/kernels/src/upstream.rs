//! A backward pass that begins with a given gradient.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::{Gradients, Tensor};
use burn_flex::FlexTensor;

use crate::extension::{Router, is_fused, zeros};

/// The gradients of `sum(y dy)`: of everything that `y` was computed from, given `dy = dL/dy` of a
/// loss computed elsewhere.
///
/// PyTorch's `y.backward(dy)`, a vector-Jacobian product. The sum itself is not computed.
///
/// # Shapes
/// - `y`, `dy`: one shape; no gradient flows into `dy`
///
/// # Panics
/// If the shapes differ, or nothing that `y` was computed from asks for a gradient.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::backward_from;
///
/// let device = Device::default().autodiff();
/// let x = Tensor::<1>::from_data([1.0, 2.0], &device).require_grad();
/// let gradients = backward_from(x.clone() * 3.0, Tensor::from_data([10.0, -1.0], &device));
/// assert_eq!(x.grad(&gradients).unwrap().into_data().to_vec::<f32>().unwrap(), [30.0, -3.0]);
/// ```
pub fn backward_from<const D: usize>(y: Tensor<D>, dy: Tensor<D>) -> Gradients {
    assert_eq!(y.dims(), dy.dims(), "a gradient for each value");
    if !is_fused(&y) {
        return (y * dy.detach()).sum().backward();
    }
    Tensor::<1>::from_dispatch(Router::elbo_upstream(y.into_dispatch(), dy.into_dispatch())).backward()
}

/// The operation Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait UpstreamOps: Backend {
    /// One zero, whose gradient by `y` is `dy`.
    fn elbo_upstream(y: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl UpstreamOps for Flex {
    fn elbo_upstream(_: FlexTensor, _: FlexTensor) -> FlexTensor {
        zeros(&[1])
    }
}

#[derive(Debug)]
struct UpstreamNode;

impl<B: Backend> Backward<B, 1> for UpstreamNode {
    /// `dy`.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut grads::Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        // That of the zero is 1: nothing stands above it.
        gradients.consume::<B>(&ops.node);
        if let Some(node) = node {
            gradients.register::<B>(node.id, ops.state);
        }
    }
}

impl<B: UpstreamOps, C: CheckpointStrategy> UpstreamOps for Autodiff<B, C> {
    fn elbo_upstream(y: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = UpstreamNode.prepare::<C>([y.node()]).compute_bound().stateful();
        let (y, dy) = (y.into_primitive(), dy.into_primitive());
        let zero = B::elbo_upstream(y, dy.clone());
        match node {
            OpsKind::Tracked(prep) => prep.finish(dy, zero),
            OpsKind::UnTracked(prep) => prep.finish(zero),
        }
    }
}

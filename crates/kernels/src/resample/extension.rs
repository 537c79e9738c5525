//! How the changes of resolution enter Burn; [`crate::extension`] explains the pattern.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use super::kernel::{self, Sizes};
use crate::extension::{contiguous, flex_slice, from_values};
use crate::fresh::written;

/// Which way a layer leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Larger, by [`crate::upsample_nearest`].
    Up,
    /// Smaller, by [`crate::average_pool`].
    Down,
}

/// One pass over a batch, forwards or backwards.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    direction: Direction,
    sizes: Sizes,
}

/// The passes on one backend's plain tensors.
pub trait ResampleKernels: Backend {
    /// The pass that a layer of `factor` makes over `x`.
    fn resample_pass(x: &FloatTensor<Self>, factor: [usize; 2], direction: Direction) -> Pass;

    /// The layer's output.
    fn resample_forward(x: FloatTensor<Self>, pass: Pass) -> FloatTensor<Self>;

    /// The gradient of `x`.
    fn resample_backward(dy: FloatTensor<Self>, pass: Pass) -> FloatTensor<Self>;
}

impl Pass {
    /// What a window's values are divided by: its size in a mean, 1 in a copy.
    fn divisor(self) -> f32 {
        match self.direction {
            Direction::Up => 1.0,
            Direction::Down => (self.sizes.factor[0] * self.sizes.factor[1]) as f32,
        }
    }

    fn dims(self, [height, width]: [usize; 2]) -> [usize; 4] {
        [self.sizes.batch, height, width, self.sizes.channels]
    }

    /// From small images to large ones.
    fn spread(self, small: FlexTensor) -> FlexTensor {
        let (small, sizes) = (contiguous(small), self.sizes);
        let write = |large: &mut [_]| kernel::spread(sizes, flex_slice(&small), self.divisor(), large);
        // SAFETY: `spread` writes all of it.
        from_values(unsafe { written(sizes.large_values(), write) }, &self.dims(sizes.large))
    }

    /// From large images to small ones.
    fn gather(self, large: FlexTensor) -> FlexTensor {
        let (large, sizes) = (contiguous(large), self.sizes);
        let write = |small: &mut [_]| kernel::gather(sizes, flex_slice(&large), self.divisor(), small);
        // SAFETY: `gather` writes all of it.
        from_values(unsafe { written(sizes.small_values(), write) }, &self.dims(sizes.small()))
    }
}

impl ResampleKernels for Flex {
    fn resample_pass(x: &FlexTensor, factor: [usize; 2], direction: Direction) -> Pass {
        let shape = x.layout().shape();
        let large = match direction {
            Direction::Up => [shape[1] * factor[0], shape[2] * factor[1]],
            Direction::Down => [shape[1], shape[2]],
        };
        Pass { direction, sizes: Sizes { batch: shape[0], large, factor, channels: shape[3] } }
    }

    fn resample_forward(x: FlexTensor, pass: Pass) -> FlexTensor {
        match pass.direction {
            Direction::Up => pass.spread(x),
            Direction::Down => pass.gather(x),
        }
    }

    fn resample_backward(dy: FlexTensor, pass: Pass) -> FlexTensor {
        match pass.direction {
            Direction::Up => pass.gather(dy),
            Direction::Down => pass.spread(dy),
        }
    }
}

/// The operations Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait ResampleOps: Backend {
    /// The operation behind [`crate::upsample_nearest`], where formula and shapes stand.
    fn elbo_upsample_nearest(x: FloatTensor<Self>, factor: [usize; 2]) -> FloatTensor<Self>;

    /// The operation behind [`crate::average_pool`], where formula and shapes stand.
    fn elbo_average_pool(x: FloatTensor<Self>, factor: [usize; 2]) -> FloatTensor<Self>;
}

impl ResampleOps for Flex {
    fn elbo_upsample_nearest(x: FlexTensor, factor: [usize; 2]) -> FlexTensor {
        let pass = Self::resample_pass(&x, factor, Direction::Up);
        Self::resample_forward(x, pass)
    }

    fn elbo_average_pool(x: FlexTensor, factor: [usize; 2]) -> FlexTensor {
        let pass = Self::resample_pass(&x, factor, Direction::Down);
        Self::resample_forward(x, pass)
    }
}

#[derive(Debug)]
struct ResampleNode;

impl<B: ResampleKernels> Backward<B, 1> for ResampleNode {
    type State = Pass;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let dy = gradients.consume::<B>(&ops.node);
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::resample_backward(dy, ops.state));
        }
    }
}

/// Runs a layer and, if anybody wants gradients, puts it into the graph.
fn tracked<B: ResampleKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    factor: [usize; 2],
    direction: Direction,
) -> FloatTensor<Autodiff<B, C>> {
    let node = ResampleNode.prepare::<C>([x.node()]).compute_bound().stateful();
    let x = x.into_primitive();
    let pass = B::resample_pass(&x, factor, direction);
    let y = B::resample_forward(x, pass);
    match node {
        OpsKind::Tracked(prep) => prep.finish(pass, y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

impl<B: ResampleOps + ResampleKernels, C: CheckpointStrategy> ResampleOps for Autodiff<B, C> {
    fn elbo_upsample_nearest(x: FloatTensor<Self>, factor: [usize; 2]) -> FloatTensor<Self> {
        tracked::<B, C>(x, factor, Direction::Up)
    }

    fn elbo_average_pool(x: FloatTensor<Self>, factor: [usize; 2]) -> FloatTensor<Self> {
        tracked::<B, C>(x, factor, Direction::Down)
    }
}

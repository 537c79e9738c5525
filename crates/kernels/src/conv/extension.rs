//! How the convolutions enter Burn; [`crate::extension`] explains the pattern.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn_flex::FlexTensor;

use super::engine::Engine;
use super::epilogue::{self, Epilogue};
use super::shape::{ConvGeometry, ConvShape, ConvTransposeGeometry, Extent};
use super::to_image::to_image;
use super::to_map::to_map;
use super::weight_gradient::weight_gradient;
use crate::activation::Activation;
use crate::extension::{contiguous, flex_mut, flex_slice, register, zeros};

/// Which way a layer leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The geometry of [`crate::conv2d`].
    Plain(ConvGeometry<[usize; 2]>),
    /// The geometry of [`crate::conv_transpose2d`].
    Transposed(ConvTransposeGeometry<[usize; 2]>),
}

/// The layer and its gradients on one backend's plain tensors.
pub trait ConvKernels: Backend {
    /// Returns `y` and, if `keep`, what the backward pass wants saved beside `x` and `weight`: nothing without activation,
    /// else `y` or the value before it.
    fn conv_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        direction: Direction,
        activation: Activation,
        keep: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);

    /// Returns `dx` and `dweight` (when asked) and `dbias`.
    fn conv_backward(saved: Saved<Self>, dy: FloatTensor<Self>, needed: Needed) -> ConvGradients<Self>;
}

/// What a layer keeps for its backward pass.
#[derive(Debug, Clone)]
pub struct Saved<B: Backend> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    output: Option<FloatTensor<B>>,
    direction: Direction,
    activation: Activation,
}

/// Which gradients somebody waits for.
#[derive(Debug, Clone, Copy)]
pub struct Needed {
    x: bool,
    weight: bool,
}

/// The gradients of a layer.
pub struct ConvGradients<B: Backend> {
    x: Option<FloatTensor<B>>,
    weight: Option<FloatTensor<B>>,
    bias: FloatTensor<B>,
}

impl Direction {
    /// The sizes of a layer from the shapes of `x` and `weight`, which [`super::ops`] has checked.
    fn shape(self, x: [usize; 4], weight: [usize; 4]) -> ConvShape {
        let ([batch, height, width, channels], [_, _, rows, cols]) = (x, weight);
        let near = Extent { height, width, channels };
        let size = match self {
            Self::Plain(geometry) => geometry.output_size([near.height, near.width], [rows, cols]),
            Self::Transposed(geometry) => geometry.output_size([near.height, near.width], [rows, cols]),
        };
        let [height, width] = size.expect("the public functions check sizes");
        let far = Extent { height, width, channels: weight[if self.is_plain() { 0 } else { 1 }] };
        let ConvGeometry { stride, padding } = match self {
            Self::Plain(geometry) => geometry,
            Self::Transposed(geometry) => geometry.forward(),
        };
        let (image, map) = if self.is_plain() { (near, far) } else { (far, near) };
        ConvShape { batch, image, map, kernel: [rows, cols], stride, padding }
    }

    fn is_plain(self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

fn dims4(tensor: &FlexTensor) -> [usize; 4] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

impl ConvKernels for Flex {
    fn conv_forward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        direction: Direction,
        activation: Activation,
        keep: bool,
    ) -> (FlexTensor, Option<FlexTensor>) {
        let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
        let shape = direction.shape(dims4(&x), dims4(&weight));
        let out = if direction.is_plain() { shape.map } else { shape.image };
        let dims = [shape.batch, out.height, out.width, out.channels];
        let mut y = zeros(&dims);
        let mut pre = (keep && activation.derivative_needs_input()).then(|| zeros(&dims));
        let run = if direction.is_plain() { to_map } else { to_image };
        run(
            Engine::wanted(),
            &shape,
            flex_slice(&x),
            flex_slice(&weight),
            &Epilogue::new(flex_slice(&bias), activation),
            flex_mut(&mut y),
            pre.as_mut().map(flex_mut),
        );
        let saved = pre.or_else(|| (keep && activation != Activation::None).then(|| y.clone()));
        (y, saved)
    }

    fn conv_backward(saved: Saved<Self>, dy: FlexTensor, needed: Needed) -> ConvGradients<Self> {
        let Saved { x, weight, output, direction, activation } = saved;
        let (x, weight, dy) = (contiguous(x), contiguous(weight), contiguous(dy));
        let (x_dims, weight_dims) = (dims4(&x), dims4(&weight));
        let shape = direction.shape(x_dims, weight_dims);
        let (dpre, bias) = before_activation(dy, output, activation);

        let (x, weight, slopes) = (flex_slice(&x), flex_slice(&weight), flex_slice(&dpre));
        let dweight = needed.weight.then(|| {
            let mut dweight = zeros(&weight_dims);
            let (image, map) = if direction.is_plain() { (x, slopes) } else { (slopes, x) };
            weight_gradient(Engine::wanted(), &shape, image, map, flex_mut(&mut dweight));
            dweight
        });
        let dx = needed.x.then(|| {
            let mut dx = zeros(&x_dims);
            let run = if direction.is_plain() { to_image } else { to_map };
            run(Engine::wanted(), &shape, slopes, weight, &Epilogue::none(), flex_mut(&mut dx), None);
            dx
        });
        ConvGradients { x: dx, weight: dweight, bias }
    }
}

/// The gradient before the activation, and its sum over all pixels, the bias's.
fn before_activation(dy: FlexTensor, output: Option<FlexTensor>, activation: Activation) -> (FlexTensor, FlexTensor) {
    let dims = dims4(&dy);
    let mut dbias = zeros(&dims[3..]);
    let Some(output) = output else {
        epilogue::bias_gradient(flex_slice(&dy), flex_mut(&mut dbias));
        return (dy, dbias);
    };
    let (output, mut dpre) = (contiguous(output), zeros(&dims));
    let (dy, output) = (flex_slice(&dy), flex_slice(&output));
    epilogue::through_activation(dy, output, activation, flex_mut(&mut dpre), flex_mut(&mut dbias));
    (dpre, dbias)
}

/// The operations Burn dispatches.
#[backend_extension(Autodiff, Flex)]
pub trait ConvOps: Backend {
    /// The operation behind [`crate::conv2d`], where formula and shapes stand.
    fn elbo_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry<[usize; 2]>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The operation behind [`crate::conv_transpose2d`], where formula and shapes stand.
    fn elbo_conv_transpose2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvTransposeGeometry<[usize; 2]>,
        activation: Activation,
    ) -> FloatTensor<Self>;
}

impl ConvOps for Flex {
    fn elbo_conv2d(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        geometry: ConvGeometry<[usize; 2]>,
        activation: Activation,
    ) -> FlexTensor {
        Self::conv_forward(x, weight, bias, Direction::Plain(geometry), activation, false).0
    }

    fn elbo_conv_transpose2d(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        geometry: ConvTransposeGeometry<[usize; 2]>,
        activation: Activation,
    ) -> FlexTensor {
        Self::conv_forward(x, weight, bias, Direction::Transposed(geometry), activation, false).0
    }
}

#[derive(Debug)]
struct ConvNode;

impl<B: ConvKernels> Backward<B, 3> for ConvNode {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents.map(|node| node.map(|node| node.id));
        let dy = gradients.consume::<B>(&ops.node);
        let needed = Needed { x: x_node.is_some(), weight: weight_node.is_some() };
        let found = B::conv_backward(ops.state, dy, needed);
        let bias = Some(found.bias);
        register::<B, 3>(gradients, [(x_node, found.x), (weight_node, found.weight), (bias_node, bias)]);
    }
}

/// Runs a layer and, if anybody wants gradients, puts it into the graph.
fn tracked<B: ConvKernels, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
    direction: Direction,
    activation: Activation,
) -> FloatTensor<Autodiff<B, C>> {
    let node = ConvNode.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful();
    let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
    match node {
        OpsKind::Tracked(prep) => {
            let (y, output) = B::conv_forward(x.clone(), weight.clone(), bias, direction, activation, true);
            prep.finish(Saved { x, weight, output, direction, activation }, y)
        }
        OpsKind::UnTracked(prep) => prep.finish(B::conv_forward(x, weight, bias, direction, activation, false).0),
    }
}

impl<B: ConvOps + ConvKernels, C: CheckpointStrategy> ConvOps for Autodiff<B, C> {
    fn elbo_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry<[usize; 2]>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        tracked::<B, C>(x, weight, bias, Direction::Plain(geometry), activation)
    }

    fn elbo_conv_transpose2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvTransposeGeometry<[usize; 2]>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        tracked::<B, C>(x, weight, bias, Direction::Transposed(geometry), activation)
    }
}

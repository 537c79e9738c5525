//! How the kernels enter Burn: one extension trait, its Flex implementation and its place in the autodiff graph.
//!
//! [`Kernels`] holds the raw operations, forward and backward, for plain tensors. [`FusedOps`] is what Burn dispatches: on a
//! plain backend it calls the forward kernel, on `Autodiff` it also registers the backward kernel. Only Flex implements
//! them; the public functions in [`crate::ops`] ask [`is_fused`] first and run the plain twin anywhere else.

use std::mem::MaybeUninit;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, DispatchDevice, DispatchTensorKind, Flex, backend_extension};
use burn::tensor::{DType, Tensor, TensorData};
use burn_flex::FlexTensor;

use crate::activation::Activation;
use crate::fresh::{self, Incoming};
use crate::likelihood::Reconstruction;
use crate::linear::{self, LinearShape};
use crate::{latent, likelihood, pool};

/// Whether `tensor` is one the kernels take: float32 on the Flex CPU backend.
pub(crate) fn is_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && matches!(tensor.device().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// The Flex tensor inside a plain (not autodiff) tensor, contiguous.
pub(crate) fn into_flex<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    match tensor.into_dispatch().kind {
        DispatchTensorKind::Flex(inner) => contiguous(inner.float()),
        #[allow(unreachable_patterns, reason = "other backends exist when their features are on")]
        _ => unreachable!("`is_fused` is asked before"),
    }
}

/// Wraps a Flex tensor again.
pub(crate) fn from_flex<const D: usize>(tensor: FlexTensor) -> Tensor<D> {
    Tensor::from_dispatch(burn::backend::DispatchTensor {
        kind: DispatchTensorKind::Flex(burn::backend::BackendTensor::Float(tensor)),
        autodiff: burn::backend::DispatchAutodiffContext::Disabled,
    })
}

/// A contiguous tensor whose buffer holds exactly its elements.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let exact = tensor.bytes().len() == tensor.layout().num_elements() * size_of::<f32>();
    if exact && tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The elements of a contiguous tensor.
pub(crate) fn flex_slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("made contiguous, float32 by `is_fused`")
}

/// The elements of a contiguous tensor for writing; copies first if the storage is shared.
pub(crate) fn flex_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    tensor.storage_mut()
}

/// A tensor of zeros. From a `Vec<f32>`: `FlexTensor::empty` starts from bytes and copies them once more for alignment.
pub(crate) fn zeros(shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(pool::zeros(shape.iter().product()), shape.to_vec()))
}

/// The values as a tensor, without a copy.
pub(crate) fn from_values(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
}

/// A tensor of zeros in the shape of another.
pub(crate) fn zeros_like(tensor: &FlexTensor) -> FlexTensor {
    zeros(&tensor.layout().shape()[..])
}

/// A tensor in the shape of another that `write` fills.
///
/// # Safety
/// `write` writes all of it.
pub(crate) unsafe fn written_like(tensor: &FlexTensor, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> FlexTensor {
    let shape = tensor.layout().shape().to_vec();
    // SAFETY: the caller's promise.
    let values = unsafe { fresh::written(shape.iter().product(), write) };
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The gradient that `work` makes of `dy`, in its memory where nobody else holds that, and what `work` returns.
///
/// # Safety
/// `work` takes every value of what it gets.
pub(crate) unsafe fn replaced<R>(dy: FlexTensor, work: impl FnOnce(Incoming<'_>) -> R) -> (FlexTensor, R) {
    let mut dy = contiguous(dy);
    if dy.is_unique() {
        let result = work(Incoming::in_place(flex_mut(&mut dy)));
        return (dy, result);
    }
    let mut result = None;
    // SAFETY: the caller's promise.
    let dx = unsafe { written_like(&dy, |place| result = Some(work(Incoming::apart(flex_slice(&dy), place)))) };
    (dx, result.expect("`written_like` called it"))
}

/// Adds the gradients that were computed to those of the parents that want them.
pub(crate) fn register<B: Backend, const N: usize>(
    gradients: &mut Gradients,
    found: [(Option<NodeId>, Option<FloatTensor<B>>); N],
) {
    for (node, gradient) in found {
        if let (Some(node), Some(gradient)) = (node, gradient) {
            gradients.register::<B>(node, gradient);
        }
    }
}

pub(crate) fn dims2(tensor: &FlexTensor) -> [usize; 2] {
    let shape = tensor.layout().shape();
    [shape[0], shape[1]]
}

/// The raw operations on one backend's plain tensors.
pub trait Kernels: Backend {
    /// Returns `y` and what the backward pass wants saved: `y` itself or, if `keep`, the value before the activation.
    fn linear_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
        keep: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Returns `dx` (when asked), `dweight`, `dbias`.
    fn linear_backward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        saved: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        activation: Activation,
        need_dx: bool,
    ) -> (Option<FloatTensor<Self>>, FloatTensor<Self>, FloatTensor<Self>);

    /// Returns the term of each row and, when asked, its gradient by the parameters.
    fn likelihood_rows(
        term: Reconstruction,
        parameters: FloatTensor<Self>,
        x: FloatTensor<Self>,
        need_gradient: bool,
    ) -> (FloatTensor<Self>, Option<FloatTensor<Self>>);

    /// Multiplies row `i` of `values` by `factors[i]`.
    fn scale_rows(values: FloatTensor<Self>, factors: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The KL terms, element by element.
    fn kl_forward(mean: FloatTensor<Self>, log_var: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Returns `dmean`, `dlog_var`.
    fn kl_backward(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        dkl: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `mean + exp(log_var / 2) * noise`.
    fn sample_forward(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        noise: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Returns `dlog_var`; `dmean` is `dz`.
    fn sample_backward(
        log_var: FloatTensor<Self>,
        noise: FloatTensor<Self>,
        dz: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl Kernels for Flex {
    fn linear_forward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        activation: Activation,
        keep: bool,
    ) -> (FlexTensor, FlexTensor) {
        let (x, weight, bias) = (contiguous(x), contiguous(weight), contiguous(bias));
        let ([batch, inputs], [outputs, _]) = (dims2(&x), dims2(&weight));
        let shape = LinearShape { batch, inputs, outputs };
        let mut y = zeros(&[batch, outputs]);
        let mut pre = (keep && activation.derivative_needs_input()).then(|| zeros(&[batch, outputs]));
        linear::forward(
            shape,
            flex_slice(&x),
            flex_slice(&weight),
            flex_slice(&bias),
            activation,
            flex_mut(&mut y),
            pre.as_mut().map(flex_mut),
        );
        let saved = pre.unwrap_or_else(|| y.clone());
        (y, saved)
    }

    fn linear_backward(
        x: FlexTensor,
        weight: FlexTensor,
        saved: FlexTensor,
        dy: FlexTensor,
        activation: Activation,
        need_dx: bool,
    ) -> (Option<FlexTensor>, FlexTensor, FlexTensor) {
        let (x, weight, saved, dy) = (contiguous(x), contiguous(weight), contiguous(saved), contiguous(dy));
        let ([batch, inputs], [outputs, _]) = (dims2(&x), dims2(&weight));
        let (mut dweight, mut dbias) = (zeros(&[outputs, inputs]), zeros(&[outputs]));
        let mut dx = need_dx.then(|| zeros(&[batch, inputs]));
        linear::backward(
            LinearShape { batch, inputs, outputs },
            flex_slice(&x),
            flex_slice(&weight),
            flex_slice(&saved),
            flex_slice(&dy),
            activation,
            linear::Gradients {
                dx: dx.as_mut().map(flex_mut),
                dweight: flex_mut(&mut dweight),
                dbias: flex_mut(&mut dbias),
            },
        );
        (dx, dweight, dbias)
    }

    fn likelihood_rows(
        term: Reconstruction,
        parameters: FlexTensor,
        x: FlexTensor,
        need_gradient: bool,
    ) -> (FlexTensor, Option<FlexTensor>) {
        let (parameters, x) = (contiguous(parameters), contiguous(x));
        let ([_, width], outputs) = (dims2(&x), dims2(&parameters));
        let mut sums = zeros(&outputs[..1]);
        let mut gradient = need_gradient.then(|| zeros(&outputs));
        likelihood::rows(
            term,
            width,
            flex_slice(&parameters),
            flex_slice(&x),
            flex_mut(&mut sums),
            gradient.as_mut().map(flex_mut),
        );
        (sums, gradient)
    }

    fn scale_rows(values: FlexTensor, factors: FlexTensor) -> FlexTensor {
        let (mut values, factors) = (contiguous(values), contiguous(factors));
        let [_, width] = dims2(&values);
        likelihood::scale_rows(flex_mut(&mut values), width, flex_slice(&factors));
        values
    }

    fn kl_forward(mean: FlexTensor, log_var: FlexTensor) -> FlexTensor {
        let (mean, log_var) = (contiguous(mean), contiguous(log_var));
        let mut out = zeros(&dims2(&mean));
        latent::kl(flex_slice(&mean), flex_slice(&log_var), flex_mut(&mut out));
        out
    }

    fn kl_backward(mean: FlexTensor, log_var: FlexTensor, dkl: FlexTensor) -> (FlexTensor, FlexTensor) {
        let (mean, log_var, dkl) = (contiguous(mean), contiguous(log_var), contiguous(dkl));
        let (mut dmean, mut dlog_var) = (zeros(&dims2(&mean)), zeros(&dims2(&mean)));
        latent::kl_gradient(
            flex_slice(&mean),
            flex_slice(&log_var),
            flex_slice(&dkl),
            flex_mut(&mut dmean),
            flex_mut(&mut dlog_var),
        );
        (dmean, dlog_var)
    }

    fn sample_forward(mean: FlexTensor, log_var: FlexTensor, noise: FlexTensor) -> FlexTensor {
        let (mean, log_var, noise) = (contiguous(mean), contiguous(log_var), contiguous(noise));
        let mut z = zeros(&dims2(&mean));
        latent::sample(flex_slice(&mean), flex_slice(&log_var), flex_slice(&noise), flex_mut(&mut z));
        z
    }

    fn sample_backward(log_var: FlexTensor, noise: FlexTensor, dz: FlexTensor) -> FlexTensor {
        let (log_var, noise, dz) = (contiguous(log_var), contiguous(noise), contiguous(dz));
        let mut dlog_var = zeros(&dims2(&log_var));
        latent::sample_gradient(flex_slice(&log_var), flex_slice(&noise), flex_slice(&dz), flex_mut(&mut dlog_var));
        dlog_var
    }
}

/// The operations Burn dispatches; the names are prefixed because they must differ from every `Backend` method.
#[backend_extension(Autodiff, Flex)]
pub trait FusedOps: Backend {
    /// The operation behind [`crate::linear`](crate::linear()), where formula and shapes stand.
    fn elbo_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The operation behind [`crate::reconstruction`], where formula and shapes stand.
    fn elbo_likelihood(parameters: FloatTensor<Self>, x: FloatTensor<Self>, term: Reconstruction) -> FloatTensor<Self>;

    /// The operation behind [`crate::gaussian_kl`], where formula and shapes stand.
    fn elbo_gaussian_kl(mean: FloatTensor<Self>, log_var: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The operation behind [`crate::reparameterize`], where formula and shapes stand.
    fn elbo_reparameterize(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        noise: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl FusedOps for Flex {
    fn elbo_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, activation: Activation) -> FlexTensor {
        Self::linear_forward(x, weight, bias, activation, false).0
    }

    fn elbo_likelihood(parameters: FlexTensor, x: FlexTensor, term: Reconstruction) -> FlexTensor {
        Self::likelihood_rows(term, parameters, x, false).0
    }

    fn elbo_gaussian_kl(mean: FlexTensor, log_var: FlexTensor) -> FlexTensor {
        Self::kl_forward(mean, log_var)
    }

    fn elbo_reparameterize(mean: FlexTensor, log_var: FlexTensor, noise: FlexTensor) -> FlexTensor {
        Self::sample_forward(mean, log_var, noise)
    }
}

#[derive(Debug)]
struct LinearNode;

impl<B: Kernels> Backward<B, 3> for LinearNode {
    /// x, weight, saved, activation.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Activation);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents.map(|node| node.map(|node| node.id));
        let dy = gradients.consume::<B>(&ops.node);
        let (x, weight, saved, activation) = ops.state;
        let (dx, dweight, dbias) = B::linear_backward(x, weight, saved, dy, activation, x_node.is_some());
        register::<B, 3>(gradients, [(x_node, dx), (weight_node, Some(dweight)), (bias_node, Some(dbias))]);
    }
}

/// Terms, one for each row of one tensor, whose slopes the forward pass has found.
#[derive(Debug)]
pub(crate) struct RowTermsNode;

impl<B: Kernels> Backward<B, 1> for RowTermsNode {
    /// d term / d row.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let upstream = gradients.consume::<B>(&ops.node);
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::scale_rows(ops.state, upstream));
        }
    }
}

#[derive(Debug)]
struct KlNode;

impl<B: Kernels> Backward<B, 2> for KlNode {
    /// mean, log_var.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [mean_node, log_var_node] = ops.parents.map(|node| node.map(|node| node.id));
        let upstream = gradients.consume::<B>(&ops.node);
        let (dmean, dlog_var) = B::kl_backward(ops.state.0, ops.state.1, upstream);
        register::<B, 2>(gradients, [(mean_node, Some(dmean)), (log_var_node, Some(dlog_var))]);
    }
}

#[derive(Debug)]
struct SampleNode;

impl<B: Kernels> Backward<B, 2> for SampleNode {
    /// log_var, noise.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [mean_node, log_var_node] = ops.parents;
        let dz = gradients.consume::<B>(&ops.node);
        if let Some(node) = log_var_node {
            gradients.register::<B>(node.id, B::sample_backward(ops.state.0, ops.state.1, dz.clone()));
        }
        if let Some(node) = mean_node {
            gradients.register::<B>(node.id, dz);
        }
    }
}

impl<B: FusedOps + Kernels, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn elbo_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let node = LinearNode.prepare::<C>([x.node(), weight.node(), bias.node()]).compute_bound().stateful();
        let (x, weight, bias) = (x.into_primitive(), weight.into_primitive(), bias.into_primitive());
        match node {
            OpsKind::Tracked(prep) => {
                let (y, saved) = B::linear_forward(x.clone(), weight.clone(), bias, activation, true);
                prep.finish((x, weight, saved, activation), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::elbo_linear(x, weight, bias, activation)),
        }
    }

    /// `x` is data: no gradient flows into it.
    fn elbo_likelihood(parameters: FloatTensor<Self>, x: FloatTensor<Self>, term: Reconstruction) -> FloatTensor<Self> {
        let node = RowTermsNode.prepare::<C>([parameters.node()]).compute_bound().stateful();
        let (parameters, x) = (parameters.into_primitive(), x.into_primitive());
        match node {
            OpsKind::Tracked(prep) => {
                let (sums, gradient) = B::likelihood_rows(term, parameters, x, true);
                prep.finish(gradient.expect("asked for"), sums)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::elbo_likelihood(parameters, x, term)),
        }
    }

    fn elbo_gaussian_kl(mean: FloatTensor<Self>, log_var: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = KlNode.prepare::<C>([mean.node(), log_var.node()]).compute_bound().stateful();
        let (mean, log_var) = (mean.into_primitive(), log_var.into_primitive());
        let kl = B::elbo_gaussian_kl(mean.clone(), log_var.clone());
        match node {
            OpsKind::Tracked(prep) => prep.finish((mean, log_var), kl),
            OpsKind::UnTracked(prep) => prep.finish(kl),
        }
    }

    /// `noise` is a constant: no gradient flows into it.
    fn elbo_reparameterize(
        mean: FloatTensor<Self>,
        log_var: FloatTensor<Self>,
        noise: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let node = SampleNode.prepare::<C>([mean.node(), log_var.node()]).compute_bound().stateful();
        let (mean, log_var, noise) = (mean.into_primitive(), log_var.into_primitive(), noise.into_primitive());
        let z = B::elbo_reparameterize(mean, log_var.clone(), noise.clone());
        match node {
            OpsKind::Tracked(prep) => prep.finish((log_var, noise), z),
            OpsKind::UnTracked(prep) => prep.finish(z),
        }
    }
}

/// What Burn routes calls through.
pub(crate) type Router = Dispatch;

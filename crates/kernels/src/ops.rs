//! The public operations: fused on Flex, the plain twin in [`crate::reference`] anywhere else.

use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::extension::{FusedOps, Router, flex_mut, flex_slice, from_flex, into_flex, is_fused, zeros};
use crate::likelihood::{Link, Reconstruction, rows_of_linear};
use crate::linear::LinearShape;
use crate::reference;

/// A fully connected layer with its activation: `y = activation(x W^T + b)`.
///
/// # Shapes
/// - `x`: `[batch, in]`, `weight`: `[out, in]` (PyTorch's orientation), `bias`: `[out]`
/// - returns: `[batch, out]`
///
/// # Panics
/// If the shapes do not fit.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, linear};
///
/// let device = Device::default();
/// let x = Tensor::<2>::from_data([[1.0, -2.0]], &device);
/// let weight = Tensor::<2>::from_data([[3.0, 1.0], [0.5, 1.0]], &device);
/// let bias = Tensor::<1>::from_data([0.5, 0.5], &device);
/// let y = linear(x, weight, bias, Activation::Relu);
/// assert_eq!(y.into_data().to_vec::<f32>().unwrap(), [1.5, 0.0]);
/// ```
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>, activation: Activation) -> Tensor<2> {
    layer_shape(&x, &weight, &bias);
    if !is_fused(&x) {
        return reference::linear(x, weight, bias, activation);
    }
    Tensor::from_dispatch(Router::elbo_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        activation,
    ))
}

/// Sizes of a layer.
///
/// # Panics
/// If the shapes do not fit.
fn layer_shape(x: &Tensor<2>, weight: &Tensor<2>, bias: &Tensor<1>) -> LinearShape {
    let ([batch, inputs], [outputs, width]) = (x.dims(), weight.dims());
    assert!(inputs == width && bias.dims() == [outputs], "x [batch, {inputs}] against weight [{outputs}, {width}]");
    LinearShape { batch, inputs, outputs }
}

/// Negative log-likelihood of `x` under independent Bernoulli variables given by their logits, one value per example.
///
/// `-log p(x|l) = sum_d max(l_d, 0) - l_d x_d + ln(1 + e^-|l_d|)`, exact for any finite logit. `x` may lie anywhere in [0, 1]; between 0 and 1
/// this is the cross-entropy every VAE tutorial uses, not a normalised likelihood.
///
/// # Shapes
/// - `logits`, `x`: `[batch, dims]`; no gradient flows into `x`
/// - returns: `[batch]`, in nats
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::default();
/// let logits = Tensor::<2>::from_data([[0.0, 0.0], [100.0, -100.0]], &device);
/// let x = Tensor::<2>::from_data([[1.0, 0.3], [1.0, 0.0]], &device);
/// let nll = elbo_kernels::bernoulli_nll(logits, x).into_data().to_vec::<f32>().unwrap();
/// // A coin toss for each pixel costs ln 2; certainty that is right costs nothing.
/// assert!((nll[0] - 2.0 * 2f32.ln()).abs() < 1e-6 && nll[1] < 1e-6);
/// ```
pub fn bernoulli_nll(logits: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    assert_eq!(logits.dims(), x.dims(), "one logit for each value");
    reconstruction(Reconstruction::Bernoulli, logits, x)
}

/// Sum of squared errors between `x` and `sigmoid(logits)`, one value per example: `sum_d (x_d - sigmoid(l_d))^2`.
///
/// # Shapes
/// - `logits`, `x`: `[batch, dims]`; no gradient flows into `x`
/// - returns: `[batch]`
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::default();
/// let logits = Tensor::<2>::from_data([[0.0, 0.0]], &device); // sigmoid: 0.5
/// let x = Tensor::<2>::from_data([[1.0, 0.5]], &device);
/// assert_eq!(elbo_kernels::squared_error(logits, x).into_scalar::<f32>(), 0.25);
/// ```
pub fn squared_error(logits: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    assert_eq!(logits.dims(), x.dims(), "one logit for each value");
    reconstruction(Reconstruction::SquaredError(Link::Sigmoid), logits, x)
}

/// A reconstruction term, summed over each example: `-ln p(x|parameters)` in nats for the distributions, the plain sum for the errors.
///
/// # Shapes
/// - `x`: `[batch, channels * height * width]`, channel first; no gradient flows into it. With `[batch / r, ..]`, each example stands beside `r` rows of parameters
///   in a row, as when several codes of one example are decoded
/// - `parameters`: `[batch, output_channels * height * width]`, in the blocks that [`Reconstruction`] describes
/// - returns: `[batch]`
///
/// # Panics
/// If the shapes do not fit.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Reconstruction, reconstruction};
///
/// let device = Device::default();
/// let x = Tensor::<2>::from_data([[0.2, 0.6]], &device); // levels 51 and 153
/// let logits = Tensor::<2>::zeros([1, 2 * 256], &device); // every level as likely as any other
/// let nll = reconstruction(Reconstruction::Categorical, logits, x).into_scalar::<f32>();
/// assert!((nll - 2.0 * 256f32.ln()).abs() < 1e-5);
/// ```
pub fn reconstruction(term: Reconstruction, parameters: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    check_examples(term, parameters.dims(), &x);
    if !is_fused(&parameters) {
        return reference::reconstruction(term, parameters, x);
    }
    Tensor::from_dispatch(Router::elbo_likelihood(parameters.into_dispatch(), x.into_dispatch(), term))
}

/// # Panics
/// If `[batch, outputs]` are no parameters for `x`, as [`reconstruction`] wants them.
fn check_examples(term: Reconstruction, [batch, outputs]: [usize; 2], x: &Tensor<2>) {
    let [examples, width] = x.dims();
    let expected = term.parameters(width);
    let whole = batch == examples || (examples > 0 && batch.is_multiple_of(examples));
    assert!(whole && outputs == expected, "{expected} parameters for {width} values, not {outputs}");
}

/// [`reconstruction`] of what a layer without an activation gives: `term(x W^T + b, target)`. Where nothing asks for a gradient the layer's outputs are used
/// where they arise and never written out, which for several hundred outputs takes a third of the time away.
///
/// # Shapes
/// - `x`: `[batch, in]`, `weight`: `[out, in]`, `bias`: `[out]`; as for [`linear`]
/// - `target`: `[batch, dims]` or `[batch / r, dims]`, `out` the parameters of `dims` values; as `x` of [`reconstruction`]
/// - returns: `[batch]`
///
/// # Panics
/// If the shapes do not fit.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use elbo_kernels::{Activation, Reconstruction, linear, linear_reconstruction, reconstruction};
///
/// let device = Device::default();
/// let x = Tensor::<2>::from_data([[1.0, -2.0]], &device);
/// let (weight, bias) = (Tensor::<2>::from_data([[3.0, 1.0]], &device), Tensor::<1>::from_data([0.5], &device));
/// let target = Tensor::<2>::from_data([[1.0]], &device);
/// let together =
///     linear_reconstruction(Reconstruction::Bernoulli, x.clone(), weight.clone(), bias.clone(), target.clone());
/// let logits = linear(x, weight, bias, Activation::None);
/// assert_eq!(
///     together.into_scalar::<f32>(),
///     reconstruction(Reconstruction::Bernoulli, logits, target).into_scalar::<f32>()
/// );
/// ```
pub fn linear_reconstruction(
    term: Reconstruction,
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    target: Tensor<2>,
) -> Tensor<1> {
    if !is_fused(&x) || x.device().is_autodiff() {
        return reconstruction(term, linear(x, weight, bias, Activation::None), target);
    }
    let (shape, [_, width]) = (layer_shape(&x, &weight, &bias), target.dims());
    check_examples(term, [shape.batch, shape.outputs], &target);
    let (x, weight, bias, target) = (into_flex(x), into_flex(weight), into_flex(bias), into_flex(target));
    let operands = [flex_slice(&x), flex_slice(&weight), flex_slice(&bias)];
    let mut sums = zeros(&[shape.batch]);
    rows_of_linear(term, width, shape, operands, flex_slice(&target), flex_mut(&mut sums));
    from_flex(sums)
}

/// KL divergence from a diagonal Gaussian to N(0, I), one value per example and dimension.
///
/// `KL_j = (mean_j^2 + e^log_var_j - log_var_j - 1) / 2` (Kingma & Welling 2013, arXiv:1312.6114, appendix B); sum over `j` for an
/// example's KL.
///
/// # Shapes
/// - `mean`, `log_var`: `[batch, latent]`
/// - returns: `[batch, latent]`, in nats
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::default();
/// let mean = Tensor::<2>::from_data([[0.0, 2.0]], &device);
/// let log_var = Tensor::<2>::from_data([[0.0, 0.0]], &device);
/// let kl = elbo_kernels::gaussian_kl(mean, log_var);
/// assert_eq!(kl.into_data().to_vec::<f32>().unwrap(), [0.0, 2.0]);
/// ```
pub fn gaussian_kl(mean: Tensor<2>, log_var: Tensor<2>) -> Tensor<2> {
    assert_eq!(mean.dims(), log_var.dims(), "one log variance for each mean");
    if !is_fused(&mean) {
        return reference::gaussian_kl(mean, log_var);
    }
    Tensor::from_dispatch(Router::elbo_gaussian_kl(mean.into_dispatch(), log_var.into_dispatch()))
}

/// The reparameterization trick: `z = mean + e^(log_var / 2) * noise`, a sample of q(z|x) that gradients pass through
/// (Kingma & Welling 2013, arXiv:1312.6114, section 2.4).
///
/// # Shapes
/// - `mean`, `log_var`, `noise`: `[batch, latent]`, `noise` drawn from N(0, 1); no gradient flows into it
/// - returns: `[batch, latent]`
///
/// # Panics
/// If the shapes differ.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::default();
/// let row = |values: [f32; 2]| Tensor::<2>::from_data([values], &device);
/// let z = elbo_kernels::reparameterize(row([1.0, 1.0]), row([0.0, 0.0]), row([0.5, -3.0]));
/// assert_eq!(z.into_data().to_vec::<f32>().unwrap(), [1.5, -2.0]);
/// ```
pub fn reparameterize(mean: Tensor<2>, log_var: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
    assert!(mean.dims() == log_var.dims() && mean.dims() == noise.dims(), "mean, log_var and noise of one shape");
    if !is_fused(&mean) {
        return reference::reparameterize(mean, log_var, noise);
    }
    Tensor::from_dispatch(Router::elbo_reparameterize(
        mean.into_dispatch(),
        log_var.into_dispatch(),
        noise.into_dispatch(),
    ))
}

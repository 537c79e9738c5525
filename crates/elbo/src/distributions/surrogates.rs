//! Losses that stand for how alike two pictures look. They are no log-likelihoods: nothing made from them is an ELBO.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::Likelihood;

/// Least side of a picture whose structural similarity is taken.
pub const MIN_SIDE: usize = 4;

/// Weights of the five scales (Wang, Simoncelli & Bovik 2003, section 3.2).
const SCALE_WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Side of the Gaussian window, smaller where the picture is.
const WINDOW: usize = 11;
/// Its standard deviation, in proportion where the window is smaller.
const WINDOW_SIGMA: f64 = 1.5;
/// `(0.01 range)^2` and `(0.03 range)^2`.
const STABILISERS: [f64; 2] = [1e-4, 9e-4];
/// Least structure term: a negative one has no fractional power, and at 0 its slope is infinite.
const MIN_STRUCTURE: f64 = 1e-4;

/// The loss of each example. `[batch]`.
pub(super) fn loss(likelihood: &Likelihood, logits: Tensor<2>, x: Tensor<2>) -> Tensor<1> {
    let ([batch, dims], mean) = (x.dims(), activation::sigmoid(logits));
    let planes = |t: Tensor<2>, [channels, height, width]: [usize; 3]| t.reshape([batch * channels, height, width]);
    match *likelihood {
        Likelihood::MsSsim { shape, weight } => {
            let similarity = ms_ssim(planes(mean, shape), planes(x, shape)).reshape([batch, shape[0]]);
            (similarity.mean_dim(1).squeeze_dim(1).neg() + 1.0) * (weight * dims as f64)
        }
        Likelihood::Edge { shape, weight } => {
            let sum = |t: Tensor<2>| t.square().sum_dim(1).squeeze_dim::<1>(1);
            let error = mean - x;
            let edges = edges(planes(error.clone(), shape));
            let values = edges.dims().iter().product::<usize>() / batch;
            sum(error) + sum(edges.reshape([batch, values])) * weight
        }
        _ => unreachable!("distributions have terms of their own"),
    }
}

/// Structural similarity of pictures in [0, 1] (Wang et al. 2004, eq. 13): the mean over windows of luminance times contrast and structure. Windows
/// as in [`ms_ssim`].
///
/// # Shapes
/// - `a`, `b`: `[pictures, height, width]`
/// - returns: `[pictures]`
///
/// # Panics
/// If the two differ in shape, or a side is below [`MIN_SIDE`].
///
/// ```
/// use burn::tensor::Tensor;
///
/// let device = elbo::device::choose("cpu")?;
/// let (black, white) = (Tensor::<3>::zeros([1, 8, 8], &device), Tensor::<3>::ones([1, 8, 8], &device));
/// assert!((elbo::distributions::ssim(white.clone(), white.clone()).into_scalar::<f32>() - 1.0).abs() < 1e-3);
/// assert!(elbo::distributions::ssim(black, white).into_scalar::<f32>() < 1e-3);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn ssim(a: Tensor<3>, b: Tensor<3>) -> Tensor<1> {
    check(&a, &b);
    let pictures = a.dims()[0];
    let (luminance, structure) = similarity(a, b);
    (luminance * structure).mean_dims(&[1, 2]).reshape([pictures])
}

fn check(a: &Tensor<3>, b: &Tensor<3>) {
    let [_, height, width] = a.dims();
    assert!(
        a.dims() == b.dims() && height.min(width) >= MIN_SIDE,
        "pictures of one shape, sides of at least {MIN_SIDE}"
    );
}

/// Multi-scale structural similarity of pictures in [0, 1], `prod_j cs_j^w_j` times the luminance of the coarsest scale, as eq. 7 of the paper.
///
/// Windows see whole neighbourhoods only. Where a picture is too small for five halvings to sides of at least 4, the finest scales it has are used and
/// their weights brought to a sum of 1; a window is at most the side. So numbers of small pictures do not compare with those of large ones.
///
/// # Shapes
/// - `a`, `b`: `[pictures, height, width]`
/// - returns: `[pictures]`
///
/// # Panics
/// As [`ssim`].
pub fn ms_ssim(mut a: Tensor<3>, mut b: Tensor<3>) -> Tensor<1> {
    check(&a, &b);
    let [pictures, height, width] = a.dims();
    let scales = scales(height.min(width));
    let total: f64 = SCALE_WEIGHTS[..scales].iter().sum();
    let mut product = Tensor::<1>::ones([pictures], &a.device());
    for (scale, weight) in SCALE_WEIGHTS[..scales].iter().enumerate() {
        let (luminance, structure) = similarity(a.clone(), b.clone());
        let last = scale + 1 == scales;
        let term = if last { luminance * structure } else { structure };
        let mean = term.mean_dims(&[1, 2]).reshape([pictures]);
        product = product * mean.clamp_min(MIN_STRUCTURE).powf_scalar(weight / total);
        if !last {
            (a, b) = (halved(a), halved(b));
        }
    }
    product
}

/// How many of the five scales a picture has.
fn scales(side: usize) -> usize {
    (1..=SCALE_WEIGHTS.len()).rev().find(|&scales| side >> (scales - 1) >= MIN_SIDE).unwrap_or(1)
}

/// Luminance and contrast-structure of each window.
fn similarity(a: Tensor<3>, b: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
    let [_, height, width] = a.dims();
    let device = a.device();
    let (down, across) = (gaussian(height, &device), gaussian(width, &device));
    let blur =
        |t: Tensor<3>| down.clone().unsqueeze::<3>().matmul(t).matmul(across.clone().transpose().unsqueeze::<3>());
    let (mean_a, mean_b) = (blur(a.clone()), blur(b.clone()));
    let (square_a, square_b, both) =
        (mean_a.clone().square(), mean_b.clone().square(), mean_a.clone() * mean_b.clone());
    let spread = blur(a.clone().square() + b.clone().square()) - square_a.clone() - square_b.clone();
    let shared = blur(a * b) - both.clone();
    let luminance = (both * 2.0 + STABILISERS[0]) / (square_a + square_b + STABILISERS[0]);
    (luminance, (shared * 2.0 + STABILISERS[1]) / (spread + STABILISERS[1]))
}

/// The window along one side as a matrix, `[side - window + 1, side]`: a separable blur is two products.
fn gaussian(side: usize, device: &Device) -> Tensor<2> {
    let window = WINDOW.min(if side.is_multiple_of(2) { side - 1 } else { side });
    let sigma = WINDOW_SIGMA * window as f64 / WINDOW as f64;
    let centre = (window / 2) as f64;
    let bell: Vec<f64> = (0..window).map(|i| (-(i as f64 - centre).powi(2) / (2.0 * sigma * sigma)).exp()).collect();
    let total: f64 = bell.iter().sum();
    band(side, &bell.iter().map(|v| v / total).collect::<Vec<_>>(), 1, device)
}

/// A matrix whose rows hold `taps`, each row `stride` further to the right, as often as they fit.
fn band(side: usize, taps: &[f64], stride: usize, device: &Device) -> Tensor<2> {
    let rows = (side - taps.len()) / stride + 1;
    let mut matrix = vec![0f32; rows * side];
    for (row, values) in matrix.chunks_exact_mut(side).enumerate() {
        values[row * stride..][..taps.len()].iter_mut().zip(taps).for_each(|(v, tap)| *v = *tap as f32);
    }
    Tensor::from_data(TensorData::new(matrix, [rows, side]), device)
}

/// Means of 2 x 2; an odd last row or column is left out.
fn halved(t: Tensor<3>) -> Tensor<3> {
    let [_, height, width] = t.dims();
    let device = t.device();
    let [down, across] = [height, width].map(|side| band(side, &[0.5, 0.5], 2, &device).unsqueeze::<3>());
    down.matmul(t).matmul(across.transpose())
}

/// Sobel's derivatives down and across, `[1, 2, 1] / 4` by `[-1, 0, 1] / 2`, of whole neighbourhoods, one after the other.
fn edges(t: Tensor<3>) -> Tensor<3> {
    let [_, height, width] = t.dims();
    let device = t.device();
    let along = |taps: &[f64]| [height, width].map(|side| band(side, taps, 1, &device).unsqueeze::<3>());
    let ([smooth_down, smooth_across], [slope_down, slope_across]) =
        (along(&[0.25, 0.5, 0.25]), along(&[-0.5, 0.0, 0.5]));
    let down = slope_down.matmul(t.clone()).matmul(smooth_across.transpose());
    let across = smooth_down.matmul(t).matmul(slope_across.transpose());
    Tensor::cat(vec![down, across], 1)
}

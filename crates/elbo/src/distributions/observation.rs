//! A model's likelihood together with what it learns of it: one scale for all values.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::Likelihood;
use super::likelihood::mean_error;
use crate::networks::{Buffer, Pass};

/// The likelihood of a model. In files: `observation.running_error`, for a shared scale only.
///
/// A learned scale is never a weight. In training it is the optimum of each batch in closed form (`sigma^2 = MSE`, optimal sigma-VAE, Rybkin et al. 2021,
/// arXiv:2006.13202, section 3.2; for Laplace `b =` the mean absolute error). Evaluation needs one scale for every example, so an
/// average over batches is kept, as batch normalisation keeps its statistics.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::distributions::{Likelihood, Link, Observation};
/// use elbo::networks::{Pass, When};
///
/// let device = elbo::device::choose("cpu")?;
/// let observation = Observation::new(Likelihood::GaussianShared { link: Link::Identity }, &device);
/// let errors = Tensor::<2>::from_data([[0.5, -0.5]], &device);
/// let pass = Pass::given(When::Training { epochs: 0.0 }, []);
/// observation.nll(errors, Tensor::zeros([1, 2], &device), &pass);
/// let observation = pass.absorbed(observation); // as the trainer does after each step
/// assert_eq!(observation.scale(), Some(0.5)); // the root of the mean square
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct Observation {
    /// Average over batches of the mean squared (for Laplace: absolute) error, `[1]`; 0 before the first.
    running_error: Option<Buffer<1>>,
    #[module(skip)]
    likelihood: Likelihood,
}

/// Share of a batch in the average.
const MOMENTUM: f64 = 0.1;

impl Observation {
    /// The likelihood before any batch.
    pub fn new(likelihood: Likelihood, device: &Device) -> Self {
        let state = || Buffer::new(Tensor::zeros([1], device));
        Self { running_error: likelihood.learns_scale().then(state), likelihood }
    }

    /// What the decoder's output means.
    pub fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    /// The learned scale (sigma, or Laplace's b), where there is one; 1 before the first batch.
    pub fn scale(&self) -> Option<f64> {
        self.running_error.as_ref().map(|state| match error_of(state) {
            0.0 => 1.0,
            error => self.likelihood.scale_of(error),
        })
    }

    /// [`Likelihood::nll`], with the batch's own scale in training and the average otherwise.
    ///
    /// # Shapes
    /// - as [`Likelihood::nll`]
    pub fn nll(&self, parameters: Tensor<2>, x: Tensor<2>, pass: &Pass) -> Tensor<1> {
        let Some(state) = &self.running_error else {
            return self.likelihood.nll(parameters, x);
        };
        let dims = x.dims()[1];
        let sum = self.likelihood.errors(parameters, x);
        let error = match (pass.trains(), error_of(state)) {
            (true, old) => {
                let batch = mean_error(&sum, dims);
                let new = if old == 0.0 { batch } else { old + MOMENTUM * (batch - old) };
                pass.see(state, || Tensor::from_data([new as f32], &state.val().without_autodiff().device()));
                batch
            }
            (false, 0.0) => 1.0,
            (false, average) => average,
        };
        self.likelihood.with_error(sum, error, dims)
    }
}

fn error_of(state: &Buffer<1>) -> f64 {
    f64::from(state.val().into_scalar::<f32>())
}

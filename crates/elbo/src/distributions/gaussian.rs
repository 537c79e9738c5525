//! The diagonal Gaussian posterior q(z|x).

use burn::tensor::Tensor;

/// `N(mean, diag(e^log_var))`, one for each example of a batch.
///
/// Log *variance*, as in Kingma & Welling's code; some toolkits store log sigma under similar names.
///
/// ```
/// use burn::tensor::Tensor;
/// use elbo::distributions::DiagonalGaussian;
///
/// let device = elbo::device::choose("cpu")?;
/// let mean = Tensor::<2>::from_data([[0.0, 2.0]], &device);
/// let q = DiagonalGaussian { mean, log_var: Tensor::zeros([1, 2], &device) };
/// assert_eq!(q.kl_to_standard_normal().into_data().to_vec::<f32>().unwrap(), [0.0, 2.0]);
/// let z = q.sample(Tensor::<2>::from_data([[1.0, -1.0]], &device));
/// assert_eq!(z.into_data().to_vec::<f32>().unwrap(), [1.0, 1.0]);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DiagonalGaussian {
    /// The means, `[batch, latent]`.
    pub mean: Tensor<2>,
    /// The log variances, `[batch, latent]`.
    pub log_var: Tensor<2>,
}

impl DiagonalGaussian {
    /// `KL(q || N(0, I))` by dimension; sum over the latent axis for the KL of an example.
    ///
    /// `KL_j = -(1 + log_var_j - mean_j^2 - e^log_var_j) / 2` (Kingma & Welling 2013, arXiv:1312.6114, appendix B).
    ///
    /// # Shapes
    /// - returns: `[batch, latent]`, in nats
    pub fn kl_to_standard_normal(&self) -> Tensor<2> {
        elbo_kernels::gaussian_kl(self.mean.clone(), self.log_var.clone())
    }

    /// `z = mean + e^(log_var / 2) * noise`: a sample that gradients pass through, for `noise` from N(0, I).
    ///
    /// # Shapes
    /// - `noise`, returns: `[batch, latent]`
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        elbo_kernels::reparameterize(self.mean.clone(), self.log_var.clone(), noise)
    }

    /// `samples` rows for each example, one after the other: the posterior, the examples and their noise, ready for [`DiagonalGaussian::sample`].
    ///
    /// # Shapes
    /// - `x`: `[batch, dims]`; `noise`: `[batch, samples * latent]`
    /// - returns: a posterior of `[batch * samples, latent]`, `[batch * samples, dims]` and `[batch * samples, latent]`
    pub fn repeated(self, samples: usize, x: Tensor<2>, noise: Tensor<2>) -> (Self, Tensor<2>, Tensor<2>) {
        if samples == 1 {
            return (self, x, noise);
        }
        let [batch, latent] = self.mean.dims();
        let rows = |tensor: Tensor<2>| {
            let width = tensor.dims()[1];
            tensor.unsqueeze_dim::<3>(1).repeat_dim(1, samples).reshape([batch * samples, width])
        };
        let noise = noise.reshape([batch * samples, latent]);
        (Self { mean: rows(self.mean), log_var: rows(self.log_var) }, rows(x), noise)
    }
}

/// The mean of each example's `samples` rows.
///
/// # Shapes
/// - `rows`: `[batch * samples]`
/// - returns: `[batch]`
pub fn mean_over(samples: usize, rows: Tensor<1>) -> Tensor<1> {
    if samples == 1 {
        return rows;
    }
    let batch = rows.dims()[0] / samples;
    rows.reshape([batch, samples]).mean_dim(1).squeeze_dim::<1>(1)
}

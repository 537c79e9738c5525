//! Gaussian mixtures fitted by expectation maximisation, in float64: densities, responsibilities, samples, and the choice of how many components.
//!
//! `p(x) = sum_k weight_k N(x; mean_k, covariance_k)` (Dempster, Laird & Rubin 1977; Bishop 2006, section 9.2). Everything is in nats and computed by
//! log-sum-exp. Starts are k-means++ (Arthur & Vassilvitskii 2007) with Lloyd's iterations; steps, regularisation and convergence are those of
//! scikit-learn's `GaussianMixture`, so that equal starts end at equal numbers.
//!
//! Rows lie one after another, `[n, dims]`. Nothing here knows of models or files.
//!
//! ```
//! use elbo::mixtures::{CovarianceKind, EmConfig, GaussianMixture, fit};
//! use elbo::random::{Draws, Purpose};
//!
//! let truth = GaussianMixture::diagonal(vec![0.3, 0.7], vec![vec![-4.0, 0.0], vec![4.0, 1.0]], vec![vec![1.0, 0.5]; 2])?;
//! let rows = truth.sample(2000, 1.0, None, &mut Draws::new(0, Purpose::Prior, 0, 0));
//!
//! let config = EmConfig { components: 2, covariance: CovarianceKind::Full, ..Default::default() };
//! let fitted = fit(&rows, 2, &config)?;
//! assert!(fitted.converged && (fitted.mixture.weights()[0].min(fitted.mixture.weights()[1]) - 0.3).abs() < 0.05);
//! println!("{:.3} nats a row", fitted.log_likelihood);
//! # Ok::<(), elbo::Error>(())
//! ```

mod covariance;
mod em;
mod gmm;
mod kmeans;
mod marginal;
mod selection;

pub use covariance::{CovarianceKind, Covariances};
pub use em::{EmConfig, Fitted, fit, fit_from, regularisation};
pub use gmm::GaussianMixture;
pub use kmeans::{Clusters, k_means};
pub use selection::{Candidate, Criterion, Selection, select};

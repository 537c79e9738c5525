//! What a run leaves on disk: the run directory, checkpoints, weights, metrics.
//!
//! ```
//! use elbo::distributions::Likelihood;
//! use elbo::models::{Architecture, Vae};
//! use elbo::networks::NetworkConfig;
//! use elbo::run::{parameters, weights};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! let (network, device) = (NetworkConfig::default(), elbo::device::choose("cpu")?);
//! let model = Vae::init(&Architecture::new([1, 28, 28], 20, &network, Likelihood::Bernoulli), 0, &device);
//! let path = folder.path().join("model.safetensors"); // PyTorch loads it with `load_file`
//! elbo::run::atomic::write_file(&path, &weights::to_bytes(&parameters::export(&model), &Default::default()))?;
//!
//! let tensors = weights::check(weights::read(&path)?, &parameters::shapes(&model), &path)?;
//! assert_eq!(tensors[0].name, "encoder.layers.0.weight");
//! let model = parameters::import(model, tensors);
//! # Ok::<(), elbo::Error>(())
//! ```

pub mod atomic;
pub mod directory;
pub mod files;
pub mod history;
mod info;
pub mod lock;
pub mod parameters;
pub mod tensorboard;
pub mod weights;

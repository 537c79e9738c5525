//! Choosing where to compute.

use burn::tensor::Device;

use crate::error::{Error, Result};

/// Keeps freed memory mapped for so many milliseconds, in a program whose allocator is mimalloc; `MIMALLOC_PURGE_DELAY` overrides it.
/// Call it first in `main`.
#[cfg(feature = "mimalloc")]
pub fn keep_freed_memory(milliseconds: u32) {
    elbo_kernels::keep_freed_memory(milliseconds);
}

/// The device names this build accepts.
pub fn names() -> Vec<&'static str> {
    let mut names = vec!["auto", "cpu"];
    if cfg!(feature = "wgpu") {
        names.push("wgpu");
    }
    if cfg!(feature = "vulkan") {
        names.push("vulkan");
    }
    if cfg!(feature = "cuda") {
        names.push("cuda");
    }
    names
}

/// The device called `name`: `auto` (the CPU), `cpu`, and in builds with the feature of that name `wgpu`, `vulkan` or `cuda`, each with an optional `:N`.
///
/// # Errors
/// [`Error::Config`] for a name this build does not have, saying which feature brings it.
///
/// ```
/// let device = elbo::device::choose("cpu")?;
/// let error = elbo::device::choose("tpu").unwrap_err();
/// assert!(error.to_string().contains("found `tpu`"));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn choose(name: &str) -> Result<Device> {
    let (kind, index) = name.split_once(':').map_or((name, None), |(kind, index)| (kind, Some(index)));
    let index: Option<usize> = match index.map(str::parse) {
        None => None,
        Some(Ok(index)) => Some(index),
        Some(Err(_)) => return Err(refused(name, "the part after `:` is a number, for example `cuda:1`")),
    };
    match (kind, index) {
        ("auto" | "cpu", None) => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        ("wgpu", index) => Ok(Device::wgpu(gpu(index))),
        #[cfg(feature = "vulkan")]
        ("vulkan", index) => Ok(Device::vulkan(gpu(index))),
        #[cfg(feature = "cuda")]
        ("cuda", index) => Ok(Device::cuda(index.unwrap_or(0))),
        (gpu, _) if ["wgpu", "vulkan", "cuda"].contains(&gpu) => {
            Err(refused(name, &format!("this build has no GPU support: `cargo build --release --features {kind}`")))
        }
        _ => Err(refused(name, "`--device cpu` always works")),
    }
}

/// Sets how many threads computations on the CPU use, at least 1. It changes speed, never a result.
///
/// ```
/// elbo::device::set_threads(1);
/// assert_eq!(elbo::device::threads(), 1);
/// ```
pub fn set_threads(threads: usize) {
    elbo_kernels::set_threads(threads);
}

/// GFLOP/s that these threads reach in one large matrix product: what the time of a training step is measured against. Takes about 0.2 s.
pub fn peak_gflops() -> f64 {
    elbo_kernels::peak_gflops()
}

/// How many threads computations on the CPU use: all the system offers unless set otherwise.
pub fn threads() -> usize {
    elbo_kernels::threads()
}

#[cfg(any(feature = "wgpu", feature = "vulkan"))]
fn gpu(index: Option<usize>) -> burn::tensor::DeviceKind {
    index.map_or(burn::tensor::DeviceKind::DefaultDevice, burn::tensor::DeviceKind::DiscreteGpu)
}

fn refused(name: &str, help: &str) -> Error {
    Error::config("device", format!("one of {}", names().join(", ")), format!("`{name}`"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_there_and_the_rest_is_explained() {
        assert_eq!(choose("auto").unwrap(), choose("cpu").unwrap());
        for name in ["cuda:x", "tpu", "cpu:1"] {
            assert!(choose(name).unwrap_err().to_string().contains("device"), "{name}");
        }
        if !cfg!(feature = "cuda") {
            assert!(choose("cuda:1").unwrap_err().help().contains("--features cuda"));
        }
    }
}

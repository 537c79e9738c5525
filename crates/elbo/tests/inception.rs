//! Inception's features against pytorch-fid's network in float64 (`fixtures/inception`), with weights of a formula instead of 90 MB.

#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use elbo::data::ImageShape;
use elbo::evaluation::Inception;
use elbo::run::weights::{self, NamedTensor};
use elbo::tensors::values_of;
use fixture::{count, list, number, numbers, read, text};

/// Numbers in [0, 1) of 24 bits, from a name and places, as `generate.py` makes them.
fn units(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = name.bytes().fold(2_166_136_261u32, |seed, byte| (seed ^ u32::from(byte)).wrapping_mul(16_777_619));
    (0..count as u32).map(move |place| {
        let mut h = place.wrapping_mul(2_654_435_761).wrapping_add(seed);
        for _ in 0..2 {
            h = (h ^ (h >> 16)).wrapping_mul(0x45D_9F3B);
        }
        h ^= h >> 16;
        f64::from(h >> 8) / f64::from(1 << 24)
    })
}

fn made_up(name: String, shape: Vec<usize>) -> NamedTensor {
    let size: usize = shape.iter().product();
    let value: &dyn Fn(f64) -> f64 = if name.ends_with("conv.weight") {
        let spread = (24.0 / (size / shape[0]) as f64).sqrt();
        &move |u| (u - 0.5) * spread
    } else if name.ends_with("bn.weight") || name.ends_with("running_var") {
        &|u| 0.5 + u
    } else {
        &|u| 0.4 * (u - 0.5)
    };
    NamedTensor { values: units(&name, size).map(|u| value(u) as f32).collect(), name, shape }
}

fn save(folder: &Path, tensors: &[NamedTensor]) -> std::path::PathBuf {
    let path = folder.join("inception.safetensors");
    std::fs::write(&path, weights::to_bytes(tensors, &Default::default())).unwrap();
    path
}

#[test]
fn features_are_those_of_pytorch_fid() {
    let folder = tempfile::tempdir().unwrap();
    let device = elbo::device::choose("cpu").unwrap();
    let mut tensors: Vec<NamedTensor> =
        Inception::tensors().into_iter().map(|(name, shape)| made_up(name, shape)).collect();
    // What comes behind the features may be in the file.
    tensors.push(NamedTensor { name: "fc.bias".into(), shape: vec![1008], values: vec![0.0; 1008] });
    let inception = Inception::read(&save(folder.path(), &tensors), &device).unwrap();

    let cases = read("inception/cases.json");
    for case in list(&cases["cases"]) {
        let [channels, height, width] = ["channels", "height", "width"].map(|side| count(&case[side]));
        let shape = ImageShape { channels, height, width };
        let pixels: Vec<f32> = units(text(&case["name"]), 2 * shape.numel()).map(|u| u as f32).collect();
        let rows = Tensor::from_data(TensorData::new(pixels, [2, shape.numel()]), &device);
        let found = values_of(inception.features(rows, shape));
        assert_eq!(found.len(), 2 * Inception::FEATURES);
        let expected = numbers(&case["features"]);
        for (found, expected) in found.iter().step_by(16).zip(&expected) {
            let error = (f64::from(*found) - expected).abs() / (1.0 + expected.abs());
            assert!(error < 1e-4, "{shape:?}: {found} is not {expected}");
        }
        let mean = found.iter().map(|v| f64::from(*v)).sum::<f64>() / found.len() as f64;
        assert!((mean / number(&case["mean"]) - 1.0).abs() < 1e-5, "{mean}");
    }
    assert_eq!(list(&cases["cases"]).len(), 3);
}

#[test]
fn other_weights_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let device = elbo::device::choose("cpu").unwrap();
    let bias =
        |classes: usize| NamedTensor { name: "fc.bias".into(), shape: vec![classes], values: vec![0.0; classes] };
    for (classes, told) in [(1000, "1000 classes"), (1008, "missing")] {
        let error = Inception::read(&save(folder.path(), &[bias(classes)]), &device).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

//! Distances, similarities, partitions and classifiers against scikit-learn, scikit-image and SciPy (`fixtures/evaluation`).

#[path = "../../kernels/tests/support/fixture.rs"]
mod fixture;

use burn::tensor::{Device, Tensor, TensorData};
use elbo::distributions::{ms_ssim, ssim};
use elbo::evaluation::{
    Codes, Features, LinearProbe, Moments, adjusted_rand_index, embedding, frechet_distance, kernel_distances,
    normalised_mutual_information,
};
use elbo::tensors::values_of;
use fixture::{count, list, number, numbers, read, text};
use serde_json::Value;

/// Inputs are exactly float32.
fn points(array: &Value) -> Features {
    let values = numbers(array).into_iter().map(|value| f64::from(value as f32)).collect();
    Features::new(count(&list(&array["shape"])[1]), values)
}

fn labels(value: &Value) -> Vec<u32> {
    list(value).iter().map(|label| count(label) as u32).collect()
}

#[track_caller]
fn near(found: f64, expected: &Value, tolerance: f64, place: &str) {
    let expected = number(expected);
    assert!((found - expected).abs() <= tolerance * (1.0 + expected.abs()), "{place}: {found} is not {expected}");
}

#[test]
fn distances_between_sets() {
    let cases = read("evaluation/cases.json");
    for case in list(&cases["distances"]) {
        let (a, b, name) = (points(&case["a"]), points(&case["b"]), text(&case["name"]));
        let [first, second] = [&a, &b].map(|set| Moments::of(set).unwrap());
        near(frechet_distance(&first, &second).unwrap(), &case["frechet"], 1e-8, name);
        near(kernel_distances(&a, &b)[0], &case["kernel"], 1e-9, name);
    }
    assert_eq!(list(&cases["distances"]).len(), 3);
}

#[test]
fn structural_similarity() {
    let cases = read("evaluation/cases.json");
    for case in list(&cases["similarities"]) {
        let picture = |array: &Value| {
            let values: Vec<f32> = numbers(array).into_iter().map(|value| value as f32).collect();
            let sides: Vec<usize> = list(&array["shape"]).iter().map(count).collect();
            Tensor::<3>::from_data(TensorData::new(values, [1, sides[0], sides[1]]), &Device::flex())
        };
        let found = values_of(ssim(picture(&case["a"]), picture(&case["b"])))[0];
        near(f64::from(found), &case["ssim"], 2e-5, &case["a"]["shape"].to_string());
    }
    assert_eq!(list(&cases["similarities"]).len(), 3);
}

/// The pictures of `fixtures/evaluation/generate.py::multi_scale`.
#[test]
fn structural_similarity_at_five_scales() {
    let cases = read("evaluation/cases.json");
    for case in list(&cases["multi_scale"]) {
        let [height, width] = ["height", "width"].map(|side| count(&case[side]));
        let places = (0..height).flat_map(|row| (0..width).map(move |column| (row as f64, column as f64)));
        let (a, b): (Vec<f32>, Vec<f32>) = places
            .map(|(row, column)| {
                let a = 0.5 + 0.25 * (row / 3.0).sin() + 0.25 * ((row + 2.0 * column) / 7.0).cos();
                (a as f32, (0.1 + 0.8 * a + 0.1 * (row * column / 5.0).sin()).clamp(0.0, 1.0) as f32)
            })
            .unzip();
        let picture =
            |values: Vec<f32>| Tensor::<3>::from_data(TensorData::new(values, [1, height, width]), &Device::flex());
        let found = values_of(ms_ssim(picture(a), picture(b)))[0];
        near(f64::from(found), &case["ms_ssim"], 2e-5, &format!("{height} x {width}"));
    }
    assert_eq!(list(&cases["multi_scale"]).len(), 2);
}

#[test]
fn partitions() {
    let cases = read("evaluation/cases.json");
    for (i, case) in list(&cases["partitions"]).iter().enumerate() {
        let (a, b) = (labels(&case["a"]), labels(&case["b"]));
        near(normalised_mutual_information(&a, &b), &case["nmi"], 1e-9, &format!("nmi {i}"));
        near(adjusted_rand_index(&a, &b), &case["ari"], 1e-9, &format!("ari {i}"));
    }
    assert_eq!(list(&cases["partitions"]).len(), 3);
}

#[test]
fn classifiers() {
    let cases = read("evaluation/cases.json");
    for (i, case) in list(&cases["classifiers"]).iter().enumerate() {
        let (train, test) = (points(&case["train"]), points(&case["test"]));
        let (known, sought, classes) = (labels(&case["known"]), labels(&case["sought"]), count(&case["classes"]));
        let probe = LinearProbe::fit(&train, &known, classes);
        if !case["loss"].is_null() {
            near(probe.loss, &case["loss"], 1e-7, &format!("loss {i}"));
            near(probe.accuracy(&test, &sought), &case["accuracy"], 1e-9, &format!("accuracy {i}"));
        }
        // What the neighbours' votes come to, where no two classes have the same number of them.
        let untied: Vec<usize> = list(&case["untied"])
            .iter()
            .enumerate()
            .filter(|(_, untied)| **untied == Value::Bool(true))
            .map(|(i, _)| i)
            .collect();
        let codes = |points: &Features, places: &[usize], labels: &[u32]| Codes {
            latent: points.dims,
            mean: places
                .iter()
                .flat_map(|i| points.values[i * points.dims..][..points.dims].iter().map(|v| *v as f32))
                .collect(),
            log_var: None,
            labels: Some(places.iter().map(|i| labels[*i]).collect()),
        };
        let everyone: Vec<usize> = (0..train.n()).collect();
        let voted = labels(&case["neighbours"]);
        let found = embedding(&codes(&train, &everyone, &known), &codes(&test, &untied, &voted), 0).unwrap();
        assert_eq!(found.knn_accuracy, 1.0, "{i}: the same votes");
        assert!(untied.len() > test.n() / 2);
    }
    assert_eq!(list(&cases["classifiers"]).len(), 2);
}

use super::*;
use crate::data::source::{ImageShape, InMemory, Source};
use crate::data::split::{Validation, split_with_test};
use std::sync::Arc;

fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// A source of 2 x 2 images with classes `a`, `b`, `c`.
fn source(pixels: Vec<u8>, label: impl Fn(usize) -> u8) -> Arc<dyn Source> {
    let labels = (0..pixels.len() / 4).map(label).collect();
    let names = ["a", "b", "c"].map(String::from).to_vec();
    Arc::new(InMemory::new("made up", ImageShape::grey(2, 2), pixels, "print").labels(labels, names))
}

fn report(train: Arc<dyn Source>, test: Arc<dyn Source>) -> DataReport {
    inspect(&split_with_test(train, test, Validation::NONE, 0).unwrap())
}

/// Severity and message of every finding.
fn texts(report: &DataReport) -> Vec<String> {
    report.findings.iter().map(|finding| format!("{:?}: {}", finding.severity, finding.message)).collect()
}

/// The report on `train` beside a test part that raises no finding.
fn of(train: Vec<u8>, label: impl Fn(usize) -> u8) -> DataReport {
    report(source(train, label), source(noise(400, 99), |i| (i % 3) as u8))
}

#[test]
fn a_good_set_has_no_findings_and_right_numbers() {
    let report = of(noise(8000, 1), |i| (i % 3) as u8);
    assert_eq!(texts(&report), Vec::<String>::new());
    assert_eq!(report.splits, SplitCounts { train: 2000, validation: 0, test: 100 });
    assert_eq!((report.shape, report.range_bytes, report.range), ([1, 2, 2], Some([0, 255]), [0.0, 1.0]));
    assert_eq!(report.labels.iter().map(|label| label.count).collect::<Vec<_>>(), [667, 667, 666]);
    assert_eq!((report.name.as_str(), report.sha256.as_str(), report.examined), ("made up", "print", 2000));
    let values: Vec<f64> = noise(8000, 1).iter().map(|&byte| f64::from(byte) / 255.0).collect();
    let mean = values.iter().sum::<f64>() / 8000.0;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 8000.0;
    assert!((report.mean - mean).abs() < 1e-12 && (report.std - variance.sqrt()).abs() < 1e-12);
}

#[test]
fn keys_of_the_json_are_those_promised() {
    let json = serde_json::to_value(of(noise(8000, 1), |_| 0)).unwrap();
    for key in ["name", "splits", "shape", "range", "mean", "std", "labels", "sha256", "findings"] {
        assert!(json.get(key).is_some(), "{key}");
    }
    assert_eq!(json["findings"][0]["severity"], "warning");
}

#[test]
fn constant_pixels_are_noted_and_a_nearly_constant_set_is_warned_of() {
    let mut pixels = noise(8000, 1);
    pixels.iter_mut().step_by(4).for_each(|byte| *byte = 0);
    let report = of(pixels.clone(), |i| (i % 3) as u8);
    assert_eq!(texts(&report), ["Note: 1 of 4 values are always 0 in all 2000 images"]);
    pixels.iter_mut().skip(1).step_by(4).for_each(|byte| *byte = 9);
    let report = of(pixels, |i| (i % 3) as u8);
    let text = "Note: 2 of 4 values are always the same (1 of them 0) in all 2000 images";
    assert!(texts(&report).contains(&text.to_owned()), "{:?}", texts(&report));
}

#[test]
fn copies_are_counted() {
    let report = of([noise(7000, 1), noise(1000, 1)].concat(), |i| (i % 3) as u8);
    assert_eq!(texts(&report), ["Warning: 250 of 2000 train images are copies of others"]);
    let report = of([noise(7960, 1), noise(40, 1)].concat(), |i| (i % 3) as u8);
    assert_eq!(texts(&report), ["Note: 10 of 2000 train images are copies of others"]);
    let report = of([3, 250, 3, 4].repeat(2000), |i| (i % 3) as u8);
    assert_eq!(texts(&report), ["Warning: all 2000 images are the same"]);
}

#[test]
fn test_images_seen_in_training_are_counted() {
    let label = |i: usize| (i % 3) as u8;
    let report = report(source(noise(8000, 1), label), source(noise(200, 1), label));
    assert_eq!(texts(&report), ["Warning: 50 of 50 test images are in the train part too"]);
    let (train, test) = (source(noise(8000, 1), label), source(noise(200, 1), label));
    let report = inspect(&split_with_test(train, test, Validation::Test, 0).unwrap());
    assert_eq!(texts(&report).len(), 2, "the part is searched once: {:?}", texts(&report));
}

#[test]
fn unused_range_is_reported() {
    let bits: Vec<u8> = noise(8000, 1).iter().map(|byte| byte & 1).collect();
    let report = of(bits, |i| (i % 3) as u8);
    let range = report.findings.iter().find(|finding| finding.message.contains("largest byte is 1")).unwrap();
    assert_eq!(range.severity, Severity::Warning);
    assert!(range.help.contains("multiply by 255"));
    let dark: Vec<u8> = noise(8000, 1).iter().map(|byte| byte / 2).collect();
    assert_eq!(texts(&of(dark, |i| (i % 3) as u8)), ["Note: bytes reach from 0 to 127 of 0..255"]);
    assert_eq!([[0, 255], [55, 200]].map(range_finding), [None, None]);
    assert!(range_finding([56, 255]).is_some());
}

#[test]
fn classes_that_are_empty_rare_or_unknown_are_reported() {
    let report = of(noise(8000, 1), |_| 1);
    assert_eq!(texts(&report), ["Warning: no train images of class `a`, `c`"]);
    let report = of(noise(8000, 1), |i| if i % 100 == 0 { 2 } else { (i % 2) as u8 });
    assert_eq!(texts(&report), ["Warning: `b` has 1000 images, `c` only 20"]);
    let bare = InMemory::new("bare", ImageShape::grey(2, 2), noise(8000, 1), "print");
    let report = super::tests::report(Arc::new(bare), source(noise(400, 99), |_| 0));
    assert_eq!(texts(&report), ["Note: the images have no labels"]);
}

#[test]
fn tiny_sets_and_missing_test_parts_are_warned_of() {
    let report = of(noise(4, 1), |_| 0);
    assert!(texts(&report)[0].starts_with("Warning: there is only 1 image to train on"), "{:?}", texts(&report));
    let all = Subset::all(source(noise(8000, 1), |i| (i % 3) as u8));
    let splits = Splits { train: all.clone(), validation: None, test: all.take(0), validation_is_test: false };
    assert_eq!(texts(&inspect(&splits)), ["Warning: there are no test images"]);
    let splits = Splits { validation: Some(all.take(0)), validation_is_test: true, ..splits };
    assert!(texts(&inspect(&splits))[1].starts_with("Note: the test part serves for validation"));
}

/// A source too large to look at whole: image `i` holds the bytes of `i`.
struct Rendered;

impl Source for Rendered {
    fn name(&self) -> &str {
        "rendered"
    }
    fn len(&self) -> usize {
        500_000
    }
    fn shape(&self) -> ImageShape {
        ImageShape::grey(2, 2)
    }
    fn read(&self, index: usize, pixels: &mut [u8]) {
        pixels.copy_from_slice(&(index as u32).to_le_bytes());
    }
    fn label(&self, _: usize) -> Option<u32> {
        None
    }
    fn label_names(&self) -> &[String] {
        &[]
    }
    fn fingerprint(&self) -> &str {
        "rendered"
    }
}

#[test]
fn a_large_rendered_set_is_sampled_over_its_whole_length() {
    let part = sample(&Subset::all(Arc::new(Rendered)));
    assert_eq!((part.len(), part.indices()[1], part.indices()[19_999]), (20_000, 25, 499_975));
    let report = report(Arc::new(Rendered), source(noise(400, 99), |_| 0));
    assert_eq!((report.examined, report.splits.train), (20_000, 500_000));
    assert!(texts(&report).iter().any(|text| text.contains("20000 evenly spaced images of 500000")));
}

#[test]
fn real_mnist_is_healthy() {
    if std::env::var_os("ELBO_DATA").is_none() {
        println!("skipped: ELBO_DATA not set");
        return;
    }
    let (train, test) = crate::data::known::load("mnist", None, crate::data::Network::Offline).unwrap();
    let report = report(Arc::new(train), Arc::new(test));
    assert!(
        (report.mean - 0.1307).abs() < 5e-5 && (report.std - 0.3081).abs() < 5e-5,
        "{} {}",
        report.mean,
        report.std
    );
    assert_eq!(report.labels[0], LabelCount { name: "0".into(), count: 5923 });
    assert_eq!(texts(&report), ["Note: 67 of 784 values are always 0 in all 60000 images"]);
}

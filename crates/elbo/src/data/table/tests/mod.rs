//! Files made byte by byte, opened as a user's would be.

mod arrays;
mod csv;
mod objects;
mod parquet;

use std::sync::Arc;

use super::*;
use crate::data::split::Subset;
use crate::space::Domain;

/// What opening a file `name` of these bytes gives; `settings` are lines of `[data]`.
fn open_bytes(name: &str, bytes: &[u8], settings: &str) -> Result<Splits> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    open_path(&path, settings)
}

fn open_path(path: &Path, settings: &str) -> Result<Splits> {
    let mut config: DataConfig = toml::from_str(settings).unwrap_or_else(|error| panic!("{settings}: {error}"));
    config.source = path.to_str().unwrap().into();
    super::super::open(&config, 0, &mut |_| {})
}

/// All of it as the training part, unless `settings` say more.
fn opened(name: &str, bytes: &[u8], settings: &str) -> Splits {
    let settings = format!("test = 0\nvalidation = 0\n{settings}");
    open_bytes(name, bytes, &settings).unwrap_or_else(|error| panic!("{name}: {error} ({})", error.help()))
}

/// Message and help of a refusal.
#[track_caller]
fn refused(name: &str, bytes: &[u8], settings: &str, parts: &[&str]) {
    assert_refused(open_bytes(name, bytes, settings), parts);
}

#[track_caller]
fn assert_refused(result: Result<Splits>, parts: &[&str]) {
    let Err(error) = result else { panic!("it was read; expected {parts:?}") };
    let text = format!("{error}\nhelp: {}", error.help());
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in: {text}");
    }
}

/// Every value as the model sees it.
fn values(part: &Subset) -> Vec<f32> {
    let width = part.source().shape().numel();
    let mut values = vec![0.0; part.len() * width];
    for (row, index) in values.chunks_exact_mut(width).zip(part.indices()) {
        part.source().read_values(*index as usize, row);
    }
    if let (Some(floats), true) = (part.source().floats(), part.len() == part.source().len()) {
        assert_eq!(floats, values);
    }
    values
}

/// Every value in the units of the file.
fn originals(part: &Subset) -> Vec<f64> {
    part.source().columns().expect("a table").original(&values(part))
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    // Standardised values are float32, so the error goes by the largest number of the table.
    let largest = expected.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-6 * largest, "{found} for {expected}");
    }
}

fn label_names(part: &Subset) -> Vec<Option<String>> {
    let name = |label: u32| part.source().label_names()[label as usize].clone();
    (0..part.len()).map(|index| part.label(index).map(name)).collect()
}

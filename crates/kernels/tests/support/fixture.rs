//! The stored PyTorch numbers under `fixtures/`; its README explains their layout.

use std::path::Path;

use serde_json::Value;

/// The JSON file `name`, a path below `fixtures/`.
pub fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The entries of a list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("a list, not {value}"))
}

/// A number as stored.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number, not {value}"))
}

/// The values of an array, or of a plain list of numbers.
pub fn numbers(value: &Value) -> Vec<f64> {
    list(value.get("values").unwrap_or(value)).iter().map(number).collect()
}

/// A whole number.
pub fn count(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("a whole number, not {value}")) as usize
}

/// Text.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}"))
}

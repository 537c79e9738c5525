//! Any bytes as a weight file: refused, or read to tensors that are written to bytes which are read to the same tensors.

#![no_main]

use std::path::Path;

use elbo::run::weights;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz.safetensors");
    let Ok(file) = weights::from_bytes(bytes, path) else { return };
    assert!(file.tensors.iter().flat_map(|tensor| &tensor.values).all(|value| value.is_finite()));
    let written = weights::to_bytes(&file.tensors, &file.metadata);
    let again = weights::from_bytes(&written, path).expect("what was written is read");
    assert_eq!((&again.tensors, &again.metadata), (&file.tensors, &file.metadata));
    assert_eq!(weights::to_bytes(&again.tensors, &again.metadata), written);
});

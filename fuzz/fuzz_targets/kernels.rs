//! Fused operations against their plain twins at fuzzed shapes, with AddressSanitizer watching the `unsafe` code of the kernels.
//!
//! The bytes of an input are the choices of [`cases::Case::draw`], as in `crates/kernels/tests/properties.rs`.

#![no_main]

use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/kernels/tests/support"]
mod support {
    pub mod activations;
    pub mod cases;
    #[allow(dead_code, reason = "cases draw their own layers")]
    pub mod grids;
    #[allow(dead_code, reason = "as above")]
    pub mod images;
}

use support::cases::{Case, KINDS};

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let mut pick = |n: usize| bytes.int_in_range(0..=n - 1).unwrap_or(0);
    let kind = pick(KINDS);
    if let Err(difference) = Case::draw(kind, &mut pick).check() {
        panic!("{difference}");
    }
});

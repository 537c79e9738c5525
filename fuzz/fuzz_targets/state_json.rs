//! Any bytes as the state of a training: refused, or read to a state that comes back from what is written of it.

#![no_main]

use std::path::Path;

use elbo::training::TrainState;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("state.json");
    let Ok(state) = TrainState::from_json(bytes, path) else { return };
    let written = serde_json::to_vec_pretty(&state).expect("numbers become JSON");
    assert_eq!(TrainState::from_json(&written, path).expect("what was written is read"), state);
});

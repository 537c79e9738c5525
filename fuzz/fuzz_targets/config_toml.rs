//! Any text as a configuration and as later stages: refused, or read to a configuration that comes back from what is written of it.

#![no_main]

use elbo::recipe::{Layers, Stages};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = |text: &str| Layers::from_text("line", text).and_then(Layers::build);
    if let Ok(config) = read(text) {
        assert_eq!(read(&config.to_toml()).expect("what was written is read"), config);
    }
    // Nothing but an error may come of later stages either.
    let _ = Stages::read_later(text);
});

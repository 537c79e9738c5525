//! Any bytes as a sampler's file: refused, or read to a sampler that draws finite codes, the same after it was written and read again.

#![no_main]

use std::path::Path;

use elbo::priors::store::{from_json, to_json};
use elbo::priors::{Draw, SamplerKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("mixture.json");
    let draw = Draw { count: 4, ..Default::default() };
    for kind in [SamplerKind::Gaussian, SamplerKind::Mixture] {
        for latent in 1..=3 {
            let Ok(stored) = from_json(bytes, path, &kind, latent) else { continue };
            let drawn = stored.sampler.sample(&draw);
            assert_eq!(drawn.len(), 4 * latent);
            let written = to_json(&stored).expect("a mixture has a file");
            let again = from_json(written.as_bytes(), path, &kind, latent).expect("what was written is read");
            assert_eq!(again.record, stored.record);
            let (drawn, again) = (bits(&drawn), bits(&again.sampler.sample(&draw)));
            assert_eq!(again, drawn);
        }
    }
});

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

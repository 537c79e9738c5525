//! IDX files, plain and gzip: any bytes, and images that must come back as they were written.

#![no_main]

use std::io::Write;

use elbo::data::DataConfig;
use libfuzzer_sys::fuzz_target;

#[path = "support/data.rs"]
mod support;

fuzz_target!(|bytes: &[u8]| {
    let [kind, width, bytes @ ..] = bytes else { return };
    if kind % 2 == 0 {
        return support::stranger("a-idx3-ubyte", bytes, DataConfig::default());
    }
    let width = usize::from(width % 7) + 1;
    let count = bytes.len() / width;
    if count == 0 {
        return;
    }
    let sizes = [0x803, count as u32, 1, width as u32].map(u32::to_be_bytes).concat();
    let plain = [&sizes[..], &bytes[..count * width]].concat();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&plain).expect("memory");
    for file in [&plain, &packed.finish().expect("memory")] {
        let splits = support::open(&support::put("b-idx3-ubyte", file), DataConfig::default()).expect("good images");
        assert_eq!(splits.train.source().bytes(), Some(&bytes[..count * width]));
    }
});

//! `.npy` and `.npz`: any bytes, and arrays that must come back as they were written.

#![no_main]

use elbo::data::DataConfig;
use libfuzzer_sys::arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;

#[path = "support/data.rs"]
mod support;

fn npy(descr: &str, shape: &str, payload: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:117}\n");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), payload].concat()
}

fn npz(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).expect("an entry");
        zip.write_all(bytes).expect("its bytes");
    }
    zip.finish().expect("an archive").into_inner()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => support::stranger("a.npy", bytes, DataConfig::default()),
        1 => support::stranger("a.npz", bytes, DataConfig::default()),
        2 => support::stranger(
            "b.npz",
            &npz(&[("x.npy", bytes.to_vec()), ("y.npy", bytes.to_vec())]),
            DataConfig::default(),
        ),
        _ => {
            let mut choices = Unstructured::new(bytes);
            let height = choices.int_in_range(1..=5).unwrap_or(1);
            let pixels = choices.take_rest();
            let count = pixels.len() / height;
            if count == 0 {
                return;
            }
            let pixels = &pixels[..count * height];
            let array = npy("|u1", &format!("({count}, {height}, 1)"), pixels);
            let labels = npy("|u1", &format!("({count},)"), &pixels[..count]);
            for (name, file) in [("c.npy", array.clone()), ("c.npz", npz(&[("x.npy", array), ("y.npy", labels)]))] {
                let splits = support::open(&support::put(name, &file), DataConfig::default()).expect("a good array");
                assert_eq!(splits.train.source().bytes(), Some(pixels));
            }
        }
    }
});

//! tar and zip archives: any bytes, and pictures that must come back as they were packed.

#![no_main]

use std::io::Write;

use elbo::data::DataConfig;
use libfuzzer_sys::fuzz_target;

#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/data.rs"]
mod support;

use lenient::lenient;

/// A header of tar as POSIX has it.
fn header(name: &str, len: usize) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..136].copy_from_slice(format!("{len:011o}\0").as_bytes());
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => support::stranger("a.tar", bytes, lenient()),
        1 => support::stranger("a.zip", bytes, lenient()),
        _ => {
            // Pictures of four grey pixels.
            let pictures: Vec<&[u8]> = bytes.chunks_exact(4).take(20).collect();
            if pictures.is_empty() {
                return;
            }
            let (mut tar, mut zip) = (Vec::new(), zip::ZipWriter::new(std::io::Cursor::new(Vec::new())));
            for (place, pixels) in pictures.iter().enumerate() {
                let (name, file) = (format!("class/{place:03}.pgm"), [b"P5 2 2 255\n", *pixels].concat());
                tar.extend(header(&name, file.len()));
                tar.extend(&file);
                tar.resize(tar.len().next_multiple_of(512), 0);
                zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("an entry");
                zip.write_all(&file).expect("its bytes");
            }
            for (name, file) in [("b.tar", tar), ("b.zip", zip.finish().expect("an archive").into_inner())] {
                let splits = support::open(&support::put(name, &file), DataConfig::default()).expect("a good archive");
                assert_eq!(splits.train.source().bytes(), Some(&pictures.concat()[..]), "{name}");
            }
        }
    }
});

//! Made-up pictures, folders and archives for tests.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

/// A grey picture whose pixels follow from `seed`.
pub fn grey(height: u32, width: u32, seed: u32) -> DynamicImage {
    GrayImage::from_fn(width, height, |x, y| Luma([(x * 7 + y * 13 + seed * 31) as u8])).into()
}

/// A coloured picture whose pixels follow from `seed`.
pub fn colour(height: u32, width: u32, seed: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 5 + seed) as u8, (y * 3 + seed * 17) as u8, (x + y) as u8]))
        .into()
}

/// `image` in a format.
pub fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

/// `image` as PNG.
pub fn png(image: &DynamicImage) -> Vec<u8> {
    encoded(image, ImageFormat::Png)
}

/// Writes a file and the folders above it.
pub fn put(path: impl AsRef<Path>, bytes: &[u8]) {
    std::fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// A header of tar, as POSIX has it; a length that has too many digits in GNU's binary form.
pub fn tar_header(name: &[u8], len: u64, kind: u8) -> [u8; 512] {
    let mut header = [0; 512];
    header[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    header[100..108].copy_from_slice(b"0000644\0");
    match len < 1 << 33 {
        true => header[124..136].copy_from_slice(format!("{len:011o}\0").as_bytes()),
        false => {
            header[124] = 0x80;
            header[128..136].copy_from_slice(&len.to_be_bytes());
        }
    }
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Appends a file to an archive of tar.
pub fn append(tar: &mut Vec<u8>, name: &str, content: &[u8]) {
    tar.extend(tar_header(name.as_bytes(), content.len() as u64, b'0'));
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

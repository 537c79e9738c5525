//! Each format of pictures: any bytes, and pixels that must come back from those that lose none.

#![no_main]

use std::io::Cursor;

use elbo::data::ImageShape;
use elbo::data::pictures::{Fit, decode_one};
use image::{DynamicImage, ImageFormat, RgbImage};
use libfuzzer_sys::fuzz_target;

#[path = "support/lenient.rs"]
mod lenient;
#[path = "support/data.rs"]
mod support;

use lenient::lenient;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 | 1 => {
            let shape = ImageShape { channels: 1 + usize::from(kind % 4) * 2, height: 6, width: 5 };
            if let Ok(pixels) = decode_one(bytes, shape, Fit::Pad) {
                assert_eq!(pixels.len(), shape.numel());
            }
        }
        2 => support::stranger("a.tga", bytes, lenient()),
        _ => {
            let [width, pixels @ ..] = bytes else { return };
            let width = u32::from(width % 9) + 1;
            let height = (pixels.len() / 3) as u32 / width;
            if height == 0 {
                return;
            }
            let pixels = pixels[..(width * height * 3) as usize].to_vec();
            let image = RgbImage::from_raw(width, height, pixels.clone()).expect("as many pixels as its size says");
            for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Pnm] {
                let mut file = Vec::new();
                DynamicImage::ImageRgb8(image.clone()).write_to(&mut Cursor::new(&mut file), format).expect("memory");
                let shape = ImageShape { channels: 3, height: height as usize, width: width as usize };
                let planes = decode_one(&file, shape, Fit::Crop).expect("a good picture");
                let count = (width * height) as usize;
                let back: Vec<u8> = (0..count * 3).map(|place| planes[place % 3 * count + place / 3]).collect();
                assert_eq!(back, pixels, "{format:?}");
            }
        }
    }
});

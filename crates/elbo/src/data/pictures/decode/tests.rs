//! Decoding against Pillow's pixels, damaged files, and files cut at every byte.

use super::super::testing::{colour, encoded, grey};
use super::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pictures").join(name)
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

fn cases() -> Value {
    serde_json::from_slice(&file("cases.json")).unwrap()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap() as u32
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_array().unwrap().iter().map(|v| number(v) as u8).collect()
}

fn size(value: &Value) -> Size {
    Size { height: number(&value["height"]), width: number(&value["width"]) }
}

/// Decoded, channels interleaved again.
fn decoded(bytes: &[u8], plan: &Plan) -> Result<Vec<u8>, Fault> {
    let mut pixels = vec![0; plan.numel()];
    Decoder::new().decode(bytes, plan, |_| true, &mut pixels)?;
    let plane = pixels.len() / plan.channels;
    Ok((0..plane).flat_map(|at| (0..plan.channels).map(move |c| c * plane + at)).map(|at| pixels[at]).collect())
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn d7_every_kind_of_file_has_the_pixels_pillow_gives() {
    let cases = cases();
    let mut wrong = Vec::new();
    for case in cases["cases"].as_array().unwrap() {
        let (name, size, channels) =
            (case["file"].as_str().unwrap(), size(case), number(&case["channels"]) as usize);
        let plan = Plan { size, fit: Fit::Crop, channels };
        let header = header(&file(name)).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        assert_eq!(header.size, size, "{name}");
        let difference = largest_difference(&decoded(&file(name), &plan).unwrap(), &bytes(&case["pixels"]));
        if u32::from(difference) > number(&case["tolerance"]) || header.grey != (channels == 1) {
            wrong.push(format!("{name}: differs by {difference}, grey {}", header.grey));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn scaling_is_that_of_pillow() {
    let (cases, from) = (cases(), file("rgb.png"));
    for case in cases["resized"].as_array().unwrap() {
        let fit = serde_json::from_value(case["fit"].clone()).unwrap();
        let plan = Plan { size: size(case), fit, channels: 3 };
        let difference = largest_difference(&decoded(&from, &plan).unwrap(), &bytes(&case["pixels"]));
        // Both round to 8 bits between the two directions, in another order.
        assert!(difference <= 2, "{fit:?} to {}: differs by {difference}", plan.size);
    }
}

#[test]
fn grey_is_luma() {
    let plan = Plan { size: Size { height: 11, width: 14 }, fit: Fit::Crop, channels: 1 };
    assert_eq!(decoded(&file("rgb.png"), &plan).unwrap(), bytes(&cases()["luma_of_rgb_png"]));
    // The Y of the file itself, against that of its colours.
    let difference =
        largest_difference(&decoded(&file("rgb.jpg"), &plan).unwrap(), &bytes(&cases()["luma_of_rgb_png"]));
    assert!(difference <= 4, "{difference}");
    let white = Plan { channels: 3, ..plan };
    let of_grey = decoded(&file("grey.png"), &white).unwrap();
    assert!(of_grey.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
}

/// A PNG that promises more than it has.
fn promising(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(&[kind, data].concat());
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
    };
    let ihdr = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let start = b"\x89PNG\r\n\x1a\n".to_vec();
    [start, chunk(b"IHDR", &ihdr), chunk(b"IDAT", b"\x78\x9c\x03\x00\x00\x00\x00\x01"), chunk(b"IEND", b"")]
        .concat()
}

#[test]
fn d7_sizes_are_refused_by_the_header() {
    for (width, height, depth, colour) in
        [(60_000, 60_000, 1, 0), (1, 1_000_000, 8, 0), (u32::MAX >> 1, u32::MAX >> 1, 8, 6), (8192, 8192, 16, 2)]
    {
        let fault = header(&promising(width, height, depth, colour)).unwrap_err();
        assert!(!fault.found.contains("fails on"), "{width} x {height}: {fault:?}");
    }
    assert!(header(&promising(8192, 8192, 8, 2)).is_ok());
    let mut jpeg = file("rgb.jpg");
    let sof = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0xff; 4]);
    let fault = header(&jpeg).unwrap_err();
    assert!(fault.expected.contains("8192") && fault.found.contains("65535x65535"), "{fault:?}");
    let mut ppm = b"P6 100000 100000 255\n".to_vec();
    ppm.extend([0; 30]);
    assert!(header(&ppm).is_err());
}

#[test]
fn what_is_no_picture_is_named() {
    for (bytes, found) in [(&b""[..], "an empty file"), (b"hello", "none of these"), (b"II*\0\x08\0\0\0", "Tiff")] {
        assert_eq!(header(bytes).unwrap_err().found, found);
    }
    let plan = Plan { size: Size { height: 40, width: 40 }, fit: Fit::Crop, channels: 3 };
    let whole = encoded(&colour(40, 40, 1), ImageFormat::Jpeg);
    for end in [whole.len() - 60, whole.len() - 2] {
        assert!(decoded(&whole[..end], &plan).unwrap_err().found.contains("cut short"));
    }
    assert!(decoded(&[whole.clone(), b"trailing".to_vec()].concat(), &plan).is_ok());
}

/// A stream of numbers that is the same on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

#[test]
fn d13_damaged_files_are_a_picture_or_a_fault() {
    let hook = std::panic::take_hook();
    // What decoders panic about is told by the fault.
    std::panic::set_hook(Box::new(|_| {}));
    let mut chance = Chance(13);
    let mut wholes: Vec<Vec<u8>> = [
        "rgb.png",
        "palette.png",
        "rgb-420.jpg",
        "progressive.jpg",
        "cmyk.jpg",
        "lossy.webp",
        "lossless.webp",
        "moving.gif",
        "palette.bmp",
    ]
    .map(file)
    .to_vec();
    wholes.push(encoded(&grey(9, 7, 3), ImageFormat::Pnm));
    let (mut decoder, mut good, mut bad) = (Decoder::new(), 0, 0);
    for whole in &wholes {
        for turn in 0..1000 {
            let mut damaged = whole.clone();
            for _ in 0..1 + turn % 4 {
                let place = chance.below(damaged.len());
                damaged[place] ^= 1 << chance.below(8);
            }
            if turn % 10 == 9 {
                damaged.truncate(chance.below(whole.len()));
            }
            let plan = Plan { size: Size { height: 6, width: 5 }, fit: Fit::Pad, channels: 1 + turn % 2 * 2 };
            let mut pixels = vec![0; plan.numel()];
            match decoder.decode(&damaged, &plan, |_| true, &mut pixels) {
                Ok(_) => good += 1,
                Err(_) => bad += 1,
            }
        }
    }
    std::panic::set_hook(hook);
    assert!(good > 1000 && bad > 1000, "{good} good, {bad} bad");
}

#[test]
fn a_decoder_that_panics_is_the_fault_of_its_file() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let fault = guarded::<()>(|| panic!("index {} is out of bounds", 7)).unwrap_err();
    std::panic::set_hook(hook);
    assert!(fault.found.contains("index 7 is out of bounds"), "{fault:?}");
}

//! Decoding against Pillow's pixels, damaged files, and files cut at every byte.

use image::{DynamicImage, ImageFormat};

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
    Decoder::new().decode((bytes, ""), plan, |_| true, &mut pixels)?;
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
        let (name, size, channels) = (case["file"].as_str().unwrap(), size(case), number(&case["channels"]) as usize);
        let plan = Plan { size, fit: Fit::Crop, channels, deep: false };
        let header = header(&file(name), name).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
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
        let plan = Plan { size: size(case), fit, channels: 3, deep: false };
        let difference = largest_difference(&decoded(&from, &plan).unwrap(), &bytes(&case["pixels"]));
        // Both round to 8 bits between the two directions, in another order.
        assert!(difference <= 2, "{fit:?} to {}: differs by {difference}", plan.size);
    }
}

#[test]
fn grey_is_luma() {
    let plan = Plan { size: Size { height: 11, width: 14 }, fit: Fit::Crop, channels: 1, deep: false };
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
    [start, chunk(b"IHDR", &ihdr), chunk(b"IDAT", b"\x78\x9c\x03\x00\x00\x00\x00\x01"), chunk(b"IEND", b"")].concat()
}

#[test]
fn d7_sizes_are_refused_by_the_header() {
    for (width, height, depth, colour) in
        [(60_000, 60_000, 1, 0), (1, 1_000_000, 8, 0), (u32::MAX >> 1, u32::MAX >> 1, 8, 6), (8192, 8192, 16, 2)]
    {
        let fault = header(&promising(width, height, depth, colour), "").unwrap_err();
        assert!(!fault.found.contains("fails on"), "{width} x {height}: {fault:?}");
    }
    assert!(header(&promising(8192, 8192, 8, 2), "").is_ok());
    let mut jpeg = file("rgb.jpg");
    let sof = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0xff; 4]);
    let fault = header(&jpeg, "").unwrap_err();
    assert!(fault.expected.contains("8192") && fault.found.contains("65535x65535"), "{fault:?}");
    let mut ppm = b"P6 100000 100000 255\n".to_vec();
    ppm.extend([0; 30]);
    assert!(header(&ppm, "").is_err());
}

#[test]
fn what_is_no_picture_is_named() {
    for (bytes, found) in
        [(&b""[..], "an empty file"), (b"hello", "none of these"), (b"\0\0\0\x18ftypheic", "a HEIC picture")]
    {
        assert_eq!(header(bytes, "").unwrap_err().found, found);
    }
    let plan = Plan { size: Size { height: 40, width: 40 }, fit: Fit::Crop, channels: 3, deep: false };
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
            let plan =
                Plan { size: Size { height: 6, width: 5 }, fit: Fit::Pad, channels: 1 + turn % 2 * 2, deep: false };
            let mut pixels = vec![0; plan.numel()];
            match decoder.decode((&damaged, ""), &plan, |_| true, &mut pixels) {
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

/// Every kind of file, with something in it that compresses badly.
fn of_every_format() -> Vec<(&'static str, Vec<u8>)> {
    let (picture, flat) = (colour(23, 17, 5), grey(23, 17, 3));
    let formats = [
        ("a.png", ImageFormat::Png),
        ("a.jpg", ImageFormat::Jpeg),
        ("a.gif", ImageFormat::Gif),
        ("a.webp", ImageFormat::WebP),
        ("a.bmp", ImageFormat::Bmp),
        ("a.ppm", ImageFormat::Pnm),
        ("a.tif", ImageFormat::Tiff),
        ("a.tga", ImageFormat::Tga),
    ];
    let coloured = formats.iter().map(|(name, format)| (*name, encoded(&picture, *format)));
    let greys = [("g.png", ImageFormat::Png), ("g.jpg", ImageFormat::Jpeg), ("g.tif", ImageFormat::Tiff)];
    coloured.chain(greys.map(|(name, format)| (name, encoded(&flat, format)))).collect()
}

#[test]
fn a_file_cut_at_any_byte_is_refused_whatever_its_format() {
    let plan = Plan { size: Size { height: 23, width: 17 }, fit: Fit::Crop, channels: 3, deep: false };
    let mut decoder = Decoder::new();
    let mut pixels = vec![0; plan.numel()];
    for (name, whole) in of_every_format() {
        decoder
            .decode((&whole, name), &plan, |_| true, &mut pixels)
            .unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        // TGA may have a footer, TIFF its directory or unused bytes at the end.
        let last = match name {
            "a.tga" => whole.len() - 26,
            _ => whole.len(),
        };
        let accepted =
            (0..last).filter(|&end| decoder.decode((&whole[..end], name), &plan, |_| true, &mut pixels).is_ok());
        let accepted: Vec<usize> = accepted.collect();
        assert!(accepted.is_empty(), "{name} of {} bytes is accepted when cut to {accepted:?}", whole.len());
    }
}

/// A JPEG with another one as the thumbnail that cameras put into EXIF.
fn with_thumbnail(whole: &[u8], thumbnail: &[u8]) -> Vec<u8> {
    let content = [b"Exif\0\0", thumbnail].concat();
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&whole[..2], &[0xff, 0xe1], &length, &content, &whole[2..]].concat()
}

#[test]
fn the_end_of_a_thumbnail_is_not_the_end_of_its_picture() {
    let plan = Plan { size: Size { height: 40, width: 40 }, fit: Fit::Crop, channels: 3, deep: false };
    let thumbnail = encoded(&colour(8, 8, 2), ImageFormat::Jpeg);
    let whole = with_thumbnail(&encoded(&colour(40, 40, 1), ImageFormat::Jpeg), &thumbnail);
    assert!(decoded(&whole, &plan).is_ok());
    for end in [whole.len() - 2, whole.len() - 80, thumbnail.len() + 40] {
        let fault = decoded(&whole[..end], &plan).unwrap_err();
        assert!(fault.expected.contains("JPEG"), "{end}: {fault:?}");
    }
    // Another picture behind a cut one, as phones append them, does not make it whole.
    let second = [&whole[..whole.len() - 120], &thumbnail[..]].concat();
    assert!(decoded(&second, &plan).unwrap_err().found.contains("cut short"));
    assert!(decoded(&[whole, thumbnail].concat(), &plan).is_ok());
}

#[test]
fn sixteen_bits_are_kept_when_asked_and_their_loss_is_counted() {
    let levels: Vec<u16> = (0..24).map(|i| i * 170).collect();
    let image = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(6, 4, levels.clone()).unwrap();
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let file = encoded(&DynamicImage::ImageLuma16(image.clone()), format);
        let shallow = Plan { size: Size { height: 4, width: 6 }, fit: Fit::Crop, channels: 1, deep: false };
        let mut bytes = vec![0; shallow.bytes()];
        let made = Decoder::new().decode((&file, ""), &shallow, |_| true, &mut bytes).unwrap();
        assert!(made.header.deep && made.header.grey, "{format:?}");
        assert_eq!(made.levels.unwrap().counts(), (24, 16), "{format:?}");
        let deep = Plan { deep: true, ..shallow };
        let mut bytes = vec![0; deep.bytes()];
        assert!(Decoder::new().decode((&file, ""), &deep, |_| true, &mut bytes).unwrap().levels.is_none());
        let kept: Vec<u16> = bytes.chunks_exact(2).map(|word| u16::from_le_bytes([word[0], word[1]])).collect();
        assert_eq!(kept, levels, "{format:?}");
    }
}

#[test]
fn gif_is_what_its_first_frame_shows_on_white() {
    // Three bytes of canvas in a frame of one pixel at (2, 1); the palette has red at place 1.
    let mut file = b"GIF89a\x04\0\x03\0\x80\0\0\0\0\0\xff\0\0".to_vec();
    file.extend(b"\x2c\x02\0\x01\0\x01\0\x01\0\0\x02\x02\x4c\x01\0\x3b");
    let plan = Plan { size: Size { height: 3, width: 4 }, fit: Fit::Crop, channels: 3, deep: false };
    let pixels = decoded(&file, &plan).unwrap();
    let red: Vec<usize> = (0..12).filter(|place| pixels[place * 3..place * 3 + 3] == [255, 0, 0]).collect();
    assert_eq!((red, pixels.iter().filter(|&&v| v == 255).count()), (vec![6], 34));
}

#[test]
fn frames_that_are_not_taken_are_seen() {
    assert!(header(&file("moving.gif"), "").unwrap().more);
    assert!(!header(&file("rgb.png"), "").unwrap().more);
}

#[test]
fn formats_that_are_known_but_not_read_are_named_without_a_word_of_damage() {
    for (start, name) in [
        (&b"\0\0\0\x1cftypavif"[..], "AVIF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"<svg xmlns=", "SVG"),
    ] {
        let fault = header(start, "a.png").unwrap_err();
        assert!(fault.found.contains(name) && fault.help.contains("convert"), "{fault:?}");
        assert!(!format!("{fault:?}").contains("damage"), "{fault:?}");
    }
}

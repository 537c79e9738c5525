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

/// 32 x 24 grey pixels by Pillow, with a restart after every four blocks.
const RESTARTS: &[u8] = b"\
    \xff\xd8\xff\xdb\x00\x43\x00\x14\x0e\x0f\x12\x0f\x0d\x14\x12\x10\x12\x17\x15\x14\x18\x1e\x32\x21\
    \x1e\x1c\x1c\x1e\x3d\x2c\x2e\x24\x32\x49\x40\x4c\x4b\x47\x40\x46\x45\x50\x5a\x73\x62\x50\x55\x6d\
    \x56\x45\x46\x64\x88\x65\x6d\x77\x7b\x81\x82\x81\x4e\x60\x8d\x97\x8c\x7d\x96\x73\x7e\x81\x7c\xff\
    \xc0\x00\x0b\x08\x00\x18\x00\x20\x01\x01\x11\x00\xff\xc4\x00\x17\x00\x01\x01\x01\x01\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x04\x00\x06\xff\xc4\x00\x28\x10\x00\x01\x02\x06\x00\x05\
    \x04\x03\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02\x04\x00\x03\x05\x11\x21\x31\x12\x13\x22\x41\x51\
    \x06\x14\x42\x61\x32\x91\xc1\xff\xdd\x00\x04\x00\x04\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x15\
    \xb3\x2d\x62\x16\x6c\xcb\x58\x85\xdb\x32\xd6\x23\x54\x2a\x8c\xa9\x09\xe1\x59\xe7\x38\xed\x25\x04\
    \x5c\x62\xe3\x8b\xc0\xd7\xef\x46\x3f\xff\xd0\xa5\xb3\x2d\x62\x10\x52\x5b\xb2\x93\xce\x75\x35\x12\
    \xa5\x8e\xea\x36\xbe\x2f\x61\xe4\xe3\x42\x01\xa9\xfa\x92\x74\xf2\xa9\x14\xb0\x64\xca\x04\x83\x3b\
    \xe4\xb1\x6b\x60\x5b\xa7\xbf\xde\xb5\x05\x36\x65\xac\x47\xff\xd1\xb2\xa3\x5e\x69\x4e\xe6\x48\x6e\
    \x3d\xc3\xb4\xdd\x3c\x20\x74\x21\x58\xfc\x8f\xf0\x78\xb6\x23\x9b\x71\x35\xd5\x4d\xc1\x9c\xee\x61\
    \x56\x49\x4a\x3e\x28\xfa\x48\xed\xa1\x15\xb6\x65\xac\x42\xcd\x99\x6b\x11\xff\xd9";

/// Those of a file with `end` bytes, closed by an end mark.
fn closed(whole: &[u8], end: usize) -> Vec<u8> {
    [&whole[..end], b"\xff\xd9"].concat()
}

#[test]
fn a_jpeg_that_is_cut_and_closed_again_is_cut_short() {
    let names = ["rgb.jpg", "rgb-420.jpg", "progressive.jpg", "cmyk.jpg", "grey.jpg"];
    let wholes = names.map(|name| (name, file(name))).into_iter().chain([("restarts", RESTARTS.to_vec())]);
    for (name, whole) in wholes {
        let plan = Plan { size: header(&whole, name).unwrap().size, fit: Fit::Crop, channels: 3, deep: false };
        decoded(&whole, &plan).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        let scan = whole.windows(2).position(|two| two == [0xff, 0xda]).unwrap();
        let accepted = (scan..whole.len() - 2).filter(|&end| decoded(&closed(&whole, end), &plan).is_ok());
        let accepted: Vec<usize> = accepted.collect();
        assert!(accepted.is_empty(), "{name} of {} bytes is accepted when closed at {accepted:?}", whole.len());
    }
    let plan = Plan { size: Size { height: 24, width: 32 }, fit: Fit::Crop, channels: 1, deep: false };
    assert!(decoded(&closed(RESTARTS, RESTARTS.len() - 20), &plan).unwrap_err().found.contains("cut short"));
    // A restart that is missing takes the blocks up to it along.
    let place = RESTARTS.windows(2).position(|two| two == [0xff, 0xd1]).unwrap();
    assert!(decoded(&[&RESTARTS[..place - 9], &RESTARTS[place..]].concat(), &plan).is_err());
}

#[test]
fn scans_that_are_left_out_are_missed() {
    let whole = file("progressive.jpg");
    let plan = Plan { size: header(&whole, "").unwrap().size, fit: Fit::Crop, channels: 3, deep: false };
    // Cut in front of a scan and its tables, the file is good in itself, but for bits that never come.
    let starts: Vec<usize> = (2..whole.len() - 1).filter(|&at| whole[at..at + 2] == [0xff, 0xda]).collect();
    assert!(starts.len() > 4, "{starts:?}");
    for &start in &starts[1..] {
        let tables = whole[..start].windows(2).rposition(|two| two == [0xff, 0xc4]).unwrap();
        let fault = decoded(&closed(&whole, tables), &plan).unwrap_err();
        assert!(fault.found.contains("cut short"), "{start}: {fault:?}");
    }
}

/// A TIFF file of one strip that is a JPEG file.
fn tiff_of(jpeg: &[u8], height: u32, width: u32) -> Vec<u8> {
    let entries = [(256, width), (257, height), (258, 8), (259, 7), (262, 1), (273, 8), (277, 1), (278, height)];
    let entries = entries.into_iter().chain([(279, jpeg.len() as u32)]);
    let mut tiff = [b"II*\0", &(8 + jpeg.len() as u32).to_le_bytes()[..], jpeg, &9u16.to_le_bytes()].concat();
    for (tag, value) in entries {
        tiff.extend([&(tag as u16).to_le_bytes()[..], b"\x04\0\x01\0\0\0", &value.to_le_bytes()].concat());
    }
    [&tiff[..], &[0; 4]].concat()
}

#[test]
fn jpeg_data_in_a_tiff_are_whole_too() {
    let plan = Plan { size: Size { height: 24, width: 32 }, fit: Fit::Crop, channels: 1, deep: false };
    let good = decoded(&tiff_of(RESTARTS, 24, 32), &plan).unwrap();
    assert_eq!(good, decoded(RESTARTS, &plan).unwrap());
    let fault = decoded(&tiff_of(&closed(RESTARTS, RESTARTS.len() - 30), 24, 32), &plan).unwrap_err();
    assert!(fault.found.contains("cut short"), "{fault:?}");
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

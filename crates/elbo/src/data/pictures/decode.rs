//! From the bytes of a picture file to pixels of the wanted size.
//!
//! The content says what the format is, never the name. What the many formats offer is brought to 8 bits and one or three
//! channels: 16 bits are rounded, palettes looked up, CMYK converted as its files usually mean it (inverted, as Adobe writes it),
//! what is transparent is put on white. Grey is ITU-R 601 luma. The orientation that cameras note (EXIF) is applied. Of an
//! animation the first frame is taken.
//!
//! Sizes are checked from the header, before anything of that size is allocated. Decoders are not trusted: a panic in one is that
//! file's fault and nobody else's.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{PixelTrait, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::{Fit, MAX_DECODED_BYTES, MAX_SIDE, Size};

/// Why a file is no picture that can be used: what was expected, what was found, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub expected: String,
    pub found: String,
    pub help: &'static str,
}

const DAMAGED: &str = "replace or remove the file, or leave out such files with `--on-bad-image skip`";

impl Fault {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into(), help: DAMAGED }
    }
}

/// What the header of a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The size as it is shown, with the orientation applied.
    pub size: Size,
    /// Whether the file's type has no colour. A palette or an RGB file of equal channels counts as colour.
    pub grey: bool,
}

/// What is made of every picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub size: Size,
    pub fit: Fit,
    /// 1 or 3.
    pub channels: usize,
}

impl Plan {
    pub fn numel(&self) -> usize {
        self.channels * self.size.height as usize * self.size.width as usize
    }
}

/// Reads the header only.
pub(super) fn header(bytes: &[u8]) -> Result<Header, Fault> {
    guarded(|| Opened::new(bytes)?.header())
}

/// Decodes pictures one after another, with buffers it keeps.
pub(super) struct Decoder {
    resizer: Resizer,
}

impl Decoder {
    pub fn new() -> Self {
        Self { resizer: Resizer::new() }
    }

    /// Writes the picture into `pixels`, channel first, as `plan` says, if `accept` takes its header. The header comes back in either case.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        plan: &Plan,
        accept: impl Fn(&Header) -> bool,
        pixels: &mut [u8],
    ) -> Result<Header, Fault> {
        let decoded = guarded(|| {
            let opened = Opened::new(bytes)?;
            let header = opened.header()?;
            if accept(&header) {
                let raster = opened.decode(plan.channels)?;
                self.place(raster, plan, pixels)?;
            }
            Ok(header)
        });
        if decoded.is_err() {
            // It may have been left in the middle of something.
            self.resizer = Resizer::new();
        }
        decoded
    }

    /// Scales to the wanted size and puts one channel behind the other.
    fn place(&mut self, raster: Raster, plan: &Plan, pixels: &mut [u8]) -> Result<(), Fault> {
        if raster.size == plan.size {
            planar(&raster.pixels, plan.channels, pixels);
            return Ok(());
        }
        let (from, to) = (raster.size, plan.size);
        match plan.fit {
            Fit::Stretch => planar(&self.scaled(&raster, whole(from), to)?, plan.channels, pixels),
            Fit::Crop => planar(&self.scaled(&raster, middle(from, to), to)?, plan.channels, pixels),
            Fit::Pad => {
                let inner = inside(from, to);
                let scaled = self.scaled(&raster, whole(from), inner)?;
                padded(&scaled, inner, plan, pixels);
            }
        }
        Ok(())
    }

    fn scaled(&mut self, raster: &Raster, part: [f64; 4], to: Size) -> Result<Vec<u8>, Fault> {
        let mut pixels = vec![0; raster.channels * to.width as usize * to.height as usize];
        // By type: images of a type known at run time bring the code for all thirteen, a fifth of what this crate compiles.
        match raster.channels {
            1 => self.scale::<U8>(raster, part, to, &mut pixels)?,
            _ => self.scale::<U8x3>(raster, part, to, &mut pixels)?,
        }
        Ok(pixels)
    }

    fn scale<P: PixelTrait>(
        &mut self,
        raster: &Raster,
        [left, top, width, height]: [f64; 4],
        to: Size,
        pixels: &mut [u8],
    ) -> Result<(), Fault> {
        let failed = |error: &dyn std::fmt::Display| Fault::new("a picture that can be scaled", error.to_string());
        let from = TypedImageRef::<P>::from_buffer(raster.size.width, raster.size.height, &raster.pixels);
        let from = from.map_err(|error| failed(&error))?;
        let mut to = TypedImage::<P>::from_buffer(to.width, to.height, pixels).map_err(|error| failed(&error))?;
        let options = ResizeOptions::new().crop(left, top, width, height).use_alpha(false);
        self.resizer.resize_typed(&from, &mut to, &options).map_err(|error| failed(&error))
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Fault::new("a picture that can be decoded", format!("one that the decoder fails on ({message})")))
    })
}

/// Left, top, width and height of everything.
fn whole(size: Size) -> [f64; 4] {
    [0.0, 0.0, size.width.into(), size.height.into()]
}

/// The largest part in the middle with the proportions of `to`. When nothing is scaled, it starts at a whole pixel.
fn middle(from: Size, to: Size) -> [f64; 4] {
    let scale = (f64::from(from.width) / f64::from(to.width)).min(f64::from(from.height) / f64::from(to.height));
    let side = |from: u32, to: u32| {
        let part = (f64::from(to) * scale).min(f64::from(from));
        let start = (f64::from(from) - part) / 2.0;
        (if scale == 1.0 { start.floor() } else { start }, part)
    };
    let ((left, width), (top, height)) = (side(from.width, to.width), side(from.height, to.height));
    [left, top, width, height]
}

/// The largest size with the proportions of `from` that fits into `to`.
fn inside(from: Size, to: Size) -> Size {
    let scale = (f64::from(to.width) / f64::from(from.width)).min(f64::from(to.height) / f64::from(from.height));
    let side = |from: u32, to: u32| ((f64::from(from) * scale).round() as u32).clamp(1, to);
    Size { height: side(from.height, to.height), width: side(from.width, to.width) }
}

/// Pixels of interleaved channels, one channel after the other.
fn planar(interleaved: &[u8], channels: usize, pixels: &mut [u8]) {
    if channels == 1 {
        return pixels.copy_from_slice(interleaved);
    }
    let (red, rest) = pixels.split_at_mut(pixels.len() / 3);
    let (green, blue) = rest.split_at_mut(red.len());
    for (((pixel, red), green), blue) in interleaved.chunks_exact(3).zip(red).zip(green).zip(blue) {
        (*red, *green, *blue) = (pixel[0], pixel[1], pixel[2]);
    }
}

/// [`planar`], in the middle of black.
fn padded(interleaved: &[u8], inner: Size, plan: &Plan, pixels: &mut [u8]) {
    pixels.fill(0);
    let (width, height) = (plan.size.width as usize, plan.size.height as usize);
    let (across, down) = (inner.width as usize, inner.height as usize);
    let (left, top) = ((width - across) / 2, (height - down) / 2);
    for (channel, plane) in pixels.chunks_exact_mut(width * height).enumerate() {
        for (row, source) in interleaved.chunks_exact(across * plan.channels).enumerate() {
            let start = (top + row) * width + left;
            let values = source.iter().skip(channel).step_by(plan.channels);
            plane[start..start + across].iter_mut().zip(values).for_each(|(pixel, &value)| *pixel = value);
        }
    }
}

/// Decoded pixels, 8 bits, channels interleaved.
struct Raster {
    size: Size,
    channels: usize,
    pixels: Vec<u8>,
}

/// A file whose header is read.
enum Opened<'a> {
    Jpeg { decoder: Box<JpegDecoder<ZCursor<&'a [u8]>>>, orientation: Orientation, size: Size, grey: bool },
    Other { decoder: Box<dyn ImageDecoder + 'a>, orientation: Orientation, format: ImageFormat },
}

const FORMATS: &str = "a PNG, JPEG, WebP, BMP, GIF or PGM/PPM file";

impl<'a> Opened<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.is_empty() {
            return Err(Fault::new(FORMATS, "an empty file"));
        }
        match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => Self::jpeg(bytes),
            Ok(
                format
                @ (ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Gif | ImageFormat::Pnm),
            ) => Self::other(bytes, format),
            Ok(other) => Err(Fault::new(FORMATS, format!("{other:?}"))),
            Err(_) => Err(Fault::new(FORMATS, "none of these")),
        }
    }

    /// JPEG files go to their decoder directly: through `image`, headers would be read up to three times, which is much for small files.
    fn jpeg(bytes: &'a [u8]) -> Result<Self, Fault> {
        let options = DecoderOptions::default().set_strict_mode(false);
        let options = options.set_max_width(usize::from(u16::MAX)).set_max_height(usize::from(u16::MAX));
        let mut decoder = Box::new(JpegDecoder::new_with_options(ZCursor::new(bytes), options));
        decoder.decode_headers().map_err(|error| Fault::new("a readable JPEG file", error.to_string()))?;
        let info = decoder.info().ok_or_else(|| Fault::new("a readable JPEG file", "one without a header"))?;
        let size = Size { height: info.height.into(), width: info.width.into() };
        check_size(size, 3)?;
        let exif = decoder.exif().and_then(|chunk| Orientation::from_exif_chunk(chunk));
        let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
        if !ends_like_jpeg(bytes) {
            return Err(Fault::new("a whole JPEG file", "one that is cut short"));
        }
        Ok(Self::Jpeg { decoder, orientation: exif.unwrap_or(Orientation::NoTransforms), size, grey })
    }

    fn other(bytes: &'a [u8], format: ImageFormat) -> Result<Self, Fault> {
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_DECODED_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        let unreadable =
            |error: image::ImageError| Fault::new(format!("a readable {format:?} file"), error.to_string());
        let mut decoder = reader.into_decoder().map_err(unreadable)?;
        let (width, height) = decoder.dimensions();
        check_size(Size { height, width }, decoder.color_type().bytes_per_pixel().into())?;
        // An unreadable note about orientation is none.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        Ok(Self::Other { decoder: Box::new(decoder), orientation, format })
    }

    fn header(&self) -> Result<Header, Fault> {
        let (size, orientation, grey) = match self {
            Self::Jpeg { size, orientation, grey, .. } => (*size, orientation, *grey),
            Self::Other { decoder, orientation, .. } => {
                let (width, height) = decoder.dimensions();
                (Size { height, width }, orientation, !decoder.color_type().has_color())
            }
        };
        Ok(Header { size: oriented(size, *orientation), grey })
    }

    fn decode(self, channels: usize) -> Result<Raster, Fault> {
        match self {
            Self::Jpeg { mut decoder, orientation, size, .. } => {
                let (space, wanted) = match channels {
                    1 if yields_luma(decoder.input_colorspace()) => (ColorSpace::Luma, 1),
                    _ => (ColorSpace::RGB, 3),
                };
                decoder.set_options(decoder.options().jpeg_set_out_colorspace(space));
                let mut pixels = vec![0; size.height as usize * size.width as usize * wanted];
                let decoded = decoder.decode_into(&mut pixels);
                decoded.map_err(|error| Fault::new("a readable JPEG file", error.to_string()))?;
                Ok(turned(Raster { size, channels: wanted, pixels }.with_channels(channels), orientation))
            }
            Self::Other { decoder, orientation, format } => {
                let unreadable =
                    |error: image::ImageError| Fault::new(format!("a whole {format:?} file"), error.to_string());
                let image = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
                Ok(turned(flattened(image).with_channels(channels), orientation))
            }
        }
    }
}

/// Whether the decoder can give grey directly: it has the Y of YCbCr at hand.
fn yields_luma(space: Option<ColorSpace>) -> bool {
    matches!(space, Some(ColorSpace::Luma | ColorSpace::YCbCr))
}

/// Whether the end-of-image marker is there; other bytes may follow it. The decoder would fill what is missing with grey.
fn ends_like_jpeg(bytes: &[u8]) -> bool {
    bytes.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

fn check_size(size: Size, bytes_per_pixel: u64) -> Result<(), Fault> {
    let bytes = u64::from(size.height) * u64::from(size.width) * bytes_per_pixel;
    if size.height == 0 || size.width == 0 {
        return Err(Fault::new("a picture with pixels", format!("one of size {size}")));
    }
    if size.height > MAX_SIDE || size.width > MAX_SIDE || bytes > MAX_DECODED_BYTES {
        let expected = format!("at most {MAX_SIDE} pixels a side and {} MiB when decoded", MAX_DECODED_BYTES >> 20);
        let found = format!("size {size}, {} MiB when decoded", bytes >> 20);
        let help = "scale the picture down, or leave out such files with `--on-bad-image skip`";
        return Err(Fault { expected, found, help });
    }
    Ok(())
}

fn oriented(size: Size, orientation: Orientation) -> Size {
    match orientation {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            Size { height: size.width, width: size.height }
        }
        _ => size,
    }
}

fn turned(raster: Raster, orientation: Orientation) -> Raster {
    if orientation == Orientation::NoTransforms {
        return raster;
    }
    let Raster { size: Size { height, width }, channels, pixels } = raster;
    let image = match channels {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8),
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8),
    };
    let mut image = image.expect("a raster has as many pixels as its size says");
    image.apply_orientation(orientation);
    let size = Size { height: image.height(), width: image.width() };
    Raster { size, channels, pixels: image.into_bytes() }
}

impl Raster {
    fn with_channels(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
            (3, 1) => self.pixels.chunks_exact(3).map(luma).collect(),
            _ => self.pixels,
        };
        Self { channels, pixels, ..self }
    }
}

/// ITU-R 601: 0.299 R + 0.587 G + 0.114 B, in units of 2^-16, rounded.
fn luma(rgb: &[u8]) -> u8 {
    let [red, green, blue] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((19_595 * red + 38_470 * green + 7_471 * blue + (1 << 15)) >> 16) as u8
}

/// To 8 bits and one or three channels, on white.
fn flattened(image: DynamicImage) -> Raster {
    let size = Size { height: image.height(), width: image.width() };
    let (channels, pixels) = match image {
        DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
        DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
        DynamicImage::ImageLumaA8(image) => (1, on_white::<2>(&image)),
        DynamicImage::ImageRgba8(image) => (3, on_white::<4>(&image)),
        DynamicImage::ImageLuma16(image) => (1, image.iter().map(|&value| byte(value)).collect()),
        DynamicImage::ImageRgb16(image) => (3, image.iter().map(|&value| byte(value)).collect()),
        DynamicImage::ImageLumaA16(image) => (1, on_white::<2>(&image.iter().map(|&v| byte(v)).collect::<Vec<_>>())),
        other => (3, on_white::<4>(&other.into_rgba8())),
    };
    Raster { size, channels, pixels }
}

/// 0..=65535 to 0..=255, rounded.
fn byte(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

/// `alpha * value + (1 - alpha) * white`, rounded. `N` counts the channels with the last one, alpha.
fn on_white<const N: usize>(pixels: &[u8]) -> Vec<u8> {
    let blended = |pixel: &[u8; N]| {
        let (mut blended, alpha) = (*pixel, u32::from(pixel[N - 1]));
        blended.iter_mut().for_each(|v| *v = ((u32::from(*v) * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
        blended
    };
    let (pixels, _) = pixels.as_chunks::<N>();
    pixels.iter().flat_map(|pixel| blended(pixel).into_iter().take(N - 1)).collect()
}

#[cfg(test)]
mod tests {
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
}

//! The formats: which one a file is, its header, its pixels.

use std::io::Cursor;

use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::raster::{Buffer, Raster, oriented};
use super::whole::{self, Frames};
use super::{Fault, Header, Plan, gif, scans, tiff};
use crate::data::pictures::{MAX_DECODED_BYTES, MAX_SIDE, Size};

/// A file whose header is read.
pub(super) struct Opened<'a> {
    kind: Kind<'a>,
    /// As stored.
    size: Size,
    orientation: Orientation,
    grey: bool,
    deep: bool,
    frames: Frames,
    bytes: &'a [u8],
}

enum Kind<'a> {
    Jpeg(Box<JpegDecoder<ZCursor<&'a [u8]>>>),
    Gif,
    Other(Box<dyn ImageDecoder + 'a>, ImageFormat),
}

const FORMATS: &str = "a PNG, JPEG, WebP, BMP, GIF, TIFF, TGA or PGM/PPM file";

impl<'a> Opened<'a> {
    pub fn new(bytes: &'a [u8], name: &str) -> Result<Self, Fault> {
        match format_of(bytes, name) {
            Some(ImageFormat::Jpeg) => Self::jpeg(bytes),
            Some(ImageFormat::Gif) => Self::gif(bytes),
            Some(format) => Self::other(bytes, format),
            None => match named(bytes) {
                Some(other) => Err(Fault::unsupported(FORMATS, other)),
                None if bytes.is_empty() => Err(Fault::new(FORMATS, "an empty file")),
                None => Err(Fault::new(FORMATS, "none of these")),
            },
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
        let frames = whole::jpeg(bytes)?;
        let orientation = exif.unwrap_or(Orientation::NoTransforms);
        Ok(Self { kind: Kind::Jpeg(decoder), size, orientation, grey, deep: false, frames, bytes })
    }

    fn gif(bytes: &'a [u8]) -> Result<Self, Fault> {
        let size = gif::size(bytes)?;
        check_size(size, 3)?;
        let (orientation, frames) = (Orientation::NoTransforms, whole::gif(bytes)?);
        Ok(Self { kind: Kind::Gif, size, orientation, grey: false, deep: false, frames, bytes })
    }

    fn other(bytes: &'a [u8], format: ImageFormat) -> Result<Self, Fault> {
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_DECODED_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(|error| unreadable(format, "readable", &error))?;
        let (width, height) = decoder.dimensions();
        let (size, colour) = (Size { height, width }, decoder.color_type());
        check_size(size, colour.bytes_per_pixel().into())?;
        let frames = match format {
            ImageFormat::Png => whole::png(bytes)?,
            ImageFormat::WebP => whole::webp(bytes)?,
            ImageFormat::Tiff => tiff::more(bytes),
            _ => Frames::One,
        };
        // An unreadable note about orientation is none.
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let deep = matches!(colour, ColorType::L16 | ColorType::La16 | ColorType::Rgb16 | ColorType::Rgba16);
        let grey = !colour.has_color();
        Ok(Self { kind: Kind::Other(Box::new(decoder), format), size, orientation, grey, deep, frames, bytes })
    }

    pub fn header(&self) -> Result<Header, Fault> {
        let (size, more) = (oriented(self.size, self.orientation), self.frames == Frames::More);
        Ok(Header { size, grey: self.grey, deep: self.deep, more })
    }

    /// What the decoder's result takes.
    pub fn decoded_bytes(&self) -> u64 {
        let per_pixel = match &self.kind {
            Kind::Other(decoder, _) => u64::from(decoder.color_type().bytes_per_pixel()),
            _ => 3,
        };
        u64::from(self.size.height) * u64::from(self.size.width) * per_pixel
    }

    /// The pixels, with the channels and bits of `plan`.
    pub fn decode(self, plan: &Plan) -> Result<Raster, Fault> {
        let (size, orientation) = (self.size, self.orientation);
        let raster = match self.kind {
            Kind::Jpeg(decoder) => {
                let raster = jpeg_pixels(decoder, size, plan.channels)?;
                scans::check(self.bytes)?;
                raster
            }
            Kind::Gif => gif::first_frame(self.bytes, size)?,
            Kind::Other(decoder, format) => {
                let colour = decoder.color_type();
                let mut data = Buffer::new(usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX));
                decoder.read_image(data.bytes_mut()).map_err(|error| unreadable(format, "whole", &error))?;
                if format == ImageFormat::Tiff {
                    tiff::check(self.bytes)?;
                }
                Raster::flattened(data, size, colour)?
            }
        };
        Ok(raster.with_channels(plan.channels).with_depth(plan.deep).turned(orientation))
    }
}

fn jpeg_pixels(mut decoder: Box<JpegDecoder<ZCursor<&[u8]>>>, size: Size, channels: usize) -> Result<Raster, Fault> {
    let (space, wanted) = match channels {
        1 if yields_luma(decoder.input_colorspace()) => (ColorSpace::Luma, 1),
        _ => (ColorSpace::RGB, 3),
    };
    // Strict from here on: data that end before the last block are an error, where they would be filled with grey.
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(space).set_strict_mode(true));
    let mut raster = Raster::empty(size, wanted, false);
    let decoded = decoder.decode_into(raster.data.bytes_mut());
    decoded.map_err(|error| Fault::new("a whole JPEG file", error.to_string()))?;
    Ok(raster)
}

/// The format by content; TGA by its name, since it has no mark, and only where nothing else fits.
pub(super) fn format_of(bytes: &[u8], name: &str) -> Option<ImageFormat> {
    let format = image::guess_format(bytes).ok();
    let read = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Gif,
        ImageFormat::Tiff,
        ImageFormat::Pnm,
    ];
    match format {
        None if named(bytes).is_none() && !bytes.is_empty() && is_tga(name) => Some(ImageFormat::Tga),
        format => format.filter(|format| read.contains(format)),
    }
}

fn is_tga(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    matches!(ending.as_deref(), Some("tga" | "targa" | "icb" | "vda" | "vst"))
}

/// Formats of pictures that are known but not read.
pub(in crate::data::pictures) fn named(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(4..12).filter(|start| start.starts_with(b"ftyp")).map(|start| &start[4..]);
    if let Some(brand) = brand {
        return Some(match brand {
            b"avif" | b"avis" => "an AVIF picture",
            b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => "a HEIC picture",
            b"jxl " => "a JPEG XL picture",
            b"crx " => "a camera's raw picture (CR3)",
            _ => "a film (MP4 or QuickTime)",
        });
    }
    const MARKS: [(&[u8], &str); 16] = [
        (b"\xff\x0a", "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
        (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
        (b"8BPS", "a Photoshop document"),
        (b"qoif", "a QOI picture"),
        (b"v/1\x01", "an OpenEXR picture"),
        (b"#?RADIANCE", "a Radiance HDR picture"),
        (b"\0\0\x01\0", "an icon (ICO)"),
        (b"DDS ", "a DirectDraw surface (DDS)"),
        (b"farbfeld", "a farbfeld picture"),
        (b"%PDF", "a PDF document"),
        (b"<svg", "an SVG drawing"),
        (b"<?xml", "an XML document, such as an SVG drawing"),
        (b"<!DOCTYPE", "an HTML page, perhaps an error of a download"),
        (b"<html", "an HTML page, perhaps an error of a download"),
    ];
    MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, name)| *name)
}

/// "Damaged" is said of damage only: what the decoder knows but does not read is named as that.
fn unreadable(format: ImageFormat, adjective: &str, error: &ImageError) -> Fault {
    match error {
        ImageError::Unsupported(_) => {
            Fault::unsupported(format!("a {format:?} file of a usual kind"), error.to_string())
        }
        _ => Fault::new(format!("a {adjective} {format:?} file"), error.to_string()),
    }
}

/// Whether the decoder can give grey directly: it has the Y of YCbCr at hand.
fn yields_luma(space: Option<ColorSpace>) -> bool {
    matches!(space, Some(ColorSpace::Luma | ColorSpace::YCbCr))
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

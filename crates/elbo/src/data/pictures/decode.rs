//! From the bytes of a picture file to pixels of the wanted size.
//!
//! The content says what the format is; only TGA, which has no mark of its own, goes by its name. What the many formats
//! offer is brought to 8 bits (16 where `data.depth` asks for them) and one or three channels: palettes are looked up,
//! CMYK is converted as its files usually mean it (inverted, as Adobe writes it), what is transparent is put on white.
//! Grey is ITU-R 601 luma. The orientation that cameras note (EXIF) is applied. Of an animation the first frame is
//! taken, of several pages the first.
//!
//! Sizes are checked from the header, before anything of that size is allocated. Whether a file is whole is judged to
//! its end ([`whole`], [`scans`]). Decoders are not trusted: a panic in one is that file's fault and nobody else's.

mod formats;
mod gif;
mod raster;
mod scans;
mod tiff;
mod whole;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3, U16, U16x3};
use fast_image_resize::{PixelTrait, ResizeOptions, Resizer};

use self::formats::Opened;
pub(super) use self::formats::named;
pub(super) use self::raster::Levels;
use self::raster::{Buffer, Raster};
use super::{Fit, Size};

/// Why a file is no picture that can be used: what was expected, what was found, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub expected: String,
    pub found: String,
    pub help: &'static str,
}

const DAMAGED: &str = "replace or remove the file, or leave out such files with `--on-bad-image skip`";
/// For what is whole but of a kind that is not read.
const CONVERT: &str = "convert it to PNG or JPEG (`magick mogrify -format png FILE`), or leave out such files with \
                       `--on-bad-image skip`";

impl Fault {
    fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into().trim_end().to_owned(), help: DAMAGED }
    }

    fn unsupported(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { help: CONVERT, ..Self::new(expected, found) }
    }
}

/// What the header of a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The size as it is shown, with the orientation applied.
    pub size: Size,
    /// Whether the file's type has no colour. A palette or an RGB file of equal channels counts as colour.
    pub grey: bool,
    /// Whether values have 16 bits.
    pub deep: bool,
    /// Whether there are further frames or pages, which are not taken.
    pub more: bool,
}

/// What is made of every picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    pub size: Size,
    pub fit: Fit,
    /// 1 or 3.
    pub channels: usize,
    /// 16 bits a value instead of 8.
    pub deep: bool,
}

impl Plan {
    pub fn numel(&self) -> usize {
        self.channels * self.size.height as usize * self.size.width as usize
    }

    /// Bytes of one picture.
    pub fn bytes(&self) -> usize {
        self.numel() << usize::from(self.deep)
    }
}

/// Reads the header only. `name` decides where the content does not tell the format.
pub(super) fn header(bytes: &[u8], name: &str) -> Result<Header, Fault> {
    guarded(|| Opened::new(bytes, name)?.header())
}

/// Whether a file that begins with `start` and is called `name` is read as a picture.
pub(super) fn is_picture(start: &[u8], name: &str) -> bool {
    formats::format_of(start, name).is_some()
}

/// A picture that was decoded.
pub(super) struct Decoded {
    pub header: Header,
    /// The levels of its 16 bits, where they became 8.
    pub levels: Option<Levels>,
    /// Whether there are three channels and they are all equal.
    pub colourless: bool,
}

/// Decodes pictures one after another, with buffers it keeps.
pub(super) struct Decoder {
    resizer: Resizer,
}

/// Pictures that decode to more than this are decoded one at a time, so that memory does not grow with the threads.
const HEAVY: u64 = 64 << 20;
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl Decoder {
    pub fn new() -> Self {
        Self { resizer: Resizer::new() }
    }

    /// Writes the picture into `pixels`, channel first, as `plan` says, if `accept` takes its header. The header comes back in either case.
    /// Values of 16 bits are little-endian.
    pub fn decode(
        &mut self,
        (bytes, name): (&[u8], &str),
        plan: &Plan,
        accept: impl Fn(&Header) -> bool,
        pixels: &mut [u8],
    ) -> Result<Decoded, Fault> {
        let mut place = 0;
        self.decode_into((bytes, name), plan, accept, &mut |piece| {
            pixels[place..place + piece.len()].copy_from_slice(piece);
            place += piece.len();
        })
    }

    /// [`Decoder::decode`], handing out the pixels piece by piece, so that they need not lie in memory at once.
    pub fn decode_into(
        &mut self,
        (bytes, name): (&[u8], &str),
        plan: &Plan,
        accept: impl Fn(&Header) -> bool,
        put: &mut dyn FnMut(&[u8]),
    ) -> Result<Decoded, Fault> {
        let decoded = guarded(|| {
            let opened = Opened::new(bytes, name)?;
            let header = opened.header()?;
            let (mut levels, mut colourless) = (None, false);
            if accept(&header) {
                let heavy = opened.decoded_bytes() > HEAVY;
                let _alone = heavy.then(|| ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner));
                let mut raster = opened.decode(plan)?;
                levels = raster.levels.take();
                colourless = raster.is_colourless();
                self.placed(raster, plan)?.planes(put);
            }
            Ok(Decoded { header, levels, colourless })
        });
        if decoded.is_err() {
            // It may have been left in the middle of something.
            self.resizer = Resizer::new();
        }
        decoded
    }

    /// Scaled to the wanted size.
    fn placed(&mut self, raster: Raster, plan: &Plan) -> Result<Raster, Fault> {
        let (from, to) = (raster.size, plan.size);
        if from == to {
            return Ok(raster);
        }
        match plan.fit {
            Fit::Stretch => self.scaled(&raster, whole(from), to),
            Fit::Crop => self.scaled(&raster, middle(from, to), to),
            Fit::Pad => {
                let inner = inside(from, to);
                Ok(self.scaled(&raster, whole(from), inner)?.padded(to))
            }
        }
    }

    fn scaled(&mut self, raster: &Raster, part: [f64; 4], to: Size) -> Result<Raster, Fault> {
        let mut scaled = Raster::empty(to, raster.channels, raster.deep);
        // By type: images of a type known at run time bring the code for all thirteen, a fifth of what this crate compiles.
        match (raster.channels, raster.deep) {
            (1, false) => self.scale::<U8>(raster, part, to, &mut scaled.data)?,
            (_, false) => self.scale::<U8x3>(raster, part, to, &mut scaled.data)?,
            (1, true) => self.scale::<U16>(raster, part, to, &mut scaled.data)?,
            (_, true) => self.scale::<U16x3>(raster, part, to, &mut scaled.data)?,
        }
        Ok(scaled)
    }

    fn scale<P: PixelTrait>(
        &mut self,
        raster: &Raster,
        [left, top, width, height]: [f64; 4],
        to: Size,
        pixels: &mut Buffer,
    ) -> Result<(), Fault> {
        let failed = |error: &dyn std::fmt::Display| Fault::new("a picture that can be scaled", error.to_string());
        let from = TypedImageRef::<P>::from_buffer(raster.size.width, raster.size.height, raster.data.bytes());
        let from = from.map_err(|error| failed(&error))?;
        let to = TypedImage::<P>::from_buffer(to.width, to.height, pixels.bytes_mut());
        let mut to = to.map_err(|error| failed(&error))?;
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

#[cfg(test)]
mod tests;

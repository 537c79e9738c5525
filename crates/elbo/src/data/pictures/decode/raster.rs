//! Decoded pixels on their way: channels interleaved, 8 or 16 bits, in memory that goes back at once when it is large.

use image::ColorType;
use image::metadata::Orientation;
use memmap2::MmapMut;

use super::Fault;
use crate::data::pictures::Size;

/// Larger buffers are pages of their own, which return to the system when they are dropped; an allocator would keep them.
const OWN_PAGES: usize = 32 << 20;

/// Zeroed bytes, aligned for numbers of 16 bits.
pub(super) struct Buffer {
    memory: Memory,
    len: usize,
}

enum Memory {
    Heap(Vec<u16>),
    Pages(MmapMut),
}

impl Buffer {
    pub fn new(len: usize) -> Self {
        let pages = if len > OWN_PAGES { MmapMut::map_anon(len).ok() } else { None };
        let memory = pages.map_or_else(|| Memory::Heap(vec![0; len.div_ceil(2)]), Memory::Pages);
        Self { memory, len }
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Heap(words) => &bytemuck::cast_slice(words)[..self.len],
            Memory::Pages(pages) => &pages[..self.len],
        }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Heap(words) => &mut bytemuck::cast_slice_mut(words)[..self.len],
            Memory::Pages(pages) => &mut pages[..self.len],
        }
    }

    pub fn words(&self) -> &[u16] {
        bytemuck::cast_slice(self.bytes())
    }

    fn words_mut(&mut self) -> &mut [u16] {
        bytemuck::cast_slice_mut(self.bytes_mut())
    }

    fn truncated(mut self, len: usize) -> Self {
        self.len = self.len.min(len);
        self
    }
}

/// Which of the 65,536 levels of 16 bits occur.
#[derive(Clone)]
pub(in crate::data::pictures) struct Levels(Box<[u64; 1024]>);

impl Default for Levels {
    fn default() -> Self {
        Self(Box::new([0; 1024]))
    }
}

impl Levels {
    fn of(values: &[u16]) -> Self {
        let mut levels = Self::default();
        values.iter().for_each(|value| levels.0[usize::from(value >> 6)] |= 1 << (value & 63));
        levels
    }

    pub fn join(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// How many occur, and how many differ when rounded to 8 bits.
    pub fn counts(&self) -> (usize, usize) {
        let occur = (0..=u16::MAX).filter(|value| self.0[usize::from(value >> 6)] >> (value & 63) & 1 == 1);
        let mut of_bytes = [false; 256];
        let all = occur.inspect(|value| of_bytes[usize::from(byte(*value))] = true).count();
        (all, of_bytes.iter().filter(|used| **used).count())
    }
}

/// Decoded pixels, channels interleaved.
pub(super) struct Raster {
    pub size: Size,
    /// 1 or 3.
    pub channels: usize,
    /// 16 bits a value, as this machine has them, instead of 8.
    pub deep: bool,
    pub data: Buffer,
    /// Of 16 bits that became 8.
    pub levels: Option<Levels>,
}

impl Raster {
    pub fn empty(size: Size, channels: usize, deep: bool) -> Self {
        let numel = size.height as usize * size.width as usize * channels;
        Self { size, channels, deep, data: Buffer::new(numel << usize::from(deep)), levels: None }
    }

    /// What a decoder gave: `data` of `colour`, channels interleaved, numbers as this machine has them.
    pub fn flattened(mut data: Buffer, size: Size, colour: ColorType) -> Result<Self, Fault> {
        let (channels, deep, alpha) = match colour {
            ColorType::L8 => (1, false, false),
            ColorType::La8 => (1, false, true),
            ColorType::Rgb8 => (3, false, false),
            ColorType::Rgba8 => (3, false, true),
            ColorType::L16 => (1, true, false),
            ColorType::La16 => (1, true, true),
            ColorType::Rgb16 => (3, true, false),
            ColorType::Rgba16 => (3, true, true),
            other => {
                let found = format!("one of real numbers ({other:?})");
                let help = "save the values as an array: `numpy.save`, in [0, 1]";
                return Err(Fault { expected: "a picture of 8 or 16 bits".into(), found, help });
            }
        };
        if alpha {
            let len = match (channels, deep) {
                (1, false) => on_white::<2, u8>(data.bytes_mut()),
                (_, false) => on_white::<4, u8>(data.bytes_mut()),
                (1, true) => 2 * on_white::<2, u16>(data.words_mut()),
                (_, true) => 2 * on_white::<4, u16>(data.words_mut()),
            };
            data = data.truncated(len);
        }
        Ok(Self { size, channels, deep, data, levels: None })
    }

    /// With 16 or 8 bits a value; the levels that are lost are noted.
    pub fn with_depth(self, deep: bool) -> Self {
        match (self.deep, deep) {
            (true, false) => {
                let levels = Some(Levels::of(self.data.words()));
                let Self { mut data, .. } = self;
                let count = data.len / 2;
                // A byte never overtakes the word it comes from.
                for place in 0..count {
                    let value = data.words()[place];
                    data.bytes_mut()[place] = byte(value);
                }
                Self { deep, data: data.truncated(count), levels, ..self }
            }
            (false, true) => {
                let mut wide = Self::empty(self.size, self.channels, true);
                let words = wide.data.words_mut().iter_mut();
                words.zip(self.data.bytes()).for_each(|(word, &byte)| *word = u16::from(byte) * 257);
                wide
            }
            _ => self,
        }
    }

    pub fn with_channels(self, channels: usize) -> Self {
        if self.channels == channels {
            return self;
        }
        let mut made = Self::empty(self.size, channels, self.deep);
        match (channels, self.deep) {
            (1, false) => greyed(self.data.bytes(), made.data.bytes_mut()),
            (1, true) => greyed(self.data.words(), made.data.words_mut()),
            (_, false) => tripled(self.data.bytes(), made.data.bytes_mut()),
            (_, true) => tripled(self.data.words(), made.data.words_mut()),
        }
        Self { levels: self.levels, ..made }
    }

    pub fn turned(self, orientation: Orientation) -> Self {
        if orientation == Orientation::NoTransforms {
            return self;
        }
        let mut made = Self::empty(oriented(self.size, orientation), self.channels, self.deep);
        let bytes = self.channels << usize::from(self.deep);
        let (width, from) = (made.size.width as usize, self.size);
        for (place, pixel) in made.data.bytes_mut().chunks_exact_mut(bytes).enumerate() {
            let (x, y) = source_of(orientation, from, place % width, place / width);
            let start = (y * from.width as usize + x) * bytes;
            pixel.copy_from_slice(&self.data.bytes()[start..start + bytes]);
        }
        Self { levels: self.levels, ..made }
    }

    /// In the middle of black of size `to`.
    pub fn padded(self, to: Size) -> Self {
        let mut made = Self::empty(to, self.channels, self.deep);
        let bytes = self.channels << usize::from(self.deep);
        let (across, down) = (self.size.width as usize, self.size.height as usize);
        let (left, top) = ((to.width as usize - across) / 2, (to.height as usize - down) / 2);
        for (row, source) in self.data.bytes().chunks_exact(across * bytes).enumerate() {
            let start = ((top + row) * to.width as usize + left) * bytes;
            made.data.bytes_mut()[start..start + source.len()].copy_from_slice(source);
        }
        Self { levels: self.levels, ..made }
    }

    /// Whether there are three channels and they are all equal.
    pub fn is_colourless(&self) -> bool {
        fn equal<T: PartialEq>(values: &[T]) -> bool {
            values.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
        }
        self.channels == 3 && if self.deep { equal(self.data.words()) } else { equal(self.data.bytes()) }
    }

    /// Hands out one channel after the other, 16 bits little-endian.
    pub fn planes(&self, put: &mut dyn FnMut(&[u8])) {
        match self.deep {
            false if self.channels == 1 => put(self.data.bytes()),
            false => planes(self.data.bytes(), self.channels, put, |value, piece| piece.push(*value)),
            true => {
                let le = |value: &u16, piece: &mut Vec<u8>| piece.extend(value.to_le_bytes());
                planes(self.data.words(), self.channels, put, le);
            }
        }
    }
}

fn planes<T>(values: &[T], channels: usize, put: &mut dyn FnMut(&[u8]), push: impl Fn(&T, &mut Vec<u8>)) {
    /// Pixels handed out at a time.
    const PIECE: usize = 1 << 16;
    let mut piece = Vec::with_capacity(2 * PIECE);
    for channel in 0..channels {
        for pixels in values.chunks(PIECE * channels) {
            piece.clear();
            pixels.iter().skip(channel).step_by(channels).for_each(|value| push(value, &mut piece));
            put(&piece);
        }
    }
}

/// Where pixel (`x`, `y`) of a turned picture comes from.
fn source_of(orientation: Orientation, from: Size, x: usize, y: usize) -> (usize, usize) {
    let (right, bottom) = (from.width as usize - 1, from.height as usize - 1);
    match orientation {
        Orientation::NoTransforms => (x, y),
        Orientation::FlipHorizontal => (right - x, y),
        Orientation::FlipVertical => (x, bottom - y),
        Orientation::Rotate180 => (right - x, bottom - y),
        Orientation::Rotate90 => (y, bottom - x),
        Orientation::Rotate270 => (right - y, x),
        Orientation::Rotate90FlipH => (y, x),
        Orientation::Rotate270FlipH => (right - y, bottom - x),
    }
}

pub(super) fn oriented(size: Size, orientation: Orientation) -> Size {
    match orientation {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            Size { height: size.width, width: size.height }
        }
        _ => size,
    }
}

/// A value of 8 or 16 bits.
trait Level: Copy {
    const MOST: u64;
    fn wide(self) -> u64;
    fn of(value: u64) -> Self;
}

impl Level for u8 {
    const MOST: u64 = 255;
    fn wide(self) -> u64 {
        self.into()
    }
    fn of(value: u64) -> Self {
        value as Self
    }
}

impl Level for u16 {
    const MOST: u64 = 65_535;
    fn wide(self) -> u64 {
        self.into()
    }
    fn of(value: u64) -> Self {
        value as Self
    }
}

/// `alpha * value + (1 - alpha) * white`, rounded, in place: what is left is shorter. `N` counts the channels with the last one, alpha.
fn on_white<const N: usize, T: Level>(pixels: &mut [T]) -> usize {
    let count = pixels.len() / N;
    for place in 0..count {
        let alpha = pixels[place * N + N - 1].wide();
        for channel in 0..N - 1 {
            let value = pixels[place * N + channel].wide();
            let blended = (value * alpha + T::MOST * (T::MOST - alpha) + T::MOST / 2) / T::MOST;
            pixels[place * (N - 1) + channel] = T::of(blended);
        }
    }
    count * (N - 1)
}

/// ITU-R 601: 0.299 R + 0.587 G + 0.114 B, in units of 2^-16, rounded.
fn greyed<T: Level>(colours: &[T], grey: &mut [T]) {
    for (rgb, grey) in colours.chunks_exact(3).zip(grey) {
        let [red, green, blue] = [rgb[0], rgb[1], rgb[2]].map(Level::wide);
        *grey = T::of((19_595 * red + 38_470 * green + 7_471 * blue + (1 << 15)) >> 16);
    }
}

fn tripled<T: Copy>(grey: &[T], colours: &mut [T]) {
    grey.iter().zip(colours.chunks_exact_mut(3)).for_each(|(&value, pixel)| pixel.fill(value));
}

/// 0..=65535 to 0..=255, rounded.
fn byte(value: u16) -> u8 {
    ((u32::from(value) + 128) / 257) as u8
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    #[test]
    fn turning_is_that_of_the_image_crate() {
        let size = Size { height: 3, width: 5 };
        let image = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
        for orientation in (1..=8).map(|code| Orientation::from_exif(code).unwrap()) {
            let mut raster = Raster::empty(size, 3, false);
            raster.data.bytes_mut().copy_from_slice(&image);
            let turned = raster.turned(orientation);
            let mut wanted = DynamicImage::from(image.clone());
            wanted.apply_orientation(orientation);
            assert_eq!((turned.size.width, turned.size.height), (wanted.width(), wanted.height()), "{orientation:?}");
            assert_eq!(turned.data.bytes(), wanted.as_bytes(), "{orientation:?}");
        }
    }

    #[test]
    fn sixteen_bits_become_eight_by_rounding_and_levels_are_counted() {
        let mut raster = Raster::empty(Size { height: 1, width: 6 }, 1, true);
        raster.data.words_mut().copy_from_slice(&[0, 128, 129, 4095, 65_535, 65_535]);
        let narrow = raster.with_depth(false);
        assert_eq!(narrow.data.bytes(), [0, 0, 1, 16, 255, 255]);
        assert_eq!(narrow.levels.unwrap().counts(), (5, 4));
    }

    #[test]
    fn large_buffers_are_pages_of_their_own() {
        let buffer = Buffer::new(OWN_PAGES + 1);
        assert!(matches!(buffer.memory, Memory::Pages(_)) && buffer.bytes().len() == OWN_PAGES + 1);
        assert!(matches!(Buffer::new(OWN_PAGES).memory, Memory::Heap(_)));
    }
}

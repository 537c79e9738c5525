//! The first directory of a TIFF file: whether a second one follows, and JPEG data in strips and tiles, which its decoder fills up where they end
//! early.
//!
//! Sources: TIFF 6.0, section 2; Adobe's TIFF Technical Note 2 (JPEG); BigTIFF.

use super::Fault;
use super::scans;
use super::whole::{Frames, frames};

/// Compression 7: each strip or tile is a JPEG file, whose tables may stand apart.
const JPEG: usize = 7;
/// Strips or tiles at most: more are no picture of a size that is read.
const MOST: usize = 1 << 20;

/// How numbers are written.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    bytes: &'a [u8],
    little: bool,
    /// BigTIFF: places and counts of 8 bytes.
    big: bool,
}

impl<'a> Numbers<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let little = bytes.starts_with(b"II");
        let version = Self { bytes, little, big: false }.at(2, 2)?;
        matches!(version, 42 | 43).then_some(Self { bytes, little, big: version == 43 })
    }

    /// The number of `size` bytes at `place`.
    fn at(self, place: usize, size: usize) -> Option<usize> {
        let digits = self.bytes.get(place..place.checked_add(size)?)?;
        let push = |number: u64, digit: &u8| number << 8 | u64::from(*digit);
        let number = if self.little { digits.iter().rev().fold(0, push) } else { digits.iter().fold(0, push) };
        usize::try_from(number).ok()
    }

    /// Bytes of a place in the file.
    fn wide(self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// Where the entries of the first directory begin, how many there are, and the bytes of each.
    fn directory(self) -> Option<(usize, usize, usize)> {
        let (first, count) = if self.big { (self.at(8, 8)?, 8) } else { (self.at(4, 4)?, 2) };
        Some((first.checked_add(count)?, self.at(first, count)?, 4 + 2 * self.wide()))
    }

    /// Where the values of the entry `tag` begin, their number, and the bytes of each.
    fn entry(self, tag: usize) -> Option<(usize, usize, usize)> {
        let (start, count, size) = self.directory()?;
        let mut places = (0..count.min(MOST)).map_while(|n| start.checked_add(n * size));
        let place = places.find(|&place| self.at(place, 2) == Some(tag))?;
        let (kind, count) = (self.at(place + 2, 2)?, self.at(place + 4, self.wide())?);
        let size = match kind {
            3 => 2,
            4 => 4,
            16 => 8,
            _ => 1,
        };
        // Its number of values was read there, so that this is a place.
        let here = place + 4 + self.wide();
        let start = if count.checked_mul(size)? <= self.wide() { here } else { self.at(here, self.wide())? };
        Some((start, count, size))
    }

    fn values(self, tag: usize) -> Option<Vec<usize>> {
        let (start, count, size) = self.entry(tag)?;
        (0..count.min(MOST)).map(|n| self.at(start.checked_add(n * size)?, size)).collect()
    }

    /// The bytes of the strips and tiles of JPEG data, and their tables.
    fn jpegs(self) -> Option<(&'a [u8], Vec<&'a [u8]>)> {
        if self.values(259)?.first() != Some(&JPEG) {
            return None;
        }
        let (places, lengths) =
            self.values(273).zip(self.values(279)).or_else(|| self.values(324).zip(self.values(325)))?;
        let part = |(place, length): (usize, usize)| self.bytes.get(place..place.checked_add(length)?);
        let tables = self.entry(347).and_then(|(start, count, _)| part((start, count))).unwrap_or_default();
        Some((tables, places.into_iter().zip(lengths).map(part).collect::<Option<_>>()?))
    }
}

/// Whether the first directory names a second one; the decoder finds what is missing of it.
pub(super) fn more(bytes: &[u8]) -> Frames {
    let next = || {
        let numbers = Numbers::of(bytes)?;
        let (start, count, size) = numbers.directory()?;
        numbers.at(start.checked_add(count.checked_mul(size)?)?, numbers.wide())
    };
    frames(next().is_some_and(|next| next != 0))
}

/// Whether JPEG data hold all that they promise. What is no such file is the decoder's matter.
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    let Some((tables, parts)) = Numbers::of(bytes).and_then(Numbers::jpegs) else { return Ok(()) };
    parts.into_iter().try_for_each(|part| scans::check_with(tables, part))
}

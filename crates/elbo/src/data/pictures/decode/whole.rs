//! Whether a file is whole: from mark to mark to its end, as the format has them, and whether there are further frames.
//!
//! A picture inside a picture, such as the thumbnail that cameras put into EXIF, lies in a block of known length and is
//! passed over with it. What follows the end mark does not matter: phones append films and depth maps.
//!
//! Sources: ITU-T T.81 (JPEG), annex B; PNG 3rd edition (W3C), section 5; GIF89a, section 17 on; RFC 9649 (WebP), section 2.4.
//! BMP, TGA and PNM need no walk: their decoders ask for every byte that the header promises.

use super::Fault;

/// How many pictures are in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    One,
    /// Only the first is taken.
    More,
}

pub(super) fn cut(format: &str) -> Fault {
    Fault::new(format!("a whole {format} file"), "one that is cut short")
}

pub(super) fn frames(more: bool) -> Frames {
    if more { Frames::More } else { Frames::One }
}

/// A marker of a JPEG file with its content.
pub(super) struct Segment<'a> {
    pub marker: u8,
    /// Without its length; of an end or a start nothing.
    pub content: &'a [u8],
    /// Where what follows begins.
    pub end: usize,
}

/// The next segment of a JPEG file from `place` on. Stray bytes before it are passed over, as by every decoder, and so are entropy-coded data
/// with the stuffed zeros and restarts in them.
pub(super) fn segment(bytes: &[u8], mut place: usize) -> Result<Segment<'_>, Fault> {
    loop {
        let start = bytes.get(place..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff));
        place += start.ok_or_else(|| cut("JPEG"))?;
        // `0xff` fills.
        while bytes.get(place) == Some(&0xff) {
            place += 1;
        }
        let marker = *bytes.get(place).ok_or_else(|| cut("JPEG"))?;
        place += 1;
        match marker {
            // Stuffed zeros, TEM, restarts.
            0x00 | 0x01 | 0xd0..=0xd7 => continue,
            0xd8 | 0xd9 => return Ok(Segment { marker, content: &[], end: place }),
            _ => {}
        }
        let length = bytes.get(place..place + 2).ok_or_else(|| cut("JPEG"))?;
        let end = place + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
        let content = bytes.get(place + 2..end).ok_or_else(|| cut("JPEG"))?;
        return Ok(Segment { marker, content, end });
    }
}

/// From marker to marker to the end of the image (EOI). Whether the scans in between are whole is told by [`super::scans`].
pub(super) fn jpeg(bytes: &[u8]) -> Result<Frames, Fault> {
    let (mut place, mut scans) = (2, 0);
    loop {
        let segment = segment(bytes, place)?;
        match segment.marker {
            0xd9 if scans > 0 => return Ok(Frames::One),
            0xd9 => return Err(Fault::new("a JPEG file with a picture", "an end without one")),
            // The start or frame of another picture where this one has not ended.
            0xd8 | 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf if scans > 0 => return Err(cut("JPEG")),
            0xda => scans += 1,
            _ => {}
        }
        place = segment.end;
    }
}

/// From chunk to chunk to `IEND`.
pub(super) fn png(bytes: &[u8]) -> Result<Frames, Fault> {
    let (mut place, mut animated) = (8, false);
    loop {
        let head = bytes.get(place..place + 8).ok_or_else(|| cut("PNG"))?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = place.checked_add(12 + length).filter(|end| *end <= bytes.len()).ok_or_else(|| cut("PNG"))?;
        match &head[4..] {
            b"IEND" => return Ok(frames(animated)),
            // Number of frames.
            b"acTL" if length >= 4 => animated = bytes[place + 8..place + 12] > [0, 0, 0, 1][..],
            _ => {}
        }
        place = end;
    }
}

/// From block to block to the trailer.
pub(super) fn gif(bytes: &[u8]) -> Result<Frames, Fault> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let byte = |place: usize| bytes.get(place).copied().ok_or_else(|| cut("GIF"));
    let sub_blocks = |mut place: usize| -> Result<usize, Fault> {
        loop {
            match byte(place)? {
                0 => return Ok(place + 1),
                length => place += 1 + usize::from(length),
            }
        }
    };
    let (mut place, mut images) = (13 + table(byte(10)?), 0);
    loop {
        place = match byte(place)? {
            0x2c => {
                images += 1;
                sub_blocks(place + 11 + table(byte(place + 9)?))?
            }
            0x21 => sub_blocks(place + 2)?,
            0x3b => return Ok(frames(images > 1)),
            // Some programs pad blocks with zeros.
            0x00 => place + 1,
            other => return Err(Fault::new("a block of GIF", format!("the byte 0x{other:02x}"))),
        };
    }
}

/// By the length that RIFF declares.
pub(super) fn webp(bytes: &[u8]) -> Result<Frames, Fault> {
    let length = bytes.get(4..8).ok_or_else(|| cut("WebP"))?;
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    if bytes.len() < length.saturating_add(8) {
        return Err(cut("WebP"));
    }
    // The flag for animations in an extended header.
    Ok(frames(bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0)))
}

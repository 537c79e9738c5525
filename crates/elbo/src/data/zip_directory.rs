//! The directory of a zip archive, held against its own numbers before anything is believed.
//!
//! Readers of zip archives are lenient: they start where a number says and stop where it fits no more, so that an archive with
//! a damaged directory is read short, or under another name, without a word. Here the directory must begin and end where the end
//! record says, with as many entries as it says, and each entry must agree with the header in front of its content.
//!
//! Source: APPNOTE.TXT 6.3.10 (PKWARE), sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16.

use std::io::{Read, Seek, SeekFrom};

/// An entry of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: Vec<u8>,
    /// Number of the compression method.
    pub method: u16,
    pub encrypted: bool,
}

impl Entry {
    /// The method in words, where it is one that is not read.
    pub fn unread_method(&self) -> Option<String> {
        let name = match self.method {
            0 | 8 | 9 | 12 | 14 | 95 => return None,
            1 => "Shrink",
            2..=5 => "Reduce",
            6 => "Implode",
            20 | 93 => "Zstandard",
            97 => "WavPack",
            98 => "PPMd",
            99 => "AES",
            _ => return Some(format!("method {}", self.method)),
        };
        Some(format!("{name} (method {})", self.method))
    }
}

/// What is wrong with a directory, in words: what was expected and what was found.
#[derive(Debug)]
pub(super) struct Fault {
    pub expected: String,
    pub found: String,
}

fn fault(expected: impl Into<String>, found: impl Into<String>) -> Fault {
    Fault { expected: expected.into(), found: found.into() }
}

/// Larger directories are not read: a million entries take about 100 MB.
const MAX_DIRECTORY: u64 = 1 << 30;

/// The entries of an archive of `len` bytes.
pub(super) fn read<F: Read + Seek>(file: &mut F, len: u64) -> Result<Vec<Entry>, Fault> {
    let end = End::find(file, len)?;
    let start = end.place.checked_sub(end.size).filter(|start| *start >= end.offset).ok_or_else(|| {
        fault("a directory before its end record", format!("{} bytes of it in front of byte {}", end.size, end.place))
    })?;
    if end.size > MAX_DIRECTORY {
        return Err(fault(format!("a directory of at most {MAX_DIRECTORY} bytes"), format!("{} bytes", end.size)));
    }
    // What stands in front of the archive, such as the program of one that unpacks itself.
    let shift = start - end.offset;
    let directory = bytes_at(file, start, end.size as usize)?;
    let (mut rest, mut entries) = (&directory[..], Vec::new());
    for number in 0..end.entries {
        let (entry, offset, after) = entry(rest).ok_or_else(|| {
            fault(format!("a directory of {} entries", end.entries), format!("one that breaks off after {number}"))
        })?;
        check_local(file, &entry, shift.saturating_add(offset))?;
        entries.push(entry.entry);
        rest = after;
    }
    match rest.len() {
        0 => Ok(entries),
        more => Err(fault(format!("a directory of {} entries", end.entries), format!("{more} bytes more"))),
    }
}

/// The end record: where it begins, and what it says of the directory.
struct End {
    place: u64,
    entries: u64,
    size: u64,
    offset: u64,
}

impl End {
    fn find<F: Read + Seek>(file: &mut F, len: u64) -> Result<Self, Fault> {
        const SIZE: u64 = 22;
        let from = len.saturating_sub(SIZE + u64::from(u16::MAX));
        let tail = bytes_at(file, from, (len - from) as usize)?;
        let place = (0..(tail.len() + 1).saturating_sub(SIZE as usize)).rev().find(|&place| {
            tail[place..].starts_with(b"PK\x05\x06")
                && place + SIZE as usize + usize::from(u16_at(&tail, place + 20)) <= tail.len()
        });
        let place = place.ok_or_else(|| fault("the end record of a zip archive", "none: it is cut short"))?;
        let record = &tail[place..];
        let place = from + place as u64;
        let plain = Self {
            place,
            entries: u16_at(record, 10).into(),
            size: u32_at(record, 12).into(),
            offset: u32_at(record, 16).into(),
        };
        if u16_at(record, 4) != 0 && u16_at(record, 4) != u16::MAX {
            return Err(fault("an archive in one piece", "a part of one that was split"));
        }
        let large = plain.entries == 0xffff || plain.size == 0xffff_ffff || plain.offset == 0xffff_ffff;
        Ok(if large { Self::of_zip64(file, place)?.unwrap_or(plain) } else { plain })
    }

    /// The record of large archives in front of the end record at `place`; none if there is none.
    fn of_zip64<F: Read + Seek>(file: &mut F, place: u64) -> Result<Option<Self>, Fault> {
        let Some(locator) = place.checked_sub(20) else { return Ok(None) };
        let bytes = bytes_at(file, locator, 20)?;
        if !bytes.starts_with(b"PK\x06\x07") {
            return Ok(None);
        }
        let record = locator.checked_sub(56).ok_or_else(|| fault("an end record of zip64", "no room for one"))?;
        let bytes = bytes_at(file, record, 56)?;
        if !bytes.starts_with(b"PK\x06\x06") {
            return Err(fault("an end record of zip64", "something else"));
        }
        let word =
            |place: usize| bytes[place..place + 8].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        Ok(Some(Self { place: record, entries: word(32), size: word(40), offset: word(48) }))
    }
}

/// An entry, and what only its local header needs.
struct Listed {
    entry: Entry,
    crc: u32,
    sizes: [u32; 2],
}

/// The first entry of a directory, where its content is, and the rest of the directory.
fn entry(directory: &[u8]) -> Option<(Listed, u64, &[u8])> {
    let head = directory.get(..46).filter(|head| head.starts_with(b"PK\x01\x02"))?;
    let lengths = [28, 30, 32].map(|place| usize::from(u16_at(head, place)));
    let (name, extra) =
        (directory.get(46..46 + lengths[0])?, directory.get(46 + lengths[0]..46 + lengths[0] + lengths[1])?);
    let rest = directory.get(46 + lengths.iter().sum::<usize>()..)?;
    let entry = Entry { name: name.to_vec(), method: u16_at(head, 10), encrypted: u16_at(head, 8) & 1 == 1 };
    let sizes = [u32_at(head, 20), u32_at(head, 24)];
    let mut offset = u64::from(u32_at(head, 42));
    if offset == 0xffff_ffff {
        // Sizes come first where they are too large as well.
        let before = 8 * sizes.iter().filter(|size| **size == u32::MAX).count();
        offset = zip64_word(extra, before).unwrap_or(offset);
    }
    Some((Listed { entry, crc: u32_at(head, 16), sizes }, offset, rest))
}

/// The word at `place` of the extra field of zip64.
fn zip64_word(mut extra: &[u8], place: usize) -> Option<u64> {
    while extra.len() >= 4 {
        let (kind, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let field = extra.get(4..4 + length)?;
        if kind == 1 {
            let bytes: [u8; 8] = field.get(place..place + 8)?.try_into().ok()?;
            return Some(u64::from_le_bytes(bytes));
        }
        extra = &extra[4 + length..];
    }
    None
}

/// Holds the header in front of the content against the directory.
fn check_local<F: Read + Seek>(file: &mut F, listed: &Listed, place: u64) -> Result<(), Fault> {
    let name = String::from_utf8_lossy(&listed.entry.name).into_owned();
    let differs = |what: &str| {
        fault("an entry that agrees with the header of its content", format!("another {what} there for `{name}`"))
    };
    let head = bytes_at(file, place, 30).map_err(|_| differs("place"))?;
    if !head.starts_with(b"PK\x03\x04") {
        return Err(differs("mark"));
    }
    let local_name = bytes_at(file, place + 30, usize::from(u16_at(&head, 26))).map_err(|_| differs("name"))?;
    if local_name != listed.entry.name {
        return Err(differs("name"));
    }
    if u16_at(&head, 8) != listed.entry.method {
        return Err(differs("compression method"));
    }
    // Writers that did not know them yet put them behind the content.
    let known = u16_at(&head, 6) & 8 == 0;
    if known && u32_at(&head, 14) != listed.crc {
        return Err(differs("checksum"));
    }
    let sizes = [u32_at(&head, 18), u32_at(&head, 22)];
    let plain = sizes.iter().chain(&listed.sizes).all(|size| *size != u32::MAX);
    if known && plain && sizes != listed.sizes { Err(differs("size")) } else { Ok(()) }
}

fn bytes_at<F: Read + Seek>(file: &mut F, place: u64, len: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; len];
    let read = file.seek(SeekFrom::Start(place)).and_then(|_| file.read_exact(&mut bytes));
    read.map_err(|error| fault(format!("{len} bytes at byte {place}"), error.to_string()))?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([bytes[place], bytes[place + 1]])
}

fn u32_at(bytes: &[u8], place: usize) -> u32 {
    u32::from_le_bytes([bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]])
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(name.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn listed(bytes: &[u8]) -> Result<Vec<Entry>, Fault> {
        read(&mut Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn archives_are_listed_also_behind_other_bytes_and_with_a_comment() {
        let names = ["a.png", "b/c.png"];
        let plain = archive(&names);
        let found: Vec<_> = listed(&plain).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(found, [b"a.png".to_vec(), b"b/c.png".to_vec()]);
        assert_eq!(listed(&[b"#!/bin/sh\n".to_vec(), plain.clone()].concat()).unwrap().len(), 2);
        let mut commented = plain.clone();
        let length = commented.len();
        commented[length - 2] = 3;
        commented.extend(b"abc");
        assert_eq!(listed(&commented).unwrap().len(), 2);
        assert_eq!(listed(&archive(&[])).unwrap(), []);
    }

    #[test]
    fn no_change_of_the_directory_is_read_as_another_set() {
        let whole = archive(&["a.png", "b.png", "c.png"]);
        let expected = listed(&whole).unwrap();
        let directory = whole.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
        for place in directory..whole.len() {
            for bit in 0..8 {
                let mut changed = whole.clone();
                changed[place] ^= 1 << bit;
                if let Ok(entries) = listed(&changed) {
                    let names = |entries: &[Entry]| entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
                    assert_eq!(names(&entries), names(&expected), "byte {place}, bit {bit}");
                }
            }
        }
        for end in 0..whole.len() {
            assert!(listed(&whole[..end]).is_err(), "cut at {end}");
        }
    }
}

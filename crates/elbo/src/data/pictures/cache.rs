//! Decoded pixels on disk, so that they are decoded once and need not fit into memory.
//!
//! A cache file holds, in this order: 4096 bytes that begin with [`MAGIC`]; the pixels, picture after picture; class numbers (`u32`),
//! parts (`u8`) and names; checksums (CRC-32C) of the pixels in blocks of [`CHECKED`] bytes; a header in JSON that tells the
//! sizes of all these; and 48 bytes with the header's length and sha256 and the magic again. It is written front to back under another name,
//! synced and renamed, so a file under its name is whole unless the disk damaged it. Numbers are little-endian.
//!
//! On opening, length, magic, header and tables are checked, and of the pixels all of the first [`ALWAYS_CHECKED`] bytes and 64 blocks
//! spread over the rest; a file that fails is made anew. It is mapped into memory, not read: pages come and go as they are used.
//!
//! The name is a hash of the collection's path and the settings; the header has the collection's stamp. A collection that changed
//! takes the place of its predecessor. Nothing is ever deleted for space; all of the folder may be, at any time.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::summary::Summary;
use crate::data::bounds;
use crate::data::idx::hex;
use crate::data::progress::Progress;
use crate::error::{Error, Result};

/// Version of the layout and of everything that decides what pixels a picture becomes, or that it becomes none: what was
/// kept by an older version would be given again without a look at its file.
const FORMAT: u32 = 3;
const MAGIC: &[u8; 8] = b"elbo-px\x01";
const START: u64 = 4096;
const TRAILER: u64 = 48;
const MAX_HEADER: u64 = 64 << 20;
/// Bytes of the disk that are left to others.
const SPARE: u64 = 64 << 20;
/// Bytes of pixels under one checksum.
const CHECKED: usize = 1 << 20;
/// Pixels that are checked whenever a file is opened.
const ALWAYS_CHECKED: usize = 1 << 30;

/// What a cached set must agree in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// Path and settings: what the file is named after.
    pub what: String,
    /// The collection's stamp.
    pub stamp: String,
}

impl Key {
    /// File name without its ending.
    fn stem(&self, name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = name.chars().take(40).map(plain).collect();
        let hash = hex(&Sha256::digest(format!("{FORMAT} {} {}", env!("CARGO_PKG_VERSION"), self.what)));
        format!("{name}-{}", &hash[..16])
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    key: Key,
    summary: Summary,
    pixels: u64,
    /// Bytes of class numbers, parts, names and checksums together.
    tables: u64,
    tables_sha256: String,
}

/// Class number, part and name of each picture, in order.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    pub labels: Vec<u32>,
    pub parts: Vec<u8>,
    /// All names, one after the other.
    pub names: String,
    /// Where each name ends.
    pub name_ends: Vec<u64>,
}

impl Tables {
    pub fn push(&mut self, label: u32, part: u8, name: &str) {
        self.labels.push(label);
        self.parts.push(part);
        self.names.push_str(name);
        self.name_ends.push(self.names.len() as u64);
    }

    pub fn name(&self, index: usize) -> Option<&str> {
        let start = index.checked_sub(1).map_or(0, |before| self.name_ends[before]);
        self.names.get(start as usize..*self.name_ends.get(index)? as usize)
    }

    fn to_bytes(&self, checksums: &[u32]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.labels.iter().flat_map(|label| label.to_le_bytes()));
        bytes.extend(&self.parts);
        bytes.extend(self.name_ends.iter().flat_map(|end| end.to_le_bytes()));
        bytes.extend(checksums.iter().flat_map(|sum| sum.to_le_bytes()));
        bytes.extend(self.names.as_bytes());
        bytes
    }

    /// Tables of `count` pictures and `blocks` checksums.
    fn from_bytes(bytes: &[u8], count: usize, blocks: usize) -> Option<(Self, Vec<u32>)> {
        let mut rest = bytes;
        let mut take = |len: Option<usize>| -> Option<&[u8]> {
            let (taken, after) = rest.split_at_checked(len?)?;
            rest = after;
            Some(taken)
        };
        let u32s = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect();
        let labels = u32s(take(count.checked_mul(4))?);
        let parts = take(Some(count))?.to_vec();
        let ends = take(count.checked_mul(8))?;
        let name_ends = ends.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        let checksums = u32s(take(blocks.checked_mul(4))?);
        let names = String::from_utf8(rest.to_vec()).ok()?;
        Some((Self { labels, parts, names, name_ends }, checksums))
    }
}

/// Decoded pixels, in a mapped file or in memory.
#[derive(Debug)]
pub(super) enum Pixels {
    Mapped(Mmap, Range<usize>),
    Memory(Vec<u8>),
}

impl Pixels {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map, range) => &map[range.clone()],
            Self::Memory(pixels) => pixels,
        }
    }
}

/// A set as it comes out of the cache.
pub(super) struct Cached {
    pub pixels: Pixels,
    pub tables: Tables,
    pub summary: Summary,
}

/// The place of one set in the cache folder.
pub(super) struct Slot {
    key: Key,
    path: PathBuf,
}

impl Slot {
    pub fn new(folder: &Path, name: &str, key: Key) -> Self {
        let path = folder.join(format!("{}.pixels", key.stem(name)));
        Self { key, path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The set, if a sound file of the same stamp is there.
    pub fn find(&self) -> Option<Cached> {
        let file = File::open(&self.path).ok()?;
        read(file, &self.key)
    }

    /// Begins a new file, alone: while another process makes it, this one waits.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder or file cannot be written.
    pub fn begin(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Writer> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(Error::io(folder, "create"))?;
        let lock = self.lock(progress)?;
        let part = self.path.with_extension("part");
        let file = File::create(&part).map_err(Error::io(&part, "create"))?;
        let mut writer = Writer {
            file: BufWriter::with_capacity(1 << 18, file),
            part,
            target: self.path.clone(),
            key: self.key.clone(),
            written: 0,
            block: (0, 0),
            checksums: Vec::new(),
            _lock: lock,
        };
        writer.restart()?;
        Ok(writer)
    }

    /// Held while a file is made. It stays behind, since removing a lock file is a race. `None` where the file system knows no locks.
    fn lock(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Option<File>> {
        let path = self.path.with_extension("lock");
        let file = File::create(&path).map_err(Error::io(&path, "create"))?;
        let mut told = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::Error(_)) => return Ok(None),
                Err(TryLockError::WouldBlock) => {
                    if !std::mem::replace(&mut told, true) {
                        progress(Progress::Note("another run decodes these pictures: waiting for it"));
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }
}

/// A cache file in the making. Dropped before [`Writer::finish`], it leaves nothing but the lock.
pub(super) struct Writer {
    file: BufWriter<File>,
    part: PathBuf,
    target: PathBuf,
    key: Key,
    written: u64,
    /// Checksum and length of the block under way.
    block: (u32, usize),
    checksums: Vec<u32>,
    _lock: Option<File>,
}

impl Writer {
    /// Forgets all pixels.
    pub fn restart(&mut self) -> Result<()> {
        let begun = self.file.seek(SeekFrom::Start(0)).and_then(|_| {
            self.file.get_ref().set_len(0)?;
            let mut start = vec![0; START as usize];
            start[..8].copy_from_slice(MAGIC);
            self.file.write_all(&start)
        });
        begun.map_err(Error::io(&self.part, "write"))?;
        (self.written, self.block) = (0, (0, 0));
        self.checksums.clear();
        Ok(())
    }

    pub fn write(&mut self, mut pixels: &[u8]) -> Result<()> {
        self.file.write_all(pixels).map_err(Error::io(&self.part, "write"))?;
        self.written += pixels.len() as u64;
        while !pixels.is_empty() {
            let (now, later) = pixels.split_at(pixels.len().min(CHECKED - self.block.1));
            self.block = (crc32c::crc32c_append(self.block.0, now), self.block.1 + now.len());
            if self.block.1 == CHECKED {
                self.end_block();
            }
            pixels = later;
        }
        Ok(())
    }

    /// Asks whether the disk has room for so many bytes of pixels, before they are decoded.
    ///
    /// # Errors
    /// [`Error::Io`] of a full disk.
    pub fn reserve(&self, bytes: u64) -> Result<()> {
        let folder = self.part.parent().unwrap_or(Path::new("."));
        match fs4::available_space(folder) {
            Ok(room) if room < bytes.saturating_add(SPARE) => {
                let full = format!("{} are needed and {} are free", bounds::size(bytes), bounds::size(room));
                Err(Error::io(&self.part, "write")(io::Error::new(io::ErrorKind::StorageFull, full)))
            }
            // Where the system does not tell, writing will.
            _ => Ok(()),
        }
    }

    fn end_block(&mut self) {
        self.checksums.push(self.block.0);
        self.block = (0, 0);
    }

    /// Writes what belongs to the pixels, gives the file its name and opens it.
    pub fn finish(mut self, tables: &Tables, summary: &Summary) -> Result<Cached> {
        if self.block.1 > 0 {
            self.end_block();
        }
        let tables = tables.to_bytes(&self.checksums);
        let header = Header {
            format: FORMAT,
            key: self.key.clone(),
            summary: summary.clone(),
            pixels: self.written,
            tables: tables.len() as u64,
            tables_sha256: hex(&Sha256::digest(&tables)),
        };
        let header = serde_json::to_vec(&header).expect("a header has a JSON form");
        let parts: [&[u8]; 5] =
            [&tables, &header, &(header.len() as u64).to_le_bytes(), &Sha256::digest(&header), MAGIC];
        let written = parts.iter().try_for_each(|part| self.file.write_all(part));
        let written = written.and_then(|()| self.file.flush()).and_then(|()| self.file.get_ref().sync_all());
        written.map_err(Error::io(&self.part, "write"))?;
        fs::rename(&self.part, &self.target).map_err(Error::io(&self.target, "rename"))?;
        if let Some(folder) = self.target.parent() {
            // Not every system can open a folder to sync it; the rename itself has succeeded.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        let file = File::open(&self.target).map_err(Error::io(&self.target, "open"))?;
        read(file, &self.key).ok_or_else(|| {
            let help = "the disk does not keep what is written to it; choose another with ELBO_HOME";
            Error::data(&self.target, "cache file", "what was written to it", "something else", help)
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `finish` it is not there any more.
        let _ = fs::remove_file(&self.part);
    }
}

/// Reads and checks a cache file; `None` if anything is not as it should be.
fn read(mut file: File, key: &Key) -> Option<Cached> {
    let len = file.metadata().ok()?.len();
    let mut trailer = [0; TRAILER as usize];
    file.seek(SeekFrom::Start(len.checked_sub(TRAILER)?)).ok()?;
    file.read_exact(&mut trailer).ok()?;
    let header_len = u64::from_le_bytes(trailer[..8].try_into().ok()?);
    if &trailer[40..] != MAGIC || header_len > MAX_HEADER {
        return None;
    }
    let header_start = len.checked_sub(TRAILER + header_len)?;
    let bytes = read_at(&mut file, header_start, header_len)?;
    if Sha256::digest(&bytes)[..] != trailer[8..40] {
        return None;
    }
    let header: Header = serde_json::from_slice(&bytes).ok()?;
    let tables_start = START.checked_add(header.pixels)?;
    let whole = tables_start.checked_add(header.tables)? == header_start;
    let count = header.summary.count;
    let expected = (count as u64).checked_mul(header.summary.picture_bytes() as u64)?;
    if header.format != FORMAT || header.key != *key || !whole || expected != header.pixels {
        return None;
    }
    let bytes = read_at(&mut file, tables_start, header.tables)?;
    if hex(&Sha256::digest(&bytes)) != header.tables_sha256 {
        return None;
    }
    let pixels = usize::try_from(header.pixels).ok()?;
    let (tables, checksums) = Tables::from_bytes(&bytes, count, pixels.div_ceil(CHECKED))?;
    // The file was written under another name and renamed; nothing here ever writes to it again.
    let map = elbo_kernels::map_file(&file).ok()?;
    let range = START as usize..START as usize + pixels;
    map.get(range.clone())?;
    let sound = map[..8] == MAGIC[..] && intact(&map[range.clone()], &checksums);
    sound.then_some(Cached { pixels: Pixels::Mapped(map, range), tables, summary: header.summary })
}

fn read_at(file: &mut File, start: u64, len: u64) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    let read = io::Read::by_ref(file).take(len).read_to_end(&mut bytes).ok()?;
    (read as u64 == len).then_some(bytes)
}

/// Whether the pixels have their checksums: all of the first ones, and some of the rest.
fn intact(pixels: &[u8], checksums: &[u32]) -> bool {
    let always = (ALWAYS_CHECKED / CHECKED).min(checksums.len());
    let rest = checksums.len() - always;
    let spread = (0..rest.min(64)).map(|i| always + i * rest / rest.min(64));
    let blocks: Vec<usize> = (0..always).chain(spread).collect();
    blocks.par_iter().all(|&block| {
        let end = pixels.len().min((block + 1) * CHECKED);
        crc32c::crc32c(&pixels[block * CHECKED..end]) == checksums[block]
    })
}

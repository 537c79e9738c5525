//! Pictures in a zip archive: stored, or packed by deflate, Deflate64, bzip2, LZMA or xz.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::arrangement::{Told, escaped, is_picture, listed};
use super::file::SharedFile;
use super::folder::too_long;
use super::left_out::{LeftOut, is_passed_over};
use super::tar;
use super::{Collection, Listing, MAX_ENCODED_BYTES, Origin};
use crate::data::zip_directory;
use crate::error::{Error, Result};

/// The pictures of an archive.
pub struct Zip {
    listing: Listing,
    archive: ZipArchive<SharedFile>,
    /// Place of each entry in the archive's directory.
    places: Vec<usize>,
    told: Told,
    /// Bytes of the archive.
    stored: u64,
}

impl Zip {
    /// Reads the archive's directory.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged or has no pictures, [`Error::Io`].
    pub(super) fn open(origin: Origin) -> Result<Self> {
        let path = &origin.path;
        let mut file = File::open(path).and_then(SharedFile::new).map_err(Error::io(path, "open"))?;
        let stored = file.len();
        let entries = zip_directory::read(&mut file, stored)
            .map_err(|fault| Error::data(path, "directory", fault.expected, fault.found, DAMAGED))?;
        let archive = ZipArchive::new(file.at(0)).map_err(|error| damaged(path, "directory", &error))?;
        let by_name: HashMap<&[u8], &zip_directory::Entry> =
            entries.iter().map(|entry| (&entry.name[..], entry)).collect();
        if by_name.len() != archive.len() {
            let (expected, found) = (format!("{} files", by_name.len()), archive.len().to_string());
            return Err(Error::data(path, "directory", expected, found, DAMAGED));
        }
        let (mut members, mut left_out) = (Vec::new(), LeftOut::default());
        for place in 0..archive.len() {
            let member = archive.by_index_data(place).map_err(|error| damaged(path, "directory", &error))?;
            let name = tidied(member.name_raw());
            let passed_over = name.split(|&byte| byte == b'/').find(|part| is_passed_over(part));
            let entry = by_name.get(member.name_raw());
            match passed_over {
                _ if member.is_symlink() => left_out.add_link(),
                _ if !member.is_file() => {}
                Some(part) => left_out.add_passed_over(part),
                None if !is_picture(&name) => left_out.add_file(&name),
                None if entry.is_some_and(|entry| entry.encrypted) => left_out.add_encrypted(),
                None => match entry.and_then(|entry| entry.unread_method()) {
                    Some(method) => return Err(unread(path, &escaped(&name), &method)),
                    None => members.push((name, place)),
                },
            }
        }
        members.sort();
        let (listing, places, told) = listed(origin, members, &left_out, "zip -r pictures.zip FOLDER")?;
        Ok(Self { listing, archive, places, told, stored })
    }
}

/// With `/` between parts, as old programs on Windows do not write it, and without `.` and empty parts.
fn tidied(name: &[u8]) -> Vec<u8> {
    match name.contains(&b'/') {
        true => tar::tidied(name),
        false => tar::tidied(&name.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect::<Vec<_>>()),
    }
}

fn unread(path: &Path, place: &str, method: &str) -> Error {
    let expected = "a file that is stored or packed by deflate, deflate64, bzip2, lzma or xz";
    let help = "the archive is whole, but this method is not read: pack it anew with `zip -r pictures.zip FOLDER`";
    Error::data(path, place, expected, method, help)
}

impl Collection for Zip {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let (path, name) = (self.path(), &self.entries()[index].name);
        // The directory is shared; only the place of reading is the clone's own.
        let mut archive = self.archive.clone();
        let member = archive.by_index(self.places[index]).map_err(|error| damaged(path, name, &error))?;
        if member.size() > MAX_ENCODED_BYTES {
            return Err(too_long(path, name, member.size()));
        }
        let mut bytes = Vec::new();
        let read = member.take(MAX_ENCODED_BYTES + 1).read_to_end(&mut bytes);
        let read = read.map_err(|error| damaged(path, name, &ZipError::Io(error)))?;
        if read as u64 > MAX_ENCODED_BYTES {
            return Err(too_long(path, name, read as u64));
        }
        Ok(bytes)
    }

    fn stored_bytes(&self) -> u64 {
        self.stored
    }

    fn notes(&self) -> &[String] {
        &self.told.notes
    }

    fn warnings(&self) -> &[String] {
        &self.told.warnings
    }
}

const DAMAGED: &str = "the archive is damaged or cut short: pack or fetch it again";

fn damaged(path: &Path, place: &str, error: &ZipError) -> Error {
    let help = match error {
        ZipError::UnsupportedArchive(_) => "pack it without encryption, with the usual method (deflate)",
        _ => DAMAGED,
    };
    Error::data(path, place, "a readable zip archive", error.to_string(), help)
}

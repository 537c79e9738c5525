//! Pictures in a zip archive, stored or deflated.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::arrangement::{is_hidden, is_picture, listed};
use super::file::SharedFile;
use super::folder::too_long;
use super::{Collection, Listing, MAX_ENCODED_BYTES, Origin};
use crate::error::{Error, Result};

/// The pictures of an archive.
pub struct Zip {
    listing: Listing,
    archive: ZipArchive<SharedFile>,
    /// Place of each entry in the archive's directory.
    places: Vec<usize>,
}

impl Zip {
    /// Reads the archive's directory.
    ///
    /// # Errors
    /// [`Error::Data`] if it is damaged or has no pictures, [`Error::Io`].
    pub(super) fn open(origin: Origin) -> Result<Self> {
        let path = &origin.path;
        let file = File::open(path).and_then(SharedFile::new).map_err(Error::io(path, "open"))?;
        let archive = ZipArchive::new(file).map_err(|error| damaged(path, "directory", &error))?;
        let mut members = Vec::new();
        for place in 0..archive.len() {
            let member = archive.by_index_data(place).map_err(|error| damaged(path, "directory", &error))?;
            let name = member.name_raw();
            let hidden = name.split(|&byte| byte == b'/').any(is_hidden);
            if member.is_file() && is_picture(name) && !hidden {
                members.push((name.to_vec(), place));
            }
        }
        members.sort();
        let (listing, places) = listed(origin, members, "zip -r pictures.zip FOLDER")?;
        Ok(Self { listing, archive, places })
    }
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
}

fn damaged(path: &Path, place: &str, error: &ZipError) -> Error {
    let help = match error {
        ZipError::UnsupportedArchive(_) => "pack it without encryption, with the usual method (deflate)",
        _ => "the archive is damaged or cut short: pack or fetch it again",
    };
    Error::data(path, place, "a readable zip archive", error.to_string(), help)
}

//! NumPy's `.npy`: a header, then the values.
//!
//! Its length is checked before memory is taken: version 2 of the format declares headers of up to 4 GiB. Values are read as they come, so
//! that a file shorter or longer than its header says is found and a header that lies costs nothing.

use std::fs::File;
use std::io::BufReader;

use sha2::{Digest, Sha256};

use super::array::{Array, CHUNK};
use super::meaning::meaning;
use super::{Loaded, Request, mapped};
use crate::data::idx::hex;
use crate::error::{Error, Result};

/// Reads a `.npy` file.
pub(super) fn load(request: &Request<'_>) -> Result<Loaded> {
    if let Some(name) = request.array.filter(|_| request.strict) {
        let help = "leave `data.array` away: a .npy file has one array";
        return Err(Error::config("data.array", "nothing", format!("`{name}`"), help));
    }
    if let Some(name) = request.label.filter(|_| request.strict) {
        let help = "save images and labels in one file: `numpy.savez(\"set.npz\", x_train=..., y_train=...)`";
        return Err(Error::config("data.label", "nothing: a .npy file has no labels", format!("`{name}`"), help));
    }
    if let Some(name) = request.id.filter(|_| request.strict) {
        let help = "save rows and identifiers in one file: `numpy.savez(\"set.npz\", x=..., id=...)`";
        return Err(Error::config("data.id", "nothing: a .npy file has no identifiers", format!("`{name}`"), help));
    }
    let file = File::open(request.path).map_err(Error::io(request.path, "open"))?;
    let size = file.metadata().map_err(Error::io(request.path, "read"))?.len();
    let mut array = Array::begin(request, "", BufReader::with_capacity(CHUNK, &file), size)?;
    let meaning = meaning(&array)?;
    let (part, sha256) = if size > request.map_above && meaning.can_be_mapped(&array) {
        array.check_size(size)?;
        let map = mapped::map(request.path, &file)?;
        let sha256 = hex(&Sha256::digest(&map[..]));
        (meaning.map(&array, map)?, sha256)
    } else {
        let part = meaning.read(&mut array)?.part;
        (part, hex(&array.sha256.finalize()))
    };
    Ok(Loaded { train: part, test: None, parts: None, label_names: Vec::new(), sha256 })
}

/// Whether the file holds rows, by its header.
pub(super) fn holds_rows(request: &Request<'_>) -> Result<bool> {
    let file = File::open(request.path).map_err(Error::io(request.path, "open"))?;
    Ok(meaning(&Array::begin(request, "", file, 0)?)?.is_rows())
}

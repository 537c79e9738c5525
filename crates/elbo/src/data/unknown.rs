//! What a file is that is none of the formats read here: named, with the way to one of them.

use std::path::Path;

use super::idx::describe;
use super::pictures::picture_kind;
use super::unpack;
use crate::error::Error;

const READ: &str = "a folder of pictures, a zip or tar archive of one, a picture (PNG, JPEG, WebP, BMP, GIF, TIFF, TGA, PGM/PPM), a table (.csv, .tsv, \
                    .parquet, .amat), an array (.npy, .npz), or IDX files";

/// Whether a file, plain or packed, begins as IDX files do.
pub(super) fn looks_like_idx(path: &Path) -> bool {
    matches!(unpack::start_of(path, 4)[..], [0, 0, 0x08..=0x0e, 1..=8])
}

/// The refusal of a file of another format.
pub(super) fn refuse(path: &Path) -> Error {
    let packing = unpack::packing_of(path).ok().flatten();
    let start = unpack::start_of(path, 64);
    let mut found = picture_kind(&start).map_or_else(|| describe(&start), str::to_owned);
    if let Some(packing) = packing {
        found = match start.is_empty() {
            true => format!("{} content that is damaged or cut short", packing.word()),
            false => format!("{found} inside {}", packing.word()),
        };
    }
    Error::data(path, "source", READ, found.clone(), help(&found))
}

fn help(found: &str) -> &'static str {
    const CURES: [(&str, &str); 14] = [
        ("damaged or cut short", "fetch or copy the file again"),
        ("HDF5", "convert it: `numpy.savez(\"set.npz\", x=h5py.File(PATH)[NAME][:])`"),
        ("MATLAB", "convert it: `numpy.savez(\"set.npz\", x=scipy.io.loadmat(PATH)[NAME])`"),
        ("pickle", "convert it where it comes from, for a pickle can run code: `numpy.savez(\"set.npz\", x=...)`"),
        ("database", "export a table as CSV: `sqlite3 -header -csv FILE \"select * from NAME\"`"),
        ("Arrow", "convert it: `pandas.read_feather(PATH).to_parquet(\"set.parquet\")`"),
        ("Feather", "convert it: `pandas.read_feather(PATH).to_parquet(\"set.parquet\")`"),
        ("ORC", "convert it: `pandas.read_orc(PATH).to_parquet(\"set.parquet\")`"),
        ("7z", "unpack it (`7z x FILE`) and give the folder"),
        ("RAR", "unpack it (`unrar x FILE`) and give the folder"),
        ("LZ4", "unpack it (`lz4 -d FILE`) and give what comes out"),
        ("JSON", "save its numbers as CSV or as a NumPy array"),
        ("page", "perhaps this is the error page of a download: fetch the file again"),
        ("picture", "convert it to PNG or JPEG: `magick FILE picture.png`"),
    ];
    let cure = CURES.iter().find(|(word, _)| found.contains(word)).map(|(_, cure)| *cure);
    cure.unwrap_or("convert it to one of these; a table of text needs a name that ends in .csv")
}

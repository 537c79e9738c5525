//! Reads the IDX files MNIST comes in, plain or gzip, told apart by their content and never by their name.
//!
//! An IDX file is a magic number (two zero bytes, the type of a value, the number of dimensions), the dimensions as
//! big-endian `u32`, then the values. Read here are the two kinds that image sets use: unsigned bytes in three
//! dimensions (`[count, height, width]`) and in one (`[count]`, labels). Everything else is refused by name, and so is
//! every file that holds fewer or more bytes than its header declares: a data set is never silently short.
//!
//! The header is not trusted. Sizes are multiplied with overflow checks, memory is taken as bytes arrive rather than
//! as the header promises, and at most one byte beyond the promise is read, so that neither a header that lies nor a
//! gzip bomb costs memory. A gzip stream may have several members, as `cat a.gz b.gz` makes them: the format says they
//! are one file, and parallel compressors write them. Anything else after a member is refused, zero padding too.
//!
//! The sha256 of the uncompressed content is computed on the way, because it is what names a data set: the same images
//! compress to different bytes with every compressor.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::bounds;
use crate::error::{Error, Result};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Bytes read, hashed and appended at a time.
const CHUNK: usize = 64 * 1024;

/// Memory taken before a byte has arrived is at most this many times the file's size on disk: honest image sets
/// compress less than that, and for those one allocation is enough.
const TRUSTED_RATIO: u64 = 8;

/// An IDX file of images: `count` grey images of `height` x `width`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdxImages {
    /// Number of images, at least 1.
    pub count: usize,
    /// Rows of each image, at least 1.
    pub height: usize,
    /// Columns of each image, at least 1.
    pub width: usize,
    /// `[count, height, width]`, row after row.
    pub pixels: Vec<u8>,
    /// sha256 of the uncompressed file, header included, in hexadecimal.
    pub sha256: String,
}

/// An IDX file of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdxLabels {
    /// `[count]`, at least one.
    pub labels: Vec<u8>,
    /// sha256 of the uncompressed file, header included, in hexadecimal.
    pub sha256: String,
}

/// Reads an IDX file of grey images.
///
/// # Errors
/// [`Error::Data`] if the file is not a regular file, is something else than IDX images, or holds fewer or more bytes
/// than its header declares; [`Error::Io`] if it cannot be opened or read.
///
/// ```
/// use elbo::data::idx;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("images"); // two images of 1 x 3
/// std::fs::write(&path, [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3][..], &[9; 6]].concat()).unwrap();
/// let images = idx::read_images(&path)?;
/// assert_eq!((images.count, images.height, images.width), (2, 1, 3));
///
/// std::fs::write(&path, [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 9]).unwrap();
/// println!("{}", idx::read_images(&path).unwrap_err()); // says how many bytes are missing
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn read_images(path: impl AsRef<Path>) -> Result<IdxImages> {
    let Idx { dims: [count, height, width], bytes, sha256 } = read(path.as_ref(), Kind::Images)?;
    Ok(IdxImages { count, height, width, pixels: bytes, sha256 })
}

/// Reads an IDX file of labels.
///
/// # Errors
/// As [`read_images`].
///
/// ```
/// use elbo::data::idx;
///
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("labels");
/// std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]).unwrap();
/// assert_eq!(idx::read_labels(&path)?.labels, [7, 2, 1]);
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn read_labels(path: impl AsRef<Path>) -> Result<IdxLabels> {
    let Idx { bytes, sha256, .. } = read(path.as_ref(), Kind::Labels)?;
    Ok(IdxLabels { labels: bytes, sha256 })
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Images,
    Labels,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Labels => "labels",
        }
    }

    fn magic(self) -> [u8; 4] {
        [0, 0, UNSIGNED_BYTE, self.dimensions() as u8]
    }

    fn dimensions(self) -> usize {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }

    fn expected(self) -> String {
        format!("IDX {} (magic {})", self.noun(), magic_text(&self.magic()))
    }

    fn cure(self) -> &'static str {
        match self {
            Self::Images => "give the file of images; in MNIST its name contains `images-idx3`",
            Self::Labels => "give the file of labels; in MNIST its name contains `labels-idx1`",
        }
    }
}

struct Idx {
    /// Missing dimensions are 1.
    dims: [usize; 3],
    bytes: Vec<u8>,
    sha256: String,
}

fn read(path: &Path, kind: Kind) -> Result<Idx> {
    let file = open_regular(path)?;
    let size = file.metadata().map_err(Error::io(path, "read"))?.len();
    parse(path, BufReader::with_capacity(CHUNK, file), size, kind)
}

/// Opens a regular file. The type is looked at first because opening a FIFO waits for a writer.
fn open_regular(path: &Path) -> Result<File> {
    let meta = fs::metadata(path).map_err(Error::io(path, "open"))?;
    if !meta.is_file() {
        let found = if meta.is_dir() { "a folder" } else { "a pipe, socket or device" };
        return Err(Error::data(path, "file type", "a regular file", found, "give the path of one IDX file"));
    }
    File::open(path).map_err(Error::io(path, "open"))
}

/// Reads IDX content from `raw`, whose length on disk is `size` bytes.
fn parse(path: &Path, mut raw: impl BufRead, size: u64, kind: Kind) -> Result<Idx> {
    let gzip = raw.fill_buf().map_err(Error::io(path, "read"))?.starts_with(&GZIP_MAGIC);
    let reader: Box<dyn Read + '_> = if gzip { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
    Content { path, kind, gzip, size, reader, sha256: Sha256::new(), position: 0 }.read()
}

/// The uncompressed content of a file, hashed as it is read.
struct Content<'a> {
    path: &'a Path,
    kind: Kind,
    gzip: bool,
    size: u64,
    reader: Box<dyn Read + 'a>,
    sha256: Sha256,
    position: u64,
}

impl Content<'_> {
    fn read(mut self) -> Result<Idx> {
        let dims = self.header()?;
        let promised = self.promised(dims)?;
        let bytes = self.body(dims, promised)?;
        Ok(Idx { dims, bytes, sha256: hex(&self.sha256.finalize()) })
    }

    fn header(&mut self) -> Result<[usize; 3]> {
        let wanted = 4 + 4 * self.kind.dimensions();
        let mut bytes = Vec::with_capacity(wanted);
        if let Some(error) = self.append(&mut bytes, wanted) {
            return Err(self.broken(error, "a header", "within the header"));
        }
        if !bytes.starts_with(&self.kind.magic()) {
            return Err(self.wrong_type(&bytes));
        }
        if bytes.len() < wanted {
            let expected = format!("a header of {wanted} bytes");
            let found = format!("the end of the file after {} bytes", bytes.len());
            return Err(self.error("header", expected, found, "the file was cut off: download or copy it again"));
        }
        let mut dims = [1; 3];
        for (dim, bytes) in dims.iter_mut().zip(bytes[4..].chunks_exact(4)) {
            *dim = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        }
        Ok(dims)
    }

    fn wrong_type(&self, start: &[u8]) -> Error {
        let mut found = describe(start);
        if self.gzip {
            found.push_str(" inside gzip");
        }
        self.error("bytes 0..4", self.kind.expected(), found, self.kind.cure())
    }

    /// Bytes the header declares after itself.
    fn promised(&self, dims: [usize; 3]) -> Result<usize> {
        let names = ["count", "height", "width"];
        if let Some(zero) = dims.iter().position(|&dim| dim == 0) {
            let found = format!("{} 0", names[zero]);
            return Err(self.error(
                "header",
                "sizes of at least 1",
                found,
                "the file is empty or damaged: make it again",
            ));
        }
        // Room for the one byte beyond the promise that tells a file which is too long.
        dims.iter()
            .try_fold(1usize, |product, &dim| product.checked_mul(dim))
            .filter(|&product| product < isize::MAX as usize)
            .ok_or_else(|| {
                let found = format!("{} x {} x {}", dims[0], dims[1], dims[2]);
                self.error(
                    "header",
                    "sizes that fit in memory",
                    found,
                    "the header is damaged: download or copy it again",
                )
            })
    }

    /// Refuses packed content that would take far more memory than a file of this size should. It is counted first, without keeping it: a header
    /// that promises more than there is, is another fault.
    fn check_memory(&mut self, promised: usize) -> Result<()> {
        let most = bounds::allowed(self.size);
        if !self.gzip || promised as u64 <= most {
            return Ok(());
        }
        let mut counted = Vec::new();
        while self.position <= most {
            counted.clear();
            // What breaks or ends it is told by the body, which finds nothing more.
            if self.append(&mut counted, CHUNK).is_some() || counted.len() < CHUNK {
                return Ok(());
            }
        }
        bounds::check(self.path, "header", promised as u64, self.size)
    }

    fn body(&mut self, dims: [usize; 3], promised: usize) -> Result<Vec<u8>> {
        let before = self.position;
        self.check_memory(promised)?;
        let counted = (self.position - before) as usize;
        let trusted = usize::try_from(self.size.saturating_mul(TRUSTED_RATIO)).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity((promised + 1).min(trusted));
        let failure = self.append(&mut bytes, promised + 1);
        let (noun, expected) = (self.kind.noun(), self.declared(dims, promised));
        let whole = (counted + bytes.len()) / (dims[1] * dims[2]);
        match failure {
            Some(error) => Err(self.broken(error, &expected, &format!("got {whole} {noun}"))),
            None if bytes.len() < promised => {
                let found = format!("the end of the file, got {whole} {noun}");
                Err(self.error(&self.here(), expected, found, "the file was cut off: download or copy it again"))
            }
            None if bytes.len() > promised => {
                let found = "more data than header declares";
                Err(self.error(
                    &self.here(),
                    expected,
                    found,
                    "the file is damaged or was glued to another: make it again",
                ))
            }
            None => {
                bytes.shrink_to_fit();
                Ok(bytes)
            }
        }
    }

    /// Appends content until `bytes` holds `wanted` or the content ends; returns what stopped the stream, if it broke.
    fn append(&mut self, bytes: &mut Vec<u8>, wanted: usize) -> Option<io::Error> {
        let mut chunk = vec![0; CHUNK.min(wanted)];
        while bytes.len() < wanted {
            let room = chunk.len().min(wanted - bytes.len());
            match self.reader.read(&mut chunk[..room]) {
                Ok(0) => return None,
                Ok(read) => {
                    self.sha256.update(&chunk[..read]);
                    self.position += read as u64;
                    bytes.extend_from_slice(&chunk[..read]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Some(error),
            }
        }
        None
    }

    /// The error for a stream that broke: gzip's own complaints come as `io::Error` and are told apart by their kind.
    fn broken(&self, error: io::Error, expected: &str, so_far: &str) -> Error {
        let at = self.position;
        let found = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("gzip stream ends early at byte {at}, {so_far}"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                format!("gzip stream damaged or followed by other bytes at byte {at} ({error}), {so_far}")
            }
            _ => return Error::io(self.path, "read")(error),
        };
        self.error(&self.here(), expected, found, "the file is incomplete or damaged: download or copy it again")
    }

    fn here(&self) -> String {
        format!("byte {}{}", self.position, if self.gzip { " of the uncompressed content" } else { "" })
    }

    fn declared(&self, dims: [usize; 3], promised: usize) -> String {
        match self.kind {
            Kind::Images => format!("{} images of {} x {} ({promised} bytes)", dims[0], dims[1], dims[2]),
            Kind::Labels => format!("{} labels", dims[0]),
        }
    }

    fn error(&self, place: &str, expected: impl Into<String>, found: impl Into<String>, help: &str) -> Error {
        Error::data(self.path, place, expected, found, help)
    }
}

const UNSIGNED_BYTE: u8 = 0x08;

/// How well-known formats begin.
const SIGNATURES: [(&[u8], &str); 32] = [
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a RIFF file (WebP, WAV)"),
    (b"BM", "a BMP image"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"\x93NUMPY", "a NumPy array (npy)"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"MATLAB 5.0", "a MATLAB file"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"SQLite format 3", "an SQLite database"),
    (b"ARROW1", "an Arrow file (Feather)"),
    (b"FEA1", "a Feather file"),
    (b"ORC", "an ORC file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"P5", "a PGM image"),
    (b"P6", "a PPM image"),
    (b"\x04\x22\x4d\x18", "an LZ4 file"),
    (b"{", "a JSON document"),
    (b"<", "an HTML or XML page"),
];

/// Names what a file seems to be from its first bytes.
pub(crate) fn describe(start: &[u8]) -> String {
    if let Some((_, name)) = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature)) {
        return (*name).to_owned();
    }
    match *start {
        [] => "an empty file".to_owned(),
        [_] | [_, _] | [_, _, _] => format!("a file of {} bytes", start.len()),
        [0, 0, UNSIGNED_BYTE, 1, ..] => format!("IDX labels (magic {})", magic_text(start)),
        [0, 0, UNSIGNED_BYTE, 3, ..] => format!("IDX images (magic {})", magic_text(start)),
        [0, 0, dtype, dimensions, ..] if value_type(dtype).is_some() => {
            let name = value_type(dtype).unwrap_or_default();
            format!("IDX {name} in {dimensions} dimensions (magic {})", magic_text(start))
        }
        _ => format!("an unknown format (first bytes {})", magic_text(start)),
    }
}

fn value_type(dtype: u8) -> Option<&'static str> {
    Some(match dtype {
        UNSIGNED_BYTE => "unsigned bytes",
        0x09 => "signed bytes",
        0x0b => "16-bit integers",
        0x0c => "32-bit integers",
        0x0d => "32-bit floats",
        0x0e => "64-bit floats",
        _ => return None,
    })
}

fn magic_text(start: &[u8]) -> String {
    format!("0x{}", hex(&start[..start.len().min(4)]))
}

#[cfg(test)]
mod tests;

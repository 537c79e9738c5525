//! A NumPy array as it comes out of a file or an archive: its header, then its values, checked as they arrive.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use super::header::{self, Header};
use super::layout::index_of;
use super::{Part, Request};
use crate::data::bounds;
use crate::data::idx::describe;
use crate::error::{Error, Result};

/// How every `.npy` file begins.
pub(super) const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// Longest header read: the dict of a plain array takes about a hundred bytes.
const MAX_HEADER: usize = 64 * 1024;

/// Bytes read, hashed and decoded at a time; a multiple of every number's size.
pub(super) const CHUNK: usize = 64 * 1024;

/// Memory taken before a value has arrived is at most this many times the file's size: honest arrays compress less.
const TRUSTED_RATIO: u64 = 8;

/// Objects take several times their bytes in memory: of what an archive may hold they may be one in so many.
const OBJECTS_SHARE: u64 = 8;

/// An array whose header is read and whose values follow.
pub(super) struct Array<'a, R> {
    pub request: &'a Request<'a>,
    /// Its name in an archive; empty for a file of its own.
    pub name: String,
    pub header: Header,
    reader: R,
    /// Bytes of the file on disk.
    size: u64,
    /// Bytes read.
    position: u64,
    pub sha256: Sha256,
}

impl<'a, R: Read> Array<'a, R> {
    /// Reads the header of the array `name` from `reader`; the file has `size` bytes on disk.
    pub fn begin(request: &'a Request<'a>, name: &str, reader: R, size: u64) -> Result<Self> {
        Self::begin_with(request, name, reader, size, header::parse)
    }

    /// [`Array::begin`] for arrays of text and objects too.
    pub fn begin_any(request: &'a Request<'a>, name: &str, reader: R, size: u64) -> Result<Self> {
        Self::begin_with(request, name, reader, size, header::parse_any)
    }

    fn begin_with(
        request: &'a Request<'a>,
        name: &str,
        reader: R,
        size: u64,
        parse: impl FnOnce(&[u8]) -> Result<Header, header::Problem>,
    ) -> Result<Self> {
        let header = Header::placeholder();
        let mut array = Self { request, name: name.into(), header, reader, size, position: 0, sha256: Sha256::new() };
        let start = array.take(8, "magic and version")?;
        if !start.starts_with(&MAGIC) {
            let help = "give a file that `numpy.save` wrote";
            return Err(array.error("bytes 0..6", "a NumPy array (npy)", describe(&start), help));
        }
        let wide = match start[6] {
            1 => 2,
            2 | 3 => 4,
            other => {
                let help = "save the array again with a current NumPy";
                return Err(array.error("version", "1, 2 or 3", other.to_string(), help));
            }
        };
        let mut length = array.take(wide, "header length")?;
        length.resize(4, 0);
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if length > MAX_HEADER {
            let (expected, found) = (format!("at most {MAX_HEADER} bytes"), format!("{length} bytes"));
            return Err(array.error("header length", expected, found, "the file is damaged, or no plain array"));
        }
        let text = array.take(length, "header")?;
        array.header =
            parse(&text).map_err(|problem| array.error("header", problem.expected, problem.found, problem.help))?;
        Ok(array)
    }

    /// The next `count` bytes, all of them.
    fn take(&mut self, count: usize, what: &str) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let got = self.fill(&mut bytes)?;
        if got < count {
            let found = format!("the end of the file after {} bytes", self.position);
            return Err(self.error(what, format!("{count} bytes"), found, CUT_OFF));
        }
        Ok(bytes)
    }

    /// Fills `bytes` as far as the file goes.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.reader.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        self.sha256.update(&bytes[..filled]);
        self.position += filled as u64;
        Ok(filled)
    }

    /// What went wrong in reading: of an archive, damage comes as an [`io::Error`] too.
    fn broken(&self, error: io::Error) -> Error {
        match self.name.is_empty() {
            true => Error::io(self.request.path, "read")(error),
            false => {
                let expected = format!("{} values of {}", self.header.len, self.header.dtype.name());
                self.error(&self.here(), expected, format!("damaged content ({error})"), CUT_OFF)
            }
        }
    }

    /// Hands over all values in the order of the file, as bytes of whole numbers and the place of the first; then checks that nothing
    /// follows.
    pub fn for_bytes(&mut self, mut each: impl FnMut(usize, &[u8])) -> Result<()> {
        let item = self.header.dtype.size;
        let most = (CHUNK / item).max(1) * item;
        let mut chunk = vec![0; most];
        let mut place = 0;
        while place < self.header.len {
            let wanted = most.min((self.header.len - place).saturating_mul(item));
            let got = self.fill(&mut chunk[..wanted])?;
            each(place, &chunk[..got / item * item]);
            place += got / item;
            if got < wanted {
                let found = format!("the end of the file after {place} of them");
                return Err(self.error(&self.here(), self.declared(), found, CUT_OFF));
            }
        }
        if self.fill(&mut [0])? > 0 {
            return Err(self.too_long());
        }
        Ok(())
    }

    /// As [`Array::for_bytes`], with each value decoded.
    pub fn for_values(&mut self, mut each: impl FnMut(usize, f64)) -> Result<()> {
        let dtype = self.header.dtype;
        self.for_bytes(|first, bytes| {
            let values = bytes.chunks_exact(dtype.size).enumerate();
            values.for_each(|(offset, value)| each(first + offset, dtype.decode(value)));
        })
    }

    /// Checks the length of a file that is not read through.
    pub fn check_size(&self, size: u64) -> Result<()> {
        let item = self.header.dtype.size as u64;
        let wanted = (self.header.len as u64).checked_mul(item).and_then(|bytes| bytes.checked_add(self.position));
        match wanted {
            Some(wanted) if size == wanted => Ok(()),
            Some(wanted) if size > wanted => Err(self.too_long()),
            _ => {
                let found = format!("the end of the file after {} of them", (size - self.position) / item);
                Err(self.error(&format!("byte {size}"), self.declared(), found, CUT_OFF))
            }
        }
    }

    /// Refuses values that would take `bytes` each in memory, far more than an archive of this size should hold. They are counted first, without
    /// keeping them: a header that promises more than there is, is another fault.
    pub fn check_memory(&mut self, bytes: u64) -> Result<()> {
        let (needed, item) = ((self.header.len as u64).saturating_mul(bytes), self.header.dtype.size as u64);
        let most = bounds::allowed(self.size);
        if self.name.is_empty() || needed <= most {
            return Ok(());
        }
        let (start, mut chunk) = (self.position, vec![0; CHUNK]);
        while (self.position - start) / item * bytes <= most {
            if self.fill(&mut chunk)? < CHUNK {
                let found = format!("the end of the file after {} of them", (self.position - start) / item);
                return Err(self.error(&self.here(), self.declared(), found, CUT_OFF));
            }
        }
        bounds::check(self.request.path, &self.name, needed, self.size)
    }

    /// What is left, of an array of objects.
    ///
    /// # Errors
    /// [`Error::Data`] for damaged content, and for far more than an archive of this size should hold.
    pub fn pickle(&mut self) -> Result<Vec<u8>> {
        let (mut bytes, most) = (Vec::new(), bounds::allowed(self.size) / OBJECTS_SHARE);
        loop {
            let start = bytes.len();
            bytes.resize(start + CHUNK, 0);
            let got = self.fill(&mut bytes[start..])?;
            bytes.truncate(start + got);
            if got < CHUNK {
                return Ok(bytes);
            }
            if bytes.len() as u64 > most {
                let (expected, found) =
                    (format!("at most {} of Python objects", bounds::size(most)), "more".to_owned());
                return Err(self.error(&self.here(), expected, found, "save texts as such: `array.astype(str)`"));
            }
        }
    }

    /// Reads what is left and forgets it: the checksum of an archive's entry is looked at behind its last byte.
    ///
    /// # Errors
    /// [`Error::Data`] for damaged content.
    pub fn drain(mut self) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        while self.fill(&mut chunk)? > 0 {}
        Ok(())
    }

    /// Room for all values, but no more than the file's size makes likely.
    pub fn capacity(&self) -> usize {
        let trusted = usize::try_from(self.size.saturating_mul(TRUSTED_RATIO)).unwrap_or(usize::MAX);
        self.header.len.min(trusted)
    }

    /// Bytes before the first value.
    pub fn start(&self) -> usize {
        self.position as usize
    }

    fn declared(&self) -> String {
        format!("{} values of {} {:?}", self.header.len, self.header.dtype.name(), self.header.shape)
    }

    fn too_long(&self) -> Error {
        let help = "the file is damaged or was glued to another: save the array again";
        self.error(&self.here(), self.declared(), "more bytes after them", help)
    }

    fn here(&self) -> String {
        format!("byte {}", self.position)
    }

    /// The error for value `place` of the file.
    pub fn bad_value(&self, place: usize, expected: &str, found: f64, help: &str) -> Error {
        let index = index_of(place, &self.header.shape, self.header.fortran);
        self.error(&index, expected, format!("{found}"), help)
    }

    pub fn error(&self, place: &str, expected: impl Into<String>, found: impl Into<String>, help: &str) -> Error {
        let place = if self.name.is_empty() { place.to_owned() } else { format!("{}: {place}", self.name) };
        self.request.error(place, expected, found, help)
    }
}

const CUT_OFF: &str = "the file was cut off or damaged: copy or save it again";

/// A part that was read, and which of the file's examples it kept when some were dropped.
pub(super) struct Kept {
    pub part: Part,
    /// Examples in the file.
    pub count: usize,
    pub rows: Option<Vec<usize>>,
}

//! The rows of a CSV file, one at a time, with the line each begins on.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use sha2::{Digest, Sha256};

use super::dialect::{Blanks, Dialect, Separator};
use super::{MAX_COLUMNS, MAX_RECORD};
use crate::data::idx::{describe, hex};
use crate::data::table::Request;
use crate::data::unpack::Packing;
use crate::data::{bounds, unpack};
use crate::error::{Error, Result};

/// Bytes read and hashed at a time.
const CHUNK: usize = 256 * 1024;

/// The rows of a file, one at a time.
pub(super) struct Records<'a> {
    request: &'a Request<'a>,
    file: Box<dyn Read + Send>,
    packing: Option<Packing>,
    /// Bytes of the file on disk.
    pub stored: u64,
    pub dialect: Dialect,
    parser: Reader,
    sha256: Sha256,
    chunk: Vec<u8>,
    /// What of the chunk is not parsed yet.
    unread: std::ops::Range<usize>,
    blanks: Blanks,
    lines: Lines,
    /// The fields of the row, one after another, and where each ends.
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// Number of fields of the row.
    pub len: usize,
    /// Line on which the row begins, counted from 1.
    line: u64,
}

/// Counts line ends: LF, CR and CRLF alike, as an editor does.
#[derive(Debug, Default)]
struct Lines {
    ended: u64,
    after_return: bool,
}

impl Lines {
    fn pass(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.ended += u64::from(byte == b'\r' || byte == b'\n' && !self.after_return);
            self.after_return = byte == b'\r';
        }
    }
}

impl<'a> Records<'a> {
    pub fn open(request: &'a Request<'a>) -> Result<Self> {
        let stored = request.path.metadata().map_err(Error::io(request.path, "read"))?.len();
        let (mut file, packing) = unpack::open(request.path)?;
        let mut chunk = Vec::new();
        let read = file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
        read.map_err(|error| unreadable(request, packing, stored, error))?;
        if let Some(kind) = not_text(&chunk) {
            let help = "give a CSV file in UTF-8; archives must be unpacked, spreadsheets exported as CSV, and UTF-16 converted \
                        (`iconv -f utf-16 -t utf-8`)";
            return Err(request.error("bytes 0..4", "text in UTF-8", kind, help));
        }
        let dialect = Dialect::of(request, &chunk, chunk.len() < CHUNK);
        let mut records = Self {
            request,
            file,
            packing,
            stored,
            parser: ReaderBuilder::new().delimiter(dialect.separator.byte()).build(),
            sha256: Sha256::new(),
            unread: 0..0,
            blanks: Blanks::default(),
            lines: Lines::default(),
            fields: vec![0; MAX_RECORD],
            ends: vec![0; MAX_COLUMNS],
            len: 0,
            line: 1,
            chunk: Vec::new(),
            dialect,
        };
        records.sha256.update(&chunk);
        records.lines.pass(&chunk[..records.dialect.skipped]);
        let skipped = records.dialect.skipped;
        records.take_in(chunk[skipped..].to_vec());
        Ok(records)
    }

    fn take_in(&mut self, piece: Vec<u8>) {
        self.chunk = match self.dialect.separator {
            Separator::Blanks => self.blanks.single(&piece),
            Separator::Byte(_) => piece,
        };
        self.unread = 0..self.chunk.len();
    }

    /// The next piece; an empty one is the end.
    fn refill(&mut self) -> Result<()> {
        loop {
            let mut piece = vec![0; CHUNK];
            match self.file.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(self.request, self.packing, self.stored, error)),
                Ok(read) => {
                    piece.truncate(read);
                    self.sha256.update(&piece);
                    self.take_in(piece);
                    // Blanks alone leave nothing of a piece that is not the last.
                    if read == 0 || !self.unread.is_empty() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Passes over line ends in front of a row.
    fn to_row(&mut self) -> Result<()> {
        loop {
            if self.unread.is_empty() {
                self.refill()?;
            }
            let breaks =
                self.chunk[self.unread.clone()].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.lines.pass(&self.chunk[self.unread.start..self.unread.start + breaks]);
            self.unread.start += breaks;
            if breaks == 0 || !self.unread.is_empty() {
                return Ok(());
            }
        }
    }

    /// Goes to the next row; false when there is none. Empty lines are no rows.
    pub fn next(&mut self) -> Result<bool> {
        let (mut written, mut ended) = (0, 0);
        self.to_row()?;
        self.line = self.lines.ended + 1;
        loop {
            if self.unread.is_empty() {
                self.refill()?;
            }
            let input = &self.chunk[self.unread.clone()];
            let (result, read, wrote, ends) =
                self.parser.read_record(input, &mut self.fields[written..], &mut self.ends[ended..]);
            self.lines.pass(&input[..read]);
            self.unread.start += read;
            (written, ended) = (written + wrote, ended + ends);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => return Err(self.too_large(format!("more than {MAX_RECORD} bytes"))),
                ReadRecordResult::OutputEndsFull => {
                    return Err(self.too_large(format!("more than {MAX_COLUMNS} columns")));
                }
                ReadRecordResult::Record => {
                    self.len = ended;
                    return Ok(true);
                }
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    fn too_large(&self, found: String) -> Error {
        let expected = format!("a row of at most {MAX_RECORD} bytes and {MAX_COLUMNS} columns");
        let help = "a quote that is never closed makes one row of all that follows: look for it there";
        self.error(None, expected, found, help)
    }

    /// Refuses more numbers than a file of this size should hold, where it is packed.
    pub fn check_memory(&self, cells: usize) -> Result<()> {
        // Each is held as float64, and once more as float32 when it is standardised.
        match self.packing {
            Some(_) => bounds::check(self.request.path, "rows", cells as u64 * 12, self.stored),
            None => Ok(()),
        }
    }

    fn field(&self, column: usize) -> &[u8] {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        &self.fields[start..self.ends[column]]
    }

    /// A field as text without the space around it.
    pub fn text(&self, column: usize) -> Result<&str> {
        std::str::from_utf8(self.field(column)).map(str::trim).map_err(|_| {
            let found = format!("the bytes {}", shown(self.field(column)));
            let help = "save the file in UTF-8, for example with `iconv -f latin1 -t utf8`";
            self.error(Some(&format!("field {}", column + 1)), "text in UTF-8", found, help)
        })
    }

    /// sha256 of the content, unpacked, when all of it is read.
    pub fn sha256(self) -> String {
        hex(&self.sha256.finalize())
    }

    /// An error on this row; `column` is words for it.
    pub fn error(
        &self,
        column: Option<&str>,
        expected: impl Into<String>,
        found: impl Into<String>,
        help: &str,
    ) -> Error {
        let column = column.map_or(String::new(), |column| format!(", {column}"));
        self.request.error(format!("line {}{column}", self.line), expected, found, help)
    }
}

fn unreadable(request: &Request<'_>, packing: Option<Packing>, stored: u64, error: io::Error) -> Error {
    let Some(packing) = packing else { return Error::io(request.path, "read")(error) };
    bounds::exceeded(request.path, &error, stored).unwrap_or_else(|| {
        let found = format!("{} content that is damaged or cut short ({error})", packing.word());
        request.error("content", "text that can be unpacked", found, "pack it again, or give the file unpacked")
    })
}

/// What the file is instead of text, if its first bytes tell.
fn not_text(start: &[u8]) -> Option<String> {
    let kind = describe(start);
    match start {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16".into()),
        _ if start.iter().take(1024).any(|byte| *byte == 0) => Some(kind),
        _ if ["a zip archive", "a Parquet file", "a PDF document"].contains(&kind.as_str()) => Some(kind),
        _ => None,
    }
}

/// The first bytes of a field in hexadecimal.
fn shown(bytes: &[u8]) -> String {
    format!("0x{}", hex(&bytes[..bytes.len().min(16)]))
}

//! CSV: one row a line, columns separated by commas, semicolons or tabs.
//!
//! - The separator is the one of the three that occurs most often in the first line, outside quotes.
//! - The first line names the columns, unless all its fields are numbers: then columns are called `x0`, `x1`, ... and it is the first row.
//! - Quotes follow RFC 4180: `"a ""quoted"" field, with a line break"`. Lines end in LF or CRLF. A byte order mark is skipped.
//! - Numbers have a decimal point. Empty fields, `NA`, `N/A`, `NaN`, `null`, `None` and `?` are missing values.
//! - `data.label` names the column of classes, any text; `data.columns` the columns to use, otherwise all but the label.
//!
//! Fields are parsed with fixed buffers ([`MAX_RECORD`] bytes a row, [`MAX_COLUMNS`] columns): a quote that is never closed is an error,
//! not a file in memory.

use std::fs::File;
use std::io::Read;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use sha2::{Digest, Sha256};

use super::cells::Cells;
use super::identity::{Kept, id_column};
use super::labels::{Classes, Labels, MAX_CLASSES};
use super::{
    Content, Loaded, Missing, Part, Request, check_table_keys, chosen, columns_flag, dropped_note, duplicate,
    label_column, listed,
};
use crate::data::idx::{describe, hex};
use crate::data::source::ImageShape;
use crate::error::{Error, Result};
use crate::shell::quoted;

/// Most bytes of one row.
pub const MAX_RECORD: usize = 4 << 20;
/// Most columns.
pub const MAX_COLUMNS: usize = 65_536;

/// Bytes read and hashed at a time.
const CHUNK: usize = 256 * 1024;

/// Reads a CSV file.
pub(super) fn load(request: &Request<'_>) -> Result<Loaded> {
    check_table_keys(request)?;
    let mut records = Records::open(request)?;
    if !records.next()? {
        return Err(request.error("file", "a line of column names", "an empty file", "give a table with rows"));
    }
    let header = Header::of(&records)?;
    let plan = Plan::of(request, &header)?;
    let mut table = Rows {
        plan: &plan,
        header: &header,
        cells: Vec::new(),
        labels: Labels::default(),
        classes: Classes::default(),
        kept: Kept::default(),
        rows: 0,
        dropped: 0,
    };
    if header.is_row {
        table.add(&records)?;
    }
    while records.next()? {
        table.add(&records)?;
    }
    let sha256 = hex(&records.sha256.finalize());
    table.finish(request, sha256)
}

/// The rows of a file, one at a time.
struct Records<'a> {
    request: &'a Request<'a>,
    file: File,
    parser: Reader,
    sha256: Sha256,
    chunk: Vec<u8>,
    /// What of the chunk is not parsed yet.
    unread: std::ops::Range<usize>,
    /// The fields of the row, one after another, and where each ends.
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// Number of fields of the row.
    len: usize,
    /// Line on which the row begins, counted from 1.
    line: u64,
}

impl<'a> Records<'a> {
    fn open(request: &'a Request<'a>) -> Result<Self> {
        let file = File::open(request.path).map_err(Error::io(request.path, "open"))?;
        let mut records = Self {
            request,
            file,
            parser: Reader::new(),
            sha256: Sha256::new(),
            chunk: vec![0; CHUNK],
            unread: 0..0,
            fields: vec![0; MAX_RECORD],
            ends: vec![0; MAX_COLUMNS],
            len: 0,
            line: 1,
        };
        records.refill()?;
        let start = &records.chunk[records.unread.clone()];
        if let Some(kind) = not_text(start) {
            let help = "give a CSV file in UTF-8; packed files must be unpacked, spreadsheets exported as CSV";
            return Err(request.error("bytes 0..4", "text in UTF-8", kind, help));
        }
        let separator = separator(start);
        if start.starts_with(BYTE_ORDER_MARK) {
            records.unread.start += BYTE_ORDER_MARK.len();
        }
        records.parser = ReaderBuilder::new().delimiter(separator).build();
        Ok(records)
    }

    fn refill(&mut self) -> Result<()> {
        let read = loop {
            match self.file.read(&mut self.chunk) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                result => break result.map_err(Error::io(self.request.path, "read"))?,
            }
        };
        self.sha256.update(&self.chunk[..read]);
        self.unread = 0..read;
        Ok(())
    }

    /// Goes to the next row; false when there is none. Empty lines are no rows.
    fn next(&mut self) -> Result<bool> {
        let (mut written, mut ended) = (0, 0);
        self.line = self.parser.line();
        loop {
            if self.unread.is_empty() {
                self.refill()?;
            }
            let input = &self.chunk[self.unread.clone()];
            let (result, read, wrote, ends) =
                self.parser.read_record(input, &mut self.fields[written..], &mut self.ends[ended..]);
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

    fn field(&self, column: usize) -> &[u8] {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        &self.fields[start..self.ends[column]]
    }

    /// A field as text without the space around it.
    fn text(&self, column: usize) -> Result<&str> {
        std::str::from_utf8(self.field(column)).map(str::trim).map_err(|_| {
            let found = format!("the bytes {}", shown(self.field(column)));
            let help = "save the file in UTF-8, for example with `iconv -f latin1 -t utf8`";
            self.error(Some(&format!("field {}", column + 1)), "text in UTF-8", found, help)
        })
    }

    /// An error on this row; `column` is words for it.
    fn error(&self, column: Option<&str>, expected: impl Into<String>, found: impl Into<String>, help: &str) -> Error {
        let column = column.map_or(String::new(), |column| format!(", {column}"));
        self.request.error(format!("line {}{column}", self.line), expected, found, help)
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the file is instead of text, if its first bytes tell.
fn not_text(start: &[u8]) -> Option<String> {
    let kind = describe(start);
    match start {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16".into()),
        _ if start.iter().take(1024).any(|byte| *byte == 0) => Some(kind),
        _ if ["gzip", "a zip archive", "a Parquet file", "a zstd file", "an xz file", "a bzip2 file"]
            .contains(&kind.as_str()) =>
        {
            Some(kind)
        }
        _ => None,
    }
}

/// The most frequent of the separators in the first line, outside quotes; the comma when there is none.
fn separator(start: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            byte => counts.iter_mut().filter(|(separator, _)| separator == byte).for_each(|(_, count)| *count += 1),
        }
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

/// The first bytes of a field in hexadecimal.
fn shown(bytes: &[u8]) -> String {
    format!("0x{}", hex(&bytes[..bytes.len().min(16)]))
}

/// The columns.
struct Header {
    names: Vec<String>,
    /// Whether the first line was a row already.
    is_row: bool,
}

impl Header {
    fn of(records: &Records<'_>) -> Result<Self> {
        let fields = (0..records.len).map(|column| records.text(column)).collect::<Result<Vec<_>>>()?;
        if fields.iter().all(|field| field.parse::<f64>().is_ok_and(f64::is_finite)) {
            return Ok(Self { names: (0..fields.len()).map(|column| format!("x{column}")).collect(), is_row: true });
        }
        let names: Vec<String> = fields.into_iter().map(str::to_owned).collect();
        let named: Vec<String> = names.iter().filter(|name| !name.is_empty()).cloned().collect();
        match duplicate(&named) {
            Some(name) => {
                let found = format!("`{name}` twice");
                Err(records.error(None, "a name of its own for each column", found, "rename one of them"))
            }
            None => Ok(Self { names, is_row: false }),
        }
    }
}

/// Which columns are numbers and which is the class.
struct Plan<'a> {
    request: &'a Request<'a>,
    /// Places in the file.
    columns: Vec<usize>,
    names: Vec<String>,
    label: Option<usize>,
    id: Option<usize>,
}

impl<'a> Plan<'a> {
    fn of(request: &'a Request<'a>, header: &Header) -> Result<Self> {
        let (label, id) = (label_column(request, &header.names)?, id_column(request, &header.names)?);
        let mut columns = chosen(request, &header.names)?;
        if let Some(label) = label {
            if request.strict && !request.columns.is_empty() && columns.contains(&label) {
                let found = format!("`{}` in both", header.names[label]);
                let help = "take it out of one of the two";
                return Err(Error::config("data.columns", "columns other than the label", found, help));
            }
            columns.retain(|column| *column != label);
        }
        columns.retain(|column| Some(*column) != id);
        if let Some(&nameless) = columns.iter().find(|column| header.names[**column].is_empty()) {
            let others = columns.iter().map(|&column| &header.names[column]).filter(|name| !name.is_empty());
            let help = format!(
                "pandas writes its index so (`to_csv(..., index=False)` does not); leave it out with {}",
                columns_flag(others)
            );
            return Err(request.error(format!("line 1, column {}", nameless + 1), "a name", "none", &help));
        }
        if columns.is_empty() {
            let found = listed(&header.names);
            return Err(request.error("columns", "at least one column of numbers", found, "give a table with numbers"));
        }
        let names = columns.iter().map(|&column| header.names[column].clone()).collect();
        Ok(Self { request, columns, names, label, id })
    }
}

/// The table so far.
struct Rows<'a> {
    plan: &'a Plan<'a>,
    header: &'a Header,
    cells: Vec<f64>,
    labels: Labels,
    classes: Classes,
    kept: Kept,
    /// Rows of the file.
    rows: usize,
    dropped: usize,
}

impl Rows<'_> {
    fn add(&mut self, records: &Records<'_>) -> Result<()> {
        if records.len != self.header.names.len() {
            let (expected, found) = (format!("{} fields", self.header.names.len()), format!("{}", records.len));
            return Err(records.error(None, expected, found, "each row has as many fields as there are columns"));
        }
        let (start, rows) = (self.cells.len(), self.rows);
        self.rows += 1;
        self.kept.meet();
        for &column in &self.plan.columns {
            match self.number(records, column)? {
                Some(value) => self.cells.push(value),
                None => {
                    self.cells.truncate(start);
                    self.dropped += 1;
                    return Ok(());
                }
            }
        }
        debug_assert!(self.cells.len() == start + self.plan.columns.len() && rows < self.rows);
        self.kept.keep(self.plan.id.map(|id| records.text(id).map(str::to_owned)).transpose()?);
        let Some(label) = self.plan.label else { return Ok(()) };
        let text = records.text(label)?;
        let class = match is_missing(text) {
            true => Some(Labels::NONE),
            false => self.classes.number(text),
        };
        let class = class.ok_or_else(|| {
            let (name, found) = (&self.header.names[label], format!("more than {MAX_CLASSES} different ones"));
            records.error(Some(&format!("column `{name}`")), "classes", found, "choose another `data.label`, or none")
        })?;
        self.labels.0.push(class);
        Ok(())
    }

    /// The number in a column; nothing when the row is to be dropped.
    fn number(&self, records: &Records<'_>, column: usize) -> Result<Option<f64>> {
        let text = records.text(column)?;
        let value = text.parse::<f64>().ok();
        if let Some(value) = value.filter(|value| value.is_finite()) {
            return Ok(Some(value));
        }
        // What is no number at all is never dropped: it may be the wrong column.
        let absent = is_missing(text) || value.is_some();
        if absent && self.plan.request.missing == Missing::Drop {
            return Ok(None);
        }
        let name = &self.header.names[column];
        let place = format!("column `{name}`");
        let found = if text.is_empty() {
            "nothing".into()
        } else {
            format!("`{}`", text.escape_debug().take(40).collect::<String>())
        };
        if absent {
            let help = "`--set data.missing=drop` leaves such rows out and counts them";
            return Err(records.error(Some(&place), "a finite number", found, help));
        }
        let help = match self.rows {
            ..=1 => {
                let others = self.plan.columns.iter().filter(|&&other| is_number(records, other));
                let flag = columns_flag(others.map(|&other| &self.header.names[other]));
                format!(
                    "if it is the class: `--label {0}`; if it tells rows apart: `--id {0}`; to leave it out: `{flag}`",
                    quoted(name)
                )
            }
            _ => "correct the value, or leave the column out with `data.columns`".into(),
        };
        Err(records.error(Some(&place), "a number", found, &help))
    }

    fn finish(self, request: &Request<'_>, sha256: String) -> Result<Loaded> {
        let Self { plan, header, cells, mut labels, classes, kept, rows, dropped } = self;
        if cells.is_empty() {
            let found = if rows == 0 { "none".into() } else { format!("none: all {rows} miss a value") };
            return Err(request.error("rows", "at least 1", found, "give a table with rows, or fewer columns"));
        }
        let label_names = classes.sorted([&mut labels]);
        let (names, width) = (plan.names.clone(), plan.names.len());
        let content = Content::Rows { names, shape: ImageShape::grey(1, width), cells: Cells::Read(cells) };
        let labels = plan.label.map(|_| labels);
        let identity = kept.identity(plan.id.map(|id| header.names[id].as_str()));
        let notes = dropped_note(dropped, rows).into_iter().collect();
        Ok(Loaded { train: Part { content, labels, identity, notes }, test: None, parts: None, label_names, sha256 })
    }
}

fn is_number(records: &Records<'_>, column: usize) -> bool {
    records.text(column).is_ok_and(|text| text.parse::<f64>().is_ok() || is_missing(text))
}

/// The ways in which tables say that they do not know.
fn is_missing(text: &str) -> bool {
    const WORDS: [&str; 8] = ["", "na", "n/a", "nan", "null", "none", "?", "<na>"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

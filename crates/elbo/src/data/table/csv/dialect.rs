//! How a CSV file is written: its separator, its decimals, and whether its first line names the columns. Decided once, from
//! its beginning, and told.

use csv_core::{ReadRecordResult, ReaderBuilder};

use super::is_missing;
use crate::data::table::{Decimal, Request};

/// What separates fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    Byte(u8),
    /// Any number of blanks and tabs, as in `.amat` files.
    Blanks,
}

impl Separator {
    /// What the parser is told; blanks come to it as single ones.
    pub fn byte(self) -> u8 {
        match self {
            Self::Byte(byte) => byte,
            Self::Blanks => b' ',
        }
    }
}

/// How a file is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dialect {
    pub separator: Separator,
    /// Bytes in front of the first row: a byte order mark and a line `sep=;`.
    pub skipped: usize,
    pub decimal: Decimal,
    /// Numbers such as `1,234`, which may be a thousand or one and a bit.
    pub ambiguous: bool,
    pub first: FirstLine,
    /// Of each column, whether its values look like numbers.
    pub numeric: Vec<bool>,
    /// Of each column, whether few texts come again and again in it, as classes do.
    pub repeats: Vec<bool>,
}

/// What the first line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstLine {
    Names,
    /// Names, although all of them are numbers: 0, 1, 2, ... or years.
    Counted,
    /// As was asked.
    Row,
    /// A row, since all of it are numbers.
    Numbers,
    /// A row, although it has text.
    RowByLook,
}

impl FirstLine {
    pub fn is_row(self) -> bool {
        matches!(self, Self::Row | Self::Numbers | Self::RowByLook)
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Rows looked at.
const SAMPLE: usize = 200;

type Rows = Vec<Vec<String>>;

impl Dialect {
    /// Of a file that begins with `start`; `whole` if that is all of it.
    pub fn of(request: &Request<'_>, start: &[u8], whole: bool) -> Self {
        let mark = if start.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let (declared, line) = declared_separator(&start[mark..]);
        let skipped = mark + line;
        let text = &start[skipped..];
        let separator = declared.map_or_else(|| found_separator(text, whole), Separator::Byte);
        let rows = sample(text, separator, whole);
        let (decimal, ambiguous) = decimal(request, separator, &rows);
        let first = first_line(request, decimal, &rows);
        let data = if first.is_row() { &rows[..] } else { rows.get(1..).unwrap_or_default() };
        let columns = rows.first().map_or(0, Vec::len);
        let values = |column: usize| data.iter().filter_map(move |row| row.get(column)).map(String::as_str);
        let numeric = (0..columns).map(|column| is_numeric(values(column), decimal)).collect();
        let repeats = (0..columns).map(|column| repeats(values(column))).collect();
        Self { separator, skipped, decimal, ambiguous, first, numeric, repeats }
    }

    /// What was decided against the usual, in words.
    pub fn notes(&self) -> Vec<String> {
        let first = match self.first {
            FirstLine::RowByLook => Some(
                "the first line looks like a row, so columns are called x0, x1, ...; `--set data.header=true` makes it names",
            ),
            FirstLine::Numbers => Some(
                "the first line is numbers and taken as a row, so columns are called x0, x1, ...; `--set data.header=true` makes it names",
            ),
            FirstLine::Counted => Some(
                "the first line counts the columns and is taken as their names; `--set data.header=false` makes it a row",
            ),
            _ => None,
        };
        let decimal = (self.decimal == Decimal::Comma).then_some("decimal commas are read as points");
        let blanks = (self.separator == Separator::Blanks).then_some("columns are separated by blanks");
        [first, decimal, blanks].into_iter().flatten().map(str::to_owned).collect()
    }
}

/// Excel's line `sep=;` and its length.
fn declared_separator(text: &[u8]) -> (Option<u8>, usize) {
    let end = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(text.len());
    let line = text[..end].strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(&text[..end]);
    match line {
        [s, e, p, b'=', separator] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => {
            let break_length = if text[end..].starts_with(b"\r\n") { 2 } else { usize::from(end < text.len()) };
            (Some(*separator), end + break_length)
        }
        _ => (None, 0),
    }
}

/// The separator with which all rows have as many fields, most of them numbers; else the most frequent one in the first line.
fn found_separator(text: &[u8], whole: bool) -> Separator {
    let candidates = [b',', b';', b'\t', b'|'].map(Separator::Byte);
    let scored = candidates.into_iter().chain([Separator::Blanks]).filter_map(|separator| {
        let rows = sample(text, separator, whole);
        let width = rows.first()?.len();
        if width < 2 || rows.iter().any(|row| row.len() != width) {
            return None;
        }
        let fields = || rows.iter().skip(usize::from(rows.len() > 1)).flatten();
        let number = |field: &&String| {
            is_missing(field) || [Decimal::Point, Decimal::Comma].iter().any(|d| d.number(field).is_some())
        };
        let share = fields().filter(number).count() as f64 / fields().count() as f64;
        // Words are separated by blanks too.
        (separator != Separator::Blanks || share > 0.5).then_some((separator, share, width))
    });
    // The first of equals is the most usual one.
    let best = scored.reduce(|best, next| if (next.1, next.2) > (best.1, best.2) { next } else { best });
    best.map_or_else(|| Separator::Byte(most_frequent(text)), |(separator, ..)| separator)
}

/// The most frequent of the separators in the first line, outside quotes; the comma when there is none.
fn most_frequent(start: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
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

/// The first rows; of a file that goes on, without the last one, which may be cut.
fn sample(text: &[u8], separator: Separator, whole: bool) -> Rows {
    let mut blanks = Blanks::default();
    let text = match separator {
        Separator::Blanks => &blanks.single(text)[..],
        Separator::Byte(_) => text,
    };
    let mut parser = ReaderBuilder::new().delimiter(separator.byte()).build();
    let (mut fields, mut ends) = (vec![0; text.len() + 1], vec![0; text.len() + 2]);
    let (mut rest, mut rows) = (text, Rows::new());
    while rows.len() < SAMPLE {
        let (mut written, mut ended) = (0, 0);
        let ended = loop {
            let (result, read, wrote, more) = parser.read_record(rest, &mut fields[written..], &mut ends[ended..]);
            rest = &rest[read..];
            (written, ended) = (written + wrote, ended + more);
            match result {
                ReadRecordResult::Record => break Some(ended),
                // The end of a whole file is told by an empty input.
                ReadRecordResult::InputEmpty if whole || !rest.is_empty() => {}
                _ => break None,
            }
        };
        let Some(count) = ended else { break };
        let starts = std::iter::once(0).chain(ends[..count].iter().copied());
        let field = |(start, end): (usize, &usize)| String::from_utf8_lossy(&fields[start..*end]).trim().to_owned();
        rows.push(starts.zip(&ends[..count]).map(field).collect());
    }
    rows
}

/// The point, unless numbers with a decimal comma are there and none with a point; and whether some may be either.
fn decimal(request: &Request<'_>, separator: Separator, rows: &Rows) -> (Decimal, bool) {
    if let Some(decimal) = request.decimal {
        return (decimal, false);
    }
    let fields = || rows.iter().flatten().map(String::as_str);
    let commas = || fields().filter(|field| field.contains(','));
    let unclear = |field: &str| Decimal::Comma.number(field).is_some() && is_grouped(field);
    let comma = commas().any(|field| Decimal::Comma.number(field).is_some() && !is_grouped(field));
    let point = fields().any(|field| field.contains('.') && Decimal::Point.number(field).is_some());
    match separator {
        // Between commas, a comma in quotes may be anything.
        Separator::Byte(b',') => (Decimal::Point, false),
        _ if comma && !point => (Decimal::Comma, false),
        _ => (Decimal::Point, commas().any(unclear)),
    }
}

/// Whether a comma stands in front of each three last digits, as between thousands: `1,234`.
fn is_grouped(field: &str) -> bool {
    let mut groups = field.trim_start_matches(['+', '-']).split(',');
    let first = groups.next().is_some_and(|digits| (1..=3).contains(&digits.len()) && !digits.starts_with('0'));
    first && groups.all(|digits| digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether commas can only stand between thousands, as in `1,234.5` and `1,234,567`.
pub(super) fn has_thousands(field: &str) -> bool {
    let (whole, rest) = field.split_once('.').unwrap_or((field, ""));
    let commas = whole.matches(',').count();
    let sure = commas > 1 || (commas == 1 && field.contains('.'));
    sure && is_grouped(whole) && rest.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether fields go up by one, as places and years do.
fn counts(fields: &[String]) -> bool {
    let Some(start) = fields.first().and_then(|field| field.parse::<u64>().ok()) else { return false };
    (start..).zip(fields).all(|(n, field)| *field == n.to_string())
}

/// Whether the first line names the columns: by what was asked, else by how it differs from the rows below it.
fn first_line(request: &Request<'_>, decimal: Decimal, rows: &Rows) -> FirstLine {
    match request.header {
        Some(true) => return FirstLine::Names,
        Some(false) => return FirstLine::Row,
        None => {}
    }
    let Some((first, rest)) = rows.split_first() else { return FirstLine::Names };
    let number = |field: &str| decimal.number(field).filter(|value| value.is_finite());
    if first.iter().all(|field| number(field).is_some()) {
        // From 0 on as pandas writes it; else, as of years, only where rows do not count on.
        let names = |next: &Vec<String>| first[0] == "0" || !counts(next);
        let counted = first.len() > 3 && counts(first) && rest.first().is_some_and(names);
        return if counted { FirstLine::Counted } else { FirstLine::Numbers };
    }
    let (mut names, mut row) = (0, 0);
    for (column, field) in first.iter().enumerate() {
        let below = || rest.iter().filter_map(|row| row.get(column)).map(String::as_str);
        match number(field) {
            None if is_missing(field) => {}
            None if is_numeric(below(), decimal) => names += 1,
            None => row += usize::from(below().any(|other| other == field)),
            // Years, and places counted, are names too.
            Some(value) => row += usize::from(value.fract() != 0.0 || !is_name_like(value, column)),
        }
    }
    if row > names { FirstLine::RowByLook } else { FirstLine::Names }
}

fn is_name_like(value: f64, column: usize) -> bool {
    (1900.0..=2100.0).contains(&value) || value == column as f64 || value == column as f64 + 1.0
}

/// Whether nearly all values are numbers or missing, and one is a number.
fn is_numeric<'a>(values: impl Iterator<Item = &'a str> + Clone, decimal: Decimal) -> bool {
    let (all, present) =
        (values.clone().count(), values.clone().filter(|value| decimal.number(value).is_some()).count());
    let missing = values.filter(|value| is_missing(value) && decimal.number(value).is_none()).count();
    present > 0 && (present + missing) * 10 >= all * 8
}

/// Whether there are fewer texts than half the values.
fn repeats<'a>(values: impl Iterator<Item = &'a str> + Clone) -> bool {
    let different: std::collections::HashSet<&str> = values.clone().collect();
    different.len() * 2 <= values.count() || different.len() <= 2
}

impl Decimal {
    /// The number that `text` stands for. With decimal commas, points may only stand between thousands: `1.234,5`.
    pub(super) fn number(self, text: &str) -> Option<f64> {
        if self == Self::Point || !text.contains([',', '.']) {
            return text.parse().ok();
        }
        let (whole, part) = text.split_once(',')?;
        if whole.contains('.') {
            let mut groups = whole.trim_start_matches(['+', '-']).split('.');
            let first = groups.next().is_some_and(|digits| (1..=3).contains(&digits.len()));
            if !first || !groups.all(|digits| digits.len() == 3) {
                return None;
            }
        }
        if part.contains([',', '.']) {
            return None;
        }
        format!("{}.{part}", whole.replace('.', "")).parse().ok()
    }
}

/// Makes one blank of each run of blanks and tabs, and none of those at the ends of lines, over pieces of a file.
#[derive(Debug, Default)]
pub(super) struct Blanks {
    /// Whether something but blanks is in the line.
    begun: bool,
    /// Whether a blank is due before the next field.
    pending: bool,
    quoted: bool,
}

impl Blanks {
    pub fn single(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut single = Vec::with_capacity(piece.len());
        for &byte in piece {
            match byte {
                b' ' | b'\t' if !self.quoted => self.pending = self.begun,
                b'\r' | b'\n' if !self.quoted => {
                    (self.begun, self.pending) = (false, false);
                    single.push(byte);
                }
                _ => {
                    if std::mem::take(&mut self.pending) {
                        single.push(b' ');
                    }
                    self.quoted ^= byte == b'"';
                    self.begun = true;
                    single.push(byte);
                }
            }
        }
        single
    }
}

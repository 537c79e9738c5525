//! CSV: one row a line, columns separated by commas, semicolons, tabs, `|`, or blanks.
//!
//! - The separator is the one with which all rows have as many fields, most of them numbers; a first line `sep=;` says it.
//! - The first line names the columns, unless it is a row by its look: all numbers, or numbers in the same places as below
//!   and nothing that only a name can be. Then columns are called `x0`, `x1`, ...; `data.header` decides otherwise.
//! - Quotes follow RFC 4180: `"a ""quoted"" field, with a line break"`. Lines end in LF or CRLF. A byte order mark is skipped.
//! - Numbers have a decimal point, or a decimal comma throughout; `data.decimal` says which where a file does not tell.
//!   Empty fields, `NA`, `N/A`, `NaN`, `null`, `None` and `?` are missing values.
//! - `data.label` names the column of classes, any text; `data.columns` the columns to use, otherwise all but the label.
//! - Files packed by gzip, xz, bzip2 or Zstandard are unpacked on the way.
//!
//! Fields are parsed with fixed buffers ([`MAX_RECORD`] bytes a row, [`MAX_COLUMNS`] columns): a quote that is never closed is an error,
//! not a file in memory.

mod dialect;
mod records;

use self::dialect::{Dialect, has_thousands};
use self::records::Records;
use super::cells::Cells;
use super::identity::{Kept, id_column};
use super::labels::{Classes, Labels, MAX_CLASSES};
use super::{
    Content, Decimal, Loaded, Missing, Part, Request, check_table_keys, chosen, columns_flag, dropped_note, duplicate,
    label_column, listed,
};
use crate::data::source::ImageShape;
use crate::error::{Error, Result};
use crate::shell::quoted;
use crate::text::{cut, one_line};

/// Most bytes of one row.
pub const MAX_RECORD: usize = 4 << 20;
/// Most columns of a CSV file accepted.
pub const MAX_COLUMNS: usize = 65_536;

/// Reads a CSV file.
pub(super) fn load(request: &Request<'_>) -> Result<Loaded> {
    check_table_keys(request)?;
    let mut records = Records::open(request)?;
    if !records.next()? {
        return Err(request.error("file", "a line of column names", "an empty file", "give a table with rows"));
    }
    let header = Header::of(&records)?;
    let dialect = records.dialect.clone();
    let plan = Plan::of(request, &header)?;
    let mut table = Rows {
        plan: &plan,
        header: &header,
        dialect: &dialect,
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
    let sha256 = records.sha256();
    table.finish(request, sha256)
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
        if records.dialect.first.is_row() {
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
                "pandas writes its index so (`to_csv(..., index=False)` does not); leave it out with `{}`",
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
    dialect: &'a Dialect,
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
        if self.rows.is_multiple_of(1 << 16) {
            records.check_memory(self.cells.len())?;
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
        let value = self.dialect.decimal.number(text);
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
        let found = if text.is_empty() { "nothing".into() } else { format!("`{}`", cut(&one_line(text), 40)) };
        if absent {
            let help = "`--set data.missing=drop` leaves such rows out and counts them";
            return Err(records.error(Some(&place), "a finite number", found, help));
        }
        Err(records.error(Some(&place), "a number", found, &self.cure(text, column)))
    }

    /// What to do about text where a number should be.
    fn cure(&self, text: &str, column: usize) -> String {
        let comma = Decimal::Comma.number(text).is_some() && text.contains(',');
        if self.dialect.decimal == Decimal::Comma && text.parse::<f64>().is_ok() {
            return "other numbers of the file have a decimal comma: write this one so too".into();
        }
        if has_thousands(text) {
            return "commas stand between thousands: write the numbers without them".into();
        }
        if comma && self.dialect.decimal == Decimal::Point {
            let unclear = if self.dialect.ambiguous {
                "the comma may stand between thousands: write none there; or "
            } else {
                ""
            };
            return format!("{unclear}if commas stand before decimals, `--set data.decimal=,` reads them so");
        }
        let is_number = |column: &&usize| self.dialect.numeric.get(**column).copied().unwrap_or(false);
        if is_number(&&column) || self.rows > 1 {
            return "correct the value, or leave the column out with `data.columns`".into();
        }
        let name = &self.header.names[column];
        let numbers = self.plan.columns.iter().filter(is_number).map(|&other| &self.header.names[other]);
        let label = format!("if it is the class: `--set {}`", quoted(&format!("data.label={name}")));
        let id = format!("if it tells rows apart: `--set {}`; ", quoted(&format!("data.id={name}")));
        let id = if self.plan.id.is_none() { id } else { String::new() };
        let leave = format!("{id}to leave it out: `{}`", columns_flag(numbers));
        match (self.dialect.repeats.get(column), self.plan.label) {
            (Some(true), None) => format!("{label}; {leave}"),
            (_, None) => format!("{leave}; {label}"),
            _ => leave,
        }
    }

    fn finish(self, request: &Request<'_>, sha256: String) -> Result<Loaded> {
        let Self { plan, header, dialect, cells, mut labels, classes, kept, rows, dropped } = self;
        if cells.is_empty() {
            let found = if rows == 0 { "none".into() } else { format!("none: all {rows} miss a value") };
            return Err(request.error("rows", "at least 1", found, "give a table with rows, or fewer columns"));
        }
        let label_names = classes.sorted([&mut labels]);
        let (names, width) = (plan.names.clone(), plan.names.len());
        let content = Content::Rows { names, shape: ImageShape::grey(1, width), cells: Cells::Read(cells) };
        let labels = plan.label.map(|_| labels);
        let identity = kept.identity(plan.id.map(|id| header.names[id].as_str()));
        let mut notes = dialect.notes();
        notes.extend(dropped_note(dropped, rows));
        Ok(Loaded { train: Part { content, labels, identity, notes }, test: None, parts: None, label_names, sha256 })
    }
}

/// The ways in which tables say that they do not know.
fn is_missing(text: &str) -> bool {
    const WORDS: [&str; 8] = ["", "na", "n/a", "nan", "null", "none", "?", "<na>"];
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

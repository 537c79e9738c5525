//! Which example is which: its row in the file and its identifier, whatever was left out on the way.

use std::sync::Arc;

use super::{Request, listed};
use crate::error::{Error, Result};

/// Row and identifier of each example that was kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    /// Rows of the file, counted from 0 without the header; none where every row was kept.
    rows: Option<Arc<[u64]>>,
    /// The column of identifiers and its texts, one for each example.
    ids: Option<(String, Arc<[String]>)>,
}

impl Identity {
    /// Examples that are the given rows of a file.
    pub fn of_rows(rows: Vec<u64>) -> Self {
        Self { rows: Some(rows.into()), ids: None }
    }

    /// The same examples with the identifiers of the column `name`.
    ///
    /// # Panics
    /// If rows are known and there are not as many identifiers.
    pub fn with_ids(self, name: &str, ids: Vec<String>) -> Self {
        assert!(self.rows.as_ref().is_none_or(|rows| rows.len() == ids.len()), "an identifier for each example");
        Self { ids: Some((name.to_owned(), ids.into())), ..self }
    }

    /// The row of example `index` in its file.
    pub fn row(&self, index: usize) -> u64 {
        self.rows.as_ref().map_or(index as u64, |rows| rows[index])
    }

    /// `count` examples followed by `more` of another array; rows are places in the array each comes from.
    pub fn followed_by(self, count: usize, other: &Self, more: usize) -> Self {
        let own = (0..count).map(|index| self.row(index));
        let rows: Arc<[u64]> = own.chain((0..more).map(|index| other.row(index))).collect();
        let ids = self.ids.zip(other.ids.as_ref()).map(|((name, ids), (_, others))| {
            let all: Arc<[String]> = ids.iter().chain(others.iter()).cloned().collect();
            (name, all)
        });
        Self { rows: Some(rows), ids }
    }

    /// Name of the column of identifiers.
    pub fn column(&self) -> Option<&str> {
        self.ids.as_ref().map(|(name, _)| name.as_str())
    }

    /// The identifier of example `index`.
    pub fn id(&self, index: usize) -> Option<&str> {
        self.ids.as_ref().map(|(_, ids)| ids[index].as_str())
    }
}

/// Rows and identifiers as they are read.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Rows of the file met so far.
    met: u64,
    rows: Vec<u64>,
    ids: Vec<String>,
}

impl Kept {
    /// Goes to the next row of the file.
    pub fn meet(&mut self) {
        self.met += 1;
    }

    /// Keeps the row gone to last.
    pub fn keep(&mut self, id: Option<String>) {
        self.rows.push(self.met - 1);
        self.ids.extend(id);
    }

    /// Adds rows of a file that follows.
    pub fn append(&mut self, other: Self) {
        let before = self.met;
        self.rows.extend(other.rows.into_iter().map(|row| before + row));
        self.ids.extend(other.ids);
        self.met += other.met;
    }

    /// What is known when all rows are read; `name` is the column of identifiers.
    pub fn identity(self, name: Option<&str>) -> Identity {
        let identity = Identity::of_rows(self.rows);
        match name {
            Some(name) => identity.with_ids(name, self.ids),
            None => identity,
        }
    }
}

/// The place of the column that `data.id` names.
pub(super) fn id_column(request: &Request<'_>, names: &[String]) -> Result<Option<usize>> {
    let Some(wanted) = request.id else { return Ok(None) };
    match names.iter().position(|name| name == wanted) {
        None if request.strict => {
            let help = match crate::suggest::did_you_mean(wanted, names.iter().map(String::as_str)) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("`data.id` is one of {}", listed(names)),
            };
            Err(request.error("columns", format!("a column `{wanted}` of identifiers"), "no such column", &help))
        }
        Some(place) if request.columns.iter().any(|column| column == &names[place]) => {
            let (found, help) = (format!("`{wanted}` in both"), "take it out of one of the two");
            Err(Error::config("data.columns", "columns other than the identifier", found, help))
        }
        place => Ok(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_place_through_gaps_and_files() {
        let kept = |keep: &[bool]| {
            let mut kept = Kept::default();
            for (row, keep) in keep.iter().enumerate() {
                kept.meet();
                if *keep {
                    kept.keep(Some(format!("p{row}")));
                }
            }
            kept
        };
        let mut both = kept(&[true, false, true]);
        both.append(kept(&[false, true]));
        let identity = both.identity(Some("patient"));
        assert_eq!([0, 1, 2].map(|index| identity.row(index)), [0, 2, 4]);
        assert_eq!([0, 1, 2].map(|index| identity.id(index).unwrap()), ["p0", "p2", "p1"]);
        assert_eq!((Identity::default().row(7), Identity::default().id(7)), (7, None));
    }
}

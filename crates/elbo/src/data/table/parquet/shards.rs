//! The files of a set, opened and checked.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::columns::{self, Column, Leaf};
use super::hub::{self, Features};
use super::pages;
use crate::data::idx::describe;
use crate::data::table::{Request, hashed};
use crate::error::{Error, Result};

/// How every Parquet file begins and ends.
pub(in crate::data::table) const MAGIC: [u8; 4] = *b"PAR1";

/// Largest footer read: it describes each column of each row group.
const MAX_FOOTER: u32 = 64 << 20;

/// Most files of a set.
const MAX_SHARDS: usize = 4096;

/// Which part of a set a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartName {
    Train,
    Validation,
    Test,
}

impl PartName {
    /// The part that a file or folder name begins with.
    fn of(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let words = [
            ("train", Self::Train),
            ("test", Self::Test),
            ("validation", Self::Validation),
            ("valid", Self::Validation),
            ("val", Self::Validation),
            ("dev", Self::Validation),
        ];
        // `testament.parquet` is no test part.
        let begins = |word: &str| name.strip_prefix(word).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        words.into_iter().find(|(word, _)| begins(word)).map(|(_, part)| part)
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// One file.
pub(super) struct Shard {
    /// Its path inside the set.
    pub name: String,
    pub path: PathBuf,
    pub part: PartName,
    /// Whether its name told the part.
    pub has_part: bool,
    file: File,
    reader: SerializedFileReader<File>,
}

/// Whether a folder is meant as a set of Parquet files.
pub(in crate::data::table) fn holds_shards(folder: &Path) -> bool {
    list(folder).is_ok_and(|files| !files.is_empty())
}

/// The Parquet files in a folder: directly, in `data`, or in folders named after parts; in the order of their names.
fn list(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if is_parquet(&path) {
            files.push((name, path));
        } else if path.is_dir() && (name == "data" || PartName::of(&name).is_some()) {
            for entry in fs::read_dir(&path)? {
                let path = entry?.path();
                if let Some(file) = path.file_name().and_then(|name| name.to_str()).filter(|_| is_parquet(&path)) {
                    files.push((format!("{name}/{file}"), path.clone()));
                }
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet")) && path.is_file()
}

/// Opens the file or the files of the folder.
pub(super) fn find(request: &Request<'_>) -> Result<Vec<Shard>> {
    let files = match request.path.is_dir() {
        true => list(request.path).map_err(Error::io(request.path, "list"))?,
        false => {
            vec![(request.path.file_name().unwrap_or_default().to_string_lossy().into_owned(), request.path.into())]
        }
    };
    if files.len() > MAX_SHARDS {
        let (expected, found) = (format!("at most {MAX_SHARDS} files"), files.len().to_string());
        return Err(request.error("folder", expected, found, "give a folder with fewer of them"));
    }
    let mut shards = files.into_iter().map(|(name, path)| Shard::open(name, path)).collect::<Result<Vec<_>>>()?;
    if shards.iter().all(|shard| shard.part != PartName::Train) {
        // A single `test-00000-of-00001.parquet` given by path is a set of its own.
        shards.iter_mut().for_each(|shard| (shard.part, shard.has_part) = (PartName::Train, false));
    }
    Ok(shards)
}

impl Shard {
    fn open(name: String, path: PathBuf) -> Result<Self> {
        let mut file = File::open(&path).map_err(Error::io(&path, "open"))?;
        check_frame(&path, &mut file)?;
        let copy = file.try_clone().map_err(Error::io(&path, "open"))?;
        let reader = guarded(&path, "footer", || SerializedFileReader::new(copy))?;
        let part = name.split('/').find_map(PartName::of);
        Ok(Self { name, path, part: part.unwrap_or(PartName::Train), has_part: part.is_some(), file, reader })
    }

    pub fn leaves(&self) -> Vec<Leaf> {
        let schema = self.reader.metadata().file_metadata().schema_descr();
        schema.columns().iter().map(|column| Leaf::of(column)).collect()
    }

    pub fn features(&self) -> Features {
        let entries = self.reader.metadata().file_metadata().key_value_metadata();
        let entry = entries.into_iter().flatten().find(|entry| entry.key == hub::KEY);
        entry.and_then(|entry| entry.value.as_deref()).map(Features::parse).unwrap_or_default()
    }

    /// Number of row groups.
    pub fn groups(&self) -> usize {
        self.reader.metadata().num_row_groups()
    }

    /// Rows of a group, as the footer declares them.
    pub fn rows(&self, group: usize) -> usize {
        usize::try_from(self.reader.metadata().row_group(group).num_rows()).unwrap_or(0)
    }

    /// Rows of the file before a group.
    pub fn first_row(&self, group: usize) -> usize {
        (0..group).map(|group| self.rows(group)).sum()
    }

    /// The values of a column in a row group, as many as there are rows.
    pub fn column(&self, group: usize, column: usize) -> Result<Column> {
        self.read(group, column, columns::read, Column::len)
    }

    /// The values of a column in a row group as texts, as many as there are rows; empty where there is none.
    pub fn texts(&self, group: usize, column: usize) -> Result<Vec<String>> {
        let values = self.read(group, column, columns::texts, Vec::len)?;
        Ok(values.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// What `read` gives of a column in a row group, if it is of as many rows as the group has.
    fn read<T>(
        &self,
        group: usize,
        column: usize,
        read: impl FnOnce(ColumnReader, &ColumnDescriptor, usize) -> Result<T, ParquetError>,
        len: impl FnOnce(&T) -> usize,
    ) -> Result<T> {
        let metadata = self.reader.metadata();
        let (rows, descriptor) = (self.rows(group), metadata.file_metadata().schema_descr().column(column));
        let place = format!("row group {group}, column `{}`", descriptor.path().parts().join("."));
        self.check_pages(group, column, &place)?;
        let values = guarded(&self.path, &place, || {
            let reader = self.reader.get_row_group(group)?.get_column_reader(column)?;
            read(reader, &descriptor, rows)
        })?;
        match len(&values) {
            found if found == rows => Ok(values),
            found => {
                // Beyond one row too many, nothing is read.
                let found = if found > rows { "more".into() } else { found.to_string() };
                Err(Error::data(&self.path, place, format!("{rows} rows"), found, DAMAGED))
            }
        }
    }

    /// [`Shard::column`] of numbers.
    pub fn numbers(&self, group: usize, column: usize) -> Result<Vec<f64>> {
        match self.column(group, column)? {
            Column::Numbers(values) => Ok(values),
            Column::Bytes(_) => {
                let place = format!("row group {group}, column {column}");
                Err(Error::data(&self.path, place, "numbers", "bytes", DAMAGED))
            }
        }
    }

    /// Looks at all page headers of a chunk before the decoder does.
    fn check_pages(&self, group: usize, column: usize, place: &str) -> Result<()> {
        let chunk = guarded(&self.path, place, || {
            let (start, length) = self.reader.metadata().row_group(group).column(column).byte_range();
            let size = self.file.len();
            match start.checked_add(length) {
                Some(end) if end <= size => self.file.get_bytes(start, length as usize),
                _ => Err(ParquetError::General(format!("{length} bytes from byte {start} of a file of {size}"))),
            }
        })?;
        pages::check(&chunk).map_err(|found| Error::data(&self.path, place, "pages of ordinary size", found, DAMAGED))
    }

    /// Bytes of the file.
    pub fn stored_bytes(&self) -> u64 {
        self.file.len()
    }

    /// sha256 of the content.
    pub fn sha256(&self) -> Result<String> {
        let mut file = File::open(&self.path).map_err(Error::io(&self.path, "open"))?;
        hashed(&mut file).map(|(_, sha256)| sha256).map_err(Error::io(&self.path, "read"))
    }

    /// What changes whenever the file may have: name, size and time of change.
    pub fn stamp(&self) -> Result<String> {
        let meta = self.file.metadata().map_err(Error::io(&self.path, "read"))?;
        Ok(format!("{} {} {:?}", self.name, meta.len(), meta.modified().ok()))
    }
}

const DAMAGED: &str = "the file was cut off or damaged: copy or download it again";

/// Checks both ends of a file, and the length of its footer, before the decoder takes memory for it.
fn check_frame(path: &Path, file: &mut File) -> Result<()> {
    let size = file.metadata().map_err(Error::io(path, "read"))?.len();
    let mut start = Vec::new();
    file.by_ref().take(16).read_to_end(&mut start).map_err(Error::io(path, "read"))?;
    if !start.starts_with(&MAGIC) {
        return Err(Error::data(path, "bytes 0..4", "a Parquet file", describe(&start), "give a Parquet file"));
    }
    let mut end = [0; 8];
    if size >= 12 {
        file.seek(SeekFrom::End(-8)).map_err(Error::io(path, "read"))?;
        file.read_exact(&mut end).map_err(Error::io(path, "read"))?;
    }
    if end[4..] != MAGIC {
        let expected = "`PAR1` at the end, after the footer";
        return Err(Error::data(path, format!("byte {size}"), expected, "a file that ends before it", DAMAGED));
    }
    let length = u32::from_le_bytes([end[0], end[1], end[2], end[3]]);
    if length > MAX_FOOTER || u64::from(length) > size - 12 {
        let expected = format!("a footer of at most {} bytes", u64::from(MAX_FOOTER).min(size - 12));
        return Err(Error::data(path, "footer length", expected, format!("{length}"), DAMAGED));
    }
    Ok(())
}

/// Runs the decoder; what it fails on, or panics on, is the file's fault.
fn guarded<T>(path: &Path, place: &str, work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
    let refuse = |found: String| Error::data(path, place, "readable Parquet content", found, DAMAGED);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refuse(error.to_string())),
        Err(panic) => {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(refuse(format!("content the decoder fails on ({message})")))
        }
    }
}

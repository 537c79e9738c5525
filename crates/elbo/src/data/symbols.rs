//! Rows of symbols as data: the codes of a VQ-VAE that a prior over them is trained on, with the classes of
//! their examples.
//!
//! They are kept in a run as two arrays of NumPy's: `codes.npy`, `[n, symbols]` of two bytes each, and
//! `codes-rows.npy`, `[n, 2]`: the class of each row (2^32 - 1 for none) and the split of the run that it
//! is from (0 training, 1 validation, 2 test).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::catalog::chosen;
use super::codes::SOURCE;
use super::config::DataConfig;
use super::idx::hex;
use super::source::{ImageShape, Source};
use super::split::{self, Splits};
use crate::error::{Error, Result};
use crate::space::{Domain, Space};

/// Name of the second file.
pub const ROWS_FILE: &str = "codes-rows.npy";

/// Length of a file's header.
const HEADER_BYTES: usize = 128;
/// Stands for no class.
const NO_CLASS: u32 = u32::MAX;

/// Rows of symbols in memory.
///
/// ```
/// use elbo::data::Source;
/// use elbo::data::symbols::SymbolSource;
/// use elbo::space::{Domain, Space};
///
/// let space = Space::new([1, 1, 3], Domain::Index { of: 8 });
/// let source = SymbolSource::new(space, vec![1, 7, 0, 2, 2, 5], [1, 0, 1], None, vec![]);
/// let mut row = [0; 3];
/// source.read_symbols(1, &mut row);
/// assert_eq!((source.len(), row), (2, [2, 2, 5]));
/// ```
#[derive(Debug, Clone)]
pub struct SymbolSource {
    space: Space,
    symbols: Vec<u16>,
    /// Rows of training, validation and test, in this order.
    parts: [usize; 3],
    classes: Option<Vec<u32>>,
    names: Vec<String>,
    fingerprint: String,
}

impl SymbolSource {
    /// Rows `[n, numel]` of a space of symbols: those of training, validation and test one after another,
    /// with a class for each where all have one.
    ///
    /// # Panics
    /// If the space is none of symbols, a symbol is not below their number, the parts are not all rows, or
    /// a class has no name.
    pub fn new(
        space: Space,
        symbols: Vec<u16>,
        parts: [usize; 3],
        classes: Option<Vec<u32>>,
        names: Vec<String>,
    ) -> Self {
        let of = space.symbols().expect("a space of symbols");
        assert!(symbols.iter().all(|&symbol| usize::from(symbol) < of), "symbols below {of}");
        assert_eq!(symbols.len(), parts.iter().sum::<usize>() * space.numel(), "parts of all rows");
        let known = |classes: &Vec<u32>| classes.iter().all(|&class| (class as usize) < names.len());
        assert!(classes.as_ref().is_none_or(known), "each class has a name");
        let fingerprint = fingerprint(&symbols, classes.as_deref());
        let names = if classes.is_some() { names } else { Vec::new() };
        Self { space, symbols, parts, classes, names, fingerprint }
    }

    /// The files, by name.
    pub fn files(&self, codes: &'static str) -> Vec<(&'static str, Vec<u8>)> {
        let rows = self.rows().flat_map(|pair| pair.into_iter().flat_map(u32::to_le_bytes));
        let rows = [header("<u4", [self.len(), 2]), rows.collect()].concat();
        let symbols = self.symbols.iter().flat_map(|symbol| symbol.to_le_bytes());
        let symbols = [header("<u2", [self.len(), self.space.numel()]), symbols.collect()].concat();
        vec![(codes, symbols), (ROWS_FILE, rows)]
    }

    /// Class and part of each row.
    fn rows(&self) -> impl Iterator<Item = [u32; 2]> {
        let parts = (0u32..3).flat_map(|part| std::iter::repeat_n(part, self.parts[part as usize]));
        parts.enumerate().map(|(i, part)| [self.classes.as_ref().map_or(NO_CLASS, |classes| classes[i]), part])
    }

    /// Reads the files of [`SymbolSource::files`], each with its path, which errors name.
    ///
    /// # Errors
    /// [`Error::Data`] for other files.
    pub fn of_files(
        (codes, symbols): (PathBuf, Vec<u8>),
        (rows_path, rows): (PathBuf, Vec<u8>),
        space: Space,
        names: Vec<String>,
    ) -> Result<Self> {
        let width = space.numel();
        let symbols: Vec<u16> =
            values(&codes, symbols, "<u2", width)?.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        let rows: Vec<u32> = values(&rows_path, rows, "<u4", 2)?
            .chunks_exact(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        let of = space.symbols().unwrap_or(0);
        if let Some(symbol) = symbols.iter().find(|&&symbol| usize::from(symbol) >= of) {
            return Err(other(&codes, &format!("symbols below {of}"), symbol.to_string()));
        }
        let n = symbols.len() / width;
        let (mut parts, mut classes, mut last) = ([0usize; 3], Vec::with_capacity(n), 0);
        for row in rows.chunks_exact(2) {
            let (class, part) = (row[0], row[1] as usize);
            if part > 2 || part < last || (class != NO_CLASS && class as usize >= names.len()) {
                return Err(other(&rows_path, "classes and splits of the rows", format!("{class} and {part}")));
            }
            parts[part] += 1;
            last = part;
            classes.push(class);
        }
        if classes.len() != n {
            return Err(other(&rows_path, &format!("{n} rows"), classes.len().to_string()));
        }
        let classes = Some(classes).filter(|classes| !classes.is_empty() && !classes.contains(&NO_CLASS));
        Ok(Self::new(space, symbols, parts, classes, names))
    }

    /// The splits: those of the run that encoded; where that held nothing back for validation, `[data]`
    /// says how much is.
    ///
    /// # Errors
    /// As [`split::split_parts`].
    pub fn split(self, config: &DataConfig, seed: u64) -> Result<Splits> {
        let ends = [self.parts[0], self.parts[0] + self.parts[1], self.len()].map(|end| end as u32);
        let range = |range: Range<u32>| range.collect::<Vec<u32>>();
        let parts = [range(0..ends[0]), range(ends[0]..ends[1]), range(ends[1]..ends[2])];
        // Of a few rows none can be spared.
        let few = self.parts[0] < 20;
        let validation = if few { split::Validation::NONE } else { config.validation };
        chosen(split::split_parts(Arc::new(self), parts, 0.0, validation, seed)?, config, seed)
    }
}

impl Source for SymbolSource {
    fn name(&self) -> &str {
        SOURCE
    }

    fn len(&self) -> usize {
        self.symbols.len() / self.space.numel()
    }

    fn shape(&self) -> ImageShape {
        let [channels, height, width] = self.space.shape;
        ImageShape { channels, height, width }
    }

    /// A picture of the row: the grey of a symbol is its number.
    fn read(&self, index: usize, pixels: &mut [u8]) {
        let width = self.space.numel();
        let most = self.space.symbols().unwrap_or(2).saturating_sub(1).max(1) as u32;
        let row = &self.symbols[index * width..][..width];
        pixels.iter_mut().zip(row).for_each(|(pixel, &symbol)| *pixel = (u32::from(symbol) * 255 / most) as u8);
    }

    fn read_symbols(&self, index: usize, symbols: &mut [u32]) {
        let row = &self.symbols[index * symbols.len()..][..symbols.len()];
        symbols.iter_mut().zip(row).for_each(|(symbol, &own)| *symbol = u32::from(own));
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.classes.as_ref().map(|classes| classes[index])
    }

    fn label_names(&self) -> &[String] {
        &self.names
    }

    fn domain(&self) -> Domain {
        self.space.domain
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// sha256 of the symbols and classes as little-endian bytes.
fn fingerprint(symbols: &[u16], classes: Option<&[u32]>) -> String {
    let mut digest = Sha256::new();
    for chunk in symbols.chunks(1 << 15) {
        digest.update(chunk.iter().flat_map(|symbol| symbol.to_le_bytes()).collect::<Vec<u8>>());
    }
    for chunk in classes.unwrap_or_default().chunks(1 << 14) {
        digest.update(chunk.iter().flat_map(|class| class.to_le_bytes()).collect::<Vec<u8>>());
    }
    hex(&digest.finalize())
}

/// The first bytes of a `.npy` file of `[rows, columns]`, padded to [`HEADER_BYTES`].
fn header(kind: &str, [rows, columns]: [usize; 2]) -> Vec<u8> {
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let length = HEADER_BYTES - 10;
    let padded = format!("{text:<width$}\n", width = length - 1);
    [b"\x93NUMPY\x01\x00", &(length as u16).to_le_bytes()[..], padded.as_bytes()].concat()
}

/// The values of a file with rows of `columns` numbers.
fn values(path: &Path, bytes: Vec<u8>, kind: &str, columns: usize) -> Result<Vec<u8>> {
    let size: usize = kind[2..].parse().unwrap_or(1);
    let values = bytes.len().saturating_sub(HEADER_BYTES);
    let rows = values / (size * columns).max(1);
    if bytes.len() < HEADER_BYTES
        || !bytes.starts_with(&header(kind, [rows, columns]))
        || values != rows * size * columns
    {
        return Err(other(
            path,
            &format!("rows of {columns} numbers"),
            format!("{} bytes with another header", bytes.len()),
        ));
    }
    Ok(bytes[HEADER_BYTES..].to_vec())
}

fn other(path: &Path, expected: &str, found: String) -> Error {
    let help = "`elbo train` writes this file with a prior's run; train the prior again";
    Error::data(path, "content", expected, found, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space { shape: [1, 1, 2], domain: Domain::Index { of: 300 } }
    }

    fn names() -> Vec<String> {
        vec!["a".into(), "b".into()]
    }

    #[test]
    fn files_come_back_and_damage_is_told() {
        let symbols = vec![1, 299, 0, 4, 5, 6, 7, 8];
        let source = SymbolSource::new(space(), symbols, [2, 1, 1], Some(vec![1, 0, 1, 1]), names());
        let files = source.files("codes.npy");
        let open = |files: &[(&str, Vec<u8>)]| {
            let [codes, rows] = [0, 1].map(|i| (PathBuf::from(files[i].0), files[i].1.clone()));
            SymbolSource::of_files(codes, rows, space(), names())
        };
        let back = open(&files).unwrap();
        assert_eq!((back.fingerprint(), back.parts, back.label(1)), (source.fingerprint(), [2, 1, 1], Some(0)));
        let splits = back.split(&DataConfig::default(), 0).unwrap();
        assert_eq!((splits.train.len(), splits.validation.unwrap().len(), splits.test.len()), (2, 1, 1));
        for (file, damage) in [(0, HEADER_BYTES), (0, HEADER_BYTES + 1), (0, 0), (1, HEADER_BYTES + 8), (1, 3)] {
            let mut cut = files.clone();
            cut[file].1.truncate(damage);
            assert!(open(&cut).is_err(), "{damage}");
        }
        let mut large = files.clone();
        large[0].1[HEADER_BYTES + 1] = 255;
        assert!(open(&large).unwrap_err().to_string().contains("below 300"));
    }
}

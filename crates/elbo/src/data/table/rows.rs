//! The rows of a table as a source.

use super::Known;
use super::cells::Cells;
use super::identity::Identity;
use super::labels::Labels;
use super::standardise::{self, BadColumn};
use crate::data::source::{Columns, ImageShape, Source};
use crate::space::Domain;

/// Rows of numbers, each column standardised.
pub(super) struct Table {
    name: String,
    columns: Columns,
    shape: ImageShape,
    values: Values,
    labels: Option<Labels>,
    identity: Identity,
    label_names: Vec<String>,
    fingerprint: String,
    notes: Vec<String>,
}

/// The cells, or what became of them.
enum Values {
    /// And a hash of each row before it was rounded to float32.
    Standardised(Vec<f32>, Vec<u64>),
    /// In the units of the file; standardised when a row is read.
    Raw(std::sync::Arc<Cells>),
}

impl Table {
    /// Rows in the units of the file.
    pub fn new(known: &Known, names: Vec<String>, shape: ImageShape, cells: Cells) -> Self {
        let width = names.len();
        Self {
            name: known.name.clone(),
            columns: Columns { names, mean: vec![0.0; width], std: vec![1.0; width] },
            shape,
            values: Values::Raw(cells.into()),
            labels: None,
            identity: Identity::default(),
            label_names: known.label_names.clone(),
            fingerprint: known.sha256.clone(),
            notes: Vec::new(),
        }
    }

    /// The same rows with their classes and what identifies them.
    pub fn told_apart(self, labels: Option<Labels>, identity: Identity) -> Self {
        Self { labels, identity, ..self }
    }

    /// The same rows with what was chosen or left out when they were read.
    pub fn noting(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    fn cells(&self) -> &Cells {
        match &self.values {
            Values::Raw(cells) => cells,
            Values::Standardised(..) => unreachable!("standardised once, from the cells"),
        }
    }

    /// Mean and deviation of each column over the rows `chosen`.
    pub fn fit(&self, chosen: &[u32]) -> Result<Columns, BadColumn> {
        standardise::fit(&self.columns.names, self.cells(), chosen)
    }

    /// The same rows standardised by `columns`; a mapped file stays one and is standardised as it is read.
    pub fn standardised(&self, columns: &Columns) -> Result<Self, BadColumn> {
        let Values::Raw(cells) = &self.values else { unreachable!("standardised once, from the cells") };
        let values = match cells.as_ref() {
            Cells::Read(_) => Values::Standardised(standardise::apply(columns, cells)?, hashes(cells, self.width())),
            Cells::Single(_) => Values::Raw(cells.clone()),
        };
        Ok(Self {
            name: self.name.clone(),
            columns: columns.clone(),
            shape: self.shape,
            values,
            labels: self.labels.clone(),
            identity: self.identity.clone(),
            label_names: self.label_names.clone(),
            fingerprint: self.fingerprint.clone(),
            notes: self.notes.clone(),
        })
    }

    fn width(&self) -> usize {
        self.columns.names.len()
    }
}

fn hashes(cells: &Cells, width: usize) -> Vec<u64> {
    (0..cells.len() / width).map(|row| hash_of(cells, row, width)).collect()
}

/// Of one row: each value is mixed in by the finaliser of MurmurHash3. Equal numbers are equal, 0 and -0 too.
fn hash_of(cells: &Cells, row: usize, width: usize) -> u64 {
    let mut hash = 0u64;
    cells.for_row(row, width, |_, value| {
        let mixed = (hash.rotate_left(1) ^ (value + 0.0).to_bits()).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let mixed = (mixed ^ mixed >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash = mixed ^ mixed >> 33;
    });
    hash
}

impl Source for Table {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        let values = match &self.values {
            Values::Standardised(values, _) => values.len(),
            Values::Raw(cells) => cells.len(),
        };
        values / self.width()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    /// Grey levels: -4 standard deviations are black, +4 white.
    fn read(&self, index: usize, pixels: &mut [u8]) {
        let mut values = vec![0f32; pixels.len()];
        self.read_values(index, &mut values);
        pixels.iter_mut().zip(values).for_each(|(pixel, value)| *pixel = ((value + 4.0) / 8.0 * 255.0).round() as u8);
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().and_then(|labels| labels.get(index))
    }

    fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn domain(&self) -> Domain {
        Domain::Real
    }

    fn read_values(&self, index: usize, values: &mut [f32]) {
        assert_eq!(values.len(), self.width(), "a row has {} values", self.width());
        match &self.values {
            Values::Standardised(all, _) => values.copy_from_slice(&all[index * values.len()..][..values.len()]),
            Values::Raw(cells) => cells.for_row(index, self.width(), |column, value| {
                values[column] = self.columns.standardised(column, value);
            }),
        }
    }

    fn floats(&self) -> Option<&[f32]> {
        match &self.values {
            Values::Standardised(values, _) => Some(values),
            Values::Raw(_) => None,
        }
    }

    fn columns(&self) -> Option<&Columns> {
        Some(&self.columns)
    }

    fn place(&self, index: usize) -> u64 {
        self.identity.row(index)
    }

    fn identifier_column(&self) -> Option<&str> {
        self.identity.column()
    }

    fn identifier(&self, index: usize) -> Option<&str> {
        self.identity.id(index)
    }

    fn exact_hash(&self, index: usize) -> Option<u64> {
        Some(match &self.values {
            Values::Standardised(_, hashes) => hashes[index],
            Values::Raw(cells) => hash_of(cells, index, self.width()),
        })
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

//! Parquet, as the Hugging Face hub publishes data sets: one file, or a folder of shards such as `train-00000-of-00002.parquet`.
//!
//! - Parts: files whose name begins with `train`, `test`, `validation` (`valid`, `val`, `dev`), or that lie in a folder of that name, are
//!   these parts. Other files are for training.
//! - Images: a column of encoded pictures, `struct<bytes: binary, path: string>` or plain binary, makes the set one of pictures; its other
//!   columns but the label are left alone.
//! - Rows: otherwise all columns must be numbers (integers, floats, booleans) or named by `data.columns`, but for the label. The index that
//!   pandas writes, `__index_level_0__`, is left out.
//! - Labels: `data.label`, or the column `label` where there is one: integers, booleans or text. Names of classes are taken from the
//!   schema's `huggingface` entry. Integers below 0 stand for no label, as on the hub.
//!
//! Files are not trusted: the sizes that page headers declare are checked before anything is unpacked ([`pages`]), and a panic of the
//! decoder is an error that names the file.

mod columns;
mod hub;
mod pages;
mod pictures;
mod shards;

use std::sync::Arc;

use sha2::{Digest, Sha256};

use self::columns::{Column, Kind, Leaf};
use self::hub::Features;
use self::shards::{PartName, Shard};
use super::cells::Cells;
use super::identity::{Kept, id_column};
use super::labels::{Classes, Labels, MAX_CLASSES};
use super::{Content, Loaded, Missing, Part, Request, columns_flag, dropped_note, label_column, listed};
use crate::data::idx::hex;
use crate::data::pictures::Collection;
use crate::data::source::ImageShape;
use crate::error::{Error, Result};
use crate::shell::quoted;

pub(super) use shards::{MAGIC, holds_shards};

/// What Parquet files hold.
#[allow(clippy::large_enum_variant, reason = "made once for a data set")]
pub(super) enum Opened {
    Rows(Loaded),
    Pictures(Arc<dyn Collection>),
}

/// The index that pandas adds to tables it has filtered.
const PANDAS_INDEX: &str = "__index_level_0__";

/// Opens a file or folder.
pub(super) fn open(request: &Request<'_>) -> Result<Opened> {
    let shards = shards::find(request)?;
    let set = Set::of(request, shards)?;
    match set.image {
        Some(image) => Ok(Opened::Pictures(Arc::new(pictures::HubPictures::new(set, image)?))),
        None => set.rows().map(Opened::Rows),
    }
}

/// Whether it is a table rather than a set of pictures, by its schema.
pub(super) fn holds_rows(request: &Request<'_>) -> Result<bool> {
    Ok(Set::of(request, shards::find(request)?)?.image.is_none())
}

/// The shards, and which of their columns is what.
struct Set<'a> {
    request: &'a Request<'a>,
    shards: Vec<Shard>,
    leaves: Vec<Leaf>,
    features: Features,
    /// Places of the leaves.
    label: Option<usize>,
    id: Option<usize>,
    image: Option<usize>,
    notes: Vec<String>,
}

impl<'a> Set<'a> {
    fn of(request: &'a Request<'a>, shards: Vec<Shard>) -> Result<Self> {
        super::check_table_keys(request)?;
        let leaves = shards[0].leaves();
        for shard in &shards[1..] {
            let other = shard.leaves();
            if other != leaves {
                let names = |leaves: &[Leaf]| listed(&leaves.iter().map(|leaf| leaf.name.clone()).collect::<Vec<_>>());
                let expected = format!("the columns of {}: {}", shards[0].name, names(&leaves));
                let help = "keep files of one table in a folder";
                return Err(Error::data(&shard.path, "schema", expected, names(&other), help));
            }
        }
        let features = shards[0].features();
        let names: Vec<String> = leaves.iter().map(|leaf| leaf.name.clone()).collect();
        let label = match label_column(request, &names)? {
            None => leaves.iter().position(|leaf| leaf.name == "label" && leaf.kind.can_label()),
            Some(label) if leaves[label].kind.can_label() => Some(label),
            Some(label) => {
                let found = leaves[label].kind.words();
                let place = format!("column `{}`", names[label]);
                return Err(request.error(
                    place,
                    "classes: integers, booleans or text",
                    found,
                    "choose another `data.label`",
                ));
            }
        };
        let id = id_column(request, &names)?;
        let image = if request.columns.is_empty() { image_column(&leaves, &features) } else { None };
        let notes = image.map(|image| format!("pictures from column `{}`", leaves[image].name)).into_iter().collect();
        Ok(Self { request, shards, leaves, features, label, id, image, notes })
    }

    /// The columns that are values of a row.
    fn numeric(&self) -> Result<Vec<usize>> {
        let names: Vec<String> = self.leaves.iter().map(|leaf| leaf.name.clone()).collect();
        let mut chosen = super::chosen(self.request, &names)?;
        if self.request.columns.is_empty() {
            chosen.retain(|&place| ![self.label, self.id].contains(&Some(place)) && names[place] != PANDAS_INDEX);
        } else if let Some(label) = self.label.filter(|label| self.request.label.is_some() && chosen.contains(label)) {
            let found = format!("`{}` in both", names[label]);
            let help = "take it out of one of the two";
            return Err(Error::config("data.columns", "columns other than the label", found, help));
        }
        let is_number = |place: &&usize| matches!(self.leaves[**place].kind, Kind::Number);
        if let Some(&other) = chosen.iter().find(|place| !is_number(place)) {
            let leaf = &self.leaves[other];
            let flag = columns_flag(chosen.iter().filter(is_number).map(|&place| &names[place]));
            let label = if leaf.kind.can_label() {
                format!(
                    "if it is the class: `--set {0}`; if it tells rows apart: `--set {1}`; ",
                    quoted(&format!("data.label={}", leaf.name)),
                    quoted(&format!("data.id={}", leaf.name))
                )
            } else {
                String::new()
            };
            let help = format!("{label}to leave it out: `{flag}`");
            return Err(self.request.error(format!("column `{}`", leaf.name), "numbers", leaf.kind.words(), &help));
        }
        if chosen.is_empty() {
            let help = "give a table with numbers";
            return Err(self.request.error("columns", "at least one column of numbers", listed(&names), help));
        }
        Ok(chosen)
    }

    fn rows(self) -> Result<Loaded> {
        let columns = self.numeric()?;
        let names: Vec<String> = columns.iter().map(|&place| self.leaves[place].name.clone()).collect();
        let mut classes = Classes::default();
        let [mut train, mut validation, mut test] = [(); 3].map(|()| Rows::default());
        for shard in &self.shards {
            let part = match shard.part {
                PartName::Train => &mut train,
                PartName::Validation => &mut validation,
                PartName::Test => &mut test,
            };
            for group in 0..shard.groups() {
                self.add_group(shard, group, &columns, part, &mut classes)?;
            }
        }
        for (part, rows) in [(PartName::Train, &train), (PartName::Validation, &validation), (PartName::Test, &test)] {
            if rows.cells.is_empty() && self.shards.iter().any(|shard| shard.part == part) {
                let found = if rows.rows == 0 { "none" } else { "none without missing values" };
                let place = format!("rows of the {} part", part.word());
                return Err(self.request.error(place, "at least 1", found, "give a table with rows"));
            }
        }
        let has_parts = self.shards.iter().any(|shard| shard.has_part);
        let mut ends = 0..0;
        let parts = [&train, &validation, &test].map(|rows| {
            let count = (rows.cells.len() / columns.len()) as u32;
            ends = ends.end..ends.end + count;
            ends.clone().collect()
        });
        train.append(validation);
        train.append(test);
        let label_names = self.label_names(classes, [&mut train.labels]);
        let sha256 = self.content_sha256()?;
        let id = self.id.map(|id| self.leaves[id].name.as_str());
        let train = train.into_part(&names, self.label.is_some(), id);
        Ok(Loaded { train, test: None, parts: has_parts.then_some(parts), label_names, sha256 })
    }

    /// Appends the rows of one row group.
    fn add_group(
        &self,
        shard: &Shard,
        group: usize,
        columns: &[usize],
        rows: &mut Rows,
        classes: &mut Classes,
    ) -> Result<()> {
        let values = columns.iter().map(|&place| shard.numbers(group, place)).collect::<Result<Vec<_>>>()?;
        let labels = self.label.map(|label| self.group_labels(shard, group, label, classes)).transpose()?;
        let ids = self.id.map(|id| shard.texts(group, id)).transpose()?;
        let count = values[0].len();
        for row in 0..count {
            rows.kept.meet();
            if let Some(bad) = values.iter().position(|column| !column[row].is_finite()) {
                if self.request.missing == Missing::Fail {
                    let place =
                        format!("row {}, column `{}`", shard.first_row(group) + row, self.leaves[columns[bad]].name);
                    let found = match values[bad][row] {
                        value if value.is_nan() => "null or NaN".to_owned(),
                        value => value.to_string(),
                    };
                    let help = "`--set data.missing=drop` leaves such rows out and counts them";
                    return Err(Error::data(&shard.path, place, "a finite number", found, help));
                }
                rows.dropped += 1;
                continue;
            }
            rows.cells.extend(values.iter().map(|column| column[row]));
            rows.labels.0.extend(labels.as_ref().map(|labels| labels[row]));
            rows.kept.keep(ids.as_ref().map(|ids| ids[row].clone()));
        }
        rows.rows += count;
        Ok(())
    }

    /// The classes of a row group, numbered as they come; with names from the hub, numbered as there.
    fn group_labels(&self, shard: &Shard, group: usize, label: usize, classes: &mut Classes) -> Result<Vec<u32>> {
        let too_many = || {
            let place = format!("column `{}`", self.leaves[label].name);
            let found = format!("more than {MAX_CLASSES} different ones");
            Error::data(&shard.path, place, "classes", found, "choose another `data.label`")
        };
        let mut number = |name: Option<String>| match name {
            None => Ok(Labels::NONE),
            Some(name) => classes.number(&name).ok_or_else(too_many),
        };
        match shard.column(group, label)? {
            Column::Numbers(values) => {
                let names = self.features.classes(&self.leaves[label].name);
                let name = |value: f64| match &names {
                    _ if !value.is_finite() || value < 0.0 => None,
                    Some(names) => names.get(value as usize).cloned().or(Some(value.to_string())),
                    None => Some(value.to_string()),
                };
                values.into_iter().map(|value| number(name(value))).collect()
            }
            Column::Bytes(values) => {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                values.into_iter().map(|value| number(value.map(|value| text(value.data())))).collect()
            }
        }
    }

    /// Names of the classes: in the order of the hub where it gives one, else sorted.
    fn label_names<'b>(&self, classes: Classes, parts: impl IntoIterator<Item = &'b mut Labels>) -> Vec<String> {
        match self.label.and_then(|label| self.features.classes(&self.leaves[label].name)) {
            Some(names) => classes.in_order_of(names, parts),
            None => classes.sorted(parts),
        }
    }

    /// sha256 of the file, or over the names and hashes of several.
    fn content_sha256(&self) -> Result<String> {
        match &self.shards[..] {
            [only] => only.sha256(),
            shards => {
                let lines = shards.iter().map(|shard| Ok(format!("{} {}\n", shard.sha256()?, shard.name)));
                Ok(hex(&Sha256::digest(lines.collect::<Result<String>>()?)))
            }
        }
    }
}

/// The column of encoded pictures.
fn image_column(leaves: &[Leaf], features: &Features) -> Option<usize> {
    let named = |leaf: &&Leaf| features.is_image(leaf.name.strip_suffix(".bytes").unwrap_or(&leaf.name));
    let in_struct = |leaf: &&Leaf| leaf.name.ends_with(".bytes");
    let plain = |leaf: &&Leaf| ["image", "img", "picture"].contains(&leaf.name.as_str());
    let bytes = || leaves.iter().filter(|leaf| leaf.kind == Kind::Bytes);
    let leaf = bytes().find(named).or_else(|| bytes().find(in_struct)).or_else(|| bytes().find(plain))?;
    leaves.iter().position(|other| other == leaf)
}

/// The rows of a part so far.
#[derive(Default)]
struct Rows {
    cells: Vec<f64>,
    labels: Labels,
    kept: Kept,
    rows: usize,
    dropped: usize,
}

impl Rows {
    fn append(&mut self, other: Self) {
        self.cells.extend(other.cells);
        self.labels.0.extend(other.labels.0);
        self.kept.append(other.kept);
        self.rows += other.rows;
        self.dropped += other.dropped;
    }

    fn into_part(self, names: &[String], labelled: bool, id: Option<&str>) -> Part {
        let shape = ImageShape::grey(1, names.len());
        let content = Content::Rows { names: names.to_vec(), shape, cells: Cells::Read(self.cells) };
        let notes = dropped_note(self.dropped, self.rows).into_iter().collect();
        Part { content, labels: labelled.then_some(self.labels), identity: self.kept.identity(id), notes }
    }
}

//! A column of encoded pictures as a collection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::data_type::ByteArray;
use sha2::{Digest, Sha256};

use super::Set;
use super::columns::Column;
use super::shards::Shard;
use crate::data::idx::hex;
use crate::data::pictures::{Collection, Entry, Listing, MAX_ENCODED_BYTES, Origin};
use crate::data::table::labels::{Classes, Labels};
use crate::error::{Error, Result};

/// Row groups kept unpacked at a time: as many as neighbouring threads are likely to be in.
const KEPT: usize = 3;

/// The pictures of Parquet files. A row group is unpacked when the first of its pictures is asked for, and forgotten when others are, so that
/// memory does not grow with the set.
pub(super) struct HubPictures {
    listing: Listing,
    shards: Vec<Shard>,
    /// Which leaf holds the bytes.
    image: usize,
    /// The row groups in the order of the entries.
    groups: Vec<Group>,
    unpacked: Mutex<VecDeque<(usize, Pictures)>>,
    label_names: Option<Vec<String>>,
    notes: Vec<String>,
}

type Pictures = Arc<Vec<Option<ByteArray>>>;

struct Group {
    shard: usize,
    group: usize,
    /// Entries before it.
    first: usize,
}

impl HubPictures {
    pub fn new(set: Set<'_>, image: usize) -> Result<Self> {
        let (mut entries, mut groups, mut classes) = (Vec::new(), Vec::new(), Classes::default());
        let mut labels = Labels::default();
        for (index, shard) in set.shards.iter().enumerate() {
            let part = shard.has_part.then(|| shard.part.word().to_owned());
            for group in 0..shard.groups() {
                groups.push(Group { shard: index, group, first: entries.len() });
                let count = match set.label {
                    Some(label) => {
                        let classes = set.group_labels(shard, group, label, &mut classes)?;
                        labels.0.extend(&classes);
                        classes.len()
                    }
                    None => shard.rows(group),
                };
                let first = shard.first_row(group);
                entries.extend((first..first + count).map(|row| Entry {
                    name: format!("{}/{row:09}", shard.name),
                    label: None,
                    part: part.clone(),
                }));
            }
        }
        if entries.is_empty() {
            return Err(set.request.error("rows", "at least 1", "none", "give a table with pictures"));
        }
        let from_hub = set.label.and_then(|label| set.features.classes(&set.leaves[label].name)).is_some();
        let names = set.label_names(classes, [&mut labels]);
        for (index, entry) in entries.iter_mut().enumerate().take(labels.0.len()) {
            entry.label = labels.get(index).map(|label| names[label as usize].clone());
        }
        let stamps = set.shards.iter().map(Shard::stamp).collect::<Result<Vec<_>>>()?;
        let stamp = format!("{} {:?} {:?}", stamps.join("\n"), set.label, image);
        let (name, path) = (set.request.name(), set.request.path.to_owned());
        let origin = Origin { name, path, stamp: hex(&Sha256::digest(stamp)) };
        Ok(Self {
            listing: Listing { origin, entries },
            image,
            groups,
            unpacked: Mutex::default(),
            label_names: from_hub.then_some(names),
            notes: set.notes,
            shards: set.shards,
        })
    }

    /// The pictures of a row group.
    fn group(&self, place: usize) -> Result<Pictures> {
        let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pictures)) = unpacked.iter().find(|(kept, _)| *kept == place) {
            return Ok(Arc::clone(pictures));
        }
        let Group { shard, group, .. } = self.groups[place];
        let pictures = match self.shards[shard].column(group, self.image)? {
            Column::Bytes(pictures) => Arc::new(pictures),
            Column::Numbers(_) => Arc::default(),
        };
        unpacked.push_back((place, Arc::clone(&pictures)));
        if unpacked.len() > KEPT {
            unpacked.pop_front();
        }
        Ok(pictures)
    }
}

impl Collection for HubPictures {
    fn listing(&self) -> &Listing {
        &self.listing
    }

    fn bytes(&self, index: usize) -> Result<Vec<u8>> {
        let place = self.groups.partition_point(|group| group.first <= index) - 1;
        let row = index - self.groups[place].first;
        let pictures = self.group(place)?;
        let refuse = |found: String| {
            let help = "remove the row, or set `data.on_bad_image = \"skip\"`";
            Error::data(self.path(), &self.entries()[index].name, "an encoded picture", found, help)
        };
        let picture = pictures.get(row).and_then(Option::as_ref).ok_or_else(|| refuse("null".into()))?;
        match picture.len() as u64 {
            length if length > MAX_ENCODED_BYTES => Err(refuse(format!("{length} bytes"))),
            _ => Ok(picture.data().to_vec()),
        }
    }

    fn stored_bytes(&self) -> u64 {
        self.shards.iter().map(Shard::stored_bytes).sum()
    }

    fn label_names(&self) -> Option<&[String]> {
        self.label_names.as_deref()
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

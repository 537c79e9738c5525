//! Decoded pictures as a [`Source`].

use std::path::Path;
use std::sync::Arc;

use super::build::{self, NO_LABEL};
use super::cache::{Cached, Key, Pixels, Slot, Tables};
use super::summary::Summary;
use super::{Collection, Division, Origin, Settings};
use crate::data::progress::Progress;
use crate::data::source::{ImageShape, Source};
use crate::data::split::{self, Splits};
use crate::error::{Error, ErrorKind, Result};
use crate::space::Domain;

/// Most decoded bytes that are held in memory when there is no place for a cache file.
const MAX_IN_MEMORY: u64 = 2 << 30;

/// All pictures of a collection, decoded.
pub(super) struct Pictures {
    pixels: Pixels,
    tables: Tables,
    summary: Summary,
}

impl Pictures {
    /// Takes the set from `cache`, or makes it there from what `collect` finds.
    pub fn open(
        origin: &Origin,
        collect: &mut dyn FnMut() -> Result<Arc<dyn Collection>>,
        settings: &Settings,
        cache: Option<&Path>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        settings.check()?;
        let key = key(origin, settings);
        let slot = cache.map(|folder| Slot::new(folder, &origin.name, key));
        let found = slot.as_ref().and_then(Slot::find);
        let Cached { pixels, tables, summary } = match found {
            Some(cached) => cached,
            None => decoded(&*collect()?, settings, slot.as_ref(), progress)?,
        };
        summary.warnings.iter().for_each(|warning| progress(Progress::Note(&format!("warning: {warning}"))));
        summary.notes.iter().for_each(|note| progress(Progress::Note(note)));
        Ok(Self { pixels, tables, summary })
    }

    /// The bytes of a picture as the cache has them.
    fn stored(&self, index: usize) -> &[u8] {
        let size = self.summary.picture_bytes();
        &self.pixels.bytes()[index * size..(index + 1) * size]
    }

    /// Levels of 16 bits.
    fn levels(&self, index: usize) -> impl Iterator<Item = u32> {
        self.stored(index).as_chunks::<2>().0.iter().map(|&word| u32::from(u16::from_le_bytes(word)))
    }

    /// By the parts the collection brings, else by `division`.
    pub fn split(self, division: Division) -> Result<Splits> {
        let Division { test, validation, seed } = division;
        if self.tables.parts.iter().all(|&part| part == 0) {
            return split::split_single(Arc::new(self), test, validation, seed);
        }
        let of = |wanted: u8| -> Vec<u32> {
            let parts = self.tables.parts.iter().zip(0..);
            parts.filter(|(part, _)| **part == wanted).map(|(_, index)| index).collect()
        };
        let parts = [of(0), of(1), of(2)];
        split::split_parts(Arc::new(self), parts, test, validation, seed)
    }
}

/// All that decides what the decoded pixels are.
fn key(origin: &Origin, settings: &Settings) -> Key {
    let path = origin.path.canonicalize().unwrap_or_else(|_| origin.path.clone());
    Key { what: format!("{} {settings:?}", path.display()), stamp: origin.stamp.clone() }
}

/// Decodes into the cache, or into memory where that cannot be.
fn decoded(
    collection: &dyn Collection,
    settings: &Settings,
    slot: Option<&Slot>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Cached> {
    let Some(slot) = slot else { return in_memory(collection, settings, None, progress) };
    match in_cache(collection, settings, slot, progress) {
        // What the collection says is about a picture; what the cache says names the cache.
        Err(error) if error.kind() == ErrorKind::Io && error.path().is_some_and(|path| is_of(slot, path)) => {
            in_memory(collection, settings, Some(error), progress)
        }
        result => result,
    }
}

fn is_of(slot: &Slot, path: &Path) -> bool {
    path.with_extension("") == slot.path().with_extension("") || Some(path) == slot.path().parent()
}

fn in_cache(
    collection: &dyn Collection,
    settings: &Settings,
    slot: &Slot,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Cached> {
    let mut writer = slot.begin(progress)?;
    // Another process may have made it while this one waited.
    if let Some(cached) = slot.find() {
        return Ok(cached);
    }
    let (tables, summary) = build::build(collection, settings, &mut writer, progress)?;
    let bytes = summary.count as f64 * summary.picture_bytes() as f64;
    let cached = writer.finish(&tables, &summary)?;
    progress(Progress::Note(&format!("{:.1} MB of decoded pixels are kept in {}", bytes / 1e6, slot.path().display())));
    Ok(cached)
}

/// Bounded pixels in memory, and why they are there.
struct Bounded {
    pixels: Vec<u8>,
    reason: Option<Error>,
}

impl Bounded {
    fn too_small(&self) -> Error {
        let found = self.reason.as_ref().map_or_else(|| "no folder for it".to_owned(), Error::to_string);
        let expected =
            format!("a folder with space for the decoded pixels, which are more than {} GiB", MAX_IN_MEMORY >> 30);
        let help = "set ELBO_HOME to a folder on a disk with space, or ask for a smaller `--size`";
        Error::config("ELBO_HOME", expected, found, help)
    }
}

impl build::Sink for Bounded {
    fn write(&mut self, pixels: &[u8]) -> Result<()> {
        if (self.pixels.len() + pixels.len()) as u64 <= MAX_IN_MEMORY {
            self.pixels.extend_from_slice(pixels);
            return Ok(());
        }
        Err(self.too_small())
    }

    fn restart(&mut self) -> Result<()> {
        self.pixels.clear();
        Ok(())
    }

    fn reserve(&mut self, bytes: u64) -> Result<()> {
        if bytes <= MAX_IN_MEMORY { Ok(()) } else { Err(self.too_small()) }
    }
}

fn in_memory(
    collection: &dyn Collection,
    settings: &Settings,
    reason: Option<Error>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Cached> {
    if !settings.fresh {
        let why = reason.as_ref().map_or_else(|| "there is no cache folder".to_owned(), Error::to_string);
        progress(Progress::Note(&format!(
            "decoded pixels are kept in memory, for this run only: {why}; ELBO_HOME names another place"
        )));
    }
    let mut sink = Bounded { pixels: Vec::new(), reason };
    let (tables, summary) = build::build(collection, settings, &mut sink, progress)?;
    Ok(Cached { pixels: Pixels::Memory(sink.pixels), tables, summary })
}

/// The place of kept picture `index` when those at `left_out`, in order, are counted too.
fn place_among_found(index: usize, left_out: &[u32]) -> u64 {
    let (mut low, mut high) = (0, left_out.len());
    // Before the picture lie all left out of which no more than `index` others come first.
    while low < high {
        let middle = (low + high) / 2;
        if left_out[middle] as usize - middle <= index { low = middle + 1 } else { high = middle }
    }
    (index + low) as u64
}

impl Source for Pictures {
    fn name(&self) -> &str {
        &self.summary.name
    }

    fn len(&self) -> usize {
        self.summary.count
    }

    fn shape(&self) -> ImageShape {
        self.summary.shape
    }

    fn read(&self, index: usize, pixels: &mut [u8]) {
        match self.summary.deep {
            false => pixels.copy_from_slice(self.stored(index)),
            // To the nearest of 256 levels.
            true => self.levels(index).zip(pixels).for_each(|(level, pixel)| *pixel = ((level + 128) / 257) as u8),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(self.tables.labels[index]).filter(|&label| label != NO_LABEL)
    }

    fn label_names(&self) -> &[String] {
        &self.summary.label_names
    }

    fn bytes(&self) -> Option<&[u8]> {
        (!self.summary.deep).then(|| self.pixels.bytes())
    }

    fn domain(&self) -> Domain {
        if self.summary.deep { Domain::Unit } else { Domain::Levels }
    }

    fn read_values(&self, index: usize, values: &mut [f32]) {
        match self.summary.deep {
            false => elbo_kernels::unit_from_bytes(self.stored(index), values),
            true => self.levels(index).zip(values).for_each(|(level, value)| *value = level as f32 / 65_535.0),
        }
    }

    fn warnings(&self) -> &[String] {
        &self.summary.warnings
    }

    fn id(&self, index: usize) -> Option<String> {
        self.tables.name(index).map(str::to_owned)
    }

    fn place(&self, index: usize) -> u64 {
        place_among_found(index, &self.summary.left_out)
    }

    fn notes(&self) -> &[String] {
        &self.summary.notes
    }

    fn fingerprint(&self) -> &str {
        &self.summary.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::place_among_found;

    #[test]
    fn pictures_left_out_keep_their_places() {
        for left_out in [vec![], vec![0], vec![4], vec![0, 1, 2], vec![1, 3, 4, 8], vec![9]] {
            let kept: Vec<u64> = (0..10).filter(|place| !left_out.contains(place)).map(u64::from).collect();
            let found: Vec<u64> = (0..kept.len()).map(|index| place_among_found(index, &left_out)).collect();
            assert_eq!(found, kept, "{left_out:?}");
        }
    }
}

//! One pass over a collection: decode in parallel, write in order, keep nothing.
//!
//! Pictures are taken in chunks of bounded size, so memory does not grow with their number. What is not set is guessed from the first
//! picture, which is right for most sets and saves reading every file twice. A grey guess that meets a colour picture starts again; sizes
//! that differ end the pass, and all headers are read to tell the user what there is.

use std::collections::BTreeMap;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::cache::Tables;
use super::decode::{self, Decoder, Fault, Header, Plan};
use super::summary::Summary;
use super::{Collection, OnBadImage, Settings, Size};
use crate::data::idx::hex;
use crate::data::progress::Progress;
use crate::data::source::ImageShape;
use crate::error::{Error, Result};

/// Most bytes of decoded pixels held at a time, as far as one picture for each thread allows.
const CHUNK_BYTES: usize = 16 << 20;
/// Most pictures decoded at a time.
const CHUNK: usize = 2048;
/// Class number of a picture that has none.
pub(super) const NO_LABEL: u32 = u32::MAX;
/// Pictures named in an error or a note.
const NAMED: usize = 5;

/// Where pixels go.
pub(super) trait Sink {
    /// Takes the pixels of the next picture.
    fn write(&mut self, pixels: &[u8]) -> Result<()>;
    /// Forgets all pixels.
    fn restart(&mut self) -> Result<()>;
}

impl Sink for super::cache::Writer {
    fn write(&mut self, pixels: &[u8]) -> Result<()> {
        Self::write(self, pixels)
    }

    fn restart(&mut self) -> Result<()> {
        Self::restart(self)
    }
}

impl Sink for Vec<u8> {
    fn write(&mut self, pixels: &[u8]) -> Result<()> {
        self.extend_from_slice(pixels);
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.clear();
        Ok(())
    }
}

/// Decodes all of `collection` into `sink`.
///
/// # Errors
/// [`Error::Data`] for a bad picture (unless such are skipped), for sizes that differ when none is set, and if nothing is left;
/// what `sink` says.
pub(super) fn build(
    collection: &dyn Collection,
    settings: &Settings,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Tables, Summary)> {
    let mut plan = plan(collection, settings)?;
    loop {
        let mut pass = Pass::new(collection, settings, plan);
        match pass.run(sink, progress)? {
            Outcome::Done => return pass.finished(),
            Outcome::Colour => plan.channels = 3,
            Outcome::Sizes => return Err(mixed_sizes(collection, settings)),
        }
        sink.restart()?;
    }
}

/// What is set, and for the rest what the first good picture has.
fn plan(collection: &dyn Collection, settings: &Settings) -> Result<Plan> {
    let fit = settings.fit;
    if let (Some(size), Some(channels)) = (settings.size, settings.channels) {
        return Ok(Plan { size, fit, channels: channels.into() });
    }
    for index in 0..collection.entries().len() {
        match read_header(collection, index) {
            Ok(header) => {
                let channels = settings.channels.unwrap_or(if header.grey { 1 } else { 3 });
                return Ok(Plan { size: settings.size.unwrap_or(header.size), fit, channels: channels.into() });
            }
            Err(error) if settings.on_bad_image == OnBadImage::Fail => return Err(error),
            Err(_) => {}
        }
    }
    Err(nothing_left(collection))
}

fn read_header(collection: &dyn Collection, index: usize) -> Result<Header> {
    let bytes = collection.bytes(index)?;
    decode::header(&bytes).map_err(|fault| in_file(collection, index, fault))
}

fn in_file(collection: &dyn Collection, index: usize, Fault { expected, found, help }: Fault) -> Error {
    Error::data(collection.path(), collection.entries()[index].name.clone(), expected, found, help)
}

fn nothing_left(collection: &dyn Collection) -> Error {
    let found = format!("none among {} files", collection.entries().len());
    let help = "without `--on-bad-image skip`, the first bad file is named";
    Error::data(collection.path(), "images", "at least one good picture", found, help)
}

/// How a pass ends.
enum Outcome {
    Done,
    /// One channel was planned, and there is colour.
    Colour,
    /// One size was planned, and there are others.
    Sizes,
}

/// What became of one picture.
enum Made {
    /// Its header, and the sha256 of its file.
    Pixels(Header, [u8; 32]),
    Refused(Header),
    Bad(Error),
}

struct Pass<'a> {
    collection: &'a dyn Collection,
    settings: &'a Settings,
    plan: Plan,
    label_names: Vec<String>,
    labels: BTreeMap<String, u32>,
    tables: Tables,
    content: Sha256,
    bad: Vec<String>,
    /// Places of the bad ones.
    left_out: Vec<u32>,
    resized: usize,
    coloured: usize,
    smallest: Size,
    largest: Size,
}

impl<'a> Pass<'a> {
    fn new(collection: &'a dyn Collection, settings: &'a Settings, plan: Plan) -> Self {
        let label_names = label_names(collection);
        let labels = label_names.iter().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        Self {
            collection,
            settings,
            plan,
            label_names,
            labels,
            tables: Tables::default(),
            content: Sha256::new(),
            bad: Vec::new(),
            left_out: Vec::new(),
            resized: 0,
            coloured: 0,
            smallest: Size { height: u32::MAX, width: u32::MAX },
            largest: Size { height: 0, width: 0 },
        }
    }

    fn run(&mut self, sink: &mut dyn Sink, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Outcome> {
        let (total, numel) = (self.collection.entries().len(), self.plan.numel());
        let chunk = (CHUNK_BYTES / numel).clamp(rayon::current_num_threads(), CHUNK).min(total);
        let mut pixels = vec![0; chunk * numel];
        let mut made = Vec::with_capacity(chunk);
        for start in (0..total).step_by(chunk) {
            let indices = start..total.min(start + chunk);
            let rows = pixels.par_chunks_exact_mut(numel).zip(indices.clone());
            rows.map_init(Decoder::new, |decoder, (row, index)| self.make(decoder, index, row))
                .collect_into_vec(&mut made);
            for ((index, row), made) in indices.clone().zip(pixels.chunks_exact(numel)).zip(made.drain(..)) {
                match made {
                    Made::Pixels(header, sha256) => {
                        self.keep(index, header, sha256);
                        sink.write(row)?;
                    }
                    Made::Refused(header) if self.settings.size.is_none() && header.size != self.plan.size => {
                        return Ok(Outcome::Sizes);
                    }
                    Made::Refused(_) => return Ok(Outcome::Colour),
                    Made::Bad(error) => self.leave_out(index, error)?,
                }
            }
            progress(Progress::Decode { done: indices.end, total });
        }
        Ok(Outcome::Done)
    }

    fn make(&self, decoder: &mut Decoder, index: usize, row: &mut [u8]) -> Made {
        let bytes = match self.collection.bytes(index) {
            Ok(bytes) => bytes,
            Err(error) => return Made::Bad(error),
        };
        let accept = |header: &Header| self.accepts(header);
        match decoder.decode(&bytes, &self.plan, accept, row) {
            Ok(header) if self.accepts(&header) => Made::Pixels(header, Sha256::digest(&bytes).into()),
            Ok(header) => Made::Refused(header),
            Err(fault) => Made::Bad(in_file(self.collection, index, fault)),
        }
    }

    fn accepts(&self, header: &Header) -> bool {
        let size = self.settings.size.is_some() || header.size == self.plan.size;
        let colour = self.settings.channels.is_some() || self.plan.channels == 3 || header.grey;
        size && colour
    }

    fn keep(&mut self, index: usize, header: Header, sha256: [u8; 32]) {
        let entry = &self.collection.entries()[index];
        let label = entry.label.as_ref().and_then(|label| self.labels.get(label)).copied().unwrap_or(NO_LABEL);
        let part = part_number(entry.part.as_deref());
        self.tables.push(label, part, &entry.name);
        self.content.update(label.to_le_bytes());
        self.content.update([part]);
        self.content.update(sha256);
        let Size { height, width } = header.size;
        self.resized += usize::from(header.size != self.plan.size);
        self.coloured += usize::from(!header.grey);
        self.smallest = Size { height: self.smallest.height.min(height), width: self.smallest.width.min(width) };
        self.largest = Size { height: self.largest.height.max(height), width: self.largest.width.max(width) };
    }

    fn leave_out(&mut self, index: usize, error: Error) -> Result<()> {
        if self.settings.on_bad_image == OnBadImage::Fail {
            return Err(error);
        }
        self.left_out.push(index as u32);
        if self.bad.len() < NAMED {
            self.bad.push(self.collection.entries()[index].name.clone());
        }
        Ok(())
    }

    fn finished(self) -> Result<(Tables, Summary)> {
        let count = self.tables.labels.len();
        if count == 0 {
            return Err(nothing_left(self.collection));
        }
        let Plan { size, fit, channels } = self.plan;
        let shape = ImageShape { channels, height: size.height as usize, width: size.width as usize };
        let notes = self.notes(count);
        let mut content = self.content;
        content.update(format!("pictures 1\n{shape}\n{}", self.label_names.join("\n")));
        if self.resized > 0 {
            content.update(format!("\n{fit:?}"));
        }
        let summary = Summary {
            name: self.collection.listing().origin.name.clone(),
            shape,
            count,
            label_names: self.label_names,
            fingerprint: hex(&content.finalize()),
            notes,
            left_out: self.left_out,
        };
        Ok((self.tables, summary))
    }

    /// What was chosen and what was left out, one sentence each.
    fn notes(&self, count: usize) -> Vec<String> {
        let mut notes = self.collection.notes().to_vec();
        let (size, all) = (self.plan.size, format!("all {count} pictures"));
        notes.push(match (self.resized, self.settings.size) {
            (0, None) => format!("size {size} (height x width), which {all} have; `--size` scales them"),
            (0, Some(_)) => format!("size {size} (height x width), which {all} have"),
            (resized, _) => {
                let (way, smallest, largest) = (self.settings.fit.done(), self.smallest, self.largest);
                format!("size {size} (height x width): {resized} of {count} pictures are {way} (`--fit`), from {smallest} to {largest}")
            }
        });
        match (self.settings.channels, self.plan.channels, self.coloured) {
            (None, 1, _) => notes.push(format!("1 channel, since {all} are grey; `--channels 3` makes them RGB")),
            (None, _, coloured) if coloured < count => notes.push(format!(
                "3 channels, since {coloured} of {count} pictures have colour; `--channels 1` makes them grey"
            )),
            (Some(1), _, coloured @ 1..) => notes.push(format!("{coloured} of {count} pictures lose their colour")),
            _ => {}
        }
        let bad_count = self.left_out.len();
        if bad_count > 0 {
            notes.push(format!(
                "{bad_count} of {} files are bad and left out: {}",
                bad_count + count,
                listed(&self.bad, bad_count)
            ));
        }
        notes
    }
}

/// The first names, and how many more there are.
fn listed(names: &[String], count: usize) -> String {
    let more = match count - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", names.join(", "))
}

/// 0 for none or train, 1 for validation, 2 for test.
fn part_number(part: Option<&str>) -> u8 {
    match part {
        Some("validation") => 1,
        Some("test") => 2,
        _ => 0,
    }
}

/// The class names in the order of their numbers.
fn label_names(collection: &dyn Collection) -> Vec<String> {
    let mut names = collection.label_names().map(<[String]>::to_vec).unwrap_or_default();
    let known: std::collections::HashSet<_> = names.iter().cloned().collect();
    let found: std::collections::BTreeSet<_> = collection
        .entries()
        .iter()
        .filter_map(|entry| entry.label.as_ref())
        .filter(|label| !known.contains(*label))
        .collect();
    names.extend(found.into_iter().cloned());
    names
}

/// The error for pictures of several sizes, with what there is and what to ask for.
fn mixed_sizes(collection: &dyn Collection, settings: &Settings) -> Error {
    let headers: Vec<_> = (0..collection.entries().len())
        .into_par_iter()
        .filter_map(|index| Some((index, read_header(collection, index).ok()?.size)))
        .collect();
    let mut counts = BTreeMap::new();
    for (_, size) in &headers {
        *counts.entry(*size).or_insert(0_usize) += 1;
    }
    let mut by_count: Vec<_> = counts.into_iter().collect();
    // Sizes of equal count stay in their own order.
    by_count.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let most = by_count.first().map_or(Size { height: 1, width: 1 }, |(size, _)| *size);
    let offenders = headers.iter().filter(|(_, size)| *size != most).take(NAMED);
    let offenders: Vec<_> =
        offenders.map(|(index, size)| format!("{} ({size})", collection.entries()[*index].name)).collect();
    let mut counts: Vec<_> = by_count.iter().take(NAMED).map(|(size, count)| format!("{count} of {size}")).collect();
    if by_count.len() > NAMED {
        counts.push(format!("{} further sizes", by_count.len() - NAMED));
    }
    let found = format!("{}; the first that are not {most}: {}", counts.join(", "), offenders.join(", "));
    let wanted = suggested(&headers.iter().map(|(_, size)| *size).collect::<Vec<_>>());
    let fit = settings.fit.word();
    let help =
        format!("bring them to one size with `--size {wanted} --fit {fit}` (or another size; crop, pad or stretch)");
    Error::data(collection.path(), "image sizes", "pictures of one size", found, help)
}

/// The median height and width: about as many pictures are enlarged as are reduced.
fn suggested(sizes: &[Size]) -> Size {
    let median = |side: fn(&Size) -> u32| {
        let mut sides: Vec<_> = sizes.iter().map(side).collect();
        sides.sort_unstable();
        sides.get(sides.len() / 2).copied().unwrap_or(1)
    };
    Size { height: median(|size| size.height), width: median(|size| size.width) }
}

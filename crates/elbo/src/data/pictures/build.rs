//! One pass over a collection: decode in parallel, write in order, keep nothing.
//!
//! Pictures are taken in chunks of bounded size, so memory does not grow with their number. What is not set is guessed from the first
//! picture, which is right for most sets and saves reading every file twice. A grey guess that meets a colour picture starts again; sizes
//! that differ end the pass, and all headers are read to tell the user what there is.

use std::collections::BTreeMap;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::cache::Tables;
use super::decode::{self, Decoded, Decoder, Fault, Header, Levels, Plan};
use super::summary::Summary;
use super::{Collection, OnBadImage, Settings, Size};
use crate::data::bounds;
use crate::data::idx::hex;
use crate::data::progress::Progress;
use crate::data::source::ImageShape;
use crate::error::{Error, Result};

/// Most bytes of decoded pixels held at a time, as far as one picture for each thread allows.
const CHUNK_BYTES: usize = 16 << 20;
/// Most pictures decoded at a time.
const CHUNK: usize = 2048;
/// Larger pictures go straight into the sink.
const LARGE: usize = 32 << 20;
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
    /// Asks whether there is room for so many bytes.
    fn reserve(&mut self, bytes: u64) -> Result<()>;
}

impl Sink for super::cache::Writer {
    fn write(&mut self, pixels: &[u8]) -> Result<()> {
        Self::write(self, pixels)
    }

    fn restart(&mut self) -> Result<()> {
        Self::restart(self)
    }

    fn reserve(&mut self, bytes: u64) -> Result<()> {
        Self::reserve(self, bytes)
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

    fn reserve(&mut self, _bytes: u64) -> Result<()> {
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
        let bytes = (collection.entries().len() as u64).saturating_mul(plan.bytes() as u64);
        check_room(collection, &plan, bytes)?;
        sink.reserve(bytes)?;
        let mut pass = Pass::new(collection, settings, plan);
        match pass.run(sink, progress)? {
            Outcome::Done => return pass.finished(),
            Outcome::Colour => plan.channels = 3,
            Outcome::Sizes => return Err(mixed_sizes(collection, settings)),
        }
        sink.restart()?;
    }
}

/// Refuses a collection whose pixels would take far more room than its files: kilobytes of one colour that become gigabytes.
fn check_room(collection: &dyn Collection, plan: &Plan, bytes: u64) -> Result<()> {
    /// Honest pictures shrink 2 to 100 times, pages of text in black and white 300 times.
    const RATIO: u64 = 300;
    const FLOOR: u64 = 128 << 20;
    let stored = collection.stored_bytes();
    let most = stored.saturating_mul(RATIO).max(FLOOR);
    if bytes <= most {
        return Ok(());
    }
    let size = bounds::size;
    let expected =
        format!("at most {} of pixels, {RATIO} times the {} on disk or {}", size(most), size(stored), size(FLOOR));
    let found = format!("{} of {} pictures of {}", size(bytes), collection.entries().len(), plan.size);
    let help = "bring them to a smaller size, for example with `--size 64x64`";
    Err(Error::data(collection.path(), "decoded pixels", expected, found, help))
}

/// What is set, and for the rest what the first good picture has.
fn plan(collection: &dyn Collection, settings: &Settings) -> Result<Plan> {
    let (fit, deep) = (settings.fit, settings.is_deep());
    if let (Some(size), Some(channels)) = (settings.size, settings.channels) {
        return Ok(Plan { size, fit, channels: channels.into(), deep });
    }
    for index in 0..collection.entries().len() {
        match read_header(collection, index) {
            Ok(header) => {
                let channels = settings.channels.unwrap_or(if header.grey { 1 } else { 3 });
                let size = settings.size.unwrap_or(header.size);
                return Ok(Plan { size, fit, channels: channels.into(), deep });
            }
            Err(error) if settings.on_bad_image == OnBadImage::Fail => return Err(error),
            Err(_) => {}
        }
    }
    Err(nothing_left(collection))
}

fn read_header(collection: &dyn Collection, index: usize) -> Result<Header> {
    let bytes = collection.bytes(index)?;
    decode::header(&bytes, &collection.entries()[index].name).map_err(|fault| in_file(collection, index, fault))
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
    /// What was decoded, and the sha256 of its file.
    Pixels(Decoded, [u8; 32]),
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
    /// Of three equal channels.
    colourless: usize,
    /// With 16 bits, and which levels of them occur.
    deep: usize,
    levels: Levels,
    /// With further frames or pages.
    animated: usize,
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
            colourless: 0,
            deep: 0,
            levels: Levels::default(),
            animated: 0,
            smallest: Size { height: u32::MAX, width: u32::MAX },
            largest: Size { height: 0, width: 0 },
        }
    }

    fn run(&mut self, sink: &mut dyn Sink, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Outcome> {
        let (total, bytes) = (self.collection.entries().len(), self.plan.bytes());
        if bytes > LARGE {
            return self.run_large(sink, progress);
        }
        let chunk = (CHUNK_BYTES / bytes).clamp(rayon::current_num_threads(), CHUNK).min(total);
        let mut pixels = vec![0; chunk * bytes];
        let mut made = Vec::with_capacity(chunk);
        for start in (0..total).step_by(chunk) {
            let indices = start..total.min(start + chunk);
            let rows = pixels.par_chunks_exact_mut(bytes).zip(indices.clone());
            rows.map_init(Decoder::new, |decoder, (row, index)| self.make(decoder, index, &mut filling(row)))
                .collect_into_vec(&mut made);
            for ((index, row), made) in indices.clone().zip(pixels.chunks_exact(bytes)).zip(made.drain(..)) {
                match self.settled(index, made)? {
                    Some(Outcome::Done) => sink.write(row)?,
                    Some(other) => return Ok(other),
                    None => {}
                }
            }
            progress(Progress::Decode { done: indices.end, total });
        }
        Ok(Outcome::Done)
    }

    /// Large pictures one after another, straight into the sink: no row of them is held beside the decoded picture.
    fn run_large(&mut self, sink: &mut dyn Sink, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Outcome> {
        let (total, mut decoder) = (self.collection.entries().len(), Decoder::new());
        for index in 0..total {
            let mut written = Ok(());
            let made = self.make(&mut decoder, index, &mut |piece| {
                if written.is_ok() {
                    written = sink.write(piece);
                }
            });
            written?;
            if let Some(other @ (Outcome::Colour | Outcome::Sizes)) = self.settled(index, made)? {
                return Ok(other);
            }
            progress(Progress::Decode { done: index + 1, total });
        }
        Ok(Outcome::Done)
    }

    /// Keeps or leaves out a picture: [`Outcome::Done`] if it is kept, nothing if it is left out, else how the pass ends.
    fn settled(&mut self, index: usize, made: Made) -> Result<Option<Outcome>> {
        Ok(match made {
            Made::Pixels(decoded, sha256) => {
                self.keep(index, &decoded, sha256);
                Some(Outcome::Done)
            }
            Made::Refused(header) if self.settings.size.is_none() && header.size != self.plan.size => {
                Some(Outcome::Sizes)
            }
            Made::Refused(_) => Some(Outcome::Colour),
            Made::Bad(error) => {
                self.leave_out(index, error)?;
                None
            }
        })
    }

    fn make(&self, decoder: &mut Decoder, index: usize, put: &mut dyn FnMut(&[u8])) -> Made {
        let bytes = match self.collection.bytes(index) {
            Ok(bytes) => bytes,
            Err(error) => return Made::Bad(error),
        };
        let accept = |header: &Header| self.accepts(header);
        let name = &self.collection.entries()[index].name;
        match decoder.decode_into((&bytes, name), &self.plan, accept, put) {
            Ok(decoded) if self.accepts(&decoded.header) => Made::Pixels(decoded, Sha256::digest(&bytes).into()),
            Ok(decoded) => Made::Refused(decoded.header),
            Err(fault) => Made::Bad(in_file(self.collection, index, fault)),
        }
    }

    fn accepts(&self, header: &Header) -> bool {
        let size = self.settings.size.is_some() || header.size == self.plan.size;
        let colour = self.settings.channels.is_some() || self.plan.channels == 3 || header.grey;
        size && colour
    }

    fn keep(&mut self, index: usize, decoded: &Decoded, sha256: [u8; 32]) {
        let header = decoded.header;
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
        self.colourless += usize::from(!header.grey && decoded.colourless);
        self.deep += usize::from(header.deep);
        self.animated += usize::from(header.more);
        if let Some(levels) = &decoded.levels {
            self.levels.join(levels);
        }
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
        let Plan { size, fit, channels, deep } = self.plan;
        let shape = ImageShape { channels, height: size.height as usize, width: size.width as usize };
        let (notes, warnings) = (self.notes(count), self.warnings(count));
        let mut content = self.content;
        content.update(format!("pictures 1\n{shape}\n{}", self.label_names.join("\n")));
        if self.resized > 0 {
            content.update(format!("\n{fit:?}"));
        }
        if deep {
            content.update("\n16 bits");
        }
        let summary = Summary {
            name: self.collection.listing().origin.name.clone(),
            shape,
            count,
            label_names: self.label_names,
            fingerprint: hex(&content.finalize()),
            notes,
            warnings,
            deep,
            left_out: self.left_out,
        };
        Ok((self.tables, summary))
    }

    /// What is likely to spoil the result.
    fn warnings(&self, count: usize) -> Vec<String> {
        let mut warnings = self.collection.warnings().to_vec();
        let (all, left) = self.levels.counts();
        if left < all {
            warnings.push(format!(
                "16 bits become 8 in {} of {count} pictures, and of {all} levels {left} are left; `--set data.depth=16` keeps them all",
                self.deep
            ));
        }
        warnings
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
            (None, 3, coloured @ 1..) if self.colourless == coloured => notes.push(format!(
                "3 channels, all equal: {coloured} of {count} pictures are grey stored as colour; `--channels 1` makes them grey"
            )),
            (None, _, coloured) if coloured < count => notes.push(format!(
                "3 channels, since {coloured} of {count} pictures have colour; `--channels 1` makes them grey"
            )),
            (Some(1), _, coloured @ 1..) => notes.push(format!("{coloured} of {count} pictures lose their colour")),
            _ => {}
        }
        if self.deep > 0 && self.plan.deep {
            notes.push(format!("{} of {count} pictures have 16 bits, and all values are level / 65535", self.deep));
        }
        if self.animated > 0 {
            let (n, have) = (self.animated, if self.animated == 1 { "has" } else { "have" });
            notes.push(format!("{n} of {count} pictures {have} further frames or pages: only the first is taken"));
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

/// Takes pieces one after another into `row`.
fn filling(row: &mut [u8]) -> impl FnMut(&[u8]) {
    let mut place = 0;
    move |piece| {
        row[place..place + piece.len()].copy_from_slice(piece);
        place += piece.len();
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

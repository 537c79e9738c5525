//! Runs and images as commands name them.

use std::path::Path;

use elbo::data::{Splits, Subset};
use elbo::generation::CodeDecoder;
use elbo::tasks::{OwnData, Reading, Run, Shown};

use crate::args::{Source, SplitName};
use crate::output::warn_of_damage;

/// A loaded run and the images it is shown.
pub struct Opened {
    pub run: Run,
    /// Name of the split, as reports tell it.
    pub name: &'static str,
    /// Its parts; more than one only for `all`.
    pub parts: Vec<Subset>,
}

impl Opened {
    /// The one split most commands work on: the first part that is not empty.
    pub fn first(&self) -> &Subset {
        self.parts.iter().find(|part| !part.is_empty()).unwrap_or(&self.parts[0])
    }
}

impl Opened {
    /// The same with the first so many residual codes of each vector, where a depth was asked for.
    pub fn at_depth(self, depth: Option<usize>) -> elbo::Result<Self> {
        match depth {
            Some(depth) => Ok(Self { run: self.run.at_depth(depth)?, ..self }),
            None => Ok(self),
        }
    }
}

/// Loads a run, and says so when its newest weights are damaged and older ones are taken.
pub fn load(path: &Path, checkpoint: Option<&str>, device: &str) -> elbo::Result<Run> {
    load_reading(path, checkpoint, Reading::default(), device)
}

/// The same, with its data where and as they are said to be.
pub fn load_reading(path: &Path, checkpoint: Option<&str>, reading: Reading, device: &str) -> elbo::Result<Run> {
    let mut run = Run::open(path, checkpoint, &elbo::device::choose(device)?)?;
    run.reading = reading;
    warn_of_damage(&run.passed_over);
    Ok(run)
}

fn load_source(source: &Source, device: &str) -> elbo::Result<Run> {
    load_reading(&source.run, source.checkpoint.as_deref(), source.reading.settings()?, device)
}

/// Loads a run that encodes to vectors, which is asked before its images are looked for, and opens the images.
pub fn open(source: &Source, device: &str, wanted_by: &str) -> anyhow::Result<Opened> {
    let run = load_source(source, device)?;
    run.encoder(wanted_by)?;
    Ok(opened(run, source)?.0)
}

/// The same for a run that encodes to anything and decodes.
pub fn open_autoencoder(source: &Source, device: &str, wanted_by: &str) -> anyhow::Result<Opened> {
    let run = load_source(source, device)?;
    if run.symbol_space().is_none() {
        run.encoder(wanted_by)?;
    }
    Ok(opened(run, source)?.0)
}

/// The same, with all that there is of the data.
pub fn open_with_splits(source: &Source, device: &str) -> anyhow::Result<(Opened, Splits)> {
    opened(load_source(source, device)?, source)
}

/// Opens the images. Where they are the run's own, whatever else opens those looks for them there too.
pub fn shown(run: &mut Run, data: Option<&str>) -> elbo::Result<Shown> {
    let shown = run.open_shown(data)?;
    if let (true, Some(data)) = (shown.is_own, data) {
        run.reading.data = Some(data.to_owned());
    }
    Ok(shown)
}

fn opened(mut run: Run, source: &Source) -> anyhow::Result<(Opened, Splits)> {
    let OwnData { chosen: splits, complete, .. } = shown(&mut run, source.data.as_deref())?.data;
    let split = source.split.unwrap_or(default_split(source));
    // All images are all there are, whichever the run was trained on.
    let (name, parts) = chosen(if split == SplitName::All { complete } else { splits.clone() }, split)?;
    Ok((Opened { run, name, parts }, splits))
}

/// Loads the run with its own data, and opens the images with all their classes, whatever the run was trained on.
pub fn open_complete(source: &Source, device: &str) -> anyhow::Result<(Opened, OwnData)> {
    let mut run = load_source(source, device)?;
    let shown = shown(&mut run, source.data.as_deref())?;
    let own = if shown.is_own { shown.data.clone() } else { run.open_own_beside()? };
    let (name, parts) = chosen(shown.data.complete, source.split.unwrap_or(default_split(source)))?;
    Ok((Opened { run, name, parts }, own))
}

fn default_split(source: &Source) -> SplitName {
    if source.data.is_some() { SplitName::All } else { SplitName::Test }
}

/// A split that has images.
fn chosen(splits: Splits, split: SplitName) -> elbo::Result<(&'static str, Vec<Subset>)> {
    let (name, parts) = choose(splits, split);
    if parts.iter().all(Subset::is_empty) {
        let help = "the run held no such images back; choose another `--split`";
        return Err(elbo::Error::config("--split", "a split with images", format!("an empty `{name}`"), help));
    }
    Ok((name, parts))
}

fn choose(splits: Splits, split: SplitName) -> (&'static str, Vec<Subset>) {
    match split {
        SplitName::Train => ("train", vec![splits.train]),
        SplitName::Validation => ("validation", splits.validation.into_iter().collect()),
        SplitName::Test => ("test", vec![splits.test]),
        SplitName::All => ("all", all(splits)),
    }
}

/// Every image once, in the data set's order: the training file's, then the test file's where that is another.
pub fn all(splits: Splits) -> Vec<Subset> {
    let mut parts = vec![splits.train.whole()];
    if !std::sync::Arc::ptr_eq(splits.train.source(), splits.test.source()) {
        parts.push(splits.test);
    }
    parts
}

/// Images of a split by their places in it: their posterior means, `[places, latent]`, and their classes, empty where there are none.
pub fn codes_at(run: &Run, split: &Subset, places: &[usize], flag: &str) -> elbo::Result<(Vec<f32>, Vec<u32>)> {
    let images = split.select(&checked(split, places, flag)?);
    let codes = run.explained(flag, elbo::evaluation::encode(run.model.as_ref(), &images, &run.device))?;
    Ok((codes.mean, codes.labels.unwrap_or_default()))
}

/// The class of this name, for a conditional model; no other has a use for one.
pub fn class(run: &Run, name: Option<&str>) -> elbo::Result<Option<u32>> {
    let Some(name) = name else { return Ok(None) };
    let classes = &run.info.data.classes;
    if !run.model.needs().class {
        let (found, help) = (format!("`{name}`"), "conditional models have one: `elbo train mnist-cvae`");
        return Err(elbo::Error::config("--class", "nothing: this model is told no class", found, help));
    }
    match classes.iter().position(|class| class == name) {
        Some(place) => Ok(Some(place as u32)),
        None => {
            let help = "classes are named as in the data";
            Err(elbo::Error::config("--class", format!("one of {}", classes.join(", ")), format!("`{name}`"), help))
        }
    }
}

/// The decoder of a run, of the class of this name where it is conditional.
pub fn decoder<'a>(run: &'a Run, wanted_by: &str, name: Option<&str>) -> elbo::Result<CodeDecoder<'a>> {
    let decoder = run.decoder(wanted_by)?;
    Ok(class(run, name)?.map_or(decoder, |class| decoder.of_class(class)))
}

/// Refuses results that are no finite numbers: a file of them would look like a result.
pub fn finite(run: &Run, made_by: &str, values: &[f32]) -> elbo::Result<()> {
    let Some(place) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let found = format!("{} at value {place}", values[place]);
    let help = "the weights or the input are far out of range: look at `elbo eval RUN`, or take another `--checkpoint`";
    Err(elbo::Error::model(run.dir.path(), made_by, "finite numbers", found, help))
}

/// Places that a split has.
pub fn checked(split: &Subset, places: &[usize], flag: &str) -> elbo::Result<Vec<u32>> {
    match places.iter().find(|place| **place >= split.len()) {
        None => Ok(places.iter().map(|place| *place as u32).collect()),
        Some(place) => {
            let expected = format!("a place from 0 to {}", split.len().saturating_sub(1));
            Err(elbo::Error::config(flag, expected, place.to_string(), "choose another image"))
        }
    }
}

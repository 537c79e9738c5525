//! Runs and images as commands name them.

use std::path::Path;

use elbo::data::{Splits, Subset};
use elbo::experiment::{OwnData, Trained};

use crate::args::{Source, SplitName};
use crate::output::warn_of_damage;

/// A loaded run and the images it is shown.
pub struct Opened {
    pub run: Trained,
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

/// Loads a run, and says so when its newest weights are damaged and older ones are taken.
pub fn load(path: &Path, checkpoint: Option<&str>, device: &str) -> elbo::Result<Trained> {
    let run = Trained::load(path, checkpoint, &elbo::device::choose(device)?)?;
    warn_of_damage(&run.passed_over);
    Ok(run)
}

/// Loads the run and opens the images.
pub fn open(source: &Source, device: &str) -> anyhow::Result<Opened> {
    Ok(open_with_splits(source, device)?.0)
}

/// The same, with all that there is of the data.
pub fn open_with_splits(source: &Source, device: &str) -> anyhow::Result<(Opened, Splits)> {
    let run = load(&source.run, source.checkpoint.as_deref(), device)?;
    let (splits, complete, default) = match &source.data {
        Some(data) => {
            let splits = run.open_data(Some(data))?;
            (splits.clone(), splits, SplitName::All)
        }
        None => {
            let OwnData { chosen, complete } = run.open_own()?;
            (chosen, complete, SplitName::Test)
        }
    };
    let split = source.split.unwrap_or(default);
    // All images are all there are, whichever the run was trained on.
    let (name, parts) = chosen(if split == SplitName::All { complete } else { splits.clone() }, split)?;
    Ok((Opened { run, name, parts }, splits))
}

/// Loads the run with its own data, and opens the images with all their classes, whatever the run was trained on.
pub fn open_complete(source: &Source, device: &str) -> anyhow::Result<(Opened, OwnData)> {
    let run = load(&source.run, source.checkpoint.as_deref(), device)?;
    let own = run.open_own()?;
    let (splits, default) = match &source.data {
        Some(data) => (run.open_data(Some(data))?, SplitName::All),
        None => (own.complete.clone(), SplitName::Test),
    };
    let (name, parts) = chosen(splits, source.split.unwrap_or(default))?;
    Ok((Opened { run, name, parts }, own))
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

/// The posterior means of images of a split, by their places in it. `[places, latent]`
pub fn codes_at(run: &Trained, split: &Subset, places: &[usize], flag: &str) -> elbo::Result<Vec<f32>> {
    Ok(elbo::evaluation::encode(&run.model, &split.select(&checked(split, places, flag)?), &run.device).mean)
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

//! Where a run's data lie now, and how they are read: what may change without the data becoming others.
//!
//! Location is no identity. A run's data are looked for where its configuration says, where they were found when it was trained, and below
//! `$ELBO_DATA`; or where [`Reading::data`] says. The fingerprint decides whether what is found there is what the run was trained on.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use toml::Value;

use super::codes;
use super::run::{Run, check_fingerprint};
use crate::data::idx::hex;
use crate::data::pictures::Size;
use crate::data::source::ImageShape;
use crate::data::{self, DataConfig, Progress, Splits, Subset, Validation};
use crate::error::{Error, Result};
use crate::recipe::{Layers, RunConfig};
use crate::run::directory::{RunDir, RunInfo};

/// Where data are looked for, and which settings of `[data]` are others than the run's.
///
/// ```
/// use elbo::tasks::Reading;
///
/// let mut reading = Reading::default();
/// reading.set("data.missing=drop")?;
/// assert!(reading.set("model.latent=3").is_err(), "the model is trained already");
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Where the run's own data lie now, when that is neither where they were nor below `$ELBO_DATA`.
    pub data: Option<String>,
    settings: Vec<(String, Value)>,
}

impl Reading {
    /// What says how the run's own data are read, and leaves them the same.
    pub const KEYS: [&str; 5] = ["data.label", "data.id", "data.on_bad_image", "data.missing", "data.cache"];

    /// Sets `data.KEY=value`, value in TOML or a plain word.
    ///
    /// # Errors
    /// [`Error::Config`] for a key of another table, or none.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let (key, value) = Layers::assignment(assignment)?;
        self.put(&key, value)
    }

    /// Sets a dotted key of `[data]`.
    ///
    /// # Errors
    /// As [`Reading::set`].
    pub fn put(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        if !key.starts_with("data.") || key == "data.source" {
            let help = "the run is trained: only how data are read can change, for example `--set data.missing=drop`; other data come with `--data`";
            return Err(Error::config("set", "a key of [data] such as `data.missing`", format!("`{key}`"), help));
        }
        let value = value.into();
        // What is no key, or of another type, is told before anything is opened.
        Layers::from_text("defaults", "")?.put(key, value.clone())?;
        self.settings.push((key.to_owned(), value));
        Ok(())
    }

    /// A run's `[data]` with these settings.
    fn applied(&self, config: &RunConfig) -> Result<DataConfig> {
        if self.settings.is_empty() {
            return Ok(config.data.clone());
        }
        let mut layers = Layers::from_text("config.toml", &config.to_toml())?;
        self.settings.iter().try_for_each(|(key, value)| layers.put(key, value.clone()))?;
        Ok(layers.build()?.data)
    }

    /// The same with the data that are shown, whatever the configuration's own are.
    pub(super) fn shown(&self, config: &RunConfig) -> Result<DataConfig> {
        let mut data = self.applied(config)?;
        if let Some(source) = &self.data {
            data.source.clone_from(source);
        }
        Ok(data)
    }

    /// The same settings for data that are where their run knows them to be.
    #[must_use]
    pub fn at_known_places(&self) -> Self {
        Self { data: None, ..self.clone() }
    }

    /// The same for the run's own data, of which nothing may change that decides what the model saw.
    fn of_own(&self, config: &RunConfig) -> Result<DataConfig> {
        let (own, changed) = (&config.data, self.applied(config)?);
        let DataConfig { label, id, on_bad_image, missing, cache, .. } = changed.clone();
        let relabelled = label != own.label && (own.limit > 0 || !own.labels.is_empty());
        let kept = DataConfig { label, id, on_bad_image, missing, cache, ..own.clone() };
        if kept == changed && !relabelled {
            return Ok(changed);
        }
        let fixed = |(key, _): &&(String, Value)| !Self::KEYS.contains(&key.as_str()) || relabelled;
        let key = self.settings.iter().find(fixed).map_or("data", |(key, _)| key.as_str());
        let expected = "nothing for the run's own data, which are split and read as in training";
        let help = "leave it away, or show the run other data with `--data DATA`";
        Err(Error::config(key, expected, "another value than the run's", help))
    }
}

/// The data of a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OwnData {
    /// What it was trained on and is judged by. All parts hold only the classes of `data.labels`.
    pub chosen: Splits,
    /// The same parts with all classes: what anomalies are looked for in.
    pub complete: Splits,
}

/// Data that a run is shown.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Shown {
    /// The data, and all of them.
    pub data: OwnData,
    /// Whether they are the run's own, by their content.
    pub is_own: bool,
}

impl Run {
    /// Opens the run's own data, or other data of the same image shape, split with the run's seed. Nothing of other data is held back for
    /// validation, and all classes are taken. Pictures are brought to the size and channels of the run's; of another table, the columns of the run are taken, standardised
    /// as the run's were. Data with the content of the run's own are the run's own, wherever they lie.
    ///
    /// # Errors
    /// As [`data::open`]; [`Error::Data`] if the shape or, for the run's own data, the content is another.
    pub fn open_data(&self, source: Option<&str>) -> Result<Splits> {
        Ok(self.open_shown(source)?.data.chosen)
    }

    /// [`Run::open_data`], with all classes beside what was chosen.
    ///
    /// # Errors
    /// As [`Run::open_data`].
    pub fn open_shown(&self, source: Option<&str>) -> Result<Shown> {
        let Some(source) = source else { return Ok(Shown { data: self.open_own()?, is_own: true }) };
        let config = self.other_data(source)?;
        let other = self.checked(data::open_complete(&config, self.seed(), self.columns(), &mut |_| {})?, source)?;
        let same = other.train.source().fingerprint() == self.info.data.fingerprint;
        if same && self.info.origin.is_none() && self.reading.of_own(&self.config).is_ok() {
            let reading = Reading { data: Some(source.to_owned()), ..self.reading.clone() };
            return Ok(Shown { data: self.open_own_as(&reading)?, is_own: true });
        }
        Ok(Shown { data: OwnData { chosen: other.clone(), complete: other }, is_own: false })
    }

    /// Opens the run's own data: what `data.labels` and `data.limit` chose of them, and all of them. They are looked for as [`Run::reading`] tells.
    ///
    /// # Errors
    /// As [`Run::open_data`]; [`Error::Data`] if they are nowhere to be found.
    pub fn open_own(&self) -> Result<OwnData> {
        self.open_own_as(&self.reading)
    }

    /// [`Run::open_own`] where other data are shown, so that it is no use to say where the run's own are by the same flag.
    ///
    /// # Errors
    /// As [`Run::open_own`].
    pub fn open_own_beside(&self) -> Result<OwnData> {
        let (own, location) = (&self.config.data, self.info.data.location.as_deref());
        let unsaid = self.info.origin.is_none() && self.reading.data.is_none();
        if unsaid && candidates(own, location, None).is_empty() {
            let run = self.dir.quoted();
            let help = format!(
                "`--data` names others here: `elbo resume {run} --data PATH` once, and the run remembers where its own are; or ELBO_DATA names a \
                 folder above them"
            );
            return Err(nowhere(&own.source, help));
        }
        self.open_own()
    }

    /// [`Run::open_own`], read otherwise than [`Run::reading`] tells.
    ///
    /// # Errors
    /// As [`Run::open_own`].
    pub fn open_own_as(&self, reading: &Reading) -> Result<OwnData> {
        let complete = open_own(&self.dir, &self.info, &self.config, reading, &mut |_| {})?;
        let complete = self.checked(complete.splits, &complete.config.source)?;
        let chosen = chosen(complete.clone(), &self.config, &self.info)?;
        Ok(OwnData { chosen, complete })
    }

    fn seed(&self) -> u64 {
        self.config.training.seed
    }

    fn other_data(&self, source: &str) -> Result<DataConfig> {
        let ImageShape { channels, height, width } = self.shape;
        let side = |pixels: usize| u32::try_from(pixels).ok();
        let size = side(height).zip(side(width)).map(|(height, width)| Size { height, width });
        let applied = self.reading.applied(&self.config)?;
        let asked = |key: &str| self.reading.settings.iter().any(|(name, _)| name == key);
        Ok(DataConfig {
            source: source.into(),
            labels: if asked("data.labels") { applied.labels.clone() } else { Vec::new() },
            limit: if asked("data.limit") { applied.limit } else { 0 },
            validation: if asked("data.validation") { applied.validation } else { Validation::NONE },
            size: applied.size.or(size),
            channels: Some(channels as u8).filter(|channels| [1, 3].contains(channels)),
            location: None,
            ..applied
        })
    }
}

/// A run's own data as they were found.
pub(super) struct Found {
    /// All of them.
    pub splits: Splits,
    /// The settings that they were opened with, `source` being where they are.
    pub config: DataConfig,
}

/// Opens the data of a run in `dir`: what its configuration names, wherever that lies now, or the codes that lie in it.
pub(super) fn open_own(
    dir: &RunDir,
    info: &RunInfo,
    config: &RunConfig,
    reading: &Reading,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Found> {
    let (own, seed) = (reading.of_own(config)?, config.training.seed);
    if info.origin.is_some() {
        let splits = codes::open_codes(dir, info, &own, seed)?;
        check_fingerprint(info, &splits, &own.source)?;
        return Ok(Found { splits, config: own });
    }
    let mut first = None;
    for candidate in candidates(&own, info.data.location.as_deref(), reading.data.as_deref()) {
        let opened = data::open_complete(&candidate, seed, None, progress);
        let same = opened.and_then(|splits| {
            check_fingerprint(info, &splits, &candidate.source)?;
            Ok(splits)
        });
        match same {
            Ok(splits) => return Ok(Found { splits, config: candidate }),
            Err(error) => drop(first.get_or_insert(error)),
        }
    }
    Err(first.unwrap_or_else(|| {
        let run = dir.quoted();
        let help = format!(
            "add `--data PATH` to say where they are now, or `elbo resume {run} --data PATH` once, so that the run remembers; ELBO_DATA may name a \
             folder above them. Their content decides whether they are the same"
        );
        nowhere(&own.source, help)
    }))
}

/// What training sees of a run's own data.
///
/// # Errors
/// [`Error::Data`] if that are others than it has seen.
pub(super) fn chosen(complete: Splits, config: &RunConfig, info: &RunInfo) -> Result<Splits> {
    let splits = data::chosen(complete, &config.data, config.training.seed)?;
    let (found, known) = (indices_sha256(&splits.train), &info.data.train_sha256);
    let help = "the run is of a version of elbo that chose other examples: train it again with this one";
    let refused = |found| Err(Error::data(&config.data.source, "training examples", "those of the run", found, help));
    match known {
        Some(known) if *known != found => refused("others"),
        None if config.data.limit > 0 => refused("the first ones, where `data.limit` now chooses at random"),
        _ => Ok(splits),
    }
}

/// sha256 over the indices of a part, little-endian u32 each: which examples these are.
pub(super) fn indices_sha256(part: &Subset) -> String {
    let bytes: Vec<u8> = part.indices().iter().flat_map(|index| index.to_le_bytes()).collect();
    hex(&Sha256::digest(bytes))
}

/// Where a run's data may be, the likeliest place first: only `given`, if it is; else where the configuration says, where they were found in
/// training, and at the end of their path below `$ELBO_DATA`.
fn candidates(own: &DataConfig, location: Option<&Path>, given: Option<&str>) -> Vec<DataConfig> {
    let at = |source: &str| DataConfig { source: source.to_owned(), ..own.clone() };
    if let Some(given) = given {
        // A folder with the files of a known set is that set.
        let folder = Path::new(given).is_dir() && data::is_known(&own.source);
        return vec![match folder {
            true => DataConfig { location: Some(given.into()), ..own.clone() },
            false => at(given),
        }];
    }
    if data::is_named(&own.source) {
        return vec![DataConfig { location: location.map(Path::to_owned), ..own.clone() }];
    }
    let path = Path::new(&own.source);
    let mut places = vec![data::located(path)];
    places.extend(location.map(Path::to_owned));
    places.extend(ends(path).into_iter().filter_map(below_elbo_data));
    places.retain(|place| place.exists());
    places.dedup();
    places.iter().filter_map(|place| place.to_str()).map(at).collect()
}

/// The ends of a path, longest first: `b/c` and `c` of `/a/b/c` after `a/b/c`.
fn ends(path: &Path) -> Vec<PathBuf> {
    let names: Vec<_> = path.iter().filter(|name| *name != "/" && *name != "..").collect();
    (0..names.len()).map(|from| names[from..].iter().collect()).collect()
}

fn below_elbo_data(end: PathBuf) -> Option<PathBuf> {
    std::env::var_os("ELBO_DATA").filter(|data| !data.is_empty()).map(|data| Path::new(&data).join(end))
}

fn nowhere(source: &str, help: String) -> Error {
    Error::data(source, "source", "the data that the run was trained on", "nothing there", help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_is_what_may_lie_elsewhere() {
        let found: Vec<String> = ends(Path::new("/a/b/c.csv")).iter().map(|end| end.display().to_string()).collect();
        assert_eq!(found, ["a/b/c.csv", "b/c.csv", "c.csv"]);
    }

    #[test]
    fn what_decides_what_the_model_saw_does_not_change() {
        let config = Layers::from_text("mine", "[data]\nsource = 'a.csv'\nlabels = ['x']\nlabel = 'kind'").unwrap();
        let config = config.build().unwrap();
        let read = |settings: &[&str]| {
            let mut reading = Reading::default();
            settings.iter().for_each(|setting| reading.set(setting).unwrap());
            reading.of_own(&config)
        };
        assert_eq!(read(&["data.missing=drop", "data.id=patient"]).unwrap().id.as_deref(), Some("patient"));
        assert_eq!(read(&["data.test=0.1"]).unwrap(), config.data, "the run's own value is no change");
        for setting in ["data.test=0.5", "data.limit=3", "data.label=other", "data.columns=['a']"] {
            let error = read(&[setting]).unwrap_err().to_string();
            assert!(error.contains(setting.split('=').next().unwrap()), "{error}");
        }
        assert!(Reading::default().set("data.misssing=drop").unwrap_err().help().contains("data.missing"));
    }
}

//! From the name or path in a recipe to splits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::binarize::{Binarization, Binarize};
use super::cache_folder::{Network, Places};
use super::cifar10;
use super::classes;
use super::codes;
use super::config::{DataConfig, located};
use super::digits;
use super::known;
use super::pictures;
use super::progress::Progress;
use super::source::{Columns, InMemory, Source};
use super::split::{self, Splits, Subset};
use super::sprites::Sprites;
use super::table;
use super::unknown;
use crate::error::{Error, Result};
use crate::space::Domain;

/// Opens the source and splits it; `seed` decides what a generator makes and what is held out.
///
/// A known set that is not on this machine is downloaded, unless the environment variable `ELBO_OFFLINE` is set; `progress` is told how far
/// that is.
///
/// # Errors
/// [`Error::Data`] or [`Error::Download`] when the source cannot be read, [`Error::Config`] when the splits cannot be made.
///
/// ```
/// use elbo::data::{self, DataConfig};
///
/// let config = DataConfig { count: 200, ..Default::default() };
/// let splits = data::open(&config, 0, &mut |_| {}).unwrap();
/// assert_eq!((splits.train.len(), splits.test.len()), (180, 33));
/// ```
pub fn open(config: &DataConfig, seed: u64, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Splits> {
    config.check_keys()?;
    open_for(config, seed, None, progress)
}

/// [`open`] for a model that is trained: `columns` are those of the table it was trained on. Its names are looked for and its means and
/// deviations used; what only training needs, such as labels, may be absent.
///
/// # Errors
/// As [`open`].
pub fn open_for(
    config: &DataConfig,
    seed: u64,
    columns: Option<&Columns>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    let complete = open_complete(config, seed, columns, progress)?;
    let of_classes = classes::of_classes(complete, &config.labels)?;
    let before = of_classes.train.len();
    let splits = limited(of_classes, config.limit, seed);
    if splits.train.len() < before {
        progress(Progress::Note(&limit_note(splits.train.len(), before, seed)));
    }
    Ok(splits)
}

/// What `data.limit` did, in words.
fn limit_note(count: usize, of: usize, seed: u64) -> String {
    format!(
        "{count} of {of} training examples, chosen at random by the seed {seed}, of each class its share (`data.limit`)"
    )
}

/// What `data.labels` and `data.limit` leave of the splits of [`open_complete`].
pub(crate) fn chosen(complete: Splits, config: &DataConfig, seed: u64) -> Result<Splits> {
    Ok(limited(classes::of_classes(complete, &config.labels)?, config.limit, seed))
}

/// Where the configured data lie now, as a path that does not depend on the folder or the environment of the command; none for what is generated.
///
/// A run keeps it, so that its data are found again.
pub(crate) fn location(config: &DataConfig) -> Option<PathBuf> {
    let name = config.source.as_str();
    let found = match name {
        "digits" | "sprites" => None,
        name if is_known(name) => {
            let places = Places::from_env(name, config.location.as_deref());
            places.folders.into_iter().find(|folder| folder.is_dir())
        }
        path => Some(located(Path::new(path))),
    };
    found?.canonicalize().ok()
}

/// [`open_for`] before examples are chosen: all classes, and all training images.
pub(crate) fn open_complete(
    config: &DataConfig,
    seed: u64,
    columns: Option<&Columns>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    config.check()?;
    let splits = match config.source.as_str() {
        "digits" => {
            // One generator, two seeds: no test image is a training image.
            let train = digits::generate(seed, config.count);
            let test = digits::generate(seed ^ TEST_SEED, (config.count / 6).max(1));
            with_test(train, test, config, seed)
        }
        "sprites" => split::split_single(Arc::new(Sprites::new()), config.test, config.validation, seed),
        cifar10::NAME => {
            let places = Places::from_env(cifar10::NAME, config.known_folder());
            let (settings, division) = (config.picture_settings(), config.division(seed));
            cifar10::open(&places.folders, places.cache.as_deref(), network(), &settings, division, progress)
        }
        name if known::known_names().any(|known| known == name) => {
            let (train, test) = known::load_observed(name, config.known_folder(), network(), progress)?;
            with_test(train, test, config, seed)
        }
        codes::SOURCE if !located(Path::new(codes::SOURCE)).exists() => {
            let help = "`elbo train RECIPE --codes-of RUN` trains on the codes of a run; other data: `--data DATA`";
            return Err(Error::config("data.source", "data of its own", "`codes`, but of no run", help));
        }
        path => open_path(Path::new(path), config, seed, columns, progress),
    }?;
    binarized(splits, config.binarize, seed)
}

/// Makes all parts binary, where the pixels are bytes.
fn binarized(splits: Splits, binarize: Binarize, seed: u64) -> Result<Splits> {
    let domain = splits.train.source().domain();
    if binarize != Binarize::None && domain != Domain::Levels {
        let help = "real numbers are no probabilities of ink: leave `data.binarize` away";
        return Err(Error::config("data.binarize", "none for data of real numbers", "another", help));
    }
    let binarized = |part: Subset| part.binarized(Binarization { binarize, seed });
    Ok(Splits {
        train: binarized(splits.train),
        validation: splits.validation.map(binarized),
        test: binarized(splits.test),
        ..splits
    })
}

/// Whether a source is called by name rather than by path: what is generated, what is published, and the codes of a run.
pub(crate) fn is_named(source: &str) -> bool {
    ["digits", "sprites", codes::SOURCE].contains(&source) || is_known(source)
}

/// Whether a source is a published set, called by name.
pub(crate) fn is_known(source: &str) -> bool {
    known::known_names().any(|known| known == source)
}

/// Flips the seed of the test part of a generated set.
const TEST_SEED: u64 = 0x7465_7374_5f73_6574;

fn network() -> Network {
    if std::env::var_os("ELBO_OFFLINE").is_some() { Network::Offline } else { Network::Allowed }
}

fn with_test(train: InMemory, test: InMemory, config: &DataConfig, seed: u64) -> Result<Splits> {
    split::split_with_test(Arc::new(train), Arc::new(test), config.validation, seed)
}

fn open_path(
    path: &Path,
    config: &DataConfig,
    seed: u64,
    columns: Option<&Columns>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Splits> {
    let found = located(path);
    let path = found.as_path();
    if !path.exists() {
        let name = path.to_string_lossy();
        let names = || ["digits", "sprites"].into_iter().chain(known::known_names());
        let list = names().collect::<Vec<_>>().join(", ");
        let help = match crate::suggest::did_you_mean(&name, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if path.starts_with("faces") => FACES.into(),
            None => "check the path for a typing mistake".into(),
        };
        return Err(Error::data(path, "source", format!("one of {list}, or a path that exists"), "neither", help));
    }
    if let Some(format) = table::format_of(path) {
        return table::open(path, format, config, seed, columns, progress);
    }
    if !known::is_idx_folder(path) && pictures::holds_pictures(path) {
        return pictures::open_path(path, &config.picture_settings(), config.division(seed), progress);
    }
    if path.is_file() && !unknown::looks_like_idx(path) {
        return Err(unknown::refuse(path));
    }
    match known::open_idx(path)? {
        (train, Some(test)) => with_test(train, test, config, seed),
        (all, None) => split::split_single(Arc::new(all) as Arc<dyn Source>, config.test, config.validation, seed),
    }
}

/// What the recipe `faces` needs.
const FACES: &str = "the ORL faces are not downloaded: put their 40 folders of pictures into `faces/orl` here or in `$ELBO_DATA`, or give another folder of \
                     faces with `--data FOLDER --size 56x46`";

/// At most `limit` training examples, as [`Subset::sampled`] chooses them; all for 0.
fn limited(mut splits: Splits, limit: usize, seed: u64) -> Splits {
    if limit > 0 {
        splits.train = splits.train.sampled(limit, seed);
    }
    splits
}

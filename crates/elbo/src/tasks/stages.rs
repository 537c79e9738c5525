//! The later stages of a recipe: priors over the codes of the run, trained one after the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::run::Run;
use super::samplers::{FitSettings, PriorRun};
use super::train::TrainingRun;
use crate::data::Progress;
use crate::error::{Error, Result};
use crate::priors::prior_config;
use crate::recipe::{LaterStage, Stages};
use crate::run::directory::{MAX_CONFIG_BYTES, RunDir, STAGES_FILE};

/// The next stage that is open in a run whose recipe has several: begun, or taken up where it was cut short. None once all are done, and for a run
/// of one stage. A stage whose codes are of other weights than its run now has is trained anew.
///
/// # Errors
/// As [`TrainingRun::create_prior`] and [`TrainingRun::resume`]; [`Error::Model`] if the stages that the run notes are damaged.
///
/// ```
/// use elbo::recipe::StagedLayers;
/// use elbo::tasks::{TrainingRun, next_stage};
/// use elbo::training::{Quiet, Stop};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let mut layers = StagedLayers::from_recipe("digits-maf")?;
/// for setting in ["data.count=200", "network.hidden=[32]", "model.latent=2", "training.epochs=1", "maf.epochs=1"] {
///     layers.set(setting)?;
/// }
/// let (path, device) = (folder.path().join("run"), elbo::device::choose("cpu")?);
/// let first = TrainingRun::create_staged(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// first.train(&mut Quiet, &Stop::new())?;
/// while let Some(stage) = next_stage(&path, &device, "cpu", &mut |_| {})? {
///     stage.train(&mut Quiet, &Stop::new())?;
/// }
/// assert!(path.join("priors/maf/report.html").is_file());
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn next_stage(
    run: &Path,
    device: &Device,
    device_name: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Option<TrainingRun>> {
    let mut folders: BTreeMap<String, PathBuf> = BTreeMap::new();
    for stage in later(&RunDir::open(run)?)? {
        // What is no later stage is the first, which is the run itself.
        let parent = folders.get(&stage.codes_of).cloned().unwrap_or_else(|| run.to_owned());
        let parent = Run::open(parent, None, device)?;
        let path = parent.dir.prior(&stage.name);
        let settings = FitSettings { codes: stage.codes, seed: parent.config.training.seed };
        match PriorRun::find(&parent, &stage.name)?.filter(|prior| prior.serves(&parent.origin(settings), stage.codes))
        {
            Some(prior) if prior.is_complete() => {}
            Some(_) => return TrainingRun::resume(path, None, device, device_name, progress).map(Some),
            None => {
                let config = prior_config(stage.layers()?, parent.latent(), settings.seed, &[])?;
                if parent.symbol_space().is_none() {
                    parent.encoder("train")?;
                }
                return TrainingRun::replace_prior(&parent, config, settings, device_name).map(Some);
            }
        }
        folders.insert(stage.name, path);
    }
    Ok(None)
}

/// The later stages that a run notes.
fn later(run: &RunDir) -> Result<Vec<LaterStage>> {
    if !run.has_file(STAGES_FILE)? {
        return Ok(Vec::new());
    }
    let (path, bytes) = (run.join(STAGES_FILE), run.read(STAGES_FILE, MAX_CONFIG_BYTES)?);
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::model(
            &path,
            "content",
            "TOML text in UTF-8",
            "other bytes",
            "`elbo train` writes this file; remove it to go without later stages",
        )
    })?;
    Stages::read_later(&text).map_err(|error| match error {
        Error::Config { key, expected, found, help } => Error::model(&path, key, expected, found, help),
        other => other,
    })
}

//! A saved run, loaded.

use std::path::PathBuf;

use burn::tensor::Device;

use super::reading::Reading;
use crate::data::source::ImageShape;
use crate::data::{Columns, Splits, Subset};
use crate::error::{Error, Result};
use crate::generation::CodeDecoder;
use crate::models::{Capability, Encode, Family, Model, ModelConfig, Setting, Visit};
use crate::recipe::{Layers, RunConfig};
use crate::run::directory::{RunDir, RunInfo};
use crate::space::Space;
use crate::training::{Checkpoints, TrainState};

/// A trained model with the configuration and facts of its run.
///
/// ```
/// use elbo::tasks::{TrainingRun, Run};
/// use elbo::generation;
/// # use elbo::recipe::Layers;
/// # use elbo::training::{Quiet, Stop};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut layers = Layers::from_recipe("digits")?;
/// # for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]"] {
/// #     layers.set(setting)?;
/// # }
/// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
/// # let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// # training.train(&mut Quiet, &Stop::new())?;
///
/// let run = Run::open(&path, None, &device)?; // a folder that `elbo train` made
/// let codes = vec![0.0; run.latent()];
/// let pictures = generation::decode(&run.decoder("example")?, &codes);
/// assert_eq!(pictures.len(), 1);
///
/// let data = run.open_data(None)?; // the very data it was trained on, or an error
/// assert_eq!(data.test.len(), run.info.data.test);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Run {
    /// The directory of the run.
    pub dir: RunDir,
    /// The configuration it was trained with.
    pub config: RunConfig,
    /// The facts of its `run.json`.
    pub info: RunInfo,
    /// The model, without gradients.
    pub model: Box<dyn Model>,
    /// sha256 of the file of its weights, in hexadecimal: what fitted priors belong to.
    pub weights_sha256: String,
    /// Shape of its images.
    pub shape: ImageShape,
    /// Which checkpoint the weights are from: `last` or `best`.
    pub checkpoint: &'static str,
    /// Why the weights are not the newest: what was wrong with those that are. Empty when all is well.
    pub passed_over: Vec<Error>,
    /// Where it computes.
    pub device: Device,
    /// Where its data are looked for, and how they are read.
    pub reading: Reading,
}

impl Run {
    /// Loads a run on the CPU with the weights it prefers: `best` when it stops early, `last` otherwise.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub fn load(path: impl Into<PathBuf>) -> Result<Self> {
        Self::open(path, None, &Device::flex())
    }

    /// Loads a run. Without a choice of checkpoint: `best` when the run stops early, `last` otherwise.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no run, no valid checkpoint, or one that does not fit the configuration.
    pub fn open(path: impl Into<PathBuf>, checkpoint: Option<&str>, device: &Device) -> Result<Self> {
        Self::of(RunDir::open(path)?, checkpoint, device)
    }

    /// The same run with the first `depth` residual codes of each vector: fewer bits and a larger distortion, from the same training.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a run without codes from a codebook, [`Error::Config`] for a depth that it does not have.
    pub fn at_depth(self, depth: usize) -> Result<Self> {
        let discrete = self.explained("depth", self.model.discrete_or_refuse())?;
        let of = discrete.depth();
        if !(1..=of).contains(&depth) {
            let help = "train with `--set quantizer.depth=4 --set quantizer.drop_depths=true` to choose among four";
            return Err(Error::config(
                "depth",
                format!("a number from 1 to {of}, the depth of the run"),
                depth.to_string(),
                help,
            ));
        }
        let model = discrete.at_depth(depth);
        Ok(Self { model, ..self })
    }

    /// [`Run::open`] of a folder that is open.
    pub(super) fn of(dir: RunDir, checkpoint: Option<&str>, device: &Device) -> Result<Self> {
        let (config, info) = (read_config(&dir)?, dir.info()?);
        let checkpoint = match checkpoint {
            // Before the first epoch is over there is no `best`.
            None if dir.find("checkpoints/best")?.is_some() => config.preferred_checkpoint(),
            None => "last",
            Some("last") => "last",
            Some("best") => "best",
            Some(other) => {
                let help = "`last` is the newest, `best` the one with the lowest monitored loss";
                return Err(Error::config("checkpoint", "last or best", format!("`{other}`"), help));
            }
        };
        check_saved(&dir, checkpoint, &info)?;
        let shape = image_shape(&dir, &info)?;
        let setting = config.setting(Space { shape: shape.dims(), domain: info.data.domain }, info.data.classes.len());
        config.model.check_setting(&setting).map_err(|error| in_run(&dir, error))?;
        check_size(&dir, checkpoint, config.model.parameters(&setting))?;
        let device = device.clone().without_autodiff();
        let checkpoints = Checkpoints::of_run(&dir, "");
        let passed_over = checkpoints.passed_over(checkpoint)?;
        let load = Load { setting: &setting, checkpoints: &checkpoints, checkpoint, device: &device };
        let (model, weights_sha256) = config.model.with(load)?;
        let reading = Reading::default();
        Ok(Self { dir, config, info, model, weights_sha256, shape, checkpoint, passed_over, device, reading })
    }

    /// What the run's model can do.
    pub fn can(&self) -> Vec<Capability> {
        Capability::of(self.model.as_ref())
    }

    /// Dimensions of the code, where it is one vector; 0 where it is not.
    pub fn latent(&self) -> usize {
        let codes = self.model.encoder().map(Encode::codes).or(self.model.decoder().map(crate::models::Decode::codes));
        codes.and_then(|codes| codes.first()).and_then(Space::as_vector).unwrap_or(0)
    }

    /// The decoder, for pictures of codes. `wanted_by` is the command or page that asks.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming the run and what it can do.
    pub fn decoder(&self, wanted_by: &str) -> Result<CodeDecoder<'_>> {
        self.explained(wanted_by, CodeDecoder::of(self.model.as_ref(), &self.device))
    }

    /// The encoder to one vector code.
    ///
    /// # Errors
    /// As [`Run::decoder`].
    pub fn encoder(&self, wanted_by: &str) -> Result<&dyn Encode> {
        self.explained(wanted_by, self.model.encode_vectors_or_refuse())
    }

    /// An error for a missing capability, with the run's name, its model and a command that helps.
    pub fn explained<T>(&self, wanted_by: &str, result: Result<T>) -> Result<T> {
        result.map_err(|error| match error {
            Error::Unsupported { wanted, .. } => {
                let about = about(&self.config.model);
                let found = format!("{} ({about})", self.name());
                let run = self.dir.quoted();
                let help = format!("`elbo report {run}` shows what this run can do");
                Error::Unsupported { wanted_by: wanted_by.into(), wanted, found, help }
            }
            other => other,
        })
    }

    /// The run's name: the last part of its path.
    pub fn name(&self) -> String {
        self.dir.path().file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned())
    }

    /// Whether the model is told the class of what it encodes and decodes.
    pub fn is_conditional(&self) -> bool {
        self.config.model.needs().class
    }

    /// The columns of the table it was trained on, if it was one.
    pub fn columns(&self) -> Option<&Columns> {
        self.info.data.columns.as_ref()
    }

    /// Refuses data that do not fit the model.
    pub(super) fn checked(&self, splits: Splits, source: &str) -> Result<Splits> {
        let found = splits.train.source();
        if found.columns().is_some() != self.columns().is_some() {
            let words = |is_table| if is_table { "a table" } else { "images" };
            let (expected, help) = (words(self.columns().is_some()), "give data of the kind the model was trained on");
            return Err(Error::data(source, "content", expected, words(found.columns().is_some()), help));
        }
        if found.shape() != self.shape {
            let help = "give images of the size the model was trained on";
            let (expected, shape) = (format!("images of {}", self.shape), found.shape().to_string());
            return Err(Error::data(source, "image shape", expected, shape, help));
        }
        self.check_classes(&splits, source)?;
        Ok(splits)
    }

    /// Refuses data without the classes that the model must be told, or with others.
    fn check_classes(&self, splits: &Splits, source: &str) -> Result<()> {
        if !self.model.needs().class {
            return Ok(());
        }
        let (found, known) = (splits.train.source().label_names(), &self.info.data.classes);
        if found != known.as_slice() {
            let help = "the model is told the class of each example: give data with the classes it was trained on";
            return Err(Error::data(source, "classes", known.join(", "), found.join(", "), help));
        }
        [Some(&splits.train), splits.validation.as_ref(), Some(&splits.test)]
            .into_iter()
            .flatten()
            .try_for_each(|split| self.model.needs().check(split))
    }

    /// Where training stood at the loaded run's `last` checkpoint.
    ///
    /// # Errors
    /// [`Error::Model`] if there is no valid checkpoint.
    pub fn state(&self) -> Result<TrainState> {
        Checkpoints::of_run(&self.dir, "").state()
    }
}

/// What a family is, in one line.
fn about(model: &ModelConfig) -> &'static str {
    struct About;
    impl Visit for About {
        type Output = &'static str;
        fn visit<F: Family>(self, _: &F) -> &'static str {
            F::ABOUT
        }
    }
    model.with(About)
}

/// Builds a model and loads its weights.
struct Load<'a> {
    setting: &'a Setting<'a>,
    checkpoints: &'a Checkpoints,
    checkpoint: &'static str,
    device: &'a Device,
}

impl Visit for Load<'_> {
    type Output = Result<(Box<dyn Model>, String)>;

    fn visit<F: Family>(self, family: &F) -> Self::Output {
        let model = family.init(self.setting, 0, self.device)?;
        let (model, sha256) = self.checkpoints.load(self.checkpoint, model)?;
        Ok((Box::new(model), sha256))
    }
}

/// Reads and checks the configuration of a run.
pub(super) fn read_config(dir: &RunDir) -> Result<RunConfig> {
    let config = Layers::from_text("line", &dir.config_text()?).and_then(Layers::build);
    config.map_err(|error| in_run(dir, error))
}

/// What is wrong with a run's configuration is wrong with the run, not with the request.
fn in_run(dir: &RunDir, error: Error) -> Error {
    match error {
        Error::Config { key, expected, found, help } => {
            Error::model(dir.join("config.toml"), key.replace(':', " "), expected, found, help)
        }
        other => other,
    }
}

/// Refuses a model far larger than its checkpoint before it takes memory; what is nearly right is told tensor by tensor later.
fn check_size(dir: &RunDir, checkpoint: &str, parameters: u128) -> Result<()> {
    const SLACK: u128 = 64 << 20;
    let files = places(checkpoint).map(|place| format!("{place}/model.safetensors"));
    // A link among them is told of when the checkpoint is read.
    let size = files.iter().filter_map(|name| Some(dir.find(name).ok()??.len)).max().unwrap_or(0);
    if parameters * 4 <= u128::from(size) + SLACK {
        return Ok(());
    }
    let expected = format!("the {parameters} parameters that config.toml and run.json speak of");
    let help = "one of the three was changed: restore it, or train again";
    Err(Error::model(dir.join(&files[0]), "size", expected, format!("{size} bytes"), help))
}

/// Where a checkpoint may be, the usual place first.
fn places(checkpoint: &str) -> [String; 3] {
    ["", ".writing", ".previous"].map(|end| format!("checkpoints/{checkpoint}{end}"))
}

/// The shape of the run's images, with no more values than a network may have inputs.
fn image_shape(dir: &RunDir, info: &RunInfo) -> Result<ImageShape> {
    let [channels, height, width] = info.data.shape;
    let values = channels.checked_mul(height).and_then(|product| product.checked_mul(width));
    if values.is_none_or(|values| !(1..=1 << 28).contains(&values)) {
        let found = format!("{channels} x {height} x {width}");
        let help = "`elbo train` writes this file; a damaged one cannot be used";
        return Err(Error::model(dir.join("run.json"), "data.shape", "the shape of an image", found, help));
    }
    if let Some(Columns { names, mean, std }) = &info.data.columns {
        let sound = std.iter().all(|std| std.is_normal() && *std > 0.0) && mean.iter().all(|mean| mean.is_finite());
        if !sound || [names.len(), mean.len(), std.len()].iter().any(|len| values != Some(*len)) {
            let expected = format!("{height} x {width} columns with a mean and a positive deviation each");
            let help = "`elbo train` writes this file; a damaged one cannot be used";
            return Err(Error::model(dir.join("run.json"), "data.columns", expected, "others", help));
        }
    }
    Ok(ImageShape { channels, height, width })
}

/// Explains a checkpoint that was never written; a damaged one is found when it is read.
fn check_saved(dir: &RunDir, checkpoint: &str, info: &RunInfo) -> Result<()> {
    let names = places(checkpoint);
    for name in &names {
        if dir.find(name)?.is_some() {
            return Ok(());
        }
    }
    let found = format!("none yet, in a run whose status is `{}`", info.status);
    let help = match checkpoint {
        "best" => "`--checkpoint last` has the newest weights; `best` comes with the first whole epoch",
        _ => "train it first: `elbo resume` begins again what was cut short before its first checkpoint",
    };
    Err(Error::model(dir.join(&names[0]), "checkpoint", "saved weights", found, help))
}

/// A split by name; the test split where there is one, else validation, else train.
pub fn held_out(splits: &Splits) -> (&'static str, &Subset) {
    match &splits.validation {
        _ if !splits.test.is_empty() => ("test", &splits.test),
        Some(validation) if !validation.is_empty() => ("validation", validation),
        _ => ("train", &splits.train),
    }
}

/// Refuses data whose content changed since the run began.
pub(super) fn check_fingerprint(info: &RunInfo, splits: &Splits, source: &str) -> Result<()> {
    let found = splits.train.source().fingerprint();
    if found == info.data.fingerprint {
        return Ok(());
    }
    let help = "the content is another than the run was trained on; restore it, or start a new run";
    Err(Error::data(source, "content sha256", info.data.fingerprint.clone(), found, help))
}

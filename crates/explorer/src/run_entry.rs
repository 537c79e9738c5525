//! One run directory as the service tells of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use elbo::models::{Capability, Family, LikelihoodName, ModelConfig, Report, Visit};
use elbo::priors::SamplerKind;
use elbo::recipe::{Layers, RunConfig};
use elbo::run::directory::{DataInfo, DimensionInfo, RunDir, RunInfo};
use elbo::run::files::Files;
use elbo::run::history::{EpochRecord, Means};
use elbo::space::Domain;
use elbo::tasks::{Measure, caution, has_elbo};
use serde::{Serialize, Serializer};

use crate::problem::Problem;

/// A run that was found. The id is the service's own: what clients send is looked up, never opened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunEntry {
    pub id: String,
    pub path: PathBuf,
    pub summary: Summary,
    /// What a loaded model must have been loaded as.
    pub identity: Arc<Identity>,
}

/// What a model is made of: two truths about one run would answer one client with the numbers of the other.
#[derive(Debug, PartialEq)]
pub(crate) struct Identity {
    config: RunConfig,
    data: DataInfo,
}

impl Identity {
    /// Of the configuration and the facts of a run. How long it trains does not matter.
    pub fn of(config: &RunConfig, info: &RunInfo) -> Self {
        let mut config = config.clone();
        config.training.epochs = 0;
        // Where the data lie and what was said of them does not either.
        let mut data = info.data.clone();
        (data.location, data.notes) = (None, Vec::new());
        Self { config, data }
    }
}

/// A folder with a run in it, or with something that was meant to be one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Listed {
    Run(Arc<RunEntry>),
    Unreadable(Arc<Unreadable>),
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Run(run) => run.summary.serialize(serializer),
            Self::Unreadable(run) => run.serialize(serializer),
        }
    }
}

impl Listed {
    pub fn id(&self) -> &str {
        match self {
            Self::Run(run) => &run.id,
            Self::Unreadable(run) => &run.id,
        }
    }

    /// In training or not, and when it was last written: the order of lists.
    pub fn newness(&self) -> (bool, u64) {
        match self {
            Self::Run(run) => (run.summary.live, run.summary.updated),
            Self::Unreadable(run) => (run.live, run.updated),
        }
    }

    /// Whether it says that it is running, so that it is looked at again whatever its files' times are.
    pub fn is_growing(&self) -> bool {
        matches!(self, Self::Run(run) if run.summary.status == "running")
    }
}

/// What is known of a run whose files cannot be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Unreadable {
    pub id: String,
    /// Name of its folder.
    pub name: String,
    /// Always `unreadable`, where the other entries have a run's status.
    pub status: &'static str,
    pub live: bool,
    /// Why it cannot be read.
    pub error: String,
    /// Seconds since 1970 at which anything was last written.
    pub updated: u64,
}

impl Unreadable {
    pub fn new(id: &str, path: &Path, error: &elbo::Error) -> Self {
        let error = Problem::of(error).message;
        Self {
            id: id.to_owned(),
            name: name(id, path),
            status: "unreadable",
            live: false,
            error,
            updated: updated(path),
        }
    }
}

/// What a list of runs shows of each.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub id: String,
    /// Name of its folder.
    pub name: String,
    /// As in `run.json`.
    pub status: String,
    /// Whether a process trains it now.
    pub live: bool,
    pub recipe: String,
    pub about: String,
    /// One line about the network.
    pub model: String,
    /// Its family, by the name in `model.kind`.
    pub kind: &'static str,
    /// What the model can do.
    pub can: &'static [Capability],
    /// Whether the model is told the class of what it encodes and decodes.
    pub conditional: bool,
    /// Names of the classes of its data, where there are any.
    pub classes: Vec<String>,
    /// Samplers fitted to its codes, in its folder.
    pub priors: Vec<SamplerKind>,
    /// What its epochs report, in the order of their columns.
    pub terms: Vec<Term>,
    /// Dimensions of the code.
    pub latent: usize,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// What the numbers of an example are.
    pub domain: Domain,
    /// Column names, for rows of a table.
    pub columns: Option<Vec<String>>,
    pub data: String,
    /// Training, validation and test examples.
    pub examples: [usize; 3],
    pub epochs: usize,
    pub epochs_planned: usize,
    pub seconds: f64,
    pub images_per_s: f64,
    /// What losses are measured in.
    pub unit: &'static str,
    pub test: Option<Terms>,
    /// The weight of the KL term, of a model that has one.
    pub beta: Option<f64>,
    /// The same for runs whose ELBOs compare; none for a run without an ELBO.
    pub measure: Option<String>,
    /// What has to be said beside the numbers, where they are no log-likelihoods.
    pub caution: Option<&'static str>,
    pub last: Option<EpochRecord>,
    /// Epochs of which there is a picture.
    pub pictures: usize,
    /// Epochs of which there is a picture of examples and their reconstructions.
    pub reconstructions: usize,
    /// Seconds since 1970 at which anything was last written.
    pub updated: u64,
    /// Whether there are weights to load.
    pub weights: bool,
    pub device: String,
    pub threads: usize,
    pub elbo_version: String,
    /// What each dimension of the code carries, as the run wrote it down.
    #[serde(skip)]
    pub dimensions: Option<Vec<DimensionInfo>>,
}

/// A number that each epoch reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Term {
    /// Its name in records.
    pub name: &'static str,
    pub unit: &'static str,
    /// What it is, as a formula or a phrase.
    pub definition: &'static str,
}

/// What the family of a run's model reports, the loss last.
fn terms(model: &ModelConfig, unit: &'static str) -> Vec<Term> {
    struct Reports;
    impl Visit for Reports {
        type Output = &'static [Report];
        fn visit<F: Family>(self, _: &F) -> Self::Output {
            F::REPORTS
        }
    }
    let term = |report: Report| Term {
        name: report.name,
        // A reconstruction error, and so the loss, is in the unit of its likelihood.
        unit: match [Report::RECON, Report::LOSS].contains(&report) {
            true => unit,
            false => report.unit.trim_end_matches(" per example"),
        },
        definition: report.definition,
    };
    model.with(Reports).iter().chain([&Report::LOSS]).map(|report| term(*report)).collect()
}

/// The samplers in the folder of a run, whether they fit its newest weights or not.
fn priors(dir: &RunDir) -> Vec<SamplerKind> {
    let is_there = |kind: &SamplerKind| {
        let file = |end: &str| dir.has_file(&format!("priors/{kind}{end}")).unwrap_or(false);
        file(".json") || file(".safetensors") || file("/config.toml")
    };
    let mut kinds: Vec<SamplerKind> = SamplerKind::builtin().into_iter().filter(is_there).collect();
    let trained = dir.priors().unwrap_or_default().into_iter().map(|name| SamplerKind::prior(&name));
    let others: Vec<SamplerKind> = trained.filter(|kind| !kinds.contains(kind)).collect();
    kinds.extend(others);
    kinds
}

/// The numbers of a split by name, as `run.json` has them, and `elbo` of a run that has one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Terms(Means);

impl Terms {
    fn of(mut means: Means, has_elbo: bool) -> Self {
        if let Some(elbo) = means.elbo().filter(|_| has_elbo) {
            means.add(1.0, &Means::of([("elbo", elbo)]));
        }
        Self(means)
    }
}

/// What training draws after each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drawn {
    /// Samples; for an autoencoder, reconstructions.
    Samples,
    /// Held-out examples, each with its reconstruction below.
    Reconstructions,
}

impl Drawn {
    fn file(self, epoch: usize) -> String {
        let name = match self {
            Self::Samples => "epoch",
            Self::Reconstructions => "reconstructions",
        };
        format!("samples/{name}-{epoch:04}.png")
    }
}

/// Epochs that were drawn: all of them, if the last one was.
fn drawn(dir: &RunDir, of: Drawn, last: Option<&EpochRecord>) -> usize {
    let is_there = |epoch: &usize| dir.has_file(&of.file(*epoch)).unwrap_or(false);
    last.map(|record| record.epoch).filter(is_there).unwrap_or(0)
}

/// Largest picture that is sent, in bytes.
const MAX_PICTURE: u64 = 64 << 20;
/// What every PNG begins with. Nothing else is sent as a picture, whatever its name.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

impl RunEntry {
    /// Reads what there is of the run at `path`.
    ///
    /// # Errors
    /// As [`RunDir::info`]; the configuration is checked too.
    pub fn read(id: &str, path: &Path) -> elbo::Result<Self> {
        let dir = RunDir::open(path)?;
        let (info, config) = (dir.info()?, Layers::from_text("line", &dir.config_text()?)?.build()?);
        let live = dir.trainer()?.is_some() && info.status == "running";
        let last = dir.history()?.pop();
        let identity = Arc::new(Identity::of(&config, &info));
        let summary = summary(id, &dir, info, &config, live, last);
        Ok(Self { id: id.to_owned(), path: path.to_owned(), summary, identity })
    }

    /// Refuses what the run's model cannot do, before anything is loaded. What is encoded and decoded here is one
    /// vector.
    ///
    /// # Errors
    /// [`elbo::Error::Unsupported`] as a conflict.
    pub fn require(&self, wanted_by: &str, wanted: &[Capability]) -> Result<(), Problem> {
        let Summary { can, latent, name, model, .. } = &self.summary;
        let is_missing = |capability: &&Capability| !can.contains(capability);
        let is_of_codes = |capability: &Capability| matches!(capability, Capability::Encode | Capability::Decode);
        let wanted = match wanted.iter().find(is_missing) {
            Some(capability) => capability.verb().to_owned(),
            None if *latent == 0 && wanted.iter().any(is_of_codes) => {
                "has one vector of real numbers for a code".into()
            }
            None => return Ok(()),
        };
        let (found, help) = (format!("{name}, {model}"), "choose another run".to_owned());
        Err(elbo::Error::Unsupported { wanted_by: wanted_by.into(), wanted, found, help }.into())
    }

    /// Whether its codes are entries of codebooks.
    pub fn is_discrete(&self) -> bool {
        self.summary.can.contains(&Capability::Discrete)
    }

    /// All epochs there are.
    ///
    /// # Errors
    /// As [`RunDir::history`].
    pub fn history(&self) -> elbo::Result<Vec<EpochRecord>> {
        RunDir::open(&self.path)?.history()
    }

    /// The picture of `epoch`, if there is one.
    pub fn picture(&self, of: Drawn, epoch: usize) -> Option<Vec<u8>> {
        let picture = RunDir::open(&self.path).ok()?.read(&of.file(epoch), MAX_PICTURE).ok()?;
        picture.starts_with(PNG).then_some(picture)
    }

    /// When its weights were written last.
    pub fn weights_stamp(&self) -> Option<SystemTime> {
        weights_stamp(&self.path)
    }

    /// The process that trains it, if one does: the id in the lock file of a lock that is held.
    pub fn trainer(&self) -> Option<u32> {
        RunDir::open(&self.path).and_then(|dir| dir.trainer()).unwrap_or(None)
    }
}

fn summary(
    id: &str,
    dir: &RunDir,
    info: RunInfo,
    config: &RunConfig,
    live: bool,
    last: Option<EpochRecord>,
) -> Summary {
    let keys = config.model.likelihood_keys();
    let unit = keys.as_ref().map_or("nats", |keys| unit(keys.likelihood));
    Summary {
        id: id.to_owned(),
        name: name(id, dir.path()),
        live,
        recipe: config.name.clone(),
        about: config.about.clone(),
        model: config.describe(info.data.shape),
        kind: config.model.kind(),
        can: config.model.can(),
        conditional: config.model.needs().class,
        classes: info.data.classes.clone(),
        priors: priors(dir),
        terms: terms(&config.model, unit),
        latent: keys.as_ref().map_or(0, |keys| keys.latent),
        shape: info.data.shape,
        domain: info.data.domain,
        columns: info.data.columns.as_ref().map(|columns| columns.names.clone()),
        data: info.data.name.clone(),
        examples: [info.data.train, info.data.validation, info.data.test],
        epochs: info.epochs,
        epochs_planned: config.training.epochs,
        seconds: info.seconds,
        images_per_s: info.images_per_s,
        unit,
        beta: config.model.can().contains(&Capability::Bound).then_some(config.loss.beta),
        measure: Measure::of(config, &info).key(),
        caution: caution(config, &info),
        test: info.test.map(|test| Terms::of(test, has_elbo(config))),
        pictures: drawn(dir, Drawn::Samples, last.as_ref()),
        reconstructions: drawn(dir, Drawn::Reconstructions, last.as_ref()),
        last,
        updated: updated(dir.path()),
        weights: weights_stamp(dir.path()).is_some(),
        status: info.status,
        device: info.device,
        threads: info.threads,
        elbo_version: info.elbo_version,
        dimensions: info.dimensions,
    }
}

/// Name of a run's folder.
fn name(id: &str, path: &Path) -> String {
    path.file_name().map_or_else(|| id.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn unit(likelihood: LikelihoodName) -> &'static str {
    match likelihood {
        LikelihoodName::Sse => "squared errors",
        LikelihoodName::MsSsim | LikelihoodName::Edge => "a surrogate's units",
        _ => "nats",
    }
}

fn weights_stamp(path: &Path) -> Option<SystemTime> {
    ["best", "last"].iter().filter_map(|name| stamp(path, &format!("checkpoints/{name}/manifest.json"))).max()
}

fn updated(path: &Path) -> u64 {
    let newest = ["run.json", "metrics.jsonl"].iter().filter_map(|name| stamp(path, name)).max();
    newest.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |age| age.as_secs())
}

/// When something in a run was last written; none where nothing can be told.
pub(crate) fn stamp(path: &Path, name: &str) -> Option<SystemTime> {
    Files::new(Files::root_of_run(path)).find(&path.join(name)).ok()??.modified
}

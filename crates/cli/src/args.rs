//! The flags, as typed. Nothing is checked here beyond their form; the library checks meaning.

mod pictures;
mod score;
mod shape;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use elbo::mixtures::{CovarianceKind, Criterion, EmConfig};
use elbo::priors::CodesKind;

pub use pictures::*;
pub use score::Score;
use shape::parse_shape;

const EXAMPLES: &str = "\
Examples:
  elbo train                                  a VAE on the built-in digits, about a minute
  elbo train mnist-bce                        a tutorial's model on MNIST
  elbo train mnist-2d --set network.hidden=[512] --epochs 20
  elbo sample runs/digits-001 --out new.png   new images from a trained run
  elbo compare runs/a runs/b                  two runs side by side";

/// Variational autoencoders: train, judge, explore.
#[derive(Debug, Parser)]
#[command(name = "elbo", version, before_help = EXAMPLES, arg_required_else_help = true)]
pub struct Cli {
    /// Print one JSON object on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Only errors on standard error.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Where to compute: auto, cpu, or in builds with the feature wgpu, vulkan, cuda[:N].
    #[arg(long, global = true, default_value = "auto", env = "ELBO_DEVICE")]
    pub device: String,
    /// Threads to use [default: all]. Changes speed, never a result.
    #[arg(long, global = true, env = "ELBO_THREADS", value_parser = thread_count)]
    pub threads: Option<usize>,
    #[command(subcommand)]
    pub command: Command,
}

fn thread_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err("expected a number from 1 to 1024".into()),
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model from a recipe.
    Train(Train),
    /// Continue an interrupted run, or train a finished one for more epochs.
    Resume(Resume),
    /// Loss terms and other numbers on a split.
    Eval(Eval),
    /// New images from the prior.
    Sample(Sample),
    /// Images whose codes are kept in part and drawn for the rest, by a prior over codes that are symbols.
    Complete(Complete),
    /// Images beside what the model makes of them.
    Reconstruct(Reconstruct),
    /// Walk along single latent dimensions, as a grid or an animation.
    Traverse(Traverse),
    /// Walk from one image to another, or through several, as a strip or an animation.
    Interpolate(Interpolate),
    /// The manifold of a two-dimensional code.
    Grid(Grid),
    /// Codes of images, as .npy, .csv or .parquet, and where they lie in the plane.
    Encode(Encode),
    /// How strange a run finds examples: anomaly scores, thresholds, and how well they tell.
    Score(Score),
    /// Add what one set of images has and another has not to the codes of images.
    Arithmetic(Arithmetic),
    /// The nearest training images of samples or of given images: does the model copy?
    Neighbours(Neighbours),
    /// Draw a run's pictures and report again.
    Report(RunOnly),
    /// Several runs side by side, as a page and a table.
    Compare(Compare),
    /// A Gaussian mixture of rows of numbers, or of the codes of a run.
    Gmm(Gmm),
    /// Fit every sampler to the codes of a run and show what each makes, side by side.
    Priors(Priors),
    /// The built-in recipes, or the text of one.
    Recipes(Recipes),
    /// Look at a data set: counts, range, labels, findings.
    Data(Data),
    /// The effective configuration of a recipe with changes.
    Config(Config),
    /// Measure the speed of training steps.
    Bench(Bench),
    /// A page to walk through trained and growing models.
    Serve(Serve),
    /// Shell completions.
    Completions(Completions),
    /// The manual page of elbo or of one of its commands.
    Man(Man),
}

#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// A built-in recipe (see `elbo recipes`) or a TOML file [default: digits; for a table: table].
    pub recipe: Option<String>,
    /// Data: digits, sprites, mnist, fashion-mnist, cifar10, or a path: a folder of pictures, a tar or zip of one, a table
    /// (.csv, .parquet), an array (.npy, .npz), IDX files.
    #[arg(long)]
    pub data: Option<String>,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub table: Table,
    /// Passes over the training data.
    #[arg(long)]
    pub epochs: Option<u64>,
    /// Examples in one step.
    #[arg(long)]
    pub batch_size: Option<u64>,
    /// The seed everything random follows from.
    #[arg(long)]
    pub seed: Option<u64>,
    /// What matrix products of training steps round their operands to; bf16 is faster where the processor multiplies it [default: f32].
    #[arg(long, value_name = "f32|bf16")]
    pub precision: Option<String>,
    /// Change any other setting, e.g. `--set optimizer.lr=3e-4`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// What pictures are brought to.
#[derive(Debug, Default, Clone, Args)]
pub struct Pictures {
    /// Bring pictures to this height and width, HxW in pixels, or one number for a square.
    #[arg(long, value_name = "HxW")]
    pub size: Option<String>,
    /// How pictures of other proportions come to that size [default: crop].
    #[arg(long, value_name = "crop|pad|stretch")]
    pub fit: Option<String>,
    /// 1 for grey, 3 for RGB [default: 1 if all files are grey].
    #[arg(long, value_name = "1|3")]
    pub channels: Option<i64>,
    /// What to do about a file that is no good picture [default: fail].
    #[arg(long, value_name = "fail|skip")]
    pub on_bad_image: Option<String>,
}

/// What is taken of a table.
#[derive(Debug, Default, Clone, Args)]
pub struct Table {
    #[command(flatten)]
    pub rows: Rows,
    /// The columns to use, comma-separated [default: all but the label and the identifier].
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    pub columns: Vec<String>,
}

/// How rows of a table are read, whichever columns they have.
#[derive(Debug, Default, Clone, Args)]
pub struct Rows {
    /// The column of classes (of .npz: the array).
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// The column that tells rows apart (of .npz: the array): no value of a row, but carried through every output.
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,
    /// What to do about rows with a missing value [default: fail].
    #[arg(long, value_name = "fail|drop")]
    pub missing: Option<String>,
}

/// How a run's data are read: the same flags for every command that opens any. The columns are the run's.
#[derive(Debug, Default, Args)]
pub struct Reading {
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub rows: Rows,
    /// Change another setting of how data are read, e.g. `--set data.array=x`; may be repeated.
    #[arg(long = "set", value_name = "data.KEY=VALUE")]
    pub set: Vec<String>,
}

/// Where a run's own data are, and how they are read.
#[derive(Debug, Default, Args)]
pub struct Own {
    /// Where the run's data are now, if they moved: their content is compared.
    #[arg(long = "data", id = "own_data", value_name = "DATA")]
    pub data: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Debug, Args)]
pub struct Train {
    #[command(flatten)]
    pub settings: Settings,
    /// The run directory to create [default: runs/RECIPE-NNN].
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Train a prior over the codes of this run, in its folder `priors/NAME` [recipes: maf, two-stage]. `--data` then says where the run's data are now.
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub codes_of: Option<PathBuf>,
    /// Which codes those are [default: sample for a VAE, mean for an autoencoder].
    #[arg(long, value_enum, requires = "codes_of")]
    pub codes: Option<CodesName>,
    /// Show the run in a browser while it trains, as `elbo serve` does [default port: 7878, or a free one].
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "7878")]
    pub serve: Option<u16>,
}

#[derive(Debug, Args)]
pub struct Resume {
    /// The run directory.
    pub run: PathBuf,
    /// Train up to this many epochs instead of the number in its configuration.
    #[arg(long)]
    pub epochs: Option<usize>,
    #[command(flatten)]
    pub own: Own,
}

/// Which run, which weights, which images.
#[derive(Debug, Args)]
pub struct Source {
    /// The run directory.
    pub run: PathBuf,
    /// Weights: last or best [default: best when the run stops early, else last].
    #[arg(long)]
    pub checkpoint: Option<String>,
    /// Other data than the run's own, or the run's own at another place: their content tells.
    #[arg(long)]
    pub data: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// Which part of the data [default: test; all with --data].
    #[arg(long)]
    pub split: Option<SplitName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    Train,
    Validation,
    Test,
    All,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Metrics:\n{}", elbo::tasks::describe_metrics()))]
pub struct Eval {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub judging: Judging,
    /// Of a run with residual codes: take the first so many of each vector [default: all].
    #[arg(long)]
    pub depth: Option<usize>,
    /// A folder for pictures of the codebooks: what each code stands for, and how many codes each place uses.
    #[arg(long, value_name = "FOLDER")]
    pub codebook: Option<PathBuf>,
}

/// What is computed of a run.
#[derive(Debug, Args)]
pub struct Judging {
    /// Metrics or groups of them, comma-separated, or all: see below.
    #[arg(long, value_delimiter = ',')]
    pub metrics: Vec<String>,
    /// Samples of each posterior behind nll_iw; papers take 5000.
    #[arg(long, default_value_t = 500)]
    pub k: usize,
    /// Use only so many examples, chosen at random.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Images made for the group generation, and images of the split at most that they are compared with.
    #[arg(long, default_value_t = 10_000)]
    pub samples: usize,
    /// Where the codes of these images come from: normal, gaussian, mixture, two-stage or maf.
    #[arg(long, default_value = "normal")]
    pub sampler: String,
    /// Where images are compared: as pixels, by their principal components (pca), by a classifier that is trained on the labelled training images and kept
    /// (classifier), or as published numbers are, by Inception's weights in a file (inception:FILE).
    #[arg(long, default_value = "pca")]
    pub features: String,
    /// Seed of all draws [default: the run's].
    #[arg(long)]
    pub seed: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CodesName {
    Mean,
    Sample,
}

impl From<CodesName> for CodesKind {
    fn from(name: CodesName) -> Self {
        match name {
            CodesName::Mean => Self::Mean,
            CodesName::Sample => Self::Sample,
        }
    }
}

#[derive(Debug, Args)]
pub struct RunOnly {
    /// The run directory.
    pub run: PathBuf,
    #[command(flatten)]
    pub own: Own,
}

#[derive(Debug, Args)]
#[command(after_help = format!("Metrics:\n{}", elbo::tasks::describe_metrics()))]
pub struct Compare {
    /// Run directories.
    #[arg(required = true, num_args = 1..)]
    pub runs: Vec<PathBuf>,
    /// The page to write.
    #[arg(long, default_value = "compare.html")]
    pub out: PathBuf,
    /// Show the metrics against this setting of the runs, such as loss.beta or data.limit (examples trained on).
    #[arg(long, value_name = "KEY", requires = "metrics")]
    pub by: Option<String>,
    #[command(flatten)]
    pub judging: Judging,
    /// Also write the plane of rate and distortion, .png or .svg.
    #[arg(long)]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub own: Own,
}

#[derive(Debug, Args)]
pub struct Gmm {
    /// Rows of numbers (.csv, .parquet, .npy, .npz), or a run directory.
    pub data: String,
    /// How many components, or a range of which the best is taken: 3 or 1..10 [default: 1..10; of a run 10].
    #[arg(short = 'k', long, value_name = "K|A..B", value_parser = component_range)]
    pub components: Option<RangeInclusive<usize>>,
    /// Ellipsoids of any direction, along the axes, or one shape for all.
    #[arg(long, value_enum, default_value_t = CovarianceName::Full)]
    pub covariance: CovarianceName,
    /// What decides between numbers of components.
    #[arg(long, value_enum, default_value_t = CriterionName::Bic)]
    pub criterion: CriterionName,
    /// The seed of the starts.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Starts; the likeliest end counts.
    #[arg(long, default_value_t = 3)]
    pub restarts: usize,
    /// Added to the variance of each column, in units of that column's variance (of codes: as it is).
    #[arg(long, default_value_t = 1e-6)]
    pub reg_covar: f64,
    /// Change of the log-likelihood, in nats a row, at which iterations end.
    #[arg(long, default_value_t = 1e-6)]
    pub tolerance: f64,
    /// Iterations at most.
    #[arg(long, default_value_t = 500)]
    pub max_iterations: usize,
    /// Write the mixture as JSON.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Draw it over the data, .png or .svg: densities in one dimension, ellipses in two, along the first principal components in more.
    #[arg(long)]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub table: Table,
    /// Change another setting of how data are read, e.g. `--set data.array=x`; may be repeated.
    #[arg(long = "set", value_name = "data.KEY=VALUE")]
    pub set: Vec<String>,
    /// Of a run: where its data are now, if they moved.
    #[arg(long = "data", id = "own_data", value_name = "DATA")]
    pub own_data: Option<String>,
    /// Of a run: which codes [default: sample for a VAE, mean for an autoencoder].
    #[arg(long, value_enum)]
    pub codes: Option<CodesName>,
    /// Of a run: weights, last or best.
    #[arg(long)]
    pub checkpoint: Option<String>,
}

impl Gmm {
    /// How the mixture is fitted; the number of components is another matter.
    pub fn em(&self) -> EmConfig {
        EmConfig {
            components: 1,
            covariance: self.covariance.into(),
            reg_covar: self.reg_covar,
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
            restarts: self.restarts,
            seed: self.seed,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CovarianceName {
    Full,
    Diagonal,
    Tied,
}

impl From<CovarianceName> for CovarianceKind {
    fn from(name: CovarianceName) -> Self {
        match name {
            CovarianceName::Full => Self::Full,
            CovarianceName::Diagonal => Self::Diagonal,
            CovarianceName::Tied => Self::Tied,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CriterionName {
    Bic,
    Aic,
}

impl From<CriterionName> for Criterion {
    fn from(name: CriterionName) -> Self {
        match name {
            CriterionName::Bic => Self::Bic,
            CriterionName::Aic => Self::Aic,
        }
    }
}

/// `3`, `1..10` or `1..=10`, both ends included.
fn component_range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let wrong = || "expected a number of components such as 3, or a range such as 1..10".to_owned();
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let last = last.strip_prefix('=').unwrap_or(last);
    let [first, last] = [first, last].map(|number| number.trim().parse::<usize>().ok().filter(|count| *count > 0));
    let (first, last) = first.zip(last).ok_or_else(wrong)?;
    if first > last { Err(wrong()) } else { Ok(first..=last) }
}

#[derive(Debug, Args)]
pub struct Priors {
    /// The run directory.
    pub run: PathBuf,
    /// The page to write.
    #[arg(long, default_value = "priors.html")]
    pub out: PathBuf,
    /// Samplers, comma-separated: normal, gaussian, mixture, two-stage, maf, or a prior that was trained in the run [default: all].
    #[arg(long, value_delimiter = ',')]
    pub samplers: Vec<String>,
    /// Change a setting of the priors that are trained, e.g. `--set prior.hidden=[256,256]`, or of one, `--set maf.epochs=20`; may be repeated.
    /// A prior that was trained with others is trained anew. `--set data.KEY=VALUE` is about how the run's data are read.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Where the run's data are now, if they moved: their content is compared.
    #[arg(long = "data", id = "own_data", value_name = "DATA")]
    pub data: Option<String>,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub rows: Rows,
    /// Samples of each for the distance [default: 10000, at most as many as there are held-out images].
    #[arg(short, long, default_value_t = 10_000)]
    pub n: usize,
    /// Seed of the fits and of the samples.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Scale of the deviations of the codes.
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f64,
    /// Draw normal numbers beyond so many deviations again.
    #[arg(long)]
    pub truncation: Option<f64>,
    /// Which codes samplers are fitted on [default: sample for a VAE, mean for an autoencoder].
    #[arg(long, value_enum)]
    pub codes: Option<CodesName>,
    /// Weights: last or best.
    #[arg(long)]
    pub checkpoint: Option<String>,
}

#[derive(Debug, Args)]
pub struct Recipes {
    /// Print this recipe's TOML.
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct Data {
    /// digits, sprites, mnist, fashion-mnist, cifar10, or a path: a folder of pictures, a tar or zip of one, IDX files.
    pub data: String,
    #[command(flatten)]
    pub pictures: Pictures,
    #[command(flatten)]
    pub table: Table,
    /// The recipe it is meant for: its settings of [data], and its likelihood is held against the values [default: what `elbo train` takes].
    #[arg(long)]
    pub recipe: Option<String>,
    /// Write a grid of images.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Images in the grid.
    #[arg(short, long, default_value_t = 200)]
    pub n: usize,
    /// Seed of generators and splits [default: the recipe's].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Change a setting, e.g. `--set data.count=1000` or `--set model.likelihood=laplace`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Config {
    #[command(flatten)]
    pub settings: Settings,
    /// The model's layers instead: outputs, parameters, operations. Opens the data for their shape.
    #[arg(long)]
    pub model: bool,
    /// The same for data of this shape, without opening any: CHANNELSxHEIGHTxWIDTH.
    #[arg(long, requires = "model", value_name = "CxHxW", value_parser = parse_shape)]
    pub shape: Option<[usize; 3]>,
    /// The reference of all settings instead, as Markdown: what each takes, its default, what it means.
    #[arg(long, conflicts_with_all = ["recipe", "model"])]
    pub docs: bool,
}

#[derive(Debug, Args)]
pub struct Bench {
    /// Steps of fixed networks: mlp, mlp512, conv-s, conv-m, encode or decode; from picture files
    /// to steps: faces or cifar10; discrete codes: cifar10-vq, prior, prior-sample or
    /// prior-sample-uncached; single operations forward and backward: attention, layer-norm or
    /// group-norm-silu.
    #[arg(default_value = "mlp")]
    pub workload: String,
    /// About how long to measure.
    #[arg(long, default_value_t = 8.0)]
    pub seconds: f64,
    /// For fixed networks 28 x 28 images [default: digits]; for faces and cifar10 any pictures [default: the recipe's].
    #[arg(long)]
    pub data: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// Also print the time of each part of a step.
    #[arg(long)]
    pub profile: bool,
    /// What matrix products of training steps round their operands to.
    #[arg(long, value_name = "f32|bf16", default_value = "f32")]
    pub precision: String,
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Run directories, or folders of such; new runs in them appear by themselves.
    #[arg(default_value = "runs")]
    pub runs: Vec<PathBuf>,
    /// The port; 0 takes a free one.
    #[arg(long, default_value_t = 7878)]
    pub port: u16,
    /// The address to listen on; anything but 127.0.0.1 and ::1 needs --token.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
    /// A secret that clients have to show.
    #[arg(long, env = "ELBO_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    #[command(flatten)]
    pub own: Own,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell.
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// The command whose page is printed [default: elbo itself].
    pub name: Option<String>,
    /// Write the pages of elbo and of every command to this folder instead: elbo.1, elbo-train.1, ...
    #[arg(long, value_name = "FOLDER", conflicts_with = "name")]
    pub out: Option<PathBuf>,
}

//! Flags of the commands that make pictures, films and codes of a run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{CodesName, Own, Reading, Source};

/// Where pictures go.
#[derive(Debug, Args)]
pub struct Target {
    /// A .png grid, or .npy with float32 [n, channels, height, width]; of a table .csv or .npy [n, columns], in its own units. Of a walk (traverse,
    /// interpolate) also a .gif or .apng animation.
    #[arg(long)]
    pub out: PathBuf,
    /// Images in a row of the grid [default: fits the command].
    #[arg(long)]
    pub columns: Option<usize>,
}

/// How an animation plays.
#[derive(Debug, Args)]
pub struct Film {
    /// Frames a second of a .gif or .apng, 1 to 50 [default: 15]. GIF counts in hundredths of a second.
    #[arg(long)]
    pub fps: Option<f64>,
    /// Play from one end to the other and begin again, instead of there and back.
    #[arg(long)]
    pub one_way: bool,
    /// How often it plays [default: 0, again and again].
    #[arg(long)]
    pub times: Option<u16>,
}

#[derive(Debug, Args)]
pub struct Sample {
    /// The run directory.
    pub run: PathBuf,
    #[command(flatten)]
    pub target: Target,
    /// How many.
    #[arg(short, long, default_value_t = 64)]
    pub n: usize,
    /// Seed of the codes.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where codes come from: normal, gaussian, mixture, two-stage or maf; of codes that are symbols, autoregressive. What is no file of the run yet is
    /// fitted first [default: normal, of symbols the prior in the run].
    #[arg(long)]
    pub sampler: Option<String>,
    /// Scale of the deviations of the codes, divisor of the logits of symbols: below 1 safer, above 1 more varied.
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f64,
    /// Of symbols: only so many of the most likely may come.
    #[arg(long)]
    pub top_k: Option<usize>,
    /// Of symbols: only the most likely that hold this share of the probability may come [default: 1].
    #[arg(long)]
    pub top_p: Option<f64>,
    /// Of symbols of a class: how far towards what sets the class apart, l_u + w (l_c - l_u) [default: 1].
    #[arg(long)]
    pub guidance: Option<f64>,
    /// Draw normal numbers beyond so many deviations again: the smaller, the safer.
    #[arg(long)]
    pub truncation: Option<f64>,
    /// Which codes a sampler is fitted on [default: sample for a VAE, mean for an autoencoder].
    #[arg(long, value_enum)]
    pub codes: Option<CodesName>,
    /// Show the mean of p(x|z), or draw from it.
    #[arg(long, value_enum, default_value_t = Observation::Mean)]
    pub observation: Observation,
    /// Decode as this class, by its name in the data; of a conditional model or a prior over symbols that was told classes [default: all classes in
    /// turn, of such a prior any].
    #[arg(long)]
    pub class: Option<String>,
    /// Weights: last or best.
    #[arg(long)]
    pub checkpoint: Option<String>,
    #[command(flatten)]
    pub own: Own,
}

#[derive(Debug, Args)]
pub struct Complete {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub target: Target,
    /// The place of the image in its split.
    #[arg(long)]
    pub image: usize,
    /// Which part of its codes stays. The prior goes through them row by row: what it draws knows the kept codes before it, not those after it.
    #[arg(long, value_enum, default_value_t = KeepName::TopHalf)]
    pub keep: KeepName,
    /// How many completions; the image itself, reconstructed, comes first.
    #[arg(short, long, default_value_t = 15)]
    pub n: usize,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Divisor of the logits: below 1 safer, above 1 more varied.
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f64,
    /// The prior that draws [default: the one in the run].
    #[arg(long)]
    pub sampler: Option<String>,
}

/// The part of an image whose codes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(clippy::enum_variant_names, reason = "the flag's values are made of these: `top-half`")]
pub enum KeepName {
    TopHalf,
    BottomHalf,
    LeftHalf,
    RightHalf,
}

#[derive(Debug, Args)]
pub struct Reconstruct {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub target: Target,
    /// How many images.
    #[arg(short, long, default_value_t = 32)]
    pub n: usize,
    /// Which images: chosen at random from this seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Show the mean of p(x|z), or draw from it.
    #[arg(long, value_enum, default_value_t = Observation::Mean)]
    pub observation: Observation,
    /// Of a run with residual codes: take the first so many of each vector [default: all].
    #[arg(long)]
    pub depth: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Observation {
    Mean,
    Draw,
}

#[derive(Debug, Args)]
pub struct Traverse {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub film: Film,
    /// Decode as this class, by its name in the data; only of a conditional model [default: the class of --image, else the first].
    #[arg(long)]
    pub class: Option<String>,
    /// Latent dimensions, comma-separated [default: all, at most 32].
    #[arg(long, value_delimiter = ',')]
    pub dims: Vec<usize>,
    /// In which order: by their place in the code, or by what they carry, the mean KL of each over the split in nats, largest first (of an
    /// autoencoder: the variance) [default: kl for an animation, index for a grid].
    #[arg(long, value_enum)]
    pub order: Option<OrderName>,
    /// Images in a row of a grid, or frames from one end to the other [default: 11; of an animation 31].
    #[arg(long, visible_alias = "frames")]
    pub steps: Option<usize>,
    /// How far to go either way, in units of the code.
    #[arg(long, default_value_t = 3.0)]
    pub reach: f32,
    /// Start from the code of this image of the split instead of 0.
    #[arg(long)]
    pub image: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OrderName {
    Kl,
    Index,
}

#[derive(Debug, Args)]
pub struct Interpolate {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub film: Film,
    /// First image, by its place in the split; without it and --to or --images, eight random pairs.
    #[arg(long, requires = "to")]
    pub from: Option<usize>,
    /// Last image.
    #[arg(long, requires = "from")]
    pub to: Option<usize>,
    /// Through all of these images, by their places in the split, comma-separated: 3,8,15.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["from", "to"])]
    pub images: Vec<usize>,
    /// Decode as this class, by its name in the data; only of a conditional model [default: the class of each first image].
    #[arg(long)]
    pub class: Option<String>,
    /// Images, or frames, from one image to the next, both included [default: 12; of an animation 31].
    #[arg(long, visible_alias = "frames")]
    pub steps: Option<usize>,
    /// Straight line, or great circle on which codes keep their length (White 2016).
    #[arg(long, value_enum, default_value_t = PathName::Linear)]
    pub path: PathName,
    /// Which pairs: chosen at random from this seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PathName {
    Linear,
    Spherical,
}

#[derive(Debug, Args)]
pub struct Grid {
    /// The run directory.
    pub run: PathBuf,
    #[command(flatten)]
    pub target: Target,
    /// Equal steps of the code, or of probability under N(0, 1); of a conditional model also `classes`: a column for each class, a row for each code
    /// drawn from N(0, I).
    #[arg(long, value_enum, default_value_t = GridName::Linear)]
    pub spacing: GridName,
    /// Decode as this class, by its name in the data; only of a conditional model [default: the first].
    #[arg(long)]
    pub class: Option<String>,
    /// Images along each side; of classes, rows [default: 20 linear, 15 quantiles, 10 classes].
    #[arg(long)]
    pub size: Option<usize>,
    /// Of the codes of `classes`.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// End of the linear grid.
    #[arg(long, default_value_t = 2.0)]
    pub reach: f32,
    /// First quantile.
    #[arg(long, default_value_t = 0.05)]
    pub tail: f64,
    /// Weights: last or best.
    #[arg(long)]
    pub checkpoint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GridName {
    Linear,
    Quantiles,
    Classes,
}

#[derive(Debug, Args)]
pub struct Encode {
    #[command(flatten)]
    pub source: Source,
    /// .npy: float32 [n, latent] posterior means; .csv: index, label, means and log variances; .parquet: index, path, label, z0 to zN. The index is the
    /// image's place in its source, the path what it is called there.
    #[arg(long)]
    pub out: PathBuf,
    /// Also where each code lies in the plane: two more columns, x and y; of .npy the last two of [n, latent + 2].
    #[arg(long, value_enum)]
    pub project: Option<ProjectName>,
    /// How many neighbours t-SNE counts as near [default: 30, at most a third of the other codes].
    #[arg(long)]
    pub perplexity: Option<f64>,
    /// Draw the plane, .png or .svg, coloured by class [default plane: pca, of two-dimensional codes the codes].
    #[arg(long)]
    pub plot: Option<PathBuf>,
}

/// Ways into the plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProjectName {
    /// The first two principal components.
    Pca,
    /// t-SNE, which keeps neighbours together; for at most 20,000 codes.
    Tsne,
}

#[derive(Debug, Args)]
pub struct Arithmetic {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub target: Target,
    /// What is edited: places in the split, comma-separated (3,8,15), or a SET as below [default: eight images of the split].
    #[arg(long, value_name = "PLACES|SET")]
    pub from: Option<String>,
    /// Add the mean code of this SET: `label:7`, the training images of that class, or a path to pictures.
    #[arg(long, value_name = "SET", required_unless_present = "subtract")]
    pub add: Option<String>,
    /// Subtract the mean code of this SET. With --add: the vector mean(add) - mean(subtract).
    #[arg(long, value_name = "SET")]
    pub subtract: Option<String>,
    /// How often the vector is added, comma-separated; a row of pictures for each.
    #[arg(long, value_delimiter = ',', default_value = "1", allow_negative_numbers = true)]
    pub scale: Vec<f64>,
    /// How many images of a --from that names none.
    #[arg(short, long, default_value_t = 8)]
    pub n: usize,
    /// Which ones: chosen at random from this seed.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct Neighbours {
    /// The run directory.
    pub run: PathBuf,
    /// A .png: in each row an image, its nearest training images by pixels, and its nearest by codes.
    #[arg(long)]
    pub out: PathBuf,
    /// Look at these images of the test split, comma-separated places, instead of fresh samples.
    #[arg(long, value_delimiter = ',')]
    pub images: Vec<usize>,
    /// Look at pictures of other data, chosen at random, instead of fresh samples; or where the run's own data are now: their content tells.
    #[arg(long)]
    pub data: Option<String>,
    /// How many images; distances are summed up over them, and 16 are drawn.
    #[arg(short, long, default_value_t = 100)]
    pub n: usize,
    #[command(flatten)]
    pub reading: Reading,
    /// Nearest training images of each.
    #[arg(short, long, default_value_t = 5)]
    pub k: usize,
    /// Held-out images whose distances are the yardstick, at most.
    #[arg(long, default_value_t = 1000)]
    pub held_out: usize,
    /// Seed of the samples.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where samples come from: normal, gaussian, mixture, two-stage or maf.
    #[arg(long, default_value = "normal")]
    pub sampler: String,
    /// Weights: last or best.
    #[arg(long)]
    pub checkpoint: Option<String>,
}

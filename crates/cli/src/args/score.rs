//! Flags of `elbo score`.

use std::path::PathBuf;

use clap::Args;

use super::Source;

#[derive(Debug, Args)]
#[command(after_help = SCORES)]
pub struct Score {
    #[command(flatten)]
    pub source: Source,
    /// Scores, comma-separated, or all: see below [default: neg-elbo; of an autoencoder: recon].
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub by: Vec<String>,
    /// Share of normal examples that may be flagged.
    #[arg(long, value_name = "RATE", default_value_t = 0.05)]
    pub false_alarm: f64,
    /// The normal classes, comma-separated; all others are anomalies [default: data.labels of the run].
    #[arg(long, value_name = "LABEL,...", value_delimiter = ',')]
    pub normal: Vec<String>,
    /// Other data, all of it anomalies, beside the split.
    #[arg(long, value_name = "DATA")]
    pub anomalies: Option<String>,
    /// Samples of each posterior behind nll-iw.
    #[arg(long, default_value_t = 100)]
    pub k: usize,
    /// Use only so many examples of the split and of the anomalies, chosen at random.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Seed of all draws [default: the run's].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Write .csv: index, path, the identifier of --id, label, score, further scores, flagged, and anomaly where that is known.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Draw the ten strangest pictures, .png.
    #[arg(long)]
    pub plot: Option<PathBuf>,
    /// With `--by rate`, a folder: for each of the ten strangest a .png of it beside the nats of each of its codes.
    #[arg(long, value_name = "FOLDER")]
    pub heatmap: Option<PathBuf>,
}

const SCORES: &str = "\
Scores, one for each example, higher is stranger:
  neg-elbo     negative ELBO, recon + kl (the default)
  nll-iw       importance-weighted estimate of -log p(x), from --k samples
  recon        reconstruction error at the mean code; all that an autoencoder has beside mahalanobis
  mahalanobis  distance of the mean code from those of the training data
  typicality   |neg-elbo - its mean over validation examples|
  rate         -log p(codes) under the prior in the run, of codes that are symbols
Examples are flagged by the first score, above a threshold from the validation split. A run of some classes (data.labels) is
shown the whole test split, the classes left out too.";

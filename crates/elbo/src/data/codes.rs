//! Codes as data: what a prior over the codes of a run is trained on.
//!
//! The rows are those of a table with the columns `z0`, `z1`, ...: standardised, since that is where networks learn well, with the scale kept in
//! [`Columns`]. They lie in memory or in a mapped file, and know nothing of the model that made them.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::catalog::chosen;
use super::config::DataConfig;
use super::idx::hex;
use super::source::{Columns, ImageShape, Source};
use super::split::{self, Splits, Validation};
use super::table::mapped::{self, Numbers};
use crate::error::{Error, Result};
use crate::space::Domain;

/// Name of the source in `data.source`: the codes that lie in the run directory.
pub const SOURCE: &str = "codes";

/// Codes below which none can be spared for validation.
const FEWEST_HELD_OUT: usize = 20;

/// Length of a file's header, so that the values after it are aligned.
const HEADER_BYTES: usize = 128;

/// What stands for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CodesKind {
    /// The mean of q(z|x); an autoencoder's code.
    Mean,
    /// One draw from q(z|x): together, draws from the aggregate posterior, which is what the decoder was trained on.
    Sample,
}

impl fmt::Display for CodesKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::Sample => "sample",
        })
    }
}

/// Codes brought to mean 0 and deviation 1 in each dimension: `standardised = (code - shift) / scale`.
///
/// ```
/// use elbo::data::codes::Standardised;
///
/// let standardised = Standardised::fit(&[1.0, 7.0, 3.0, 7.0], 2);
/// assert_eq!(standardised.forward(&[5.0, 8.0]), [3.0, 1.0]); // a dimension that never changes is only shifted
/// assert_eq!(standardised.back(&[3.0, 1.0]), [5.0, 8.0]);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Standardised {
    /// Mean of each dimension.
    pub shift: Vec<f32>,
    /// Deviation of each dimension, above 0.
    pub scale: Vec<f32>,
}

impl Standardised {
    /// Means and deviations of codes `[n, latent]`. A dimension that never changes is only shifted.
    pub fn fit(codes: &[f32], latent: usize) -> Self {
        let n = (codes.len() / latent).max(1) as f64;
        let column = |j: usize| codes.iter().skip(j).step_by(latent).map(|&z| f64::from(z));
        let mean: Vec<f64> = (0..latent).map(|j| column(j).sum::<f64>() / n).collect();
        let deviation = |j: usize| (column(j).map(|z| (z - mean[j]).powi(2)).sum::<f64>() / n).sqrt() as f32;
        // Rounding alone makes no deviation worth dividing by.
        let scale = (0..latent).map(|j| match deviation(j) {
            deviation if deviation > 1e-6 * (mean[j].abs() as f32).max(1e-20) => deviation,
            _ => 1.0,
        });
        Self { scale: scale.collect(), shift: mean.into_iter().map(|mean| mean as f32).collect() }
    }

    /// The scale that a source of codes keeps as its columns.
    pub fn of(columns: &Columns) -> Self {
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        Self { shift: narrow(&columns.mean), scale: narrow(&columns.std) }
    }

    fn columns(&self) -> Columns {
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        let names = (0..self.shift.len()).map(|j| format!("z{j}")).collect();
        Columns { names, mean: wide(&self.shift), std: wide(&self.scale) }
    }

    /// Codes `[n, latent]`, standardised.
    pub fn forward(&self, codes: &[f32]) -> Vec<f32> {
        let columns = self.shift.iter().zip(&self.scale).cycle();
        codes.iter().zip(columns).map(|(z, (shift, scale))| (z - shift) / scale).collect()
    }

    /// The inverse of [`Standardised::forward`].
    pub fn back(&self, values: &[f32]) -> Vec<f32> {
        let columns = self.shift.iter().zip(&self.scale).cycle();
        values.iter().zip(columns).map(|(x, (shift, scale))| x * scale + shift).collect()
    }

    /// `ln |d code / d standardised|`, summed over dimensions: what log-densities of standardised codes lose.
    pub fn log_scale(&self) -> f64 {
        self.scale.iter().map(|&scale| f64::from(scale).ln()).sum()
    }
}

/// A source of standardised codes.
///
/// ```
/// use elbo::data::Source;
/// use elbo::data::codes::CodeSource;
///
/// let source = CodeSource::of(&[1.0, 7.0, 3.0, 7.0], 2);
/// assert_eq!((source.len(), source.floats()), (2, Some(&[-1.0, 0.0, 1.0, 0.0][..])));
/// assert_eq!(source.columns().unwrap().original(&[-1.0, 0.0]), [1.0, 7.0]);
/// ```
pub struct CodeSource {
    values: Numbers<f32>,
    columns: Columns,
    fingerprint: String,
}

impl CodeSource {
    /// Standardises codes and keeps them in memory.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    ///
    /// # Panics
    /// If `codes` is not a whole number of codes.
    pub fn of(codes: &[f32], latent: usize) -> Self {
        assert!(codes.len().is_multiple_of(latent), "{} values are no whole number of codes", codes.len());
        let standardised = Standardised::fit(codes, latent);
        let values = standardised.forward(codes);
        let fingerprint = fingerprint(&values);
        Self { values: Numbers::Owned(values), columns: standardised.columns(), fingerprint }
    }

    /// The standardised codes as an array file of NumPy's (`.npy`, version 1) that [`CodeSource::of_file`] maps.
    pub fn to_npy(&self) -> Vec<u8> {
        let values = self.values.as_slice();
        let mut bytes = header(self.len(), self.columns.names.len());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    /// Maps an open file of [`CodeSource::to_npy`]. `columns` is the scale that was kept with it; `path` is what errors name.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Data`] for another file.
    pub fn of_file(file: &File, path: &Path, columns: Columns) -> Result<Self> {
        let size = file.metadata().map_err(Error::io(path, "read"))?.len() as usize;
        let latent = columns.names.len().max(1);
        let other = |found: String| {
            let expected = format!("standardised codes of {latent} numbers");
            let help = "`elbo train` and `elbo priors` write this file with a prior's run; train the prior again";
            Error::data(path, "content", expected, found, help)
        };
        let n = size.saturating_sub(HEADER_BYTES) / (4 * latent);
        if n == 0 || size != HEADER_BYTES + 4 * latent * n {
            return Err(other(format!("{size} bytes")));
        }
        let map = mapped::map(path, file)?;
        if map[..HEADER_BYTES] != header(n, latent) {
            return Err(other("another header".into()));
        }
        let values = Numbers::mapped(map, HEADER_BYTES).ok_or_else(|| other("values that are not aligned".into()))?;
        let fingerprint = fingerprint(values.as_slice());
        Ok(Self { values, columns, fingerprint })
    }

    /// The splits that `[data]` asks for. Of fewer than twenty codes none is held out.
    ///
    /// # Errors
    /// As [`split::split_single`].
    pub fn split(self, config: &DataConfig, seed: u64) -> Result<Splits> {
        let few = self.len() < FEWEST_HELD_OUT;
        let (test, validation) = if few { (0.0, Validation::NONE) } else { (config.test, config.validation) };
        chosen(split::split_single(Arc::new(self), test, validation, seed)?, config, seed)
    }
}

impl Source for CodeSource {
    fn name(&self) -> &str {
        SOURCE
    }

    fn len(&self) -> usize {
        self.values.as_slice().len() / self.columns.names.len()
    }

    fn shape(&self) -> ImageShape {
        ImageShape { channels: 1, height: 1, width: self.columns.names.len() }
    }

    /// A picture of the row: grey from -4 to 4 deviations.
    fn read(&self, index: usize, pixels: &mut [u8]) {
        let width = self.columns.names.len();
        let values = &self.values.as_slice()[index * width..][..width];
        pixels.iter_mut().zip(values).for_each(|(pixel, z)| *pixel = ((z + 4.0) / 8.0 * 255.0).round() as u8);
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn label_names(&self) -> &[String] {
        &[]
    }

    fn domain(&self) -> Domain {
        Domain::Real
    }

    fn read_values(&self, index: usize, values: &mut [f32]) {
        values.copy_from_slice(&self.values.as_slice()[index * values.len()..][..values.len()]);
    }

    fn floats(&self) -> Option<&[f32]> {
        Some(self.values.as_slice())
    }

    fn columns(&self) -> Option<&Columns> {
        Some(&self.columns)
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// sha256 of the standardised values as little-endian bytes.
fn fingerprint(values: &[f32]) -> String {
    let mut digest = Sha256::new();
    for chunk in values.chunks(1 << 14) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|value| value.to_le_bytes()).collect();
        digest.update(&bytes);
    }
    hex(&digest.finalize())
}

/// The first bytes of a `.npy` file of `[n, latent]` float32, padded to [`HEADER_BYTES`].
fn header(n: usize, latent: usize) -> Vec<u8> {
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {latent}), }}");
    let length = HEADER_BYTES - 10;
    let padded = format!("{text:<width$}\n", width = length - 1);
    [b"\x93NUMPY\x01\x00", &(length as u16).to_le_bytes()[..], padded.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back_and_constants_stay_finite() {
        let codes = [1.0, 7.0, 3.0, 7.0, 5.0, 7.0];
        let standardised = Standardised::fit(&codes, 2);
        assert_eq!((standardised.shift.as_slice(), standardised.scale[1]), (&[3.0, 7.0][..], 1.0));
        assert!((standardised.scale[0] - (8.0f32 / 3.0).sqrt()).abs() < 1e-6);
        let there = standardised.forward(&codes);
        assert_eq!((there[1], there[2]), (0.0, 0.0));
        for (a, b) in standardised.back(&there).iter().zip(codes) {
            assert!((a - b).abs() < 1e-6);
        }
        assert!((standardised.log_scale() - f64::from(standardised.scale[0]).ln()).abs() < 1e-12);
        assert_eq!(Standardised::of(&standardised.columns()), standardised);
    }

    #[test]
    fn a_file_maps_to_the_same_rows_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codes.npy");
        let source = CodeSource::of(&[1.0, 7.0, 3.0, 7.5, 5.0, 7.0], 2);
        let bytes = source.to_npy();
        assert_eq!((bytes.len(), bytes[HEADER_BYTES - 1]), (HEADER_BYTES + 24, b'\n'));
        std::fs::write(&path, &bytes).unwrap();
        let mapped = CodeSource::of_file(&File::open(&path).unwrap(), &path, source.columns.clone()).unwrap();
        assert_eq!((mapped.floats(), mapped.fingerprint()), (source.floats(), source.fingerprint()));
        let damaged: [Vec<u8>; 4] =
            [vec![], bytes[..HEADER_BYTES].to_vec(), bytes[..bytes.len() - 1].to_vec(), [b"x", &bytes[1..]].concat()];
        for bytes in damaged {
            std::fs::write(&path, bytes).unwrap();
            let error = CodeSource::of_file(&File::open(&path).unwrap(), &path, source.columns.clone())
                .map(|_| ())
                .unwrap_err();
            assert!(error.to_string().contains("codes of 2 numbers"), "{error}");
        }
    }

    #[test]
    fn a_tenth_is_held_out_but_none_of_a_few() {
        let config = DataConfig { test: 0.0, ..Default::default() };
        let parts = |n: usize| {
            let codes: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let splits = CodeSource::of(&codes, 1).split(&config, 0).unwrap();
            (splits.train.len(), splits.validation.map_or(0, |part| part.len()), splits.test.len())
        };
        assert_eq!((parts(19), parts(20), parts(100)), ((19, 0, 0), (18, 2, 0), (90, 10, 0)));
    }
}

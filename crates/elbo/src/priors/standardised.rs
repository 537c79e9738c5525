//! Codes brought to mean 0 and deviation 1 in each dimension, which is where networks learn well, and back.

use crate::run::weights::NamedTensor;

/// `standardised = (code - shift) / scale`, dimension by dimension.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standardised {
    pub shift: Vec<f32>,
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

    pub fn forward(&self, codes: &[f32]) -> Vec<f32> {
        let columns = self.shift.iter().zip(&self.scale).cycle();
        codes.iter().zip(columns).map(|(z, (shift, scale))| (z - shift) / scale).collect()
    }

    pub fn back(&self, values: &[f32]) -> Vec<f32> {
        let columns = self.shift.iter().zip(&self.scale).cycle();
        values.iter().zip(columns).map(|(x, (shift, scale))| x * scale + shift).collect()
    }

    /// `ln |d code / d standardised|`.
    pub fn log_scale(&self) -> f64 {
        self.scale.iter().map(|&scale| f64::from(scale).ln()).sum()
    }

    /// As it is written to files.
    pub fn tensors(&self) -> [NamedTensor; 2] {
        let tensor = |name: &str, values: &Vec<f32>| NamedTensor {
            name: name.into(),
            shape: vec![values.len()],
            values: values.clone(),
        };
        [tensor("standardised.shift", &self.shift), tensor("standardised.scale", &self.scale)]
    }

    /// Names and shapes of [`Standardised::tensors`].
    pub fn shapes(latent: usize) -> [(String, Vec<usize>); 2] {
        ["standardised.shift", "standardised.scale"].map(|name| (name.to_owned(), vec![latent]))
    }

    /// Takes its tensors, the last two, off a checked list.
    ///
    /// # Panics
    /// If they are not there.
    pub fn take(tensors: &mut Vec<NamedTensor>) -> Self {
        let scale = tensors.pop().expect("checked").values;
        let shift = tensors.pop().expect("checked").values;
        Self { shift, scale }
    }
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
    }
}

//! Binary pixels, drawn or cut off, for the Bernoulli likelihood.
//!
//! A Bernoulli likelihood of grey pixels is no likelihood: it does not sum to 1 over them. Read as probabilities, grey values become binary images by
//! chance, and likelihoods compare with published ones. Salakhutdinov & Murray (2008, "On the quantitative analysis of deep belief
//! networks") drew each image once; Burda et al. (2015, arXiv:1509.00519, section 5) draw anew in each epoch, which also
//! keeps a model from learning one draw by heart. Numbers of the two do not compare with each other, nor with those of a threshold.

use elbo_kernels::BinaryDraw;
use serde::{Deserialize, Serialize};

use crate::random::Purpose;

/// How grey pixels become zeros and ones: `data.binarize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Binarize {
    /// Grey pixels stay grey.
    #[default]
    None,
    /// Each pixel is 1 with probability `byte / 255`: anew in every epoch of training, one fixed draw for validation and test.
    Dynamic,
    /// Bytes from 128 on are 1, others 0.
    Threshold,
}

/// How a split becomes binary, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Binarization {
    /// How pixels become zeros and ones.
    pub binarize: Binarize,
    /// What the draws depend on beside epoch, image and pixel.
    pub seed: u64,
}

impl Binarization {
    /// The draw of `epoch`, counted from 1; 0 is the fixed one of evaluations.
    pub(crate) fn draw(self, epoch: usize) -> BinaryDraw {
        BinaryDraw { seed: self.seed, purpose: Purpose::Binarization as u32, epoch: epoch as u32 }
    }
}

/// 1 for bytes from 128 on, which are the values above one half.
pub(crate) fn threshold(value: &mut f32) {
    *value = f32::from(*value > 0.5);
}

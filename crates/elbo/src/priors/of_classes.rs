//! Mixtures for the classes of a conditional model.

use serde::{Deserialize, Serialize};

use super::{COMPONENTS, Draw, SamplerKind};
use crate::error::Result;
use crate::mixtures::{EmConfig, GaussianMixture, fit};
use crate::random::{Draws, Purpose};

/// `p(z | class)`, one mixture for each class.
///
/// A conditional VAE is trained towards N(0, I) whatever the class. Its codes still depend on it: the aggregate posterior of a class has another
/// mean and other directions than that of all. Codes of one class decoded as another, and so codes of N(0, I), are what training has not met.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassMixtures {
    /// `gaussian` or `mixture`.
    kind: SamplerKind,
    /// In the order of the classes.
    of: Vec<GaussianMixture>,
}

/// Codes of which the classes are known.
#[derive(Debug, Clone, Copy)]
pub struct ClassCodes<'a> {
    /// Code after code. `[n, latent]`.
    pub values: &'a [f32],
    /// Dimensions of a code.
    pub latent: usize,
    /// The class of each code, below `classes`. `[n]`.
    pub labels: &'a [u32],
    /// How many classes there are, with those that have no codes.
    pub classes: usize,
}

impl ClassMixtures {
    /// Fits one mixture to the codes of each class. A class with no codes, or one alone, has that of all codes.
    ///
    /// # Errors
    /// As [`fit`].
    ///
    /// # Panics
    /// If there is no label for each code, or one beyond the classes.
    pub(super) fn fit(kind: &SamplerKind, codes: ClassCodes<'_>, seed: u64) -> Result<Self> {
        let ClassCodes { values, latent, labels, classes } = codes;
        assert_eq!(values.len(), labels.len() * latent, "a label for each code");
        let mut rows = vec![Vec::new(); classes];
        for (code, &label) in values.chunks_exact(latent).zip(labels) {
            rows[label as usize].extend(code.iter().map(|&value| f64::from(value)));
        }
        let most = if *kind == SamplerKind::Gaussian { 1 } else { COMPONENTS };
        let mixture = |rows: &[f64]| {
            // A covariance takes twice as many rows as it has columns.
            let components = (rows.len() / (2 * latent * latent)).clamp(1, most);
            Ok(fit(rows, latent, &EmConfig { components, seed, tolerance: 1e-5, ..Default::default() })?.mixture)
        };
        let all = || mixture(&rows.concat());
        let of = rows.iter().map(|rows| if rows.len() < 2 * latent { all() } else { mixture(rows) });
        Ok(Self { kind: kind.clone(), of: of.collect::<Result<_>>()? })
    }

    /// `gaussian` or `mixture`.
    pub fn kind(&self) -> &SamplerKind {
        &self.kind
    }

    /// The mixture of each class.
    pub fn mixtures(&self) -> &[GaussianMixture] {
        &self.of
    }

    /// Draws a code for each of some classes. What a class gets does not depend on the others.
    ///
    /// # Shapes
    /// - returns: `[draw.count, latent]`
    pub(super) fn sample(&self, draw: &Draw, class_of: impl Fn(usize) -> usize) -> Vec<f32> {
        let latent = self.of[0].dims();
        let mut codes = vec![0f32; draw.count * latent];
        for (class, mixture) in self.of.iter().enumerate() {
            let places: Vec<usize> = (0..draw.count).filter(|&i| class_of(i) == class).collect();
            let draws = &mut Draws::new(draw.seed, Purpose::Prior, 1, class as u64);
            let rows = mixture.sample(places.len(), draw.temperature, draw.truncation, draws);
            for (place, row) in places.into_iter().zip(rows.chunks_exact(latent)) {
                let code = &mut codes[place * latent..(place + 1) * latent];
                code.iter_mut().zip(row).for_each(|(to, value)| *to = *value as f32);
            }
        }
        codes
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sampler;
    use super::*;

    /// Codes of two classes, around -5 and 5, and a third class without any.
    fn fitted(kind: &SamplerKind) -> Sampler {
        let labels: Vec<u32> = (0..200).map(|i| i % 2).collect();
        let noise = Draws::new(1, Purpose::Choice, 0, 0).normals(400);
        let centre = |i: usize| if labels[i / 2] == 0 { -5.0 } else { 5.0 };
        let codes: Vec<f32> = noise.iter().enumerate().map(|(i, e)| centre(i) + e).collect();
        let codes = ClassCodes { values: &codes, latent: 2, labels: &labels, classes: 3 };
        Sampler::fit_to_classes(kind, codes, 0).unwrap()
    }

    #[test]
    fn each_class_draws_from_its_own_codes() {
        for kind in [SamplerKind::Gaussian, SamplerKind::Mixture] {
            let sampler = fitted(&kind);
            assert_eq!(sampler.kind(), kind);
            let draw = Draw { count: 60, temperature: 0.5, ..Draw::default() };
            let of_class = |class: u32| sampler.sample_as(&draw, &[class]);
            assert!(of_class(0).iter().all(|z| (-8.0..-2.0).contains(z)), "{kind}: the first class");
            assert!(of_class(1).iter().all(|z| (2.0..8.0).contains(z)), "{kind}: the second class");
            let unseen = of_class(2);
            assert!(unseen.iter().any(|z| *z < 0.0) && unseen.iter().any(|z| *z > 0.0), "{kind}: that of all codes");
            // In turn where nobody says which.
            let turns = sampler.sample(&draw);
            assert!(
                turns.chunks(2).step_by(3).all(|z| z[0] < 0.0) && turns[2..].chunks(2).step_by(3).all(|z| z[0] > 0.0)
            );
            assert_eq!(turns, sampler.sample_as(&draw, &[0, 1, 2]));
        }
    }

    #[test]
    fn samplers_without_classes_draw_the_same_for_any() {
        let (sampler, draw) = (Sampler::Normal(2), Draw { count: 5, ..Draw::default() });
        assert_eq!(sampler.sample_as(&draw, &[3]), sampler.sample(&draw));
    }
}

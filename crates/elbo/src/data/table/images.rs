//! The images of an array as a source.

use super::Known;
use super::identity::Identity;
use super::labels::Labels;
use super::mapped::Numbers;
use crate::data::source::{ImageShape, Source};
use crate::space::Domain;

/// The values of images, image after image, channel first.
pub(super) enum Pixels {
    Bytes(Numbers<u8>),
    /// In [0, 1].
    Unit(Numbers<f32>),
}

/// Images from an array.
pub(super) struct ArrayImages {
    name: String,
    shape: ImageShape,
    pixels: Pixels,
    labels: Option<Labels>,
    identity: Identity,
    label_names: Vec<String>,
    fingerprint: String,
    notes: Vec<String>,
}

impl ArrayImages {
    pub fn new(
        known: &Known,
        shape: ImageShape,
        pixels: Pixels,
        (labels, identity): (Option<Labels>, Identity),
        notes: Vec<String>,
    ) -> Self {
        Self {
            name: known.name.clone(),
            shape,
            pixels,
            labels,
            identity,
            label_names: known.label_names.clone(),
            fingerprint: known.sha256.clone(),
            notes,
        }
    }
}

impl Source for ArrayImages {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        let values = match &self.pixels {
            Pixels::Bytes(bytes) => bytes.as_slice().len(),
            Pixels::Unit(values) => values.as_slice().len(),
        };
        values / self.shape.numel()
    }

    fn shape(&self) -> ImageShape {
        self.shape
    }

    fn read(&self, index: usize, pixels: &mut [u8]) {
        let span = index * self.shape.numel()..(index + 1) * self.shape.numel();
        match &self.pixels {
            Pixels::Bytes(bytes) => pixels.copy_from_slice(&bytes.as_slice()[span]),
            Pixels::Unit(values) => {
                let values = &values.as_slice()[span];
                pixels.iter_mut().zip(values).for_each(|(pixel, value)| *pixel = (value * 255.0).round() as u8);
            }
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().and_then(|labels| labels.get(index))
    }

    fn label_names(&self) -> &[String] {
        &self.label_names
    }

    fn bytes(&self) -> Option<&[u8]> {
        match &self.pixels {
            Pixels::Bytes(bytes) => Some(bytes.as_slice()),
            Pixels::Unit(_) => None,
        }
    }

    fn domain(&self) -> Domain {
        match &self.pixels {
            Pixels::Bytes(_) => Domain::Levels,
            Pixels::Unit(_) => Domain::Unit,
        }
    }

    fn read_values(&self, index: usize, values: &mut [f32]) {
        let span = index * self.shape.numel()..(index + 1) * self.shape.numel();
        match &self.pixels {
            Pixels::Bytes(bytes) => elbo_kernels::unit_from_bytes(&bytes.as_slice()[span], values),
            Pixels::Unit(all) => values.copy_from_slice(&all.as_slice()[span]),
        }
    }

    fn floats(&self) -> Option<&[f32]> {
        match &self.pixels {
            Pixels::Bytes(_) => None,
            Pixels::Unit(values) => Some(values.as_slice()),
        }
    }

    fn place(&self, index: usize) -> u64 {
        self.identity.row(index)
    }

    fn identifier_column(&self) -> Option<&str> {
        self.identity.column()
    }

    fn identifier(&self, index: usize) -> Option<&str> {
        self.identity.id(index)
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

//! Spaces in which sets of images are compared.

use burn::tensor::{Device, Tensor, TensorData};

use super::inception::Inception;
use super::points::Features;
use crate::data::batch::batch;
use crate::data::source::ImageShape;
use crate::data::split::Subset;
use crate::error::{Error, Result};
use crate::networks::{Activation, Classifier, Pass};
use crate::projection::Projection;
use crate::tensors::values_of;

/// Components of the space [`FeatureSpace::pca`] makes, at most.
pub const PCA_COMPONENTS: usize = 64;

/// Most values of an image whose covariance is taken: a matrix of 128 MiB.
const MAX_DIMS: usize = 4096;

/// Rows brought into the space at once.
const BATCH: usize = 512;

/// Where sets of images are compared: what a distance between them means depends on it, so every result names it.
#[derive(Debug, Clone)]
pub struct FeatureSpace {
    /// In results: `pixels`, `pca`, `classifier` or `inception`.
    pub name: &'static str,
    /// In definitions: `64 principal components of 27000 training images`.
    pub description: String,
    map: Map,
}

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "one value for each comparison")]
enum Map {
    Identity,
    /// `[components, dims]` and `[components]`.
    Projection(Tensor<2>, Tensor<1>),
    Classifier(Box<Classifier>),
    Inception(Box<Inception>, ImageShape),
}

impl FeatureSpace {
    /// The values of images as they are.
    ///
    /// # Errors
    /// [`Error::Config`] for images of more than 4,096 values: their covariances would take too long.
    pub fn pixels(dims: usize) -> Result<Self> {
        check_dims(dims)?;
        Ok(Self { name: "pixels", description: format!("the {dims} values of an image"), map: Map::Identity })
    }

    /// The first [`PCA_COMPONENTS`] principal components of a split, not whitened.
    ///
    /// # Errors
    /// As [`FeatureSpace::pixels`]; for fewer than two images.
    pub fn pca(split: &Subset, device: &Device) -> Result<Self> {
        let dims = split.source().shape().numel();
        Self::principal(&Self::pixels(dims)?.of_split(split, device), device)
    }

    /// [`FeatureSpace::pca`] of training images given by their values.
    ///
    /// # Errors
    /// As [`FeatureSpace::pca`].
    pub fn pca_of_values(values: &[f32], width: usize, device: &Device) -> Result<Self> {
        Self::principal(&Self::pixels(width)?.of_values(values, width, device), device)
    }

    fn principal(images: &Features, device: &Device) -> Result<Self> {
        if images.n() < 2 {
            let help = "principal components are directions of variance; one image has none";
            return Err(Error::config("limit", "at least 2 images", images.n().to_string(), help));
        }
        let (dims, components) = (images.dims, PCA_COMPONENTS.min(images.dims));
        let found = Projection::principal(&images.values, dims, components)?;
        let weight: Vec<f32> = found.directions.iter().flatten().map(|v| *v as f32).collect();
        let centred =
            |direction: &Vec<f64>| -direction.iter().zip(&found.centre).map(|(w, m)| w * m).sum::<f64>() as f32;
        let bias: Vec<f32> = found.directions.iter().map(centred).collect();
        let description = format!(
            "{components} principal components of {} training images, {:.0} % of their variance",
            images.n(),
            100.0 * found.share
        );
        let weight = Tensor::from_data(TensorData::new(weight, [components, dims]), device);
        let bias = Tensor::from_data(TensorData::new(bias, [components]), device);
        Ok(Self { name: "pca", description, map: Map::Projection(weight, bias) })
    }

    /// The last hidden layer of a classifier of such images.
    pub fn classifier(classifier: Classifier, description: String) -> Self {
        Self { name: "classifier", description, map: Map::Classifier(Box::new(classifier)) }
    }

    /// Inception's features of images of this shape: the space of published Frechet distances, if `inception` has the weights that they were taken with.
    ///
    /// # Errors
    /// [`Error::Config`] for images of other than 1 or 3 channels.
    pub fn inception(inception: Inception, shape: ImageShape, file: &str) -> Result<Self> {
        if ![1, 3].contains(&shape.channels) {
            let found = format!("{} channels", shape.channels);
            return Err(Error::config("features", "pictures of 1 or 3 channels", found, "take `pca` for these"));
        }
        let description = format!(
            "{} features of Inception v3 with the weights of {file}, images scaled to 299 x 299",
            Inception::FEATURES
        );
        Ok(Self { name: "inception", description, map: Map::Inception(Box::new(inception), shape) })
    }

    /// Images of a split as points.
    pub fn of_split(&self, split: &Subset, device: &Device) -> Features {
        let places: Vec<u32> = (0..split.len() as u32).collect();
        self.collect(places.chunks(BATCH).map(|chosen| batch(split, chosen, device)))
    }

    /// Images given by their values, `[n, values]`, as points.
    pub fn of_values(&self, values: &[f32], width: usize, device: &Device) -> Features {
        let rows = |chunk: &[f32]| TensorData::new(chunk.to_vec(), [chunk.len() / width, width]);
        self.collect(values.chunks(BATCH * width).map(|chunk| Tensor::from_data(rows(chunk), device)))
    }

    fn collect(&self, batches: impl Iterator<Item = Tensor<2>>) -> Features {
        let mut features = Features { dims: 0, values: Vec::new() };
        for x in batches {
            let points = match &self.map {
                Map::Identity => x,
                Map::Projection(weight, bias) => {
                    elbo_kernels::linear(x, weight.clone(), bias.clone(), Activation::None)
                }
                Map::Classifier(classifier) => classifier.features(x, &Pass::still()),
                Map::Inception(inception, shape) => inception.features(x, *shape),
            };
            features.dims = points.dims()[1];
            features.values.extend(values_of(points).into_iter().map(f64::from));
        }
        features
    }
}

fn check_dims(dims: usize) -> Result<()> {
    if dims <= MAX_DIMS {
        return Ok(());
    }
    let expected = format!("images of at most {MAX_DIMS} values");
    let help = "where the images have classes, `--features classifier` compares them in fewer dimensions";
    Err(Error::config("features", expected, dims.to_string(), help))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::frechet::Moments;
    use super::*;
    use crate::data::digits;

    #[test]
    fn principal_components_are_uncorrelated_and_ordered() {
        let device = crate::device::choose("cpu").unwrap();
        let split = Subset::all(Arc::new(digits::generate(0, 300)));
        let space = FeatureSpace::pca(&split, &device).unwrap();
        let moments = Moments::of(&space.of_split(&split, &device)).unwrap();
        assert!(moments.mean.iter().all(|mean| mean.abs() < 1e-4), "centred");
        let variance = |i: usize| moments.covariance[(i, i)];
        for i in 1..PCA_COMPONENTS {
            assert!(variance(i - 1) >= variance(i) - 1e-6);
            assert!(moments.covariance[(i, 0)].abs() < 1e-4 * variance(0));
        }
    }
}

//! How alike images and their reconstructions are.

use burn::tensor::{Device, Tensor};

use super::metric::Metric;
use crate::data::batch::Batch;
use crate::data::source::ImageShape;
use crate::data::split::Subset;
use crate::distributions::{MIN_SIMILARITY_SIDE, ms_ssim, ssim};
use crate::error::Result;
use crate::models::Model;
use crate::space::Domain;
use crate::tensors::values_of;

const BATCH: usize = 256;

/// Each image of a split beside the mean of p(x|z) at the mean of its code.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Similarity {
    /// Mean squared error of each image.
    pub mse: Vec<f64>,
    /// Structural similarity of each image; empty for tables and for images with a side below 4.
    pub ssim: Vec<f64>,
    /// Its multi-scale form, where there is the plain one.
    pub ms_ssim: Vec<f64>,
    /// Energy of the Laplacian in the reconstructions, and in the images: sums over all of them. Zeros for tables.
    pub edges: [f64; 2],
    /// What the numbers of the examples are.
    pub domain: Domain,
}

/// Compares images with their reconstructions.
///
/// # Panics
/// If the images do not fit the model.
///
/// ```
/// # use elbo::data::{self, DataConfig};
/// # use elbo::distributions::Likelihood;
/// # use elbo::models::{Architecture, Vae};
/// # use elbo::networks::NetworkConfig;
/// # let data = data::open(&DataConfig { count: 60, ..Default::default() }, 0, &mut |_| {})?;
/// # let device = elbo::device::choose("cpu")?;
/// # let network = NetworkConfig::mlp(&[32]);
/// let vae = Vae::init(&Architecture::new([1, 28, 28], 2, &network, Likelihood::Bernoulli), 0, &device);
/// for (name, metric) in elbo::evaluation::similarity(&vae, &data.test, &device)?.metrics() {
///     println!("{name}: {:.3} {}", metric.value, metric.unit);
/// }
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn similarity(model: &dyn Model, split: &Subset, device: &Device) -> Result<Similarity> {
    let (shape, domain) = (split.source().shape(), split.source().domain());
    let mut found = Similarity { domain, ..Default::default() };
    let pictures = domain != Domain::Real && shape.height.min(shape.width) >= MIN_SIMILARITY_SIDE;
    let places: Vec<u32> = (0..split.len() as u32).collect();
    for chosen in places.chunks(BATCH) {
        let batch = Batch::of_split(split, chosen, model.needs(), device);
        let (x, made) = (batch.x.real(), model.reconstruct(&batch)?);
        let (original, copy) = (values_of(x.clone()), values_of(made.clone()));
        for (original, copy) in original.chunks_exact(shape.numel()).zip(copy.chunks_exact(shape.numel())) {
            let squares: f64 = original.iter().zip(copy).map(|(a, b)| f64::from(a - b).powi(2)).sum();
            found.mse.push(squares / shape.numel() as f64);
            if pictures {
                found.edges[0] += edge_energy(copy, shape);
                found.edges[1] += edge_energy(original, shape);
            }
        }
        if pictures {
            found.ssim.extend(by_image(ssim(planes(x.clone(), shape), planes(made.clone(), shape)), shape));
            found.ms_ssim.extend(by_image(ms_ssim(planes(x, shape), planes(made, shape)), shape));
        }
    }
    Ok(found)
}

impl Similarity {
    /// Adds what the same model made of further images.
    pub fn append(&mut self, further: Self) {
        self.mse.extend(further.mse);
        self.ssim.extend(further.ssim);
        self.ms_ssim.extend(further.ms_ssim);
        self.edges = [0, 1].map(|i| self.edges[i] + further.edges[i]);
    }

    /// Energy of the Laplacian of the reconstructions over that of the images: below 1 they are blurred. None for tables and for images
    /// without edges.
    pub fn sharpness(&self) -> Option<f64> {
        (self.edges[1] > 0.0).then(|| self.edges[0] / self.edges[1])
    }

    /// `mse` and, for pictures, `psnr`, `ssim`, `ms_ssim` and `sharpness`.
    pub fn metrics(&self) -> Vec<(&'static str, Metric)> {
        let over = format!("x against E[x|z] at the mean of q(z|x), mean over {} examples", self.mse.len());
        let metric = |values: &[f64], unit, what: &str| Metric::mean_of(values, unit, format!("{what}, {over}"));
        let mut metrics = vec![("mse", metric(&self.mse, "squared error per value", "mean of (x - x')^2 over values"))];
        if self.domain != Domain::Real {
            // An exact copy has no finite ratio; float32 cannot tell better than 150 dB.
            let decibels: Vec<f64> = self.mse.iter().map(|mse| -10.0 * mse.max(1e-15).log10()).collect();
            metrics.push(("psnr", metric(&decibels, "dB", "-10 log10 mse of each image, peak 1")));
        }
        if !self.ssim.is_empty() {
            let window = "Gaussian window 11 x 11, sigma 1.5, whole windows only, smaller for smaller images";
            metrics.push(("ssim", metric(&self.ssim, "1 for equal", &format!("structural similarity, {window}"))));
            let scales = "at five scales, fewer for images below 64 pixels";
            metrics.push((
                "ms_ssim",
                metric(&self.ms_ssim, "1 for equal", &format!("structural similarity {scales}, {window}")),
            ));
        }
        metrics.extend(self.sharpness().map(|sharpness| {
            let what = "energy of the Laplacian of E[x|z] over that of x: below 1 is blurred";
            ("sharpness", Metric::new(sharpness, "1 for equal", format!("{what}, {} examples", self.mse.len())))
        }));
        metrics
    }
}

/// `[batch, channels * height * width]` as `[batch * channels, height, width]`.
fn planes(rows: Tensor<2>, shape: ImageShape) -> Tensor<3> {
    let batch = rows.dims()[0];
    rows.reshape([batch * shape.channels, shape.height, shape.width])
}

/// Means over the channels of each image.
fn by_image(values: Tensor<1>, shape: ImageShape) -> Vec<f64> {
    let values = values_of(values);
    let images = values.chunks_exact(shape.channels);
    images.map(|c| c.iter().map(|v| f64::from(*v)).sum::<f64>() / shape.channels as f64).collect()
}

/// Sum of squares of the Laplacian, `4 x` less the four neighbours, over the inner pixels.
fn edge_energy(image: &[f32], shape: ImageShape) -> f64 {
    let ImageShape { height, width, .. } = shape;
    let mut energy = 0f64;
    for plane in image.chunks_exact(height * width) {
        for row in 1..height - 1 {
            let line = |offset: usize| &plane[(row + offset - 1) * width..][..width];
            let (above, here, below) = (line(0), line(1), line(2));
            for column in 1..width - 1 {
                let around = above[column] + below[column] + here[column - 1] + here[column + 1];
                energy += f64::from(4.0 * here[column] - around).powi(2);
            }
        }
    }
    energy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blurring_takes_energy_from_edges_and_a_ramp_has_none() {
        let shape = ImageShape::grey(5, 5);
        let mut dot = vec![0f32; 25];
        dot[12] = 1.0;
        // 16 at the dot and 1 at each of its four neighbours.
        assert_eq!(edge_energy(&dot, shape), 20.0);
        let ramp: Vec<f32> = (0..25).map(|i| (i % 5) as f32).collect();
        assert_eq!(edge_energy(&ramp, shape), 0.0);
    }

    #[test]
    fn decibels_follow_squared_errors() {
        let found = Similarity { mse: vec![0.01, 0.0001, 0.0], ..Default::default() };
        let metrics = found.metrics();
        let names: Vec<_> = metrics.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["mse", "psnr"]);
        assert!((metrics[1].1.value - (20.0 + 40.0 + 150.0) / 3.0).abs() < 1e-9);
    }
}

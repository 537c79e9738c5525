//! Inception v3 (Szegedy et al. 2015, arXiv:1512.00567) in the form whose features published Frechet distances compare.
//!
//! Those distances (Heusel et al. 2017, arXiv:1706.08500) rest on one set of weights, trained in TensorFlow on 1,008 classes and known in PyTorch from the package
//! `pytorch-fid`. With them come three habits, without which the numbers are others: images are scaled to 299 x 299 with half-pixel centres and without smoothing, average
//! pooling does not count what lies outside of the image, and the last block takes a maximum where the paper takes an average. Layers have PyTorch's names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use elbo_kernels::{Activation, ConvGeometry, conv2d};

use crate::data::source::ImageShape;
use crate::error::{Error, Result};
use crate::run::weights::{self, NamedTensor};

/// Height and width of what the network sees.
const SIDE: usize = 299;
/// Added to variances.
const EPS: f32 = 1e-3;
/// Images that pass through at once: 45 MB in the widest layer.
const BATCH: usize = 16;
/// Classes of the weights behind published numbers; torchvision's have 1,000.
const CLASSES: usize = 1008;
/// Layers with a stride of 2, and one of stride 1, that see no zeros around their images. All others keep the size.
const UNPADDED: [(&str, usize); 7] = [
    ("Conv2d_1a_3x3", 2),
    ("Conv2d_2a_3x3", 1),
    ("Conv2d_4a_3x3", 1),
    ("Mixed_6a.branch3x3", 2),
    ("Mixed_6a.branch3x3dbl_3", 2),
    ("Mixed_7a.branch3x3_2", 2),
    ("Mixed_7a.branch7x7x3_4", 2),
];

/// The network up to its last pooling.
#[derive(Debug, Clone)]
pub struct Inception {
    layers: HashMap<String, Layer>,
    device: Device,
}

/// A convolution with its batch normalisation folded in, and ReLU.
#[derive(Debug, Clone)]
struct Layer {
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvGeometry,
}

impl Inception {
    /// Numbers of an image.
    pub const FEATURES: usize = 2048;

    /// Reads the weights: safetensors with PyTorch's names; what follows the last pooling may be there and is not read.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Model`] as [`weights::read`]; [`Error::Model`] naming what is missing or of another shape, and for torchvision's own weights, which are
    /// not those of published numbers.
    pub fn read(path: &Path, device: &Device) -> Result<Self> {
        let mut file = weights::read(path)?;
        if let Some(head) =
            file.tensors.iter().find(|tensor| tensor.name == "fc.bias" && tensor.values.len() != CLASSES)
        {
            let help = "Frechet distances are published with the weights of pytorch-fid, pt_inception-2015-12-05; docs/evaluation.md says how to save them";
            let expected = format!("{CLASSES} classes, as TensorFlow's Inception has");
            return Err(Error::model(path, "tensor fc.bias", expected, format!("{} classes", head.values.len()), help));
        }
        file.tensors.retain(|tensor| !tensor.name.starts_with("fc.") && !tensor.name.starts_with("AuxLogits."));
        let expected = Self::tensors();
        let mut found: BTreeMap<String, NamedTensor> =
            weights::check(file, &expected, path)?.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let layers = convolutions().into_iter().map(|(name, shape)| {
            let values =
                tensors(&name, shape).map(|(name, _)| found.remove(&name).map(|t| t.values).unwrap_or_default());
            let layer = Layer::folded(geometry(&name, shape), shape, values, device);
            (name, layer)
        });
        Ok(Self { layers: layers.collect(), device: device.clone() })
    }

    /// Names and shapes of what a file of weights holds.
    pub fn tensors() -> Vec<(String, Vec<usize>)> {
        convolutions().iter().flat_map(|(name, shape)| tensors(name, *shape)).collect()
    }

    /// The features of images given by their values in [0, 1], channel first: the mean over the last map, after its activation. Grey images count as three equal
    /// channels.
    ///
    /// # Shapes
    /// - `rows`: `[batch, channels * height * width]`
    /// - returns: `[batch, FEATURES]`
    ///
    /// # Panics
    /// If rows do not fit the shape, which has 1 or 3 channels.
    pub fn features(&self, rows: Tensor<2>, shape: ImageShape) -> Tensor<2> {
        let vertical = interpolation(shape.height, &self.device);
        let horizontal = interpolation(shape.width, &self.device).transpose();
        let [count, _] = rows.dims();
        let parts = (0..count).step_by(BATCH).map(|start| {
            let rows = rows.clone().slice_dim(0, start..(start + BATCH).min(count));
            let batch = rows.dims()[0];
            let planes = rows.reshape([batch * shape.channels, shape.height, shape.width]);
            let scaled = vertical.clone().unsqueeze::<3>().matmul(planes).matmul(horizontal.clone().unsqueeze::<3>());
            let images = scaled.reshape([batch, shape.channels, SIDE, SIDE]).mul_scalar(2.0).sub_scalar(1.0);
            let images = if shape.channels == 1 { images.repeat_dim(1, 3) } else { images };
            self.forward(images.permute([0, 2, 3, 1]))
        });
        Tensor::cat(parts.collect(), 0)
    }

    /// `[batch, 299, 299, 3]`, values in [-1, 1].
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.chain("", &["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"], x);
        let x = self.chain("", &["Conv2d_3b_1x1", "Conv2d_4a_3x3"], halved(x));
        let x = ["Mixed_5b.", "Mixed_5c.", "Mixed_5d."].iter().fold(halved(x), |x, name| self.block_a(name, x));
        let x = self.block_b("Mixed_6a.", x);
        let x = ["Mixed_6b.", "Mixed_6c.", "Mixed_6d.", "Mixed_6e."].iter().fold(x, |x, name| self.block_c(name, x));
        let x = self.block_d("Mixed_7a.", x);
        let x = self.block_e("Mixed_7b.", x, mean_around);
        let x = self.block_e("Mixed_7c.", x, most_around);
        let [batch, height, width, channels] = x.dims();
        x.reshape([batch, height * width, channels]).mean_dim(1).reshape([batch, channels])
    }

    fn block_a(&self, block: &str, x: Tensor<4>) -> Tensor<4> {
        joined([
            self.chain(block, &["branch1x1"], x.clone()),
            self.chain(block, &["branch5x5_1", "branch5x5_2"], x.clone()),
            self.chain(block, &["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"], x.clone()),
            self.chain(block, &["branch_pool"], mean_around(x)),
        ])
    }

    fn block_b(&self, block: &str, x: Tensor<4>) -> Tensor<4> {
        joined([
            self.chain(block, &["branch3x3"], x.clone()),
            self.chain(block, &["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"], x.clone()),
            halved(x),
        ])
    }

    fn block_c(&self, block: &str, x: Tensor<4>) -> Tensor<4> {
        let double = ["branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5"];
        joined([
            self.chain(block, &["branch1x1"], x.clone()),
            self.chain(block, &["branch7x7_1", "branch7x7_2", "branch7x7_3"], x.clone()),
            self.chain(block, &double, x.clone()),
            self.chain(block, &["branch_pool"], mean_around(x)),
        ])
    }

    fn block_d(&self, block: &str, x: Tensor<4>) -> Tensor<4> {
        joined([
            self.chain(block, &["branch3x3_1", "branch3x3_2"], x.clone()),
            self.chain(block, &["branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"], x.clone()),
            halved(x),
        ])
    }

    fn block_e(&self, block: &str, x: Tensor<4>, pool: fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
        let wide = self.chain(block, &["branch3x3_1"], x.clone());
        let double = self.chain(block, &["branch3x3dbl_1", "branch3x3dbl_2"], x.clone());
        joined([
            self.chain(block, &["branch1x1"], x.clone()),
            self.chain(block, &["branch3x3_2a"], wide.clone()),
            self.chain(block, &["branch3x3_2b"], wide),
            self.chain(block, &["branch3x3dbl_3a"], double.clone()),
            self.chain(block, &["branch3x3dbl_3b"], double),
            self.chain(block, &["branch_pool"], pool(x)),
        ])
    }

    /// Layers of a block, one after the other.
    fn chain(&self, block: &str, names: &[&str], x: Tensor<4>) -> Tensor<4> {
        names.iter().fold(x, |x, name| {
            let Layer { weight, bias, geometry } = &self.layers[&format!("{block}{name}")];
            conv2d(x, weight.clone(), bias.clone(), *geometry, Activation::Relu)
        })
    }
}

impl Layer {
    /// `y = gamma (w * x - mean) / sqrt(variance + eps) + beta` is a convolution with other weights and a bias.
    fn folded(geometry: ConvGeometry, shape: [usize; 4], values: [Vec<f32>; 5], device: &Device) -> Self {
        let [mut weight, gamma, beta, mean, variance] = values;
        let scale: Vec<f32> =
            gamma.iter().zip(&variance).map(|(gamma, variance)| gamma / (variance + EPS).sqrt()).collect();
        for (filter, scale) in weight.chunks_exact_mut(shape[1..].iter().product()).zip(&scale) {
            filter.iter_mut().for_each(|w| *w *= scale);
        }
        let bias: Vec<f32> =
            beta.iter().zip(&mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
        Self {
            weight: Tensor::from_data(TensorData::new(weight, shape), device),
            bias: Tensor::from_data(TensorData::new(bias, [shape[0]]), device),
            geometry,
        }
    }
}

/// The five tensors of a layer.
fn tensors(layer: &str, shape: [usize; 4]) -> [(String, Vec<usize>); 5] {
    let of_norm = |name: &str| (format!("{layer}.bn.{name}"), vec![shape[0]]);
    [
        (format!("{layer}.conv.weight"), shape.to_vec()),
        of_norm("weight"),
        of_norm("bias"),
        of_norm("running_mean"),
        of_norm("running_var"),
    ]
}

fn geometry(layer: &str, [_, _, height, width]: [usize; 4]) -> ConvGeometry {
    match UNPADDED.iter().find(|(name, _)| *name == layer) {
        Some((_, stride)) => ConvGeometry { stride: *stride, padding: [0; 2] },
        None => ConvGeometry { stride: 1, padding: [(height - 1) / 2, (width - 1) / 2] },
    }
}

/// Every convolution with the shape of its weight, `[out, in, height, width]`.
fn convolutions() -> Vec<(String, [usize; 4])> {
    let mut all = Vec::new();
    // Layers of which each reads what the one before made.
    let mut chain = |block: &str, mut inputs: usize, layers: &[(&str, usize, [usize; 2])]| {
        for (name, outputs, [height, width]) in layers {
            all.push((format!("{block}{name}"), [*outputs, inputs, *height, *width]));
            inputs = *outputs;
        }
    };
    let (one, three, five, row, column) = ([1, 1], [3, 3], [5, 5], [1, 7], [7, 1]);
    chain("", 3, &[("Conv2d_1a_3x3", 32, three), ("Conv2d_2a_3x3", 32, three), ("Conv2d_2b_3x3", 64, three)]);
    chain("", 64, &[("Conv2d_3b_1x1", 80, one), ("Conv2d_4a_3x3", 192, three)]);
    let double = [("branch3x3dbl_1", 64, one), ("branch3x3dbl_2", 96, three), ("branch3x3dbl_3", 96, three)];
    for (block, inputs, pooled) in [("Mixed_5b.", 192, 32), ("Mixed_5c.", 256, 64), ("Mixed_5d.", 288, 64)] {
        chain(block, inputs, &[("branch1x1", 64, one)]);
        chain(block, inputs, &[("branch5x5_1", 48, one), ("branch5x5_2", 64, five)]);
        chain(block, inputs, &double);
        chain(block, inputs, &[("branch_pool", pooled, one)]);
    }
    chain("Mixed_6a.", 288, &[("branch3x3", 384, three)]);
    chain("Mixed_6a.", 288, &double);
    for (block, c) in [("Mixed_6b.", 128), ("Mixed_6c.", 160), ("Mixed_6d.", 160), ("Mixed_6e.", 192)] {
        chain(block, 768, &[("branch1x1", 192, one)]);
        chain(block, 768, &[("branch7x7_1", c, one), ("branch7x7_2", c, row), ("branch7x7_3", 192, column)]);
        let [second, third] = [("branch7x7dbl_2", c, column), ("branch7x7dbl_3", c, row)];
        let [fourth, fifth] = [("branch7x7dbl_4", c, column), ("branch7x7dbl_5", 192, row)];
        chain(block, 768, &[("branch7x7dbl_1", c, one), second, third, fourth, fifth]);
        chain(block, 768, &[("branch_pool", 192, one)]);
    }
    chain("Mixed_7a.", 768, &[("branch3x3_1", 192, one), ("branch3x3_2", 320, three)]);
    let [second, third] = [("branch7x7x3_2", 192, row), ("branch7x7x3_3", 192, column)];
    chain("Mixed_7a.", 768, &[("branch7x7x3_1", 192, one), second, third, ("branch7x7x3_4", 192, three)]);
    for (block, inputs) in [("Mixed_7b.", 1280), ("Mixed_7c.", 2048)] {
        chain(block, inputs, &[("branch1x1", 320, one)]);
        chain(block, inputs, &[("branch3x3_1", 384, one)]);
        chain(block, 384, &[("branch3x3_2a", 384, [1, 3])]);
        chain(block, 384, &[("branch3x3_2b", 384, [3, 1])]);
        chain(block, inputs, &[("branch3x3dbl_1", 448, one), ("branch3x3dbl_2", 384, three)]);
        chain(block, 384, &[("branch3x3dbl_3a", 384, [1, 3])]);
        chain(block, 384, &[("branch3x3dbl_3b", 384, [3, 1])]);
        chain(block, inputs, &[("branch_pool", 192, one)]);
    }
    all
}

/// Branches side by side.
fn joined<const N: usize>(branches: [Tensor<4>; N]) -> Tensor<4> {
    Tensor::cat(branches.into(), 3)
}

/// The largest of each 3 x 3 window, windows two pixels apart.
fn halved(x: Tensor<4>) -> Tensor<4> {
    channels_first(x, |x| max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([2, 2])))
}

/// The largest of each pixel and its neighbours.
fn most_around(x: Tensor<4>) -> Tensor<4> {
    channels_first(x, |x| max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1])))
}

/// The mean of each pixel and its neighbours inside of the image.
fn mean_around(x: Tensor<4>) -> Tensor<4> {
    channels_first(x, |x| {
        avg_pool2d(
            x,
            AvgPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]).with_count_include_pad(false),
        )
    })
}

fn channels_first(x: Tensor<4>, pool: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    pool(x.permute([0, 3, 1, 2])).permute([0, 2, 3, 1])
}

/// The matrix `[299, size]` that scales one axis: linear between neighbours, centres of pixels at half numbers, no smoothing (PyTorch's `interpolate` with
/// `align_corners=False`).
fn interpolation(size: usize, device: &Device) -> Tensor<2> {
    let mut matrix = vec![0f32; SIDE * size];
    for (place, row) in matrix.chunks_exact_mut(size).enumerate() {
        let source = ((place as f64 + 0.5) * size as f64 / SIDE as f64 - 0.5).max(0.0);
        let first = source as usize;
        let share = (source - first as f64) as f32;
        row[first] += 1.0 - share;
        row[(first + 1).min(size - 1)] += share;
    }
    Tensor::from_data(TensorData::new(matrix, [SIDE, size]), device)
}

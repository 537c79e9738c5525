//! One codebook: moving averages of the vectors that use each code, or weights that the optimiser moves.
//!
//! `N <- g N + (1 - g) n`, `m <- g m + (1 - g) sum z`, `e = m / N~` with `N~ = (N + eps) / (sum N + K eps)
//! sum N` (van den Oord et al. 2017, appendix A.1, with Laplace smoothing). `e = m / N~` holds from the
//! start on: a start that lets `N` and `m` disagree throws codes without a hit away at the first step.
//! Smoothed counts never enter the averages.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};

use super::{Buffer, Pass, QuantizerConfig};
use crate::random::Draws;
use crate::tensors::values_of;

/// eps of the smoothed counts.
const EPS: f32 = 1e-5;
/// Steps between two looks at codes that are hardly used.
const REVIVAL_STEPS: u64 = 100;
/// Share of training after which no code is revived, so that the decoder has known every code that is kept.
const REVIVAL_ENDS: f64 = 0.8;
/// Iterations of k-means.
const ITERATIONS: usize = 20;

/// Entries that vectors choose from.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a few values per model; Burn's derive takes no boxes")]
#[non_exhaustive]
pub enum Codebook {
    /// Moved by averages of the vectors that use a code.
    Averaged(AveragedBook),
    /// Moved by the optimiser, as weights.
    Trained(TrainedBook),
}

/// Moving averages of the vectors that use each code.
#[derive(Module, Debug)]
pub struct AveragedBook {
    /// e, `[codes, width]`.
    embedding: Buffer<2>,
    /// N, `[codes]`.
    cluster_size: Buffer<1>,
    /// m, `[codes, width]`.
    embed_sum: Buffer<2>,
}

/// Entries that the optimiser moves.
#[derive(Module, Debug)]
pub struct TrainedBook {
    /// e, `[codes, width]`.
    embedding: Param<Tensor<2>>,
}

/// Rows of length 1; a row of zeros stays one.
pub(super) fn normalised(rows: Tensor<2>) -> Tensor<2> {
    let norm = rows.clone().square().sum_dim(1).sqrt().clamp_min(1e-12);
    rows / norm
}

/// N~ of counts.
fn smoothed(counts: &[f32]) -> Vec<f32> {
    let sum: f32 = counts.iter().sum();
    let all = sum + counts.len() as f32 * EPS;
    counts.iter().map(|count| (count + EPS) / all * sum).collect()
}

/// m that `e = m / N~` asks for.
fn sums(entries: &[f32], counts: &[f32]) -> Vec<f32> {
    let width = entries.len() / counts.len();
    let smoothed = smoothed(counts);
    entries.chunks_exact(width).zip(&smoothed).flat_map(|(e, n)| e.iter().map(move |e| e * n)).collect()
}

impl Codebook {
    /// Entries as they are given, each used once so far.
    pub(super) fn init(entries: Tensor<2>, trained: bool) -> Self {
        let ([codes, _], device) = (entries.dims(), entries.device());
        if trained {
            return Self::Trained(TrainedBook { embedding: Param::from_data(entries.into_data(), &device) });
        }
        Self::Averaged(AveragedBook {
            embed_sum: Buffer::new(entries.clone()),
            embedding: Buffer::new(entries),
            cluster_size: Buffer::new(Tensor::ones([codes], &device)),
        })
    }

    /// e. `[codes, width]`.
    pub(super) fn entries(&self) -> Tensor<2> {
        match self {
            Self::Averaged(book) => book.embedding.val(),
            Self::Trained(book) => book.embedding.val(),
        }
    }

    /// The same with entries of length 1.
    pub(super) fn of_unit_length(self) -> Self {
        let entries = values_of(normalised(self.entries()));
        let counts = vec![1.0; self.entries().dims()[0]];
        self.holding(entries, counts)
    }

    /// The same with other entries, used so often.
    fn holding(self, entries: Vec<f32>, counts: Vec<f32>) -> Self {
        let (dims, device) = (self.entries().dims(), self.entries().device());
        let sums = Tensor::from_data(TensorData::new(sums(&entries, &counts), dims), &device);
        let entries = Tensor::from_data(TensorData::new(entries, dims), &device);
        match self {
            Self::Averaged(book) => Self::Averaged(AveragedBook {
                embedding: book.embedding.holding(entries),
                cluster_size: book.cluster_size.holding(Tensor::from_data(TensorData::new(counts, [dims[0]]), &device)),
                embed_sum: book.embed_sum.holding(sums),
            }),
            Self::Trained(book) => {
                let entries = if device.is_autodiff() { entries.require_grad() } else { entries };
                Self::Trained(TrainedBook { embedding: book.embedding.map(|_| entries) })
            }
        }
    }

    /// The same with the centres of clusters of vectors, counted as in a batch of `in_batch` vectors.
    pub(super) fn clustered(self, vectors: &Tensor<2>, in_batch: usize, cosine: bool, draws: &mut Draws) -> Self {
        let ([codes, width], [n, _]) = (self.entries().dims(), vectors.dims());
        if n == 0 {
            return self;
        }
        let mut centres = spread(&values_of(vectors.clone()), width, codes, draws);
        let mut counts = vec![0f32; codes];
        for _ in 0..ITERATIONS {
            let entries = Tensor::<2>::from_data(TensorData::new(centres.clone(), [codes, width]), &vectors.device());
            let nearest = elbo_kernels::nearest_entries(vectors.clone(), entries);
            let (count, sum) = elbo_kernels::code_statistics(vectors.clone(), nearest, codes);
            counts = values_of(count);
            let means = values_of(sum);
            for ((centre, mean), count) in
                centres.chunks_exact_mut(width).zip(means.chunks_exact(width)).zip(&counts).filter(|(_, n)| **n > 0.0)
            {
                centre.iter_mut().zip(mean).for_each(|(centre, sum)| *centre = sum / count);
            }
            if cosine {
                centres.chunks_exact_mut(width).for_each(unit);
            }
        }
        let share = in_batch as f32 / n as f32;
        self.holding(centres, counts.into_iter().map(|count| (count * share).max(EPS)).collect())
    }

    /// Stages what the averages become by the vectors of a batch; returns how many codes were revived.
    ///
    /// # Shapes
    /// - `vectors`: `[n, width]`, `nearest`: `[n]`
    pub(super) fn see(
        &self,
        vectors: &Tensor<2>,
        nearest: &Tensor<1, Int>,
        config: &QuantizerConfig,
        pass: &Pass,
    ) -> usize {
        let Self::Averaged(book) = self else { return 0 };
        let vectors = vectors.clone().without_autodiff();
        let (count, sum) = elbo_kernels::code_statistics(vectors.clone(), nearest.clone(), config.codes);
        let moved = |old: f32, new: f32| (f64::from(old) * config.decay + f64::from(new) * (1.0 - config.decay)) as f32;
        let joined = |old: Vec<f32>, new: Vec<f32>| -> Vec<f32> {
            old.into_iter().zip(new).map(|(old, new)| moved(old, new)).collect()
        };
        let [codes, width] = book.embedding.val().dims();
        let mut counts = joined(values_of(book.cluster_size.val()), values_of(count));
        let mut averages = joined(values_of(book.embed_sum.val()), values_of(sum));
        let mut entries: Vec<f32> = averages
            .chunks_exact(width)
            .zip(smoothed(&counts))
            .flat_map(|(m, n)| m.iter().map(move |m| m / n))
            .collect();
        if config.cosine {
            entries.chunks_exact_mut(width).for_each(unit);
        }
        let revived = revive(&mut entries, &mut counts, &vectors, config, pass);
        if revived > 0 {
            averages = sums(&entries, &counts);
        }
        let device = vectors.device();
        let tensor = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [codes, width]), &device);
        pass.see(&book.embedding, || tensor(entries));
        pass.see(&book.embed_sum, || tensor(averages));
        pass.see(&book.cluster_size, || Tensor::from_data(TensorData::new(counts, [codes]), &device));
        revived
    }
}

/// A vector brought to length 1.
fn unit(vector: &mut [f32]) {
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|v| *v /= norm);
}

/// Gives codes that are hardly used vectors of the batch, each another, with the mean count; every 100
/// steps, but not in the last fifth of training.
fn revive(
    entries: &mut [f32],
    counts: &mut [f32],
    vectors: &Tensor<2>,
    config: &QuantizerConfig,
    pass: &Pass,
) -> usize {
    let moment = pass.moment();
    if config.revive == 0.0 || moment.step == 0 || !moment.step.is_multiple_of(REVIVAL_STEPS) {
        return 0;
    }
    let mean = counts.iter().sum::<f32>() / counts.len() as f32;
    let dead: Vec<usize> = (0..counts.len()).filter(|&k| counts[k] < config.revive as f32 * mean).collect();
    if moment.done > REVIVAL_ENDS || dead.is_empty() {
        return 0;
    }
    let [n, width] = vectors.dims();
    let vectors = values_of(vectors.clone());
    let taken = pass.distinct(dead.len(), n);
    for (&code, &place) in dead.iter().zip(&taken) {
        entries[code * width..][..width].copy_from_slice(&vectors[place * width..][..width]);
        counts[code] = mean;
    }
    taken.len().min(dead.len())
}

/// k-means++ (Arthur & Vassilvitskii 2007): each further centre is a vector drawn with a probability in
/// proportion to its squared distance from the nearest centre so far; any vector once all of them are
/// centres.
fn spread(vectors: &[f32], width: usize, count: usize, draws: &mut Draws) -> Vec<f32> {
    let n = vectors.len() / width;
    let row = |i: usize| &vectors[i * width..][..width];
    let mut centres = row(draws.below(n as u32) as usize).to_vec();
    let mut distances = vec![f32::INFINITY; n];
    while centres.len() < count * width {
        let last = centres[centres.len() - width..].to_vec();
        for (i, distance) in distances.iter_mut().enumerate() {
            let squared = row(i).iter().zip(&last).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            *distance = distance.min(squared);
        }
        let total: f64 = distances.iter().map(|&d| f64::from(d)).sum();
        let mut left = draws.uniform() * total;
        let drawn = distances.iter().position(|&d| {
            left -= f64::from(d);
            left < 0.0
        });
        let next = drawn.unwrap_or_else(|| draws.below(n as u32) as usize);
        centres.extend_from_slice(row(next));
    }
    centres
}

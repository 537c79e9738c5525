//! Vector quantisation: each vector of a map becomes the nearest entry of a codebook (van den Oord et al.
//! 2017, arXiv:1711.00937).
//!
//! | what | where |
//! |---|---|
//! | `k = argmin_j abs(z - e_j)`, eq. 1 | [`Quantizer::forward`] |
//! | moving averages `N`, `m`, `e = m / N`, appendix A.1 | [`super::Codebook`] |
//! | straight-through gradient, section 3.2 | [`Estimator::StraightThrough`] |
//! | rotation trick (Fifty et al. 2024, arXiv:2410.06424) | [`Estimator::Rotation`] |
//! | product codes | `groups` |
//! | residual codes (Lee et al. 2022, arXiv:2203.01941) | `depth` |
//! | finite scalar quantisation (Mentzer et al. 2023, arXiv:2309.15505) | [`CodebookKind::Fsq`] |

use std::sync::LazyLock;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::codebook::{Codebook, normalised};
use super::{LayerSummary, Pass, fsq};
use crate::error::{Error, Result};
use crate::random::{Draws, Purpose};
use crate::reference::Fields;

/// Most codes of a codebook accepted: a code is stored in two bytes.
pub const MAX_CODES: usize = 1 << 16;

/// Where the codes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CodebookKind {
    /// Moving averages of the vectors that use a code.
    #[default]
    Ema,
    /// A codebook that the optimiser moves, with the loss `|sg[z] - e|^2`.
    Gradient,
    /// Finite scalar quantisation: no codebook, each of few channels is rounded to its levels.
    Fsq,
}

/// How gradients pass the choice of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Estimator {
    /// As if the code were the vector itself.
    #[default]
    StraightThrough,
    /// By the rotation and scale that lead from the vector to its code, held constant.
    Rotation,
}

/// Where a codebook starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CodebookStart {
    /// k-means++ and twenty iterations on the encoder's vectors of random training examples.
    #[default]
    Kmeans,
    /// Uniform in +-0.05.
    Uniform,
}

/// The `[quantizer]` table of a recipe.
///
/// ```
/// use elbo::networks::QuantizerConfig;
///
/// let config: QuantizerConfig = toml::from_str("codes = 128\ndims = 16\ngroups = 2").unwrap();
/// assert!(config.check().is_ok());
/// assert_eq!((config.tokens(), config.entries()), (2, 128));
/// assert!(QuantizerConfig { groups: 3, ..config }.check().is_err()); // 16 channels are no three equal parts
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct QuantizerConfig {
    /// Where codes come from: moving averages, the optimiser, or finite scalar quantisation.
    pub kind: CodebookKind,
    /// K: entries of a codebook. Finite scalar quantisation has the product of its levels.
    pub codes: usize,
    /// Channels of the quantised map. Finite scalar quantisation has one for each of its levels.
    pub dims: usize,
    /// Equal parts of the channels, each with a codebook of its own (product codes).
    pub groups: usize,
    /// Codes of a vector one after another, each of what the ones before left over (residual codes).
    pub depth: usize,
    /// Train with a random number of depths, so that the later ones may be left away afterwards.
    pub drop_depths: bool,
    /// Compare directions only: vectors and codes are brought to length 1.
    pub cosine: bool,
    /// beta: weight of the commitment term.
    pub commitment: f64,
    /// Share of the past in the moving averages; of `kind = "ema"`.
    pub decay: f64,
    /// Where the codebook starts.
    pub start: CodebookStart,
    /// Every 100 steps, codes used less often than this share of the mean take a random vector of the
    /// batch; off in the last fifth of training. 0 for never. Of `kind = "ema"`.
    pub revive: f64,
    /// How gradients pass the choice.
    pub gradient: Estimator,
    /// Levels of each channel; of `kind = "fsq"`.
    pub levels: Vec<usize>,
}

impl Default for QuantizerConfig {
    fn default() -> Self {
        Self {
            kind: CodebookKind::Ema,
            codes: 512,
            dims: 64,
            groups: 1,
            depth: 1,
            drop_depths: false,
            cosine: false,
            commitment: 0.25,
            decay: 0.99,
            start: CodebookStart::Kmeans,
            revive: 0.1,
            gradient: Estimator::StraightThrough,
            levels: vec![8, 5, 5, 5],
        }
    }
}

/// A whole number in a range, or the error that names its key.
fn within(key: &str, value: usize, range: std::ops::RangeInclusive<usize>, help: &str) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("a number from {} to {}", range.start(), range.end());
    Err(Error::config(format!("quantizer.{key}"), expected, value.to_string(), help))
}

/// A number in `[0, most)`, or the error that names its key.
fn below(key: &str, value: f64, most: f64, help: &str) -> Result<()> {
    if (0.0..most).contains(&value) {
        return Ok(());
    }
    let expected = format!("a number of at least 0 and below {most}");
    Err(Error::config(format!("quantizer.{key}"), expected, value.to_string(), help))
}

impl QuantizerConfig {
    /// The defaults, where a table is asked for and none is given.
    pub fn standard() -> &'static Self {
        static STANDARD: LazyLock<QuantizerConfig> = LazyLock::new(QuantizerConfig::default);
        &STANDARD
    }

    /// Checks the keys.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first bad key.
    pub fn check(&self) -> Result<()> {
        within("codes", self.codes, 2..=MAX_CODES, "512 is the usual number")?;
        within("dims", self.dims, 1..=1 << 12, "64 is the usual number")?;
        within("groups", self.groups, 1..=256, "1 is one code for each vector")?;
        within("depth", self.depth, 1..=64, "1 is one code for each vector")?;
        below("commitment", self.commitment, 1e6, "0.25 is the paper's")?;
        below("decay", self.decay, 1.0, "0.99 is the paper's")?;
        below("revive", self.revive, 1.0, "0.1 revives codes used a tenth as often as the mean; 0 none")?;
        match self.kind {
            CodebookKind::Fsq => self.check_levels(),
            CodebookKind::Ema | CodebookKind::Gradient if self.dims.is_multiple_of(self.groups) => Ok(()),
            CodebookKind::Ema | CodebookKind::Gradient => {
                let expected = format!("a number that {} channels can be divided by", self.dims);
                let help = "choose `quantizer.dims` as a multiple of `quantizer.groups`";
                Err(Error::config("quantizer.groups", expected, self.groups.to_string(), help))
            }
        }
    }

    fn check_levels(&self) -> Result<()> {
        const HELP: &str = "[8, 6, 5] are 240 codes, [8, 5, 5, 5] 1,000, [7, 5, 5, 5, 5] 4,375";
        let product = self.levels.iter().try_fold(1usize, |product, &levels| product.checked_mul(levels));
        let fits = product.is_some_and(|product| product <= MAX_CODES);
        if self.levels.is_empty() || !fits || self.levels.iter().any(|&levels| levels < 3) {
            let expected = format!("levels of at least 3 whose product is at most {MAX_CODES}");
            return Err(Error::config("quantizer.levels", expected, format!("{:?}", self.levels), HELP));
        }
        let owned = [
            ("groups", self.groups != 1),
            ("depth", self.depth != 1),
            ("cosine", self.cosine),
            ("gradient", self.gradient != Estimator::StraightThrough),
        ];
        match owned.iter().find(|(_, given)| *given) {
            Some((key, _)) => {
                let help = "remove it: finite scalar quantisation rounds, and has no codebook to choose from";
                Err(Error::config(format!("quantizer.{key}"), "its default with `fsq`", "another", help))
            }
            None => Ok(()),
        }
    }

    /// Codes of one vector of the map: groups times depths.
    pub fn tokens(&self) -> usize {
        if self.kind == CodebookKind::Fsq { 1 } else { self.groups * self.depth }
    }

    /// Entries of each codebook.
    pub fn entries(&self) -> usize {
        if self.kind == CodebookKind::Fsq { self.levels.iter().product() } else { self.codes }
    }

    /// Channels of the quantised map.
    pub fn channels(&self) -> usize {
        if self.kind == CodebookKind::Fsq { self.levels.len() } else { self.dims }
    }

    /// In words: `128 codes of 16`.
    pub fn describe(&self) -> String {
        let (groups, depth) = (self.groups, self.depth);
        match self.kind {
            CodebookKind::Fsq => format!("{} codes, levels {:?}", self.entries(), self.levels),
            _ if groups * depth == 1 => format!("{} codes of {}", self.codes, self.dims),
            _ => format!("{groups} x {depth} times {} codes of {}", self.codes, self.dims / groups),
        }
    }

    /// The codebooks; moving averages are no parameters.
    pub(crate) fn layers(&self) -> Vec<LayerSummary> {
        let table = |i| LayerSummary::table(format!("quantizer.books.{i}"), self.codes, self.dims / self.groups);
        match self.kind {
            CodebookKind::Gradient => (0..self.tokens()).map(table).collect(),
            CodebookKind::Ema | CodebookKind::Fsq => Vec::new(),
        }
    }
}

/// What became of a map.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Quantized {
    /// What is quantised: the vectors as they came, of length 1 in each group for cosine codes, within
    /// their bounds for finite scalar quantisation. `[n, h, w, channels]`.
    pub vectors: Tensor<4>,
    /// The codes in the place of the vectors, with a gradient to them. `[n, h, w, channels]`.
    pub z: Tensor<4>,
    /// Mean of `(z - sg[e])^2` over places, channels and depths; 0 for finite scalar quantisation. `[1]`.
    pub commitment: Tensor<1>,
    /// Mean of `(sg[z] - e)^2` where the optimiser moves the codes. `[1]`.
    pub codebook: Option<Tensor<1>>,
    /// The entries, channel first: `[n, tokens * h * w]`, groups before depths before places.
    pub indices: Tensor<2, Int>,
    /// `exp` of the entropy of the entries in this batch, the mean over codebooks.
    pub perplexity: f64,
    /// Codes that took a vector of the batch.
    pub revived: usize,
}

/// The codebooks of a map: `groups * depth` of them, the depths of a group one after another.
///
/// In PyTorch: `books.N.{embedding,cluster_size,embed_sum}`, or `books.N.embedding` of a codebook that the
/// optimiser moves.
#[derive(Module, Debug)]
pub struct Quantizer {
    books: Vec<Codebook>,
    #[module(skip)]
    config: QuantizerConfig,
}

/// A codebook's part of a pass.
struct Chosen {
    code: Tensor<2>,
    indices: Vec<i32>,
    revived: usize,
}

impl Quantizer {
    /// Codebooks uniform in +-0.05; [`Quantizer::started`] gives them a better start.
    pub fn init(config: &QuantizerConfig, draws: &mut Draws, device: &Device) -> Self {
        let books = if config.kind == CodebookKind::Fsq { 0 } else { config.tokens() };
        let width = config.dims / config.groups;
        let book = |_| {
            let start = TensorData::new(draws.uniforms(config.codes * width, 0.05), [config.codes, width]);
            let book = Codebook::init(Tensor::from_data(start, device), config.kind == CodebookKind::Gradient);
            if config.cosine { book.of_unit_length() } else { book }
        };
        Self { books: (0..books).map(book).collect(), config: config.clone() }
    }

    /// What it was made of.
    pub fn config(&self) -> &QuantizerConfig {
        &self.config
    }

    /// The entries of a codebook, `[codes, width]`; none for finite scalar quantisation.
    pub fn entries_of(&self, book: usize) -> Option<Tensor<2>> {
        self.books.get(book).map(Codebook::entries)
    }

    /// Codebooks that start at clusters of the encoder's vectors, as the configuration asks for.
    ///
    /// # Shapes
    /// - `vectors`: `[n, channels]`; `in_batch`: how many of them a training batch has
    #[must_use]
    pub fn started(mut self, vectors: &Tensor<2>, in_batch: usize, seed: u64) -> Self {
        if self.config.start != CodebookStart::Kmeans || self.config.kind == CodebookKind::Fsq {
            return self;
        }
        let (depth, cosine) = (self.config.depth, self.config.cosine);
        let mut left = vectors.clone().without_autodiff();
        let mut books = Vec::with_capacity(self.books.len());
        for (i, book) in std::mem::take(&mut self.books).into_iter().enumerate() {
            if i % depth == 0 {
                left = self.part(&vectors.clone().without_autodiff(), i / depth);
            }
            let draws = &mut Draws::new(seed, Purpose::Codebook, 0, i as u64);
            let book = book.clustered(&left, in_batch, cosine, draws);
            let entries = book.entries().without_autodiff();
            let nearest = elbo_kernels::nearest_entries(left.clone(), entries.clone());
            left = left - entries.select(0, nearest);
            books.push(book);
        }
        Self { books, ..self }
    }

    /// The first `depth` depths of each group alone: shorter codes and larger errors, from the same training.
    ///
    /// # Panics
    /// If there is no depth, or are not so many.
    #[must_use]
    pub fn shallow(&self, depth: usize) -> Self {
        let of = self.config.depth;
        assert!((1..=of).contains(&depth), "{depth} of {of} depths");
        let books = self.books.iter().enumerate().filter(|(i, _)| i % of < depth).map(|(_, book)| book.clone());
        Self { books: books.collect(), config: QuantizerConfig { depth, ..self.config.clone() } }
    }

    /// The channels of a group, of length 1 for cosine codes. `[rows, channels / groups]`.
    fn part(&self, rows: &Tensor<2>, group: usize) -> Tensor<2> {
        let width = self.config.dims / self.config.groups;
        let part = rows.clone().narrow(1, group * width, width);
        if self.config.cosine { normalised(part) } else { part }
    }

    /// Depths that this pass uses: all, or a random number of them while training with `drop_depths`.
    fn depths(&self, pass: &Pass, device: &Device) -> usize {
        let depth = self.config.depth;
        if !(self.config.drop_depths && pass.trains() && depth > 1) {
            return depth;
        }
        let drawn: Tensor<1, Int> = pass.below(1, depth as u32, device);
        1 + drawn.into_data_as::<i32>().try_into_vec::<i32>().expect("whole numbers")[0] as usize
    }

    /// Quantises a map.
    ///
    /// # Shapes
    /// - `z`: `[n, h, w, channels]`
    pub fn forward(&self, z: Tensor<4>, pass: &Pass) -> Quantized {
        let [n, height, width, channels] = z.dims();
        let rows = z.reshape([n * height * width, channels]);
        if self.config.kind == CodebookKind::Fsq {
            return self.rounded(rows, [n, height, width]);
        }
        let depths = self.depths(pass, &rows.device());
        let mut sums = Sums::default();
        let parts: Vec<Tensor<2>> = (0..self.config.groups).map(|group| self.part(&rows, group)).collect();
        let codes = parts.iter().enumerate().map(|(group, part)| {
            let code = self.residual(part, group, depths, pass, &mut sums);
            estimated(part.clone(), code, self.config.gradient)
        });
        let whole = |parts: Vec<Tensor<2>>| Tensor::cat(parts, 1).reshape([n, height, width, channels]);
        let z = whole(codes.collect());
        let terms = sums.commitment.len() as f64;
        let mean = |terms_of: Vec<Tensor<1>>| terms_of.into_iter().reduce(|a, b| a + b).map(|sum| sum / terms);
        let books = sums.indices.len() as f64;
        Quantized {
            commitment: mean(sums.commitment).expect("a codebook at least"),
            codebook: mean(sums.codebook),
            perplexity: sums.indices.iter().map(|indices| perplexity(indices, self.config.codes)).sum::<f64>() / books,
            indices: in_rows(&sums.indices, [n, height * width], &z.device()),
            revived: sums.revived,
            vectors: whole(parts),
            z,
        }
    }

    /// The sum of a group's codes, one depth after another. Depths beyond `depths` say the entry 0, which
    /// nobody reads.
    fn residual(&self, part: &Tensor<2>, group: usize, depths: usize, pass: &Pass, sums: &mut Sums) -> Tensor<2> {
        let (mut left, mut whole) = (part.clone(), part.zeros_like().detach());
        for depth in 0..self.config.depth {
            let place = group * self.config.depth + depth;
            if depth >= depths {
                sums.indices.push(vec![0; part.dims()[0]]);
                continue;
            }
            let book = &self.books[place];
            let Chosen { code, indices, revived } = self.choose(book, &left.clone().detach(), pass);
            sums.commitment.push((left.clone() - code.clone().detach()).square().mean());
            if self.config.kind == CodebookKind::Gradient {
                sums.codebook.push((left.clone().detach() - code.clone()).square().mean());
            }
            left = left - code.clone().detach();
            whole = whole + code.detach();
            sums.indices.push(indices);
            sums.revived += revived;
        }
        whole
    }

    /// The nearest entries, and what the codebook becomes by them.
    fn choose(&self, book: &Codebook, vectors: &Tensor<2>, pass: &Pass) -> Chosen {
        let entries = book.entries();
        let nearest = elbo_kernels::nearest_entries(vectors.clone(), entries.clone());
        let code = elbo_kernels::embedding(entries, nearest.clone());
        let revived = if pass.trains() { book.see(vectors, &nearest, &self.config, pass) } else { 0 };
        let indices = nearest.into_data_as::<i32>().try_into_vec().expect("whole numbers");
        Chosen { code, indices, revived }
    }

    /// Finite scalar quantisation of rows.
    fn rounded(&self, rows: Tensor<2>, [n, height, width]: [usize; 3]) -> Quantized {
        let (vectors, z, indices) = fsq::rounded(rows, &self.config.levels);
        let (device, channels) = (z.device(), self.config.levels.len());
        Quantized {
            commitment: Tensor::zeros([1], &device),
            codebook: None,
            perplexity: perplexity(&indices, self.config.entries()),
            indices: in_rows(&[indices], [n, height * width], &device),
            vectors: vectors.reshape([n, height, width, channels]),
            z: z.reshape([n, height, width, channels]),
            revived: 0,
        }
    }

    /// The vectors of entries, by the first `depths` depths of each group.
    ///
    /// # Shapes
    /// - `indices`: `[n, tokens * h * w]`, as [`Quantized::indices`]
    /// - returns: `[n, h, w, channels]`
    ///
    /// # Panics
    /// If an entry is not below the number of codes.
    pub fn embed(&self, indices: &Tensor<2, Int>, [height, width]: [usize; 2], depths: usize) -> Tensor<4> {
        let (n, places, config) = (indices.dims()[0], height * width, &self.config);
        let of_book = |book: usize| indices.clone().narrow(1, book * places, places).reshape([n * places]);
        if config.kind == CodebookKind::Fsq {
            let rows = fsq::values(of_book(0), &config.levels);
            return rows.reshape([n, height, width, config.levels.len()]);
        }
        let code = |book: usize| elbo_kernels::embedding(self.books[book].entries(), of_book(book));
        let used = depths.clamp(1, config.depth);
        let group = |group: usize| {
            let codes = (0..used).map(|depth| code(group * config.depth + depth));
            codes.reduce(|a, b| a + b).expect("a depth at least")
        };
        let rows = Tensor::cat((0..config.groups).map(group).collect(), 1);
        rows.reshape([n, height, width, config.dims])
    }
}

/// What the codebooks of a pass add up to.
#[derive(Default)]
struct Sums {
    commitment: Vec<Tensor<1>>,
    codebook: Vec<Tensor<1>>,
    indices: Vec<Vec<i32>>,
    revived: usize,
}

/// Entries of each codebook by place, `[n * places]` each, as rows `[n, books * places]`.
fn in_rows(books: &[Vec<i32>], [n, places]: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let row = |i: usize| books.iter().flat_map(move |indices| indices[i * places..(i + 1) * places].iter().copied());
    let rows: Vec<i32> = (0..n).flat_map(row).collect();
    Tensor::from_data(TensorData::new(rows, [n, books.len() * places]), device)
}

/// `exp` of the entropy of entries: K where all are used alike, 1 where one is.
///
/// ```
/// use elbo::networks::perplexity;
///
/// assert!((perplexity(&[0, 1, 2, 3], 4) - 4.0).abs() < 1e-12);
/// assert_eq!(perplexity(&[2, 2, 2], 4), 1.0);
/// ```
pub fn perplexity(indices: &[i32], entries: usize) -> f64 {
    let mut counts = vec![0u64; entries];
    indices.iter().for_each(|&index| counts[index as usize] += 1);
    let n = indices.len().max(1) as f64;
    let entropy: f64 = counts.iter().filter(|&&count| count > 0).map(|&c| -(c as f64 / n) * (c as f64 / n).ln()).sum();
    entropy.exp()
}

/// `code` with a gradient to `z`.
fn estimated(z: Tensor<2>, code: Tensor<2>, estimator: Estimator) -> Tensor<2> {
    match estimator {
        Estimator::StraightThrough => z.clone() + (code - z).detach(),
        Estimator::Rotation => rotated(z, code),
    }
}

/// `lambda R z` with `R = I - 2 w w' + 2 q^ z^'`, `w = (z^ + q^) / |z^ + q^|` and `lambda = |q| / |z|` held constant (Fifty et al. 2024, section 4):
/// its value is `q`. Where z or q is 0 or they point in opposite directions, there is no rotation, and
/// gradients pass straight through.
fn rotated(z: Tensor<2>, code: Tensor<2>) -> Tensor<2> {
    const TINY: f64 = 1e-6;
    let (fixed, code) = (z.clone().detach(), code.detach());
    let norm = |v: &Tensor<2>| v.clone().square().sum_dim(1).sqrt();
    let (z_norm, code_norm) = (norm(&fixed), norm(&code));
    let unit = |v: Tensor<2>, norm: &Tensor<2>| v / norm.clone().clamp_min(TINY);
    let (z_unit, code_unit) = (unit(fixed.clone(), &z_norm), unit(code.clone(), &code_norm));
    let sum = z_unit.clone() + code_unit.clone();
    let sum_norm = norm(&sum);
    let w = unit(sum, &sum_norm);
    let along = |direction: Tensor<2>| (z.clone() * direction).sum_dim(1);
    let turned = z.clone() - w.clone() * (along(w) * 2.0) + code_unit * (along(z_unit) * 2.0);
    let turned = turned * (code_norm.clone() / z_norm.clone().clamp_min(TINY));
    let usable = z_norm.greater_elem(TINY).bool_and(code_norm.greater_elem(TINY)).bool_and(sum_norm.greater_elem(1e-3));
    let width = z.dims()[1];
    let straight = z.clone() + (code - fixed).detach();
    straight.mask_where(usable.repeat_dim(1, width), turned)
}

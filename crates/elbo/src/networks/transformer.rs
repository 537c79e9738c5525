//! A causal transformer over rows of symbols: pre-norm, as GPT-2 (Radford et al. 2019), with learned
//! embeddings of row, column and channel.
//!
//! The token at a place is predicted from what comes before it: the start token, which says the class, and
//! the symbols so far. The position that enters is that of the symbol *to be predicted*. Labels have a
//! table of their own, so that no label takes probability at the place of a symbol.
//!
//! A row of symbols of `[channels, height, width]` is read place after place, the channels of a place one
//! after another.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use elbo_kernels::{Activation, attention, embedding, layer_norm};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerSummary, Linear, Pass};
use crate::error::{Error, Result};
use crate::random::Draws;

/// eps of the layer norms.
const EPS: f64 = 1e-5;
/// Deviation of initial weights.
const DEVIATION: f32 = 0.02;

/// Sizes of a transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransformerConfig {
    /// Numbers that stand for a token.
    pub width: usize,
    /// Blocks of attention and a feed-forward network.
    pub layers: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Rate of dropout.
    pub dropout: f64,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self { width: 128, layers: 4, heads: 4, dropout: 0.1 }
    }
}

impl TransformerConfig {
    /// Checks the sizes.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn check(&self) -> Result<()> {
        let within = |key: &str, value: usize, most: usize, help: &str| {
            let expected = format!("a number from 1 to {most}");
            let refuse = || Error::config(format!("model.{key}"), expected, value.to_string(), help);
            if (1..=most).contains(&value) { Ok(()) } else { Err(refuse()) }
        };
        within("width", self.width, 1 << 13, "128 does for 64 tokens, 256 for several hundred")?;
        within("layers", self.layers, 64, "4 is the usual number")?;
        within("heads", self.heads, 64, "4 is the usual number")?;
        if !self.width.is_multiple_of(self.heads) {
            let expected = format!("a number that a width of {} can be divided by", self.width);
            return Err(Error::config("model.heads", expected, self.heads.to_string(), "choose 4 of 128"));
        }
        if (0.0..1.0).contains(&self.dropout) {
            return Ok(());
        }
        let help = "0.1 is the usual rate, 0 none";
        Err(Error::config("model.dropout", "at least 0 and below 1", self.dropout.to_string(), help))
    }
}

/// What the rows of symbols are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceShape {
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// Number of symbols.
    pub symbols: usize,
    /// Number of classes; 0 where there are none.
    pub classes: usize,
}

impl SequenceShape {
    /// Symbols of a row.
    pub fn tokens(&self) -> usize {
        self.shape.iter().product()
    }

    /// Where in a row, channel first, the token of each step lies.
    ///
    /// ```
    /// use elbo::networks::SequenceShape;
    ///
    /// let shape = SequenceShape { shape: [2, 1, 3], symbols: 8, classes: 0 };
    /// assert_eq!(shape.order(), [0, 3, 1, 4, 2, 5]);
    /// ```
    pub fn order(&self) -> Vec<usize> {
        let [channels, height, width] = self.shape;
        let places = height * width;
        (0..places).flat_map(|place| (0..channels).map(move |channel| channel * places + place)).collect()
    }

    /// Row, column and channel of each step.
    fn positions(&self) -> [Vec<i32>; 3] {
        let [channels, _, width] = self.shape;
        let steps = 0..self.tokens();
        [
            steps.clone().map(|step| (step / channels / width) as i32).collect(),
            steps.clone().map(|step| (step / channels % width) as i32).collect(),
            steps.map(|step| (step % channels) as i32).collect(),
        ]
    }

    /// Rows, channel first, in the order of steps.
    pub fn in_steps(&self, rows: Tensor<2, Int>) -> Tensor<2, Int> {
        if self.shape[0] == 1 {
            return rows;
        }
        let (n, [channels, height, width]) = (rows.dims()[0], self.shape);
        rows.reshape([n, channels, height * width]).swap_dims(1, 2).reshape([n, self.tokens()])
    }
}

/// A table of vectors.
#[derive(Module, Debug)]
struct Table {
    /// `[entries, width]`.
    weight: Param<Tensor<2>>,
}

impl Table {
    fn init(entries: usize, width: usize, draws: &mut Draws, device: &Device) -> Self {
        Self { weight: Param::from_data(normal([entries, width], DEVIATION, draws), device) }
    }

    fn of(&self, indices: Tensor<1, Int>) -> Tensor<2> {
        embedding(self.weight.val(), indices)
    }
}

/// A layer norm: `weight` and `bias` as PyTorch names them.
#[derive(Module, Debug)]
struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

impl LayerNorm {
    fn init(width: usize, device: &Device) -> Self {
        let constant = |value: f32| Param::from_data(TensorData::new(vec![value; width], [width]), device);
        Self { weight: constant(1.0), bias: constant(0.0) }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        layer_norm(x, self.weight.val(), self.bias.val(), EPS)
    }
}

fn normal(dims: [usize; 2], deviation: f32, draws: &mut Draws) -> TensorData {
    let values: Vec<f32> = draws.normals(dims[0] * dims[1]).into_iter().map(|value| value * deviation).collect();
    TensorData::new(values, dims)
}

/// A layer with weights of this deviation and no bias at the start.
fn layer([inputs, outputs]: [usize; 2], deviation: f32, draws: &mut Draws, device: &Device) -> Linear {
    let weight = Param::from_data(normal([outputs, inputs], deviation, draws), device);
    let bias = TensorData::new(vec![0f32; outputs], [outputs]);
    Linear { weight, bias: Param::from_data(bias, device) }
}

/// `x + out(attention(in(norm1(x))))`, then `x + down(gelu(up(norm2(x))))`.
#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    /// Queries, keys and values one after another.
    attention_in: Linear,
    attention_out: Linear,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Block {
    fn init(config: &TransformerConfig, draws: &mut Draws, device: &Device) -> Self {
        let width = config.width;
        // What adds to the sum starts smaller, the more of them there are (Radford et al. 2019, section 2.3).
        let added = DEVIATION / (2.0 * config.layers as f32).sqrt();
        Self {
            norm1: LayerNorm::init(width, device),
            attention_in: layer([width, 3 * width], DEVIATION, draws, device),
            attention_out: layer([width, width], added, draws, device),
            norm2: LayerNorm::init(width, device),
            up: layer([width, 4 * width], DEVIATION, draws, device),
            down: layer([4 * width, width], added, draws, device),
        }
    }

    /// # Shapes
    /// - `x`: `[n * tokens, width]`
    fn forward(&self, x: Tensor<2>, n: usize, config: &TransformerConfig, pass: &Pass) -> Tensor<2> {
        let ([rows, width], heads) = (x.dims(), config.heads);
        let mixed = self.attention_in.forward(self.norm1.forward(x.clone()), Activation::None);
        let mixed = mixed.reshape([n, rows / n, 3 * heads, width / heads]);
        let [q, k, v] = [0, 1, 2].map(|part| mixed.clone().narrow(2, part * heads, heads));
        let seen = attention(q, k, v, true).reshape([rows, width]);
        let x = x + pass.dropped(self.attention_out.forward(seen, Activation::None), config.dropout);
        x.clone() + pass.dropped(self.widened(x), config.dropout)
    }

    fn widened(&self, x: Tensor<2>) -> Tensor<2> {
        self.down.forward(self.up.forward(self.norm2.forward(x), Activation::Gelu), Activation::None)
    }
}

/// The transformer.
///
/// In PyTorch: `tokens`, `start`, `rows`, `columns`, `channels` (`nn.Embedding`),
/// `blocks.N.{norm1,attention_in,attention_out,norm2,up,down}`, `norm`, `head`.
#[derive(Module, Debug)]
pub struct Transformer {
    tokens: Table,
    /// A row for each class, and one for no class at the end.
    start: Table,
    rows: Table,
    columns: Table,
    channels: Table,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    #[module(skip)]
    config: TransformerConfig,
    #[module(skip)]
    shape: SequenceShape,
}

impl Transformer {
    /// A transformer with initial weights from `draws`: N(0, 0.02), no biases.
    pub fn init(shape: SequenceShape, config: &TransformerConfig, draws: &mut Draws, device: &Device) -> Self {
        let (width, [channels, height, columns]) = (config.width, shape.shape);
        let mut table = |entries| Table::init(entries, width, draws, device);
        let [tokens, start] = [shape.symbols, shape.classes + 1].map(&mut table);
        let [rows, columns, channels] = [height, columns, channels].map(table);
        Self {
            tokens,
            start,
            rows,
            columns,
            channels,
            blocks: (0..config.layers).map(|_| Block::init(config, draws, device)).collect(),
            norm: LayerNorm::init(width, device),
            head: layer([width, shape.symbols], DEVIATION, draws, device),
            config: config.clone(),
            shape,
        }
    }

    /// What its rows are.
    pub fn shape(&self) -> SequenceShape {
        self.shape
    }

    /// The sizes it was made with.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// The start token that says no class.
    pub fn no_class(&self) -> i32 {
        self.shape.classes as i32
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.head.bias.val().device()
    }

    /// The embedding of each step's position. `[tokens, width]`.
    fn positions(&self) -> Tensor<2> {
        let (tokens, device) = (self.shape.tokens(), self.device().without_autodiff());
        let [rows, columns, channels] =
            self.shape.positions().map(|places| Tensor::from_data(TensorData::new(places, [tokens]), &device));
        self.rows.of(rows) + self.columns.of(columns) + self.channels.of(channels)
    }

    /// Logits of the symbol at each step, given those before it.
    ///
    /// # Shapes
    /// - `steps`: `[n, tokens]`, in the order of steps; `starts`: `[n]`, a class or [`Transformer::no_class`]
    /// - returns: `[n * tokens, symbols]`
    ///
    /// # Panics
    /// If a symbol or a start is beyond its table.
    pub fn forward(&self, steps: Tensor<2, Int>, starts: Tensor<1, Int>, pass: &Pass) -> Tensor<2> {
        let ([n, tokens], width) = (steps.dims(), self.config.width);
        let start = self.start.of(starts).unsqueeze_dim::<3>(1);
        let x = match tokens {
            1 => start,
            _ => {
                let before = steps.narrow(1, 0, tokens - 1).reshape([n * (tokens - 1)]);
                Tensor::cat(vec![start, self.tokens.of(before).reshape([n, tokens - 1, width])], 1)
            }
        };
        let x = (x + self.positions().unsqueeze::<3>()).reshape([n * tokens, width]);
        let x = pass.dropped(x, self.config.dropout);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, n, &self.config, pass));
        self.head.forward(self.norm.forward(x), Activation::None)
    }

    /// Begins to go through `n` rows step by step, keeping the keys and values of what came before.
    pub fn decoding(&self, n: usize) -> Decoding<'_> {
        let size = n * self.shape.tokens() * self.config.width;
        let cache = || Cache { keys: vec![0.0; size], values: vec![0.0; size] };
        let positions = host(self.positions());
        Decoding { transformer: self, n, step: 0, positions, caches: self.blocks.iter().map(|_| cache()).collect() }
    }

    /// The layers of a transformer of these sizes.
    pub(crate) fn layers(shape: SequenceShape, config: &TransformerConfig) -> Vec<LayerSummary> {
        let (width, tokens, [channels, height, columns]) = (config.width, shape.tokens(), shape.shape);
        let table = |name: &str, entries| LayerSummary::table(name, entries, width);
        let mut rows = vec![
            table("tokens", shape.symbols),
            table("start", shape.classes + 1),
            table("rows", height),
            table("columns", columns),
            table("channels", channels),
        ];
        let linear = |name: String, [i, o]: [usize; 2]| LayerSummary::at_each(name, [i, o], tokens);
        for i in 0..config.layers {
            let name = |part: &str| format!("blocks.{i}.{part}");
            rows.push(LayerSummary::layer_norm(name("norm1"), width));
            rows.push(linear(name("attention_in"), [width, 3 * width]));
            rows.push(linear(name("attention_out"), [width, width]));
            rows.push(LayerSummary::layer_norm(name("norm2"), width));
            rows.push(linear(name("up"), [width, 4 * width]));
            rows.push(linear(name("down"), [4 * width, width]));
        }
        rows.push(LayerSummary::layer_norm("norm".into(), width));
        rows.push(linear("head".into(), [width, shape.symbols]));
        rows
    }
}

fn host(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data_as::<f32>().try_into_vec().expect("converted to float32")
}

/// Keys and values of a block, `[n, tokens, width]`.
struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Rows under way, one step after another: each costs one token, whatever came before it.
pub struct Decoding<'a> {
    transformer: &'a Transformer,
    n: usize,
    step: usize,
    positions: Vec<f32>,
    caches: Vec<Cache>,
}

impl Decoding<'_> {
    /// Logits of the next step, `[n, symbols]`, from the token before it: the starts at the first step, the
    /// symbols of the last step after that.
    ///
    /// # Panics
    /// If all steps are done, or there is not one token for each row.
    pub fn next(&mut self, tokens: &[i32]) -> Vec<f32> {
        let (transformer, n, step) = (self.transformer, self.n, self.step);
        let (width, device) = (transformer.config.width, transformer.device().without_autodiff());
        assert!(tokens.len() == n && step < transformer.shape.tokens(), "step {step} of {n} rows");
        let table = if step == 0 { &transformer.start } else { &transformer.tokens };
        let position = TensorData::new(self.positions[step * width..][..width].to_vec(), [1, width]);
        let tokens = Tensor::from_data(TensorData::new(tokens.to_vec(), [n]), &device);
        let mut x = table.of(tokens) + Tensor::<2>::from_data(position, &device);
        for (block, cache) in transformer.blocks.iter().zip(&mut self.caches) {
            let mixed = host(block.attention_in.forward(block.norm1.forward(x.clone()), Activation::None));
            let seen = attend(&mixed, cache, step, transformer.shape.tokens(), transformer.config.heads, width);
            let seen = Tensor::from_data(TensorData::new(seen, [n, width]), &device);
            x = x + block.attention_out.forward(seen, Activation::None);
            x = x.clone() + block.widened(x);
        }
        self.step += 1;
        host(transformer.head.forward(transformer.norm.forward(x), Activation::None))
    }

    /// Tokens that have been read so far.
    pub fn steps_done(&self) -> usize {
        self.step
    }
}

/// Puts the keys and values of a step in their places and attends to all so far.
///
/// # Shapes
/// - `mixed`: `[n, 3 * width]`, queries, keys and values; returns `[n, width]`
fn attend(mixed: &[f32], cache: &mut Cache, step: usize, tokens: usize, heads: usize, width: usize) -> Vec<f32> {
    let (n, size) = (mixed.len() / (3 * width), width / heads);
    let scale = 1.0 / (size as f32).sqrt();
    let mut out = vec![0f32; n * width];
    let rows = out.par_chunks_exact_mut(width).zip(mixed.par_chunks_exact(3 * width));
    let caches = cache.keys.par_chunks_exact_mut(tokens * width).zip(cache.values.par_chunks_exact_mut(tokens * width));
    rows.zip(caches).for_each_init(
        || vec![0f32; tokens],
        |scores, ((out, mixed), (keys, values))| {
            keys[step * width..][..width].copy_from_slice(&mixed[width..2 * width]);
            values[step * width..][..width].copy_from_slice(&mixed[2 * width..]);
            for head in 0..heads {
                let part = head * size..(head + 1) * size;
                let query = &mixed[part.clone()];
                let seen = &mut scores[..=step];
                for (score, key) in seen.iter_mut().zip(keys.chunks_exact(width)) {
                    *score = scale * query.iter().zip(&key[part.clone()]).map(|(a, b)| a * b).sum::<f32>();
                }
                let most = seen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                seen.iter_mut().for_each(|score| *score = (*score - most).exp());
                let total: f32 = seen.iter().sum();
                let target = &mut out[part.clone()];
                for (weight, value) in seen.iter().zip(values.chunks_exact(width)) {
                    let weight = weight / total;
                    target.iter_mut().zip(&value[part.clone()]).for_each(|(out, value)| *out += weight * value);
                }
            }
        },
    );
    out
}

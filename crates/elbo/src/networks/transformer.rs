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
use elbo_kernels::{Activation, CacheShape, attention, embedding, layer_norm, self_attention};
use serde::{Deserialize, Serialize};

use super::{Decoding, LayerSummary, Linear, Pass};
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
    /// Symbols that are known before the first, of the same number; 0 for most.
    pub prefix: usize,
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
    /// let shape = SequenceShape { shape: [2, 1, 3], symbols: 8, classes: 0, prefix: 0 };
    /// assert_eq!(shape.order(), [0, 3, 1, 4, 2, 5]);
    /// ```
    pub fn order(&self) -> Vec<usize> {
        (0..self.tokens()).map(|step| self.place(step)).collect()
    }

    /// Where in a row the token of one step lies.
    pub fn place(&self, step: usize) -> usize {
        let [channels, height, width] = self.shape;
        step % channels * height * width + step / channels
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
pub(super) struct Block {
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

    /// The first `prefix` tokens of each row see each other; those after them see the prefix and what came before.
    ///
    /// # Shapes
    /// - `x`: `[n * tokens, width]`
    fn forward(&self, x: Tensor<2>, [n, prefix]: [usize; 2], config: &TransformerConfig, pass: &Pass) -> Tensor<2> {
        let [rows, width] = x.dims();
        let seen = self.mixed(x.clone(), n, config).seen(prefix).reshape([rows, width]);
        self.after(x, seen, config.dropout, pass)
    }

    pub(super) fn mixed(&self, x: Tensor<2>, n: usize, config: &TransformerConfig) -> Mixed {
        let ([rows, width], heads) = (x.dims(), config.heads);
        let mixed = self.attention_in.forward(self.norm1.forward(x), Activation::None);
        Mixed { parts: mixed.reshape([n, rows / n, 3 * heads, width / heads]), heads }
    }

    /// What leaves the block, where `seen` is what its attention found.
    pub(super) fn after(&self, x: Tensor<2>, seen: Tensor<2>, dropout: f64, pass: &Pass) -> Tensor<2> {
        let x = x + pass.dropped(self.attention_out.forward(seen, Activation::None), dropout);
        x.clone() + pass.dropped(self.widened(x), dropout)
    }

    fn widened(&self, x: Tensor<2>) -> Tensor<2> {
        self.down.forward(self.up.forward(self.norm2.forward(x), Activation::Gelu), Activation::None)
    }
}

/// Queries, keys and values of a block.
pub(super) struct Mixed {
    /// `[n, tokens, 3 * heads, width / heads]`.
    parts: Tensor<4>,
    heads: usize,
}

impl Mixed {
    fn part(&self, part: usize) -> Tensor<4> {
        self.parts.clone().narrow(2, part * self.heads, self.heads)
    }

    /// Queries, keys and values one after another. `[n * tokens, 3 * width]`.
    pub(super) fn rows(&self) -> Tensor<2> {
        let [n, tokens, parts, size] = self.parts.dims();
        self.parts.clone().reshape([n * tokens, parts * size])
    }

    /// What each token sees. `[n, tokens, heads, width / heads]`.
    pub(super) fn seen(&self, prefix: usize) -> Tensor<4> {
        if prefix == 0 {
            return self_attention(self.parts.clone(), true);
        }
        let [q, k, v] = [0, 1, 2].map(|part| self.part(part));
        let tokens = q.dims()[1];
        let first = |of: &Tensor<4>| of.clone().narrow(1, 0, prefix);
        let among = attention(first(&q), first(&k), first(&v), false);
        if tokens == prefix {
            return among;
        }
        // The last query sees all keys, so the first after the prefix sees the prefix and itself.
        let after = attention(q.narrow(1, prefix, tokens - prefix), k, v, true);
        Tensor::cat(vec![among, after], 1)
    }
}

/// What is known before the first token: symbols that all see each other.
///
/// In PyTorch: `symbols`, `places` (`nn.Embedding`).
#[derive(Module, Debug)]
struct Prefix {
    symbols: Table,
    /// A row for each place.
    places: Table,
}

impl Prefix {
    /// # Shapes
    /// - `known`: `[n, places]`
    /// - returns: `[n, places, width]`
    fn forward(&self, known: Tensor<2, Int>) -> Tensor<3> {
        let [n, places] = known.dims();
        let symbols = self.symbols.of(known.reshape([n * places]));
        let width = symbols.dims()[1];
        symbols.reshape([n, places, width]) + self.places.weight.val().unsqueeze::<3>()
    }
}

/// The transformer.
///
/// In PyTorch: `tokens`, `start`, `rows`, `columns`, `channels` (`nn.Embedding`),
/// `blocks.N.{norm1,attention_in,attention_out,norm2,up,down}`, `norm`, `head`; with a prefix also
/// `prefix.{symbols,places}`.
#[derive(Module, Debug)]
pub struct Transformer {
    tokens: Table,
    /// A row for each class, and one for no class at the end.
    start: Table,
    rows: Table,
    columns: Table,
    channels: Table,
    prefix: Option<Prefix>,
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
        let [rows, columns, channels] = [height, columns, channels].map(&mut table);
        let prefix = shape.prefix;
        let prefix = (prefix > 0).then(|| Prefix { symbols: table(shape.symbols), places: table(prefix) });
        Self {
            prefix,
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
    pub(super) fn positions(&self) -> Tensor<2> {
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
    /// If a symbol or a start is beyond its table, or the transformer is told a prefix.
    pub fn forward(&self, steps: Tensor<2, Int>, starts: Tensor<1, Int>, pass: &Pass) -> Tensor<2> {
        self.forward_after(None, steps, starts, pass)
    }

    /// [`Transformer::forward`] after a prefix that is known as a whole.
    ///
    /// # Shapes
    /// - `known`: `[n, prefix]`
    ///
    /// # Panics
    /// As [`Transformer::forward`], and if the prefix is not as long as the shape says.
    pub fn forward_after(
        &self,
        known: Option<Tensor<2, Int>>,
        steps: Tensor<2, Int>,
        starts: Tensor<1, Int>,
        pass: &Pass,
    ) -> Tensor<2> {
        let ([n, tokens], width, prefix) = (steps.dims(), self.config.width, self.shape.prefix);
        let start = self.start.of(starts).unsqueeze_dim::<3>(1);
        let x = match tokens {
            1 => start,
            _ => {
                let before = steps.narrow(1, 0, tokens - 1).reshape([n * (tokens - 1)]);
                Tensor::cat(vec![start, self.tokens.of(before).reshape([n, tokens - 1, width])], 1)
            }
        };
        let x = x + self.positions().unsqueeze::<3>();
        let x = match self.embedded(known) {
            Some(known) => Tensor::cat(vec![known, x], 1),
            None => x,
        };
        let x = pass.dropped(x.reshape([n * (prefix + tokens), width]), self.config.dropout);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, [n, prefix], &self.config, pass));
        let x = match prefix {
            0 => x,
            _ => x.reshape([n, prefix + tokens, width]).narrow(1, prefix, tokens).reshape([n * tokens, width]),
        };
        self.logits(x)
    }

    /// The prefix as vectors, `[n, prefix, width]`.
    ///
    /// # Panics
    /// If one is there and was not asked for, or the other way round, or it has another length.
    fn embedded(&self, known: Option<Tensor<2, Int>>) -> Option<Tensor<3>> {
        let places = known.as_ref().map_or(0, |known| known.dims()[1]);
        assert_eq!(places, self.shape.prefix, "symbols of the prefix");
        self.prefix.as_ref().zip(known).map(|(prefix, known)| prefix.forward(known))
    }

    /// Begins to go through `n` rows step by step, keeping the keys and values of what came before.
    ///
    /// # Panics
    /// If the transformer is told a prefix: [`Transformer::decoding_after`] takes it.
    pub fn decoding(&self, n: usize) -> Decoding<'_> {
        self.decoding_of(n, None)
    }

    /// [`Transformer::decoding`] after a prefix, for as many rows as that has.
    ///
    /// # Shapes
    /// - `known`: `[n, prefix]`
    ///
    /// # Panics
    /// If the prefix is not as long as the shape says.
    pub fn decoding_after(&self, known: Tensor<2, Int>) -> Decoding<'_> {
        self.decoding_of(known.dims()[0], Some(known))
    }

    fn decoding_of(&self, n: usize, known: Option<Tensor<2, Int>>) -> Decoding<'_> {
        Decoding::new(self, n, self.embedded(known))
    }

    /// What the keys and values of `n` rows take.
    pub(super) fn cache_shape(&self, n: usize) -> CacheShape {
        let TransformerConfig { width, heads, .. } = self.config;
        CacheShape { rows: n, tokens: self.shape.prefix + self.shape.tokens(), heads, width: width / heads }
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What enters at a step, before its position: the start, and after that symbols. `[n, width]`.
    pub(super) fn entry(&self, step: usize, tokens: Tensor<1, Int>) -> Tensor<2> {
        if step == 0 { self.start.of(tokens) } else { self.tokens.of(tokens) }
    }

    /// Logits of what leaves the last block.
    pub(super) fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        self.head.forward(self.norm.forward(x), Activation::None)
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
        if shape.prefix > 0 {
            rows.extend([table("prefix.symbols", shape.symbols), table("prefix.places", shape.prefix)]);
        }
        // All but the head go through the prefix too.
        let tokens = tokens + shape.prefix;
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
        rows.push(LayerSummary::at_each("head".into(), [width, shape.symbols], shape.tokens()));
        rows
    }
}

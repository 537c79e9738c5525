//! Autoregressive transformer over symbols: the prior over the codes of a VQ-VAE, or a model of any other
//! rows of symbols.
//!
//! | what | here |
//! |---|---|
//! | `ln p(k given y) = sum_t ln p(k_t given k_<t, y)` | [`Density::log_prob`] |
//! | causal transformer, pre-norm (Vaswani et al. 2017; Radford et al. 2019) | [`networks::Transformer`](crate::networks::Transformer) |
//! | labels dropped with probability 0.1, `l_u + w (l_c - l_u)` (Ho & Salimans 2022, arXiv:2207.12598) | `loss`, [`Ask::guidance`] |
//! | temperature, top-k (Fan et al. 2018), top-p (Holtzman et al. 2020) | [`TokenChoice`](crate::networks::TokenChoice) |
//!
//! The class is the token before the first symbol; without one it is the "no class" token, so that one
//! model gives `p(k)` and `p(k given y)`. Departure from van den Oord et al. (2017), who train a PixelCNN:
//! each new symbol costs one pass over one token here, since keys and values of what came before are kept,
//! where a PixelCNN passes over the whole map.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Ask, Capability, Density, Family, Generate, Generating, Learner, Loss, Model, Report, Setting};
use crate::data::batch::{Batch, Given, Needs};
use crate::error::{Error, Result};
use crate::networks::{
    Decoding, LayerSummary, Pass, SequenceShape, TokenChoice, Transformer, TransformerConfig, cross_entropy, token_nll,
};
use crate::random::{Draws, Purpose};
use crate::reference::Fields;
use crate::space::{Domain, Rows, Space};

/// Numbers of keys and values that are kept at once while rows are generated: a gibibyte of them.
const CACHED: usize = 1 << 28;
/// Rows generated together at most.
const TOGETHER: usize = 256;
/// Longest rows accepted.
const MAX_TOKENS: usize = 4096;

/// The `[model]` table of `kind = "autoregressive"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct AutoregressiveConfig {
    /// Numbers that stand for a token.
    pub width: usize,
    /// Blocks of attention and a feed-forward network.
    pub layers: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Rate of dropout in training.
    pub dropout: f64,
    /// How often a label is left away in training, so that the model also knows p(k).
    pub dropped_labels: f64,
}

impl Default for AutoregressiveConfig {
    fn default() -> Self {
        let TransformerConfig { width, layers, heads, dropout } = TransformerConfig::default();
        Self { width, layers, heads, dropout, dropped_labels: 0.1 }
    }
}

impl AutoregressiveConfig {
    fn transformer(&self) -> TransformerConfig {
        let Self { width, layers, heads, dropout, .. } = *self;
        TransformerConfig { width, layers, heads, dropout }
    }
}

/// The model. In PyTorch: `transformer`.
#[derive(Module, Debug)]
pub struct Autoregressive {
    transformer: Transformer,
    #[module(skip)]
    spaces: [Space; 1],
    #[module(skip)]
    dropped_labels: f64,
}

impl Autoregressive {
    /// A model of rows of symbols, told one of `classes` classes (0 for none), with initial weights drawn
    /// from `seed`.
    ///
    /// # Panics
    /// If the space is not one of symbols, or a size is 0.
    ///
    /// ```
    /// use elbo::models::{Ask, Autoregressive, AutoregressiveConfig, Generate};
    /// use elbo::space::{Domain, Space};
    ///
    /// let (device, config) = (elbo::device::choose("cpu")?, AutoregressiveConfig::default());
    /// let codes = Space::new([1, 7, 7], Domain::Index { of: 128 });
    /// let prior = Autoregressive::init(codes, 10, &config, 0, &device);
    /// let generator: &dyn Generate = &prior;
    /// assert_eq!(generator.generate(&Ask::new(3, 0))?[0].index().dims(), [3, 49]);
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(space: Space, classes: usize, config: &AutoregressiveConfig, seed: u64, device: &Device) -> Self {
        let symbols = space.symbols().expect("rows of symbols");
        let shape = SequenceShape { shape: space.shape, symbols, classes };
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let transformer = Transformer::init(shape, &config.transformer(), draws, device);
        Self { transformer, spaces: [space], dropped_labels: config.dropped_labels }
    }

    /// The transformer that predicts the next symbol.
    pub fn transformer(&self) -> &Transformer {
        &self.transformer
    }

    /// How many classes it can be told.
    pub fn classes(&self) -> usize {
        self.transformer.shape().classes
    }

    /// The start token of each example: its class where one is given and not left away.
    fn starts(&self, given: &Given, n: usize, pass: &Pass) -> Tensor<1, Int> {
        let none = self.transformer.no_class();
        let starts = match given.class.clone().filter(|_| self.classes() > 0) {
            None => vec![none; n],
            Some(class) => {
                let class: Vec<i32> = class.into_data_as::<i32>().try_into_vec().expect("whole numbers");
                let left_away = pass.struck(n, self.dropped_labels);
                class.into_iter().zip(left_away).map(|(class, gone)| if gone { none } else { class }).collect()
            }
        };
        Tensor::from_data(TensorData::new(starts, [n]), &self.transformer.device().without_autodiff())
    }

    /// `-ln p(k_t given k_<t, y)` of each symbol, where it lies in its row, in nats.
    ///
    /// # Shapes
    /// - `rows`: `[n, tokens]`, channel first
    /// - returns: `[n, tokens]`, as long as the rows, value after value
    pub fn surprise(&self, rows: &Tensor<2, Int>, given: &Given) -> Vec<f32> {
        let pass = Pass::still();
        let ([n, tokens], shape) = (rows.dims(), self.transformer.shape());
        let steps = shape.in_steps(rows.clone());
        let logits = self.transformer.forward(steps.clone(), self.starts(given, n, &pass), &pass);
        let by_step = token_nll(logits, steps.reshape([n * tokens]));
        let order = shape.order();
        let mut values = vec![0f32; n * tokens];
        for (row, steps) in values.chunks_exact_mut(tokens).zip(by_step.chunks_exact(tokens)) {
            order.iter().zip(steps).for_each(|(&place, value)| row[place] = *value);
        }
        values
    }
}

impl Learner for Autoregressive {
    /// None beside the loss, which is `-ln p(k given y)` itself.
    fn reports(&self) -> &'static [Report] {
        AutoregressiveConfig::REPORTS
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        let steps = self.transformer.shape().in_steps(batch.x.index());
        let [n, tokens] = steps.dims();
        let logits = self.transformer.forward(steps.clone(), self.starts(&batch.given, n, pass), pass);
        Loss { total: cross_entropy(logits, steps.reshape([n * tokens]), n), reports: Vec::new() }
    }
}

impl Model for Autoregressive {
    fn space(&self) -> Space {
        self.spaces[0]
    }

    fn needs(&self) -> Needs {
        Needs { class: self.classes() > 0, ..Needs::default() }
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }

    fn generator(&self) -> Option<&dyn Generate> {
        Some(self)
    }
}

impl Density for Autoregressive {
    fn log_prob(&self, rows: &[Rows], given: &Given) -> Tensor<1> {
        let rows = rows[0].index();
        let [n, tokens] = rows.dims();
        let sums: Vec<f32> =
            self.surprise(&rows, given).chunks_exact(tokens).map(|row| -row.iter().sum::<f32>()).collect();
        Tensor::from_data(TensorData::new(sums, [n]), &self.transformer.device().without_autodiff())
    }

    fn surprise(&self, rows: &[Rows], given: &Given) -> Option<Tensor<2>> {
        let rows = rows[0].index();
        let values = TensorData::new(Autoregressive::surprise(self, &rows, given), rows.dims());
        Some(Tensor::from_data(values, &self.transformer.device().without_autodiff()))
    }
}

impl Generate for Autoregressive {
    fn spaces(&self) -> &[Space] {
        &self.spaces
    }

    fn begin<'a>(&'a self, ask: &Ask) -> Result<Box<dyn Generating + 'a>> {
        let shape = self.transformer.shape();
        if let Some(truncation) = ask.truncation {
            let help = "symbols have no deviations: use `--top-p` or `--top-k`";
            return Err(Error::config("truncation", "nothing for a prior over symbols", truncation.to_string(), help));
        }
        let class: Option<Vec<i32>> =
            ask.given.class.clone().map(|class| class.into_data_as::<i32>().try_into_vec().expect("whole numbers"));
        if class.is_some() && shape.classes == 0 {
            let help = "leave the class away: this prior was trained on codes without labels";
            return Err(Error::config("class", "nothing for a prior that is told no class", "a class", help));
        }
        if ask.guidance != 1.0 && (class.is_none() || self.dropped_labels == 0.0) {
            let help = "guidance needs a class, and a prior that was trained with `dropped_labels` above 0";
            return Err(Error::config("guidance", "1 here", ask.guidance.to_string(), help));
        }
        Ok(Box::new(Writing::new(self, ask, class)))
    }
}

/// Rows under way: chunk after chunk, in each one symbol after another.
struct Writing<'a> {
    model: &'a Autoregressive,
    choice: TokenChoice,
    guidance: f64,
    seed: u64,
    /// What is given of rows from the start: their first steps, the same number for all.
    kept: Option<Kept>,
    class: Option<Vec<i32>>,
    count: usize,
    /// Symbols by row and place.
    rows: Vec<i32>,
    chunk: Option<Chunk<'a>>,
    first: usize,
    done: usize,
}

/// Symbols that are not drawn.
struct Kept {
    rows: Vec<i32>,
    is_kept: Vec<bool>,
}

/// The rows that are written together.
struct Chunk<'a> {
    decoding: Decoding<'a>,
    draws: Vec<Draws>,
    tokens: Vec<i32>,
}

impl<'a> Writing<'a> {
    fn new(model: &'a Autoregressive, ask: &Ask, class: Option<Vec<i32>>) -> Self {
        let kept = ask.kept.as_ref().map(|kept| Kept {
            rows: kept.symbols.iter().map(|&symbol| symbol as i32).collect(),
            is_kept: kept.is_kept.clone(),
        });
        Self {
            model,
            choice: TokenChoice { temperature: ask.temperature, top_k: ask.top_k, top_p: ask.top_p },
            guidance: ask.guidance,
            seed: ask.seed,
            kept,
            class,
            count: ask.count,
            rows: vec![0; ask.count * model.transformer.shape().tokens()],
            chunk: None,
            first: 0,
            done: 0,
        }
    }

    fn tokens(&self) -> usize {
        self.model.transformer.shape().tokens()
    }

    fn together(&self) -> usize {
        let of_row = self.tokens() * self.model.transformer.config().width * self.model.transformer.config().layers * 2;
        (CACHED / of_row.max(1)).clamp(1, TOGETHER)
    }

    fn is_guided(&self) -> bool {
        self.guidance != 1.0
    }

    /// Rows of the chunk under way.
    fn chunk_rows(&self) -> usize {
        self.together().min(self.count - self.first)
    }

    fn begin_chunk(&mut self) {
        let n = self.chunk_rows();
        let none = self.model.transformer.no_class();
        let start = |i: usize| self.class.as_ref().map_or(none, |class| class[self.first + i]);
        let mut tokens: Vec<i32> = (0..n).map(start).collect();
        if self.is_guided() {
            tokens.extend(std::iter::repeat_n(none, n));
        }
        let draws = (0..n).map(|i| Draws::new(self.seed, Purpose::Prior, 1, (self.first + i) as u64)).collect();
        self.chunk = Some(Chunk { decoding: self.model.transformer.decoding(tokens.len()), draws, tokens });
    }

    /// Draws the next symbol of each row of the chunk.
    fn advance(&mut self) {
        let (symbols, order) = (self.model.transformer.shape().symbols, self.model.transformer.shape().order());
        let (n, tokens, first) = (self.chunk_rows(), self.tokens(), self.first);
        let chunk = self.chunk.as_mut().expect("a chunk under way");
        let step = chunk.decoding.steps_done();
        let mut logits = chunk.decoding.next(&chunk.tokens);
        if self.guidance != 1.0 {
            let (told, untold) = logits.split_at_mut(n * symbols);
            let guided = |(c, u): (&mut f32, &f32)| *c = (f64::from(*u) + self.guidance * f64::from(*c - *u)) as f32;
            told.iter_mut().zip(&*untold).for_each(guided);
        }
        let place = order[step];
        for i in 0..n {
            let uniform = chunk.draws[i].uniform();
            let at = (first + i) * tokens + place;
            let symbol = match &self.kept {
                Some(kept) if kept.is_kept[place] => kept.rows[at],
                _ => self.choice.of(&logits[i * symbols..][..symbols], uniform) as i32,
            };
            self.rows[at] = symbol;
            chunk.tokens[i] = symbol;
            if let Some(untold) = chunk.tokens.get_mut(n + i) {
                *untold = symbol;
            }
        }
    }
}

impl Generating for Writing<'_> {
    fn step(&mut self) -> (usize, usize) {
        let (tokens, together) = (self.tokens(), self.together());
        let of = self.count.div_ceil(together) * tokens;
        if self.done >= of {
            return (of, of);
        }
        if self.chunk.is_none() {
            self.begin_chunk();
        }
        self.advance();
        self.done += 1;
        if self.done.is_multiple_of(tokens) {
            self.chunk = None;
            self.first += together;
        }
        (self.done, of)
    }

    fn finish(self: Box<Self>) -> Vec<Rows> {
        let (device, dims) = (self.model.transformer.device().without_autodiff(), [self.count, self.tokens()]);
        vec![Rows::Index(Tensor::from_data(TensorData::new(self.rows, dims), &device))]
    }
}

impl Family for AutoregressiveConfig {
    const KIND: &'static str = "autoregressive";
    const ABOUT: &'static str =
        "a causal transformer over codes or other symbols: exact log p(k), and samples of a class";
    const CAN: &'static [Capability] = &[Capability::Density, Capability::Generate];
    const KEYS: &'static [&'static str] = &["width", "layers", "heads", "dropout", "dropped_labels"];
    const REPORTS: &'static [Report] = &[];
    type Learner = Autoregressive;

    fn title(&self) -> String {
        format!("autoregressive transformer, {} layers of {}", self.layers, self.width)
    }

    fn stand_in(&self) -> Space {
        Space { shape: [1, 7, 7], domain: Domain::Index { of: 512 } }
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        self.transformer().check()?;
        if !(0.0..1.0).contains(&self.dropped_labels) {
            let found = self.dropped_labels.to_string();
            let help = "0.1 is the usual share; 0 tells the model every label, and leaves no guidance";
            return Err(Error::config("model.dropped_labels", "at least 0 and below 1", found, help));
        }
        if setting.space.symbols().is_none() {
            let help =
                "`--codes-of RUN` of a run whose codes are symbols, such as one of `mnist-vq`; `maf` models real codes";
            return Err(Error::config("model.kind", "symbols for `autoregressive`", "numbers", help));
        }
        let tokens = setting.space.numel();
        if tokens > MAX_TOKENS {
            let help = "choose a network that halves the picture more often";
            return Err(Error::config("model.kind", format!("at most {MAX_TOKENS} tokens"), tokens.to_string(), help));
        }
        Ok(())
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        let symbols = setting.space.symbols().unwrap_or(1);
        let shape = SequenceShape { shape: setting.space.shape, symbols, classes: setting.classes };
        let renamed = Transformer::layers(shape, &self.transformer()).into_iter().map(|mut row| {
            row.name = format!("transformer.{}", row.name);
            row
        });
        Ok(renamed.collect())
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<Autoregressive> {
        self.check(setting)?;
        Ok(Autoregressive::init(setting.space, setting.classes, self, seed, device))
    }
}

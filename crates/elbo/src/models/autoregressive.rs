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
//! model gives `p(k)` and `p(k given y)`.
//!
//! Rows of several maps, the codes of a model of several levels from the top down, have a transformer for
//! each: `p(top given y) p(bottom given top, y)`. The maps before its own are the transformer's prefix,
//! whose symbols all see each other (as in Esser et al. 2021, where part of the row is not masked). Departure from van den Oord et al. (2017), who train a PixelCNN:
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
    /// Channels, height and width of the maps that a row holds one after another; none for a row that is one map.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<[usize; 3]>,
}

impl Default for AutoregressiveConfig {
    fn default() -> Self {
        let TransformerConfig { width, layers, heads, dropout } = TransformerConfig::default();
        Self { width, layers, heads, dropout, dropped_labels: 0.1, maps: Vec::new() }
    }
}

impl AutoregressiveConfig {
    fn transformer(&self) -> TransformerConfig {
        let Self { width, layers, heads, dropout, .. } = *self;
        TransformerConfig { width, layers, heads, dropout }
    }

    /// What the transformer of each map is told and gives.
    fn shapes(&self, space: Space, classes: usize) -> Vec<SequenceShape> {
        let symbols = space.symbols().unwrap_or(1);
        let maps = if self.maps.is_empty() { vec![space.shape] } else { self.maps.clone() };
        let mut prefix = 0;
        let shape = |shape: [usize; 3]| {
            let of_map = SequenceShape { shape, symbols, classes, prefix };
            prefix += of_map.tokens();
            of_map
        };
        maps.into_iter().map(shape).collect()
    }

    /// Symbols of all maps together; none without maps, with an empty one, or beyond counting.
    fn symbols_of_maps(&self) -> Option<usize> {
        let of_map = |map: &[usize; 3]| map.iter().copied().try_fold(1usize, usize::checked_mul).filter(|&n| n > 0);
        self.maps.iter().try_fold(0usize, |sum, map| sum.checked_add(of_map(map)?)).filter(|&sum| sum > 0)
    }

    /// Holds the maps against the rows.
    fn check_maps(&self, space: Space) -> Result<()> {
        if self.maps.is_empty() || self.symbols_of_maps() == Some(space.numel()) {
            return Ok(());
        }
        let expected = format!("maps that hold the {} symbols of a row together", space.numel());
        let help = "leave the key away: `--codes-of RUN` sets it by the levels of RUN";
        Err(Error::config("model.maps", expected, format!("{:?}", self.maps), help))
    }
}

/// The model. In PyTorch: `transformer`, and `finer.N` of the maps after the first.
#[derive(Module, Debug)]
pub struct Autoregressive {
    transformer: Transformer,
    finer: Vec<Transformer>,
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
    /// If the space is not one of symbols, a size is 0, or the maps are not as long as its rows.
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
        assert!(symbols > 0 && config.check_maps(space).is_ok(), "maps {:?} of {space:?}", config.maps);
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let sizes = config.transformer();
        let shapes = config.shapes(space, classes).into_iter();
        let mut all = shapes.map(|shape| Transformer::init(shape, &sizes, draws, device));
        let transformer = all.next().expect("a map at least");
        Self { transformer, finer: all.collect(), spaces: [space], dropped_labels: config.dropped_labels }
    }

    /// The transformer that predicts the next symbol of the first map.
    pub fn transformer(&self) -> &Transformer {
        &self.transformer
    }

    /// The transformers of all maps.
    fn levels(&self) -> impl Iterator<Item = &Transformer> {
        [&self.transformer].into_iter().chain(&self.finer)
    }

    /// Symbols of a row.
    fn tokens(&self) -> usize {
        self.spaces[0].numel()
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

    /// Of each map the logits of its symbols, `[n * tokens, symbols]`, and these symbols, in the order of steps.
    fn logits(&self, rows: &Tensor<2, Int>, starts: &Tensor<1, Int>, pass: &Pass) -> Vec<(Tensor<2>, Tensor<1, Int>)> {
        let of_map = |transformer: &Transformer| {
            let (n, shape) = (rows.dims()[0], transformer.shape());
            let tokens = shape.tokens();
            let known = (shape.prefix > 0).then(|| rows.clone().narrow(1, 0, shape.prefix));
            let steps = shape.in_steps(rows.clone().narrow(1, shape.prefix, tokens));
            let logits = transformer.forward_after(known, steps.clone(), starts.clone(), pass);
            (logits, steps.reshape([n * tokens]))
        };
        self.levels().map(of_map).collect()
    }

    /// `-ln p(k_t given k_<t, y)` of each symbol, where it lies in its row, in nats.
    ///
    /// # Shapes
    /// - `rows`: `[n, tokens]`, channel first
    /// - returns: `[n, tokens]`, as long as the rows, value after value
    pub fn surprise(&self, rows: &Tensor<2, Int>, given: &Given) -> Vec<f32> {
        let (pass, [n, tokens]) = (Pass::still(), rows.dims());
        let mut values = vec![0f32; n * tokens];
        let by_map = self.logits(rows, &self.starts(given, n, &pass), &pass);
        for (transformer, (logits, steps)) in self.levels().zip(by_map) {
            let (shape, by_step) = (transformer.shape(), token_nll(logits, steps));
            let order = shape.order();
            for (row, steps) in values.chunks_exact_mut(tokens).zip(by_step.chunks_exact(shape.tokens())) {
                order.iter().zip(steps).for_each(|(&place, value)| row[shape.prefix + place] = *value);
            }
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
        let rows = batch.x.index();
        let n = rows.dims()[0];
        let by_map = self.logits(&rows, &self.starts(&batch.given, n, pass), pass);
        let terms = by_map.into_iter().map(|(logits, steps)| cross_entropy(logits, steps, n));
        Loss { total: terms.reduce(|sum, term| sum + term).expect("a map at least"), reports: Vec::new() }
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

/// Rows under way: chunk after chunk, in each one map after another, and in that one symbol after another.
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
    /// Maps that are done.
    maps: usize,
    decoding: Decoding<'a>,
    draws: Vec<Draws>,
    starts: Vec<i32>,
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
            rows: vec![0; ask.count * model.tokens()],
            chunk: None,
            first: 0,
            done: 0,
        }
    }

    fn together(&self) -> usize {
        let config = self.model.transformer.config();
        let of_row = self.model.tokens() * config.width * config.layers * 2;
        (CACHED / of_row.max(1)).clamp(1, TOGETHER)
    }

    fn is_guided(&self) -> bool {
        self.guidance != 1.0
    }

    /// Rows of the chunk under way.
    fn chunk_rows(&self) -> usize {
        self.together().min(self.count - self.first)
    }

    fn begin_chunk(&self) -> Chunk<'a> {
        let n = self.chunk_rows();
        let none = self.model.transformer.no_class();
        let start = |i: usize| self.class.as_ref().map_or(none, |class| class[self.first + i]);
        let mut starts: Vec<i32> = (0..n).map(start).collect();
        if self.is_guided() {
            starts.extend(std::iter::repeat_n(none, n));
        }
        let draws = (0..n).map(|i| Draws::new(self.seed, Purpose::Prior, 1, (self.first + i) as u64)).collect();
        let (decoding, tokens) = (self.model.transformer.decoding(starts.len()), starts.clone());
        Chunk { maps: 0, decoding, draws, starts, tokens }
    }

    /// The chunk at the start of its next map, whose prefix is what was drawn so far.
    fn next_map(&self, chunk: Chunk<'a>) -> Chunk<'a> {
        let Chunk { maps, draws, starts, .. } = chunk;
        let transformer = &self.model.finer[maps];
        let (prefix, tokens) = (transformer.shape().prefix, self.model.tokens());
        let of_row = |i: usize| &self.rows[(self.first + i % draws.len()) * tokens..][..prefix];
        let known: Vec<i32> = (0..starts.len()).flat_map(of_row).copied().collect();
        let device = transformer.device().without_autodiff();
        let known = Tensor::from_data(TensorData::new(known, [starts.len(), prefix]), &device);
        let decoding = transformer.decoding_after(known);
        Chunk { maps: maps + 1, decoding, draws, tokens: starts.clone(), starts }
    }

    /// A symbol for each row, from the logits of those that are told the class, `told` of them, and then,
    /// where there is guidance, of the same rows untold.
    fn chosen(&self, mut logits: Vec<f32>, told: usize, uniforms: &[f64]) -> Vec<i32> {
        if self.is_guided() {
            let (told, untold) = logits.split_at_mut(told);
            let guided = |(c, u): (&mut f32, &f32)| *c = (f64::from(*u) + self.guidance * f64::from(*c - *u)) as f32;
            told.iter_mut().zip(&*untold).for_each(guided);
        }
        self.choice.of_rows(&logits[..told], uniforms).into_iter().map(|symbol| symbol as i32).collect()
    }

    /// Draws the next symbol of each row of the chunk.
    fn advance(&mut self, chunk: &mut Chunk<'a>) {
        let shape = chunk.decoding.shape();
        let (symbols, n, tokens) = (shape.symbols, self.chunk_rows(), self.model.tokens());
        let place = shape.prefix + shape.place(chunk.decoding.steps_done());
        let logits = chunk.decoding.next(&chunk.tokens);
        // Drawn for what is kept too, so that what follows does not depend on how much that is.
        let uniforms: Vec<f64> = chunk.draws.iter_mut().map(Draws::uniform).collect();
        let at = |first: usize, i: usize| (first + i) * tokens + place;
        let of_rows: Vec<i32> = match self.kept.as_ref().filter(|kept| kept.is_kept[place]) {
            Some(kept) => (0..n).map(|i| kept.rows[at(self.first, i)]).collect(),
            None => self.chosen(logits, n * symbols, &uniforms),
        };
        for (i, symbol) in of_rows.into_iter().enumerate() {
            self.rows[at(self.first, i)] = symbol;
            chunk.tokens[i] = symbol;
            if let Some(untold) = chunk.tokens.get_mut(n + i) {
                *untold = symbol;
            }
        }
    }
}

impl Generating for Writing<'_> {
    fn step(&mut self) -> (usize, usize) {
        let (tokens, together) = (self.model.tokens(), self.together());
        let of = self.count.div_ceil(together) * tokens;
        if self.done >= of {
            return (of, of);
        }
        let mut chunk = match self.chunk.take() {
            None => self.begin_chunk(),
            Some(chunk) if chunk.decoding.is_done() => self.next_map(chunk),
            Some(chunk) => chunk,
        };
        self.advance(&mut chunk);
        self.chunk = Some(chunk);
        self.done += 1;
        if self.done.is_multiple_of(tokens) {
            self.chunk = None;
            self.first += together;
        }
        (self.done, of)
    }

    fn finish(self: Box<Self>) -> Vec<Rows> {
        let (device, dims) = (self.model.transformer.device().without_autodiff(), [self.count, self.model.tokens()]);
        vec![Rows::Index(Tensor::from_data(TensorData::new(self.rows, dims), &device))]
    }
}

impl Family for AutoregressiveConfig {
    const KIND: &'static str = "autoregressive";
    const ABOUT: &'static str =
        "a causal transformer over codes or other symbols: exact log p(k), and samples of a class";
    const CAN: &'static [Capability] = &[Capability::Density, Capability::Generate];
    const KEYS: &'static [&'static str] = &["width", "layers", "heads", "dropout", "dropped_labels", "maps"];
    const REPORTS: &'static [Report] = &[];
    type Learner = Autoregressive;

    fn title(&self) -> String {
        format!("autoregressive transformer, {} layers of {}", self.layers, self.width)
    }

    /// Rows as long as the maps, where there are any: a configuration of several levels is checked
    /// before its rows are there.
    fn stand_in(&self) -> Space {
        let shape = self.symbols_of_maps().map_or([1, 7, 7], |symbols| [1, 1, symbols]);
        Space { shape, domain: Domain::Index { of: 512 } }
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
        self.check_maps(setting.space)
    }

    fn over_maps(&self, maps: &[Space]) -> Self {
        match maps {
            [_, _, ..] if self.maps.is_empty() => {
                Self { maps: maps.iter().map(|map| map.shape).collect(), ..self.clone() }
            }
            _ => self.clone(),
        }
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        let sizes = self.transformer();
        let named = |(i, shape): (usize, SequenceShape)| {
            let name = if i == 0 { "transformer".to_owned() } else { format!("finer.{}", i - 1) };
            Transformer::layers(shape, &sizes).into_iter().map(move |mut row| {
                row.name = format!("{name}.{}", row.name);
                row
            })
        };
        let renamed = self.shapes(setting.space, setting.classes).into_iter().enumerate().flat_map(named);
        Ok(renamed.collect())
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<Autoregressive> {
        self.check(setting)?;
        Ok(Autoregressive::init(setting.space, setting.classes, self, seed, device))
    }
}

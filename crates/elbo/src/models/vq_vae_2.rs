//! VQ-VAE-2 (Razavi, van den Oord & Vinyals 2019, "Generating diverse high-fidelity images with VQ-VAE-2",
//! arXiv:1906.00446): two levels of codes, of which the coarse one is known to the fine one.
//!
//! | paper, algorithm 1 | here |
//! |---|---|
//! | `h_top = E_top(x)`, `e_top = Quantize(h_top)` | `top_encoder` on the features of `bottom_encoder`, `top_quantizer` |
//! | `h_bottom = E_bottom(x, e_top)`, `e_bottom = Quantize(h_bottom)` | `condition` on the features and `top_decoder(e_top)`, `bottom_quantizer` |
//! | `x^ = D(e_top, e_bottom)` | `decoder` on `upsample(e_top)` beside `e_bottom` |
//!
//! The last halving of `[network]` lies between the levels. The loss is that of
//! [`VqVae`](super::VqVae), with the commitments of both levels added. Departure from the paper: the
//! prior is one transformer over both maps, the top one first, `p(top given y) p(bottom given top, y)`,
//! instead of a network for each.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Beginning, Capability, Decode, Discrete, Encode, Family, InitialWeights, Learner, LikelihoodKeys, LikelihoodName,
    Loss, Model, Observe, OutputBias, Posterior, Quantised, Report, Setting, Show,
};
use crate::data::batch::{Batch, Given};
use crate::distributions::{Likelihood, Observation};
use crate::error::{Error, Result};
use crate::networks::{
    LayerSummary, Linear, MapDecoder, MapEncoder, NetworkConfig, Pass, Quantized, Quantizer, QuantizerConfig, When,
    from_rows, project, to_rows,
};
use crate::random::{Draws, Purpose};
use crate::reference::Fields;
use crate::space::{Domain, Rows, Space};

/// Vectors of the encoder that a codebook starts from, about.
const STARTING_VECTORS: usize = 32_768;
/// Fewest and most examples that they come from.
const STARTING_EXAMPLES: [usize; 2] = [64, 4096];
/// Examples encoded at once for it.
const TOGETHER: usize = 256;

/// The `[model]` table of `kind = "vq-vae-2"`; the codes of both levels are described by `[quantizer]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct VqVae2Config {
    /// What the decoder's output means.
    pub likelihood: LikelihoodName,
    /// Standard deviation of the Gaussian likelihood; belongs to no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<f64>,
    /// Scale of the Laplace likelihood; learned if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Components of the mixture of logistics; 5 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<usize>,
    /// Factor of the surrogates `ms-ssim` and `edge` (of its edges); 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
}

impl Default for VqVae2Config {
    fn default() -> Self {
        Self { likelihood: LikelihoodName::Bernoulli, sigma: None, scale: None, components: None, weight: None }
    }
}

impl VqVae2Config {
    fn shared(&self) -> LikelihoodKeys {
        LikelihoodKeys {
            // The codes are maps of symbols, whose sizes `[quantizer]` and the network say.
            latent: 1,
            likelihood: self.likelihood,
            sigma: self.sigma,
            scale: self.scale,
            components: self.components,
            weight: self.weight,
            initial: InitialWeights::Pytorch,
            output_bias: OutputBias::Initial,
        }
    }
}

/// Sizes of the parts.
struct Sizes {
    bottom: NetworkConfig,
    top: NetworkConfig,
    /// Channels, height and width of the features between the levels.
    features: [usize; 3],
    /// Height and width of the map of top codes.
    top_sides: [usize; 2],
}

impl Sizes {
    fn of(network: &NetworkConfig, shape: [usize; 3]) -> Self {
        let [bottom, top] = network.in_two(shape);
        let [height, width] = bottom.map_sides(shape);
        let features = [bottom.map_channels(shape), height, width];
        let top_sides = top.map_sides(features);
        Self { bottom, top, features, top_sides }
    }
}

/// The model. In PyTorch: `bottom_encoder`, `top_encoder`, `top_quantizer.books`, `top_decoder`,
/// `condition`, `bottom_quantizer.books`, `upsample`, `decoder`.
#[derive(Module, Debug)]
pub struct VqVae2 {
    bottom_encoder: MapEncoder,
    top_encoder: MapEncoder,
    top_quantizer: Quantizer,
    /// From top codes to what the bottom level is told of them.
    top_decoder: MapDecoder,
    /// A 1 x 1 convolution over the told map and the features.
    condition: Linear,
    bottom_quantizer: Quantizer,
    /// From top codes to what the decoder sees of them.
    upsample: MapDecoder,
    decoder: MapDecoder,
    observation: Observation,
    #[module(skip)]
    space: Space,
    /// Top, bottom.
    #[module(skip)]
    codes: [Space; 2],
}

/// What became of a batch at both levels.
struct Levels {
    top: Quantized,
    bottom: Quantized,
}

impl VqVae2 {
    /// A model with PyTorch's initial weights, drawn from `seed`.
    ///
    /// # Panics
    /// If the network cannot take the shape: [`NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::data::batch::Batch;
    /// use elbo::distributions::Likelihood;
    /// use elbo::models::{Encode, VqVae2};
    /// use elbo::networks::{NetworkConfig, QuantizerConfig};
    ///
    /// let (device, network) = (elbo::device::choose("cpu")?, NetworkConfig::conv(&[8, 16]));
    /// let quantizer = QuantizerConfig { codes: 32, dims: 4, ..QuantizerConfig::default() };
    /// let model = VqVae2::init([1, 28, 28].into(), &network, &quantizer, Likelihood::Bernoulli, 0, &device);
    /// let codes = model.encode(&Batch::of(Tensor::zeros([3, 784], &device))).into_codes();
    /// assert_eq!(codes[0].index().dims(), [3, 49]); // top: 7 x 7
    /// assert_eq!(codes[1].index().dims(), [3, 196]); // bottom: 14 x 14
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(
        space: Space,
        network: &NetworkConfig,
        quantizer: &QuantizerConfig,
        likelihood: Likelihood,
        seed: u64,
        device: &Device,
    ) -> Self {
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let (shape, dims) = (space.shape, quantizer.channels());
        let Sizes { bottom, top, features, top_sides } = Sizes::of(network, shape);
        let [channels, height, width] = features;
        let outputs = likelihood.output_channels(shape[0]);
        let codes = |[height, width]: [usize; 2]| Space {
            shape: [quantizer.tokens(), height, width],
            domain: Domain::Index { of: quantizer.entries() },
        };
        Self {
            bottom_encoder: MapEncoder::init(&bottom, shape, channels, draws, device),
            top_encoder: MapEncoder::init(&top, features, dims, draws, device),
            top_quantizer: Quantizer::init(quantizer, draws, device),
            top_decoder: MapDecoder::init(&top, dims, features, dims, draws, device),
            condition: Linear::init(dims + channels, dims, draws, device),
            bottom_quantizer: Quantizer::init(quantizer, draws, device),
            upsample: MapDecoder::init(&top, dims, features, dims, draws, device),
            decoder: MapDecoder::init(&bottom, 2 * dims, shape, outputs, draws, device),
            observation: Observation::new(likelihood, device),
            space,
            codes: [codes(top_sides), codes([height, width])],
        }
    }

    fn config(&self) -> &QuantizerConfig {
        self.top_quantizer.config()
    }

    /// Height and width of a level's map.
    fn sides(&self, level: usize) -> [usize; 2] {
        let [_, height, width] = self.codes[level].shape;
        [height, width]
    }

    /// A map of top codes at the size of the bottom level. `[n, h, w, channels]`.
    fn raised(&self, decoder: &MapDecoder, top: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [height, width] = self.sides(1);
        from_rows(decoder.forward(top, pass), [self.config().channels(), height, width])
    }

    /// The features between the levels, and the top map before it is quantised.
    fn top_vectors(&self, x: Tensor<2>, pass: &Pass) -> (Tensor<4>, Tensor<4>) {
        let features = self.bottom_encoder.forward(x, pass);
        let top = self.top_encoder.forward(to_rows(features.clone()), pass);
        (features, top)
    }

    /// The bottom map before it is quantised, told the top codes.
    fn bottom_vectors(&self, features: Tensor<4>, top: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let told = self.raised(&self.top_decoder, top, pass);
        project(&self.condition, Tensor::cat(vec![told, features], 3))
    }

    fn levels(&self, x: Tensor<2>, pass: &Pass) -> Levels {
        let (features, top) = self.top_vectors(x, pass);
        let top = self.top_quantizer.forward(top, pass);
        let bottom = self.bottom_vectors(features, top.z.clone(), pass);
        Levels { bottom: self.bottom_quantizer.forward(bottom, pass), top }
    }

    /// What the decoder makes of both levels.
    fn decoded(&self, top: Tensor<4>, bottom: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let seen = self.raised(&self.upsample, top, pass);
        self.decoder.forward(Tensor::cat(vec![seen, bottom], 3), pass)
    }

    /// The terms of a level beside the likelihood, in nats: means over channels become sums over the values
    /// of an example.
    fn penalty(&self, level: &Quantized) -> Tensor<1> {
        let half = self.space.numel() as f64 / 2.0;
        let commitment = level.commitment.clone() * (self.config().commitment * half);
        level.codebook.clone().map_or(commitment.clone(), |codebook| commitment + codebook * half)
    }

    fn embedded(&self, quantizer: &Quantizer, codes: &Rows, level: usize) -> Tensor<4> {
        quantizer.embed(&codes.index(), self.sides(level), self.config().depth)
    }

    /// Vectors that a level's codebook starts from, `[n, channels]`.
    fn starting(
        &self,
        beginning: &Beginning<'_>,
        level: usize,
        of: impl Fn(Tensor<2>, &Pass) -> Tensor<4>,
    ) -> Tensor<2> {
        let [height, width] = self.sides(level);
        let examples = (STARTING_VECTORS / (height * width)).clamp(STARTING_EXAMPLES[0], STARTING_EXAMPLES[1]);
        let channels = self.config().channels() as i64;
        let vectors = (beginning.examples)(examples, TOGETHER).into_iter().map(|batch| {
            // Batch norm sees these batches as it will see those of training; nothing of it is kept.
            let still = Pass::given(When::Training { epochs: 0.0 }, []);
            of(batch.x.real(), &still).reshape([-1, channels]).without_autodiff()
        });
        Tensor::cat(vectors.collect(), 0)
    }
}

/// Weighted commitment, in nats.
const COMMITMENT: Report = Report {
    name: "commitment",
    unit: "nats per example",
    definition: "beta (D / 2) mean of (z - sg[e])^2, and (D / 2) mean of (sg[z] - e)^2 of codes that the optimiser moves, of both levels",
};
/// Perplexity of a batch at the top.
const TOP_PERPLEXITY: Report = Report {
    name: "batch_perplexity_top",
    unit: "codes",
    definition: "exp of the entropy of the top codes in one batch: it grows with the batch",
};
/// Perplexity of a batch at the bottom.
const BOTTOM_PERPLEXITY: Report = Report {
    name: "batch_perplexity_bottom",
    unit: "codes",
    definition: "exp of the entropy of the bottom codes in one batch: it grows with the batch",
};
/// Codes revived.
const REVIVED: Report = Report {
    name: "revived",
    unit: "codes a step",
    definition: "codes of both levels that took a vector of the batch because they were hardly used, mean over steps",
};

impl Learner for VqVae2 {
    fn reports(&self) -> &'static [Report] {
        VqVae2Config::REPORTS
    }

    /// The top level first: the bottom's vectors depend on its codes.
    fn begun(self, beginning: &Beginning<'_>) -> Self {
        let in_batch = |[height, width]: [usize; 2]| beginning.batch_size * height * width;
        let (seed, still) = (beginning.seed, self.valid());
        let vectors = self.starting(beginning, 0, |x, pass| still.top_vectors(x, pass).1);
        let top_quantizer = self.top_quantizer.clone().started(&vectors, in_batch(self.sides(0)), seed);
        let started = Self { top_quantizer, ..self };
        let still = started.valid();
        let vectors = started.starting(beginning, 1, |x, pass| {
            let (features, top) = still.top_vectors(x, pass);
            // Codes as they are looked up: a pass of training would move them.
            let top = still.top_quantizer.forward(top, &Pass::still()).z;
            still.bottom_vectors(features, top, pass)
        });
        let sides = started.sides(1);
        let bottom_quantizer = started.bottom_quantizer.clone().started(&vectors, in_batch(sides), seed);
        Self { bottom_quantizer, ..started }
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        let x = batch.x.real();
        let Levels { top, bottom } = self.levels(x.clone(), pass);
        let penalty = self.penalty(&top) + self.penalty(&bottom);
        let decoded = self.decoded(top.z, bottom.z, pass);
        let recon = self.observation.nll(decoded, x, pass).mean();
        let number = |value: f64| Tensor::from_data([value as f32], &recon.device());
        let revived = (top.revived + bottom.revived) as f64;
        let numbers = [top.perplexity, bottom.perplexity, revived].map(number);
        let reports = [recon.clone(), penalty.clone()].into_iter().chain(numbers).collect();
        Loss { total: recon + penalty, reports }
    }
}

impl Model for VqVae2 {
    fn space(&self) -> Space {
        self.space
    }

    fn encoder(&self) -> Option<&dyn Encode> {
        Some(self)
    }

    fn decoder(&self) -> Option<&dyn Decode> {
        Some(self)
    }

    fn discrete(&self) -> Option<&dyn Discrete> {
        Some(self)
    }
}

impl Discrete for VqVae2 {
    fn quantise(&self, batch: &Batch) -> Vec<Quantised> {
        let Levels { top, bottom } = self.levels(batch.x.real(), &Pass::still());
        let channels = self.config().channels() as i64;
        let of = |quantizer: &Quantizer, quantized: Quantized, level: usize| {
            let codes = quantizer.embed(&quantized.indices, self.sides(level), self.config().depth);
            Quantised {
                penalty: self.penalty(&quantized),
                vectors: quantized.vectors.reshape([-1, channels]),
                codes: codes.reshape([-1, channels]),
                indices: quantized.indices,
            }
        };
        vec![of(&self.top_quantizer, top, 0), of(&self.bottom_quantizer, bottom, 1)]
    }
}

impl Encode for VqVae2 {
    fn codes(&self) -> &[Space] {
        &self.codes
    }

    fn encode(&self, batch: &Batch) -> Posterior {
        let Levels { top, bottom } = self.levels(batch.x.real(), &Pass::still());
        Posterior::Symbols(vec![top.indices, bottom.indices])
    }
}

impl Decode for VqVae2 {
    fn codes(&self) -> &[Space] {
        &self.codes
    }

    fn decode(&self, codes: &[Rows], given: &Given, show: Show<'_>) -> Result<Rows> {
        let (parameters, observed) = (Observe::parameters(self, codes, given), &self.observation);
        match show {
            Show::Mean => Ok(Rows::Real(observed.likelihood().mean(parameters))),
            Show::Draw(draws) => observed.likelihood().sample(parameters, observed.scale(), draws).map(Rows::Real),
        }
    }

    fn observation(&self) -> Option<&dyn Observe> {
        Some(self)
    }
}

impl Observe for VqVae2 {
    fn likelihood(&self) -> Likelihood {
        self.observation.likelihood()
    }

    fn scale(&self) -> Option<f64> {
        self.observation.scale()
    }

    fn parameters(&self, codes: &[Rows], _: &Given) -> Tensor<2> {
        let top = self.embedded(&self.top_quantizer, &codes[0], 0);
        let bottom = self.embedded(&self.bottom_quantizer, &codes[1], 1);
        self.decoded(top, bottom, &Pass::still())
    }
}

/// Layers of a part under its own name.
fn named(part: &'static str, usual: &'static str, layers: Vec<LayerSummary>) -> impl Iterator<Item = LayerSummary> {
    layers.into_iter().map(move |mut row| {
        row.name = row.name.replacen(usual, part, 1);
        row
    })
}

impl Family for VqVae2Config {
    const KIND: &'static str = "vq-vae-2";
    const ABOUT: &'static str =
        "two maps of codes, a coarse one and a fine one that is told the coarse; a prior over both samples";
    const CAN: &'static [Capability] = &[Capability::Encode, Capability::Decode, Capability::Observe];
    const KEYS: &'static [&'static str] = &["likelihood", "sigma", "scale", "components", "weight"];
    const REPORTS: &'static [Report] = &[Report::RECON, COMMITMENT, TOP_PERPLEXITY, BOTTOM_PERPLEXITY, REVIVED];
    const QUANTIZES: bool = true;
    type Learner = VqVae2;

    fn title(&self) -> String {
        "VQ-VAE-2".into()
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        self.shared().likelihood(setting.space)?;
        setting.network.check_map()?;
        setting.quantizer.check()?;
        if setting.space.symbols().is_some() {
            let help = "`autoregressive` models symbols as they are";
            return Err(Error::config("model.kind", "pictures or real numbers for `vq-vae-2`", "symbols", help));
        }
        let channels = match setting.network {
            NetworkConfig::Mlp(_) => return Ok(()),
            NetworkConfig::Conv(config) => &config.channels,
            NetworkConfig::Resnet(config) => &config.channels,
        };
        if channels.resolve(setting.space.shape).is_empty() {
            let help = "`--set network.channels=[32,64]`, or `model.kind = \"vq-vae\"`, which has one level";
            return Err(Error::config("network.channels", "a halving between the two levels", "none", help));
        }
        Ok(())
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        let (shape, dims) = (setting.space.shape, setting.quantizer.channels());
        let outputs = self.shared().likelihood(setting.space)?.output_channels(shape[0]);
        let Sizes { bottom, top, features, .. } = Sizes::of(setting.network, shape);
        let [channels, height, width] = features;
        let condition = LayerSummary::keeping("condition".into(), 1, [dims + channels, dims], [height, width]);
        let layers = named("bottom_encoder", "encoder", bottom.map_encoder_summary(shape, channels))
            .chain(named("top_encoder", "encoder", top.map_encoder_summary(features, dims)))
            .chain(named("top_quantizer", "quantizer", setting.quantizer.layers()))
            .chain(named("top_decoder", "decoder", top.map_decoder_summary(dims, features, dims)))
            .chain([condition])
            .chain(named("bottom_quantizer", "quantizer", setting.quantizer.layers()))
            .chain(named("upsample", "decoder", top.map_decoder_summary(dims, features, dims)))
            .chain(bottom.map_decoder_summary(2 * dims, shape, outputs));
        Ok(layers.collect())
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<VqVae2> {
        let likelihood = self.shared().likelihood(setting.space)?;
        Ok(VqVae2::init(setting.space, setting.network, setting.quantizer, likelihood, seed, device))
    }

    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        Some(self.shared())
    }
}

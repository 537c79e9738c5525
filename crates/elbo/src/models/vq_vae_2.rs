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
//! [`VqVae`](super::VqVae), with the commitments of both levels added. The prior
//! has a transformer for each map, `p(top given y) p(bottom given top, y)`.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::quantised::{codes_at_depth, number, penalty, quantised, sides, started};
use super::{
    Beginning, Capability, Decode, Discrete, Encode, Family, Learner, LikelihoodKeys, Loss, Model, Observe, Posterior,
    Quantised, QuantisedArchitecture, QuantisedKeys, Report, Setting, Show,
};
use crate::data::batch::{Batch, Given};
use crate::distributions::{Likelihood, Observation};
use crate::error::{Error, Result};
use crate::networks::{
    FromMap, LayerSummary, Linear, MapDecoder, MapEncoder, NetworkConfig, Pass, Quantized, Quantizer, QuantizerConfig,
    from_rows, project, to_rows,
};
use crate::random::{Draws, Purpose};
use crate::reference::Fields;
use crate::space::{Rows, Space};

/// The `[model]` table of `kind = "vq-vae-2"`; the codes of both levels are described by `[quantizer]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Fields)]
#[serde(transparent)]
pub struct VqVae2Config(pub QuantisedKeys);

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
    /// use elbo::models::{Encode, QuantisedArchitecture, VqVae2};
    /// use elbo::networks::{NetworkConfig, QuantizerConfig};
    ///
    /// let (device, network) = (elbo::device::choose("cpu")?, NetworkConfig::conv(&[8, 16]));
    /// let quantizer = QuantizerConfig { codes: 32, dims: 4, ..QuantizerConfig::default() };
    /// let space = [1, 28, 28].into();
    /// let likelihood = Likelihood::Bernoulli;
    /// let architecture = QuantisedArchitecture { space, network: &network, quantizer: &quantizer, likelihood };
    /// let model = VqVae2::init(&architecture, 0, &device);
    /// let codes = model.encode(&Batch::of(Tensor::zeros([3, 784], &device))).into_codes();
    /// assert_eq!(codes[0].index().dims(), [3, 49]); // top: 7 x 7
    /// assert_eq!(codes[1].index().dims(), [3, 196]); // bottom: 14 x 14
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(architecture: &QuantisedArchitecture<'_>, seed: u64, device: &Device) -> Self {
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let &QuantisedArchitecture { space, network, quantizer, likelihood } = architecture;
        let (shape, dims) = (space.shape, quantizer.channels());
        let Sizes { bottom, top, features, top_sides } = Sizes::of(network, shape);
        let [channels, height, width] = features;
        let raise = FromMap { dims, shape: features, outputs: dims };
        let up = FromMap { dims: 2 * dims, shape, outputs: architecture.outputs() };
        Self {
            bottom_encoder: MapEncoder::init(&bottom, shape, channels, draws, device),
            top_encoder: MapEncoder::init(&top, features, dims, draws, device),
            top_quantizer: Quantizer::init(quantizer, draws, device),
            top_decoder: MapDecoder::init(&top, raise, draws, device),
            condition: Linear::init(dims + channels, dims, draws, device),
            bottom_quantizer: Quantizer::init(quantizer, draws, device),
            upsample: MapDecoder::init(&top, raise, draws, device),
            decoder: MapDecoder::init(&bottom, up, draws, device),
            observation: Observation::new(likelihood, device),
            space,
            codes: [architecture.codes(top_sides), architecture.codes([height, width])],
        }
    }

    fn config(&self) -> &QuantizerConfig {
        self.top_quantizer.config()
    }

    /// A map of top codes at the size of the bottom level. `[n, h, w, channels]`.
    fn raised(&self, decoder: &MapDecoder, top: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [height, width] = sides(&self.codes[1]);
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

    fn embedded(&self, quantizer: &Quantizer, codes: &Rows, level: usize) -> Tensor<4> {
        quantizer.embed(&codes.index(), sides(&self.codes[level]), self.config().depth)
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
        let still = self.valid();
        let vectors = |x: Tensor<2>, pass: &Pass| still.top_vectors(x, pass).1;
        let top_quantizer = started(&self.top_quantizer, &self.codes[0], beginning, vectors);
        let begun = Self { top_quantizer, ..self };
        let still = begun.valid();
        let vectors = |x: Tensor<2>, pass: &Pass| {
            let (features, top) = still.top_vectors(x, pass);
            // Codes as they are looked up: a pass of training would move them.
            let top = still.top_quantizer.forward(top, &Pass::still()).z;
            still.bottom_vectors(features, top, pass)
        };
        let bottom_quantizer = started(&begun.bottom_quantizer, &begun.codes[1], beginning, vectors);
        Self { bottom_quantizer, ..begun }
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        let x = batch.x.real();
        let Levels { top, bottom } = self.levels(x.clone(), pass);
        let values = self.space.numel();
        let penalty = penalty(&self.top_quantizer, &top, values) + penalty(&self.bottom_quantizer, &bottom, values);
        let decoded = self.decoded(top.z, bottom.z, pass);
        let recon = self.observation.nll(decoded, x, pass).mean();
        let revived = (top.revived + bottom.revived) as f64;
        let numbers = [top.perplexity, bottom.perplexity, revived].map(|value| number(value, &recon.device()));
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
        let values = self.space.numel();
        vec![
            quantised(&self.top_quantizer, &self.codes[0], top, values),
            quantised(&self.bottom_quantizer, &self.codes[1], bottom, values),
        ]
    }

    fn depth(&self) -> usize {
        self.config().depth
    }

    fn at_depth(&self, depth: usize) -> Box<dyn Model> {
        let (top_quantizer, bottom_quantizer) =
            (self.top_quantizer.shallow(depth), self.bottom_quantizer.shallow(depth));
        let codes = self.codes.map(|codes| codes_at_depth(&codes, &top_quantizer));
        Box::new(Self { top_quantizer, bottom_quantizer, codes, ..self.clone() })
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
        self.show(codes, given, show)
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
    const CAN: &'static [Capability] =
        &[Capability::Encode, Capability::Decode, Capability::Observe, Capability::Discrete];
    const KEYS: &'static [&'static str] = QuantisedKeys::KEYS;
    const REPORTS: &'static [Report] = &[Report::RECON, COMMITMENT, TOP_PERPLEXITY, BOTTOM_PERPLEXITY, REVIVED];
    const QUANTIZES: bool = true;
    type Learner = VqVae2;

    fn title(&self) -> String {
        "VQ-VAE-2".into()
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        self.0.check(Self::KIND, setting)?;
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
        let outputs = self.0.architecture(setting)?.outputs();
        let Sizes { bottom, top, features, .. } = Sizes::of(setting.network, shape);
        let [channels, height, width] = features;
        let raise = FromMap { dims, shape: features, outputs: dims };
        let up = FromMap { dims: 2 * dims, shape, outputs };
        let condition = LayerSummary::keeping("condition".into(), 1, [dims + channels, dims], [height, width]);
        let layers = named("bottom_encoder", "encoder", bottom.map_encoder_summary(shape, channels))
            .chain(named("top_encoder", "encoder", top.map_encoder_summary(features, dims)))
            .chain(named("top_quantizer", "quantizer", setting.quantizer.layers()))
            .chain(named("top_decoder", "decoder", top.map_decoder_summary(raise)))
            .chain([condition])
            .chain(named("bottom_quantizer", "quantizer", setting.quantizer.layers()))
            .chain(named("upsample", "decoder", top.map_decoder_summary(raise)))
            .chain(bottom.map_decoder_summary(up));
        Ok(layers.collect())
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<VqVae2> {
        Ok(VqVae2::init(&self.0.architecture(setting)?, seed, device))
    }

    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        Some(self.0.shared())
    }
}

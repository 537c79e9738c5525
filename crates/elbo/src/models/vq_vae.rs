//! Vector-quantised VAE (van den Oord, Vinyals & Kavukcuoglu 2017, "Neural discrete representation
//! learning", arXiv:1711.00937).
//!
//! | paper | here |
//! |---|---|
//! | `k = argmin_j abs(z_e(x) - e_j)`, eq. 1 and 2 | [`Quantizer::forward`](crate::networks::Quantizer::forward) |
//! | `log p(x given z_q) + abs(sg[z_e] - e)^2 + beta abs(z_e - sg[e])^2`, eq. 3 | [`Learner::loss`] |
//! | moving averages, appendix A.1 | [`networks::Codebook`](crate::networks::Codebook) |
//!
//! The loss is in nats: `recon + penalty`, with `beta (D / 2)` times the mean of `(z_e - sg[e])^2` over
//! places and channels as the commitment, `D` being the number of values of an example. Under a Gaussian
//! whose variance is the data's, this is Sonnet's loss times `D / 2`: the published beta keeps its meaning
//! for every size of picture, which a sum over the code does not.
//!
//! The likelihood given the codes is all that the model has: the rate of the codes is that of a prior over
//! them, another model.

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
use crate::error::Result;
use crate::networks::{FromMap, LayerSummary, MapDecoder, MapEncoder, Pass, Quantizer};
use crate::random::{Draws, Purpose};
use crate::reference::Fields;
use crate::space::{Rows, Space};

/// The `[model]` table of `kind = "vq-vae"`; its codes are described by `[quantizer]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, Fields)]
#[serde(transparent)]
pub struct VqVaeConfig(pub QuantisedKeys);

/// The model. In PyTorch: `encoder`, `quantizer.books`, `decoder`.
#[derive(Module, Debug)]
pub struct VqVae {
    encoder: MapEncoder,
    quantizer: Quantizer,
    decoder: MapDecoder,
    observation: Observation,
    #[module(skip)]
    space: Space,
    #[module(skip)]
    codes: [Space; 1],
}

impl VqVae {
    /// A model with PyTorch's initial weights, drawn from `seed`.
    ///
    /// # Panics
    /// If the network cannot take the shape: [`NetworkConfig::check_shape`](crate::networks::NetworkConfig::check_shape) says so before.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::data::batch::Batch;
    /// use elbo::distributions::Likelihood;
    /// use elbo::models::{Encode, QuantisedArchitecture, VqVae};
    /// use elbo::networks::{NetworkConfig, QuantizerConfig};
    ///
    /// let (device, network) = (elbo::device::choose("cpu")?, NetworkConfig::conv(&[8, 16]));
    /// let quantizer = QuantizerConfig { codes: 32, dims: 4, ..QuantizerConfig::default() };
    /// let space = [1, 28, 28].into();
    /// let likelihood = Likelihood::Bernoulli;
    /// let architecture = QuantisedArchitecture { space, network: &network, quantizer: &quantizer, likelihood };
    /// let model = VqVae::init(&architecture, 0, &device);
    /// let codes = model.encode(&Batch::of(Tensor::zeros([3, 784], &device))).into_codes();
    /// assert_eq!(codes[0].index().dims(), [3, 49]); // 28 to 14 to 7
    /// # Ok::<(), elbo::Error>(())
    /// ```
    pub fn init(architecture: &QuantisedArchitecture<'_>, seed: u64, device: &Device) -> Self {
        let draws = &mut Draws::new(seed, Purpose::Weights, 0, 0);
        let &QuantisedArchitecture { space, network, quantizer, likelihood } = architecture;
        let (shape, dims) = (space.shape, quantizer.channels());
        let up = FromMap { dims, shape, outputs: architecture.outputs() };
        Self {
            encoder: MapEncoder::init(network, shape, dims, draws, device),
            quantizer: Quantizer::init(quantizer, draws, device),
            decoder: MapDecoder::init(network, up, draws, device),
            observation: Observation::new(likelihood, device),
            space,
            codes: [architecture.codes(network.map_sides(shape))],
        }
    }

    /// The quantiser between encoder and decoder.
    pub fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// The encoder's map before it is quantised. `[n, h, w, channels]`.
    pub fn vectors(&self, x: Tensor<2>, pass: &Pass) -> Tensor<4> {
        self.encoder.forward(x, pass)
    }

    fn parameters_of(&self, codes: &[Rows], pass: &Pass) -> Tensor<2> {
        let map = self.quantizer.embed(&codes[0].index(), sides(&self.codes[0]), self.quantizer.config().depth);
        self.decoder.forward(map, pass)
    }
}

/// Weighted commitment, in nats.
const COMMITMENT: Report = Report {
    name: "commitment",
    unit: "nats per example",
    definition: "beta (D / 2) mean of (z - sg[e])^2, and (D / 2) mean of (sg[z] - e)^2 of codes that the optimiser moves",
};
/// Perplexity of a batch.
const BATCH_PERPLEXITY: Report = Report {
    name: "batch_perplexity",
    unit: "codes",
    definition: "exp of the entropy of the codes in one batch: it grows with the batch; `codebook` metrics have that of the split",
};
/// Codes revived.
const REVIVED: Report = Report {
    name: "revived",
    unit: "codes a step",
    definition: "codes that took a vector of the batch because they were hardly used, mean over steps",
};

impl Learner for VqVae {
    fn reports(&self) -> &'static [Report] {
        VqVaeConfig::REPORTS
    }

    fn begun(self, beginning: &Beginning<'_>) -> Self {
        let still = self.valid();
        let quantizer = started(&self.quantizer, &self.codes[0], beginning, |x, pass| still.vectors(x, pass));
        Self { quantizer, ..self }
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        let x = batch.x.real();
        let quantized = self.quantizer.forward(self.vectors(x.clone(), pass), pass);
        let penalty = penalty(&self.quantizer, &quantized, self.space.numel());
        let recon = self.observation.nll(self.decoder.forward(quantized.z, pass), x, pass).mean();
        let [perplexity, revived] =
            [quantized.perplexity, quantized.revived as f64].map(|value| number(value, &recon.device()));
        let reports = vec![recon.clone(), penalty.clone(), perplexity, revived];
        Loss { total: recon + penalty, reports }
    }
}

impl Model for VqVae {
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

impl Discrete for VqVae {
    fn quantise(&self, batch: &Batch) -> Vec<Quantised> {
        let pass = &Pass::still();
        let quantized = self.quantizer.forward(self.vectors(batch.x.real(), pass), pass);
        vec![quantised(&self.quantizer, &self.codes[0], quantized, self.space.numel())]
    }

    fn depth(&self) -> usize {
        self.quantizer.config().depth
    }

    fn at_depth(&self, depth: usize) -> Box<dyn Model> {
        let quantizer = self.quantizer.shallow(depth);
        let codes = [codes_at_depth(&self.codes[0], &quantizer)];
        Box::new(Self { quantizer, codes, ..self.clone() })
    }
}

impl Encode for VqVae {
    fn codes(&self) -> &[Space] {
        &self.codes
    }

    fn encode(&self, batch: &Batch) -> Posterior {
        let pass = &Pass::still();
        let quantized = self.quantizer.forward(self.vectors(batch.x.real(), pass), pass);
        Posterior::Symbols(vec![quantized.indices])
    }
}

impl Decode for VqVae {
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

impl Observe for VqVae {
    fn likelihood(&self) -> Likelihood {
        self.observation.likelihood()
    }

    fn scale(&self) -> Option<f64> {
        self.observation.scale()
    }

    fn parameters(&self, codes: &[Rows], _: &Given) -> Tensor<2> {
        self.parameters_of(codes, &Pass::still())
    }
}

impl Family for VqVaeConfig {
    const KIND: &'static str = "vq-vae";
    const ABOUT: &'static str = "codes from a codebook, a map of them for each example; a prior over the codes samples";
    const CAN: &'static [Capability] =
        &[Capability::Encode, Capability::Decode, Capability::Observe, Capability::Discrete];
    const KEYS: &'static [&'static str] = QuantisedKeys::KEYS;
    const REPORTS: &'static [Report] = &[Report::RECON, COMMITMENT, BATCH_PERPLEXITY, REVIVED];
    const QUANTIZES: bool = true;
    type Learner = VqVae;

    fn title(&self) -> String {
        "VQ-VAE".into()
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        self.0.check(Self::KIND, setting)
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        let (shape, dims) = (setting.space.shape, setting.quantizer.channels());
        let outputs = self.0.architecture(setting)?.outputs();
        let mut layers = setting.network.map_encoder_summary(shape, dims);
        layers.extend(setting.quantizer.layers());
        layers.extend(setting.network.map_decoder_summary(FromMap { dims, shape, outputs }));
        Ok(layers)
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<VqVae> {
        Ok(VqVae::init(&self.0.architecture(setting)?, seed, device))
    }

    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        Some(self.0.shared())
    }
}

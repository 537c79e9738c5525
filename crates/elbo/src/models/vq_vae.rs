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

use super::{
    Beginning, Capability, Decode, Discrete, Encode, Family, InitialWeights, Learner, LikelihoodKeys, LikelihoodName,
    Loss, Model, Observe, OutputBias, Posterior, Quantised, Report, Setting, Show,
};
use crate::data::batch::{Batch, Given};
use crate::distributions::{Likelihood, Observation};
use crate::error::{Error, Result};
use crate::networks::{LayerSummary, MapDecoder, MapEncoder, NetworkConfig, Pass, Quantizer, QuantizerConfig, When};
use crate::random::{Draws, Purpose};
use crate::reference::Fields;
use crate::space::{Domain, Rows, Space};

/// Vectors of the encoder that a codebook starts from, about.
const STARTING_VECTORS: usize = 32_768;
/// Fewest and most examples that they come from.
const STARTING_EXAMPLES: [usize; 2] = [64, 4096];
/// Examples encoded at once for it.
const TOGETHER: usize = 256;

/// The `[model]` table of `kind = "vq-vae"`; its codes are described by `[quantizer]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct VqVaeConfig {
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

impl Default for VqVaeConfig {
    fn default() -> Self {
        Self { likelihood: LikelihoodName::Bernoulli, sigma: None, scale: None, components: None, weight: None }
    }
}

impl VqVaeConfig {
    fn shared(&self) -> LikelihoodKeys {
        LikelihoodKeys {
            // The code is a map of symbols, whose size `[quantizer]` and the network say.
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
    /// If the network cannot take the shape: [`NetworkConfig::check_shape`] says so before.
    ///
    /// ```
    /// use burn::tensor::Tensor;
    /// use elbo::data::batch::Batch;
    /// use elbo::distributions::Likelihood;
    /// use elbo::models::{Encode, VqVae};
    /// use elbo::networks::{NetworkConfig, QuantizerConfig};
    ///
    /// let (device, network) = (elbo::device::choose("cpu")?, NetworkConfig::conv(&[8, 16]));
    /// let quantizer = QuantizerConfig { codes: 32, dims: 4, ..QuantizerConfig::default() };
    /// let model = VqVae::init([1, 28, 28].into(), &network, &quantizer, Likelihood::Bernoulli, 0, &device);
    /// let codes = model.encode(&Batch::of(Tensor::zeros([3, 784], &device))).into_codes();
    /// assert_eq!(codes[0].index().dims(), [3, 49]); // 28 to 14 to 7
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
        let (shape, channels) = (space.shape, quantizer.channels());
        let [height, width] = network.map_sides(shape);
        let domain = Domain::Index { of: quantizer.entries() };
        Self {
            encoder: MapEncoder::init(network, shape, channels, draws, device),
            quantizer: Quantizer::init(quantizer, draws, device),
            decoder: MapDecoder::init(network, channels, shape, likelihood.output_channels(shape[0]), draws, device),
            observation: Observation::new(likelihood, device),
            space,
            codes: [Space { shape: [quantizer.tokens(), height, width], domain }],
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

    fn sides(&self) -> [usize; 2] {
        let [_, height, width] = self.codes[0].shape;
        [height, width]
    }

    /// The terms beside the likelihood, in nats: means over channels become sums over the values of an
    /// example.
    fn penalty(&self, commitment: Tensor<1>, codebook: Option<Tensor<1>>) -> Tensor<1> {
        let half = self.space.numel() as f64 / 2.0;
        let commitment = commitment * (self.quantizer.config().commitment * half);
        codebook.map_or(commitment.clone(), |codebook| commitment + codebook * half)
    }

    fn parameters_of(&self, codes: &[Rows], pass: &Pass) -> Tensor<2> {
        let map = self.quantizer.embed(&codes[0].index(), self.sides(), self.quantizer.config().depth);
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
        let [height, width] = self.sides();
        let examples = (STARTING_VECTORS / (height * width)).clamp(STARTING_EXAMPLES[0], STARTING_EXAMPLES[1]);
        let channels = self.quantizer.config().channels();
        // Batch norm sees these batches as it will see those of training; nothing of it is kept.
        let still = || Pass::given(When::Training { epochs: 0.0 }, []);
        let encoder = self.valid();
        let vectors = (beginning.examples)(examples, TOGETHER).into_iter().map(|batch| {
            let map = encoder.vectors(batch.x.real(), &still());
            map.reshape([-1, channels as i64]).without_autodiff()
        });
        let vectors = Tensor::cat(vectors.collect(), 0);
        let quantizer = self.quantizer.started(&vectors, beginning.batch_size * height * width, beginning.seed);
        Self { quantizer, ..self }
    }

    fn loss(&self, _: usize, batch: &Batch, pass: &Pass) -> Loss {
        let x = batch.x.real();
        let quantized = self.quantizer.forward(self.encoder.forward(x.clone(), pass), pass);
        let recon = self.observation.nll(self.decoder.forward(quantized.z, pass), x, pass).mean();
        let penalty = self.penalty(quantized.commitment, quantized.codebook);
        let number = |value: f64| Tensor::from_data([value as f32], &recon.device());
        let reports =
            vec![recon.clone(), penalty.clone(), number(quantized.perplexity), number(quantized.revived as f64)];
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
        let quantized = self.quantizer.forward(self.encoder.forward(batch.x.real(), pass), pass);
        let channels = self.quantizer.config().channels() as i64;
        let codes = self.quantizer.embed(&quantized.indices, self.sides(), self.quantizer.config().depth);
        vec![Quantised {
            vectors: quantized.vectors.reshape([-1, channels]),
            codes: codes.reshape([-1, channels]),
            penalty: self.penalty(quantized.commitment, quantized.codebook),
            indices: quantized.indices,
        }]
    }
}

impl Encode for VqVae {
    fn codes(&self) -> &[Space] {
        &self.codes
    }

    fn encode(&self, batch: &Batch) -> Posterior {
        let pass = &Pass::still();
        let quantized = self.quantizer.forward(self.encoder.forward(batch.x.real(), pass), pass);
        Posterior::Symbols(vec![quantized.indices])
    }
}

impl Decode for VqVae {
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
    const CAN: &'static [Capability] = &[Capability::Encode, Capability::Decode, Capability::Observe];
    const KEYS: &'static [&'static str] = &["likelihood", "sigma", "scale", "components", "weight"];
    const REPORTS: &'static [Report] = &[Report::RECON, COMMITMENT, BATCH_PERPLEXITY, REVIVED];
    const QUANTIZES: bool = true;
    type Learner = VqVae;

    fn title(&self) -> String {
        "VQ-VAE".into()
    }

    fn check(&self, setting: &Setting<'_>) -> Result<()> {
        self.shared().likelihood(setting.space)?;
        setting.network.check_map()?;
        setting.quantizer.check()?;
        if setting.space.symbols().is_some() {
            let help = "`autoregressive` models symbols as they are";
            return Err(Error::config("model.kind", "pictures or real numbers for `vq-vae`", "symbols", help));
        }
        Ok(())
    }

    fn layers(&self, setting: &Setting<'_>) -> Result<Vec<LayerSummary>> {
        let (shape, channels) = (setting.space.shape, setting.quantizer.channels());
        let outputs = self.shared().likelihood(setting.space)?.output_channels(shape[0]);
        let mut layers = setting.network.map_encoder_summary(shape, channels);
        layers.extend(setting.quantizer.layers());
        layers.extend(setting.network.map_decoder_summary(channels, shape, outputs));
        Ok(layers)
    }

    fn init(&self, setting: &Setting<'_>, seed: u64, device: &Device) -> Result<VqVae> {
        let likelihood = self.shared().likelihood(setting.space)?;
        Ok(VqVae::init(setting.space, setting.network, setting.quantizer, likelihood, seed, device))
    }

    fn likelihood_keys(&self) -> Option<LikelihoodKeys> {
        Some(self.shared())
    }
}

//! What the families whose codes are maps of symbols share: the keys of `[model]`, what `init` is told,
//! where a codebook starts, and the terms that a codebook adds to the loss.

use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Beginning, InitialWeights, LikelihoodKeys, LikelihoodName, OutputBias, Quantised, Setting};
use crate::distributions::Likelihood;
use crate::error::{Error, Result};
use crate::networks::{NetworkConfig, Pass, Quantized, Quantizer, QuantizerConfig, When};
use crate::reference::Fields;
use crate::space::{Domain, Space};

/// Vectors of the encoder that a codebook starts from, about.
const STARTING_VECTORS: usize = 32_768;
/// Fewest and most examples that they come from.
const STARTING_EXAMPLES: [usize; 2] = [64, 4096];
/// Examples encoded at once for it.
const TOGETHER: usize = 256;

/// The `[model]` table of a family whose codes `[quantizer]` describes: the likelihood alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Fields)]
#[serde(deny_unknown_fields, default)]
pub struct QuantisedKeys {
    /// What the decoder's output means, and so what `recon` is.
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

impl Default for QuantisedKeys {
    fn default() -> Self {
        Self { likelihood: LikelihoodName::Bernoulli, sigma: None, scale: None, components: None, weight: None }
    }
}

impl QuantisedKeys {
    /// The names of the keys.
    pub(super) const KEYS: &'static [&'static str] = &["likelihood", "sigma", "scale", "components", "weight"];

    /// The keys in the form that all models around a decoder share, without a vector code.
    pub(super) fn shared(&self) -> LikelihoodKeys {
        LikelihoodKeys {
            latent: 0,
            likelihood: self.likelihood,
            sigma: self.sigma,
            scale: self.scale,
            components: self.components,
            weight: self.weight,
            initial: InitialWeights::Pytorch,
            output_bias: OutputBias::Initial,
        }
    }

    /// The architecture of a setting.
    pub(super) fn architecture<'a>(&self, setting: &Setting<'a>) -> Result<QuantisedArchitecture<'a>> {
        Ok(QuantisedArchitecture {
            space: setting.space,
            network: setting.network,
            quantizer: setting.quantizer,
            likelihood: self.shared().likelihood(setting.space)?,
        })
    }

    /// Refuses what no family of this kind can take; `kind` names it.
    pub(super) fn check(&self, kind: &str, setting: &Setting<'_>) -> Result<()> {
        self.shared().likelihood(setting.space)?;
        setting.network.check_map()?;
        setting.quantizer.check()?;
        if setting.space.symbols().is_some() {
            let expected = format!("pictures or real numbers for `{kind}`");
            let help = "`autoregressive` models symbols as they are";
            return Err(Error::config("model.kind", expected, "symbols", help));
        }
        Ok(())
    }
}

/// What a model whose codes are maps of symbols is built from.
#[derive(Debug, Clone, Copy)]
pub struct QuantisedArchitecture<'a> {
    /// Space of the data.
    pub space: Space,
    /// The bodies of encoder and decoder.
    pub network: &'a NetworkConfig,
    /// The codebook: the table `[quantizer]`.
    pub quantizer: &'a QuantizerConfig,
    /// What the decoder's output means.
    pub likelihood: Likelihood,
}

impl QuantisedArchitecture<'_> {
    /// Channels of the decoder's output: so many parameters for each value.
    pub(super) fn outputs(&self) -> usize {
        self.likelihood.output_channels(self.space.shape[0])
    }

    /// The space of a map of codes, `[groups * depth, height, width]`.
    pub(super) fn codes(&self, [height, width]: [usize; 2]) -> Space {
        let domain = Domain::Index { of: self.quantizer.entries() };
        Space { shape: [self.quantizer.tokens(), height, width], domain }
    }
}

/// Height and width of a map of codes.
pub(super) fn sides(codes: &Space) -> [usize; 2] {
    let [_, height, width] = codes.shape;
    [height, width]
}

/// The space of a map of codes of a quantiser of another depth.
pub(super) fn codes_at_depth(codes: &Space, quantizer: &Quantizer) -> Space {
    let [_, height, width] = codes.shape;
    Space { shape: [quantizer.config().tokens(), height, width], ..*codes }
}

/// A quantiser whose codes start from what `vectors` gives of random training examples, a map for each.
pub(super) fn started(
    quantizer: &Quantizer,
    codes: &Space,
    beginning: &Beginning<'_>,
    vectors: impl Fn(Tensor<2>, &Pass) -> Tensor<4>,
) -> Quantizer {
    let places = sides(codes).iter().product::<usize>();
    let examples = (STARTING_VECTORS / places).clamp(STARTING_EXAMPLES[0], STARTING_EXAMPLES[1]);
    let channels = quantizer.config().channels() as i64;
    let found = (beginning.examples)(examples, TOGETHER).into_iter().map(|batch| {
        // Batch norm sees these batches as it will see those of training; nothing of it is kept.
        let still = Pass::given(When::Training { epochs: 0.0 }, []);
        vectors(batch.x.real(), &still).reshape([-1, channels]).without_autodiff()
    });
    let found = Tensor::cat(found.collect(), 0);
    quantizer.clone().started(&found, beginning.batch_size * places, beginning.seed)
}

/// The terms of a codebook beside the likelihood, in nats: `beta (D / 2)` times the mean of
/// `(z - sg[e])^2`, and `(D / 2)` times the mean of `(sg[z] - e)^2` of codes that the optimiser moves. Means
/// over channels become sums over the `values` (D) of an example.
pub(super) fn penalty(quantizer: &Quantizer, quantized: &Quantized, values: usize) -> Tensor<1> {
    let half = values as f64 / 2.0;
    let commitment = quantized.commitment.clone() * (quantizer.config().commitment * half);
    quantized.codebook.clone().map_or(commitment.clone(), |codebook| commitment + codebook * half)
}

/// What metrics are told of a map of codes, for data of `values` numbers an example.
pub(super) fn quantised(quantizer: &Quantizer, codes: &Space, quantized: Quantized, values: usize) -> Quantised {
    let (channels, depth) = (quantizer.config().channels() as i64, quantizer.config().depth);
    Quantised {
        penalty: penalty(quantizer, &quantized, values),
        codes: quantizer.embed(&quantized.indices, sides(codes), depth).reshape([-1, channels]),
        vectors: quantized.vectors.reshape([-1, channels]),
        indices: quantized.indices,
    }
}

/// A number of a loss's reports, `[1]`.
pub(super) fn number(value: f64, device: &Device) -> Tensor<1> {
    Tensor::from_data([value as f32], device)
}

//! How a new model's weights start, where a recipe asks for another way than PyTorch's.

use burn::module::Module;

use crate::data::Subset;
use crate::data::batch::batch;
use crate::models::{InitialWeights, LikelihoodKeys, OutputBias};
use crate::random::{Draws, Purpose};
use crate::run::parameters;
use crate::run::weights::NamedTensor;
use crate::tensors::values_of;

/// `model` with the weights that its keys ask for; `train` is what its output bias may be taken from.
pub(super) fn prepared<M: Module>(model: M, keys: Option<&LikelihoodKeys>, train: &Subset, seed: u64) -> M {
    let Some(config) = keys else { return model };
    if (config.initial, config.output_bias) == (InitialWeights::Pytorch, OutputBias::Initial) {
        return model;
    }
    let mut tensors = parameters::export(&model);
    if config.initial == InitialWeights::Glorot {
        glorot(&mut tensors, &mut Draws::new(seed, Purpose::Weights, 0, 1));
    }
    if config.output_bias == OutputBias::DataMean {
        let bias = tensors.iter_mut().rfind(|tensor| is_decoder_bias(tensor)).expect("a decoder has a last layer");
        bias.values = mean_of(train).into_iter().map(logit).collect();
    }
    parameters::import(model, tensors)
}

fn is_decoder_bias(tensor: &NamedTensor) -> bool {
    tensor.name.starts_with("decoder.") && tensor.name.ends_with(".bias")
}

/// Weights uniform in +-sqrt(6 / (inputs + outputs)), biases 0.
fn glorot(tensors: &mut [NamedTensor], draws: &mut Draws) {
    for tensor in tensors {
        match *tensor.shape.as_slice() {
            [outputs, inputs] => {
                let bound = (6.0 / (inputs + outputs) as f64).sqrt();
                tensor.values = draws.uniforms(inputs * outputs, bound);
            }
            _ if tensor.name.ends_with(".bias") => tensor.values.fill(0.0),
            _ => {}
        }
    }
}

/// The mean of each value over the examples as they are, before any draw that makes them binary.
fn mean_of(train: &Subset) -> Vec<f64> {
    let grey = Subset::new(std::sync::Arc::clone(train.source()), train.indices());
    let mut sums = vec![0f64; train.source().shape().numel()];
    let places: Vec<u32> = (0..train.len() as u32).collect();
    for chosen in places.chunks(512) {
        for row in values_of(batch(&grey, chosen, &burn::tensor::Device::default())).chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
    }
    sums.iter().map(|sum| sum / train.len() as f64).collect()
}

/// `log(p / (1 - p))` with `p` kept in 0.001 to 0.999.
fn logit(mean: f64) -> f32 {
    let p = mean.clamp(0.001, 0.999);
    (p / (1.0 - p)).ln() as f32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::tensor::Device;

    use super::*;
    use crate::data::{ImageShape, InMemory};
    use crate::models::{Family, ObjectiveConfig, Setting, VaeConfig};
    use crate::networks::NetworkConfig;

    #[test]
    fn a_decoder_that_ignores_its_code_gives_the_mean_of_the_data() {
        // Three pixels: never, always and half the time on.
        let pixels = [[0, 255, 0], [0, 255, 255]].concat();
        let source = InMemory::new("two", ImageShape::grey(1, 3), pixels, "two");
        let (train, device) = (Subset::all(Arc::new(source)), Device::default());
        let config = VaeConfig {
            latent: 2,
            initial: InitialWeights::Glorot,
            output_bias: OutputBias::DataMean,
            ..Default::default()
        };
        let (network, loss) = (NetworkConfig::mlp(&[4]), ObjectiveConfig::default());
        let setting = Setting { space: [1, 1, 3].into(), classes: 0, ..Setting::of_tables(&network, &loss) };
        let model = config.init(&setting, 0, &device).unwrap();
        let model = prepared(model, config.likelihood_keys().as_ref(), &train, 7);
        // All biases but the last are 0: the code 0 reaches the last layer as 0.
        let mean = crate::generation::CodeDecoder::of(&model, &device).unwrap().means(&[0.0, 0.0]);
        assert!(mean.iter().zip([0.001, 0.999, 0.5]).all(|(found, p)| (found - p).abs() < 1e-5), "{mean:?}");
        let tensors = parameters::export(&model);
        let weight = tensors.iter().find(|tensor| tensor.name == "encoder.layers.0.weight").unwrap();
        let bound = (6.0f32 / 7.0).sqrt();
        assert!(weight.values.iter().all(|w| w.abs() <= bound) && weight.values.iter().any(|w| w.abs() > 0.6 * bound));
    }
}

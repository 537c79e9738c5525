//! Discrete codes: steps of both stages of the recipe `cifar10-vq`, and samples of a prior. `bench/peer_discrete.py` has the same in PyTorch.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{Bench, Measured, TrainRecipe, noise, profiled, repeat, setting_for};
use crate::data::symbols::SymbolSource;
use crate::data::{DataConfig, Splits, Validation};
use crate::error::Result;
use crate::models::{Ask, Autoregressive, AutoregressiveConfig, Generate};
use crate::networks::{Pass, TokenChoice};
use crate::priors::SYMBOL_RECIPE;
use crate::random::{Draws, Purpose};
use crate::recipe::{Layers, RunConfig, StagedLayers};
use crate::space::{Domain, Space};

/// Rows that are sampled.
pub(super) const ROWS: usize = 1000;
/// Rows together in the loop without a cache, as many as the one with a cache takes.
const TOGETHER: usize = 256;
/// Classes that the prior is told.
const CLASSES: usize = 10;

/// Steps of the first stage on pictures of noise.
pub(super) fn codes_steps(wanted: &Bench, device: &Device) -> Result<Measured> {
    let config = StagedLayers::from_recipe("cifar10-vq")?.build()?.first().clone();
    recipe_steps(wanted, &config, &noise([3, 32, 32]), device)
}

/// Steps of the second stage on symbols of noise.
pub(super) fn prior_steps(wanted: &Bench, device: &Device) -> Result<Measured> {
    let config = Layers::from_builtin(SYMBOL_RECIPE)?.build()?;
    recipe_steps(wanted, &config, &symbols(4096)?, device)
}

fn recipe_steps(wanted: &Bench, config: &RunConfig, splits: &Splits, device: &Device) -> Result<Measured> {
    let setting = setting_for(config, splits)?;
    let batch = config.training.batch_size;
    // Each product forward has one for the weights and one for the data backward.
    let flops: u128 = config.model.layers(&setting).iter().map(|layer| 3 * layer.flops).sum();
    profiled(wanted, batch, batch as f64 * flops as f64 / 1e9, || {
        config.model.with(TrainRecipe { config, setting, splits, wanted, device })
    })
}

/// Rows of 8 x 8 symbols of 512 with classes.
fn symbols(count: usize) -> Result<Splits> {
    let space = Space { shape: [1, 8, 8], domain: Domain::Index { of: 512 } };
    let mut draws = Draws::new(0, Purpose::Choice, 2, 0);
    let rows = (0..count * space.numel()).map(|_| draws.below(512) as u16).collect();
    let classes = (0..count).map(|_| draws.below(CLASSES as u32)).collect();
    let names = (0..CLASSES).map(|class| class.to_string()).collect();
    let config = DataConfig { validation: Validation::NONE, ..DataConfig::default() };
    SymbolSource::new(space, rows, [count, 0, 0], Some(classes), names).split(&config, 0)
}

fn prior(device: &Device) -> Autoregressive {
    let space = Space { shape: [1, 7, 7], domain: Domain::Index { of: 128 } };
    Autoregressive::init(space, CLASSES, &AutoregressiveConfig::default(), 0, device)
}

/// A class for each of so many rows.
fn classes(count: usize, device: &Device) -> Tensor<1, Int> {
    let classes: Vec<i32> = (0..count).map(|i| (i % CLASSES) as i32).collect();
    Tensor::from_data(TensorData::new(classes, [count]), device)
}

/// Samples, keys and values kept.
pub(super) fn samples(seconds: f64, device: &Device) -> Vec<f64> {
    let prior = prior(device);
    let mut ask = Ask::new(ROWS, 0);
    ask.given.class = Some(classes(ROWS, device));
    let generator: &dyn Generate = &prior;
    repeat(ROWS, ROWS, seconds, |_| {
        std::hint::black_box(generator.generate(&ask).expect("a class is all that is asked for"));
    })
}

/// Samples, a pass over the whole row for each symbol.
pub(super) fn uncached_samples(seconds: f64, device: &Device) -> Vec<f64> {
    let prior = prior(device);
    repeat(TOGETHER, TOGETHER, seconds, |_| {
        std::hint::black_box(uncached(&prior, TOGETHER, device));
    })
}

/// Rows of symbols by the loop that recomputes everything.
fn uncached(prior: &Autoregressive, count: usize, device: &Device) -> Vec<i32> {
    let (transformer, choice) = (prior.transformer(), TokenChoice::default());
    let (tokens, symbols) = (transformer.shape().tokens(), transformer.shape().symbols);
    let mut draws = Draws::new(0, Purpose::Prior, 1, 0);
    let mut rows = vec![0i32; count * tokens];
    for step in 0..tokens {
        let known = Tensor::from_data(TensorData::new(rows.clone(), [count, tokens]), device);
        let logits = transformer.forward(known, classes(count, device), &Pass::still());
        let logits = crate::tensors::values_of(logits);
        for i in 0..count {
            let row = &logits[(i * tokens + step) * symbols..][..symbols];
            rows[i * tokens + step] = choice.of(row, draws.uniform()) as i32;
        }
    }
    rows
}

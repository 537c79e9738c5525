//! A prior that was trained: any model over standardised codes that can generate them.
//!
//! A model generates codes itself, as a flow does, or decodes draws of its own prior, as a second VAE does (the two-stage VAE: Dai & Wipf 2019,
//! arXiv:1903.05789, section 4). The latter has codes `u` of the same size and learns
//! `p(z) = integral N(z; decoder(u), gamma^2 I) N(u; 0, I) du`: `z` fills its space, so that the aggregate posterior of `u` comes close to N(0, I),
//! and N(0, I) may be sampled. A code is drawn in three steps: `u ~ N(0, I)`, `z ~ N(decoder(u), gamma^2 I)`, `x = E[x|z]` from the first model.

use burn::tensor::{Device, Tensor, TensorData};

use super::Draw;
use crate::data::codes::{CodeSource, Standardised};
use crate::data::{Columns, Source, Splits};
use crate::error::{Error, Result};
use crate::generation::CodeDecoder;
use crate::models::{Capability, Family, Generate, Model, Setting, Visit};
use crate::recipe::{Layers, RunConfig};
use crate::space::Rows;
use crate::tensors::values_of;
use crate::training::{Quiet, Stop, Trainer};

/// The recipes of priors that come with the program.
pub const RECIPES: [&str; 2] = ["two-stage", "maf"];

/// The recipe of a prior over codes that are symbols.
pub const SYMBOL_RECIPE: &str = "autoregressive";

/// Codes in one pass that keeps no gradients.
const CHUNK: usize = 2048;

/// The configuration of a prior over codes of `latent` numbers: a recipe with settings `KEY=VALUE` on top. A key that begins with `prior.` or the
/// recipe's name is one of the prior's own, by its last part alone where that is enough: `prior.hidden`, `maf.epochs`, `prior.optimizer.lr`. Where
/// nothing is said of the size of its own code, it is that of the codes.
///
/// # Errors
/// [`Error::Config`] naming the key.
///
/// ```
/// use elbo::priors::prior_config;
/// use elbo::recipe::Layers;
///
/// let config = prior_config(Layers::from_recipe("two-stage")?, 20, 7, &["prior.hidden=[256, 256]".to_owned()])?;
/// assert_eq!((config.model.likelihood_keys().unwrap().latent, config.training.seed), (20, 7));
/// assert!(config.to_toml().contains("hidden = [256, 256]"));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn prior_config(mut recipe: Layers, latent: usize, seed: u64, settings: &[String]) -> Result<RunConfig> {
    let number = |key: &str, value: u64| {
        let help = "choose a smaller number";
        i64::try_from(value)
            .map_err(|_| Error::config(key, format!("a number up to {}", i64::MAX), value.to_string(), help))
    };
    recipe.put("training.seed", number("training.seed", seed)?.into())?;
    for setting in settings {
        recipe.set_of_prior(setting)?;
    }
    recipe.put_where_missing("model.latent", number("model.latent", latent as u64)?.into())?;
    recipe.build()
}

/// A trained model over standardised codes, with their scale.
#[derive(Debug)]
pub struct NetworkPrior {
    name: String,
    model: Box<dyn Model>,
    standardised: Standardised,
    device: Device,
}

impl NetworkPrior {
    /// A model that was trained on the rows of a [`CodeSource`] with these columns.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it neither generates nor decodes draws of a prior of its own.
    pub fn new(name: impl Into<String>, model: Box<dyn Model>, columns: &Columns, device: &Device) -> Result<Self> {
        if model.generator().is_none() {
            model.prior_or_refuse().map_err(|_| model.refusal(Capability::Generate))?;
            CodeDecoder::of(model.as_ref(), device)?;
        }
        Ok(Self { name: name.into(), model, standardised: Standardised::of(columns), device: device.clone() })
    }

    /// Trains the recipe of this name on codes, in memory.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    ///
    /// # Errors
    /// [`Error::Config`] for a name without a recipe, and as [`Trainer::run`].
    pub(super) fn fit(name: &str, codes: &[f32], latent: usize, seed: u64, device: &Device) -> Result<Self> {
        Self::fit_config(&prior_config(Layers::from_builtin(name)?, latent, seed, &[])?, codes, latent, device)
    }

    /// Trains a configuration on codes, in memory: the weights that a run of it would use.
    pub(super) fn fit_config(config: &RunConfig, codes: &[f32], latent: usize, device: &Device) -> Result<Self> {
        let source = CodeSource::of(codes, latent);
        let columns = source.columns().cloned().unwrap_or_else(|| unreachable!("a source of codes has columns"));
        let splits = source.split(&config.data, config.training.seed)?;
        let config = config.clone().resolved(splits.train.len());
        let device = device.clone().without_autodiff();
        let model = config.model.with(Fit { config: &config, splits: &splits, device: &device })?;
        Self::new(config.name.clone(), model, &columns, &device)
    }

    /// The name of its run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The model, over standardised codes.
    pub fn model(&self) -> &dyn Model {
        self.model.as_ref()
    }

    /// Draws codes. `[count, latent]`.
    pub(super) fn sample(&self, draw: &Draw) -> Vec<f32> {
        let rows = match self.model.generator() {
            Some(generator) => generated(generator, draw),
            None => self.decoded(draw),
        };
        self.standardised.back(&rows)
    }

    /// Decodes draws of the model's own prior, with the noise of p(z|u) where it has a scale.
    fn decoded(&self, draw: &Draw) -> Vec<f32> {
        let prior = self.model.prior_or_refuse().expect("it was looked for when this was made");
        let decoder = CodeDecoder::of(self.model.as_ref(), &self.device).expect("it was looked for when this was made");
        let means = decoder.means(&generated(prior, draw));
        let noise = draw.normals(self.standardised.shift.len(), 1);
        let scale = self.model.observe_or_refuse().ok().and_then(|observe| observe.scale()).unwrap_or(0.0) as f32;
        means.into_iter().zip(noise).map(|(mean, e)| mean + scale * e).collect()
    }

    /// `ln p(z)` of each code, in nats; none where the model gives no density.
    ///
    /// # Shapes
    /// - `codes`: `[n, latent]`
    /// - returns: `[n]`
    pub fn log_prob(&self, codes: &[f32]) -> Option<Vec<f32>> {
        let (density, latent) = (self.model.density()?, self.standardised.shift.len());
        let log_scale = self.standardised.log_scale() as f32;
        let rows = self.standardised.forward(codes);
        let chunks = rows.chunks(CHUNK * latent).flat_map(|rows| {
            let rows = TensorData::new(rows.to_vec(), [rows.len() / latent, latent]);
            let rows = Rows::Real(Tensor::from_data(rows, &self.device));
            values_of(density.log_prob(&[rows], &Default::default()))
        });
        Some(chunks.map(|value| value - log_scale).collect())
    }
}

fn generated(generator: &dyn Generate, draw: &Draw) -> Vec<f32> {
    let rows = generator.generate(&draw.ask()).expect("count, temperature, truncation and seed may be asked of all");
    values_of(rows[0].real())
}

/// Trains a model in memory.
struct Fit<'a> {
    config: &'a RunConfig,
    splits: &'a Splits,
    device: &'a Device,
}

impl Visit for Fit<'_> {
    type Output = Result<Box<dyn Model>>;

    fn visit<F: Family>(self, family: &F) -> Self::Output {
        let Self { config, splits, device } = self;
        let setting: Setting<'_> = config.setting(splits.train.source().space(), 0);
        config.model.check_setting(&setting)?;
        let model = family.init(&setting, config.training.seed, &device.clone().autodiff())?;
        let mut trainer = Trainer::new(model, splits, config.optimizer.clone(), device);
        trainer.config = config.training.clone();
        trainer.schedule = config.schedule;
        trainer.early_stopping = config.early_stopping.clone();
        trainer.keeps_best = config.preferred_checkpoint() == "best";
        trainer.run(&mut Quiet, &Stop::new())?;
        Ok(Box::new(trainer.into_model()))
    }
}

#[cfg(test)]
mod tests;

//! Samples of a saved run, asked for in one line.

use super::run::Run;
use super::samplers::{FitRequest, FitSettings};
use crate::data::batch::Given;
use crate::error::{Error, Result};
use crate::generation::{self, Pictures, ShowAs};
use crate::models::Ask;
use crate::priors::{Draw, SYMBOL_RECIPE, SamplerKind};
use crate::training::{Quiet, Stop};

/// What is to be sampled; begins at [`Run::sample`], ends in [`SampleRequest::draw`].
///
/// ```
/// # use elbo::tasks::TrainingRun;
/// # use elbo::recipe::Layers;
/// # use elbo::training::{Quiet, Stop};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut layers = Layers::from_recipe("digits")?;
/// # for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]", "model.latent=2"] {
/// #     layers.set(setting)?;
/// # }
/// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
/// # let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// # training.train(&mut Quiet, &Stop::new())?;
/// let run = elbo::Run::load(&path)?; // a folder that `elbo train` made
/// let rows = run.sample(64).prior("mixture").temperature(0.8).seed(1).draw()?;
/// assert_eq!(rows.len(), 64);
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SampleRequest<'a> {
    run: &'a Run,
    prior: String,
    class: Option<String>,
    draw: Draw,
    observed: bool,
}

impl Run {
    /// Asks for `count` samples: means of p(x|z) for codes from N(0, I), with seed 0, until the request says otherwise.
    pub fn sample(&self, count: usize) -> SampleRequest<'_> {
        let draw = Draw { count, ..Draw::default() };
        SampleRequest { run: self, prior: "normal".into(), class: None, draw, observed: false }
    }
}

impl SampleRequest<'_> {
    /// Where codes come from: `normal`, `gaussian`, `mixture`, or a prior that is trained on the run's codes, such as `maf`. What is not there yet
    /// is fitted first.
    #[must_use]
    pub fn prior(mut self, name: &str) -> Self {
        self.prior = name.into();
        self
    }

    /// The class to draw, by its name in the data; without it a conditional model draws all classes in turn.
    #[must_use]
    pub fn class(mut self, name: &str) -> Self {
        self.class = Some(name.into());
        self
    }

    /// Scale of the deviations of the codes.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.draw.temperature = temperature;
        self
    }

    /// Draws normal numbers beyond so many deviations again.
    #[must_use]
    pub fn truncation(mut self, deviations: f64) -> Self {
        self.draw.truncation = Some(deviations);
        self
    }

    /// The seed of the codes.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.draw.seed = seed;
        self
    }

    /// Draws from p(x|z) in place of its mean.
    #[must_use]
    pub fn observed(mut self) -> Self {
        self.observed = true;
        self
    }

    /// Draws the samples.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown prior or class, [`Error::Unsupported`] for a run that does not decode codes, and those of a fit.
    ///
    /// # Panics
    /// If the truncation is not positive.
    pub fn draw(self) -> Result<Pictures> {
        if self.run.symbol_space().is_some() {
            return self.draw_symbols();
        }
        let Self { run, prior, class, draw, observed } = self;
        let (decoder, names) = (run.decoder("sample")?, &run.info.data.classes);
        let kind = run.sampler_kind(&prior)?;
        let settings = FitSettings { codes: None, seed: run.config.training.seed };
        let place = class.as_ref().map(|class| {
            names.iter().position(|name| name == class).filter(|_| decoder.is_conditional()).ok_or_else(|| {
                let help = "only a conditional model takes a class, by its name in the data";
                Error::config("class", format!("one of {}", names.join(", ")), format!("`{class}`"), help)
            })
        });
        let place = place.transpose()?.map(|place| place as u32);
        let codes = run.sampler(&kind, settings)?.0.sampler.sample_as(&draw, place.as_slice());
        let show = if observed { ShowAs::Draw { seed: draw.seed } } else { ShowAs::Mean };
        match place {
            Some(place) => generation::show(&decoder.of_class(place), &codes, show),
            None => generation::show_in_turn(&decoder, &codes, names.len(), show),
        }
    }

    /// The same where codes are symbols: drawn by the prior in the run, which is trained first where there is none.
    fn draw_symbols(self) -> Result<Pictures> {
        let Self { run, prior, class, draw, observed } = self;
        let name = Some(prior.as_str()).filter(|name| *name != "normal");
        let prior = match run.stored_symbol_prior(name)? {
            Some(prior) => prior,
            None => {
                let kind = SamplerKind::prior(name.unwrap_or(SYMBOL_RECIPE));
                let settings = FitSettings { codes: None, seed: run.config.training.seed };
                let request = FitRequest { kind: &kind, settings, set: &[] };
                run.symbol_prior(request, &mut Quiet, &Stop::new())?.expect("nobody asks this training to stop").0
            }
        };
        let mut ask = Ask::new(draw.count, draw.seed).temperature(draw.temperature).truncation(draw.truncation);
        if let Some(class) = class {
            let names = prior.classes();
            let Some(place) = names.iter().position(|name| *name == class) else {
                let help = "the prior is told the classes that the data have";
                return Err(Error::config("class", format!("one of {}", names.join(", ")), format!("`{class}`"), help));
            };
            ask = ask.given(Given::of_class(place as u32, draw.count, &run.device));
        }
        let symbols = generation::draw_symbols(prior.generator(), &ask, &mut |_, _| true)?.unwrap_or_default();
        let show = if observed { ShowAs::Draw { seed: draw.seed } } else { ShowAs::Mean };
        generation::decode_symbols(run.model.as_ref(), &symbols, show, &run.device)
    }
}

//! The report of a run whose codes are symbols, and of a prior over them.

use std::path::Path;

use super::code_pictures::{CodePicture, pictures_of};
use super::measure::{Measure, caution};
use super::plots::example;
use super::recorder::{Png, grid_png};
use super::report::{art, pairs_png, unit, write_report};
use super::run::{Run, held_out};
use super::samplers::SymbolPrior;
use crate::data::batch::Given;
use crate::data::{Splits, Subset};
use crate::error::Result;
use crate::evaluation::{CodeUse, code_use, mean, stderr};
use crate::generation::{self, ShowAs};
use crate::models::Ask;
use crate::report::{ComparedRun, Estimate, Section, Summary};
use crate::run::directory::RunDir;
use crate::run::history::{LOSS, Means};

/// Images reconstructed, and samples drawn where there are no classes.
const SHOWN: usize = 64;
/// Samples of each class.
const OF_CLASS: usize = 8;
/// Classes shown at most.
const CLASSES: usize = 20;

/// Everything the page of such a run is drawn from.
pub(super) struct CodeMaterial<'a> {
    split_name: &'static str,
    split: &'a Subset,
    found: CodeUse,
    prior: Option<SymbolPrior>,
}

impl<'a> CodeMaterial<'a> {
    /// That of a run whose codes are symbols; none of another.
    pub fn where_codes_are_symbols(run: &Run, splits: &'a Splits) -> Result<Option<Self>> {
        if run.symbol_space().is_none() {
            return Ok(None);
        }
        let (split_name, split) = held_out(splits);
        let found = code_use(run.model.as_ref(), split, &run.device)?;
        Ok(Some(Self { split_name, split, found, prior: run.stored_symbol_prior(None)? }))
    }

    /// Means over the held-out split.
    pub fn terms(&self) -> Means {
        let (recon, penalty) = (mean(&self.found.distortion), self.found.penalty);
        Means::of([
            ("recon", recon),
            ("commitment", penalty),
            ("codes_used", self.found.mean_over_levels(CodeUse::used)),
            ("perplexity", self.found.mean_over_levels(CodeUse::perplexity)),
            (LOSS, recon + penalty),
        ])
    }

    pub fn summary(&self, run: &Run) -> Summary {
        let distortion = &self.found.distortion;
        let estimate = |value| Estimate { value, stderr: Some(stderr(distortion)) };
        let recon = mean(distortion);
        Summary {
            split: self.split_name.into(),
            examples: self.found.n(),
            example_name: example(run).into(),
            dimensions: run.shape.numel(),
            dimension_name: if run.columns().is_some() { "columns" } else { "pixels" }.into(),
            recon: estimate(recon),
            kl: None,
            loss: estimate(recon + self.found.penalty),
            elbo: None,
            bits_per_dim: None,
            caution: caution(&run.config, &run.info).map(str::to_owned),
        }
    }

    pub fn sections(&self, run: &Run) -> Result<Vec<Section>> {
        if run.columns().is_some() {
            return Ok(vec![self.use_of_codes(Vec::new())]);
        }
        let mut sections = vec![self.reconstructions(run)?];
        if let Some(prior) = &self.prior {
            sections.insert(0, samples(run, prior, run)?);
        }
        sections.push(self.codebook(run)?);
        Ok(sections)
    }

    /// What a page of several runs shows.
    pub fn compared(&self, run: &Run) -> Result<ComparedRun> {
        let sections = self.sections(run)?;
        let pictures =
            sections.into_iter().filter_map(|section| Some((section.title, section.pictures.into_iter().next()?)));
        Ok(ComparedRun {
            name: run.name(),
            status: run.info.status.clone(),
            model: run.config.describe(run.shape.dims()),
            variational: false,
            unit: unit(run),
            summary: Some(self.summary(run)),
            history: run.state()?.history,
            pictures: pictures.collect(),
            beta: None,
            measure: Measure::of(&run.config, &run.info),
        })
    }

    fn reconstructions(&self, run: &Run) -> Result<Section> {
        let mut chosen =
            generation::random_places(self.split, self.split.len().min(SHOWN / 2), run.config.training.seed);
        chosen.sort_unstable();
        let originals = generation::originals(self.split, &chosen, &run.device);
        let decoded = generation::reconstruct(run.model.as_ref(), self.split, &chosen, &run.device)?;
        let png = saved(run, "reconstructions", pairs_png(&originals, &decoded)?)?;
        Ok(Section {
            title: "Reconstructions".into(),
            explanation: format!(
                "Images of the {} split above, what the decoder makes of their codes below.",
                self.split_name
            ),
            pictures: vec![art(png, "reconstructions")],
        })
    }

    fn codebook(&self, run: &Run) -> Result<Section> {
        let pictures = pictures_of(&self.found, self.split, run)?.into_iter().map(|picture| {
            let CodePicture { name, png, alt, caption } = picture;
            Ok(art(saved(run, &name, png)?, alt).with_caption(caption))
        });
        Ok(self.use_of_codes(pictures.collect::<Result<_>>()?))
    }

    fn use_of_codes(&self, pictures: Vec<crate::report::Picture>) -> Section {
        let levels = self.found.by_level();
        let lines = levels.iter().map(|(name, level)| self.use_of_level(*name, level));
        Section { title: "Codebook".into(), explanation: lines.collect::<Vec<_>>().join(" "), pictures }
    }

    fn use_of_level(&self, name: Option<&str>, found: &CodeUse) -> String {
        let [books, height, width] = found.space.shape;
        let of = name.map_or(String::new(), |name| format!("The {name} level: "));
        format!(
            "{of}{height} x {width} places with {books} code(s) of {} each. Over the {} split {:.0} codes are used, with a \
             perplexity of {:.1}; signal to noise of the quantiser {:.1} dB.",
            found.entries(),
            self.split_name,
            found.used(),
            found.perplexity(),
            found.snr()
        )
    }
}

/// Writes a picture to `plots/` and hands it on.
fn saved(run: &Run, name: &str, png: Png) -> Result<Png> {
    run.dir.write(&format!("plots/{name}.png"), &png.bytes)?;
    Ok(png)
}

/// Samples of a prior, decoded by the run whose codes it models and kept in `keeper`.
fn samples(run: &Run, prior: &SymbolPrior, keeper: &Run) -> Result<Section> {
    let classes = prior.classes().len();
    let shown = classes.min(CLASSES);
    let (count, columns) = if shown == 0 { (SHOWN, 8) } else { (shown * OF_CLASS, OF_CLASS) };
    let mut ask = Ask::new(count, keeper.config.training.seed);
    if shown > 0 {
        let class: Vec<u32> = (0..count).map(|i| (i / OF_CLASS) as u32).collect();
        ask = ask.given(Given::of_classes(&class, &run.device));
    }
    let symbols = generation::draw_symbols(prior.generator(), &ask, &mut |_, _| true)?.unwrap_or_default();
    let pictures = generation::decode_symbols(run.model.as_ref(), &symbols, ShowAs::Mean, &run.device)?;
    let png = saved(keeper, "samples", grid_png(&pictures, columns)?)?;
    let of = match shown {
        0 => String::new(),
        _ => format!(" A row for each class: {}.", prior.classes()[..shown].join(", ")),
    };
    Ok(Section {
        title: format!("Samples of the prior `{}`", prior.name()),
        explanation: format!("Codes drawn from the prior at temperature 1, decoded. Nothing of the data goes in.{of}"),
        pictures: vec![art(png, "samples")],
    })
}

/// The run whose codes a prior models, where these are symbols.
fn parent(run: &Run) -> Result<Option<Run>> {
    let is_prior = run.info.origin.is_some() && run.model.space().symbols().is_some();
    let is_run = |path: &&Path| RunDir::open(*path).is_ok_and(|dir| dir.has_file("run.json").unwrap_or(false));
    let path = run.dir.path().ancestors().nth(2).filter(|_| is_prior).filter(is_run);
    path.map(|path| Run::open(path, None, &run.device)).transpose()
}

/// What the page of a prior over symbols shows; nothing for another run.
pub(super) fn prior_sections(run: &Run) -> Result<Vec<Section>> {
    let Some(parent) = parent(run)?.filter(|parent| parent.columns().is_none()) else { return Ok(Vec::new()) };
    if run.model.generator().is_none() {
        return Ok(Vec::new());
    }
    let prior = SymbolPrior { run: Run::open(run.dir.path(), None, &run.device)? };
    Ok(vec![samples(&parent, &prior, run)?])
}

/// Draws the page of the run whose codes a prior models again, now with samples.
pub(super) fn show_in_parent(run: &Run) -> Result<()> {
    let Some(parent) = parent(run)? else { return Ok(()) };
    let splits = parent.open_data(None)?;
    write_report(&parent, &splits).map(drop)
}

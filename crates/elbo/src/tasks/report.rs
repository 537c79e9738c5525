//! The pictures and the report of a finished run, and the page that compares several.

use super::code_report::{self, CodeMaterial};
use super::measure::{Measure, caution};
use super::plots::{example, save_figure};
use super::recorder::{Png, grid_png};
use super::run::{Run, held_out};
use super::tables;
use crate::data::batch::Batch;
use crate::data::{Splits, Subset};
use crate::error::Result;
use crate::evaluation::{self, Codes, Evaluation};
use crate::generation::{self, Pictures};
use crate::models::Objective;
use crate::report::figures::{self, curve};
use crate::report::image_grid::{self, GridLayout, ImageBatch};
use crate::report::latent_figures as latent;
use crate::report::{ComparedRun, Comparison, Estimate, Figure, NextCommand, Picture, Report, Section, Summary};
use crate::run::directory::DimensionInfo;
use crate::run::history::{LOSS, Means};
use crate::tensors::values_of;
use crate::training::Stop;

/// Images reconstructed, and samples drawn, for the report.
const SHOWN: usize = 64;
/// Codes looked at, at most.
const CODES: usize = 10_000;
/// Latent dimensions traversed, at most: those with the largest KL.
const TRAVERSED: usize = 16;

/// Draws every picture of a run into `plots/` and writes `report.html`; returns the page's path.
///
/// # Errors
/// [`crate::Error::Io`] if something cannot be written, [`crate::Error::Model`] if the run has no checkpoint.
///
/// ```
/// # use elbo::tasks::{TrainingRun, Run};
/// # use elbo::recipe::Layers;
/// # use elbo::training::{Quiet, Stop};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut layers = Layers::from_recipe("digits")?;
/// # for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]"] {
/// #     layers.set(setting)?;
/// # }
/// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
/// # let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// # training.train(&mut Quiet, &Stop::new())?;
/// use elbo::tasks;
///
/// let run = Run::open(&path, None, &device)?;
/// let page = tasks::write_report(&run, &run.open_data(None)?)?;
/// assert!(page.ends_with("report.html"));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn write_report(run: &Run, splits: &Splits) -> Result<std::path::PathBuf> {
    run.dir.check_plain()?;
    let codes = CodeMaterial::where_codes_are_symbols(run, splits)?;
    draw_report(run, Material::where_it_encodes(run, splits, &Stop::new())?.as_ref(), codes.as_ref())
}

/// [`write_report`] from what was gathered before. A run that does not encode has its curves and facts.
pub(super) fn draw_report(
    run: &Run,
    material: Option<&Material<'_>>,
    codes: Option<&CodeMaterial<'_>>,
) -> Result<std::path::PathBuf> {
    let history = run.state()?.history;
    let page = Report {
        title: run.name(),
        status: run.info.status.clone(),
        model: run.config.describe(run.shape.dims()),
        facts: facts(run),
        variational: run.model.bound().is_some(),
        unit: unit(run),
        summary: material.map(Material::summary).or(codes.map(|codes| codes.summary(run))),
        config_toml: run.config.to_toml(),
        sections: match (material, codes) {
            (Some(material), _) => material.sections(run)?,
            (None, Some(codes)) => codes.sections(run)?,
            (None, None) => code_report::prior_sections(run)?,
        },
        commands: commands(run),
        history,
    };
    for term in figures::terms(&page.history) {
        save_figure(run, term, &curve(&page.history, term, &page.unit))?;
    }
    run.dir.write("report.html", page.html())?;
    Ok(run.dir.join("report.html"))
}

/// Runs side by side, as numbers and as a page.
///
/// # Errors
/// As [`write_report`].
///
/// ```
/// # use elbo::tasks::{TrainingRun, Run};
/// # use elbo::recipe::Layers;
/// # use elbo::training::{Quiet, Stop};
/// # let folder = tempfile::tempdir().unwrap();
/// # let mut layers = Layers::from_recipe("digits")?;
/// # for setting in ["data.count=200", "training.epochs=1", "network.hidden=[32]"] {
/// #     layers.set(setting)?;
/// # }
/// # let (path, device) = (folder.path().join("digits-001"), elbo::device::choose("cpu")?);
/// # let training = TrainingRun::create(layers.build()?, &path, &device, "cpu", &mut |_| {})?;
/// # training.train(&mut Quiet, &Stop::new())?;
/// use elbo::tasks;
///
/// let runs = [&path, &path].map(|path| -> elbo::Result<_> {
///     let run = Run::open(path, None, &device)?;
///     let data = run.open_data(None)?;
///     Ok((run, data))
/// });
/// let page = tasks::compare(&runs.into_iter().collect::<elbo::Result<Vec<_>>>()?)?;
/// assert!(page.html().contains("digits-001"));
/// # Ok::<(), elbo::Error>(())
/// ```
pub fn compare(runs: &[(Run, Splits)]) -> Result<Comparison> {
    let compared = runs.iter().map(|(run, splits)| compared_run(run, splits)).collect::<Result<_>>()?;
    Ok(Comparison { title: "Comparison".into(), runs: compared, trends: Vec::new() })
}

fn compared_run(run: &Run, splits: &Splits) -> Result<ComparedRun> {
    if let Some(codes) = CodeMaterial::where_codes_are_symbols(run, splits)? {
        return codes.compared(run);
    }
    let never = Stop::new();
    let material = Material::gather(run, splits, &never)?;
    let mut pictures = match run.columns() {
        Some(columns) => tables::Rows::gather(run, material.split, columns)?.compared(),
        None => vec![
            ("Reconstructions".to_owned(), art(material.reconstructions(run)?, "originals above reconstructions")),
            ("Samples from N(0, I)".to_owned(), art(material.samples(run)?, "samples")),
        ],
    };
    if run.latent() == 2 {
        pictures.push(("Latent space".to_owned(), Picture::rendering(&material.scatter(), "codes coloured by class")));
    }
    Ok(ComparedRun {
        name: run.name(),
        status: run.info.status.clone(),
        model: run.config.describe(run.shape.dims()),
        variational: material.variational(),
        unit: unit(run),
        summary: Some(material.summary()),
        history: run.state()?.history,
        pictures,
        beta: beta(run),
        measure: Measure::of(&run.config, &run.info),
    })
}

/// The weight of the KL term, where the objective is `recon + beta * kl`.
fn beta(run: &Run) -> Option<f64> {
    let bound = run.model.bound()?;
    let Objective { beta, free_bits, capacity } = bound.objective().target();
    (!bound.has_own_objective() && free_bits == 0.0 && capacity.is_none()).then_some(beta)
}

/// Examples whose log-density is taken at once.
const TOGETHER: usize = 2048;

/// The means that a run without reconstructions has on its held-out split: the negative log-likelihood of a density.
///
/// # Errors
/// [`crate::Error::Interrupted`] once somebody asks to stop.
pub(super) fn density_terms(run: &Run, splits: &Splits, stop: &Stop) -> Result<Option<Means>> {
    let Some(density) = run.model.density() else { return Ok(None) };
    let split = held_out(splits).1;
    let places: Vec<u32> = (0..split.len() as u32).collect();
    let mut sum = 0.0;
    for chosen in places.chunks(TOGETHER) {
        stop.check()?;
        let batch = Batch::of_split(split, chosen, run.model.needs(), &run.device);
        let log_prob = values_of(density.log_prob(&[batch.x], &batch.given));
        sum += log_prob.into_iter().map(f64::from).sum::<f64>();
    }
    Ok(Some(Means::of([(LOSS, -sum / split.len().max(1) as f64)])))
}

/// Everything the pages are drawn from.
pub(super) struct Material<'a> {
    split_name: &'static str,
    split: &'a Subset,
    evaluation: Evaluation,
    codes: Codes,
    variational: bool,
    dimensions: usize,
    caution: Option<&'static str>,
    /// What one example and its dimensions are called.
    names: (&'static str, &'static str),
    /// Asked before each part.
    stop: &'a Stop,
}

impl<'a> Material<'a> {
    /// The material of a run that encodes and decodes; none for another, such as a density.
    ///
    /// # Errors
    /// [`crate::Error::Interrupted`] once somebody asks to stop.
    pub(super) fn where_it_encodes(run: &Run, splits: &'a Splits, stop: &'a Stop) -> Result<Option<Self>> {
        let model = run.model.as_ref();
        let encodes = model.encode_vectors_or_refuse().is_ok() && model.decoder().is_some();
        encodes.then(|| Self::gather(run, splits, stop)).transpose()
    }

    pub(super) fn gather(run: &Run, splits: &'a Splits, stop: &'a Stop) -> Result<Self> {
        let (split_name, split) = held_out(splits);
        let seed = run.config.training.seed;
        let model = run.model.as_ref();
        Ok(Self {
            split_name,
            split,
            evaluation: run
                .explained("report", evaluation::evaluate_while(model, split, seed, &run.device, &|| stop.check()))?,
            codes: run.explained(
                "report",
                evaluation::encode_while(model, &split.sampled(CODES, seed), &run.device, &|| stop.check()),
            )?,
            stop,
            variational: run.model.bound().is_some(),
            dimensions: run.shape.numel(),
            caution: caution(&run.config, &run.info),
            names: (example(run), if run.columns().is_some() { "columns" } else { "pixels" }),
        })
    }

    /// Means over the held-out split.
    pub(super) fn terms(&self) -> Means {
        self.evaluation.terms()
    }

    /// What each dimension of the code carries.
    pub(super) fn dimensions(&self) -> Vec<DimensionInfo> {
        let moments = self.codes.centre().into_iter().zip(self.codes.spread());
        let kl = |dim: usize| self.evaluation.kl_per_dim.get(dim).copied().filter(|_| self.variational);
        moments.enumerate().map(|(dim, (mean, std))| DimensionInfo { kl: kl(dim), mean, std }).collect()
    }

    fn variational(&self) -> bool {
        self.variational
    }

    fn summary(&self) -> Summary {
        let metrics = self.evaluation.metrics();
        let estimate = |name: &str| {
            let found = metrics.iter().find(|(n, _)| *n == name);
            found.map(|(_, metric)| Estimate { value: metric.value, stderr: metric.stderr })
        };
        let terms = self.evaluation.terms();
        Summary {
            split: self.split_name.into(),
            examples: self.evaluation.n(),
            example_name: self.names.0.into(),
            dimensions: self.dimensions,
            dimension_name: self.names.1.into(),
            recon: estimate("recon").unwrap_or(terms.get("recon").unwrap_or(f64::NAN).into()),
            kl: estimate("kl").filter(|_| self.variational()),
            loss: estimate("loss").unwrap_or(terms.loss().into()),
            elbo: estimate("elbo").filter(|_| self.variational()),
            bits_per_dim: estimate("bits_per_dim").filter(|_| self.variational()),
            caution: self.caution.map(str::to_owned),
        }
    }

    fn sections(&self, run: &Run) -> Result<Vec<Section>> {
        let mut sections = match run.columns() {
            Some(columns) => tables::Rows::gather(run, self.split, columns)?.sections(run, self.split_name)?,
            None => self.image_sections(run)?,
        };
        if run.latent() == 2 {
            sections.extend(self.plane(run)?);
        }
        if run.columns().is_none() {
            sections.push(self.traversal(run)?);
        }
        sections.push(self.histograms(run)?);
        if self.variational() {
            let figure = latent::kl_per_dimension(&self.evaluation.kl_per_dim, &self.codes.active(), "nats");
            save_figure(run, "kl_per_dimension", &figure)?;
            let (active, all) = (self.codes.active_units(), self.codes.latent);
            sections.push(Section {
                title: "KL per dimension".into(),
                explanation: format!(
                    "How many nats each latent dimension carries, on average over the {} split. {active} of {all} are active: \
                     their posterior mean varies over the data by more than {} (variance).",
                    self.split_name,
                    evaluation::ACTIVE_THRESHOLD
                ),
                pictures: vec![Picture::drawing(&figure, "bar chart of KL by latent dimension")],
            });
        }
        Ok(sections)
    }

    fn image_sections(&self, run: &Run) -> Result<Vec<Section>> {
        Ok(vec![
            Section {
                title: "Reconstructions".into(),
                explanation: format!(
                    "Images of the {} split above, what the decoder makes of their codes{} below.",
                    self.split_name,
                    if self.variational() { " (posterior means)" } else { "" }
                ),
                pictures: vec![art(self.saved(run, "reconstructions", self.reconstructions(run)?)?, "reconstructions")],
            },
            Section {
                title: "Samples from N(0, I)".into(),
                explanation: match self.variational {
                    true => "Codes drawn from the prior, decoded. Nothing of the data goes in.".into(),
                    false => "Codes drawn from N(0, I), decoded. Nothing taught this autoencoder that codes lie \
                              there: expect few good images, and compare with a VAE."
                        .into(),
                },
                pictures: vec![art(self.saved(run, "samples", self.samples(run)?)?, "samples")],
            },
        ])
    }

    fn reconstructions(&self, run: &Run) -> Result<Png> {
        let count = self.split.len().min(SHOWN / 2);
        let mut chosen = generation::random_places(self.split, count, run.config.training.seed);
        chosen.sort_unstable();
        let originals = generation::originals(self.split, &chosen, &run.device);
        let decoded = generation::reconstruct(run.model.as_ref(), self.split, &chosen, &run.device)?;
        pairs_png(&originals, &decoded)
    }

    fn samples(&self, run: &Run) -> Result<Png> {
        let seed = run.config.training.seed;
        let decoder = run.decoder("report")?;
        grid_png(&generation::sample_in_turn(&decoder, SHOWN, run.info.data.classes.len(), seed), 8)
    }

    /// Scatter and manifolds of a two-dimensional code.
    fn plane(&self, run: &Run) -> Result<Vec<Section>> {
        let scatter = self.scatter();
        save_figure(run, "latent", &scatter)?;
        let plane = Section {
            title: "Latent space".into(),
            explanation: format!("Where the encoder puts the {}s of the {} split.", example(run), self.split_name),
            pictures: vec![Picture::rendering(&scatter, "codes coloured by class")],
        };
        if run.columns().is_some() {
            return Ok(vec![plane]);
        }
        let (centre, reach) = match self.variational {
            true => ([0.0; 2], [2.0; 2]),
            // An autoencoder's codes lie where they like: two standard deviations around their mean reach most of them.
            false => {
                let (centre, spread) = (self.codes.centre(), self.codes.spread());
                ([0, 1].map(|d| centre[d] as f32), [0, 1].map(|d| 2.0 * spread[d] as f32))
            }
        };
        let decoder = run.decoder("report")?;
        let linear = generation::manifold_around(&decoder, centre, reach, 20);
        let range = |d: usize| format!("{:.1} to {:.1}", centre[d] - reach[d], centre[d] + reach[d]);
        let caption = format!("Linear grid, 20 x 20: z0 from {} to the right, z1 from {} upwards.", range(0), range(1));
        let mut pictures = vec![
            art(self.saved(run, "manifold", grid_png(&linear, 20)?)?, "decoded codes on a linear grid")
                .with_caption(caption),
        ];
        if self.variational() {
            let quantiles = generation::manifold_quantiles(&decoder, 0.05, 15);
            pictures.push(
                art(
                    self.saved(run, "manifold_quantiles", grid_png(&quantiles, 15)?)?,
                    "decoded codes at normal quantiles",
                )
                .with_caption("Normal quantiles, 15 x 15, from 0.05 to 0.95: equal steps of probability."),
            );
        }
        Ok(vec![
            plane,
            Section {
                title: "Manifold".into(),
                explanation: "What the decoder makes of each place of the plane.".into(),
                pictures,
            },
        ])
    }

    fn scatter(&self) -> Figure {
        let points: Vec<[f32; 2]> = self.codes.mean.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
        let labels: Vec<usize> = self.codes.labels.iter().flatten().map(|&l| l as usize).collect();
        latent::scatter(&points, &labels, self.split.source().label_names())
    }

    fn traversal(&self, run: &Run) -> Result<Section> {
        let dims = self.by_importance();
        let centre: Vec<f32> = match self.variational {
            true => vec![0.0; self.codes.latent],
            false => self.codes.centre().into_iter().map(|v| v as f32).collect(),
        };
        let reach: Vec<f32> = match self.variational {
            true => vec![3.0; self.codes.latent],
            false => self.codes.spread().into_iter().map(|v| 2.0 * v as f32).collect(),
        };
        let pictures = generation::traverse(&run.decoder("report")?, &centre, &reach, &dims, 11);
        let order = dims.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let explanation = match self.variational {
            true => "One latent dimension a row, from -3 to 3, all others at 0; largest KL first.",
            false => "One dimension of the code a row, two standard deviations either way around the mean code.",
        };
        Ok(Section {
            title: "Traversal".into(),
            explanation: explanation.into(),
            pictures: vec![
                art(self.saved(run, "traversal", grid_png(&pictures, 11)?)?, "latent traversals")
                    .with_caption(format!("Dimensions from top to bottom: {order}.")),
            ],
        })
    }

    /// Latent dimensions, the most informative first.
    fn by_importance(&self) -> Vec<usize> {
        let weight = if self.variational() { self.evaluation.kl_per_dim.clone() } else { self.codes.spread() };
        let mut dims: Vec<usize> = (0..self.codes.latent).collect();
        dims.sort_by(|&a, &b| weight[b].total_cmp(&weight[a]).then(a.cmp(&b)));
        dims.truncate(TRAVERSED);
        dims
    }

    fn histograms(&self, run: &Run) -> Result<Section> {
        let Some(log_var) = &self.codes.log_var else {
            let figure = latent::code_histogram(&self.codes.mean);
            save_figure(run, "codes", &figure)?;
            return Ok(Section {
                title: "The codes".into(),
                explanation: "All values of all codes. Nothing pulls them towards N(0, 1).".into(),
                pictures: vec![Picture::drawing(&figure, "histogram of the codes")],
            });
        };
        let (means, sigmas) = (latent::mean_histogram(&self.codes.mean), latent::sigma_histogram(log_var));
        save_figure(run, "means", &means)?;
        save_figure(run, "sigmas", &sigmas)?;
        Ok(Section {
            title: "What the encoder says".into(),
            explanation: "Posterior means and standard deviations over all dimensions and images. A dimension that carries nothing has mean 0 and \
                          sigma 1; one that carries much has means spread like N(0, 1) and small sigmas."
                .into(),
            pictures: vec![
                Picture::drawing(&means, "histogram of encoder means against N(0, 1)"),
                Picture::drawing(&sigmas, "histogram of encoder sigmas"),
            ],
        })
    }

    /// Writes a picture to `plots/` and hands it on.
    fn saved(&self, run: &Run, name: &str, png: Png) -> Result<Png> {
        self.stop.check()?;
        run.dir.write(&format!("plots/{name}.png"), &png.bytes)?;
        Ok(png)
    }
}

pub(super) fn pairs_png(originals: &Pictures, decoded: &Pictures) -> Result<Png> {
    let crate::data::ImageShape { channels, height, width } = originals.shape;
    let batch = |p| ImageBatch::new(p, channels, height, width);
    let layout = GridLayout { columns: 16, ..Default::default() };
    let grid = image_grid::side_by_side(batch(&originals.pixels)?, batch(&decoded.pixels)?, layout)?;
    Ok(Png { width: grid.width(), height: grid.height(), bytes: image_grid::png(&grid)? })
}

pub(super) fn art(png: Png, alt: &str) -> Picture {
    Picture::pixels(png.bytes, alt)
}

pub(super) fn unit(run: &Run) -> String {
    let unit = run.model.observe_or_refuse().map_or("nats per example", |observe| observe.likelihood().unit());
    unit.replace("example", example(run))
}

fn facts(run: &Run) -> Vec<(String, String)> {
    let info = &run.info;
    let data = &info.data;
    let validation = match data.validation_is_test {
        true => "validation on the test split".into(),
        false => format!("{} for validation", data.validation),
    };
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let classes = &run.config.data.labels;
    let mut facts = vec![
        fact(
            "data",
            format!("{}: {} {}s to train on, {validation}, {} to test", data.name, data.train, example(run), data.test),
        ),
        fact("epochs", info.epochs.to_string()),
        fact(
            "time",
            format!("{:.0} s, {:.0} {}s/s on {} threads", info.seconds, info.images_per_s, example(run), info.threads),
        ),
        fact("device", info.device.clone()),
        fact("seed", run.config.training.seed.to_string()),
        fact("weights", format!("checkpoint {}", run.checkpoint)),
    ];
    if !data.notes.is_empty() {
        facts.insert(1, fact("how they were read", data.notes.join("; ")));
    }
    if !classes.is_empty() {
        facts.insert(1, fact("classes", format!("{} only, in every part", classes.join(", "))));
    }
    facts
}

fn commands(run: &Run) -> Vec<NextCommand> {
    let path = run.dir.quoted();
    let command = |command: String, purpose: &str| NextCommand { command, purpose: purpose.into() };
    let (end, noun) = (if run.columns().is_some() { "csv" } else { "png" }, example(run));
    let (encodes, decodes) = (run.model.encoder().is_some(), run.model.decoder().is_some());
    let split = match (run.info.data.test, run.info.data.validation) {
        (0, 0) => " --split train",
        (0, _) => " --split validation",
        _ => "",
    };
    let mut commands = Vec::new();
    if decodes || run.model.generator().is_some() {
        // Codes of an autoencoder lie where they like.
        let codes = encodes && run.model.bound().is_none();
        let sampler = if codes { " --sampler gaussian" } else { "" };
        commands.push(command(format!("elbo sample {path}{sampler} --out samples.{end}"), &format!("new {noun}s")));
    }
    if encodes && decodes {
        commands.push(command(
            format!("elbo interpolate {path}{split} --out walk.{end}"),
            &format!("a walk between two {noun}s"),
        ));
    }
    if encodes {
        commands.push(command(format!("elbo encode {path}{split} --out codes.npy"), "codes for your own work"));
    }
    commands.push(command(format!("elbo resume {path} --epochs {}", 2 * run.config.training.epochs), "train on"));
    commands
}

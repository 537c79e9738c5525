//! `elbo compare`: several runs on one page, numbers above curves above pictures.
//!
//! Runs keep one order and one colour throughout the page. Where their ELBOs compare ([`comparable`]: the same examples, likelihood
//! and measure, and a KL term), the highest is set in bold; else there is no ELBO column and no plane, and the page says why.
//!
//! ```
//! use elbo::report::{ComparedRun, Comparison};
//!
//! let run = |name: &str| ComparedRun { name: name.into(), variational: true, ..Default::default() };
//! let page = Comparison { title: "beta".into(), runs: vec![run("beta 1"), run("beta 4")], ..Default::default() }.html();
//! assert!(page.contains("beta 4"));
//! ```

use std::fmt::Write as _;

use super::figures::{Figure, NamedHistory, heading, overlay};
use super::html::{Estimate, Summary, status_badge};
use super::measure::{Measure, comparable};
use super::page::{Block, Picture, escape, number, page};
use super::rate_distortion::{Operating, rate_distortion};
use super::style::{Ink, Theme};
use super::trends::Trend;
use crate::run::history::EpochRecord;

/// Runs with curves and pictures of their own: more stand in the table and in the trends.
const DRAWN: usize = 8;

/// Several runs to lay beside each other.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    /// The heading of the page.
    pub title: String,
    /// The runs, in the order of their columns.
    pub runs: Vec<ComparedRun>,
    /// Metrics against a setting in which the runs differ.
    pub trends: Vec<Trend>,
}

/// One run of a comparison.
#[derive(Debug, Clone, Default)]
pub struct ComparedRun {
    /// What distinguishes the run: its name, or `beta 4`.
    pub name: String,
    /// How the run ended.
    pub status: String,
    /// The model in a few words.
    pub model: String,
    /// Whether there is a KL term.
    pub variational: bool,
    /// Unit of its loss terms.
    pub unit: String,
    /// Numbers on held-out data.
    pub summary: Option<Summary>,
    /// The records of all epochs, in order.
    pub history: Vec<EpochRecord>,
    /// The weight of the KL term, where that is all there is to the objective.
    pub beta: Option<f64>,
    /// What its ELBO is measured on and with.
    pub measure: Measure,
    /// Pictures with a heading each; runs that share a heading stand side by side under it.
    pub pictures: Vec<(String, Picture)>,
}

impl Comparison {
    /// The page. Equal comparisons give equal text.
    pub fn html(&self) -> String {
        let mut blocks: Vec<Block> = Vec::new();
        if !self.trends.is_empty() {
            let trends: String = self.trends.iter().map(Trend::html).collect();
            blocks.push(Block::new(&format!("By {}", self.trends[0].by), trends));
        }
        blocks.extend([Block::new("Numbers", self.table()), Block::new("Curves", self.curves())]);
        blocks.extend(self.plane().map(|figure| Block::new("Rate and distortion", operating(&figure))));
        blocks.extend(self.picture_headings().into_iter().map(|heading| Block::new(heading, self.pictures(heading))));
        let names: Vec<_> = self.runs.iter().map(|run| escape(&run.name)).collect();
        let header = format!(
            "<p class=\"brand\">elbo</p><h1>{}</h1><p class=\"model\">{} runs: {}</p>",
            escape(&self.title),
            self.runs.len(),
            names.join(", ")
        );
        page(&format!("{} · elbo", self.title), &header, &blocks)
    }

    fn table(&self) -> String {
        let best = self.best_elbo();
        let rows: String =
            self.runs.iter().enumerate().map(|(index, run)| run.row(index, best, self.comparable().is_ok())).collect();
        let shared = self.shared_unit();
        let note = match shared {
            Some(unit) => format!("All in {unit}, on held-out data."),
            None => "The units differ, so the loss terms of these runs do not compare across rows.".into(),
        };
        let mut notes = vec![note];
        notes.extend(self.comparable().err());
        let mut cautions: Vec<&String> =
            self.runs.iter().filter_map(|run| run.summary.as_ref()?.caution.as_ref()).collect();
        cautions.dedup();
        notes.extend(cautions.into_iter().cloned());
        let note = notes.join(" ");
        format!(
            "<div class=\"scroll\"><table class=\"runs\"><thead><tr><th>run</th><th>ELBO</th><th>recon</th>\
             <th>KL</th><th>loss</th><th>bits/dim</th><th>examples</th><th>epochs</th><th>unit</th></tr></thead>\
             <tbody>{rows}</tbody></table></div><p class=\"quiet\">{} Loss is recon + beta · KL and depends on each \
             run's beta; ELBO is −(recon + KL) whatever beta is, higher is better.</p>",
            escape(&note)
        )
    }

    fn curves(&self) -> String {
        let unit = self.shared_unit().unwrap_or("each run's own unit");
        let mut pictures = String::new();
        for term in ["recon", "kl", "loss"] {
            let runs: Vec<_> = self.histories(term).collect();
            if !runs.is_empty() {
                let alt = format!("{} of {} runs over the epochs", heading(term), runs.len());
                pictures += &Picture::drawing(&overlay(&runs, term, unit), alt).html();
            }
        }
        let which = if self.runs.len() > DRAWN { format!(" The first {DRAWN} runs.") } else { String::new() };
        format!(
            "<div class=\"row\">{pictures}</div><p class=\"quiet\">Validation, measured after each epoch.{which}</p>"
        )
    }

    /// The runs that have this term, each with the colour of its place on the page.
    fn histories(&self, term: &str) -> impl Iterator<Item = NamedHistory<'_>> {
        let runs = self.runs.iter().enumerate().take(DRAWN).filter(move |(_, run)| term != "kl" || run.variational);
        runs.map(|(colour, run)| NamedHistory { name: &run.name, history: &run.history, colour })
    }

    /// Where each run with a KL term works, where their distortions share a unit.
    pub fn plane(&self) -> Option<Figure> {
        let runs = self.runs.iter().enumerate().filter(|(_, run)| run.variational);
        let points: Vec<Operating> = runs.filter_map(|(colour, run)| run.operating(colour)).collect();
        let measures: Vec<Measure> =
            self.runs.iter().filter(|run| run.variational).map(|run| run.measure.clone()).collect();
        comparable(&measures).ok()?;
        // One point alone compares with nothing; in company of runs without an ELBO it would seem to.
        let alone = points.len() == 1 && self.runs.len() > 1;
        let unit = self.shared_unit().filter(|_| !points.is_empty() && !alone)?;
        Some(rate_distortion(&points, unit))
    }

    fn pictures(&self, heading: &str) -> String {
        let mut columns = String::new();
        for (index, run) in self.runs.iter().enumerate().take(DRAWN) {
            let pictures: String =
                run.pictures.iter().filter(|(title, _)| title == heading).map(|(_, picture)| picture.html()).collect();
            let body = if pictures.is_empty() { "<p class=\"quiet\">none</p>".into() } else { pictures };
            let _ = write!(columns, "<div class=\"column\"><h3>{}{}</h3>{body}</div>", dot(index), escape(&run.name));
        }
        format!("<div class=\"columns\">{columns}</div>")
    }

    /// Each heading once, in the order of first appearance.
    fn picture_headings(&self) -> Vec<&str> {
        let mut headings: Vec<&str> = Vec::new();
        for (heading, _) in self.runs.iter().take(DRAWN).flat_map(|run| &run.pictures) {
            if !headings.contains(&heading.as_str()) {
                headings.push(heading);
            }
        }
        headings
    }

    fn shared_unit(&self) -> Option<&str> {
        let unit = self.runs.first()?.unit.as_str();
        self.runs.iter().all(|run| run.unit == unit).then_some(unit)
    }

    /// Whether the ELBOs of the runs compare, or why not.
    ///
    /// # Errors
    /// The reason, in a sentence.
    pub fn comparable(&self) -> Result<(), String> {
        let measures: Vec<Measure> = self.runs.iter().map(|run| run.measure.clone()).collect();
        comparable(&measures)
    }

    /// The highest ELBO, where comparing ELBOs means something.
    pub fn best_elbo(&self) -> Option<f64> {
        self.comparable().ok().filter(|()| self.runs.len() > 1)?;
        let elbo =
            |run: &ComparedRun| run.summary.as_ref()?.elbo.map(|elbo| elbo.value).filter(|elbo| elbo.is_finite());
        self.runs.iter().filter_map(elbo).max_by(f64::total_cmp)
    }
}

/// The figure with what it means.
fn operating(figure: &Figure) -> String {
    let picture = Picture::drawing(figure, "rate against distortion of the runs").html();
    format!(
        "<div class=\"row\">{picture}</div><p class=\"quiet\">Rate: what the code costs, KL(q(z|x) || p(z)). Distortion: what the reconstruction still misses. \
         Down and to the left is better; along the dashed line the ELBO is the same. Which point of a family of models is reached is beta's choice: the one where \
         their curve falls by beta (Alemi et al. 2018).</p>"
    )
}

impl ComparedRun {
    /// Its point on the plane of rate and distortion.
    fn operating(&self, colour: usize) -> Option<Operating> {
        let summary = self.summary.as_ref()?;
        let (rate, distortion) = (summary.kl?.value, summary.recon.value);
        Some(Operating { name: self.name.clone(), beta: self.beta, rate, distortion, colour })
    }

    fn row(&self, index: usize, best: Option<f64>, comparable: bool) -> String {
        let summary = self.summary.as_ref();
        let cell = |estimate: Option<Estimate>| match estimate {
            Some(estimate) if best == Some(estimate.value) => {
                format!("<td><b>{}</b>{}</td>", number(estimate.value), estimate.error_html())
            }
            Some(estimate) => format!("<td>{}{}</td>", number(estimate.value), estimate.error_html()),
            None => "<td>–</td>".into(),
        };
        format!(
            "<tr><th>{}{} {}<span class=\"model\">{}</span></th>{}{}{}{}{}<td>{}</td><td>{}</td><td>{}</td></tr>",
            dot(index),
            escape(&self.name),
            self.remark(),
            escape(&self.model),
            cell(summary.and_then(|summary| summary.elbo).filter(|_| comparable)),
            cell(summary.map(|summary| summary.recon)),
            cell(summary.and_then(|summary| summary.kl)),
            cell(summary.map(|summary| summary.loss)),
            cell(summary.and_then(|summary| summary.bits_per_dim)),
            summary.map_or_else(|| "–".into(), |summary| super::page::count(summary.examples)),
            self.history.len(),
            escape(&self.unit),
        )
    }

    /// The status where it is not the expected one: a column of "finished" says nothing and takes room.
    fn remark(&self) -> String {
        if self.status == "finished" { String::new() } else { status_badge(&self.status) }
    }
}

/// The run's colour in the curves, as a dot that follows the theme; browsers before 2024 show the light one in both.
fn dot(index: usize) -> String {
    let [light, dark] = Theme::BOTH.map(|theme| Ink::Series(index).hex(theme));
    format!("<i class=\"dot\" style=\"background:{light};background:light-dark({light},{dark})\"></i>")
}

#[cfg(test)]
mod tests {
    use super::super::page::tests::assert_self_contained;
    use super::*;
    use crate::run::history::Means;

    fn run(name: &str, recon: f64, kl: f64) -> ComparedRun {
        let terms = Means::of([("recon", recon), ("kl", kl), ("loss", recon + kl)]);
        let record = |epoch| EpochRecord {
            beta: Some(1.0),
            validation: Some(terms.clone()),
            ..EpochRecord::new(epoch, epoch, 1e-3, terms.clone())
        };
        ComparedRun {
            name: name.into(),
            status: "finished".into(),
            model: "VAE".into(),
            variational: true,
            unit: "nats per image".into(),
            summary: Some(Summary {
                split: "test".into(),
                examples: 10_000,
                example_name: "image".into(),
                dimensions: 784,
                dimension_name: "pixels".into(),
                recon: recon.into(),
                kl: Some(kl.into()),
                loss: (recon + kl).into(),
                elbo: Some((-recon - kl).into()),
                bits_per_dim: None,
                caution: None,
            }),
            history: (1..=5).map(record).collect(),
            beta: name.strip_prefix("beta ").and_then(|beta| beta.parse().ok()),
            measure: Measure::default(),
            pictures: vec![("Samples".into(), Picture::pixels(Vec::new(), format!("samples of {name}")))],
        }
    }

    fn comparison() -> Comparison {
        let runs = vec![run("beta 0.5", 74.1, 34.2), run("beta 1", 80.0, 25.7), run("beta 4", 111.4, 9.7)];
        Comparison { title: "Three betas".into(), runs, ..Default::default() }
    }

    #[test]
    fn runs_stand_side_by_side_and_the_best_bound_is_bold() {
        let mut comparison = comparison();
        comparison.runs.iter_mut().for_each(|run| run.pictures.clear());
        let html = comparison.html();
        assert_self_contained(&html);
        assert!(html.contains("<b>-105.70</b>") && !html.contains("<b>-108.30</b>"));
        assert!(html.contains("All in nats per image"));
        assert!(html.contains("<h2>Rate and distortion</h2>"));
        assert!(comparison.plane().unwrap().svg(Theme::Light).contains(">beta 0.5<"));
        comparison.runs[0].unit = "squared error per image".into();
        assert!(comparison.plane().is_none(), "distortions of two units have no common axis");
        comparison.runs.iter_mut().for_each(|run| run.variational = false);
        assert!(!comparison.html().contains("Rate and distortion"));
    }

    #[test]
    fn pictures_of_one_heading_share_a_section() {
        let mut comparison = comparison();
        comparison.runs[1].pictures.clear();
        let html = comparison.html();
        assert_eq!(html.matches("<h2>Samples</h2>").count(), 1);
        assert_eq!(html.matches("class=\"column\"").count(), 3);
        assert!(html.contains("samples of beta 4") && html.contains(">none<"));
    }

    #[test]
    fn an_autoencoder_beside_a_vae_names_no_best_bound() {
        let mut comparison = comparison();
        comparison.runs[0].variational = false;
        comparison.runs[0].measure.has_elbo = false;
        assert_eq!(comparison.best_elbo(), None);
        assert!(comparison.html().contains("no ranking"));
        let colours = |term| comparison.histories(term).map(|run| run.colour).collect::<Vec<_>>();
        assert_eq!((colours("kl"), colours("loss")), (vec![1, 2], vec![0, 1, 2]));
        comparison.runs[0].variational = true;
        comparison.runs[0].measure = Measure { data: "other".into(), ..Measure::default() };
        assert_eq!((comparison.best_elbo(), comparison.plane().is_none()), (None, true));
        let html = comparison.html();
        assert!(html.contains("The data of these runs differ") && !html.contains("-108.30"), "no ELBO column");
    }

    #[test]
    fn nothing_and_odd_runs_are_pages() {
        assert_self_contained(&Comparison::default().html());
        let odd = ComparedRun { name: "<script>$x$".into(), ..ComparedRun::default() };
        let html = Comparison { title: "\"<i>".into(), runs: vec![odd.clone(), odd], ..Default::default() }.html();
        assert_self_contained(&html);
        let mut diverged = comparison();
        diverged.runs.iter_mut().for_each(|run| run.pictures.clear());
        diverged.runs[0].summary.iter_mut().for_each(|summary| summary.elbo = Some(f64::NAN.into()));
        assert_self_contained(&diverged.html());
    }
}

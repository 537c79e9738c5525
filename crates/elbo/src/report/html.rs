//! `report.html`: everything one run has to show, in one file.
//!
//! The report is told, not asked: [`Report`] is plain data that somebody else computed, and [`Report::html`] is a pure
//! function of it. It refuses nothing; what is missing (no test numbers, no epoch yet) is left out or said in a word,
//! because a report of a broken run is needed more than one of a good run.
//!
//! ```
//! use elbo::report::{NextCommand, Report};
//!
//! let command = NextCommand { command: "elbo eval runs/digits-001".into(), purpose: "numbers".into() };
//! let report = Report { title: "digits-001".into(), commands: vec![command], ..Default::default() };
//! assert!(report.html().starts_with("<!doctype html>"));
//! ```

use std::fmt::Write as _;

use super::figures::{beta_curve, curve, heading};
use super::page::{Block, count, escape, number, page};
pub use super::page::{Media, Picture};
use super::phases;
use crate::run::history::{EpochRecord, Means};

/// More epochs than this are thinned in the table; the curves and `metrics.csv` keep them all.
const MOST_ROWS: usize = 400;

/// What a report shows.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Heading, usually the run's name.
    pub title: String,
    /// How the run ended, in a word: `finished`, `interrupted`, `diverged`.
    pub status: String,
    /// The model in a sentence: kind, networks, latent size, likelihood.
    pub model: String,
    /// Where the run is and what it was trained on, as short facts: `data: mnist`, `seed: 0`, `device: cpu`.
    pub facts: Vec<(String, String)>,
    /// Whether the model has a posterior and so a KL term. An autoencoder has not.
    pub variational: bool,
    /// Unit of the loss terms, usually `nats per image`.
    pub unit: String,
    /// Numbers on held-out data.
    pub summary: Option<Summary>,
    /// The effective configuration, as TOML.
    pub config_toml: String,
    /// Every epoch, oldest first.
    pub history: Vec<EpochRecord>,
    /// Pictures, in the order they are shown.
    pub sections: Vec<Section>,
    /// Commands worth trying next.
    pub commands: Vec<NextCommand>,
}

/// Mean of a quantity over examples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean over the examples.
    pub value: f64,
    /// Its standard error, where it was computed.
    pub stderr: Option<f64>,
}

impl From<f64> for Estimate {
    fn from(value: f64) -> Self {
        Self { value, stderr: None }
    }
}

/// Loss terms on one split, in the report's unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Which split: `test`, `validation`.
    pub split: String,
    /// Over how many examples the means run.
    pub examples: usize,
    /// What an example is called: `image`, `row`.
    pub example_name: String,
    /// Over how many dimensions the sums run.
    pub dimensions: usize,
    /// What a dimension is called, in the plural: `pixels`.
    pub dimension_name: String,
    /// The reconstruction term, `-E_q[log p(x|z)]`.
    pub recon: Estimate,
    /// `KL(q || p)`; absent for an autoencoder.
    pub kl: Option<Estimate>,
    /// What training minimised.
    pub loss: Estimate,
    /// `-(recon + kl)`; absent where there is no bound.
    pub elbo: Option<Estimate>,
    /// The bound in bits per dimension, where the data are discrete.
    pub bits_per_dim: Option<Estimate>,
    /// What has to be said beside the numbers, where `recon` is no log-likelihood.
    pub caution: Option<String>,
}

/// A heading, a sentence and pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading of the section.
    pub title: String,
    /// What is seen and what a good one looks like, in a sentence or two.
    pub explanation: String,
    /// The pictures; several stand beside each other where the screen is wide.
    pub pictures: Vec<Picture>,
}

/// A command to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextCommand {
    /// The command line.
    pub command: String,
    /// What it does, in a few words.
    pub purpose: String,
}

impl Report {
    /// The page. Equal reports give equal text.
    pub fn html(&self) -> String {
        let mut blocks = Vec::new();
        blocks.extend(self.summary.as_ref().map(|summary| Block::new("Numbers", self.numbers(summary))));
        blocks.push(Block::new("Curves", self.curves()));
        if self.variational {
            blocks.push(Block::new("The KL term", phases::explanation(&self.history)));
        }
        blocks.extend(self.sections.iter().map(|section| Block::new(&section.title, section.html())));
        if !self.commands.is_empty() {
            blocks.push(Block::new("Try next", self.commands.iter().map(NextCommand::html).collect()));
        }
        blocks.push(Block::new("Details", self.details()));
        page(&format!("{} · elbo", self.title), &self.header(), &blocks)
    }

    fn header(&self) -> String {
        let facts: String = self
            .facts
            .iter()
            .map(|(name, value)| format!("<li><span>{}</span> {}</li>", escape(name), escape(value)))
            .collect();
        format!(
            "<p class=\"brand\">elbo</p><h1>{} {}</h1><p class=\"model\">{}</p><ul class=\"facts\">{facts}</ul>",
            escape(&self.title),
            status_badge(&self.status),
            escape(&self.model),
        )
    }

    fn numbers(&self, summary: &Summary) -> String {
        let mut tiles = String::new();
        let unit = self.unit.as_str();
        let kl_unit = format!("nats per {}", summary.example_name);
        let reading = [
            ("ELBO", summary.elbo, unit, "−(recon + KL), higher is better"),
            ("Reconstruction", Some(summary.recon), unit, "lower is better"),
            ("KL divergence", summary.kl, kl_unit.as_str(), "information in the code, unweighted"),
            (
                "Loss",
                Some(summary.loss),
                unit,
                if self.variational { "recon + beta · KL" } else { "what was minimised" },
            ),
            match summary.caution {
                None => ("Bits per dimension", summary.bits_per_dim, "bits", "the bound, lower is better"),
                Some(_) => ("Cross-entropy", summary.bits_per_dim, "bits per value", "no code length, lower is better"),
            },
        ];
        for (name, estimate, unit, note) in reading {
            let Some(estimate) = estimate else { continue };
            let _ = write!(
                tiles,
                "<div class=\"tile\"><dt>{name}</dt><dd><b>{}</b></dd><dd>{} {}</dd>\
                 <dd class=\"note\">{note}</dd></div>",
                number(estimate.value),
                estimate.error_html(),
                escape(unit),
            );
        }
        let caution = summary.caution.as_ref().map_or(String::new(), |text| format!("<p>Mind: {}</p>", escape(text)));
        format!("<dl class=\"tiles\">{tiles}</dl>{caution}<p class=\"quiet\">{}</p>", escape(&summary.sentence()))
    }

    fn curves(&self) -> String {
        if self.history.is_empty() {
            return "<p>No epoch has finished yet.</p>".into();
        }
        let mut pictures: String = self.terms().iter().map(|term| self.curve(term)).collect();
        if let Some(figure) = beta_curve(&self.history).filter(|_| self.variational) {
            pictures += &Picture::drawing(&figure, "Weight of the KL term over the epochs").html();
        }
        let note = if self.history.iter().any(|record| record.validation.is_some()) {
            "Train is the mean over an epoch while the weights still move, validation is measured after the epoch: \
             early on validation may lie below train."
        } else {
            "Train is the mean over an epoch while the weights still move. The run had no validation split."
        };
        format!("<div class=\"row\">{pictures}</div><p class=\"quiet\">{note}</p>")
    }

    /// What the run reported, without a column of zeros: an autoencoder has no KL term.
    fn terms(&self) -> Vec<&str> {
        let drawn = |term: &&str| self.variational || *term != "kl";
        self.history.iter().take(1).flat_map(|record| record.train.names()).filter(drawn).collect()
    }

    fn curve(&self, term: &str) -> String {
        let last = self.history.last().and_then(|record| record.judged().get(term)).unwrap_or(f64::NAN);
        let alt = format!(
            "{} over {} epochs, ending at {} {}",
            heading(term),
            self.history.len(),
            number(last),
            if term == "kl" { "nats per image" } else { &self.unit }
        );
        Picture::drawing(&curve(&self.history, term, &self.unit), alt).html()
    }

    fn details(&self) -> String {
        let config = format!(
            "<details><summary>Configuration, complete (config.toml)</summary><pre>{}</pre></details>",
            escape(&self.config_toml)
        );
        let table = match self.history.len() {
            0 => String::new(),
            _ => format!("<details><summary>Every epoch</summary>{}</details>", self.epoch_table()),
        };
        config + &table
    }

    fn epoch_table(&self) -> String {
        let every = self.history.len().div_ceil(MOST_ROWS);
        let last = self.history.len() - 1;
        let kept = self.history.iter().enumerate().filter(|(index, _)| index % every == 0 || *index == last);
        let terms = self.terms();
        let rows: String = kept.map(|(_, record)| epoch_row(record, &terms, self.variational)).collect();
        let name = |term: &str| if term == "kl" { "KL".to_owned() } else { escape(term) };
        let names = |split| terms.iter().map(|term| format!("<th>{split} {}</th>", name(term))).collect::<String>();
        let thinned = if every == 1 {
            String::new()
        } else {
            format!("<p class=\"quiet\">Every {every}th epoch and the last one; metrics.csv has all.</p>")
        };
        format!(
            "{thinned}<div class=\"scroll\"><table><thead><tr><th>epoch</th><th>step</th><th>rate</th>{}{}{}</tr>\
             </thead><tbody>{rows}</tbody></table></div>",
            if self.variational { "<th>beta</th>" } else { "" },
            names("train"),
            names("val."),
        )
    }
}

impl Section {
    pub(super) fn html(&self) -> String {
        let pictures: String = self.pictures.iter().map(Picture::html).collect();
        let class = if self.pictures.len() > 1 { "row" } else { "single" };
        format!("<p>{}</p><div class=\"{class}\">{pictures}</div>", escape(&self.explanation))
    }
}

impl NextCommand {
    fn html(&self) -> String {
        let (purpose, command) = (escape(&self.purpose), escape(&self.command));
        format!("<div class=\"command\"><p>{purpose}</p><pre><code>{command}</code></pre></div>")
    }
}

impl Summary {
    /// Which numbers are sums and which are means, in words.
    fn sentence(&self) -> String {
        format!(
            "On the {} split: summed over {} {} and averaged over {} {}s{}.",
            self.split,
            count(self.dimensions),
            self.dimension_name,
            count(self.examples),
            self.example_name,
            if self.recon.stderr.is_some() { "; ± is one standard error of that average" } else { "" },
        )
    }
}

impl Estimate {
    /// The standard error as safe HTML, nothing where there is none.
    pub(super) fn error_html(self) -> String {
        let error = |error: f64| if error >= 0.01 { format!("{error:.2}") } else { number(error) };
        self.stderr.map_or_else(String::new, |value| format!("<span class=\"error\">± {}</span>", error(value)))
    }
}

/// The status as a coloured word; unknown words stay neutral.
pub(super) fn status_badge(status: &str) -> String {
    let class = match status {
        "finished" | "done" | "complete" | "completed" | "stopped early" => "good",
        "diverged" | "failed" => "bad",
        _ => "neutral",
    };
    if status.is_empty() { String::new() } else { format!("<span class=\"badge {class}\">{}</span>", escape(status)) }
}

fn epoch_row(record: &EpochRecord, terms: &[&str], variational: bool) -> String {
    let cells = |means: Option<&Means>| {
        let cell = |term: &str| means.and_then(|means| means.get(term)).map_or_else(|| "–".into(), number);
        terms.iter().map(|term| format!("<td>{}</td>", cell(term))).collect::<String>()
    };
    format!(
        "<tr><td>{}</td><td>{}</td><td>{:e}</td>{}{}{}</tr>",
        record.epoch,
        record.step,
        record.learning_rate,
        if variational {
            format!("<td>{}</td>", record.beta.map_or_else(|| "–".into(), number))
        } else {
            String::new()
        },
        cells(Some(&record.train)),
        cells(record.validation.as_ref()),
    )
}

#[cfg(test)]
mod tests {
    use super::super::image_grid::{GridLayout, ImageBatch, image_grid, png};
    use super::super::page::tests::assert_self_contained;
    use super::*;

    fn terms(recon: f64, kl: f64) -> Means {
        Means::of([("recon", recon), ("kl", kl), ("loss", recon + kl)])
    }

    fn history(epochs: usize) -> Vec<EpochRecord> {
        let record = |epoch: usize| EpochRecord {
            beta: Some(1.0),
            validation: Some(terms(81.0, 25.5)),
            ..EpochRecord::new(epoch, epoch * 469, 1e-3, terms(80.0 + 60.0 / epoch as f64, 25.0))
        };
        (1..=epochs).map(record).collect()
    }

    fn report() -> Report {
        let digit = [0.5_f32; 28 * 28];
        let images = ImageBatch::new(&digit, 1, 28, 28).expect("one digit");
        let grid = png(&image_grid(images, GridLayout::default()).expect("a grid")).expect("a PNG");
        Report {
            title: "mnist-bce".into(),
            status: "finished".into(),
            model: "VAE 784-400-20".into(),
            facts: vec![("data".into(), "mnist".into())],
            variational: true,
            unit: "nats per image".into(),
            summary: Some(Summary {
                split: "test".into(),
                examples: 10_000,
                example_name: "image".into(),
                dimensions: 784,
                dimension_name: "pixels".into(),
                recon: Estimate { value: 80.02, stderr: Some(0.21) },
                kl: Some(25.65.into()),
                loss: 105.67.into(),
                elbo: Some((-105.67).into()),
                bits_per_dim: Some(0.194.into()),
                caution: None,
            }),
            config_toml: "[loss]\nbeta = 1.0\n".into(),
            history: history(10),
            sections: vec![Section {
                title: "Samples".into(),
                explanation: "Drawn from the prior.".into(),
                pictures: vec![Picture::pixels(grid, "64 digits")],
            }],
            commands: vec![NextCommand { command: "elbo sample RUN -n 64".into(), purpose: "More samples".into() }],
        }
    }

    #[test]
    fn the_page_is_one_sound_file_with_every_section() {
        let html = report().html();
        assert_self_contained(&html);
        for heading in ["Numbers", "Curves", "The KL term", "Samples", "Try next", "Details"] {
            assert!(html.contains(&format!("<h2>{heading}</h2>")), "`{heading}` is missing");
        }
        for text in ["80.02", "± 0.21", "-105.67", "summed over 784 pixels and averaged over 10,000 images"] {
            assert!(html.contains(text), "`{text}` is missing");
        }
        assert!(html == report().html(), "the page differs from call to call");
    }

    #[test]
    fn an_autoencoder_has_no_kl_anywhere() {
        let mut report = report();
        report.variational = false;
        report
            .summary
            .iter_mut()
            .for_each(|summary| (summary.kl, summary.elbo, summary.bits_per_dim) = (None, None, None));
        report.config_toml.clear();
        let html = report.html();
        assert_self_contained(&html);
        // Pictures are base64, which may spell anything, so only the words outside them count.
        let words: String =
            html.split("base64,").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect();
        let body = words.split_once("<body>").expect("a body").1;
        for word in ["KL", "ELBO", "beta", "posterior"] {
            assert!(!body.contains(word), "an autoencoder's report mentions {word}");
        }
    }

    #[test]
    fn text_from_outside_stays_text() {
        let attack = "</style></pre><script>alert(1)</script><img src=x onerror='a'>\"&";
        let mut report = report();
        for field in
            [&mut report.title, &mut report.status, &mut report.model, &mut report.config_toml, &mut report.unit]
        {
            *field = attack.to_owned();
        }
        report.facts = vec![(attack.into(), attack.into())];
        report.commands = vec![NextCommand { command: attack.into(), purpose: attack.into() }];
        report.sections[0].title = attack.into();
        report.sections[0].explanation = attack.into();
        report.sections[0].pictures[0].alt = attack.into();
        report.sections[0].pictures[0].caption = attack.into();
        if let Some(summary) = &mut report.summary {
            (summary.split, summary.example_name, summary.dimension_name) =
                (attack.into(), attack.into(), attack.into());
        }
        let html = report.html();
        assert_self_contained(&html);
        assert!(!html.contains("<img src=x") && !html.contains("<script"));
    }

    #[test]
    fn an_empty_report_and_a_diverged_one_are_pages() {
        assert_self_contained(&Report::default().html());
        assert_self_contained(&Report { variational: true, ..Report::default() }.html());
        let mut diverged = report();
        diverged.status = "diverged".into();
        diverged.history[9].train = terms(f64::NAN, f64::INFINITY);
        diverged.history[9].validation = None;
        let html = diverged.html();
        assert_self_contained(&html);
        assert!(html.contains("not finite") && html.contains("badge bad"));
    }

    #[test]
    fn one_epoch_and_very_many_are_pages() {
        for epochs in [1, 2, 5000] {
            let html = Report { history: history(epochs), ..report() }.html();
            assert_self_contained(&html);
            assert!(html.matches("<tr>").count() <= MOST_ROWS + 2, "{epochs} epochs");
            assert!(html.contains(&format!("<td>{epochs}</td>")), "the last of {epochs} epochs is missing");
        }
    }
}

//! `elbo eval`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use elbo::data::{Splits, Subset};
use elbo::evaluation::{Metric, ModelFinding};
use elbo::tasks::{self, ClassTerms, DepthTerms, MetricsProgress, MetricsReport, MetricsRequest, Run};
use serde_json::{Map, json};

use super::pictures::write_files;
use super::source::{self, Opened};
use crate::args::{Eval, Judging};
use crate::output::Context;

/// Time between two lines about a long computation.
const PAUSE: Duration = Duration::from_secs(10);

/// What the flags ask for.
///
/// # Errors
/// For unknown names and an empty limit.
pub(super) fn request(args: &Judging) -> elbo::Result<MetricsRequest> {
    if args.limit == Some(0) {
        return Err(elbo::Error::config("--limit", "at least 1 example", "0", "leave it out to use all"));
    }
    let (metrics, features) = (args.metrics.clone(), args.features.parse()?);
    // The sampler is one that a run has, and so looked for in each.
    let request = MetricsRequest { metrics, k: args.k, samples: args.samples, features, ..Default::default() };
    request.check()?;
    Ok(request)
}

/// Judges a run, telling how far a long computation is.
pub(super) fn judge(
    run: &Run,
    splits: &Splits,
    parts: &[Subset],
    request: &MetricsRequest,
    args: &Judging,
    context: Context,
) -> elbo::Result<MetricsReport> {
    let seed = args.seed.unwrap_or(run.config.training.seed);
    let request = MetricsRequest { seed, sampler: run.sampler_kind(&args.sampler)?, ..request.clone() };
    let parts = match args.limit {
        Some(limit) => tasks::limited(parts, limit, seed),
        None => parts.to_vec(),
    };
    let mut told = Instant::now();
    let mut progress = |stage: MetricsProgress| {
        let MetricsProgress { group, done, total, .. } = stage;
        match done {
            0 if group != "terms" => context.note(format!("{group}: {total} examples")),
            done if done > 0 && done < total && told.elapsed() > PAUSE => {
                context.note(format!("{group}: {done} of {total}"));
                told = Instant::now();
            }
            _ => {}
        }
    };
    let judgement = tasks::evaluate(run, splits, &parts, &request, &mut progress)?;
    for (group, reason) in &judgement.left_out {
        context.note(format!("left out {group}: {reason}"));
    }
    Ok(judgement)
}

pub fn eval(args: &Eval, device: &str, context: Context) -> anyhow::Result<()> {
    let request = request(&args.judging)?;
    let (opened, splits) = source::open_with_splits(&args.source, device)?;
    let opened = opened.at_depth(args.depth)?;
    let run = &opened.run;
    let drawn = args.codebook.as_ref().map(|folder| draw_codebooks(run, &opened.parts, folder)).transpose()?;
    let judgement = judge(run, &splits, &opened.parts, &request, &args.judging, context)?;
    let MetricsReport { n, metrics, findings, classes: by_class, by_depth, .. } = &judgement;
    let object: Map<_, _> = metrics.iter().map(|(name, metric)| (name.to_string(), json!(metric))).collect();
    let classes = classes(&opened, args);
    let mut value = json!({
        "run": args.source.run,
        "checkpoint": run.checkpoint,
        "split": opened.name,
        "classes": classes,
        "n": n,
        "metrics": object,
        "findings": findings,
    });
    if let Some(files) = &drawn {
        value["codebook"] = json!(files);
    }
    if !by_class.is_empty() {
        value["by_class"] = json!(by_class);
    }
    if !by_depth.is_empty() {
        value["by_depth"] = json!(by_depth);
    }
    let of = classes.map_or(String::new(), |names| format!(" of class {}", names.join(", ")));
    context.result(value, || {
        text(opened.name, *n, &of, metrics, findings)
            + &class_table(by_class)
            + &depth_table(by_depth)
            + &of_pictures(drawn.as_deref())
    })
}

/// Pictures of the codebooks over the split, by their paths.
fn draw_codebooks(run: &Run, parts: &[Subset], folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let [split] = parts else {
        let (found, help) = (format!("{} parts", parts.len()), "`--split test` is one");
        return Err(elbo::Error::config("--codebook", "a single split", found, help).into());
    };
    Ok(write_files(folder, tasks::codebook_pictures(run, split)?.into_iter().map(Ok))?)
}

fn of_pictures(files: Option<&[PathBuf]>) -> String {
    files.unwrap_or_default().iter().map(|file| format!("picture of the codes in {}\n", file.display())).collect()
}

/// The classes that the examples are of, where the run chose some of its data's.
fn classes<'a>(opened: &'a Opened, args: &Eval) -> Option<&'a [String]> {
    let chosen = args.source.data.is_none() && opened.name != "all";
    Some(opened.run.config.data.labels.as_slice()).filter(|labels| chosen && !labels.is_empty())
}

fn text(split: &str, n: usize, of: &str, metrics: &[(&str, Metric)], findings: &[ModelFinding]) -> String {
    let width = metrics.iter().map(|(name, _)| name.len()).max().unwrap_or_default().max(13);
    let line = |(name, m): &(&str, Metric)| {
        let stderr = m.stderr.map_or(String::new(), |e| format!(" ± {}", number(e, m.value)));
        let value = number(m.value, m.value);
        format!("{name:<width$} {value:>10}{stderr:<9}  {}\n{:2$}{3}\n", m.unit, "", width + 1, m.definition)
    };
    let found = |f: &ModelFinding| format!("finding: {}\n   cure: {}\n", f.finding, f.cure);
    let lines: String = metrics.iter().map(line).chain(findings.iter().map(found)).collect();
    format!("{split} split, {n} images{of}\n{lines}")
}

/// Distortion and rate by depth; nothing where there is one.
fn depth_table(depths: &[DepthTerms]) -> String {
    if depths.is_empty() {
        return String::new();
    }
    let names = ["distortion", "rate_uniform", "rate_frequencies", "bits_frequencies"];
    let head = format!("\n{:>5} {:>12} {:>12} {:>16} {:>16}\n", "depth", names[0], names[1], names[2], names[3]);
    let line = |terms: &DepthTerms| {
        let bits = terms.bits_frequencies.map_or("none".to_owned(), |bits| format!("{bits:.3}"));
        let DepthTerms { depth, distortion, rate_uniform, rate_frequencies, .. } = terms;
        format!("{depth:>5} {distortion:>12.3} {rate_uniform:>12.3} {rate_frequencies:>16.3} {bits:>16}\n")
    };
    head + &depths.iter().map(line).collect::<String>()
}

/// The terms of each class; nothing where there are none.
fn class_table(classes: &[ClassTerms]) -> String {
    let Some(width) = classes.iter().map(|terms| terms.class.chars().count()).max() else { return String::new() };
    let width = width.max(5);
    let head = format!("\n{:<width$} {:>7} {:>10} {:>10} {:>12}\n", "class", "n", "recon", "kl", "recon + kl");
    let line = |terms: &ClassTerms| {
        let ClassTerms { class, n, recon, kl, .. } = terms;
        format!("{class:<width$} {n:>7} {recon:>10.3} {kl:>10.3} {:>12.3}\n", recon + kl)
    };
    head + &classes.iter().map(line).collect::<String>()
}

/// Three decimals, more where the value itself is small.
fn number(value: f64, beside: f64) -> String {
    if beside.abs() < 0.1 && beside != 0.0 { format!("{value:.6}") } else { format!("{value:.3}") }
}

//! `elbo gmm`: a Gaussian mixture of rows of numbers, or of the codes of a run.

use std::ops::RangeInclusive;
use std::path::Path;

use elbo::data::DataConfig;
use elbo::data::table::{self, ExactRows};
use elbo::mixtures::{Criterion, Fitted, GaussianMixture, Selection, regularisation, select};
use elbo::priors::SamplerKind;
use elbo::priors::store::{self, Record};
use elbo::projection::Projection;
use elbo::recipe::Layers;
use elbo::report::{Figure, mixture_figures};
use elbo::run::atomic;
use elbo::run::directory::RunDir;
use elbo::tasks::FittedMixture;
use serde_json::{Value, json};

use super::recipes::{put_pictures, put_table, reading};
use super::{plot, source};
use crate::args::Gmm;
use crate::output::Context;

/// What a mixture was fitted to.
struct Fit {
    selection: Selection,
    /// Rows in the units of `selection`, one after another.
    rows: Vec<f64>,
    names: Vec<String>,
    /// Where the plane of the picture is looked for: columns of different units only compare once standardised.
    scale: Vec<f64>,
}

pub fn gmm(args: &Gmm, device: &str, context: Context) -> anyhow::Result<()> {
    check_files(args)?;
    args.em().check()?;
    let is_run = RunDir::is_run(Path::new(&args.data));
    let (fit, value) = if is_run { of_run(args, device, context)? } else { of_table(args, context)? };
    let best = &fit.selection.best;
    if !best.converged {
        let help = "raise `--max-iterations`, or accept a larger `--tolerance`";
        context.note(format!("note: not converged after {} iterations; {help}", best.iterations));
    }
    let mut value = with_numbers(value, args, &fit.selection);
    if let Some(out) = &args.out {
        let mixture = serde_json::to_string(&best.mixture).expect("numbers always become JSON");
        atomic::write_file(out, mixture.as_bytes())?;
        value["out"] = json!(out);
    }
    if let Some(path) = &args.plot {
        let figure = picture(&fit)?;
        plot::write(path, &figure)?;
        value["plot"] = json!(path);
    }
    context.result(value, || text(args, &fit))
}

/// Refuses names that no file can have, before anything is computed.
fn check_files(args: &Gmm) -> elbo::Result<()> {
    if let Some(path) = &args.plot {
        plot::check(path, "mixture.png")?;
    }
    match args.out.as_ref().filter(|path| path.extension().is_none_or(|end| end != "json")) {
        None => Ok(()),
        Some(path) => {
            let (found, help) = (path.display().to_string(), "for example `--out mixture.json`");
            Err(elbo::Error::config("--out", "a name that ends in .json", found, help))
        }
    }
}

/// Components to try: those asked for, or 1 to 10 as far as there are rows.
fn components(args: &Gmm, rows: usize) -> RangeInclusive<usize> {
    args.components.clone().unwrap_or(1..=rows.clamp(1, 10))
}

fn of_table(args: &Gmm, context: Context) -> anyhow::Result<(Fit, Value)> {
    if args.codes.is_some() || args.checkpoint.is_some() {
        let help = "a mixture of codes is fitted to the folder that `elbo train` made";
        return Err(elbo::Error::config("--codes", "a run directory", args.data.clone(), help).into());
    }
    let found = table::exact_rows(&configured(args)?)?;
    found.notes.iter().for_each(|note| context.note(format!("note   {note}")));
    let ExactRows { name, fingerprint, columns, values, standardised, .. } = found;
    let dims = columns.names.len();
    // Fitted where every column has deviation 1, so that units do not matter to the start and the regularisation.
    let rows = values.len() / dims;
    let selection = select(&standardised, dims, components(args, rows), &args.em(), args.criterion.into())?;
    let selection = selection.rescaled(&columns.mean, &columns.std)?;
    let value = json!({ "data": name, "columns": columns.names, "sha256": fingerprint });
    let fit = Fit { selection, rows: values, names: columns.names, scale: columns.std };
    tell_regularisation(&fit, args, context);
    Ok((fit, value))
}

/// Says where the regularisation decides a variance rather than the data.
fn tell_regularisation(fit: &Fit, args: &Gmm, context: Context) {
    let (mixture, dims) = (&fit.selection.best.mixture, fit.names.len());
    let scales = fit.scale.iter().map(|scale| scale * scale);
    let added =
        regularisation(&fit.rows, dims, args.reg_covar).into_iter().zip(scales).map(|(part, scale)| part * scale);
    let added: Vec<f64> = added.collect();
    for k in 0..mixture.components() {
        let covariance = mixture.covariance_of(k);
        // What is added is half of a variance that it exceeds without it.
        let decided = (0..dims).filter(|&j| 2.0 * added[j] > covariance[j][j]);
        let names: Vec<&str> = decided.map(|j| fit.names[j].as_str()).collect();
        if !names.is_empty() {
            context.note(format!(
                "note: in component {} the regularisation exceeds the variance of {}: the rows are all but equal there; a smaller `--reg-covar` shows more",
                k + 1,
                names.join(", ")
            ));
        }
    }
}

/// How the table is read.
fn configured(args: &Gmm) -> elbo::Result<DataConfig> {
    let mut layers = Layers::from_text("defaults", "")?;
    layers.put("data.source", args.data.clone().into())?;
    args.set.iter().try_for_each(|assignment| layers.set(assignment))?;
    put_pictures(&mut layers, &args.pictures)?;
    put_table(&mut layers, &args.table)?;
    let config = layers.build()?.data;
    config.check_keys()?;
    Ok(config)
}

fn of_run(args: &Gmm, device: &str, context: Context) -> anyhow::Result<(Fit, Value)> {
    let reading = reading(args.own_data.as_ref(), &args.pictures, &args.table.rows, &args.set)?;
    let run = source::load_reading(Path::new(&args.data), args.checkpoint.as_deref(), reading, device)?;
    let range = args.components.clone().unwrap_or(elbo::priors::COMPONENTS..=elbo::priors::COMPONENTS);
    let codes = args.codes.map(Into::into);
    let fitted = run.fit_mixture(range, &args.em(), args.criterion.into(), codes)?;
    let FittedMixture { selection, record, rows, not_kept, .. } = fitted;
    let dims = record.latent;
    let saved = store::path(&run.dir, &SamplerKind::Mixture).filter(|_| not_kept.is_none());
    if let Some(why) = not_kept {
        context.note(format!("note: the mixture is not kept in the run's folder: {why}"));
    }
    let value = json!({ "run": args.data, "saved": saved, "record": record_of(&record) });
    let names = (0..dims).map(|j| format!("z{j}")).collect();
    Ok((Fit { selection, rows, names, scale: vec![1.0; dims] }, value))
}

fn record_of(record: &Record) -> Value {
    json!({
        "codes": record.codes,
        "split": record.split,
        "checkpoint": record.checkpoint,
        "latent": record.latent,
        "weights_sha256": record.weights_sha256,
    })
}

fn with_numbers(mut value: Value, args: &Gmm, selection: &Selection) -> Value {
    let best = &selection.best;
    let fields = json!({
        "n": best.n,
        "dims": best.mixture.dims(),
        "components": best.mixture.components(),
        "covariance": best.mixture.kind(),
        "seed": args.seed,
        "restarts": args.restarts,
        "log_likelihood": best.log_likelihood,
        "unit": "nats per row",
        "bic": best.bic(),
        "aic": best.aic(),
        "parameters": best.mixture.parameters(),
        "iterations": best.iterations,
        "converged": best.converged,
        "weights": best.mixture.weights(),
        "means": best.mixture.means(),
        "covariances": best.mixture.covariances(),
    });
    if let (Value::Object(value), Value::Object(fields)) = (&mut value, fields) {
        value.extend(fields);
        if selection.candidates.len() > 1 {
            value.insert(
                "selection".into(),
                json!({ "criterion": Criterion::from(args.criterion), "candidates": selection.candidates }),
            );
        }
    }
    value
}

/// The mixture over its rows: a density, a plane, or the plane of the first two principal components.
fn picture(fit: &Fit) -> elbo::Result<Figure> {
    let mixture = &fit.selection.best.mixture;
    let dims = mixture.dims();
    match dims {
        1 => Ok(mixture_figures::density(&fit.names[0], &fit.rows, mixture)),
        2 => Ok(mixture_figures::ellipses(&titled(mixture, ""), [&fit.names[0], &fit.names[1]], &fit.rows, mixture)),
        _ => {
            // To standardised columns, whose variances compare.
            let inverse: Vec<f64> = fit.scale.iter().map(|scale| 1.0 / scale).collect();
            let rows: Vec<f64> = fit.rows.iter().zip(inverse.iter().cycle()).map(|(x, scale)| x * scale).collect();
            let projection = Projection::principal(&rows, dims, 2)?;
            let flat = mixture.rescaled(&vec![0.0; dims], &inverse)?.projected(&projection)?;
            let share = 100.0 * projection.share;
            let title = titled(mixture, &format!(", seen along {share:.0} % of the variance"));
            let axes = ["first principal component", "second principal component"];
            Ok(mixture_figures::ellipses(&title, axes, &projection.project(&rows), &flat))
        }
    }
}

fn titled(mixture: &GaussianMixture, end: &str) -> String {
    let plural = if mixture.components() == 1 { "" } else { "s" };
    format!("{} {} component{plural}{end}", mixture.components(), mixture.kind())
}

fn text(args: &Gmm, fit: &Fit) -> String {
    let best = &fit.selection.best;
    let mut text = String::new();
    if fit.selection.candidates.len() > 1 {
        text += &format!("{:>10} {:>16} {:>14} {:>14}\n", "components", "log-likelihood", "BIC", "AIC");
        for candidate in &fit.selection.candidates {
            let chosen = if candidate.components == best.mixture.components() { "  <- lowest" } else { "" };
            let chosen =
                if chosen.is_empty() { String::new() } else { format!("{chosen} {}", Criterion::from(args.criterion)) };
            text += &format!(
                "{:>10} {:>16.4} {:>14.1} {:>14.1}{chosen}\n",
                candidate.components, candidate.log_likelihood, candidate.bic, candidate.aic
            );
        }
        text.push('\n');
    }
    text += &summary(best);
    const SHOWN: usize = 12;
    let names = &fit.names[..fit.names.len().min(SHOWN)];
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(12);
    text += &format!("\n{:>9} {:>8}  means\n{:>18}", "component", "weight", "");
    names.iter().for_each(|name| text += &format!("  {name:>width$}"));
    text.push('\n');
    for (k, weight) in best.mixture.weights().iter().enumerate() {
        text += &format!("{:>9} {weight:>8.4}", k + 1);
        best.mixture.means()[k].iter().take(SHOWN).for_each(|mean| text += &format!("  {:>width$}", number(*mean)));
        text.push('\n');
    }
    if fit.names.len() > SHOWN {
        text += &format!("and {} more columns (--json has all)\n", fit.names.len() - SHOWN);
    }
    text
}

fn summary(best: &Fitted) -> String {
    let state = if best.converged { "converged" } else { "not converged" };
    format!(
        "{} of {} rows: {:.4} nats a row, BIC {:.1}, AIC {:.1}, {state} after {} iterations\n",
        titled(&best.mixture, ""),
        best.n,
        best.log_likelihood,
        best.bic(),
        best.aic(),
        best.iterations
    )
}

/// Six digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if (1e-3..1e7).contains(&size) => format!("{value:.*}", (5 - size.log10().floor() as i64).max(0) as usize),
        _ => format!("{value:.5e}"),
    }
}

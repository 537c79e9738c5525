//! `elbo arithmetic`: what one set of images has and another has not, added to the codes of images.

use elbo::data::Subset;
use elbo::evaluation;
use elbo::generation::{self, Pictures, ShowAs};
use elbo::tasks::Run;
use serde_json::json;

use super::pictures::{MAX_REACH, check_count, check_format, check_kind, check_number, save};
use super::source::{self, Opened};
use crate::args::Arithmetic;
use crate::output::Context;

pub fn arithmetic(args: &Arithmetic, device: &str, context: Context) -> anyhow::Result<()> {
    check_format(&args.target)?;
    for scale in &args.scale {
        check_number("--scale", *scale, -MAX_REACH..=MAX_REACH, "1 adds the vector once")?;
    }
    check_count("--n", args.n.saturating_mul(2 + args.scale.len()))?;
    let opened = source::open(&args.source, device, "arithmetic")?;
    let run = &opened.run;
    check_kind(run, &args.target)?;
    let add = args.add.as_deref().map(|set| Set::open(run, set, "--add")).transpose()?;
    let subtract = args.subtract.as_deref().map(|set| Set::open(run, set, "--subtract")).transpose()?;
    let latent = run.latent();
    let part = |set: &Option<Set>| set.as_ref().map_or(vec![0.0; latent], |set| set.mean.clone());
    let vector: Vec<f64> = part(&add).iter().zip(part(&subtract)).map(|(a, b)| a - b).collect();

    let images = edited(&opened, args)?;
    let places: Vec<u32> = (0..images.len() as u32).collect();
    let decoder = run.decoder("arithmetic")?;
    let encoded = run.explained("arithmetic", evaluation::encode(run.model.as_ref(), &images, &run.device))?;
    let (codes, classes) = (encoded.mean, encoded.labels.unwrap_or_default());
    let decoded = |codes: &[f32]| generation::show_of_classes(&decoder, codes, &classes, ShowAs::Mean);
    let mut rows = vec!["original".to_owned(), "reconstruction".to_owned()];
    let mut pixels = generation::originals(&images, &places, &run.device).pixels;
    pixels.extend(decoded(&codes)?.pixels);
    for scale in &args.scale {
        let moved = generation::edited_codes(&codes, &vector, *scale);
        pixels.extend(decoded(&moved)?.pixels);
        rows.push(format!("scale {scale}"));
    }
    let code_length = codes.chunks_exact(latent).map(|code| length(code.iter().map(|z| f64::from(*z)))).sum::<f64>()
        / images.len() as f64;
    let told = |set: &Option<Set>| set.as_ref().map(|set| json!({ "set": set.name, "n": set.n }));
    let facts = json!({
        "rows": rows,
        "images": images.len(),
        "vector": vector,
        "vector_length": length(vector.iter().copied()),
        "code_length": code_length,
        "add": told(&add),
        "subtract": told(&subtract),
    });
    context.note(format!(
        "a vector of length {:.3}, beside codes of length {code_length:.3} on average; rows: {}",
        length(vector.iter().copied()),
        rows.join(", ")
    ));
    save(run, &Pictures { shape: run.shape, pixels }, &args.target, images.len(), facts, context)
}

fn length(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// Example images of one side of the vector, and their mean code.
struct Set {
    name: String,
    n: usize,
    mean: Vec<f64>,
}

impl Set {
    /// `label:NAME`, the run's training images of that class, or data of their own.
    fn open(run: &Run, name: &str, flag: &str) -> elbo::Result<Self> {
        let images = match name.strip_prefix("label:") {
            Some(label) => of_class(&run.open_own_beside()?.chosen.train, label, flag)?,
            None => run.open_data(Some(name))?.train.whole(),
        };
        if images.is_empty() {
            let help = "give a folder with pictures, or `label:` and a class of the run's data";
            return Err(elbo::Error::config(flag, "a set with images", format!("none in `{name}`"), help));
        }
        let codes = run.explained("arithmetic", evaluation::encode(run.model.as_ref(), &images, &run.device))?;
        Ok(Self { name: name.into(), n: images.len(), mean: generation::mean_code(&codes.mean, codes.latent) })
    }
}

/// The images of a split in the class of this name.
fn of_class(split: &Subset, label: &str, flag: &str) -> elbo::Result<Subset> {
    let names = split.source().label_names();
    let Some(class) = names.iter().position(|name| name == label) else {
        let expected = match names.len() {
            0 => "a folder of pictures, since the data have no classes".into(),
            _ => format!("label: and one of {}", abridged(names)),
        };
        return Err(elbo::Error::config(flag, expected, format!("label:{label}"), "choose a class of the run's data"));
    };
    let of_class = |place: &u32| split.label(*place as usize) == Some(class as u32);
    let places: Vec<u32> = (0..split.len() as u32).filter(of_class).collect();
    Ok(split.select(&places))
}

/// The first few names.
fn abridged(names: &[String]) -> String {
    const MOST: usize = 20;
    let more = if names.len() > MOST { ", ..." } else { "" };
    names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ") + more
}

/// The images to edit: by places, or some of a set.
fn edited(opened: &Opened, args: &Arithmetic) -> elbo::Result<Subset> {
    let split = opened.first();
    let some = |images: &Subset| images.select(&generation::random_places(images, args.n, args.seed));
    let Some(from) = args.from.as_deref() else {
        return Ok(some(split));
    };
    if let Some(label) = from.strip_prefix("label:") {
        let images = of_class(split, label, "--from")?;
        if images.is_empty() {
            let (found, help) = (format!("no `{label}` in it"), "choose another `--split` or class");
            return Err(elbo::Error::config("--from", "a class with images in the split", found, help));
        }
        return Ok(some(&images));
    }
    let places: Option<Vec<usize>> = from.split(',').map(|place| place.trim().parse().ok()).collect();
    match places {
        Some(places) => {
            check_count("--from", places.len().saturating_mul(2 + args.scale.len()))?;
            Ok(split.select(&source::checked(split, &places, "--from")?))
        }
        None => Ok(some(&opened.run.open_data(Some(from))?.train.whole())),
    }
}

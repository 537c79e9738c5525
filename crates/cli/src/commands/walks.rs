//! `elbo traverse` and `interpolate`: walks through codes, as grids and as animations.

use elbo::evaluation::{self, Codes};
use elbo::generation::{self, Path, Pictures, ShowAs};
use elbo::report::animation::Animation;
use elbo::report::image_grid::{self, DynamicImage, GridLayout, ImageBatch};
use elbo::run::atomic;
use elbo::tasks::Run;
use serde_json::{Value, json};

use super::pictures::{MAX_REACH, check_count, check_format, check_kind, check_number, ends_in, save, scale};
use super::source::{self, Opened};
use crate::args::{Film, Interpolate, OrderName, PathName, Target, Traverse};
use crate::output::Context;

/// Frames from one end to the other unless asked otherwise, with both ends.
const FRAMES: usize = 31;
/// Frames a second unless asked otherwise.
const FPS: f64 = 15.0;
/// Dimensions shown unless asked otherwise.
const DIMS: usize = 32;
/// An animation of one image is enlarged to about so many pixels.
const ALONE: usize = 224;

pub fn traverse(args: &Traverse, device: &str, context: Context) -> anyhow::Result<()> {
    check_target(&args.target, &args.film)?;
    check_number("--reach", args.reach.into(), -MAX_REACH..=MAX_REACH, "3 is the usual one")?;
    let order = args.order.unwrap_or(if animated(&args.target) { OrderName::Kl } else { OrderName::Index });
    // The data are opened only where they are asked about.
    let opened = match (args.image, order) {
        (None, OrderName::Index) => None,
        _ => Some(source::open(&args.source, device, "traverse")?),
    };
    let loaded;
    let run = match &opened {
        Some(opened) => &opened.run,
        None => {
            loaded = source::load(&args.source.run, args.source.checkpoint.as_deref(), device)?;
            &loaded
        }
    };
    let latent = run.latent();
    let mut decoder = source::decoder(run, "traverse", args.class.as_deref())?;
    let base = match (args.image, &opened) {
        (Some(image), Some(opened)) => {
            let (code, classes) = source::codes_at(run, opened.first(), &[image], "--image")?;
            if let (None, Some(class)) = (&args.class, classes.first()) {
                decoder = decoder.of_class(*class);
            }
            code
        }
        _ => vec![0.0; latent],
    };
    check_kind(run, &args.target)?;
    let carried = match opened.as_ref().filter(|_| order == OrderName::Kl) {
        Some(opened) => Some(codes(opened)?.carried()),
        None => None,
    };
    let dims = chosen_dims(&args.dims, latent, carried.as_deref())?;
    let steps = args.steps.unwrap_or(if animated(&args.target) { FRAMES } else { 11 });
    check_count("--steps", dims.len().saturating_mul(steps))?;
    let reach = vec![args.reach; latent];
    let pictures = generation::traverse(&decoder, &base, &reach, &dims, steps);
    let mut facts = json!({ "dims": dims, "reach": args.reach });
    if let Some(carried) = carried {
        facts["carried"] = json!(dims.iter().map(|&dim| carried[dim]).collect::<Vec<_>>());
    }
    write(run, &pictures, steps, &args.target, &args.film, facts, context)
}

/// The codes of all parts of what was opened.
fn codes(opened: &Opened) -> elbo::Result<Codes> {
    let run = &opened.run;
    let encoded = |part| run.explained("traverse", evaluation::encode(run.model.as_ref(), part, &run.device));
    let mut all = encoded(&opened.parts[0])?;
    for part in &opened.parts[1..] {
        all.append(encoded(part)?);
    }
    Ok(all)
}

/// The dimensions asked for, or the first or those that carry most.
fn chosen_dims(asked: &[usize], latent: usize, carried: Option<&[f64]>) -> elbo::Result<Vec<usize>> {
    if let Some(dim) = asked.iter().find(|dim| **dim >= latent) {
        let expected = format!("dimensions from 0 to {}", latent - 1);
        return Err(elbo::Error::config("--dims", expected, dim.to_string(), "choose others"));
    }
    let mut dims = if asked.is_empty() { (0..latent).collect() } else { asked.to_vec() };
    if let Some(carried) = carried {
        dims.sort_by(|a: &usize, b| carried[*b].total_cmp(&carried[*a]));
    }
    if asked.is_empty() {
        dims.truncate(DIMS);
    }
    Ok(dims)
}

pub fn interpolate(args: &Interpolate, device: &str, context: Context) -> anyhow::Result<()> {
    check_target(&args.target, &args.film)?;
    let steps = args.steps.unwrap_or(if animated(&args.target) { FRAMES } else { 12 });
    let legs = args.images.len().saturating_sub(1).max(8);
    check_count("--steps", steps.saturating_mul(legs))?;
    if args.images.len() == 1 {
        let help = "for example `--images 3,8,15`";
        return Err(elbo::Error::config("--images", "at least two places", "one", help).into());
    }
    if steps < 2 && args.images.len() > 1 {
        let help = "each leg of the path has two ends";
        return Err(elbo::Error::config("--steps", "at least 2", steps.to_string(), help).into());
    }
    let opened = source::open(&args.source, device, "interpolate")?;
    let (run, split) = (&opened.run, opened.first());
    check_kind(run, &args.target)?;
    let path = match args.path {
        PathName::Linear => Path::Linear,
        PathName::Spherical => Path::Spherical,
    };
    let latent = run.latent();
    let (walks, ends) = match (args.from, args.to) {
        (Some(from), Some(to)) => (vec![vec![from, to]], "--from and --to"),
        _ if !args.images.is_empty() => (vec![args.images.clone()], "--images"),
        _ => (random_pairs(&opened, args.seed)?, "--seed"),
    };
    let decoder = source::decoder(run, "interpolate", args.class.as_deref())?;
    let chosen = source::class(run, args.class.as_deref())?;
    let (mut codes, mut classes) = (Vec::new(), Vec::new());
    for places in &walks {
        let (ends, labels) = source::codes_at(run, split, places, ends)?;
        codes.extend(match places.len() {
            2 => generation::interpolation_codes(&ends[..latent], &ends[latent..], steps, path),
            _ => generation::path_codes(&ends, latent, steps, path),
        });
        // A walk is of one class: a class has no way between itself and another.
        classes.resize(codes.len() / latent, chosen.or(labels.first().copied()).unwrap_or(0));
    }
    let across = codes.len() / latent / walks.len();
    let pictures = generation::show_of_classes(&decoder, &codes, &classes, ShowAs::Mean)?;
    let name = if path == Path::Linear { "linear" } else { "spherical" };
    write(run, &pictures, across, &args.target, &args.film, json!({ "images": walks, "path": name }), context)
}

/// Eight pairs of places, or as many as there are images for.
fn random_pairs(opened: &Opened, seed: u64) -> elbo::Result<Vec<Vec<usize>>> {
    let places = generation::random_places(opened.first(), 16, seed);
    if places.len() < 2 {
        let help = "choose another `--split`, or other `--data`";
        return Err(elbo::Error::config("--split", "at least two images", places.len().to_string(), help));
    }
    Ok(places.chunks_exact(2).map(|pair| pair.iter().map(|&place| place as usize).collect()).collect())
}

fn animated(target: &Target) -> bool {
    ends_in(target, "gif") || ends_in(target, "apng")
}

/// Refuses names that no walk can have, and flags of animations for grids.
fn check_target(target: &Target, film: &Film) -> elbo::Result<()> {
    if animated(target) {
        return film.fps.map_or(Ok(()), |fps| check_number("--fps", fps, 1.0..=50.0, "15 is the usual one"));
    }
    let given = [("--fps", film.fps.is_some()), ("--one-way", film.one_way), ("--times", film.times.is_some())];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
        let found = target.out.display().to_string();
        let help = "for example `--out walk.gif`; without one this flag says nothing";
        return Err(elbo::Error::config(*flag, "an animation: a name that ends in .gif or .apng", found, help));
    }
    check_format(target)
}

/// Writes walks of `steps` images each: row by row, or all at once in motion.
fn write(
    run: &Run,
    pictures: &Pictures,
    steps: usize,
    target: &Target,
    film: &Film,
    mut facts: Value,
    context: Context,
) -> anyhow::Result<()> {
    source::finite(run, "walk", &pictures.pixels)?;
    if !animated(target) {
        return save(run, pictures, target, steps, facts, context);
    }
    let order = if film.one_way { (0..steps).collect() } else { generation::there_and_back(steps) };
    let fps = film.fps.unwrap_or(FPS);
    let animation = Animation { milliseconds: (1000.0 / fps).round() as u16, times: film.times.unwrap_or(0) };
    let stills: Vec<_> =
        (0..steps).map(|step| frame(pictures, steps, step, target)).collect::<elbo::Result<Vec<_>>>()?;
    let frames: Vec<_> = order.iter().map(|&step| stills[step].clone()).collect();
    let bytes = if ends_in(target, "gif") { animation.gif(&frames)? } else { animation.apng(&frames)? };
    atomic::write_file(&target.out, &bytes)?;
    let (out, seconds) = (target.out.display().to_string(), frames.len() as f64 / fps);
    facts["out"] = json!(out);
    facts["n"] = json!(pictures.len());
    facts["frames"] = json!(frames.len());
    facts["fps"] = json!(fps);
    facts["seconds"] = json!(seconds);
    context.result(facts, || format!("{} frames, {seconds:.1} s, in {out}", frames.len()))
}

/// Image `step` of every walk, tiled.
fn frame(pictures: &Pictures, steps: usize, step: usize, target: &Target) -> elbo::Result<DynamicImage> {
    let size = pictures.shape.numel();
    let images: Vec<&[f32]> = pictures.pixels.chunks_exact(size).skip(step).step_by(steps).collect();
    let [channels, height, width] = pictures.shape.dims();
    let layout = match images.len() {
        1 => GridLayout { padding: 0, scale: (ALONE / height.max(width)).clamp(1, 8), ..Default::default() },
        _ => GridLayout { columns: target.columns.unwrap_or(0), scale: scale(pictures.shape), ..Default::default() },
    };
    image_grid::image_grid(ImageBatch::new(&images.concat(), channels, height, width)?, layout)
}

//! `elbo neighbours`: the training images nearest to samples or to given images, and whether the model copies.

use elbo::data::batch::Given;
use elbo::data::{Splits, Subset};
use elbo::evaluation::{self, Memorisation};
use elbo::generation::{self, Pictures};
use elbo::priors::Draw;
use elbo::projection::Neighbour;
use elbo::report::image_grid::{self, GridLayout, ImageBatch};
use elbo::run::atomic;
use elbo::tasks::{FitSettings, Run, held_out};
use serde_json::{Value, json};

use super::fitting::tell_fit;
use super::pictures::{check_count, scale};
use super::source;
use crate::args::Neighbours;
use crate::output::Context;

/// Rows of the picture at most.
const DRAWN: usize = 16;
/// Nearest images at most, as many as still can be looked at.
const MOST: usize = 50;

pub fn neighbours(args: &Neighbours, device: &str, context: Context) -> anyhow::Result<()> {
    check(args)?;
    let mut run = source::load_reading(&args.run, args.checkpoint.as_deref(), args.reading.settings()?, device)?;
    if run.columns().is_some() {
        let help = "`elbo encode RUN --out z.csv` writes the codes of rows";
        return Err(elbo::Error::config("neighbours", "a run trained on images", "a table", help).into());
    }
    let shown = args.data.as_deref().map(|data| source::shown(&mut run, Some(data))).transpose()?;
    let (splits, other) = match shown {
        // The run's own at another place: `--images` are of its held-out part, else all of it is looked at.
        Some(shown) if shown.is_own => {
            let other = args.images.is_empty().then_some(shown.data.complete);
            (shown.data.chosen, other)
        }
        Some(shown) => (run.open_own_beside()?.chosen, Some(shown.data.complete)),
        None => (run.open_data(None)?, None),
    };
    let (what, images) = images(args, &run, &splits, other.as_ref(), context)?;
    let found = Found::of(&run, &splits, &images, args)?;
    atomic::write_file(&args.out, &picture(&run, &splits.train, &images.pictures, &found, args.k)?)?;

    let out = args.out.display().to_string();
    let says = found.sentence(&what);
    let value = json!({
        "out": out,
        "images": what,
        "n": images.pictures.len(),
        "k": args.k,
        "training_images": splits.train.len(),
        "held_out": found.held_out,
        "pixels": found.pixels.json(images.pictures.len()),
        "codes": found.codes.json(images.pictures.len()),
        "summary": says,
    });
    context.result(value, || format!("{}\n{says}\n{} in {out}", found.table(), rows(images.pictures.len().min(DRAWN))))
}

fn rows(count: usize) -> String {
    format!("{count} rows of image, nearest by pixels, nearest by codes")
}

fn check(args: &Neighbours) -> elbo::Result<()> {
    check_count("--n", args.n)?;
    check_count("--held-out", args.held_out)?;
    if !(1..=MOST).contains(&args.k) {
        let expected = format!("1 to {MOST} neighbours");
        return Err(elbo::Error::config("--k", expected, args.k.to_string(), "5 fit a screen"));
    }
    if args.out.extension().is_none_or(|end| end != "png") {
        let found = args.out.display().to_string();
        return Err(elbo::Error::config("--out", "a name that ends in .png", found, "for example `--out nearest.png`"));
    }
    Ok(())
}

/// What is looked at, in words and as pictures. `other` are data that `--data` asks to look at.
fn images(
    args: &Neighbours,
    run: &Run,
    splits: &Splits,
    other: Option<&Splits>,
    context: Context,
) -> anyhow::Result<(String, Looked)> {
    let of = |images: &Subset| {
        let places: Vec<u32> = (0..images.len() as u32).collect();
        Looked { pictures: generation::originals(images, &places, &run.device), classes: classes_of(images) }
    };
    if !args.images.is_empty() {
        if let (Some(_), Some(data)) = (other, &args.data) {
            let help = "leave one of both away: `--images` are of the run's held-out part";
            let found = format!("`--data {}`, which are others", elbo::shell::quoted(data));
            return Err(elbo::Error::config("--images", "the run's own data", found, help).into());
        }
        let (name, split) = held_out(splits);
        let chosen = split.select(&source::checked(split, &args.images, "--images")?);
        return Ok((format!("given images of the {name} split"), of(&chosen)));
    }
    if let (Some(other), Some(data)) = (other, &args.data) {
        return Ok((format!("given images of {data}"), of(&other.train.whole().sampled(args.n, args.seed))));
    }
    let kind = run.sampler_kind(&args.sampler)?;
    let (stored, note) = run.sampler(&kind, FitSettings { codes: None, seed: run.config.training.seed })?;
    tell_fit(&kind, &stored.record, &note, context);
    let draw = Draw { count: args.n, temperature: 1.0, truncation: None, seed: args.seed };
    let codes = stored.sampler.sample(&draw);
    let decoder = run.decoder("neighbours")?;
    let classes = run.info.data.classes.len();
    let pictures = generation::decode_in_turn(&decoder, &codes, classes);
    let classes = (0..pictures.len()).map(|i| (i % classes.max(1)) as u32).collect();
    Ok(("samples".into(), Looked { pictures, classes }))
}

/// The images looked at, with their classes, which a conditional model is told.
struct Looked {
    pictures: Pictures,
    classes: Vec<u32>,
}

/// The class of each image of a split; 0 where it is not known.
fn classes_of(images: &Subset) -> Vec<u32> {
    (0..images.len()).map(|i| images.label(i).unwrap_or(0)).collect()
}

/// Neighbours in one space, and what they say.
struct Space {
    /// Of each image looked at, of each held-out image, and of each reconstruction of those.
    nearest: Vec<Vec<Neighbour>>,
    beside_held_out: Option<Memorisation>,
    beside_reconstructions: Option<Memorisation>,
}

impl Space {
    fn of(nearest: Vec<Vec<Neighbour>>, images: usize, held_out: usize) -> Self {
        let first = |neighbours: &[Vec<Neighbour>]| -> Vec<f64> {
            neighbours.iter().filter_map(|found| found.first()).map(|nearest| nearest.distance).collect()
        };
        let (own, others) = nearest.split_at(images);
        let (unseen, rebuilt) = others.split_at(held_out);
        let own = first(own);
        let beside_held_out = Memorisation::of(&own, &first(unseen));
        let beside_reconstructions = Memorisation::of(&own, &first(rebuilt));
        Self { nearest, beside_held_out, beside_reconstructions }
    }

    fn json(&self, images: usize) -> Value {
        let told = |found: &Option<Memorisation>| {
            found.map(|found| {
                json!({
                    "images": found.samples,
                    "yardstick": found.yardstick,
                    "ratio": found.ratio,
                    "nearer_than_most": found.nearer_than_most,
                })
            })
        };
        let nearest = self.nearest[..images].iter().map(|found| {
            let pairs = found.iter().map(|n| json!({ "place": n.index, "distance": n.distance }));
            pairs.collect::<Vec<_>>()
        });
        json!({
            "unit": "Euclidean distance",
            "ratio": self.beside_held_out.and_then(|found| found.ratio),
            "beside_held_out": told(&self.beside_held_out),
            "beside_reconstructions": told(&self.beside_reconstructions),
            "nearest": nearest.collect::<Vec<_>>(),
        })
    }
}

struct Found {
    held_out: usize,
    pixels: Space,
    codes: Space,
}

impl Found {
    /// Searches the training images for all at once.
    fn of(run: &Run, splits: &Splits, looked: &Looked, args: &Neighbours) -> anyhow::Result<Self> {
        let (model, device, images) = (run.model.as_ref(), &run.device, &looked.pictures);
        // The training split is no yardstick for itself.
        let unseen = match held_out(splits) {
            ("train", train) => train.take(0),
            (_, split) => split.select(&generation::random_places(split, args.held_out, args.seed)),
        };
        let places: Vec<u32> = (0..unseen.len() as u32).collect();
        let mut values = images.pixels.clone();
        values.extend(generation::originals(&unseen, &places, device).pixels);
        let rebuilt = generation::reconstruct(model, &unseen, &places, device);
        values.extend(run.explained("neighbours", rebuilt)?.pixels);
        let train_codes = run.explained("neighbours", evaluation::encode(model, &splits.train, device))?;
        let unseen_classes = classes_of(&unseen);
        let classes = [looked.classes.as_slice(), &unseen_classes, &unseen_classes].concat();
        let given = |rows: std::ops::Range<usize>| match model.needs().class {
            true => Given::of_classes(&classes[rows], device),
            false => Given::default(),
        };
        let by_pixels = evaluation::nearest_images(&values, &splits.train, args.k, device);
        let codes = evaluation::encode_values(model, &values, given, device)?;
        let by_codes = evaluation::nearest_codes(&codes, &train_codes, args.k);
        let (n, m) = (images.len(), unseen.len());
        Ok(Self { held_out: m, pixels: Space::of(by_pixels, n, m), codes: Space::of(by_codes, n, m) })
    }

    fn table(&self) -> String {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let line = |name: &str, found: Option<Memorisation>| {
            let [a, b, c] = [found.map(|f| f.samples), found.map(|f| f.yardstick), found.and_then(|f| f.ratio)];
            format!("{name:<40} {:>9} {:>9} {:>7}\n", number(a), number(b), number(c))
        };
        let head = format!("{:<40} {:>9} {:>9} {:>7}\n", "median distance to the nearest", "these", "those", "ratio");
        head + &line("pixels, beside held-out images", self.pixels.beside_held_out)
            + &line("pixels, beside their reconstructions", self.pixels.beside_reconstructions)
            + &line("codes, beside held-out images", self.codes.beside_held_out)
    }

    /// What the numbers say. Decoded means are smooth, and smooth images are near to everything: reconstructions of held-out images, as smooth as samples,
    /// are the fair yardstick for pixels.
    fn sentence(&self, what: &str) -> String {
        let Some((found, ratio)) = self.pixels.beside_reconstructions.and_then(|f| Some((f, f.ratio?))) else {
            return "No held-out images to compare with, or such as lie among the training images: nothing can be told."
                .into();
        };
        let share = 100.0 * found.nearer_than_most;
        let verdict = match ratio {
            ratio if ratio < 0.5 => "they look copied: compare the pictures",
            ratio if ratio < 0.8 => "nearer than unseen images explain: compare the pictures",
            _ if share > 10.0 => "most are new, some look copied: compare the pictures",
            _ => "no sign of copying",
        };
        format!(
            "The {what} are {ratio:.2} times as far from the nearest training image as reconstructions of images the model has never seen; {share:.0} % are \
             nearer than 99 % of those (1 % is expected): {verdict}."
        )
    }
}

/// In each row an image, a gap, its nearest training images by pixels, a gap, and its nearest by codes.
fn picture(run: &Run, train: &Subset, images: &Pictures, found: &Found, k: usize) -> anyhow::Result<Vec<u8>> {
    let layout = GridLayout { columns: 3 + 2 * k, scale: scale(run.shape), ..Default::default() };
    let size = run.shape.numel();
    let gap = vec![f32::from(layout.background) / 255.0; size];
    let mut pixels = Vec::new();
    for (i, image) in images.pixels.chunks_exact(size).take(DRAWN).enumerate() {
        pixels.extend_from_slice(image);
        for space in [&found.pixels, &found.codes] {
            pixels.extend_from_slice(&gap);
            let places: Vec<u32> = space.nearest[i].iter().map(|neighbour| neighbour.index as u32).collect();
            pixels.extend(generation::originals(train, &places, &run.device).pixels);
            (places.len()..k).for_each(|_| pixels.extend_from_slice(&gap));
        }
    }
    let [channels, height, width] = run.shape.dims();
    let grid = image_grid::image_grid(ImageBatch::new(&pixels, channels, height, width)?, layout)?;
    Ok(image_grid::png(&grid)?)
}

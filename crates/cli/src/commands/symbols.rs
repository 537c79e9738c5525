//! `elbo sample` of runs whose codes are symbols, and of models of symbols.

use elbo::data::batch::Given;
use elbo::generation::{decode_symbols, draw_symbols};
use elbo::models::{Ask, Encode, Generate, KeptSymbols};
use elbo::run::atomic;
use elbo::tasks::Run;
use serde_json::json;

use super::fitting::symbol_prior;
use super::pictures::{check_count, check_format, check_kind, check_number, ends_in, said, save, shown};
use super::source;
use crate::args::{Complete, KeepName, Sample};
use crate::output::Context;

/// Strongest guidance accepted, either way.
const MAX_GUIDANCE: f64 = 100.0;

/// Pictures of codes that the run's prior draws.
pub fn sample(run: &Run, args: &Sample, context: Context) -> anyhow::Result<u8> {
    check_choices(args)?;
    if args.codes.is_some() {
        let help = "codes that are symbols are what they are: remove the flag";
        return Err(elbo::Error::config("--codes", "nothing for codes that are symbols", "a kind", help).into());
    }
    let name = args.sampler.as_deref();
    if let Some(name) = name.filter(|name| ["normal", "gaussian", "mixture"].contains(name)) {
        let help = "`--sampler autoregressive`, or leave it away for the prior the run has";
        let expected = "a prior over symbols";
        return Err(elbo::Error::config("--sampler", expected, format!("`{name}`, which draws numbers"), help).into());
    }
    let prior = match symbol_prior(run, name, context)? {
        Ok(prior) => prior,
        Err(code) => return Ok(code),
    };
    let ask = ask(run, args, prior.classes())?;
    let symbols = drawn(prior.generator(), &ask)?;
    let pictures = decode_symbols(run.model.as_ref(), &symbols, shown(args.observation, args.seed), &run.device)?;
    save(run, &pictures, &args.target, 0, json!({ "prior": prior.name() }), context)?;
    Ok(0)
}

/// Rows of symbols of a model of symbols, as an array.
pub fn generate(run: &Run, generator: &dyn Generate, args: &Sample, context: Context) -> anyhow::Result<u8> {
    check_choices(args)?;
    if !ends_in(&args.target, "npy") {
        let found = args.target.out.display().to_string();
        let help = "for example `--out codes.npy`; `elbo sample` of the run whose codes these are decodes them";
        return Err(elbo::Error::config("--out", "a name that ends in .npy", found, help).into());
    }
    if let Some(sampler) = &args.sampler {
        let (found, help) = (format!("`{sampler}`"), "leave it away: this model draws symbols by itself");
        return Err(elbo::Error::config("sampler", "nothing for a model of symbols", found, help).into());
    }
    let ask = ask(run, args, &run.info.data.classes)?;
    let symbols: Vec<f32> = drawn(generator, &ask)?.into_iter().map(f32::from).collect();
    let shape = [args.n, run.shape.channels, run.shape.height, run.shape.width].map(|n| n as u64);
    atomic::write_file(&args.target.out, &super::encode::npy(&shape, &symbols)?)?;
    said(run, &args.target, args.n, json!({}), context)?;
    Ok(0)
}

fn drawn(generator: &dyn Generate, ask: &Ask) -> elbo::Result<Vec<u16>> {
    Ok(draw_symbols(generator, ask, &mut |_, _| true)?.unwrap_or_default())
}

/// Pictures whose codes are kept in part and drawn for the rest.
pub fn complete(args: &Complete, device: &str, context: Context) -> anyhow::Result<u8> {
    check_format(&args.target)?;
    check_count("--n", args.n)?;
    let opened = source::open_autoencoder(&args.source, device, "complete")?;
    let (run, split) = (&opened.run, opened.first());
    let Some(discrete) = run.model.discrete() else {
        let refused = run.model.discrete_or_refuse().map(|_| ());
        run.explained("complete", refused)?;
        return Ok(2);
    };
    check_kind(run, &args.target)?;
    let image = split.select(&source::checked(split, &[args.image], "--image")?);
    let prior = match symbol_prior(run, args.sampler.as_deref(), context)? {
        Ok(prior) => prior,
        Err(code) => return Ok(code),
    };
    let own = run.symbols(&image)?;
    let symbols: Vec<u32> = own.iter().map(|&symbol| u32::from(symbol)).collect();
    // The same part of each level.
    let is_kept = Encode::codes(discrete).iter().flat_map(|level| args.keep.of(level.shape)).collect();
    let kept = KeptSymbols { symbols: symbols.repeat(args.n), is_kept };
    let mut ask = Ask::new(args.n, args.seed).temperature(args.temperature).keeping(kept);
    if let (false, Some(class)) = (prior.classes().is_empty(), image.label(0)) {
        ask = ask.given(Given::of_class(class, args.n, &run.device));
    }
    let drawn = [own, drawn(prior.generator(), &ask)?].concat();
    let pictures = decode_symbols(run.model.as_ref(), &drawn, elbo::generation::ShowAs::Mean, &run.device)?;
    save(run, &pictures, &args.target, 0, json!({ "image": args.image, "prior": prior.name() }), context)?;
    Ok(0)
}

impl KeepName {
    /// Which symbols of a map `[channels, height, width]` are kept.
    fn of(self, [channels, height, width]: [usize; 3]) -> Vec<bool> {
        let place = |i: usize| (i / width % height, i % width);
        let kept = |(row, column): (usize, usize)| match self {
            Self::TopHalf => 2 * row < height,
            Self::BottomHalf => 2 * row >= height,
            Self::LeftHalf => 2 * column < width,
            Self::RightHalf => 2 * column >= width,
        };
        (0..channels * height * width).map(|i| kept(place(i))).collect()
    }
}

/// What is asked of a prior; `classes` are those it knows.
fn ask(run: &Run, args: &Sample, classes: &[String]) -> elbo::Result<Ask> {
    let ask = Ask::new(args.n, args.seed)
        .temperature(args.temperature)
        .truncation(args.truncation)
        .among(args.top_k, args.top_p.unwrap_or(1.0))
        .guidance(args.guidance.unwrap_or(1.0));
    let Some(name) = &args.class else { return Ok(ask) };
    if classes.is_empty() {
        let help = "train on data with classes, such as a folder with a sub-folder for each";
        return Err(elbo::Error::config("--class", "nothing: this prior was told no class", format!("`{name}`"), help));
    }
    match classes.iter().position(|class| class == name) {
        Some(place) => Ok(ask.given(Given::of_class(place as u32, args.n, &run.device))),
        None => {
            let help = "classes are named as in the data";
            Err(elbo::Error::config("--class", format!("one of {}", classes.join(", ")), format!("`{name}`"), help))
        }
    }
}

/// Refuses numbers that are none of a choice.
fn check_choices(args: &Sample) -> elbo::Result<()> {
    args.top_p
        .map_or(Ok(()), |share| check_number("--top-p", share, 1e-6..=1.0, "0.95 leaves out what is unlikely"))?;
    args.guidance
        .map_or(Ok(()), |w| check_number("--guidance", w, -MAX_GUIDANCE..=MAX_GUIDANCE, "1 is none, 2 some"))?;
    match args.top_k {
        Some(0) => Err(elbo::Error::config("--top-k", "at least 1 symbol", "0", "leave it away for all")),
        _ => Ok(()),
    }
}

/// Refuses flags of symbols for other codes.
pub fn refuse_choices(args: &Sample) -> elbo::Result<()> {
    let given = [
        ("--top-k", args.top_k.map(|k| k.to_string())),
        ("--top-p", args.top_p.map(|p| p.to_string())),
        ("--guidance", args.guidance.map(|w| w.to_string())),
    ];
    match given.into_iter().find_map(|(flag, value)| Some((flag, value?))) {
        None => Ok(()),
        Some((flag, value)) => {
            let help = "remove it, or sample a run whose codes are symbols, such as one of `mnist-vq`";
            Err(elbo::Error::config(flag, "nothing: the codes of this run are no symbols", value, help))
        }
    }
}

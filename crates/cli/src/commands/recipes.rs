//! `elbo recipes` and `elbo config`, and how settings become a configuration.

use elbo::data::table;
use elbo::priors::prior_config;
use elbo::recipe::{Layers, Recipe, RunConfig, StagedLayers, Stages, builtin, find};
use elbo::tasks::Reading;
use serde_json::json;
use std::path::Path;
use toml::Value;

use crate::args::{self, Config, Pictures, Recipes, Rows, Settings, Table};
use crate::output::Context;

/// Recipe, then `--set`, then the named flags. Without a recipe, the data decides: `table` for rows of numbers, else `digits`.
pub fn layers(settings: &Settings) -> elbo::Result<StagedLayers> {
    if let Some(recipe) = &settings.recipe {
        return layers_of(recipe, settings);
    }
    let layers = layers_of("digits", settings)?;
    match table::holds_rows(&layers.clone().build()?.first().data) {
        true => layers_of("table", settings),
        false => Ok(layers),
    }
}

/// A recipe with the flags, which are the first stage's.
fn layers_of(recipe: &str, settings: &Settings) -> elbo::Result<StagedLayers> {
    let mut staged = StagedLayers::from_recipe(recipe)?;
    // What is said of the data is said of these.
    let (sources, others): (Vec<&String>, Vec<&String>) =
        settings.set.iter().partition(|assignment| assignment.trim_start().starts_with("data.source"));
    sources.into_iter().try_for_each(|assignment| staged.set(assignment))?;
    if let Some(data) = &settings.data {
        staged.first_mut().put("data.source", data.clone().into())?;
    }
    for assignment in others {
        staged.set(assignment)?;
    }
    put_flags(staged.first_mut(), settings)?;
    Ok(staged)
}

/// The configuration of a prior over codes of `latent` numbers, by the recipe that is named or the `usual` one; `seed` is that of the run.
pub fn of_prior(settings: &Settings, usual: &str, latent: usize, seed: u64) -> elbo::Result<RunConfig> {
    let mut layers = Layers::from_recipe(settings.recipe.as_deref().unwrap_or(usual))?;
    put_flags(&mut layers, settings)?;
    prior_config(layers, latent, settings.seed.unwrap_or(seed), &settings.set)
}

/// Of settings for a prior: how the data of its run are read, and what is left for the prior itself.
pub fn of_parent(settings: &Settings) -> elbo::Result<(Reading, Settings)> {
    let of_run = |assignment: &String| {
        let key = assignment.split('=').next().unwrap_or_default().trim();
        Reading::KEYS.contains(&key)
    };
    let (set, rest): (Vec<String>, Vec<String>) = settings.set.iter().cloned().partition(of_run);
    let Settings { data, pictures, table, .. } = settings;
    let reading = reading(data.as_ref(), pictures, &table.rows, &set)?;
    let table = Table { rows: Rows::default(), ..table.clone() };
    Ok((reading, Settings { data: None, pictures: Pictures::default(), table, set: rest, ..settings.clone() }))
}

/// The named flags.
fn put_flags(layers: &mut Layers, settings: &Settings) -> elbo::Result<()> {
    if let Some(precision) = &settings.precision {
        layers.put("training.precision", precision.clone().into())?;
    }
    put_pictures(layers, &settings.pictures)?;
    put_table(layers, &settings.table)?;
    let numbers = [
        ("training.epochs", settings.epochs),
        ("training.batch_size", settings.batch_size),
        ("training.seed", settings.seed),
    ];
    for (key, value) in numbers {
        if let Some(value) = value {
            let value = i64::try_from(value).map_err(|_| {
                let expected = format!("a number up to {}", i64::MAX);
                elbo::Error::config(key, expected, value.to_string(), "choose a smaller number")
            })?;
            layers.put(key, value.into())?;
        }
    }
    Ok(())
}

/// The flags about pictures, as settings.
pub fn put_pictures(layers: &mut Layers, pictures: &Pictures) -> elbo::Result<()> {
    of_pictures(pictures).into_iter().try_for_each(|(key, value)| layers.put(key, value))
}

fn of_pictures(pictures: &Pictures) -> Vec<(&'static str, Value)> {
    let texts =
        [("data.size", &pictures.size), ("data.fit", &pictures.fit), ("data.on_bad_image", &pictures.on_bad_image)];
    let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text.clone()?.into())));
    texts.chain(pictures.channels.map(|channels| ("data.channels", channels.into()))).collect()
}

fn of_rows(rows: &Rows) -> Vec<(&'static str, Value)> {
    let texts = [("data.label", &rows.label), ("data.id", &rows.id), ("data.missing", &rows.missing)];
    texts.into_iter().filter_map(|(key, text)| Some((key, text.clone()?.into()))).collect()
}

/// How a run's data are read, and where they are.
pub fn reading(data: Option<&String>, pictures: &Pictures, rows: &Rows, set: &[String]) -> elbo::Result<Reading> {
    let mut reading = Reading::default();
    reading.data = data.cloned();
    set.iter().try_for_each(|assignment| reading.set(assignment))?;
    let flags = of_pictures(pictures).into_iter().chain(of_rows(rows));
    flags.into_iter().try_for_each(|(key, value)| reading.put(key, value))?;
    Ok(reading)
}

impl args::Reading {
    /// As the library has it.
    pub fn settings(&self) -> elbo::Result<Reading> {
        reading(None, &self.pictures, &self.rows, &self.set)
    }
}

impl args::Own {
    /// As the library has it.
    pub fn settings(&self) -> elbo::Result<Reading> {
        let args::Reading { pictures, rows, set } = &self.reading;
        reading(self.data.as_ref(), pictures, rows, set)
    }
}

/// The flags about tables, as settings.
pub fn put_table(layers: &mut Layers, table: &Table) -> elbo::Result<()> {
    of_rows(&table.rows).into_iter().try_for_each(|(key, value)| layers.put(key, value))?;
    match table.columns.is_empty() {
        true => Ok(()),
        false => layers.put("data.columns", table.columns.clone().into()),
    }
}

/// A path as the run must remember it: `elbo resume` may be called from another folder. Names stay as they are.
pub fn absolute(data: &str) -> String {
    let name = ["digits", "sprites"].contains(&data) || elbo::data::known::known_names().any(|known| known == data);
    let path = Path::new(data).canonicalize().ok().filter(|_| !name);
    path.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| data.to_owned())
}

pub fn recipes(args: &Recipes, context: Context) -> anyhow::Result<()> {
    if let Some(name) = &args.name {
        let recipe = find(name)?;
        return context.result(json!({ "name": recipe.name, "toml": recipe.text }), || recipe.text.to_owned());
    }
    let stages = |recipe: &Recipe| StagedLayers::from_text(recipe.name, recipe.text)?.build();
    let stages: Vec<Stages> = builtin().iter().map(stages).collect::<elbo::Result<_>>()?;
    let configs: Vec<&RunConfig> = stages.iter().map(Stages::first).collect();
    let list: Vec<_> =
        configs.iter().map(|c| json!({ "name": c.name, "about": c.about, "data": c.data.source })).collect();
    context.result(json!({ "recipes": list }), || {
        configs.iter().map(|c| format!("{:<14} {}\n", c.name, c.about)).collect()
    })
}

pub fn config(args: Config, context: Context) -> anyhow::Result<()> {
    if args.docs {
        return super::key_reference::print(context);
    }
    let stages = layers(&args.settings)?.build()?;
    let config = stages.first();
    if args.model {
        return super::model::model(config, args.shape, context);
    }
    let text = || stages.to_toml();
    match stages.later().is_empty() {
        true => context.result(json!({ "config": config }), text),
        false => context.result(json!({ "config": config, "stages": stages.later() }), text),
    }
}

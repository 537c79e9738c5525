//! Defaults, recipe and settings, merged key by key.

use std::path::Path;

use serde::de::{DeserializeSeed, Error as _};
use toml::{Table, Value};

use super::builtin;
use super::config::{RunConfig, check_format};
use super::key_reference::{Part, parts};
use crate::data::DataConfig;
use crate::data::known::known_names;
use crate::error::{Error, Result};
use crate::models::{KINDS, Kind, WholeConfig};
use crate::suggest::did_you_mean;

/// A configuration in the making.
///
/// ```
/// use elbo::recipe::Layers;
///
/// let mut layers = Layers::from_text("mine.toml", "[training]\nepochs = 3")?;
/// let error = layers.set("training.epcohs=5").unwrap_err();
/// assert!(error.help().contains("did you mean `training.epochs`?"), "{}", error.help());
/// # Ok::<(), elbo::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Layers {
    table: Table,
}

/// What stands for the prior that is trained, in settings.
const PRIOR: &str = "prior";

/// Longest recipe file accepted.
const MAX_BYTES: u64 = 1 << 20;

impl Layers {
    /// Starts from a built-in recipe's name or a path to a TOML file.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown name or a bad file (with line and column), [`Error::Io`] for an unreadable one.
    pub fn from_recipe(name: &str) -> Result<Self> {
        let (origin, text) = recipe_text(name)?;
        Self::from_text(&origin, &text)
    }

    /// Starts from a built-in recipe and nothing else: the name is no path.
    ///
    /// # Errors
    /// [`Error::Config`] listing the names there are.
    pub fn from_builtin(name: &str) -> Result<Self> {
        let recipe = builtin::find(name)?;
        Self::from_text(recipe.name, recipe.text)
    }

    /// Starts from tables that are known to be TOML.
    ///
    /// # Errors
    /// [`Error::Config`] if a key is unknown or of another type.
    pub fn from_table(table: &Table) -> Result<Self> {
        let layers = Self { table: table.clone() };
        layers.parse().map(|_| layers)
    }

    /// The tables that were given, without defaults.
    pub(super) fn into_table(self) -> Table {
        self.table
    }

    /// Starts from TOML text; `origin` is named in errors.
    ///
    /// # Errors
    /// [`Error::Config`] with line and column for bad syntax, unknown keys and wrong types.
    pub fn from_text(origin: &str, text: &str) -> Result<Self> {
        let table: Table = text.parse().map_err(|error| explain_text(origin, text, &error))?;
        // Before the keys, which a newer version may have more of.
        if let Some(Value::Integer(format)) = table.get("format") {
            check_format(*format)?;
        }
        // Read once as a whole configuration: only here do errors know their line.
        let located = |error| explain_text(origin, text, &error);
        WholeConfig(&table).deserialize(toml::Deserializer::parse(text).map_err(located)?).map_err(located)?;
        let _: RunConfig = toml::from_str(text).map_err(located)?;
        Ok(Self { table })
    }

    /// Sets `a.b=value`, value in TOML; what is not TOML is taken as a string, so `--set model.kind=ae` needs no quotes.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no `=` or the key is unknown or of another type.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let (key, value) = Self::assignment(assignment)?;
        self.put(&key, value)
    }

    /// Key and value of `a.b=value`, value in TOML or a plain word.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no `=`.
    pub fn assignment(assignment: &str) -> Result<(String, Value)> {
        let Some((key, value)) = assignment.split_once('=') else {
            let help = "for example `--set optimizer.lr=3e-4`";
            return Err(Error::config("set", "key=value", format!("`{assignment}`"), help));
        };
        let (key, value) = (key.trim(), value.trim());
        let parsed = format!("v = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
        Ok((key.to_owned(), parsed.unwrap_or_else(|| Value::String(value.to_owned()))))
    }

    /// Sets a dotted key.
    ///
    /// # Errors
    /// [`Error::Config`] if the key is unknown or of another type.
    pub fn put(&mut self, key: &str, value: Value) -> Result<()> {
        check_key(key)?;
        let mut table = &mut self.table;
        let (path, last) = key.rsplit_once('.').unwrap_or(("", key));
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let entry = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            table = match entry {
                Value::Table(inner) => inner,
                _ => return Err(Error::config(key, format!("`{part}` to be a table"), "a value", known_keys(key))),
            };
        }
        table.insert(last.to_owned(), value);
        let config = self.parse()?;
        if key == "data.source" {
            self.forget_idle_keys(&config.data);
        }
        Ok(())
    }

    /// Forgets what was said of `[data]` before the source was another, where it does nothing for the new one: a recipe's `data.count` is about
    /// its digits.
    fn forget_idle_keys(&mut self, data: &DataConfig) {
        if let Some(Value::Table(table)) = self.table.get_mut("data") {
            data.idle_keys().into_iter().for_each(|key| drop(table.remove(key)));
        }
    }

    /// Sets a dotted key that neither recipe nor settings name, where the model has it.
    ///
    /// # Errors
    /// As [`Layers::put`].
    pub fn put_where_missing(&mut self, key: &str, value: Value) -> Result<()> {
        let Some((table, last)) = key.split_once('.') else { return self.put(key, value) };
        let given = self.table.get(table).and_then(|table| table.get(last)).is_some();
        let has = table != "model" || self.model_keys()?.contains(&last);
        if given || !has { Ok(()) } else { self.put(key, value) }
    }

    /// The keys of the family of models it chooses.
    fn model_keys(&self) -> Result<&'static [&'static str]> {
        let chosen = self.parse()?.model.kind();
        Ok(KINDS.iter().find(|kind| kind.name == chosen).map_or(&[], |kind| kind.keys))
    }

    /// [`Layers::set`] for a prior: `prior.KEY` or `NAME.KEY`, with the recipe's name, is a key of its own. A key of one part is looked for in
    /// `[model]`, `[network]`, `[training]`, `[optimizer]` and the other tables, in this order.
    ///
    /// # Errors
    /// As [`Layers::set`].
    pub fn set_of_prior(&mut self, assignment: &str) -> Result<()> {
        let Some((key, value)) = assignment.split_once('=') else { return self.set(assignment) };
        let config = self.parse()?;
        let own =
            [PRIOR, config.name.as_str()].iter().find_map(|name| key.trim().strip_prefix(*name)?.strip_prefix('.'));
        let Some(own) = own else { return self.set(assignment) };
        if own.contains('.') {
            return self.set(&format!("{own}={value}"));
        }
        let effective: Table = config.to_toml().parse().unwrap_or_default();
        let keys = all_keys();
        let has = |table: &&&str| match **table {
            "model" => self.model_keys().is_ok_and(|keys| keys.contains(&own)),
            // A table whose keys depend on its kind has those that it shows.
            "network" => effective.get("network").is_some_and(|network| network.get(own).is_some()),
            table => keys.contains(&format!("{table}.{own}")),
        };
        let tables = ["model", "network", "training", "optimizer", "schedule", "early_stopping", "loss", "data"];
        match tables.iter().find(has) {
            Some(table) => self.set(&format!("{table}.{own}={value}")),
            None => {
                let (found, help) = (format!("`{own}`"), known_keys(own));
                Err(Error::config(key.trim(), format!("a key of the prior `{}`", config.name), found, help))
            }
        }
    }

    /// Sets a dotted key or, for a table, all that is in it; `kind` first, since other keys depend on it.
    ///
    /// # Errors
    /// As [`Layers::put`].
    pub(super) fn put_all(&mut self, key: &str, value: &Value) -> Result<()> {
        let Value::Table(table) = value else { return self.put(key, value.clone()) };
        let (kinds, others): (Vec<_>, Vec<_>) = table.iter().partition(|(name, _)| *name == "kind");
        kinds.into_iter().chain(others).try_for_each(|(name, value)| self.put_all(&format!("{key}.{name}"), value))
    }

    /// The complete, checked configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first bad key.
    pub fn build(self) -> Result<RunConfig> {
        let config = self.parse()?;
        config.check()?;
        Ok(config)
    }

    /// The cure for a key of the recipe's own model where another one was chosen on top of it; none for any other key.
    fn of_another_family(&self, path: &str) -> Option<String> {
        let chosen = self.table.get("model")?.get("kind")?.as_str()?;
        let key = path.strip_prefix("model.")?;
        let has = |kind: &Kind| kind.keys.contains(&key);
        if has(KINDS.iter().find(|kind| kind.name == chosen)?) || !KINDS.iter().any(has) {
            return None;
        }
        let recipes = builtin::builtin().iter().filter(|recipe| kind_of(recipe.text).as_deref() == Some(chosen));
        let names: Vec<String> = recipes.map(|recipe| format!("`{}`", recipe.name)).collect();
        let from = if names.is_empty() { "a TOML file of your own".to_owned() } else { names.join(", ") };
        let whole = format!("`--set 'model={{kind=\"{chosen}\"}}'` replaces the whole table");
        Some(format!("`{key}` belongs to models of another kind: {whole}, or start from {from}"))
    }

    fn parse(&self) -> Result<RunConfig> {
        let value = || Value::Table(self.table.clone());
        let mut track = serde_path_to_error::Track::new();
        let model = WholeConfig(&self.table).deserialize(serde_path_to_error::Deserializer::new(value(), &mut track));
        if let Err(error) = model {
            return Err(match explain(&track.path().to_string(), error.message()) {
                Error::Config { key, expected, found, help } => {
                    let help = self.of_another_family(&key).unwrap_or(help);
                    Error::Config { key, expected, found, help }
                }
                other => other,
            });
        }
        serde_path_to_error::deserialize(value()).map_err(|error| {
            let path = error.path().to_string();
            explain(&path, error.inner().message())
        })
    }
}

/// The kind of model that a recipe's first stage chooses.
fn kind_of(text: &str) -> Option<String> {
    let table: Table = text.parse().ok()?;
    let stage = table.get("stage").and_then(Value::as_array).and_then(|stages| stages.first()?.as_table());
    Some(stage.unwrap_or(&table).get("model")?.get("kind")?.as_str()?.to_owned())
}

/// The text of a built-in recipe or of a TOML file, and what it is called in errors.
pub(super) fn recipe_text(name: &str) -> Result<(String, String)> {
    if let Ok(recipe) = builtin::find(name) {
        return Ok((recipe.name.to_owned(), recipe.text.to_owned()));
    }
    let path = Path::new(name);
    if !path.is_file() {
        return Err(unknown_recipe(name));
    }
    if matches!(path.extension().and_then(|e| e.to_str()), Some("pt" | "pth" | "ckpt" | "pkl")) {
        let help = "a `.pt` file is a pickle and can run code: it is not loaded; give a recipe in TOML";
        return Err(Error::config("recipe", "a TOML file", format!("`{name}`"), help));
    }
    let size = std::fs::metadata(path).map_err(Error::io(path, "read"))?.len();
    if size > MAX_BYTES {
        let (expected, found) = (format!("at most {MAX_BYTES} bytes"), format!("{size} bytes"));
        return Err(Error::config("recipe", expected, found, "this is no recipe"));
    }
    let bytes = std::fs::read(path).map_err(Error::io(path, "read"))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::config("recipe", "TOML text in UTF-8", format!("`{name}`, which is not"), "give a TOML file")
    })?;
    Ok((name.to_owned(), text))
}

/// Refuses what cannot be the name of a setting, before it is taken apart at its dots.
fn check_key(key: &str) -> Result<()> {
    let named = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if key.split('.').all(named) {
        return Ok(());
    }
    let expected = "a dotted key such as `training.epochs`";
    Err(Error::config("set", expected, format!("`{key}`"), known_keys(key)))
}

fn unknown_recipe(name: &str) -> Error {
    match builtin::find(name).expect_err("looked for before") {
        Error::Config { key, expected, found, .. }
            if ["sprites"].into_iter().chain(known_names()).any(|n| n == name) =>
        {
            let help = format!("`{name}` is a data set: `elbo train --data {name}`");
            Error::Config { key, expected, found, help }
        }
        other => other,
    }
}

/// `message` in our words: serde says "unknown field `x`, expected one of `a`, `b`" or "invalid type: string "x", expected u64".
fn explain(path: &str, message: &str) -> Error {
    let message = message.lines().next().unwrap_or_default();
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, "a valid value"));
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    let unknown = found.starts_with("unknown field").then(|| quoted(found)).flatten();
    let key = match &unknown {
        // The path of an unknown field may or may not name the field itself.
        Some(field) if path == "." || path.is_empty() => field.clone(),
        Some(field) if path == field || path.ends_with(&format!(".{field}")) => path.to_owned(),
        Some(field) => format!("{path}.{field}"),
        None => path.to_owned(),
    };
    let help = unknown.map_or_else(|| "see `elbo config` for every key with its value".into(), |_| known_keys(&key));
    Error::config(key, in_words(expected), found_in_words(found), help)
}

/// What is expected, without the names of Rust's types.
pub(super) fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u8" => "a whole number of at least 0",
        "f64" | "f32" => "a number",
        "a sequence" => "a list, for example [400, 200]",
        "an array of length 2" => "a list of two numbers",
        other => other,
    }
}

/// `integer `-1`` instead of `invalid value: integer `-1``.
fn found_in_words(found: &str) -> &str {
    ["invalid value: ", "invalid type: "].iter().find_map(|start| found.strip_prefix(start)).unwrap_or(found)
}

fn explain_text(origin: &str, text: &str, error: &toml::de::Error) -> Error {
    let message = error.message();
    let plain = explain("", message);
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let shown = text.lines().nth(line - 1).unwrap_or_default().trim();
    let (expected, found) = match &plain {
        Error::Config { expected, found, .. } => (expected.clone(), found.clone()),
        _ => (toml::de::Error::custom("").message().to_owned(), message.to_owned()),
    };
    Error::config(format!("{origin}:{line}"), expected, format!("{found} in `{shown}`"), plain.help())
}

/// Every key of a configuration, dotted, and the names of its tables; those of a configuration that says nothing come first, since they are
/// meant more often.
fn all_keys() -> Vec<String> {
    let (mut usual, others): (Vec<Part>, Vec<Part>) = parts().into_iter().partition(Part::is_usual);
    usual.sort_by_key(|part| part.table);
    let mut keys: Vec<String> = Vec::new();
    let mut add = |key: String| {
        if !keys.contains(&key) {
            keys.push(key);
        }
    };
    for part in usual.iter().chain(&others) {
        part.own_fields().for_each(|field| add(part.dotted(field.name)));
        if part.kind.is_some() {
            add(part.dotted("kind"));
        }
        if !part.table.is_empty() {
            add(part.table.to_owned());
        }
    }
    keys
}

fn known_keys(key: &str) -> String {
    let keys = all_keys();
    let full = || keys.iter().map(String::as_str);
    let last = |k: &'_ str| k.rsplit('.').next().unwrap_or_default().to_owned();
    let named = |name: &str| full().find(|known| last(known) == name);
    let lasts: Vec<String> = full().map(last).collect();
    let meant = named(&last(key))
        .or_else(|| did_you_mean(key, full()))
        .or_else(|| named(did_you_mean(&last(key), lasts.iter().map(String::as_str))?));
    match meant {
        Some(meant) if meant != key => format!("did you mean `{meant}`? `elbo config` shows every key"),
        _ => "`elbo config` shows every key with its value".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_accepted_is_suggested() {
        let known = all_keys();
        let plain = ["data", "augment", "model", "network", "loss", "optimizer", "training"].map(|table| (table, ""));
        let schedules = ["kind = 'cosine'", "kind = 'step'", "kind = 'stages'"].map(|kind| ("schedule", kind));
        for (table, kind) in plain.into_iter().chain(schedules) {
            let error = toml::from_str::<RunConfig>(&format!("[{table}]\n{kind}\nno_such_key = 1")).unwrap_err();
            let accepted: Vec<_> = error.message().split('`').skip(3).step_by(2).collect();
            assert!(!accepted.is_empty(), "{error}");
            for key in accepted {
                assert!(known.contains(&format!("{table}.{key}")), "{table}.{key} is missing");
            }
        }
    }

    #[test]
    fn a_key_of_another_family_names_recipes_of_the_chosen_one() {
        let without: Vec<_> = KINDS.iter().filter(|kind| !kind.keys.contains(&"latent")).collect();
        assert!(without.len() >= 3);
        for kind in without {
            let mut layers = Layers::from_recipe("digits").unwrap();
            let error = layers.set(&format!("model.kind={}", kind.name)).and_then(|()| layers.build()).unwrap_err();
            let named = error.help().split_once("start from ").expect("a recipe to start from").1;
            // The cure works: the first of them is of that kind.
            let recipe = builtin::find(named.split('`').nth(1).expect("a name")).unwrap();
            assert_eq!(kind_of(recipe.text).as_deref(), Some(kind.name), "{error}");
        }
    }

    fn layers() -> Layers {
        Layers::from_text("test", "").unwrap()
    }

    #[test]
    fn later_layers_win_key_by_key() {
        let mut layers = Layers::from_text("test", "[training]\nepochs = 3\nseed = 9").unwrap();
        layers.set("training.epochs=5").unwrap();
        layers.set("model.kind=ae").unwrap();
        layers.set("network.hidden=[64, 32]").unwrap();
        let config = layers.build().unwrap();
        assert_eq!((config.training.epochs, config.training.seed), (5, 9));
        assert_eq!(config.network, crate::networks::NetworkConfig::mlp(&[64, 32]));
        assert_eq!(config.model.kind(), "ae");
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        let cases = [
            ("training.epcohs=3", "training.epcohs", "training.epochs"),
            ("epochs=3", "epochs", "training.epochs"),
            ("trainig.epochs=3", "trainig", "did you mean `training`?"),
            ("batchsize=3", "batchsize", "training.batch_size"),
            ("training.epochs=-3", "training.epochs", ""),
            ("training.epochs=many", "training.epochs", ""),
            ("network.hidden=[9223372036854775807]", "network.hidden", ""),
            ("model.kind=gan", "model.kind", ""),
            ("training", "set", "--set"),
            ("../../etc=1", "../../etc", ""),
            ("model..latent=1", "model..latent", "model.latent"),
            ("=1", "set", ""),
            ("network.hidden=[1e99999]", "network.hidden", ""),
        ];
        for (assignment, key, help) in cases {
            let mut layers = layers();
            let error = layers.set(assignment).and_then(|()| layers.build().map(|_| ())).unwrap_err();
            assert!(error.to_string().contains(key), "{assignment}: {error}");
            assert!(error.help().contains(help), "{assignment}: {}", error.help());
        }
    }

    #[test]
    fn types_are_told_in_words() {
        let message = |assignment: &str| layers().set(assignment).unwrap_err().to_string();
        let expected = "`model.latent`: expected a whole number of at least 0, found integer `-1`";
        assert_eq!(message("model.latent=-1"), expected);
        let expected = "`network.hidden`: expected a list, for example [400, 200], found integer `400`";
        assert_eq!(message("network.hidden=400"), expected);
    }

    #[test]
    fn the_format_version_is_looked_at_before_the_keys() {
        let error = Layers::from_text("new.toml", "format = 9\n[quantum]\nspin = 1").unwrap_err().to_string();
        assert!(error.contains("version 9"), "{error}");
    }

    #[test]
    fn a_data_set_is_not_a_recipe() {
        let error = Layers::from_recipe("mnist").unwrap_err();
        assert!(error.help().contains("elbo train --data mnist"), "{}", error.help());
    }

    #[test]
    fn mistakes_in_a_file_name_their_line() {
        let text = "name = \"x\"\n[training]\nepochs = 3\nbatchsize = 4\n";
        let error = Layers::from_text("mine.toml", text).unwrap_err();
        assert!(error.to_string().starts_with("`mine.toml:4`"), "{error}");
        assert!(error.to_string().contains("batchsize = 4"), "{error}");
        let error = Layers::from_text("mine.toml", "a = [").unwrap_err();
        assert!(error.to_string().contains("mine.toml:1"), "{error}");
    }

    #[test]
    fn a_pickle_is_never_taken_for_a_recipe() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.pt");
        std::fs::write(&path, b"\x80\x02").unwrap();
        let error = Layers::from_recipe(path.to_str().unwrap()).unwrap_err();
        assert!(error.help().contains("pickle"), "{error}");
    }
}

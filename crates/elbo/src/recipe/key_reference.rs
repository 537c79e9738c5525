//! The reference of all settings: each key with what it takes, its default and what it means.
//!
//! Nothing in it is written by hand. Meanings are the doc comments of the configuration's structs, defaults come from
//! the effective configuration, and what a key takes is what the parser says it expected when it is given nonsense.

use serde::Deserialize;
use serde::Serialize;
use toml::{Table, Value};

use super::config::RunConfig;
use super::layers::in_words;
use crate::data::DataConfig;
use crate::data::augment::Augment;
use crate::models::{Capacity, KINDS, ModelConfig, ObjectiveConfig};
use crate::networks::{ConvConfig, MlpConfig, NetworkConfig, QuantizerConfig, ResidualConfig, ResnetConfig};
use crate::reference::{Field, Fields, Variants, first_paragraph};
use crate::training::{EarlyStopping, OptimizerConfig, Schedule, TrainingConfig};

/// A table of the configuration; where its keys depend on its `kind`, those of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TableReference {
    /// Its dotted name; empty for the keys outside of tables.
    pub table: String,
    /// The value of the table's key `kind` that its keys come with.
    pub kind: Option<&'static str>,
    /// What it is about.
    pub about: String,
    /// Its keys, in order.
    pub keys: Vec<KeyReference>,
}

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct KeyReference {
    /// Its dotted name, as `--set` takes it.
    pub key: String,
    /// What it takes, in the parser's words.
    pub expected: String,
    /// Its value in TOML where nothing is said; none where that is the absence of the key, or where it must be given.
    pub default: Option<String>,
    /// Whether the table is refused without it.
    pub required: bool,
    /// What it means.
    pub about: String,
}

/// Keys that are written down together: a table, or what it has with one value of `kind`.
pub(super) struct Part {
    pub(super) table: &'static str,
    pub(super) kind: Option<&'static str>,
    about: String,
    pub(super) fields: &'static [Field],
}

/// Every part of a configuration, in the order of its file.
pub(super) fn parts() -> Vec<Part> {
    let part = |table, fields| Part { table, kind: None, about: about_table(table), fields };
    let of_kind = |table, kind, about, fields| Part { table, kind: Some(kind), about, fields };
    let models = KINDS.iter().map(|kind| of_kind("model", kind.name, format!("{}.", kind.about), kind.fields));
    let networks = NetworkConfig::VARIANTS.iter().map(|network| {
        let about = first_paragraph(network.docs);
        of_kind("network", network.name, about, network_fields(network.name))
    });
    let schedules = Schedule::VARIANTS
        .iter()
        .map(|schedule| of_kind("schedule", schedule.name, first_paragraph(schedule.docs), schedule.fields));
    [part("", RunConfig::FIELDS), part("data", DataConfig::FIELDS), part("augment", Augment::FIELDS)]
        .into_iter()
        .chain(models)
        .chain(networks)
        .chain([
            part("network.residual", ResidualConfig::FIELDS),
            part("quantizer", QuantizerConfig::FIELDS),
            part("loss", ObjectiveConfig::FIELDS),
            part("loss.capacity", Capacity::FIELDS),
            part("optimizer", OptimizerConfig::FIELDS),
        ])
        .chain(schedules)
        .chain([part("early_stopping", EarlyStopping::FIELDS), part("training", TrainingConfig::FIELDS)])
        .collect()
}

fn network_fields(kind: &str) -> &'static [Field] {
    match kind {
        "conv" => ConvConfig::FIELDS,
        "resnet" => ResnetConfig::FIELDS,
        _ => MlpConfig::FIELDS,
    }
}

/// The doc comment of the field that holds a table.
fn about_table(table: &str) -> String {
    if table.is_empty() {
        return "What stands above the tables of a file.".to_owned();
    }
    let fields = [("", RunConfig::FIELDS), ("loss.", ObjectiveConfig::FIELDS), ("network.", ConvConfig::FIELDS)];
    let named = fields.iter().find_map(|(prefix, fields)| {
        let name = table.strip_prefix(prefix)?;
        fields.iter().find(|field| field.name == name)
    });
    named.map(|field| first_paragraph(field.docs)).unwrap_or_default()
}

impl Part {
    /// Whether it is there in a configuration that says nothing.
    pub(super) fn is_usual(&self) -> bool {
        match (self.table, self.kind) {
            ("model", kind) => kind == Some(ModelConfig::default().kind()),
            ("network", kind) => kind == Some("mlp"),
            ("schedule", _) | ("quantizer" | "loss.capacity" | "network.residual", None) => false,
            _ => true,
        }
    }

    /// Its own keys: those of a whole configuration are the few that are no tables.
    pub(super) fn own_fields(&self) -> impl Iterator<Item = &'static Field> {
        let whole = self.table.is_empty();
        self.fields.iter().filter(move |field| !whole || VALUES.contains(&field.name))
    }

    pub(super) fn dotted(&self, key: &str) -> String {
        if self.table.is_empty() { key.to_owned() } else { format!("{}.{key}", self.table) }
    }

    /// A configuration that holds this part, with the keys that it is refused without.
    fn stand_in(&self) -> (Table, Vec<String>) {
        let (mut config, mut required) = (Table::new(), Vec::new());
        let table = self.table_in(&mut config);
        table.extend(self.kind.map(|kind| ("kind".to_owned(), Value::from(kind))));
        while let Err(message) = read(&config) {
            let Some(missing) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) else {
                break;
            };
            self.table_in(&mut config).insert(missing.to_owned(), Value::from(1.0));
            required.push(missing.to_owned());
        }
        (config, required)
    }

    /// The table itself in a configuration, made where it is not there.
    fn table_in<'a>(&self, config: &'a mut Table) -> &'a mut Table {
        if self.table.starts_with("network.") {
            let network = config.entry("network").or_insert_with(|| Value::Table(Table::new()));
            network.as_table_mut().expect("made a table").insert("kind".to_owned(), "conv".into());
        }
        self.table.split('.').filter(|name| !name.is_empty()).fold(config, |table, name| {
            let inner = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
            inner.as_table_mut().expect("only tables were put there")
        })
    }

    fn reference(&self) -> TableReference {
        let (config, required) = self.stand_in();
        let mut effective: Table =
            read(&config).ok().and_then(|config| config.to_toml().parse().ok()).unwrap_or_default();
        let defaults = self.table_in(&mut effective);
        let keys = self.own_fields().map(|field| {
            let required = required.iter().any(|name| name == field.name);
            let default = defaults.get(field.name).filter(|value| !required && !value.is_table());
            KeyReference {
                key: self.dotted(field.name),
                expected: self.expected(&config, field.name),
                default: default.map(ToString::to_string),
                required,
                about: first_paragraph(field.docs),
            }
        });
        TableReference {
            table: self.table.to_owned(),
            kind: self.kind,
            about: self.about.clone(),
            keys: keys.collect(),
        }
    }

    /// What the parser says it expected for a key instead of nonsense: a text, or where texts are taken a truth value.
    fn expected(&self, config: &Table, key: &str) -> String {
        let nonsense = [Value::from("\u{2205}"), Value::from(true)];
        let refusal = nonsense.into_iter().find_map(|value| {
            let mut config = config.clone();
            self.table_in(&mut config).insert(key.to_owned(), value);
            read(&config).err()
        });
        let message = refusal.unwrap_or_default();
        match message.split_once(", expected ") {
            Some((_, "a sequence" | "an array of length 0")) => "a list".to_owned(),
            Some((_, expected))
                if ["struct ", "internally tagged", "a map"].iter().any(|kind| expected.starts_with(kind)) =>
            {
                "a table".to_owned()
            }
            Some((_, expected)) => in_words(expected.trim_end()).to_owned(),
            None => "see there".to_owned(),
        }
    }
}

/// The fields of a configuration that are no tables.
const VALUES: [&str; 3] = ["format", "name", "about"];

/// A configuration, or the first line of why it is none.
fn read(config: &Table) -> Result<RunConfig, String> {
    RunConfig::deserialize(Value::Table(config.clone()))
        .map_err(|error| error.message().lines().next().unwrap_or_default().to_owned())
}

/// Every table of a configuration with its keys, in the order of its file.
///
/// ```
/// let tables = elbo::recipe::key_reference();
/// let loss = tables.iter().find(|table| table.table == "loss").unwrap();
/// assert_eq!((loss.keys[0].key.as_str(), loss.keys[0].default.as_deref()), ("loss.beta", Some("1.0")));
/// assert_eq!(loss.keys[0].expected, "a number");
/// ```
pub fn key_reference() -> Vec<TableReference> {
    parts().iter().map(Part::reference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_explained_and_says_what_it_takes() {
        for table in key_reference() {
            assert!(!table.about.is_empty(), "[{}] {:?} says nothing of itself", table.table, table.kind);
            for key in &table.keys {
                assert!(key.about.split_whitespace().count() >= 3, "`{}` says only `{}`", key.key, key.about);
                assert!(!key.about.contains("]("), "`{}` has a link in `{}`", key.key, key.about);
                assert!(key.expected != "see there", "`{}` takes anything", key.key);
            }
        }
    }

    /// The derives read the same fields as serde: what a family lists as its keys, and what the parser lists.
    #[test]
    fn the_documented_keys_are_the_keys_of_the_parser() {
        for kind in KINDS {
            let names: Vec<&str> = kind.fields.iter().map(|field| field.name).collect();
            assert_eq!(names, kind.keys, "{}", kind.name);
        }
        // `[network]` is read by way of one struct with the keys of all kinds, and serde lets a variant without keys take any.
        for part in parts().iter().filter(|part| part.table != "network" && !part.fields.is_empty()) {
            let (mut config, _) = part.stand_in();
            part.table_in(&mut config).insert("no_such_key".to_owned(), Value::from(1));
            let message = read(&config).unwrap_err();
            let accepted: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
            let names: Vec<&str> = part.fields.iter().map(|field| field.name).collect();
            assert_eq!(names, accepted, "[{}] {:?}: {message}", part.table, part.kind);
        }
    }

    #[test]
    fn what_must_be_given_has_no_default() {
        let tables = key_reference();
        let step = tables.iter().find(|table| table.kind == Some("step")).unwrap();
        assert!(step.keys.iter().all(|key| key.required && key.default.is_none()));
        let cosine = tables.iter().find(|table| table.kind == Some("cosine")).unwrap();
        assert_eq!(cosine.keys[0].default.as_deref(), Some("0.0"));
    }

    #[test]
    fn choices_are_named() {
        let tables = key_reference();
        let key = |name: &str| tables.iter().flat_map(|table| &table.keys).find(|key| key.key == name).unwrap();
        assert!(key("data.fit").expected.contains("`stretch`"), "{}", key("data.fit").expected);
        assert_eq!(key("training.epochs").expected, "a whole number of at least 0");
    }
}

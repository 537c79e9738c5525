//! Reading a `[model]` table whose keys depend on one of them.
//!
//! serde's own way for that, an internally tagged enum, reads the table into a buffer first, and errors then no longer know their line or key. Here
//! `kind` is looked up before, and the table is read straight into that family's struct.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::{KINDS, ModelConfig};

/// The key that chooses the family.
const KIND: &str = "kind";

/// The kind of a whole configuration; that of the default where it names none.
fn kind_of(config: &Table) -> &str {
    let named = config.get("model").and_then(|model| model.get(KIND)).and_then(Value::as_str);
    named.unwrap_or_else(|| ModelConfig::default().kind())
}

pub(super) fn unknown_kind<E: Error>(kind: &str) -> E {
    E::custom(format!("unknown variant `{kind}`, expected {}", ModelConfig::kinds()))
}

/// Reads only the `[model]` table of a whole configuration, with errors that know their place.
pub(crate) struct WholeConfig<'a>(pub &'a Table);

impl<'de> DeserializeSeed<'de> for WholeConfig<'_> {
    type Value = ModelConfig;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ModelConfig, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WholeConfig<'_> {
    type Value = ModelConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a configuration")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModelConfig, A::Error> {
        let mut model = ModelConfig::default();
        while let Some(key) = map.next_key::<String>()? {
            if key == "model" {
                model = map.next_value_seed(ModelTable { kind: kind_of(self.0) })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(model)
    }
}

/// The `[model]` table of a known kind.
struct ModelTable<'a> {
    kind: &'a str,
}

impl<'de> DeserializeSeed<'de> for ModelTable<'_> {
    type Value = ModelConfig;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ModelConfig, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ModelTable<'_> {
    type Value = ModelConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table of a model")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModelConfig, A::Error> {
        if KINDS.iter().any(|kind| kind.name == self.kind) {
            return ModelConfig::read(self.kind, MapAccessDeserializer::new(WithoutKind(map)));
        }
        refuse_kind(map)?;
        Err(unknown_kind(self.kind))
    }
}

/// Comes across the name of an unknown kind at its place, whichever keys stand before it.
fn refuse_kind<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while let Some(key) = map.next_key::<String>()? {
        if key == KIND {
            map.next_value::<KnownKind>()?;
        } else {
            map.next_value::<IgnoredAny>()?;
        }
    }
    Ok(())
}

/// A table without its key `kind`, whose value is checked on the way.
struct WithoutKind<A>(A);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutKind<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let mut seed = seed;
        loop {
            match self.0.next_key_seed(NotKind(seed))? {
                None => return Ok(None),
                Some(Ok(key)) => return Ok(Some(key)),
                Some(Err(back)) => seed = back,
            }
            self.0.next_value::<KnownKind>()?;
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.0.next_value_seed(seed)
    }
}

/// A key, or the seed given back where the key is `kind`. An error keeps the place of the key, since it arises while that is read.
struct NotKind<K>(K);

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for NotKind<K> {
    type Value = Result<K::Value, K>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == KIND {
            return Ok(Err(self.0));
        }
        let name: StringDeserializer<D::Error> = name.into_deserializer();
        self.0.deserialize(name).map(Ok)
    }
}

/// The name of a family.
struct KnownKind;

impl<'de> Deserialize<'de> for KnownKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if KINDS.iter().any(|kind| kind.name == name) { Ok(Self) } else { Err(unknown_kind(&name)) }
    }
}

impl<'de> Deserialize<'de> for ModelConfig {
    /// Reads a table alone; errors know their key but not their line.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        let config = Table::from_iter([("model".to_owned(), Value::Table(table))]);
        WholeConfig(&config)
            .deserialize(Value::Table(config.clone()))
            .map_err(|error| D::Error::custom(error.message()))
    }
}

//! Training on some of the classes: `data.labels`.
//!
//! The parts are drawn from all examples first and thinned afterwards. So an example is in the same part whichever classes are chosen, and a model of one
//! class never saw, in training or validation, what another model of another class is tested on.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::split::{Splits, Subset};
use crate::error::{Error, Result};
use crate::suggest::did_you_mean;

const KEY: &str = "data.labels";

/// What is left of `splits` when only examples of the classes called `labels` are kept, in every part; all of it for no labels.
///
/// # Errors
/// [`Error::Config`] if the data have no classes, a name is none of theirs, or nothing would remain to train on.
pub(super) fn of_classes(splits: Splits, labels: &[String]) -> Result<Splits> {
    if labels.is_empty() {
        return Ok(splits);
    }
    check_labels(KEY, labels, &splits.train)?;
    let train = kept(&splits.train, labels);
    if train.is_empty() {
        let expected = "classes with examples to train on";
        let help = "choose other classes, or hold fewer examples back";
        return Err(Error::config(KEY, expected, format!("none of {}", labels.join(", ")), help));
    }
    let validation = splits.validation.map(|part| kept(&part, labels)).filter(|part| !part.is_empty());
    Ok(Splits { train, validation, test: kept(&splits.test, labels), ..splits })
}

/// The examples whose class is one of `labels`.
fn kept(part: &Subset, labels: &[String]) -> Subset {
    let wanted: Vec<bool> = part.source().label_names().iter().map(|name| labels.contains(name)).collect();
    let of_them = |place: &u32| part.label(*place as usize).is_some_and(|label| wanted[label as usize]);
    part.select(&(0..part.len() as u32).filter(of_them).collect::<Vec<_>>())
}

/// Refuses names that are no classes of `part`; `key` is where they were given.
///
/// # Errors
/// [`Error::Config`] that lists the classes there are.
///
/// ```
/// use std::sync::Arc;
///
/// use elbo::data::{Subset, check_labels, digits};
///
/// let digits = Subset::all(Arc::new(digits::generate(0, 30)));
/// assert!(check_labels("--normal", &["3".into()], &digits).is_ok());
/// let error = check_labels("--normal", &["three".into()], &digits).unwrap_err();
/// assert!(error.to_string().contains("0, 1, 2, 3"), "{error}");
/// ```
pub fn check_labels(key: &str, labels: &[String], part: &Subset) -> Result<()> {
    const SHOWN: usize = 40;
    let names = part.source().label_names();
    if names.is_empty() {
        let found = format!("`{}`, which has none", part.source().name());
        let help = "leave it away; of a table, name the column of classes with `--set data.label=COLUMN`";
        return Err(Error::config(key, "data with classes", found, help));
    }
    let Some(unknown) = labels.iter().find(|label| !names.contains(label)) else { return Ok(()) };
    let mut known = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        known += &format!(" and {} more", names.len() - SHOWN);
    }
    let help = match did_you_mean(unknown, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`elbo data` lists the classes of a data set with their counts".into(),
    };
    Err(Error::config(key, format!("some of the classes {known}"), format!("`{unknown}`"), help))
}

/// Names of classes as TOML has them: strings, or whole numbers where classes are called by numbers, so that `--set data.labels=[3]` needs no quotes.
pub(super) fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Vec::<Name>::deserialize(deserializer)?.into_iter().map(|Name(name)| name).collect())
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the name of a class, such as \"3\" or 3")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(Name(name.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Name, E> {
        Ok(Name(number.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::source::{ImageShape, InMemory};
    use super::super::split::{Validation, split_single};
    use super::*;

    /// Image `i` of class `i % 3`; the class `none` has no image.
    fn splits(validation: Validation) -> Splits {
        let labels = (0..90).map(|i| i % 3).collect();
        let names = ["a", "b", "c", "none"].map(str::to_owned).to_vec();
        let source = InMemory::new("made up", ImageShape::grey(1, 1), vec![0; 90], "print").labels(labels, names);
        split_single(Arc::new(source), 0.3, validation, 5).unwrap()
    }

    fn chosen(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|label| (*label).to_owned()).collect()
    }

    #[test]
    fn parts_are_thinned_after_they_are_drawn() {
        let all = splits(Validation::Count(12));
        let one = of_classes(all.clone(), &chosen(&["b"])).unwrap();
        for (all, one) in [
            (&all.train, &one.train),
            (all.validation.as_ref().unwrap(), one.validation.as_ref().unwrap()),
            (&all.test, &one.test),
        ] {
            let expected: Vec<u32> = all.indices().iter().copied().filter(|index| index % 3 == 1).collect();
            assert_eq!(one.indices(), expected);
            assert!(!expected.is_empty() && (0..one.len()).all(|i| one.class(i) == Some("b")));
        }
        let both = of_classes(all.clone(), &chosen(&["c", "a", "c"])).unwrap();
        assert_eq!(both.train.len() + one.train.len(), all.train.len());
        assert_eq!(of_classes(all.clone(), &[]).unwrap().train.len(), all.train.len());
        let shared = of_classes(splits(Validation::Test), &chosen(&["a"])).unwrap();
        assert!(shared.validation_is_test);
        assert_eq!(shared.validation.unwrap().indices(), shared.test.indices());
    }

    #[test]
    fn what_cannot_be_chosen_is_told_with_what_can() {
        let refused = |labels: &[&str]| of_classes(splits(Validation::NONE), &chosen(labels)).unwrap_err();
        let error = refused(&["a", "bb"]);
        assert_eq!(error.to_string(), "`data.labels`: expected some of the classes a, b, c, none, found `bb`");
        assert!(refused(&["none"]).to_string().contains("examples to train on"));
        let plain = InMemory::new("plain", ImageShape::grey(1, 1), vec![0; 9], "print");
        let splits = split_single(Arc::new(plain), 0.3, Validation::NONE, 0).unwrap();
        let error = of_classes(splits, &chosen(&["a"])).unwrap_err();
        assert!(
            error.to_string().contains("`plain`, which has none") && error.help().contains("data.label="),
            "{error}"
        );
    }

    #[test]
    fn names_may_be_written_as_numbers() {
        #[derive(Debug, Deserialize)]
        struct Table {
            #[serde(deserialize_with = "names")]
            labels: Vec<String>,
        }
        assert_eq!(toml::from_str::<Table>("labels = [3, \"cat\", 0]").unwrap().labels, ["3", "cat", "0"]);
        for text in ["labels = [1.5]", "labels = [[3]]"] {
            let error = toml::from_str::<Table>(text).unwrap_err().to_string();
            assert!(error.contains("the name of a class"), "{error}");
        }
        assert!(toml::from_str::<Table>("labels = 3").is_err());
    }
}

//! What training leaves behind, epoch by epoch.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Named numbers in the order of their report, each a mean over examples: the terms of a loss.
///
/// A VAE has `recon` and `kl`, in nats per example, and every model ends with `loss`, which is what the optimiser minimises. In files they are
/// an object with a key for each name.
///
/// ```
/// use elbo::run::history::Means;
///
/// let means = Means::of([("recon", 111.4), ("kl", 9.7), ("loss", 111.4 + 4.0 * 9.7)]); // beta 4
/// assert_eq!((means.get("kl"), means.elbo()), (Some(9.7), Some(-(111.4 + 9.7))));
/// assert_eq!(Means::of([("loss", 1.0)]).elbo(), None); // no evidence lower bound without both terms
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Means(Vec<(String, f64)>);

/// The name of what is minimised.
pub const LOSS: &str = "loss";

impl Means {
    /// These numbers by name.
    pub fn of<N: Into<String>>(numbers: impl IntoIterator<Item = (N, f64)>) -> Self {
        Self(numbers.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// The number of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// What the optimiser minimises; NaN where nothing of that name was reported.
    pub fn loss(&self) -> f64 {
        self.get(LOSS).unwrap_or(f64::NAN)
    }

    /// The evidence lower bound, `-(recon + kl)`, in nats per example, whatever beta is; none without both terms.
    pub fn elbo(&self) -> Option<f64> {
        Some(-(self.get("recon")? + self.get("kl")?))
    }

    /// Names and numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same names with other numbers.
    #[must_use]
    pub fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|(name, value)| (name.clone(), f(*value))).collect())
    }

    /// Adds `weight` times other numbers, by name; a name that is new comes at the end.
    pub fn add(&mut self, weight: f64, other: &Self) {
        for (name, value) in other.iter() {
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += weight * value,
                None => self.0.push((name.to_owned(), weight * value)),
            }
        }
    }
}

impl Serialize for Means {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Means {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Means;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Means, A::Error> {
                let mut numbers = Vec::new();
                while let Some(entry) = map.next_entry::<String, f64>()? {
                    numbers.push(entry);
                }
                Ok(Means(numbers))
            }
        }
        deserializer.deserialize_map(Numbers)
    }
}

/// One line of `metrics.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Optimiser steps taken so far.
    pub step: usize,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Weight of the KL term at the epoch's last step, where the model has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Means over the epoch's batches, taken while the weights moved.
    pub train: Means,
    /// Means over the validation split after the epoch, where there is one.
    pub validation: Option<Means>,
}

impl EpochRecord {
    /// A record of an epoch after `step` steps, without validation or KL weight.
    pub fn new(epoch: usize, step: usize, learning_rate: f64, train: Means) -> Self {
        Self { epoch, step, learning_rate, beta: None, train, validation: None }
    }

    /// The means to judge the epoch by: over the validation split where there is one.
    pub fn judged(&self) -> &Means {
        self.validation.as_ref().unwrap_or(&self.train)
    }
}

/// The records as `metrics.csv`: a column for each term on both splits.
pub(super) fn csv(history: &[EpochRecord]) -> String {
    let Some(first) = history.first() else { return String::new() };
    let names: Vec<&str> = first.train.names().collect();
    let beta = first.beta.map(|_| ",beta").unwrap_or_default();
    let columns = |split: &str| names.iter().map(|name| format!(",{split}_{name}")).collect::<String>();
    let mut text = format!("epoch,step,learning_rate{beta}{}{}\n", columns("train"), columns("validation"));
    for record in history {
        let EpochRecord { epoch, step, learning_rate, beta, train, validation } = record;
        let beta = beta.map(|beta| format!(",{beta}")).unwrap_or_default();
        let cell = |means: Option<&Means>, name: &str| match means.and_then(|means| means.get(name)) {
            Some(value) => format!(",{value}"),
            None => ",".into(),
        };
        let cells = |means: Option<&Means>| names.iter().map(|name| cell(means, name)).collect::<String>();
        text += &format!("{epoch},{step},{learning_rate}{beta}{}{}\n", cells(Some(train)), cells(validation.as_ref()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vaes_table_is_what_it_always_was() {
        let means = |recon| Means::of([("recon", recon), ("kl", 2.5), ("loss", recon + 2.5)]);
        let record =
            EpochRecord { beta: Some(1.0), validation: Some(means(3.0)), ..EpochRecord::new(1, 4, 0.001, means(4.0)) };
        let without = EpochRecord { beta: Some(1.0), ..EpochRecord::new(2, 8, 0.001, means(1.0)) };
        let expected = "epoch,step,learning_rate,beta,train_recon,train_kl,train_loss,validation_recon,validation_kl,validation_loss\n\
                        1,4,0.001,1,4,2.5,6.5,3,2.5,5.5\n2,8,0.001,1,1,2.5,3.5,,,\n";
        assert_eq!(csv(&[record.clone(), without]), expected);
        let json = r#"{"epoch":1,"step":4,"learning_rate":0.001,"beta":1.0,"train":{"recon":4.0,"kl":2.5,"loss":6.5},"validation":{"recon":3.0,"kl":2.5,"loss":5.5}}"#;
        assert_eq!(serde_json::to_string(&record).unwrap(), json);
        assert_eq!(serde_json::from_str::<EpochRecord>(json).unwrap(), record);
    }
}

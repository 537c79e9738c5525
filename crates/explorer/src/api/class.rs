//! The class that a conditional run is told of what it encodes or decodes.

use serde::Deserialize;

use crate::problem::Problem;
use crate::run_entry::RunEntry;

/// Names that a refusal lists.
const LISTED: usize = 20;

/// A class as a request has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a class by its name or its place")]
enum Named {
    /// Its place among the run's classes, from 0.
    Place(u32),
    Name(String),
}

/// One class for everything in a request, or several that are taken in turn.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a class by its name or its place, or a list of those")]
enum Chosen {
    One(Named),
    InTurn(Vec<Named>),
}

/// The field `class` of a request.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct Class(Chosen);

impl Class {
    /// The name in the query `?class=NAME` of an address.
    pub fn of_query(query: Option<&str>) -> Option<Self> {
        let text = query?.split('&').find_map(|pair| pair.strip_prefix("class="))?;
        Some(Self(Chosen::One(Named::Name(percent_decoded(text)))))
    }

    /// The class of each of `n` things for a run. The first class where a request names none; nothing for a run that
    /// is told none.
    ///
    /// # Errors
    /// For a class that the run has not, and any of a run that is told none.
    pub fn of_each(asked: Option<&Self>, run: &RunEntry, n: usize) -> Result<Vec<u32>, Problem> {
        match (asked, run.summary.conditional) {
            (None, false) => Ok(Vec::new()),
            (Some(_), false) => Err(Problem::field("class", "nothing: the run is told no class", "one")),
            (None, true) => Ok(vec![0; n]),
            (Some(asked), true) => asked.places(&run.summary.classes, n),
        }
    }

    /// The class of each of `n` things that a prior draws; nothing where none is asked for.
    ///
    /// # Errors
    /// For a class that the prior was not told in training.
    pub fn of_drawn(asked: Option<&Self>, classes: &[String], n: usize) -> Result<Vec<u32>, Problem> {
        match asked {
            None => Ok(Vec::new()),
            Some(_) if classes.is_empty() => {
                Err(Problem::field("class", "nothing: the prior was trained on codes without classes", "one"))
            }
            Some(asked) => asked.places(classes, n),
        }
    }

    fn places(&self, classes: &[String], n: usize) -> Result<Vec<u32>, Problem> {
        let chosen = match &self.0 {
            Chosen::One(class) => vec![class.place(classes)?],
            Chosen::InTurn(chosen) if chosen.is_empty() => {
                return Err(Problem::field("class", "at least one class", "an empty list"));
            }
            Chosen::InTurn(chosen) => chosen.iter().map(|class| class.place(classes)).collect::<Result<_, _>>()?,
        };
        Ok(chosen.into_iter().cycle().take(n).collect())
    }
}

impl Named {
    fn place(&self, classes: &[String]) -> Result<u32, Problem> {
        let (place, found) = match self {
            Self::Place(place) => (Some(*place as usize).filter(|place| *place < classes.len()), place.to_string()),
            Self::Name(name) => (classes.iter().position(|class| class == name), name.clone()),
        };
        place.map(|place| place as u32).ok_or_else(|| {
            let names = classes.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if classes.len() > LISTED { ", ..." } else { "" };
            let expected =
                format!("a class by its name ({names}{more}) or its place, 0 to {}", classes.len().max(1) - 1);
            Problem::field("class", expected, found)
        })
    }
}

/// `%41` as `A`; what is no such triple stays as it is.
fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, others @ ..] = rest {
        let digits = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &others[2..] } else { others };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_a_class() {
        assert_eq!(percent_decoded("T%2Dshirt%20%C3%BC%"), "T-shirt \u{fc}%");
        let Some(Class(Chosen::One(Named::Name(name)))) = Class::of_query(Some("a=1&class=7")) else { panic!("none") };
        assert_eq!(name, "7");
        assert!(Class::of_query(Some("klass=7")).is_none() && Class::of_query(None).is_none());
    }
}

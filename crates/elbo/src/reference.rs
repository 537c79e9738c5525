//! What the keys of a configuration mean, as constants: the doc comments of its structs.
//!
//! Each table of a recipe derives [`Fields`] beside serde's traits. So the parser and the reference of all settings
//! (`elbo config --docs`) have one source, and a key without an explanation does not compile.

pub(crate) use elbo_derive::{Fields, Variants};

/// A key that a file may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in the table.
    pub name: &'static str,
    /// The lines of its doc comment.
    pub docs: &'static [&'static str],
}

/// One of the values that choose which keys a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Its name in files.
    pub name: &'static str,
    /// The lines of its doc comment.
    pub docs: &'static [&'static str],
    /// The keys that come with it.
    pub fields: &'static [Field],
}

/// A table of a configuration whose keys are known, by `#[derive(Fields)]`.
pub trait Fields {
    /// Its keys, in order.
    const FIELDS: &'static [Field];
}

/// A choice whose values are known, by `#[derive(Variants)]`.
pub trait Variants {
    /// Its values, in order.
    const VARIANTS: &'static [Variant];
}

/// The first paragraph of a doc comment as text for readers: one line, links without their brackets.
///
/// ```
/// let docs = [" How grey pixels become zeros and ones:", " see [`Binarize`].", "", " More."];
/// assert_eq!(elbo::reference::first_paragraph(&docs), "How grey pixels become zeros and ones: see `Binarize`.");
/// ```
pub fn first_paragraph(docs: &[&str]) -> String {
    let lines = docs.iter().map(|line| line.trim()).take_while(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join(" ");
    text.replace("[`", "`").replace("`]", "`")
}

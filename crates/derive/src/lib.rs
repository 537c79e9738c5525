//! Derives for `elbo`: what a configuration's fields mean, as constants.
//!
//! `#[derive(Fields)]` implements `crate::reference::Fields` for a struct: the name and the doc comment of each field
//! that a file may set. `#[derive(Variants)]` implements `crate::reference::Variants` for an enum that is read by the
//! name of a variant. The reference of all settings is written from these constants, so that it says what the sources
//! say.
//!
//! Only what `elbo`'s own configurations need is understood: no generics, names in `snake_case` for fields and in
//! `kebab-case` for variants, `#[serde(skip)]` and `#[serde(rename = "...")]`. The tokens are read by hand. *Rejected:*
//! `syn`, since two loops over tokens do it.
#![deny(missing_docs)]

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Implements `crate::reference::Fields`: name and documentation of each field, in order.
///
/// A field with `#[serde(skip)]` is left out, since no file sets it. A struct around one other, as `#[serde(transparent)]`
/// reads it, has the fields of that one.
#[proc_macro_derive(Fields)]
pub fn fields(input: TokenStream) -> TokenStream {
    implementation(input, "struct", |name, body| {
        let fields = match body.delimiter() {
            Delimiter::Parenthesis => format!("<{} as crate::reference::Fields>::FIELDS", inner_type(body)),
            _ => format!("&[{}]", field_constants(body)),
        };
        format!(
            "impl crate::reference::Fields for {name} {{
                const FIELDS: &'static [crate::reference::Field] = {fields};
            }}"
        )
    })
}

/// Implements `crate::reference::Variants`: name, documentation and fields of each variant, in order.
#[proc_macro_derive(Variants)]
pub fn variants(input: TokenStream) -> TokenStream {
    implementation(input, "enum", |name, body| {
        let variants: String = items(body).iter().map(variant_constant).collect();
        format!(
            "impl crate::reference::Variants for {name} {{
                const VARIANTS: &'static [crate::reference::Variant] = &[{variants}];
            }}"
        )
    })
}

/// The implementation for the item of a derive, or a compile error that says what it must be.
fn implementation(input: TokenStream, keyword: &str, write: impl Fn(&str, &Group) -> String) -> TokenStream {
    let tokens: Vec<TokenTree> = input.into_iter().collect();
    let name = tokens.windows(2).find(|pair| pair[0].to_string() == keyword).map(|pair| pair[1].to_string());
    // After the attributes, whose groups are in brackets.
    let body = tokens.iter().skip_while(|token| token.to_string() != keyword).find_map(|token| match token {
        TokenTree::Group(group) => Some(group),
        _ => None,
    });
    let text = match (name, body) {
        (Some(name), Some(body)) => write(&name, body),
        _ => format!("compile_error!(\"this derive is for a {keyword} with fields\");"),
    };
    text.parse().expect("the derive writes valid Rust")
}

/// The type in the parentheses of a struct around one other.
fn inner_type(body: &Group) -> String {
    let tokens = body.stream().into_iter().skip_while(|token| token.to_string() == "pub");
    tokens.collect::<TokenStream>().to_string()
}

/// A field or a variant: its documentation and name, and what stands in braces behind the name.
#[derive(Default)]
struct Item {
    /// Literals of the doc attributes, one a line.
    docs: Vec<String>,
    name: String,
    /// The literal of `#[serde(rename = "...")]`.
    renamed: Option<String>,
    skipped: bool,
    body: Option<Group>,
}

/// The parts of a body between its commas.
fn items(body: &Group) -> Vec<Item> {
    let mut items = Vec::new();
    let mut part = Vec::new();
    let mut depth = 0;
    for token in body.stream() {
        match token.to_string().as_str() {
            "<" => depth += 1,
            ">" => depth -= 1,
            "," if depth == 0 => {
                items.push(item(&part));
                part.clear();
                continue;
            }
            _ => {}
        }
        part.push(token);
    }
    if !part.is_empty() {
        items.push(item(&part));
    }
    items
}

/// Reads attributes, visibility and name, in this order.
fn item(tokens: &[TokenTree]) -> Item {
    let mut item = Item::default();
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = tokens.next() {
                    read_attribute(&flat(attribute.stream()), &mut item);
                }
            }
            TokenTree::Ident(word) if word.to_string() == "pub" => {
                // `pub(crate)`.
                tokens.next_if(|next| matches!(next, TokenTree::Group(_)));
            }
            TokenTree::Ident(name) => {
                item.name = name.to_string().trim_start_matches("r#").to_owned();
                break;
            }
            _ => {}
        }
    }
    item.body = match tokens.next() {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => Some(group.clone()),
        _ => None,
    };
    item
}

/// Takes over what a doc or serde attribute says.
fn read_attribute(tokens: &[TokenTree], item: &mut Item) {
    let texts: Vec<String> = tokens.iter().map(TokenTree::to_string).collect();
    match (texts.first().map(String::as_str), tokens.get(1)) {
        (Some("doc"), _) => item.docs.extend(texts.get(2).cloned()),
        (Some("serde"), Some(TokenTree::Group(arguments))) => {
            let arguments: Vec<String> = arguments.stream().into_iter().map(|token| token.to_string()).collect();
            item.skipped |= arguments.iter().any(|word| word == "skip");
            let at = arguments.iter().position(|word| word == "rename");
            item.renamed = at.and_then(|at| arguments.get(at + 2).cloned()).or(item.renamed.take());
        }
        _ => {}
    }
}

/// The tokens without the invisible groups that fragments of a macro are wrapped in.
fn flat(stream: TokenStream) -> Vec<TokenTree> {
    let open = |token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => flat(group.stream()),
        token => vec![token],
    };
    stream.into_iter().flat_map(open).collect()
}

fn field_constants(body: &Group) -> String {
    let fields = items(body).into_iter().filter(|item| !item.skipped);
    let constant = |item: Item| {
        let (name, docs) = (format!("{:?}", item.name), item.docs.join(", "));
        let name = item.renamed.unwrap_or(name);
        format!("crate::reference::Field {{ name: {name}, docs: &[{docs}] }}, ")
    };
    fields.map(constant).collect()
}

fn variant_constant(item: &Item) -> String {
    let name = item.renamed.clone().unwrap_or_else(|| format!("{:?}", kebab_case(&item.name)));
    let fields = item.body.as_ref().map(field_constants).unwrap_or_default();
    let docs = item.docs.join(", ");
    format!("crate::reference::Variant {{ name: {name}, docs: &[{docs}], fields: &[{fields}] }}, ")
}

/// `LeakyRelu` becomes `leaky-relu`, as serde's `rename_all = "kebab-case"` has it.
fn kebab_case(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::kebab_case;

    #[test]
    fn words_are_joined_by_hyphens() {
        assert_eq!(["Constant", "LeakyRelu", "X"].map(kebab_case), ["constant", "leaky-relu", "x"]);
    }
}

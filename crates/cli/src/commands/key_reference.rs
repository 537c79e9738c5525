//! `elbo config --docs`: the reference of all settings, as Markdown or JSON.

use elbo::recipe::{KeyReference, TableReference, key_reference};
use serde_json::json;

use crate::output::Context;

/// What stands above the tables.
const HEAD: &str = "\
# Settings

<!-- Written by `elbo config --docs`; a test compares the two. Change the doc comments of the configuration instead. -->

This page lists every key of a recipe. `--set KEY=VALUE` changes one for a single command. `elbo config RECIPE` prints the
values of a recipe. A misspelt key is an error that guesses what was meant.

A key without a default may be left out, unless it is marked as required. A choice stands in quotes, also in TOML:
`--set data.fit=pad` needs none.
";

/// Prints the reference.
pub fn print(context: Context) -> anyhow::Result<()> {
    let tables = key_reference();
    context.result(json!({ "tables": tables }), || markdown(&tables))
}

fn markdown(tables: &[TableReference]) -> String {
    let sections: String = tables.iter().map(section).collect();
    format!("{HEAD}{sections}")
}

fn section(table: &TableReference) -> String {
    let title = match (table.table.as_str(), table.kind) {
        ("", _) => "Outside of tables".to_owned(),
        (name, None) => format!("`[{name}]`"),
        (name, Some(kind)) => format!("`[{name}]` with `kind = \"{kind}\"`"),
    };
    let about = capitalised(&table.about);
    if table.keys.is_empty() {
        return format!("\n## {title}\n\n{about} It has no further keys.\n");
    }
    let rows: String = table.keys.iter().map(row).collect();
    format!("\n## {title}\n\n{about}\n\n| key | takes | default | meaning |\n|---|---|---|---|\n{rows}")
}

fn row(key: &KeyReference) -> String {
    let default = match (&key.default, key.required) {
        (_, true) => "required".to_owned(),
        (Some(default), _) => format!("`{default}`"),
        (None, _) => String::new(),
    };
    let cells = [format!("`{}`", key.key), key.expected.clone(), default, key.about.clone()];
    // A bar would end the cell, inside code too.
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

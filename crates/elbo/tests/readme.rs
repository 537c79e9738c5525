//! What the README and the page of results claim is what was measured: the table of recipes is that of
//! `bench/results/recipes.json`, and the few rows of the README are rows of the full tables. The README's Rust example runs as a
//! documentation test of the crate.

use std::fs;
use std::path::{Path, PathBuf};

use elbo::recipe;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `recon + kl` with two decimals, as the table prints them; an autoencoder's `recon` alone.
fn printed(terms: [f64; 2]) -> String {
    match terms {
        [recon, 0.0] => format!("{recon:.2}"),
        [recon, kl] => format!("{recon:.2} + {kl:.2}"),
    }
}

/// The start of each row: recipe, what it is, our numbers, PyTorch's.
fn expected_rows() -> Vec<(String, String)> {
    let results: Value = serde_json::from_str(&read("bench/results/recipes.json")).expect("JSON");
    let rows = results["recipes"].as_array().expect("a list of recipes");
    rows.iter()
        .map(|row| {
            let runs = row["runs"].as_array().expect("a list of runs");
            let mean = |term: &str| {
                runs.iter().map(|run| run[term].as_f64().expect("a number")).sum::<f64>() / runs.len() as f64
            };
            let theirs = ["recon", "kl"].map(|term| row["pytorch"][term].as_f64().expect("a number"));
            let ours = printed([mean("recon"), mean("kl")]);
            let name = row["recipe"].as_str().expect("a name").to_owned();
            assert_eq!(row["within_bounds"], Value::Bool(true), "{name} keeps its bounds");
            (name, format!("| {ours} | {} (", printed(theirs)))
        })
        .collect()
}

#[test]
fn the_table_of_results_is_the_measured_one() {
    let results = read("docs/results.md");
    let wrong: Vec<String> = expected_rows()
        .into_iter()
        .filter(|(name, numbers)| {
            !results.lines().any(|line| line.starts_with(&format!("| `{name}` |")) && line.contains(numbers))
        })
        .map(|(name, numbers)| format!("`{name}` should read `{numbers}...)`"))
        .collect();
    assert!(wrong.is_empty(), "docs/results.md differs from bench/results/recipes.json:\n{}", wrong.join("\n"));
}

#[test]
fn every_recipe_has_a_row() {
    let results = read("docs/results.md");
    for recipe in recipe::builtin() {
        assert!(results.contains(&format!("\n| `{}` |", recipe.name)), "{} has no row", recipe.name);
    }
}

/// The cells of a table's row.
fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// The rows of the table under a heading.
fn table_below<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let lines = text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    lines.filter(|line| line.starts_with('|')).skip(2).map(cells).collect()
}

/// Whether a row of `page` begins with the first cell of `row` and has its others in order.
fn stands_in(page: &str, row: &[&str]) -> bool {
    page.lines().filter(|line| line.starts_with('|')).map(cells).any(|full| {
        let mut rest = full.iter();
        full[0] == row[0] && row.iter().all(|cell| rest.any(|other| other == cell))
    })
}

#[test]
fn the_rows_of_the_readme_are_rows_of_the_full_tables() {
    let readme = read("README.md");
    for (heading, page, count) in
        [("## Does it agree with PyTorch?", "docs/results.md", 5), ("## Is it fast?", "docs/performance.md", 4)]
    {
        let (rows, full) = (table_below(&readme, heading), read(page));
        assert_eq!(rows.len(), count, "{heading}");
        for row in rows {
            assert!(stands_in(&full, &row), "{page} has no row {row:?}");
        }
    }
}

#[test]
fn another_number_is_found() {
    let page = "| train | batch | 50,800 | 32,000 | 1.6 |\n";
    assert!(stands_in(page, &["train", "50,800", "1.6"]));
    assert!(!stands_in(page, &["train", "50,900", "1.6"]) && !stands_in(page, &["train", "1.6", "50,800"]));
}

//! What the README says can be checked: its table of results is that of `bench/results/recipes.json`, its pictures and links exist, and
//! its Rust example runs (as a documentation test of the crate).

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
    let readme = read("README.md");
    let wrong: Vec<String> = expected_rows()
        .into_iter()
        .filter(|(name, numbers)| {
            !readme.lines().any(|line| line.starts_with(&format!("| `{name}` |")) && line.contains(numbers))
        })
        .map(|(name, numbers)| format!("`{name}` should read `{numbers}...)`"))
        .collect();
    assert!(wrong.is_empty(), "README.md differs from bench/results/recipes.json:\n{}", wrong.join("\n"));
}

#[test]
fn every_recipe_has_a_row() {
    let readme = read("README.md");
    for recipe in recipe::builtin() {
        assert!(readme.contains(&format!("\n| `{}` |", recipe.name)), "{} has no row", recipe.name);
    }
}

#[test]
fn links_lead_to_files() {
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "bench/README.md"] {
        let (text, folder) = (read(page), root().join(page).parent().expect("a folder").to_owned());
        let markdown = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let html = ["src=\"", "srcset=\""].into_iter().flat_map(|key| text.split(key).skip(1));
        let targets = markdown.chain(html.filter_map(|rest| rest.split('"').next()));
        let local = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
        let missing: Vec<_> =
            local.filter(|target| !folder.join(target.split('#').next().unwrap_or(target)).exists()).collect();
        assert!(missing.is_empty(), "{page} links to what is not there: {missing:?}");
    }
}

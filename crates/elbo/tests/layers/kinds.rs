//! No file outside the registry knows a model by its name: what a model can do is asked of it.

use std::fs;
use std::path::{Path, PathBuf};

use elbo::models::KINDS;

/// Where names of families are at home: the families themselves and the list of them.
fn is_home(path: &str) -> bool {
    path.starts_with("elbo/src/models/")
}

/// Comparisons with the name of a family, and matches on its variant, in one line of Rust or of the page.
fn offence(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let compared = KINDS.iter().any(|kind| {
        let quoted = format!("\"{}\"", kind.name);
        ["==", "!=", "=>", "matches!", "case "].iter().any(|sign| code.contains(sign)) && code.contains(&quoted)
    });
    compared || code.contains("ModelKind::") || code.contains("ModelConfig::Vae(") && code.contains("=>")
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !["vendor", "tests"].contains(&name.as_str()) {
            files_below(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs" || end == "js") && name != "tests.rs" {
            found.push(path);
        }
    }
}

#[test]
fn nobody_asks_for_a_models_name() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/elbo lies in crates");
    let mut files = Vec::new();
    for folder in ["elbo/src", "explorer/src", "explorer/ui", "cli/src"] {
        files_below(&crates.join(folder), &mut files);
    }
    assert!(files.len() > 150, "found only {} files", files.len());
    let mut found = Vec::new();
    for path in &files {
        let name = path.strip_prefix(crates).expect("below crates").to_string_lossy().into_owned();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        // What tests at the bottom of a file name is their own business.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| !is_home(&name) && offence(line));
        found.extend(lines.map(|(i, line)| format!("{name}:{}: {}", i + 1, line.trim())));
    }
    assert!(found.is_empty(), "{} places ask for a model's name:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_check_can_fail() {
    for line in ["if run.kind !== \"ae\" {", "ModelKind::Ae => 1,", "    \"vae\" => Ok(x),", "kind == \"cvae\""] {
        assert!(offence(line), "{line}");
    }
    for line in ["// kind === \"ae\"", "let name = \"vae\";", "run.can(Capability::Bound)"] {
        assert!(!offence(line), "{line}");
    }
}

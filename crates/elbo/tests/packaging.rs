//! What a crate compiles in lies inside it: `cargo package` takes along nothing else, so a path that
//! leads out builds here and nowhere else.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// What takes a file in at compile time, up to the path.
const INCLUDES: [&str; 3] = ["include_str!(", "include_bytes!(", "include!("];

/// Crates in `crates/`; each has its sources in `src/`.
const CRATES: [&str; 5] = ["derive", "kernels", "elbo", "explorer", "cli"];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/elbo lies in crates").to_owned()
}

/// `path` without `.` and `..`, as the file system reads it where no part is a link.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads above the root", path.display()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The paths a source takes in, as written; of `concat!` the first piece. What only documentation tests
/// read is left out: they do not run from a package.
fn included(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut only_tests = false;
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for include in INCLUDES {
            for rest in line.split(include).skip(1).filter(|_| !only_tests) {
                let path = rest.split('"').nth(1).unwrap_or_else(|| panic!("no path after {include} in: {line}"));
                found.push(path.to_owned());
            }
        }
        only_tests = line.trim() == "#[cfg(doctest)]";
    }
    found
}

/// Whether a path that the source file takes in lies in this crate.
fn inside(root: &Path, source: &Path, path: &str) -> bool {
    plain(&source.parent().expect("a file lies in a folder").join(path)).starts_with(root)
}

#[test]
fn files_compiled_in_lie_inside_their_crate() {
    let (mut count, mut outside) = (0, Vec::new());
    for name in CRATES {
        let root = crates().join(name);
        for source in sources(&root.join("src")) {
            let text = fs::read_to_string(&source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
            let paths = included(&text);
            count += paths.len();
            let wrong = paths.iter().filter(|path| !inside(&root, &source, path));
            outside.extend(wrong.map(|path| format!("{} takes in {path}", source.display())));
        }
    }
    // Recipes, the report's style twice, the explorer's page and its description.
    assert!(count >= 5, "found only {count} files compiled in");
    assert!(outside.is_empty(), "a package would not build:\n{}", outside.join("\n"));
}

#[test]
fn a_path_that_leads_out_is_found() {
    let (root, source) = (Path::new("/src/crates/elbo"), Path::new("/src/crates/elbo/src/recipe/builtin.rs"));
    let text = "let a = include_str!(concat!(\"../../../../recipes/\", $name));\n// include_str!(\"../../../x\")\n\
                let b = include_bytes!(\"../report/report.css\");\n#[cfg(doctest)]\n#[doc = include_str!(\"../../../README.md\")]";
    let paths = included(text);
    assert_eq!(paths, ["../../../../recipes/", "../report/report.css"]);
    assert!(!inside(root, source, &paths[0]) && inside(root, source, &paths[1]));
    assert!(inside(root, source, "../../recipes/") && !inside(root, source, "../../../elbo-else/x"));
}

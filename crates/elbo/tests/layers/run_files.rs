//! No file but `run/files` opens, asks for or changes files of a run: whatever goes round it follows links and waits for pipes.

use std::fs;
use std::path::{Path, PathBuf};

/// What touches files by their paths.
const WAYS: [&str; 15] = [
    "fs::",
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions",
    ".exists()",
    ".try_exists()",
    ".is_file()",
    ".is_dir()",
    ".is_symlink()",
    ".read_dir()",
    ".metadata()",
    ".symlink_metadata()",
    ".canonicalize()",
    "NamedTempFile",
];

/// Where run directories are read and written, or known.
const FOLDERS: [&str; 7] = [
    "elbo/src/run",
    "elbo/src/tasks",
    "elbo/src/training",
    "elbo/src/priors",
    "elbo/src/report",
    "elbo/src/generation",
    "explorer/src",
];

/// Files that touch others than those of a run, each with how often and why.
const OTHERS: [(&str, usize, &str); 9] = [
    ("elbo/src/run/atomic/output.rs", 5, "results go where the user says, through links and into devices"),
    ("elbo/src/run/directory.rs", 1, "the empty folder that was made for a run is removed by its own name"),
    ("elbo/src/run/lock.rs", 1, "the type of an error"),
    ("elbo/src/run/tensorboard.rs", 2, "the machine's name"),
    ("elbo/src/run/weights.rs", 3, "weights of a metric, and of the cache, by the path of a file"),
    ("elbo/src/tasks/feature_space.rs", 1, "the cache of classifiers"),
    ("elbo/src/tasks/reading.rs", 2, "where the data of a run may lie now, by their own paths"),
    ("elbo/src/tasks/memory.rs", 1, "what the system tells of this process"),
    ("explorer/src/catalog.rs", 1, "the user's folder of runs is looked through"),
];

fn is_the_module(name: &str) -> bool {
    name.starts_with("elbo/src/run/files/")
}

/// Lines that touch files: code alone, without comments, and without a handle's own `metadata`.
fn ways_in(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    let touches = |line: &&str| {
        let line = line.replace("file.metadata()", "").replace("use std::fs::File;", "");
        WAYS.iter().any(|way| line.contains(way))
    };
    lines.filter(touches).map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

#[test]
fn nothing_else_opens_the_files_of_a_run() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/elbo lies in crates");
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| sources(&crates.join(folder), &mut files));
    assert!(files.len() > 90, "found only {} files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.strip_prefix(crates).expect("below crates").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = if is_the_module(&name) { Vec::new() } else { ways_in(&text) };
        let allowed = OTHERS.iter().find(|(other, ..)| *other == name).map_or(0, |(_, count, _)| *count);
        if found.len() != allowed {
            wrong.push(format!("{name}: {allowed} expected, {} found:\n    {}", found.len(), found.join("\n    ")));
        }
    }
    assert!(wrong.is_empty(), "go through `RunDir` or `run::files`:\n{}", wrong.join("\n"));
}

#[test]
fn the_check_can_fail() {
    for line in ["let x = fs::read(path)?;", "if path.exists() {", "std::fs::metadata(&p)", "    File::open(a)"] {
        assert_eq!(ways_in(line).len(), 1, "{line}");
    }
    for line in ["// fs::read", "let length = file.metadata()?.len();", "use std::fs::File;", "run.read(name, 9)"] {
        assert!(ways_in(line).is_empty(), "{line}");
    }
}

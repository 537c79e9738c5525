//! Imports go downward only. This test reads every path in the workspace's sources and fails on one that points up.
//!
//! The table below is the rule. It holds more than the compiler asks for: a model that borrows from a sibling, or a
//! run directory that knows of evaluation, compiles well and ends as a knot. Comments, strings and test modules are not
//! read. A name that reaches a file through a `use` in between, such as a re-export in `lib.rs`, counts as the place it
//! comes from; only what a glob (`use x::*`) brings in is not followed further than the module named before the star.

mod kinds;
mod references;
mod run_files;
mod tokens;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use references::{Reference, references_in};
use tokens::{tokens_of, without_tests};

/// Each module of `elbo` (a folder or file directly in its `src`), and each other crate, with what it may import.
/// `lib` is `lib.rs` itself, `elbo` all of its modules; `models` stands for what the models share, and their own files
/// may import that.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("derive", &[]),
    ("kernels", &[]),
    // Two derives, which its re-export leads to: who derives imports that crate.
    ("reference", &["derive"]),
    ("text", &[]),
    ("shell", &[]),
    // Messages are cleaned where they are made.
    ("error", &["text"]),
    ("suggest", &[]),
    ("tensors", &[]),
    ("parallel", &["kernels"]),
    ("space", &[]),
    // Normal draws are a kernel.
    ("random", &["kernels"]),
    ("device", &["error", "kernels"]),
    ("projection", &["error"]),
    ("mixtures", &["projection", "error", "random"]),
    // Mathematics of noise levels, in float64; it knows no network and draws nothing.
    ("diffusion", &["error"]),
    // The batcher's gather is a kernel.
    ("data", &["derive", "space", "suggest", "shell", "text", "error", "random", "kernels"]),
    // A pass has draws, and stages what buffers become.
    ("networks", &["derive", "tensors", "parallel", "error", "random", "kernels"]),
    // Whether a likelihood fits depends on what the numbers are; a learned scale is a buffer.
    ("distributions", &["data", "networks", "space", "error", "random", "kernels"]),
    ("models", &["derive", "reference", "data", "networks", "distributions", "space", "error", "random", "kernels"]),
    ("run", &["shell", "data", "space", "tensors", "error"]),
    ("training", &["derive", "data", "models", "networks", "run", "space", "tensors", "error", "random", "kernels"]),
    // Densities under many posteriors are a kernel; a classifier's features are a space to compare images in.
    (
        "evaluation",
        &[
            "mixtures",
            "projection",
            "data",
            "models",
            "networks",
            "distributions",
            "run",
            "space",
            "tensors",
            "parallel",
            "error",
            "random",
            "kernels",
        ],
    ),
    // Rows of symbols.
    ("generation", &["models", "data", "space", "tensors", "error", "random"]),
    // What numbers are measured in.
    ("report", &["run", "mixtures", "data", "space", "error"]),
    (
        "priors",
        &[
            "mixtures",
            "evaluation",
            "generation",
            "recipe",
            "training",
            "run",
            "models",
            "networks",
            "distributions",
            "data",
            "space",
            "tensors",
            "error",
            "random",
            // Links of likelihoods.
            "kernels",
        ],
    ),
    ("recipe", &["derive", "reference", "data", "models", "networks", "training", "suggest", "space", "error"]),
    (
        "tasks",
        &[
            "recipe",
            "report",
            "priors",
            "mixtures",
            "generation",
            "evaluation",
            "training",
            "run",
            "models",
            "networks",
            "distributions",
            "data",
            "device",
            "space",
            "suggest",
            "shell",
            "tensors",
            "error",
            "random",
            // Single kernels are measured.
            "kernels",
        ],
    ),
    ("lib", &["elbo"]),
    ("explorer", &["elbo"]),
    ("cli", &["elbo", "explorer"]),
];

/// Files of `models/` that belong to no single model.
const SHARED_BY_MODELS: &[&str] =
    &["capability", "keys", "objective", "quantised", "reading", "registry", "standard_normal", "vector_code"];

/// The workspace's crates: folder, and name in a path.
const CRATES: &[(&str, &str)] = &[
    ("derive", "elbo_derive"),
    ("kernels", "elbo_kernels"),
    ("elbo", "elbo"),
    ("explorer", "elbo_explorer"),
    ("cli", "elbo_cli"),
];

#[test]
fn imports_go_downward() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates/elbo lies in crates");
    let mut files = Vec::new();
    for (folder, _) in CRATES {
        collect(&crates.join(folder).join("src"), &format!("{folder}/src"), &mut files);
    }
    assert!(files.len() >= CRATES.len(), "found only {} source files", files.len());
    let violations = violations(&files);
    assert!(violations.is_empty(), "{} forbidden imports:\n{}", violations.len(), violations.join("\n"));
    let unused = unused_permissions(&files);
    assert!(unused.is_empty(), "{} permissions that nobody uses:\n{}", unused.len(), unused.join("\n"));
}

/// All Rust files below `folder` with their text, under names that start with `name`.
fn collect(folder: &Path, name: &str, files: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{name}/{}", path.file_name().expect("an entry has a name").to_string_lossy());
        if path.is_dir() {
            collect(&path, &name, files);
        } else if name.ends_with(".rs") {
            files.push((name, fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))));
        }
    }
}

/// A place in the workspace: the crate's folder, then the modules.
type Place = Vec<String>;

struct Source {
    file: String,
    place: Place,
    references: Vec<Reference>,
}

/// Every import that the table forbids, as `file:line: reason`.
fn violations(files: &[(String, String)]) -> Vec<String> {
    let sources = sources_of(files);
    let known = Known::new(&sources);
    let mut found = Vec::new();
    for source in &sources {
        let from = Area::of(&source.place);
        if !MAY_IMPORT.iter().any(|(name, _)| *name == from.module) {
            found.push(format!("{}: `{}` has no row in the table of this test", source.file, from.module));
            continue;
        }
        let mut imported = HashSet::new();
        let (uses, bodies): (Vec<_>, Vec<_>) = source.references.iter().partition(|reference| reference.in_use);
        for reference in uses.into_iter().chain(bodies) {
            let Some(target) = known.resolve(&source.place, reference) else { continue };
            let to = Area::of(&target);
            // What a forbidden `use` brings in is not told again at each place it is used.
            if !allowed(&source.file, &from, &to) && (reference.in_use || !imported.contains(&to.to_string())) {
                let (line, path) = (reference.line, reference.segments.join("::"));
                found.push(format!("{}:{line}: `{from}` must not import `{to}` (`{path}`)", source.file));
                imported.extend(reference.in_use.then(|| to.to_string()));
            }
        }
    }
    found
}

/// What has been read of each file, tests left out.
fn sources_of(files: &[(String, String)]) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut test_modules = HashSet::new();
    for (file, text) in files {
        let place = place_of(file);
        let (tokens, tests) = without_tests(tokens_of(text));
        test_modules.extend(tests.into_iter().map(|name| joined(&place, &[name])));
        sources.push(Source { file: file.clone(), place, references: references_in(&tokens) });
    }
    sources.retain(|source| !(1..=source.place.len()).any(|end| test_modules.contains(&source.place[..end])));
    sources
}

/// Rows of the table that allow what nobody does, as `module: target`. What a crate may import of another is not counted.
fn unused_permissions(files: &[(String, String)]) -> Vec<String> {
    let sources = sources_of(files);
    let known = Known::new(&sources);
    let mut used: HashSet<(String, String)> = HashSet::new();
    for source in &sources {
        let from = Area::of(&source.place).module;
        let targets = source.references.iter().filter_map(|reference| known.resolve(&source.place, reference));
        used.extend(targets.map(|target| (from.clone(), Area::of(&target).module)));
    }
    let rows = MAY_IMPORT.iter().filter(|(name, _)| !["lib", "explorer", "cli"].contains(name));
    let permissions = rows.flat_map(|(name, targets)| targets.iter().map(move |target| (*name, *target)));
    let unused = permissions.filter(|(name, target)| !used.contains(&((*name).to_owned(), (*target).to_owned())));
    unused.map(|(name, target)| format!("`{name}` may import `{target}`")).collect()
}

/// A row of the table, and the model where there is one.
#[derive(PartialEq)]
struct Area {
    module: String,
    model: Option<String>,
}

impl std::fmt::Display for Area {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let model = self.model.iter().map(|model| format!("/{model}"));
        write!(f, "{}{}", self.module, model.collect::<String>())
    }
}

impl Area {
    fn of(place: &[String]) -> Self {
        let module = match place {
            [krate] if krate == "elbo" => "lib",
            [krate, module, ..] if krate == "elbo" => module,
            [krate, ..] => krate,
            [] => unreachable!("a place starts with its crate"),
        };
        let file = place.get(2).filter(|file| module == "models" && !SHARED_BY_MODELS.contains(&file.as_str()));
        Self { module: module.to_owned(), model: file.cloned() }
    }
}

fn allowed(file: &str, from: &Area, to: &Area) -> bool {
    if from.module == "models" && to.module == "models" {
        // `mod.rs` lists the models and `registry.rs` builds one of them; what else they share knows none of them, and they do
        // not know each other.
        let knows_all = ["models/mod.rs", "models/registry.rs"].iter().any(|name| file.ends_with(name));
        return from == to || to.model.is_none() || knows_all;
    }
    let sees_all_of_elbo = ["lib", "explorer", "cli"].contains(&from.module.as_str());
    let is_elbo = CRATES.iter().all(|(folder, _)| *folder != to.module);
    let to = if sees_all_of_elbo && is_elbo { "elbo" } else { &to.module };
    from.module == to || MAY_IMPORT.iter().any(|(name, targets)| *name == from.module && targets.contains(&to))
}

/// The modules there are, and what names stand for in them.
struct Known {
    modules: HashSet<Place>,
    uses: HashMap<Place, Place>,
}

impl Known {
    fn new(sources: &[Source]) -> Self {
        let modules =
            sources.iter().flat_map(|source| (1..=source.place.len()).map(|end| source.place[..end].to_vec()));
        let mut known = Self { modules: modules.collect(), uses: HashMap::new() };
        for source in sources {
            for reference in &source.references {
                let Some(name) = &reference.binds else { continue };
                if let Some(target) = known.absolute(&source.place, reference) {
                    known.uses.insert(joined(&source.place, &[name]), target);
                }
            }
        }
        known
    }

    /// Where a path leads: the module that holds what it names, after all re-exports.
    fn resolve(&self, from: &Place, reference: &Reference) -> Option<Place> {
        let mut path = self.absolute(from, reference)?;
        // More steps than this are a circle.
        for _ in 0..20 {
            let Some((end, target)) = (1..=path.len()).find_map(|end| Some((end, self.uses.get(&path[..end])?))) else {
                break;
            };
            path = joined(target, &path[end..]);
        }
        let depth = (1..=path.len()).rev().find(|&end| self.modules.contains(&path[..end]))?;
        // An item of `lib.rs` itself, a macro for one, belongs to no layer.
        let root_item = depth == 1 && path[0] == "elbo" && from[0] == "elbo";
        (!root_item).then(|| path[..depth].to_vec())
    }

    /// The path from the crate's root, if it starts in this workspace.
    fn absolute(&self, from: &Place, reference: &Reference) -> Option<Place> {
        let here = joined(from, &reference.inside);
        let [first, rest @ ..] = &reference.segments[..] else { return None };
        match first.as_str() {
            "crate" => Some(joined(&from[..1], rest)),
            "self" => Some(joined(&here, rest)),
            "super" => {
                let up = reference.segments.iter().take_while(|segment| *segment == "super").count();
                Some(joined(here.get(..here.len().saturating_sub(up).max(1))?, &reference.segments[up..]))
            }
            name => match CRATES.iter().find(|(_, krate)| *krate == name) {
                Some((folder, _)) if *folder != from[0] => Some(joined(&[folder.to_string()], rest)),
                // A crate can call itself by name; so can a variable or function, which no module of the crate follows.
                Some((folder, _)) => Some(joined(&[folder.to_string()], rest))
                    .filter(|path| self.modules.contains(&path[..path.len().min(2)]) && path.len() > 1),
                None => Some(joined(&here, &reference.segments)).filter(|path| {
                    let first = &path[..here.len() + 1];
                    self.modules.contains(first) || self.uses.contains_key(first)
                }),
            },
        }
    }
}

fn joined<S: AsRef<str>>(start: &[String], rest: &[S]) -> Place {
    start.iter().cloned().chain(rest.iter().map(|segment| segment.as_ref().to_owned())).collect()
}

/// `elbo/src/models/vae.rs` is `elbo`, `models`, `vae`.
fn place_of(file: &str) -> Place {
    let parts = file.trim_end_matches(".rs").split('/').filter(|part| !["src", "mod", "lib", "main"].contains(part));
    parts.map(str::to_owned).collect()
}

fn check(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<_> = files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect();
    violations(&files)
}

/// Empty modules, so that paths lead somewhere.
const MODULES: &[(&str, &str)] = &[
    ("kernels/src/lib.rs", ""),
    (
        "elbo/src/lib.rs",
        "pub use error::{Error, Result as ElboResult}; pub use models::vae::Vae; pub const SIZE: usize = 1;",
    ),
    ("elbo/src/error.rs", ""),
    ("elbo/src/data/mod.rs", ""),
    ("elbo/src/data/split.rs", ""),
    ("elbo/src/models/objective.rs", ""),
    ("elbo/src/models/vae.rs", ""),
    ("elbo/src/run/mod.rs", "#[cfg(test)] mod tests;"),
    ("elbo/src/training/mod.rs", ""),
    ("elbo/src/evaluation/mod.rs", ""),
    ("explorer/src/lib.rs", ""),
];

/// What the checker says of one more file beside those.
fn check_one(file: &str, text: &str) -> Vec<String> {
    check(&[MODULES, &[("elbo/src/models/mod.rs", "pub use vae::Vae; pub struct Plan;"), (file, text)]].concat())
}

#[test]
fn flags_every_forbidden_direction() {
    let cases = [
        ("elbo/src/error.rs", "use crate::data::Split;", "`error` must not import `data` (`crate::data::Split`)"),
        (
            "elbo/src/data/x.rs",
            "use crate::{error, run::atomic};",
            "`data` must not import `run` (`crate::run::atomic`)",
        ),
        ("elbo/src/data/x.rs", "use super::super::training as t;", "must not import `training`"),
        ("elbo/src/data/x.rs", "fn f() { crate::models::vae::f(); }", "`data` must not import `models/vae`"),
        ("elbo/src/data/x.rs", "fn f() -> Vec<crate::run::X> {}", "`data` must not import `run`"),
        ("elbo/src/data/x.rs", "mod a { use super::super::super::run::b; }", "`data` must not import `run`"),
        ("elbo/src/data/x.rs", "mod a { fn f() {} } use super::super::run::b;", "`data` must not import `run`"),
        ("elbo/src/error.rs", "use elbo_kernels::linear;", "`error` must not import `kernels`"),
        ("elbo/src/data/x.rs", "use ::elbo::run::atomic;", "`data` must not import `run`"),
        ("elbo/src/data/x.rs", "use crate::run::*;", "`data` must not import `run`"),
        ("elbo/src/data/x.rs", "use crate::Vae;", "`data` must not import `models/vae` (`crate::Vae`)"),
        ("elbo/src/run/x.rs", "use elbo_kernels;", "`run` must not import `kernels`"),
        ("elbo/src/run/x.rs", "use crate::training::config::Config;", "`run` must not import `training`"),
        ("elbo/src/training/x.rs", "use crate::evaluation::elbo;", "`training` must not import `evaluation`"),
        (
            "elbo/src/models/ae.rs",
            "use super::vae::Vae;",
            "`models/ae` must not import `models/vae` (`super::vae::Vae`)",
        ),
        ("elbo/src/models/ae.rs", "use crate::models::Vae;", "`models/ae` must not import `models/vae`"),
        ("elbo/src/models/ae.rs", "use super::{Plan, Vae as Other};", "must not import `models/vae`"),
        ("elbo/src/models/ae.rs", "use crate::models as m; fn f() { m::vae::f(); }", "(`m::vae::f`)"),
        ("elbo/src/models/ae/layers.rs", "use super::super::vae;", "`models/ae` must not import `models/vae`"),
        ("elbo/src/models/objective.rs", "use super::vae;", "`models` must not import `models/vae`"),
        ("elbo/src/models/ae.rs", "use crate::training::Stop;", "`models/ae` must not import `training`"),
        ("elbo/src/error.rs", "#[cfg(not(test))] use crate::data::X;", "must not import `data`"),
        ("elbo/src/error.rs", "#[cfg(test)] mod t { } use crate::data::X;", "must not import `data`"),
        ("elbo/src/error.rs", "fn f<'a>(x: &'a str) { crate::data::g('\\'', '\"'); }", "must not import `data`"),
        ("elbo/src/lib.rs", "use elbo_explorer::serve;", "`lib` must not import `explorer`"),
        ("elbo/src/novelty.rs", "", "`novelty` has no row"),
        ("kernels/src/linear.rs", "use elbo::Error;", "`kernels` must not import `error`"),
        ("kernels/src/linear.rs", "use elbo::SIZE;", "`kernels` must not import `lib`"),
        ("explorer/src/page.rs", "use elbo_kernels::linear;", "`explorer` must not import `kernels`"),
        ("cli/src/main.rs", "fn main() { elbo_kernels::linear(); }", "`cli` must not import `kernels`"),
    ];
    let missed = cases.iter().filter_map(|(file, text, words)| {
        let found = check_one(file, text);
        (found.len() != 1 || !found[0].contains(words)).then(|| format!("{file}: {text}: {words}: {found:?}"))
    });
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn accepts_what_the_table_allows_and_what_only_looks_forbidden() {
    let cases = [
        ("elbo/src/data/x.rs", "use crate::error::{self, Error}; use super::split::Split; use std::run::x;"),
        (
            "elbo/src/data/x.rs",
            "use crate::{Error, ElboResult, SIZE}; fn f() { crate::mac!(); elbo::f(); t.elbo::<u8>(); }",
        ),
        (
            "elbo/src/error.rs",
            "// use crate::data::X;\n/* /* */ use crate::run::X; */ //! crate::data::y\n/// [`crate::run`]",
        ),
        ("elbo/src/error.rs", r###"const A: &str = "crate::run"; const B: &str = r#"" crate::run "#;"###),
        ("elbo/src/error.rs", r###"const A: &[u8] = b"\" crate::run"; const B: &str = r"\"; const C: char = '"';"###),
        (
            "elbo/src/error.rs",
            "#[cfg(test)]\n#[allow(x)]\nmod tests { use crate::run::x; fn f() { { crate::data::y() } } }",
        ),
        (
            "elbo/src/error.rs",
            "#[cfg(all(test, unix))] use crate::run::x; #[cfg(test)] fn f(a: [u8; 3]) { crate::run::x(a) }",
        ),
        ("elbo/src/error.rs", "#![cfg(test)] use crate::run::x;"),
        ("elbo/src/run/tests.rs", "use crate::training::x;"),
        (
            "elbo/src/models/ae.rs",
            "use super::{Plan, objective::kl}; use crate::models::objective; use elbo_kernels::linear;",
        ),
        (
            "elbo/src/training/x.rs",
            "use crate::models::vae::Vae; use crate::{Vae as V, run}; use elbo_kernels::linear;",
        ),
        ("elbo/src/lib.rs", "pub mod data; pub use data::split::Split; pub use crate::training::x;"),
        ("explorer/src/page.rs", "use elbo::run::x; use elbo::Vae; use crate::y; fn f() { elbo::data::z() }"),
        ("cli/src/main.rs", "use elbo::evaluation; use elbo_explorer::serve; use crate::plan;"),
    ];
    let wrong: Vec<_> = cases.iter().flat_map(|(file, text)| check_one(file, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_permission_that_nobody_uses_is_told() {
    let used = ("elbo/src/training/x.rs", "use crate::run::x;");
    let files: Vec<(String, String)> =
        MODULES.iter().chain([&used]).map(|(file, text)| (file.to_string(), text.to_string())).collect();
    let unused = unused_permissions(&files);
    assert!(!unused.contains(&"`training` may import `run`".to_owned()), "{unused:?}");
    assert!(unused.contains(&"`training` may import `models`".to_owned()), "{unused:?}");
}

#[test]
fn reports_all_of_them_with_their_lines() {
    let text = "use crate::{\n    data::{a,\n b},\n    run,\n};\n\nfn f() { a(); crate::training::x() }\n";
    let expected = [(2, "data", "data::a"), (3, "data", "data::b"), (4, "run", "run"), (7, "training", "training::x")];
    let told = |(line, to, path)| format!("elbo/src/error.rs:{line}: `error` must not import `{to}` (`crate::{path}`)");
    assert_eq!(check_one("elbo/src/error.rs", text), expected.map(told));
}

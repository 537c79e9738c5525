//! The runs there are: folders looked through again and again, so that new and growing runs appear by themselves.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use elbo::run::directory::RunDir;

use crate::run_entry::{Listed, RunEntry, Unreadable, stamp};

/// Runs below one folder that are shown.
const MAX_RUNS: usize = 2_000;

/// All runs, by the ids the service gave them.
#[derive(Debug)]
pub(crate) struct Catalog {
    roots: Vec<PathBuf>,
    found: RwLock<Found>,
}

#[derive(Debug, Default)]
struct Found {
    /// Each place keeps its id for as long as the service runs.
    ids: HashMap<PathBuf, String>,
    runs: HashMap<String, (Stamp, Listed)>,
}

/// When what a summary is made of was written; while a run says that it is running, nothing is taken from the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([Option<SystemTime>; 5]);

impl Stamp {
    fn of(path: &Path) -> Self {
        let names = ["run.json", "config.toml", "metrics.jsonl", "checkpoints/last/manifest.json", "priors"];
        Self(names.map(|name| stamp(path, name)))
    }
}

impl Catalog {
    /// Run directories, and folders of such.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        let catalog = Self { roots, found: RwLock::default() };
        catalog.rescan();
        catalog
    }

    /// Looks again; returns what is new or has changed.
    pub fn rescan(&self) -> Vec<Listed> {
        let paths = self.roots.iter().flat_map(|root| runs_in(root)).take(MAX_RUNS);
        let mut changed = Vec::new();
        let mut runs = HashMap::new();
        for path in paths {
            let (id, known) = self.known(&path);
            let stamp = Stamp::of(&path);
            let listed = match known {
                Some((old, listed)) if old == stamp && !listed.is_growing() => listed,
                known => {
                    let before = known.map(|(_, listed)| listed);
                    let now = look(&id, &path, before.as_ref());
                    if before.as_ref() != Some(&now) {
                        changed.push(now.clone());
                    }
                    now
                }
            };
            runs.insert(id, (stamp, listed));
        }
        self.found.write().unwrap_or_else(|poisoned| poisoned.into_inner()).runs = runs;
        changed
    }

    /// All runs, those in training first, then the newest; those that cannot be read among them.
    pub fn listed(&self) -> Vec<Listed> {
        let found = self.found.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut listed: Vec<Listed> = found.runs.values().map(|(_, listed)| listed.clone()).collect();
        listed.sort_by(|a, b| b.newness().cmp(&a.newness()).then_with(|| a.id().cmp(b.id())));
        listed
    }

    /// The runs that can be read, in the same order.
    pub fn runs(&self) -> Vec<Arc<RunEntry>> {
        let readable = |listed| match listed {
            Listed::Run(run) => Some(run),
            Listed::Unreadable(_) => None,
        };
        self.listed().into_iter().filter_map(readable).collect()
    }

    /// What has this id.
    pub fn get(&self, id: &str) -> Option<Listed> {
        let found = self.found.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        found.runs.get(id).map(|(_, listed)| listed.clone())
    }

    /// Lists a run until the next look, whatever there is at its place.
    #[cfg(test)]
    pub fn insert(&self, run: Listed) {
        let mut found = self.found.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        found.runs.insert(run.id().to_owned(), (Stamp([None; 5]), run));
    }

    /// The id of a place, and what is known of it.
    fn known(&self, path: &Path) -> (String, Option<(Stamp, Listed)>) {
        let mut found = self.found.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let id = match found.ids.get(path) {
            Some(id) => id.clone(),
            None => {
                let id = free_id(path, &found.ids);
                found.ids.insert(path.to_owned(), id.clone());
                id
            }
        };
        let known = found.runs.get(&id).cloned();
        (id, known)
    }
}

/// The run at `root`, or those directly below it, in the order of their names.
fn runs_in(root: &Path) -> Vec<PathBuf> {
    if is_run(root) {
        return vec![root.to_owned()];
    }
    let entries = fs::read_dir(root).into_iter().flatten();
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_run(path)).collect();
    paths.sort();
    paths
}

/// Without a configuration it is one that cannot be read, and is shown as that.
fn is_run(path: &Path) -> bool {
    RunDir::is_run(path)
}

/// What there is to tell of a folder. What was a run a moment ago and cannot be read now, for a file is between two versions, stays what it was.
fn look(id: &str, path: &Path, before: Option<&Listed>) -> Listed {
    match (RunEntry::read(id, path), before) {
        (Ok(run), _) => Listed::Run(Arc::new(run)),
        (Err(_), Some(run @ Listed::Run(_))) => run.clone(),
        (Err(error), _) => Listed::Unreadable(Arc::new(Unreadable::new(id, path, &error))),
    }
}

/// The folder's name in plain letters, with a number where that is taken.
fn free_id(path: &Path, taken: &HashMap<PathBuf, String>) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' })
        .take(80)
        .collect();
    let base = if plain.is_empty() { "run".to_owned() } else { plain };
    let is_free = |id: &String| taken.values().all(|other| other != id);
    let numbered = (2..).map(|number| format!("{base}-{number}"));
    std::iter::once(base.clone()).chain(numbered).find(is_free).expect("some number is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_and_never_shared() {
        let mut taken = HashMap::new();
        for (path, id) in [("a/Größe 1", "gr--e-1"), ("b/Größe 1", "gr--e-1-2"), ("c/x_y-001", "x_y-001"), ("/", "run")]
        {
            let found = free_id(Path::new(path), &taken);
            assert_eq!(found, id);
            taken.insert(path.into(), found);
        }
    }

    #[test]
    fn a_run_that_cannot_be_read_is_listed_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        for (name, config) in [("torn", Some("format = 1\nmodel = \"")), ("bare", None)] {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("run.json"), "{}").unwrap();
            config.map_or(Ok(()), |text| fs::write(path.join("config.toml"), text)).unwrap();
        }
        let catalog = Catalog::new(vec![folder.path().into()]);
        assert!(catalog.runs().is_empty());
        let listed = serde_json::to_value(catalog.listed()).unwrap();
        for (place, name) in ["bare", "torn"].iter().enumerate() {
            let (run, reason) = (&listed[place], listed[place]["error"].as_str().unwrap());
            assert_eq!((&run["id"], &run["status"]), (&(*name).into(), &"unreadable".into()));
            assert!(!reason.is_empty() && !reason.contains(folder.path().to_str().unwrap()), "{reason}");
        }
        assert!(catalog.rescan().is_empty(), "nothing has changed");
    }

    #[test]
    fn an_empty_or_missing_folder_has_no_runs() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(vec![folder.path().into(), folder.path().join("missing")]);
        assert!(catalog.listed().is_empty() && catalog.rescan().is_empty() && catalog.get("../x").is_none());
    }
}

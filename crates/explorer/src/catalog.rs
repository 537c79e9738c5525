//! The runs there are: folders looked through again and again, so that new and growing runs appear by themselves.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use crate::run::Run;

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
    runs: HashMap<String, (Stamp, Arc<Run>)>,
}

/// When what a summary is made of was written; while a run says that it is running, nothing is taken from the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([Option<SystemTime>; 4]);

impl Stamp {
    fn of(path: &Path) -> Self {
        let names = ["run.json", "config.toml", "metrics.jsonl", "checkpoints/last/manifest.json"];
        Self(names.map(|name| path.join(name).metadata().ok()?.modified().ok()))
    }
}

impl Catalog {
    /// Run directories, and folders of such.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        let catalog = Self { roots, found: RwLock::default() };
        catalog.rescan();
        catalog
    }

    /// Looks again; returns the runs that are new or have changed.
    pub fn rescan(&self) -> Vec<Arc<Run>> {
        let paths = self.roots.iter().flat_map(|root| runs_in(root)).take(MAX_RUNS);
        let mut changed = Vec::new();
        let mut runs = HashMap::new();
        for path in paths {
            let (id, known) = self.known(&path);
            let stamp = Stamp::of(&path);
            let unchanged = |run: &Arc<Run>| run.summary.status != "running";
            let run = match known {
                Some((old, run)) if old == stamp && unchanged(&run) => run,
                known => match Run::read(&id, &path) {
                    Ok(run) => {
                        let run = Arc::new(run);
                        if known.is_none_or(|(_, old)| old.summary != run.summary) {
                            changed.push(Arc::clone(&run));
                        }
                        run
                    }
                    // A file between two versions, or a run that cannot be read: what was known of it stays.
                    Err(_) => match known {
                        Some((_, run)) => run,
                        None => continue,
                    },
                },
            };
            runs.insert(id, (stamp, run));
        }
        self.found.write().unwrap_or_else(|poisoned| poisoned.into_inner()).runs = runs;
        changed
    }

    /// All runs, the newest first.
    pub fn runs(&self) -> Vec<Arc<Run>> {
        let found = self.found.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut runs: Vec<_> = found.runs.values().map(|(_, run)| Arc::clone(run)).collect();
        runs.sort_by(|a, b| {
            (b.summary.live, b.summary.updated).cmp(&(a.summary.live, a.summary.updated)).then(a.id.cmp(&b.id))
        });
        runs
    }

    /// The run with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Run>> {
        let found = self.found.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        found.runs.get(id).map(|(_, run)| Arc::clone(run))
    }

    /// The id of a place, and what is known of it.
    fn known(&self, path: &Path) -> (String, Option<(Stamp, Arc<Run>)>) {
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

fn is_run(path: &Path) -> bool {
    path.join("run.json").is_file() && path.join("config.toml").is_file()
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
    fn an_empty_or_missing_folder_has_no_runs() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::new(vec![folder.path().into(), folder.path().join("missing")]);
        assert!(catalog.runs().is_empty() && catalog.rescan().is_empty() && catalog.get("../x").is_none());
    }
}

//! Runs that an older build made (`fixtures/golden`) are read, sampled, judged, trained again and gone on with as that build did.
//!
//! Where the processor is the one that build ran on, to the byte. Elsewhere other instructions round sums in another order (ARCHITECTURE.md,
//! Determinism), so numbers are compared within [`READING`] and [`TRAINING`]. Each test says on standard error which comparison it made.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Folder, Outcome, info};

/// Largest difference of a number computed from stored weights, as a share of the largest in its column or file.
const READING: f64 = 1e-4;

/// The same of metrics after training, where differences grow with every step. A perturbation of all weights by 3e-7
/// in the middle of the interrupted run moves none by more than 1e-7. Weights themselves are then not compared: Adam
/// takes steps of full length along gradients that are nothing but rounding.
const TRAINING: f64 = 1e-3;

/// Metrics that count neighbours or clusters, and their difference: a few of 60 examples fall on the other side.
const COUNTED: &[&str] =
    &["precision", "recall", "density", "coverage", "knn_accuracy", "linear_probe", "nmi", "ari", "noise_tolerance"];
const COUNTS: f64 = 0.1;

/// Keys of a configuration that came after the golden runs; all others must be there, with the same values.
const KEYS_SINCE: &[&str] = &[];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lines of a list: the first word, and the rest.
fn list(name: &str) -> Vec<(String, String)> {
    let text = text(&golden(name));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or_else(|| panic!("two words: {line}"))).map(owned).collect()
}

fn owned((name, rest): (&str, &str)) -> (String, String) {
    (name.to_owned(), rest.trim().to_owned())
}

/// How answers are held against the stored ones.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    /// Every byte.
    Exact,
    /// Every number, within this share of the largest of its column.
    Within(f64),
}

/// The vector instructions that decide how sums are rounded.
fn level() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        let levels = [("amx", has("amx_tile")), ("avx512", has("avx512f")), ("avx2", has("avx2") && has("fma"))];
        levels.into_iter().find(|(_, there)| *there).map_or("baseline", |(name, _)| name)
    }
    #[cfg(not(target_arch = "x86_64"))]
    "none of x86-64"
}

/// The value of a line of `/proc/cpuinfo`.
fn processor(key: &str) -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(owned).find(|(name, _)| name.trim() == key).map(|(_, value)| value).unwrap_or_default()
}

impl Comparison {
    /// Exact on the recorded processor; said on standard error, past the test harness, which keeps prints to itself.
    fn here(test: &str, tolerance: f64) -> Self {
        let recorded: Value = serde_json::from_str(&text(&golden("machine.json"))).unwrap();
        let machine =
            |level: &str, vendor: &str, family: &str, model: &str| format!("{level} {vendor} {family}/{model}");
        let then = machine(
            recorded["level"].as_str().unwrap(),
            recorded["vendor"].as_str().unwrap(),
            &recorded["family"].to_string(),
            &recorded["model"].to_string(),
        );
        let now = machine(level(), &processor("vendor_id"), &processor("cpu family"), &processor("model"));
        // Set from outside, it lowers the level of every command here.
        let lowered = std::env::var("ELBO_SIMD").is_ok();
        let (how, words) = match then == now && !lowered {
            true => (Self::Exact, "to the byte".to_owned()),
            false => (Self::Within(tolerance), format!("within {tolerance} (recorded on {then})")),
        };
        let lowered = if lowered { ", ELBO_SIMD set" } else { "" };
        let _ = writeln!(std::io::stderr(), "golden runs: {test} compared {words} on {now}{lowered}");
        how
    }

    /// What differs, in words; none if nothing does.
    fn difference(self, found: &Path, expected: &Path) -> Option<String> {
        let name = expected.file_name().unwrap().to_string_lossy().into_owned();
        // What `elbo eval --json` says of metrics in words is no result.
        let json = name.ends_with(".json");
        if self == Self::Exact && !json && fs::read(found).unwrap() == fs::read(expected).unwrap() {
            return None;
        }
        let (found, expected) = (columns(found), columns(expected));
        let names = |columns: &Columns| columns.keys().cloned().collect::<Vec<_>>();
        if names(&found) != names(&expected) {
            return Some(format!("{name}: has {:?} where {:?} is expected", names(&found), names(&expected)));
        }
        let beyond = expected.iter().filter_map(|(column, expected)| {
            let distance = distance(&found[column], expected);
            (distance > self.allowed(column)).then_some((distance, column))
        });
        match beyond.max_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((worst, column)) => Some(format!("{name}: `{column}` differs by {worst:e}")),
            None if self == Self::Exact && !json && !is_wider_today(&name) => {
                Some(format!("{name}: other bytes, though equal numbers"))
            }
            None => None,
        }
    }

    /// The largest difference that a column may show.
    fn allowed(self, column: &str) -> f64 {
        match self {
            Self::Exact => 0.0,
            Self::Within(_) if COUNTED.contains(&column) => COUNTS,
            Self::Within(tolerance) => tolerance,
        }
    }
}

/// Samples of a table are float64 in `.npy` today, so that all digits of their columns come back; they were float32.
fn is_wider_today(name: &str) -> bool {
    name.starts_with("table-") && name.ends_with(".npy")
}

/// Numbers by the name of their column, tensor or metric.
type Columns = BTreeMap<String, Vec<f64>>;

/// The numbers of a file by its kind.
fn columns(path: &Path) -> Columns {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => {
            let bytes = fs::read(path).unwrap();
            let array = npyz::NpyFile::new(&bytes[..]).unwrap();
            let shape = format!("array of {:?}", array.shape());
            // Rows of a table are float64 today, so that all digits of their columns come back; they were float32.
            let values: Vec<f64> = match array.header().dtype().descr().contains("f8") {
                true => array.into_vec::<f64>().unwrap().into_iter().map(|value| f64::from(value as f32)).collect(),
                false => array.into_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
            };
            BTreeMap::from([(shape, values)])
        }
        Some("csv") => csv_columns(&text(path)),
        Some("json") => metrics(&serde_json::from_str(&text(path)).unwrap()),
        Some("safetensors") => tensors(&fs::read(path).unwrap()),
        _ => panic!("{}: no kind of file with numbers", path.display()),
    }
}

/// Columns of numbers; one of words counts by their hash, so that it must be equal.
fn csv_columns(text: &str) -> Columns {
    let mut lines = text.lines().map(|line| line.split(','));
    let names: Vec<String> = lines.next().expect("a header").map(str::to_owned).collect();
    let mut columns: Columns = names.iter().map(|name| (name.clone(), Vec::new())).collect();
    for line in lines {
        for (name, field) in names.iter().zip(line) {
            let word = || field.bytes().fold(1.0, |hash, byte| (hash * 31.0 + f64::from(byte)) % 1e9);
            let number = field.parse().unwrap_or_else(|_| word());
            columns.get_mut(name).unwrap().push(number);
        }
    }
    columns
}

/// Values and standard errors of `elbo eval --json`, and how many examples they are of.
fn metrics(report: &Value) -> Columns {
    let metrics = report["metrics"].as_object().unwrap_or_else(|| panic!("metrics: {report}"));
    let numbers = |metric: &Value| ["value", "stderr"].iter().filter_map(|part| metric[*part].as_f64()).collect();
    let count = ("n".to_owned(), report["n"].as_f64().into_iter().collect());
    metrics.iter().map(|(name, metric)| (name.clone(), numbers(metric))).chain([count]).collect()
}

/// Tensors of a safetensors file by name; it must hold float32 alone.
fn tensors(bytes: &[u8]) -> Columns {
    let (length, rest) = bytes.split_first_chunk::<8>().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: Value = serde_json::from_slice(header).unwrap();
    let entries = header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__");
    entries
        .map(|(name, entry)| {
            assert_eq!(entry["dtype"], "F32", "{name}");
            let [from, to] = [0, 1].map(|end| entry["data_offsets"][end].as_u64().unwrap() as usize);
            let values = data[from..to].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into());
            (format!("{name} {}", entry["shape"]), values.collect())
        })
        .collect()
}

/// The largest difference as a share of the largest magnitude expected; infinite for another count or where one side is not finite.
fn distance(found: &[f64], expected: &[f64]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let scale = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs())).max(f64::MIN_POSITIVE);
    let differences = found.iter().zip(expected).map(|(found, expected)| match found == expected {
        true => 0.0,
        false if found.is_finite() && expected.is_finite() => (found - expected).abs() / scale,
        false => f64::INFINITY,
    });
    differences.fold(0.0, f64::max)
}

/// A fresh folder with a copy of the golden runs.
fn runs() -> Folder {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in
            fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())).map(Result::unwrap)
        {
            match entry.file_type().unwrap().is_dir() {
                true => copy(&entry.path(), &to.join(entry.file_name())),
                false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
            }
        }
    }
    let folder = Folder::new();
    copy(&golden("runs"), &folder.path(""));
    folder
}

/// Runs a command where the table of the golden runs is found.
fn ask(folder: &Folder, line: &str) -> Outcome {
    folder.start(folder.command(line).env("ELBO_DATA", golden(""))).finish().done()
}

#[track_caller]
fn nothing_differs(differences: Vec<String>) {
    assert!(differences.is_empty(), "{} answers differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn runs_of_an_older_build_answer_as_they_did() {
    let how = Comparison::here("answers", READING);
    let folder = runs();
    let mut differences = Vec::new();
    let commands = list("commands.txt");
    for (name, line) in &commands {
        let outcome = ask(&folder, line);
        assert!(!outcome.stderr.contains("fitted"), "{line}: a sampler is read, not fitted: {}", outcome.stderr);
        if !folder.path(name).exists() {
            folder.write(name, &outcome.stdout);
        }
        differences.extend(how.difference(&folder.path(name), &golden("expected").join(name)));
    }
    assert!(commands.len() >= 30, "{}", commands.len());
    nothing_differs(differences);
}

#[test]
fn training_by_the_configuration_of_an_older_run_makes_the_same_run() {
    let how = Comparison::here("training", TRAINING);
    let folder = runs();
    let mut differences = Vec::new();
    for (name, _) in list("trainings.txt") {
        ask(&folder, &format!("train {name}/config.toml --out again-{name}"));
        let weights = ["checkpoints/last/model.safetensors", "checkpoints/best/model.safetensors"];
        for file in ["metrics.csv"].into_iter().chain(weights.into_iter().filter(|_| how == Comparison::Exact)) {
            let found =
                how.difference(&folder.path(&format!("again-{name}/{file}")), &golden("runs").join(&name).join(file));
            differences.extend(found.map(|difference| format!("{name}: {difference}")));
        }
    }
    nothing_differs(differences);
}

#[test]
fn an_interrupted_run_of_an_older_build_is_gone_on_with_as_if_it_had_not_been() {
    let how = Comparison::here("resuming", TRAINING);
    let folder = runs();
    let before = info(&folder.path("interrupted"));
    assert_eq!(before["status"], "interrupted");
    let state: Value = serde_json::from_str(&text(&folder.path("interrupted/checkpoints/last/state.json"))).unwrap();
    assert_ne!(state["step_in_epoch"], 0, "in the middle of an epoch: {state}");
    ask(&folder, "resume interrupted");
    assert_eq!(info(&folder.path("interrupted"))["status"], "finished");
    let files = [
        ("metrics.csv", "continued-metrics.csv"),
        ("checkpoints/last/model.safetensors", "continued-last.safetensors"),
        ("checkpoints/best/model.safetensors", "continued-best.safetensors"),
    ];
    let files = files.into_iter().filter(|(file, _)| how == Comparison::Exact || file.ends_with("csv"));
    let difference = |(file, expected): (&str, &str)| {
        how.difference(&folder.path("interrupted").join(file), &golden("expected").join(expected))
    };
    nothing_differs(files.filter_map(difference).collect());
}

#[test]
fn finished_runs_of_an_older_build_train_for_more_epochs() {
    let folder = runs();
    for (name, _) in list("trainings.txt") {
        let epochs = info(&folder.path(&name))["epochs"].as_u64().unwrap();
        ask(&folder, &format!("resume {name} --epochs {}", epochs + 1));
        let lines = text(&folder.path(&name).join("metrics.csv")).lines().count() as u64;
        assert_eq!((lines, info(&folder.path(&name))["epochs"].as_u64()), (epochs + 2, Some(epochs + 1)), "{name}");
    }
}

/// Leaves of a table by their path.
fn leaves(path: &str, value: &toml::Value, found: &mut BTreeMap<String, String>) {
    match value.as_table() {
        Some(table) => {
            for (key, value) in table {
                leaves(&format!("{path}{}{key}", if path.is_empty() { "" } else { "." }), value, found);
            }
        }
        None => drop(found.insert(path.to_owned(), value.to_string())),
    }
}

fn settings(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    leaves("", &toml::Value::Table(text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))), &mut found);
    found
}

/// What a configuration says otherwise than an older one, [`KEYS_SINCE`] left out.
fn otherwise(name: &str, now: &str, then: &str) -> Vec<String> {
    let (now, then) = (settings(now), settings(then));
    let new = now.iter().filter(|(key, _)| !then.contains_key(*key) && !KEYS_SINCE.contains(&key.as_str()));
    let new = new.map(|(key, value)| format!("{name}: `{key} = {value}` is new: add it to KEYS_SINCE"));
    let changed = then.iter().filter(|(key, value)| now.get(*key) != Some(*value));
    let changed = changed.map(|(key, value)| format!("{name}: `{key} = {value}` is now {:?}", now.get(key)));
    new.chain(changed).collect()
}

#[test]
fn recipes_and_older_configurations_read_the_same() {
    let folder = runs();
    let mut differences = Vec::new();
    let mut recipes: Vec<PathBuf> =
        fs::read_dir(golden("config")).unwrap().map(|entry| entry.unwrap().path()).collect();
    recipes.sort();
    assert!(recipes.len() >= 19, "{}", recipes.len());
    for path in recipes {
        let name = path.file_stem().unwrap().to_string_lossy();
        differences.extend(otherwise(&name, &ask(&folder, &format!("config {name}")).stdout, &text(&path)));
    }
    for (name, _) in list("trainings.txt") {
        let file = format!("{name}/config.toml");
        let now = ask(&folder, &format!("config {file}")).stdout;
        differences.extend(otherwise(&file, &now, &text(&golden("runs").join(&file))));
    }
    nothing_differs(differences);
}

#[test]
fn another_number_and_another_setting_are_found() {
    let folder = Folder::new();
    let (a, b) = (folder.write("a.csv", "x,y\n100,one\n2,two\n"), folder.write("b.csv", "x,y\n100,one\n2.1,two\n"));
    assert_eq!(Comparison::Exact.difference(&a, &a), None);
    assert!(Comparison::Exact.difference(&b, &a).is_some_and(|words| words.contains("`x`")));
    assert_eq!(Comparison::Within(2e-3).difference(&b, &a), None);
    assert!(Comparison::Within(1e-4).difference(&b, &a).is_some());
    let words = folder.write("c.csv", "x,y\n100,one\n2,three\n");
    assert!(Comparison::Within(1e-4).difference(&words, &a).is_some_and(|words| words.contains("`y`")));
    let (more, then) = ("a = 1\n[b]\nc = 2\n", "a = 1\n[b]\nc = 3\n");
    assert_eq!(otherwise("x", more, then).len(), 1);
    assert_eq!((otherwise("x", more, "a = 1").len(), otherwise("x", "a = 1", more).len()), (1, 1));
    assert!(otherwise("x", more, more).is_empty());
}

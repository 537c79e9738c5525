//! What scripts and readers rely on, as text files in `tests/snapshots`: the help of every command, and the keys of every JSON answer.
//!
//! A change of either shows as a difference here and in the review. `ELBO_UPDATE_SNAPSHOTS=1` writes the files anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Folder;

/// JSON answers: name of the snapshot, then the command line.
const ANSWERS: &[(&str, &str)] = &[
    ("train", "train --set data.count=60 --set network.hidden=[8] --set model.latent=2 --epochs 1 --out other"),
    ("resume", "resume other --epochs 2"),
    ("eval", "eval run"),
    ("eval-all", "eval run --metrics all --k 5 --samples 40"),
    ("eval-ae", "eval ae --metrics all --samples 40"),
    ("sample", "sample run -n 2 --out a.npy"),
    ("sample-mixture", "sample run -n 2 --sampler mixture --out a.npy"),
    ("sample-codes", "sample codes -n 2 --out a.npy"),
    ("complete", "complete codes --image 0 -n 2 --out a.npy"),
    ("eval-codes", "eval codes --metrics codebook,rate --codebook pictures"),
    ("reconstruct", "reconstruct run -n 2 --out a.npy"),
    ("traverse", "traverse run --steps 3 --out a.png"),
    ("traverse-film", "traverse run --steps 3 --out a.gif"),
    ("interpolate", "interpolate run --from 0 --to 1 --steps 3 --out a.png"),
    ("grid", "grid run --size 2 --out a.png"),
    ("encode", "encode run --out a.csv"),
    ("encode-project", "encode run --project pca --plot a.png --out a.npy"),
    ("score", "score run --out a.csv"),
    ("score-codes", "score codes --by rate --heatmap maps --out a.csv"),
    ("score-all", "score run --by all --k 5 --normal 1,2,3 --out a.csv"),
    ("arithmetic", "arithmetic run --from 0 --add label:1 --out a.png"),
    ("neighbours", "neighbours run -n 2 -k 2 --held-out 5 --out a.png"),
    ("report", "report run"),
    ("compare", "compare run other"),
    ("compare-by", "compare run other --metrics kl,mse --by loss.beta --out b.html"),
    ("gmm", "gmm rows.csv --components 1..2"),
    ("gmm-run", "gmm run --components 2"),
    ("priors", "priors run --samplers normal,mixture -n 8"),
    ("recipes", "recipes"),
    ("recipes-name", "recipes mnist-bce"),
    ("data", "data digits --set data.count=60"),
    ("data-table", "data rows.csv"),
    ("config", "config digits"),
    ("config-docs", "config --docs"),
    ("config-model", "config conv --model --shape 3x16x16"),
    ("bench", "bench mlp --seconds 0.1"),
    ("bench-profile", "bench mlp --seconds 0.1 --profile"),
    ("error-usage", "train --epoch 3"),
    ("error-data", "train --data absent.csv"),
    ("error-model", "eval absent"),
];

/// Commands whose answer is no JSON.
const WITHOUT_JSON: &[&str] = &["completions", "help", "man"];

fn snapshots(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(kind)
}

/// The paths of an answer's keys, a line each, sorted; `[]` stands for every element of a list.
fn key_paths(value: &Value) -> String {
    fn walk(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    found.insert(path.clone());
                    walk(&path, value, found);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|value| walk(&format!("{path}[]"), value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk("", value, &mut found);
    found.into_iter().map(|path| path + "\n").collect()
}

/// Lines of one text only, in order: `-` of the stored, `+` of the found. Between them the longest common subsequence is left out.
fn difference(stored: &str, found: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (stored.lines().collect(), found.lines().collect());
    // common[i][j]: how many lines old[i..] and new[j..] have in common.
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = match old[i] == new[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            text += &format!("  - {}\n", old[i]);
            i += 1;
        } else {
            text += &format!("  + {}\n", new[j]);
            j += 1;
        }
    }
    text
}

/// Holds texts by name against the files of a kind, or writes these.
#[track_caller]
fn compare(kind: &str, texts: &[(String, String)]) {
    let folder = snapshots(kind);
    if std::env::var("ELBO_UPDATE_SNAPSHOTS").is_ok_and(|value| value == "1") {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in texts {
            fs::write(folder.join(name).with_extension("txt"), text).unwrap();
        }
        return;
    }
    let stored = |name: &str| fs::read_to_string(folder.join(name).with_extension("txt"));
    let changed = texts.iter().filter_map(|(name, text)| match stored(name) {
        Ok(stored) if stored == *text => None,
        Ok(stored) => Some(format!("{kind}/{name}.txt:\n{}", difference(&stored, text))),
        Err(_) => Some(format!("{kind}/{name}.txt: is new\n")),
    });
    let gone = fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        texts.iter().all(|(known, _)| *known != name).then(|| format!("{kind}/{name}.txt: belongs to nothing\n"))
    });
    let all: String = changed.chain(gone).collect();
    assert!(all.is_empty(), "differs from tests/snapshots; if that is meant: ELBO_UPDATE_SNAPSHOTS=1\n{all}");
}

/// The names of all commands, as `elbo --help` lists them.
fn command_names(folder: &Folder) -> Vec<String> {
    let help = folder.run("--help").done().stdout;
    let lines = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    // Further lines of a description stand further to the right.
    let names =
        lines.take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().expect("a name").to_owned()).collect()
}

#[test]
fn the_help_of_every_command_is_the_reviewed_one() {
    let folder = Folder::new();
    let names = command_names(&folder);
    assert!(names.len() >= 22 && names.contains(&"train".to_owned()), "{names:?}");
    let help = |line: &str| folder.start(folder.command(line).env("COLUMNS", "100")).finish().done().stdout;
    let of_commands =
        names.iter().filter(|name| *name != "help").map(|name| (name.clone(), help(&format!("{name} --help"))));
    let texts: Vec<_> = [("elbo".to_owned(), help("--help"))].into_iter().chain(of_commands).collect();
    compare("help", &texts);
}

/// What a JSON answer's commands look at: a VAE, an autoencoder, a table.
fn prepared() -> Folder {
    let folder = Folder::new();
    let small = "--set data.count=120 --set network.hidden=[8] --set model.latent=2 --epochs 1 --quiet";
    folder.run(&format!("train {small} --out run")).done();
    folder.run(&format!("train {small} --set model.kind=ae --out ae")).done();
    let codes = "--set model={kind=\"vq-vae\"} --set quantizer.codes=8 --set quantizer.dims=4";
    folder
        .run(&format!("train --set data.count=120 --set network.hidden=[8] {codes} --epochs 1 --quiet --out codes"))
        .done();
    let tiny = "--set prior.width=8 --set prior.layers=1 --set prior.heads=2 --epochs 1 --quiet";
    folder.run(&format!("train autoregressive --codes-of codes {tiny}")).done();
    let rows = (0..40).map(|i| format!("{},{}\n", i % 7, (i * i) % 11));
    folder.write("rows.csv", format!("a,b\n{}", rows.collect::<String>()));
    folder
}

/// The answer of `elbo serve`, which goes on until a signal.
fn served(folder: &Folder) -> Value {
    let mut running = folder.start(&mut folder.command("serve run --port 0 --json --quiet"));
    running.wait_until(|running| running.stdout().ends_with('\n'));
    running.signal("TERM");
    running.finish().done().json()
}

#[test]
fn the_keys_of_every_json_answer_are_the_promised_ones() {
    let folder = prepared();
    let answered: BTreeSet<_> = ANSWERS.iter().filter_map(|(_, line)| line.split_whitespace().next()).collect();
    for name in command_names(&folder) {
        let known = name == "serve" || answered.contains(name.as_str()) || WITHOUT_JSON.contains(&name.as_str());
        assert!(known, "`elbo {name}` has no line in ANSWERS");
    }
    let keys = |line: &str| {
        let outcome = folder.run(&format!("{line} --json --quiet"));
        key_paths(&outcome.json())
    };
    let mut texts: Vec<_> = ANSWERS.iter().map(|(name, line)| ((*name).to_owned(), keys(line))).collect();
    texts.push(("serve".to_owned(), key_paths(&served(&folder))));
    for (name, text) in &texts {
        // A command that fails answers with an error, whose keys are no command's.
        assert_eq!(text.contains("error.kind"), name.starts_with("error-"), "{name}: {text}");
    }
    compare("keys", &texts);
}

#[test]
fn another_key_and_another_line_are_found() {
    let value = serde_json::json!({ "b": [{ "c": 1 }, { "d": null }], "a": { "e": [] } });
    assert_eq!(key_paths(&value), "a\na.e\nb\nb[].c\nb[].d\n");
    assert_eq!(difference("a\nb\nc\n", "a\nc\nd\n"), "  - b\n  + d\n");
    assert_eq!(difference("a\nb\n", "a\nb\n"), "");
}

//! A run directory from somebody else: links that lead out of it, pipes that never end, files without bounds. Each is refused before
//! anything is read or written, and what lies outside is as it was.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Folder, Outcome, edit, snapshot};

/// Files that a run has, or may have.
const FILES: [&str; 18] = [
    "config.toml",
    "run.json",
    "metrics.csv",
    "metrics.jsonl",
    "run.lock",
    "report.html",
    "stages.toml",
    "codes.npy",
    "plots/loss.png",
    "plots/samples.png",
    "samples/epoch-0001.png",
    "samples/epoch-0003.png",
    "checkpoints/last/manifest.json",
    "checkpoints/last/model.safetensors",
    "checkpoints/last/state.json",
    "checkpoints/best/config.toml",
    "priors/mixture.json",
    "priors/maf/run.json",
];
/// Folders of a run.
const FOLDERS: [&str; 7] =
    ["samples", "plots", "checkpoints", "checkpoints/last", "checkpoints/best.previous", "priors", "priors/maf"];
/// What is called with a run and reads or writes all of it.
const WRITING: [&str; 2] = ["resume RUN --epochs 3", "report RUN"];

/// Puts something in the place of a file or folder, whatever is there.
fn put(path: &Path, make: impl FnOnce(&Path)) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => fs::create_dir_all(path.parent().unwrap()).unwrap(),
    }
    make(path);
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Copies of one small run, each for one attempt.
struct Runs {
    folder: Folder,
    count: usize,
}

impl Runs {
    fn new() -> Self {
        let folder = Folder::new();
        folder
            .run("train --set data.count=200 --set network.hidden=[8] --set model.latent=2 --epochs 2 --out run -q")
            .done();
        Self { folder, count: 0 }
    }

    /// The name of a fresh copy.
    fn copy(&mut self) -> String {
        self.count += 1;
        let name = format!("copy-{}", self.count);
        let copied = Command::new("cp").arg("-r").args([self.folder.path("run"), self.folder.path(&name)]).status();
        assert!(copied.unwrap().success());
        name
    }

    fn run(&self, line: &str, run: &str) -> Outcome {
        let began = Instant::now();
        let outcome = self.folder.run(&line.replace("RUN", run));
        assert!(began.elapsed() < Duration::from_secs(10), "`{line}` took {:?}", began.elapsed());
        outcome
    }
}

/// Refused as a run that cannot be used, or by the system; never done.
#[track_caller]
fn refused(outcome: &Outcome, what: &str) {
    assert!(matches!(outcome.code, Some(4 | 5)), "{what}: {outcome:?}");
    assert!(outcome.stderr.contains("run's own, found a"), "{what}: {}", outcome.stderr);
}

#[test]
fn a_link_in_the_place_of_a_file_is_refused_and_leads_nowhere() {
    let mut runs = Runs::new();
    let secret = runs.folder.write("outside/secret", "precious");
    for name in FILES {
        for line in WRITING {
            // One that leads to a file, and one to nothing.
            for target in [&secret, &runs.folder.path("outside/new")] {
                let run = runs.copy();
                put(&runs.folder.path(&run).join(name), |path| symlink(target, path).unwrap());
                refused(&runs.run(line, &run), &format!("{line} with {name}"));
                assert_eq!(fs::read(&secret).unwrap(), b"precious", "{line} with {name}");
                assert_eq!(fs::read_dir(runs.folder.path("outside")).unwrap().count(), 1, "{line} with {name}");
            }
        }
    }
}

#[test]
fn a_linked_folder_is_refused_and_nothing_behind_it_changes() {
    let mut runs = Runs::new();
    for name in FOLDERS {
        for line in WRITING {
            let (run, other) = (runs.copy(), runs.copy());
            let outside = runs.folder.path(&other).join(name);
            fs::create_dir_all(&outside).unwrap();
            fs::write(outside.join("thesis.writing-1-2"), "draft").unwrap();
            let before = snapshot(&runs.folder.path(&other));
            put(&runs.folder.path(&run).join(name), |path| symlink(&outside, path).unwrap());
            refused(&runs.run(line, &run), &format!("{line} with {name}"));
            assert_eq!(snapshot(&runs.folder.path(&other)), before, "{line} with {name}");
        }
    }
    // A prior that lies behind a link is not used, and not taken up again either.
    let (run, other) = (runs.copy(), runs.copy());
    fs::create_dir(runs.folder.path(&run).join("priors")).unwrap();
    symlink(runs.folder.path(&other), runs.folder.path(&run).join("priors/maf")).unwrap();
    let before = snapshot(&runs.folder.path(&other));
    for line in ["sample RUN --sampler maf --out s.png", "resume RUN/priors/maf --epochs 3", "eval RUN/priors/maf"] {
        refused(&runs.run(line, &run), line);
    }
    assert_eq!(snapshot(&runs.folder.path(&other)), before);
}

#[test]
fn a_pipe_in_the_place_of_a_file_hangs_nothing() {
    let mut runs = Runs::new();
    for name in FILES {
        for line in WRITING {
            let run = runs.copy();
            put(&runs.folder.path(&run).join(name), fifo);
            refused(&runs.run(line, &run), &format!("{line} with {name}"));
        }
    }
    let reads = [
        ("sample RUN --out s.png", "checkpoints/last/model.safetensors"),
        ("sample RUN --sampler mixture --out s.png", "priors/mixture.json"),
        ("eval RUN", "run.json"),
        ("encode RUN --out c.npy", "config.toml"),
        ("eval RUN", "checkpoints/last/manifest.json"),
    ];
    for (line, name) in reads {
        let run = runs.copy();
        if name.starts_with("checkpoints") {
            // What was saved before would be used, with a warning.
            for other in ["best", "best.previous", "last.previous"] {
                let _ = fs::remove_dir_all(runs.folder.path(&run).join("checkpoints").join(other));
            }
        }
        put(&runs.folder.path(&run).join(name), fifo);
        refused(&runs.run(line, &run), &format!("{line} with {name}"));
    }
}

#[test]
fn a_device_without_end_and_a_second_name_are_refused() {
    let mut runs = Runs::new();
    for name in ["config.toml", "run.json", "checkpoints/last/state.json"] {
        let run = runs.copy();
        put(&runs.folder.path(&run).join(name), |path| symlink("/dev/zero", path).unwrap());
        refused(&runs.run("resume RUN --epochs 3", &run), name);
    }
    // Written in place, so that a second name would be written too.
    let (run, secret) = (runs.copy(), runs.folder.write("secret", "precious"));
    put(&runs.folder.path(&run).join("run.lock"), |path| fs::hard_link(&secret, path).unwrap());
    runs.run("resume RUN --epochs 3", &run).refused(4, &["run.lock", "a second name"]);
    assert_eq!(fs::read(&secret).unwrap(), b"precious");
    // Files of others, and the link by which the user knows a run, are nobody's business.
    let run = runs.copy();
    symlink(&secret, runs.folder.path(&run).join("notes")).unwrap();
    symlink(runs.folder.path(&run), runs.folder.path("latest")).unwrap();
    runs.run("resume latest --epochs 3", &run).done();
    assert!(runs.folder.path(&run).join("samples/epoch-0003.png").exists());
}

#[test]
fn files_without_bounds_are_refused_before_they_are_read() {
    let mut runs = Runs::new();
    for (name, bytes) in [
        ("config.toml", 1 << 20),
        ("run.json", 16 << 20),
        ("priors/mixture.json", 128 << 20),
        ("checkpoints/last/manifest.json", 1 << 16),
    ] {
        let run = runs.copy();
        let path = runs.folder.path(&run).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::options().write(true).create(true).truncate(false).open(&path).unwrap();
        file.set_len(bytes + 1).unwrap();
        for other in ["best", "best.previous", "last.previous"] {
            let _ = fs::remove_dir_all(runs.folder.path(&run).join("checkpoints").join(other));
        }
        let line = format!("sample {run} --sampler mixture --out s.png");
        let outcome = runs.folder.run_within(1200, &line);
        outcome.refused(4, &[name, &format!("at most {bytes} bytes, found {} bytes", bytes + 1)]);
    }
    // What stays within the bound takes no memory beyond it: a tree of empty lists in a field that nobody asked for.
    let run = runs.copy();
    let lists = format!("{{\"x\": [{}0],", "[],".repeat(5_000_000));
    edit(&runs.folder.path(&run).join("run.json"), "{", &lists);
    runs.folder.run_within(1200, &format!("sample {run} -n 1 --out s.png")).done();
    // A state may not be as long as weights may.
    let run = runs.copy();
    let last = runs.folder.path(&run).join("checkpoints/last");
    let text = fs::read_to_string(last.join("manifest.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest["files"]["state.json"]["bytes"] = (1u64 << 30).into();
    fs::write(last.join("manifest.json"), manifest.to_string()).unwrap();
    let _ = fs::remove_dir_all(last.with_file_name("last.previous"));
    runs.run("resume RUN --epochs 3", &run).refused(4, &["state.json", "at most 67108864 bytes"]);
}

//! Starting `elbo`, waiting for it, and looking at what it left.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Longest time any command of these tests may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A model and a data set small enough to train in the blink of an eye; the last batch of an epoch is not whole.
pub const SMALL: &str =
    "--set data.count=300 --set network.hidden=[16] --set model.latent=3 --epochs 2 --batch-size 32";

/// A folder in which commands run; gone with the value.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// `elbo` with the words of `line` as arguments, away from the user's own data and settings.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
        command.args(line.split_whitespace());
        self.at_home(&mut command);
        command
    }

    /// The same for a command that is not `elbo` itself.
    pub fn at_home(&self, command: &mut Command) {
        command
            .current_dir(self.0.path())
            .env("ELBO_HOME", self.path("home"))
            .env("ELBO_OFFLINE", "1")
            .env("ELBO_THREADS", "1")
            .env("RUST_BACKTRACE", "0")
            .env_remove("ELBO_DATA")
            .env_remove("ELBO_DEVICE")
            .stdin(Stdio::null());
    }

    /// Runs a command line to its end.
    pub fn run(&self, line: &str) -> Outcome {
        self.start(&mut self.command(line)).finish()
    }

    /// `elbo train` of [`SMALL`] into `out`, with further flags.
    pub fn train(&self, out: &str, flags: &str) -> Outcome {
        self.run(&format!("train {SMALL} --out {out} {flags}"))
    }

    /// Runs a command line with at most `megabytes` of address space.
    pub fn run_within(&self, megabytes: usize, line: &str) -> Outcome {
        let limited = format!("ulimit -v {} && exec \"$@\"", megabytes * 1024);
        let mut command = Command::new("sh");
        command.args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_elbo")]).args(line.split_whitespace());
        self.at_home(&mut command);
        self.start(&mut command).finish()
    }

    /// Runs a command line on the first processor alone; none where the system has no `taskset`.
    pub fn run_on_one_processor(&self, line: &str) -> Option<Outcome> {
        let mut command = Command::new("taskset");
        command.args(["-c", "0", env!("CARGO_BIN_EXE_elbo")]).args(line.split_whitespace());
        self.at_home(&mut command);
        let there = Command::new("taskset").arg("--version").output().is_ok_and(|found| found.status.success());
        there.then(|| self.start(&mut command).finish())
    }

    /// Starts a command; what it prints goes to files, so that no full pipe holds it up.
    pub fn start(&self, command: &mut Command) -> Running {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Relaxed);
        let [stdout, stderr] = ["out", "err"].map(|kind| self.path(&format!(".{kind}-{number}")));
        let file = |path: &Path| File::create(path).unwrap();
        let child = command.stdout(file(&stdout)).stderr(file(&stderr)).spawn().unwrap();
        Running { child, stdout, stderr, began: Instant::now() }
    }
}

/// A command under way.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    began: Instant,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed on standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stdout).unwrap()).into_owned()
    }

    /// What it has printed on standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap()).into_owned()
    }

    /// Waits until `what` is so, or the command has ended.
    pub fn wait_until(&mut self, mut what: impl FnMut(&Self) -> bool) {
        while !what(self) && self.child.try_wait().unwrap().is_none() {
            assert!(self.began.elapsed() < LIMIT, "waited too long; standard error: {}", self.stderr());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends a signal by its name, `INT`, `TERM` or `KILL`, unless the command has ended.
    pub fn signal(&mut self, name: &str) {
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status().unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// `kill -9`; what comes of it has no exit code unless the command ended before.
    pub fn kill(mut self) -> Outcome {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.finish()
    }

    /// Waits for the end.
    pub fn finish(mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.began.elapsed() > LIMIT {
                let _ = self.child.kill();
                panic!("took longer than {LIMIT:?}; standard error: {}", self.stderr());
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let stdout = String::from_utf8_lossy(&fs::read(&self.stdout).unwrap()).into_owned();
        let stderr = self.stderr();
        let panicked = ["panicked", "internal error"].iter().any(|word| stderr.contains(word));
        assert!(!panicked && status.code() != Some(101), "a panic: {stderr}");
        Outcome { code: status.code(), stdout, stderr }
    }
}

/// What came of a command.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Asserts success.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// Asserts failure with this exit code and a message that has all `parts` in it.
    #[track_caller]
    pub fn refused(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains("error: "), "no message: {self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in: {}", self.stderr);
        }
        self
    }

    /// The one JSON object on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.trim_end().lines().count(), 1, "one line: {}", self.stdout);
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(value["schema_version"], 1, "{value}");
        value
    }

    /// The keys of that object, `schema_version` left out.
    #[track_caller]
    pub fn keys(&self) -> Vec<String> {
        keys(&self.json()).into_iter().filter(|key| key != "schema_version").collect()
    }
}

/// The keys of a JSON object, in alphabetical order.
#[track_caller]
pub fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> =
        value.as_object().unwrap_or_else(|| panic!("an object: {value}")).keys().cloned().collect();
    keys.sort();
    keys
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file of a folder by its path inside, hashed; without the lock, which is rewritten, not changed.
pub fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, base: &Path, files: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), base, files),
                false => {
                    let name = entry.path().strip_prefix(base).unwrap().to_owned();
                    files.insert(name, sha256(&fs::read(entry.path()).unwrap()));
                }
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(folder, folder, &mut files);
    files.remove(Path::new("run.lock"));
    files
}

/// What two runs must share to be the same training: hashes of weights, moments, state and metrics, and the test numbers.
pub fn training(run: &Path) -> Vec<(&'static str, String)> {
    let files = [
        "checkpoints/last/model.safetensors",
        "checkpoints/last/optimizer.safetensors",
        "checkpoints/last/state.json",
        "checkpoints/best/model.safetensors",
        "metrics.csv",
        "metrics.jsonl",
    ];
    let hashed = files.map(|name| (name, sha256(&fs::read(run.join(name)).unwrap_or_else(|e| panic!("{name}: {e}")))));
    let info = info(run);
    let facts = [
        ("test", info["test"].to_string()),
        ("status", info["status"].to_string()),
        ("epochs", info["epochs"].to_string()),
    ];
    hashed.into_iter().chain(facts).collect()
}

/// `run.json`.
pub fn info(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap()
}

/// Changes a text file.
#[track_caller]
pub fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "`{from}` is not in {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Makes the manifest of a checkpoint true again after its files were changed.
pub fn reseal(checkpoint: &Path) {
    let path = checkpoint.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (name, record) in manifest["files"].as_object_mut().unwrap() {
        let bytes = fs::read(checkpoint.join(name)).unwrap();
        *record = serde_json::json!({ "bytes": bytes.len(), "sha256": sha256(&bytes) });
    }
    fs::write(path, manifest.to_string()).unwrap();
}

/// Numbers that look random and are the same every time (splitmix64).
pub struct Chance(pub u64);

/// Begins a run with this command or, where one has begun, takes it up again.
pub fn go_on(folder: &Folder, run: &str, begin: &str) -> Running {
    let begun = folder.path(run).join("run.json").exists();
    let line = if begun { format!("resume {run}") } else { begin.to_owned() };
    folder.start(&mut folder.command(&line))
}

/// How [`Chance::kill_until_done`] treats a training.
pub struct Kills {
    /// Signals at most.
    pub most: usize,
    /// The longest time before one, less 5 ms.
    pub within_ms: usize,
    /// What is sent: one of these.
    pub signals: &'static [&'static str],
}

impl Chance {
    /// A number from 0 up to `end`, not included.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    /// Sends up to `most` signals to what `begin` starts, one each time, until one is left to end well. Returns how many were killed at work.
    pub fn kill_until_done(&mut self, kill: &Kills, mut begin: impl FnMut() -> Running) -> usize {
        let (mut left, mut kills) = (1 + self.below(kill.most), 0);
        loop {
            let mut running = begin();
            if left > 0 {
                std::thread::sleep(Duration::from_millis(5 + self.below(kill.within_ms) as u64));
                running.signal(kill.signals[self.below(kill.signals.len())]);
                left -= 1;
            }
            match running.finish().code {
                None => kills += 1,
                Some(130) => {}
                Some(0) => return kills,
                code => panic!("ended with {code:?}"),
            }
        }
    }

    /// One of these.
    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

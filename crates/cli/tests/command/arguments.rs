//! Odd arguments of every kind, chosen by chance: refused or obeyed, and never a panic.

use crate::support::{Chance, Folder, SMALL};

/// Values that numbers, names and paths might be given. None of them asks for work that takes long.
const VALUES: &[&str] = &[
    "0", "1", "2", "3", "-1", "-0", "1.5", "0.5", "1e-300", "1e300", "1e30", "nan", "inf", "-inf", "NaN", "0x10", "1_000", "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "true", "\"\"", "''", "[]", "[1]", "[0.9,0.9]", "{}", "a", "last",
    "best", "test", "train", "all", "linear", "cosine", "run", "run/config.toml", "run/run.json", "nowhere", "/", ".", "..", "/dev/null", "ü",
    "\u{1F980}", "%s", "--", "-", "$HOME", "../../x", "x.png", "x.npy", "x.csv", "kl,kl", ",", "0,1", "99", "digits", "sgd", "ae", "sse",
    "gaussian", "tanh", "sum",
];

const COMMANDS: &[(&str, &[&str])] = &[
    ("train", &["--out", "--data", "--epochs", "--batch-size", "--seed", "--set", "--device", "--threads"]),
    ("resume run", &["--epochs", "--device", "--threads"]),
    ("eval run", &["--data", "--split", "--metrics", "--seed", "--checkpoint"]),
    ("sample run --out s.png", &["-n", "--seed", "--temperature", "--columns", "--out", "--checkpoint"]),
    ("reconstruct run --out r.png", &["-n", "--seed", "--columns", "--out", "--split", "--data"]),
    ("traverse run --out t.png", &["--dims", "--steps", "--reach", "--image", "--columns", "--split"]),
    ("interpolate run --out i.png", &["--from", "--to", "--steps", "--path", "--seed", "--columns", "--split"]),
    ("grid run --out g.png", &["--spacing", "--size", "--reach", "--tail", "--columns"]),
    ("encode run", &["--out", "--split", "--data"]),
    ("compare run --out c.html", &["--out", ""]),
    ("data digits --set data.count=60", &["--out", "-n", "--seed", "--set"]),
    ("config", &["--set", "--data", "--epochs", "--batch-size", "--seed"]),
    ("recipes", &["", "--json"]),
    ("completions", &[""]),
    ("report run", &["--device", ""]),
    ("bench mlp --data run", &["--seconds", "--threads"]),
];

const KEYS: &[&str] = &[
    "format", "name", "data.source", "data.validation", "data.test", "data.limit", "model.kind", "model.latent", "model.likelihood", "model.sigma",
    "network.activation", "loss.beta", "loss.warmup_epochs", "loss.cycle_epochs", "loss.free_bits", "loss.capacity.gamma", "loss.capacity",
    "optimizer.kind", "optimizer.lr", "optimizer.betas", "optimizer.eps", "optimizer.weight_decay", "optimizer.clip_norm", "schedule.kind",
    "schedule.min_lr", "schedule.epochs", "schedule.factor", "schedule", "early_stopping.monitor", "early_stopping.patience",
    "early_stopping.min_delta", "training.seed", "training.reduction", "training.checkpoint_seconds", "nonsense", "a.b.c", "",
];

#[test]
fn two_hundred_odd_command_lines_never_panic() {
    let folder = Folder::new();
    folder.train("run", "--set model.latent=2").done();
    let mut chance = Chance(2024);
    let mut codes = std::collections::BTreeMap::new();
    for i in 0..200 {
        let (start, flags) = chance.of(COMMANDS);
        let mut words: Vec<String> = start.split(' ').map(str::to_owned).collect();
        if *start == "train" {
            words.extend(SMALL.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
            words.extend(["--out".to_owned(), format!("run-{i}")]);
        }
        for _ in 0..1 + chance.below(2) {
            let (flag, value) = (*chance.of(flags), *chance.of(VALUES));
            // A flag that is there already would only be refused for that.
            if let Some(place) = words.iter().position(|word| word == flag && flag != "--set") {
                words[place + 1] = value.to_owned();
                continue;
            }
            words.extend([flag].iter().filter(|flag| !flag.is_empty()).map(|flag| (*flag).to_owned()));
            words.push(if flag == "--set" { format!("{}={value}", chance.of(KEYS)) } else { value.to_owned() });
        }
        let mut command = folder.command("");
        // `finish` asserts that nothing panicked.
        let outcome = folder.start(command.args(&words)).finish();
        let code = outcome.code.unwrap_or_else(|| panic!("{words:?} died of a signal: {outcome:?}"));
        assert!((0..=6).contains(&code), "{words:?}: {outcome:?}");
        assert!(code == 0 || outcome.stderr.contains("error: ") || outcome.stderr.contains("Usage"), "{words:?}: {outcome:?}");
        *codes.entry(code).or_insert(0) += 1;
    }
    // The test is of use only if some are obeyed and some refused.
    assert!(codes[&0] > 20 && codes[&2] > 60, "{codes:?}");
}

#[test]
fn numbers_out_of_range_are_refused_by_flag() {
    let folder = Folder::new();
    folder.train("run", "--set model.latent=2").done();
    for (line, flag) in [
        ("sample run --out s.png -n 0", "--n"),
        ("sample run --out s.png -n 1000000000", "--n"),
        ("sample run --out s.png --temperature nan", "--temperature"),
        ("sample run --out s.png --temperature=-1", "--temperature"),
        ("sample run --out s.png --temperature 1e300", "--temperature"),
        ("traverse run --out s.png --reach nan", "--reach"),
        ("traverse run --out s.png --steps 0", "--steps"),
        ("traverse run --out s.png --dims 2", "--dims"),
        ("traverse run --out s.png --image 50", "image"),
        ("interpolate run --out s.png --from 0 --to 50", "image"),
        ("interpolate run --out s.png --steps 0", "--steps"),
        ("grid run --out s.png --size 0", "--size"),
        ("grid run --out s.png --size 100000000000", "--size"),
        ("grid run --out s.png --reach inf", "--reach"),
        ("grid run --out s.png --spacing quantiles --tail 0.5", "--tail"),
        ("grid run --out s.png --spacing quantiles --tail nan", "--tail"),
        ("data digits --out s.png -n 0", "--n"),
        ("bench --seconds nan", "--seconds"),
        ("bench --seconds 1e300", "--seconds"),
        ("train --threads 0", "--threads"),
        ("train --seed 18446744073709551615", "seed"),
    ] {
        folder.run(line).refused(2, &[flag]);
    }
    assert!(!folder.path("s.png").exists());
}

#[test]
fn any_finite_pause_between_checkpoints_is_accepted() {
    let folder = Folder::new();
    for seconds in ["0", "1e-300", "1e300"] {
        folder.train(&format!("run-{seconds}"), &format!("--set training.checkpoint_seconds={seconds}")).done();
    }
}
